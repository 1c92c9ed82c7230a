/* The options of a server that concern periodic tasks. */
#include "api/server_parts.h"

#include "runtime/cron_callback.h"
#include "runtime/cron_entry.h"
#include "task/cron_rule.h"

#define SCHEDULE_EVERY_MS 180000 /* as Asynq's manager of periodic tasks */

static const char *dup_or_null(lq_arena *mem, const char *s)
{
    return s && *s ? lq_arena_dup(mem, lq_str_c(s)) : NULL;
}

static int copy_entries(lunaq_server *s, lunaq_error *err)
{
    size_t n = s->o.cron_count;
    s->cron = lq_arena_alloc(&s->mem, (n + 1) * sizeof(*s->cron));
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): of pointers it is */
    s->cron_items = lq_arena_alloc(&s->mem, (n + 1) * sizeof(*s->cron_items));
    if (!s->cron || !s->cron_items)
        return lq_fail_nomem(err);
    const char *from = (const char *)s->o.cron;
    for (size_t i = 0; i < n; i++) {
        s->cron_items[i] = lq_arena_alloc(&s->mem, sizeof(lq_enqueue));
        if (!s->cron_items[i])
            return lq_fail_nomem(err);
        int rc = lq_cron_entry_read(&s->cron[i], s->cron_items[i], from,
                                    &s->mem, err);
        if (rc)
            return rc;
        from += ((const lunaq_cron_entry *)(const void *)from)->size;
    }
    return LUNAQ_OK;
}

static int copy_timezone(lunaq_server *s, lunaq_error *err)
{
    const lq_cron_text text = {"@daily", s->o.timezone, NULL, NULL};
    int rc = lq_cron_rule_check(&text, err);
    if (rc) {
        lq_error_prefix(err, "timezone");
        if (err)
            err->code = LUNAQ_ECONFIG;
        return LUNAQ_ECONFIG;
    }
    s->o.timezone = dup_or_null(&s->mem, s->o.timezone);
    return LUNAQ_OK;
}

static int copy_schedules(lunaq_server *s, lunaq_error *err)
{
    lunaq_server_options *o = &s->o;
    if (!o->schedule_every_ms)
        o->schedule_every_ms = SCHEDULE_EVERY_MS;
    if (o->schedule_every_ms < 1000 || o->schedule_every_ms > INT64_MAX / 2000)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "schedule_every is %lld ms: use 1s or more",
                       (long long)o->schedule_every_ms);
    o->schedules = dup_or_null(&s->mem, o->schedules);
    if (o->schedules && (!o->database || !o->handlers))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "schedules needs a database and a folder of handlers");
    return LUNAQ_OK;
}

int lq_server_cron_take(lunaq_server *s, lunaq_error *err)
{
    int rc = copy_timezone(s, err);
    if (!rc)
        rc = copy_schedules(s, err);
    return rc ? rc : copy_entries(s, err);
}

/* ---- hooks --------------------------------------------------------------- */

int lunaq_server_cron(lunaq_server *server, const lunaq_cron_hooks *hooks,
                      lunaq_error *err)
{
    if (!server || server->life != LIFE_OPEN)
        return lq_fail(err, LUNAQ_ESTATE,
                       "cron hooks are set before lunaq_server_start()");
    if (!hooks)
        return lq_fail(err, LUNAQ_EINVAL, "lunaq_server_cron: no hooks");
    lq_cron_callbacks_free(server->cron_callbacks);
    server->cron_callbacks = NULL;
    return lq_cron_callbacks_new(&server->cron_callbacks, hooks, server->log,
                                 err);
}
