/* Applying migrations: in order, each in a transaction of its own, under a lock
 * that keeps a second process waiting until this one is through. */
#include "db/migrate.h"

#include "base/clock.h"
#include "db/backend.h"
#include "db/result.h"
#include "db/target.h"

#include <stdio.h>
#include <stdlib.h>

/* "lunaq" in ASCII: the number under which processes exclude each other. */
#define LOCK "465625182577"
#define LOCK_WAIT_S "300"
#define CONNECT_TIMEOUT_S "5"

struct migrate {
    PGconn *pg;
    lq_target target;
    lq_migrations files;
    const char *folder;
    lq_log *log;
    lunaq_error *err;
};

static void no_notice(void *arg, const PGresult *r)
{
    (void)arg;
    (void)r;
}

/* ---- talking ------------------------------------------------------------ */

/* Fails with what the server said; before it, `what`. */
static int fail(struct migrate *m, const char *what, const PGresult *r)
{
    lq_buf text;
    char state[6];
    lq_buf_init(&text, 0);
    lq_db_explain(&text, r, PQerrorMessage(m->pg), (lq_str){0}, state);
    int rc = lq_fail(m->err, LUNAQ_EDATABASE, "%s: %s", what,
                     text.p ? text.p : "out of memory");
    lq_buf_release(&text);
    return rc;
}

static int ask(struct migrate *m, const char *what, const char *sql,
               PGresult **out)
{
    PGresult *r = PQexec(m->pg, sql);
    ExecStatusType status = PQresultStatus(r);
    int rc = 0;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        rc = fail(m, what, r);
    if (out && !rc)
        *out = r;
    else
        PQclear(r);
    return rc;
}

static int connect_to(struct migrate *m, const char *url)
{
    const char *keys[LQ_TARGET_KEYS + 2], *values[LQ_TARGET_KEYS + 2];
    size_t n = 0;
    int rc = lq_target_init(&m->target, url, m->err);
    if (rc)
        return rc;
    /* What comes later wins: a timeout in the URL goes before ours. */
    keys[n] = "connect_timeout";
    values[n++] = CONNECT_TIMEOUT_S;
    for (size_t i = 0; i < m->target.count; i++, n++) {
        keys[n] = m->target.keys[i];
        values[n] = m->target.values[i];
    }
    keys[n] = values[n] = NULL;
    m->pg = PQconnectdbParams(keys, values, 0);
    if (PQstatus(m->pg) == CONNECTION_OK) {
        PQsetNoticeReceiver(m->pg, no_notice, NULL);
        return 0;
    }
    char what[200];
    snprintf(what, sizeof what,
             "database %s cannot be used (is it running, is DATABASE_URL "
             "right?)",
             m->target.where);
    return fail(m, what, NULL);
}

/* ---- the lock and the table --------------------------------------------- */

static int lock(struct migrate *m)
{
    PGresult *r = NULL;
    int rc = ask(m, "migrations", "select pg_try_advisory_lock(" LOCK ")", &r);
    if (rc)
        return rc;
    bool ours = PQgetvalue(r, 0, 0)[0] == 't';
    PQclear(r);
    if (ours)
        return 0;
    LQ_LOG(m->log, INFO, "migrations: another process applies them, waiting",
           lq_fc("database", m->target.where));
    rc = ask(m, "migrations", "set statement_timeout = '" LOCK_WAIT_S "s'",
             NULL);
    if (!rc)
        rc = ask(m,
                 "migrations: another process has held their lock for "
                 "" LOCK_WAIT_S " s",
                 "select pg_advisory_lock(" LOCK ")", NULL);
    if (!rc)
        rc = ask(m, "migrations", "reset statement_timeout", NULL);
    return rc;
}

static int make_table(struct migrate *m)
{
    return ask(m, "table lunaq_migrations",
               "create table if not exists lunaq_migrations ("
               "version bigint primary key, name text not null, "
               "checksum text not null, "
               "applied_at timestamptz not null default now())",
               NULL);
}

/* ---- what is applied already -------------------------------------------- */

static lq_migration *file_of(struct migrate *m, int64_t version)
{
    for (size_t i = 0; i < m->files.count; i++)
        if (m->files.list[i].version == version)
            return &m->files.list[i];
    return NULL;
}

/* Compares a row with its file, and takes the file off the list. */
static int check_applied(struct migrate *m, const PGresult *r, int row)
{
    int64_t version = 0;
    const char *name = PQgetvalue(r, row, 1);
    (void)lq_str_int64(lq_str_c(PQgetvalue(r, row, 0)), &version);
    lq_migration *file = file_of(m, version);
    if (!file) {
        LQ_LOG(m->log, WARN, "migrations: an applied one has no file here",
               lq_fc("name", name), lq_fc("folder", m->folder));
        return 0;
    }
    if (strcmp(file->checksum, PQgetvalue(r, row, 2)) != 0)
        return lq_fail(m->err, LUNAQ_ECONFIG,
                       "%s/%s: edited after it was applied on %s; undo the "
                       "edit and write a new migration",
                       m->folder, file->name, PQgetvalue(r, row, 3));
    size_t at = (size_t)(file - m->files.list);
    m->files.count--;
    memmove(file, file + 1, (m->files.count - at) * sizeof *file);
    if (at > 0)
        LQ_LOG(m->log, WARN, "migrations: one comes after a later one",
               lq_fc("name", m->files.list[at - 1].name), lq_fc("later", name));
    return 0;
}

static int check_all_applied(struct migrate *m)
{
    PGresult *r = NULL;
    int rc = ask(m, "table lunaq_migrations",
                 "select version, name, checksum, "
                 "to_char(applied_at at time zone 'UTC', 'YYYY-MM-DD') "
                 "from lunaq_migrations order by version",
                 &r);
    for (int row = 0; !rc && row < PQntuples(r); row++)
        rc = check_applied(m, r, row);
    PQclear(r);
    return rc;
}

/* ---- applying ----------------------------------------------------------- */

/* "folder/0001_x.sql:3:8" where the server says so, else without. */
static int fail_in_file(struct migrate *m, const lq_migration *file,
                        const PGresult *r)
{
    char where[200];
    int64_t position = 0;
    const char *text = PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION);
    if (text && lq_str_int64(lq_str_c(text), &position)) {
        size_t line, column;
        lq_migration_position(file->sql, position, &line, &column);
        snprintf(where, sizeof where, "%s/%s:%zu:%zu", m->folder, file->name,
                 line, column);
    } else {
        snprintf(where, sizeof where, "%s/%s", m->folder, file->name);
    }
    return fail(m, where, r);
}

static int run_file(struct migrate *m, const lq_migration *file)
{
    PGresult *r = PQexec(m->pg, file->sql.p);
    ExecStatusType status = PQresultStatus(r);
    int rc = 0;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK &&
        status != PGRES_EMPTY_QUERY)
        rc = fail_in_file(m, file, r);
    else if (PQtransactionStatus(m->pg) != PQTRANS_INTRANS)
        rc = lq_fail(m->err, LUNAQ_ECONFIG,
                     "%s/%s: it ends the transaction it runs in; leave begin, "
                     "commit and rollback out",
                     m->folder, file->name);
    PQclear(r);
    return rc;
}

static int record(struct migrate *m, const lq_migration *file)
{
    char version[24];
    snprintf(version, sizeof version, "%lld", (long long)file->version);
    const char *values[] = {version, file->name, file->checksum};
    PGresult *r =
        PQexecParams(m->pg,
                     "insert into lunaq_migrations (version, name, checksum) "
                     "values ($1, $2, $3)",
                     3, NULL, values, NULL, NULL, 0);
    int rc = PQresultStatus(r) == PGRES_COMMAND_OK
                 ? 0
                 : fail(m, "table lunaq_migrations", r);
    PQclear(r);
    return rc;
}

static int apply(struct migrate *m, const lq_migration *file)
{
    int64_t begin = lq_mono_ms();
    int rc = ask(m, file->name, "begin", NULL);
    if (!rc)
        rc = run_file(m, file);
    if (!rc)
        rc = record(m, file);
    if (!rc)
        rc = ask(m, file->name, "commit", NULL);
    if (rc) /* the error is kept; what was done is not */
        PQclear(PQexec(m->pg, "rollback"));
    else
        LQ_LOG(m->log, INFO, "migration applied", lq_fc("name", file->name),
               lq_fi("ms", lq_mono_ms() - begin));
    return rc;
}

int lq_pg_migrate(const char *url, const char *folder, lq_log *log,
                  lunaq_error *err)
{
    struct migrate m = {.folder = folder, .log = log, .err = err};
    int rc = lq_migrations_read(&m.files, folder, "postgres", err);
    if (!rc)
        rc = connect_to(&m, url);
    if (rc || m.files.count == 0)
        goto out; /* nothing to do, but the database was tried */
    rc = lock(&m);
    if (!rc)
        rc = make_table(&m);
    if (!rc)
        rc = check_all_applied(&m);
    for (size_t i = 0; !rc && i < m.files.count; i++)
        rc = apply(&m, &m.files.list[i]);
out:
    PQfinish(m.pg); /* and the lock with it */
    lq_target_release(&m.target);
    lq_migrations_release(&m.files);
    return rc;
}
