/* A transaction: a connection that is leased, and the calls in it, in order. */
#include "db/conn.h"

#include <stdio.h>

#define ASIDE_MS 10000 /* for a rollback or a savepoint */

int lq_pg_begin(lq_pg *db, int64_t timeout_ms, lq_pg_tx **out,
                lq_db_done_fn *done, void *ud, lq_pg_call **out_call,
                lunaq_error *err)
{
    lq_pg_tx *tx = lq_calloc(1, sizeof *tx);
    lq_pg_call *call = lq_call_new(db, LQ_CALL_BEGIN, timeout_ms);
    *out = NULL;
    *out_call = NULL;
    if (!tx || !call) {
        lq_call_free(call);
        lq_free(tx);
        return lq_fail_nomem(err);
    }
    tx->db = db;
    tx->begin = call;
    lq_list_init(&tx->calls);
    call->tx = tx;
    call->done = done;
    call->ud = ud;
    lq_pool_wait(db, call);
    *out = tx;
    *out_call = call;
    return 0;
}

/* Behind the calls that are there. */
int lq_tx_submit(lq_pg_tx *tx, lq_pg_call *call, lunaq_error *err)
{
    if (tx->lost || tx->begin || !tx->conn)
        return lq_fail(err, LUNAQ_EDATABASE,
                       "the transaction is over, or its connection was lost");
    call->tx = tx;
    lq_list_append(&tx->calls, &call->node);
    lq_pool_wake(tx->db); /* never called back from inside of the submit */
    lq_list_remove(&tx->conn->kick_node);
    lq_list_append(&tx->db->kicked, &tx->conn->kick_node);
    return 0;
}

int lq_pg_commit(lq_pg_tx *tx, int64_t timeout_ms, lq_db_done_fn *done,
                 void *ud, lq_pg_call **out, lunaq_error *err)
{
    lq_pg_call *call = lq_call_new(tx->db, LQ_CALL_COMMIT, timeout_ms);
    *out = NULL;
    if (!call)
        return lq_fail_nomem(err);
    call->done = done;
    call->ud = ud;
    int rc = lq_tx_submit(tx, call, err);
    if (rc) {
        lq_call_free(call);
        return rc;
    }
    *out = call;
    return 0;
}

static lq_pg_call *aside(lq_pg *db, const char *sql)
{
    lq_pg_call *call = lq_call_new(db, LQ_CALL_ASIDE, ASIDE_MS);
    const lq_db_statement s = {.sql = lq_str_c(sql)};
    if (call && lq_call_set(call, &s, NULL)) {
        lq_call_free(call);
        call = NULL;
    }
    return call;
}

int lq_pg_savepoint(lq_pg_tx *tx, lq_db_savepoint_op op, unsigned depth,
                    lunaq_error *err)
{
    char sql[96];
    if (op == LQ_DB_SAVEPOINT_ROLLBACK)
        snprintf(sql, sizeof sql,
                 "ROLLBACK TO SAVEPOINT lunaq_%u; RELEASE SAVEPOINT lunaq_%u",
                 depth, depth);
    else
        snprintf(sql, sizeof sql, "%s lunaq_%u",
                 op == LQ_DB_SAVEPOINT ? "SAVEPOINT" : "RELEASE SAVEPOINT",
                 depth);
    lq_pg_call *call = aside(tx->db, sql);
    if (!call) {
        if (tx->conn) /* without its savepoint it must not go on */
            lq_conn_drop(tx->conn, true);
        return lq_fail_nomem(err);
    }
    int rc = lq_tx_submit(tx, call, err);
    if (rc)
        lq_call_free(call);
    return rc;
}

void lq_tx_lost(lq_pg_tx *tx)
{
    tx->conn = NULL;
    tx->lost = true;
    for (lq_list *node; (node = lq_list_shift(&tx->calls));) {
        LQ_OF(node, lq_pg_call, node)->tx = NULL; /* tx may go before it */
        lq_list_append(&tx->db->failing, node);
    }
    lq_pool_wake(tx->db);
}

void lq_pg_release(lq_pg_tx *tx)
{
    if (!tx)
        return;
    if (tx->begin)
        lq_pg_abandon(tx->begin);
    lq_conn *c = tx->conn; /* NULL also when it was dropped just now */
    for (lq_list *node; (node = lq_list_shift(&tx->calls));)
        lq_call_free(LQ_OF(node, lq_pg_call, node));
    if (c) {
        c->tx = NULL;
        if (c->call)
            c->call->tx = NULL;
        if (c->call && c->call->done)
            lq_pg_abandon(c->call);
        else if (!c->call) {
            lq_list_remove(&c->kick_node);
            lq_list_append(&tx->db->kicked, &c->kick_node);
            lq_pool_wake(tx->db);
        }
    }
    lq_free(tx);
}

void lq_tx_settle(lq_conn *c)
{
    lq_pg_call *rollback;
    if (c->tx) {
        lq_list *next = lq_list_shift(&c->tx->calls);
        if (next)
            lq_conn_run(c, LQ_OF(next, lq_pg_call, node));
        else
            lq_conn_arm(c);
        return;
    }
    switch (PQtransactionStatus(c->pg)) {
    case PQTRANS_IDLE:
        lq_pool_put(c);
        return;
    case PQTRANS_INTRANS:
    case PQTRANS_INERROR:
        rollback = aside(c->db, "ROLLBACK");
        if (rollback) {
            lq_conn_run(c, rollback);
            return;
        }
        break;
    default:
        break;
    }
    lq_conn_drop(c, true);
}
