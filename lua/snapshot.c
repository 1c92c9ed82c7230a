/* A generation as C values: see snapshot.h. */
#include "lua/snapshot.h"

const char *const lq_lua_arg_names[LQ_ARG_TYPES] = {
    [LQ_ARG_ANY] = "any",         [LQ_ARG_STRING] = "string",
    [LQ_ARG_NUMBER] = "number",   [LQ_ARG_INTEGER] = "integer",
    [LQ_ARG_BOOLEAN] = "boolean", [LQ_ARG_TABLE] = "table",
};

lq_lua_snapshot *lq_lua_snapshot_new(void)
{
    lq_lua_snapshot *s = lq_calloc(1, sizeof *s);
    if (s) {
        atomic_init(&s->refs, 1);
        s->nobody.max_retry = s->nobody.timeout_ms = s->nobody.retention_ms =
            -1;
    }
    return s;
}

lq_lua_snapshot *lq_lua_snapshot_ref(lq_lua_snapshot *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void lq_lua_snapshot_unref(lq_lua_snapshot *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    for (lq_lua_cron *c = s->crons; c; c = c->next)
        if (c->ready)
            lq_enqueue_release(&c->item);
    lq_map_release(&s->types);
    lq_lua_source_release(&s->source);
    lq_arena_release(&s->mem);
    lq_free(s);
}

const lq_lua_spec *lq_lua_snapshot_find(const lq_lua_snapshot *s, lq_str type)
{
    const lq_lua_spec *spec = lq_map_get(&s->types, type);
    for (size_t i = 0; !spec && i < s->prefix_count; i++)
        if (lq_str_starts(type, s->prefixes[i].text))
            spec = s->prefixes[i].spec;
    return spec;
}

void lq_lua_spec_defaults(const lq_lua_spec *spec, lunaq_task *task)
{
    if (!task->queue)
        task->queue = spec->queue;
    /* In a lunaq_task 0 is "the default" and -1 "none"; here 0 is none. */
    if (task->max_retry == 0 && spec->max_retry >= 0)
        task->max_retry = spec->max_retry == 0 ? -1 : spec->max_retry;
    if (task->timeout_ms == 0 && spec->timeout_ms >= 0)
        task->timeout_ms = spec->timeout_ms == 0 ? -1 : spec->timeout_ms;
    if (task->retention_ms == 0 && spec->retention_ms > 0)
        task->retention_ms = spec->retention_ms;
    if (task->unique_ms == 0 && spec->unique_ms > 0)
        task->unique_ms = spec->unique_ms;
}
