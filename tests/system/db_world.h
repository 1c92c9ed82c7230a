/* A pool on a loop beside a PostgreSQL server, and calls that a test can wait
 * for. */
#ifndef LQ_DB_WORLD_H
#define LQ_DB_WORLD_H

#include "support/loop_world.h"
#include "support/postgres_server.h"

#include "db/db.h"

typedef struct db_world {
    loop_world w;
    lq_db_helper *helper;
    lq_db *db;
    int waiting; /* asks that are not over; the loop stops at 0 */
} db_world;

/* What came of a call. */
typedef struct ask {
    db_world *world;
    lq_db_call *call; /* NULL once it is over */
    int done;         /* how often done came */
    int rc;
    char sqlstate[6];
    char message[512];
    bool more;
    lq_db_result *result;
} ask;

/* One server for the program; false: skip it. */
bool db_world_server(int max_connections);
void db_world_server_stop(void);
extern postgres_server db_server;

/** Opens a pool on the program's server; options may be NULL. */
void db_world_open(db_world *w, const lq_db_options *options);
void db_world_close(db_world *w);

/** Starts a statement; format gives the parameters, as in "ibsfxn": int64_t,
 *  bool, const char *, double, lq_str, NULL. */
void ask_start(db_world *w, ask *a, lq_db_tx *tx, int64_t timeout_ms,
               const char *sql, const char *format, ...);
void ask_done(void *ud, const lq_db_outcome *outcome); /* lq_db_done_fn */
/** Tells the world to wait for it too; for begin, commit and chunks. */
void ask_expect(db_world *w, ask *a);
/** Runs the loop until all asks are over. */
void db_world_wait(db_world *w);
/** start and wait; fails the test when the statement does. */
void ask_now(db_world *w, ask *a, lq_db_tx *tx, const char *sql,
             const char *format, ...);
/** The same without parameters or a result. */
void ask_run_in(db_world *w, lq_db_tx *tx, const char *sql);
/** Asks for a transaction; the world waits for it. */
void ask_begin(db_world *w, ask *a, lq_db_tx **tx);
/** The same, and waits; fails the test when it does not begin. */
lq_db_tx *ask_begin_now(db_world *w);
/** Commits and waits; a->rc tells how it went. */
void ask_commit(db_world *w, ask *a, lq_db_tx *tx);
void ask_release(ask *a);
/** The cell, as text made by us: 17, true, 2.5, 'text', x'00ff', null. */
const char *ask_cell(const ask *a, size_t row, size_t column);

#endif
