/* Who holds what: EXTEND, RECONCILE, EXPIRED, REPAIR, RESULT. */
#include "redis/keys.h"
#include "redis/rows.h"

#include <stdio.h>

extern const lq_script lq_script_extend, lq_script_reconcile, lq_script_expired,
    lq_script_repair, lq_script_result;

/* ---- EXTEND -------------------------------------------------------------- */

static uint32_t extend_count(lq_op *op)
{
    return ((lq_op_extend *)op)->count ? 1 : 0;
}

static int extend_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_extend *o = (const lq_op_extend *)op;
    (void)i;
    if (o->count > LQ_BATCH_MAX)
        return lq_fail(&op->err, LUNAQ_EINVAL,
                       "redis: extend: at most %d leases in one", LQ_BATCH_MAX);
    lq_cmd_script(c, &lq_script_extend, 1);
    lq_cmd_queue(c, o->queue, "lease");
    lq_cmd_queue(c, o->queue, "t:");
    lq_cmd_int(c, o->lease_ms);
    for (size_t k = 0; k < o->count; k++) {
        lq_cmd_str(c, o->items[k].id);
        lq_cmd_int(c, o->items[k].token);
    }
    return LUNAQ_OK;
}

static int extend_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_extend *o = (lq_op_extend *)op;
    (void)i;
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY ||
        lq_reply_count(reply) != o->count)
        return lq_redis_odd(op);
    for (size_t k = 0; k < o->count; k++) {
        const lq_reply *r = lq_reply_at(reply, k);
        lq_extend_item *item = &o->items[k];
        item->cancel = (lq_str){0};
        item->code = LUNAQ_OK;
        if (lq_reply_type(r) == LQ_REPLY_STRING) {
            if (!lq_redis_keep(op, lq_reply_str(r), &item->cancel))
                return lq_fail_nomem(&op->err);
        } else if (lq_reply_int(r, 0) != 1) {
            item->code = LUNAQ_ELEASE;
        }
    }
    return LUNAQ_OK;
}

const lq_redis_op lq_row_extend = {
    .count = extend_count, .build = extend_build, .parse = extend_parse};

/* ---- RECONCILE ----------------------------------------------------------- */

static int reconcile_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_reconcile *o = (const lq_op_reconcile *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_reconcile, 7);
    lq_cmd_queue(c, o->queue, "active");
    lq_cmd_queue(c, o->queue, "lease");
    lq_cmd_queue(c, o->queue, "pending");
    lq_cmd_queue(c, o->queue, "archived");
    lq_cmd_own(c, o->queue, "dropped");
    lq_cmd_own(c, o->queue, "limits");
    lq_cmd_own(c, o->queue, "untold");
    lq_cmd_queue(c, o->queue, "t:");
    lq_cmd_int(c, o->old_token);
    for (size_t k = 0; k < o->held_count; k++)
        lq_cmd_str(c, o->held[k]);
    return LUNAQ_OK;
}

static int reconcile_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_reconcile *o = (lq_op_reconcile *)op;
    (void)i;
    o->returned = lq_reply_int(reply, -1);
    return o->returned < 0 ? lq_redis_odd(op) : LUNAQ_OK;
}

const lq_redis_op lq_row_reconcile = {.build = reconcile_build,
                                      .parse = reconcile_parse};

/* ---- EXPIRED ------------------------------------------------------------- */

static int expired_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_expired *o = (const lq_op_expired *)op;
    size_t limit = o->limit < LQ_BATCH_MAX ? o->limit : LQ_BATCH_MAX;
    (void)i;
    lq_cmd_script(c, &lq_script_expired, 1);
    lq_cmd_queue(c, o->queue, "lease");
    lq_cmd_queue(c, o->queue, "t:");
    lq_cmd_int(c, (int64_t)limit);
    return LUNAQ_OK;
}

static int expired_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    enum { FIELDS = 6 };
    lq_op_expired *o = (lq_op_expired *)op;
    (void)i;
    o->items = NULL;
    o->count = 0;
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY ||
        lq_reply_count(reply) % FIELDS != 1)
        return lq_redis_odd(op);
    size_t count = lq_reply_count(reply) / FIELDS;
    o->next_ms = lq_reply_int(lq_reply_at(reply, 0), -1);
    if (count == 0)
        return LUNAQ_OK;
    o->items = lq_arena_alloc(&op->mem, count * sizeof(*o->items));
    if (!o->items)
        return lq_fail_nomem(&op->err);
    for (size_t k = 0; k < count; k++) {
        const lq_reply *r[FIELDS];
        for (size_t f = 0; f < FIELDS; f++)
            r[f] = lq_reply_at(reply, 1 + k * FIELDS + f);
        lq_expired *e = &o->items[k];
        lq_str msg = lq_reply_str(r[3]), cancel = lq_reply_str(r[5]);
        snprintf(e->score, sizeof(e->score), "%.*s",
                 LQ_STR_ARG(lq_reply_str(r[1])));
        e->token = (uint32_t)lq_reply_int(r[2], 0);
        e->crashes = (int32_t)lq_reply_int(r[4], 0);
        if (!lq_redis_keep(op, lq_reply_str(r[0]), &e->id) ||
            (msg.p && !lq_redis_keep(op, msg, &e->msg)) ||
            (cancel.p && !lq_redis_keep(op, cancel, &e->cancel)))
            return lq_fail_nomem(&op->err);
    }
    o->count = count;
    return LUNAQ_OK;
}

const lq_redis_op lq_row_expired = {.build = expired_build,
                                    .parse = expired_parse};

/* ---- REPAIR -------------------------------------------------------------- */

static int repair_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_repair *o = (const lq_op_repair *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_repair, 2);
    lq_cmd_queue(c, o->queue, "active");
    lq_cmd_queue(c, o->queue, "lease");
    lq_cmd_queue(c, o->queue, "t:");
    return LUNAQ_OK;
}

static int repair_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_repair *o = (lq_op_repair *)op;
    (void)i;
    o->leased = lq_reply_int(lq_reply_at(reply, 0), -1);
    o->dropped = lq_reply_int(lq_reply_at(reply, 1), -1);
    return o->leased < 0 || o->dropped < 0 ? lq_redis_odd(op) : LUNAQ_OK;
}

const lq_redis_op lq_row_repair = {.build = repair_build,
                                   .parse = repair_parse};

/* ---- RESULT -------------------------------------------------------------- */

static int result_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_result *o = (const lq_op_result *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_result, 2);
    lq_cmd_queue(c, o->queue, "lease");
    lq_cmd_queue_of(c, o->queue, "t:", o->id);
    lq_cmd_str(c, o->id);
    lq_cmd_int(c, o->token);
    lq_cmd_str(c, o->data);
    return LUNAQ_OK;
}

static int result_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    const lq_op_result *o = (const lq_op_result *)op;
    (void)i;
    switch (lq_reply_int(reply, -1)) {
    case 1:
        return LUNAQ_OK;
    case 0:
        return lq_fail(&op->err, LUNAQ_ELEASE,
                       "redis: result: task %.*s is no longer ours",
                       LQ_STR_ARG(o->id));
    default:
        return lq_redis_odd(op);
    }
}

const lq_redis_op lq_row_result = {.build = result_build,
                                   .parse = result_parse};
