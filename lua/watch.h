/* A change in handlers/ or lib/ → one call, when it has been quiet. */
#ifndef LQ_LUA_WATCH_H
#define LQ_LUA_WATCH_H

#include "loop/loop.h"

typedef struct lq_lua_watch lq_lua_watch;

/** changed(ud) comes on the loop's thread.  Where the system cannot watch, a
 *  scan every 2 s finds changes. */
int lq_lua_watch_new(lq_lua_watch **out, lq_loop *loop, const char *folder,
                     void (*changed)(void *ud), void *ud, lunaq_error *err);
void lq_lua_watch_close(lq_lua_watch *w); /* NULL is fine */

#endif
