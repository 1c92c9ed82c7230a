/* URLs that name files: relative ones start from a folder. */
#include "bin/config_value.h"

#include <string.h>
#include <strings.h>

/* Copies text with every character of `special` escaped: up to three bytes for
 * one.  Returns where it ended. */
static char *add_escaped(char *out, const char *text, const char *special)
{
    static const char hex[] = "0123456789ABCDEF";
    for (; *text; text++) {
        if (!strchr(special, *text)) {
            *out++ = *text;
            continue;
        }
        *out++ = '%';
        *out++ = hex[(unsigned char)*text >> 4];
        *out++ = hex[*text & 15];
    }
    return out;
}

char *config_sqlite_url(config *c, const char *base, const char *path,
                        bool escape)
{
    size_t n = strlen("sqlite:"), path_len = strlen(path);
    char *out =
        config_alloc(c, n + path_len + 2 + (base ? 3 * strlen(base) : 0));
    if (!out)
        return NULL;
    memcpy(out, "sqlite:", n + 1);
    char *at = out + n;
    if (base && *base) {
        at = add_escaped(at, base, escape ? "%?" : "");
        *at++ = '/';
    }
    memcpy(at, path, path_len + 1);
    return out;
}

/* Where the options of a URL of Redis begin, as the library finds them: behind
 * a '?' that a name and '=' follow; NULL = it has none. */
static const char *options_of(const char *url)
{
    while ((url = strchr(url, '?'))) {
        size_t n = strspn(++url, "abcdefghijklmnopqrstuvwxyz_");
        if (n && url[n] == '=')
            return url;
    }
    return NULL;
}

static bool is_relative(const char *value)
{
    return *value && *value != '&' && *value != '/' &&
           strncasecmp(value, "%2f", 3) != 0;
}

/* Its relative files are said once more, from base on: of an option that is
 * given twice the last one counts. */
static char *redis_url(config *c, const char *base, const char *url)
{
    static const char *const files[] = {"ca=", "cert=", "key="};
    size_t count = sizeof(files) / sizeof(files[0]), len = strlen(url);
    size_t given = 1; /* options, any of which may be a file, also twice */
    for (const char *p = url; (p = strchr(p, '&')); p++)
        given++;
    char *out = config_alloc(c, 2 * len + given * (3 * strlen(base) + 2) + 1);
    if (!out)
        return NULL;
    memcpy(out, url, len + 1);
    char *at = out + len;
    for (const char *o = options_of(url); o;) {
        const char *end = strchr(o, '&');
        for (size_t i = 0; i < count; i++) {
            size_t n = strlen(files[i]);
            if (strncmp(o, files[i], n) != 0 || !is_relative(o + n))
                continue;
            size_t rest = (end ? (size_t)(end - o) : strlen(o)) - n;
            *at++ = '&';
            memcpy(at, files[i], n);
            at = add_escaped(at + n, base, "%&");
            *at++ = '/';
            memcpy(at, o + n, rest);
            at += rest;
        }
        o = end ? end + 1 : NULL;
    }
    *at = 0;
    return out;
}

char *config_url_from(config *c, const char *base, const char *url, bool broker)
{
    bool file = strncmp(url, "sqlite:", 7) == 0;
    if (base && file && url[7] && url[7] != '/' && url[7] != ':')
        return config_sqlite_url(c, base, url + 7, broker);
    if (base && !file && broker)
        return redis_url(c, base, url);
    return config_strdup(c, url);
}
