/* A snapshot, loaded into one worker's Lua state.
 *
 * Counted: one reference for being live (or prepared), one for each run.  The
 * last one frees it.
 */
#ifndef LQ_LUA_GENERATION_H
#define LQ_LUA_GENERATION_H

#include "lua/host.h"
#include "lua/snapshot.h"

typedef struct lq_lua_handler {
    const lq_lua_spec *spec;
    /* Functions in the registry; LUA_NOREF = none. */
    int run_ref, backoff_ref, is_failure_ref;
    int hook_refs[LQ_RUN_KINDS]; /* see hook.h */
} lq_lua_handler;

typedef struct lq_lua_generation {
    lq_list node; /* host->generations */
    lq_lua_host *host;
    lq_lua_snapshot *snapshot;
    lq_lua_handler *handlers; /* one a spec */
    lq_lua_handler nobody;    /* of types that have middleware alone */
    int *middleware_refs;     /* their functions */
    size_t loaded;            /* files that were run: middleware, then specs */
    int env_ref;              /* its read-only environment */
    int modules_ref;          /* what require() loaded */
    int refs;
} lq_lua_generation;

static inline lq_lua_generation *lq_lua_generation_of(lq_list *node)
{
    return LQ_OF(node, lq_lua_generation, node);
}

/** Makes an empty one; takes its own reference of snapshot. */
int lq_lua_generation_new(lq_lua_generation **out, lq_lua_host *host,
                          lq_lua_snapshot *snapshot, lunaq_error *err);
/** Runs the next handler file.  LUNAQ_EHANDLER with file and line; *more tells
 *  whether files are left. */
int lq_lua_generation_load_next(lq_lua_generation *g, bool *more,
                                lunaq_error *err);
/** Makes it the one that new runs use. */
void lq_lua_generation_switch(lq_lua_generation *g);

/** What runs a task of this type: its handler, or `nobody` when there is none
 *  but middleware shall see it; NULL when there is nothing. */
const lq_lua_handler *lq_lua_generation_runs(const lq_lua_generation *g,
                                             lq_str type);
const lq_lua_handler *lq_lua_generation_find(const lq_lua_generation *g,
                                             lq_str type);
lq_lua_generation *lq_lua_generation_ref(lq_lua_generation *g);
void lq_lua_generation_unref(lq_lua_generation *g); /* NULL is fine */
/** Whatever its references; when the host goes. */
void lq_lua_generation_free(lq_lua_generation *g);

/** Loads and runs one file's text in the generation's environment, under
 *  limits; pushes its first value.  Below lua_pcall(); raises a text with file
 *  and line. */
void lq_lua_run_file(lq_lua_host *host, int env_ref, const lq_lua_file *file);
/** Pushes a new read-only environment whose require() finds the lib files of
 *  source, and stores it and its modules in the registry.  Raises. */
void lq_lua_make_environment(lua_State *L, const lq_lua_source *source,
                             int *env_ref, int *modules_ref);

#endif
