/* The module `lunaq` of handlers: sleep now uuid env and the verdicts. */
#ifndef LQ_MOD_LUNAQ_H
#define LQ_MOD_LUNAQ_H

#include <lua.h>
#include <stdint.h>

int luaopen_lunaq_lunaq(lua_State *L);

/** The duration at index, a number of seconds or a text like "5m", in
 *  milliseconds.  Raises. */
int64_t lq_lua_check_duration(lua_State *L, int index);

#endif
