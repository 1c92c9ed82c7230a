/* table, with a bound on how many items one call may touch: Lua's own would
 * run for minutes where a __len lies. */
#include <lualib.h>

#include "lua/sandbox.h"

lua_Integer lq_lua_length(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    return luaL_len(L, index);
}

static void check_count(lua_State *L, const char *what, lua_Integer n,
                        lua_Integer most)
{
    if (n > most)
        luaL_error(L, "%s: %I items, more than %I", what, (LUAI_UACINT)n,
                   (LUAI_UACINT)most);
}

static int tab_insert(lua_State *L)
{
    lua_Integer n = lq_lua_length(L, 1);
    lua_Integer at = (lua_Integer)((lua_Unsigned)n + 1);
    switch (lua_gettop(L)) {
    case 2:
        break;
    case 3: {
        lua_Integer last = at;
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, at >= 1 && at <= last, 2, "position out of bounds");
        check_count(L, "table.insert", last - at, LQ_LUA_ITEMS_MAX);
        for (lua_Integer i = last; i > at; i--) {
            lua_geti(L, 1, i - 1);
            lua_seti(L, 1, i);
        }
        break;
    }
    default:
        return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    lua_seti(L, 1, at);
    return 0;
}

static int tab_remove(lua_State *L)
{
    lua_Integer n = lq_lua_length(L, 1);
    lua_Integer at = luaL_optinteger(L, 2, n);
    if (lua_gettop(L) > 1 && at != n)
        luaL_argcheck(L, at >= 1 && at <= n + 1, 2, "position out of bounds");
    check_count(L, "table.remove", n - at, LQ_LUA_ITEMS_MAX);
    lua_geti(L, 1, at);
    for (; at < n; at++) {
        lua_geti(L, 1, at + 1);
        lua_seti(L, 1, at);
    }
    lua_pushnil(L);
    lua_seti(L, 1, at);
    return 1;
}

static int tab_move(lua_State *L)
{
    lua_Integer from = luaL_checkinteger(L, 2), to = luaL_checkinteger(L, 3);
    lua_Integer at = luaL_checkinteger(L, 4);
    int into = lua_isnoneornil(L, 5) ? 1 : 5;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, into, LUA_TTABLE);
    if (to >= from) {
        luaL_argcheck(L, from > 0 || to < LUA_MAXINTEGER + from, 3,
                      "too many elements to move");
        lua_Integer n = to - from + 1;
        check_count(L, "table.move", n, LQ_LUA_ITEMS_MAX);
        luaL_argcheck(L, at <= LUA_MAXINTEGER - n + 1, 4,
                      "destination wrap around");
        bool upwards =
            at > to || at <= from || (into != 1 && !lua_rawequal(L, 1, into));
        for (lua_Integer k = 0; k < n; k++) {
            lua_Integer i = upwards ? k : n - 1 - k;
            lua_geti(L, 1, from + i);
            lua_seti(L, into, at + i);
        }
    }
    lua_pushvalue(L, into);
    return 1;
}

static int tab_concat(lua_State *L)
{
    size_t gap_len, total = 0;
    lua_Integer n = lq_lua_length(L, 1);
    const char *gap = luaL_optlstring(L, 2, "", &gap_len);
    lua_Integer from = luaL_optinteger(L, 3, 1);
    lua_Integer to = luaL_optinteger(L, 4, n);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (lua_Integer i = from; i <= to; i++) {
        size_t len;
        lua_geti(L, 1, i);
        if (!lua_isstring(L, -1))
            return luaL_error(L,
                              "invalid value (a %s) at index %I in table "
                              "for 'concat'",
                              luaL_typename(L, -1), (LUAI_UACINT)i);
        lua_tolstring(L, -1, &len);
        total += len + gap_len;
        if (total > LQ_LUA_STRING_MAX + gap_len || i - from > LQ_LUA_ITEMS_MAX)
            return luaL_error(L,
                              "table.concat: the result has more than %d "
                              "bytes or %d items",
                              (int)LQ_LUA_STRING_MAX, (int)LQ_LUA_ITEMS_MAX);
        luaL_addvalue(&b);
        if (i == to)
            break; /* i + 1 could overflow */
        luaL_addlstring(&b, gap, gap_len);
    }
    luaL_pushresult(&b);
    return 1;
}

/* Sorting asks for the length again, so one that is computed could lie then. */
static int tab_sort(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (luaL_getmetafield(L, 1, "__len") != LUA_TNIL)
        return luaL_error(L, "table.sort: a table with __len cannot be sorted");
    check_count(L, "table.sort", (lua_Integer)lua_rawlen(L, 1),
                LQ_LUA_SORT_MAX);
    int top = lua_gettop(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, top, 0);
    return 0;
}

void lq_lua_open_table(lua_State *L)
{
    static const luaL_Reg functions[] = {{"insert", tab_insert},
                                         {"remove", tab_remove},
                                         {"move", tab_move},
                                         {"concat", tab_concat},
                                         {NULL, NULL}};
    lua_pushcfunction(L, luaopen_table);
    lua_call(L, 0, 1);
    luaL_newlib(L, functions);
    lua_getfield(L, -2, "pack");
    lua_setfield(L, -2, "pack");
    lua_getfield(L, -2, "unpack");
    lua_setfield(L, -2, "unpack");
    lua_getfield(L, -2, "sort");
    lua_pushcclosure(L, tab_sort, 1);
    lua_setfield(L, -2, "sort");
    lua_remove(L, -2);
}
