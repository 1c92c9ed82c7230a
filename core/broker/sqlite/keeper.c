/* The keeper: what a queue file needs while nobody is in a hurry.
 *
 * When a second has passed without a commit, or five with, the WAL's pages are
 * moved to the file, which also bounds what NORMAL can lose.  Pages that
 * deleted tasks left behind are given back to the system, a few at a time:
 * beside other work one megabyte a second, else more.  (Under load SQLite
 * itself moves pages after every 4000, and the writer empties a WAL that grows
 * all the same.)  And it sees when the file is not there any more.
 */
#include "sqlite/engine_parts.h"

#include "base/clock.h"
#include "sqlite/connection.h"

#include <stdio.h>
#include <time.h>

#define TURN_MS 1000
#define EMPTY_WAIT_NS ((int64_t)1200000000) /* our readers take 1 s at most */
#define EMPTY_TRY_NS ((int64_t)50000000)
#define LOCK_NS ((int64_t)1000000000)
#define FREE_MIN 512     /* pages kept for the next tasks */
#define FREE_AT_ONCE 256 /* … given back in one transaction */
#define ROUNDS 40        /* … of which an idle turn does so many at most */
#define BUSY_TURNS 5     /* between checkpoints while others commit */

bool lq_sqlite_checkpoint(lq_sqlite *q, bool empty)
{
    int in_wal = 0, moved = 0;

    if (!empty) {
        int rc = sqlite3_wal_checkpoint_v2(
            q->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_wal, &moved);
        return rc == SQLITE_OK && moved >= in_wal;
    }
    /* Others shall wait at the lock, where waiting costs nothing.  SQLite waits
     * for the place of an old snapshot to be free, and does not see when new
     * ones, one after the other, share that place: so it looks again. */
    int64_t until = lq_mono_ns() + EMPTY_WAIT_NS;
    if (lq_sqlite_lock_take(&q->lock, until, NULL))
        return false;
    int rc;
    for (;;) {
        const struct timespec moment = {.tv_nsec = 1000000};
        q->deadline_ns = lq_mono_ns() + EMPTY_TRY_NS;
        rc = sqlite3_wal_checkpoint_v2(q->db, NULL, SQLITE_CHECKPOINT_TRUNCATE,
                                       &in_wal, &moved);
        if ((rc & 0xff) != SQLITE_BUSY || lq_mono_ns() >= until)
            break;
        (void)nanosleep(&moment, NULL); /* who moves pages is not waited for */
    }
    lq_sqlite_lock_give(&q->lock);
    return rc == SQLITE_OK;
}

static int64_t pragma_number(lq_sqlite *q, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    int64_t n = 0;

    if (sqlite3_prepare_v2(lq_sqlite_db(q), sql, -1, &stmt, NULL) ==
            SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return n;
}

/* Gives free pages back; true: there are more. */
static bool give_back(lq_sqlite *q)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    char sql[64];

    if (pragma_number(q, "PRAGMA freelist_count") < FREE_MIN + FREE_AT_ONCE)
        return false;
    if (lq_sqlite_begin(q, LQ_SQLITE_WRITE, lq_mono_ns() + LOCK_NS, &err))
        return false;
    snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%d)", FREE_AT_ONCE);
    if (sqlite3_exec(lq_sqlite_db(q), sql, NULL, NULL, NULL) != SQLITE_OK) {
        lq_sqlite_rollback(q);
        return false;
    }
    bool wanted = lq_sqlite_lock_wanted(lq_sqlite_lock_of(q));
    return lq_sqlite_commit(q, &err) == LUNAQ_OK && !wanted;
}

/* Under the lock: waits for the next turn; false: the end has come. */
static bool pause_for(lq_sqlite_engine *e, int64_t ms)
{
    int64_t until = lq_mono_ns() + ms * 1000000;
    struct timespec t = {until / 1000000000, until % 1000000000};

    while (!e->stop && pthread_cond_timedwait(&e->stopping, &e->lock, &t) == 0)
        ;
    return !e->stop;
}

/* One turn; version: what was committed up to now by others. */
static void keep(lq_sqlite *q, int64_t version, bool idle, int64_t *moved)
{
    if (version == *moved || !lq_sqlite_checkpoint(q, false))
        return;
    *moved = version;
    for (int i = 0; i < (idle ? ROUNDS : BUSY_TURNS) && give_back(q); i++)
        *moved = -1; /* what that wrote is moved the next time */
}

/* What goes on in a file without a name ends with this process. */
static void look_for_file(lq_sqlite_engine *e, bool *told)
{
    int moved = 0;

    if (*told ||
        sqlite3_file_control(lq_sqlite_db(e->keeper), "main",
                             SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK ||
        !moved)
        return;
    *told = true;
    LQ_LOG(e->log, ERROR,
           "the queue file was removed or replaced while it was in use: new "
           "tasks are not seen, and those in it are lost when this process "
           "ends; move it back to where it was, or restart without it",
           lq_fc("file", e->path));
}

void *lq_sqlite_keeper_main(void *arg)
{
    lq_sqlite_engine *e = arg;
    int64_t version = 0, before = -1, moved = -1;
    int turns = 0;
    bool told = false;

    pthread_mutex_lock(&e->lock);
    while (pause_for(e, TURN_MS)) {
        pthread_mutex_unlock(&e->lock);
        look_for_file(e, &told);
        lq_sqlite_data_version(e->keeper, &version, NULL);
        bool idle = version == before;
        before = version;
        if (idle || ++turns >= BUSY_TURNS) {
            turns = 0;
            keep(e->keeper, version, idle, &moved);
        }
        pthread_mutex_lock(&e->lock);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}
