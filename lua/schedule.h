/* What handler files say of periodic entries beside `cron`: entries that a
 * function provides, and functions around each tick.
 *
 *     schedule = function() return {{type = "x", spec = "@hourly"}, …} end
 *     schedule_every = "3m"
 *     before_enqueue = function(entry) … return false end     -- not this one
 *     after_enqueue = function(entry, info, err) … end
 *
 * In handlers/_schedule.lua they concern all entries, in a handler's file those
 * of its type.
 */
#ifndef LQ_LUA_SCHEDULE_H
#define LQ_LUA_SCHEDULE_H

#include "lua/host.h"

/** What kind of schedule a file is: LQ_SCHEDULE_TYPE for "_schedule.lua"; NULL
 *  for others.  LUNAQ_EHANDLER: one that does not lie in handlers/ itself. */
int lq_lua_schedule_file(const char *name, const char **type, lunaq_error *err);

/* Hooks; see hook.h. */
int lq_lua_schedule_push(lua_State *L, lq_lua_run *r);
int lq_lua_schedule_read(lua_State *L, lq_lua_run *r, lunaq_error *err);
int lq_lua_before_push(lua_State *L, lq_lua_run *r);
int lq_lua_before_read(lua_State *L, lq_lua_run *r, lunaq_error *err);
int lq_lua_after_push(lua_State *L, lq_lua_run *r);

#endif
