/* The argument of a handler: its task.  And what luaopen_ functions there are
 * of modules that need no header of their own. */
#ifndef LQ_MOD_TASK_H
#define LQ_MOD_TASK_H

#include "lua/host.h"
#include "lua/snapshot.h"

/** Makes the metatable.  Raises. */
void lq_lua_task_open(lua_State *L);
/** Pushes the task of r.  Kept beyond the run, it says that the run is over.
 *  Raises. */
void lq_lua_task_push(lua_State *L, lq_lua_run *r);
/** Checks the payload of the task at index against the handler's args; writes
 *  what is wrong, or "".  Raises. */
void lq_lua_task_check(lua_State *L, int index, const lq_lua_spec *spec,
                       char *refusal, size_t size);
/** The same of a payload that is on top, decoded.  Raises. */
void lq_lua_args_check(lua_State *L, const lq_lua_spec *spec, char *refusal,
                       size_t size);
int luaopen_lunaq_log(lua_State *L);
int luaopen_lunaq_queue(lua_State *L);

#endif
