/* file: one connection to one queue file.
 *
 * A queue file is a SQLite database in WAL mode.  A connection belongs to one
 * thread at a time and blocks: never use it on a loop.  Who writes takes the
 * lock of the file's writers first (lock.h), so lunaq's processes never meet
 * "database is locked"; a foreign program that holds SQLite's own lock is
 * waited for until the deadline.
 *
 *     lq_sqlite_begin(q, LQ_SQLITE_WRITE, deadline, &err)
 *     lq_sqlite_apply(q, op, now_ms)            as often as there are ops
 *     lq_sqlite_commit(q, &err)  or  lq_sqlite_rollback(q)
 *     lq_sqlite_wakes(q)                        whom to wake, after the commit
 *
 * Do not use a connection after fork(), and never let two copies of SQLite in
 * one process open the same file: closing one drops the other's locks.
 */
#ifndef LQ_SQLITE_FILE_H
#define LQ_SQLITE_FILE_H

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "sqlite/lock.h"

#include <sqlite3.h>

/* How long an acknowledged change lasts.
 *
 * FULL, the default: a commit returns when the WAL is on the disk.  Neither the
 * end of a process at any instant nor that of the machine (a power cut, a
 * kernel panic) takes it back.
 *
 * NORMAL (sqlite:queue.db?durability=normal): a commit returns when the kernel
 * has the change.  The end of a process takes nothing back.  The end of the
 * machine takes back what was committed since the WAL was last synced: by a
 * checkpoint, which comes after 4000 pages (16 MiB), and while a daemon has the
 * file open within two seconds after the last commit and about every five
 * while there are more; or by the kernel itself, mostly within 30 s.  What is
 * left is the state after an earlier commit, whole: tasks enqueued in the
 * window are gone, tasks finished in it run again. */
typedef struct lq_sqlite_options {
    bool normal;   /* synchronous=NORMAL */
    int cache_kib; /* of pages; 0 = 8 MiB */
} lq_sqlite_options;

enum lq_sqlite_mode { LQ_SQLITE_READ, LQ_SQLITE_WRITE };

/* What the operations of a transaction call for once it is committed. */
typedef struct lq_sqlite_wakes {
    lq_buf queues;  /* names of queues with new pending tasks, each ends with a
                       NUL; nearly without repetition */
    lq_buf cancels; /* ids of active tasks that someone asked to cancel, each
                       ends with a NUL */
} lq_sqlite_wakes;

typedef struct lq_sqlite lq_sqlite;

/** Opens a queue file; makes it, and its folder when only that is missing, for
 *  the owner alone.  Waits for others that open it until deadline_ns
 *  (lq_mono_ns).  options may be NULL.  A message each, path included:
 *  LUNAQ_ECONFIG  the folder is missing; a network file system; not a
 *                 database; another program's database; a newer schema;
 *                 read-only
 *  LUNAQ_EREPLY   the file is damaged
 *  LUNAQ_EFULL    no space for it
 *  LUNAQ_EBROKER  locked by another program, or input and output failed */
int lq_sqlite_open(lq_sqlite **out, const char *path,
                   const lq_sqlite_options *options, int64_t deadline_ns,
                   lunaq_error *err);
/** Rolls back what is under way.  NULL is fine. */
void lq_sqlite_close(lq_sqlite *q);

/** Begins a transaction.  LQ_SQLITE_WRITE takes the writers' lock and begins
 *  IMMEDIATE, within the deadline (lq_mono_ns): LUNAQ_EBROKER when it passes.
 *  LQ_SQLITE_READ is a snapshot; end it within a second, or the WAL grows. */
int lq_sqlite_begin(lq_sqlite *q, enum lq_sqlite_mode mode, int64_t deadline_ns,
                    lunaq_error *err);
/** Commits and gives the writers' lock back.  On failure nothing of the
 *  transaction remains and it has ended; but LUNAQ_EUNKNOWN: it is in the file,
 *  and may be lost with the machine, as its fsync failed. */
int lq_sqlite_commit(lq_sqlite *q, lunaq_error *err);
/** Gives it up; safe when none is under way. */
void lq_sqlite_rollback(lq_sqlite *q);
/** False once SQLite has rolled the transaction back by itself (disk full,
 *  input or output failed): every operation of it has failed. */
bool lq_sqlite_in_transaction(const lq_sqlite *q);

/** What the last transaction calls for; valid until the next begin. */
const lq_sqlite_wakes *lq_sqlite_wakes_of(const lq_sqlite *q);

/** A number that changes when another connection has committed. */
int lq_sqlite_data_version(lq_sqlite *q, int64_t *version, lunaq_error *err);
/** SQLite's handle, for checkpoints. */
sqlite3 *lq_sqlite_db(lq_sqlite *q);
/** The writers' lock, for those who ask whether others wait. */
lq_sqlite_lock *lq_sqlite_lock_of(lq_sqlite *q);
/** It was opened with synchronous=NORMAL. */
bool lq_sqlite_is_normal(const lq_sqlite *q);
/** The absolute path of the file. */
const char *lq_sqlite_path(const lq_sqlite *q);

/** What SQLite's last failure on this connection means: a code of ours, with
 *  a message that names the file, in *err. */
int lq_sqlite_failed(const lq_sqlite *q, int sqlite_rc, const char *what,
                     lunaq_error *err);

#endif
