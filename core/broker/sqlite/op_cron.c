/* Periodic entries: CRON_FIRE, CRON_PUBLISH, CRON_RECORD, CRON_HISTORY. */
#include "sqlite/inspect_rows.h"
#include "broker/inspect.h"

/* The last instant of an entry; negative: seen then, never fired; 0: never
 * seen. */
static int64_t last_of(lq_sqlite *q, int64_t queue, lq_str entry)
{
    lq_query x = lq_query_begin(q, LQ_SQL_CRON_LAST);
    lq_query_int(&x, queue);
    lq_query_text(&x, entry);
    return lq_query_one(&x, 0);
}

static void set_last(lq_sqlite *q, int64_t queue, lq_str entry, int64_t ms)
{
    lq_query x = lq_query_begin(q, LQ_SQL_CRON_SET);
    lq_query_int(&x, queue);
    lq_query_text(&x, entry);
    lq_query_int(&x, ms);
    (void)lq_query_run(&x);
}

int lq_sqlite_cron_fire(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_cron_fire *o = (lq_op_cron_fire *)op;
    bool writes = o->item || o->skip || o->first_ms > 0;
    int64_t queue = writes ? lq_sqlite_queue_made(q, o->queue)
                           : lq_sqlite_queue(q, o->queue);
    int64_t last = last_of(q, queue, o->entry_id);

    o->fired = false;
    o->set_back = !o->item && o->first_ms > 0 && o->latest_ms > 0 &&
                  (last < 0 ? -last : last) > o->latest_ms;
    if (o->set_back)
        last = 0;
    if (!last && o->first_ms > 0) {
        last = -o->first_ms;
        set_last(q, queue, o->entry_id, last);
    }
    if ((o->item || o->skip) && o->instant_ms > (last < 0 ? -last : last)) {
        lq_sqlite_line line = {.queue = 0};
        if (o->item)
            lq_sqlite_enqueue_item(q, &line, o->item, now_ms);
        last = o->instant_ms;
        set_last(q, queue, o->entry_id, last);
        o->fired = true;
    }
    o->never = last <= 0;
    o->last_ms = last < 0 ? -last : last;
    return LUNAQ_OK;
}

int lq_sqlite_cron_publish(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_cron_publish *o = (lq_op_cron_publish *)op;
    int64_t ends_ms = now_ms + (o->ttl_ms > 0 ? o->ttl_ms : 20000);
    lq_query x = lq_query_begin(q, LQ_SQL_ENTRIES_GONE);
    lq_query_text(&x, o->scheduler_id);
    (void)lq_query_run(&x);
    for (size_t i = 0; i < o->count; i++) {
        x = lq_query_begin(q, LQ_SQL_ENTRY_ADD);
        lq_query_text(&x, o->scheduler_id);
        lq_query_int(&x, (int64_t)i);
        lq_query_int(&x, ends_ms);
        lq_query_blob(&x, o->entries[i].p ? o->entries[i] : LQ_STR(""));
        (void)lq_query_run(&x);
    }
    return LUNAQ_OK;
}

int lq_sqlite_cron_record(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    const lq_op_cron_record *o = (const lq_op_cron_record *)op;
    (void)now_ms;
    lq_query x = lq_query_begin(q, o->task_id.len ? LQ_SQL_HISTORY_ADD
                                                  : LQ_SQL_HISTORY_GONE);
    lq_query_text(&x, o->entry_id);
    if (!o->task_id.len) {
        (void)lq_query_run(&x);
        return LUNAQ_OK;
    }
    lq_query_int(&x, o->at_ms);
    lq_query_text(&x, o->task_id);
    (void)lq_query_run(&x);
    x = lq_query_begin(q, LQ_SQL_HISTORY_TRIM);
    lq_query_text(&x, o->entry_id);
    lq_query_int(&x, LQ_CRON_HISTORY_MAX);
    (void)lq_query_run(&x);
    return LUNAQ_OK;
}

int lq_sqlite_cron_history(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_cron_history *o = (lq_op_cron_history *)op;
    size_t room = 0;
    int rc = LUNAQ_OK;
    (void)now_ms;
    o->events = NULL;
    o->count = 0;
    lq_query x = lq_query_begin(q, LQ_SQL_HISTORY);
    lq_query_text(&x, o->entry_id);
    lq_query_int(&x, o->limit ? (int64_t)o->limit : LQ_CRON_HISTORY_MAX);
    while (!rc && lq_query_row(&x)) {
        lq_cron_event *events = lq_sqlite_room(&op->mem, o->events, o->count,
                                               &room, sizeof *o->events);
        if (!events) {
            rc = lq_fail_nomem(&op->err);
            break;
        }
        o->events = events;
        events[o->count] =
            (lq_cron_event){.task_id = lq_column_copy(&x, 0, &op->mem),
                            .at_ms = lq_column_int(&x, 1)};
        if (!events[o->count].task_id.p)
            rc = lq_fail_nomem(&op->err);
        o->count++;
    }
    lq_query_end(&x);
    return rc;
}
