/* One waiter: a connection that blocks until its queue has a task. */
#include "runtime/waiter.h"

#include "base/clock.h"

#define WAIT_MS 5000
#define CALM_MS 20 /* after two wakes for nothing: up to so long */
#define WASTED_MAX 2

static void draw(lq_waiter *w);        /* 1: a token */
static void drawn(lq_op *op);          /* 2 */
static void ready(lq_waiter *w);       /* 3: idle, or armed at once */
static void begin(lq_waiter *w, bool); /* 4: waits … */
static void waited(lq_op *op); /* 5: … until a task or the time → 3 */

static bool claim(lq_waiter *w)
{
    int none = -1;
    return atomic_compare_exchange_strong(&w->rt->waiter[w->queue], &none,
                                          w->worker) ||
           none == w->worker;
}

static void give_up(lq_waiter *w)
{
    int mine = w->worker;
    atomic_compare_exchange_strong(&w->rt->waiter[w->queue], &mine, -1);
}

/* ---- tokens -------------------------------------------------------------- */

static void draw(lq_waiter *w)
{
    if (atomic_load(&w->token) || !w->rt->o.take_on_wake) {
        ready(w);
        return;
    }
    w->state = LQ_WAITER_DRAWING;
    lq_op_init(&w->token_op.op, LQ_OP_TOKEN);
    w->token_op.op.done = drawn;
    w->token_op.op.ud = w;
    w->token_op.server_id = lq_str_c(w->rt->server_id);
    lq_link_submit(w->link, &w->token_op.op);
}

static void drawn(lq_op *op)
{
    lq_waiter *w = op->ud;
    int rc = op->rc;

    lq_op_release(op);
    if (w->state != LQ_WAITER_DRAWING)
        return;
    if (rc && !w->connected) {
        w->state = LQ_WAITER_OPENING; /* the link reconnects by itself */
        return;
    }
    if (!rc) /* else it waits and takes nothing */
        atomic_store(&w->token, w->token_op.token);
    ready(w);
}

/* lost: nobody saw the reply to its take. */
static void spend(lq_waiter *w, bool lost)
{
    uint32_t token = atomic_exchange(&w->token, 0);
    w->spent(w->ud, token, lost);
}

static void ready(lq_waiter *w)
{
    w->state = LQ_WAITER_IDLE;
    if (w->want)
        w->idle(w->ud);
    w->want = false;
}

/* ---- waiting ------------------------------------------------------------- */

/* The wait is over, and what it took is handed over. */
static void again(lq_waiter *w)
{
    if (!w->connected) {
        w->state = LQ_WAITER_OPENING; /* the link reconnects by itself */
        w->want = true;
    } else if (w->refused) {
        /* The broker refuses to wait (a wrong key type, out of memory, a
         * replica): look again later instead. */
        w->state = LQ_WAITER_IDLE;
        lq_timer_start(w->calm, 500 + (int64_t)lq_random(200));
    } else {
        w->want = true;
        draw(w);
    }
}

void lq_waiter_offer(lq_waiter *w)
{
    enum lq_took took;

    if (w->state != LQ_WAITER_HOLDING)
        return;
    took = w->took(w->ud, w);
    if (took == LQ_TOOK_LATER)
        return;
    if (took == LQ_TOOK_NOT)
        spend(w, false);
    lq_op_release(&w->take.op);
    again(w);
}

static void waited(lq_op *op)
{
    lq_waiter *w = op->ud;
    int rc = op->rc;
    bool woke = rc == LUNAQ_OK && w->op.woke;
    bool took = w->op.take && w->op.taken;

    lq_op_release(op);
    give_up(w);
    w->refused = rc != LUNAQ_OK;
    if (took && w->state != LQ_WAITER_CLOSING) {
        w->wasted = w->take.taken_count > 0 ? 0 : w->wasted + woke;
        w->state = LQ_WAITER_HOLDING;
        lq_waiter_offer(w);
        return;
    }
    if (took) /* too late to run it */
        spend(w, false);
    else if (w->op.take && (rc == LUNAQ_EUNKNOWN || rc == LUNAQ_ECANCELED))
        spend(w, true);
    if (w->op.take)
        lq_op_release(&w->take.op);
    if (w->state == LQ_WAITER_CLOSING)
        return;
    if (!woke) {
        again(w);
        return;
    }
    w->state = LQ_WAITER_IDLE;
    w->woken = true;
    w->woke(w->ud, w->queue);
}

static void begin(lq_waiter *w, bool take)
{
    uint32_t token = atomic_load(&w->token);

    if (!claim(w))
        return;
    w->state = LQ_WAITER_WAITING;
    lq_op_init(&w->op.op, LQ_OP_WAIT);
    w->op.op.done = waited;
    w->op.op.ud = w;
    w->op.queue = lq_queue_name(w->rt, w->queue);
    w->op.timeout_ms = WAIT_MS;
    w->op.taken = false;
    w->op.take = NULL; /* its results were released */
    if (take && token) {
        lq_op_init(&w->take.op, LQ_OP_STEP);
        w->take_queue = (lq_step_queue){.name = w->op.queue, .want = 1};
        w->take.queues = &w->take_queue;
        w->take.queue_count = 1;
        w->take.free = 1;
        w->take.token = token;
        w->take.lease_ms = w->rt->o.lease_ms;
        w->take.now_ms = lq_now_ms();
        w->op.take = &w->take;
    }
    lq_link_submit(w->link, &w->op.op);
}

static void link_up(void *ud)
{
    lq_waiter *w = ud;
    w->connected = true;
    if (w->state == LQ_WAITER_OPENING)
        draw(w);
}

static void link_down(void *ud, const lunaq_error *why)
{
    lq_waiter *w = ud;
    (void)why; /* the worker's own link tells the log */
    w->connected = false;
    if (w->state == LQ_WAITER_IDLE)
        w->state = LQ_WAITER_OPENING;
}

static void calm_over(void *ud)
{
    lq_waiter *w = ud;
    w->want = true;
    if (w->state == LQ_WAITER_IDLE)
        draw(w);
}

/* -------------------------------------------------------------------------- */

void lq_waiter_init(lq_waiter *w, lq_runtime *rt, lq_loop *loop, int worker,
                    size_t queue)
{
    w->rt = rt;
    w->loop = loop;
    w->worker = worker;
    w->queue = queue;
    w->state = LQ_WAITER_CLOSED;
}

static void open_link(lq_waiter *w)
{
    static const lq_link_events events = {link_up, link_down};

    if (!claim(w))
        return;
    if (lq_timer_new(&w->calm, w->loop, calm_over, w, NULL) ||
        w->rt->o.link_open(&w->link, w->loop, w->rt->o.broker, &events, w,
                           NULL)) {
        give_up(w); /* out of memory: the next turn tries again */
        lq_timer_close(w->calm);
        w->calm = NULL;
        return;
    }
    w->state = LQ_WAITER_OPENING;
    w->want = true;
}

void lq_waiter_arm(lq_waiter *w, bool take)
{
    switch (w->state) {
    case LQ_WAITER_CLOSED:
        open_link(w);
        break;
    case LQ_WAITER_OPENING: /* idle when its link was lost: nothing else says */
    case LQ_WAITER_DRAWING: /* so */
        w->want = true;
        break;
    case LQ_WAITER_IDLE:
        if (lq_timer_active(w->calm))
            break;
        if (w->wasted >= WASTED_MAX) {
            w->wasted = 0;
            lq_timer_start(w->calm, (int64_t)lq_random(CALM_MS + 1));
            break;
        }
        begin(w, take);
        break;
    case LQ_WAITER_WAITING:
    case LQ_WAITER_HOLDING:
    case LQ_WAITER_CLOSING:
        break;
    }
}

bool lq_waiter_takes(const lq_waiter *w)
{
    return (w->state == LQ_WAITER_WAITING && w->op.take) ||
           w->state == LQ_WAITER_HOLDING;
}

void lq_waiter_result(lq_waiter *w, bool got_task)
{
    if (!w->woken)
        return;
    w->woken = false;
    w->wasted = got_task ? 0 : w->wasted + 1;
}

/* ---- the end ------------------------------------------------------------- */

static void link_closed(void *ud)
{
    lq_waiter *w = ud;
    w->link = NULL;
    w->state = LQ_WAITER_CLOSED;
    if (w->tell)
        w->closed(w->ud);
    else
        w->idle(w->ud);
}

void lq_waiter_quiet(lq_waiter *w)
{
    if (w->state == LQ_WAITER_CLOSED || w->state == LQ_WAITER_CLOSING)
        return;
    if (w->state == LQ_WAITER_HOLDING) {
        spend(w, false);
        lq_op_release(&w->take.op);
    }
    w->state = LQ_WAITER_CLOSING;
    give_up(w);
    lq_timer_close(w->calm);
    w->calm = NULL;
    w->link->ops->close(w->link, link_closed, w);
}

bool lq_waiter_is_closed(const lq_waiter *w)
{
    return w->state == LQ_WAITER_CLOSED;
}

void lq_waiter_close(lq_waiter *w)
{
    w->tell = true;
    if (w->state == LQ_WAITER_CLOSED)
        w->closed(w->ud);
    else
        lq_waiter_quiet(w);
}
