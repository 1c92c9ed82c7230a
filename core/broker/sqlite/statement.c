#include "sqlite/connection.h"

const char *lq_sql_text(enum lq_sql which)
{
    static const char *const texts[LQ_SQL_COUNT] = {
#define LQ_SQL_ROW(name, text) [LQ_SQL_##name] = (text),
#include "sqlite/statements.def"
#undef LQ_SQL_ROW
    };
    return texts[which];
}

/* ---- failures ------------------------------------------------------------ */

void lq_sqlite_fault(lq_sqlite *q, int code, const char *message)
{
    if (!q->fault.code)
        lq_fail(&q->fault, code, "%s", message);
}

void lq_sqlite_fault_nomem(lq_sqlite *q)
{
    if (!q->fault.code)
        lq_fail_nomem(&q->fault);
}

int lq_sqlite_fault_of(const lq_sqlite *q, lunaq_error *err)
{
    if (q->fault.code && err)
        *err = q->fault;
    return q->fault.code;
}

static void fault(lq_query *x, int sqlite_rc)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    int code = lq_sqlite_failed(x->q, sqlite_rc, NULL, &err);
    lq_sqlite_fault(x->q, code, err.message);
    lq_query_end(x);
}

/* ---- queries ------------------------------------------------------------- */

static int prepare(lq_sqlite *q, enum lq_sql which)
{
    if (q->stmts[which])
        return SQLITE_OK;
    return sqlite3_prepare_v3(q->db, lq_sql_text(which), -1,
                              SQLITE_PREPARE_PERSISTENT, &q->stmts[which],
                              NULL);
}

int lq_sqlite_control(lq_sqlite *q, enum lq_sql which)
{
    int rc = prepare(q, which);
    if (rc)
        return rc;
    rc = sqlite3_step(q->stmts[which]);
    int end = sqlite3_reset(q->stmts[which]);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? end : rc;
}

lq_query lq_query_begin(lq_sqlite *q, enum lq_sql which)
{
    lq_query x = {.q = q};
    if (q->fault.code)
        return x;
    int rc = prepare(q, which);
    x.stmt = q->stmts[which];
    if (rc)
        fault(&x, rc);
    return x;
}

void lq_query_end(lq_query *x)
{
    if (x->stmt) {
        (void)sqlite3_reset(x->stmt);
        (void)sqlite3_clear_bindings(x->stmt);
    }
    x->stmt = NULL;
}

static void bound(lq_query *x, int rc)
{
    if (rc)
        fault(x, rc);
}

void lq_query_int(lq_query *x, int64_t v)
{
    if (x->stmt)
        bound(x, sqlite3_bind_int64(x->stmt, ++x->bound, v));
}

void lq_query_null(lq_query *x)
{
    if (x->stmt)
        bound(x, sqlite3_bind_null(x->stmt, ++x->bound));
}

void lq_query_text(lq_query *x, lq_str s)
{
    if (!s.p)
        lq_query_null(x);
    else if (x->stmt)
        bound(x, sqlite3_bind_text64(x->stmt, ++x->bound, s.p, s.len,
                                     SQLITE_STATIC, SQLITE_UTF8));
}

void lq_query_blob(lq_query *x, lq_str s)
{
    if (!s.p)
        lq_query_null(x);
    else if (x->stmt)
        bound(x, sqlite3_bind_blob64(x->stmt, ++x->bound, s.p, s.len,
                                     SQLITE_STATIC));
}

bool lq_query_row(lq_query *x)
{
    if (!x->stmt)
        return false;
    int rc = sqlite3_step(x->stmt);
    if (rc == SQLITE_ROW)
        return true;
    if (rc != SQLITE_DONE)
        fault(x, rc);
    return false;
}

int64_t lq_query_run(lq_query *x)
{
    while (lq_query_row(x))
        ;
    int64_t changed = x->stmt ? sqlite3_changes64(x->q->db) : 0;
    lq_query_end(x);
    return changed;
}

int64_t lq_query_one(lq_query *x, int64_t none)
{
    int64_t v = none;
    if (lq_query_row(x) && !lq_column_is_null(x, 0))
        v = lq_column_int(x, 0);
    while (lq_query_row(x))
        ;
    lq_query_end(x);
    return v;
}

/* ---- columns ------------------------------------------------------------- */

int64_t lq_column_int(lq_query *x, int i)
{
    return x->stmt ? sqlite3_column_int64(x->stmt, i) : 0;
}

bool lq_column_is_null(lq_query *x, int i)
{
    return !x->stmt || sqlite3_column_type(x->stmt, i) == SQLITE_NULL;
}

lq_str lq_column_bytes(lq_query *x, int i)
{
    if (lq_column_is_null(x, i))
        return (lq_str){0};
    const void *p = sqlite3_column_blob(x->stmt, i);
    size_t len = (size_t)sqlite3_column_bytes(x->stmt, i);
    if (!p && sqlite3_errcode(x->q->db) == SQLITE_NOMEM) {
        lq_sqlite_fault_nomem(x->q);
        return (lq_str){0};
    }
    return p ? lq_str_n(p, len) : LQ_STR("");
}

lq_str lq_column_copy(lq_query *x, int i, lq_arena *mem)
{
    lq_str s = lq_column_bytes(x, i);
    if (!s.p)
        return s;
    char *copy = lq_arena_dup(mem, s);
    if (!copy)
        lq_sqlite_fault_nomem(x->q);
    return lq_str_n(copy, copy ? s.len : 0);
}
