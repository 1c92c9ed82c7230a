/* What comes due, is called off or looked over: FORWARD, CLEAN, CANCEL,
 * AUDIT. */
#include "redis/keys.h"
#include "broker/inspect.h"
#include "redis/rows.h"
#include "task/state.h"

extern const lq_script lq_script_forward, lq_script_clean, lq_script_cancel,
    lq_script_audit;

/* ---- FORWARD ------------------------------------------------------------- */

static int forward_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_forward *o = (const lq_op_forward *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_forward, 8);
    lq_cmd_queue(c, o->queue, "scheduled");
    lq_cmd_queue(c, o->queue, "retry");
    lq_cmd_queue(c, o->queue, "pending");
    lq_cmd_queue(c, o->queue, "groups");
    lq_cmd_queue(c, o->queue, "archived");
    lq_cmd_own(c, o->queue, "dropped");
    lq_cmd_own(c, o->queue, "limits");
    lq_cmd_own(c, o->queue, "untold");
    lq_cmd_queue(c, o->queue, "t:");
    lq_cmd_queue(c, o->queue, "g:");
    lq_cmd_int(c, LQ_BATCH_MAX);
    return LUNAQ_OK;
}

static int forward_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_forward *o = (lq_op_forward *)op;
    (void)i;
    o->moved = lq_reply_int(lq_reply_at(reply, 0), -1);
    o->next_ms = lq_reply_int(lq_reply_at(reply, 1), -1);
    return o->moved < 0 ? lq_redis_odd(op) : LUNAQ_OK;
}

const lq_redis_op lq_row_forward = {.build = forward_build,
                                    .parse = forward_parse};

/* ---- CLEAN --------------------------------------------------------------- */

static int64_t whole_s(int64_t ms)
{
    return ms > 0 ? (ms + 999) / 1000 : ms;
}

static int clean_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_clean *o = (const lq_op_clean *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_clean, 4);
    lq_cmd_queue(c, o->queue, "completed");
    lq_cmd_queue(c, o->queue, "archived");
    lq_cmd_own(c, o->queue, "dropped");
    lq_cmd_own(c, o->queue, "limits");
    lq_cmd_queue(c, o->queue, "t:");
    lq_cmd_int(c, LQ_BATCH_MAX);
    if (o->limits) {
        lq_cmd_int(c, o->limits->archive_max);
        lq_cmd_int(c, whole_s(o->limits->archive_ms));
        lq_cmd_int(c, o->limits->completed_max);
    }
    return LUNAQ_OK;
}

static int clean_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_clean *o = (lq_op_clean *)op;
    (void)i;
    o->deleted = lq_reply_int(lq_reply_at(reply, 0), -1);
    o->dropped = lq_reply_int(lq_reply_at(reply, 1), -1);
    o->more = lq_reply_int(lq_reply_at(reply, 2), 0) != 0;
    return o->deleted < 0 || o->dropped < 0 ? lq_redis_odd(op) : LUNAQ_OK;
}

const lq_redis_op lq_row_clean = {.build = clean_build, .parse = clean_parse};

/* ---- CANCEL -------------------------------------------------------------- */

/* The reason becomes a protobuf string, so it has to be UTF-8, and short. */
static int cancel_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_cancel *o = (const lq_op_cancel *)op;
    char reason[1024];
    size_t len = lq_utf8_clean(o->reason, reason, sizeof(reason));
    (void)i;
    lq_cmd_script(c, &lq_script_cancel, 9);
    lq_cmd_queue_of(c, o->queue, "t:", o->id);
    lq_cmd_queue(c, o->queue, "pending");
    lq_cmd_queue(c, o->queue, "scheduled");
    lq_cmd_queue(c, o->queue, "retry");
    lq_cmd_queue(c, o->queue, "groups");
    lq_cmd_queue(c, o->queue, "archived");
    lq_cmd_own(c, o->queue, "dropped");
    lq_cmd_own(c, o->queue, "limits");
    lq_cmd_own(c, o->queue, "untold");
    lq_cmd_str(c, o->id);
    lq_cmd_str(c, len ? lq_str_n(reason, len) : LQ_STR("canceled"));
    lq_cmd_queue(c, o->queue, "t:");
    lq_cmd_queue(c, o->queue, "g:");
    lq_cmd_global(c, "cancel");
    lq_cmd_c(c, o->attempt ? "1" : "0");
    return LUNAQ_OK;
}

static int cancel_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_cancel *o = (lq_op_cancel *)op;
    (void)i;
    if (lq_reply_type(reply) == LQ_REPLY_NIL)
        return lq_fail(&op->err, LUNAQ_ENOTFOUND,
                       "no task %.*s in queue '%.*s'", LQ_STR_ARG(o->id),
                       LQ_STR_ARG(o->queue));
    if (lq_str_eq(lq_reply_str(reply), LQ_STR("held"))) {
        o->was = LUNAQ_AGGREGATING;
        return lq_fail(&op->err, LUNAQ_ESTATE,
                       "task %.*s is being aggregated: its group's new task "
                       "can be canceled",
                       LQ_STR_ARG(o->id));
    }
    o->was = lq_state_from(lq_reply_str(reply));
    if (o->was == LUNAQ_STATE_ANY)
        return lq_redis_odd(op);
    if (o->attempt && o->was != LUNAQ_ACTIVE)
        return lq_fail(&op->err, LUNAQ_ESTATE,
                       "task %.*s is %s: there is no attempt to end",
                       LQ_STR_ARG(o->id), lunaq_state_name(o->was));
    if (o->was == LUNAQ_ARCHIVED || o->was == LUNAQ_COMPLETED)
        return lq_fail(&op->err, LUNAQ_ESTATE,
                       "task %.*s is %s: there is nothing to cancel",
                       LQ_STR_ARG(o->id), lunaq_state_name(o->was));
    return LUNAQ_OK;
}

const lq_redis_op lq_row_cancel = {.build = cancel_build,
                                   .parse = cancel_parse};

/* ---- AUDIT --------------------------------------------------------------- */

static int audit_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    static const char *const keys[] = {
        "pending",  "active",    "lease",  "scheduled",       "retry",
        "archived", "completed", "groups", "aggregation_sets"};
    const lq_op_audit *o = (const lq_op_audit *)op;
    char name[LUNAQ_NAME_MAX * 2];
    (void)i;
    lq_str quoted = lq_glob_quote(o->queue, name, sizeof(name));
    lq_cmd_script(c, &lq_script_audit, LQ_COUNT(keys));
    for (size_t k = 0; k < LQ_COUNT(keys); k++)
        lq_cmd_queue(c, o->queue, keys[k]);
    lq_cmd_queue(c, o->queue, "t:");
    lq_cmd_queue(c, o->queue, "g:");
    lq_cmd_queue(c, quoted, "t:*");
    lq_cmd_queue(c, quoted, "unique:*");
    return LUNAQ_OK;
}

static int audit_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_audit *o = (lq_op_audit *)op;
    (void)i;
    o->faults = NULL;
    o->count = 0;
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY)
        return lq_redis_odd(op);
    if (lq_reply_count(reply) == 0)
        return LUNAQ_OK;
    o->faults =
        lq_arena_alloc(&op->mem, lq_reply_count(reply) * sizeof(*o->faults));
    if (!o->faults)
        return lq_fail_nomem(&op->err);
    for (size_t k = 0; k < lq_reply_count(reply); k++)
        if (!lq_redis_keep(op, lq_reply_str(lq_reply_at(reply, k)),
                           &o->faults[k]))
            return lq_fail_nomem(&op->err);
    o->count = lq_reply_count(reply);
    return LUNAQ_OK;
}

const lq_redis_op lq_row_audit = {.build = audit_build, .parse = audit_parse};
