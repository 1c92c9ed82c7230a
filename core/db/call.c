/* A call: what is to be run, by when, and who wants to know. */
#include "db/conn.h"

#include <math.h>
#include <stdio.h>

#define OID_BYTEA 17
#define PARAMS_MAX 65535 /* of the protocol */

lq_pg_call *lq_call_new(lq_pg *db, enum lq_call_kind kind, int64_t timeout_ms)
{
    lq_pg_call *call = lq_calloc(1, sizeof *call);
    if (!call)
        return NULL;
    lq_list_init(&call->node);
    call->db = db;
    call->kind = kind;
    call->submitted = lq_mono_ms();
    call->timeout_ms = timeout_ms;
    if (timeout_ms > 0)
        call->deadline = call->submitted + timeout_ms;
    return call;
}

void lq_call_free(lq_pg_call *call)
{
    if (!call)
        return;
    lq_list_remove(&call->node);
    lq_db_result_free(call->result);
    lq_arena_release(&call->arena);
    lq_free(call);
}

int64_t lq_call_left(const lq_pg_call *call)
{
    if (!call->deadline)
        return 0;
    int64_t left = call->deadline - lq_mono_ms();
    return left > 1 ? left : 1;
}

/* ---- parameters --------------------------------------------------------- */

/* Would the server see something else than these bytes if it took the text for
 * a bytea? */
static bool is_risky(lq_str s)
{
    return s.len && (memchr(s.p, 0, s.len) || memchr(s.p, '\\', s.len) ||
                     !lq_utf8_valid(s));
}

static int put_text(lq_pg_call *call, size_t i, const char *text)
{
    call->values[i] = lq_arena_dup(&call->arena, lq_str_c(text));
    call->lengths[i] = (int)strlen(text);
    return call->values[i] ? 0 : LUNAQ_ENOMEM;
}

static int put_float(lq_pg_call *call, size_t i, double v)
{
    char text[40];
    if (isnan(v))
        return put_text(call, i, "NaN");
    if (isinf(v))
        return put_text(call, i, v > 0 ? "Infinity" : "-Infinity");
    /* A whole number is written as one, so that 10 / 2 fits an integer. */
    if (fabs(v) < 1e15 && v == (double)(int64_t)v)
        snprintf(text, sizeof text, "%.0f", v);
    else
        snprintf(text, sizeof text, "%.17g", v);
    for (char *p = text; *p; p++)
        if (*p == ',')
            *p = '.'; /* whatever the locale says */
    return put_text(call, i, text);
}

static int put(lq_pg_call *call, size_t i, const lq_db_value *v,
               lunaq_error *err)
{
    char text[24];
    int rc = 0;
    switch (v->kind) {
    case LQ_DB_NULL:
        break; /* values[i] is NULL */
    case LQ_DB_BOOL:
        rc = put_text(call, i, v->num ? "t" : "f");
        break;
    case LQ_DB_INT:
        snprintf(text, sizeof text, "%lld", (long long)v->num);
        rc = put_text(call, i, text);
        break;
    case LQ_DB_FLOAT:
        rc = put_float(call, i, v->real);
        break;
    case LQ_DB_TEXT:
    case LQ_DB_BYTES:
        if (v->str.len > INT32_MAX / 2)
            return lq_fail(err, LUNAQ_EINVAL, "parameter $%zu is too long",
                           i + 1);
        call->values[i] = lq_arena_dup(&call->arena, v->str);
        call->lengths[i] = (int)v->str.len;
        call->risky[i] = is_risky(v->str);
        call->any_risky |= call->risky[i];
        rc = call->values[i] ? 0 : LUNAQ_ENOMEM;
        break;
    }
    return rc ? lq_fail_nomem(err) : 0;
}

int lq_call_set(lq_pg_call *call, const lq_db_statement *s, lunaq_error *err)
{
    size_t n = s->param_count;
    if (s->sql.len == 0 || memchr(s->sql.p, 0, s->sql.len))
        return lq_fail(err, LUNAQ_EINVAL,
                       "the SQL is empty or holds a NUL byte");
    if (n > PARAMS_MAX)
        return lq_fail(err, LUNAQ_EINVAL,
                       "%zu parameters: PostgreSQL takes at most %d", n,
                       PARAMS_MAX);
    char *sql = lq_arena_dup(&call->arena, s->sql);
    if (!sql)
        return lq_fail_nomem(err);
    call->sql = lq_str_n(sql, s->sql.len);
    call->chunk_rows = s->chunk_rows;
    call->param_count = n;
    if (n == 0)
        return 0;
    call->values = lq_arena_alloc(&call->arena, n * sizeof *call->values);
    call->lengths = lq_arena_alloc(&call->arena, n * sizeof *call->lengths);
    call->formats = lq_arena_alloc(&call->arena, n * sizeof *call->formats);
    call->risky = lq_arena_alloc(&call->arena, n * sizeof *call->risky);
    if (!call->values || !call->lengths || !call->formats || !call->risky)
        return lq_fail_nomem(err);
    for (size_t i = 0; i < n; i++) {
        int rc = put(call, i, &s->params[i], err);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- the end ------------------------------------------------------------ */

void lq_call_end(lq_pg_call *call, const lq_db_outcome *outcome)
{
    if (call->done)
        call->done(call->ud, outcome);
    else
        lq_db_result_free(outcome->result);
    lq_call_free(call);
}

void lq_call_fail(lq_pg_call *call, int rc, const char *why)
{
    lq_db_outcome outcome = {.rc = rc, .message = why};
    lq_list_remove(&call->node);
    lq_call_end(call, &outcome);
}

/* ---- submitting --------------------------------------------------------- */

int lq_pg_query(lq_pg *db, lq_pg_tx *tx, const lq_db_statement *statement,
                lq_db_done_fn *done, void *ud, lq_pg_call **out,
                lunaq_error *err)
{
    lq_pg_call *call =
        lq_call_new(db, LQ_CALL_STATEMENT, statement->timeout_ms);
    *out = NULL;
    if (!call)
        return lq_fail_nomem(err);
    call->done = done;
    call->ud = ud;
    int rc = lq_call_set(call, statement, err);
    if (!rc && tx)
        rc = lq_tx_submit(tx, call, err);
    if (rc) {
        lq_call_free(call);
        return rc;
    }
    if (!tx)
        lq_pool_wait(db, call);
    *out = call;
    return 0;
}

void lq_pg_abandon(lq_pg_call *call)
{
    lq_conn *c = call->conn;
    if (call->tx && call->tx->begin == call)
        call->tx->begin = NULL;
    if (!c) {
        lq_pool_leave(call);
        lq_call_free(call);
        return;
    }
    lq_conn_drop(c, true);
}

void lq_pg_next(lq_pg_call *call)
{
    lq_conn *c = call->conn;
    c->paused = false;
    lq_list_remove(&c->kick_node);
    lq_list_append(&c->db->kicked, &c->kick_node);
    lq_pool_wake(c->db);
}
