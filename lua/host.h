/* The Lua host: one Lua state a worker thread, and what belongs to it.
 *
 *   lq_lua_host ── L            the state; its main thread runs nothing of ours
 *        │      ── ready        runs that wait for the CPU
 *        │      ── generations  loaded folders; `live` is the newest
 *        └── lq_lua_run         a coroutine: a handler's run, or a short call
 *                               (top-level code, a backoff function)
 *
 * The extra space of every Lua thread points to the lq_lua_run that executes
 * on it; the main thread's, which new threads copy, to host->idle.
 *
 * Everything here is for the worker's thread, except what interrupt.h says.
 */
#ifndef LQ_HOST_H
#define LQ_HOST_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "loop/loop.h"
#include "lua/app.h"
#include "lua/await.h"

struct lq_lua_generation;
struct lq_lua_handler;
struct lq_lua_naps;

enum lq_lua_phase {
    LQ_PHASE_IDLE = 0, /* no run: the main thread, finalizers */
    LQ_PHASE_LOADING,  /* top-level code of a file */
    LQ_PHASE_RUNNING,  /* a handler's run */
    LQ_PHASE_CLOSING,  /* its <close> variables, after its end was decided */
    LQ_PHASE_CALLBACK  /* backoff, is_failure, an error's __tostring */
};

/* Why a coroutine of ours came back from lua_resume() with LUA_YIELD. */
enum lq_lua_pause {
    LQ_PAUSE_NONE = 0, /* its own coroutine.yield */
    LQ_PAUSE_AWAIT,    /* parked: lq_await_done() or cancel() follows */
    LQ_PAUSE_SLICE,    /* it had the CPU for long: others first */
    LQ_PAUSE_END       /* it shall end, and is never resumed */
};

typedef struct lq_lua_run {
    struct lq_lua_host *host;
    lq_list node;                  /* host->ready, ->parked or ->pool */
    lq_run *run;                   /* the runtime's; NULL for short calls */
    lua_State *co;                 /* its outermost coroutine */
    int co_ref;                    /* anchors co */
    struct lq_lua_generation *gen; /* counted */
    const struct lq_lua_handler *handler;
    lq_await *parked;  /* what it waits for */
    lua_State **chain; /* coroutines inside co that a pause passed
                          through, innermost first */
    size_t chain_len, chain_cap;
    size_t depth; /* coroutines active inside co now */
    enum lq_lua_phase phase;
    enum lq_lua_pause pause;
    enum lq_cancel why;     /* set with `ending` */
    bool ending;            /* its end was decided from outside */
    bool executing;         /* inside lua_resume() now */
    int nargs;              /* of its function, before it began */
    int pinned;             /* frames below that cannot yield */
    int64_t limit_ns;       /* monotonic end of the phase; 0 = none */
    uint32_t index, serial; /* who it is in memory block headers */
    int64_t bytes;          /* memory it made and that lives */
    bool made_verdict;      /* lunaq.snooze() … was called */
} lq_lua_run;

typedef struct lq_lua_host {
    lq_runner runner; /* first: a runner is its host */
    lua_State *L;
    lq_worker_services services;
    const lq_lua_options *options; /* never NULL */
    lq_log *log;
    struct lq_lua_app *app; /* NULL in the loader */
    struct lq_db *db;       /* its pool, or NULL */

    /* memory */
    size_t bytes, bytes_max; /* 0 = no maximum */
    uint32_t owner;          /* index of the run that allocates now */
    lq_lua_run **slots;      /* by index; [0] is idle */
    size_t slot_count, slot_cap;

    /* runs */
    lq_lua_run idle;
    lq_list ready, parked, pool;
    lq_turn *turn;
    lq_lua_run *inside; /* executing; NULL outside Lua */
    bool reporting;     /* inside lq_run_end() */
    bool gc_at_yield;   /* tests: a full collection at every yield */
    struct lq_lua_naps *naps;
    int closing_depth; /* coroutine.close inside coroutine.close */

    /* generations */
    struct lq_lua_generation *live;
    lq_list generations;

    /* interruption: see interrupt.c for who writes what */
    lunaq_interrupt mode;
    pthread_t thread;
    _Atomic(lua_State *) current;
    atomic_uint_fast64_t entry; /* number of this stay inside Lua; 0 = out */
    atomic_int_fast64_t since_ns, until_ns;
    atomic_uint_fast64_t shot; /* the entry a signal is meant for */
    int64_t rearm_ns; /* the signal handler's: not armed again before */
    uint64_t entries;
    pthread_mutex_t shown_lock; /* guards `shown` against its end */
    lq_run *shown;

    uint64_t secret[2];   /* mixes addresses in tostring() */
    int64_t verdict_gate; /* of a warning: lq_log_gate() */

    /* Where an error value that is no text was raised first, for when it has
     * passed through middleware: see middleware.c. */
    struct {
        uint64_t run; /* number; 0 = nothing is known */
        const void *value;
        char where[128], frames[2048];
    } raised;
} lq_lua_host;

/** Makes a state with the libraries of a handler, and nothing loaded.
 *  services NULL: without a loop, for the loader.  options is borrowed. */
int lq_lua_host_new(lq_lua_host **out, const lq_worker_services *services,
                    const lq_lua_options *options, lunaq_error *err);
void lq_lua_host_free(lq_lua_host *host);

/** A zeroed run of this host, from its pool; NULL when out of memory. */
lq_lua_run *lq_lua_run_take(lq_lua_host *host);
/** Gives it back.  What it allocated and still lives belongs to the host. */
void lq_lua_run_give(lq_lua_run *r);

/* The extra space of a thread holds its run; the lowest bit says that the
 * thread is part of a paused run and nobody else may touch it. */
static inline lq_lua_run *lq_lua_here(lua_State *L)
{
    uintptr_t p = *(uintptr_t *)lua_getextraspace(L);
    return (lq_lua_run *)(p & ~(uintptr_t)1); /* NOLINT: a tagged pointer */
}
static inline bool lq_lua_is_held(lua_State *L)
{
    return *(uintptr_t *)lua_getextraspace(L) & 1;
}
static inline void lq_lua_bind(lua_State *L, const lq_lua_run *r, bool held)
{
    *(uintptr_t *)lua_getextraspace(L) = (uintptr_t)r | (held ? 1 : 0);
}

#endif
