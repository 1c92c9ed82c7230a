/* Errors as handlers and people see them: tables {kind, message, where,
 * traceback}, and the text that is stored with a failed task. */
#ifndef LQ_LUA_ERROR_H
#define LQ_LUA_ERROR_H

#include "base/buf.h"
#include "lua/host.h"

/** Pushes an error table; where and traceback may be empty.  An empty where
 *  (p not NULL) says that it has no place: none is put before the message when
 *  it is raised.  Raises. */
void lq_lua_push_error(lua_State *L, lq_str kind, lq_str message, lq_str where,
                       lq_str traceback);
/** True for a table made by lq_lua_push_error(). */
bool lq_lua_is_error(lua_State *L, int index);

/** Appends the Lua frames of co, one a line, from level on. */
void lq_lua_traceback(lua_State *co, int level, lq_buf *out);
/** Appends "file.lua:12" of the innermost Lua frame of co; false when none. */
bool lq_lua_where(lua_State *co, lq_buf *out);

/** Pushes text for any value: luaL_tolstring() without addresses.  Raises, and
 *  may run a __tostring. */
const char *lq_lua_tostring(lua_State *L, int index, size_t *len);

/** Makes the metatables. */
void lq_lua_error_open(lua_State *L);

#endif
