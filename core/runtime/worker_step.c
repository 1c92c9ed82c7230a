/* A worker's steps with the broker: what is settled, what is taken, and what
 * waits for tasks in between. */
#include "runtime/worker_step.h"

#include "base/clock.h"
#include "runtime/control.h"
#include "runtime/parked.h"
#include "runtime/settle.h"
#include "runtime/tokens.h"
#include "runtime/worker_caps.h"
#include "runtime/worker_command.h"

#define WAITERS_MAX 16 /* more queues than this are polled */
#define POLL_MS 500
#define REST_MS 200     /* of a queue, half of it to one and a half */
#define REFUSED_MS 1000 /* between tries of what the broker refused */

/* 1: lq_worker_step(): settle and take … */
static void stepped(lq_op *op);                /* 2: … what the broker said */
static void settle_sent(lq_worker *w, int rc); /* 3: slots become free */
static void start_taken(lq_worker *, const lq_op_step *,
                        const size_t *); /* 4: and runs start → 1 */

/* ---- steps --------------------------------------------------------------- */

/* Its node did not answer a moment ago; the other queues do not wait for it. */
static bool is_resting(const lq_worker *w, size_t queue)
{
    return w->resting >> queue & 1;
}

static bool is_out_of_reach(int code)
{
    return code == LUNAQ_EBROKER || code == LUNAQ_EUNKNOWN ||
           code == LUNAQ_ECANCELED;
}

static void rest(lq_worker *w, size_t queue)
{
    w->resting |= (uint64_t)1 << queue;
    if (!lq_timer_active(w->rest_timer))
        lq_timer_start(w->rest_timer,
                       REST_MS / 2 + (int64_t)lq_random(REST_MS));
}

static void rested(void *ud)
{
    lq_worker *w = ud;
    for (size_t i = 0; i < w->rt->o.queue_count; i++)
        if (is_resting(w, i))
            w->queues[i].drained = false;
    w->resting = 0;
    lq_turn_arm(w->turn);
}

static size_t ready_total(const lq_worker *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->rt->o.queue_count; i++)
        if (!is_resting(w, i))
            n += w->queues[i].ready_count;
    return n;
}

/* Nothing can be taken, as far as is known. */
static bool all_drained(lq_worker *w)
{
    uint64_t paused = atomic_load(&w->rt->paused);
    for (size_t i = 0; i < w->rt->o.queue_count; i++)
        if (!w->queues[i].drained && !(paused >> i & 1) && !is_resting(w, i) &&
            !lq_worker_caps_full(w, i))
            return false;
    return true;
}

/* How many waiters may bring a task. */
static size_t taking(const lq_worker *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->rt->o.queue_count; i++)
        n += lq_waiter_takes(&w->queues[i].waiter);
    return n;
}

static void arm_waiters(lq_worker *w)
{
    uint64_t paused = atomic_load(&w->rt->paused);

    if (!w->taking || !w->link_up || w->free_count == 0 || w->closing)
        return;
    if (w->rt->o.queue_count > WAITERS_MAX) {
        if (!lq_timer_active(w->poll_timer))
            lq_timer_start(w->poll_timer,
                           POLL_MS / 2 + (int64_t)lq_random(POLL_MS));
        return;
    }
    for (size_t i = 0; i < w->rt->o.queue_count; i++)
        if (w->queues[i].drained && !(paused >> i & 1) && !is_resting(w, i) &&
            !lq_worker_caps_full(w, i))
            lq_waiter_arm(&w->queues[i].waiter,
                          !lq_queue_cap(w->rt, i) && w->free_count > taking(w));
}

static void poll_due(void *ud)
{
    lq_worker *w = ud;
    for (size_t i = 0; i < w->rt->o.queue_count; i++)
        w->queues[i].drained = false;
    lq_turn_arm(w->turn);
}

/* Fills the step's queues in the order of the plan: with ready outcomes, at
 * most LQ_BATCH_MAX in all, and with what is wanted, as far as caps allow.
 * Queues that can neither give nor be given anything are left out. */
static void fill_queues(lq_worker *w, const uint32_t *want)
{
    size_t at = 0, n = 0;
    for (size_t k = 0; k < w->rt->o.queue_count; k++) {
        size_t i = w->step_order[k], leaving = 0;
        lq_step_queue *sq = &w->step_queues[n];
        lq_worker_queue *q = &w->queues[i];
        *sq = (lq_step_queue){.name = lq_queue_name(w->rt, i),
                              .outcomes = w->step_outcomes + at};
        while (at < LQ_BATCH_MAX && !is_resting(w, i) &&
               !lq_list_empty(&q->ready)) {
            lq_slot *s = LQ_OF(lq_list_shift(&q->ready), lq_slot, node);
            q->ready_count--;
            w->ready_extra -= s->extra;
            w->sent_extra += s->extra;
            leaving += s->placed;
            s->state = LQ_SLOT_SENT;
            lq_list_append(&w->sent, &s->node);
            w->step_outcomes[at++] = &s->outcome;
            sq->outcome_count++;
            sq->extra += s->extra;
        }
        sq->most = lq_worker_caps_most(w, i, leaving);
        sq->capped = sq->most != UINT32_MAX;
        sq->want = want[i] < sq->most ? want[i] : sq->most;
        if (((sq->most == 0 && w->step.free > 0) || is_resting(w, i)) &&
            sq->outcome_count == 0)
            continue;
        w->step_order[n++] = i;
    }
    w->step.queue_count = n;
}

void lq_worker_step(lq_worker *w)
{
    lq_runtime *rt = w->rt;
    lq_weight weights[LQ_WEIGHTS_MAX];
    uint32_t want[LQ_WEIGHTS_MAX];
    uint64_t paused = atomic_load(&rt->paused);
    size_t ready = ready_total(w);
    /* Slots that this step settles are free when it takes, but for extra ones;
     * parked tasks go before. */
    size_t settling = ready < LQ_BATCH_MAX ? ready : LQ_BATCH_MAX;
    settling -= settling < w->ready_extra ? settling : w->ready_extra;
    size_t room = w->taking ? w->free_count + settling : 0;
    size_t parked = room ? lq_parked_startable(w) : 0;
    room -= room < parked ? room : parked;

    if (w->stepping || !w->link_up || w->reconciling ||
        lq_timer_active(w->retry_timer))
        return;
    if (room > LQ_BATCH_MAX)
        room = LQ_BATCH_MAX;
    if (ready == 0 && (room == 0 || all_drained(w))) {
        arm_waiters(w);
        return;
    }
    lq_worker_caps_reserve(w, (uint32_t)room);
    for (size_t i = 0; i < rt->o.queue_count; i++)
        weights[i] = (lq_weight){
            (uint32_t)rt->o.queues[i].weight,
            (paused >> i & 1) || is_resting(w, i) ||
                lq_worker_caps_most(w, i, w->queues[i].ready_count) == 0};
    lq_weights_plan(weights, rt->o.queue_count, (uint32_t)room, rt->o.strict,
                    lq_random, w->step_order, want);

    lq_op_init(&w->step.op, LQ_OP_STEP);
    w->step.op.done = stepped;
    w->step.op.ud = w;
    w->step.queues = w->step_queues;
    w->step.free = (uint32_t)room;
    w->step.token = w->token;
    w->step.lease_ms = rt->o.lease_ms;
    w->step.now_ms = lq_now_ms();
    w->sent_extra = 0;
    fill_queues(w, want);
    if (w->step.queue_count == 0) { /* others took the last places meanwhile */
        lq_worker_caps_return(w);
        return;
    }
    w->stepping = true;
    lq_loop_awake_until(w->loop, lq_spin_begin(&w->spin));
    lq_link_submit(w->link, &w->step.op);
}

static void back_to_ready(lq_worker *w, lq_slot *s)
{
    s->state = LQ_SLOT_READY;
    lq_list_append(&w->queues[s->queue].ready, &s->node);
    w->queues[s->queue].ready_count++;
    w->ready_extra += s->extra;
}

static void settle_sent(lq_worker *w, int rc)
{
    lq_list *node;
    while ((node = lq_list_shift(&w->sent)) != NULL) {
        lq_slot *s = LQ_OF(node, lq_slot, node);
        if (rc || s->outcome.code == LUNAQ_EFULL ||
            is_out_of_reach(s->outcome.code)) {
            back_to_ready(w, s);
            continue;
        }
        /* "Not ours" is an end as well: after an unknown send it means that the
         * first one arrived. */
        if (s->outcome.code && s->outcome.code != LUNAQ_ELEASE)
            LQ_LOG(w->rt->o.log, ERROR,
                   "outcome refused: the task's keys in the broker are damaged",
                   lq_fs("type", s->run.task.type),
                   lq_fs("task_id", s->run.task.id),
                   lq_fc("reason", lunaq_strerror(s->outcome.code)));
        lq_slot_settled(s);
    }
}

static void log_refused(lq_worker *w, const lq_step_queue *sq)
{
    if (sq->code && lq_log_gate(&w->rt->log_gate, 5000))
        LQ_LOG(w->rt->o.log, ERROR, "queue refused: not served",
               lq_fs("queue", sq->name), lq_fc("reason", sq->reason));
}

/* What each queue said; queues that gave all they were asked for may have
 * more. */
static uint64_t read_queues(lq_worker *w)
{
    uint64_t more = 0, paused = 0, asked = 0;
    bool got[LQ_QUEUES_MAX] = {false};

    for (size_t i = 0; i < w->step.taken_count; i++)
        got[w->step_order[w->step.taken[i].queue]] = true;
    for (size_t k = 0; k < w->step.queue_count; k++) {
        size_t i = w->step_order[k];
        lq_step_queue *sq = &w->step_queues[k];
        log_refused(w, sq);
        if (is_out_of_reach(sq->code))
            rest(w, i);
        if (w->step.free == 0)
            continue;
        asked |= (uint64_t)1 << i;
        if (sq->paused)
            paused |= (uint64_t)1 << i;
        w->queues[i].drained = sq->drained || sq->paused || sq->code;
        if (!w->queues[i].drained)
            more |= (uint64_t)1 << i;
        lq_waiter_result(&w->queues[i].waiter, got[i]);
    }
    if (w->step.free > 0)
        atomic_store(&w->rt->paused,
                     (atomic_load(&w->rt->paused) & ~asked) | paused);
    return more;
}

/* order: of the step's queues, as indexes among all. */
static void start_taken(lq_worker *w, const lq_op_step *from,
                        const size_t *order)
{
    for (size_t i = 0; i < from->taken_count; i++) {
        const lq_taken *t = &from->taken[i];
        if (t->bad) {
            LQ_LOG(w->rt->o.log, ERROR,
                   "task dropped from its queue: its key is unusable",
                   lq_fs("task_id", t->id), lq_fs("reason", t->msg));
            continue;
        }
        lq_list *node = lq_list_shift(&w->free_slots);
        if (!node)
            break; /* cannot be: no take is for more than are free */
        w->free_count--;
        lq_slot_run(LQ_OF(node, lq_slot, node), t, order[t->queue],
                    from->token);
    }
}

static void stepped(lq_op *op)
{
    lq_worker *w = op->ud;
    int rc = op->rc;

    w->stepping = false;
    lq_spin_end(&w->spin);
    lq_loop_awake_until(w->loop, 0);
    settle_sent(w, rc);
    if (rc == LUNAQ_OK) {
        uint64_t more = read_queues(w);
        start_taken(w, &w->step, w->step_order);
        if (more && w->free_count == 0)
            lq_control_kick_others(w->rt, w->index, more);
    } else if (w->connected && rc != LUNAQ_ECANCELED) {
        if (lq_log_gate(&w->rt->log_gate, 5000))
            LQ_LOG(w->rt->o.log, ERROR,
                   "broker refused; outcomes are kept and sent again",
                   lq_fc("reason", op->err.message));
        lq_timer_start(w->retry_timer, REFUSED_MS);
    }
    lq_op_release(op);
    w->step.taken = NULL;
    w->step.taken_count = 0;
    lq_worker_caps_return(w);
    for (size_t i = 0; i < w->rt->o.queue_count; i++)
        lq_waiter_offer(&w->queues[i].waiter);
    lq_turn_arm(w->turn);
}

static void retry_due(void *ud)
{
    lq_worker *w = ud;
    if (w->connected && !w->link_up)
        lq_tokens_begin(w);
    lq_turn_arm(w->turn);
}

size_t lq_worker_step_promised(const lq_worker *w)
{
    size_t settling = 0;
    if (!w->stepping)
        return 0;
    for (size_t k = 0; k < w->step.queue_count; k++)
        settling += w->step_queues[k].outcome_count;
    settling -= w->sent_extra;
    return w->step.free > settling ? w->step.free - settling : 0;
}

/* ---- waiters ------------------------------------------------------------- */

static void waiter_woke(void *ud, size_t queue)
{
    lq_worker *w = ud;
    if (w->free_count == 0) { /* full meanwhile: somebody else's turn */
        lq_control_kick_others(w->rt, w->index, (uint64_t)1 << queue);
        return;
    }
    w->queues[queue].drained = false;
    if (w->stepping)
        lq_turn_arm(w->turn);
    else
        lq_worker_step(w);
}

static enum lq_took waiter_took(void *ud, lq_waiter *waiter)
{
    lq_worker *w = ud;
    size_t i = waiter->queue;
    const lq_step_queue *sq = &waiter->take_queue;

    if (waiter->take.taken_count > 0 && !w->taking)
        return LQ_TOOK_NOT;
    if (waiter->take.taken_count + lq_worker_step_promised(w) > w->free_count)
        return w->stepping && w->taking ? LQ_TOOK_LATER : LQ_TOOK_NOT;
    log_refused(w, sq);
    if (sq->paused)
        atomic_fetch_or(&w->rt->paused, (uint64_t)1 << i);
    w->queues[i].drained = sq->drained || sq->paused || sq->code;
    start_taken(w, &waiter->take, &waiter->queue);
    lq_turn_arm(w->turn);
    return LQ_TOOK_RUNS;
}

static void waiter_spent(void *ud, uint32_t token, bool lost)
{
    lq_worker *w = ud;
    if (w->closing)
        w->unsure = true;
    else
        lq_tokens_spent(w, token, lost);
}

/* Passed on when we are full; the others may have been idle since before. */
static void waiter_idle(void *ud)
{
    lq_worker *w = ud;
    if (w->free_count == 0)
        lq_control_kick_others(w->rt, w->index, UINT64_MAX);
    lq_turn_arm(w->turn);
}

void lq_worker_step_waiter(lq_worker *w, size_t queue)
{
    lq_worker_queue *q = &w->queues[queue];
    lq_waiter_init(&q->waiter, w->rt, w->loop, (int)w->index, queue);
    q->waiter.woke = waiter_woke;
    q->waiter.took = waiter_took;
    q->waiter.spent = waiter_spent;
    q->waiter.idle = waiter_idle;
    q->waiter.closed = lq_worker_closed_one;
    q->waiter.ud = w;
}

/* ---- timers -------------------------------------------------------------- */

int lq_worker_step_init(lq_worker *w, lunaq_error *err)
{
    int rc = lq_timer_new(&w->retry_timer, w->loop, retry_due, w, err);
    if (!rc)
        rc = lq_timer_new(&w->poll_timer, w->loop, poll_due, w, err);
    if (!rc)
        rc = lq_timer_new(&w->rest_timer, w->loop, rested, w, err);
    return rc;
}

void lq_worker_step_close(lq_worker *w)
{
    lq_timer_close(w->retry_timer);
    lq_timer_close(w->poll_timer);
    lq_timer_close(w->rest_timer);
}
