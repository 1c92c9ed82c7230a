/* The inside of a pool on SQLite.
 *
 *   sqlite_pool.c     the loop's side: who runs next, deadlines, transactions
 *   sqlite_call.c     what a call has of its own
 *   sqlite_thread.c   the other side: a thread for each connection
 *   sqlite_run.c      a call on a connection: values in, rows out
 *   sqlite_result.c   rows and errors
 *   sqlite_open.c     the file
 *   sqlite_migrate.c  migrations
 *
 * A call belongs to the loop, but while its connection runs it: from
 * lq_lite_give() until `answered` comes by lq_loop_post() it is the thread's,
 * and the loop touches only done, ud, tx and the deadline.
 */
#ifndef LQ_DB_SQLITE_POOL_H
#define LQ_DB_SQLITE_POOL_H

#include "base/alloc.h"
#include "base/clock.h"
#include "base/list.h"
#include "db/backend.h"
#include "db/line.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#define LQ_LITE_STATEMENTS 32 /* prepared ones a connection keeps */

typedef struct lq_lite lq_lite;
typedef struct lq_lite_conn lq_lite_conn;
typedef struct lq_lite_tx lq_lite_tx;

enum lq_lite_kind {
    LQ_LITE_STATEMENT,
    LQ_LITE_BEGIN,
    LQ_LITE_COMMIT,
    LQ_LITE_ROLLBACK, /* nobody waits for this and the next */
    LQ_LITE_SAVEPOINT
};

typedef struct lq_lite_call {
    lq_db_call base;
    lq_list node; /* waiting, of a transaction, or failing */
    lq_list all;  /* in the pool's list of all */
    lq_lite *db;
    lq_lite_tx *tx;
    lq_lite_conn *conn; /* that runs it */
    enum lq_lite_kind kind;
    lq_db_savepoint_op op;
    unsigned depth;
    lq_arena arena;
    lq_str sql; /* NUL-terminated */
    lq_db_value *params;
    size_t param_count;
    int64_t deadline; /* monotonic ms; 0 = none */
    int64_t timeout_ms;
    size_t chunk_rows;
    bool waiting;        /* in the pool's line */
    bool paused;         /* a chunk was delivered, the next was not asked for */
    bool refuse;         /* its transaction has failed before */
    bool stop;           /* gives its statement up */
    lq_db_done_fn *done; /* NULL: nobody waits */
    void *ud;
    /* What the thread answers. */
    int rc;
    char sqlstate[6];
    lq_buf message;
    lq_db_result *result;
    bool more;
    bool in_tx; /* the connection is in a transaction after it */
} lq_lite_call;

struct lq_lite {
    lq_db base;
    lq_loop *loop;
    lq_log *log;
    lq_line *writers; /* the process'; NULL = none */
    char *path;
    size_t size;
    lq_turn *turn;
    lq_timer *timer;
    lq_list calls;   /* all */
    lq_list waiting; /* for a connection, in order */
    lq_list failing; /* their transaction was lost */
    lq_list conns, idle;
    size_t open, idle_count, waiting_count;
    int64_t timer_at; /* 0 = not set */
    bool closing;
    lq_db_stats stats;
};

struct lq_lite_tx {
    lq_db_tx base;
    lq_lite *db;
    lq_lite_conn *conn;  /* NULL: not there yet, or lost */
    lq_lite_call *begin; /* while it is under way */
    lq_list calls;       /* that wait for the one before */
    unsigned depth;      /* savepoints that exist */
    bool failed;         /* as in PostgreSQL: nothing more until rolled back */
    bool lost;
};

struct lq_lite_statement {
    char *sql;
    size_t len;
    sqlite3_stmt *stmt;
    uint64_t used;
};

struct lq_lite_conn {
    lq_list node, idle_node;
    lq_lite *db; /* NULL: the pool was closed */
    lq_lite_call *call;
    lq_lite_tx *tx;
    bool in_tx;
    lq_lite_call roll; /* its own rollback */

    lq_post post;
    pthread_t thread;
    pthread_mutex_t mutex; /* for these: */
    pthread_cond_t changed;
    lq_lite_call *job;
    bool quit, posted;
    sqlite3 *lite; /* set by the thread */

    atomic_bool cancel;
    atomic_bool locked; /* it waits for another writer */

    /* the thread's */
    const char *path;
    lq_loop *loop;
    lq_line *writers;
    lq_line_place place;
    bool own; /* it begins or ends a transaction itself */
    sqlite3_stmt *stmt;
    int changes; /* before the statement */
    struct lq_lite_statement statements[LQ_LITE_STATEMENTS];
    uint64_t clock;
};

/* sqlite_call.c; the loop's side, too: */

/** A call in the pool's list of all.  timeout_ms 0 = none.  NULL: no memory. */
lq_lite_call *lq_lite_call_new(lq_lite *db, enum lq_lite_kind kind,
                               int64_t timeout_ms, lq_db_done_fn *done,
                               void *ud);
/** Copies statement and values, which are borrowed.  EINVAL, ENOMEM. */
int lq_lite_copy_statement(lq_lite_call *call, const lq_db_statement *s,
                           lunaq_error *err);
/** Waits for a connection or its transaction no more. */
void lq_lite_leave_line(lq_lite_call *call);
/** Tells the owner; the last time unless there is more.  Takes the result. */
void lq_lite_tell(lq_lite_call *call, const lq_db_outcome *outcome);
void lq_lite_tell_failed(lq_lite_call *call, int rc, const char *why);
void lq_lite_call_free(lq_lite_call *call);

/* sqlite_thread.c */
lq_lite_conn *lq_lite_conn_new(lq_lite *db);
void lq_lite_give(lq_lite_conn *c, lq_lite_call *call);
void lq_lite_interrupt(lq_lite_conn *c);
/** Ends the thread; c goes when nothing of it is posted any more. */
void lq_lite_conn_join(lq_lite_conn *c);
void lq_lite_conn_free(lq_lite_conn *c);
/** The loop's: what c ran is over, or has rows. */
void lq_lite_answered(lq_lite_conn *c);

/* sqlite_run.c: on the thread */
void lq_lite_run(lq_lite_conn *c, lq_lite_call *call);
void lq_lite_forget_statements(lq_lite_conn *c);

/* sqlite_open.c */
/** Refuses what names no file: LUNAQ_ECONFIG. */
int lq_lite_check_path(const char *path, lunaq_error *err);
/** Opens the file, as WAL, and makes it and its folder when there is none.
 *  busy is asked whether to wait on while another holds it. */
int lq_lite_open(sqlite3 **out, const char *path, int (*busy)(void *, int),
                 void *ud, lunaq_error *err);

/* sqlite_result.c */
lq_db_result *lq_lite_result_new(sqlite3_stmt *stmt);
bool lq_lite_result_add(lq_db_result *r, sqlite3_stmt *stmt);
void lq_lite_result_affected(lq_db_result *r, int64_t n);
/** The SQLSTATE that PostgreSQL would give; "" = none. */
const char *lq_lite_sqlstate(int sqlite_rc);

#endif
