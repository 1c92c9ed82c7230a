/* Live servers and schedulers, as they publish themselves. */
#include "sqlite/inspect_rows.h"
#include "broker/inspect.h"

/* ---- SERVERS ------------------------------------------------------------- */

static int take_workers(lq_sqlite *q, lq_op *base, lq_server_row *row,
                        lq_str name)
{
    size_t room = 0;
    int rc = LUNAQ_OK;
    lq_query x = lq_query_begin(q, LQ_SQL_SERVER_WORKERS);
    lq_query_text(&x, name);
    while (!rc && lq_query_row(&x))
        rc = lq_sqlite_keep(base, &x, 0, &row->workers, &row->worker_count,
                            &room);
    lq_query_end(&x);
    return rc;
}

int lq_sqlite_servers(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_servers *op = (lq_op_servers *)base;
    size_t room = 0;
    int rc = LUNAQ_OK;
    op->rows = NULL;
    op->count = 0;
    lq_query x = lq_query_begin(q, LQ_SQL_SERVERS);
    lq_query_int(&x, now_ms);
    while (!rc && lq_query_row(&x)) {
        lq_server_row *rows = lq_sqlite_room(&base->mem, op->rows, op->count,
                                             &room, sizeof *op->rows);
        if (!rows) {
            rc = lq_fail_nomem(&base->err);
            break;
        }
        op->rows = rows;
        lq_server_row *row = &rows[op->count];
        *row = (lq_server_row){.info = lq_column_copy(&x, 1, &base->mem),
                               .extra = lq_column_copy(&x, 2, &base->mem)};
        if (!row->info.p || (!row->extra.p && !lq_column_is_null(&x, 2)))
            rc = lq_fail_nomem(&base->err);
        else
            rc = take_workers(q, base, row, lq_column_bytes(&x, 0));
        op->count++;
    }
    lq_query_end(&x);
    return rc;
}

/* ---- CRONS --------------------------------------------------------------- */

int lq_sqlite_crons(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_crons *op = (lq_op_crons *)base;
    size_t room = 0;
    int rc = LUNAQ_OK;
    op->entries = NULL;
    op->count = 0;
    lq_query x = lq_query_begin(q, LQ_SQL_CRONS);
    lq_query_int(&x, now_ms);
    while (!rc && lq_query_row(&x))
        rc = lq_sqlite_keep(base, &x, 0, &op->entries, &op->count, &room);
    lq_query_end(&x);
    return rc;
}
