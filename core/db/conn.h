/* The inside of a pool: what pool.c, call.c, conn.c, run.c and tx.c share.
 *
 *   pool.c       who gets a connection, when to open one
 *   conn.c       one connection: opening, socket events, ending
 *   run.c        a call on a connection: its steps, its results
 *   statement.c  the statements that a connection has prepared
 *   call.c       a call as a value: made, failed, delivered, abandoned
 *   tx.c         a connection leased for a transaction
 *
 *   state of a connection       by
 *   (none)     → CONNECTING     lq_conn_open, for a waiting call
 *   CONNECTING → IDLE           the handshake is over
 *   IDLE       → BUSY           lq_conn_run
 *   BUSY       → IDLE           the call is over; lq_pool_put, or kept by its
 * tx any        → (gone)         lq_conn_drop: it broke, or was interrupted
 */
#ifndef LQ_DB_CONN_H
#define LQ_DB_CONN_H

#include "base/alloc.h"
#include "base/clock.h"
#include "base/map.h"
#include "db/backend.h"
#include "db/result.h"
#include "db/target.h"

#include <libpq-fe.h>

#define LQ_BACKEND_STATEMENTS 100 /* named ones a connection keeps */

typedef struct lq_pg lq_pg;
typedef struct lq_pg_call lq_pg_call;
typedef struct lq_pg_tx lq_pg_tx;
typedef struct lq_conn lq_conn;

struct lq_pg {
    lq_db base;
    lq_loop *loop;
    lq_log *log;
    lq_db_helper *helper;
    size_t size;
    bool no_prepare;
    int64_t connect_timeout_ms;
    lq_target target;

    lq_lookup *lookup; /* names being resolved */
    lq_poll *lookup_poll;
    lq_names names;
    int64_t names_until; /* when they go stale; 0 = there are none */
    int64_t names_asked;

    lq_turn *turn;       /* hands out connections at the end of a loop turn */
    lq_timer *retry;     /* the next attempt to connect */
    lq_timer *deadline;  /* the earliest of those that wait */
    int64_t deadline_at; /* what it is set to; 0 = nothing */
    lq_list waiting;     /* calls, in order */
    size_t waiting_count;
    lq_list conns;   /* all */
    lq_list idle;    /* last used first: caches are warm there */
    lq_list kicked;  /* connections to read on from */
    lq_list failing; /* calls whose transaction was lost */
    size_t open, connecting, idle_count;
    unsigned failures; /* attempts in a row */
    int64_t retry_at;
    int64_t log_gate;
    bool closing;
    lq_db_stats stats;
};

enum lq_call_kind {
    LQ_CALL_STATEMENT,
    LQ_CALL_BEGIN,
    LQ_CALL_COMMIT,
    LQ_CALL_ASIDE /* savepoint, rollback: nobody waits */
};

struct lq_pg_call {
    lq_db_call base;
    lq_list node; /* waiting: in the pool or in tx */
    lq_pg *db;
    lq_pg_tx *tx;
    lq_conn *conn; /* that runs it */
    enum lq_call_kind kind;
    lq_arena arena;
    lq_str sql; /* NUL-terminated */
    const char **values;
    int *lengths, *formats;
    bool *risky; /* differs between text and bytea: ask for the type first */
    bool any_risky;
    size_t param_count;
    int64_t submitted, deadline; /* monotonic ms; 0 = none */
    int64_t timeout_ms;
    size_t chunk_rows;
    bool waiting; /* in the pool's line */
    bool retried;
    bool undone;         /* a commit that was a rollback */
    lq_db_done_fn *done; /* NULL: nobody waits */
    void *ud;
    lq_db_result *result; /* as far as it came */
};

/* A statement that a connection knows. */
typedef struct lq_stmt {
    lq_list lru;
    lq_str sql;
    char name[24];
    bool prepared;
    bool described;
    int type_count;
    Oid *types;
} lq_stmt;

enum lq_step {
    LQ_STEP_NONE = 0,
    LQ_STEP_TIMEOUT,
    LQ_STEP_DEALLOCATE,
    LQ_STEP_PREPARE,
    LQ_STEP_DESCRIBE,
    LQ_STEP_EXECUTE
};

struct lq_conn {
    lq_list node, idle_node, kick_node;
    lq_pg *db;
    PGconn *pg;
    lq_poll *poll;
    int fd;
    lq_timer *timer; /* connecting, or the call's deadline */
    bool connecting;
    bool broken; /* reading failed */
    int64_t started;

    lq_pg_tx *tx;
    lq_pg_call *call;
    enum lq_step step;
    PGresult *failed; /* the first error of this step */
    bool paused;      /* a chunk was delivered, the next was not asked for */

    lq_map statements;
    lq_list lru;
    unsigned next_name;
    lq_stmt *stmt;    /* of the call; NULL = none, or no memory for one */
    bool prepare;     /* the call runs it as a prepared one */
    char evicted[24]; /* a name to deallocate; "" = none */
    int64_t server_timeout_ms; /* -1 = the server's own default */
    int64_t wanted_timeout_ms; /* while it is being set */
};

struct lq_pg_tx {
    lq_db_tx base;
    lq_pg *db;
    lq_conn *conn;     /* NULL: not there yet, or lost */
    lq_pg_call *begin; /* while it is under way */
    lq_list calls;     /* that wait for the one before */
    bool lost;
};

/* The functions of db.h, for PostgreSQL: pool.c, call.c, tx.c. */
int lq_pg_open(lq_pg **out, lq_loop *loop, const lq_db_options *options,
               lunaq_error *err);
void lq_pg_close(lq_pg *db);
void lq_pg_stats_get(const lq_pg *db, lq_db_stats *out);
int lq_pg_query(lq_pg *db, lq_pg_tx *tx, const lq_db_statement *statement,
                lq_db_done_fn *done, void *ud, lq_pg_call **out,
                lunaq_error *err);
void lq_pg_next(lq_pg_call *call);
void lq_pg_abandon(lq_pg_call *call);
int lq_pg_begin(lq_pg *db, int64_t timeout_ms, lq_pg_tx **out,
                lq_db_done_fn *done, void *ud, lq_pg_call **out_call,
                lunaq_error *err);
int lq_pg_commit(lq_pg_tx *tx, int64_t timeout_ms, lq_db_done_fn *done,
                 void *ud, lq_pg_call **out, lunaq_error *err);
void lq_pg_release(lq_pg_tx *tx);
int lq_pg_savepoint(lq_pg_tx *tx, lq_db_savepoint_op op, unsigned depth,
                    lunaq_error *err);

/* pool.c */
void lq_pool_wait(lq_pg *db, lq_pg_call *call); /* puts it in line */
void lq_pool_leave(lq_pg_call *call);           /* takes it out of the line */
void lq_pool_put(lq_conn *c);                   /* it is free again */
void lq_pool_connected(lq_conn *c);
/** Drops c, tells who waited for it. */
void lq_pool_connect_failed(lq_conn *c, const char *why);
/** An attempt that began then came to nothing: backs off, and tells those who
 *  waited for it when nobody else can serve them. */
void lq_pool_out(lq_pg *db, int64_t started, const char *why);
void lq_pool_wake(lq_pg *db); /* looks again at the end of the turn */

/* conn.c */
int lq_conn_open(lq_pg *db, lunaq_error *err);
/** Ends it, after a cancel request when a statement may run on the server.  A
 *  call on it goes without a word, a transaction is lost. */
void lq_conn_drop(lq_conn *c, bool cancel);
void lq_conn_arm(lq_conn *c); /* watches the socket as libpq wants it */
/** False when the server has ended it. */
bool lq_conn_alive(lq_conn *c);

/* run.c */
void lq_conn_run(lq_conn *c, lq_pg_call *call);
void lq_conn_pump(lq_conn *c); /* sends and reads what can be */
/** Fails the running call, drops the connection. */
void lq_conn_fail(lq_conn *c, int rc, const char *why, bool cancel);

/* call.c */
lq_pg_call *lq_call_new(lq_pg *db, enum lq_call_kind kind, int64_t timeout_ms);
int lq_call_set(lq_pg_call *call, const lq_db_statement *s, lunaq_error *err);
void lq_call_free(lq_pg_call *call);
/** Tells the call's owner that it failed, and frees it. */
void lq_call_fail(lq_pg_call *call, int rc, const char *why);
void lq_call_end(lq_pg_call *call, const lq_db_outcome *outcome);
int64_t lq_call_left(const lq_pg_call *call); /* ms; 0 = no limit, >= 1 else */

/* statement.c */
lq_stmt *lq_stmt_get(lq_conn *c, lq_str sql, bool *fresh);
void lq_stmt_forget(lq_conn *c, lq_stmt *s);
void lq_stmt_free_all(lq_conn *c);

/* tx.c */
/** Takes the call over, or fails. */
int lq_tx_submit(lq_pg_tx *tx, lq_pg_call *call, lunaq_error *err);
/** Its connection is gone, or another's: what waits fails, soon. */
void lq_tx_lost(lq_pg_tx *tx);
/** The connection has nothing to run: goes on with the transaction's next call,
 *  rolls back what nobody owns, or returns to the pool. */
void lq_tx_settle(lq_conn *c);

#endif
