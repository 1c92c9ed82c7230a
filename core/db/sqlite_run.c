/* A call on a connection, on the connection's thread. */
#include "db/result.h"
#include "db/sqlite_pool.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

/* ---- failing ------------------------------------------------------------ */

static void fail(lq_lite_call *call, int rc, const char *why)
{
    char state[6];
    call->rc = rc;
    lq_buf_clear(&call->message);
    lq_db_explain(&call->message, NULL, why, call->sql, state);
}

static void fail_sqlite(lq_lite_conn *c, lq_lite_call *call, int rc)
{
    char text[400];
    int full = sqlite3_extended_errcode(c->lite);
    const char *state =
        lq_lite_sqlstate((full & 0xff) == (rc & 0xff) ? full : rc);
    snprintf(call->sqlstate, sizeof call->sqlstate, "%s", state);
    if ((rc & 0xff) == SQLITE_AUTH)
        snprintf(text, sizeof text,
                 "a transaction cannot be begun or ended by a statement; use "
                 "db.tx");
    else if (*state)
        snprintf(text, sizeof text, "%s (SQLSTATE %s)", sqlite3_errmsg(c->lite),
                 state);
    else
        snprintf(text, sizeof text, "%s", sqlite3_errmsg(c->lite));
    fail(call, (rc & 0xff) == SQLITE_NOMEM ? LUNAQ_ENOMEM : LUNAQ_EDATABASE,
         text);
}

/* ---- opening ------------------------------------------------------------ */

/* One of another process writes.  Few wait here, since those of a process stand
 * in line, so they can look often; at random, not all at once. */
static int busy(void *ud, int n)
{
    lq_lite_conn *c = ud;
    int64_t most_us = n < 8 ? 250 * (n + 1) : 2000;
    struct timespec pause = {
        .tv_nsec =
            (most_us / 2 + (int64_t)lq_random((uint64_t)most_us / 2)) * 1000};
    if (atomic_load(&c->cancel))
        return 0;
    atomic_store(&c->locked, true);
    nanosleep(&pause, NULL);
    return 1;
}

static int progress(void *ud)
{
    lq_lite_conn *c = ud;
    atomic_store(&c->locked, false); /* it goes on */
    return atomic_load(&c->cancel);
}

static int authorize(void *ud, int action, const char *a, const char *b,
                     const char *d, const char *e)
{
    lq_lite_conn *c = ud;
    (void)a, (void)b, (void)d, (void)e;
    if ((action == SQLITE_TRANSACTION || action == SQLITE_SAVEPOINT) && !c->own)
        return SQLITE_DENY;
    return SQLITE_OK;
}

static bool open_file(lq_lite_conn *c, lq_lite_call *call)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    sqlite3 *lite;
    if (c->lite)
        return true;
    int rc = lq_lite_open(&lite, c->path, busy, c, &err);
    if (rc) {
        fail(call, LUNAQ_EDATABASE, err.message);
        return false;
    }
    sqlite3_progress_handler(lite, 1000, progress, c);
    sqlite3_set_authorizer(lite, authorize, c);
    pthread_mutex_lock(&c->mutex);
    c->lite = lite;
    pthread_mutex_unlock(&c->mutex);
    return true;
}

/* ---- statements --------------------------------------------------------- */

static void forget(struct lq_lite_statement *s)
{
    sqlite3_finalize(s->stmt);
    lq_free(s->sql);
    *s = (struct lq_lite_statement){0};
}

void lq_lite_forget_statements(lq_lite_conn *c)
{
    for (size_t i = 0; i < LQ_LITE_STATEMENTS; i++)
        forget(&c->statements[i]);
}

static bool only_space(const char *p)
{
    for (;;) {
        p += strspn(p, " \t\r\n\f;");
        if (strncmp(p, "--", 2) == 0)
            p += strcspn(p, "\n");
        else if (strncmp(p, "/*", 2) == 0 && strstr(p, "*/"))
            p = strstr(p, "*/") + 2;
        else
            return *p == 0;
    }
}

static sqlite3_stmt *prepare(lq_lite_conn *c, lq_lite_call *call)
{
    struct lq_lite_statement *oldest = &c->statements[0];
    const char *tail = NULL;
    for (size_t i = 0; i < LQ_LITE_STATEMENTS; i++) {
        struct lq_lite_statement *s = &c->statements[i];
        if (s->stmt && s->len == call->sql.len &&
            memcmp(s->sql, call->sql.p, s->len) == 0) {
            s->used = ++c->clock;
            return s->stmt;
        }
        if (s->used < oldest->used)
            oldest = s;
    }
    forget(oldest);
    int rc =
        sqlite3_prepare_v3(c->lite, call->sql.p, (int)call->sql.len + 1,
                           SQLITE_PREPARE_PERSISTENT, &oldest->stmt, &tail);
    if (rc) {
        fail_sqlite(c, call, rc);
    } else if (!oldest->stmt) {
        fail(call, LUNAQ_EDATABASE, "there is no statement");
    } else if (!only_space(tail)) {
        fail(call, LUNAQ_EDATABASE,
             "more than one statement; run each by itself");
    } else {
        oldest->sql = lq_strdup_n(call->sql);
        oldest->len = call->sql.len;
        oldest->used = ++c->clock;
        if (oldest->sql)
            return oldest->stmt;
        fail(call, LUNAQ_ENOMEM, "out of memory");
    }
    forget(oldest);
    return NULL;
}

static int bind_value(sqlite3_stmt *stmt, int at, const lq_db_value *v)
{
    switch (v->kind) {
    case LQ_DB_NULL:
        break;
    case LQ_DB_BOOL:
    case LQ_DB_INT:
        return sqlite3_bind_int64(stmt, at, v->num);
    case LQ_DB_FLOAT:
        /* A whole number is written as one, as for PostgreSQL. */
        if (fabs(v->real) < 1e15 && v->real == (double)(int64_t)v->real)
            return sqlite3_bind_int64(stmt, at, (int64_t)v->real);
        return sqlite3_bind_double(stmt, at, v->real);
    case LQ_DB_TEXT:
    case LQ_DB_BYTES:
        if (v->kind == LQ_DB_TEXT && lq_utf8_valid(v->str) &&
            (v->str.len == 0 || !memchr(v->str.p, 0, v->str.len)))
            return sqlite3_bind_text64(stmt, at, v->str.p, v->str.len,
                                       SQLITE_STATIC, SQLITE_UTF8);
        return sqlite3_bind_blob64(stmt, at, v->str.p, v->str.len,
                                   SQLITE_STATIC);
    }
    return sqlite3_bind_null(stmt, at);
}

/* SQLite numbers "$2" by where it comes first; here it is the second. */
static bool bind(lq_lite_conn *c, lq_lite_call *call)
{
    int slots = sqlite3_bind_parameter_count(c->stmt);
    int64_t most = 0;
    char why[160];
    for (int at = 1; at <= slots; at++) {
        const char *name = sqlite3_bind_parameter_name(c->stmt, at);
        int64_t n = 0;
        if (!name || name[0] != '$' || !lq_str_int64(lq_str_c(name + 1), &n) ||
            n < 1) {
            snprintf(why, sizeof why,
                     "placeholder %.40s: they are $1, $2, … (and a type is "
                     "given by cast($1 as …))",
                     name ? name : "?");
            fail(call, LUNAQ_EINVAL, why);
            return false;
        }
        if (n > most)
            most = n;
        if ((uint64_t)n > call->param_count)
            continue;
        const lq_db_value *v = &call->params[n - 1];
        if (v->kind == LQ_DB_FLOAT && isnan(v->real)) {
            fail(call, LUNAQ_EINVAL,
                 "a parameter is NaN, which SQLite does "
                 "not have");
            return false;
        }
        int rc = bind_value(c->stmt, at, v);
        if (rc) {
            fail_sqlite(c, call, rc);
            return false;
        }
    }
    if ((uint64_t)most == call->param_count)
        return true;
    snprintf(why, sizeof why, "%zu parameters given, the statement has %lld",
             call->param_count, (long long)most);
    fail(call, LUNAQ_EDATABASE, why);
    return false;
}

static void end_statement(lq_lite_conn *c)
{
    if (!c->stmt)
        return;
    sqlite3_reset(c->stmt);
    sqlite3_clear_bindings(c->stmt);
    c->stmt = NULL;
}

/* False: canceled while it waited for its turn to write. */
static bool enter_line(lq_lite_conn *c, lq_lite_call *call)
{
    atomic_store(&c->locked, true);
    bool first = lq_line_enter(c->writers, &c->place, &c->cancel);
    atomic_store(&c->locked, !first);
    if (!first)
        fail(call, LUNAQ_EDATABASE, "canceled");
    return first;
}

/* What the lock costs is waited for here, where the busy handler is not
 * asked; never with rows in hand. */
static int step(lq_lite_conn *c)
{
    int n = 0, rc = sqlite3_step(c->stmt);
    while ((rc & 0xff) == SQLITE_BUSY && sqlite3_get_autocommit(c->lite)) {
        sqlite3_reset(c->stmt);
        if (!busy(c, n++))
            break;
        rc = sqlite3_step(c->stmt);
    }
    return rc;
}

static void run_statement(lq_lite_conn *c, lq_lite_call *call)
{
    if (!c->stmt) {
        c->stmt = prepare(c, call);
        if (!c->stmt || !bind(c, call)) {
            end_statement(c);
            return;
        }
        if (!sqlite3_stmt_readonly(c->stmt) && !enter_line(c, call)) {
            end_statement(c);
            return;
        }
        c->changes = sqlite3_total_changes(c->lite);
    }
    call->result = lq_lite_result_new(c->stmt);
    int rc = call->result ? step(c) : SQLITE_NOMEM;
    /* One that writes is not paused: others would wait for its lock. */
    size_t chunk = sqlite3_stmt_readonly(c->stmt) ? call->chunk_rows : 0;
    while (rc == SQLITE_ROW) {
        if (!lq_lite_result_add(call->result, c->stmt)) {
            rc = SQLITE_NOMEM;
            break;
        }
        if (chunk && lq_db_result_rows(call->result) >= chunk) {
            call->more = true;
            return;
        }
        rc = sqlite3_step(c->stmt);
    }
    if (rc == SQLITE_NOMEM)
        fail(call, LUNAQ_ENOMEM, "out of memory");
    else if (rc != SQLITE_DONE)
        fail_sqlite(c, call, rc);
    else if (sqlite3_column_count(c->stmt) == 0)
        lq_lite_result_affected(call->result,
                                sqlite3_total_changes(c->lite) == c->changes
                                    ? 0
                                    : sqlite3_changes(c->lite));
    end_statement(c);
}

/* ---- transactions ------------------------------------------------------- */

static void run_own(lq_lite_conn *c, lq_lite_call *call, const char *sql)
{
    int rc, n = 0;
    c->own = true;
    do
        rc = sqlite3_exec(c->lite, sql, NULL, NULL, NULL);
    while ((rc & 0xff) == SQLITE_BUSY && busy(c, n++));
    c->own = false;
    if (rc)
        fail_sqlite(c, call, rc);
}

static void run_savepoint(lq_lite_conn *c, lq_lite_call *call)
{
    char sql[96];
    if (call->op == LQ_DB_SAVEPOINT_ROLLBACK)
        snprintf(sql, sizeof sql, "ROLLBACK TO lunaq_%u; RELEASE lunaq_%u",
                 call->depth, call->depth);
    else
        snprintf(sql, sizeof sql, "%s lunaq_%u",
                 call->op == LQ_DB_SAVEPOINT ? "SAVEPOINT" : "RELEASE",
                 call->depth);
    run_own(c, call, sql);
}

static void run_commit(lq_lite_conn *c, lq_lite_call *call)
{
    if (!call->refuse) {
        run_own(c, call, "COMMIT");
        return;
    }
    fail(call, LUNAQ_EDATABASE,
         "the transaction was rolled back, since a statement in it had "
         "failed");
}

static void run_kind(lq_lite_conn *c, lq_lite_call *call)
{
    switch (call->kind) {
    case LQ_LITE_STATEMENT:
        if (!call->refuse) {
            run_statement(c, call);
            break;
        }
        memcpy(call->sqlstate, "25P02", 6);
        fail(call, LUNAQ_EDATABASE,
             "a statement of the transaction has failed, nothing more runs in "
             "it (SQLSTATE 25P02)");
        break;
    case LQ_LITE_BEGIN:
        /* At once the one that writes: who read first could not go on to
         * write once another had. */
        if (enter_line(c, call))
            run_own(c, call, "BEGIN IMMEDIATE");
        break;
    case LQ_LITE_COMMIT:
        run_commit(c, call);
        break;
    case LQ_LITE_ROLLBACK:
        break;
    case LQ_LITE_SAVEPOINT:
        run_savepoint(c, call);
        break;
    }
}

void lq_lite_run(lq_lite_conn *c, lq_lite_call *call)
{
    call->rc = 0;
    call->more = false;
    atomic_store(&c->locked, false);
    if (call->stop)
        end_statement(c);
    else if (open_file(c, call))
        run_kind(c, call);
    if (call->rc) {
        lq_db_result_free(call->result);
        call->result = NULL;
    }
    if (!c->lite)
        return;
    /* A canceled call takes its transaction along; so does a failed commit. */
    bool lost = atomic_load(&c->cancel) || call->kind == LQ_LITE_ROLLBACK ||
                call->stop || (call->kind == LQ_LITE_COMMIT && call->rc);
    if (lost) {
        end_statement(c);
        call->more = false;
        c->own = true;
        if (!sqlite3_get_autocommit(c->lite))
            sqlite3_exec(c->lite, "ROLLBACK", NULL, NULL, NULL);
        c->own = false;
    }
    call->in_tx = !sqlite3_get_autocommit(c->lite);
    if (!call->in_tx)
        lq_line_leave(c->writers, &c->place);
}
