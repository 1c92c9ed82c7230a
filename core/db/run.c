/* A call on a connection, step by step.
 *
 *   TIMEOUT     SET statement_timeout, when the one that is set does not fit
 *   DEALLOCATE  the prepared statement that had to make room
 *   PREPARE     the second time that this connection meets a text
 *   DESCRIBE    the types of its parameters, when they matter
 *   EXECUTE     the statement itself
 *
 * Each step is one round trip, and most calls need the last one only.  (A
 * pipeline would save the others their round trip, but an error in it drags
 * down what comes before, and VACUUM and its like refuse to run in one.)
 */
#include "db/conn.h"

#include <stdio.h>

#define OID_BYTEA 17

/* ---- sending ------------------------------------------------------------ */

/* The server's statement_timeout is the net under ours: it ends what runs on
 * when this process is gone.  So it must not be shorter than the time left, and
 * may be longer by half: most statements then find one that fits. */
static bool wants_timeout(lq_conn *c)
{
    int64_t left = lq_call_left(c->call), is = c->server_timeout_ms;
    if (c->call->kind != LQ_CALL_STATEMENT || c->tx || c->db->no_prepare)
        return false;
    if (left == 0) {
        c->wanted_timeout_ms = -1;
        return is != -1;
    }
    c->wanted_timeout_ms = left + left / 8 + 500;
    if (c->wanted_timeout_ms > INT32_MAX)
        c->wanted_timeout_ms = INT32_MAX;
    return is < left || is > left + left / 2 + 1000;
}

static int send_timeout(lq_conn *c)
{
    char sql[64] = "RESET statement_timeout";
    if (c->wanted_timeout_ms >= 0)
        snprintf(sql, sizeof sql, "SET statement_timeout = %lld",
                 (long long)c->wanted_timeout_ms);
    return PQsendQuery(c->pg, sql);
}

static int send_deallocate(lq_conn *c)
{
    char sql[64];
    snprintf(sql, sizeof sql, "DEALLOCATE %s", c->evicted);
    return PQsendQuery(c->pg, sql);
}

static int send_begin(lq_conn *c)
{
    char sql[64] = "BEGIN";
    int64_t left = lq_call_left(c->call);
    if (left > INT32_MAX - 500)
        left = INT32_MAX - 500;
    if (left > 0)
        snprintf(sql, sizeof sql, "BEGIN; SET LOCAL statement_timeout = %lld",
                 (long long)left + 500);
    return PQsendQuery(c->pg, sql);
}

/* How each risky parameter goes out: a bytea as it is, a text only if the
 * server's text can hold it.  Without known types, bytes that no text can hold
 * are a bytea. */
static int set_formats(lq_conn *c, Oid *types, lunaq_error *err)
{
    lq_pg_call *call = c->call;
    for (size_t i = 0; i < call->param_count; i++) {
        if (!call->risky[i])
            continue;
        lq_str s = {call->values[i], (size_t)call->lengths[i]};
        bool nul = memchr(s.p, 0, s.len) != NULL;
        bool bytes = nul || !lq_utf8_valid(s);
        if (c->prepare)
            bytes = i < (size_t)c->stmt->type_count &&
                    c->stmt->types[i] == OID_BYTEA;
        if (nul && !bytes)
            return lq_fail(err, LUNAQ_EINVAL,
                           "parameter $%zu holds a NUL byte, which "
                           "PostgreSQL's text cannot; use a bytea column or "
                           "take it out",
                           i + 1);
        call->formats[i] = bytes;
        if (bytes)
            types[i] = OID_BYTEA;
    }
    return 0;
}

static int send_statement(lq_conn *c, lunaq_error *err)
{
    lq_pg_call *call = c->call;
    int n = (int)call->param_count, sent;
    Oid *types = NULL;
    if (call->any_risky && !c->stmt && !c->db->no_prepare)
        return lq_fail_nomem(err); /* guessing a type could store other bytes */
    if (call->any_risky) {
        types = lq_arena_alloc(&call->arena, (size_t)n * sizeof *types);
        if (!types)
            return lq_fail_nomem(err);
        int rc = set_formats(c, types, err);
        if (rc)
            return rc;
    }
    if (c->prepare)
        sent = PQsendQueryPrepared(c->pg, c->stmt->name, n, call->values,
                                   call->lengths, call->formats, 0);
    else
        sent = PQsendQueryParams(c->pg, call->sql.p, n, types, call->values,
                                 call->lengths, call->formats, 0);
    if (sent && call->chunk_rows)
        sent = PQsetSingleRowMode(c->pg);
    return sent ? 0 : LUNAQ_EIO;
}

/* Starts the next step.  0, LUNAQ_EINVAL or LUNAQ_ENOMEM (err says why, nothing
 * was sent), LUNAQ_EIO (libpq says why). */
static int send_step(lq_conn *c, lunaq_error *err)
{
    int sent = 0;
    if (wants_timeout(c)) {
        c->step = LQ_STEP_TIMEOUT;
        sent = send_timeout(c);
    } else if (c->evicted[0] && !c->tx) {
        c->step = LQ_STEP_DEALLOCATE;
        sent = send_deallocate(c);
    } else if (c->prepare && !c->stmt->prepared) {
        c->step = LQ_STEP_PREPARE;
        sent = PQsendPrepare(c->pg, c->stmt->name, c->call->sql.p, 0, NULL);
    } else if (c->prepare && c->call->any_risky && !c->stmt->described) {
        c->step = LQ_STEP_DESCRIBE;
        sent = PQsendDescribePrepared(c->pg, c->stmt->name);
    } else {
        c->step = LQ_STEP_EXECUTE;
        switch (c->call->kind) {
        case LQ_CALL_STATEMENT:
            return send_statement(c, err);
        case LQ_CALL_BEGIN:
            sent = send_begin(c);
            break;
        case LQ_CALL_COMMIT:
            sent = PQsendQuery(c->pg, "COMMIT");
            break;
        case LQ_CALL_ASIDE:
            sent = PQsendQuery(c->pg, c->call->sql.p);
            break;
        }
    }
    return sent ? 0 : LUNAQ_EIO;
}

static void choose_statement(lq_conn *c)
{
    bool fresh = true;
    c->stmt = NULL;
    if (c->call->kind == LQ_CALL_STATEMENT && !c->db->no_prepare)
        c->stmt = lq_stmt_get(c, c->call->sql, &fresh);
    c->prepare = c->stmt && (!fresh || c->call->any_risky);
}

void lq_conn_run(lq_conn *c, lq_pg_call *call)
{
    c->call = call;
    call->conn = c;
    c->step = LQ_STEP_NONE;
    c->paused = false;
    choose_statement(c);
    if (call->deadline)
        lq_timer_start(c->timer, lq_call_left(call));
    lq_conn_pump(c);
}

/* ---- the end of a call -------------------------------------------------- */

static lq_pg_call *detach(lq_conn *c)
{
    lq_pg_call *call = c->call;
    lq_timer_stop(c->timer);
    PQclear(c->failed);
    c->failed = NULL;
    c->call = NULL;
    c->stmt = NULL;
    c->step = LQ_STEP_NONE;
    call->conn = NULL;
    if (call->tx && call->tx->begin == call)
        call->tx->begin = NULL;
    return call;
}

/* The connection is not its transaction's any more. */
static void leave_tx(lq_conn *c)
{
    lq_pg_tx *tx = c->tx;
    c->tx = NULL;
    if (tx)
        lq_tx_lost(tx);
}

void lq_conn_fail(lq_conn *c, int rc, const char *why, bool cancel)
{
    lq_buf message;
    lq_db_outcome outcome = {.rc = rc};
    lq_buf_init(&message, 0);
    lq_pg_call *call = detach(c);
    lq_db_explain(&message, NULL, why, call->sql, outcome.sqlstate);
    outcome.message = message.p ? message.p : why;
    lq_conn_drop(c, cancel);
    lq_call_end(call, &outcome);
    lq_buf_release(&message);
}

/* Ends the call without its connection being at fault.  r may be NULL. */
static void end_failed(lq_conn *c, int rc, const PGresult *r, const char *why)
{
    lq_buf message;
    lq_db_outcome outcome = {.rc = rc};
    lq_buf_init(&message, 0);
    lq_db_explain(&message, r, why, c->call->sql, outcome.sqlstate);
    outcome.message =
        message.p && !message.failed ? message.p : "out of memory";
    if (strcmp(outcome.sqlstate, "57014") == 0 && c->call->deadline)
        outcome.rc = LUNAQ_ETIMEOUT; /* statement_timeout */
    lq_pg_call *call = detach(c);
    if (call->kind == LQ_CALL_BEGIN || call->kind == LQ_CALL_COMMIT)
        leave_tx(c);
    if (PQstatus(c->pg) != CONNECTION_OK)
        lq_conn_drop(c, false);
    else
        lq_tx_settle(c);
    lq_call_end(call, &outcome);
    lq_buf_release(&message);
}

static void end_well(lq_conn *c)
{
    PGTransactionStatusType status = PQtransactionStatus(c->pg);
    if (c->call->kind == LQ_CALL_STATEMENT && c->tx && status == PQTRANS_IDLE) {
        leave_tx(c);
        end_failed(c, LUNAQ_EDATABASE, NULL,
                   "the statement ended the transaction around it; leave "
                   "commit and rollback to db.tx");
        return;
    }
    if (c->call->kind == LQ_CALL_STATEMENT && !c->tx &&
        status != PQTRANS_IDLE) {
        end_failed(c, LUNAQ_EDATABASE, NULL,
                   "a transaction cannot be begun by a statement; use db.tx");
        return;
    }
    if (c->call->undone) {
        end_failed(c, LUNAQ_EDATABASE, NULL,
                   "the transaction was rolled back, since a statement in it "
                   "had failed");
        return;
    }
    lq_pg_call *call = detach(c);
    lq_db_outcome outcome = {.result = call->result};
    call->result = NULL;
    if (call->kind == LQ_CALL_COMMIT)
        leave_tx(c);
    lq_tx_settle(c);
    lq_call_end(call, &outcome);
}

/* ---- reading ------------------------------------------------------------ */

static void save_types(lq_stmt *s, const PGresult *r)
{
    int n = PQnparams(r);
    s->types = lq_malloc((size_t)(n > 0 ? n : 1) * sizeof *s->types);
    if (!s->types)
        return; /* step_over() sees that it is not described */
    for (int i = 0; i < n; i++)
        s->types[i] = PQparamtype(r, i);
    s->type_count = n;
    s->described = true;
}

static void deliver_chunk(lq_conn *c)
{
    lq_pg_call *call = c->call;
    lq_db_outcome outcome = {.result = call->result, .more = true};
    call->result = NULL;
    c->paused = true;
    lq_conn_arm(c);
    call->done(call->ud, &outcome); /* call and c may be gone now */
}

/* Rows.  False: this is not the time to read on, c may be gone. */
static bool take_rows(lq_conn *c, PGresult *r)
{
    lq_pg_call *call = c->call;
    if (call->kind != LQ_CALL_STATEMENT) {
        if (call->kind == LQ_CALL_COMMIT &&
            strcmp(PQcmdStatus(r), "ROLLBACK") == 0)
            call->undone = true;
        PQclear(r);
        return true;
    }
    if (!call->result && !(call->result = lq_db_result_new())) {
        PQclear(r);
        lq_conn_fail(c, LUNAQ_ENOMEM, "out of memory", true);
        return false;
    }
    if (!lq_db_result_take(call->result, r)) {
        lq_conn_fail(c, LUNAQ_ENOMEM, "out of memory", true);
        return false;
    }
    if (call->chunk_rows &&
        lq_db_result_rows(call->result) >= call->chunk_rows) {
        deliver_chunk(c);
        return false;
    }
    return true;
}

static bool take(lq_conn *c, PGresult *r)
{
    switch (PQresultStatus(r)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
    case PGRES_EMPTY_QUERY:
        if (c->step == LQ_STEP_EXECUTE)
            return take_rows(c, r);
        if (c->step == LQ_STEP_DESCRIBE)
            save_types(c->stmt, r);
        PQclear(r);
        return true;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        PQclear(r);
        lq_conn_fail(c, LUNAQ_EDATABASE, "COPY from or to here is not possible",
                     true);
        return false;
    default:
        if (c->failed)
            PQclear(r);
        else
            c->failed = r;
        return true;
    }
}

/* A plan that a change of the tables outdated, or a statement that somebody
 * deallocated: not the caller's fault, and nothing was executed. */
static bool outdated(lq_conn *c, const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    if (!c->prepare || !state)
        return false;
    bool gone = strcmp(state, "26000") == 0;
    if (!gone && strcmp(state, "0A000") != 0)
        return false;
    if (!gone && !c->evicted[0])
        memcpy(c->evicted, c->stmt->name, sizeof c->evicted);
    lq_stmt_forget(c, c->stmt);
    c->prepare = false;
    bool again = !c->call->retried && !c->tx;
    c->call->retried = true;
    return again;
}

/* All results of a step were read.  False: the call is over, c may be gone. */
static bool step_over(lq_conn *c)
{
    enum lq_step step = c->step;
    PGresult *failed = c->failed;
    bool goes_on = true;
    c->failed = NULL;
    c->step = LQ_STEP_NONE;
    if (step == LQ_STEP_DEALLOCATE) {
        c->evicted[0] = 0; /* failed or not: it is gone */
    } else if (failed && outdated(c, failed)) {
        choose_statement(c);
    } else if (failed) {
        end_failed(c, LUNAQ_EDATABASE, failed, NULL);
        goes_on = false;
    } else if (step == LQ_STEP_TIMEOUT) {
        c->server_timeout_ms = c->wanted_timeout_ms;
    } else if (step == LQ_STEP_PREPARE) {
        c->stmt->prepared = true;
    } else if (step == LQ_STEP_DESCRIBE && !c->stmt->described) {
        end_failed(c, LUNAQ_ENOMEM, NULL, "out of memory");
        goes_on = false;
    } else if (step == LQ_STEP_EXECUTE) {
        end_well(c);
        goes_on = false;
    }
    PQclear(failed);
    return goes_on;
}

static void idle(lq_conn *c)
{
    for (PGnotify *n; (n = PQnotifies(c->pg));)
        PQfreemem(n);
    if (lq_conn_alive(c))
        lq_conn_arm(c);
    else
        lq_conn_drop(c, false);
}

void lq_conn_pump(lq_conn *c)
{
    while (c->call) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        if (c->paused)
            return;
        int rc = c->step == LQ_STEP_NONE ? send_step(c, &err) : 0;
        if (rc == LUNAQ_EIO) {
            lq_conn_fail(c, LUNAQ_EDATABASE, PQerrorMessage(c->pg), false);
            return;
        }
        if (rc) {
            end_failed(c, rc, NULL, err.message);
            return;
        }
        if (PQflush(c->pg) < 0)
            c->broken = true;
        if (PQisBusy(c->pg)) {
            if (!c->broken)
                lq_conn_arm(c);
            if (c->broken)
                lq_conn_fail(c, LUNAQ_EDATABASE, PQerrorMessage(c->pg), false);
            return;
        }
        PGresult *r = PQgetResult(c->pg);
        if (r ? !take(c, r) : !step_over(c))
            return;
    }
    idle(c);
}
