/* The whole handler folder → a checked snapshot, in a state of the loader's
 * own. */
#ifndef LQ_LUA_LOADER_H
#define LQ_LUA_LOADER_H

#include "lua/app.h"
#include "lua/snapshot.h"

/** Reads, compiles and runs every file, under limits.  Any thread; blocks.
 *  LUNAQ_EHANDLER: "file:line: what is wrong"; LUNAQ_EIO. */
int lq_lua_load(lq_lua_snapshot **out, const lq_lua_options *options,
                lunaq_error *err);

#endif
