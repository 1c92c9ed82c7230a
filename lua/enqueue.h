/* Lua values → tasks to enqueue: arguments of queue.enqueue, and what handler
 * files say of the type. */
#ifndef LQ_LUA_ENQUEUE_H
#define LQ_LUA_ENQUEUE_H

#include "base/alloc.h"
#include "lua/snapshot.h"

#include <lua.h>

/** Reads a task: type; payload, any value with a JSON form (nil = none); the
 *  options table at options (0 or a nil: none), whose keys are in
 *  lq_lua_enqueue_options.  inline_keys: `type` and `payload` are keys of the
 *  options table, too.  What the options leave out comes from the handler file
 *  of the type in `handlers` (may be NULL).  Everything lives in mem.  Raises
 *  only when memory is out.  LUNAQ_EINVAL names the option.  item is released
 *  by lq_enqueue_release(). */
int lq_lua_read_enqueue(lua_State *L, lq_str type, int payload, int options,
                        bool inline_keys, const lq_lua_snapshot *handlers,
                        lq_arena *mem, lq_enqueue *item, lunaq_error *err);

/** The duration at index, seconds or a text like "5m".  Never raises;
 *  LUNAQ_EINVAL begins with name. */
int lq_lua_duration_at(lua_State *L, int index, const char *name, int64_t *ms,
                       lunaq_error *err);

/** The keys of an options table; NULL-ended. */
extern const char *const lq_lua_enqueue_options[];

/** What `unique` may have as a table; NULL-ended. */
extern const char *const lq_lua_unique_members[];

#endif
