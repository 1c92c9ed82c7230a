/* string.find, match, gmatch, gsub over our own matcher, whose steps are
 * counted. */
#include "lua/pattern.h"

#include <lauxlib.h>
#include <string.h>

#include "base/str.h"
#include "lua/interrupt.h"
#include "lua/sandbox.h"

#define LOOK_STEPS                                                             \
    100000       /* between looks at the clock: about a millisecond            \
                  */
#define SMALL 64 /* bytes of pattern that need no memory of their own */

/* ---- one search ---------------------------------------------------------- */

struct search {
    lq_pattern pattern;
    lq_match m;
    /* What lq_pattern_size(SMALL) asks for. */
    max_align_t memory[((SMALL + 1) * sizeof(lq_pattern_item) +
                        (SMALL / 3 + 1) * sizeof(lq_pattern_set)) /
                           sizeof(max_align_t) +
                       1];
};

/* Compiles the pattern and aims at the subject; may push a value that must
 * stay on the stack while the search is used. */
static void search_init(lua_State *L, struct search *s, const char *subject,
                        size_t subject_len, const char *p, size_t len,
                        bool anchors)
{
    void *memory = s->memory;
    if (len > SMALL) {
        luaL_checkstack(L, 1, NULL);
        memory = lua_newuserdatauv(L, lq_pattern_size(len), 0);
    }
    const char *fault =
        lq_pattern_compile(&s->pattern, memory, p, len, anchors);
    if (fault)
        luaL_error(L, "%s", fault);
    s->m = (lq_match){.pattern = &s->pattern,
                      .subject = subject,
                      .end = subject + subject_len,
                      .steps = LQ_LUA_MATCH_STEPS + 4 * subject_len};
    s->m.look_at = s->m.steps - LOOK_STEPS;
}

/* A hook sees only Lua's own instructions, so long searches look at the clock
 * themselves. */
static const char *try_at(lua_State *L, lq_match *m, const char *at)
{
    const char *e = lq_match_at(m, at);
    if (m->error)
        luaL_error(L, "%s", m->error);
    if (m->steps < m->look_at) {
        m->look_at = m->steps > LOOK_STEPS ? m->steps - LOOK_STEPS : 0;
        lq_lua_check_time(L);
    }
    return e;
}

static void push_capture(lua_State *L, const lq_match *m, int i,
                         const char *from, const char *to)
{
    if (i >= m->count) {
        if (i > 0)
            luaL_error(L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(L, from, (size_t)(to - from)); /* the whole match */
    } else if (m->captures[i].len == LQ_PATTERN_POSITION) {
        lua_pushinteger(L, m->captures[i].p - m->subject + 1);
    } else {
        lua_pushlstring(L, m->captures[i].p, (size_t)m->captures[i].len);
    }
}

/* All captures; with from NULL none at all when the pattern has none. */
static int push_captures(lua_State *L, const lq_match *m, const char *from,
                         const char *to)
{
    int n = m->count == 0 && from ? 1 : m->count;
    luaL_checkstack(L, n, "too many captures");
    for (int i = 0; i < n; i++)
        push_capture(L, m, i, from, to);
    return n;
}

/* ---- find, match --------------------------------------------------------- */

/* A start position as string functions take it → offset; len + 1 when it lies
 * behind the end. */
static size_t offset_of(lua_Integer at, size_t len)
{
    if (at > 0)
        return (size_t)at - 1;
    if (at == 0 || at < -(lua_Integer)len)
        return 0;
    return len - (size_t)-at;
}

static int find_plain(lua_State *L, lq_str s, lq_str p, size_t at)
{
    const char *hit =
        p.len == 0 ? s.p + at : memmem(s.p + at, s.len - at, p.p, p.len);
    if (!hit) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, hit - s.p + 1);
    lua_pushinteger(L, (lua_Integer)(hit - s.p) + (lua_Integer)p.len);
    return 2;
}

static bool has_specials(lq_str p)
{
    for (size_t i = 0; i < p.len; i++)
        if (p.p[i] && strchr("^$*+?.([%-", p.p[i]))
            return true;
    return false;
}

static int find_or_match(lua_State *L, bool find)
{
    lq_str s, p;
    s.p = luaL_checklstring(L, 1, &s.len);
    p.p = luaL_checklstring(L, 2, &p.len);
    size_t at = offset_of(luaL_optinteger(L, 3, 1), s.len);
    if (at > s.len) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || !has_specials(p)))
        return find_plain(L, s, p, at);
    struct search search;
    search_init(L, &search, s.p, s.len, p.p, p.len, true);
    for (const char *from = s.p + at; from <= s.p + s.len; from++) {
        const char *to = try_at(L, &search.m, from);
        if (to && find) {
            lua_pushinteger(L, from - s.p + 1);
            lua_pushinteger(L, to - s.p);
            return 2 + push_captures(L, &search.m, NULL, NULL);
        }
        if (to)
            return push_captures(L, &search.m, from, to);
        if (search.pattern.anchored)
            break;
    }
    lua_pushnil(L);
    return 1;
}

static int str_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int str_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* ---- gmatch -------------------------------------------------------------- */

/* The iterator's own memory: a userdata, behind which the compiled pattern is.
 * Upvalues: it, the subject. */
struct walk {
    lq_pattern pattern;
    lq_match m;
    const char *next; /* where to search from */
    const char *last; /* where the last match ended */
};

static int gmatch_next(lua_State *L)
{
    struct walk *w = lua_touserdata(L, lua_upvalueindex(1));
    w->m.steps = LQ_LUA_MATCH_STEPS;
    w->m.look_at = LQ_LUA_MATCH_STEPS - LOOK_STEPS;
    for (const char *from = w->next; from <= w->m.end; from++) {
        const char *to = try_at(L, &w->m, from);
        if (!to || to == w->last)
            continue;
        w->next = w->last = to;
        return push_captures(L, &w->m, from, to);
    }
    w->next = w->m.end + 1; /* stays at the end */
    return 0;
}

static int str_gmatch(lua_State *L)
{
    lq_str s, p;
    s.p = luaL_checklstring(L, 1, &s.len);
    p.p = luaL_checklstring(L, 2, &p.len);
    size_t at = offset_of(luaL_optinteger(L, 3, 1), s.len);
    lua_settop(L, 2);
    size_t head = (sizeof(struct walk) + 15) / 16 * 16;
    struct walk *w = lua_newuserdatauv(L, head + lq_pattern_size(p.len), 0);
    const char *fault =
        lq_pattern_compile(&w->pattern, (char *)w + head, p.p, p.len, false);
    if (fault)
        return luaL_error(L, "%s", fault);
    w->m =
        (lq_match){.pattern = &w->pattern, .subject = s.p, .end = s.p + s.len};
    w->next = s.p + (at > s.len ? s.len + 1 : at);
    w->last = NULL;
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, gmatch_next, 2);
    return 1;
}

/* ---- gsub ---------------------------------------------------------------- */

static void add_value(lua_State *L, luaL_Buffer *b, size_t *total, size_t len)
{
    *total += len;
    if (*total > LQ_LUA_STRING_MAX)
        luaL_error(L, "gsub: the result has more than %d bytes",
                   (int)LQ_LUA_STRING_MAX);
    luaL_addvalue(b);
}

static void add_bytes(lua_State *L, luaL_Buffer *b, size_t *total,
                      const char *p, size_t len)
{
    *total += len;
    if (*total > LQ_LUA_STRING_MAX)
        luaL_error(L, "gsub: the result has more than %d bytes",
                   (int)LQ_LUA_STRING_MAX);
    luaL_addlstring(b, p, len);
}

/* A replacement text, with its %0 to %9 and %%. */
static void add_template(lua_State *L, luaL_Buffer *b, size_t *total,
                         const lq_match *m, const char *from, const char *to)
{
    size_t len;
    const char *p = lua_tolstring(L, 3, &len), *end = p + len;
    while (p < end) {
        const char *percent = memchr(p, '%', (size_t)(end - p));
        if (!percent) {
            add_bytes(L, b, total, p, (size_t)(end - p));
            return;
        }
        add_bytes(L, b, total, p, (size_t)(percent - p));
        char c = percent + 1 < end ? percent[1] : 0;
        p = percent + 2;
        if (c == '%') {
            add_bytes(L, b, total, "%", 1);
        } else if (c == '0') {
            add_bytes(L, b, total, from, (size_t)(to - from));
        } else if (c >= '1' && c <= '9') {
            push_capture(L, m, c - '1', from, to);
            size_t n;
            lua_tolstring(L, -1, &n); /* a position becomes text */
            add_value(L, b, total, n);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
}

/* What the replacement makes of one match. */
static void add_replaced(lua_State *L, luaL_Buffer *b, size_t *total,
                         const lq_match *m, const char *from, const char *to)
{
    int type = lua_type(L, 3);
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(L, m, from, to), 1);
    } else if (type == LUA_TTABLE) {
        push_capture(L, m, 0, from, to);
        lua_gettable(L, 3);
    } else {
        add_template(L, b, total, m, from, to);
        return;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        add_bytes(L, b, total, from, (size_t)(to - from));
        return;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    size_t n;
    lua_tolstring(L, -1, &n);
    add_value(L, b, total, n);
}

static int str_gsub(lua_State *L)
{
    lq_str s, p;
    s.p = luaL_checklstring(L, 1, &s.len);
    p.p = luaL_checklstring(L, 2, &p.len);
    int type = lua_type(L, 3);
    luaL_argexpected(L,
                     type == LUA_TNUMBER || type == LUA_TSTRING ||
                         type == LUA_TFUNCTION || type == LUA_TTABLE,
                     3, "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)s.len + 1);
    struct search search;
    search_init(L, &search, s.p, s.len, p.p, p.len, true);
    lq_match *m = &search.m;
    const char *from = s.p, *last = NULL;
    lua_Integer n = 0;
    size_t total = 0;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    while (n < most) {
        const char *to = try_at(L, m, from);
        if (to && to != last) {
            n++;
            add_replaced(L, &b, &total, m, from, to);
            from = last = to;
        } else if (from < m->end) {
            add_bytes(L, &b, &total, from++, 1);
        } else {
            break;
        }
        if (search.pattern.anchored)
            break;
    }
    add_bytes(L, &b, &total, from, (size_t)(m->end - from));
    luaL_pushresult(&b);
    lua_pushinteger(L, n);
    return 2;
}

void lq_lua_open_pattern(lua_State *L)
{
    static const luaL_Reg functions[] = {{"find", str_find},
                                         {"match", str_match},
                                         {"gmatch", str_gmatch},
                                         {"gsub", str_gsub},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
