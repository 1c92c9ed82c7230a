/* What handler code can reach: an allow-list of libraries, read-only.
 *
 * A guard rail for one's own code, not a wall against hostile code.
 */
#ifndef LQ_LUA_SANDBOX_H
#define LQ_LUA_SANDBOX_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

#define LQ_LUA_STRING_MAX ((size_t)16 * 1024 * 1024) /* made by one call */
/* Touched by one call: */
#define LQ_LUA_ITEMS_MAX ((lua_Integer)4 * 1024 * 1024)
#define LQ_LUA_SORT_MAX ((lua_Integer)1000 * 1000)
/* Of one pattern call; about 0.2 s: */
#define LQ_LUA_MATCH_STEPS UINT64_C(100000000)

/** Opens everything in a new state.  Raises. */
void lq_lua_sandbox_open(lua_State *L);
/** Pushes a new table with all that handlers find as globals. */
void lq_lua_push_globals(lua_State *L);

/** Replaces the table on top by a proxy that can be read and not changed. */
void lq_lua_readonly(lua_State *L, const char *name);
/** The same for an environment: assigning a global is an error. */
void lq_lua_readonly_environment(lua_State *L);
bool lq_lua_is_readonly(lua_State *L, int index);

/* Each pushes its library's table (base: adds to the table on top). */
void lq_lua_open_base(lua_State *L);
void lq_lua_open_string(lua_State *L);
void lq_lua_open_table(lua_State *L);
void lq_lua_open_coroutine(lua_State *L);
/** Adds find, match, gmatch, gsub to the table on top. */
void lq_lua_open_pattern(lua_State *L);
/** Sets `load` in the table at globals, for chunks with the environment at
 *  env. */
void lq_lua_bind_load(lua_State *L, int globals, int env);

/** Raises unless the table at index has no __len that could lie; returns its
 *  border. */
lua_Integer lq_lua_length(lua_State *L, int index);

#endif
