#include "session_store_sqlite.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUSY_MS = 5000 };

#define SESSION_COLUMNS                                                        \
    "id, status, strftime('%Y-%m-%dT%H:%M:%fZ', created_at),"                  \
    " strftime('%Y-%m-%dT%H:%M:%fZ', updated_at)"

struct lite_store {
    sqlite3 *db;
};

static enum store_result failed(struct lite_store *s)
{
    const char *message = sqlite3_errmsg(s->db);
    fprintf(stderr, "session_api: database: %s\n", message);
    switch (sqlite3_errcode(s->db) & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_FULL:
        return STORE_DOWN;
    default:
        return strncmp(message, "no such table", 13) == 0 ? STORE_NO_TABLES
                                                          : STORE_FAILED;
    }
}

struct lite_store *lite_open(const char *path)
{
    struct lite_store *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    int rc = sqlite3_open_v2(path, &s->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(s->db, BUSY_MS);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db,
                          "pragma journal_mode = wal;"
                          "pragma synchronous = full;"
                          "pragma foreign_keys = on",
                          NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return s;
    fprintf(stderr, "session_api: database %s: %s\n", path,
            s->db ? sqlite3_errmsg(s->db) : "out of memory");
    lite_close(s);
    return NULL;
}

void lite_close(struct lite_store *s)
{
    if (!s)
        return;
    sqlite3_close(s->db);
    free(s);
}

static void copy_field(char *to, size_t size, sqlite3_stmt *from, int column)
{
    const unsigned char *text = sqlite3_column_text(from, column);
    snprintf(to, size, "%s", text ? (const char *)text : "");
}

/* Runs one statement.  *found: it gave a row, which went to out (may be
 * NULL). */
static enum store_result run(struct lite_store *s, const char *sql,
                             const char *id, const char *url,
                             struct store_session *out, bool *found)
{
    sqlite3_stmt *stmt;
    *found = false;
    if (sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL))
        return failed(s);
    if (id)
        sqlite3_bind_text(stmt, 1, id, -1, SQLITE_STATIC);
    if (url)
        sqlite3_bind_text(stmt, 2, url, -1, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        *found = true;
        if (out) {
            copy_field(out->id, sizeof out->id, stmt, 0);
            copy_field(out->status, sizeof out->status, stmt, 1);
            copy_field(out->created_at, sizeof out->created_at, stmt, 2);
            copy_field(out->updated_at, sizeof out->updated_at, stmt, 3);
            out->visits = sqlite3_column_count(stmt) > 4
                              ? (long)sqlite3_column_int64(stmt, 4)
                              : 0;
        }
        rc = sqlite3_step(stmt);
    }
    enum store_result result = rc == SQLITE_DONE ? STORE_OK : failed(s);
    sqlite3_finalize(stmt);
    return result;
}

enum store_result lite_ping(struct lite_store *s)
{
    bool found;
    return run(s, "select count(*) from sqlite_master", NULL, NULL, NULL,
               &found);
}

enum store_result lite_create(struct lite_store *s, const char *id,
                              struct store_session *out)
{
    bool found;
    return run(s,
               "insert into sessions (id, status) values ($1, 'recording')"
               " returning " SESSION_COLUMNS,
               id, NULL, out, &found);
}

enum store_result lite_show(struct lite_store *s, const char *id,
                            struct store_session *out)
{
    bool found;
    enum store_result rc =
        run(s,
            "select " SESSION_COLUMNS
            ", (select count(*) from page_visits where session_id = s.id)"
            " from sessions s where id = $1",
            id, NULL, out, &found);
    return rc == STORE_OK && !found ? STORE_NOT_FOUND : rc;
}

/* What a session that was not changed is told. */
static enum store_result refuse(struct lite_store *s, const char *id,
                                struct store_session *out)
{
    enum store_result rc = lite_show(s, id, out);
    return rc == STORE_OK ? STORE_CONFLICT : rc;
}

enum store_result lite_visit(struct lite_store *s, const char *id,
                             const char *url, struct store_session *out)
{
    bool touched = false, found;
    if (sqlite3_exec(s->db, "begin immediate", NULL, NULL, NULL))
        return failed(s);
    enum store_result rc = run(s,
                               "update sessions set"
                               " updated_at = current_timestamp"
                               " where id = $1"
                               " and status in ('recording', 'paused')"
                               " returning id",
                               id, NULL, NULL, &touched);
    if (rc == STORE_OK && touched)
        rc = run(s,
                 "insert into page_visits (session_id, url)"
                 " values ($1, $2)",
                 id, url, NULL, &found);
    if (rc == STORE_OK && sqlite3_exec(s->db, "commit", NULL, NULL, NULL))
        rc = failed(s);
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "rollback", NULL, NULL, NULL);
    return rc == STORE_OK && !touched ? refuse(s, id, out) : rc;
}

enum store_result lite_stop(struct lite_store *s, const char *id,
                            struct store_session *out)
{
    bool stopped;
    enum store_result rc =
        run(s,
            "update sessions set status = 'processing',"
            " updated_at = current_timestamp"
            " where id = $1 and status in ('recording', 'paused', 'processing')"
            " returning " SESSION_COLUMNS,
            id, NULL, out, &stopped);
    return rc == STORE_OK && !stopped ? refuse(s, id, out) : rc;
}
