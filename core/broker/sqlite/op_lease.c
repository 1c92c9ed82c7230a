/* Who holds what: EXTEND, RECONCILE, EXPIRED, REPAIR, RESULT. */
#include "sqlite/ops.h"

#include "base/map.h"

#include <stdio.h>

/* A holder that is not known (Go's, in a file moved from Redis) gets this much
 * longer. */
#define UNKNOWN_HOLDER_MS 30000

/* ---- EXTEND -------------------------------------------------------------- */

int lq_sqlite_extend(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_extend *o = (lq_op_extend *)op;
    if (o->count > LQ_BATCH_MAX)
        return lq_fail(&op->err, LUNAQ_EINVAL,
                       "sqlite: extend: at most %d tasks in one", LQ_BATCH_MAX);
    int64_t queue = lq_sqlite_queue(q, o->queue);
    for (size_t i = 0; i < o->count; i++) {
        lq_extend_item *item = &o->items[i];
        item->cancel = (lq_str){0};
        item->code = LUNAQ_ELEASE;
        if (item->token == 0)
            continue;
        lq_query x = lq_query_begin(q, LQ_SQL_LEASE_EXTEND);
        lq_query_int(&x, queue);
        lq_query_text(&x, item->id);
        lq_query_int(&x, item->token);
        lq_query_int(&x, now_ms + o->lease_ms);
        if (lq_query_row(&x)) {
            item->code = LUNAQ_OK;
            item->cancel = lq_column_copy(&x, 0, &op->mem);
        }
        (void)lq_query_run(&x);
    }
    return LUNAQ_OK;
}

/* ---- RECONCILE ----------------------------------------------------------- */

struct lost {
    int64_t seq;
    lq_str msg, cancel; /* msg only of what was cancelled */
};

/* The tasks of a token that are not held, in the order they were taken. */
static int find_lost(lq_sqlite *q, lq_op_reconcile *o, int64_t queue,
                     const lq_map *held, struct lost **list, size_t *count)
{
    size_t room = 0;
    lq_query x = lq_query_begin(q, LQ_SQL_LEASES_OF);
    lq_query_int(&x, queue);
    lq_query_int(&x, o->old_token);
    while (lq_query_row(&x)) {
        if (lq_map_get(held, lq_column_bytes(&x, 1)))
            continue;
        if (*count == room) {
            room = room ? room * 2 : 64;
            struct lost *more = lq_realloc(*list, room * sizeof(*more));
            if (!more) {
                lq_query_end(&x);
                return lq_fail_nomem(&o->op.err);
            }
            *list = more;
        }
        struct lost *l = &(*list)[(*count)++];
        *l = (struct lost){.seq = lq_column_int(&x, 0),
                           .cancel = lq_column_copy(&x, 2, &o->op.mem)};
        if (l->cancel.p)
            l->msg = lq_column_copy(&x, 3, &o->op.mem);
    }
    lq_query_end(&x);
    return LUNAQ_OK;
}

/* Back to pending, next to run, the first of them first; what somebody asked to
 * cancel is archived. */
static void give_back(lq_sqlite *q, int64_t queue, const struct lost *list,
                      size_t count, int64_t now_ms)
{
    int64_t place = lq_sqlite_front(q, queue, (int64_t)count);
    bool archived = false;
    for (size_t i = 0; i < count; i++) {
        if (list[i].cancel.p) {
            lq_sqlite_archive_canceled(q, list[i].seq, list[i].msg,
                                       list[i].cancel, false, now_ms);
            lq_sqlite_note_untold(q, list[i].seq, now_ms);
            archived = true;
            continue;
        }
        lq_query x = lq_query_begin(q, LQ_SQL_TASK_READY);
        lq_query_int(&x, list[i].seq);
        lq_query_int(&x, place + (int64_t)i);
        lq_query_int(&x, now_ms);
        (void)lq_query_run(&x);
    }
    if (archived)
        (void)lq_sqlite_trim_archive(q, queue, now_ms, NULL);
}

int lq_sqlite_reconcile(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_reconcile *o = (lq_op_reconcile *)op;
    int64_t queue = lq_sqlite_queue(q, o->queue);
    struct lost *list = NULL;
    size_t count = 0;
    lq_map held = {0};
    int rc = LUNAQ_OK;

    o->returned = 0;
    for (size_t i = 0; i < o->held_count && !rc; i++)
        if (!lq_map_set(&held, o->held[i], &held, NULL))
            rc = lq_fail_nomem(&op->err);
    if (!rc && o->old_token)
        rc = find_lost(q, o, queue, &held, &list, &count);
    if (!rc && count) {
        give_back(q, queue, list, count, now_ms);
        lq_sqlite_wake_queue(q, o->queue);
        o->returned = (int64_t)count;
    }
    lq_map_release(&held);
    lq_free(list);
    return rc;
}

/* ---- EXPIRED ------------------------------------------------------------- */

static void read_expired(lq_op_expired *o, lq_query *x, int64_t at_ms,
                         int64_t token)
{
    lq_expired *e = &o->items[o->count++];
    *e = (lq_expired){.id = lq_column_copy(x, 2, &o->op.mem),
                      .token = (uint32_t)token,
                      .crashes = (int32_t)lq_column_int(x, 3),
                      .cancel = lq_column_copy(x, 4, &o->op.mem),
                      .msg = lq_column_copy(x, 5, &o->op.mem)};
    snprintf(e->score, sizeof(e->score), "%lld:%lld", (long long)token,
             (long long)at_ms);
}

int lq_sqlite_expired(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_expired *o = (lq_op_expired *)op;
    int64_t queue = lq_sqlite_queue(q, o->queue);
    size_t limit = o->limit < LQ_BATCH_MAX ? o->limit : LQ_BATCH_MAX;
    int64_t next_ms = INT64_MAX;

    o->count = 0;
    o->next_ms = -1;
    o->items = NULL;
    if (limit &&
        !(o->items = lq_arena_alloc(&op->mem, limit * sizeof(*o->items))))
        return lq_fail_nomem(&op->err);
    lq_query x = lq_query_begin(q, LQ_SQL_LEASES_ENDED);
    lq_query_int(&x, queue);
    lq_query_int(&x, now_ms);
    while (lq_query_row(&x)) {
        int64_t at_ms = lq_column_int(&x, 0), token = lq_column_int(&x, 1);
        int64_t due_ms = at_ms + (token ? 0 : UNKNOWN_HOLDER_MS);
        if (due_ms > now_ms || o->count == limit)
            next_ms = due_ms < next_ms ? due_ms : next_ms;
        else
            read_expired(o, &x, at_ms, token);
        if (o->count == limit)
            break;
    }
    lq_query_end(&x);
    if (o->count == limit)
        next_ms = now_ms; /* there may be more */
    x = lq_query_begin(q, LQ_SQL_LEASE_NEXT);
    lq_query_int(&x, queue);
    lq_query_int(&x, now_ms);
    if (lq_query_row(&x)) {
        int64_t due_ms = lq_column_int(&x, 0) +
                         (lq_column_int(&x, 1) ? 0 : UNKNOWN_HOLDER_MS);
        next_ms = due_ms < next_ms ? due_ms : next_ms;
    }
    lq_query_end(&x);
    if (next_ms != INT64_MAX)
        o->next_ms = next_ms > now_ms ? next_ms - now_ms : 0;
    return LUNAQ_OK;
}

/* ---- REPAIR -------------------------------------------------------------- */

/* A task is one row with one state, so there is nothing that could disagree.
 */
int lq_sqlite_repair(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_repair *o = (lq_op_repair *)op;
    (void)q;
    (void)now_ms;
    o->leased = o->dropped = 0;
    return LUNAQ_OK;
}

/* ---- RESULT -------------------------------------------------------------- */

int lq_sqlite_result(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_result *o = (lq_op_result *)op;
    (void)now_ms;
    if (o->token) {
        lq_query x = lq_query_begin(q, LQ_SQL_TASK_RESULT);
        lq_query_text(&x, o->queue);
        lq_query_text(&x, o->id);
        lq_query_int(&x, o->token);
        lq_query_blob(&x, o->data.p ? o->data : LQ_STR(""));
        if (lq_query_run(&x) == 1)
            return LUNAQ_OK;
    }
    return lq_fail(&op->err, LUNAQ_ELEASE,
                   "sqlite: result: task %.*s is no longer ours",
                   LQ_STR_ARG(o->id));
}
