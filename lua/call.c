/* Short calls of handler code: see call.h. */
#include "lua/call.h"

#include "base/clock.h"
#include "lua/error.h"
#include "lua/interrupt.h"
#include "lua/run.h"

static void push_timeout(lua_State *L, lua_State *inner, int64_t limit_ms)
{
    char where[128] = "";
    lq_buf b;
    lq_buf_init(&b, sizeof where - 1);
    if (lq_lua_where(inner, &b) && b.p)
        memcpy(where, b.p, b.len + 1);
    lq_buf_release(&b);
    lua_pushfstring(L, "%s%stook longer than %d ms", where, *where ? ": " : "",
                    (int)limit_ms);
}

int lq_lua_call(lq_lua_host *host, enum lq_lua_phase phase, int nargs, int nres,
                int64_t limit_ms, lq_run *for_run)
{
    lua_State *L = host->L;
    luaL_checkstack(L, nres + 4, NULL);
    lua_State *co = lua_newthread(L);
    lua_insert(L, -(nargs + 2));
    lq_lua_run *r =
        lua_checkstack(co, nargs + LUA_MINSTACK) ? lq_lua_run_take(host) : NULL;
    if (!r)
        return luaL_error(L, "out of memory");
    r->co = co;
    r->phase = phase;
    r->run = for_run;
    r->limit_ns = lq_mono_ns() + limit_ms * 1000000;
    lua_xmove(L, co, nargs + 1); /* L: …, co */

    int got = 0;
    int status = lq_lua_resume(r, nargs, &got);
    if (status == LUA_YIELD) {
        lua_State *inner = r->chain_len ? r->chain[0] : co;
        push_timeout(L, inner, limit_ms);
        status = LUA_ERRRUN;
    } else if (status != LUA_OK) {
        if (r->ending) {
            push_timeout(L, co, limit_ms);
        } else {
            lua_xmove(co, L, 1);
        }
    } else {
        for (; got > nres; got--)
            lua_pop(co, 1);
        lua_xmove(co, L, got);
        for (; got < nres; got++)
            lua_pushnil(L);
    }
    if (status != LUA_OK)
        lq_lua_close_all(r);
    lq_lua_bind(co, &host->idle, false);
    lq_lua_run_give(r);
    lua_remove(L, -(status != LUA_OK ? 2 : nres + 1)); /* co */
    return status;
}
