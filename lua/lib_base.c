/* The basic functions of handlers.
 *
 * What differs from Lua's: pcall and xpcall cannot catch the end of a run;
 * load takes text only; setmetatable refuses finalizers and weak tables;
 * tostring shows no addresses; rawset leaves read-only tables alone; print goes
 * to the log.  Left out: dofile, loadfile, collectgarbage but for "count". */
#include <lualib.h>
#include <stdint.h>
#include <string.h>

#include "lua/error.h"
#include "lua/interrupt.h"
#include "lua/sandbox.h"

/* ---- pcall, xpcall ------------------------------------------------------- */

/* Behind lua_pcallk(), in a continuation or not; `true` and what was called
 * for are below the results, `hidden` values below those. */
static int called(lua_State *L, int status, lua_KContext hidden)
{
    if (status == LUA_OK || status == LUA_YIELD)
        return lua_gettop(L) - (int)hidden;
    if (lq_lua_here(L)->ending)
        return lq_lua_end_here(L);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int base_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    return called(
        L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, called), 0);
}

/* The message handler: theirs, unless the run is being ended.  Hooks are off
 * while one runs that the hook's own error called, so it must not run at all.
 */
static int handle_message(lua_State *L)
{
    if (lq_lua_here(L)->ending)
        return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int base_xpcall(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TFUNCTION);
    int n = lua_gettop(L);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, handle_message, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1); /* f, handler, args…, true */
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* f, handler, true, f, args… */
    return called(L, lua_pcallk(L, n - 2, LUA_MULTRET, 2, 2, called), 2);
}

/* ---- load ---------------------------------------------------------------- */

#define CHUNK_MAX ((size_t)1024 * 1024)

/* Replaces the reader function at 1 by all that it gives. */
static void read_all(lua_State *L)
{
    size_t total = 0;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (;;) {
        size_t len = 0;
        lua_pushvalue(L, 1);
        lua_call(L, 0, 1);
        const char *p = lua_tolstring(L, -1, &len);
        if (!p && !lua_isnil(L, -1))
            luaL_error(L, "load: the reader must return strings");
        if (len == 0) {
            lua_pop(L, 1);
            break;
        }
        total += len;
        if (total > CHUNK_MAX)
            luaL_error(L, "load: more than %d bytes", (int)CHUNK_MAX);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    lua_replace(L, 1);
}

/* load(chunk [, name [, mode [, env]]]); upvalue: the environment. */
static int base_load(lua_State *L)
{
    bool own_env = !lua_isnone(L, 4);
    lua_settop(L, 4);
    const char *mode = luaL_optstring(L, 3, "t");
    if (lua_type(L, 1) == LUA_TFUNCTION)
        read_all(L);
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *name = luaL_optstring(L, 2, "=(load)");
    if (!strchr(mode, 't') || (len > 0 && text[0] == LUA_SIGNATURE[0])) {
        lua_pushnil(L);
        lua_pushliteral(L, "load: only text can be loaded");
        return 2;
    }
    if (len > CHUNK_MAX)
        return luaL_error(L, "load: more than %d bytes", (int)CHUNK_MAX);
    if (luaL_loadbufferx(L, text, len, name, "t")) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    lua_pushvalue(L, own_env ? 4 : lua_upvalueindex(1));
    if (!lua_setupvalue(L, -2, 1))
        lua_pop(L, 1);
    return 1;
}

void lq_lua_bind_load(lua_State *L, int globals, int env)
{
    globals = lua_absindex(L, globals);
    lua_pushvalue(L, env);
    lua_pushcclosure(L, base_load, 1);
    lua_setfield(L, globals, "load");
}

/* ---- the rest ------------------------------------------------------------ */

static int base_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    lq_lua_tostring(L, 1, NULL);
    return 1;
}

static int base_setmetatable(lua_State *L)
{
    static const char *const refused[] = {"__gc", "__mode"};
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2,
                     "nil or table");
    if (lua_istable(L, 2)) {
        for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
            lua_pushstring(L, refused[i]);
            if (lua_rawget(L, 2) != LUA_TNIL)
                return luaL_error(L,
                                  "setmetatable: '%s' is not allowed in "
                                  "handlers",
                                  refused[i]);
            lua_pop(L, 1);
        }
    }
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

static int base_rawset(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    if (lq_lua_is_readonly(L, 1))
        return luaL_error(L, "rawset: the table cannot be changed: all runs "
                             "share it");
    lua_settop(L, 3);
    lua_rawset(L, 1);
    return 1;
}

static int base_collectgarbage(lua_State *L)
{
    const char *what = luaL_optstring(L, 1, "collect");
    if (strcmp(what, "count") != 0)
        return luaL_error(L, "collectgarbage: only \"count\" is allowed in "
                             "handlers");
    const lq_lua_host *host = lq_lua_here(L)->host;
    lua_pushnumber(L, (lua_Number)host->bytes / 1024);
    return 1;
}

/* print(…): one line at level info. */
static int base_print(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&b, '\t');
        lq_lua_tostring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    lua_replace(L, 1);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1)); /* log.info */
    lua_insert(L, 1);
    lua_call(L, 1, 0);
    return 0;
}

int luaopen_lunaq_log(lua_State *L);

void lq_lua_open_base(lua_State *L)
{
    static const char *const kept[] = {
        "assert",   "error",  "getmetatable", "ipairs", "next",     "pairs",
        "rawequal", "rawget", "rawlen",       "select", "tonumber", "type",
        NULL};
    static const luaL_Reg ours[] = {{"pcall", base_pcall},
                                    {"xpcall", base_xpcall},
                                    {"tostring", base_tostring},
                                    {"setmetatable", base_setmetatable},
                                    {"rawset", base_rawset},
                                    {"collectgarbage", base_collectgarbage},
                                    {NULL, NULL}};
    lua_pushcfunction(L, luaopen_base); /* fills the state's own globals */
    lua_call(L, 0, 1);
    for (const char *const *name = kept; *name; name++) {
        lua_getfield(L, -1, *name);
        lua_setfield(L, -3, *name);
    }
    lua_pop(L, 1);
    luaL_setfuncs(L, ours, 0);
    lua_pushliteral(L, "Lua 5.4");
    lua_setfield(L, -2, "_VERSION");
    lua_pushcfunction(L, luaopen_lunaq_log);
    lua_call(L, 0, 1);
    lua_getfield(L, -1, "info");
    lua_pushcclosure(L, base_print, 1);
    lua_setfield(L, -3, "print");
    lua_pop(L, 1);
}
