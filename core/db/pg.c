/* PostgreSQL behind db.h: the same functions, with the types of its pool. */
#include "db/conn.h"

static const lq_db_backend backend;

static lq_pg *pool_of(lq_db *db)
{
    return LQ_OF(db, lq_pg, base);
}

static lq_pg_tx *tx_of(lq_db_tx *tx)
{
    return LQ_OF(tx, lq_pg_tx, base);
}

static lq_pg_call *call_of(lq_db_call *call)
{
    return LQ_OF(call, lq_pg_call, base);
}

static lq_db_call *call_out(lq_pg_call *call)
{
    if (!call)
        return NULL;
    call->base.of = &backend;
    return &call->base;
}

static void pg_close(lq_db *db)
{
    lq_pg_close(pool_of(db));
}

static void pg_stats_get(const lq_db *db, lq_db_stats *out)
{
    lq_pg_stats_get((const lq_pg *)(const void *)db, out); /* base is first */
}

static int pg_query(lq_db *db, lq_db_tx *tx, const lq_db_statement *statement,
                    lq_db_done_fn *done, void *ud, lq_db_call **out,
                    lunaq_error *err)
{
    lq_pg_call *call;
    int rc = lq_pg_query(pool_of(db), tx ? tx_of(tx) : NULL, statement, done,
                         ud, &call, err);
    *out = call_out(call);
    return rc;
}

static void pg_next(lq_db_call *call)
{
    lq_pg_next(call_of(call));
}

static void pg_abandon(lq_db_call *call)
{
    lq_pg_abandon(call_of(call));
}

static int pg_begin(lq_db *db, int64_t timeout_ms, lq_db_tx **out,
                    lq_db_done_fn *done, void *ud, lq_db_call **out_call,
                    lunaq_error *err)
{
    lq_pg_call *call;
    lq_pg_tx *tx;
    int rc = lq_pg_begin(pool_of(db), timeout_ms, &tx, done, ud, &call, err);
    *out_call = call_out(call);
    *out = NULL;
    if (tx) {
        tx->base.of = &backend;
        *out = &tx->base;
    }
    return rc;
}

static int pg_commit(lq_db_tx *tx, int64_t timeout_ms, lq_db_done_fn *done,
                     void *ud, lq_db_call **out, lunaq_error *err)
{
    lq_pg_call *call;
    int rc = lq_pg_commit(tx_of(tx), timeout_ms, done, ud, &call, err);
    *out = call_out(call);
    return rc;
}

static void pg_release(lq_db_tx *tx)
{
    lq_pg_release(tx_of(tx));
}

static int pg_savepoint(lq_db_tx *tx, lq_db_savepoint_op op, unsigned depth,
                        lunaq_error *err)
{
    return lq_pg_savepoint(tx_of(tx), op, depth, err);
}

static const lq_db_backend backend = {.close = pg_close,
                                      .stats_get = pg_stats_get,
                                      .query = pg_query,
                                      .next = pg_next,
                                      .abandon = pg_abandon,
                                      .begin = pg_begin,
                                      .commit = pg_commit,
                                      .release = pg_release,
                                      .savepoint = pg_savepoint};

int lq_db_open_pg(lq_db **out, lq_loop *loop, const lq_db_options *options,
                  lunaq_error *err)
{
    lq_pg *db;
    int rc = lq_pg_open(&db, loop, options, err);
    *out = NULL;
    if (!rc) {
        db->base.of = &backend;
        *out = &db->base;
    }
    return rc;
}
