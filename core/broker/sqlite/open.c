/* Opening a queue file: making it, and refusing what is none. */
#include "sqlite/connection.h"
#include "sqlite/schema.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* ---- the path ------------------------------------------------------------ */

/* SQLite's WAL needs memory that all users of the file share. */
static const char *network_name(const char *folder)
{
    static const struct {
        uint32_t magic;
        const char *name;
    } known[] = {
        {0x6969, "NFS"},        {0x517b, "SMB"},        {0xff534d42u, "CIFS"},
        {0xfe534d42u, "SMB"},   {0x01021997, "9P"},     {0x00c36400, "Ceph"},
        {0x5346414f, "AFS"},    {0x73757245, "Coda"},   {0x0bd00bd0, "Lustre"},
        {0x01161970, "GFS2"},   {0x7461636f, "OCFS2"},  {0x47504653, "GPFS"},
        {0x19830326, "BeeGFS"}, {0xaad7aaeau, "PanFS"},
    };
    struct statfs fs;
    if (statfs(folder, &fs) != 0)
        return NULL;
    for (size_t i = 0; i < LQ_COUNT(known); i++)
        if ((uint32_t)fs.f_type == known[i].magic)
            return known[i].name;
    return NULL;
}

/* Makes the folder when only that is missing; its entry is made to last. */
static int make_folder(const char *path, const char *folder, lunaq_error *err)
{
    char above[PATH_MAX];
    if (access(folder, F_OK) == 0)
        return LUNAQ_OK;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "sqlite: %s: the folder %s cannot be made: %s", path,
                       folder, strerror(errno));
    snprintf(above, sizeof(above), "%s/..", folder);
    int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    return LUNAQ_OK;
}

/* Writes the absolute path, the same for every name of the file, so that all
 * meet at one lock; makes the folder. */
static int resolve(const char *path, char out[PATH_MAX], lunaq_error *err)
{
    char folder[PATH_MAX], real[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    struct stat st;

    if (!*name || path[0] == ':' || strlen(path) + 16 >= PATH_MAX)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "sqlite: '%.100s' is no path of a queue file, such as "
                       ".lunaq/queue.db",
                       path);
    if (slash)
        snprintf(folder, sizeof(folder), "%.*s",
                 slash == path ? 1 : (int)(slash - path), path);
    else
        strcpy(folder, ".");
    int rc = make_folder(path, folder, err);
    if (rc)
        return rc;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return lq_fail(err, LUNAQ_ECONFIG, "sqlite: %s is not a file", path);
    if (!realpath(path, out)) {
        if (!realpath(folder, real) ||
            snprintf(out, PATH_MAX, "%s/%s", strcmp(real, "/") ? real : "",
                     name) >= PATH_MAX - 8)
            return lq_fail(err, LUNAQ_ECONFIG, "sqlite: %s: %s", path,
                           strerror(errno));
    }
    const char *network = network_name(folder);
    if (network)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "sqlite: %s is on a network file system (%s), where "
                       "its locks do not hold: use a local disk, or Redis",
                       path, network);
    return LUNAQ_OK;
}

/* "file:<path>?modeof=<path>.lock": a new file gets the lock file's mode, and
 * is not open to others for a moment as it would be before a chmod. */
static char *uri_of(const char *path)
{
    lq_buf uri;
    lq_buf_init(&uri, 0);
    lq_buf_add_c(&uri, "file:");
    for (int twice = 0; twice < 2; twice++) {
        for (const char *p = path; *p; p++) {
            if (strchr("%?#&", *p))
                lq_buf_printf(&uri, "%%%02X", (unsigned)(unsigned char)*p);
            else
                lq_buf_add_char(&uri, *p);
        }
        lq_buf_add_c(&uri, twice ? ".lock" : "?modeof=");
    }
    char *out = lq_buf_take(&uri, NULL);
    lq_buf_release(&uri);
    return out;
}

/* ---- the database -------------------------------------------------------- */

/* SQLite asks whether to try again: a foreign program may hold its locks, and
 * ours do for moments (recovery after a crash). */
static int busy(void *ud, int count)
{
    const lq_sqlite *q = ud;
    if (lq_mono_ns() >= q->deadline_ns)
        return 0;
    struct timespec t = {.tv_nsec = count < 10 ? 100000 : 1000000};
    (void)nanosleep(&t, NULL);
    return 1;
}

static int exec(lq_sqlite *q, const char *sql)
{
    return sqlite3_exec(q->db, sql, NULL, NULL, NULL);
}

/* The first column of a query's only row. */
static int ask(lq_sqlite *q, const char *sql, int64_t *value, char *text,
               size_t size)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(q->db, sql, -1, &s, NULL);
    if (rc)
        return rc;
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        const unsigned char *t = sqlite3_column_text(s, 0);
        if (value)
            *value = sqlite3_column_int64(s, 0);
        if (text)
            snprintf(text, size, "%s", t ? (const char *)t : "");
    }
    int end = sqlite3_finalize(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? end : rc;
}

enum finding { FOUND_READY, FOUND_OLD, FOUND_EMPTY };

/* What kind of file it is. */
static int look(lq_sqlite *q, enum finding *what, int *version,
                lunaq_error *err)
{
    int64_t application = 0, v = 0, tables = 0;
    char mode[16] = "";
    int rc = ask(q, "PRAGMA application_id", &application, NULL, 0);
    if (!rc)
        rc = ask(q, "PRAGMA user_version", &v, NULL, 0);
    if (!rc)
        rc = ask(q, "SELECT count(*) FROM sqlite_schema", &tables, NULL, 0);
    if (!rc)
        rc = ask(q, "PRAGMA journal_mode", NULL, mode, sizeof(mode));
    if (rc)
        return lq_sqlite_failed(q, rc, NULL, err);
    *version = 0;
    *what = FOUND_EMPTY;
    if (application == 0 && tables == 0)
        return LUNAQ_OK;
    if (application != LQ_SQLITE_APPLICATION_ID)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "sqlite: %s is another program's database, not a "
                       "queue: choose another file",
                       q->path);
    if (v > lq_sqlite_schema_version())
        return lq_fail(err, LUNAQ_ECONFIG,
                       "sqlite: %s has schema %lld, this lunaq knows up to "
                       "%d: a newer lunaq wrote it, use that one",
                       q->path, (long long)v, lq_sqlite_schema_version());
    *version = (int)v;
    *what = v == lq_sqlite_schema_version() && !strcmp(mode, "wal")
                ? FOUND_READY
                : FOUND_OLD;
    return LUNAQ_OK;
}

/* Makes the tables or brings them up to date; the writers' lock is ours. */
static int set_up(lq_sqlite *q, enum finding what, int version,
                  lunaq_error *err)
{
    char pragma[64], mode[16] = "";
    int rc = SQLITE_OK;
    if (what == FOUND_EMPTY) /* only while there is no table */
        rc = exec(q, "PRAGMA auto_vacuum = INCREMENTAL");
    if (!rc)
        rc = ask(q, "PRAGMA journal_mode = WAL", NULL, mode, sizeof(mode));
    if (!rc && strcmp(mode, "wal") != 0)
        return lq_fail(err, LUNAQ_EBROKER,
                       "sqlite: %s: cannot change to WAL mode: close other "
                       "programs that use it",
                       q->path);
    if (!rc)
        rc = exec(q, "BEGIN IMMEDIATE");
    if (!rc) {
        snprintf(pragma, sizeof(pragma), "PRAGMA application_id = %d",
                 LQ_SQLITE_APPLICATION_ID);
        rc = exec(q, pragma);
        if (!rc)
            rc = lq_sqlite_schema_migrate(q->db, version);
        if (!rc)
            rc = exec(q, "COMMIT");
    }
    return rc ? lq_sqlite_failed(q, rc, NULL, err) : LUNAQ_OK;
}

static int configure(lq_sqlite *q, const lq_sqlite_options *o, lunaq_error *err)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "PRAGMA synchronous = %s;"
             "PRAGMA wal_autocheckpoint = 4000;"
             "PRAGMA journal_size_limit = 16777216;"
             "PRAGMA temp_store = MEMORY;"
             "PRAGMA cache_size = -%d;",
             o->normal ? "NORMAL" : "FULL",
             o->cache_kib > 0 ? o->cache_kib : 8192);
    int rc = exec(q, sql);
    q->normal = o->normal;
    return rc ? lq_sqlite_failed(q, rc, NULL, err) : LUNAQ_OK;
}

static int open_database(lq_sqlite *q, const lq_sqlite_options *o,
                         lunaq_error *err)
{
    enum finding what = FOUND_READY;
    int version = 0;
    char *uri = uri_of(q->path);
    if (!uri)
        return lq_fail_nomem(err);
    int rc = sqlite3_open_v2(uri, &q->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                                 SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
                                 SQLITE_OPEN_EXRESCODE,
                             NULL);
    lq_free(uri);
    if (rc)
        return lq_sqlite_failed(q, rc, NULL, err);
    (void)sqlite3_busy_handler(q->db, busy, q);
    if (sqlite3_db_readonly(q->db, "main") == 1)
        return lq_sqlite_failed(q, SQLITE_READONLY, NULL, err);
    rc = look(q, &what, &version, err);
    if (!rc && what != FOUND_READY) {
        /* Somebody else may be making it right now: look again alone. */
        rc = lq_sqlite_lock_take(&q->lock, q->deadline_ns, err);
        if (!rc)
            rc = look(q, &what, &version, err);
        if (!rc && what != FOUND_READY)
            rc = set_up(q, what, version, err);
        lq_sqlite_rollback(q);
    }
    return rc ? rc : configure(q, o, err);
}

int lq_sqlite_open(lq_sqlite **out, const char *path,
                   const lq_sqlite_options *options, int64_t deadline_ns,
                   lunaq_error *err)
{
    static const lq_sqlite_options plain;
    char real[PATH_MAX];
    *out = NULL;
    int rc = resolve(path, real, err);
    if (rc)
        return rc;
    lq_sqlite *q = lq_calloc(1, sizeof(*q));
    if (!q || !(q->path = lq_strdup(real))) {
        lq_free(q);
        return lq_fail_nomem(err);
    }
    q->lock = (lq_sqlite_lock)LQ_SQLITE_LOCK_INIT;
    q->deadline_ns = deadline_ns;
    lq_buf_init(&q->scratch, 0);
    lq_buf_init(&q->wakes.queues, 0);
    lq_buf_init(&q->wakes.cancels, 0);
    rc = lq_sqlite_lock_open(&q->lock, real, err);
    if (!rc)
        rc = open_database(q, options ? options : &plain, err);
    if (rc) {
        lq_sqlite_close(q);
        return rc;
    }
    *out = q;
    return LUNAQ_OK;
}
