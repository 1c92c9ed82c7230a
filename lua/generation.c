/* A snapshot in one worker's state: see generation.h. */
#include "lua/generation.h"

#include <stdio.h>

#include "base/alloc.h"
#include "lua/call.h"
#include "lua/hook.h"
#include "lua/middleware.h"
#include "lua/sandbox.h"

#define LOAD_MS 1000 /* for the top-level code of one file */

/* ---- files --------------------------------------------------------------- */

/* Pushes the file's main function, with the environment on top as its _ENV
 * (and pops that); raises the parser's message. */
static void load_text(lua_State *L, const lq_lua_file *file)
{
    const char *chunk = lua_pushfstring(L, "@%s", file->name);
    if (luaL_loadbufferx(L, file->text.p ? file->text.p : "", file->text.len,
                         chunk, "t"))
        lua_error(L);
    lua_pushvalue(L, -3);
    lua_setupvalue(L, -2, 1);
    lua_replace(L, -3); /* env, chunk, f → f, chunk */
    lua_pop(L, 1);
}

void lq_lua_run_file(lq_lua_host *host, int env_ref, const lq_lua_file *file)
{
    lua_State *L = host->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, env_ref);
    load_text(L, file);
    if (lq_lua_call(host, LQ_PHASE_LOADING, 0, 1, LOAD_MS, NULL) == LUA_OK)
        return;
    if (lua_istable(L, -1)) { /* an error table, of a module or of theirs */
        lua_pushliteral(L, "message");
        if (lua_rawget(L, -2) == LUA_TNIL)
            lua_pop(L, 1);
    }
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "%s: a %s%s was raised at the file's top level",
                   file->name, luaL_typename(L, -1),
                   lua_istable(L, -1) ? " without a message" : " value");
    /* What error(text, 0), or a file of lib/, raised does not name it. */
    if (!strstr(lua_tostring(L, -1), file->name))
        luaL_error(L, "%s: %s", file->name, lua_tostring(L, -1));
    lua_error(L);
}

/* ---- require ------------------------------------------------------------- */

/* "lib.a.b" → "lib/a/b.lua"; false when it is nothing of lib. */
static bool module_file(const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    if (strncmp(name, "lib.", 4) != 0 || n + 5 > size || strstr(name, "..") ||
        strpbrk(name, "/\\"))
        return false;
    snprintf(out, size, "%s.lua", name);
    for (size_t i = 0; i < n; i++)
        if (out[i] == '.')
            out[i] = '/';
    return true;
}

/* require(name); upvalues: the source (light), the modules table.  The
 * environment is the caller's function's own: upvalue 3. */
static int require(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    const lq_lua_source *source = lua_touserdata(L, lua_upvalueindex(1));
    lua_settop(L, 1);
    if (lua_getfield(L, lua_upvalueindex(2), name) != LUA_TNIL) {
        if (lua_islightuserdata(L, -1))
            return luaL_error(L, "require \"%s\": it requires itself", name);
        return 1;
    }
    char path[512];
    const lq_lua_file *file = NULL;
    if (module_file(name, path, sizeof path))
        file = lq_lua_source_find(source, path);
    else
        return luaL_error(L,
                          "require \"%s\": only files of lib/ can be required, "
                          "as \"lib.name\"",
                          name);
    if (!file)
        return luaL_error(L, "require \"%s\": there is no %s", name, path);

    lua_pushlightuserdata(L, L); /* being loaded */
    lua_setfield(L, lua_upvalueindex(2), name);
    lua_pushvalue(L, lua_upvalueindex(3));
    const char *chunk = lua_pushfstring(L, "@%s", file->name);
    int status = luaL_loadbufferx(L, file->text.p ? file->text.p : "",
                                  file->text.len, chunk, "t");
    if (status == LUA_OK) {
        lua_pushvalue(L, -3);
        lua_setupvalue(L, -2, 1);
        lua_pushvalue(L, 1);
        /* Not lua_callk(): two runs could find it half loaded. */
        status = lua_pcall(L, 1, 1, 0);
    }
    if (status != LUA_OK) {
        lua_pushnil(L);
        lua_setfield(L, lua_upvalueindex(2), name);
        return lua_error(L);
    }
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, lua_upvalueindex(2), name);
    return 1;
}

void lq_lua_make_environment(lua_State *L, const lq_lua_source *source,
                             int *env_ref, int *modules_ref)
{
    lua_newtable(L); /* modules */
    lua_pushvalue(L, -1);
    *modules_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lq_lua_push_globals(L); /* a table of its own */
    lua_pushvalue(L, -1);
    lq_lua_readonly_environment(L); /* modules, globals, env */
    lua_pushlightuserdata(L, (void *)(uintptr_t)source);
    lua_pushvalue(L, -4);
    lua_pushvalue(L, -3);
    lua_pushcclosure(L, require, 3);
    lua_setfield(L, -3, "require");
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "_G");
    lq_lua_bind_load(L, -2, -1);
    *env_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, 2);
}

/* ---- making one ---------------------------------------------------------- */

static int make_environment(lua_State *L)
{
    lq_lua_generation *g = lua_touserdata(L, 1);
    lq_lua_make_environment(L, &g->snapshot->source, &g->env_ref,
                            &g->modules_ref);
    return 0;
}

int lq_lua_generation_new(lq_lua_generation **out, lq_lua_host *host,
                          lq_lua_snapshot *snapshot, lunaq_error *err)
{
    lq_lua_generation *g = lq_calloc(1, sizeof *g);
    if (!g)
        return lq_fail_nomem(err);
    g->host = host;
    g->refs = 1;
    g->env_ref = g->modules_ref = LUA_NOREF;
    g->snapshot = lq_lua_snapshot_ref(snapshot);
    lq_list_append(&host->generations, &g->node);
    g->handlers = lq_calloc(snapshot->spec_count, sizeof *g->handlers);
    g->middleware_refs =
        lq_calloc(snapshot->middleware_count + 1, sizeof *g->middleware_refs);
    if (!g->handlers || !g->middleware_refs)
        goto out;
    for (size_t i = 0; i < snapshot->middleware_count; i++)
        g->middleware_refs[i] = LUA_NOREF;
    for (size_t i = 0; i <= snapshot->spec_count; i++) {
        bool last = i == snapshot->spec_count;
        lq_lua_handler *h = last ? &g->nobody : &g->handlers[i];
        h->spec = last ? &snapshot->nobody : &snapshot->specs[i];
        h->run_ref = h->backoff_ref = h->is_failure_ref = LUA_NOREF;
        for (int k = 0; k < LQ_RUN_KINDS; k++)
            h->hook_refs[k] = LUA_NOREF;
    }
    lua_pushcfunction(host->L, make_environment);
    lua_pushlightuserdata(host->L, g);
    if (lua_pcall(host->L, 1, 0, 0)) {
        lua_pop(host->L, 1);
        goto out;
    }
    *out = g;
    return LUNAQ_OK;
out:
    lq_lua_generation_unref(g);
    return lq_fail_nomem(err);
}

/* The member of the table on top, if it is a function. */
static int keep_function(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    if (lua_rawget(L, -2) == LUA_TFUNCTION)
        return luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, 1);
    return LUA_NOREF;
}

/* Keeps the functions of the handler on top of the stack. */
static int load_one(lua_State *L)
{
    lq_lua_generation *g = lua_touserdata(L, 1);
    lq_lua_handler *h = &g->handlers[g->loaded - g->snapshot->middleware_count];
    lq_lua_run_file(g->host, g->env_ref, h->spec->file);
    if (lua_istable(L, -1)) {
        h->backoff_ref = keep_function(L, "backoff");
        h->is_failure_ref = keep_function(L, "is_failure");
        for (int k = 0; k < LQ_RUN_KINDS; k++)
            if (lq_lua_hook_push(L, -1, (enum lq_run_kind)k))
                h->hook_refs[k] = luaL_ref(L, LUA_REGISTRYINDEX);
        if (h->spec->schedule_type)
            return 0;
        lua_pushliteral(L, "run");
        lua_rawget(L, -2);
    }
    if (!lua_isfunction(L, -1))
        return luaL_error(L, "%s: it returned no handler this time",
                          h->spec->file->name);
    lq_lua_middleware_wrap(L, g, h->spec->file->name);
    h->run_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int load_middleware(lua_State *L)
{
    lq_lua_generation *g = lua_touserdata(L, 1);
    const lq_lua_file *file = g->snapshot->middleware[g->loaded].file;
    lunaq_error err;
    lq_lua_run_file(g->host, g->env_ref, file);
    if (lq_lua_middleware_check(L, file, &err))
        return luaL_error(L, "%s", err.message);
    g->middleware_refs[g->loaded] = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

int lq_lua_generation_load_next(lq_lua_generation *g, bool *more,
                                lunaq_error *err)
{
    const lq_lua_snapshot *s = g->snapshot;
    size_t files = s->middleware_count + s->spec_count;
    if (g->loaded < files) {
        lua_State *L = g->host->L;
        lua_pushcfunction(L, g->loaded < s->middleware_count ? load_middleware
                                                             : load_one);
        lua_pushlightuserdata(L, g);
        if (lua_pcall(L, 1, 0, 0)) {
            const char *text = lua_tostring(L, -1);
            int rc = lq_fail(err, LUNAQ_EHANDLER, "%s", text ? text : "?");
            lua_pop(L, 1);
            return rc;
        }
        g->loaded++;
    }
    *more = g->loaded < files;
    return LUNAQ_OK;
}

void lq_lua_generation_switch(lq_lua_generation *g)
{
    lq_lua_generation *old = g->host->live;
    g->host->live = g;
    lq_lua_generation_unref(old);
}

const lq_lua_handler *lq_lua_generation_find(const lq_lua_generation *g,
                                             lq_str type)
{
    const lq_lua_spec *spec = lq_lua_snapshot_find(g->snapshot, type);
    return spec ? &g->handlers[spec - g->snapshot->specs] : NULL;
}

const lq_lua_handler *lq_lua_generation_runs(const lq_lua_generation *g,
                                             lq_str type)
{
    const lq_lua_handler *h = lq_lua_generation_find(g, type);
    if (h && h->spec->schedule_type)
        h = NULL; /* it runs hooks only */
    if (!h && lq_lua_middleware_covers(g->snapshot, type))
        return &g->nobody;
    return h;
}

lq_lua_generation *lq_lua_generation_ref(lq_lua_generation *g)
{
    g->refs++;
    return g;
}

void lq_lua_generation_unref(lq_lua_generation *g)
{
    if (g && --g->refs == 0)
        lq_lua_generation_free(g);
}

void lq_lua_generation_free(lq_lua_generation *g)
{
    lua_State *L = g->host->L;
    if (g->host->live == g)
        g->host->live = NULL;
    lq_list_remove(&g->node);
    if (L) {
        for (size_t i = 0; g->handlers && i < g->snapshot->spec_count; i++) {
            const lq_lua_handler *h = &g->handlers[i];
            luaL_unref(L, LUA_REGISTRYINDEX, h->run_ref);
            luaL_unref(L, LUA_REGISTRYINDEX, h->backoff_ref);
            luaL_unref(L, LUA_REGISTRYINDEX, h->is_failure_ref);
            for (int k = 0; k < LQ_RUN_KINDS; k++)
                luaL_unref(L, LUA_REGISTRYINDEX, h->hook_refs[k]);
        }
        for (size_t i = 0;
             g->middleware_refs && i < g->snapshot->middleware_count; i++)
            luaL_unref(L, LUA_REGISTRYINDEX, g->middleware_refs[i]);
        luaL_unref(L, LUA_REGISTRYINDEX, g->env_ref);
        luaL_unref(L, LUA_REGISTRYINDEX, g->modules_ref);
    }
    lq_free(g->handlers);
    lq_free(g->middleware_refs);
    lq_lua_snapshot_unref(g->snapshot);
    lq_free(g);
}
