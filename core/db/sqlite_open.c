/* Opening an application's SQLite file. */
#include "db/sqlite_pool.h"

#include <errno.h>
#include <sys/stat.h>

/* The folders that lead to the file; a failure shows when it is opened. */
static void make_folders(const char *path)
{
    char *copy = lq_strdup(path);
    for (char *p = copy; p && (p = strchr(p + 1, '/'));) {
        *p = 0;
        (void)mkdir(copy, 0700);
        *p = '/';
    }
    lq_free(copy);
}

/* Changing to WAL does not ask the busy handler. */
static int exec_waiting(sqlite3 *db, const char *sql, int (*busy)(void *, int),
                        void *ud)
{
    int rc, n = 0;
    do
        rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    while ((rc & 0xff) == SQLITE_BUSY && busy(ud, n++));
    return rc;
}

int lq_lite_check_path(const char *path, lunaq_error *err)
{
    if (!*path)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "database: the URL names no file; it has the form "
                       "sqlite:path/to/app.db");
    if (path[0] == ':')
        return lq_fail(err, LUNAQ_ECONFIG,
                       "database: sqlite:%.60s: one in memory would be "
                       "another for every connection; name a file, as in "
                       "sqlite:path/to/app.db",
                       path);
    return LUNAQ_OK;
}

int lq_lite_open(sqlite3 **out, const char *path, int (*busy)(void *, int),
                 void *ud, lunaq_error *err)
{
    sqlite3 *db = NULL;
    *out = NULL;
    if (lq_lite_check_path(path, err))
        return LUNAQ_ECONFIG;
    make_folders(path);
    int rc = sqlite3_open_v2(path, &db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                                 SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                             NULL);
    if (rc == SQLITE_OK) {
        sqlite3_busy_handler(db, busy, ud);
        /* "x" is a name and never a text, as in PostgreSQL. */
        sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
        sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
        rc = exec_waiting(db, "pragma journal_mode = wal", busy, ud);
    }
    if (rc == SQLITE_OK)
        rc = exec_waiting(db,
                          "pragma synchronous = full; pragma foreign_keys = on",
                          busy, ud);
    if (rc == SQLITE_OK) {
        *out = db;
        return 0;
    }
    const char *why = db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    int system = db ? sqlite3_system_errno(db) : 0;
    if ((rc & 0xff) == SQLITE_NOTADB)
        why = "it is no SQLite database: name another file";
    else if ((rc & 0xff) == SQLITE_CANTOPEN && system)
        why = strerror(system);
    (void)lq_fail(err, LUNAQ_EDATABASE, "database sqlite:%s cannot be used: %s",
                  path, why);
    sqlite3_close(db);
    return LUNAQ_EDATABASE;
}
