/* Periodic entries: what was asked for → entries with instants. */
#include "runtime/schedule.h"

#include "base/clock.h"

#include <stdio.h>

#define IGNORED_SAID 10 /* of one place, at each reading */

/* ---- one entry ----------------------------------------------------------- */

static void entry_free(lq_entry *e)
{
    lq_arena_release(&e->copy);
    lq_free(e);
}

static bool keep(lq_arena *a, lq_str *s)
{
    char *p = s->p ? lq_arena_dup(a, *s) : NULL;
    if (s->p && !p)
        return false;
    s->p = p;
    return true;
}

/* The entry's own copy of what is enqueued at each tick. */
static bool copy_item(lq_entry *e, const lq_enqueue *item)
{
    lq_task *t = &e->item.task;
    *t = item->task;
    e->item.unique_s = item->unique_s;
    t->headers =
        lq_arena_alloc(&e->copy, (t->header_count + 1) * sizeof(*t->headers));
    if (!t->headers)
        return false;
    for (size_t i = 0; i < t->header_count; i++) {
        t->headers[i] = item->task.headers[i];
        if (!keep(&e->copy, &t->headers[i].key) ||
            !keep(&e->copy, &t->headers[i].value))
            return false;
    }
    t->unknown = NULL;
    t->unknown_count = 0;
    return keep(&e->copy, &t->type) && keep(&e->copy, &t->payload) &&
           keep(&e->copy, &t->queue) && keep(&e->copy, &t->group_key) &&
           keep(&e->copy, &t->unique_key);
}

/* Its spec with the zone, its rule, its id. */
static int read_rule(lq_schedule *s, lq_entry *e, const lq_cron_want *w,
                     lunaq_error *err)
{
    const lq_cron_text text = {w->spec, w->tz, w->dst, w->missed};
    lq_buf shown;
    lq_buf_init(&shown, 4096);
    int rc = lq_cron_rule_read(&e->rule, &shown, &s->zones, &text,
                               s->rt->o.timezone, err);
    if (!rc && shown.failed)
        rc = lq_fail(err, LUNAQ_EINVAL, "the spec is too long");
    if (!rc)
        e->spec = lq_arena_dup(&e->copy, lq_buf_str(&shown));
    if (!rc && w->name && *w->name)
        rc = lq_name_check("name", lq_str_c(w->name), err);
    if (w->name && *w->name)
        e->name = lq_arena_dup(&e->copy, lq_str_c(w->name));
    lq_buf_release(&shown);
    if (rc)
        return rc;
    if (!e->spec || !copy_item(e, w->item) || (w->name && *w->name && !e->name))
        return lq_fail_nomem(err);
    int n = snprintf(e->id, sizeof(e->id), "%.*s|%s%s%s",
                     LQ_STR_ARG(e->item.task.type), e->spec, e->name ? "|" : "",
                     e->name ? e->name : "");
    if (n < 0 || (size_t)n >= sizeof(e->id))
        return lq_fail(err, LUNAQ_EINVAL,
                       "its type, spec and name are too long");
    return LUNAQ_OK;
}

int64_t lq_entry_due(lq_entry *e, int64_t now_ms)
{
    return lq_cron_due(&e->rule, &e->next_ms, now_ms);
}

bool lq_entry_ahead(const lq_entry *e, int64_t now_ms)
{
    /* Nearly always no, for the price of a comparison. */
    return e->base_ms > now_ms &&
           e->base_ms > lq_cron_believed_ms(&e->rule.cron, now_ms);
}

void lq_entry_learn(lq_entry *e, int64_t last_ms, bool never, int64_t now_ms)
{
    e->base_ms = last_ms;
    e->seen = !lq_entry_ahead(e, now_ms);
    e->last_ms = never ? 0 : last_ms;
    e->next_ms = lq_cron_next_ms(&e->rule.cron, last_ms);
}

/* ---- the set ------------------------------------------------------------- */

static void ignored(lq_schedule *s, const lq_cron_want *w, const char *why)
{
    if (s->ignored++ >= IGNORED_SAID ||
        !lq_log_on(s->rt->o.log, LUNAQ_LOG_ERROR))
        return;
    lq_field fields[6];
    size_t n = 0;
    if (w->file)
        fields[n++] = lq_fc("file", w->file);
    if (w->row)
        fields[n++] = lq_fi("row", w->row);
    fields[n++] = lq_fc("spec", w->spec ? w->spec : "");
    fields[n++] = lq_fs("type", w->item->task.type);
    if (w->name && *w->name)
        fields[n++] = lq_fc("name", w->name);
    fields[n++] = lq_fc("reason", why);
    lq_log_write(s->rt->o.log, LUNAQ_LOG_ERROR,
                 LQ_STR("periodic entry ignored"), fields, n);
}

/* Not a line for each of ten thousand. */
static void say_ignored(const lq_schedule *s)
{
    if (s->ignored > IGNORED_SAID)
        LQ_LOG(s->rt->o.log, ERROR, "more periodic entries were ignored",
               lq_fi("count", (int64_t)(s->ignored - IGNORED_SAID)));
}

/* "0 0 31 2 *" is a good spec, and surely a mistake. */
static void warn_if_never(lq_schedule *s, const lq_entry *e,
                          const lq_cron_want *w)
{
    if (lq_cron_next_ms(&e->rule.cron, lq_now_ms()) == 0)
        LQ_LOG(s->rt->o.log, WARN, "periodic entry never fires",
               lq_fc("file", w->file ? w->file : ""), lq_fc("spec", e->spec),
               lq_fs("type", e->item.task.type),
               lq_fc("name", e->name ? e->name : ""),
               lq_fc("reason", "no instant within five years fits the spec: "
                               "correct its day and month"));
}

/* The old one becomes the new one, in its place; what is known of it stays. */
static void replace(lq_entry *old, lq_entry *e)
{
    lq_arena_release(&old->copy);
    e->next = old->next;
    e->seen = old->seen;
    e->base_ms = old->base_ms;
    e->last_ms = old->last_ms;
    e->next_ms = old->next_ms;
    e->asked_ms = old->asked_ms;
    e->answered = old->answered;
    e->skip = old->skip;
    if (e->seen && e->rule.cron.dst != old->rule.cron.dst)
        e->next_ms = lq_cron_next_ms(&e->rule.cron, e->base_ms);
    e->sent_ms = old->sent_ms;
    memcpy(e->item.id, old->item.id, sizeof(e->item.id));
    *old = *e;
    old->item.task.id = lq_str_c(old->item.id); /* each tick has its own */
    lq_free(e);
}

void lq_schedule_want(lq_schedule *s, const lq_cron_want *w)
{
    lunaq_error why = LUNAQ_ERROR_INIT;
    lq_entry *e = lq_calloc(1, sizeof(*e)), *old;
    if (!e) {
        ignored(s, w, "out of memory");
        return;
    }
    int rc = read_rule(s, e, w, &why);
    if (rc)
        goto out;
    e->place = s->place;
    e->kept = true;
    old = lq_map_get(&s->by_id, lq_str_c(e->id));
    if (old && (old->place != s->place || old->kept)) {
        rc = lq_fail(&why, LUNAQ_EDUPLICATE,
                     "there is one of this type and spec already: give them "
                     "names");
        old->claimed = old->claimed || old->place != s->place;
        goto out;
    }
    if (old) {
        replace(old, e);
        return;
    }
    if (!lq_map_set(&s->by_id, lq_str_c(e->id), e, NULL)) {
        rc = lq_fail_nomem(&why);
        goto out;
    }
    e->next = s->entries;
    s->entries = e;
    s->count++;
    warn_if_never(s, e, w);
out:
    if (rc) {
        ignored(s, w, why.message);
        entry_free(e);
    }
}

lq_entry *lq_schedule_find(const lq_schedule *s, const char *id)
{
    return lq_map_get(&s->by_id, lq_str_c(id));
}

void lq_schedule_begin(lq_schedule *s, int place)
{
    s->place = place;
    s->ignored = 0;
    for (lq_entry *e = s->entries; e; e = e->next)
        if (e->place == place)
            e->kept = false;
}

void lq_schedule_end(lq_schedule *s)
{
    for (lq_entry **at = &s->entries; *at;) {
        lq_entry *e = *at;
        if (e->place != s->place || e->kept) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        s->moved = s->moved || e->claimed;
        lq_map_remove(&s->by_id, lq_str_c(e->id));
        entry_free(e);
        s->count--;
    }
    say_ignored(s);
}

void lq_schedule_reload_zones(lq_schedule *s)
{
    lunaq_error why = LUNAQ_ERROR_INIT;
    if (lq_zones_reload(&s->zones, &why))
        LQ_LOG(s->rt->o.log, ERROR,
               "a time zone could not be read again; it stays as it was",
               lq_fc("reason", why.message));
    for (lq_entry *e = s->entries; e; e = e->next)
        if (e->seen && e->rule.cron.zone)
            e->next_ms = lq_cron_next_ms(&e->rule.cron, e->base_ms);
}

void lq_schedule_release(lq_schedule *s)
{
    while (s->entries) {
        lq_entry *e = s->entries;
        s->entries = e->next;
        entry_free(e);
    }
    lq_map_release(&s->by_id);
    lq_zones_release(&s->zones);
    s->count = 0;
}
