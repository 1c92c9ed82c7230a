/* A handler's options: see handler.h.  Raw accesses only, so nothing raises. */
#include "lua/handler.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "lua/enqueue.h"
#include "task/cron.h"

#define LIST_MAX 64

struct reader {
    lua_State *L;
    int table; /* 0: a bare function */
    lq_lua_snapshot *s;
    lq_lua_spec *spec;
    lq_log *log;
    lunaq_error *err;
};

/* ---- places -------------------------------------------------------------- */

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The line where `name =` stands first; 0 when it does nowhere. */
static int line_of(lq_str text, const char *name)
{
    size_t len = strlen(name);
    int line = 1;
    for (size_t i = 0; i + len <= text.len; i++) {
        if (text.p[i] == '\n')
            line++;
        if (memcmp(text.p + i, name, len) != 0 ||
            (i > 0 && is_name(text.p[i - 1])))
            continue;
        size_t j = i + len;
        while (j < text.len && (text.p[j] == ' ' || text.p[j] == '\t'))
            j++;
        if (j < text.len && text.p[j] == '=' &&
            (j + 1 == text.len || text.p[j + 1] != '='))
            return line;
    }
    return 0;
}

/* Puts "file:line: " before the message in *err. */
static int at_option(struct reader *r, const char *option)
{
    const lq_lua_file *f = r->spec->file;
    int line = line_of(f->text, option);
    if (line > 0)
        lq_error_prefix(r->err, "%s:%d", f->name, line);
    else
        lq_error_prefix(r->err, "%s", f->name);
    r->err->code = LUNAQ_EHANDLER;
    return LUNAQ_EHANDLER;
}

static int wrong(struct reader *r, const char *option, const char *expected)
{
    lq_fail(r->err, LUNAQ_EHANDLER, "%s: a %s, where %s is expected", option,
            luaL_typename(r->L, -1), expected);
    return at_option(r, option);
}

/* ---- values -------------------------------------------------------------- */

static int get(struct reader *r, const char *name)
{
    lua_pushstring(r->L, name);
    return lua_rawget(r->L, r->table);
}

static int copy_text(struct reader *r, const char *option, const char **out)
{
    size_t len;
    if (lua_type(r->L, -1) != LUA_TSTRING)
        return wrong(r, option, "a string");
    const char *p = lua_tolstring(r->L, -1, &len);
    *out = lq_arena_dup(&r->s->mem, lq_str_n(p, strlen(p)));
    return *out ? LUNAQ_OK : lq_fail_nomem(r->err);
}

static int read_text(struct reader *r, const char *name, const char **out)
{
    int rc = get(r, name) == LUA_TNIL ? LUNAQ_OK : copy_text(r, name, out);
    lua_pop(r->L, 1);
    return rc;
}

/* The list of strings on top. */
static int read_list(struct reader *r, const char *option, const char ***out,
                     size_t *count)
{
    size_t n = lua_istable(r->L, -1) ? lua_rawlen(r->L, -1) : 0;
    if (n == 0 || n > LIST_MAX)
        return wrong(r, option, "a list of strings");
    *out = lq_arena_alloc(&r->s->mem, n * sizeof **out);
    if (!*out)
        return lq_fail_nomem(r->err);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(r->L, -1, (lua_Integer)i + 1);
        int rc = copy_text(r, option, &(*out)[i]);
        lua_pop(r->L, 1);
        if (rc)
            return rc;
    }
    *count = n;
    return LUNAQ_OK;
}

static int duration_here(struct reader *r, const char *option, int64_t *ms)
{
    return lq_lua_duration_at(r->L, -1, option, ms, r->err)
               ? at_option(r, option)
               : LUNAQ_OK;
}

static int read_duration(struct reader *r, const char *name, int64_t *out)
{
    int rc = get(r, name) == LUA_TNIL ? LUNAQ_OK : duration_here(r, name, out);
    lua_pop(r->L, 1);
    return rc;
}

static int read_count(struct reader *r, const char *name, int64_t *out)
{
    int rc = LUNAQ_OK;
    if (get(r, name) != LUA_TNIL) {
        int is = 0;
        lua_Integer n = lua_type(r->L, -1) == LUA_TNUMBER
                            ? lua_tointegerx(r->L, -1, &is)
                            : 0;
        if (!is || n < 0 || n > INT32_MAX)
            rc = wrong(r, name, "a whole number from 0 on");
        *out = n;
    }
    lua_pop(r->L, 1);
    return rc;
}

/* ---- options ------------------------------------------------------------- */

/* "string", "string?" … */
static int parse_arg(struct reader *r, lq_lua_arg *arg)
{
    size_t len;
    const char *p = lua_type(r->L, -1) == LUA_TSTRING
                        ? lua_tolstring(r->L, -1, &len)
                        : NULL;
    if (!p)
        return wrong(r, arg->name, "a type name");
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
    return at_option(r, arg->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const lq_lua_arg *)a)->name, ((const lq_lua_arg *)b)->name);
}

static int read_args(struct reader *r)
{
    lua_State *L = r->L;
    lq_lua_spec *spec = r->spec;
    int rc = LUNAQ_OK;
    if (get(r, "args") == LUA_TNIL)
        goto out;
    if (!lua_istable(L, -1)) {
        rc = wrong(r, "args", "a table");
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
        lua_pushvalue(L, -2);
        rc = copy_text(r, "args", &arg->name);
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

/* "exponential", a list of durations, one duration, or a function. */
static int read_backoff(struct reader *r)
{
    lua_State *L = r->L;
    lq_lua_spec *spec = r->spec;
    int rc = LUNAQ_OK;
    int type = get(r, "backoff");
    if (type == LUA_TFUNCTION) {
        spec->backoff_function = true;
        goto out;
    }
    if (type == LUA_TNIL || (type == LUA_TSTRING &&
                             strcmp(lua_tostring(L, -1), "exponential") == 0))
        goto out;
    size_t n = type == LUA_TTABLE ? lua_rawlen(L, -1) : 1;
    if (n == 0 || n > LIST_MAX) {
        rc = wrong(r, "backoff",
                   "\"exponential\", a list of durations or a function");
        goto out;
    }
    spec->backoff_ms = lq_arena_alloc(&r->s->mem, n * sizeof(int64_t));
    if (!spec->backoff_ms) {
        rc = lq_fail_nomem(r->err);
        goto out;
    }
    spec->backoff_count = n;
    if (type != LUA_TTABLE) {
        rc = duration_here(r, "backoff", &spec->backoff_ms[0]);
        goto out;
    }
    for (size_t i = 0; i < n && !rc; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        rc = duration_here(r, "backoff", &spec->backoff_ms[i]);
        lua_pop(L, 1);
    }
out:
    lua_pop(L, 1);
    return rc;
}

static int read_unique(struct reader *r)
{
    lua_State *L = r->L;
    int rc = LUNAQ_OK, type = get(r, "unique");
    if (type == LUA_TNIL)
        goto out;
    if (type != LUA_TTABLE) {
        rc = duration_here(r, "unique", &r->spec->unique_ms);
        goto out;
    }
    lua_pushliteral(L, "ttl");
    if (lua_rawget(L, -2) == LUA_TNIL)
        rc = wrong(r, "unique", "a ttl in the table (unique = {ttl = \"1h\"})");
    else
        rc = duration_here(r, "ttl", &r->spec->unique_ms);
    lua_pop(L, 1);
    if (rc)
        goto out;
    lua_pushliteral(L, "by");
    if (lua_rawget(L, -2) != LUA_TNIL)
        rc = read_list(r, "by", &r->spec->unique_by, &r->spec->unique_by_count);
    lua_pop(L, 1);
out:
    lua_pop(L, 1);
    return rc;
}

/* ---- types --------------------------------------------------------------- */

bool lq_lua_type_of(const char *name, char *out, size_t size, bool *any)
{
    size_t len = strlen(name);
    if (len < 5 || len - 4 >= size)
        return false;
    len -= 4; /* ".lua" */
    memcpy(out, name, len);
    out[len] = 0;
    const char *leaf = strrchr(out, '/');
    leaf = leaf ? leaf + 1 : out;
    *any = strcmp(leaf, "_") == 0;
    if (*any)
        out[leaf - out] = 0;
    for (size_t i = 0; out[i]; i++) {
        if (out[i] == '_' && (i == 0 || out[i - 1] == ':'))
            return false;
        if (out[i] == '/')
            out[i] = ':';
    }
    return true;
}

static int add_type(struct reader *r, const char *type)
{
    lunaq_error err;
    if (!r->spec->any && lq_name_check("type", lq_str_c(type), &err)) {
        *r->err = err;
        return at_option(r, "type");
    }
    const lq_lua_spec *other = lq_map_get(&r->s->types, lq_str_c(type));
    if (other && other != r->spec) {
        lq_fail(r->err, LUNAQ_EHANDLER,
                "%s and %s both handle the type '%s'; give one of them another "
                "`type`",
                other->file->name, r->spec->file->name, type);
        return LUNAQ_EHANDLER;
    }
    if (!lq_map_set(&r->s->types, lq_str_c(type), r->spec, NULL))
        return lq_fail_nomem(r->err);
    r->s->type_count += !other;
    return LUNAQ_OK;
}

static int read_types(struct reader *r)
{
    lq_lua_spec *spec = r->spec;
    char own[LUNAQ_NAME_MAX * 2];
    int rc = LUNAQ_OK;
    if (r->table) {
        const char *one = NULL;
        rc = read_text(r, "type", &one);
        if (!rc && one) {
            spec->types = lq_arena_alloc(&r->s->mem, sizeof *spec->types);
            if (!spec->types)
                return lq_fail_nomem(r->err);
            spec->types[0] = one;
            spec->type_count = 1;
        }
        if (!rc && get(r, "types") != LUA_TNIL) {
            if (one) {
                lq_fail(r->err, LUNAQ_EHANDLER, "both `type` and `types`");
                rc = at_option(r, "types");
            } else {
                rc = read_list(r, "types", &spec->types, &spec->type_count);
            }
            lua_pop(r->L, 1);
        } else if (!rc) {
            lua_pop(r->L, 1);
        }
    }
    if (rc)
        return rc;
    if (spec->type_count == 0) {
        if (!lq_lua_type_of(spec->file->name, own, sizeof own, &spec->any))
            return lq_fail(r->err, LUNAQ_EHANDLER, "%s: the name is too long",
                           spec->file->name);
        spec->types = lq_arena_alloc(&r->s->mem, sizeof *spec->types);
        if (!spec->types)
            return lq_fail_nomem(r->err);
        spec->types[0] = lq_arena_dup(&r->s->mem, lq_str_c(own));
        if (!spec->types[0])
            return lq_fail_nomem(r->err);
        spec->type_count = 1;
    }
    for (size_t i = 0; i < spec->type_count && !rc; i++)
        rc = add_type(r, spec->types[i]);
    return rc;
}

/* ---- cron ---------------------------------------------------------------- */

/* The member of the table on top; *out NULL when there is none. */
static int member(struct reader *r, const char *name, const char **out)
{
    *out = NULL;
    lua_pushstring(r->L, name);
    int rc =
        lua_rawget(r->L, -2) == LUA_TNIL ? LUNAQ_OK : copy_text(r, name, out);
    lua_pop(r->L, 1);
    return rc;
}

static int check_cron_names(struct reader *r)
{
    static const char *const names[] = {"spec", "name", "tz", "payload", NULL};
    lua_State *L = r->L;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        const char *name =
            lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        const char *const *known = names;
        while (*known && strcmp(*known, name) != 0)
            known++;
        if (*known)
            continue;
        lq_fail(r->err, LUNAQ_EHANDLER,
                "cron: unknown member '%.40s' (known: spec name tz payload)",
                name);
        int rc = at_option(r, name);
        lua_pop(L, 2);
        return rc;
    }
    return LUNAQ_OK;
}

/* One entry, on top: a spec, or a table. */
static int add_cron(struct reader *r)
{
    lua_State *L = r->L;
    lq_lua_cron *c = lq_arena_alloc(&r->s->mem, sizeof *c);
    const char *tz = NULL;
    lq_cron parsed;
    if (!c)
        return lq_fail_nomem(r->err);
    c->handler = r->spec;
    c->type = r->spec->types[0];
    int rc = LUNAQ_OK;
    bool table = lua_istable(L, -1);
    if (!table) {
        rc = copy_text(r, "cron", &c->spec);
    } else {
        rc = check_cron_names(r);
        if (!rc)
            rc = member(r, "spec", &c->spec);
        if (!rc)
            rc = member(r, "name", &c->name);
        if (!rc)
            rc = member(r, "tz", &tz);
    }
    if (rc)
        return rc;
    if (!c->spec)
        return wrong(r, "cron", "a spec (cron = {spec = \"@every 1h\"})");
    if (tz && strcmp(tz, "UTC") != 0) {
        lq_fail(r->err, LUNAQ_EHANDLER,
                "tz: time zones are not supported yet; write the spec in UTC");
        return at_option(r, "tz");
    }
    if (lq_cron_parse(&parsed, lq_str_c(c->spec), r->err)) {
        lq_error_prefix(r->err, "cron \"%s\"", c->spec);
        return at_option(r, "cron");
    }
    if (table) {
        lua_pushliteral(L, "payload");
        lua_rawget(L, -2);
    } else {
        lua_pushnil(L);
    }
    rc = lq_lua_read_enqueue(L, lq_str_c(c->type), -1, 0, false, r->s,
                             &r->s->mem, &c->item, r->err);
    lua_pop(L, 1);
    if (rc)
        return at_option(r, "cron");
    c->ready = true;
    c->next = r->s->crons;
    r->s->crons = c;
    return LUNAQ_OK;
}

static int read_crons(struct reader *r)
{
    lua_State *L = r->L;
    int rc = LUNAQ_OK, type = get(r, "cron");
    if (type == LUA_TNIL)
        goto out;
    if (r->spec->any) {
        lq_fail(r->err, LUNAQ_EHANDLER,
                "cron: this file handles many types; give it a `type`");
        rc = at_option(r, "cron");
        goto out;
    }
    size_t n = type == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
    if (n == 0)
        rc = add_cron(r);
    for (size_t i = 0; i < n && !rc; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        rc = add_cron(r);
        lua_pop(L, 1);
    }
out:
    lua_pop(L, 1);
    return rc;
}

/* ---- all ----------------------------------------------------------------- */

static const char *const known_names[] = {
    "run", "doc", "args", "queue", "max_retry", "backoff", "timeout", "unique",
    "cron", "type", "types", "retention",
    /* From here on: part of the contract, without effect in this version. */
    "concurrency", "memory", "on_archive", "is_failure", "group", "rate",
    "fair", "expires", "priority", "version", "upgrade", "allow", NULL};
#define EFFECTIVE_NAMES 12

static int check_names(struct reader *r)
{
    lua_State *L = r->L;
    for (lua_pushnil(L); lua_next(L, r->table); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            lua_pop(L, 2);
            return lq_fail(r->err, LUNAQ_EHANDLER,
                           "%s: the returned table has a key that is not an "
                           "option's name",
                           r->spec->file->name);
        }
        const char *name = lua_tostring(L, -2);
        size_t i = 0;
        while (known_names[i] && strcmp(known_names[i], name) != 0)
            i++;
        if (known_names[i]) {
            if (i >= EFFECTIVE_NAMES)
                LQ_LOG(r->log, WARN, "an option has no effect in this version",
                       lq_fc("file", r->spec->file->name),
                       lq_fc("option", name));
            continue;
        }
        const char *near = lq_lua_nearest(name, known_names);
        lq_fail(r->err, LUNAQ_EHANDLER, "unknown option '%.60s'%s%s%s", name,
                near ? "; did you mean '" : "", near ? near : "",
                near ? "'?" : "");
        int rc = at_option(r, name);
        lua_pop(L, 2);
        return rc;
    }
    return LUNAQ_OK;
}

static int read_table(struct reader *r)
{
    lq_lua_spec *spec = r->spec;
    int rc = check_names(r);
    if (rc)
        return rc;
    if (get(r, "run") != LUA_TFUNCTION)
        rc = wrong(r, "run", "a function(task)");
    lua_pop(r->L, 1);
    if (!rc)
        rc = read_text(r, "doc", &spec->doc);
    if (!rc)
        rc = read_text(r, "queue", &spec->queue);
    if (!rc && spec->queue &&
        lq_name_check("queue", lq_str_c(spec->queue), r->err))
        rc = at_option(r, "queue");
    if (!rc)
        rc = read_args(r);
    if (!rc)
        rc = read_count(r, "max_retry", &spec->max_retry);
    if (!rc)
        rc = read_duration(r, "timeout", &spec->timeout_ms);
    if (!rc)
        rc = read_duration(r, "retention", &spec->retention_ms);
    if (!rc)
        rc = read_backoff(r);
    if (!rc)
        rc = read_unique(r);
    return rc;
}

int lq_lua_handler_read(lua_State *L, lq_lua_snapshot *s, lq_lua_spec *spec,
                        lq_log *log, lunaq_error *err)
{
    struct reader r = {.L = L, .s = s, .spec = spec, .log = log, .err = err};
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
    int rc = r.table ? read_table(&r) : LUNAQ_OK;
    if (!rc)
        rc = read_types(&r);
    if (!rc && r.table)
        rc = read_crons(&r);
    if (rc && !strstr(err->message, spec->file->name))
        lq_error_prefix(err, "%s", spec->file->name);
    return rc;
}
