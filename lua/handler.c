/* A handler's options: see handler.h.  Raw accesses only, so nothing raises. */
#include "lua/handler.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "lua/enqueue.h"
#include "lua/names.h"
#include "lua/option.h"

/* "string", "string?" … */
static int parse_arg(lq_lua_reader *r, lq_lua_arg *arg)
{
    size_t len;
    const char *p = lua_type(r->L, -1) == LUA_TSTRING
                        ? lua_tolstring(r->L, -1, &len)
                        : NULL;
    if (!p)
        return lq_lua_option_wrong(r, arg->name, "a type name");
    arg->optional = len > 0 && p[len - 1] == '?';
    len -= arg->optional;
    for (int i = 0; i < LQ_ARG_TYPES; i++) {
        if (lq_str_eq(lq_str_n(p, len), lq_str_c(lq_lua_arg_names[i]))) {
            arg->type = (enum lq_lua_arg_type)i;
            return LUNAQ_OK;
        }
    }
    lq_fail(r->err, LUNAQ_EHANDLER,
            "args.%s: unknown type '%.40s' (known: string number integer "
            "boolean table any; \"string?\" is optional)",
            arg->name, p);
    return lq_lua_option_fail(r, arg->name);
}

/* args = {"id"}; the value is on top. */
static int nameless_arg(lq_lua_reader *r)
{
    const char *name =
        lua_type(r->L, -1) == LUA_TSTRING ? lua_tostring(r->L, -1) : "id";
    lq_fail(r->err, LUNAQ_EHANDLER,
            "args: it is a list: give each member a type, as in {%.40s = "
            "\"string\"}",
            name);
    return lq_lua_option_fail(r, "args");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const lq_lua_arg *)a)->name, ((const lq_lua_arg *)b)->name);
}

static int read_args(lq_lua_reader *r)
{
    lua_State *L = r->L;
    lq_lua_spec *spec = r->spec;
    int rc = LUNAQ_OK;
    if (lq_lua_option_get(r, "args") == LUA_TNIL)
        goto out;
    if (!lua_istable(L, -1)) {
        rc = lq_lua_option_wrong(r, "args", "a table");
        goto out;
    }
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        n++;
    spec->args = lq_arena_alloc(&r->s->mem, (n + 1) * sizeof *spec->args);
    if (!spec->args) {
        rc = lq_fail_nomem(r->err);
        goto out;
    }
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        lq_lua_arg *arg = &spec->args[spec->arg_count];
        if (rc)
            continue;
        if (lua_type(L, -2) != LUA_TSTRING) {
            rc = nameless_arg(r);
            continue;
        }
        lua_pushvalue(L, -2);
        rc = lq_lua_option_copy(r, "args", &arg->name);
        lua_pop(L, 1);
        if (!rc)
            rc = parse_arg(r, arg);
        spec->arg_count++;
    }
    if (!rc && spec->arg_count > 0)
        qsort(spec->args, spec->arg_count, sizeof *spec->args, by_name);
out:
    lua_pop(L, 1);
    return rc;
}

static int unknown_backoff(lq_lua_reader *r)
{
    lq_fail(r->err, LUNAQ_EHANDLER,
            "backoff: '%.40s' is none: use \"exponential\", durations like "
            "{\"5s\", \"1m\"}, or a function(attempt, err, task)",
            lua_tostring(r->L, -1));
    return lq_lua_option_fail(r, "backoff");
}

/* "exponential", a list of durations, one duration, or a function. */
static int read_backoff(lq_lua_reader *r)
{
    lua_State *L = r->L;
    lq_lua_spec *spec = r->spec;
    int rc = LUNAQ_OK;
    int type = lq_lua_option_get(r, "backoff");
    if (type == LUA_TFUNCTION) {
        spec->backoff_function = true;
        goto out;
    }
    if (type == LUA_TNIL || (type == LUA_TSTRING &&
                             strcmp(lua_tostring(L, -1), "exponential") == 0))
        goto out;
    size_t n = type == LUA_TTABLE ? lua_rawlen(L, -1) : 1;
    if (n == 0 || n > LQ_OPTION_LIST_MAX) {
        rc = lq_lua_option_wrong(
            r, "backoff", "\"exponential\", a list of durations or a function");
        goto out;
    }
    spec->backoff_ms = lq_arena_alloc(&r->s->mem, n * sizeof(int64_t));
    if (!spec->backoff_ms) {
        rc = lq_fail_nomem(r->err);
        goto out;
    }
    spec->backoff_count = n;
    if (type == LUA_TTABLE)
        rc = lq_lua_option_only_list(r, "backoff");
    if (type != LUA_TTABLE) {
        rc = lq_lua_option_duration_here(r, "backoff", &spec->backoff_ms[0]);
        if (rc && type == LUA_TSTRING)
            rc = unknown_backoff(r);
        goto out;
    }
    for (size_t i = 0; i < n && !rc; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        rc = lq_lua_option_duration_here(r, "backoff", &spec->backoff_ms[i]);
        lua_pop(L, 1);
    }
out:
    lua_pop(L, 1);
    return rc;
}

static int read_unique(lq_lua_reader *r)
{
    lua_State *L = r->L;
    int rc = LUNAQ_OK, type = lq_lua_option_get(r, "unique");
    if (type == LUA_TNIL)
        goto out;
    if (type != LUA_TTABLE) {
        rc = lq_lua_option_duration_here(r, "unique", &r->spec->unique_ms);
        goto out;
    }
    rc = lq_lua_option_members(r, "unique", lq_lua_unique_members);
    if (rc)
        goto out;
    lua_pushliteral(L, "ttl");
    if (lua_rawget(L, -2) == LUA_TNIL)
        rc = lq_lua_option_wrong(
            r, "unique", "a ttl in the table (unique = {ttl = \"1h\"})");
    else
        rc = lq_lua_option_duration_here(r, "unique.ttl", &r->spec->unique_ms);
    lua_pop(L, 1);
    if (rc)
        goto out;
    lua_pushliteral(L, "by");
    if (lua_rawget(L, -2) != LUA_TNIL)
        rc = lq_lua_option_list(r, "unique.by", &r->spec->unique_by,
                                &r->spec->unique_by_count);
    lua_pop(L, 1);
out:
    lua_pop(L, 1);
    return rc;
}

/* ---- all ----------------------------------------------------------------- */

static const char *const known_names[] = {
    /* One a line, so that changes stay apart. */
    /* clang-format off */
    "run",
    "doc",
    "args",
    "queue",
    "max_retry",
    "backoff",
    "timeout",
    "unique",
    "cron",
    "type",
    "types",
    "retention",
    "concurrency",
    "on_archive",
    "is_failure",
    "group",
    "schedule",
    "schedule_every",
    "before_enqueue",
    "after_enqueue",
    NULL};

/* Part of the contract, without effect in this version. */
static const char *const later_names[] = {
    "memory",
    "rate",
    "fair",
    "expires",
    "priority",
    "version",
    "upgrade",
    "allow",
    NULL};
/* clang-format on */

/* Of _schedule.lua, which handles no tasks. */
static const char *const schedule_names[] = {
    "doc",           "schedule", "schedule_every", "before_enqueue",
    "after_enqueue", NULL};
static const char *const no_names[] = {NULL};

static int check_names(lq_lua_reader *r, const char *const *known,
                       const char *const *later)
{
    lua_State *L = r->L;
    for (lua_pushnil(L); lua_next(L, r->table); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            int type = lua_type(L, -1);
            lua_pop(L, 2);
            return lq_fail(r->err, LUNAQ_EHANDLER,
                           "%s: the returned table has a %s without a name: "
                           "write %s",
                           r->spec->file->name, lua_typename(L, type),
                           known == schedule_names
                               ? "schedule = function() \xe2\x80\xa6 end"
                           : type == LUA_TFUNCTION
                               ? "run = function(task) \xe2\x80\xa6 end"
                               : "option = value");
        }
        const char *name = lua_tostring(L, -2);
        if (lq_lua_is_one_of(name, known))
            continue;
        if (lq_lua_is_one_of(name, later)) {
            LQ_LOG(r->log, WARN, "an option has no effect in this version",
                   lq_fc("file", r->spec->file->name), lq_fc("option", name));
            continue;
        }
        lq_lua_unknown_option(name, known, later, r->err);
        int rc = lq_lua_option_fail(r, name);
        lua_pop(L, 2);
        return rc;
    }
    return LUNAQ_OK;
}

static int check_function(lq_lua_reader *r, const char *name,
                          const char *expected)
{
    int type = lq_lua_option_get(r, name);
    int rc = type == LUA_TNIL || type == LUA_TFUNCTION
                 ? LUNAQ_OK
                 : lq_lua_option_wrong(r, name, expected);
    lua_pop(r->L, 1);
    return rc;
}

static int no_run(lq_lua_reader *r)
{
    lq_fail(r->err, LUNAQ_EHANDLER,
            "run: it is missing, or nil: write run = function(task) "
            "\xe2\x80\xa6 end");
    return lq_lua_option_fail(r, "run");
}

static void note_archived(lq_lua_reader *r)
{
    if (lq_lua_option_get(r, "on_archive") == LUA_TFUNCTION)
        r->s->archived = true;
    lua_pop(r->L, 1);
}

static int read_table(lq_lua_reader *r)
{
    lq_lua_spec *spec = r->spec;
    int rc = check_names(r, known_names, later_names);
    if (rc)
        return rc;
    int type = lq_lua_option_get(r, "run");
    if (type == LUA_TNIL)
        rc = no_run(r);
    else if (type != LUA_TFUNCTION)
        rc = lq_lua_option_wrong(r, "run", "a function(task)");
    lua_pop(r->L, 1);
    if (!rc)
        rc = lq_lua_option_text(r, "doc", &spec->doc);
    if (!rc)
        rc = lq_lua_option_text(r, "queue", &spec->queue);
    if (!rc && spec->queue &&
        lq_name_check("queue", lq_str_c(spec->queue), r->err))
        rc = lq_lua_option_fail(r, "queue");
    if (!rc)
        rc = read_args(r);
    if (!rc)
        rc = lq_lua_option_count(r, "max_retry", &spec->max_retry);
    if (!rc)
        rc = lq_lua_option_duration(r, "timeout", &spec->timeout_ms);
    if (!rc)
        rc = lq_lua_option_duration(r, "retention", &spec->retention_ms);
    if (!rc)
        rc = lq_lua_option_count(r, "concurrency", &spec->concurrency);
    if (!rc)
        rc = read_backoff(r);
    if (!rc)
        rc = read_unique(r);
    if (!rc)
        rc = check_function(r, "on_archive", "a function(task, err)");
    if (!rc)
        note_archived(r);
    if (!rc)
        rc = lq_lua_handler_group(r);
    if (!rc)
        rc = check_function(r, "is_failure", "a function(err, task)");
    if (!rc)
        rc = lq_lua_handler_schedule(r);
    return rc;
}

/* _schedule.lua, or what stands for it: no type of tasks is its own. */
static int read_schedule(lq_lua_reader *r)
{
    lq_lua_spec *spec = r->spec;
    if (!r->table)
        return lq_fail(r->err, LUNAQ_EHANDLER,
                       "%s: it returns a function; return {schedule = "
                       "function() … end}",
                       spec->file->name);
    int rc = check_names(r, schedule_names, no_names);
    if (!rc)
        rc = lq_lua_option_text(r, "doc", &spec->doc);
    if (!rc)
        rc = lq_lua_handler_schedule(r);
    if (rc)
        return rc;
    if (!spec->provides && !spec->before_enqueue && !spec->after_enqueue)
        return lq_fail(r->err, LUNAQ_EHANDLER,
                       "%s: it has no schedule, before_enqueue or "
                       "after_enqueue: write one, or delete the file",
                       spec->file->name);
    spec->types = lq_arena_alloc(&r->s->mem, sizeof *spec->types);
    if (!spec->types)
        return lq_fail_nomem(r->err);
    spec->types[0] = spec->schedule_type;
    spec->type_count = 1;
    return lq_map_set(&r->s->types, lq_str_c(spec->types[0]), spec, NULL)
               ? LUNAQ_OK
               : lq_fail_nomem(r->err);
}

int lq_lua_handler_read(lua_State *L, lq_lua_snapshot *s, lq_lua_spec *spec,
                        lq_log *log, lunaq_error *err)
{
    lq_lua_reader r = {.L = L, .s = s, .spec = spec, .log = log, .err = err};
    spec->max_retry = spec->timeout_ms = spec->retention_ms = -1;
    if (!lua_checkstack(L, 20))
        return lq_fail_nomem(err);
    if (lua_istable(L, -1))
        r.table = lua_gettop(L);
    else if (!lua_isfunction(L, -1))
        return lq_fail(err, LUNAQ_EHANDLER,
                       "%s: it returns a %s; return {run = function(task) … "
                       "end} or a function",
                       spec->file->name, luaL_typename(L, -1));
    int rc = spec->schedule_type ? read_schedule(&r)
             : r.table           ? read_table(&r)
                                 : LUNAQ_OK;
    if (!rc && !spec->schedule_type)
        rc = lq_lua_handler_types(&r);
    if (!rc && !spec->schedule_type && r.table)
        rc = lq_lua_handler_crons(&r);
    if (rc && !strstr(err->message, spec->file->name))
        lq_error_prefix(err, "%s", spec->file->name);
    return rc;
}
