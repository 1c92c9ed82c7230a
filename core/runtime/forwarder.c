/* Looking once a second, and moving what is due. */
#include "runtime/forwarder.h"

#include "base/clock.h"
#include "runtime/aggregator.h"
#include "runtime/control.h"
#include "runtime/worker.h"

#define AFTER_SECOND_MS 2 /* clocks of one machine agree better than that */

static void look(void *ud);
static void looked(lq_op *op);
static void forward_next(lq_forwarder *f);
static void forwarded(lq_op *op);

static int64_t until_next_second(void)
{
    return 1000 - lq_now_ms() % 1000 + AFTER_SECOND_MS;
}

static void look(void *ud)
{
    lq_forwarder *f = ud;
    lq_runtime *rt = f->control->rt;

    if (!f->control->link_up) {
        lq_periodic_over_in(&f->look, until_next_second());
        return;
    }
    for (size_t i = 0; i < rt->o.queue_count; i++)
        f->peeks[i] = (lq_peek){.queue = lq_queue_name(rt, i)};
    f->asked_ms = lq_mono_ms();
    lq_op_init(&f->peek.op, LQ_OP_PEEK);
    f->peek.op.done = looked;
    f->peek.op.ud = f;
    f->peek.queues = f->peeks;
    f->peek.count = rt->o.queue_count;
    lq_link_submit(f->control->link, &f->peek.op);
}

/* What other threads want to know of a look: which queues are paused, and where
 * something is pending though nobody may have been woken for it. */
static void publish(lq_forwarder *f)
{
    lq_runtime *rt = f->control->rt;
    uint64_t paused = 0, pending = 0;

    for (size_t i = 0; i < rt->o.queue_count; i++) {
        uint64_t bit = (uint64_t)1 << i;
        if (f->peeks[i].paused)
            paused |= bit;
        else if (f->peeks[i].pending > 0)
            pending |= bit;
    }
    uint64_t before = atomic_exchange(&rt->paused, paused);
    if (pending || before != paused)
        lq_control_kick_others(rt, SIZE_MAX, pending | (before & ~paused));
}

static void looked(lq_op *op)
{
    lq_forwarder *f = op->ud;
    lq_runtime *rt = f->control->rt;
    int64_t soonest = -1;
    bool any = false;

    lq_control_replied(f->control, f->asked_ms);
    if (op->rc == LUNAQ_OK) {
        publish(f);
        lq_aggregator_looked(&f->control->aggregator, f->peeks);
        for (size_t i = 0; i < rt->o.queue_count; i++) {
            int64_t next = f->peeks[i].next_ms;
            f->due_now[i] = next == 0;
            any = any || next == 0;
            if (next > 0 && (soonest < 0 || next < soonest))
                soonest = next;
        }
    }
    lq_op_release(op);
    if (soonest > 0 && soonest < 2000)
        lq_timer_start(f->due, soonest + 1);
    if (any && !f->forwarding) {
        f->forwarding = true;
        f->at = 0;
        forward_next(f);
    }
    lq_periodic_over_in(&f->look, f->again ? 0 : until_next_second());
    f->again = false;
}

void lq_forwarder_look_now(lq_forwarder *f)
{
    if (f->look.running) /* it may have been asked before */
        f->again = true;
    else
        lq_periodic_now(&f->look);
}

static void due(void *ud)
{
    lq_periodic_now(&((lq_forwarder *)ud)->look);
}

static void forward_next(lq_forwarder *f)
{
    lq_runtime *rt = f->control->rt;

    while (f->at < rt->o.queue_count && !f->due_now[f->at])
        f->at++;
    if (f->at == rt->o.queue_count || !f->control->link_up) {
        f->forwarding = false;
        return;
    }
    lq_op_init(&f->forward.op, LQ_OP_FORWARD);
    f->forward.op.done = forwarded;
    f->forward.op.ud = f;
    f->forward.queue = lq_queue_name(rt, f->at);
    lq_link_submit(f->control->link, &f->forward.op);
}

static void forwarded(lq_op *op)
{
    lq_forwarder *f = op->ud;
    lq_runtime *rt = f->control->rt;

    /* The same queue again while more is due; a refusal waits for the next
     * look. */
    if (op->rc || f->forward.next_ms != 0 || f->forward.moved == 0) {
        if (op->rc && op->rc != LUNAQ_EBROKER && op->rc != LUNAQ_EUNKNOWN &&
            op->rc != LUNAQ_ECANCELED && lq_log_gate(&rt->log_gate, 5000))
            LQ_LOG(rt->o.log, ERROR, "cannot forward due tasks",
                   lq_fs("queue", f->forward.queue),
                   lq_fc("reason", op->err.message));
        f->due_now[f->at] = false;
    }
    lq_op_release(op);
    forward_next(f);
}

int lq_forwarder_start(lq_forwarder *f, struct lq_control *c, lunaq_error *err)
{
    f->control = c;
    int rc = lq_timer_new(&f->due, c->loop, due, f, err);
    if (rc)
        return rc;
    return lq_periodic_start(&f->look, c->loop, 0, 1000, look, f, err);
}

void lq_forwarder_stop(lq_forwarder *f)
{
    lq_periodic_stop(&f->look);
    lq_timer_close(f->due);
    f->due = NULL;
}
