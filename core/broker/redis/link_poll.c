#include "redis/link_poll.h"

#include "base/clock.h"
#include "base/cpus.h"
#include "base/spin.h"
#include "redis/proto.h"

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

struct caller {
    lq_caller base; /* first */
    lq_url url;
    lq_proto *proto;
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

static int open_socket(struct caller *c, lunaq_error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(c->url.host);
    if (len >= sizeof(a.sun_path))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "redis: %s: the socket's path is longer than %zu bytes",
                       c->shown, sizeof(a.sun_path) - 1);
    memcpy(a.sun_path, c->url.host, len + 1);
    c->fd = connect_to(AF_UNIX, (const struct sockaddr *)&a, sizeof(a),
                       lq_mono_ms() + 1000);
    return c->fd >= 0 ? LUNAQ_OK
                      : lq_fail(err, LUNAQ_EBROKER,
                                "redis: %s: %s: is the server running?",
                                c->shown, strerror(errno));
}

static int open_tcp(struct caller *c, int64_t deadline, lunaq_error *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    char port[16];
    int why = 0;
    snprintf(port, sizeof(port), "%d", c->url.port);
    int rc = getaddrinfo(c->url.host, port, &hints, &list);
    if (rc)
        return lq_fail(err, LUNAQ_EBROKER, "redis: %s: %s", c->shown,
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
    return c->fd >= 0 ? LUNAQ_OK
                      : lq_fail(err, LUNAQ_EBROKER,
                                "redis: %s: %s: is the server running?",
                                c->shown, strerror(why));
}

static void disconnect(struct caller *c, const lunaq_error *why)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    if (lq_proto_state(c->proto) != LQ_PROTO_DOWN)
        lq_proto_lost(c->proto, why);
}

/* ---- moving bytes -------------------------------------------------------- */

/* Reads what is there now; *some = false when there is nothing. */
static int read_some(struct caller *c, bool *some, lunaq_error *err)
{
    size_t size;
    char *space = lq_proto_space(c->proto, &size);
    *some = false;
    if (!space)
        return lq_fail_nomem(err);
    ssize_t n = recv(c->fd, space, size, 0);
    *some = n > 0;
    if (n > 0)
        return lq_proto_received(c->proto, (size_t)n, err);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return LUNAQ_OK;
    return lq_fail(err, LUNAQ_EBROKER, "redis: %s: %s", c->shown,
                   n == 0 ? "the server closed the connection"
                          : strerror(errno));
}

/* Writes and reads what is there now, or waits for it. */
static int exchange(struct caller *c, int64_t deadline, lunaq_error *err)
{
    short got = 0;
    lq_str out = lq_proto_output(c->proto);
    if (out.len) {
        ssize_t n = send(c->fd, out.p, out.len, MSG_NOSIGNAL);
        if (n > 0) {
            lq_proto_sent(c->proto, (size_t)n);
            out = lq_proto_output(c->proto);
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return lq_fail(err, LUNAQ_EBROKER, "redis: %s: %s", c->shown,
                           strerror(errno));
        }
    }
    int rc = LUNAQ_OK;
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
        return lq_fail(err, rc, "redis: %s: no answer in time", c->shown);
    if (got & (POLLIN | POLLHUP | POLLERR)) {
        bool some;
        return read_some(c, &some, err);
    }
    return LUNAQ_OK;
}

static int connect_caller(struct caller *c, int64_t deadline, lunaq_error *err)
{
    int rc = c->url.scheme == LQ_URL_REDIS_SOCKET ? open_socket(c, err)
                                                  : open_tcp(c, deadline, err);
    if (!rc)
        rc = lq_proto_begin(c->proto, err);
    while (!rc && lq_proto_state(c->proto) == LQ_PROTO_GREETING)
        rc = exchange(c, deadline, err);
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
        disconnect(c, &why);
    if (c->fd < 0)
        rc = connect_caller(c, deadline, &why);
    if (rc) {
        disconnect(c, &why);
        op->rc = rc;
        op->err = why;
        op->err.code = rc;
    } else {
        lq_proto_submit(c->proto, op);
        c->awake_ns = op->kind == LQ_OP_WAIT ? 0 : lq_spin_begin(&c->spin);
        while (!lq_proto_finished(c->proto)) {
            rc = exchange(c, deadline, &why);
            if (rc)
                disconnect(c, &why);
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
    const lunaq_error why = {LUNAQ_ECANCELED, "redis: closed"};
    if (c->proto) {
        disconnect(c, &why);
        while (lq_proto_finished(c->proto))
            ;
    }
    lq_proto_free(c->proto);
    lq_url_release(&c->url);
    lq_free(c);
}

int lq_redis_caller_open(lq_caller **out, const char *url, lunaq_error *err)
{
    static const lq_caller_ops ops = {call, close_caller};
    struct caller *c = lq_calloc(1, sizeof(*c));
    *out = NULL;
    if (!c)
        return lq_fail_nomem(err);
    c->base.ops = &ops;
    c->fd = -1;
    c->spin.allowed = lq_cpus() > 1;
    int rc = lq_url_parse(&c->url, url, err);
    if (!rc) {
        lq_url_show(&c->url, c->shown, sizeof(c->shown));
        rc = lq_proto_new(&c->proto, &c->url, err);
    }
    if (rc) {
        close_caller(&c->base);
        return rc;
    }
    *out = &c->base;
    return LUNAQ_OK;
}
