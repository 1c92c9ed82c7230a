/* A database without blocking: a pool of connections on one loop, to
 * PostgreSQL or to a SQLite file (whose connections are threads), by the URL.
 *
 * A pool belongs to the thread of its loop, and so does every function here
 * but the migration.  Connections are opened when they are needed, in parallel;
 * who needs one waits in line, first come first served.  A call is one
 * statement; a transaction leases a connection from begin to end.
 *
 *     submit ──► waits for a connection ──► runs ──► done(ud, outcome)
 *        └─────── lq_db_abandon() at any time: done never comes ───┘
 *
 * Submit fails now and done never comes, or it returns 0 and done comes exactly
 * once, later, never inside the submit.  A statement that is abandoned or out
 * of time is canceled on the server, and its connection is dropped; SQLite's is
 * interrupted, and what it had begun rolled back.
 *
 * On SQLite a transaction holds the file's one write lock from begin to end,
 * and who wants it waits until the deadline, unseen by the caller.
 */
#ifndef LQ_DB_H
#define LQ_DB_H

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "loop/loop.h"

typedef struct lq_db lq_db;
typedef struct lq_db_call lq_db_call;
typedef struct lq_db_tx lq_db_tx;
typedef struct lq_db_result lq_db_result;

/* ---- values --------------------------------------------------------------*/

typedef enum lq_db_kind {
    LQ_DB_NULL = 0,
    LQ_DB_BOOL,  /* num: 0 or 1 */
    LQ_DB_INT,   /* num */
    LQ_DB_FLOAT, /* real */
    LQ_DB_TEXT,  /* str; from the server also numeric, json, timestamps, … */
    LQ_DB_BYTES  /* str; never given as a parameter */
} lq_db_kind;

/* A parameter or a cell.  A TEXT parameter may hold any bytes when the
 * statement wants bytea there. */
typedef struct lq_db_value {
    lq_db_kind kind;
    int64_t num;
    double real;
    lq_str str;
} lq_db_value;

/* Rows, in the thread's own hands; independent of the pool. */
size_t lq_db_result_rows(const lq_db_result *r);
size_t lq_db_result_columns(const lq_db_result *r);
const char *lq_db_result_column(const lq_db_result *r, size_t column);
/** Rows that an insert, update or delete touched; else the rows returned. */
int64_t lq_db_result_affected(const lq_db_result *r);
/** One cell.  value->str points into r, or into scratch (which is overwritten)
 *  for bytes.  LUNAQ_ENOMEM. */
int lq_db_result_get(const lq_db_result *r, size_t row, size_t column,
                     lq_buf *scratch, lq_db_value *value);
void lq_db_result_free(lq_db_result *r); /* NULL is fine */

/* ---- the pool ------------------------------------------------------------*/

/* Threads for what blocks inside libpq (cancel requests, name resolution), and
 * the line in which writers of a SQLite file wait for each other; one object
 * serves all pools of a process on one database. */
typedef struct lq_db_helper lq_db_helper;
int lq_db_helper_new(lq_db_helper **out, lunaq_error *err);
/** After the pools that use it were closed.  NULL is fine. */
void lq_db_helper_free(lq_db_helper *h);

typedef struct lq_db_options {
    const char *url; /* postgres://, postgresql:// or sqlite:path */
    size_t size;     /* connections at most; 0 = 10 */
    bool no_prepare; /* behind PgBouncer: never a named statement, and no
                        statement_timeout outside of transactions */
    int64_t connect_timeout_ms; /* of one attempt, all hosts; 0 = 5000 */
    lq_db_helper *helper;       /* borrowed; NULL on SQLite: writers of this
                                   pool wait without an order */
    lq_log *log;                /* may be NULL */
} lq_db_options;

/** Opens a pool; connects at the first call that needs it.  LUNAQ_ECONFIG: the
 *  URL cannot be used (the message never holds a password). */
int lq_db_open(lq_db **out, lq_loop *loop, const lq_db_options *options,
               lunaq_error *err);
/** Ends all connections.  Calls that still wait are told LUNAQ_ECANCELED from
 *  inside.  Not from a done callback.  The pool is gone after.  NULL is fine.
 */
void lq_db_close(lq_db *db);

typedef struct lq_db_stats {
    size_t size, open, idle, connecting, waiting;
    uint64_t connects, failed_connects, dropped;
} lq_db_stats;
void lq_db_stats_get(const lq_db *db, lq_db_stats *out);

/* ---- calls ---------------------------------------------------------------*/

typedef struct lq_db_outcome {
    int rc;               /* 0, LUNAQ_EDATABASE, _ETIMEOUT, _ENOMEM, _EINVAL,
                             _ECANCELED (the pool closes) */
    char sqlstate[6];     /* of the server; "" = none */
    const char *message;  /* rc != 0: for people, with the head of the SQL;
                             lives until done returns */
    lq_db_result *result; /* rc == 0: the receiver's to free; NULL for begin and
                             end */
    bool more;            /* chunks: call lq_db_next() or lq_db_abandon() */
} lq_db_outcome;

/* The call is gone when it returns, unless `more`. */
typedef void lq_db_done_fn(void *ud, const lq_db_outcome *outcome);

typedef struct lq_db_statement {
    lq_str sql; /* one statement, $1 … */
    const lq_db_value *params;
    size_t param_count;
    int64_t timeout_ms; /* waiting and running together; 0 = no limit */
    size_t chunk_rows;  /* > 0: rows come in chunks of this many */
} lq_db_statement;

/** Runs a statement: in a transaction, or with tx NULL on a connection of the
 *  pool.  Copies what it needs.  *call stays valid until done.  LUNAQ_EINVAL,
 *  LUNAQ_ENOMEM. */
int lq_db_query(lq_db *db, lq_db_tx *tx, const lq_db_statement *statement,
                lq_db_done_fn *done, void *ud, lq_db_call **call,
                lunaq_error *err);
/** Asks for the next chunk: done comes again. */
void lq_db_next(lq_db_call *call);
/** Gives a call up: done does not come (any more).  What it was doing is
 *  canceled and its connection dropped; a transaction it was part of is lost.
 */
void lq_db_abandon(lq_db_call *call);

/** Leases a connection and begins a transaction; *tx is valid from now on, but
 *  statements are for after done.  When done reports a failure, tx still has to
 *  be released. */
int lq_db_begin(lq_db *db, int64_t timeout_ms, lq_db_tx **tx,
                lq_db_done_fn *done, void *ud, lq_db_call **call,
                lunaq_error *err);
/** Commits.  A failed transaction fails here too. */
int lq_db_commit(lq_db_tx *tx, int64_t timeout_ms, lq_db_done_fn *done,
                 void *ud, lq_db_call **call, lunaq_error *err);
/** The end of the lease, committed or not: what is not committed is rolled back
 *  without anybody waiting for it.  tx is gone.  NULL is fine. */
void lq_db_release(lq_db_tx *tx);
typedef enum lq_db_savepoint_op {
    LQ_DB_SAVEPOINT,
    LQ_DB_SAVEPOINT_RELEASE, /* what happened since stays */
    LQ_DB_SAVEPOINT_ROLLBACK /* what happened since is undone, and release */
} lq_db_savepoint_op;

/** A savepoint inside of a transaction; depth numbers them from 1.  Nobody
 *  waits for it: statements that are submitted later run after it, and when it
 *  fails so do they.  LUNAQ_EDATABASE: the transaction is lost.
 *  LUNAQ_ENOMEM: and now it is. */
int lq_db_savepoint(lq_db_tx *tx, lq_db_savepoint_op op, unsigned depth,
                    lunaq_error *err);

/* ---- migrations ----------------------------------------------------------*/

/** Applies the migrations of a folder (0001_name.sql, 0002_name.postgres.sql,
 *  …) that were not applied yet, in order, each in a transaction, while other
 *  processes wait.  Blocks; any thread.  LUNAQ_EDATABASE: the database cannot
 *  be reached, or a statement failed; LUNAQ_ECONFIG: a folder, file or URL that
 *  cannot be used, or an applied file that was edited.  A folder that does not
 *  exist has no migrations. */
int lq_db_migrate(const char *url, const char *folder, lq_log *log,
                  lunaq_error *err);

#endif
