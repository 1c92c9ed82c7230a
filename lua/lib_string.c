/* string, with a bound on what one call may make, and without addresses. */
#include <ctype.h>
#include <lualib.h>
#include <string.h>

#include "lua/error.h"
#include "lua/sandbox.h"

static int too_long(lua_State *L, const char *what)
{
    return luaL_error(L, "%s: the result has more than %d bytes", what,
                      (int)LQ_LUA_STRING_MAX);
}

/* Calls the library's own function, upvalue 1, with the arguments. */
static int call_original(lua_State *L)
{
    int top = lua_gettop(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, top, LUA_MULTRET);
    return lua_gettop(L);
}

static int str_rep(lua_State *L)
{
    size_t len, gap = 0;
    luaL_checklstring(L, 1, &len);
    lua_Integer n = luaL_checkinteger(L, 2);
    luaL_optlstring(L, 3, "", &gap);
    if (len + gap == 0) { /* the library would loop n times over nothing */
        lua_pushliteral(L, "");
        return 1;
    }
    if (n > 0 && (lua_Unsigned)n > LQ_LUA_STRING_MAX / (len + gap))
        return too_long(L, "string.rep");
    return call_original(L);
}

/* Goes through the conversions; arguments of %s become text here, since the
 * library would show addresses. */
static int str_format(lua_State *L)
{
    size_t len, total;
    const char *p = luaL_checklstring(L, 1, &len), *end = p + len;
    total = len;
    int arg = 1, top = lua_gettop(L);
    while (p < end) {
        if (*p++ != '%')
            continue;
        if (p < end && *p == '%') {
            p++;
            continue;
        }
        while (p < end && *p && strchr("-+ #0123456789.", *p))
            p++;
        char conversion = p < end ? *p++ : 0;
        arg++;
        if (conversion == 'p')
            return luaL_error(L, "string.format: '%%p' is not allowed in "
                                 "handlers");
        if (arg > top)
            continue; /* the library names the missing argument */
        if (conversion == 's' && lua_type(L, arg) != LUA_TSTRING) {
            lq_lua_tostring(L, arg, NULL);
            lua_replace(L, arg);
        }
        if (lua_type(L, arg) == LUA_TSTRING)
            total += (conversion == 'q' ? 4 : 1) * lua_rawlen(L, arg);
        total += 128; /* a number's text, or a width */
        if (total > LQ_LUA_STRING_MAX)
            return too_long(L, "string.format");
    }
    return call_original(L);
}

/* "c1000000000" makes that many bytes from nothing; what else pack writes is
 * as long as its arguments. */
static int str_pack(lua_State *L)
{
    const char *p = luaL_checkstring(L, 1);
    size_t total = 0;
    while (*p) {
        bool fixed = *p++ == 'c';
        size_t n = 0;
        while (isdigit((unsigned char)*p)) {
            if (n <= LQ_LUA_STRING_MAX)
                n = n * 10 + (size_t)(*p - '0');
            p++;
        }
        if (fixed)
            total += n;
        if (total > LQ_LUA_STRING_MAX)
            return too_long(L, "string.pack");
    }
    return call_original(L);
}

/* Wraps the library's function of that name; both tables are on the stack:
 * library, ours. */
static void wrap(lua_State *L, const char *name, lua_CFunction f)
{
    lua_getfield(L, -2, name);
    lua_pushcclosure(L, f, 1);
    lua_setfield(L, -2, name);
}

void lq_lua_open_string(lua_State *L)
{
    static const char *const kept[] = {"byte",    "char", "len",      "lower",
                                       "reverse", "sub",  "packsize", "unpack",
                                       "upper",   NULL};
    lua_pushcfunction(L, luaopen_string);
    lua_call(L, 0, 1);
    lua_newtable(L);
    for (const char *const *name = kept; *name; name++) {
        lua_getfield(L, -2, *name);
        lua_setfield(L, -2, *name);
    }
    wrap(L, "rep", str_rep);
    wrap(L, "format", str_format);
    wrap(L, "pack", str_pack);
    lq_lua_open_pattern(L);
    lua_remove(L, -2);
}
