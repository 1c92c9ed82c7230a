/* Groups and the sets taken out of them: GROUPS, GROUP_TAKE, GROUP_EXTEND. */
#include "sqlite/op_group.h"

#include "sqlite/inspect_rows.h"

#define GROUPS_A_PART 200

int64_t lq_sqlite_set(lq_sqlite *q, int64_t queue, lq_str group, lq_str set_id)
{
    lq_query x = lq_query_begin(q, LQ_SQL_SET_FIND);
    lq_query_int(&x, queue);
    lq_query_text(&x, set_id);
    lq_query_text(&x, group);
    return lq_query_one(&x, 0);
}

int lq_sqlite_set_gone(lq_op *op, lq_str group)
{
    return lq_fail(&op->err, LUNAQ_ELEASE,
                   "the set of group '%.*s' ended, and was put back",
                   LQ_STR_ARG(group));
}

/* ---- GROUPS -------------------------------------------------------------- */

static int list_sets(lq_sqlite *q, lq_op_groups *o, int64_t queue,
                     int64_t now_ms)
{
    o->sets = lq_arena_alloc(&o->op.mem, LQ_BATCH_MAX * sizeof(*o->sets));
    if (!o->sets)
        return lq_fail_nomem(&o->op.err);
    lq_query x = lq_query_begin(q, LQ_SQL_SETS);
    lq_query_int(&x, queue);
    lq_query_int(&x, LQ_BATCH_MAX);
    while (o->set_count < LQ_BATCH_MAX && lq_query_row(&x)) {
        lq_query size = lq_query_begin(q, LQ_SQL_SET_SIZE);
        lq_query_int(&size, queue);
        lq_query_int(&size, lq_column_int(&x, 0));
        o->sets[o->set_count++] =
            (lq_group_set){.group = lq_column_copy(&x, 1, &o->op.mem),
                           .id = lq_column_copy(&x, 2, &o->op.mem),
                           .size = lq_query_one(&size, 0),
                           .left_ms = lq_column_int(&x, 3) - now_ms};
    }
    lq_query_end(&x);
    return LUNAQ_OK;
}

static void look_at(lq_sqlite *q, lq_op_groups *o, int64_t queue,
                    lq_group_row *row, int64_t now_ms)
{
    lq_query x = lq_query_begin(q, LQ_SQL_GROUP_LOOK);
    lq_query_int(&x, queue);
    lq_query_text(&x, row->name);
    if (lq_query_row(&x)) {
        int64_t oldest = now_ms - lq_column_int(&x, 1);
        int64_t newest = now_ms - lq_column_int(&x, 2);
        row->size = lq_column_int(&x, 0);
        row->oldest_ms = oldest > 0 ? oldest : 0;
        row->newest_ms = newest > 0 ? newest : 0;
    }
    lq_query_end(&x);
    x = lq_query_begin(q, LQ_SQL_GROUP_TYPE);
    lq_query_int(&x, queue);
    lq_query_text(&x, row->name);
    if (lq_query_row(&x))
        row->types = lq_column_copy(&x, 0, &o->op.mem);
    lq_query_end(&x);
    row->type = lq_group_first_type(row->types);
    x = lq_query_begin(q, LQ_SQL_GROUP_FAILED);
    lq_query_int(&x, queue);
    lq_query_text(&x, row->name);
    if (lq_query_row(&x)) {
        int64_t wait = lq_column_int(&x, 1) - now_ms;
        row->failures = lq_column_int(&x, 0);
        row->retry_ms = wait > 0 ? wait : 0;
        row->error = lq_column_copy(&x, 2, &o->op.mem);
    }
    lq_query_end(&x);
}

int lq_sqlite_groups(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_groups *o = (lq_op_groups *)op;
    int64_t queue = lq_sqlite_queue(q, o->queue);
    size_t room = 0;
    int rc = LUNAQ_OK;

    o->rows = NULL;
    o->count = o->set_count = 0;
    if (!o->cursor[0])
        rc = list_sets(q, o, queue, now_ms);
    while (!rc && o->count < GROUPS_A_PART) {
        lq_query x = lq_query_begin(q, LQ_SQL_GROUP_NEXT);
        lq_query_int(&x, queue);
        lq_query_text(&x, lq_str_c(o->cursor));
        lq_str name = {0};
        if (lq_query_row(&x))
            name = lq_column_copy(&x, 0, &op->mem);
        lq_query_end(&x);
        /* A name is the next cursor; enqueue lets none be longer. */
        if (!name.p || name.len >= sizeof(o->cursor)) {
            o->cursor[0] = 0;
            break;
        }
        memcpy(o->cursor, name.p, name.len + 1);
        lq_group_row *rows =
            lq_sqlite_room(&op->mem, o->rows, o->count, &room, sizeof(*rows));
        if (!rows)
            return lq_fail_nomem(&op->err);
        o->rows = rows;
        rows[o->count] = (lq_group_row){.name = name};
        look_at(q, o, queue, &rows[o->count++], now_ms);
    }
    return rc;
}

/* ---- GROUP_TAKE ---------------------------------------------------------- */

static bool is_due(lq_sqlite *q, lq_op_group_take *o, int64_t queue,
                   int64_t now_ms)
{
    lq_op_groups groups = {.queue = o->queue};
    lq_group_row row = {.name = o->group};
    look_at(q, &groups, queue, &row, now_ms);
    o->left = row.size;
    lq_arena_release(&groups.op.mem);
    return row.size > 0 && lq_group_due_ms(&row, &o->rule) == 0;
}

/* Reads the oldest: changing a task moves it in the index that is read. */
static int read_oldest(lq_sqlite *q, lq_op_group_take *o, int64_t queue,
                       int64_t want, int64_t *seqs)
{
    int64_t room = LQ_GROUP_SET_BYTES;
    lq_query x = lq_query_begin(q, LQ_SQL_GROUP_OLDEST);
    lq_query_int(&x, queue);
    lq_query_text(&x, o->group);
    lq_query_int(&x, want);
    while ((int64_t)o->count < want && lq_query_row(&x)) {
        lq_str msg = lq_column_bytes(&x, 2);
        if (o->count > 0 && (int64_t)msg.len > room)
            break;
        room -= (int64_t)msg.len;
        seqs[o->count] = lq_column_int(&x, 0);
        o->ids[o->count] = lq_column_copy(&x, 1, &o->op.mem);
        o->msgs[o->count] = lq_column_copy(&x, 2, &o->op.mem);
        if (!o->ids[o->count].p || !o->msgs[o->count].p) {
            lq_query_end(&x);
            return lq_fail_nomem(&o->op.err);
        }
        o->count++;
    }
    lq_query_end(&x);
    return LUNAQ_OK;
}

int lq_sqlite_group_take(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_group_take *o = (lq_op_group_take *)op;
    int64_t queue = lq_sqlite_queue(q, o->queue), want = LQ_GROUP_SET_TASKS;
    lq_arena mem = {0};

    o->count = 0;
    if (!is_due(q, o, queue, now_ms))
        return LUNAQ_OK;
    if (o->rule.max_size > 0 && o->rule.max_size < want)
        want = o->rule.max_size;
    if (o->left < want)
        want = o->left;
    o->ids = lq_arena_alloc(&op->mem, (size_t)want * sizeof(*o->ids));
    o->msgs = lq_arena_alloc(&op->mem, (size_t)want * sizeof(*o->msgs));
    int64_t *seqs = lq_arena_alloc(&mem, (size_t)want * sizeof(*seqs));
    if (!o->ids || !o->msgs || !seqs) {
        lq_arena_release(&mem);
        return lq_fail_nomem(&op->err);
    }
    int rc = read_oldest(q, o, queue, want, seqs);
    if (!rc && o->count > 0) {
        lq_query x = lq_query_begin(q, LQ_SQL_SET_ADD);
        lq_query_int(&x, queue);
        lq_query_text(&x, o->group);
        lq_query_text(&x, o->set_id);
        lq_query_int(&x, now_ms + o->ttl_ms);
        int64_t number = lq_query_one(&x, 0);
        for (size_t i = 0; i < o->count; i++) {
            x = lq_query_begin(q, LQ_SQL_SET_JOIN);
            lq_query_int(&x, seqs[i]);
            lq_query_int(&x, number);
            (void)lq_query_run(&x);
        }
        o->left -= (int64_t)o->count;
    }
    lq_arena_release(&mem);
    return rc;
}

/* ---- GROUP_EXTEND -------------------------------------------------------- */

int lq_sqlite_group_extend(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    const lq_op_group_extend *o = (const lq_op_group_extend *)op;
    int64_t queue = lq_sqlite_queue(q, o->queue);
    int64_t number = lq_sqlite_set(q, queue, o->group, o->set_id);
    if (!number)
        return lq_sqlite_set_gone(op, o->group);
    lq_query x = lq_query_begin(q, LQ_SQL_SET_EXTEND);
    lq_query_int(&x, number);
    lq_query_int(&x, now_ms + o->ttl_ms);
    (void)lq_query_run(&x);
    return LUNAQ_OK;
}
