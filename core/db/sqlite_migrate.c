/* Migrations of a SQLite file: each in a transaction that looks anew at what is
 * applied, so that of two processes one applies it and the other sees it. */
#include "db/migrate.h"
#include "db/sqlite_pool.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 300000

struct lite_migrate {
    sqlite3 *db;
    lq_migrations files;
    const char *path, *folder;
    lq_log *log;
    lunaq_error *err;
    int64_t until;
    bool own; /* it begins or ends a transaction itself */
};

static int busy(void *ud, int n)
{
    struct lite_migrate *m = ud;
    struct timespec pause = {.tv_nsec = (n < 8 ? n + 1 : 8) * 1000000L};
    if (lq_mono_ms() > m->until)
        return 0;
    nanosleep(&pause, NULL);
    return 1;
}

static int authorize(void *ud, int action, const char *a, const char *b,
                     const char *d, const char *e)
{
    struct lite_migrate *m = ud;
    (void)a, (void)b, (void)d, (void)e;
    return (action == SQLITE_TRANSACTION || action == SQLITE_SAVEPOINT) &&
                   !m->own
               ? SQLITE_DENY
               : SQLITE_OK;
}

static int fail(struct lite_migrate *m, const char *what)
{
    return lq_fail(m->err, LUNAQ_EDATABASE, "%s: %s", what,
                   sqlite3_errmsg(m->db));
}

static int exec(struct lite_migrate *m, const char *what, const char *sql)
{
    m->own = true;
    int rc = sqlite3_exec(m->db, sql, NULL, NULL, NULL);
    m->own = false;
    return rc ? fail(m, what) : 0;
}

static int check_applied(struct lite_migrate *m, sqlite3_stmt *row,
                         bool *applied)
{
    int64_t version = sqlite3_column_int64(row, 0);
    const char *sum = (const char *)sqlite3_column_text(row, 1);
    for (size_t i = 0; i < m->files.count; i++) {
        const lq_migration *f = &m->files.list[i];
        if (f->version != version)
            continue;
        applied[i] = true;
        if (!sum || strcmp(f->checksum, sum) != 0)
            return lq_fail(m->err, LUNAQ_ECONFIG,
                           "%s/%s: edited after it was applied on %.10s; undo "
                           "the edit and write a new migration",
                           m->folder, f->name,
                           (const char *)sqlite3_column_text(row, 2));
    }
    return 0;
}

static int check_all_applied(struct lite_migrate *m, bool *applied)
{
    sqlite3_stmt *s = NULL;
    int rc = 0, step;
    if (sqlite3_prepare_v2(m->db,
                           "select version, checksum, applied_at from "
                           "lunaq_migrations order by version",
                           -1, &s, NULL))
        return fail(m, "table lunaq_migrations");
    while (!rc && (step = sqlite3_step(s)) == SQLITE_ROW)
        rc = check_applied(m, s, applied);
    if (!rc && step != SQLITE_DONE)
        rc = fail(m, "table lunaq_migrations");
    sqlite3_finalize(s);
    return rc;
}

static int fail_in_file(struct lite_migrate *m, const lq_migration *f,
                        const char *at)
{
    size_t line = 1, column = 1;
    int64_t position = 1;
    int offset = -1;
#if SQLITE_VERSION_NUMBER >= 3038000
    offset = sqlite3_error_offset(m->db);
#endif
    if ((sqlite3_errcode(m->db) & 0xff) == SQLITE_AUTH)
        return lq_fail(m->err, LUNAQ_ECONFIG,
                       "%s/%s: it ends the transaction it runs in; leave "
                       "begin, commit and rollback out",
                       m->folder, f->name);
    const char *end = at + (offset > 0 ? offset : 0);
    for (const char *p = f->sql.p; p < end; p++)
        position += (*p & 0xc0) != 0x80;
    lq_migration_position(f->sql, position, &line, &column);
    return lq_fail(m->err, LUNAQ_EDATABASE, "%s/%s:%zu:%zu: %s", m->folder,
                   f->name, line, column, sqlite3_errmsg(m->db));
}

static int run_file(struct lite_migrate *m, const lq_migration *f)
{
    const char *at = f->sql.p, *tail;
    while (*at) {
        sqlite3_stmt *s = NULL;
        int step = SQLITE_DONE;
        if (sqlite3_prepare_v2(m->db, at, -1, &s, &tail))
            return fail_in_file(m, f, at);
        while (s && (step = sqlite3_step(s)) == SQLITE_ROW)
            ; /* a select's rows are nobody's */
        if (step != SQLITE_DONE) {
            int rc = fail_in_file(m, f, at);
            sqlite3_finalize(s);
            return rc;
        }
        sqlite3_finalize(s);
        at = tail;
    }
    return 0;
}

/* References are not enforced while a migration runs (one that makes a table
 * anew would delete what refers to it), but have to hold after. */
static int check_references(struct lite_migrate *m, const lq_migration *f)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(m->db, "pragma foreign_key_check", -1, &s, NULL))
        return fail(m, f->name);
    int step = sqlite3_step(s), rc = 0;
    if (step == SQLITE_ROW)
        rc = lq_fail(m->err, LUNAQ_EDATABASE,
                     "%s/%s: leaves rows of table %s that refer to nothing",
                     m->folder, f->name,
                     (const char *)sqlite3_column_text(s, 0));
    else if (step != SQLITE_DONE)
        rc = fail(m, f->name);
    sqlite3_finalize(s);
    return rc;
}

static int record(struct lite_migrate *m, const lq_migration *f)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(m->db,
                                "insert into lunaq_migrations "
                                "(version, name, checksum) values (?, ?, ?)",
                                -1, &s, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(s, 1, f->version);
        sqlite3_bind_text(s, 2, f->name, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 3, f->checksum, -1, SQLITE_STATIC);
        rc = sqlite3_step(s);
    }
    rc = rc == SQLITE_DONE ? 0 : fail(m, "table lunaq_migrations");
    sqlite3_finalize(s);
    return rc;
}

/* Applies the first that is not; *done: there was none. */
static int apply_next(struct lite_migrate *m, bool *done)
{
    int64_t begin = lq_mono_ms();
    const lq_migration *f = NULL;
    bool *applied = lq_calloc(m->files.count, sizeof *applied);
    if (!applied)
        return lq_fail_nomem(m->err);
    int rc = exec(m, "migrations", "begin immediate");
    if (!rc)
        rc = exec(m, "table lunaq_migrations",
                  "create table if not exists lunaq_migrations ("
                  "version integer primary key, name text not null, "
                  "checksum text not null, "
                  "applied_at text not null default current_timestamp)");
    if (!rc)
        rc = check_all_applied(m, applied);
    for (size_t i = m->files.count; !rc && i-- > 0;)
        if (!applied[i])
            f = &m->files.list[i];
    *done = !f;
    if (!rc && f)
        rc = run_file(m, f);
    if (!rc && f)
        rc = check_references(m, f);
    if (!rc && f)
        rc = record(m, f);
    if (!rc)
        rc = exec(m, f ? f->name : "migrations", "commit");
    if (!sqlite3_get_autocommit(m->db)) {
        m->own = true;
        sqlite3_exec(m->db, "rollback", NULL, NULL, NULL);
        m->own = false;
    }
    if (!rc && f)
        LQ_LOG(m->log, INFO, "migration applied", lq_fc("name", f->name),
               lq_fi("ms", lq_mono_ms() - begin));
    lq_free(applied);
    return rc;
}

int lq_lite_migrate(const char *path, const char *folder, lq_log *log,
                    lunaq_error *err)
{
    struct lite_migrate m = {.path = path,
                             .folder = folder,
                             .log = log,
                             .err = err,
                             .until = lq_mono_ms() + WAIT_MS};
    bool done = false;
    int rc = lq_lite_check_path(path, err);
    if (!rc)
        rc = lq_migrations_read(&m.files, folder, "sqlite", err);
    /* A file that no migration fills is made by the first who uses it. */
    if (!rc && m.files.count == 0 && access(path, F_OK) != 0)
        goto out;
    if (!rc)
        rc = lq_lite_open(&m.db, path, busy, &m, err);
    if (rc || m.files.count == 0)
        goto out; /* nothing to do, but the file was tried */
    sqlite3_set_authorizer(m.db, authorize, &m);
    rc = exec(&m, "migrations", "pragma foreign_keys = off");
    while (!rc && !done)
        rc = apply_next(&m, &done);
out:
    sqlite3_close(m.db);
    lq_migrations_release(&m.files);
    return rc;
}
