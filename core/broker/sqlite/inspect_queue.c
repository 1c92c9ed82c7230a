/* Queues: their names, numbers and history; pausing and removing them. */
#include "sqlite/inspect_rows.h"
#include "broker/inspect.h"
#include "broker/order.h"

#include <stdio.h>

#define HISTORY_DAYS 90
#define REMOVE_PART 500      /* tasks deleted in one call */
#define HOLDER_GONE_MS 30000 /* after the end of a lease */
#define DAY_MS ((int64_t)24 * 3600 * 1000)

static int no_queue(lunaq_error *err, lq_str queue)
{
    return lq_fail(err, LUNAQ_ENOTFOUND, "no queue '%.*s'", LQ_STR_ARG(queue));
}

/* The first integer of a statement that takes a queue only. */
static int64_t ask(lq_sqlite *q, enum lq_sql which, int64_t queue, int64_t none)
{
    lq_query x = lq_query_begin(q, which);
    lq_query_int(&x, queue);
    return lq_query_one(&x, none);
}

static void run(lq_sqlite *q, enum lq_sql which, int64_t queue)
{
    lq_query x = lq_query_begin(q, which);
    lq_query_int(&x, queue);
    lq_query_run(&x);
}

/* ---- QUEUES -------------------------------------------------------------- */

int lq_sqlite_queues(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_queues *op = (lq_op_queues *)base;
    (void)now_ms;
    op->names = NULL;
    op->count = 0;
    int rc = LUNAQ_OK;
    size_t room = 0;
    lq_query x = lq_query_begin(q, LQ_SQL_QUEUES);
    while (!rc && lq_query_row(&x))
        rc = lq_sqlite_keep(base, &x, 0, &op->names, &op->count, &room);
    lq_query_end(&x);
    return rc;
}

/* ---- QUEUE_STATS --------------------------------------------------------- */

/* For how long the next to run waits already. */
static int64_t latency(lq_sqlite *q, int64_t queue, int64_t now_ms)
{
    int64_t since = ask(q, LQ_SQL_QUEUE_SINCE, queue, now_ms);
    return since < now_ms ? now_ms - since : 0;
}

int lq_sqlite_queue_stats(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_queue_stats *op = (lq_op_queue_stats *)base;
    lunaq_queue_info *info = &op->info;
    int64_t queue = lq_sqlite_queue(q, op->queue);
    if (queue == 0)
        return no_queue(&base->err, op->queue);
    *info = (lunaq_queue_info){.size = sizeof *info};
    lq_query x = lq_query_begin(q, LQ_SQL_QUEUE_COUNTS);
    lq_query_int(&x, queue);
    if (lq_query_row(&x)) {
        int64_t *const fields[] = {&info->pending,     &info->active,
                                   &info->scheduled,   &info->retry,
                                   &info->archived,    &info->completed,
                                   &info->aggregating, &info->groups};
        for (size_t i = 0; i < LQ_COUNT(fields); i++)
            *fields[i] = lq_column_int(&x, (int)i);
    }
    lq_query_end(&x);

    x = lq_query_begin(q, LQ_SQL_QUEUE_STATS);
    lq_query_int(&x, queue);
    if (lq_query_row(&x)) {
        int64_t paused = lq_column_int(&x, 2);
        info->processed_total = lq_column_int(&x, 0);
        info->failed_total = lq_column_int(&x, 1);
        info->dropped_total = lq_column_int(&x, 3);
        info->paused_at = paused < 0 ? 0 : paused > 0 ? paused : 1;
    }
    lq_query_end(&x);

    if (op->memory)
        info->memory_bytes = ask(q, LQ_SQL_QUEUE_MEMORY, queue, 0);

    int64_t today = op->now_ms / DAY_MS;
    x = lq_query_begin(q, LQ_SQL_DAYS);
    lq_query_int(&x, queue);
    lq_query_int(&x, today - 1);
    lq_query_int(&x, today);
    if (lq_query_row(&x)) {
        info->processed_today = lq_column_int(&x, 1);
        info->failed_today = lq_column_int(&x, 2);
    }
    lq_query_end(&x);

    lq_queue_limits limits;
    lq_sqlite_limits(q, queue, &limits);
    info->archive_max = limits.archive_max;
    info->archive_ms = limits.archive_ms;
    info->completed_max = limits.completed_max;
    info->latency_ms = latency(q, queue, now_ms);
    info->name = lq_arena_dup(&base->mem, op->queue);
    return info->name ? LUNAQ_OK : lq_fail_nomem(&base->err);
}

/* ---- QUEUE_HISTORY ------------------------------------------------------- */

int lq_sqlite_queue_history(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_queue_history *op = (lq_op_queue_history *)base;
    (void)now_ms;
    if (op->days < 1 || op->days > HISTORY_DAYS)
        return lq_fail(&base->err, LUNAQ_EINVAL,
                       "history: days must be 1 to %d", HISTORY_DAYS);
    int64_t queue = lq_sqlite_queue(q, op->queue);
    if (queue == 0)
        return no_queue(&base->err, op->queue);
    int64_t today = op->now_ms / DAY_MS;
    memset(op->processed, 0, op->days * sizeof *op->processed);
    memset(op->failed, 0, op->days * sizeof *op->failed);
    lq_query x = lq_query_begin(q, LQ_SQL_DAYS);
    lq_query_int(&x, queue);
    lq_query_int(&x, today - (int64_t)op->days);
    lq_query_int(&x, today);
    while (lq_query_row(&x)) {
        size_t ago = (size_t)(today - lq_column_int(&x, 0));
        if (ago < op->days) {
            op->processed[ago] = lq_column_int(&x, 1);
            op->failed[ago] = lq_column_int(&x, 2);
        }
    }
    lq_query_end(&x);
    return LUNAQ_OK;
}

/* ---- QUEUE_PAUSE --------------------------------------------------------- */

static int64_t pause_queue(lq_sqlite *q, int64_t queue, int64_t now_ms)
{
    lq_query x = lq_query_begin(q, LQ_SQL_QUEUE_PAUSE);
    lq_query_int(&x, queue);
    lq_query_int(&x, now_ms);
    return lq_query_run(&x);
}

static int64_t resume_queue(lq_sqlite *q, int64_t queue)
{
    lq_query x = lq_query_begin(q, LQ_SQL_QUEUE_RESUME);
    lq_query_int(&x, queue);
    return lq_query_run(&x);
}

/* Those that listen. */
static int tell_servers(lq_sqlite *q, lq_op *op, lq_str queue, int64_t now_ms)
{
    lq_buf note;
    lq_buf_init(&note, 0);
    lq_buf_add_c(&note, LQ_QUEUE_NOTE);
    lq_buf_add_str(&note, queue);
    lq_query x = lq_query_begin(q, LQ_SQL_NOTE_ADD);
    lq_query_int(&x, now_ms);
    lq_query_text(&x, lq_buf_str(&note));
    (void)lq_query_run(&x);
    lq_sqlite_wake_cancel(q, lq_buf_str(&note));
    int rc = note.failed ? lq_fail_nomem(&op->err) : LUNAQ_OK;
    lq_buf_release(&note);
    return rc;
}

int lq_sqlite_queue_pause(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    const lq_op_queue_pause *op = (const lq_op_queue_pause *)base;
    int64_t queue = lq_sqlite_queue(q, op->queue);
    if (queue == 0)
        return no_queue(&base->err, op->queue);
    int64_t changed =
        op->pause ? pause_queue(q, queue, now_ms) : resume_queue(q, queue);
    if (changed == 0 && lq_sqlite_fault_of(q, NULL) == LUNAQ_OK)
        return lq_fail(&base->err, LUNAQ_ESTATE, "queue '%.*s' is %s",
                       LQ_STR_ARG(op->queue),
                       op->pause ? "paused already" : "not paused");
    if (!op->pause)
        lq_sqlite_wake_queue(q, op->queue);
    return tell_servers(q, base, op->queue, now_ms);
}

/* ---- QUEUE_REMOVE -------------------------------------------------------- *
 *
 * cursor  ""     is there such a queue?  it is paused  → tasks
 *         tasks  a part of its tasks is deleted        → tasks, the end
 *
 * With its last task everything else that belongs to it is deleted, its name
 * included. */

/* By force active tasks go, too, when nobody holds them any more. */
static bool has_active(lq_sqlite *q, const lq_op_queue_remove *op,
                       int64_t queue, int64_t now_ms)
{
    if (!op->force)
        return ask(q, LQ_SQL_QUEUE_ACTIVE, queue, 0) != 0;
    lq_query x = lq_query_begin(q, LQ_SQL_QUEUE_HELD);
    lq_query_int(&x, queue);
    lq_query_int(&x, now_ms - HOLDER_GONE_MS);
    return lq_query_one(&x, 0) != 0;
}

int lq_sqlite_queue_remove(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_queue_remove *op = (lq_op_queue_remove *)base;
    bool first = op->cursor[0] == '\0';
    op->more = false;
    int64_t queue = lq_sqlite_queue(q, op->queue);
    if (queue == 0) /* someone else may have removed it meanwhile */
        return first ? no_queue(&base->err, op->queue) : LUNAQ_OK;
    if (!(op->force && op->active) && has_active(q, op, queue, now_ms))
        return lq_fail(&base->err, LUNAQ_ESTATE,
                       "queue '%.*s' has active tasks: wait for their end, or "
                       "cancel them",
                       LQ_STR_ARG(op->queue));
    if (!op->force && ask(q, LQ_SQL_QUEUE_HOLDS, queue, 0))
        return lq_fail(&base->err, LUNAQ_ESTATE,
                       "queue '%.*s' holds tasks: --force deletes them, too",
                       LQ_STR_ARG(op->queue));
    pause_queue(q, queue, now_ms);
    lq_query x = lq_query_begin(q, LQ_SQL_QUEUE_DRAIN);
    lq_query_int(&x, queue);
    lq_query_int(&x, REMOVE_PART);
    lq_query_run(&x);
    op->more = ask(q, LQ_SQL_QUEUE_HOLDS, queue, 0) != 0;
    snprintf(op->cursor, sizeof op->cursor, "%s", op->more ? "tasks" : "gone");
    if (op->more)
        return LUNAQ_OK;
    run(q, LQ_SQL_QUEUE_LOCKS_GONE, queue);
    run(q, LQ_SQL_QUEUE_DAYS_GONE, queue);
    run(q, LQ_SQL_QUEUE_CRON_GONE, queue);
    run(q, LQ_SQL_QUEUE_SETS_GONE, queue);
    run(q, LQ_SQL_QUEUE_FAILURES_GONE, queue);
    run(q, LQ_SQL_QUEUE_UNTOLD_GONE, queue);
    run(q, LQ_SQL_QUEUE_GONE, queue);
    return LUNAQ_OK;
}
