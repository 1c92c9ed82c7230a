/* One coroutine a run: start, park, resume, cancel, finish.
 *
 *                 start
 *                   │  handler, task, args checked
 *                   ▼
 *     ┌────────► executing ──── returned, raised ─────┐
 *     │             │   └────── its time is up ───┐   │
 *     │ turn        │ slice                       ▼   ▼
 *   ready ◄─────────┤                           closing ──► lq_run_end()
 *     ▲             │ await                        ▲
 *     │ done        ▼                              │
 *     └────────── parked ──── cancel ──────────────┘
 */
#ifndef LQ_RUN_H
#define LQ_RUN_H

#include "lua/host.h"

/* Of lq_runner_ops; the runner is its host. */
bool lq_lua_handles(lq_runner *runner, lq_str type);
void lq_lua_start(lq_runner *runner, lq_run *run);
void lq_lua_cancel(lq_runner *runner, lq_run *run, enum lq_cancel why);

/** A parked run may go on: at once, or at the end of this loop turn when the
 *  thread is inside Lua or inside lq_run_end(). */
void lq_lua_ready(lq_lua_run *r);
/** The host's lq_turn: runs what is ready, for at most one slice. */
void lq_lua_turn(void *host);

/** lua_resume() of r->co, published to the control thread.  Returns Lua's
 *  status; with LUA_YIELD, r->pause says why. */
int lq_lua_resume(lq_lua_run *r, int nargs, int *nres);
/** Closes every coroutine of r that is not dead, innermost first: their <close>
 *  variables run under a time limit of their own and may not wait.  r->co is
 *  left empty. */
void lq_lua_close_all(lq_lua_run *r);

#endif
