/* From one broker to another: a queue read with all it has, and put in. */
#include "sqlite/inspect_rows.h"

#include "broker/copy.h"
#include "task/codec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORT_BYTES ((size_t)4 * 1024 * 1024) /* of messages in one batch */
#define DAY_MS ((int64_t)24 * 3600 * 1000)

/* ---- EXPORT -------------------------------------------------------------- *
 *
 * cursor  ""          the pending ones in their order   → p:place:seq
 *         p:place:seq what is behind that               → p:…, s:0
 *         s:seq       all others in the order of rows   → s:…, 0 */

struct walk {
    bool others;
    int64_t place, seq;
    int64_t now_ms;
};

static struct walk walk_from(const char *cursor)
{
    struct walk w = {.place = INT64_MIN};
    char *end = NULL;
    if (cursor[0] == 's') {
        w.others = true;
        w.seq = strtoll(cursor + 2, NULL, 10);
    } else if (cursor[0] == 'p') {
        w.place = strtoll(cursor + 2, &end, 10);
        w.seq = *end ? strtoll(end + 1, NULL, 10) : 0;
    }
    return w;
}

/* A column that may be NULL; false: out of memory. */
static bool keep(lq_query *x, int column, lq_arena *mem, lq_str *copy)
{
    *copy = lq_column_copy(x, column, mem);
    return copy->p || lq_column_is_null(x, column);
}

static bool take(lq_query *x, lq_arena *mem, int64_t now_ms, lq_copy *c)
{
    int64_t ends_ms = lq_column_int(x, 11);
    c->state = (lunaq_state)lq_column_int(x, 1);
    c->at_ms = lq_column_int(x, 2);
    c->crashes = lq_column_int(x, 5);
    c->lock_ms = ends_ms > now_ms ? ends_ms - now_ms : 0;
    return keep(x, 0, mem, &c->id) && keep(x, 6, mem, &c->group) &&
           keep(x, 7, mem, &c->unique_key) && keep(x, 8, mem, &c->cancel) &&
           keep(x, 9, mem, &c->result) && keep(x, 10, mem, &c->msg);
}

/* Takes a part of what w is at; true when there is no more of it. */
static bool take_part(lq_sqlite *q, lq_op_export *op, int64_t queue,
                      struct walk *w)
{
    lq_op *base = &op->op;
    size_t bytes = 0;
    bool full = false;
    lq_query x = lq_query_begin(q, w->others ? LQ_SQL_EXPORT_OTHERS
                                             : LQ_SQL_EXPORT_PENDING);
    lq_query_int(&x, queue);
    lq_query_int(&x, w->place);
    lq_query_int(&x, w->seq);
    lq_query_int(&x, LQ_BATCH_MAX);
    while (!full && lq_query_row(&x)) {
        lq_copy *c = &op->items[op->count];
        if (!take(&x, &base->mem, w->now_ms, c)) {
            lq_sqlite_fault_nomem(q);
            break;
        }
        w->place = lq_column_int(&x, 3);
        w->seq = lq_column_int(&x, 4);
        bytes += c->msg.len + c->result.len;
        full = ++op->count == LQ_BATCH_MAX || bytes >= EXPORT_BYTES;
    }
    lq_query_end(&x);
    return !full;
}

int lq_sqlite_export(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_export *op = (lq_op_export *)base;
    int64_t queue = lq_sqlite_queue(q, op->queue);
    struct walk w = walk_from(op->cursor);
    w.now_ms = now_ms;
    op->count = op->dangling = 0;
    op->items = lq_arena_alloc(&base->mem, LQ_BATCH_MAX * sizeof *op->items);
    if (!op->items)
        return lq_fail_nomem(&base->err);
    bool done = take_part(q, op, queue, &w);
    if (done && w.others)
        snprintf(op->cursor, sizeof op->cursor, "0");
    else if (done)
        snprintf(op->cursor, sizeof op->cursor, "s:0");
    else if (w.others)
        snprintf(op->cursor, sizeof op->cursor, "s:%" PRId64, w.seq);
    else
        snprintf(op->cursor, sizeof op->cursor, "p:%" PRId64 ":%" PRId64,
                 w.place, w.seq);
    return LUNAQ_OK;
}

/* ---- IMPORT -------------------------------------------------------------- */

/* What is there under its id. */
static int look(lq_sqlite *q, int64_t queue, const lq_copy *c)
{
    lq_query x = lq_query_begin(q, LQ_SQL_IMPORT_LOOK);
    lq_query_int(&x, queue);
    lq_query_text(&x, c->id);
    lq_query_int(&x, c->state);
    lq_query_blob(&x, c->msg);
    switch (lq_query_one(&x, -1)) {
    case 1:
        return LUNAQ_EEXIST;
    case 0:
        return LUNAQ_ESTATE;
    default:
        return LUNAQ_ENOTFOUND;
    }
}

static void lock(lq_sqlite *q, int64_t queue, const lq_copy *c, int64_t now_ms)
{
    lq_query x = lq_query_begin(q, LQ_SQL_LOCK);
    lq_query_text(&x, c->unique_key);
    lq_query_int(&x, queue);
    lq_query_text(&x, c->id);
    lq_query_int(&x, now_ms + c->lock_ms);
    lq_query_int(&x, now_ms);
    lq_query_run(&x);
}

static int add(lq_sqlite *q, int64_t queue, const lq_copy *c, int64_t now_ms)
{
    lq_task t = {0};
    if (lq_task_decode(&t, c->msg, NULL) != LUNAQ_OK) {
        lq_task_release(&t);
        t.type = LQ_STR(LQ_TYPE_UNDECODABLE);
    }
    bool pending = c->state == LUNAQ_PENDING;
    int64_t place = pending ? lq_sqlite_tail(q, queue) : 0;
    lq_query x = lq_query_begin(q, LQ_SQL_IMPORT);
    lq_query_int(&x, queue);
    lq_query_text(&x, c->id);
    lq_query_int(&x, c->state);
    lq_query_int(&x, c->at_ms);
    lq_query_int(&x, place);
    lq_query_int(&x, c->crashes);
    lq_query_text(&x, t.type);
    lq_query_text(&x, c->group);
    lq_query_text(&x, c->unique_key);
    lq_query_text(&x, c->cancel);
    lq_query_blob(&x, c->result);
    lq_query_blob(&x, c->msg);
    bool added = lq_query_run(&x) == 1;
    lq_task_release(&t);
    if (!added)
        return look(q, queue, c);
    if (c->unique_key.len > 0 && c->lock_ms > 0)
        lock(q, queue, c, now_ms);
    return LUNAQ_OK;
}

int lq_sqlite_import(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_import *op = (lq_op_import *)base;
    int64_t queue = op->check ? lq_sqlite_queue(q, op->queue)
                              : lq_sqlite_queue_made(q, op->queue);
    bool ready = false;
    for (size_t i = 0; i < op->count; i++) {
        lq_copy *c = &op->items[i];
        c->code = op->check ? look(q, queue, c) : add(q, queue, c, now_ms);
        ready = ready || (c->code == LUNAQ_OK && c->state == LUNAQ_PENDING);
    }
    if (ready)
        lq_sqlite_wake_queue(q, op->queue);
    return LUNAQ_OK;
}

/* ---- EXPORT_QUEUE -------------------------------------------------------- */

static void take_days(lq_sqlite *q, lq_op_export_queue *op, int64_t queue)
{
    int64_t today = op->now_ms / DAY_MS;
    lq_query x = lq_query_begin(q, LQ_SQL_DAYS);
    lq_query_int(&x, queue);
    lq_query_int(&x, today - LQ_COPY_DAYS);
    lq_query_int(&x, today);
    while (lq_query_row(&x)) {
        int64_t ago = today - lq_column_int(&x, 0);
        if (ago >= 0 && ago < LQ_COPY_DAYS) {
            op->copy.processed_on[ago] = lq_column_int(&x, 1);
            op->copy.failed_on[ago] = lq_column_int(&x, 2);
        }
    }
    lq_query_end(&x);
}

static void take_crons(lq_sqlite *q, lq_op_export_queue *op, int64_t queue)
{
    lq_queue_copy *copy = &op->copy;
    size_t room = 0;
    lq_query x = lq_query_begin(q, LQ_SQL_EXPORT_CRON);
    lq_query_int(&x, queue);
    while (lq_query_row(&x)) {
        lq_copy_cron *crons =
            lq_sqlite_room(&op->op.mem, copy->crons, copy->cron_count, &room,
                           sizeof *copy->crons);
        if (!crons) {
            lq_sqlite_fault_nomem(q);
            break;
        }
        copy->crons = crons;
        lq_copy_cron *c = &crons[copy->cron_count++];
        c->entry = lq_column_copy(&x, 0, &op->op.mem);
        c->last_ms = lq_column_int(&x, 1);
        if (!c->entry.p) {
            lq_sqlite_fault_nomem(q);
            break;
        }
    }
    lq_query_end(&x);
}

int lq_sqlite_export_queue(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_export_queue *op = (lq_op_export_queue *)base;
    int64_t queue = lq_sqlite_queue(q, op->queue);
    (void)now_ms;
    if (queue == 0)
        return lq_fail(&base->err, LUNAQ_ENOTFOUND, "no queue '%.*s'",
                       LQ_STR_ARG(op->queue));
    op->copy = (lq_queue_copy){0};
    lq_query x = lq_query_begin(q, LQ_SQL_EXPORT_QUEUE);
    lq_query_int(&x, queue);
    if (lq_query_row(&x)) {
        op->copy.paused_ms = lq_column_int(&x, 0);
        op->copy.processed = lq_column_int(&x, 1);
        op->copy.failed = lq_column_int(&x, 2);
        op->copy.discarded = lq_column_int(&x, 3);
        op->copy.dropped = lq_column_int(&x, 4);
    }
    lq_query_end(&x);
    take_days(q, op, queue);
    take_crons(q, op, queue);
    return LUNAQ_OK;
}

/* ---- IMPORT_QUEUE -------------------------------------------------------- */

int lq_sqlite_import_queue(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    const lq_op_import_queue *op = (const lq_op_import_queue *)base;
    const lq_queue_copy *c = &op->copy;
    (void)now_ms;
    int64_t queue = lq_sqlite_queue_made(q, op->queue);
    lq_query x = lq_query_begin(q, LQ_SQL_IMPORT_QUEUE);
    lq_query_int(&x, queue);
    lq_query_int(&x, c->processed);
    lq_query_int(&x, c->failed);
    lq_query_int(&x, c->discarded);
    lq_query_int(&x, c->dropped);
    if (c->paused_ms > 0)
        lq_query_int(&x, c->paused_ms);
    else
        lq_query_null(&x);
    lq_query_run(&x);
    for (int64_t d = 0; d < LQ_COPY_DAYS; d++) {
        if (c->processed_on[d] <= 0 && c->failed_on[d] <= 0)
            continue;
        x = lq_query_begin(q, LQ_SQL_IMPORT_DAY);
        lq_query_int(&x, queue);
        lq_query_int(&x, op->now_ms / DAY_MS - d);
        lq_query_int(&x, c->processed_on[d]);
        lq_query_int(&x, c->failed_on[d]);
        lq_query_run(&x);
    }
    for (size_t i = 0; i < c->cron_count; i++) {
        x = lq_query_begin(q, LQ_SQL_IMPORT_CRON);
        lq_query_int(&x, queue);
        lq_query_text(&x, c->crons[i].entry);
        lq_query_int(&x, c->crons[i].last_ms);
        lq_query_run(&x);
    }
    return LUNAQ_OK;
}
