/* The globals of handlers, and the proxies that keep them as they are. */
#include "lua/sandbox.h"

#include <lualib.h>
#include <string.h>

#include "lua/error.h"
#include "lua/json.h"
#include "lua/mod_db.h"
#include "lua/mod_lunaq.h"
#include "lua/mod_task.h"
#include "lua/outcome.h"

#define GLOBALS_NAME "lunaq.globals"

/* A metatable that has this key makes its table read-only. */
static const char marker;

/* ---- proxies ------------------------------------------------------------- */

static int refuse_global(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    return luaL_error(L,
                      "assignment to the global '%s': all runs share one "
                      "environment; write 'local %s = …'",
                      name, name);
}

static int refuse_member(lua_State *L)
{
    return luaL_error(L, "'%s' cannot be changed: all runs share it",
                      lua_tostring(L, lua_upvalueindex(1)));
}

static int next_member(lua_State *L) /* upvalue: the table behind */
{
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 2);
    if (lua_next(L, 2))
        return 2;
    lua_pushnil(L);
    return 1;
}

static int pairs_of_proxy(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, next_member, 1);
    lua_pushvalue(L, 1); /* not the table behind */
    lua_pushnil(L);
    return 3;
}

/* Replaces the table on top by its proxy; its __newindex is below it. */
static void make_proxy(lua_State *L)
{
    lua_createtable(L, 0, 0); /* newindex, real, proxy */
    lua_createtable(L, 0, 5);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, -4);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -3);
    lua_pushcclosure(L, pairs_of_proxy, 1);
    lua_setfield(L, -2, "__pairs");
    lua_pushboolean(L, 1);
    lua_rawsetp(L, -2, &marker);
    if (luaL_getmetafield(L, -3, "__call") != LUA_TNIL)
        lua_setfield(L, -2, "__call"); /* db("reporting") */
    lua_setmetatable(L, -2);
    lua_replace(L, -3); /* proxy, real */
    lua_pop(L, 1);
}

void lq_lua_readonly(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    lua_pushcclosure(L, refuse_member, 1);
    lua_insert(L, -2);
    make_proxy(L);
}

void lq_lua_readonly_environment(lua_State *L)
{
    lua_pushcfunction(L, refuse_global);
    lua_insert(L, -2);
    make_proxy(L);
}

bool lq_lua_is_readonly(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index))
        return false;
    bool is = lua_rawgetp(L, -1, &marker) != LUA_TNIL;
    lua_pop(L, 2);
    return is;
}

/* ---- libraries ----------------------------------------------------------- */

/* Keeps only these members of the library that `open` makes. */
static void copy_library(lua_State *L, lua_CFunction open,
                         const char *const *names)
{
    lua_newtable(L);
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
    for (; *names; names++) {
        lua_getfield(L, -1, *names);
        lua_setfield(L, -3, *names);
    }
    lua_pop(L, 1);
}

static int nothing(lua_State *L)
{
    (void)L;
    return 0;
}

static void open_math(lua_State *L)
{
    static const char *const names[] = {
        "abs",  "ceil", "cos",  "deg",       "exp",        "floor",      "fmod",
        "huge", "log",  "max",  "min",       "maxinteger", "mininteger", "modf",
        "pi",   "rad",  "acos", "sin",       "asin",       "sqrt",       "atan",
        "tan",  "type", "ult",  "tointeger", "random",     NULL};
    copy_library(L, luaopen_math, names);
    /* The generator is seeded from the system and shared by all runs. */
    lua_pushcfunction(L, nothing);
    lua_setfield(L, -2, "randomseed");
}

static void open_os(lua_State *L)
{
    static const char *const names[] = {"time", "date", "clock", "difftime",
                                        NULL};
    copy_library(L, luaopen_os, names);
}

static void open_utf8(lua_State *L)
{
    static const char *const names[] = {
        "char", "charpattern", "codes", "codepoint", "len", "offset", NULL};
    copy_library(L, luaopen_utf8, names);
}

/* Sets the read-only form of the table on top as a global; pops it. */
static void publish(lua_State *L, const char *name)
{
    lq_lua_readonly(L, name);
    lua_setfield(L, -2, name);
}

/* ("x"):rep() must find our string functions, and getmetatable("") nothing. */
static void set_string_metatable(lua_State *L) /* the functions are on top */
{
    lua_pushliteral(L, "");
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

void lq_lua_sandbox_open(lua_State *L)
{
    lq_lua_error_open(L);
    lq_lua_outcome_open(L);
    lq_lua_task_open(L);
    lua_newtable(L); /* the globals */
    lq_lua_open_base(L);
    lq_lua_open_string(L);
    set_string_metatable(L);
    publish(L, "string");
    lq_lua_open_table(L);
    publish(L, "table");
    lq_lua_open_coroutine(L);
    publish(L, "coroutine");
    open_math(L);
    publish(L, "math");
    open_utf8(L);
    publish(L, "utf8");
    open_os(L);
    publish(L, "os");

    static const struct {
        const char *name;
        lua_CFunction open;
    } modules[] = {
        {"log", luaopen_lunaq_log},     {"queue", luaopen_lunaq_queue},
        {"lunaq", luaopen_lunaq_lunaq}, {"json", luaopen_lunaq_json},
#ifdef LQ_WITH_DB
        {"db", luaopen_lunaq_db},
#endif
    };
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        lua_pushcfunction(L, modules[i].open);
        lua_call(L, 0, 1);
        publish(L, modules[i].name);
    }
    lua_setfield(L, LUA_REGISTRYINDEX, GLOBALS_NAME);
}

void lq_lua_push_globals(lua_State *L)
{
    lua_newtable(L);
    lua_getfield(L, LUA_REGISTRYINDEX, GLOBALS_NAME);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -5);
    }
    lua_pop(L, 1);
}
