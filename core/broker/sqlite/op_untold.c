/* UNTOLD: notes of tasks that were archived while no server had them in hand.
 */
#include "sqlite/ops.h"

#include "broker/archived.h"

void lq_sqlite_note_untold(lq_sqlite *q, int64_t seq, int64_t now_ms)
{
    lq_query x = lq_query_begin(q, LQ_SQL_UNTOLD_ADD);
    lq_query_int(&x, seq);
    lq_query_int(&x, now_ms);
    (void)lq_query_run(&x);
}

void lq_sqlite_trim_untold(lq_sqlite *q, int64_t queue, int64_t now_ms)
{
    lq_query x = lq_query_begin(q, LQ_SQL_UNTOLD_TRIM);
    lq_query_int(&x, queue);
    lq_query_int(&x, now_ms - LQ_UNTOLD_KEPT_S * (int64_t)1000);
    lq_query_int(&x, LQ_UNTOLD_MAX);
    (void)lq_query_run(&x);
}

/* The task of a note, if it still is in the archive. */
static bool read_task(lq_sqlite *q, lq_op *op, int64_t queue, lq_str id,
                      lq_untold *out)
{
    lq_query x = lq_query_begin(q, LQ_SQL_UNTOLD_TASK);
    lq_query_int(&x, queue);
    lq_query_text(&x, id);
    bool found = lq_query_row(&x);
    if (found)
        *out = (lq_untold){.id = id,
                           .msg = lq_column_copy(&x, 0, &op->mem),
                           .error = lq_column_copy(&x, 1, &op->mem)};
    lq_query_end(&x);
    return found;
}

int lq_sqlite_untold(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_untold *o = (lq_op_untold *)op;
    int64_t queue = lq_sqlite_queue(q, o->queue), room = LQ_UNTOLD_BYTES;
    lq_str ids[LQ_BATCH_MAX];
    size_t n = 0, at = 0;
    (void)now_ms;

    o->count = 0;
    o->items = lq_arena_alloc(&op->mem, LQ_BATCH_MAX * sizeof(*o->items));
    if (!o->items)
        return lq_fail_nomem(&op->err);
    lq_query x = lq_query_begin(q, LQ_SQL_UNTOLD_LIST);
    lq_query_int(&x, queue);
    lq_query_int(&x, LQ_BATCH_MAX + 1);
    while (n < LQ_BATCH_MAX && lq_query_row(&x))
        ids[n++] = lq_column_copy(&x, 0, &op->mem);
    o->more = n == LQ_BATCH_MAX && lq_query_row(&x);
    lq_query_end(&x);
    for (; at < n && room > 0; at++) {
        if (read_task(q, op, queue, ids[at], &o->items[o->count]))
            room -= (int64_t)o->items[o->count++].msg.len;
        x = lq_query_begin(q, LQ_SQL_UNTOLD_GONE);
        lq_query_int(&x, queue);
        lq_query_text(&x, ids[at]);
        (void)lq_query_run(&x);
    }
    o->more = o->more || at < n;
    return LUNAQ_OK;
}
