/* One wait for the database: a statement, a begin or a commit, from Lua's
 * arguments to Lua's values.  Shared by mod_db.c and db_tx.c. */
#ifndef LQ_DB_QUERY_H
#define LQ_DB_QUERY_H

#include "lua/await.h"
#include "db/db.h"

/* What a statement's rows become. */
enum lq_db_shape {
    LQ_DB_ROWS,  /* a list of rows */
    LQ_DB_ONE,   /* the first row, or nil */
    LQ_DB_VALUE, /* its first column, or nil */
    LQ_DB_COUNT, /* how many rows were touched */
    LQ_DB_EACH   /* an iterator */
};

typedef struct lq_db_query_ud {
    lq_await await;
    lq_db_call *call;  /* while it is under way */
    lq_db_tx **begins; /* where the transaction that this call begins is
                          kept; NULL = it begins none */
    enum lq_db_shape shape;
    bool soft; /* a try_ twin: nil, err instead of raising */
    bool more;
    size_t next_row; /* of LQ_DB_EACH */
    int rc;
    char sqlstate[6];
    lq_buf message, scratch;
    lq_db_result *result;
} lq_db_query_ud;

/** Pushes a new one, ready to wait.  Raises where a run may not wait; what:
 *  static.  Its user value 1 is free for an anchor. */
lq_db_query_ud *lq_db_query_new(lua_State *L, const char *what);
/** Makes it ready for one more wait.  Raises. */
void lq_db_query_again(lua_State *L, lq_db_query_ud *q, const char *what);
/** Milliseconds the run that executes on L has left; 0 = no limit. */
int64_t lq_db_time_left(lua_State *L);
/** Of the state; raises when no database is configured. */
lq_db *lq_db_pool(lua_State *L);

/** Submits the statement at index `first` with the parameters behind it.
 *  Raises on arguments that are none; else 0, or a code and q->message. */
int lq_db_query_submit(lua_State *L, lq_db_query_ud *q, lq_db_tx *tx,
                       int first);
/** The lq_db_done_fn of all calls; ud is the query. */
void lq_db_query_done(void *q, const lq_db_outcome *outcome);
/** Notes why something could not be submitted. */
void lq_db_query_refused(lq_db_query_ud *q, int rc, const lunaq_error *err);
/** Raises q's failure, or returns nil and the error when it is soft. */
int lq_db_query_fail(lua_State *L, lq_db_query_ud *q);
/** Pushes what the shape asks for, except LQ_DB_EACH.  Raises when memory is
 *  out. */
int lq_db_query_push(lua_State *L, lq_db_query_ud *q);
/** Pushes the next row of the chunk; false when there is none. */
bool lq_db_query_push_next(lua_State *L, lq_db_query_ud *q);
/** Gives up what is under way and frees what it holds. */
void lq_db_query_close(lq_db_query_ud *q);

/* db_tx.c */
int lq_db_tx_start(lua_State *L); /* db.tx and, with upvalue 1 true, try_tx */
/** The transaction behind `tx:…` at argument 1.  Raises when it is over. */
lq_db_tx *lq_db_tx_check(lua_State *L);
/** Makes the metatable; its methods are those of the table on top, which is
 *  popped. */
void lq_db_tx_setup(lua_State *L);

#endif
