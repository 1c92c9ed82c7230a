/* The loop's driver of the Redis engine: moves its bytes over a stream, keeps
 * the time, connects again.
 *
 *                   ┌──── next place ──────┐
 *            timer    ▼         connected    │     greeting answered
 *    DOWN ─────────► CONNECTING ─────────► GREETING ─────────► UP
 *     ▲                  │ lost                │ lost, late     │ lost, silent
 *     └──────────────────┴─────────────────────┴────────────────┘
 *
 * GREETING is all that comes before operations: TLS, a sentinel's answer, the
 * greeting itself.  The next place is the master that a sentinel named, or the
 * next sentinel.
 *
 * Operations are done from two places only: after bytes came, and at the end
 * of a turn.  close() marks the link; the end of the turn takes it apart, when
 * no function of the engine can be running.
 */
#include "redis_uv/link_uv.h"

#include "base/clock.h"
#include "loop/loop.h"
#include "redis/session.h"
#include "redis_uv/cluster_uv.h"
#include "redis_uv/link_base.h"

#define CONNECT_MS 5000
#define GREETING_MS 5000
#define REPLY_MS 10000
#define WAIT_GRACE_MS 5000 /* beyond what LQ_OP_WAIT asked for */
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 5000
/* Where there is a choice: for each place, and between two rounds. */
#define CHOICE_MS 1500
#define CHOICE_BACKOFF_MAX_MS 1000
/* Another master may be there already when this one is silent: so it is given
 * up sooner, and a link that has nothing to ask asks how it is. */
#define CHOICE_REPLY_MS 5000
#define CHOICE_GRACE_MS 2500
#define CHOICE_IDLE_MS 2500
#define TICKS 8
/* Up for so long: the next loss starts at the minimum. */
#define STEADY_MS 1000

enum state { DOWN = 1, CONNECTING, GREETING, UP };

struct redis_link {
    lq_link_base base; /* turn: bytes to write, or operations to end.  Timer:
                          DOWN: connect; GREETING: too late; UP: replies due? */
    char shown[300];   /* the URL, for messages */
    enum state state;
    lq_session *session;
    lq_proto *proto;     /* the session's */
    lq_stream *stream;   /* NULL when DOWN */
    unsigned failures;   /* in a row */
    int64_t up_ms;       /* the loop's clock: when it came up */
    int silent;          /* ticks in a row without a byte */
    int64_t patience_ms; /* how long a due reply may take */
    bool listens;        /* and nothing is due: it has to be asked for */
    bool choice;         /* the session's */
    lq_op_ping probe;    /* asks an idle connection how it is */
    bool idle;           /* the timer runs until it is asked */
};

static void link_connect(struct redis_link *l); /* 1, and after DOWN */
static void link_connected(void *ud);           /* 2 */
static void link_data(void *ud, const char *p, size_t len); /* 3 … */
static void link_stream_lost(void *ud, const lunaq_error *why);
static void link_lost(struct redis_link *l, const lunaq_error *why); /* → 1 */
static void link_end(struct redis_link *l);

/* ---- operations ---------------------------------------------------------- */

/* Ends what has finished.  An operation that is submitted from a done() and
 * finishes at once waits for the end of the turn, so that one that is
 * submitted again and again while the broker is away does not hold the loop.
 * False: there was none. */
static bool link_deliver(struct redis_link *l)
{
    lq_list ended, *node;
    lq_op *op;
    bool any;

    lq_list_init(&ended);
    while ((op = lq_proto_finished(l->proto)))
        lq_list_append(&ended, &op->node);
    any = !lq_list_empty(&ended);
    while ((node = lq_list_shift(&ended))) {
        op = LQ_OF(node, lq_op, node);
        op->done(op); /* op may be gone after it */
    }
    return any;
}

/* How long the server has been silent is counted in ticks, not read from a
 * clock: a handler may hold this thread for longer than any patience while the
 * reply waits in the socket, and that is one tick.  Between two ticks the loop
 * has written and read. */
static void link_watch(struct redis_link *l)
{
    if (!lq_timer_active(l->base.timer)) {
        l->silent = 0;
        lq_timer_start(l->base.timer, l->patience_ms / TICKS);
    }
}

/* True when the last tick of patience is over. */
static bool link_tick(struct redis_link *l)
{
    if (++l->silent >= TICKS)
        return true;
    if (l->listens && l->silent == TICKS / 2) {
        lq_proto_nudge(l->proto);
        lq_turn_arm(l->base.turn);
    }
    lq_timer_start(l->base.timer, l->patience_ms / TICKS);
    return false;
}

static void link_submit(lq_link *link, lq_op *op)
{
    struct redis_link *l = LQ_OF(link, struct redis_link, base.link);
    int64_t grace = l->choice ? CHOICE_GRACE_MS : WAIT_GRACE_MS;

    if (l->state != UP) { /* refused at once; a greeting keeps its own time */
        lq_proto_submit(l->proto, op);
        lq_turn_arm(l->base.turn);
        return;
    }
    if (lq_proto_under_way(l->proto) == 0) {
        l->patience_ms = l->choice ? CHOICE_REPLY_MS : REPLY_MS;
        l->silent = -1; /* the tick under way is not a whole one */
        l->listens = false;
        if (l->idle)
            lq_timer_stop(l->base.timer);
        l->idle = false;
    }
    if (op->kind == LQ_OP_LISTEN) {
        l->listens = true;
    } else if (op->kind == LQ_OP_WAIT) {
        const lq_op_wait *wait = LQ_OF(op, lq_op_wait, op);
        if (l->patience_ms < wait->timeout_ms + grace)
            l->patience_ms = wait->timeout_ms + grace;
    }
    lq_proto_submit(l->proto, op);
    link_watch(l);
    lq_turn_arm(l->base.turn);
}

static void probe_done(lq_op *op)
{
    lq_op_release(op);
}

/* Nothing is due: with a choice of servers, after a while a sign of life is. */
static void link_idle(struct redis_link *l)
{
    if (!l->choice)
        return;
    if (!l->idle) {
        l->idle = true;
        lq_timer_start(l->base.timer, CHOICE_IDLE_MS);
        return;
    }
    lq_op_init(&l->probe.op, LQ_OP_PING);
    l->probe.op.done = probe_done;
    link_submit(&l->base.link, &l->probe.op);
}

static void link_flush(struct redis_link *l)
{
    lunaq_error why = LUNAQ_ERROR_INIT;
    lq_str out;
    int rc;

    if (l->state != GREETING && l->state != UP)
        return;
    while ((out = lq_session_output(l->session, &rc, &why)).len) {
        lq_stream_write(l->stream, out.p, out.len); /* copies what is left */
        lq_session_sent(l->session, out.len);
    }
    if (rc)
        link_lost(l, &why);
}

static void link_turn(void *ud)
{
    struct redis_link *l = ud;

    if (l->base.closing) {
        link_end(l);
        return;
    }
    link_flush(l);
    link_deliver(l);
}

/* ---- the connection ------------------------------------------------------ */

static void link_timer(void *ud)
{
    struct redis_link *l = ud;
    lunaq_error why = LUNAQ_ERROR_INIT;
    char where[300];

    if (l->base.closing)
        return;
    lq_session_show(l->session, where, sizeof(where));
    switch (l->state) {
    case DOWN:
        link_connect(l);
        break;
    case CONNECTING: /* the stream has a timer of its own */
        break;
    case GREETING:
        if (!link_tick(l))
            break;
        lq_fail(&why, LUNAQ_EBROKER,
                "%s: connected, but no greeting within %g s%s", where,
                (double)l->patience_ms / 1000,
                lq_session_why_silent(l->session));
        link_lost(l, &why);
        break;
    case UP:
        if (lq_proto_under_way(l->proto) == 0) {
            link_idle(l);
            break;
        }
        if (!link_tick(l))
            break;
        lq_fail(&why, LUNAQ_EBROKER, "%s: no reply for %lld s", l->shown,
                (long long)l->patience_ms / 1000);
        link_lost(l, &why);
        break;
    }
}

static void link_connect(struct redis_link *l)
{
    static const lq_stream_events events = {
        .connected = link_connected,
        .data = link_data,
        .lost = link_stream_lost,
    };
    lunaq_error why = LUNAQ_ERROR_INIT;
    const char *host;
    int port;

    l->state = CONNECTING;
    lq_session_where(l->session, &host, &port);
    if (lq_stream_open(&l->stream, l->base.loop, host, port,
                       l->choice ? CHOICE_MS : CONNECT_MS, &events, l, &why))
        link_lost(l, &why);
}

static void link_connected(void *ud)
{
    struct redis_link *l = ud;
    lunaq_error why = LUNAQ_ERROR_INIT;

    if (l->base.closing)
        return;
    if (lq_session_begin(l->session, &why)) {
        link_lost(l, &why);
        return;
    }
    l->state = GREETING;
    l->patience_ms = l->choice ? CHOICE_MS : GREETING_MS;
    link_watch(l);
    link_flush(l);
}

/* This connection has served: on to the place that it named. */
static void link_hop(struct redis_link *l)
{
    lq_timer_stop(l->base.timer);
    lq_stream_close(l->stream);
    l->stream = NULL;
    link_connect(l);
}

static void link_came_up(struct redis_link *l)
{
    l->state = UP;
    l->up_ms = lq_loop_now_ms(l->base.loop);
    lq_timer_stop(l->base.timer);
    l->idle = l->listens = false;
    link_idle(l);
    lq_link_base_up(&l->base);
}

static void link_data(void *ud, const char *p, size_t len)
{
    struct redis_link *l = ud;
    lunaq_error why = LUNAQ_ERROR_INIT;

    if (l->base.closing)
        return;
    if (l->state == UP) /* a greeting has to end in time */
        l->silent = -1;
    while (len) {
        size_t room;
        char *space = lq_session_space(l->session, &room);

        if (!space) {
            lq_fail_nomem(&why);
            link_lost(l, &why);
            return;
        }
        if (room > len)
            room = len;
        memcpy(space, p, room);
        p += room;
        len -= room;
        if (lq_session_received(l->session, room, &why)) {
            if (!l->base.closing)
                link_lost(l, &why);
            return;
        }
        if (lq_session_hop(l->session)) {
            link_hop(l);
            return;
        }
    }
    if (l->state == GREETING &&
        lq_session_state(l->session) == LQ_SESSION_READY && !l->base.closing)
        link_came_up(l);
    link_deliver(l);
    /* The engine may have more to say; after the turns that were armed just
     * now, so that what they submit leaves with it. */
    lq_turn_arm(l->base.turn);
}

static void link_stream_lost(void *ud, const lunaq_error *why)
{
    struct redis_link *l = ud;
    lunaq_error told;

    if (l->base.closing)
        return;
    lq_fail(&told, why->code, "%s%s", why->message,
            l->state == GREETING ? lq_session_why_closed(l->session) : "");
    link_lost(l, &told);
}

/* Each failure doubles the span out of which the wait is drawn.  The first is
 * ten times the minimum already: when a server restarts, everybody comes back
 * from the same instant. */
static int64_t link_backoff(const struct redis_link *l)
{
    int64_t span = (int64_t)BACKOFF_MIN_MS * 10;
    int64_t most = l->choice ? CHOICE_BACKOFF_MAX_MS : BACKOFF_MAX_MS;

    for (unsigned i = 1; i < l->failures && span < most; i++)
        span *= 2;
    if (span > most)
        span = most;
    return BACKOFF_MIN_MS +
           (int64_t)lq_random((uint64_t)(span - BACKOFF_MIN_MS));
}

/* The one way to DOWN. */
static void link_lost(struct redis_link *l, const lunaq_error *why)
{
    lunaq_error told = *why;
    bool again;

    if (told.code == LUNAQ_EIO || told.code == LUNAQ_ECANCELED)
        told.code = LUNAQ_EBROKER;
    lq_stream_close(l->stream);
    l->stream = NULL;
    again = lq_session_lost(l->session, &told);
    if (again) { /* nothing was submitted yet */
        l->state = DOWN;
        lq_timer_start(l->base.timer, 0);
        return;
    }
    if (l->state == UP && lq_loop_now_ms(l->base.loop) - l->up_ms >= STEADY_MS)
        l->failures = 0;
    l->failures++;
    l->state = DOWN;
    lq_timer_start(l->base.timer, link_backoff(l));
    lq_link_base_down(&l->base, &told);
    link_deliver(l);
}

/* ---- opening and closing ------------------------------------------------- */

static void link_free(struct redis_link *l)
{
    lq_stream_close(l->stream);
    lq_link_base_release(&l->base);
    lq_session_free(l->session);
    lq_free(l);
}

/* At the end of the turn after close(). */
static void link_end(struct redis_link *l)
{
    lq_stream_close(l->stream);
    l->stream = NULL;
    if (l->state == GREETING || l->state == UP) {
        lunaq_error why = LUNAQ_ERROR_INIT;
        lq_fail(&why, LUNAQ_ECANCELED, "the connection was closed");
        (void)lq_session_lost(l->session, &why);
    }
    l->state = DOWN;
    if (link_deliver(l)) { /* and what that submits, a turn later */
        lq_turn_arm(l->base.turn);
        return;
    }
    l->base.closed(l->base.closed_ud);
    link_free(l);
}

int lq_redis_link_open_url(lq_link **out, lq_loop *loop, const lq_url *url,
                           lq_tls_context *tls, const lq_link_events *events,
                           void *ud, lunaq_error *err)
{
    static const lq_link_ops ops = {.submit = link_submit,
                                    .close = lq_link_base_close};
    struct redis_link *l = lq_calloc(1, sizeof(*l));
    int rc;

    *out = NULL;
    if (!l)
        return lq_fail_nomem(err);
    l->state = DOWN;
    l->patience_ms = REPLY_MS;
    lq_url_show(url, l->shown, sizeof(l->shown));
    if ((rc = lq_session_new(&l->session, url, tls, err)) ||
        (rc = lq_link_base_init(&l->base, &ops, loop, events, ud, link_turn,
                                link_timer, err))) {
        link_free(l);
        return rc;
    }
    l->proto = lq_session_proto(l->session);
    l->choice = lq_session_has_choice(l->session);
    lq_timer_start(l->base.timer, 0);
    *out = &l->base.link;
    return LUNAQ_OK;
}

int lq_redis_link_open(lq_link **out, lq_loop *loop, const void *broker,
                       const lq_link_events *events, void *ud, lunaq_error *err)
{
    lq_url url;
    *out = NULL;
    int rc = lq_url_parse(&url, broker, err);
    if (!rc && url.scheme == LQ_URL_REDIS_CLUSTER)
        rc = lq_cluster_link_open(out, loop, &url, events, ud, err);
    else if (!rc)
        rc = lq_redis_link_open_url(out, loop, &url, NULL, events, ud, err);
    lq_url_release(&url);
    return rc;
}
