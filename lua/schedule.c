/* Provided entries and functions around ticks: see schedule.h. */
#include "lua/schedule.h"

#include "lua/enqueue.h"
#include "lua/error.h"
#include "lua/generation.h"
#include "lua/json.h"
#include "lua/names.h"
#include "lua/operation.h"
#include "lua/option.h"
#include "task/cron_rule.h"

#define FILE_NAME "_schedule.lua"
#define ROWS_MAX 100000
#define EVERY_MIN_MS 1000
#define REFUSED_SAID 10 /* rows that are none, of each answer */

/* ---- options of a file --------------------------------------------------- */

int lq_lua_schedule_file(const char *name, const char **type, lunaq_error *err)
{
    const char *slash = strrchr(name, '/');
    *type = NULL;
    if (strcmp(slash ? slash + 1 : name, FILE_NAME) != 0)
        return LUNAQ_OK;
    if (slash)
        return lq_fail(err, LUNAQ_EHANDLER,
                       "%s: there is one such file, handlers/" FILE_NAME, name);
    *type = LQ_SCHEDULE_TYPE;
    return LUNAQ_OK;
}

static int has_function(lq_lua_reader *r, const char *name, bool *has)
{
    int type = lq_lua_option_get(r, name);
    int rc = type == LUA_TNIL || type == LUA_TFUNCTION
                 ? LUNAQ_OK
                 : lq_lua_option_wrong(r, name, "a function");
    *has = type == LUA_TFUNCTION;
    lua_pop(r->L, 1);
    return rc;
}

int lq_lua_handler_schedule(lq_lua_reader *r)
{
    lq_lua_spec *spec = r->spec;
    int rc = has_function(r, "schedule", &spec->provides);
    if (!rc)
        rc = has_function(r, "before_enqueue", &spec->before_enqueue);
    if (!rc)
        rc = has_function(r, "after_enqueue", &spec->after_enqueue);
    if (!rc)
        rc = lq_lua_option_duration(r, "schedule_every",
                                    &spec->schedule_every_ms);
    if (rc)
        return rc;
    int64_t every = spec->schedule_every_ms;
    if (every && (every < EVERY_MIN_MS || !spec->provides)) {
        lq_fail(r->err, LUNAQ_EHANDLER,
                spec->provides ? "schedule_every: use 1s or more"
                               : "schedule_every: there is no `schedule`");
        return lq_lua_option_fail(r, "schedule_every");
    }
    return LUNAQ_OK;
}

/* ---- schedule() → rows --------------------------------------------------- */

int lq_lua_schedule_push(lua_State *L, lq_lua_run *r)
{
    (void)L;
    (void)r;
    return 0;
}

/* A text of the row at `row`, copied; *out stays NULL when it has none. */
static int row_text(lua_State *L, int row, const char *name, lq_arena *mem,
                    const char **out, lunaq_error *err)
{
    size_t len;
    int rc = LUNAQ_OK;
    lua_pushstring(L, name);
    int type = lua_rawget(L, row);
    if (type == LUA_TSTRING) {
        const char *p = lua_tolstring(L, -1, &len);
        *out = lq_arena_dup(mem, lq_str_n(p, len));
        if (!*out)
            rc = lq_fail_nomem(err);
        else if (memchr(p, 0, len))
            rc = lq_fail(err, LUNAQ_EINVAL, "%s: it holds a zero byte", name);
    } else if (type != LUA_TNIL && !lq_json_is_null(L, -1)) {
        rc = lq_fail(err, LUNAQ_EINVAL, "%s: a %s, where a string is expected",
                     name, luaL_typename(L, -1));
    }
    lua_pop(L, 1);
    return rc;
}

/* What a row has beside the options of its task. */
static const char *const row_names[] = {
    "type", "spec", "name", "tz", "dst", "missed", "payload", "enabled", NULL};

static int check_names(lua_State *L, int row, lunaq_error *err)
{
    static const char *const meant[] = {
        "queue", "max_retry", "timeout", "retention", "unique", "group", NULL};
    int rc = LUNAQ_OK;
    for (lua_pushnil(L); lua_next(L, row); lua_pop(L, 1)) {
        const char *name =
            lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        if (!rc && *name && !lq_json_is_null(L, -1) &&
            !lq_lua_is_one_of(name, row_names) &&
            !lq_lua_is_one_of(name, lq_lua_enqueue_options))
            rc = lq_lua_unknown_option(name, row_names, meant, err);
    }
    return rc;
}

/* Pushes the row's options for its task: all but those of the entry. */
static void push_options(lua_State *L, int row)
{
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, row);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        if (lq_json_is_null(L, -1)) /* as a column that is NULL */
            lua_pop(L, 2);
        else
            lua_rawset(L, -4);
    }
    for (const char *const *name = row_names; *name; name++) {
        lua_pushnil(L);
        lua_setfield(L, -2, *name);
    }
}

/* What queue.enqueue() takes and a tick has of its own. */
static int check_own_times(lua_State *L, int row, lunaq_error *err)
{
    static const char *const none[] = {"task_id", "process_at", "process_in"};
    for (size_t i = 0; i < LQ_COUNT(none); i++) {
        lua_pushstring(L, none[i]);
        bool there = lua_rawget(L, row) != LUA_TNIL && !lq_json_is_null(L, -1);
        lua_pop(L, 1);
        if (there)
            return lq_fail(err, LUNAQ_EINVAL,
                           "%s: a tick has an id and a time of its own: leave "
                           "it out",
                           none[i]);
    }
    return LUNAQ_OK;
}

static bool is_disabled(lua_State *L, int row)
{
    lua_pushliteral(L, "enabled");
    bool off = lua_rawget(L, row) == LUA_TBOOLEAN && !lua_toboolean(L, -1);
    lua_pop(L, 1);
    return off;
}

/* The row on top of the stack → p, whose memory is out's. */
static int read_row(lua_State *L, lq_lua_run *r, lq_provided *p,
                    lq_provide_out *out, lunaq_error *err)
{
    int row = lua_gettop(L);
    const char *type = NULL;
    lq_cron_want *w = p->want;
    struct {
        const char *name, **to;
    } texts[] = {{"type", &type}, {"spec", &w->spec}, {"name", &w->name},
                 {"tz", &w->tz},  {"dst", &w->dst},   {"missed", &w->missed}};
    int rc = LUNAQ_OK;
    if (!lua_istable(L, row))
        return lq_fail(err, LUNAQ_EINVAL, "a %s, where a table is expected",
                       luaL_typename(L, row));
    for (size_t i = 0; i < LQ_COUNT(texts) && !rc; i++)
        rc = row_text(L, row, texts[i].name, &out->mem, texts[i].to, err);
    if (rc)
        return rc;
    rc = check_names(L, row, err);
    if (rc)
        return rc;
    if (!type || !w->spec)
        return lq_fail(err, LUNAQ_EINVAL,
                       "\"%s\" is missing: every entry has a spec (when) and a "
                       "type (what)",
                       type ? "spec" : "type");
    const lq_cron_text text = {w->spec, w->tz, w->dst, w->missed};
    rc = lq_cron_rule_check(&text, err);
    if (!rc && w->name && *w->name)
        rc = lq_name_check("name", lq_str_c(w->name), err);
    if (!rc)
        rc = check_own_times(L, row, err);
    if (rc)
        return rc;
    lua_pushliteral(L, "payload");
    if (lua_rawget(L, row) != LUA_TNIL && lq_json_is_null(L, -1)) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
    push_options(L, row);
    rc = lq_lua_read_enqueue(L, lq_str_c(type), row + 1, row + 2, false,
                             r->gen->snapshot, &out->mem, &p->item, err);
    lua_settop(L, row);
    return rc;
}

/* file lives as long as out. */
static lq_provided *new_row(lq_provide_out *out, const char *file, int64_t row)
{
    lq_provided *p = lq_arena_alloc(&out->mem, sizeof *p);
    lq_cron_want *w = lq_arena_alloc(&out->mem, sizeof *w);
    if (!p || !w)
        return NULL;
    *p = (lq_provided){.want = w};
    *w = (lq_cron_want){.item = &p->item, .file = file, .row = row};
    return p;
}

static void say_refused(const lq_lua_run *r, size_t refused, int64_t row,
                        const char *why)
{
    if (refused <= REFUSED_SAID)
        LQ_LOG(r->host->log, ERROR,
               "a provided row is left out: it is no entry",
               lq_fc("file", r->handler->spec->file->name), lq_fi("row", row),
               lq_fc("reason", why));
}

/* {type = …, spec = …} for {{type = …, spec = …}}: not a list of none. */
static int check_list(lua_State *L, lua_Integer n, lunaq_error *err)
{
    if (n > ROWS_MAX)
        return lq_fail(err, LUNAQ_EINVAL, "%lld entries: %d at most",
                       (long long)n, ROWS_MAX);
    lua_pushnil(L);
    if (n > 0 || !lua_next(L, 1)) {
        lua_settop(L, 3);
        return LUNAQ_OK;
    }
    lua_settop(L, 3);
    return lq_fail(err, LUNAQ_EINVAL,
                   "it returned a table with names in it, where a list of "
                   "entries is expected: return {{type = \xe2\x80\xa6, spec = "
                   "\xe2\x80\xa6}}");
}

int lq_lua_schedule_read(lua_State *L, lq_lua_run *r, lunaq_error *err)
{
    lq_provide_out *out = r->run->out;
    lq_provided **last = &out->entries;
    if (!lua_istable(L, 1))
        return lq_fail(err, LUNAQ_EINVAL,
                       "it returned a %s, where a list of entries is expected",
                       luaL_typename(L, 1));
    luaL_checkstack(L, 20, NULL);
    lua_settop(L, 3);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    int rc = check_list(L, n, err);
    if (rc)
        return rc;
    const char *file =
        lq_arena_dup(&out->mem, lq_str_c(r->handler->spec->file->name));
    if (!file)
        return lq_fail_nomem(err);
    for (lua_Integer i = 1; i <= n; i++) {
        lunaq_error why = LUNAQ_ERROR_INIT;
        lua_settop(L, 3);
        if (lua_rawgeti(L, 1, i) == LUA_TTABLE && is_disabled(L, 4))
            continue;
        lq_provided *p = new_row(out, file, i);
        if (!p)
            return lq_fail_nomem(err);
        if (read_row(L, r, p, out, &why)) {
            /* It is said of each of the first; the others go their way. */
            say_refused(r, ++out->refused, i, why.message);
            continue;
        }
        *last = p;
        last = &p->next;
        out->count++;
    }
    if (out->refused > REFUSED_SAID)
        LQ_LOG(r->host->log, ERROR, "more provided rows are left out",
               lq_fc("file", file),
               lq_fi("count", (int64_t)(out->refused - REFUSED_SAID)));
    lua_settop(L, 3);
    return LUNAQ_OK;
}

/* ---- around a tick ------------------------------------------------------- */

static void set_text(lua_State *L, const char *name, const char *text)
{
    if (!text)
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void set_str(lua_State *L, const char *name, lq_str s)
{
    lua_pushlstring(L, s.p ? s.p : "", s.len);
    lua_setfield(L, -2, name);
}

/* entry: id, type, spec, name, queue, payload (or raw), at. */
static void push_entry(lua_State *L, const lq_tick_in *in)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lua_createtable(L, 0, 8);
    set_text(L, "id", in->entry_id);
    set_text(L, "spec", in->spec);
    set_text(L, "name", in->name);
    set_str(L, "type", in->task->type);
    set_str(L, "queue", in->task->queue);
    lua_pushnumber(L, (lua_Number)in->instant_ms / 1000);
    lua_setfield(L, -2, "at");
    if (in->task->payload.len == 0) { /* as in a task */
        lua_newtable(L);
        lua_setfield(L, -2, "payload");
        return;
    }
    if (lq_json_push(L, in->task->payload, &err))
        set_str(L, "raw", in->task->payload);
    else
        lua_setfield(L, -2, "payload");
}

int lq_lua_before_push(lua_State *L, lq_lua_run *r)
{
    push_entry(L, r->run->in);
    return 1;
}

int lq_lua_before_read(lua_State *L, lq_lua_run *r, lunaq_error *err)
{
    lq_before_out *out = r->run->out;
    (void)err;
    out->skip = lua_isboolean(L, 1) && !lua_toboolean(L, 1);
    return LUNAQ_OK;
}

int lq_lua_after_push(lua_State *L, lq_lua_run *r)
{
    const lq_tick_in *in = r->run->in;
    push_entry(L, in);
    if (in->code) {
        lua_pushnil(L);
        lq_lua_push_error(L, lq_str_c(lq_lua_code_kind(in->code)),
                          lq_str_c(in->reason), LQ_STR(""), (lq_str){0});
        return 3;
    }
    lua_createtable(L, 0, 3);
    set_str(L, "id", in->task->id);
    set_str(L, "type", in->task->type);
    set_str(L, "queue", in->task->queue);
    lua_pushnil(L);
    return 3;
}
