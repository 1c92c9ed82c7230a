/* The loader: see loader.h. */
#include "lua/loader.h"

#include <stdio.h>

#include "base/clock.h"
#include "lua/generation.h"
#include "lua/handler.h"
#include "lua/host.h"
#include "lua/middleware.h"
#include "lua/names.h"
#include "lua/schedule.h"
#include "lua/schedule_table.h"

#define MEMORY_MAX ((size_t)256 * 1024 * 1024)

/* One load; the argument of what runs below lua_pcall(). */
struct load {
    lq_lua_host *host;
    lq_lua_snapshot *s;
    const lq_lua_file *file;
    const char *schedule_type; /* of the file; NULL: it is another */
    lq_log *log;
    int env_ref, modules_ref;
    const char *schedules; /* the setting; NULL = none */
    int rc;
    lunaq_error *err;
};

static int make_environment(lua_State *L)
{
    struct load *l = lua_touserdata(L, 1);
    lq_lua_make_environment(L, &l->s->source, &l->env_ref, &l->modules_ref);
    return 0;
}

static int load_file(lua_State *L)
{
    struct load *l = lua_touserdata(L, 1);
    lq_lua_run_file(l->host, l->env_ref, l->file);
    lq_lua_spec *spec = &l->s->specs[l->s->spec_count++];
    spec->file = l->file;
    spec->schedule_type = l->schedule_type;
    l->rc = lq_lua_handler_read(L, l->s, spec, l->log, l->err);
    return 0;
}

static int load_middleware(lua_State *L)
{
    struct load *l = lua_touserdata(L, 1);
    lq_lua_run_file(l->host, l->env_ref, l->file);
    l->rc = lq_lua_middleware_check(L, l->file, l->err);
    if (!l->rc)
        l->rc = lq_lua_middleware_add(l->s, l->file, l->err);
    return 0;
}

/* Calls f(l); an error it raises becomes *err. */
static int protected(struct load *l, lua_CFunction f)
{
    lua_State *L = l->host->L;
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, l);
    if (lua_pcall(L, 1, 0, 0) == LUA_OK)
        return l->rc;
    const char *text = lua_tostring(L, -1);
    int rc = lq_fail(l->err, LUNAQ_EHANDLER, "%s", text ? text : "?");
    lua_pop(L, 1);
    return rc;
}

/* Lib files are compiled only: what they do when required is their business,
 * but a syntax error in one is found now. */
static int check_lib(lua_State *L)
{
    struct load *l = lua_touserdata(L, 1);
    const char *chunk = lua_pushfstring(L, "@%s", l->file->name);
    if (luaL_loadbufferx(L, l->file->text.p ? l->file->text.p : "",
                         l->file->text.len, chunk, "t"))
        return lua_error(L);
    return 0;
}

/* The setting `schedules`. */
static int load_table(struct load *l)
{
    lq_lua_file *file = lq_arena_alloc(&l->s->mem, sizeof *file);
    if (!file)
        return lq_fail_nomem(l->err);
    int rc = lq_lua_schedule_table(file, l->schedules, &l->s->mem, l->err);
    l->file = file;
    l->schedule_type = LQ_SCHEDULES_TYPE;
    return rc ? rc : protected(l, load_file);
}

/* A file that is no handler by its '_', but nearly one that has a meaning. */
static void warn_if_misspelt(const struct load *l)
{
    static const char *const known[] = {"_middleware.lua", "_schedule.lua",
                                        NULL};
    const char *slash = strrchr(l->file->name, '/');
    const char *meant = lq_lua_meant(slash ? slash + 1 : l->file->name, known);
    if (meant)
        LQ_LOG(l->log, WARN,
               "a file does nothing: its name begins with '_', but is none of "
               "those that have a meaning",
               lq_fc("file", l->file->name), lq_fc("meant", meant));
}

static int load_all(struct load *l)
{
    lq_lua_snapshot *s = l->s;
    s->specs =
        lq_arena_alloc(&s->mem, (s->source.count + 2) * sizeof *s->specs);
    if (!s->specs)
        return lq_fail_nomem(l->err);
    int rc = protected(l, make_environment);
    for (size_t i = 0; i < s->source.count && !rc; i++) {
        char type[LUNAQ_NAME_MAX * 2];
        l->file = &s->source.files[i];
        rc = lq_lua_schedule_file(l->file->name, &l->schedule_type, l->err);
        if (rc)
            return rc;
        if (l->file->is_lib)
            rc = protected(l, check_lib);
        else if (!l->schedule_type && lq_lua_is_middleware(l->file->name))
            rc = protected(l, load_middleware);
        else if (l->schedule_type ||
                 lq_lua_type_of(l->file->name, type, sizeof type))
            rc = protected(l, load_file);
        else
            warn_if_misspelt(l);
    }
    if (!rc && l->schedules)
        rc = load_table(l);
    return rc;
}

int lq_lua_load(lq_lua_snapshot **out, const lq_lua_options *options,
                lunaq_error *err)
{
    lq_lua_options own = *options;
    own.interrupt = LUNAQ_INTERRUPT_HOOK; /* nobody ticks here */
    struct load l = {.s = lq_lua_snapshot_new(),
                     .log = options->log,
                     .schedules = options->schedules,
                     .env_ref = LUA_NOREF,
                     .modules_ref = LUA_NOREF,
                     .err = err};
    int rc = LUNAQ_OK;
    if (!l.s)
        rc = lq_fail_nomem(err);
    if (!rc)
        rc = lq_lua_source_read(&l.s->source, options->folder, err);
    if (!rc)
        rc = lq_lua_host_new(&l.host, NULL, &own, err);
    if (!rc) {
        l.host->bytes_max = MEMORY_MAX;
        rc = load_all(&l);
    }
    lq_lua_host_free(l.host);
    if (rc) {
        lq_lua_snapshot_unref(l.s);
        return rc;
    }
    *out = l.s;
    return LUNAQ_OK;
}
