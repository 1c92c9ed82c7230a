/* Queue by queue, a batch at a time, and no more than workers tell of. */
#include "runtime/teller.h"

#include "runtime/archived.h"
#include "runtime/control.h"

#define ROUND_MS 2000

/* A note that is taken is told of or lost: not when the hook may find no worker
 * any more, nor when others wait for one. */
static bool can_tell(const lq_teller *t)
{
    const lq_control *c = t->control;
    const lq_handler_source *source = &c->rt->o.source;
    return c->link_up && lq_phase(c->rt) < LQ_PHASE_QUIET &&
           lq_list_empty(&c->internal.waiting) && source->archived &&
           source->archived(source->ud);
}

static void take_next(lq_teller *t);

static void taken(lq_op *op)
{
    lq_teller *t = op->ud;
    lq_runtime *rt = t->control->rt;
    if (op->rc && op->rc != LUNAQ_EBROKER && op->rc != LUNAQ_EUNKNOWN &&
        op->rc != LUNAQ_ECANCELED && lq_log_gate(&rt->log_gate, 5000))
        LQ_LOG(rt->o.log, ERROR,
               "cannot look for tasks that were canceled: no on_archive is "
               "called for them",
               lq_fs("queue", t->take.queue), lq_fc("reason", op->err.message));
    for (size_t i = 0; op->rc == LUNAQ_OK && i < t->take.count; i++) {
        const lq_untold *u = &t->take.items[i];
        lq_archived_away(t->control, t->take.queue, u->id, u->msg, u->error,
                         "canceled");
    }
    if (op->rc || !t->take.more)
        t->queue++;
    lq_op_release(op);
    take_next(t);
}

static void take_next(lq_teller *t)
{
    lq_runtime *rt = t->control->rt;
    if (t->queue == rt->o.queue_count || !can_tell(t)) {
        lq_periodic_over(&t->round);
        return;
    }
    lq_op_init(&t->take.op, LQ_OP_UNTOLD);
    t->take.op.done = taken;
    t->take.op.ud = t;
    t->take.queue = lq_queue_name(rt, t->queue);
    lq_link_submit(t->control->link, &t->take.op);
}

static void round_due(void *ud)
{
    lq_teller *t = ud;
    t->queue = 0;
    take_next(t);
}

int lq_teller_start(lq_teller *t, struct lq_control *c, lunaq_error *err)
{
    t->control = c;
    return lq_periodic_start(&t->round, c->loop, ROUND_MS, ROUND_MS, round_due,
                             t, err);
}

void lq_teller_stop(lq_teller *t)
{
    lq_periodic_stop(&t->round);
}
