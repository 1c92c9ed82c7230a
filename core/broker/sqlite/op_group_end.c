/* What becomes of a set: GROUP_FINISH, GROUP_BACK, GROUP_RECLAIM. */
#include "sqlite/op_group.h"

/* ---- GROUP_FINISH -------------------------------------------------------- */

/* Those that are not the aggregator's business run by themselves. */
static void let_go(lq_sqlite *q, const lq_op_group_finish *o, int64_t queue,
                   int64_t number, int64_t now_ms)
{
    int64_t place = o->alone_count ? lq_sqlite_tail(q, queue) : 0;
    for (size_t i = 0; i < o->alone_count; i++) {
        lq_query x = lq_query_begin(q, LQ_SQL_SET_ALONE);
        lq_query_int(&x, queue);
        lq_query_text(&x, o->alone[i]);
        lq_query_int(&x, number);
        lq_query_int(&x, place + (int64_t)i);
        lq_query_int(&x, now_ms);
        (void)lq_query_run(&x);
    }
    if (o->alone_count)
        lq_sqlite_wake_queue(q, o->queue);
}

/* Deletes the set with its tasks and their locks; how many. */
static int64_t drop_set(lq_sqlite *q, int64_t queue, int64_t number)
{
    int64_t n = 0;
    lq_query x = lq_query_begin(q, LQ_SQL_SET_DROP);
    lq_query_int(&x, queue);
    lq_query_int(&x, number);
    for (; lq_query_row(&x); n++) {
        lq_str key = lq_column_bytes(&x, 0);
        if (key.len)
            lq_sqlite_unlock(q, key, lq_column_bytes(&x, 1));
    }
    lq_query_end(&x);
    x = lq_query_begin(q, LQ_SQL_SET_GONE);
    lq_query_int(&x, number);
    (void)lq_query_run(&x);
    return n;
}

static void count_processed(lq_sqlite *q, int64_t queue, int64_t n,
                            int64_t now_ms)
{
    lq_query x = lq_query_begin(q, LQ_SQL_QUEUE_COUNT);
    lq_query_int(&x, queue);
    lq_query_int(&x, n);
    lq_query_int(&x, 0);
    lq_query_int(&x, 0);
    (void)lq_query_run(&x);
    x = lq_query_begin(q, LQ_SQL_DAY_COUNT);
    lq_query_int(&x, queue);
    lq_query_int(&x, now_ms / 86400000);
    lq_query_int(&x, n);
    lq_query_int(&x, 0);
    (void)lq_query_run(&x);
}

static void note_failure(lq_sqlite *q, int64_t queue, lq_str group,
                         int64_t until_ms, lq_str error)
{
    char text[1024];
    size_t len = lq_utf8_clean(error, text, sizeof(text));
    lq_query x = lq_query_begin(q, LQ_SQL_GROUP_FAIL);
    lq_query_int(&x, queue);
    lq_query_text(&x, group);
    lq_query_int(&x, until_ms);
    lq_query_text(&x, lq_str_n(text, len));
    (void)lq_query_run(&x);
}

/* Those whose handler failed stay in the group. */
static void leave(lq_sqlite *q, const lq_op_group_finish *o, int64_t queue,
                  int64_t number)
{
    for (size_t i = 0; i < o->back_count; i++) {
        lq_query x = lq_query_begin(q, LQ_SQL_SET_LEAVE);
        lq_query_int(&x, queue);
        lq_query_text(&x, o->back[i]);
        lq_query_int(&x, number);
        (void)lq_query_run(&x);
    }
}

static void note_well(lq_sqlite *q, int64_t queue, lq_str group)
{
    lq_query x = lq_query_begin(q, LQ_SQL_GROUP_WELL);
    lq_query_int(&x, queue);
    lq_query_text(&x, group);
    (void)lq_query_run(&x);
}

int lq_sqlite_group_finish(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_group_finish *o = (lq_op_group_finish *)op;
    int64_t queue = lq_sqlite_queue(q, o->queue);
    int64_t number = lq_sqlite_set(q, queue, o->group, o->set_id);
    lq_sqlite_line line = {.queue = 0};
    int rc = LUNAQ_OK;

    if (o->count > LQ_BATCH_MAX)
        return lq_fail(&op->err, LUNAQ_EINVAL,
                       "sqlite: group finish: at most %d tasks in one",
                       LQ_BATCH_MAX);
    if (!number)
        return lq_sqlite_set_gone(op, o->group);
    let_go(q, o, queue, number, now_ms);
    leave(q, o, queue, number);
    int64_t n = drop_set(q, queue, number);
    if (n > 0)
        count_processed(q, queue, n, o->now_ms > 0 ? o->now_ms : now_ms);
    if (o->back_count)
        note_failure(q, queue, o->group, now_ms + o->retry_ms, o->error);
    else
        note_well(q, queue, o->group);
    for (size_t i = 0; i < o->count; i++) {
        lq_enqueue *e = o->items[i];
        lq_sqlite_enqueue_item(q, &line, e, now_ms);
        if (e->code && !rc) /* and all of the above is undone */
            rc = lq_fail(&op->err, e->code, "%s: the aggregated task: %s",
                         lq_op_name(op->kind), lunaq_strerror(e->code));
    }
    return rc;
}

/* ---- GROUP_BACK, GROUP_RECLAIM ------------------------------------------- */

static int64_t put_back(lq_sqlite *q, int64_t queue, int64_t number)
{
    lq_query x = lq_query_begin(q, LQ_SQL_SET_BACK);
    lq_query_int(&x, queue);
    lq_query_int(&x, number);
    int64_t n = lq_query_run(&x);
    x = lq_query_begin(q, LQ_SQL_SET_GONE);
    lq_query_int(&x, number);
    (void)lq_query_run(&x);
    return n;
}

int lq_sqlite_group_back(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    const lq_op_group_back *o = (const lq_op_group_back *)op;
    int64_t queue = lq_sqlite_queue(q, o->queue);
    int64_t number = lq_sqlite_set(q, queue, o->group, o->set_id);

    if (!number)
        return lq_sqlite_set_gone(op, o->group);
    (void)put_back(q, queue, number);
    if (o->error.p)
        note_failure(q, queue, o->group, now_ms + o->retry_ms, o->error);
    return LUNAQ_OK;
}

int lq_sqlite_group_reclaim(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_group_reclaim *o = (lq_op_group_reclaim *)op;
    int64_t queue = lq_sqlite_queue(q, o->queue), numbers[LQ_BATCH_MAX];

    o->sets = o->tasks = 0;
    lq_query x = lq_query_begin(q, LQ_SQL_SETS_ENDED);
    lq_query_int(&x, queue);
    lq_query_int(&x, now_ms);
    lq_query_int(&x, LQ_BATCH_MAX);
    while (o->sets < LQ_BATCH_MAX && lq_query_row(&x))
        numbers[o->sets++] = lq_column_int(&x, 0);
    lq_query_end(&x);
    for (int64_t i = 0; i < o->sets; i++)
        o->tasks += put_back(q, queue, numbers[i]);
    x = lq_query_begin(q, LQ_SQL_GROUP_FORGET);
    lq_query_int(&x, queue);
    (void)lq_query_run(&x);
    return LUNAQ_OK;
}
