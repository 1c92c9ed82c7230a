#include "redis/session.h"

#include "redis/sentinel.h"

#include <stdio.h>

#define CIPHER_ROOM ((size_t)32 * 1024)
#define ENCRYPT_AT_ONCE ((size_t)256 * 1024)

struct lq_session {
    lq_url url;
    lq_proto *proto;
    lq_tls_context *context; /* NULL: no TLS */
    bool own_context;
    lq_sentinel *sentinel; /* NULL: there is one place only */
    lq_url_host master;    /* that the sentinel named; name NULL: ask */
    lq_tls *tls;           /* of this connection */
    char *cipher;          /* what is read of TLS */
    enum lq_session_state state;
    bool heard; /* Redis said something on this connection */
    bool hop;
};

/* ---- making -------------------------------------------------------------- */

static int copy_url(lq_url *to, const lq_url *from, lunaq_error *err)
{
    /* Of a list only the sentinel keeps the addresses. */
    int rc = lq_url_node(to, from, from->host, from->port, err);
    if (!rc)
        to->scheme = from->scheme;
    return rc;
}

int lq_session_new(lq_session **out, const lq_url *url, lq_tls_context *tls,
                   lunaq_error *err)
{
    lq_session *s = NULL;
    int rc = LUNAQ_OK;

    *out = NULL;
    if (url->scheme == LQ_URL_REDIS_CLUSTER)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "redis: one connection does not make a cluster");
    s = lq_calloc(1, sizeof(*s));
    if (!s)
        return lq_fail_nomem(err);
    rc = copy_url(&s->url, url, err);
    if (!rc)
        rc = lq_proto_new(&s->proto, url, err);
    s->context = url->tls ? tls : NULL;
    s->own_context = url->tls && !tls;
    if (!rc && s->own_context)
        rc = lq_tls_context_new(&s->context, url, err);
    if (!rc && url->scheme == LQ_URL_REDIS_SENTINEL)
        rc = lq_sentinel_new(&s->sentinel, url, err);
    if (rc) {
        lq_session_free(s);
        return rc;
    }
    *out = s;
    return LUNAQ_OK;
}

void lq_session_free(lq_session *s)
{
    if (!s)
        return;
    lq_tls_free(s->tls);
    if (s->own_context)
        lq_tls_context_free(s->context);
    lq_sentinel_free(s->sentinel);
    lq_proto_free(s->proto);
    lq_free(s->master.name);
    lq_free(s->cipher);
    lq_url_release(&s->url);
    lq_free(s);
}

lq_proto *lq_session_proto(lq_session *s)
{
    return s->proto;
}

enum lq_session_state lq_session_state(const lq_session *s)
{
    if (s->state == LQ_SESSION_GREETING &&
        lq_proto_state(s->proto) == LQ_PROTO_READY)
        return LQ_SESSION_READY;
    return s->state;
}

/* ---- where --------------------------------------------------------------- */

static bool asks(const lq_session *s)
{
    return s->sentinel && !s->master.name;
}

void lq_session_where(const lq_session *s, const char **host, int *port)
{
    const lq_url_host *at = asks(s)       ? lq_sentinel_whom(s->sentinel)
                            : s->sentinel ? &s->master
                                          : NULL;
    *host = at ? at->name : s->url.host;
    *port = at                                     ? at->port
            : s->url.scheme == LQ_URL_REDIS_SOCKET ? 0
                                                   : s->url.port;
}

bool lq_session_has_choice(const lq_session *s)
{
    return s->sentinel != NULL;
}

void lq_session_show(const lq_session *s, char *out, size_t size)
{
    const char *host, *what = "";
    int port;

    lq_session_where(s, &host, &port);
    if (s->state == LQ_SESSION_SECURING)
        what = "TLS with ";
    else if (asks(s))
        what = "sentinel ";
    if (port)
        snprintf(out, size, strchr(host, ':') ? "%s[%s]:%d" : "%s%s:%d", what,
                 host, port);
    else
        snprintf(out, size, "%s%s", what, host);
}

const char *lq_session_why_closed(const lq_session *s)
{
    if (s->state == LQ_SESSION_DOWN || s->state == LQ_SESSION_SECURING ||
        s->heard)
        return "";
    /* The alert that says so may be lost with the connection. */
    if (s->context)
        return s->url.cert ? ""
                           : " without a word: does it want a certificate "
                             "(cert= and key=)?";
    return " without a word: does it want TLS (rediss://)?";
}

/* A Redis without TLS takes the handshake for a command that goes on. */
const char *lq_session_why_silent(const lq_session *s)
{
    return s->state == LQ_SESSION_SECURING
               ? ": does it speak TLS on this port (else redis://)?"
               : "";
}

/* ---- steps --------------------------------------------------------------- */

/* The transport carries plain bytes now. */
static int begin_plain(lq_session *s, lunaq_error *err)
{
    s->state = asks(s) ? LQ_SESSION_ASKING : LQ_SESSION_GREETING;
    return asks(s) ? lq_sentinel_begin(s->sentinel, err)
                   : lq_proto_begin(s->proto, err);
}

int lq_session_begin(lq_session *s, lunaq_error *err)
{
    const char *host;
    int port;

    s->hop = s->heard = false;
    if (!s->context)
        return begin_plain(s, err);
    s->state = LQ_SESSION_SECURING;
    lq_session_where(s, &host, &port);
    return lq_tls_new(&s->tls, s->context, host, err);
}

static lq_str plain_output(lq_session *s)
{
    return s->state == LQ_SESSION_ASKING ? lq_sentinel_output(s->sentinel)
                                         : lq_proto_output(s->proto);
}

static void plain_sent(lq_session *s, size_t n)
{
    if (s->state == LQ_SESSION_ASKING)
        lq_sentinel_sent(s->sentinel, n);
    else
        lq_proto_sent(s->proto, n);
}

/* Bytes count as sent when they are encrypted: they may not have left, but
 * "unknown" is never wrong. */
lq_str lq_session_output(lq_session *s, int *rc, lunaq_error *err)
{
    *rc = LUNAQ_OK;
    if (s->state == LQ_SESSION_DOWN)
        return (lq_str){0};
    if (!s->tls)
        return plain_output(s);
    lq_str out = lq_tls_output(s->tls);
    if (out.len || !lq_tls_ready(s->tls))
        return out;
    lq_str plain = plain_output(s);
    if (plain.len > ENCRYPT_AT_ONCE)
        plain.len = ENCRYPT_AT_ONCE;
    if (!plain.len)
        return plain;
    *rc = lq_tls_write(s->tls, plain, err);
    plain_sent(s, plain.len);
    return *rc ? (lq_str){0} : lq_tls_output(s->tls);
}

void lq_session_sent(lq_session *s, size_t n)
{
    if (s->tls)
        lq_tls_sent(s->tls, n);
    else
        plain_sent(s, n);
}

char *lq_session_space(lq_session *s, size_t *size)
{
    /* A sentinel's plain bytes have to go somewhere, too. */
    if (!s->tls && s->state != LQ_SESSION_ASKING)
        return lq_proto_space(s->proto, size);
    if (!s->cipher)
        s->cipher = lq_malloc(CIPHER_ROOM);
    *size = s->cipher ? CIPHER_ROOM : 0;
    return s->cipher;
}

static int asked(lq_session *s, const char *p, size_t n, lunaq_error *err)
{
    int rc = lq_sentinel_received(s->sentinel, p, n, err);
    s->heard = true;
    const lq_url_host *master = lq_sentinel_master(s->sentinel);

    if (rc || !master)
        return rc;
    s->master.name = lq_strdup(master->name);
    s->master.port = master->port;
    if (!s->master.name)
        return lq_fail_nomem(err);
    lq_tls_free(s->tls);
    s->tls = NULL;
    s->state = LQ_SESSION_DOWN;
    s->hop = true;
    return LUNAQ_OK;
}

static int greeted(lq_session *s, size_t n, lunaq_error *err)
{
    bool before = lq_proto_state(s->proto) == LQ_PROTO_READY;
    int rc = lq_proto_received(s->proto, n, err);
    s->heard = true;
    if (!rc && !before && s->sentinel &&
        lq_proto_state(s->proto) == LQ_PROTO_READY)
        lq_sentinel_was_right(s->sentinel);
    return rc;
}

/* What TLS has decrypted goes on to whom it is for. */
static int decrypt(lq_session *s, lunaq_error *err)
{
    while (s->tls) {
        char answer[4096], *space = answer;
        size_t room = sizeof(answer), n = 0;
        if (s->state != LQ_SESSION_ASKING)
            space = lq_proto_space(s->proto, &room);
        if (!space)
            return lq_fail_nomem(err);
        int rc = lq_tls_read(s->tls, space, room, &n, err);
        if (rc || !n)
            return rc;
        rc = s->state == LQ_SESSION_ASKING ? asked(s, answer, n, err)
                                           : greeted(s, n, err);
        if (rc)
            return rc;
    }
    return LUNAQ_OK;
}

int lq_session_received(lq_session *s, size_t n, lunaq_error *err)
{
    int rc;

    if (!s->tls)
        return s->state == LQ_SESSION_ASKING ? asked(s, s->cipher, n, err)
                                             : greeted(s, n, err);
    rc = lq_tls_received(s->tls, s->cipher, n, err);
    if (!rc && s->state == LQ_SESSION_SECURING && lq_tls_ready(s->tls))
        rc = begin_plain(s, err);
    if (!rc && s->state != LQ_SESSION_SECURING)
        rc = decrypt(s, err);
    return rc;
}

bool lq_session_hop(lq_session *s)
{
    bool hop = s->hop;
    s->hop = false;
    return hop;
}

/* ---- losing -------------------------------------------------------------- */

bool lq_session_lost(lq_session *s, lunaq_error *why)
{
    bool was_up = lq_session_state(s) == LQ_SESSION_READY, more = false;

    if (s->state == LQ_SESSION_GREETING)
        lq_proto_lost(s->proto, why);
    lq_tls_free(s->tls);
    s->tls = NULL;
    s->state = LQ_SESSION_DOWN;
    s->hop = false;
    lq_free(s->master.name);
    s->master.name = NULL;
    if (s->sentinel && !was_up) {
        more = lq_sentinel_next(s->sentinel);
        if (!more)
            lq_error_prefix(why, "no sentinel led to a master; the last");
    }
    return more;
}
