/* Reading tasks: one by its id, a page of a state, a walk over the ids. */
#include "redis/inspect_rows.h"
#include "broker/inspect.h"
#include "redis/keys.h"

#include "task/state.h"

#include <math.h>
#include <stdlib.h>

#define SCAN_IDS                                                               \
    5000 /* looked at in one call: about a millisecond of Redis                \
          */

extern const lq_script lq_script_inspect_get;
extern const lq_script lq_script_inspect_list;
extern const lq_script lq_script_inspect_scan;

/* A score in milliseconds.  The fraction of a lease's is its token, so it
 * counts whole seconds only. */
static int64_t score_ms(const lq_reply *reply)
{
    char text[64];
    lq_str s = lq_reply_str(reply);
    if (!s.p || s.len == 0 || s.len >= sizeof text)
        return 0;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    double v = floor(strtod(text, NULL));
    return isfinite(v) && fabs(v) < 1e15 ? (int64_t)v * 1000 : 0;
}

/* Unix nanoseconds, as Asynq writes them. */
static int64_t since_ms(const lq_reply *reply)
{
    int64_t ns = lq_reply_int(reply, 0);
    return ns > 0 ? ns / 1000000 : 0;
}

/* Copies a reply that may be nil. */
static bool keep(lq_op *op, const lq_reply *reply, lq_str *copy)
{
    lq_str s = lq_reply_str(reply);
    if (!s.p) {
        *copy = (lq_str){NULL, 0};
        return true;
    }
    return lq_redis_keep(op, s, copy);
}

/* ---- TASK_GET: one script a queue ---------------------------------------- */

static uint32_t get_count(lq_op *base)
{
    lq_op_task_get *op = (lq_op_task_get *)base;
    op->rows = NULL;
    op->count = 0;
    return op->queue_count ? (uint32_t)op->queue_count : 1;
}

static int get_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    lq_op_task_get *op = (lq_op_task_get *)base;
    if (op->queue_count == 0 || op->id.len == 0)
        return lq_fail(&base->err, LUNAQ_EINVAL,
                       "task: needs a task id and a queue");
    lq_str q = op->queues[i];
    lq_cmd_script(cmd, &lq_script_inspect_get, 6);
    lq_cmd_queue_of(cmd, q, "t:", op->id);
    lq_cmd_queue(cmd, q, "lease");
    lq_cmd_queue(cmd, q, "scheduled");
    lq_cmd_queue(cmd, q, "retry");
    lq_cmd_queue(cmd, q, "archived");
    lq_cmd_queue(cmd, q, "completed");
    lq_cmd_str(cmd, op->id);
    lq_cmd_queue(cmd, q, "unique:");
    return LUNAQ_OK;
}

static int get_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_task_get *op = (lq_op_task_get *)base;
    if (lq_reply_type(reply) == LQ_REPLY_NIL)
        return LUNAQ_OK;
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY || lq_reply_count(reply) < 8)
        return lq_redis_odd(base);
    if (!op->rows) {
        op->rows =
            lq_arena_alloc(&base->mem, op->queue_count * sizeof *op->rows);
        if (!op->rows)
            return lq_fail_nomem(&base->err);
    }
    lq_task_row *row = &op->rows[op->count];
    row->state = lq_state_from(lq_reply_str(lq_reply_at(reply, 0)));
    row->crashes = lq_reply_int(lq_reply_at(reply, 3), 0);
    row->at_ms = score_ms(lq_reply_at(reply, 4));
    row->since_ms = since_ms(lq_reply_at(reply, 6));
    row->lock_ms = lq_reply_int(lq_reply_at(reply, 7), 0);
    if (!lq_redis_keep(base, op->queues[i], &row->queue) ||
        !lq_redis_keep(base, op->id, &row->id) ||
        !keep(base, lq_reply_at(reply, 1), &row->msg) ||
        !keep(base, lq_reply_at(reply, 2), &row->result) ||
        !keep(base, lq_reply_at(reply, 5), &row->cancel))
        return lq_fail_nomem(&base->err);
    op->count++;
    return LUNAQ_OK;
}

const lq_redis_op lq_inspect_task_get = {
    .count = get_count, .build = get_build, .parse = get_parse};

/* ---- TASK_LIST ------------------------------------------------------------
 */

static const char *list_kind(const lq_op_task_list *op)
{
    switch (op->state) {
    case LUNAQ_PENDING:
        return "list";
    case LUNAQ_ACTIVE:
        return "active";
    case LUNAQ_AGGREGATING:
        return op->group.p ? "zset" : "groups";
    case LUNAQ_SCHEDULED:
    case LUNAQ_RETRY:
    case LUNAQ_ARCHIVED:
    case LUNAQ_COMPLETED:
        return "zset";
    default:
        return NULL;
    }
}

static int list_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    lq_op_task_list *op = (lq_op_task_list *)base;
    (void)i;
    const char *kind = list_kind(op);
    if (!kind || op->page < 0 || op->page_size < 1 || op->page_size > 1000 ||
        op->page > INT32_MAX)
        return lq_fail(&base->err, LUNAQ_EINVAL,
                       "task list: needs a state, a page and 1 to 1000 tasks "
                       "a page");
    lq_cmd_script(cmd, &lq_script_inspect_list, 2);
    if (op->state != LUNAQ_AGGREGATING)
        lq_cmd_queue(cmd, op->queue, lunaq_state_name(op->state));
    else if (op->group.p)
        lq_cmd_queue_of(cmd, op->queue, "g:", op->group);
    else
        lq_cmd_queue(cmd, op->queue, "groups");
    lq_cmd_queue(cmd, op->queue, "lease");
    lq_cmd_c(cmd, kind);
    lq_cmd_int(cmd, op->page * op->page_size);
    lq_cmd_int(cmd, op->page_size);
    lq_cmd_queue(cmd, op->queue, "t:");
    lq_cmd_queue(cmd, op->queue, "g:");
    return LUNAQ_OK;
}

static int list_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_task_list *op = (lq_op_task_list *)base;
    (void)i;
    op->count = 0;
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY)
        return lq_redis_odd(base);
    op->rows = lq_arena_alloc(&base->mem,
                              (lq_reply_count(reply) + 1) * sizeof *op->rows);
    lq_str queue;
    if (!op->rows || !lq_redis_keep(base, op->queue, &queue))
        return lq_fail_nomem(&base->err);
    for (size_t k = 0; k < lq_reply_count(reply); k++) {
        const lq_reply *r = lq_reply_at(reply, k);
        lq_task_row *row = &op->rows[k];
        row->state = op->state;
        row->queue = queue;
        row->crashes = lq_reply_int(lq_reply_at(r, 3), 0);
        row->at_ms = score_ms(lq_reply_at(r, 4));
        row->since_ms = since_ms(lq_reply_at(r, 6));
        if (!lq_redis_keep(base, lq_reply_str(lq_reply_at(r, 0)), &row->id) ||
            !keep(base, lq_reply_at(r, 1), &row->msg) ||
            !keep(base, lq_reply_at(r, 2), &row->result) ||
            !keep(base, lq_reply_at(r, 5), &row->cancel))
            return lq_fail_nomem(&base->err);
    }
    op->count = lq_reply_count(reply);
    return LUNAQ_OK;
}

const lq_redis_op lq_inspect_task_list = {.build = list_build,
                                          .parse = list_parse};

/* ---- TASK_SCAN ------------------------------------------------------------
 */

static int scan_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    lq_op_task_scan *op = (lq_op_task_scan *)base;
    (void)i;
    if (op->part.len == 0)
        return lq_fail(&base->err, LUNAQ_EINVAL,
                       "task scan: nothing to look "
                       "for");
    lq_cmd_script(cmd, &lq_script_inspect_scan, 7);
    lq_cmd_queue(cmd, op->queue, "active");
    lq_cmd_queue(cmd, op->queue, "pending");
    lq_cmd_queue(cmd, op->queue, "scheduled");
    lq_cmd_queue(cmd, op->queue, "retry");
    lq_cmd_queue(cmd, op->queue, "archived");
    lq_cmd_queue(cmd, op->queue, "completed");
    lq_cmd_queue(cmd, op->queue, "groups");
    lq_cmd_str(cmd, op->part);
    lq_cmd_c(cmd, op->cursor[0] ? op->cursor : "0");
    lq_cmd_int(cmd, SCAN_IDS);
    lq_cmd_queue(cmd, op->queue, "g:");
    return LUNAQ_OK;
}

static int scan_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_task_scan *op = (lq_op_task_scan *)base;
    (void)i;
    op->count = 0;
    lq_str cursor = lq_reply_str(lq_reply_at(reply, 0));
    if (!cursor.p || cursor.len == 0 || cursor.len >= sizeof op->cursor)
        return lq_redis_odd(base);
    memcpy(op->cursor, cursor.p, cursor.len);
    op->cursor[cursor.len] = '\0';
    op->ids =
        lq_arena_alloc(&base->mem, lq_reply_count(reply) * sizeof *op->ids);
    if (!op->ids)
        return lq_fail_nomem(&base->err);
    for (size_t k = 1; k < lq_reply_count(reply); k++) {
        lq_str id = lq_reply_str(lq_reply_at(reply, k));
        if (!lq_redis_keep(base, id, &op->ids[k - 1]))
            return lq_fail_nomem(&base->err);
    }
    op->count = lq_reply_count(reply) - 1;
    return LUNAQ_OK;
}

const lq_redis_op lq_inspect_task_scan = {.build = scan_build,
                                          .parse = scan_parse};
