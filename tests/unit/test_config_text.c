/* The configuration as a text: damaged files, what is printed read again, and
 * the manual and the help, which have every key. */
#include "support/test.h"
#include "config_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const nothing[] = {NULL};

/* ---- damage ------------------------------------------------------------- */

static uint32_t next_random(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}

/* Cuts the comments off, which name the source, and the home. */
static char *without_comments(char *text)
{
    char *to = text;
    for (const char *p = text; *p;) {
        size_t line = strcspn(p, "\n") + 1, len = line;
        const char *comment = strstr(p, "-- ");
        if (comment && comment < p + line)
            len = (size_t)(comment - p);
        memmove(to, p, len);
        to += len;
        p += line;
    }
    *to = 0;
    return text;
}

/* Whatever is accepted prints as a file that means the same. */
static void check_round_trip(const char *folder, const config *c)
{
    config *again = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    char *first = config_world_printed(c);
    config_world_remove(folder, "lunaq.conf.json");
    config_world_write(folder, "lunaq.conf.lua", first, strlen(first));
    if (config_world_load(&again, folder, nothing, nothing, &err))
        fail_msg("%s in:\n%s", err.message, first);
    char *second = config_world_printed(again);
    assert_string_equal(without_comments(first), without_comments(second));
    free(first);
    free(second);
    config_free(again);
}

static void damaged_file__never_crashes(void **state)
{
    static const char *const seeds[] = {
        "return { broker = 'redis://h:1/2', queues = { a = 2, b = 1 },\n"
        " strict = true, concurrency = 20, lease = '15s', env = {'A'},\n"
        " cron = {{ spec = '@every 1h', type = 'a', payload = {x=1} }},\n"
        " log = { level = 'warn' }, db = { pool = 3, prepare = false } }\n",
        "{\"broker\": \"h:1\", \"queues\": {\"a\": 2}, \"strict\": true,\n"
        " \"lease\": \"15s\", \"env\": [\"A\"], \"log\": {\"level\": \"warn\"},"
        " \"cron\": [{\"spec\": \"@daily\", \"type\": \"a\", \"payload\": "
        "{}}]}",
        ""};
    uint32_t x = 0x2545f491;
    int accepted = 0;
    for (int i = 0; i < 1500; i++) {
        char text[512];
        const char *seed = seeds[i % 3];
        size_t len = strlen(seed);
        memcpy(text, seed, len);
        if (len == 0)
            len = next_random(&x) % sizeof(text);
        for (size_t j = 0; !*seed && j < len; j++)
            text[j] = (char)next_random(&x);
        for (uint32_t j = next_random(&x) % 4; *seed && j > 0; j--)
            text[next_random(&x) % len] = (char)next_random(&x);
        if (next_random(&x) % 8 == 0)
            len = next_random(&x) % (len + 1);
        bool json = i % 3 == 1 || i % 6 == 2;
        config_world_remove(*state,
                            json ? "lunaq.conf.lua" : "lunaq.conf.json");
        config_world_write(*state, json ? "lunaq.conf.json" : "lunaq.conf.lua",
                           text, len);
        config *c = NULL;
        lunaq_error err = LUNAQ_ERROR_INIT;
        if (config_world_load(&c, *state, nothing, nothing, &err)) {
            assert_true(err.message[0] != 0);
            continue;
        }
        accepted++;
        check_round_trip(*state, c);
        config_free(c);
    }
    assert_true(accepted > 100); /* or the loop above proves nothing */
}

/* ---- the manual --------------------------------------------------------- */

static char *manual(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/core/bin/man/%s", LQ_SOURCE_DIR, name);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s is missing", path);
    char *text = calloc(1, 1 << 16);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    return text;
}

static void manual__has_every_key_and_flag(void **state)
{
    (void)state;
    char *conf = manual("lunaq.conf.5"), *daemon = manual("lunaqd.8");
    for (size_t i = 0; i < config_key_count; i++) {
        const config_key *k = &config_keys[i];
        char text[96], flag[64];
        snprintf(text, sizeof(text), ".It Cm %s\n", k->name);
        assert_has(conf, text);
        for (size_t j = 0; j < 2 && k->also[j]; j++)
            assert_has(conf, k->also[j]);
        config_key_flag(k, flag, sizeof(flag));
        snprintf(text, sizeof(text), ".It Fl -%s%s%s\n", flag + 2,
                 k->placeholder ? " Ar " : "",
                 k->placeholder ? k->placeholder : "");
        if (k->kind != CONFIG_CRON)
            assert_has(daemon, text);
    }
    free(conf);
    free(daemon);
}

static void help__has_every_flag(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    config_help(f);
    fclose(f);
    for (size_t i = 0; i < config_key_count; i++) {
        char flag[64];
        config_key_flag(&config_keys[i], flag, sizeof(flag));
        if (config_keys[i].kind != CONFIG_CRON)
            assert_has(text, flag);
    }
    free(text);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(damaged_file__never_crashes,
                                        config_world_setup,
                                        config_world_teardown),
        cmocka_unit_test(manual__has_every_key_and_flag),
        cmocka_unit_test(help__has_every_flag),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("config, text", tests, NULL, NULL);
}
