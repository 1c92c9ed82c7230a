/* A byte stream to a server, over TCP or a unix socket.
 *
 *   RESOLVING ──► CONNECTING ──► OPEN ──► LOST
 *       │           │  ▲ next address      ▲
 *       └───────────┴──┴───────────────────┘
 *
 * Whatever goes wrong goes through stream_fail(): it drops the socket at once
 * and tells the owner from a timer, so that no function here calls back before
 * it returns.  The memory of a stream goes when its owner closed it and libuv
 * has let go of every socket and of the name look-up: those hold references.
 */
#include "loop/loop_uv.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include <assert.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/un.h>

#define QUEUED_MAX ((size_t)256 * 1024 * 1024) /* bytes that do not leave */
#define KEEP_MAX ((size_t)1024 * 1024) /* memory kept for the next time */
#define KEEPALIVE_S 15

enum state { RESOLVING = 1, CONNECTING, OPEN, LOST };

/* One attempt's socket: libuv cannot use one again after a failed connect. */
struct sock {
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_connect_t connect;
    uv_write_t write;
    lq_stream *s;
    lq_buf out; /* under way in `write` */
    bool writing;
};

struct lq_stream {
    lq_loop *loop;
    lq_stream_events events;
    void *ud;
    enum state state;
    bool closed;
    bool last_turn; /* the timer of this attempt has fired once */
    bool looking;   /* `lookup` is under way */
    int refs;       /* the owner, each socket, the look-up */
    char *host;
    int port;
    int64_t give_up_ms; /* the loop's clock: connected by then */
    lq_timer *timer;    /* connecting: this attempt's end; LOST: tell */
    uv_getaddrinfo_t lookup;
    struct addrinfo *addresses, *next;
    struct sock *sock;
    lq_buf queued; /* waits for sock->write */
    lunaq_error why;
};

static void stream_resolve(lq_stream *s);                      /* 1 */
static void stream_resolved(uv_getaddrinfo_t *req, int status, /* 2 */
                            struct addrinfo *list);
static void stream_connect_next(lq_stream *s);               /* 3 */
static void stream_connected(uv_connect_t *req, int status); /* 4 → 3 */
static void stream_read(uv_stream_t *uv, ssize_t n, const uv_buf_t *buf);
static void stream_timer(void *ud);

static void stream_unref(lq_stream *s)
{
    if (--s->refs)
        return;
    lq_buf_release(&s->queued);
    uv_freeaddrinfo(s->addresses);
    lq_free(s->host);
    lq_free(s);
}

/* ---- sockets ------------------------------------------------------------- */

static void sock_gone(uv_handle_t *handle)
{
    struct sock *sock = handle->data;
    lq_stream *s = sock->s;

    lq_buf_release(&sock->out);
    lq_free(sock);
    stream_unref(s);
}

static void stream_drop_sock(lq_stream *s)
{
    if (!s->sock)
        return;
    uv_close((uv_handle_t *)&s->sock->uv.stream, sock_gone);
    s->sock = NULL;
}

static struct sock *stream_new_sock(lq_stream *s, int *rc)
{
    struct sock *sock = lq_calloc(1, sizeof(*sock));

    *rc = UV_ENOMEM;
    if (!sock)
        return NULL;
    if (s->port)
        *rc = uv_tcp_init(&s->loop->uv, &sock->uv.tcp);
    else
        *rc = uv_pipe_init(&s->loop->uv, &sock->uv.pipe, 0);
    if (*rc) {
        lq_free(sock);
        return NULL;
    }
    sock->uv.stream.data = sock;
    sock->connect.data = sock;
    sock->write.data = sock;
    lq_buf_init(&sock->out, QUEUED_MAX);
    sock->s = s;
    s->refs++;
    s->sock = sock;
    return sock;
}

/* A peer that vanished without a word is noticed within half a minute. */
static void sock_set_options(struct sock *sock)
{
    uv_os_fd_t fd;

    uv_tcp_nodelay(&sock->uv.tcp, 1);
    uv_tcp_keepalive(&sock->uv.tcp, 1, KEEPALIVE_S);
#if defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
    if (uv_fileno((uv_handle_t *)&sock->uv.tcp, &fd) == 0) {
        const int every_s = 5, times = 3;
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof(every_s));
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof(times));
    }
#endif
}

/* ---- failing ------------------------------------------------------------- */

/* Ends the stream for what is in s->why. */
static void stream_fail(lq_stream *s)
{
    if (s->state == LOST)
        return;
    s->state = LOST;
    stream_drop_sock(s);
    lq_timer_start(s->timer, 0);
}

static void stream_why(lq_stream *s, const char *text)
{
    if (s->port)
        lq_fail(&s->why, LUNAQ_EIO, "%s:%d: %s", s->host, s->port, text);
    else
        lq_fail(&s->why, LUNAQ_EIO, "%s: %s", s->host, text);
}

/* When somebody held the loop for long, the answer may be there already:
 * timers come before I/O.  So an attempt gets one more turn. */
static bool stream_had_last_turn(lq_stream *s)
{
    if (s->last_turn)
        return true;
    s->last_turn = true;
    lq_timer_start(s->timer, 0);
    return false;
}

static void stream_timer(void *ud)
{
    lq_stream *s = ud;

    if ((s->state == RESOLVING || s->state == CONNECTING) &&
        !stream_had_last_turn(s))
        return;
    switch (s->state) {
    case RESOLVING:
        stream_why(s, "the name was not resolved in time");
        stream_fail(s);
        break;
    case CONNECTING:
        stream_why(s, "no answer to connect in time");
        stream_drop_sock(s);
        stream_connect_next(s);
        break;
    case LOST:
        s->events.lost(s->ud, &s->why); /* s may be gone after it */
        break;
    case OPEN:
        break;
    }
}

/* ---- connecting ---------------------------------------------------------- */

static int64_t stream_time_left(const lq_stream *s)
{
    int64_t left = s->give_up_ms - lq_mono_ms();

    return left > 0 ? left : 1;
}

int lq_stream_open(lq_stream **out, lq_loop *loop, const char *host, int port,
                   int64_t connect_timeout_ms, const lq_stream_events *events,
                   void *ud, lunaq_error *err)
{
    lq_stream *s = NULL;
    int rc;

    *out = NULL;
    if (!port && strlen(host) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return lq_fail(err, LUNAQ_EINVAL,
                       "%s: a socket's path has at most %zu bytes", host,
                       sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    s = lq_calloc(1, sizeof(*s));
    if (!s)
        return lq_fail_nomem(err);
    s->refs = 1;
    s->loop = loop;
    s->events = *events;
    s->ud = ud;
    s->port = port;
    s->give_up_ms = lq_mono_ms() + connect_timeout_ms;
    lq_buf_init(&s->queued, QUEUED_MAX);
    s->host = lq_strdup(host);
    if (!s->host) {
        rc = lq_fail_nomem(err);
        goto fail;
    }
    rc = lq_timer_new(&s->timer, loop, stream_timer, s, err);
    if (rc)
        goto fail;
    stream_resolve(s);
    *out = s;
    return LUNAQ_OK;

fail:
    stream_unref(s);
    return rc;
}

/* Numbers and paths need no look-up, and no thread of libuv's pool. */
static void stream_resolve(lq_stream *s)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_ADDRCONFIG};
    struct sockaddr_storage numeric;
    char service[16];
    int rc;

    s->state = RESOLVING;
    if (!s->port ||
        uv_ip4_addr(s->host, s->port, (struct sockaddr_in *)&numeric) == 0 ||
        uv_ip6_addr(s->host, s->port, (struct sockaddr_in6 *)&numeric) == 0) {
        s->state = CONNECTING;
        stream_connect_next(s);
        return;
    }
    lq_timer_start(s->timer, stream_time_left(s));
    snprintf(service, sizeof(service), "%d", s->port);
    s->lookup.data = s;
    rc = uv_getaddrinfo(&s->loop->uv, &s->lookup, stream_resolved, s->host,
                        service, &hints);
    if (rc) {
        stream_why(s, uv_strerror(rc));
        stream_fail(s);
        return;
    }
    s->looking = true;
    s->refs++;
}

static void stream_resolved(uv_getaddrinfo_t *req, int status,
                            struct addrinfo *list)
{
    lq_stream *s = req->data;

    s->looking = false;
    s->addresses = s->next = list;
    if (!s->closed && s->state == RESOLVING) {
        if (status) {
            stream_why(s, uv_strerror(status));
            stream_fail(s);
        } else {
            s->state = CONNECTING;
            stream_connect_next(s);
        }
    }
    stream_unref(s);
}

/* The address to try now, NULL when there is none left; *more counts those
 * after it. */
static const struct sockaddr *
stream_next_address(lq_stream *s, struct sockaddr_storage *buf, int *more)
{
    const struct sockaddr *address;

    *more = 0;
    if (!s->addresses) { /* numeric: one, the first time */
        if (s->why.code)
            return NULL;
        if (uv_ip4_addr(s->host, s->port, (struct sockaddr_in *)buf))
            uv_ip6_addr(s->host, s->port, (struct sockaddr_in6 *)buf);
        return (const struct sockaddr *)buf;
    }
    if (!s->next)
        return NULL;
    address = s->next->ai_addr;
    s->next = s->next->ai_next;
    for (const struct addrinfo *a = s->next; a; a = a->ai_next)
        ++*more;
    return address;
}

/* Tries the next address, each with its share of the time that is left, until
 * one connects or none remains. */
static void stream_connect_next(lq_stream *s)
{
    for (;;) {
        struct sockaddr_storage buf;
        const struct sockaddr *address = NULL;
        struct sock *sock;
        int more = 0, rc;

        if (s->port)
            address = stream_next_address(s, &buf, &more);
        if (s->port ? !address : s->why.code != 0) {
            stream_fail(s); /* s->why is the last attempt's */
            return;
        }
        s->last_turn = false;
        lq_timer_start(s->timer, stream_time_left(s) / (more + 1) + 1);
        sock = stream_new_sock(s, &rc);
        if (sock && s->port)
            rc = uv_tcp_connect(&sock->connect, &sock->uv.tcp, address,
                                stream_connected);
        else if (sock)
            uv_pipe_connect(&sock->connect, &sock->uv.pipe, s->host,
                            stream_connected);
        if (!rc)
            return;
        stream_why(s, uv_strerror(rc));
        stream_drop_sock(s);
    }
}

static void alloc_read(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct sock *sock = handle->data;

    (void)suggested;
    *buf = uv_buf_init(sock->s->loop->read_buf, LQ_READ_SIZE);
}

static void stream_connected(uv_connect_t *req, int status)
{
    struct sock *sock = req->data;
    lq_stream *s = sock->s;

    if (s->sock != sock)
        return; /* dropped before: its callback still comes */
    if (!status)
        status = uv_read_start(&sock->uv.stream, alloc_read, stream_read);
    if (status) {
        stream_why(s, uv_strerror(status));
        stream_drop_sock(s);
        stream_connect_next(s);
        return;
    }
    if (s->port)
        sock_set_options(sock);
    lq_timer_stop(s->timer);
    s->state = OPEN;
    s->events.connected(s->ud); /* s may be gone after it */
}

/* ---- bytes --------------------------------------------------------------- */

static void stream_read(uv_stream_t *uv, ssize_t n, const uv_buf_t *buf)
{
    struct sock *sock = uv->data;
    lq_stream *s = sock->s;

    if (s->sock != sock || n == 0)
        return;
    if (n > 0) {
        s->events.data(s->ud, buf->base, (size_t)n);
        return;
    }
    stream_why(s, n == UV_EOF ? "the server closed the connection"
                              : uv_strerror((int)n));
    stream_fail(s);
}

static void stream_wrote(uv_write_t *req, int status);

/* Hands everything queued to libuv; one write is under way at a time. */
static void stream_flush(lq_stream *s)
{
    struct sock *sock = s->sock;
    lq_buf swap = sock->out;
    uv_buf_t bytes;
    int rc;

    if (sock->writing || s->queued.len == 0)
        return;
    sock->out = s->queued;
    s->queued = swap;
    lq_buf_clear(&s->queued);
    if (s->queued.cap > KEEP_MAX)
        lq_buf_release(&s->queued);
    bytes = uv_buf_init(sock->out.p, (unsigned)sock->out.len);
    rc = uv_write(&sock->write, &sock->uv.stream, &bytes, 1, stream_wrote);
    if (rc) {
        stream_why(s, uv_strerror(rc));
        stream_fail(s);
        return;
    }
    sock->writing = true;
}

static void stream_wrote(uv_write_t *req, int status)
{
    struct sock *sock = req->data;
    lq_stream *s = sock->s;

    if (s->sock != sock)
        return;
    sock->writing = false;
    if (status) {
        stream_why(s, uv_strerror(status));
        stream_fail(s);
        return;
    }
    stream_flush(s);
}

void lq_stream_write(lq_stream *s, const char *p, size_t len)
{
    assert(s->state == OPEN || s->state == LOST);
    if (s->state != OPEN)
        return;
    if (!s->sock->writing && s->queued.len == 0) {
        while (len) { /* a kernel takes at most its buffer in one call */
            uv_buf_t bytes =
                uv_buf_init((char *)(uintptr_t)p,
                            len > INT32_MAX ? INT32_MAX : (unsigned)len);
            int n = uv_try_write(&s->sock->uv.stream, &bytes, 1);

            if (n == UV_EAGAIN)
                break;
            if (n < 0) {
                stream_why(s, uv_strerror(n));
                stream_fail(s);
                return;
            }
            p += n;
            len -= (size_t)n;
        }
    }
    if (!len)
        return;
    lq_buf_add(&s->queued, p, len);
    if (s->queued.failed) {
        stream_why(s, "the server does not read what is sent to it");
        stream_fail(s);
        return;
    }
    stream_flush(s);
}

void lq_stream_close(lq_stream *s)
{
    if (!s)
        return;
    s->closed = true;
    s->state = LOST;
    stream_drop_sock(s);
    lq_timer_close(s->timer);
    if (s->looking)
        uv_cancel((uv_req_t *)&s->lookup);
    stream_unref(s);
}
