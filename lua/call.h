/* Short calls of handler code outside of a task's run: top-level code, backoff
 * functions, a __tostring of an error.  They run in a coroutine of their own,
 * may not wait, and end when their time is up. */
#ifndef LQ_LUA_CALL_H
#define LQ_LUA_CALL_H

#include "lua/host.h"

/** Calls the function below nargs arguments on top of the main thread's stack;
 *  in their place leaves nres results, or one value when it fails: the error,
 *  or a text that says that it took longer than limit_ms.  for_run: whose task
 *  `log` names; NULL = none.  Not from inside Lua.  Raises when memory is out:
 *  call it below lua_pcall(). */
int lq_lua_call(lq_lua_host *host, enum lq_lua_phase phase, int nargs, int nres,
                int64_t limit_ms, lq_run *for_run);

#endif
