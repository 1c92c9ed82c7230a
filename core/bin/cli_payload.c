/* A payload as people type it: k=v pairs, a file, or JSON. */
#include "cli.h"

#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    const char *name;
    size_t name_len;
    const char *value;
    bool json;
};

static int by_name(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
    int order = memcmp(x->name, y->name, n);
    return order ? order
                 : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

static bool split(const char *arg, struct pair *p)
{
    const char *eq = strchr(arg, '=');
    if (!eq || eq == arg || (eq == arg + 1 && *arg == ':'))
        return false;
    p->json = eq[-1] == ':';
    p->name = arg;
    p->name_len = (size_t)(eq - arg) - p->json;
    p->value = eq + 1;
    return true;
}

static void add_string(lq_buf *out, const char *p, size_t len)
{
    lq_buf_add_char(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == '"' || c == '\\')
            lq_buf_printf(out, "\\%c", c);
        else if (c == '\n')
            lq_buf_add_c(out, "\\n");
        else if (c == '\t')
            lq_buf_add_c(out, "\\t");
        else if (c < 0x20)
            lq_buf_printf(out, "\\u%04x", c);
        else
            lq_buf_add_char(out, p[i]);
    }
    lq_buf_add_char(out, '"');
}

/* k=v and k:=json → an object with sorted names. */
static int payload_of_pairs(struct cli *cli, lq_buf *out)
{
    int count = cli->arg_count - 1, rc = CLI_OK;
    struct pair *pairs = calloc((size_t)count + 1, sizeof *pairs);
    if (!pairs)
        return cli_misuse("out of memory"), CLI_FAILED;
    for (int i = 0; i < count; i++) {
        const char *arg = cli->args[i + 1];
        if (!split(arg, &pairs[i])) {
            rc = cli_misuse("'%s': give k=v, or k:=json, or --payload", arg);
            goto out;
        }
        if (!lq_utf8_valid(lq_str_c(arg))) {
            rc = cli_misuse("'%s': not UTF-8; give such bytes with --payload",
                            arg);
            goto out;
        }
    }
    qsort(pairs, (size_t)count, sizeof *pairs, by_name);
    lq_buf_add_char(out, '{');
    for (int i = 0; i < count; i++) {
        const struct pair *p = &pairs[i];
        if (i > 0 && by_name(p - 1, p) == 0) {
            rc = cli_misuse("'%.*s' is given twice; give it once",
                            (int)p->name_len, p->name);
            goto out;
        }
        if (i > 0)
            lq_buf_add_char(out, ',');
        add_string(out, p->name, p->name_len);
        lq_buf_add_char(out, ':');
        if (!p->json) {
            add_string(out, p->value, strlen(p->value));
            continue;
        }
        const char *why = cli_json_canonical(out, p->value, strlen(p->value));
        if (why) {
            rc = cli_misuse("'%.*s:=%s' is not JSON: it has %s; for text give "
                            "%.*s=%s",
                            (int)p->name_len, p->name, p->value, why,
                            (int)p->name_len, p->name, p->value);
            goto out;
        }
    }
    lq_buf_add_char(out, '}');
out:
    free(pairs);
    return rc;
}

static int read_all(FILE *f, const char *name, lq_buf *out)
{
    for (;;) {
        char *to = lq_buf_reserve(out, 65536);
        if (!to)
            return cli_misuse("--payload %s: too large", name), CLI_FAILED;
        size_t n = fread(to, 1, 65536, f);
        lq_buf_grew(out, n);
        if (n == 0)
            break;
    }
    if (ferror(f))
        return cli_misuse("--payload %s: %s", name, strerror(errno)),
               CLI_FAILED;
    return CLI_OK;
}

/* A file, "-" for stdin, or the text itself. */
static int payload_of_option(const char *given, lq_buf *out)
{
    if (strcmp(given, "-") == 0)
        return read_all(stdin, "-", out);
    FILE *f = strchr("{[\"", given[0]) ? NULL : fopen(given, "rb");
    if (f) {
        int rc = read_all(f, given, out);
        fclose(f);
        return rc;
    }
    lq_buf ignored;
    lq_buf_init(&ignored, 0);
    const char *why = cli_json_canonical(&ignored, given, strlen(given));
    lq_buf_release(&ignored);
    if (why)
        return cli_misuse("--payload '%s' is neither a file nor JSON (it has "
                          "%s); for other bytes use --payload -",
                          given, why);
    lq_buf_add_c(out, given);
    return CLI_OK;
}

int cli_payload(struct cli *cli, lq_buf *out)
{
    const char *given = cli_get(cli, "payload");
    if (given && cli->arg_count > 1)
        return cli_misuse("--payload and '%s': give one or the other",
                          cli->args[1]);
    int rc = CLI_OK;
    if (given)
        rc = payload_of_option(given, out);
    else if (cli->arg_count > 1)
        rc = payload_of_pairs(cli, out);
    if (rc == CLI_OK && out->failed)
        return cli_misuse("the payload is too large"), CLI_FAILED;
    return rc;
}
