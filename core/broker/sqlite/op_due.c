/* What comes due or is called off: FORWARD, CLEAN, CANCEL. */
#include "sqlite/ops.h"
#include "broker/inspect.h"

/* Requests to cancel are kept so long for those who listen. */
#define NOTE_MS 60000
#define STAT_DAYS 90

/* ---- FORWARD ------------------------------------------------------------- */

/* Changing a task moves it in the index that is being read, so what is due is
 * read first. */
struct due {
    int64_t seq;
    bool grouped;
    lq_str cancel, msg; /* msg only of what was cancelled */
};

static size_t read_due(lq_sqlite *q, lq_op_forward *o, enum lq_sql which,
                       int64_t queue, struct due *list, int64_t now_ms)
{
    size_t n = 0;
    lq_query x = lq_query_begin(q, which);
    lq_query_int(&x, queue);
    lq_query_int(&x, now_ms);
    lq_query_int(&x, LQ_BATCH_MAX);
    for (; n < LQ_BATCH_MAX && lq_query_row(&x); n++) {
        list[n] = (struct due){.seq = lq_column_int(&x, 0),
                               .grouped = !lq_column_is_null(&x, 1),
                               .cancel = lq_column_copy(&x, 2, &o->op.mem)};
        if (list[n].cancel.p)
            list[n].msg = lq_column_copy(&x, 3, &o->op.mem);
    }
    lq_query_end(&x);
    return n;
}

/* Moves them; true when one was archived. */
static bool move_due(lq_sqlite *q, lq_op_forward *o, int64_t queue,
                     const struct due *list, size_t n, int64_t now_ms)
{
    int64_t tail = n ? lq_sqlite_tail(q, queue) : 0;
    bool archived = false, ready = false;
    for (size_t i = 0; i < n; i++) {
        if (list[i].cancel.p) {
            lq_sqlite_archive_canceled(q, list[i].seq, list[i].msg,
                                       list[i].cancel, false, now_ms);
            lq_sqlite_note_untold(q, list[i].seq, now_ms);
            archived = true;
            continue;
        }
        lq_query x = lq_query_begin(q, list[i].grouped ? LQ_SQL_TASK_GROUP
                                                       : LQ_SQL_TASK_READY);
        lq_query_int(&x, list[i].seq);
        if (!list[i].grouped) {
            lq_query_int(&x, tail++);
            ready = true;
        }
        lq_query_int(&x, now_ms);
        o->moved += lq_query_run(&x);
    }
    if (ready)
        lq_sqlite_wake_queue(q, o->queue);
    return archived;
}

int lq_sqlite_forward(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    static const enum lq_sql reads[] = {LQ_SQL_DUE_SCHEDULED, LQ_SQL_DUE_RETRY};
    lq_op_forward *o = (lq_op_forward *)op;
    struct due list[LQ_BATCH_MAX];
    int64_t queue = lq_sqlite_queue(q, o->queue);
    bool archived = false;

    o->moved = 0;
    for (size_t i = 0; i < LQ_COUNT(reads); i++) {
        size_t n = read_due(q, o, reads[i], queue, list, now_ms);
        archived |= move_due(q, o, queue, list, n, now_ms);
    }
    if (archived)
        (void)lq_sqlite_trim_archive(q, queue, now_ms, NULL);
    lq_query x = lq_query_begin(q, LQ_SQL_DUE_NEXT);
    lq_query_int(&x, queue);
    int64_t at_ms = lq_query_one(&x, -1);
    o->next_ms = at_ms < 0 ? -1 : at_ms > now_ms ? at_ms - now_ms : 0;
    return LUNAQ_OK;
}

/* ---- CLEAN --------------------------------------------------------------- */

int lq_sqlite_clean(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    static const enum lq_sql ended[] = {
        LQ_SQL_CLEAN_LOCKS,   LQ_SQL_CLEAN_TOKENS,  LQ_SQL_CLEAN_WORKERS,
        LQ_SQL_CLEAN_SERVERS, LQ_SQL_CLEAN_ENTRIES,
    };
    lq_op_clean *o = (lq_op_clean *)op;
    int64_t queue = lq_sqlite_queue(q, o->queue);
    lq_query x = lq_query_begin(q, LQ_SQL_CLEAN_COMPLETED);
    lq_query_int(&x, queue);
    lq_query_int(&x, now_ms);
    lq_query_int(&x, LQ_BATCH_MAX);
    o->deleted = lq_query_run(&x);
    o->more = o->deleted == LQ_BATCH_MAX;
    if (o->limits) {
        x = lq_query_begin(q, LQ_SQL_LIMITS_SET);
        lq_query_int(&x, queue);
        lq_query_int(&x, o->limits->archive_max);
        lq_query_int(&x, o->limits->archive_ms);
        lq_query_int(&x, o->limits->completed_max);
        (void)lq_query_run(&x);
    }
    o->dropped = 0;
    o->more |= lq_sqlite_trim_completed(q, queue, &o->dropped);
    o->more |= lq_sqlite_trim_archive(q, queue, now_ms, &o->dropped);
    lq_sqlite_trim_untold(q, queue, now_ms);
    /* And what ends by itself in Redis. */
    for (size_t i = 0; i < LQ_COUNT(ended); i++) {
        x = lq_query_begin(q, ended[i]);
        lq_query_int(&x, now_ms);
        (void)lq_query_run(&x);
    }
    x = lq_query_begin(q, LQ_SQL_CLEAN_NOTES);
    lq_query_int(&x, now_ms - NOTE_MS);
    (void)lq_query_run(&x);
    x = lq_query_begin(q, LQ_SQL_CLEAN_HISTORY);
    lq_query_int(&x, now_ms - LQ_CRON_HISTORY_MS);
    (void)lq_query_run(&x);
    x = lq_query_begin(q, LQ_SQL_CLEAN_STATS);
    lq_query_int(&x, now_ms / 86400000 - STAT_DAYS);
    (void)lq_query_run(&x);
    return LUNAQ_OK;
}

/* ---- CANCEL -------------------------------------------------------------- */

static void mark_active(lq_sqlite *q, const lq_op_cancel *o, int64_t seq,
                        lq_str reason, int64_t now_ms)
{
    lq_query x;
    if (!o->attempt) {
        x = lq_query_begin(q, LQ_SQL_TASK_CANCEL);
        lq_query_int(&x, seq);
        lq_query_text(&x, reason);
        (void)lq_query_run(&x);
    }
    x = lq_query_begin(q, LQ_SQL_NOTE_ADD);
    lq_query_int(&x, now_ms);
    lq_query_text(&x, o->id);
    (void)lq_query_run(&x);
    lq_sqlite_wake_cancel(q, o->id);
}

int lq_sqlite_cancel(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_cancel *o = (lq_op_cancel *)op;
    char text[1024];
    /* The reason becomes a protobuf string: UTF-8, and short. */
    lq_str reason =
        lq_str_n(text, lq_utf8_clean(o->reason, text, sizeof(text)));
    int64_t queue = lq_sqlite_queue(q, o->queue);
    if (!reason.len)
        reason = LQ_STR("canceled");

    bool in_set = false;

    o->was = LUNAQ_STATE_ANY;
    lq_query x = lq_query_begin(q, LQ_SQL_TASK_FIND);
    lq_query_int(&x, queue);
    lq_query_text(&x, o->id);
    if (lq_query_row(&x)) {
        int64_t seq = lq_column_int(&x, 0);
        o->was = (lunaq_state)lq_column_int(&x, 1);
        in_set = o->was == LUNAQ_AGGREGATING && lq_column_int(&x, 3) != 0;
        if (o->was == LUNAQ_ACTIVE) {
            mark_active(q, o, seq, reason, now_ms);
        } else if (o->was != LUNAQ_ARCHIVED && o->was != LUNAQ_COMPLETED &&
                   !in_set && !o->attempt) {
            lq_sqlite_archive_canceled(q, seq, lq_column_bytes(&x, 2), reason,
                                       false, now_ms);
            lq_sqlite_note_untold(q, seq, now_ms);
            (void)lq_sqlite_trim_archive(q, queue, now_ms, NULL);
        }
    }
    lq_query_end(&x);
    if (o->was == LUNAQ_STATE_ANY)
        return lq_fail(&op->err, LUNAQ_ENOTFOUND,
                       "no task %.*s in queue '%.*s'", LQ_STR_ARG(o->id),
                       LQ_STR_ARG(o->queue));
    if (o->attempt && o->was != LUNAQ_ACTIVE)
        return lq_fail(&op->err, LUNAQ_ESTATE,
                       "task %.*s is %s: there is no attempt to end",
                       LQ_STR_ARG(o->id), lunaq_state_name(o->was));
    if (in_set)
        return lq_fail(&op->err, LUNAQ_ESTATE,
                       "task %.*s is being aggregated: its group's new task "
                       "can be canceled",
                       LQ_STR_ARG(o->id));
    if (o->was == LUNAQ_ARCHIVED || o->was == LUNAQ_COMPLETED)
        return lq_fail(&op->err, LUNAQ_ESTATE,
                       "task %.*s is %s: there is nothing to cancel",
                       LQ_STR_ARG(o->id), lunaq_state_name(o->was));
    return LUNAQ_OK;
}
