/* A real Lua host without a server: handler files in a folder of their own, a
 * loop, a control thread that ticks, and a broker that answers by a function.
 */
#ifndef LQ_TEST_WORLD_H
#define LQ_TEST_WORLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "lua/app.h"
#include "lua/host.h"

/* A run and how it ended; text is copied. */
typedef struct world_run {
    lq_run run; /* first */
    struct world *w;
    bool ended;
    enum lq_verdict_kind kind;
    char *result; /* NULL: none */
    size_t result_len;
    char *message;
    char error_kind[64];
    int64_t delay_ms;
    bool not_failure;
    int64_t took_ms;
    void (*at_end)(struct world_run *r);
    void *ud;
} world_run;

typedef struct world {
    char dir[64]; /* the project */
    char handlers[80];
    lq_loop *loop;
    lq_log *log;
    lq_lua_app *app;
    lq_runner *runner;
    lq_worker_services services;
    lq_lua_options options;
    pthread_t ticker;
    atomic_bool tick, stop_ticker;
    lq_timer *deadline;
    size_t waiting_for; /* runs */
    bool timed_out;
    uint64_t runs;
    /* Answers an operation: fills its results.  Called on the loop. */
    void (*answer)(struct world *w, lq_op *op);
    bool hold; /* operations are kept unanswered in held[] */
    lq_op *held[16];
    size_t held_count;
    char *lines; /* the log so far; use world_log() */
    pthread_mutex_t lock;
    lq_buf log_text;
    atomic_int changes;      /* generations that went live */
    atomic_int descriptions; /* of refused edits, or that there are none */
    void *ud;
} world;

/** gc: a full collection at every yield. */
world *world_new(lunaq_interrupt mode, bool gc);
/** Writes a file below the project: "handlers/a.lua", "lib/x.lua". */
void world_write(world *w, const char *name, const char *text);
void world_delete(world *w, const char *name);
/** Loads the handlers and makes the runner; returns the code. */
int world_load(world *w, lunaq_error *err);
/** The same, must work. */
void world_open(world *w);
/** Frees everything, also the folder. */
void world_free(world *w);

/** lq_lua_app_reload(), while the loop turns; err may be NULL. */
int world_reload(world *w, lunaq_error *err);

/** Starts a run of type with a payload (NULL = none). */
world_run *world_start(world *w, const char *type, const char *payload);
/** A run that starts with these values. */
world_run *world_start_with(world *w, lq_task task, int64_t timeout_ms);
/** Also what is no task: kind, task and in are run's. */
world_run *world_start_run(world *w, lq_run run, int64_t timeout_ms);
/** Runs the loop until r has ended (30 s at most). */
void world_wait(world *w, world_run *r);
/** Runs a task of type to its end: out is its result, or why it failed. */
const char *world_run_text(world *w, const char *type, char out[200]);
bool world_handles(world *w, const char *type);
/** Runs the loop for ms. */
void world_spin(world *w, int64_t ms);
void world_end(world_run *r);
/** Runs until the log has the text; false after 5 s. */
bool world_sees(world *w, const char *text);
size_t world_lua_bytes(world *w); /* after a full collection */

#endif
