/* One waiter: a connection that blocks until its queue has a task. */
#include "runtime/waiter.h"

#include "base/clock.h"

#define WAIT_MS 5000
#define CALM_MS 20 /* after two wakes for nothing: up to so long */
#define WASTED_MAX 2

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

static void waited(lq_op *op)
{
    lq_waiter *w = op->ud;
    bool woke = op->rc == LUNAQ_OK && w->op.woke;

    lq_op_release(op);
    give_up(w);
    if (w->state == LQ_WAITER_CLOSING)
        return;
    if (op->rc && w->connected) {
        /* The broker refuses to wait (a wrong key type, out of memory, a
         * replica): look again later instead. */
        w->state = LQ_WAITER_IDLE;
        lq_timer_start(w->calm, 500 + (int64_t)lq_random(200));
        return;
    }
    if (op->rc) {
        w->state = LQ_WAITER_OPENING; /* the link reconnects by itself */
        w->want = true;
        return;
    }
    w->state = LQ_WAITER_IDLE;
    w->woken = woke;
    if (woke)
        w->woke(w->ud, w->queue);
    else
        w->idle(w->ud);
}

static void begin(lq_waiter *w)
{
    if (!claim(w))
        return;
    w->want = false;
    w->state = LQ_WAITER_WAITING;
    lq_op_init(&w->op.op, LQ_OP_WAIT);
    w->op.op.done = waited;
    w->op.op.ud = w;
    w->op.queue = lq_queue_name(w->rt, w->queue);
    w->op.timeout_ms = WAIT_MS;
    lq_link_submit(w->link, &w->op.op);
}

static void link_up(void *ud)
{
    lq_waiter *w = ud;
    w->connected = true;
    if (w->state != LQ_WAITER_OPENING)
        return;
    w->state = LQ_WAITER_IDLE;
    if (w->want)
        begin(w);
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
    if (w->state == LQ_WAITER_IDLE)
        w->idle(w->ud);
}

void lq_waiter_init(lq_waiter *w, lq_runtime *rt, lq_loop *loop, int worker,
                    size_t queue)
{
    w->rt = rt;
    w->loop = loop;
    w->worker = worker;
    w->queue = queue;
    w->state = LQ_WAITER_CLOSED;
}

void lq_waiter_arm(lq_waiter *w)
{
    static const lq_link_events events = {link_up, link_down};

    if (w->state == LQ_WAITER_CLOSED) {
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
    } else if (w->state == LQ_WAITER_OPENING) {
        w->want = true; /* idle when its link was lost: nothing else says so */
    } else if (w->state == LQ_WAITER_IDLE && !lq_timer_active(w->calm)) {
        if (w->wasted >= WASTED_MAX) {
            w->wasted = 0;
            lq_timer_start(w->calm, (int64_t)lq_random(CALM_MS + 1));
            return;
        }
        begin(w);
    }
}

void lq_waiter_result(lq_waiter *w, bool got_task)
{
    if (!w->woken)
        return;
    w->woken = false;
    w->wasted = got_task ? 0 : w->wasted + 1;
}

static void link_closed(void *ud)
{
    lq_waiter *w = ud;
    w->link = NULL;
    w->state = LQ_WAITER_CLOSED;
    w->closed(w->ud);
}

void lq_waiter_close(lq_waiter *w)
{
    if (w->state == LQ_WAITER_CLOSED) {
        w->closed(w->ud);
        return;
    }
    if (w->state == LQ_WAITER_CLOSING)
        return;
    w->state = LQ_WAITER_CLOSING;
    give_up(w);
    lq_timer_close(w->calm);
    w->calm = NULL;
    w->link->ops->close(w->link, link_closed, w);
}
