/* A request names a task id; whichever worker runs it ends it. */
#include "runtime/listener.h"

#include "base/clock.h"
#include "runtime/control.h"
#include "runtime/worker.h"

#define AGAIN_MS 5000

static void listen_ended(lq_op *op);

static void heard(lq_op_listen *op, lq_str task_id)
{
    lq_listener *l = op->op.ud;
    lq_runtime *rt = l->control->rt;
    if (lq_str_starts(task_id, LQ_STR(LQ_ORDER_NOTE))) {
        lq_orders_heard(&l->control->orders, task_id);
        return;
    }
    if (lq_str_starts(task_id, LQ_STR(LQ_QUEUE_NOTE))) {
        lq_forwarder_look_now(&l->control->forwarder);
        return;
    }
    for (size_t i = 0; i < rt->o.worker_threads; i++)
        lq_worker_cancel(rt->workers[i], 0, task_id, LQ_CANCEL_REQUEST,
                         (lq_str){0});
}

static void listen_on(lq_listener *l)
{
    lq_op_init(&l->op.op, LQ_OP_LISTEN);
    l->op.op.done = listen_ended;
    l->op.op.ud = l;
    l->op.cancel = heard;
    lq_link_submit(l->link, &l->op.op);
}

static void listen_ended(lq_op *op)
{
    lq_listener *l = op->ud;
    /* A lost link listens again when it is up.  A refusal (some services do
     * not offer SUBSCRIBE) is no disaster: the renewal of a lease also tells
     * of a cancel. */
    if (l->up && !l->closing)
        lq_timer_start(l->again, AGAIN_MS);
    lq_op_release(op);
}

static void again(void *ud)
{
    lq_listener *l = ud;
    if (l->up && !l->closing)
        listen_on(l);
}

static void link_up(void *ud)
{
    lq_listener *l = ud;
    l->up = true;
    lq_timer_stop(l->again);
    listen_on(l);
}

static void link_down(void *ud, const lunaq_error *why)
{
    lq_listener *l = ud;
    (void)why;
    l->up = false;
}

int lq_listener_start(lq_listener *l, struct lq_control *c, lunaq_error *err)
{
    static const lq_link_events events = {link_up, link_down};
    l->control = c;
    int rc = lq_timer_new(&l->again, c->loop, again, l, err);
    if (rc)
        return rc;
    return c->rt->o.link_open(&l->link, c->loop, c->rt->o.broker, &events, l,
                              err);
}

void lq_listener_close(lq_listener *l, void (*closed)(void *ud), void *ud)
{
    l->closing = true;
    lq_timer_close(l->again);
    l->again = NULL;
    if (l->link)
        l->link->ops->close(l->link, closed, ud);
    else
        closed(ud);
}
