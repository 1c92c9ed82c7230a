/* Reading tasks: one by its id, a page of a state, a walk over the ids. */
#include "sqlite/inspect_rows.h"
#include "broker/inspect.h"

#include "task/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SCAN_IDS 5000 /* looked at in one call */

/* The row that x stands on: id, state, at_ms, crashes, result, msg, cancel. */
static bool take_row(lq_query *x, lq_arena *mem, lq_str queue, lq_task_row *row)
{
    row->queue = queue;
    row->id = lq_column_copy(x, 0, mem);
    row->state = (lunaq_state)lq_column_int(x, 1);
    /* Since when it waits is no instant that an inspector asks for. */
    row->at_ms = row->state == LUNAQ_PENDING ? 0 : lq_column_int(x, 2);
    row->crashes = lq_column_int(x, 3);
    row->result = lq_column_copy(x, 4, mem);
    row->msg = lq_column_copy(x, 5, mem);
    row->cancel = lq_column_copy(x, 6, mem);
    row->since_ms = row->state == LUNAQ_PENDING ? lq_column_int(x, 2) : 0;
    return row->id.p && row->msg.p &&
           (row->result.p || lq_column_is_null(x, 4)) &&
           (row->cancel.p || lq_column_is_null(x, 6));
}

/* ---- TASK_GET ------------------------------------------------------------ */

static int get_in(lq_sqlite *q, lq_op_task_get *op, lq_str queue,
                  int64_t now_ms)
{
    lq_op *base = &op->op;
    int rc = LUNAQ_OK;
    int64_t number = lq_sqlite_queue(q, queue);
    if (number == 0)
        return LUNAQ_OK;
    lq_query x = lq_query_begin(q, LQ_SQL_TASK_GET);
    lq_query_int(&x, number);
    lq_query_text(&x, op->id);
    if (lq_query_row(&x)) {
        char *name = lq_arena_dup(&base->mem, queue);
        if (name && take_row(&x, &base->mem, lq_str_n(name, queue.len),
                             &op->rows[op->count])) {
            int64_t left_ms = lq_column_int(&x, 7) - now_ms;
            op->rows[op->count++].lock_ms = left_ms > 0 ? left_ms : 0;
        } else
            rc = lq_fail_nomem(&base->err);
    }
    lq_query_end(&x);
    return rc;
}

int lq_sqlite_task_get(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_task_get *op = (lq_op_task_get *)base;
    if (op->queue_count == 0 || op->id.len == 0)
        return lq_fail(&base->err, LUNAQ_EINVAL,
                       "task: needs a task id and a queue");
    op->count = 0;
    op->rows = lq_arena_alloc(&base->mem, op->queue_count * sizeof *op->rows);
    if (!op->rows)
        return lq_fail_nomem(&base->err);
    int rc = LUNAQ_OK;
    for (size_t i = 0; !rc && i < op->queue_count; i++)
        rc = get_in(q, op, op->queues[i], now_ms);
    return rc;
}

/* ---- TASK_LIST ----------------------------------------------------------- */

static enum lq_sql list_of(const lq_op_task_list *op)
{
    switch (op->state) {
    case LUNAQ_ACTIVE:
        return LQ_SQL_LIST_ACTIVE;
    case LUNAQ_PENDING:
        return LQ_SQL_LIST_PENDING;
    case LUNAQ_SCHEDULED:
        return LQ_SQL_LIST_SCHEDULED;
    case LUNAQ_RETRY:
        return LQ_SQL_LIST_RETRY;
    case LUNAQ_ARCHIVED:
        return LQ_SQL_LIST_ARCHIVED;
    case LUNAQ_COMPLETED:
        return LQ_SQL_LIST_COMPLETED;
    case LUNAQ_AGGREGATING:
        return op->group.p ? LQ_SQL_LIST_GROUP : LQ_SQL_LIST_GROUPS;
    default:
        return LQ_SQL_NONE;
    }
}

int lq_sqlite_task_list(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_task_list *op = (lq_op_task_list *)base;
    enum lq_sql which = list_of(op);
    (void)now_ms;
    op->rows = NULL;
    op->count = 0;
    if (which == LQ_SQL_NONE || op->page < 0 || op->page_size < 1 ||
        op->page_size > 1000 || op->page > INT32_MAX)
        return lq_fail(&base->err, LUNAQ_EINVAL,
                       "task list: needs a state, a page and 1 to 1000 tasks "
                       "a page");
    int64_t number = lq_sqlite_queue(q, op->queue);
    char *name = lq_arena_dup(&base->mem, op->queue);
    size_t room = 0;
    int rc = name ? LUNAQ_OK : lq_fail_nomem(&base->err);
    lq_query x = lq_query_begin(q, which);
    lq_query_int(&x, number);
    lq_query_int(&x, op->page_size);
    lq_query_int(&x, op->page * op->page_size);
    if (which == LQ_SQL_LIST_GROUP)
        lq_query_text(&x, op->group);
    while (!rc && lq_query_row(&x)) {
        lq_task_row *rows = lq_sqlite_room(&base->mem, op->rows, op->count,
                                           &room, sizeof *op->rows);
        op->rows = rows ? rows : op->rows;
        if (rows && take_row(&x, &base->mem, lq_str_n(name, op->queue.len),
                             &rows[op->count]))
            op->count++;
        else
            rc = lq_fail_nomem(&base->err);
    }
    lq_query_end(&x);
    return rc;
}

/* ---- TASK_SCAN ----------------------------------------------------------- *
 *
 * In the order of rows, those of other queues as well, so that a call looks at
 * so many and no more; the cursor is the last one. */

static bool fits(lq_str id, lq_str part)
{
    return lq_str_starts(id, part) ||
           (id.len >= part.len &&
            memcmp(id.p + id.len - part.len, part.p, part.len) == 0);
}

int lq_sqlite_task_scan(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_task_scan *op = (lq_op_task_scan *)base;
    (void)now_ms;
    if (op->part.len == 0)
        return lq_fail(&base->err, LUNAQ_EINVAL,
                       "task scan: nothing to look for");
    int64_t last = strtoll(op->cursor, NULL, 10);
    int64_t number = lq_sqlite_queue(q, op->queue);
    size_t room = 0, seen = 0;
    int rc = LUNAQ_OK;
    op->ids = NULL;
    op->count = 0;
    lq_query x = lq_query_begin(q, LQ_SQL_TASK_SCAN);
    lq_query_int(&x, last);
    lq_query_int(&x, SCAN_IDS);
    while (!rc && lq_query_row(&x)) {
        seen++;
        last = lq_column_int(&x, 0);
        if (lq_column_int(&x, 1) == number &&
            fits(lq_column_bytes(&x, 2), op->part))
            rc = lq_sqlite_keep(base, &x, 2, &op->ids, &op->count, &room);
    }
    lq_query_end(&x);
    snprintf(op->cursor, sizeof op->cursor, "%" PRId64,
             seen == SCAN_IDS ? last : 0);
    return rc;
}
