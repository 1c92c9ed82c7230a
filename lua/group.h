/* group: a group's tasks as Lua values.
 *
 * Each is a table: id, type, payload (decoded), headers; `raw` in place of
 * payload when that is not JSON.  A handler with `group` sees them as
 * task.tasks, also when it is called for a task without a group: then it is the
 * only one.
 */
#ifndef LQ_LUA_GROUP_H
#define LQ_LUA_GROUP_H

#include "lua/host.h"

/** The name of the group a task stands for or was in; empty when there is
 *  none. */
lq_str lq_lua_group_of(const lq_task *t);
/** True when the task is the batch of a group. */
bool lq_lua_is_batch(const lq_task *t);
/** Pushes the list of tasks of a batch, or of the one that this is.  payload:
 *  the batch's, decoded.  Raises when memory is out, or the batch is damaged.
 */
void lq_lua_group_tasks(lua_State *L, const lq_task *t, int payload);

/* The hook group.aggregate(group, tasks) → type, payload, options. */
int lq_lua_group_push(lua_State *L, lq_lua_run *r);
int lq_lua_group_read(lua_State *L, lq_lua_run *r, lunaq_error *err);

#endif
