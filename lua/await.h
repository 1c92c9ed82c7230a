/* Waiting inside a handler: how a module's function parks its run.
 *
 *     static int sleep_k(lua_State *L, int status, lua_KContext ctx);
 *     static int lunaq_sleep(lua_State *L)              // raises
 *     {
 *         int64_t ms = check_duration(L, 1);             // check,
 *         struct nap *nap = lua_newuserdatauv(…);        // then allocate,
 *         lq_await_init(&nap->await, L, "lunaq.sleep", nap_cancel);
 *         … start the timer …                            // then acquire;
 *         return lq_await_park(L, &nap->await, (lua_KContext)nap, sleep_k);
 *     }
 *     static void nap_over(void *ud) { lq_await_done(&nap->await); }
 *
 * The contract of one wait: after lq_await_park() exactly one of two things
 * happens, on the loop's thread.  Either the operation calls lq_await_done(),
 * the run goes on in k and reads its results from the userdata; or the host
 * calls cancel(), after which the operation touches neither the await nor its
 * userdata again (it detaches: what is still under way frees itself).
 *
 * k and cancel may raise no Lua error except k as a Lua function's error.  The
 * userdata is anchored by the host while the run is parked, so what the
 * operation points to stays put.
 */
#ifndef LQ_AWAIT_H
#define LQ_AWAIT_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

#include "runner/runner.h"

struct lq_lua_run;  /* one coroutine run of a handler */
struct lq_lua_host; /* one worker's Lua state */

typedef struct lq_await {
    struct lq_lua_run *run;
    const char *what; /* "db.query", for messages */
    void (*cancel)(struct lq_await *a);
    bool done;
} lq_await;

/** Begins a wait of the run that is executing on L.  Raises when there is none
 *  (top-level code, a finalizer) or when it may not wait now ("… cannot wait
 *  inside a sort comparator or gsub callback").  Call it before acquiring
 *  anything. */
void lq_await_init(lq_await *a, lua_State *L, const char *what,
                   void (*cancel)(lq_await *a));
/** Parks: `return lq_await_park(…)`.  The userdata that holds *a must be on top
 * of the stack; it is anchored until the run goes on.  When lq_await_done() has
 *  come already, k runs at once. */
int lq_await_park(lua_State *L, lq_await *a, lua_KContext ctx, lua_KFunction k);
/** The operation is over: the run goes on, at once or, when other runs wait for
 *  the CPU, soon.  Loop thread, never from inside Lua. */
void lq_await_done(lq_await *a);

/** What the worker offers; of the host that owns L.  Never NULL. */
const lq_worker_services *lq_lua_services(lua_State *L);
struct lq_lua_host *lq_lua_host_of(lua_State *L);
/** The runtime's run that executes on L; NULL when none does. */
lq_run *lq_lua_run_here(lua_State *L);

/** Pushes an error table {kind, message, traceback} with __tostring and raises
 *  it.  format as lua_pushfstring. */
int lq_lua_raise(lua_State *L, const char *kind, const char *format, ...);
/** Pushes such an error table, with the place and the traceback of here, for
 *  who adds fields to it before lua_error().  Raises when memory is out. */
void lq_lua_push_raised(lua_State *L, const char *kind, const char *message);
/** Pushes nil and the error table instead, for the try_ twins; returns 2. */
int lq_lua_soft(lua_State *L, const char *kind, const char *format, ...);

#endif
