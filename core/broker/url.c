#include "broker/url.h"

#include "base/alloc.h"

#include <stdio.h>

/* A copy of s with its percent escapes decoded; NULL: bad escape or no
 * memory. */
static char *decode(lq_str s)
{
    char *out = lq_strdup_n(s);
    size_t n = 0;
    if (!out)
        return NULL;
    for (size_t i = 0; i < s.len; i++) {
        unsigned v = 0;
        if (out[i] == '%') {
            for (size_t k = 1; k <= 2; k++) {
                char c = i + k < s.len ? out[i + k] : 0;
                unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                             : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                             : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                    : 99;
                if (d == 99) {
                    lq_free(out);
                    return NULL;
                }
                v = v * 16 + d;
            }
            if (v == 0) { /* would cut the string */
                lq_free(out);
                return NULL;
            }
            i += 2;
            out[n++] = (char)v;
        } else {
            out[n++] = out[i];
        }
    }
    out[n] = 0;
    return out;
}

/* Cuts s at its first or last `c`: *head before it, s after.  False: none. */
static bool cut(lq_str *s, char c, bool last, lq_str *head)
{
    const char *at = !s->len ? NULL
                     : last  ? memrchr(s->p, c, s->len)
                             : memchr(s->p, c, s->len);
    if (!at)
        return false;
    *head = lq_str_n(s->p, (size_t)(at - s->p));
    *s = lq_str_n(at + 1, s->len - head->len - 1);
    return true;
}

/* Takes "user:password@" off the front of *s. */
static int parse_login(lq_url *u, lq_str *s, bool last, lunaq_error *err)
{
    lq_str login, user;
    if (!cut(s, '@', last, &login))
        return LUNAQ_OK;
    if (!cut(&login, ':', false, &user)) {
        user = login;
        login = (lq_str){0};
    }
    if (user.len && !(u->user = decode(user)))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: the user has a bad percent escape");
    if (login.len && !(u->password = decode(login)))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: the password has a bad percent escape");
    return LUNAQ_OK;
}

static int parse_number(lq_str s, int64_t max, int *out)
{
    int64_t n = 0;
    if (!lq_str_int64(s, &n) || n < 0 || n > max)
        return LUNAQ_ECONFIG;
    *out = (int)n;
    return LUNAQ_OK;
}

static int parse_socket(lq_url *u, lq_str s, lunaq_error *err)
{
    lq_str path = s, login;
    /* An '@' in the path itself belongs to the path when nothing like a login
     * stands before the first '/'. */
    if (s.len && s.p[0] != '/') {
        lq_str rest = s;
        if (cut(&rest, '/', false, &login) && memchr(login.p, '@', login.len)) {
            int rc = parse_login(u, &s, false, err);
            if (rc)
                return rc;
        }
    }
    if (cut(&s, '?', true, &path)) {
        if (!lq_str_starts(s, LQ_STR("db=")) ||
            parse_number(lq_str_n(s.p + 3, s.len - 3), 100000, &u->database))
            return lq_fail(err, LUNAQ_ECONFIG,
                           "broker URL: after the '?' only db=<number> is "
                           "known");
    } else {
        path = s;
    }
    if (!path.len)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: redis-socket:// needs a path");
    u->host = decode(path);
    return u->host ? LUNAQ_OK
                   : lq_fail(err, LUNAQ_ECONFIG,
                             "broker URL: the path has a bad percent escape");
}

static int parse_tcp(lq_url *u, lq_str s, lunaq_error *err)
{
    lq_str host, tail = {0};
    int rc = parse_login(u, &s, true, err);
    if (rc)
        return rc;
    lq_str rest = s;
    if (cut(&rest, '/', false, &host)) {
        if (rest.len && parse_number(rest, 100000, &u->database))
            return lq_fail(err, LUNAQ_ECONFIG,
                           "broker URL: '/%.*s': the part after the host is a "
                           "database number, such as /0",
                           (int)(rest.len < 60 ? rest.len : 60), rest.p);
    } else {
        host = s;
    }
    u->port = 6379;
    if (host.len && host.p[0] == '[') { /* IPv6 */
        lq_str in = lq_str_n(host.p + 1, host.len - 1), inside;
        if (!cut(&in, ']', false, &inside) || (in.len && in.p[0] != ':'))
            return lq_fail(err, LUNAQ_ECONFIG,
                           "broker URL: '[' without ']' around the address");
        host = inside;
        tail = in.len ? lq_str_n(in.p + 1, in.len - 1) : in;
        if (in.len && !tail.len)
            tail = LQ_STR("?"); /* "[::1]:" has no port */
    } else {
        lq_str after = host, before;
        if (cut(&after, ':', true, &before)) {
            host = before;
            tail = after.len ? after : LQ_STR("?");
        }
        if (host.len && memchr(host.p, ':', host.len))
            return lq_fail(err, LUNAQ_ECONFIG,
                           "broker URL: write an IPv6 address in brackets, "
                           "such as [::1]:6379");
    }
    int64_t port = 0;
    if (tail.len && (!lq_str_int64(tail, &port) || port < 1 || port > 65535))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: '%.*s' is not a port number (1 to 65535)",
                       (int)(tail.len < 60 ? tail.len : 60), tail.p);
    if (tail.len)
        u->port = (int)port;
    u->host = host.len ? lq_strdup_n(host) : lq_strdup("127.0.0.1");
    return u->host ? LUNAQ_OK : lq_fail_nomem(err);
}

/* sqlite:dir/queue.db, sqlite:/dir/queue.db, sqlite:///dir/queue.db */
static int parse_sqlite(lq_url *u, lq_str s, lunaq_error *err)
{
    lq_str rest = s, path = s;

    if (cut(&rest, '?', true, &path)) {
        u->normal = lq_str_eq(rest, LQ_STR("durability=normal"));
        if (!u->normal && !lq_str_eq(rest, LQ_STR("durability=full")))
            return lq_fail(err, LUNAQ_ECONFIG,
                           "broker URL: after the '?' only durability=full "
                           "and durability=normal are known");
    }
    if (lq_str_starts(path, LQ_STR("//"))) {
        path = lq_str_n(path.p + 2, path.len - 2);
        if (!lq_str_starts(path, LQ_STR("/")))
            return lq_fail(err, LUNAQ_ECONFIG,
                           "broker URL: write sqlite:%.*s for a file below "
                           "the working folder, sqlite:///path for any other",
                           (int)(path.len < 60 ? path.len : 60), path.p);
    }
    if (!path.len)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: sqlite: needs a file, such as "
                       "sqlite:.lunaq/queue.db");
    u->host = decode(path);
    return u->host ? LUNAQ_OK
                   : lq_fail(err, LUNAQ_ECONFIG,
                             "broker URL: the path has a bad percent escape");
}

bool lq_url_is_sqlite(const char *text)
{
    return lq_str_starts(lq_str_c(text), LQ_STR("sqlite:"));
}

int lq_url_parse(lq_url *out, const char *text, lunaq_error *err)
{
    lq_str s = lq_str_c(text);
    int rc = LUNAQ_ECONFIG;
    *out = (lq_url){.scheme = LQ_URL_REDIS};
    const char *mark = text ? strstr(text, "://") : NULL;
    if (!s.len) {
        lq_fail(err, rc,
                "broker URL: is empty: such as sqlite:.lunaq/queue.db or "
                "redis://127.0.0.1:6379");
    } else if (lq_url_is_sqlite(text)) {
        out->scheme = LQ_URL_SQLITE;
        rc = parse_sqlite(out, lq_str_n(s.p + 7, s.len - 7), err);
    } else if (lq_str_starts(s, LQ_STR("redis://"))) {
        rc = parse_tcp(out, lq_str_n(s.p + 8, s.len - 8), err);
    } else if (lq_str_starts(s, LQ_STR("redis-socket://"))) {
        out->scheme = LQ_URL_REDIS_SOCKET;
        rc = parse_socket(out, lq_str_n(s.p + 15, s.len - 15), err);
    } else if (lq_str_starts(s, LQ_STR("rediss://"))) {
        lq_fail(err, rc, "broker URL: rediss:// (TLS) is not supported yet");
    } else if (lq_str_starts(s, LQ_STR("redis-sentinel://"))) {
        lq_fail(err, rc, "broker URL: redis-sentinel:// is not supported yet");
    } else if (mark && (mark - text) < 24 &&
               !memchr(text, '@', (size_t)(mark - text))) {
        lq_fail(err, rc,
                "broker URL: unknown scheme '%.*s' (known: sqlite, redis, "
                "redis-socket)",
                (int)(mark - text), text);
    } else {
        rc = parse_tcp(out, s, err);
    }
    if (rc)
        lq_url_release(out);
    return rc;
}

void lq_url_release(lq_url *u)
{
    lq_free(u->host);
    lq_free(u->user);
    lq_free(u->password);
    *u = (lq_url){.scheme = LQ_URL_REDIS};
}

void lq_url_show(const lq_url *u, char *out, size_t size)
{
    const char *host = u->host ? u->host : "";
    if (u->scheme == LQ_URL_SQLITE)
        snprintf(out, size, "sqlite:%s", host);
    else if (u->scheme == LQ_URL_REDIS_SOCKET)
        snprintf(out, size,
                 u->database ? "redis-socket://%s?db=%d" : "redis-socket://%s",
                 host, u->database);
    else if (strchr(host, ':'))
        snprintf(out, size, "redis://[%s]:%d/%d", host, u->port, u->database);
    else
        snprintf(out, size, "redis://%s:%d/%d", host, u->port, u->database);
}
