/* Error tables, tracebacks without C frames, text without addresses. */
#include "lua/error.h"

#include <stdio.h>

#define ERROR_NAME "lunaq.error"
#define INNER_FRAMES 12
#define OUTER_FRAMES 8
#define DEPTH_MAX 4096

static void set_field(lua_State *L, const char *key, lq_str value)
{
    lua_pushlstring(L, value.p ? value.p : "", value.len);
    lua_setfield(L, -2, key);
}

void lq_lua_push_error(lua_State *L, lq_str kind, lq_str message, lq_str where,
                       lq_str traceback)
{
    lua_createtable(L, 0, 4);
    set_field(L, "kind", kind);
    set_field(L, "message", message);
    if (where.p)
        set_field(L, "where", where);
    if (traceback.len)
        set_field(L, "traceback", traceback);
    luaL_setmetatable(L, ERROR_NAME);
}

bool lq_lua_is_error(lua_State *L, int index)
{
    if (!lua_istable(L, index) || !lua_getmetatable(L, index))
        return false;
    luaL_getmetatable(L, ERROR_NAME);
    bool is = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is;
}

/* ---- raising ------------------------------------------------------------- */

/* The formatted message is on top; replaces it by an error table. */
static void wrap(lua_State *L, const char *kind, bool trace)
{
    char where[128] = "", frames[2048] = "";
    lq_buf out;
    if (trace) {
        lq_buf_init(&out, sizeof frames - 1);
        lq_lua_traceback(L, 0, &out);
        snprintf(frames, sizeof frames, "%s", out.p ? out.p : "");
        lq_buf_clear(&out);
        if (lq_lua_where(L, &out))
            snprintf(where, sizeof where, "%s", out.p ? out.p : "");
        lq_buf_release(&out);
    }
    size_t len;
    const char *message = lua_tolstring(L, -1, &len);
    lq_lua_push_error(L, lq_str_c(kind), lq_str_n(message, len),
                      where[0] ? lq_str_c(where) : (lq_str){0},
                      lq_str_c(frames));
    lua_remove(L, -2);
}

int lq_lua_raise(lua_State *L, const char *kind, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    lua_pushvfstring(L, format, args);
    va_end(args);
    wrap(L, kind, true);
    return lua_error(L);
}

void lq_lua_push_raised(lua_State *L, const char *kind, const char *message)
{
    lua_pushstring(L, message);
    wrap(L, kind, true);
}

int lq_lua_soft(lua_State *L, const char *kind, const char *format, ...)
{
    lua_pushnil(L);
    va_list args;
    va_start(args, format);
    lua_pushvfstring(L, format, args);
    va_end(args);
    wrap(L, kind, false);
    return 2;
}

/* ---- tracebacks ---------------------------------------------------------- */

static void add_frame(lq_buf *out, const lua_Debug *ar)
{
    lq_buf_printf(out, "\n  %s:%d: in ", ar->short_src, ar->currentline);
    if (*ar->what == 'm')
        lq_buf_add_c(out, "the file's top level");
    else if (ar->name)
        lq_buf_printf(out, "%s '%s'", ar->namewhat, ar->name);
    else
        lq_buf_printf(out, "the function at line %d", ar->linedefined);
}

/* How many levels the stack has, at most DEPTH_MAX.  lua_getstack() walks from
 * the top each time, and a stack overflow has a million of them. */
static int depth_of(lua_State *co)
{
    lua_Debug ar;
    int low = 0, high = 1; /* low exists (or is 0), high does not */
    while (high <= DEPTH_MAX && lua_getstack(co, high, &ar)) {
        low = high;
        high *= 2;
    }
    while (high <= DEPTH_MAX && high - low > 1) {
        int middle = low + (high - low) / 2;
        if (lua_getstack(co, middle, &ar))
            low = middle;
        else
            high = middle;
    }
    return high;
}

void lq_lua_traceback(lua_State *co, int level, lq_buf *out)
{
    lua_Debug ar;
    int depth = depth_of(co);
    for (; level < depth; level++) {
        if (level == INNER_FRAMES && depth > DEPTH_MAX) {
            lq_buf_printf(out, "\n  … thousands more");
            return;
        }
        if (level == INNER_FRAMES && depth - level > OUTER_FRAMES + 1) {
            lq_buf_printf(out, "\n  … %d more", depth - level - OUTER_FRAMES);
            level = depth - OUTER_FRAMES;
        }
        if (lua_getstack(co, level, &ar) && lua_getinfo(co, "Sln", &ar) &&
            ar.currentline >= 0)
            add_frame(out, &ar);
    }
}

bool lq_lua_where(lua_State *co, lq_buf *out)
{
    lua_Debug ar;
    for (int level = 0; level < 50 && lua_getstack(co, level, &ar); level++) {
        if (!lua_getinfo(co, "Sl", &ar) || ar.currentline < 0)
            continue;
        lq_buf_printf(out, "%s:%d", ar.short_src, ar.currentline);
        return true;
    }
    return false;
}

/* ---- text ---------------------------------------------------------------- */

/* Something that tells two objects apart without saying where they are. */
static unsigned mixed(lua_State *L, const void *p)
{
    const lq_lua_host *host = lq_lua_here(L)->host;
    uint64_t x = ((uint64_t)(uintptr_t)p ^ host->secret[0]) *
                 UINT64_C(0x9e3779b97f4a7c15);
    x = ((x ^ (x >> 29)) + host->secret[1]) * UINT64_C(0xbf58476d1ce4e5b9);
    return (unsigned)(x >> 32);
}

const char *lq_lua_tostring(lua_State *L, int index, size_t *len)
{
    index = lua_absindex(L, index);
    if (luaL_callmeta(L, index, "__tostring")) {
        if (!lua_isstring(L, -1))
            luaL_error(L, "'__tostring' must return a string");
        return lua_tolstring(L, -1, len);
    }
    int type = lua_type(L, index);
    if (type == LUA_TNIL || type == LUA_TBOOLEAN || type == LUA_TNUMBER ||
        type == LUA_TSTRING)
        return luaL_tolstring(L, index, len);
    const char *name = lua_typename(L, type);
    int meta = luaL_getmetafield(L, index, "__name");
    if (meta == LUA_TNIL)
        lua_pushnil(L); /* it pushed nothing */
    else if (meta == LUA_TSTRING)
        name = lua_tostring(L, -1);
    char id[16];
    snprintf(id, sizeof id, "%08x", mixed(L, lua_topointer(L, index)));
    lua_pushfstring(L, "%s: %s", name, id);
    lua_remove(L, -2);
    return lua_tolstring(L, -1, len);
}

/* ---- the metatable ------------------------------------------------------- */

static int error_tostring(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_istable(L, 1)) {
        lua_pushliteral(L, "message");
        lua_rawget(L, 1);
    }
    if (!lua_isstring(L, -1))
        lua_pushliteral(L, "error");
    lua_tostring(L, -1);
    return 1;
}

static int error_concat(lua_State *L)
{
    lua_settop(L, 2);
    lq_lua_tostring(L, 1, NULL);
    lq_lua_tostring(L, 2, NULL);
    lua_concat(L, 2);
    return 1;
}

void lq_lua_error_open(lua_State *L)
{
    luaL_newmetatable(L, ERROR_NAME);
    lua_pushcfunction(L, error_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushcfunction(L, error_concat);
    lua_setfield(L, -2, "__concat");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
