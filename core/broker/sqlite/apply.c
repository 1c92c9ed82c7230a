#include "sqlite/apply.h"

#include "sqlite/connection.h"
#include "sqlite/ops.h"

static const struct row {
    lq_sqlite_op_fn *fn;
    bool reads;
    bool quick; /* refuses before its first write, or is a batch whose items
                   answer for themselves: rarely undone */
} rows[LQ_OP_KINDS] = {
    [LQ_OP_PING] = {lq_sqlite_ping, true, false},
    [LQ_OP_TOKEN] = {lq_sqlite_token, false, false},
    [LQ_OP_TOKEN_RENEW] = {lq_sqlite_token_renew, false, false},
    [LQ_OP_ENQUEUE] = {lq_sqlite_enqueue, false, true},
    [LQ_OP_STEP] = {lq_sqlite_step, false, true},
    [LQ_OP_EXTEND] = {lq_sqlite_extend, false, true},
    [LQ_OP_RECONCILE] = {lq_sqlite_reconcile, false, false},
    [LQ_OP_EXPIRED] = {lq_sqlite_expired, true, false},
    [LQ_OP_FORWARD] = {lq_sqlite_forward, false, false},
    [LQ_OP_CLEAN] = {lq_sqlite_clean, false, false},
    [LQ_OP_REPAIR] = {lq_sqlite_repair, false, false},
    [LQ_OP_PEEK] = {lq_sqlite_peek, true, false},
    [LQ_OP_HEARTBEAT] = {lq_sqlite_heartbeat, false, false},
    [LQ_OP_GOODBYE] = {lq_sqlite_goodbye, false, false},
    [LQ_OP_CRON_FIRE] = {lq_sqlite_cron_fire, false, false},
    [LQ_OP_CRON_PUBLISH] = {lq_sqlite_cron_publish, false, false},
    [LQ_OP_CRON_RECORD] = {lq_sqlite_cron_record, false, false},
    [LQ_OP_RESULT] = {lq_sqlite_result, false, false},
    [LQ_OP_CANCEL] = {lq_sqlite_cancel, false, false},
    [LQ_OP_AUDIT] = {lq_sqlite_audit, true, false},
    [LQ_OP_MOVE] = {lq_sqlite_move, false, false},
    [LQ_OP_MOVE_ALL] = {lq_sqlite_move_all, false, false},
    [LQ_OP_TASK_GET] = {lq_sqlite_task_get, true, false},
    [LQ_OP_TASK_LIST] = {lq_sqlite_task_list, true, false},
    [LQ_OP_TASK_SCAN] = {lq_sqlite_task_scan, true, false},
    [LQ_OP_QUEUES] = {lq_sqlite_queues, true, false},
    [LQ_OP_QUEUE_STATS] = {lq_sqlite_queue_stats, true, false},
    [LQ_OP_QUEUE_HISTORY] = {lq_sqlite_queue_history, true, false},
    [LQ_OP_QUEUE_PAUSE] = {lq_sqlite_queue_pause, false, false},
    [LQ_OP_QUEUE_REMOVE] = {lq_sqlite_queue_remove, false, false},
    [LQ_OP_SERVERS] = {lq_sqlite_servers, true, false},
    [LQ_OP_CRONS] = {lq_sqlite_crons, true, false},
    [LQ_OP_CRON_HISTORY] = {lq_sqlite_cron_history, true, false},
    [LQ_OP_EXPORT] = {lq_sqlite_export, true, false},
    [LQ_OP_IMPORT] = {lq_sqlite_import, false, false},
    [LQ_OP_EXPORT_QUEUE] = {lq_sqlite_export_queue, true, false},
    [LQ_OP_IMPORT_QUEUE] = {lq_sqlite_import_queue, false, false},
    [LQ_OP_GROUPS] = {lq_sqlite_groups, true, false},
    [LQ_OP_GROUP_TAKE] = {lq_sqlite_group_take, false, false},
    [LQ_OP_GROUP_FINISH] = {lq_sqlite_group_finish, false, false},
    [LQ_OP_GROUP_BACK] = {lq_sqlite_group_back, false, false},
    [LQ_OP_GROUP_EXTEND] = {lq_sqlite_group_extend, false, false},
    [LQ_OP_GROUP_RECLAIM] = {lq_sqlite_group_reclaim, false, false},
    [LQ_OP_DIAGNOSE] = {lq_sqlite_diagnose, true, false},
    [LQ_OP_UNTOLD] = {lq_sqlite_untold, false, false},
    [LQ_OP_ORDER] = {lq_sqlite_order, false, false},
    [LQ_OP_ORDER_TAKE] = {lq_sqlite_order_take, false, false},
    [LQ_OP_UPDATE] = {lq_sqlite_update, false, false},
    [LQ_OP_CHECK] = {lq_sqlite_check, false, false},
};

static const struct row *row_of(enum lq_op_kind kind)
{
    size_t i = (size_t)kind;
    return i < LQ_COUNT(rows) && rows[i].fn ? &rows[i] : NULL;
}

bool lq_sqlite_reads(const lq_op *op)
{
    const struct row *row = row_of(op->kind);
    /* A cron_fire without a task and a first sight only asks. */
    if (op->kind == LQ_OP_CRON_FIRE) {
        const lq_op_cron_fire *o = (const lq_op_cron_fire *)op;
        return !o->item && !o->skip && o->first_ms <= 0;
    }
    if (op->kind == LQ_OP_CHECK)
        return lq_sqlite_check_reads(op);
    return !row || row->reads;
}

void lq_sqlite_undone(lq_op *op, const lunaq_error *why)
{
    op->err = *why;
    op->rc = why->code ? why->code : LUNAQ_EBROKER;
    if (op->kind == LQ_OP_ENQUEUE) {
        lq_op_enqueue *o = (lq_op_enqueue *)op;
        for (size_t i = 0; i < o->count; i++)
            o->items[i]->code = op->rc;
    } else if (op->kind == LQ_OP_STEP) {
        lq_op_step *o = (lq_op_step *)op;
        o->taken = NULL;
        o->taken_count = 0;
    } else if (op->kind == LQ_OP_TOKEN) {
        ((lq_op_token *)op)->token = 0;
    } else if (op->kind == LQ_OP_CRON_FIRE) {
        ((lq_op_cron_fire *)op)->fired = false;
    }
}

/* Runs the operation; true: a failure that the connection kept is its end. */
static bool carry_out(lq_sqlite *q, const struct row *row, lq_op *op,
                      int64_t now_ms)
{
    lunaq_error why;

    op->rc = row->fn(q, op, now_ms);
    if (!q->fault.code)
        return false;
    why = q->fault;
    lq_error_prefix(&why, "%s", lq_op_name(op->kind));
    lq_sqlite_undone(op, &why);
    return true;
}

/* False: it is answered already. */
static bool can_begin(lq_sqlite *q, const struct row *row, lq_op *op)
{
    lunaq_error why;

    q->fault = (lunaq_error)LUNAQ_ERROR_INIT;
    if (!row) {
        op->rc = lq_fail(&op->err, LUNAQ_EINVAL,
                         "sqlite: %s is no operation of a queue file",
                         lq_op_name(op->kind));
        return false;
    }
    if (lq_sqlite_in_transaction(q))
        return true;
    lq_fail(&why, LUNAQ_EBROKER, "sqlite: %s: the transaction was rolled back",
            q->path);
    lq_sqlite_undone(op, &why);
    return false;
}

bool lq_sqlite_apply_quick(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    const struct row *row = row_of(op->kind);

    if (!row || !row->quick) {
        lq_sqlite_apply(q, op, now_ms);
        return true;
    }
    return !can_begin(q, row, op) || !carry_out(q, row, op, now_ms);
}

void lq_sqlite_apply(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    const struct row *row = row_of(op->kind);
    bool writes = !lq_sqlite_reads(op);
    lunaq_error why;

    if (!can_begin(q, row, op))
        return;
    q->line.queue = 0;
    int rc = writes ? lq_sqlite_control(q, LQ_SQL_SAVE) : SQLITE_OK;
    if (rc) {
        lq_sqlite_failed(q, rc, NULL, &why);
        lq_sqlite_undone(op, &why);
        writes = false;
    } else {
        (void)carry_out(q, row, op, now_ms);
    }
    q->line.queue = 0;
    /* What cannot be undone alone takes the whole transaction with it. */
    if (writes && lq_sqlite_in_transaction(q) &&
        ((op->rc && lq_sqlite_control(q, LQ_SQL_UNDO)) ||
         lq_sqlite_control(q, LQ_SQL_KEEP))) {
        why = (lunaq_error){LUNAQ_EBROKER, "sqlite: could not be undone"};
        lq_sqlite_undone(op, op->rc ? &op->err : &why);
        (void)lq_sqlite_control(q, LQ_SQL_ROLLBACK);
    }
}
