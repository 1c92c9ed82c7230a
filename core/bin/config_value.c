/* One value of the configuration: checked against its row and stored. */
#include "bin/config_value.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct config_block {
    struct config_block *next;
    max_align_t data[];
};

void *config_alloc(config *c, size_t len)
{
    struct config_block *b = calloc(1, sizeof(*b) + len);
    if (!b)
        return NULL;
    b->next = c->blocks;
    c->blocks = b;
    return b->data;
}

char *config_strdup(config *c, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = config_alloc(c, size);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

void config_free(config *c)
{
    if (!c)
        return;
    while (c->blocks) {
        struct config_block *next = c->blocks->next;
        free(c->blocks);
        c->blocks = next;
    }
    free(c);
}

int config_fail(lunaq_error *err, int code, const char *format, ...)
{
    if (err) {
        err->code = code;
        va_list args;
        va_start(args, format);
        vsnprintf(err->message, sizeof(err->message), format, args);
        va_end(args);
    }
    return code;
}

config_quoted config_quote(const char *text)
{
    config_quoted q = {"\""};
    size_t n = 1;
    for (; *text && n < 41; text++)
        q.text[n++] =
            (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text;
    if (*text) { /* cut, at a character's edge */
        while (n > 1 && ((unsigned char)q.text[n - 1] & 0xc0) == 0x80)
            n--;
        if (n > 1 && (unsigned char)q.text[n - 1] >= 0xc0)
            n--;
        memcpy(q.text + n, "...", 3);
        n += 3;
    }
    q.text[n++] = '"';
    q.text[n] = 0;
    return q;
}

/* Levenshtein's distance; words longer than 31 bytes are far from all. */
static size_t distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b), row[33];
    if (la > 31 || lb > 31)
        return SIZE_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[lb];
}

const char *config_nearest(const char *word, const char *const *names,
                           size_t count)
{
    const char *nearest = NULL;
    size_t least = strlen(word) / 3 + 2;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, names[i]);
        if (d < least) {
            least = d;
            nearest = names[i];
        }
    }
    return nearest;
}

int config_expected(const config_from *from, const char *expected,
                    const cJSON *got, bool secret, lunaq_error *err)
{
    char seen[80] = "another value";
    if (cJSON_IsString(got) && !secret)
        snprintf(seen, sizeof(seen), "%s", config_quote(got->valuestring).text);
    else if (cJSON_IsString(got))
        snprintf(seen, sizeof(seen), "other text");
    else if (cJSON_IsNumber(got))
        snprintf(seen, sizeof(seen), "%.15g", got->valuedouble);
    else if (cJSON_IsBool(got))
        snprintf(seen, sizeof(seen), "%s",
                 cJSON_IsTrue(got) ? "true" : "false");
    else if (cJSON_IsArray(got))
        snprintf(seen, sizeof(seen), "a list");
    else if (cJSON_IsObject(got))
        snprintf(seen, sizeof(seen), got->child ? "a table" : "an empty table");
    else if (cJSON_IsNull(got))
        snprintf(seen, sizeof(seen), "null");
    return config_fail(err, from->code, "%s%s%s: expected %s, got %s",
                       from->where ? from->where : "", from->where ? ": " : "",
                       from->what, expected, seen);
}

bool config_duration(const char *text, int64_t *ms)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1},     {"s", 1e3},     {"m", 60e3},
                 {"h", 3600e3}, {"d", 86400e3}, {"w", 604800e3}};
    double total = 0;
    const char *p = text;
    if (!*p)
        return false;
    while (*p) {
        if (*p < '0' || *p > '9')
            return false;
        double number = 0, scale = 1;
        for (; *p >= '0' && *p <= '9'; p++)
            number = number * 10 + (*p - '0');
        if (*p == '.')
            for (p++; *p >= '0' && *p <= '9'; p++)
                number += (*p - '0') * (scale /= 10);
        size_t len = strspn(p, "abcdefghijklmnopqrstuvwxyz");
        if (len == 0) { /* seconds, alone */
            if (*p || total > 0)
                return false;
            total = number * 1e3;
            break;
        }
        size_t u = 0;
        while (u < 6 && !(strlen(units[u].name) == len &&
                          strncmp(units[u].name, p, len) == 0))
            u++;
        if (u == 6)
            return false;
        total += number * units[u].ms;
        p += len;
    }
    if (!(total < 1e14))
        return false;
    *ms = (int64_t)(total + 0.5);
    return true;
}

/* ---- storing ------------------------------------------------------------ */

static void put_int(config *c, const config_key *key, int64_t value)
{
    if (key->how & CONFIG_INVERTED)
        value = !value;
    if (key->how & CONFIG_ZERO_IS_NONE && value == 0)
        value = -1;
    memcpy((char *)c + key->offset, &value, sizeof(value));
}

static void put_ptr(config *c, const config_key *key, const void *value)
{
    memcpy((char *)c + key->offset, &value, sizeof(value));
}

static int set_text(config *c, const config_key *key, const cJSON *v,
                    const config_from *from, lunaq_error *err)
{
    bool path = key->kind == CONFIG_PATH, url = key->kind == CONFIG_URL;
    bool secret = url || key->kind == CONFIG_SECRET;
    if (!cJSON_IsString(v))
        return config_expected(from,
                               path  ? "a path"
                               : url ? "a URL"
                                     : "text in quotes",
                               v, secret, err);
    const char *text = v->valuestring;
    if (!*text) {
        put_ptr(c, key, "");
        return LUNAQ_OK;
    }
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20)
            return config_expected(from, "text without control characters", v,
                                   secret, err);
    char *copy = NULL;
    if (path && *text != '/' && from->base) {
        size_t len = strlen(from->base) + strlen(text) + 2;
        copy = config_alloc(c, len);
        if (copy)
            snprintf(copy, len, "%s/%s", from->base, text);
    } else if (url) {
        copy = config_url_from(c, from->base, text,
                               key->offset == offsetof(config, options.broker));
    } else {
        copy = config_strdup(c, text);
    }
    if (!copy)
        return config_fail(err, LUNAQ_ENOMEM, "out of memory");
    put_ptr(c, key, copy);
    return LUNAQ_OK;
}

static int set_int(config *c, const config_key *key, const cJSON *v,
                   const config_from *from, lunaq_error *err)
{
    char expected[80];
    snprintf(expected, sizeof(expected), "a whole number from %lld to %lld",
             (long long)key->min, (long long)key->max);
    if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble) ||
        v->valuedouble < (double)key->min || v->valuedouble > (double)key->max)
        return config_expected(from, expected, v, false, err);
    put_int(c, key, (int64_t)v->valuedouble);
    return LUNAQ_OK;
}

static int set_duration(config *c, const config_key *key, const cJSON *v,
                        const config_from *from, lunaq_error *err)
{
    char expected[128];
    if (key->min > 0)
        snprintf(expected, sizeof(expected),
                 "a time from %llds to %llds, such as \"%s\"",
                 (long long)key->min / 1000, (long long)key->max / 1000,
                 key->fallback);
    else
        snprintf(expected, sizeof(expected),
                 "a time such as \"90s\", \"5m\" or a number of seconds, at "
                 "most 24h");
    int64_t ms = -1;
    if (cJSON_IsString(v) && !config_duration(v->valuestring, &ms))
        ms = -1;
    if (cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble < 1e10)
        ms = (int64_t)(v->valuedouble * 1000 + 0.5);
    if (ms < 0 || ms < key->min || ms > key->max)
        return config_expected(from, expected, v, false, err);
    put_int(c, key, ms);
    return LUNAQ_OK;
}

static int set_choice(config *c, const config_key *key, const cJSON *v,
                      const config_from *from, lunaq_error *err)
{
    int64_t value = key->min;
    if (cJSON_IsString(v)) {
        size_t wanted = strlen(v->valuestring);
        for (const char *p = key->choices; *p; value++) {
            size_t len = strcspn(p, " ");
            if (len == wanted && strncmp(p, v->valuestring, len) == 0) {
                put_int(c, key, value);
                return LUNAQ_OK;
            }
            p += len + (p[len] == ' ');
        }
    }
    char expected[96];
    snprintf(expected, sizeof(expected), "one of: %s", key->choices);
    return config_expected(from, expected, v, false, err);
}

static int set_names(config *c, const config_key *key, const cJSON *v,
                     const config_from *from, lunaq_error *err)
{
    bool list = cJSON_IsArray(v) || (cJSON_IsObject(v) && !v->child);
    size_t n = 0, count = list ? (size_t)cJSON_GetArraySize(v) : 0;
    const char **names = config_alloc(c, (count + 1) * sizeof(*names));
    if (!names)
        return config_fail(err, LUNAQ_ENOMEM, "out of memory");
    const cJSON *name, *all = list ? v : NULL;
    cJSON_ArrayForEach(name, all)
    {
        if (!cJSON_IsString(name) || !*name->valuestring ||
            strpbrk(name->valuestring, "= \t\n"))
            return config_expected(from, "names of variables", name, false,
                                   err);
        names[n] = config_strdup(c, name->valuestring);
        if (!names[n++])
            return config_fail(err, LUNAQ_ENOMEM, "out of memory");
    }
    if (!list)
        return config_expected(from, "a list of names, { \"NAME\" }", v, false,
                               err);
    put_ptr(c, key, names);
    return LUNAQ_OK;
}

int config_set(config *c, const config_key *key, const cJSON *v,
               const config_from *from, lunaq_error *err)
{
    int rc = LUNAQ_OK;
    switch (key->kind) {
    case CONFIG_URL:
    case CONFIG_PATH:
    case CONFIG_TEXT:
    case CONFIG_SECRET:
        rc = set_text(c, key, v, from, err);
        break;
    case CONFIG_INT:
        rc = set_int(c, key, v, from, err);
        break;
    case CONFIG_BOOL:
        if (!cJSON_IsBool(v))
            return config_expected(from, "true or false", v, false, err);
        put_int(c, key, cJSON_IsTrue(v));
        break;
    case CONFIG_DURATION:
        rc = set_duration(c, key, v, from, err);
        break;
    case CONFIG_CHOICE:
        rc = set_choice(c, key, v, from, err);
        break;
    case CONFIG_QUEUES:
        rc = config_set_queues(c, key, v, from, err);
        break;
    case CONFIG_NAMES:
        rc = set_names(c, key, v, from, err);
        break;
    case CONFIG_CRON:
        rc = config_set_cron(c, v, from, err);
        break;
    }
    if (rc == LUNAQ_OK)
        c->source[key - config_keys] = from->source;
    return rc;
}
