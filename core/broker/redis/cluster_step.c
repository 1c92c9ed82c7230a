/* STEP in a cluster: a call a queue.
 *
 * First, at once, every queue's outcomes with as many tasks as are wanted of
 * it and certainly have a slot; then, at once, what else is wanted; then, while
 * there is room, what is left is asked of one queue after the other, so that no
 * more is taken than there are free slots.  A queue whose
 * node does not answer has its code; the others are served.
 */
#include "redis/cluster_rows.h"
#include "redis/rows.h"

#include <stdio.h>

struct call {
    size_t queue;
    uint32_t take;
    uint32_t from_left; /* of these: slots that are free whatever is settled */
    bool settles;       /* the first of its queue, with its outcomes */
};

/* A slot that an outcome leaves is free only once that is settled; when the
 * outcome's node is out of reach it is not.  So the first calls take no more
 * than there are slots without outcomes, and what their own outcomes leave. */
struct plan {
    struct call *calls;
    uint32_t *asked; /* per queue: in all calls, less what it did not have */
    uint32_t count;
    uint32_t left;   /* free slots that nothing was asked for yet */
    uint32_t most;   /* that may be asked for, all in all */
    bool wanted;     /* the second round was begun */
    size_t next;     /* queue of the third */
    uint32_t lost;   /* calls without an answer … */
    lunaq_error why; /* … and why, of the last of them */
};

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Slots that are free once a queue's outcomes are settled. */
static uint32_t leaves(const lq_step_queue *q)
{
    return q->outcome_count > q->extra ? (uint32_t)(q->outcome_count - q->extra)
                                       : 0;
}

static void add_call(const lq_op_step *s, struct plan *p, size_t q,
                     uint32_t take, bool settles)
{
    uint32_t own = settles ? leaves(&s->queues[q]) : 0;
    take = least(least(take, own + p->left), p->most);
    struct call *call = &p->calls[p->count++];
    *call = (struct call){q, take, take > own ? take - own : 0, settles};
    p->left -= call->from_left;
    p->most -= take;
    p->asked[q] += take;
}

static uint32_t step_more(lq_op *op);

static uint32_t step_count(lq_op *op)
{
    lq_op_step *s = (lq_op_step *)op;
    uint32_t left_free = 0;
    s->taken = NULL;
    s->taken_count = 0;
    if (s->queue_count == 0)
        return 0;
    struct plan *p = lq_arena_alloc(&op->mem, sizeof(*p));
    if (p)
        p->calls =
            lq_arena_alloc(&op->mem, 3 * s->queue_count * sizeof(*p->calls));
    if (p && p->calls)
        p->asked = lq_arena_alloc(&op->mem, s->queue_count * sizeof(*p->asked));
    if (!p || !p->calls || !p->asked)
        return 1; /* without a plan its build says so */
    op->plan = p;
    for (size_t q = 0; q < s->queue_count; q++)
        left_free += leaves(&s->queues[q]);
    p->most = s->free;
    p->left = s->free > left_free ? s->free - left_free : 0;
    for (size_t q = 0; q < s->queue_count; q++) {
        s->queues[q].code = LUNAQ_OK;
        s->queues[q].reason[0] = 0;
        s->queues[q].paused = s->queues[q].drained = false;
        if (s->queues[q].outcome_count || least(s->queues[q].want, p->left))
            add_call(s, p, q, s->queues[q].want, true);
    }
    if (!p->count) /* nothing is wanted of any: see what there is */
        step_more(op);
    if (!p->count)
        add_call(s, p, 0, 0, true);
    return p->count;
}

/* The step of one call, over a copy of its queue. */
static lq_op_step part_of(const lq_op_step *s, const struct call *call,
                          lq_step_queue *queue)
{
    lq_op_step part = *s;
    *queue = s->queues[call->queue];
    queue->want = call->take;
    queue->capped = false; /* `take` is within its cap */
    if (!call->settles)
        queue->outcome_count = 0;
    part.queues = queue;
    part.queue_count = 1;
    part.free = call->take;
    part.taken = NULL;
    part.taken_count = 0;
    return part;
}

static int step_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    lq_op_step *s = (lq_op_step *)op;
    const struct plan *p = op->plan;
    lq_step_queue queue;
    size_t outcomes = 0;
    if (!p)
        return lq_fail_nomem(&op->err);
    for (size_t q = 0; q < s->queue_count; q++)
        outcomes += s->queues[q].outcome_count;
    if (i == 0 && (s->queue_count > LQ_QUEUES_MAX || s->free > LQ_BATCH_MAX ||
                   outcomes > LQ_BATCH_MAX))
        return lq_fail(&op->err, LUNAQ_EINVAL,
                       "redis: step: at most %d queues, %d outcomes and %d "
                       "tasks in one",
                       LQ_QUEUES_MAX, LQ_BATCH_MAX, LQ_BATCH_MAX);
    lq_op_step part = part_of(s, &p->calls[i], &queue);
    int rc = lq_row_step.build(&part.op, 0, c);
    if (rc)
        op->err = part.op.err;
    return rc;
}

/* A queue that was not served: the reason is its own. */
static void refuse(lq_op_step *s, const struct call *call,
                   const lunaq_error *why)
{
    lq_step_queue *queue = &s->queues[call->queue];
    queue->code = why->code;
    snprintf(queue->reason, sizeof(queue->reason), "%.*s",
             (int)sizeof(queue->reason) - 1, why->message);
    for (size_t k = 0; call->settles && k < queue->outcome_count; k++)
        queue->outcomes[k]->code = why->code;
}

/* Nothing of a call was carried out. */
static void give_back(struct plan *p, const struct call *call)
{
    p->left += call->from_left;
    p->most += call->take;
    p->asked[call->queue] -= call->take;
}

static int take_over(lq_op_step *s, const lq_op_step *part, size_t queue)
{
    if (!part->taken_count)
        return LUNAQ_OK;
    if (!s->taken)
        s->taken = lq_arena_alloc(&s->op.mem, (LQ_BATCH_MAX + s->queue_count) *
                                                  2 * sizeof(*s->taken));
    if (!s->taken)
        return lq_fail_nomem(&s->op.err);
    for (size_t k = 0; k < part->taken_count; k++) {
        s->taken[s->taken_count] = part->taken[k];
        s->taken[s->taken_count++].queue = queue;
    }
    return LUNAQ_OK;
}

static int step_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_step *s = (lq_op_step *)op;
    struct plan *p = op->plan;
    const struct call *call = &p->calls[i];
    lq_step_queue queue;
    if (lq_reply_type(reply) == LQ_REPLY_ERROR) {
        lq_redis_error(&p->why, "step", reply);
        refuse(s, call, &p->why);
        p->lost++;
        give_back(p, call);
        return LUNAQ_OK;
    }
    lq_op_step part = part_of(s, call, &queue);
    int rc = lq_row_step.parse(&part.op, 0, reply);
    op->mem = part.op.mem;
    if (rc) {
        op->err = part.op.err;
        return rc;
    }
    lq_step_queue *whole = &s->queues[call->queue];
    whole->paused = queue.paused;
    whole->drained = queue.drained;
    whole->code = queue.code;
    memcpy(whole->reason, queue.reason, sizeof(whole->reason));
    uint32_t good = 0;
    for (size_t k = 0; k < part.taken_count; k++)
        good += !part.taken[k].bad;
    p->left += call->from_left + (call->settles ? leaves(whole) : 0) - good;
    p->most += call->take - good;
    p->asked[call->queue] -= call->take - good;
    return take_over(s, &part, call->queue);
}

/* How many of a queue may still be asked for. */
static uint32_t open_of(const lq_op_step *s, const struct plan *p, size_t q)
{
    const lq_step_queue *queue = &s->queues[q];
    uint32_t most = least(p->left, p->most);
    if (queue->paused || queue->drained || queue->code)
        return 0;
    return queue->capped ? least(most, queue->most - p->asked[q]) : most;
}

static uint32_t step_more(lq_op *op)
{
    const lq_op_step *s = (const lq_op_step *)op;
    struct plan *p = op->plan;
    uint32_t before = p->count, take;
    for (size_t q = 0; !p->wanted && q < s->queue_count; q++) {
        uint32_t want = s->queues[q].want;
        take = want > p->asked[q] ? want - p->asked[q] : 0;
        take = least(take, open_of(s, p, q));
        if (take)
            add_call(s, p, q, take, false);
    }
    p->wanted = true;
    while (p->count == before && p->next < s->queue_count) {
        size_t q = p->next++;
        if ((take = open_of(s, p, q)) > 0)
            add_call(s, p, q, take, false);
    }
    return p->count - before;
}

static int step_lost(lq_op *op, uint32_t i, const lunaq_error *why)
{
    struct plan *p = op->plan;
    if (!p)
        return why->code;
    refuse((lq_op_step *)op, &p->calls[i], why);
    p->lost++;
    p->why = *why;
    if (why->code == LUNAQ_EBROKER) /* nothing of it was taken */
        give_back(p, &p->calls[i]);
    return LUNAQ_OK;
}

static int step_end(lq_op *op)
{
    const struct plan *p = op->plan;
    if (op->rc || !p || !p->lost || p->lost < p->count)
        return op->rc;
    return lq_fail(&op->err, p->why.code, "%s", p->why.message);
}

const lq_redis_op lq_cluster_row_step = {.count = step_count,
                                         .build = step_build,
                                         .parse = step_parse,
                                         .more = step_more,
                                         .lost = step_lost,
                                         .end = step_end,
                                         .errors = true};
