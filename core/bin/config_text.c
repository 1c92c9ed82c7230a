/* Values as text: read from variables and flags, and printed with secrets
 * masked. */
#include "bin/config_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- reading ------------------------------------------------------------ */

static cJSON *bool_of(const char *text)
{
    static const char *const yes[] = {"true", "1", "yes", "on"};
    static const char *const no[] = {"false", "0", "no", "off"};
    for (size_t i = 0; i < 4; i++) {
        if (strcasecmp(text, yes[i]) == 0)
            return cJSON_CreateTrue();
        if (strcasecmp(text, no[i]) == 0)
            return cJSON_CreateFalse();
    }
    return cJSON_CreateString(text);
}

/* Text that is no number stays text, and is refused with the right words. */
static cJSON *number_of(const char *text)
{
    char *end = NULL;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        return cJSON_CreateString(text);
    return cJSON_CreateNumber((double)n);
}

/* "a=6,b=3" → {a = 6, b = 3}; "A,B" → {"A", "B"}.  NULL: no memory. */
static cJSON *list_of(const char *text, bool weights)
{
    cJSON *list = weights ? cJSON_CreateObject() : cJSON_CreateArray();
    char *copy = strdup(text), *rest = copy, *item;
    bool ok = list && copy;
    while (ok && (item = strsep(&rest, ","))) {
        item += strspn(item, " ");
        for (size_t n = strlen(item); n > 0 && item[n - 1] == ' ';)
            item[--n] = 0;
        if (!*item)
            continue;
        if (!weights) {
            cJSON *name = cJSON_CreateString(item);
            ok = name && cJSON_AddItemToArray(list, name);
            continue;
        }
        char *weight = strrchr(item, '=');
        if (weight)
            *weight++ = 0;
        cJSON *v = weight ? number_of(weight) : cJSON_CreateNumber(1);
        if (v && cJSON_GetObjectItemCaseSensitive(list, item)) {
            cJSON_Delete(v); /* twice: text, which no weight can be */
            ok = cJSON_ReplaceItemInObjectCaseSensitive(
                list, item, cJSON_CreateString("a second weight"));
            continue;
        }
        ok = v && cJSON_AddItemToObject(list, item, v);
    }
    free(copy);
    if (ok)
        return list;
    cJSON_Delete(list);
    return NULL;
}

int config_set_text(config *c, const config_key *key, const char *text,
                    const config_from *from, lunaq_error *err)
{
    cJSON *v = NULL;
    switch (key->kind) {
    case CONFIG_INT:
        v = number_of(text);
        break;
    case CONFIG_BOOL:
        v = bool_of(text);
        break;
    case CONFIG_QUEUES:
    case CONFIG_NAMES:
        v = list_of(text, key->kind == CONFIG_QUEUES);
        break;
    case CONFIG_CRON:
        return config_fail(err, from->code,
                           "%s: periodic tasks are set in lunaq.conf.lua or in "
                           "handler files only",
                           from->what);
    default:
        v = cJSON_CreateString(text);
    }
    if (!v)
        return config_fail(err, LUNAQ_ENOMEM, "out of memory");
    int rc = config_set(c, key, v, from, err);
    cJSON_Delete(v);
    return rc;
}

/* ---- showing ------------------------------------------------------------ */

static bool plain_name(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                    "0123456789_.-",
                    p[i]))
            return false;
    return len > 0;
}

/* "host=… user=…": only what cannot be a secret. */
static void show_conninfo(const char *text, char *out, size_t size)
{
    static const char *const known[] = {"host", "port", "dbname", "user"};
    size_t n = 0;
    out[0] = 0;
    for (const char *p = text; *p;) {
        p += strspn(p, " ");
        size_t len = strcspn(p, " "), name = strcspn(p, "=");
        for (size_t i = 0; i < 4 && name < len; i++)
            if (strlen(known[i]) == name && !strncmp(p, known[i], name) &&
                plain_name(p + name + 1, len - name - 1) && n < size)
                n += (size_t)snprintf(out + n, size - n, "%s%.*s", n ? " " : "",
                                      (int)len, p);
        p += len;
    }
    if (n == 0)
        snprintf(out, size, "***");
}

void config_show_url(const char *url, char *out, size_t size)
{
    const char *rest = strstr(url, "://");
    /* Shown before; or a file, which has no password. */
    if (strcmp(url, "***") == 0 || strncmp(url, "sqlite:", 7) == 0) {
        snprintf(out, size, "%s", url);
        return;
    }
    if (!rest && strchr(url, '=')) {
        show_conninfo(url, out, size);
        return;
    }
    int scheme = rest ? (int)(rest - url) : 5;
    const char *name = rest ? url : "redis";
    rest = rest ? rest + 3 : url;
    if (!plain_name(name, (size_t)scheme)) {
        snprintf(out, size, "***");
        return;
    }
    /* The last '@' ends the password, whatever the password holds. */
    const char *at = strrchr(rest, '@'), *query = strchr(rest, '?');
    if (at && query && query < at) {
        snprintf(out, size, "%.*s://***", scheme, name);
        return;
    }
    const char *host = at ? at + 1 : rest;
    int len = (int)strcspn(host, "?");
    char user[64] = "";
    if (at) {
        size_t n = strcspn(rest, ":@");
        bool known = n < sizeof(user) - 8 && plain_name(rest, n);
        /* What stands alone before the '@' may be a token. */
        snprintf(user, sizeof(user), "%.*s%s@", known ? (int)n : 0, rest,
                 rest + n == at ? ""
                 : known        ? ":***"
                                : "***");
        if (rest + n == at && !known)
            snprintf(user, sizeof(user), "***@");
    }
    char db[32] = "";
    if (query && strncmp(query, "?db=", 4) == 0 && strlen(query) < 8 &&
        strspn(query + 4, "0123456789") == strlen(query + 4))
        snprintf(db, sizeof(db), "%s", query);
    /* A host alone means database 0; "***" is no host. */
    bool path = strchr(host, '/') && strchr(host, '/') < host + len;
    path = path || strcmp(host, "***") == 0;
    snprintf(out, size, "%.*s://%s%.*s%s%s", scheme, name, user, len, host,
             !path && strncmp(name, "redis", 5) == 0 ? "/0" : "", db);
}

static void print_text(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            fprintf(out, "\\%03d", *text);
        else
            fputc(*text, out);
    }
    fputc('"', out);
}

static void print_ms(int64_t ms, FILE *out)
{
    if (ms % 1000)
        fprintf(out, "\"%lldms\"", (long long)ms);
    else
        fprintf(out, "\"%llds\"", (long long)ms / 1000);
}

static void print_cron(const config *c, FILE *out)
{
    fputs("{", out);
    for (size_t i = 0; i < c->options.cron_count; i++) {
        const lunaq_cron_entry *e = &c->options.cron[i];
        const struct {
            const char *name, *text;
        } texts[] = {{"spec", e->spec},
                     {"type", e->task.type},
                     {"name", e->name},
                     {"payload", e->task.payload},
                     {"queue", e->task.queue},
                     {"group", e->task.group},
                     {"tz", e->tz},
                     {"dst", e->dst},
                     {"missed", e->missed}};
        const struct {
            const char *name;
            int64_t ms;
        } times[] = {{"timeout", e->task.timeout_ms},
                     {"retention", e->task.retention_ms},
                     {"unique", e->task.unique_ms}};
        fputs("\n    {", out);
        for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++)
            if (texts[j].text) {
                fprintf(out, "%s%s = ", j ? ", " : " ", texts[j].name);
                print_text(texts[j].text, out);
            }
        if (e->task.max_retry)
            fprintf(out, ", max_retry = %lld",
                    e->task.max_retry < 0 ? 0LL : (long long)e->task.max_retry);
        for (size_t j = 0; j < sizeof(times) / sizeof(times[0]); j++)
            if (times[j].ms) {
                fprintf(out, ", %s = ", times[j].name);
                print_ms(times[j].ms, out);
            }
        fputs(" },", out);
    }
    fputs(c->options.cron_count ? "\n  }" : "}", out);
}

static void print_list(const config *c, const config_key *k, FILE *out)
{
    if (k->kind == CONFIG_CRON) {
        print_cron(c, out);
    } else if (k->kind == CONFIG_QUEUES) {
        fputs("{", out);
        for (size_t i = 0; i < c->options.queue_count; i++) {
            fputs(i ? ", [" : " [", out);
            print_text(c->options.queues[i].queue, out);
            fputs("] = ", out);
            config_print_queue(c, i, out);
        }
        fputs(" }", out);
    } else {
        fputs("{", out);
        for (size_t i = 0; c->options.env[i]; i++) {
            fputs(i ? ", " : " ", out);
            print_text(c->options.env[i], out);
        }
        fputs(" }", out);
    }
}

static void print_value(const config *c, const config_key *k, FILE *out)
{
    char shown[512];
    const char *text;
    int64_t n;
    memcpy(&text, (const char *)c + k->offset, sizeof(text));
    memcpy(&n, (const char *)c + k->offset, sizeof(n));
    if (n < 0 && k->how & CONFIG_ZERO_IS_NONE)
        n = 0;
    switch (k->kind) {
    case CONFIG_URL:
        config_show_url(text, shown, sizeof(shown));
        print_text(shown, out);
        break;
    case CONFIG_SECRET:
        print_text("***", out);
        break;
    case CONFIG_PATH:
    case CONFIG_TEXT:
        print_text(text, out);
        break;
    case CONFIG_INT:
        fprintf(out, "%lld", (long long)n);
        break;
    case CONFIG_BOOL:
        fputs((k->how & CONFIG_INVERTED ? !n : !!n) ? "true" : "false", out);
        break;
    case CONFIG_DURATION:
        print_ms(n, out);
        break;
    case CONFIG_CHOICE: {
        const char *p = k->choices;
        for (int64_t i = k->min; i < n && strchr(p, ' '); i++)
            p = strchr(p, ' ') + 1;
        fprintf(out, "\"%.*s\"", (int)strcspn(p, " "), p);
        break;
    }
    case CONFIG_QUEUES:
    case CONFIG_NAMES:
    case CONFIG_CRON:
        print_list(c, k, out);
        break;
    }
}

void config_print(const config *c, FILE *out)
{
    fprintf(out, "-- home: %s\nreturn {\n", c->home);
    for (size_t i = 0; i < config_key_count; i++) {
        const config_key *k = &config_keys[i];
        const char *dot = strchr(k->name, '.');
        int group = dot ? (int)(dot - k->name) : 0;
        bool first = group && (i == 0 || strncmp(k->name, k[-1].name,
                                                 (size_t)group + 1) != 0);
        bool last =
            group && (i + 1 == config_key_count ||
                      strncmp(k->name, k[1].name, (size_t)group + 1) != 0);
        if (first)
            fprintf(out, "  %.*s = {\n", group, k->name);
        if (!c->source[i]) {
            fprintf(out, "%s  -- %s: default, %s\n", group ? "  " : "",
                    dot ? dot + 1 : k->name, k->fallback);
        } else {
            fprintf(out, "%s  %s = ", group ? "  " : "",
                    dot ? dot + 1 : k->name);
            print_value(c, k, out);
            fprintf(out, ", -- %s\n", c->source[i]);
        }
        if (last)
            fputs("  },\n", out);
    }
    fputs("}\n", out);
}
