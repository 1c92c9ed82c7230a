/* Middleware: files `_middleware.lua` whose function wraps every run of the
 * handlers below its folder, the outer folder's first.
 *
 *     return function(task, next)
 *       local r = next(task)          -- raises when what is inside fails
 *       return r
 *     end
 *
 * next(task, …) calls what is inside with these arguments and returns its first
 * value, a verdict too; a failure is raised, whether it was raised or returned
 * (nil, err), as an error table with the traceback of where it happened.  A
 * middleware that returns nothing leaves the end of what is inside as it is; if
 * it did not call next either, that is warned of.
 *
 * The wrapped function is made when a generation is loaded, so handlers without
 * middleware pay nothing.
 */
#ifndef LQ_LUA_MIDDLEWARE_H
#define LQ_LUA_MIDDLEWARE_H

#include "lua/generation.h"

/** True for "_middleware.lua" and "a/b/_middleware.lua". */
bool lq_lua_is_middleware(const char *name);
/** Enters a file of the source into the snapshot. */
int lq_lua_middleware_add(lq_lua_snapshot *s, const lq_lua_file *file,
                          lunaq_error *err);
/** Checks what such a file returned, on top of L; LUNAQ_EHANDLER. */
int lq_lua_middleware_check(lua_State *L, const lq_lua_file *file,
                            lunaq_error *err);
/** True when a type that no handler fits has middleware all the same: that of
 *  the folders its name would lead to. */
bool lq_lua_middleware_covers(const lq_lua_snapshot *s, lq_str type);

/** Replaces the function on top of L by itself inside the middleware of a
 *  handler file.  Raises. */
void lq_lua_middleware_wrap(lua_State *L, const lq_lua_generation *g,
                            const char *file);
/** Pushes what runs a task of a type that no handler fits, inside its
 *  middleware.  Raises. */
void lq_lua_middleware_push_not_found(lua_State *L, const lq_lua_generation *g,
                                      lq_str type);

#endif
