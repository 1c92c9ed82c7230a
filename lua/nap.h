/* Sleeping runs: a heap of instants over one timer of the loop, so that ten
 * thousand of them cost a heap entry each and not a timer each. */
#ifndef LQ_LUA_NAP_H
#define LQ_LUA_NAP_H

#include "loop/loop.h"
#include "lua/await.h"

typedef struct lq_lua_naps lq_lua_naps;

int lq_lua_naps_new(lq_lua_naps **out, lq_loop *loop, lunaq_error *err);
void lq_lua_naps_free(lq_lua_naps *n); /* NULL is fine */

typedef struct lq_lua_nap {
    lq_await await;
    lq_lua_naps *naps;
    int64_t at_ms; /* monotonic */
    size_t place;  /* in the heap */
} lq_lua_nap;

/** Adds a nap whose await is initialised: lq_await_done() comes after ms.
 *  False when out of memory. */
bool lq_lua_nap_start(lq_lua_naps *n, lq_lua_nap *nap, int64_t ms);
/** The await's cancel. */
void lq_lua_nap_cancel(lq_await *a);

#endif
