/* ENQUEUE: tasks come in, each for itself. */
#include "sqlite/connection.h"
#include "sqlite/ops.h"

/* The line of the task's queue. */
static bool stand_in(lq_sqlite *q, lq_sqlite_line *line, lq_str name)
{
    if (line->queue && lq_str_eq(line->name, name))
        return true;
    *line =
        (lq_sqlite_line){.name = name, .queue = lq_sqlite_queue_made(q, name)};
    return line->queue != 0;
}

static bool lock(lq_sqlite *q, const lq_sqlite_line *line, const lq_enqueue *e,
                 int64_t now_ms)
{
    lq_query x = lq_query_begin(q, LQ_SQL_LOCK);
    lq_query_text(&x, e->task.unique_key);
    lq_query_int(&x, line->queue);
    lq_query_text(&x, e->task.id);
    lq_query_int(&x, now_ms + e->unique_s * 1000);
    lq_query_int(&x, now_ms);
    return lq_query_run(&x) == 1;
}

void lq_sqlite_enqueue_item(lq_sqlite *q, lq_sqlite_line *line, lq_enqueue *e,
                            int64_t now_ms)
{
    const lq_task *t = &e->task;
    bool unique = e->unique_s > 0 && t->unique_key.len;
    bool grouped = t->group_key.len > 0;
    lunaq_state state = LUNAQ_PENDING;
    int64_t at_ms = now_ms;

    e->code = LUNAQ_OK;
    e->delayed = e->process_at_ms > now_ms;
    if (!stand_in(q, line, t->queue))
        return;
    if (e->delayed) {
        state = LUNAQ_SCHEDULED;
        at_ms = lq_sqlite_whole_s(e->process_at_ms);
    } else if (grouped) {
        state = LUNAQ_AGGREGATING;
    } else if (!line->tail) {
        line->tail = lq_sqlite_tail(q, line->queue);
    }
    lq_buf *msg = lq_sqlite_scratch(q);
    lq_task_encode(msg, t);
    if (msg->failed) {
        lq_sqlite_fault_nomem(q);
        return;
    }
    lq_query x = lq_query_begin(q, LQ_SQL_TASK_ADD);
    lq_query_int(&x, line->queue);
    lq_query_int(&x, state);
    lq_query_int(&x, at_ms);
    lq_query_int(&x, state == LUNAQ_PENDING ? line->tail : 0);
    lq_query_text(&x, t->id);
    lq_query_text(&x, t->type);
    lq_query_text(&x, grouped ? t->group_key : (lq_str){0});
    lq_query_text(&x, unique ? t->unique_key : (lq_str){0});
    lq_query_blob(&x, lq_buf_str(msg));
    /* The id first: who repeats an enqueue shall hear that the task is there,
     * and a task that is refused leaves no lock. */
    if (lq_query_run(&x) == 0) {
        e->code = LUNAQ_EEXIST;
        e->delayed = false; /* nothing was */
        return;
    }
    if (unique && !lock(q, line, e, now_ms)) {
        x = lq_query_begin(q, LQ_SQL_TASK_UNDO_ADD);
        (void)lq_query_run(&x);
        e->code = LUNAQ_EDUPLICATE;
        e->delayed = false;
        return;
    }
    if (state == LUNAQ_PENDING) {
        line->tail++;
        lq_sqlite_wake_queue(q, t->queue);
    }
}

/* False: it is refused.  A commit that was undone says so for all of its
 * operations, so that what is reached may be said before. */
static bool can_be_durable(lq_sqlite *q, lq_op *op, lq_enqueue *e)
{
    if (e->durable == LUNAQ_DURABLE_REPLICA) {
        e->reached = LUNAQ_DURABLE_DEFAULT;
        e->code = lq_fail(&op->err, LUNAQ_ECONFIG,
                          "durable=replica: a queue file has no replicas: ask "
                          "for fsync");
        return false;
    }
    e->reached = LUNAQ_DURABLE_FSYNC;
    if (q->normal && e->durable == LUNAQ_DURABLE_FSYNC)
        q->sync = true;
    else if (q->normal)
        e->reached = LUNAQ_DURABLE_NONE;
    return true;
}

int lq_sqlite_enqueue(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_enqueue *o = (lq_op_enqueue *)op;
    lq_sqlite_line *line = &q->line; /* kept from one operation to the next */
    if (o->count > LQ_BATCH_MAX)
        return lq_fail(&op->err, LUNAQ_EINVAL,
                       "sqlite: enqueue: at most %d tasks in one",
                       LQ_BATCH_MAX);
    for (size_t i = 0; i < o->count; i++)
        if (can_be_durable(q, op, o->items[i])) {
            lq_enqueue *e = o->items[i];
            lq_sqlite_enqueue_item(q, line, e, now_ms);
            /* Who put it there may have asked for less. */
            if (e->code == LUNAQ_EEXIST && e->durable == LUNAQ_DURABLE_FSYNC)
                q->sync = true;
        }
    /* The name is the operation's, which may be gone before the next. */
    if (line->queue && line->name.p != q->line_name) {
        if (line->name.len <= sizeof(q->line_name)) {
            memcpy(q->line_name, line->name.p, line->name.len);
            line->name.p = q->line_name;
        } else {
            line->queue = 0;
        }
    }
    return LUNAQ_OK;
}
