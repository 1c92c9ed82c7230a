/* The options of a server that concern periodic tasks. */
#include "api/server_parts.h"

#include "base/clock.h"
#include "base/sized.h"
#include "task/cron_rule.h"

#define SCHEDULE_EVERY_MS 180000 /* as Asynq's manager of periodic tasks */

static const char *dup_or_null(lq_arena *mem, const char *s)
{
    return s && *s ? lq_arena_dup(mem, lq_str_c(s)) : NULL;
}

static bool dup_in(lq_arena *mem, const char **s)
{
    if (!*s)
        return true;
    *s = lq_arena_dup(mem, lq_str_c(*s));
    return *s != NULL;
}

/* An item keeps views into its task: the caller's strings need not stay. */
static bool copy_task(lq_arena *mem, lunaq_task *t)
{
    if (!dup_in(mem, &t->type) || !dup_in(mem, &t->queue) ||
        !dup_in(mem, &t->task_id) || !dup_in(mem, &t->group))
        return false;
    if (t->payload) {
        t->payload = lq_arena_dup(mem, lq_str_n(t->payload, t->payload_len));
        if (!t->payload)
            return false;
    }
    if (!t->headers)
        return true;
    lunaq_header *headers =
        lq_arena_alloc(mem, (t->header_count + 1) * sizeof(*headers));
    if (!headers)
        return false;
    for (size_t i = 0; i < t->header_count; i++) {
        headers[i] = t->headers[i];
        if (!dup_in(mem, &headers[i].name) || !dup_in(mem, &headers[i].value))
            return false;
    }
    t->headers = headers;
    return true;
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
        lunaq_cron_entry e = {0};
        int rc = lq_sized_copy(&e, sizeof(e), from, "lunaq_cron_entry", err);
        const lq_cron_text text = {e.spec, e.tz, e.dst, e.missed};
        if (!rc)
            rc = lq_cron_rule_check(&text, err);
        s->cron_items[i] = lq_arena_alloc(&s->mem, sizeof(lq_enqueue));
        if (!s->cron_items[i] || (!rc && !copy_task(&s->mem, &e.task)))
            return lq_fail_nomem(err);
        if (!rc)
            rc = lq_enqueue_init(s->cron_items[i], &e.task, lq_now_ms(), err);
        if (rc) {
            lq_error_prefix(err, "cron entry \"%s\"", e.spec ? e.spec : "");
            return rc;
        }
        s->cron[i] =
            (lq_cron_want){.spec = lq_arena_dup(&s->mem, lq_str_c(e.spec)),
                           .name = dup_or_null(&s->mem, e.name),
                           .item = s->cron_items[i],
                           .tz = dup_or_null(&s->mem, e.tz),
                           .dst = dup_or_null(&s->mem, e.dst),
                           .missed = dup_or_null(&s->mem, e.missed)};
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
    if (o->schedule_every_ms < 1000)
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
