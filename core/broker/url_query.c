/* What may stand behind the '?' of a URL of Redis. */
#include "broker/url.h"

#include "base/alloc.h"

enum { ANY = 1, TLS = 2, SENTINEL = 4 }; /* where an option makes sense */

struct option {
    const char *name;
    size_t offset;
    int where;
    enum { TEXT, NUMBER, FLAG } kind;
};

static const struct option options[] = {
    {"prefix", offsetof(lq_url, prefix), ANY, TEXT},
    {"db", offsetof(lq_url, database), ANY, NUMBER},
    {"ca", offsetof(lq_url, ca), TLS, TEXT},
    {"cert", offsetof(lq_url, cert), TLS, TEXT},
    {"key", offsetof(lq_url, key), TLS, TEXT},
    {"server_name", offsetof(lq_url, server_name), TLS, TEXT},
    {"insecure", offsetof(lq_url, insecure), TLS, FLAG},
    {"master", offsetof(lq_url, master), SENTINEL, TEXT},
    {"sentinel_user", offsetof(lq_url, sentinel_user), SENTINEL, TEXT},
    {"sentinel_password", offsetof(lq_url, sentinel_password), SENTINEL, TEXT},
};

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

char *lq_url_decode(lq_str s)
{
    char *out = lq_strdup_n(s);
    size_t n = 0;
    if (!out)
        return NULL;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] != '%') {
            out[n++] = s.p[i];
            continue;
        }
        int high = i + 2 < s.len ? hex(s.p[i + 1]) : -1;
        int low = high < 0 ? -1 : hex(s.p[i + 2]);
        if (low < 0 || high * 16 + low == 0) { /* a NUL would cut the text */
            lq_free(out);
            return NULL;
        }
        out[n++] = (char)(high * 16 + low);
        i += 2;
    }
    out[n] = 0;
    return out;
}

static bool cut_at(lq_str *s, char c, lq_str *head)
{
    const char *at = s->len ? memchr(s->p, c, s->len) : NULL;
    *head = at ? lq_str_n(s->p, (size_t)(at - s->p)) : *s;
    *s = at ? lq_str_n(at + 1, s->len - head->len - 1) : (lq_str){0};
    return at != NULL;
}

/* Cuts the options off *s.  A '?' in an unescaped password begins none: they
 * begin where a name and '=' follow. */
lq_str lq_url_cut_query(lq_str *s)
{
    for (size_t i = 0; i < s->len; i++) {
        size_t n = i + 1;
        if (s->p[i] != '?')
            continue;
        while (n < s->len &&
               ((s->p[n] >= 'a' && s->p[n] <= 'z') || s->p[n] == '_'))
            n++;
        if (n > i + 1 && n < s->len && s->p[n] == '=') {
            lq_str query = lq_str_n(s->p + i + 1, s->len - i - 1);
            s->len = i;
            return query;
        }
    }
    return (lq_str){0};
}

void lq_url_add(lq_buf *url, const char *name, const char *value)
{
    static const char digits[] = "0123456789ABCDEF";
    lq_str text = lq_buf_str(url);
    bool more = lq_url_cut_query(&text).len > 0;
    lq_buf_printf(url, "%c%s=", more ? '&' : '?', name);
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c >= '0' && c <= '9') || strchr("-_./", c);
        if (plain) {
            lq_buf_add_char(url, *value);
        } else {
            lq_buf_add_char(url, '%');
            lq_buf_add_char(url, digits[c >> 4]);
            lq_buf_add_char(url, digits[c & 15]);
        }
    }
}

static const struct option *find(lq_str name)
{
    for (size_t i = 0; i < LQ_COUNT(options); i++)
        if (lq_str_eq(name, lq_str_c(options[i].name)))
            return &options[i];
    return NULL;
}

/* login: an '@' follows, so that it may be a piece of a password. */
static int refuse(const lq_url *u, lq_str name, bool login, lunaq_error *err)
{
    bool word = name.len > 0 && name.len < 32;
    if (login)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: an unknown option, or a '?' in the "
                       "password: there it is written %%3F");
    for (size_t i = 0; i < name.len && word; i++)
        word = (name.p[i] >= 'a' && name.p[i] <= 'z') || name.p[i] == '_';
    return lq_fail(
        err, LUNAQ_ECONFIG,
        "broker URL: unknown option '%.*s' (known: db=, prefix=, with "
        "rediss:// ca=, cert=, key=, server_name=, insecure=%s)",
        word ? (int)name.len : 0, name.p,
        u->scheme == LQ_URL_REDIS_SENTINEL
            ? ", and master=, sentinel_user=, sentinel_password="
            : "");
}

/* Stores one decoded value, which it takes. */
static int store(lq_url *u, const struct option *o, char *take_value,
                 lunaq_error *err)
{
    void *field = (char *)u + o->offset;
    int64_t n = 0;
    int rc = LUNAQ_OK;

    if (o->kind == TEXT) {
        lq_free(*(char **)field);
        *(char **)field = take_value[0] ? take_value : NULL;
        if (take_value[0])
            return LUNAQ_OK;
    } else if (o->kind == FLAG) {
        *(bool *)field =
            strcmp(take_value, "true") == 0 || strcmp(take_value, "1") == 0;
        if (!*(bool *)field && strcmp(take_value, "false") != 0 &&
            strcmp(take_value, "0") != 0)
            rc = lq_fail(err, LUNAQ_ECONFIG, "broker URL: %s= is true or false",
                         o->name);
    } else if (!lq_str_int64(lq_str_c(take_value), &n) || n < 0 || n > 100000) {
        rc = lq_fail(err, LUNAQ_ECONFIG,
                     "broker URL: %s= is a whole number, such as %s=3", o->name,
                     o->name);
    } else {
        *(int *)field = (int)n;
    }
    lq_free(take_value);
    return rc;
}

static int take_option(lq_url *u, lq_str name, lq_str value, bool login,
                       lunaq_error *err)
{
    const struct option *o = find(name);
    if (!o)
        return refuse(u, name, login, err);
    if (o->where == TLS && !u->tls)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: %s= is of TLS: begin the URL with rediss",
                       o->name);
    if (o->where == SENTINEL && u->scheme != LQ_URL_REDIS_SENTINEL)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: %s= is only for redis-sentinel://",
                       o->name);
    char *decoded = lq_url_decode(value);
    if (!decoded)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: %s= has a bad percent escape", o->name);
    return store(u, o, decoded, err);
}

int lq_url_query(lq_url *u, lq_str query, lunaq_error *err)
{
    bool login = query.len && memchr(query.p, '@', query.len);
    while (query.len) {
        lq_str pair, name;
        cut_at(&query, '&', &pair);
        if (!pair.len)
            continue;
        cut_at(&pair, '=', &name);
        int rc = take_option(u, name, pair, login, err);
        if (rc)
            return rc;
    }
    if (u->prefix && lq_prefix_check(lq_str_c(u->prefix), err)) {
        lq_error_prefix(err, "broker URL");
        return LUNAQ_ECONFIG;
    }
    if (!u->cert != !u->key)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: cert= and key= go together: %s= is "
                       "missing",
                       u->cert ? "key" : "cert");
    return LUNAQ_OK;
}
