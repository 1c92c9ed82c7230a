/* Functions around handlers: see middleware.h. */
#include "lua/middleware.h"

#include <stdio.h>

#include "lua/error.h"
#include "lua/interrupt.h"

#define FILE_NAME "_middleware.lua"
#define MESSAGE_HEAD 4096 /* of one that is too long */

/* ---- which there are ----------------------------------------------------- */

bool lq_lua_is_middleware(const char *name)
{
    const char *slash = strrchr(name, '/');
    return strcmp(slash ? slash + 1 : name, FILE_NAME) == 0;
}

int lq_lua_middleware_add(lq_lua_snapshot *s, const lq_lua_file *file,
                          lunaq_error *err)
{
    if (!s->middleware)
        s->middleware = lq_arena_alloc(&s->mem, (s->source.count + 1) *
                                                    sizeof *s->middleware);
    size_t len = strlen(file->name) - strlen(FILE_NAME);
    char *folder = lq_arena_dup(&s->mem, lq_str_n(file->name, len));
    if (!s->middleware || !folder)
        return lq_fail_nomem(err);
    s->middleware[s->middleware_count++] =
        (lq_lua_middleware){file, lq_str_n(folder, len)};
    return LUNAQ_OK;
}

int lq_lua_middleware_check(lua_State *L, const lq_lua_file *file,
                            lunaq_error *err)
{
    if (lua_isfunction(L, -1))
        return LUNAQ_OK;
    return lq_fail(err, LUNAQ_EHANDLER,
                   "%s:1: it returns a %s; return function(task, next) … "
                   "return next(task) end",
                   file->name, luaL_typename(L, -1));
}

/* "url:fetch" lies below "url/". */
static bool type_below(lq_str type, lq_str folder)
{
    if (type.len < folder.len)
        return false;
    for (size_t i = 0; i < folder.len; i++)
        if ((type.p[i] == ':' ? '/' : type.p[i]) != folder.p[i])
            return false;
    return true;
}

bool lq_lua_middleware_covers(const lq_lua_snapshot *s, lq_str type)
{
    for (size_t i = 0; i < s->middleware_count; i++)
        if (type_below(type, s->middleware[i].folder))
            return true;
    return false;
}

/* ---- next(task, …) ------------------------------------------------------- */

/* Upvalues of a layer: its middleware, what is inside, its file's name (nil
 * once it was warned of).  Of `next`, which is made for one call of the
 * middleware: what is inside, what that returned last, and whether it was
 * called. */

/* Copies what a buffer got; the buffer is released. */
static void take_text(lq_buf *from, char *to, size_t size)
{
    snprintf(to, size, "%s", from->p ? from->p : "");
    lq_buf_release(from);
}

/* The message handler of `next`: keeps the traceback for whoever catches the
 * error.  A text becomes a table that holds it; of a table of theirs, which
 * must stay as it is, the host remembers it. */
static int keep_traceback(lua_State *L)
{
    lq_lua_run *r = lq_lua_here(L);
    int type = lua_type(L, 1);
    if (r->ending || !r->run || lq_lua_is_error(L, 1))
        return 1;
    char frames[2048];
    lq_buf text;
    lq_buf_init(&text, sizeof frames - 1);
    lq_lua_traceback(L, 1, &text);
    take_text(&text, frames, sizeof frames);
    if (type == LUA_TSTRING) {
        size_t len;
        const char *message = lua_tolstring(L, 1, &len);
        if (len > LQ_ERROR_TEXT_MAX / 2)
            len = MESSAGE_HEAD;
        lq_lua_push_error(L, LQ_STR("error"), lq_str_n(message, len),
                          LQ_STR(""), lq_str_c(frames));
        return 1;
    }
    const void *value = lua_topointer(L, 1);
    if (value && r->host->raised.value == value &&
        r->host->raised.run == r->run->number)
        return 1; /* on its way through an outer middleware */
    r->host->raised.run = r->run->number;
    r->host->raised.value = value;
    memcpy(r->host->raised.frames, frames, sizeof frames);
    lq_buf_init(&text, sizeof r->host->raised.where - 1);
    lq_lua_where(L, &text);
    take_text(&text, r->host->raised.where, sizeof r->host->raised.where);
    return 1;
}

static int returned_inside(lua_State *L, int status, lua_KContext ctx)
{
    (void)ctx;
    if (status != LUA_OK && status != LUA_YIELD) {
        if (lq_lua_here(L)->ending)
            return lq_lua_end_here(L);
        if (status == LUA_ERRMEM)
            return lq_lua_raise(L, "memory", "out of memory");
        return lua_error(L);
    }
    lua_settop(L, 3); /* keep_traceback, first, second */
    if (!lua_toboolean(L, 2) && !lua_isnil(L, 3))
        return lua_error(L);
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    lua_replace(L, lua_upvalueindex(2));
    return 1;
}

static int call_inside(lua_State *L)
{
    int n = lua_gettop(L);
    lua_pushboolean(L, 1);
    lua_replace(L, lua_upvalueindex(3));
    lua_pushcfunction(L, keep_traceback);
    lua_insert(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 2);
    return returned_inside(
        L, lua_pcallk(L, n, LUA_MULTRET, 1, 0, returned_inside), 0);
}

/* ---- a layer ------------------------------------------------------------- */

/* A forgotten `return next(task)` looks like a success.  Once a handler, file
 * and worker is enough. */
static void warn_of_silence(lua_State *L)
{
    const lq_lua_host *host = lq_lua_host_of(L);
    const lq_run *run = lq_lua_run_here(L);
    const char *file = lua_tostring(L, lua_upvalueindex(3));
    if (!file || !run)
        return;
    LQ_LOG(host->log, WARN,
           "a middleware neither called next nor returned anything: the task "
           "counts as done, and its handler did not run",
           lq_fs("type", run->task.type), lq_fs("task_id", run->task.id),
           lq_fc("file", file),
           lq_fc("hint", "return next(task); to leave a task out on purpose, "
                         "return lunaq.discard(why), or true"));
    lua_pushnil(L);
    lua_replace(L, lua_upvalueindex(3));
}

/* next is at 1, the results behind it. */
static int returned(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    int n = lua_gettop(L) - 1;
    if (n > 0)
        return n;
    lua_getupvalue(L, 1, 2);
    lua_getupvalue(L, 1, 3);
    if (!lua_toboolean(L, -1))
        warn_of_silence(L);
    lua_pop(L, 1);
    return 1;
}

static int call_layer(lua_State *L)
{
    int n = lua_gettop(L); /* task, … */
    if (n == 0) {
        lua_pushnil(L);
        n = 1;
    }
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushnil(L);
    lua_pushboolean(L, 0);
    lua_pushcclosure(L, call_inside, 3);
    lua_pushvalue(L, -1);
    lua_insert(L, 1);
    lua_insert(L, 3); /* next, task, next, … */
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 2); /* next, middleware, task, next, … */
    lua_callk(L, n + 1, LUA_MULTRET, 0, returned);
    return returned(L, LUA_OK, 0);
}

/* ---- around a function --------------------------------------------------- */

/* From the innermost out: the longest folder first. */
static void wrap(lua_State *L, const lq_lua_generation *g, lq_str path,
                 bool (*below)(lq_str path, lq_str folder))
{
    const lq_lua_snapshot *s = g->snapshot;
    size_t limit = SIZE_MAX;
    for (;;) {
        const lq_lua_middleware *best = NULL;
        for (size_t i = 0; i < s->middleware_count; i++) {
            const lq_lua_middleware *m = &s->middleware[i];
            if (m->folder.len < limit && below(path, m->folder) &&
                (!best || m->folder.len > best->folder.len))
                best = m;
        }
        if (!best)
            return;
        limit = best->folder.len;
        lua_rawgeti(L, LUA_REGISTRYINDEX,
                    g->middleware_refs[best - s->middleware]);
        lua_insert(L, -2);
        lua_pushstring(L, best->file->name);
        lua_pushcclosure(L, call_layer, 3);
    }
}

void lq_lua_middleware_wrap(lua_State *L, const lq_lua_generation *g,
                            const char *file)
{
    wrap(L, g, lq_str_c(file), lq_str_starts);
}

static int not_found(lua_State *L)
{
    lq_str type = lq_lua_run_here(L)->task.type;
    lua_pushliteral(L, "handler not found for task \"");
    lua_pushlstring(L, type.p, type.len);
    lua_pushliteral(L, "\"");
    lua_concat(L, 3);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    lq_lua_push_error(L, LQ_STR("not_found"), lq_str_n(text, len), LQ_STR(""),
                      (lq_str){0});
    return lua_error(L);
}

void lq_lua_middleware_push_not_found(lua_State *L, const lq_lua_generation *g,
                                      lq_str type)
{
    lua_pushcfunction(L, not_found);
    wrap(L, g, type, type_below);
}
