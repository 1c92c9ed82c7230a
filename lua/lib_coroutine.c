/* The coroutine library of handlers: Lua's, and a wait inside a handler's own
 * coroutine goes up to the worker instead of to the handler's resume.
 *
 * A coroutine through which a pause passed is "held" (host.h): until the run
 * goes on, nobody can resume or close it. */
#include <stdint.h>

#include "base/alloc.h"
#include "lua/interrupt.h"
#include "lua/sandbox.h"

#define CLOSE_DEPTH_MAX 64 /* Lua 5.4.4 does not count this C recursion */

static int drive(lua_State *L, lua_State *co, int nargs, bool wrapped);

static lua_State *check_co(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    return co;
}

/* ---- the chain of a pause ------------------------------------------------ */

/* Room for every coroutine that is active now, and one more: a pause must not
 * fail. */
static void reserve_chain(lua_State *L, lq_lua_run *r)
{
    if (r->chain_len + r->depth < r->chain_cap)
        return;
    size_t cap = r->chain_cap ? r->chain_cap * 2 : 4;
    lua_State **chain = lq_realloc((void *)r->chain, cap * sizeof(void *));
    if (!chain)
        luaL_error(L, "out of memory");
    r->chain = chain;
    r->chain_cap = cap;
}

/* The run goes on: down again through the coroutines it was paused in. */
static int go_down(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    lq_lua_run *r = lq_lua_here(L);
    bool wrapped = ctx & 1;
    lua_State *co = r->chain[--r->chain_len];
    lq_lua_bind(co, r, false);
    return drive(L, co, 0, wrapped);
}

/* Closes the variables of a coroutine that is dead or suspended. */
static int reset(lua_State *L, lua_State *co)
{
    lq_lua_run *r = lq_lua_here(L);
    lq_lua_bind(co, r, false);
    r->host->closing_depth++;
    r->pinned++;
    lq_lua_executes(r->host, co);
    int result = lua_resetthread(co);
    lq_lua_executes(r->host, L);
    r->pinned--;
    r->host->closing_depth--;
    return result;
}

static int failed(lua_State *L, lua_State *co, bool wrapped)
{
    if (lq_lua_here(L)->ending)
        return lq_lua_end_here(L);
    if (!wrapped) {
        lua_pushboolean(L, 0);
        lua_xmove(co, L, 1);
        return 2;
    }
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) {
        status = reset(L, co);
        if (lq_lua_here(L)->ending)
            return lq_lua_end_here(L);
    }
    lua_xmove(co, L, 1);
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/* Resumes co, whose arguments are on its stack, and deals with what comes. */
static int drive(lua_State *L, lua_State *co, int nargs, bool wrapped)
{
    lq_lua_run *r = lq_lua_here(L);
    bool pins = !lua_isyieldable(L);
    if (!pins)
        reserve_chain(L, r);
    int nres = 0;
    r->pinned += pins;
    r->depth++;
    lq_lua_executes(r->host, co);
    int status = lua_resume(co, L, nargs, &nres);
    lq_lua_executes(r->host, L);
    r->depth--;
    r->pinned -= pins;
    if (status != LUA_OK && status != LUA_YIELD)
        return failed(L, co, wrapped);
    if (status == LUA_YIELD && r->pause != LQ_PAUSE_NONE) {
        /* Nothing pauses below a frame that pins: lq_lua_may_pause(). */
        lq_lua_bind(co, r, true);
        r->chain[r->chain_len++] = co;
        return lua_yieldk(L, 0, wrapped, go_down);
    }
    if (!lua_checkstack(L, nres + 1)) {
        lua_pop(co, nres);
        return luaL_error(L, "too many results to resume");
    }
    if (!wrapped)
        lua_pushboolean(L, 1);
    lua_xmove(co, L, nres);
    return nres + !wrapped;
}

/* ---- resume, wrap -------------------------------------------------------- */

/* Why co cannot be resumed, or NULL. */
static const char *unfit(const lua_State *L, lua_State *co)
{
    if (lq_lua_is_held(co))
        return "cannot resume a coroutine that waits in a run";
    if (co == L)
        return "cannot resume non-suspended coroutine";
    return NULL;
}

static int start(lua_State *L, lua_State *co, int nargs, bool wrapped)
{
    const char *why = unfit(L, co);
    if (!why && !lua_checkstack(co, nargs))
        why = "too many arguments to resume";
    if (why) {
        if (wrapped)
            return luaL_error(L, "%s", why);
        lua_pushboolean(L, 0);
        lua_pushstring(L, why);
        return 2;
    }
    if (lua_status(co) == LUA_YIELD || lua_gettop(co) > 0) {
        lua_Debug ar;
        if (lua_status(co) == LUA_YIELD || !lua_getstack(co, 0, &ar))
            lq_lua_bind(co, lq_lua_here(L), false);
    }
    lua_xmove(L, co, nargs);
    return drive(L, co, nargs, wrapped);
}

static int co_resume(lua_State *L)
{
    lua_State *co = check_co(L);
    return start(L, co, lua_gettop(L) - 1, false);
}

static int co_wrapped(lua_State *L)
{
    return start(L, lua_tothread(L, lua_upvalueindex(1)), lua_gettop(L), true);
}

static int co_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lq_lua_bind(co, lq_lua_here(L), false);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int co_wrap(lua_State *L)
{
    co_create(L);
    lua_pushcclosure(L, co_wrapped, 1);
    return 1;
}

/* ---- the rest ------------------------------------------------------------ */

static int co_yield (lua_State *L)
{
    if (L == lq_lua_here(L)->co)
        return luaL_error(L, "attempt to yield from outside a coroutine: a "
                             "handler's run has nobody to yield to");
    return lua_yield(L, lua_gettop(L));
}

static const char *status_of(const lua_State *L, lua_State *co)
{
    if (L == co)
        return "running";
    if (lq_lua_is_held(co))
        return "normal"; /* it waits for what it called */
    switch (lua_status(co)) {
    case LUA_YIELD:
        return "suspended";
    case LUA_OK: {
        lua_Debug ar;
        if (lua_getstack(co, 0, &ar))
            return "normal";
        return lua_gettop(co) == 0 ? "dead" : "suspended";
    }
    default:
        return "dead";
    }
}

static int co_status(lua_State *L)
{
    lua_pushstring(L, status_of(L, check_co(L)));
    return 1;
}

static int co_isyieldable(lua_State *L)
{
    lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
    lua_pushboolean(L, lua_isyieldable(co) && co != lq_lua_here(L)->co);
    return 1;
}

static int co_running(lua_State *L)
{
    bool main = lua_pushthread(L) || L == lq_lua_here(L)->co;
    lua_pushboolean(L, main);
    return 2;
}

static int co_close(lua_State *L)
{
    lua_State *co = check_co(L);
    const char *status = status_of(L, co);
    if (*status != 's' && *status != 'd')
        return luaL_error(L, "cannot close a %s coroutine", status);
    lq_lua_run *r = lq_lua_here(L);
    if (r->host->closing_depth >= CLOSE_DEPTH_MAX)
        return luaL_error(L, "coroutine.close is nested too deeply");
    int result = reset(L, co);
    if (r->ending)
        return lq_lua_end_here(L);
    if (result == LUA_OK) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_xmove(co, L, 1);
    return 2;
}

void lq_lua_open_coroutine(lua_State *L)
{
    static const luaL_Reg functions[] = {{"create", co_create},
                                         {"resume", co_resume},
                                         {"wrap", co_wrap},
                                         {"yield", co_yield },
                                         {"status", co_status},
                                         {"running", co_running},
                                         {"isyieldable", co_isyieldable},
                                         {"close", co_close},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
}
