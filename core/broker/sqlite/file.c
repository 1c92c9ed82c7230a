#include "sqlite/connection.h"

#include "base/clock.h"

#include <errno.h>

/* ---- what a failure means ------------------------------------------------ */

static bool no_space(int rc, int why)
{
    return rc == SQLITE_FULL ||
           ((rc & 0xff) == SQLITE_IOERR &&
            (why == ENOSPC || why == EDQUOT || why == EFBIG));
}

/* A code of ours for SQLite's, and what to say of it. */
static int meaning(int rc, int why, const char **text)
{
    if (no_space(rc, why)) {
        *text = "no space is left for it: make room on its disk";
        return LUNAQ_EFULL;
    }
    if (rc == SQLITE_IOERR_NOMEM)
        rc = SQLITE_NOMEM;
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        *text = "out of memory";
        return LUNAQ_ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        *text = "another program holds it for too long";
        return LUNAQ_EBROKER;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        *text = "is read-only: make the file and its folder writable";
        return LUNAQ_ECONFIG;
    case SQLITE_NOTADB:
        *text = "is not a SQLite database: choose another file";
        return LUNAQ_ECONFIG;
    case SQLITE_CORRUPT:
        *text = "is damaged: restore a copy, or save what is left with "
                "sqlite3's .recover";
        return LUNAQ_EREPLY;
    case SQLITE_INTERRUPT:
        *text = "interrupted";
        return LUNAQ_ETIMEOUT;
    case SQLITE_IOERR:
        *text = "input or output failed";
        return LUNAQ_EBROKER;
    case SQLITE_CANTOPEN:
        *text = "cannot be opened";
        return LUNAQ_EBROKER;
    default:
        *text = NULL;
        return LUNAQ_EREPLY;
    }
}

int lq_sqlite_failed(const lq_sqlite *q, int sqlite_rc, const char *what,
                     lunaq_error *err)
{
    const char *text = NULL;
    int rc = sqlite_rc, why = 0;
    if (q->db) {
        int full = sqlite3_extended_errcode(q->db);
        if ((full & 0xff) == (rc & 0xff))
            rc = full;
        why = sqlite3_system_errno(q->db);
    }
    int code = meaning(rc, why, &text);
    if (!text)
        text = q->db ? sqlite3_errmsg(q->db) : sqlite3_errstr(rc);
    bool io = (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN;
    return lq_fail(err, code, "sqlite: %s: %s%s%s%s%s", q->path,
                   what ? what : "", what ? ": " : "", text,
                   io && why ? ": " : "", io && why ? strerror(why) : "");
}

/* ---- transactions -------------------------------------------------------- */

int lq_sqlite_begin(lq_sqlite *q, enum lq_sqlite_mode mode, int64_t deadline_ns,
                    lunaq_error *err)
{
    lq_sqlite_rollback(q);
    lq_buf_clear(&q->wakes.queues);
    lq_buf_clear(&q->wakes.cancels);
    q->line.queue = 0;
    q->sync = false;
    q->deadline_ns = deadline_ns;
    if (mode == LQ_SQLITE_WRITE) {
        int rc = lq_sqlite_lock_take(&q->lock, deadline_ns, err);
        if (rc)
            return rc;
    }
    int rc = lq_sqlite_control(
        q, mode == LQ_SQLITE_WRITE ? LQ_SQL_BEGIN_IMMEDIATE : LQ_SQL_BEGIN);
    if (rc) {
        int code = lq_sqlite_failed(q, rc, NULL, err);
        lq_sqlite_rollback(q);
        return code;
    }
    q->under_way = true;
    return LUNAQ_OK;
}

/* What FULL does at each commit: the WAL goes to the disk. */
static int sync_wal(lq_sqlite *q)
{
    sqlite3_file *wal = NULL;
    int rc =
        sqlite3_file_control(q->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    if (!rc && wal && wal->pMethods)
        rc = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
    return rc;
}

int lq_sqlite_commit(lq_sqlite *q, lunaq_error *err)
{
    int rc, code = LUNAQ_OK;
    if (!lq_sqlite_in_transaction(q)) {
        code = lq_fail(err, LUNAQ_EBROKER,
                       "sqlite: %s: the transaction was rolled back", q->path);
    } else if ((rc = lq_sqlite_control(q, LQ_SQL_COMMIT)) != 0) {
        code = lq_sqlite_failed(q, rc, NULL, err);
    } else if (q->sync && (rc = sync_wal(q)) != 0) {
        /* It is there, and may not last: who repeats it finds it. */
        lunaq_error why = LUNAQ_ERROR_INIT;
        lq_sqlite_failed(q, rc, NULL, &why);
        code = lq_fail(err, LUNAQ_EUNKNOWN,
                       "committed, but not known to be on the disk: %s",
                       why.message);
    }
    lq_sqlite_rollback(q);
    return code;
}

void lq_sqlite_rollback(lq_sqlite *q)
{
    if (q->db && !sqlite3_get_autocommit(q->db)) {
        /* What was left in the middle would keep it from ending. */
        for (size_t i = 0; i < LQ_SQL_COUNT; i++)
            if (q->stmts[i] && sqlite3_stmt_busy(q->stmts[i]))
                (void)sqlite3_reset(q->stmts[i]);
        if (lq_sqlite_control(q, LQ_SQL_ROLLBACK))
            (void)sqlite3_exec(q->db, "ROLLBACK", NULL, NULL, NULL);
    }
    q->under_way = false;
    lq_sqlite_lock_give(&q->lock);
}

bool lq_sqlite_in_transaction(const lq_sqlite *q)
{
    return q->under_way && !sqlite3_get_autocommit(q->db);
}

/* ---- the rest ------------------------------------------------------------ */

const lq_sqlite_wakes *lq_sqlite_wakes_of(const lq_sqlite *q)
{
    return &q->wakes;
}

int lq_sqlite_data_version(lq_sqlite *q, int64_t *version, lunaq_error *err)
{
    q->fault = (lunaq_error)LUNAQ_ERROR_INIT;
    lq_query x = lq_query_begin(q, LQ_SQL_DATA_VERSION);
    *version = lq_query_one(&x, 0);
    return lq_sqlite_fault_of(q, err);
}

sqlite3 *lq_sqlite_db(lq_sqlite *q)
{
    return q->db;
}

lq_sqlite_lock *lq_sqlite_lock_of(lq_sqlite *q)
{
    return &q->lock;
}

bool lq_sqlite_is_normal(const lq_sqlite *q)
{
    return q->normal;
}

const char *lq_sqlite_path(const lq_sqlite *q)
{
    return q->path;
}

void lq_sqlite_close(lq_sqlite *q)
{
    if (!q)
        return;
    lq_sqlite_rollback(q);
    for (size_t i = 0; i < LQ_SQL_COUNT; i++)
        (void)sqlite3_finalize(q->stmts[i]);
    (void)sqlite3_close(q->db);
    lq_sqlite_lock_close(&q->lock);
    lq_buf_release(&q->scratch);
    lq_buf_release(&q->wakes.queues);
    lq_buf_release(&q->wakes.cancels);
    lq_free(q->path);
    lq_free(q);
}
