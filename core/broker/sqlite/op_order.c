/* ORDER, ORDER_TAKE: a note among those for who listens, "<note><id> <text>",
 * which the server takes away. */
#include "sqlite/ops.h"

#include "broker/order.h"

static lq_str note(lq_buf *buf, lq_str server_id)
{
    lq_buf_add_c(buf, LQ_ORDER_NOTE);
    lq_buf_add_str(buf, server_id);
    lq_buf_add_char(buf, ' ');
    return lq_buf_str(buf);
}

static bool lives(lq_sqlite *q, const lq_op_order *o, int64_t now_ms)
{
    lq_buf name;
    lq_buf_init(&name, 0);
    lq_buf_add_str(&name, o->host);
    lq_buf_printf(&name, ":%d:", (int)o->pid);
    lq_buf_add_str(&name, o->server_id);
    lq_query x = lq_query_begin(q, LQ_SQL_SERVER_LIVES);
    lq_query_text(&x, lq_buf_str(&name));
    lq_query_int(&x, now_ms);
    bool yes = lq_query_one(&x, 0) != 0;
    lq_buf_release(&name);
    return yes;
}

int lq_sqlite_order(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    const lq_op_order *o = (const lq_op_order *)op;
    lq_buf buf;
    if (!lives(q, o, now_ms))
        return lq_fail(&op->err, LUNAQ_ENOTFOUND, "no server %.*s lives",
                       LQ_STR_ARG(o->server_id));
    lq_buf_init(&buf, 0);
    lq_str head = note(&buf, o->server_id);
    lq_query x = lq_query_begin(q, LQ_SQL_ORDER_GONE); /* the one before */
    lq_query_text(&x, head);
    (void)lq_query_run(&x);
    lq_buf_add_str(&buf, o->text);
    x = lq_query_begin(q, LQ_SQL_NOTE_ADD);
    lq_query_int(&x, now_ms);
    lq_query_text(&x, lq_buf_str(&buf));
    (void)lq_query_run(&x);
    lq_sqlite_wake_cancel(q, lq_buf_str(&buf));
    int rc = buf.failed ? lq_fail_nomem(&op->err) : LUNAQ_OK;
    lq_buf_release(&buf);
    return rc;
}

int lq_sqlite_order_take(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_order_take *o = (lq_op_order_take *)op;
    lq_buf buf;
    (void)now_ms;
    lq_buf_init(&buf, 0);
    lq_str head = note(&buf, o->server_id);
    o->text = (lq_str){0};
    lq_query x = lq_query_begin(q, LQ_SQL_ORDER_GONE);
    lq_query_text(&x, head);
    while (lq_query_row(&x)) {
        lq_str all = lq_column_copy(&x, 0, &op->mem);
        if (all.len >= head.len)
            o->text = lq_str_n(all.p + head.len, all.len - head.len);
    }
    lq_query_end(&x);
    lq_buf_release(&buf);
    return LUNAQ_OK;
}
