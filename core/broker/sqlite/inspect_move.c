/* By hand: run, archive, delete, one task or a whole state; another payload. */
#include "sqlite/ops.h"
#include "broker/inspect.h"

#include "task/codec.h"
#include "task/state.h"

/* ---- the moves of a row -------------------------------------------------- */

static void delete_row(lq_sqlite *q, int64_t seq)
{
    lq_arena mem = {0};
    lq_query x = lq_query_begin(q, LQ_SQL_MOVE_DELETE);
    lq_query_int(&x, seq);
    lq_str key = {0}, id = {0};
    while (lq_query_row(&x)) {
        key = lq_column_copy(&x, 0, &mem);
        id = lq_column_copy(&x, 1, &mem);
    }
    lq_query_end(&x);
    if (key.len > 0)
        lq_sqlite_unlock(q, key, id);
    lq_arena_release(&mem);
}

static void archive_row(lq_sqlite *q, int64_t seq, int64_t now_ms)
{
    lq_query x = lq_query_begin(q, LQ_SQL_MOVE_ARCHIVE);
    lq_query_int(&x, seq);
    lq_query_int(&x, now_ms);
    lq_query_run(&x);
}

/* A person wants an archived task tried again: with all its retries, else the
 * first failure archives it at once.  The message without its count of
 * failures; p NULL: leave it as it is. */
static lq_str afresh(lq_sqlite *q, int64_t seq)
{
    lq_str fresh = {0};
    lq_task t = {0};
    lq_query x = lq_query_begin(q, LQ_SQL_MOVE_MSG);
    lq_query_int(&x, seq);
    if (lq_query_row(&x) &&
        lq_task_decode(&t, lq_column_bytes(&x, 0), NULL) == LUNAQ_OK &&
        t.retried > 0) {
        lq_buf *out = lq_sqlite_scratch(q);
        t.retried = 0;
        lq_task_encode(out, &t);
        if (out->failed)
            lq_sqlite_fault_nomem(q);
        else
            fresh = lq_buf_str(out);
    }
    lq_task_release(&t);
    lq_query_end(&x);
    return fresh;
}

static void run_row(lq_sqlite *q, int64_t queue, int64_t seq, lunaq_state from,
                    int64_t now_ms)
{
    int64_t place = lq_sqlite_tail(q, queue);
    lq_str msg = {0};
    if (from == LUNAQ_ARCHIVED)
        msg = afresh(q, seq);
    lq_query x = lq_query_begin(q, LQ_SQL_MOVE_RUN);
    lq_query_int(&x, seq);
    lq_query_int(&x, now_ms);
    lq_query_int(&x, place);
    lq_query_blob(&x, msg);
    lq_query_run(&x);
}

static void move_row(lq_sqlite *q, int64_t queue, int64_t seq, lunaq_state from,
                     lunaq_move move, int64_t now_ms)
{
    switch (move) {
    case LUNAQ_MOVE_DELETE:
        delete_row(q, seq);
        break;
    case LUNAQ_MOVE_ARCHIVE:
        archive_row(q, seq, now_ms);
        break;
    case LUNAQ_MOVE_RUN:
        run_row(q, queue, seq, from, now_ms);
        break;
    }
}

/* What comes after the rows: bounds of the archive, who is to be woken. */
static void settle(lq_sqlite *q, int64_t queue, lq_str name, lunaq_move move,
                   int64_t now_ms)
{
    if (move == LUNAQ_MOVE_ARCHIVE)
        (void)lq_sqlite_trim_archive(q, queue, now_ms, NULL);
    if (move == LUNAQ_MOVE_RUN)
        lq_sqlite_wake_queue(q, name);
}

/* ---- one task ------------------------------------------------------------ */

/* What a person can do about a state that does not allow the move. */
static int refuse(lunaq_error *err, const lq_op_move *op, lunaq_state state)
{
    return lq_fail(err, LUNAQ_ESTATE, "task %.*s in queue '%.*s' is %s%s",
                   LQ_STR_ARG(op->id), LQ_STR_ARG(op->queue),
                   lunaq_state_name(state),
                   state == LUNAQ_ACTIVE ? ": wait for its end, or cancel it"
                                         : " already");
}

int lq_sqlite_move(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    const lq_op_move *op = (const lq_op_move *)base;
    if (!lq_move_name(op->move) || op->id.len == 0)
        return lq_fail(&base->err, LUNAQ_EINVAL,
                       "move: needs a task id and run, archive or delete");
    int64_t queue = lq_sqlite_queue(q, op->queue);
    int64_t seq = 0;
    lunaq_state state = LUNAQ_STATE_ANY;
    bool in_set = false;
    lq_query x = lq_query_begin(q, LQ_SQL_MOVE_FIND);
    lq_query_int(&x, queue);
    lq_query_text(&x, op->id);
    if (lq_query_row(&x)) {
        seq = lq_column_int(&x, 0);
        state = (lunaq_state)lq_column_int(&x, 1);
        in_set = state == LUNAQ_AGGREGATING && lq_column_int(&x, 2) != 0;
    }
    lq_query_end(&x);
    if (state == LUNAQ_STATE_ANY)
        return lq_fail(&base->err, LUNAQ_ENOTFOUND,
                       "no task %.*s in queue '%.*s'", LQ_STR_ARG(op->id),
                       LQ_STR_ARG(op->queue));
    if (in_set)
        return lq_fail(&base->err, LUNAQ_ESTATE,
                       "task %.*s in queue '%.*s' is aggregating and being "
                       "aggregated: wait until it is done",
                       LQ_STR_ARG(op->id), LQ_STR_ARG(op->queue));
    if (!lq_state_may_move(state, op->move))
        return refuse(&base->err, op, state);
    move_row(q, queue, seq, state, op->move, now_ms);
    settle(q, queue, op->queue, op->move, now_ms);
    return LUNAQ_OK;
}

/* ---- a batch of a state -------------------------------------------------- */

static const struct {
    enum lq_sql batch, left;
} sources[] = {
    [LUNAQ_PENDING] = {LQ_SQL_BATCH_PENDING, LQ_SQL_LEFT_PENDING},
    [LUNAQ_SCHEDULED] = {LQ_SQL_BATCH_SCHEDULED, LQ_SQL_LEFT_SCHEDULED},
    [LUNAQ_RETRY] = {LQ_SQL_BATCH_RETRY, LQ_SQL_LEFT_RETRY},
    [LUNAQ_ARCHIVED] = {LQ_SQL_BATCH_ARCHIVED, LQ_SQL_LEFT_ARCHIVED},
    [LUNAQ_COMPLETED] = {LQ_SQL_BATCH_COMPLETED, LQ_SQL_LEFT_COMPLETED},
    [LUNAQ_AGGREGATING] = {LQ_SQL_BATCH_GROUPS, LQ_SQL_LEFT_GROUPS},
};

/* Reads a page of at most LQ_BATCH_MAX, of which those of the type go into
 * seqs.  Returns how many rows it had. */
static int64_t read_batch(lq_sqlite *q, const lq_op_move_all *op, int64_t queue,
                          int64_t *seqs, int64_t *n)
{
    bool one = op->group.p && op->state == LUNAQ_AGGREGATING;
    int64_t seen = 0;
    lq_query x =
        lq_query_begin(q, one ? LQ_SQL_BATCH_GROUP : sources[op->state].batch);
    lq_query_int(&x, queue);
    lq_query_int(&x, LQ_BATCH_MAX);
    lq_query_int(&x, op->skip);
    if (one)
        lq_query_text(&x, op->group);
    for (*n = 0; seen < LQ_BATCH_MAX && lq_query_row(&x); seen++)
        if (!op->type.p || lq_str_eq(op->type, lq_column_bytes(&x, 1)))
            seqs[(*n)++] = lq_column_int(&x, 0);
    lq_query_end(&x);
    return seen;
}

int lq_sqlite_move_all(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_move_all *op = (lq_op_move_all *)base;
    int64_t seqs[LQ_BATCH_MAX];
    int64_t n = 0;
    if (!lq_move_name(op->move))
        return lq_fail(&base->err, LUNAQ_EINVAL,
                       "move: needs run, archive or delete");
    if (!lq_state_may_move(op->state, op->move))
        return lq_fail(&base->err, LUNAQ_ESTATE, "cannot %s all %s tasks",
                       lq_move_name(op->move), lunaq_state_name(op->state));
    int64_t queue = lq_sqlite_queue(q, op->queue);
    int64_t seen = read_batch(q, op, queue, seqs, &n);
    for (int64_t i = 0; i < n; i++)
        move_row(q, queue, seqs[i], op->state, op->move, now_ms);
    if (n > 0)
        settle(q, queue, op->queue, op->move, now_ms);
    bool one = op->group.p && op->state == LUNAQ_AGGREGATING;
    lq_query x =
        lq_query_begin(q, one ? LQ_SQL_LEFT_GROUP : sources[op->state].left);
    lq_query_int(&x, queue);
    if (one)
        lq_query_text(&x, op->group);
    op->left = lq_query_one(&x, 0);
    op->moved = n;
    op->skip += seen - n;
    op->more = op->left > op->skip;
    return LUNAQ_OK;
}

/* ---- another payload ----------------------------------------------------- */

/* Gives the message the payload; the new one is in the scratch buffer. */
static int with_payload(lq_sqlite *q, lq_op_update *op, lq_str msg, lq_str *out)
{
    lq_task t = {0};
    lunaq_error why = LUNAQ_ERROR_INIT;
    int rc = LUNAQ_OK;
    if (lq_task_decode(&t, msg, &why)) {
        rc = lq_fail(&op->op.err, LUNAQ_EPROTO,
                     "task %.*s in queue '%.*s' cannot be read: 'lunaq fsck' "
                     "says more",
                     LQ_STR_ARG(op->id), LQ_STR_ARG(op->queue));
    } else {
        lq_buf *buf = lq_sqlite_scratch(q);
        t.payload = op->payload;
        lq_task_encode(buf, &t);
        *out = lq_buf_str(buf);
        if (buf->failed)
            rc = lq_fail_nomem(&op->op.err);
    }
    lq_task_release(&t);
    return rc;
}

int lq_sqlite_update(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_update *op = (lq_op_update *)base;
    lunaq_state state = LUNAQ_STATE_ANY;
    lq_str msg = {0};
    int64_t seq = 0;
    bool in_set = false;
    int rc = LUNAQ_OK;
    (void)now_ms;
    lq_query x = lq_query_begin(q, LQ_SQL_UPDATE_FIND);
    lq_query_int(&x, lq_sqlite_queue(q, op->queue));
    lq_query_text(&x, op->id);
    if (lq_query_row(&x)) {
        seq = lq_column_int(&x, 0);
        state = (lunaq_state)lq_column_int(&x, 1);
        in_set = state == LUNAQ_AGGREGATING && lq_column_int(&x, 2) != 0;
        if (state != LUNAQ_ACTIVE && state != LUNAQ_COMPLETED && !in_set)
            rc = with_payload(q, op, lq_column_bytes(&x, 3), &msg);
    }
    lq_query_end(&x);
    if (rc)
        return rc;
    if (state == LUNAQ_STATE_ANY)
        return lq_fail(&base->err, LUNAQ_ENOTFOUND,
                       "no task %.*s in queue '%.*s'", LQ_STR_ARG(op->id),
                       LQ_STR_ARG(op->queue));
    if (!msg.p)
        return lq_fail(&base->err, LUNAQ_ESTATE,
                       "task %.*s in queue '%.*s' is %s: only one that waits "
                       "or is archived can be updated",
                       LQ_STR_ARG(op->id), LQ_STR_ARG(op->queue),
                       in_set ? "being aggregated" : lunaq_state_name(state));
    x = lq_query_begin(q, LQ_SQL_UPDATE_MSG);
    lq_query_int(&x, seq);
    lq_query_blob(&x, msg);
    lq_query_run(&x);
    return LUNAQ_OK;
}
