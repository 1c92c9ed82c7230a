/* One generation of a handler folder as C values: bytes, options, cron.
 *
 * Made by the loader, then never changed: all threads read it, and the last
 * reference frees it.
 */
#ifndef LQ_LUA_SNAPSHOT_H
#define LQ_LUA_SNAPSHOT_H

#include <stdatomic.h>

#include "base/map.h"
#include "lua/source.h"
#include "runner/runner.h"

enum lq_lua_arg_type {
    LQ_ARG_ANY,
    LQ_ARG_STRING,
    LQ_ARG_NUMBER,
    LQ_ARG_INTEGER,
    LQ_ARG_BOOLEAN,
    LQ_ARG_TABLE,
    LQ_ARG_TYPES
};
extern const char *const lq_lua_arg_names[LQ_ARG_TYPES];

typedef struct lq_lua_arg {
    const char *name;
    enum lq_lua_arg_type type;
    bool optional;
} lq_lua_arg;

/* A handler file's options.  -1: not said. */
typedef struct lq_lua_spec {
    const lq_lua_file *file;
    const char *doc; /* or NULL */
    const char *queue;
    int64_t max_retry, timeout_ms, retention_ms, unique_ms;
    int64_t concurrency; /* in this process; 0 = no cap */
    const char **unique_by;
    size_t unique_by_count;
    lq_lua_arg *args;
    size_t arg_count;
    int64_t *backoff_ms; /* the last repeats */
    size_t backoff_count;
    bool backoff_function;
    const char *schedule_type; /* not NULL: _schedule.lua, which has no run */
    bool provides;             /* it has `schedule` … */
    int64_t schedule_every_ms; /* … to be called so often; 0 = not said */
    bool before_enqueue, after_enqueue;
    const char **types; /* "session:process"; "url:*" = all that begin so */
    size_t type_count;
    bool grouped;        /* `group`: it takes the tasks of groups, */
    bool aggregates;     /* … by group.aggregate */
    lq_group_rule group; /* 0 = not said, -1 = none */
} lq_lua_spec;

/* A type with a '*' at its end, without it. */
typedef struct lq_lua_prefix {
    lq_str text;
    const lq_lua_spec *spec;
} lq_lua_prefix;

/* A file that wraps the runs of all handlers below its folder. */
typedef struct lq_lua_middleware {
    const lq_lua_file *file;
    lq_str folder; /* "", "url/" */
} lq_lua_middleware;

/* A cron entry, with all that its lq_enqueue points to. */
typedef struct lq_lua_cron {
    struct lq_lua_cron *next;
    const char *spec, *name, *type;
    const char *tz, *dst, *missed; /* or NULL */
    lq_lua_spec *handler;
    lq_enqueue item;
    bool ready; /* item was made */
} lq_lua_cron;

typedef struct lq_lua_snapshot {
    atomic_int refs;
    int64_t generation; /* given when it is made; counts from 1 */
    lq_lua_source source;
    lq_arena mem;
    lq_lua_spec *specs;
    size_t spec_count;
    size_t type_count;
    bool grouped;            /* some spec is */
    bool archived;           /* some spec has on_archive */
    lq_map types;            /* as written → lq_lua_spec */
    lq_lua_prefix *prefixes; /* the longest first */
    size_t prefix_count, prefix_cap;
    lq_lua_cron *crons;
    lq_lua_middleware *middleware;
    size_t middleware_count;
    lq_lua_spec nobody; /* of a type without a handler: says nothing */
} lq_lua_snapshot;

lq_lua_snapshot *lq_lua_snapshot_new(void); /* NULL: out of memory */
lq_lua_snapshot *lq_lua_snapshot_ref(lq_lua_snapshot *s);
void lq_lua_snapshot_unref(lq_lua_snapshot *s); /* NULL is fine */
/** The handler of a type: its own, else that of the longest prefix, byte by
 * byte as Asynq's ServeMux; NULL when there is none. */
const lq_lua_spec *lq_lua_snapshot_find(const lq_lua_snapshot *s, lq_str type);

/** Fills what the caller left out of a task to enqueue with what its handler
 *  file says (queue, max_retry, timeout_ms, retention_ms, unique_ms). */
void lq_lua_spec_defaults(const lq_lua_spec *spec, lunaq_task *task);

#endif
