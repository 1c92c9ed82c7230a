/* Entries, their next instants, and the ticks. */
#include "runtime/scheduler.h"

#include "base/clock.h"
#include "runtime/control.h"
#include "task/duration.h"
#include "task/id.h"

#include <stdio.h>

#define PUBLISH_MS 10000
#define PUBLISH_TTL_MS 20000
#define RECHECK_MS 30000 /* the wall clock may step */
#define REFUSED_MS 1000  /* until an entry that was refused is tried again */
#define SKEW_MS 300000   /* by which the clocks of several hosts may differ */

/* One periodic entry.  The strings of its task live in `copy`. */
typedef struct lq_cron_entry {
    struct lq_cron_entry *next;
    char id[LUNAQ_NAME_MAX * 3];
    char *spec;
    lq_cron cron;
    lq_arena copy;
    lq_enqueue item;
    bool seen;       /* its last instant was read from the broker */
    int64_t base_ms; /* what next_ms follows: its last instant or first sight */
    int64_t last_ms; /* 0 = it never fired */
    int64_t next_ms; /* 0 = never */
    bool kept;
    bool refused; /* the broker did not take its tick, in this round */
} lq_cron_entry;

static void round_due(void *ud);
static void tick_next(lq_scheduler *s);
static void ticked(lq_op *op);

/* ---- entries ------------------------------------------------------------- */

static void entry_free(lq_cron_entry *e)
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
static bool copy_item(lq_cron_entry *e, const lq_enqueue *item)
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

static lq_cron_entry *find(lq_scheduler *s, const char *id)
{
    for (lq_cron_entry *e = s->entries; e; e = e->next)
        if (strcmp(e->id, id) == 0)
            return e;
    return NULL;
}

/* Adds or replaces an entry; one that stays keeps what the broker said of it.
 */
static void want(void *ud, const lq_cron_want *w)
{
    lq_scheduler *s = ud;
    lq_cron_entry *e = lq_calloc(1, sizeof(*e)), *old;
    lunaq_error why = LUNAQ_ERROR_INIT;
    lq_str type = w->item->task.type;

    if (!e)
        return;
    snprintf(e->id, sizeof(e->id), "%.*s|%s%s%s", LQ_STR_ARG(type), w->spec,
             w->name && *w->name ? "|" : "", w->name ? w->name : "");
    e->spec = lq_arena_dup(&e->copy, lq_str_c(w->spec));
    if (!e->spec || !copy_item(e, w->item) ||
        lq_cron_parse(&e->cron, lq_str_c(w->spec), &why)) {
        LQ_LOG(s->control->rt->o.log, ERROR, "periodic entry ignored",
               lq_fc("spec", w->spec), lq_fs("type", type),
               lq_fc("reason", why.code ? why.message : "out of memory"));
        entry_free(e);
        return;
    }
    e->kept = true;
    old = find(s, e->id);
    if (old) {
        if (old->kept)
            LQ_LOG(s->control->rt->o.log, WARN,
                   "two periodic entries of one type and spec: only the last "
                   "counts; give them names",
                   lq_fc("spec", w->spec), lq_fs("type", type));
        e->seen = old->seen;
        e->base_ms = old->base_ms;
        e->last_ms = old->last_ms;
        e->next_ms = old->next_ms;
        old->kept = false;
        old->id[0] = 0; /* not found again; removed by the caller */
    }
    e->next = s->entries;
    s->entries = e;
}

static void load_entries(lq_scheduler *s)
{
    lq_runtime *rt = s->control->rt;

    for (lq_cron_entry *e = s->entries; e; e = e->next)
        e->kept = false;
    if (rt->o.source.each_cron)
        rt->o.source.each_cron(rt->o.source.ud, want, s);
    for (size_t i = 0; i < rt->o.cron_count; i++)
        want(s, &rt->o.cron[i]);
    for (lq_cron_entry **at = &s->entries; *at;) {
        lq_cron_entry *e = *at;
        if (e->kept) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        entry_free(e);
    }
    s->reload = false;
    s->changed = true;
}

/* ---- ticks --------------------------------------------------------------- */

/* An instant that is due, later than next but not by more than a walk, when
 * much was missed. */
static int64_t skip_missed(const lq_cron *cron, int64_t next, int64_t now_ms)
{
    static const int64_t hours[] = {1, 24, INT64_C(24) * 32, INT64_C(24) * 367};

    for (size_t i = 0; i < LQ_COUNT(hours); i++) {
        int64_t from = now_ms - hours[i] * 3600 * 1000;
        if (from <= next)
            break;
        int64_t at = lq_cron_next_ms(cron, from);
        if (at && at <= now_ms)
            return at;
    }
    return next;
}

/* The latest instant that is due, or 0.  What lies between is missed, and is
 * made up for once. */
static int64_t due_instant(const lq_cron_entry *e, int64_t now_ms)
{
    int64_t instant = 0, next = e->next_ms;

    if (e->cron.every_ms > 0 && next && next <= now_ms)
        return next + (now_ms - next) / e->cron.every_ms * e->cron.every_ms;
    if (next && next <= now_ms)
        next = skip_missed(&e->cron, next, now_ms);
    while (next && next <= now_ms) {
        instant = next;
        next = lq_cron_next_ms(&e->cron, next);
    }
    return instant;
}

/* An instant that was fired ahead of its time, by a clock that was set back or
 * by a host whose clock is ahead, is not fired again.  But where it is more
 * than a period ahead the entry would miss instants of which nobody took care:
 * it begins anew.  Where periods are short, hosts may differ by SKEW_MS before
 * one of them takes the other's instants for that. */
static int64_t latest_believed(const lq_cron_entry *e, int64_t now_ms)
{
    int64_t period = e->cron.every_ms;
    if (period <= 0) {
        int64_t next = lq_cron_next_ms(&e->cron, now_ms);
        period = next ? lq_cron_next_ms(&e->cron, next) - next : 0;
    }
    return now_ms + (period > SKEW_MS ? period : SKEW_MS);
}

static bool ahead(const lq_cron_entry *e, int64_t now_ms)
{
    return e->base_ms > now_ms + SKEW_MS &&
           e->base_ms > latest_believed(e, now_ms);
}

static void round_due(void *ud)
{
    lq_scheduler *s = ud;
    if (s->reload)
        load_entries(s);
    for (lq_cron_entry *e = s->entries; e; e = e->next) {
        e->refused = false;
        if (ahead(e, lq_now_ms()))
            e->seen = false; /* the broker decides it, for all of us */
    }
    s->at = s->entries;
    tick_next(s);
}

static void end_round(lq_scheduler *s)
{
    int64_t now = lq_now_ms(), wait = RECHECK_MS;

    for (const lq_cron_entry *e = s->entries; e; e = e->next)
        if (!e->seen || e->refused)
            wait = wait < REFUSED_MS ? wait : REFUSED_MS;
        else if (e->next_ms && e->next_ms - now < wait)
            wait = e->next_ms - now;
    if (s->reload) /* it came during this round */
        wait = 0;
    if (!s->control->link_up && wait < 1000)
        wait = 1000;
    lq_periodic_over_in(&s->round, wait < 0 ? 0 : wait);
    if (s->changed)
        lq_periodic_now(&s->publish);
}

/* The entry's task with an id of its own for this tick. */
static void make_item(lq_scheduler *s, lq_cron_entry *e)
{
    (void)s;
    lq_uuid7(e->item.id, lq_now_ms());
    e->item.task.id = lq_str_c(e->item.id);
    e->item.process_at_ms = 0;
    e->item.code = LUNAQ_OK;
}

static void tick_next(lq_scheduler *s)
{
    int64_t now = lq_now_ms(), instant = 0;

    while (s->at && s->at->seen && (instant = due_instant(s->at, now)) == 0)
        s->at = s->at->next;
    if (!s->at || !s->control->link_up || s->reload) {
        end_round(s);
        return;
    }
    lq_op_init(&s->fire.op, LQ_OP_CRON_FIRE);
    s->fire.op.done = ticked;
    s->fire.op.ud = s;
    s->fire.queue = s->at->item.task.queue;
    s->fire.entry_id = lq_str_c(s->at->id);
    s->fire.instant_ms = instant;
    s->fire.first_ms = s->at->seen ? 0 : now;
    s->fire.latest_ms = s->at->seen ? 0 : latest_believed(s->at, now);
    s->fire.item = NULL;
    if (s->at->seen) {
        make_item(s, s->at);
        s->fire.item = &s->at->item;
    }
    lq_link_submit(s->control->link, &s->fire.op);
}

static void log_tick(lq_scheduler *s, const lq_cron_entry *e)
{
    lq_log *log = s->control->rt->o.log;
    if (e->item.code)
        LQ_LOG(log, WARN, "periodic task not enqueued",
               lq_fs("type", e->item.task.type), lq_fc("spec", e->spec),
               lq_fc("reason", lunaq_strerror(e->item.code)));
    else
        LQ_LOG(log, INFO, "periodic task enqueued",
               lq_fs("type", e->item.task.type), lq_fc("spec", e->spec),
               lq_fs("id", e->item.task.id));
}

static void ticked(lq_op *op)
{
    lq_scheduler *s = op->ud;
    lq_cron_entry *e = s->at;
    int rc = op->rc;
    bool lost =
        rc == LUNAQ_EBROKER || rc == LUNAQ_EUNKNOWN || rc == LUNAQ_ECANCELED;

    if (rc == LUNAQ_OK) {
        if (s->fire.fired)
            log_tick(s, e);
        if (s->fire.set_back)
            LQ_LOG(s->control->rt->o.log, WARN,
                   "the last tick of a periodic entry lay in the future, as "
                   "when a clock is set back; it begins anew",
                   lq_fs("type", e->item.task.type), lq_fc("spec", e->spec));
        e->base_ms = s->fire.last_ms;
        e->seen = !ahead(e, lq_now_ms());
        e->last_ms = s->fire.never ? 0 : s->fire.last_ms;
        e->next_ms = lq_cron_next_ms(&e->cron, s->fire.last_ms);
        s->changed = true;
    } else if (!lost) { /* its keys are damaged: the others go on */
        e->refused = true;
        if (lq_log_gate(&s->control->rt->log_gate, 5000))
            LQ_LOG(s->control->rt->o.log, ERROR, "cannot fire a periodic entry",
                   lq_fc("spec", e->spec), lq_fc("reason", op->err.message));
    }
    lq_op_release(op);
    s->at = e->next;
    if (lost) { /* the same tick again, in a while: the broker knows if it came
                 */
        lq_periodic_over_in(&s->round, 1000);
        return;
    }
    tick_next(s);
}

/* ---- records for inspectors ---------------------------------------------- */

static void published(lq_op *op)
{
    lq_scheduler *s = op->ud;
    if (op->rc == LUNAQ_OK && s->pub.count == 0)
        s->shown = false;
    lq_op_release(op);
    lq_arena_release(&s->pub_mem);
    lq_periodic_over(&s->publish);
    if (s->changed && s->at == NULL)
        lq_periodic_now(&s->publish);
}

#define OPTIONS_MAX 5

static void add_seconds(lq_buf *b, const char *name, int64_t seconds)
{
    lq_buf_add_c(b, name);
    lq_buf_add_char(b, '(');
    lq_duration_go(b, seconds * 1000);
    lq_buf_add_char(b, ')');
}

/* What the entry passes at enqueue, as Asynq writes options. */
static size_t options_of(lq_scheduler *s, const lq_cron_entry *e, lq_str *out)
{
    const lq_task *t = &e->item.task;
    const struct {
        const char *name;
        int64_t seconds;
    } durations[] = {{"Timeout", t->timeout_s},
                     {"Unique", e->item.unique_s},
                     {"Retention", t->retention_s}};
    lq_buf b[OPTIONS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < OPTIONS_MAX; i++)
        lq_buf_init(&b[i], 2048);
    lq_buf_printf(&b[n++], "Queue(\"%.*s\")", LQ_STR_ARG(t->queue));
    lq_buf_printf(&b[n++], "MaxRetry(%d)", (int)t->max_retry);
    for (size_t i = 0; i < LQ_COUNT(durations); i++)
        if (durations[i].seconds > 0)
            add_seconds(&b[n++], durations[i].name, durations[i].seconds);
    for (size_t i = 0; i < n; i++) {
        char *text = lq_arena_dup(&s->pub_mem, lq_buf_str(&b[i]));
        out[i] = lq_str_c(text ? text : "Queue(\"\")");
    }
    for (size_t i = 0; i < OPTIONS_MAX; i++)
        lq_buf_release(&b[i]);
    return n;
}

static void publish(void *ud)
{
    lq_scheduler *s = ud;
    size_t n = 0, at = 0;

    for (const lq_cron_entry *e = s->entries; e; e = e->next)
        n++;
    lq_str *encoded = lq_arena_alloc(&s->pub_mem, (n + 1) * sizeof(*encoded));
    if (!s->control->link_up || !encoded || (n == 0 && !s->shown)) {
        lq_arena_release(&s->pub_mem);
        lq_periodic_over(&s->publish);
        return;
    }
    for (const lq_cron_entry *e = s->entries; e; e = e->next) {
        lq_str options[OPTIONS_MAX];
        lq_cron_msg m = {.id = lq_str_c(e->id),
                         .spec = lq_str_c(e->spec),
                         .type = e->item.task.type,
                         .payload = e->item.task.payload,
                         .options = options,
                         .option_count = options_of(s, e, options),
                         .next_ms = e->next_ms,
                         .prev_ms = e->last_ms};
        lq_buf_clear(&s->pub_buf);
        lq_cron_encode(&s->pub_buf, &m);
        char *p = lq_arena_dup(&s->pub_mem, lq_buf_str(&s->pub_buf));
        if (p)
            encoded[at++] = lq_str_n(p, s->pub_buf.len);
    }
    lq_op_init(&s->pub.op, LQ_OP_CRON_PUBLISH);
    s->pub.op.done = published;
    s->pub.op.ud = s;
    s->pub.scheduler_id = lq_str_c(s->scheduler_id);
    s->pub.entries = encoded;
    s->pub.count = at;
    s->shown = s->shown || at > 0;
    s->changed = false;
    s->pub.ttl_ms = PUBLISH_TTL_MS;
    lq_link_submit(s->control->link, &s->pub.op);
}

/* -------------------------------------------------------------------------- */

void lq_scheduler_reload(lq_scheduler *s)
{
    s->reload = true;
    lq_periodic_now(&s->round);
}

int lq_scheduler_start(lq_scheduler *s, struct lq_control *c, lunaq_error *err)
{
    s->control = c;
    s->reload = true;
    lq_buf_init(&s->pub_buf, 0);
    snprintf(s->scheduler_id, sizeof(s->scheduler_id), "%s:%d:%s", c->rt->host,
             (int)c->rt->pid, c->rt->server_id);
    int rc =
        lq_periodic_start(&s->round, c->loop, 0, RECHECK_MS, round_due, s, err);
    if (!rc)
        rc = lq_periodic_start(&s->publish, c->loop, 1000, PUBLISH_MS, publish,
                               s, err);
    return rc;
}

void lq_scheduler_stop(lq_scheduler *s)
{
    lq_periodic_stop(&s->round);
    lq_periodic_stop(&s->publish);
    lq_arena_release(&s->pub_mem);
    lq_buf_release(&s->pub_buf);
    while (s->entries) {
        lq_cron_entry *e = s->entries;
        s->entries = e->next;
        entry_free(e);
    }
}
