#include "broker/url.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <stdio.h>

#define HOSTS_MAX 64
#define PORT_REDIS 6379
#define PORT_SENTINEL 26379

struct scheme {
    const char *head; /* with what follows the ':' */
    enum lq_url_scheme scheme;
    bool tls;
};

static const struct scheme schemes[] = {
    {"sqlite:", LQ_URL_SQLITE, false},
    {"redis://", LQ_URL_REDIS, false},
    {"rediss://", LQ_URL_REDIS, true},
    {"redis-socket://", LQ_URL_REDIS_SOCKET, false},
    {"redis-sentinel://", LQ_URL_REDIS_SENTINEL, false},
    {"rediss-sentinel://", LQ_URL_REDIS_SENTINEL, true},
    {"redis-cluster://", LQ_URL_REDIS_CLUSTER, false},
    {"rediss-cluster://", LQ_URL_REDIS_CLUSTER, true},
};

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

/* What of s may stand in a message. */
static int shown(lq_str s)
{
    return (int)(s.len < 60 ? s.len : 60);
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
    if (user.len && !(u->user = lq_url_decode(user)))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: the user has a bad percent escape");
    if (login.len && !(u->password = lq_url_decode(login)))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: the password has a bad percent escape");
    return LUNAQ_OK;
}

static int parse_socket(lq_url *u, lq_str s, lunaq_error *err)
{
    lq_str path = s, query = {0}, login;
    int rc = LUNAQ_OK;
    /* An '@' in the path itself belongs to the path when nothing like a login
     * stands before the first '/'. */
    if (s.len && s.p[0] != '/') {
        lq_str rest = s;
        if (cut(&rest, '/', false, &login) && memchr(login.p, '@', login.len))
            rc = parse_login(u, &s, false, err);
    }
    if (cut(&s, '?', true, &path))
        query = s;
    else
        path = s;
    if (!rc)
        rc = lq_url_query(u, query, err);
    if (rc)
        return rc;
    if (!path.len)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: redis-socket:// needs a path");
    u->host = lq_url_decode(path);
    return u->host ? LUNAQ_OK
                   : lq_fail(err, LUNAQ_ECONFIG,
                             "broker URL: the path has a bad percent escape");
}

/* host, host:port, [address], [address]:port, :port */
static int parse_host(lq_str host, int fallback, lq_url_host *out,
                      lunaq_error *err)
{
    lq_str tail = {0};
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
                           "such as [::1]:%d",
                           fallback);
    }
    int64_t port = fallback;
    /* Without the text: where the '@' was forgotten it is a password. */
    if (tail.len && (!lq_str_int64(tail, &port) || port < 1 || port > 65535))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: what follows the ':' behind '%.*s' is not "
                       "a port (1 to 65535)",
                       shown(host), host.p);
    out->port = (int)port;
    out->name = host.len ? lq_strdup_n(host) : lq_strdup("127.0.0.1");
    return out->name ? LUNAQ_OK : lq_fail_nomem(err);
}

static int parse_hosts(lq_url *u, lq_str list, lunaq_error *err)
{
    bool sentinel = u->scheme == LQ_URL_REDIS_SENTINEL, more = true;
    u->hosts = lq_calloc(HOSTS_MAX, sizeof(*u->hosts));
    if (!u->hosts)
        return lq_fail_nomem(err);
    while (more) {
        lq_str one = list;
        more = cut(&list, ',', false, &one);
        if (!one.len)
            return lq_fail(err, LUNAQ_ECONFIG, "broker URL: %s",
                           u->host_count || more
                               ? "an address is missing beside a ','"
                               : "names no address: such as h1,h2,h3");
        if (u->host_count == HOSTS_MAX)
            return lq_fail(err, LUNAQ_ECONFIG,
                           "broker URL: more than %d addresses", HOSTS_MAX);
        int rc = parse_host(one, sentinel ? PORT_SENTINEL : PORT_REDIS,
                            &u->hosts[u->host_count], err);
        if (rc)
            return rc;
        u->host_count++;
    }
    return LUNAQ_OK;
}

/* What the kinds of a list of addresses need. */
static int check_list(const lq_url *u, lunaq_error *err)
{
    if (u->scheme == LQ_URL_REDIS_SENTINEL && !u->master)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: redis-sentinel:// needs the master's name "
                       "behind the addresses: ?master=mymaster");
    if (u->scheme == LQ_URL_REDIS_CLUSTER && u->database)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: a cluster has database 0 only: take /%d "
                       "away",
                       u->database);
    return LUNAQ_OK;
}

static int parse_tcp(lq_url *u, lq_str s, lunaq_error *err)
{
    lq_url_host one = {0};
    int64_t n = 0;
    lq_str query = lq_url_cut_query(&s);
    int rc = parse_login(u, &s, true, err);
    if (rc)
        return rc;
    lq_str host, rest = s;
    if (cut(&rest, '/', false, &host)) {
        if (rest.len && (!lq_str_int64(rest, &n) || n < 0 || n > 100000))
            return lq_fail(err, LUNAQ_ECONFIG,
                           "broker URL: after the host and a '/' comes a "
                           "database number, such as /0");
    } else {
        host = s;
    }
    if (host.len && memchr(host.p, '?', host.len))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: after a '?' come options, such as db=3");
    u->database = (int)n;
    rc = lq_url_query(u, query, err);
    if (rc)
        return rc;
    if (u->scheme != LQ_URL_REDIS) {
        rc = parse_hosts(u, host, err);
        return rc ? rc : check_list(u, err);
    }
    if (host.len && memchr(host.p, ',', host.len))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: several addresses are for "
                       "redis-sentinel:// and redis-cluster://");
    rc = parse_host(host, PORT_REDIS, &one, err);
    u->host = one.name;
    u->port = one.port;
    return rc;
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
                           shown(path), path.p);
    }
    if (!path.len)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: sqlite: needs a file, such as "
                       "sqlite:.lunaq/queue.db");
    u->host = lq_url_decode(path);
    return u->host ? LUNAQ_OK
                   : lq_fail(err, LUNAQ_ECONFIG,
                             "broker URL: the path has a bad percent escape");
}

bool lq_url_is_sqlite(const char *text)
{
    return lq_str_starts(lq_str_c(text), LQ_STR("sqlite:"));
}

static int parse(lq_url *u, const char *text, lunaq_error *err)
{
    lq_str s = lq_str_c(text);
    const char *mark = text ? strstr(text, "://") : NULL;
    if (!s.len)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: is empty: such as sqlite:.lunaq/queue.db "
                       "or redis://127.0.0.1:6379");
    for (size_t i = 0; i < LQ_COUNT(schemes); i++) {
        lq_str head = lq_str_c(schemes[i].head);
        if (!lq_str_starts(s, head))
            continue;
        s = lq_str_n(s.p + head.len, s.len - head.len);
        u->scheme = schemes[i].scheme;
        u->tls = schemes[i].tls;
        return u->scheme == LQ_URL_SQLITE         ? parse_sqlite(u, s, err)
               : u->scheme == LQ_URL_REDIS_SOCKET ? parse_socket(u, s, err)
                                                  : parse_tcp(u, s, err);
    }
    if (mark && mark - text < 24 && !memchr(text, '@', (size_t)(mark - text)))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "broker URL: unknown scheme '%.*s' (known: sqlite, "
                       "redis, redis-socket, redis-sentinel, redis-cluster; "
                       "rediss for TLS)",
                       (int)(mark - text), text);
    return parse_tcp(u, s, err);
}

int lq_url_parse(lq_url *out, const char *text, lunaq_error *err)
{
    *out = (lq_url){.scheme = LQ_URL_REDIS};
    int rc = parse(out, text, err);
    if (rc)
        lq_url_release(out);
    return rc;
}

void lq_url_release(lq_url *u)
{
    for (size_t i = 0; u->hosts && i < HOSTS_MAX; i++)
        lq_free(u->hosts[i].name);
    lq_free(u->hosts);
    lq_free(u->host);
    lq_free(u->user);
    lq_free(u->password);
    lq_free(u->prefix);
    lq_free(u->master);
    lq_free(u->sentinel_user);
    lq_free(u->sentinel_password);
    lq_free(u->ca);
    lq_free(u->cert);
    lq_free(u->key);
    lq_free(u->server_name);
    *u = (lq_url){.scheme = LQ_URL_REDIS};
}

/* ---- for people ---------------------------------------------------------- */

static void show_host(lq_buf *b, const char *name, int port)
{
    lq_buf_printf(b, strchr(name, ':') ? "[%s]:%d" : "%s:%d", name, port);
}

void lq_url_show(const lq_url *u, char *out, size_t size)
{
    const char *head = "", *host = u->host ? u->host : "";
    lq_buf b;

    lq_buf_init(&b, 0);
    for (size_t i = LQ_COUNT(schemes); i-- > 0;)
        if (schemes[i].scheme == u->scheme && schemes[i].tls == u->tls)
            head = schemes[i].head;
    lq_buf_add_c(&b, head);
    switch (u->scheme) {
    case LQ_URL_SQLITE:
        lq_buf_add_c(&b, host);
        break;
    case LQ_URL_REDIS_SOCKET:
        lq_buf_add_c(&b, host);
        if (u->database)
            lq_buf_printf(&b, "?db=%d", u->database);
        break;
    case LQ_URL_REDIS:
        show_host(&b, host, u->port);
        lq_buf_printf(&b, "/%d", u->database);
        break;
    case LQ_URL_REDIS_SENTINEL:
    case LQ_URL_REDIS_CLUSTER:
        for (size_t i = 0; i < u->host_count; i++) {
            lq_buf_add_c(&b, i ? "," : "");
            show_host(&b, u->hosts[i].name, u->hosts[i].port);
        }
        if (u->scheme == LQ_URL_REDIS_SENTINEL)
            lq_buf_printf(&b, "/%d?master=%s", u->database,
                          u->master ? u->master : "");
        break;
    }
    if (u->prefix)
        lq_buf_printf(&b, "%sprefix=%s", b.p && strchr(b.p, '?') ? "&" : "?",
                      u->prefix);
    snprintf(out, size, "%s", b.p && !b.failed ? b.p : head);
    lq_buf_release(&b);
}

/* ---- one server of many -------------------------------------------------- */

static bool copy(char **to, const char *from)
{
    *to = lq_strdup(from);
    return *to || !from;
}

int lq_url_node(lq_url *out, const lq_url *from, const char *host, int port,
                lunaq_error *err)
{
    *out = (lq_url){.scheme = LQ_URL_REDIS,
                    .port = port,
                    .database = from->database,
                    .cluster = from->scheme == LQ_URL_REDIS_CLUSTER,
                    .tls = from->tls,
                    .insecure = from->insecure};
    if (copy(&out->host, host) && copy(&out->user, from->user) &&
        copy(&out->password, from->password) &&
        copy(&out->prefix, from->prefix) && copy(&out->ca, from->ca) &&
        copy(&out->cert, from->cert) && copy(&out->key, from->key) &&
        copy(&out->server_name, from->server_name))
        return LUNAQ_OK;
    lq_url_release(out);
    return lq_fail_nomem(err);
}
