/* What a handler file returns → options as C values, checked. */
#ifndef LQ_LUA_HANDLER_H
#define LQ_LUA_HANDLER_H

#include "lua/snapshot.h"

#include <lua.h>

/** The type of a file by its name: "session/process.lua" → "session:process",
 *  "url/_.lua" → "url:*".  False: not a task. */
bool lq_lua_type_of(const char *name, char *out, size_t size);

/** Reads the value on top of the stack (a table or function, which stays) into
 *  spec, registers its types and cron entries in s.  spec->file is set.  Never
 *  raises.  LUNAQ_EHANDLER: "file:line: what is wrong". */
int lq_lua_handler_read(lua_State *L, lq_lua_snapshot *s, lq_lua_spec *spec,
                        lq_log *log, lunaq_error *err);

#endif
