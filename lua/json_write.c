/* Lua values → JSON text.
 *
 * Nothing here allocates in Lua, so nothing raises, and what is held outside
 * of Lua cannot leak: members wait on the Lua stack while their names are
 * sorted, and only raw access is used.
 */
#include "lua/json.h"

#include "base/alloc.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A member of an object that is being written. */
struct member {
    lq_str name; /* the string is anchored in its table */
    int slot;    /* of the value on the stack */
};

/* Where we are, for messages and against cycles: from a value to its parent. */
struct place {
    const struct place *up; /* NULL: the whole value, "$" */
    lq_str name;            /* in an object; p NULL = in an array */
    lua_Integer index;
    const void *table; /* what stands here; NULL = not a table */
    int depth;
};

struct writer {
    lq_buf *out;
    lunaq_error *err;
    struct member *members; /* those of all levels above, like a stack */
    size_t count, cap;
    bool filter; /* of the topmost table only these members */
    const char *const *only;
    size_t only_count;
};

/* ---- failing ------------------------------------------------------------ */

/* Writes "$.items[3].price"; of a long path the tail. */
static void path_of(const struct place *at, char *out, size_t size)
{
    char step[64];
    size_t start = size - 1; /* filled from the end */
    out[start] = 0;
    for (; at->up; at = at->up) {
        int len;
        if (at->name.p) {
            char name[41];
            size_t n = lq_utf8_clean(at->name, name, sizeof name - 1);
            len = snprintf(step, sizeof step, ".%.*s", (int)n, name);
        } else {
            len = snprintf(step, sizeof step, "[%lld]", (long long)at->index);
        }
        if ((size_t)len + 4 > start)
            break;
        start -= (size_t)len;
        memcpy(out + start, step, (size_t)len);
    }
    const char *root = at->up ? "..." : "$";
    size_t len = strlen(root);
    memmove(out + len, out + start, size - start);
    memcpy(out, root, len);
}

__attribute__((format(printf, 3, 4))) static int
refuse(struct writer *w, const struct place *at, const char *format, ...)
{
    char path[128], why[120];
    path_of(at, path, sizeof path);
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return lq_fail(w->err, LUNAQ_EINVAL, "%s: %s", path, why);
}

static int too_much(struct writer *w)
{
    return lq_fail(w->err, LUNAQ_EFULL,
                   "the JSON is longer than %zu bytes, or memory is out",
                   w->out->max);
}

/* ---- scalars ------------------------------------------------------------ */

static int write_string(struct writer *w, lq_str s, const struct place *at)
{
    static const char hex[] = "0123456789abcdef";
    static const char bytes[] = "\b\f\n\r\t\"\\", names[] = "bfnrt\"\\";
    if (!lq_utf8_valid(s))
        return refuse(w, at,
                      "a string that is not UTF-8 (bytes need an encoding "
                      "such as base64)");
    lq_buf_add_char(w->out, '"');
    size_t clean = 0; /* from here on nothing was written yet */
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        lq_buf_add(w->out, s.p + clean, i - clean);
        clean = i + 1;
        char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        const char *at_byte = memchr(bytes, c, sizeof bytes - 1);
        if (at_byte) {
            escape[1] = names[at_byte - bytes];
            lq_buf_add(w->out, escape, 2);
        } else {
            lq_buf_add(w->out, escape, sizeof escape);
        }
    }
    if (s.len > clean)
        lq_buf_add(w->out, s.p + clean, s.len - clean);
    lq_buf_add_char(w->out, '"');
    return 0;
}

static int write_float(struct writer *w, double v, const struct place *at)
{
    char text[40];
    if (!isfinite(v))
        return refuse(w, at, "%s has no JSON form",
                      isnan(v) ? "NaN" : "infinity");
    /* The shortest of these that reads back as the same number. */
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    bool whole = true;
    for (char *p = text; *p; p++) {
        if (*p == 'e')
            whole = false;
        else if (*p != '-' && *p != '+' && (*p < '0' || *p > '9')) {
            *p = '.'; /* whatever the locale says */
            whole = false;
        }
    }
    lq_buf_add_c(w->out, text);
    if (whole)
        lq_buf_add_c(w->out, ".0"); /* so that it stays a float */
    return 0;
}

/* ---- tables ------------------------------------------------------------- */

static int write_value(lua_State *L, struct writer *w, int index,
                       struct place *at);

static bool wanted(const struct writer *w, const struct place *at, lq_str name)
{
    if (!w->filter || at->up)
        return true;
    for (size_t i = 0; i < w->only_count; i++)
        if (lq_str_eq(name, lq_str_c(w->only[i])))
            return true;
    return false;
}

static bool push_member(struct writer *w, lq_str name, int slot)
{
    if (w->count == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 32;
        struct member *more = lq_realloc(w->members, cap * sizeof *w->members);
        if (!more)
            return false;
        w->members = more;
        w->cap = cap;
    }
    w->members[w->count++] = (struct member){name, slot};
    return true;
}

static int by_name(const void *a, const void *b)
{
    lq_str x = ((const struct member *)a)->name;
    lq_str y = ((const struct member *)b)->name;
    size_t len = x.len < y.len ? x.len : y.len;
    int order = len ? memcmp(x.p, y.p, len) : 0;
    return order ? order : (x.len > y.len) - (x.len < y.len);
}

static lq_str string_at(lua_State *L, int index)
{
    lq_str s;
    s.p = lua_tolstring(L, index, &s.len);
    return s;
}

static int write_array(lua_State *L, struct writer *w, int index,
                       lua_Integer count, const struct place *at)
{
    lq_buf_add_char(w->out, '[');
    for (lua_Integer i = 1; i <= count; i++) {
        if (i > 1)
            lq_buf_add_char(w->out, ',');
        lua_rawgeti(L, index, i);
        struct place here = {at, {NULL, 0}, i, NULL, at->depth + 1};
        int rc = write_value(L, w, lua_gettop(L), &here);
        lua_pop(L, 1);
        if (rc)
            return rc;
    }
    lq_buf_add_char(w->out, ']');
    return 0;
}

/* Pushes the table's values and notes their names.  The caller resets the
 * stack and w->count. */
static int collect(lua_State *L, struct writer *w, int index,
                   const struct place *at)
{
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lq_str name = string_at(L, -2); /* write_table() saw: all are strings */
        if (!wanted(w, at, name)) {
            lua_pop(L, 1);
            continue;
        }
        lua_insert(L, -2); /* the value stays below the key */
        if (!push_member(w, name, lua_gettop(L) - 1) || !lua_checkstack(L, 8))
            return too_much(w);
    }
    return 0;
}

static int write_object(lua_State *L, struct writer *w, int index,
                        const struct place *at)
{
    int top = lua_gettop(L);
    size_t first = w->count;
    int rc = collect(L, w, index, at);
    if (rc)
        goto out;
    size_t count = w->count - first;
    if (count)
        qsort(w->members + first, count, sizeof *w->members, by_name);
    lq_buf_add_char(w->out, '{');
    for (size_t i = 0; i < count; i++) {
        struct member m = w->members[first + i]; /* members may move */
        struct place here = {at, m.name, 0, NULL, at->depth + 1};
        if (i > 0)
            lq_buf_add_char(w->out, ',');
        rc = write_string(w, m.name, &here);
        lq_buf_add_char(w->out, ':');
        if (!rc)
            rc = write_value(L, w, m.slot, &here);
        if (rc)
            goto out;
    }
    lq_buf_add_char(w->out, '}');
out:
    w->count = first;
    lua_settop(L, top);
    return rc;
}

static int write_table(lua_State *L, struct writer *w, int index,
                       struct place *at)
{
    if (!lua_checkstack(L, 8))
        return too_much(w);
    at->table = lua_topointer(L, index);
    for (const struct place *p = at->up; p; p = p->up)
        if (p->table == at->table)
            return refuse(w, at, "a table that contains itself");
    if (at->depth >= LQ_JSON_DEPTH)
        return refuse(w, at, "nested deeper than %d levels", LQ_JSON_DEPTH);

    lua_Integer numbers = 0, highest = 0;
    bool names = false;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING) {
            names = true;
        } else if (lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 1) {
            numbers++;
            if (lua_tointeger(L, -1) > highest)
                highest = lua_tointeger(L, -1);
        } else {
            const char *kind =
                lua_isinteger(L, -1) ? "number below 1" : luaL_typename(L, -1);
            lua_pop(L, 1);
            return refuse(w, at, "a key that is a %s", kind);
        }
    }
    bool marked = lq_json_is_array(L, index);
    if (names && numbers)
        return refuse(w, at, "a table with both names and indices");
    if (names && marked)
        return refuse(w, at, "an array (json.array) that has names");
    if (w->filter && !at->up && (numbers || marked))
        return refuse(w, at, "an array has no members");
    if (highest != numbers)
        return refuse(w, at, "an array with holes (fill them with json.null)");
    if (numbers || marked)
        return write_array(L, w, index, numbers, at);
    return write_object(L, w, index, at);
}

/* Leaves the stack as it was.
 * NOLINTNEXTLINE(misc-no-recursion): at most LQ_JSON_DEPTH deep */
static int write_value(lua_State *L, struct writer *w, int index,
                       struct place *at)
{
    int rc = 0;
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        lq_buf_add_c(w->out, "null");
        break;
    case LUA_TBOOLEAN:
        lq_buf_add_c(w->out, lua_toboolean(L, index) ? "true" : "false");
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            lq_buf_printf(w->out, "%lld", (long long)lua_tointeger(L, index));
        else
            rc = write_float(w, lua_tonumber(L, index), at);
        break;
    case LUA_TSTRING:
        rc = write_string(w, string_at(L, index), at);
        break;
    case LUA_TTABLE:
        rc = write_table(L, w, index, at);
        break;
    case LUA_TLIGHTUSERDATA:
        if (lq_json_is_null(L, index)) {
            lq_buf_add_c(w->out, "null");
            break;
        }
        if (lq_json_is_empty_array(L, index)) {
            lq_buf_add_c(w->out, "[]");
            break;
        } /* fall through */
    default:
        rc = refuse(w, at, "a %s has no JSON form", luaL_typename(L, index));
    }
    if (!rc && w->out->failed)
        rc = too_much(w);
    return rc;
}

static int write_all(lua_State *L, int index, struct writer *w)
{
    size_t before = w->out->len;
    struct place root = {0};
    if (w->out->failed || !lua_checkstack(L, 8))
        return too_much(w);
    int rc = write_value(L, w, lua_absindex(L, index), &root);
    lq_free(w->members);
    if (rc && w->out->p) {
        w->out->len = before;
        w->out->p[before] = 0;
    }
    if (rc)
        w->out->failed = false;
    return rc;
}

int lq_json_write(lua_State *L, int index, lq_buf *out, lunaq_error *err)
{
    struct writer w = {.out = out, .err = err};
    return write_all(L, index, &w);
}

int lq_json_write_members(lua_State *L, int index, const char *const *names,
                          size_t count, lq_buf *out, lunaq_error *err)
{
    struct writer w = {.out = out,
                       .err = err,
                       .filter = true,
                       .only = names,
                       .only_count = count};
    if (!lua_istable(L, index))
        return lq_fail(err, LUNAQ_EINVAL, "$: a %s has no members",
                       luaL_typename(L, index));
    return write_all(L, index, &w);
}
