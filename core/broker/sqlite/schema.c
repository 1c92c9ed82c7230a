/* The tables.
 *
 * Every task is one row, wherever it is: its state says where.  Instants are
 * Unix milliseconds.  at_ms means, by state:
 *
 *   pending      since when        scheduled, retry  when it is due
 *   active       end of its lease  archived          when it was archived
 *   aggregating  since when        completed         when it is deleted
 *
 * Partial indexes, one a state: a task is in exactly one of them, and what is
 * asked of a state is in its order.  msg, the largest, is last, so that a scan
 * of the other columns does not read it.
 *
 * A migration that was released never changes: the next number changes what it
 * made.
 */
#include "sqlite/schema.h"

#include <stdio.h>

/* Numbers of states in SQL; statements.def writes them out, too. */
_Static_assert(LUNAQ_ACTIVE == 1 && LUNAQ_PENDING == 2 &&
                   LUNAQ_SCHEDULED == 3 && LUNAQ_RETRY == 4 &&
                   LUNAQ_ARCHIVED == 5 && LUNAQ_COMPLETED == 6 &&
                   LUNAQ_AGGREGATING == 7,
               "states are numbers in queue files");

static const char migration_1[] =
    "CREATE TABLE queue ("
    " queue INTEGER PRIMARY KEY,"
    " name TEXT NOT NULL UNIQUE,"
    " paused_ms INTEGER,"                    /* NULL: it is not */
    " processed INTEGER NOT NULL DEFAULT 0," /* in all; failed ones too */
    " failed INTEGER NOT NULL DEFAULT 0,"
    " discarded INTEGER NOT NULL DEFAULT 0," /* by its handler's will */
    " dropped INTEGER NOT NULL DEFAULT 0);"  /* from a full archive */

    "CREATE TABLE task ("
    " seq INTEGER PRIMARY KEY,"
    " queue INTEGER NOT NULL,"
    " state INTEGER NOT NULL,"
    " at_ms INTEGER NOT NULL,"           /* see above */
    " place INTEGER NOT NULL DEFAULT 0," /* order among the pending */
    " token INTEGER NOT NULL DEFAULT 0," /* active: the holder's */
    " crashes INTEGER NOT NULL DEFAULT 0,"
    " id TEXT NOT NULL,"
    " type TEXT NOT NULL,"
    " group_key TEXT,"
    " unique_key TEXT,"
    " cancel TEXT," /* who asked, and why */
    " result BLOB,"
    " msg BLOB NOT NULL," /* Asynq's TaskMessage */
    " UNIQUE (queue, id));"
    "CREATE INDEX task_pending ON task (queue, place) WHERE state = 2;"
    "CREATE INDEX task_active ON task (queue, at_ms, token) WHERE state = 1;"
    "CREATE INDEX task_scheduled ON task (queue, at_ms) WHERE state = 3;"
    "CREATE INDEX task_retry ON task (queue, at_ms) WHERE state = 4;"
    "CREATE INDEX task_archived ON task (queue, at_ms) WHERE state = 5;"
    "CREATE INDEX task_completed ON task (queue, at_ms) WHERE state = 6;"
    "CREATE INDEX task_grouped ON task (queue, group_key, at_ms)"
    " WHERE state = 7;"

    /* Who has a unique key, and until when. */
    "CREATE TABLE unique_lock ("
    " key TEXT PRIMARY KEY,"
    " queue INTEGER NOT NULL,"
    " id TEXT NOT NULL,"
    " ends_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX unique_lock_ends ON unique_lock (ends_ms);"
    "CREATE INDEX unique_lock_queue ON unique_lock (queue);"

    /* What was done on a day: day = Unix time / 86400 s. */
    "CREATE TABLE stat ("
    " queue INTEGER NOT NULL,"
    " day INTEGER NOT NULL,"
    " processed INTEGER NOT NULL,"
    " failed INTEGER NOT NULL,"
    " PRIMARY KEY (queue, day)) WITHOUT ROWID;"

    /* Lease tokens in use. */
    "CREATE TABLE token ("
    " token INTEGER PRIMARY KEY,"
    " server TEXT NOT NULL,"
    " ends_ms INTEGER NOT NULL);"

    /* Servers that live; name: "host:pid:id". */
    "CREATE TABLE server ("
    " name TEXT PRIMARY KEY,"
    " ends_ms INTEGER NOT NULL,"
    " extra TEXT,"                        /* JSON */
    " info BLOB NOT NULL) WITHOUT ROWID;" /* Asynq's ServerInfo */
    "CREATE TABLE worker ("
    " server TEXT NOT NULL,"
    " task_id TEXT NOT NULL,"
    " msg BLOB NOT NULL," /* Asynq's WorkerInfo */
    " PRIMARY KEY (server, task_id)) WITHOUT ROWID;"

    /* Periodic entries: the last instant that fired; negative: seen then,
     * never fired.  And what schedulers publish. */
    "CREATE TABLE cron ("
    " queue INTEGER NOT NULL,"
    " entry TEXT NOT NULL,"
    " last_ms INTEGER NOT NULL,"
    " PRIMARY KEY (queue, entry)) WITHOUT ROWID;"
    "CREATE TABLE cron_entry ("
    " scheduler TEXT NOT NULL,"
    " n INTEGER NOT NULL,"
    " ends_ms INTEGER NOT NULL,"
    " msg BLOB NOT NULL," /* Asynq's SchedulerEntry */
    " PRIMARY KEY (scheduler, n)) WITHOUT ROWID;"

    /* Requests to cancel an active task, for those who listen: kept for a
     * minute.  Numbers are never used again. */
    "CREATE TABLE cancel_note ("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    " at_ms INTEGER NOT NULL,"
    " id TEXT NOT NULL);"

    /* For people: sqlite3 queue.db 'SELECT * FROM tasks' */
    "CREATE VIEW tasks AS SELECT q.name AS queue, t.id, t.type,"
    " CASE t.state WHEN 1 THEN 'active' WHEN 2 THEN 'pending'"
    "  WHEN 3 THEN 'scheduled' WHEN 4 THEN 'retry' WHEN 5 THEN 'archived'"
    "  WHEN 6 THEN 'completed' WHEN 7 THEN 'aggregating' END AS state,"
    " datetime(t.at_ms / 1000, 'unixepoch') AS at, t.crashes, t.group_key,"
    " t.unique_key, t.cancel, length(t.msg) AS bytes"
    " FROM task t JOIN queue q ON q.queue = t.queue;";

/* Groups: a task that is being aggregated has the number of its set as its
 * token.  set_id is the holder's; ends_ms: when anybody may put it back. */
static const char migration_2[] =
    "CREATE TABLE group_set ("
    " number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " queue INTEGER NOT NULL,"
    " group_key TEXT NOT NULL,"
    " set_id TEXT NOT NULL,"
    " ends_ms INTEGER NOT NULL,"
    " UNIQUE (queue, set_id));"
    /* Groups whose aggregation failed: how often in a row, when next. */
    "CREATE TABLE group_failure ("
    " queue INTEGER NOT NULL,"
    " group_key TEXT NOT NULL,"
    " failures INTEGER NOT NULL,"
    " until_ms INTEGER NOT NULL,"
    " error TEXT NOT NULL,"
    " PRIMARY KEY (queue, group_key)) WITHOUT ROWID;"
    "DROP INDEX task_grouped;"
    "CREATE INDEX task_grouped ON task (queue, token, group_key, at_ms)"
    " WHERE state = 7;";

/* What the queue keeps of tasks that are over: 0 = the default, -1 = all. */
static const char migration_3[] =
    "ALTER TABLE queue ADD COLUMN archive_max INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE queue ADD COLUMN archive_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE queue ADD COLUMN completed_max INTEGER NOT NULL DEFAULT 0;";

/* What periodic entries enqueued. */
static const char migration_4[] =
    "CREATE TABLE cron_history ("
    " seq INTEGER PRIMARY KEY,"
    " entry TEXT NOT NULL,"
    " at_ms INTEGER NOT NULL,"
    " id TEXT NOT NULL);"
    "CREATE INDEX cron_history_entry ON cron_history (entry, seq);"
    "CREATE INDEX cron_history_at ON cron_history (at_ms);";

/* Tasks that were archived while no server had them in hand: broker/archived.h.
 */
static const char migration_5[] =
    "CREATE TABLE untold ("
    " queue INTEGER NOT NULL,"
    " id TEXT NOT NULL,"
    " at_ms INTEGER NOT NULL,"
    " PRIMARY KEY (queue, id)) WITHOUT ROWID;"
    "CREATE INDEX untold_at ON untold (queue, at_ms);";

static const char *const migrations[] = {migration_1, migration_2, migration_3,
                                         migration_4, migration_5};

int lq_sqlite_schema_version(void)
{
    return (int)LQ_COUNT(migrations);
}

int lq_sqlite_schema_migrate(sqlite3 *db, int from)
{
    char pragma[64];
    int rc = SQLITE_OK;
    for (size_t i = (size_t)from; i < LQ_COUNT(migrations) && !rc; i++)
        rc = sqlite3_exec(db, migrations[i], NULL, NULL, NULL);
    if (rc)
        return rc;
    snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %zu",
             LQ_COUNT(migrations));
    return sqlite3_exec(db, pragma, NULL, NULL, NULL);
}
