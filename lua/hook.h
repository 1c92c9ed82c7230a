/* Hooks: functions of a handler file beside run(task), by kind of run.
 *
 * One row a kind says where the function stands in the file's table, what it
 * is called with, and what its values mean.  All else (the coroutine, waiting,
 * deadline, interruption, errors) is the same as for a task: see run.h.
 */
#ifndef LQ_LUA_HOOK_H
#define LQ_LUA_HOOK_H

#include "lua/host.h"

typedef struct lq_lua_hook {
    const char *option; /* of the file's table; NULL = no such hook yet */
    const char *member; /* of that option's table; NULL = it is the function */
    /* Pushes the arguments from r->run->in onto L, at most 8; returns how many.
     * Raises when memory is out. */
    int (*push)(lua_State *L, lq_lua_run *r);
    /* Reads the values at 1 to 3 of L into r->run->out.  Not called when the
     * function failed (raised, or nil and an error).  A code and its message:
     * the run fails with it.  NULL = whatever it returns will do. */
    int (*read)(lua_State *L, lq_lua_run *r, lunaq_error *err);
} lq_lua_hook;

extern const lq_lua_hook lq_lua_hooks[LQ_RUN_KINDS];

/** Pushes the hook function of the handler table at index; false (and nothing)
 *  when it has none.  Raw accesses: raises nothing. */
bool lq_lua_hook_push(lua_State *L, int index, enum lq_run_kind kind);

/** lq_runner_ops.hooks */
bool lq_lua_has_hook(lq_runner *runner, enum lq_run_kind kind, lq_str type);

#endif
