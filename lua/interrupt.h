/* Taking the CPU away from Lua code: after 10 ms, so that others get a turn,
 * and for good when its time is up.
 *
 * The worker publishes each stay inside Lua (`entry`, since, until).  The
 * control thread looks every 5 ms; when a stay is too long it notes its number
 * in `shot` and sends the worker SIGURG.  The signal handler runs on the
 * worker: if that stay still lasts it sets a one-shot hook on the coroutine
 * that executes now.  (lua_sethook() from another thread walks a list that the
 * collector may be freeing.)  The hook yields, from as many coroutines deep as
 * needed; where Lua cannot yield (below sort or gsub) it lets the run go on,
 * or, when its time is up, raises, and everything of ours that catches errors
 * raises on.
 *
 * A hook that is always armed costs 2 to 2.7 times the CPU; that is the mode
 * LUNAQ_INTERRUPT_HOOK, for embedders that want no signal.
 */
#ifndef LQ_INTERRUPT_H
#define LQ_INTERRUPT_H

#include "lua/host.h"

#define LQ_SLICE_NS INT64_C(10000000)
#define LQ_GRACE_NS INT64_C(100000000) /* for what runs after the end */

/** Installs the handler of SIGURG, once a process. */
int lq_lua_interrupt_install(lunaq_error *err);
/** Makes the calling thread the one that host's signals go to. */
void lq_lua_interrupt_init(lq_lua_host *host);
void lq_lua_interrupt_release(lq_lua_host *host);

/** Around everything that executes Lua code of handlers. */
void lq_lua_enter(lq_lua_run *r);
void lq_lua_leave(lq_lua_run *r);
/** L executes now, inside r: before and after a nested lua_resume(). */
static inline void lq_lua_executes(lq_lua_host *host, lua_State *L)
{
    atomic_store_explicit(&host->current, L, memory_order_release);
}

/** True where a yield of L reaches the worker. */
bool lq_lua_may_pause(lua_State *L);
/** Goes on ending the run of L: yields, or raises where that is impossible.
 *  Does not return to its caller's caller; `return lq_lua_end_here(L)`. */
int lq_lua_end_here(lua_State *L);
/** For C functions that may have taken long: ends the run of L if its time is
 *  up. */
void lq_lua_check_time(lua_State *L);
/** Decides that a run ends, which is executing or will be closed. */
void lq_lua_decide_end(lq_lua_run *r, enum lq_cancel why);

/* Of lq_runner_ops; called from the control thread. */
void lq_lua_tick(lq_runner *runner, int64_t mono_ns);
bool lq_lua_busy(lq_runner *runner);
bool lq_lua_inside(lq_runner *runner, int64_t *since_mono_ns, char *type,
                   char *id, size_t size);

#endif
