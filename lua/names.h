/* Names of options as people write them: which are known, and which one was
 * meant. */
#ifndef LQ_LUA_NAMES_H
#define LQ_LUA_NAMES_H

#include "base/error.h"
#include "base/str.h"

#include <lua.h>

bool lq_lua_is_one_of(const char *name, const char *const *names);

/** The name in `names` (NULL-ended) that was meant: what other systems call so,
 *  or what is spelt most like it; NULL when none is near. */
const char *lq_lua_meant(const char *written, const char *const *names);

/** Fails with "unknown option 'x'; did you mean 'y'?", y of `known` or of
 *  `more` (both NULL-ended), or with those that are known. */
int lq_lua_unknown_option(const char *written, const char *const *known,
                          const char *const *more, lunaq_error *err);

/** Fails with "name: a boolean, where … is expected", of the value on top; a
 *  number is shown. */
int lq_lua_wrong(lua_State *L, const char *name, const char *expected,
                 lunaq_error *err);

/** Whether each key of the table on top is one of `known` (NULL-ended).  If
 *  not, *stranger is the one that is none, the table's own string (NULL where
 *  it is no string), and the error says "what: unknown member 'x' (known:
 *  ...)".  Never raises. */
int lq_lua_known_members(lua_State *L, const char *what,
                         const char *const *known, const char **stranger,
                         lunaq_error *err);

/** Whether the table on top has only the keys 1…n.  If not, *stranger is one of
 *  the others, as above.  Never raises. */
bool lq_lua_is_list(lua_State *L, const char **stranger);

#endif
