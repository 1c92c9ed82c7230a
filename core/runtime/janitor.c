/* Queue by queue, a batch at a time: what outlived its retention, and what is
 * over the queue's limits, which it makes known to all who archive. */
#include "runtime/janitor.h"

#include "runtime/control.h"

#define ROUND_MS 8000

static void clean_next(lq_janitor *j);

static void cleaned(lq_op *op)
{
    lq_janitor *j = op->ud;
    if (op->rc || !j->op.more)
        j->queue++;
    lq_op_release(op);
    clean_next(j);
}

static void clean_next(lq_janitor *j)
{
    lq_runtime *rt = j->control->rt;
    if (j->queue == rt->o.queue_count || !j->control->link_up) {
        lq_periodic_over(&j->round);
        return;
    }
    lq_op_init(&j->op.op, LQ_OP_CLEAN);
    j->op.op.done = cleaned;
    j->op.op.ud = j;
    j->op.queue = lq_queue_name(rt, j->queue);
    j->op.limits = rt->o.settings ? &rt->o.settings[j->queue].limits : NULL;
    lq_link_submit(j->control->link, &j->op.op);
}

static void round_due(void *ud)
{
    lq_janitor *j = ud;
    j->queue = 0;
    clean_next(j);
}

int lq_janitor_start(lq_janitor *j, struct lq_control *c, lunaq_error *err)
{
    j->control = c;
    return lq_periodic_start(&j->round, c->loop, ROUND_MS, ROUND_MS, round_due,
                             j, err);
}

void lq_janitor_stop(lq_janitor *j)
{
    lq_periodic_stop(&j->round);
}
