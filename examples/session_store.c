#include "session_store_sqlite.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <libpq-fe.h>

/* After a failed attempt to connect, calls fail at once for this long. */
enum { RECONNECT_AFTER_S = 1 };

#define SESSION_COLUMNS                                                        \
    "id, status,"                                                              \
    " to_char(created_at at time zone 'UTC',"                                  \
    "         'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),"                           \
    " to_char(updated_at at time zone 'UTC',"                                  \
    "         'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

struct store {
    struct lite_store *lite; /* NULL: PostgreSQL, by what follows */
    PGconn *conn;            /* NULL = not connected */
    char *url;
    time_t try_again; /* monotonic seconds */
};

static time_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* libpq's messages have several lines; the log has one. */
static void log_failure(const char *what, const char *message)
{
    fprintf(stderr, "session_api: %s: %.*s\n", what,
            (int)strcspn(message, "\n"), message);
}

static void disconnect(struct store *s)
{
    PQfinish(s->conn);
    s->conn = NULL;
}

static bool connect_store(struct store *s)
{
    /* libpq reads the URL first and lets the later keywords win. */
    static const char *const keys[] = {"dbname",
                                       "connect_timeout",
                                       "tcp_user_timeout",
                                       "client_encoding",
                                       "options",
                                       "fallback_application_name",
                                       NULL};
    const char *const values[] = {
        s->url,        "3", "5000", "UTF8", "-c statement_timeout=5000",
        "session_api", NULL};
    if (now_s() < s->try_again)
        return false;
    s->conn = PQconnectdbParams(keys, values, 1);
    if (s->conn && PQstatus(s->conn) == CONNECTION_OK)
        return true;
    log_failure("database",
                s->conn ? PQerrorMessage(s->conn) : "out of memory");
    disconnect(s);
    s->try_again = now_s() + RECONNECT_AFTER_S;
    return false;
}

/* A server that went away while nobody asked shows as an end of file now, so
 * that the request at hand need not be the one that finds out: it could not
 * tell whether its statement was executed. */
static bool ready(struct store *s)
{
    if (s->conn &&
        (!PQconsumeInput(s->conn) || PQstatus(s->conn) != CONNECTION_OK))
        disconnect(s);
    return s->conn || connect_store(s);
}

/* Runs one statement.  *out is the caller's to PQclear, also on failure. */
static enum store_result run(struct store *s, const char *sql, int count,
                             const char *const *params, PGresult **out)
{
    *out = NULL;
    if (!ready(s))
        return STORE_DOWN;
    *out = PQexecParams(s->conn, sql, count, NULL, params, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(*out);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return STORE_OK;
    log_failure("database", PQerrorMessage(s->conn));
    const char *state = PQresultErrorField(*out, PG_DIAG_SQLSTATE);
    if (PQstatus(s->conn) != CONNECTION_OK) {
        disconnect(s);
        return STORE_DOWN;
    }
    return state && strcmp(state, "42P01") == 0 ? STORE_NO_TABLES
                                                : STORE_FAILED;
}

static void copy_field(char *to, size_t size, const PGresult *from, int column)
{
    snprintf(to, size, "%s", PQgetvalue(from, 0, column));
}

static void copy_session(struct store_session *to, const PGresult *from)
{
    copy_field(to->id, sizeof to->id, from, 0);
    copy_field(to->status, sizeof to->status, from, 1);
    copy_field(to->created_at, sizeof to->created_at, from, 2);
    copy_field(to->updated_at, sizeof to->updated_at, from, 3);
    to->visits =
        PQnfields(from) > 4 ? strtol(PQgetvalue(from, 0, 4), NULL, 10) : 0;
}

struct store *store_open(const char *database_url)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    if (strncmp(database_url, "sqlite:", 7) == 0) {
        const char *path = database_url + 7;
        s->lite = lite_open(strncmp(path, "//", 2) == 0 ? path + 2 : path);
        if (!s->lite) {
            store_close(s);
            return NULL;
        }
        return s;
    }
    s->url = strdup(database_url);
    if (!s->url || !connect_store(s)) {
        store_close(s);
        return NULL;
    }
    return s;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    lite_close(s->lite);
    disconnect(s);
    free(s->url);
    free(s);
}

enum store_result store_ping(struct store *s)
{
    PGresult *rows;
    if (s->lite)
        return lite_ping(s->lite);
    enum store_result rc = run(s, "select 1", 0, NULL, &rows);
    PQclear(rows);
    return rc;
}

/* A random UUID, version 4. */
static bool new_id(char id[STORE_ID_SIZE])
{
    unsigned char b[16];
    ssize_t n;
    do {
        n = getrandom(b, sizeof b, 0);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof b)
        return false;
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(id, STORE_ID_SIZE,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
             "%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10],
             b[11], b[12], b[13], b[14], b[15]);
    return true;
}

enum store_result store_create(struct store *s, struct store_session *out)
{
    char id[STORE_ID_SIZE];
    if (!new_id(id)) {
        log_failure("getrandom", strerror(errno));
        return STORE_FAILED;
    }
    if (s->lite)
        return lite_create(s->lite, id, out);
    const char *const params[] = {id};
    PGresult *rows;
    enum store_result rc =
        run(s,
            "insert into sessions (id, status) values ($1, 'recording')"
            " returning " SESSION_COLUMNS,
            1, params, &rows);
    if (rc == STORE_OK)
        copy_session(out, rows);
    PQclear(rows);
    return rc;
}

enum store_result store_show(struct store *s, const char *id,
                             struct store_session *out)
{
    if (s->lite)
        return lite_show(s->lite, id, out);
    const char *const params[] = {id};
    PGresult *rows;
    enum store_result rc =
        run(s,
            "select " SESSION_COLUMNS
            ", (select count(*) from page_visits where session_id = s.id)"
            " from sessions s where id = $1",
            1, params, &rows);
    if (rc == STORE_OK && PQntuples(rows) == 0)
        rc = STORE_NOT_FOUND;
    if (rc == STORE_OK)
        copy_session(out, rows);
    PQclear(rows);
    return rc;
}

enum store_result store_visit(struct store *s, const char *id, const char *url,
                              struct store_session *out)
{
    if (s->lite)
        return lite_visit(s->lite, id, url, out);
    const char *const params[] = {id, url};
    PGresult *rows;
    enum store_result rc =
        run(s,
            "with touched as (update sessions set updated_at = now()"
            "  where id = $1 and status in ('recording', 'paused')"
            "  returning id)"
            " insert into page_visits (session_id, url)"
            " select id, $2 from touched",
            2, params, &rows);
    bool inserted = rc == STORE_OK && strcmp(PQcmdTuples(rows), "1") == 0;
    PQclear(rows);
    if (rc != STORE_OK || inserted)
        return rc;
    rc = store_show(s, id, out);
    return rc == STORE_OK ? STORE_CONFLICT : rc;
}

enum store_result store_stop(struct store *s, const char *id,
                             struct store_session *out)
{
    if (s->lite)
        return lite_stop(s->lite, id, out);
    const char *const params[] = {id};
    PGresult *rows;
    enum store_result rc =
        run(s,
            "update sessions set status = 'processing', updated_at = now()"
            " where id = $1 and status in ('recording', 'paused', 'processing')"
            " returning " SESSION_COLUMNS,
            1, params, &rows);
    bool stopped = rc == STORE_OK && PQntuples(rows) == 1;
    if (stopped)
        copy_session(out, rows);
    PQclear(rows);
    if (rc != STORE_OK || stopped)
        return rc;
    rc = store_show(s, id, out);
    return rc == STORE_OK ? STORE_CONFLICT : rc;
}
