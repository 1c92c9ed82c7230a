/* lunaq_cron_entry: checked and copied. */
#include "runtime/cron_entry.h"

#include "base/clock.h"
#include "base/sized.h"
#include "task/cron_rule.h"
#include <lunaq/server.h>

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

/* NULL and "" are not given. */
static bool dup_given(lq_arena *mem, const char *s, const char **out)
{
    *out = s && *s ? lq_arena_dup(mem, lq_str_c(s)) : NULL;
    return !s || !*s || *out;
}

int lq_cron_entry_read(lq_cron_want *want, lq_enqueue *item, const void *from,
                       lq_arena *mem, lunaq_error *err)
{
    lunaq_cron_entry e = {0};
    lunaq_error why = LUNAQ_ERROR_INIT;
    int rc = lq_sized_copy(&e, sizeof(e), from, "lunaq_cron_entry", err);
    if (rc)
        return rc;
    const lq_cron_text text = {e.spec, e.tz, e.dst, e.missed};
    rc = lq_cron_rule_check(&text, &why);
    if (!rc && e.name && *e.name)
        rc = lq_name_check("name", lq_str_c(e.name), &why);
    if (!rc && !copy_task(mem, &e.task))
        return lq_fail_nomem(err);
    if (!rc)
        rc = lq_enqueue_init(item, &e.task, lq_now_ms(), &why);
    if (rc)
        return lq_fail(err, rc, "cron entry \"%s\": %s", e.spec ? e.spec : "",
                       why.message);
    *want = (lq_cron_want){.item = item};
    if (!dup_given(mem, e.spec, &want->spec) ||
        !dup_given(mem, e.name, &want->name) ||
        !dup_given(mem, e.tz, &want->tz) ||
        !dup_given(mem, e.dst, &want->dst) ||
        !dup_given(mem, e.missed, &want->missed)) {
        lq_enqueue_release(item);
        return lq_fail_nomem(err);
    }
    return LUNAQ_OK;
}
