/* See config_world.h. */
#include "support/test.h"
#include "config_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

void config_world_write(const char *folder, const char *name, const char *text,
                        size_t len)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

void config_world_remove(const char *folder, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    (void)remove(path);
}

int config_world_setup(void **state)
{
    char *folder = strdup("/tmp/lunaq-config-XXXXXX"), path[256];
    if (!folder || !mkdtemp(folder)) {
        free(folder);
        return -1;
    }
    snprintf(path, sizeof(path), "%s/handlers", folder);
    *state = folder;
    return mkdir(path, 0700);
}

int config_world_teardown(void **state)
{
    char *folder = *state;
    static const char *const names[] = {
        "lunaq.conf.lua", "lunaq.conf.json", "secret",    "other.lua",
        "handlers/deep",  "handlers",        "migrations"};
    for (size_t i = 0; i < COUNT(names); i++)
        config_world_remove(folder, names[i]);
    int rc = rmdir(folder); /* fails when something was left */
    free(folder);
    return rc;
}

static size_t length(const char *const *list)
{
    size_t n = 0;
    while (list[n])
        n++;
    return n;
}

int config_world_load(config **out, const char *folder, const char *const *vars,
                      const char *const *args, lunaq_error *err)
{
    config_input in = {
        .cwd = folder, .vars = vars, .args = args, .arg_count = length(args)};
    return config_load(out, &in, err);
}

/* What config_print() prints; the caller frees it. */
char *config_world_printed(const config *c)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    config_print(c, f);
    assert_int_equal(fclose(f), 0);
    return text;
}

void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in: %s", part, text);
}
