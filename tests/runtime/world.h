/* Servers with C handlers on a real Redis, or on a queue file: what the
 * runtime's tests work with. */
#ifndef LQ_RUNTIME_WORLD_H
#define LQ_RUNTIME_WORLD_H

#include "support/test.h"

#include "base/clock.h"
#include "redis/link_poll.h"
#include "redis_uv/link_durable.h"
#include "redis_uv/link_uv.h"
#include "runtime/callback.h"
#include "runtime/control.h"
#include "runtime/server.h"
#include "sqlite/caller.h"
#include "sqlite/engine.h"
#include "sqlite_uv/link_sqlite.h"
#include "support/redis_server.h"
#include "support/temp_folder.h"

#include <stdlib.h>

#define WAIT_MS 20000
#define SIDES 2
#define QUEUES_MAX 20
#define RUNS_MAX 40000

typedef struct world world;

/* One server and what its handlers saw. */
typedef struct side {
    world *w;
    lq_callbacks *callbacks;
    lq_runtime *runtime;
    atomic_int runs, now, most;
    atomic_int canceled; /* runs that were told to end */
} side;

struct world {
    redis_server *redis; /* NULL: on a queue file */
    temp_folder folder;
    lq_sqlite_engine *engine;
    lq_caller *caller;
    lq_log *log; /* warnings are counted */
    atomic_int lines;
    side sides[SIDES];
    struct lq_queue_prio queues[QUEUES_MAX];
    lq_runtime_options o; /* of servers to be started; broker may be set */
    atomic_bool hold;     /* handlers wait while it is set … */
    atomic_bool deaf;     /* … even when they are told to end */
    atomic_int begun;
    atomic_int starts;     /* of all servers … */
    char order[RUNS_MAX];  /* … the first letter of the queue of each */
    int64_t at[64];        /* Unix ms of the first starts */
    atomic_int queue[256]; /* starts by first letter of the queue */
};

/** Flushes redis, or makes a queue file when it is NULL, and readies a world
 *  with one queue, "default". */
int world_setup(void **state, redis_server *redis);
/** Stops the servers that run, and audits the queues. */
int world_teardown(void **state);

/** Sets the queues; names must stay. */
void world_queues(world *w, size_t n, const char *const *names,
                  const int32_t *weights);
/** Starts server i with w->o; its one handler handles every type … */
void world_start(world *w, size_t i);
/** … or what lq_callbacks_add() added to w->sides[i].callbacks before. */
void world_callbacks(world *w, size_t i);
/** lq_server_stop(). */
int world_stop(world *w, size_t i);
/** Enqueues n tasks like t (NULL: plain ones) into a queue. */
void world_enqueue(world *w, const char *queue, size_t n, const lunaq_task *t);

/** Looks often until *value >= n; fails after WAIT_MS. */
void wait_for(const char *what, atomic_int *value, int n);
/** The same for a command's integer reply, until it is n. */
void wait_reply(world *w, const char *const *words, int64_t n);
int64_t integer_reply(world *w, const char *const *words);
int64_t list_len(world *w, const char *key);
int64_t set_len(world *w, const char *key);
/** Lets ms pass, in which something shall not happen. */
void let_pass(int64_t ms);

#endif
