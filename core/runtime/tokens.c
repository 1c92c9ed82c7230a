/* Drawing tokens and reconciling. */
#include "runtime/tokens.h"

#include "base/clock.h"
#include "runtime/control.h"
#include "runtime/worker.h"
#include "runtime/worker_slots.h"

#define ROUNDS 4 /* one before the first step, three later */
#define REFUSED_MS 1000

static void token_drawn(lq_op *op);
static void reconcile_next(lq_worker *w);
static void reconciled(lq_op *op);

void lq_tokens_begin(lq_worker *w)
{
    lq_op_init(&w->token_op.op, LQ_OP_TOKEN);
    w->token_op.op.done = token_drawn;
    w->token_op.op.ud = w;
    w->token_op.server_id = lq_str_c(w->rt->server_id);
    lq_link_submit(w->link, &w->token_op.op);
}

static void token_drawn(lq_op *op)
{
    lq_worker *w = op->ud;
    int rc = op->rc;

    if (rc && !w->connected) {
        lq_op_release(op);
        return; /* the link comes up again and we begin anew */
    }
    if (rc) {
        if (lq_log_gate(&w->rt->log_gate, 5000))
            LQ_LOG(w->rt->o.log, ERROR, "no lease token: nothing is taken yet",
                   lq_fc("reason", op->err.message));
        lq_op_release(op);
        lq_timer_start(w->retry_timer, REFUSED_MS);
        return;
    }
    w->token = w->token_op.token;
    atomic_store(&w->current_token, w->token);
    lq_op_release(op);
    w->link_up = true;
    for (size_t i = 0; i < w->rt->o.queue_count; i++)
        w->queues[i].drained = false;
    lq_control_link_up(w->rt);
    lq_tokens_reconcile(w);
}

static void add_old(lq_worker *w, uint32_t token, bool lost)
{
    size_t at = 0; /* the one with the fewest rounds left makes room */
    for (size_t i = 1; i < LQ_OLD_TOKENS; i++)
        if (w->old[i].rounds < w->old[at].rounds)
            at = i;
    w->old[at] = (lq_old_token){
        .token = token,
        .rounds = lost ? ROUNDS : 1,
        .lost = lost,
        .unsure = true,
    };
}

void lq_tokens_lost(lq_worker *w)
{
    w->link_up = false;
    /* Only a take under way can have given us tasks that we do not know of. */
    if (w->token && w->stepping && w->step.free > 0)
        add_old(w, w->token, true);
    w->token = 0;
    atomic_store(&w->current_token, 0);
}

void lq_tokens_spent(lq_worker *w, uint32_t token, bool lost)
{
    add_old(w, token, lost);
    lq_tokens_reconcile(w); /* or when the link is up, or this one is over */
}

bool lq_tokens_unsure(const lq_worker *w)
{
    for (size_t i = 0; i < LQ_OLD_TOKENS; i++)
        if (w->old[i].rounds > 0 && w->old[i].unsure)
            return true;
    return false;
}

void lq_tokens_reconcile(void *worker)
{
    lq_worker *w = worker;
    if (!w->link_up || w->reconciling || w->closing)
        return;
    w->reconciling = true;
    for (size_t i = 0; i < LQ_OLD_TOKENS; i++)
        w->old[i].listed = w->old[i].rounds > 0;
    w->reconcile_at = 0;
    reconcile_next(w);
}

/* What we hold of one queue by one token. */
static bool list_held(lq_worker *w, size_t queue, uint32_t token, size_t *count)
{
    size_t n = 0;
    if (!w->reconcile_held)
        w->reconcile_held = lq_calloc(w->slot_count + LQ_SPARE_SLOTS,
                                      sizeof(*w->reconcile_held));
    if (!w->reconcile_held)
        return false;
    for (size_t i = 0; i < lq_worker_slots_count(w); i++) {
        const lq_slot *s = lq_worker_slot(w, i);
        if (s->state != LQ_SLOT_FREE && s->queue == queue &&
            s->run.token == token)
            w->reconcile_held[n++] = s->run.task.id;
    }
    *count = n;
    return true;
}

static void rounds_over(lq_worker *w)
{
    int64_t again_ms = -1;
    for (size_t i = 0; i < LQ_OLD_TOKENS; i++) {
        lq_old_token *old = &w->old[i];
        if (old->listed) {
            old->rounds--;
            old->unsure = false;
        }
        if (old->rounds > 0 && old->unsure) /* it came during the round */
            again_ms = 0;
        else if (old->rounds > 0 && again_ms < 0)
            again_ms = w->rt->o.lease_ms / 6;
    }
    w->reconciling = false;
    if (again_ms >= 0)
        lq_timer_start(w->reconcile_timer, again_ms);
    lq_turn_arm(w->turn);
}

static void reconcile_next(lq_worker *w)
{
    size_t queues = w->rt->o.queue_count, held = 0;

    while (w->reconcile_at < LQ_OLD_TOKENS * queues &&
           !w->old[w->reconcile_at / queues].listed)
        w->reconcile_at += queues;
    if (w->reconcile_at >= LQ_OLD_TOKENS * queues) {
        rounds_over(w);
        return;
    }
    uint32_t token = w->old[w->reconcile_at / queues].token;
    size_t queue = w->reconcile_at % queues;
    if (!list_held(w, queue, token, &held)) {
        w->reconciling = false;
        lq_timer_start(w->reconcile_timer, REFUSED_MS);
        return;
    }
    lq_op_reconcile *op = &w->reconcile_op;
    lq_op_init(&op->op, LQ_OP_RECONCILE);
    op->op.done = reconciled;
    op->op.ud = w;
    op->queue = lq_queue_name(w->rt, queue);
    op->old_token = token;
    op->held = w->reconcile_held;
    op->held_count = held;
    lq_link_submit(w->link, &op->op);
}

static void reconciled(lq_op *op)
{
    lq_worker *w = op->ud;
    int rc = op->rc;

    if (rc == LUNAQ_OK && w->reconcile_op.returned > 0 &&
        w->old[w->reconcile_at / w->rt->o.queue_count].lost)
        LQ_LOG(w->rt->o.log, WARN,
               "a lost reply had given us tasks: returned to their queue",
               lq_fs("queue", w->reconcile_op.queue),
               lq_fi("tasks", w->reconcile_op.returned));
    if (rc && w->connected && lq_log_gate(&w->rt->log_gate, 5000))
        LQ_LOG(w->rt->o.log, ERROR, "cannot reconcile",
               lq_fc("reason", op->err.message));
    lq_op_release(op);
    if (rc == LUNAQ_EBROKER || rc == LUNAQ_EUNKNOWN || rc == LUNAQ_ECANCELED) {
        w->reconciling = false; /* comes again with the next link, … */
        if (w->connected)       /* … or soon, when it was refused */
            lq_timer_start(w->reconcile_timer, REFUSED_MS);
        return;
    }
    w->reconcile_at++;
    reconcile_next(w);
}
