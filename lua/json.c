/* JSON text → Lua values: a strict check of the whole text first, then a reader
 * that can rely on it.
 *
 * Two passes, because what the reader pushes could not be taken back cheaply,
 * and because the check needs no Lua: it is what a fuzzer and a client can use.
 * (cJSON, the obvious alternative, takes numbers as doubles, cuts strings at
 * \u0000 and accepts trailing bytes; the tests keep it as an oracle for what it
 * does right.)
 */
#include "lua/json.h"

#include <lauxlib.h>
#include <math.h>

/* ---- where -------------------------------------------------------------- */

static int fail_at(lq_str text, const char *at, lunaq_error *err,
                   const char *why)
{
    size_t line = 1, column = 1;
    for (const char *p = text.p; p < at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xc0) != 0x80) {
            column++;
        }
    }
    return lq_fail(err, LUNAQ_EINVAL, "line %zu, column %zu: %s", line, column,
                   why);
}

/* ---- check -------------------------------------------------------------- */

struct check {
    const char *p, *end;
    int depth, deepest;
    bool huge;       /* a number may have no double */
    const char *why; /* NULL = fine so far; then p is where */
};

static bool bad(struct check *c, const char *at, const char *why)
{
    c->p = at;
    c->why = why;
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && is_space(*p))
        p++;
    return p;
}

/* The value of four hex digits at p, or -1. */
static int hex4(const char *p, const char *end)
{
    int v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = is_digit(c)              ? c - '0'
                    : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                    : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                             : -1;
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

static bool is_high(int unit)
{
    return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low(int unit)
{
    return unit >= 0xdc00 && unit < 0xe000;
}

/* p stands behind the backslash. */
static bool check_escape(struct check *c)
{
    const char *start = c->p - 1;
    if (c->p == c->end)
        return bad(c, start, "the string has no end");
    char kind = *c->p++;
    if (kind != 'u') {
        if (kind != 0 && strchr("\"\\/bfnrt", kind))
            return true;
        return bad(c, start, "no such escape in a string");
    }
    int unit = hex4(c->p, c->end);
    if (unit < 0)
        return bad(c, start, "\\u needs four hex digits");
    c->p += 4;
    if (is_low(unit))
        return bad(c, start, "half a surrogate pair");
    if (!is_high(unit))
        return true;
    if (c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u' ||
        !is_low(hex4(c->p + 2, c->end)))
        return bad(c, start, "half a surrogate pair");
    c->p += 6;
    return true;
}

/* p stands on the opening quote. */
static bool check_string(struct check *c)
{
    const char *start = c->p++;
    while (c->p < c->end) {
        unsigned char byte = (unsigned char)*c->p;
        if (byte == '"') {
            c->p++;
            return true;
        }
        if (byte < 0x20)
            return bad(c, c->p, "a control character in a string");
        if (byte == '\\') {
            c->p++;
            if (!check_escape(c))
                return false;
        } else if (byte < 0x80) {
            c->p++;
        } else {
            size_t len = lq_utf8_char(lq_str_n(c->p, (size_t)(c->end - c->p)));
            if (len == 0)
                return bad(c, c->p, "invalid UTF-8");
            c->p += len;
        }
    }
    return bad(c, start, "the string has no end");
}

static bool check_digits(struct check *c)
{
    if (c->p == c->end || !is_digit(*c->p))
        return bad(c, c->p, "a digit is missing in the number");
    while (c->p < c->end && is_digit(*c->p))
        c->p++;
    return true;
}

static bool check_number(struct check *c)
{
    if (*c->p == '-')
        c->p++;
    const char *first = c->p;
    if (!check_digits(c))
        return false;
    if (*first == '0' && c->p - first > 1)
        return bad(c, first, "a number cannot begin with 0");
    c->huge = c->huge || c->p - first > 300;
    if (c->p < c->end && *c->p == '.') {
        c->p++;
        if (!check_digits(c))
            return false;
    }
    if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
        c->p++;
        if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
            c->p++;
        first = c->p;
        if (!check_digits(c))
            return false;
        c->huge = c->huge || c->p - first > 2;
    }
    return true;
}

static bool check_word(struct check *c, lq_str word)
{
    if (!lq_str_starts(lq_str_n(c->p, (size_t)(c->end - c->p)), word))
        return bad(c, c->p, "a value was expected");
    c->p += word.len;
    return true;
}

static bool check_value(struct check *c);

static bool check_member(struct check *c)
{
    c->p = skip_space(c->p, c->end);
    if (c->p == c->end || *c->p != '"')
        return bad(c, c->p, "a name in quotes was expected");
    if (!check_string(c))
        return false;
    c->p = skip_space(c->p, c->end);
    if (c->p == c->end || *c->p != ':')
        return bad(c, c->p, "':' was expected");
    c->p++;
    return check_value(c);
}

/* p stands on the bracket. */
static bool check_container(struct check *c)
{
    bool object = *c->p == '{';
    char close = object ? '}' : ']';
    if (++c->depth > LQ_JSON_DEPTH)
        return bad(c, c->p, "nested deeper than 128 levels");
    if (c->depth > c->deepest)
        c->deepest = c->depth;
    c->p = skip_space(c->p + 1, c->end);
    if (c->p < c->end && *c->p == close) {
        c->p++;
        c->depth--;
        return true;
    }
    for (;;) {
        if (!(object ? check_member(c) : check_value(c)))
            return false;
        c->p = skip_space(c->p, c->end);
        if (c->p < c->end && *c->p == close)
            break;
        if (c->p == c->end || *c->p != ',')
            return bad(c, c->p,
                       object ? "',' or '}' was expected"
                              : "',' or ']' was expected");
        c->p++;
    }
    c->p++;
    c->depth--;
    return true;
}

/* NOLINTNEXTLINE(misc-no-recursion): at most LQ_JSON_DEPTH deep */
static bool check_value(struct check *c)
{
    c->p = skip_space(c->p, c->end);
    if (c->p == c->end)
        return bad(c, c->p, "a value was expected, but the text ends");
    switch (*c->p) {
    case '{':
    case '[':
        return check_container(c);
    case '"':
        return check_string(c);
    case 't':
        return check_word(c, LQ_STR("true"));
    case 'f':
        return check_word(c, LQ_STR("false"));
    case 'n':
        return check_word(c, LQ_STR("null"));
    default:
        if (*c->p == '-' || is_digit(*c->p))
            return check_number(c);
        return bad(c, c->p, "a value was expected");
    }
}

static int check_text(lq_str text, int *deepest, bool *huge, lunaq_error *err)
{
    if (text.len > LQ_JSON_MAX)
        return lq_fail(err, LUNAQ_EINVAL,
                       "JSON of %zu bytes: more than %zu are not read",
                       text.len, LQ_JSON_MAX);
    if (text.len == 0)
        return lq_fail(err, LUNAQ_EINVAL,
                       "line 1, column 1: the text is empty");
    struct check c = {.p = text.p, .end = text.p + text.len};
    if (check_value(&c)) {
        c.p = skip_space(c.p, c.end);
        if (c.p < c.end)
            bad(&c, c.p, "something follows the value");
    }
    if (c.why)
        return fail_at(text, c.p, err, c.why);
    *deepest = c.deepest;
    *huge = c.huge;
    return 0;
}

int lq_json_check(lq_str text, lunaq_error *err)
{
    int deepest;
    bool huge;
    return check_text(text, &deepest, &huge, err);
}

bool lq_json_can_nest(lq_str text)
{
    int deepest = 0;
    bool huge = false;
    return check_text(text, &deepest, &huge, NULL) == 0 && !huge &&
           deepest <= LQ_JSON_DEPTH - LQ_JSON_NEST;
}

/* ---- read --------------------------------------------------------------- */

/* A reader of a text that check_text() passed. */
struct reader {
    const char *p, *end;
    int array_meta;      /* stack index */
    const char *too_big; /* a number without a double; reading goes on */
};

/* Slots of the stack that one level of nesting takes: the table, the key, the
 * value, the box of a string buffer. */
#define SLOTS_A_LEVEL 4

static size_t put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* *from stands behind the backslash and moves on; returns the bytes put. */
static size_t put_escape(char *out, const char **from, const char *end)
{
    static const char names[] = "bfnrt", bytes[] = "\b\f\n\r\t";
    char kind = *(*from)++;
    if (kind != 'u') {
        const char *at = strchr(names, kind);
        *out = at ? bytes[at - names] : kind;
        return 1;
    }
    unsigned code = (unsigned)hex4(*from, end);
    *from += 4;
    if (is_high((int)code)) {
        unsigned low = (unsigned)hex4(*from + 2, end);
        *from += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    return put_utf8(out, code);
}

static void read_string(lua_State *L, struct reader *r) /* raises */
{
    const char *from = ++r->p;
    bool escaped = false;
    while (*r->p != '"') {
        if (*r->p == '\\') {
            escaped = true;
            r->p++;
        }
        r->p++;
    }
    size_t len = (size_t)(r->p - from);
    const char *stop = r->p++;
    if (!escaped) {
        lua_pushlstring(L, from, len);
        return;
    }
    luaL_Buffer b; /* the result is never longer than its text */
    char *out = luaL_buffinitsize(L, &b, len);
    size_t put = 0;
    while (from < stop) {
        if (*from == '\\') {
            from++;
            put += put_escape(out + put, &from, stop);
        } else {
            out[put++] = *from++;
        }
    }
    luaL_pushresultsize(&b, put);
}

static void read_number(lua_State *L, struct reader *r) /* raises */
{
    const char *from = r->p;
    bool whole = true;
    for (; r->p < r->end; r->p++) {
        if (*r->p == '.' || *r->p == 'e' || *r->p == 'E')
            whole = false;
        else if (!is_digit(*r->p) && *r->p != '-' && *r->p != '+')
            break;
    }
    lq_str text = {from, (size_t)(r->p - from)};
    int64_t n;
    if (whole && lq_str_int64(text, &n)) {
        lua_pushinteger(L, n);
        return;
    }
    /* lua_stringtonumber() wants a NUL; it knows the locale's decimal point. */
    char local[64];
    if (text.len < sizeof local) {
        memcpy(local, text.p, text.len);
        local[text.len] = 0;
        if (lua_stringtonumber(L, local) == 0)
            lua_pushnumber(L, (lua_Number)INFINITY);
    } else {
        if (lua_stringtonumber(L, lua_pushlstring(L, text.p, text.len)) == 0)
            lua_pushnumber(L, (lua_Number)INFINITY);
        lua_remove(L, -2);
    }
    if (!isfinite(lua_tonumber(L, -1)) && !r->too_big)
        r->too_big = from;
}

static void read_value(lua_State *L, struct reader *r);

static void read_array(lua_State *L, struct reader *r) /* raises */
{
    lua_newtable(L);
    lua_pushvalue(L, r->array_meta);
    lua_setmetatable(L, -2);
    r->p = skip_space(r->p + 1, r->end);
    for (lua_Integer n = 1; *r->p != ']'; n++) {
        read_value(L, r);
        lua_rawseti(L, -2, n);
        r->p = skip_space(r->p, r->end);
        if (*r->p == ',')
            r->p++;
    }
    r->p++;
}

static void read_object(lua_State *L, struct reader *r) /* raises */
{
    lua_newtable(L);
    r->p = skip_space(r->p + 1, r->end);
    while (*r->p != '}') {
        read_string(L, r);
        r->p = skip_space(r->p, r->end) + 1;
        read_value(L, r);
        lua_rawset(L, -3);
        r->p = skip_space(r->p, r->end);
        if (*r->p == ',')
            r->p = skip_space(r->p + 1, r->end);
    }
    r->p++;
}

/* NOLINTNEXTLINE(misc-no-recursion): at most LQ_JSON_DEPTH deep */
static void read_value(lua_State *L, struct reader *r) /* raises */
{
    r->p = skip_space(r->p, r->end);
    switch (*r->p) {
    case '{':
        read_object(L, r);
        break;
    case '[':
        read_array(L, r);
        break;
    case '"':
        read_string(L, r);
        break;
    case 't':
        lua_pushboolean(L, 1);
        r->p += 4;
        break;
    case 'f':
        lua_pushboolean(L, 0);
        r->p += 5;
        break;
    case 'n':
        lq_json_push_null(L);
        r->p += 4;
        break;
    default:
        read_number(L, r);
    }
}

int lq_json_push(lua_State *L, lq_str text, lunaq_error *err)
{
    int deepest = 0;
    bool huge = false;
    int rc = check_text(text, &deepest, &huge, err);
    if (rc)
        return rc;
    if (!lua_checkstack(L, deepest * SLOTS_A_LEVEL + 8))
        return lq_fail_nomem(err);
    int top = lua_gettop(L);
    lq_json_push_array_meta(L);
    struct reader r = {
        .p = text.p, .end = text.p + text.len, .array_meta = top + 1};
    read_value(L, &r);
    if (r.too_big) {
        lua_settop(L, top);
        return fail_at(text, r.too_big, err, "the number is out of range");
    }
    lua_replace(L, top + 1);
    return 0;
}

/* ---- marks -------------------------------------------------------------- */

void lq_json_push_null(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
}

bool lq_json_is_null(lua_State *L, int index)
{
    return lua_islightuserdata(L, index) && lua_touserdata(L, index) == NULL;
}

/* Its address is the mark's key in the registry, and json.empty_array. */
static const char array_key = 0;

void lq_json_push_empty_array(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)&array_key);
}

bool lq_json_is_empty_array(lua_State *L, int index)
{
    return lua_islightuserdata(L, index) &&
           lua_touserdata(L, index) == (const void *)&array_key;
}

void lq_json_push_array_meta(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 2);
    lua_pushliteral(L, "json.array");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0); /* handlers neither see nor change it */
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);
}

void lq_json_mark_array(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    lq_json_push_array_meta(L);
    lua_setmetatable(L, index);
}

bool lq_json_is_array(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index))
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    bool marked = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return marked;
}
