/* The module `json` of handlers: encode and decode, their try_ twins, and what
 * Lua has no word for: null and arrays. */
#include "lua/json.h"

#include "lua/await.h"

#include <lauxlib.h>

/* ---- encode ------------------------------------------------------------- */

/* Bytes that belong to Lua, so that an error cannot leak them.  One per state,
 * an upvalue of the functions that write: encoding never yields. */
#define SCRATCH "lunaq.json.scratch"
#define SCRATCH_KEEP ((size_t)256 * 1024)

static int scratch_gc(lua_State *L)
{
    lq_buf_release(lua_touserdata(L, 1));
    return 0;
}

static void push_scratch(lua_State *L) /* raises */
{
    lq_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
    lq_buf_init(b, LQ_JSON_MAX);
    if (luaL_newmetatable(L, SCRATCH)) {
        lua_pushcfunction(L, scratch_gc);
        lua_setfield(L, -2, "__gc");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

/* Pushes the JSON of argument 1, or fails and pushes nothing. */
static int encode(lua_State *L, lunaq_error *err) /* raises */
{
    lq_buf *b = lua_touserdata(L, lua_upvalueindex(1));
    lq_buf_clear(b);
    int rc = lq_json_write(L, 1, b, err);
    if (!rc)
        lua_pushlstring(L, b->p, b->len);
    if (b->cap > SCRATCH_KEEP)
        lq_buf_release(b);
    return rc;
}

static int json_encode(lua_State *L)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    luaL_checkany(L, 1);
    if (encode(L, &err))
        return lq_lua_raise(L, "json", "json.encode: %s", err.message);
    return 1;
}

static int json_try_encode(lua_State *L)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    luaL_checkany(L, 1);
    if (encode(L, &err))
        return lq_lua_soft(L, "json", "json.encode: %s", err.message);
    return 1;
}

/* ---- decode ------------------------------------------------------------- */

static int decode(lua_State *L, lunaq_error *err) /* raises */
{
    lq_str text;
    text.p = luaL_checklstring(L, 1, &text.len);
    return lq_json_push(L, text, err);
}

static int json_decode(lua_State *L)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (decode(L, &err))
        return lq_lua_raise(L, "json", "json.decode: %s", err.message);
    return 1;
}

static int json_try_decode(lua_State *L)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (decode(L, &err))
        return lq_lua_soft(L, "json", "json.decode: %s", err.message);
    return 1;
}

/* ---- array -------------------------------------------------------------- */

/* json.array(t) marks and returns t; json.array() makes a new one. */
static int json_array(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    if (lua_getmetatable(L, 1)) {
        lua_pop(L, 1);
        if (!lq_json_is_array(L, 1))
            return luaL_argerror(L, 1, "a table without a metatable expected");
    }
    lua_settop(L, 1);
    lq_json_mark_array(L, 1);
    return 1;
}

/* ---- the module --------------------------------------------------------- */

static const luaL_Reg json_funcs[] = {{"decode", json_decode},
                                      {"try_decode", json_try_decode},
                                      {"array", json_array},
                                      {NULL, NULL}};

static const luaL_Reg json_writers[] = {
    {"encode", json_encode}, {"try_encode", json_try_encode}, {NULL, NULL}};

int luaopen_lunaq_json(lua_State *L)
{
    luaL_newlib(L, json_funcs);
    push_scratch(L);
    luaL_setfuncs(L, json_writers, 1);
    lq_json_push_null(L);
    lua_setfield(L, -2, "null");
    lq_json_push_empty_array(L);
    lua_setfield(L, -2, "empty_array");
    return 1;
}
