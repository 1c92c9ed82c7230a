/* Parking a run: see await.h. */
#include "lua/await.h"

#include <assert.h>

#include "lua/interrupt.h"
#include "lua/run.h"

void lq_await_init(lq_await *a, lua_State *L, const char *what,
                   void (*cancel)(lq_await *a))
{
    lq_lua_run *r = lq_lua_here(L);
    *a = (lq_await){.run = r, .what = what, .cancel = cancel};
    if (r->ending && r->phase == LQ_PHASE_RUNNING)
        lq_lua_end_here(L);
    switch (r->phase) {
    case LQ_PHASE_RUNNING:
        break;
    case LQ_PHASE_LOADING:
        luaL_error(L,
                   "%s cannot be called while a file is loaded: call it "
                   "inside a function",
                   what);
        break;
    case LQ_PHASE_CALLBACK:
        luaL_error(L, "%s cannot wait inside backoff, is_failure or __tostring",
                   what);
        break;
    case LQ_PHASE_CLOSING:
        luaL_error(L, "%s cannot wait while its run is being ended", what);
        break;
    case LQ_PHASE_IDLE:
        luaL_error(L, "%s can only be called by a running handler", what);
    }
    if (!lq_lua_may_pause(L))
        luaL_error(L,
                   "%s cannot wait inside a sort comparator, a gsub "
                   "callback, a __tostring or a required file's top level",
                   what);
}

int lq_await_park(lua_State *L, lq_await *a, lua_KContext ctx, lua_KFunction k)
{
    if (a->done)
        return k(L, LUA_YIELD, ctx);
    lq_lua_run *r = a->run;
    assert(!r->parked);
    r->parked = a;
    r->pause = LQ_PAUSE_AWAIT;
    return lua_yieldk(L, 0, ctx, k);
}

void lq_await_done(lq_await *a)
{
    assert(!a->done);
    a->done = true;
    lq_lua_run *r = a->run;
    if (r->parked != a)
        return; /* still on its way to lq_await_park() */
    r->parked = NULL;
    lq_lua_ready(r);
}

const lq_worker_services *lq_lua_services(lua_State *L)
{
    return &lq_lua_here(L)->host->services;
}

struct lq_lua_host *lq_lua_host_of(lua_State *L)
{
    return lq_lua_here(L)->host;
}

lq_run *lq_lua_run_here(lua_State *L)
{
    return lq_lua_here(L)->run;
}
