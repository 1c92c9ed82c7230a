#include "redis/link_poll.h"

#include "base/clock.h"
#include "base/cpus.h"
#include "base/spin.h"
#include "redis/cluster_poll.h"
#include "redis/session.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CHOICE_MS 1500 /* for each sentinel, and each server that one names */
#define ROUND_MS 100   /* between two rounds through the sentinels */

struct caller {
    lq_caller base; /* first */
    lq_session *session;
    char shown[300]; /* the URL, for messages */
    int fd;          /* -1: not connected */
    lq_spin spin;
    int64_t awake_ns; /* the reply is looked for without sleeping */
};

/* ---- connecting ---------------------------------------------------------- */

/* Waits until fd is ready for events.  LUNAQ_ETIMEOUT at the deadline. */
static int wait_fd(int fd, short events, int64_t deadline, short *got)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        int64_t left = deadline - lq_mono_ms();
        if (left <= 0)
            return LUNAQ_ETIMEOUT;
        int n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
        if (n > 0) {
            if (got)
                *got = p.revents;
            return LUNAQ_OK;
        }
        if (n < 0 && errno != EINTR)
            return LUNAQ_EBROKER;
    }
}

/* Connects a socket; -1 with errno set. */
static int connect_to(int family, const struct sockaddr *addr, socklen_t len,
                      int64_t deadline)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = 0, on = 1;
    socklen_t size = sizeof(error);
    if (fd < 0)
        return -1;
    if (connect(fd, addr, len) != 0) {
        error = errno;
        if (error == EINPROGRESS || error == EINTR) {
            error = 0;
            if (wait_fd(fd, POLLOUT, deadline, NULL))
                error = ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
                error = errno;
        }
    }
    if (error) {
        close(fd);
        errno = error;
        return -1;
    }
    if (family != AF_UNIX) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    return fd;
}

static int cannot_connect(const struct caller *c, int why, lunaq_error *err)
{
    char where[300];
    lq_session_show(c->session, where, sizeof(where));
    return lq_fail(err, LUNAQ_EBROKER, "redis: %s: %s: is the server running?",
                   where, strerror(why));
}

static int open_socket(struct caller *c, const char *path, lunaq_error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof(a.sun_path))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "redis: %s: the socket's path is longer than %zu bytes",
                       c->shown, sizeof(a.sun_path) - 1);
    memcpy(a.sun_path, path, len + 1);
    c->fd = connect_to(AF_UNIX, (const struct sockaddr *)&a, sizeof(a),
                       lq_mono_ms() + 1000);
    return c->fd >= 0 ? LUNAQ_OK : cannot_connect(c, errno, err);
}

static int open_tcp(struct caller *c, const char *host, int number,
                    int64_t deadline, lunaq_error *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    char port[16];
    int why = 0;
    snprintf(port, sizeof(port), "%d", number);
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc)
        return lq_fail(err, LUNAQ_EBROKER, "redis: %s: %s", host,
                       gai_strerror(rc));
    int addresses = 0;
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        addresses++;
    for (const struct addrinfo *a = list; a && c->fd < 0;
         a = a->ai_next, addresses--) {
        /* An address that does not answer leaves time for the others. */
        int64_t now = lq_mono_ms();
        c->fd = connect_to(a->ai_family, a->ai_addr, a->ai_addrlen,
                           now + (deadline - now) / addresses);
        why = errno;
    }
    freeaddrinfo(list);
    return c->fd >= 0 ? LUNAQ_OK : cannot_connect(c, why, err);
}

static void drop_socket(struct caller *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* True: there is another place to try. */
static bool disconnect(struct caller *c, lunaq_error *why)
{
    drop_socket(c);
    return lq_session_lost(c->session, why);
}

/* ---- moving bytes -------------------------------------------------------- */

static bool is_ready(const struct caller *c)
{
    return lq_session_state(c->session) == LQ_SESSION_READY;
}

/* Reads what is there now; *some = false when there is nothing. */
static int read_some(struct caller *c, bool *some, lunaq_error *err)
{
    size_t size;
    char *space = lq_session_space(c->session, &size);
    *some = false;
    if (!space)
        return lq_fail_nomem(err);
    ssize_t n = recv(c->fd, space, size, 0);
    *some = n > 0;
    if (n > 0)
        return lq_session_received(c->session, (size_t)n, err);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return LUNAQ_OK;
    return lq_fail(err, LUNAQ_EBROKER, "redis: %s: %s%s", c->shown,
                   n ? strerror(errno) : "the server closed the connection",
                   lq_session_why_closed(c->session));
}

static int no_answer(const struct caller *c, int rc, lunaq_error *err)
{
    char where[300];
    if (is_ready(c))
        return lq_fail(err, rc, "redis: %s: no answer in time", c->shown);
    lq_session_show(c->session, where, sizeof(where));
    return lq_fail(err, rc, "redis: %s: no answer in time%s", where,
                   lq_session_why_silent(c->session));
}

/* Writes and reads what is there now, or waits for it. */
static int exchange(struct caller *c, int64_t deadline, lunaq_error *err)
{
    short got = 0;
    int rc;
    lq_str out = lq_session_output(c->session, &rc, err);
    if (rc)
        return rc;
    if (out.len) {
        ssize_t n = send(c->fd, out.p, out.len, MSG_NOSIGNAL);
        if (n > 0) {
            lq_session_sent(c->session, (size_t)n);
            out = lq_session_output(c->session, &rc, err);
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return lq_fail(err, LUNAQ_EBROKER, "redis: %s: %s", c->shown,
                           strerror(errno));
        }
    }
    while (!out.len && !rc && lq_mono_ns() < c->awake_ns) {
        bool some;
        rc = read_some(c, &some, err);
        if (some)
            return rc;
    }
    if (rc)
        return rc;
    rc = wait_fd(c->fd, (short)(POLLIN | (out.len ? POLLOUT : 0)), deadline,
                 &got);
    if (rc)
        return no_answer(c, rc, err);
    if (got & (POLLIN | POLLHUP | POLLERR)) {
        bool some;
        return read_some(c, &some, err);
    }
    return LUNAQ_OK;
}

/* One connection to where the session wants to go. */
static int connect_once(struct caller *c, int64_t deadline, lunaq_error *err)
{
    const char *host;
    int port;

    lq_session_where(c->session, &host, &port);
    int rc = port ? open_tcp(c, host, port, deadline, err)
                  : open_socket(c, host, err);
    if (!rc)
        rc = lq_session_begin(c->session, err);
    while (!rc && lq_session_state(c->session) != LQ_SESSION_DOWN &&
           !is_ready(c))
        rc = exchange(c, deadline, err);
    return rc;
}

/* Sentinels need a while until they agree on a new master: as nothing was sent
 * yet, the call may wait for it as long as its time lasts. */
static int connect_caller(struct caller *c, int64_t deadline, lunaq_error *err)
{
    bool choice = lq_session_has_choice(c->session);
    int rc = LUNAQ_OK;

    while (!rc && c->fd < 0) {
        int64_t now = lq_mono_ms(), till = deadline;
        if (choice && till > now + CHOICE_MS)
            till = now + CHOICE_MS;
        rc = connect_once(c, till, err);
        if (!rc && lq_session_hop(c->session))
            drop_socket(c);
        if (!rc)
            continue;
        bool again = disconnect(c, err);
        bool useless = !again && rc == LUNAQ_ECONFIG;
        if (choice && !useless && lq_mono_ms() + ROUND_MS < deadline) {
            if (!again)
                (void)poll(NULL, 0, ROUND_MS);
            rc = LUNAQ_OK;
        }
    }
    return rc == LUNAQ_ETIMEOUT ? LUNAQ_EBROKER : rc;
}

/* An idle connection that the server has closed meanwhile is not used: an
 * operation sent into it would have an unknown end. */
static bool is_stale(const struct caller *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    return poll(&p, 1, 0) != 0;
}

static int call(lq_caller *caller, lq_op *op, int64_t timeout_ms,
                lunaq_error *err)
{
    struct caller *c = (struct caller *)caller;
    int64_t deadline = lq_mono_ms() + timeout_ms;
    lunaq_error why = {LUNAQ_EBROKER, "redis: the idle connection was lost"};
    int rc = LUNAQ_OK;

    lq_op_init(op, op->kind);
    if (c->fd >= 0 && is_stale(c))
        (void)disconnect(c, &why);
    if (c->fd < 0)
        rc = connect_caller(c, deadline, &why);
    if (rc) {
        op->rc = rc;
        op->err = why;
        op->err.code = rc;
    } else {
        lq_proto_submit(lq_session_proto(c->session), op);
        c->awake_ns = op->kind == LQ_OP_WAIT ? 0 : lq_spin_begin(&c->spin);
        while (!lq_proto_finished(lq_session_proto(c->session))) {
            rc = exchange(c, deadline, &why);
            if (rc)
                (void)disconnect(c, &why);
        }
        if (op->kind != LQ_OP_WAIT)
            lq_spin_end(&c->spin);
        c->awake_ns = 0;
    }
    if (op->rc && err)
        *err = op->err;
    return op->rc;
}

static void close_caller(lq_caller *caller)
{
    struct caller *c = (struct caller *)caller;
    lunaq_error why = {LUNAQ_ECANCELED, "redis: closed"};
    if (c->session) {
        (void)disconnect(c, &why);
        while (lq_proto_finished(lq_session_proto(c->session)))
            ;
    }
    lq_session_free(c->session);
    lq_free(c);
}

int lq_redis_caller_open_url(lq_caller **out, const lq_url *url,
                             lq_tls_context *tls, lunaq_error *err)
{
    static const lq_caller_ops ops = {call, close_caller};
    struct caller *c = lq_calloc(1, sizeof(*c));
    *out = NULL;
    if (!c)
        return lq_fail_nomem(err);
    c->base.ops = &ops;
    c->fd = -1;
    c->spin.allowed = lq_cpus() > 1;
    lq_url_show(url, c->shown, sizeof(c->shown));
    int rc = lq_session_new(&c->session, url, tls, err);
    if (rc) {
        close_caller(&c->base);
        return rc;
    }
    *out = &c->base;
    return LUNAQ_OK;
}

int lq_redis_caller_open(lq_caller **out, const char *url, lunaq_error *err)
{
    lq_url parsed;
    *out = NULL;
    int rc = lq_url_parse(&parsed, url, err);
    if (!rc && parsed.scheme == LQ_URL_REDIS_CLUSTER)
        rc = lq_cluster_caller_open(out, &parsed, err);
    else if (!rc)
        rc = lq_redis_caller_open_url(out, &parsed, NULL, err);
    lq_url_release(&parsed);
    return rc;
}
