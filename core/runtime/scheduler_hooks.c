/* Functions around a tick: before it, which may say that it shall enqueue
 * nothing, and after it.  They run on a worker, while other entries tick.  One
 * that fails is for the log: the tick goes on, once. */
#include "runtime/scheduler.h"

#include "runtime/control.h"

#include <stdio.h>

#define BEFORE_MS 10000
#define AFTER_MS 30000

/* A call, with copies of all it is told: the entry may go meanwhile. */
struct call {
    lq_internal_run r; /* first */
    lq_scheduler *s;
    lq_arena mem;
    lq_tick_in in;
    lq_task task;
    lq_before_out out;
};

static void call_free(struct call *c)
{
    lq_arena_release(&c->mem);
    lq_free(c);
}

static const char *owner(const lq_scheduler *s, enum lq_run_kind kind,
                         const lq_entry *e)
{
    const lq_handler_source *source = &s->control->rt->o.source;
    return source->cron_hook
               ? source->cron_hook(source->ud, kind, e->item.task.type)
               : NULL;
}

static bool keep(struct call *c, lq_str *s)
{
    char *p = lq_arena_dup(&c->mem, *s);
    s->p = p;
    return p != NULL;
}

static bool keep_text(struct call *c, const char **s)
{
    if (*s)
        *s = lq_arena_dup(&c->mem, lq_str_c(*s));
    return true;
}

static struct call *call_new(lq_scheduler *s, const lq_entry *e,
                             enum lq_run_kind kind, const char *type)
{
    struct call *c = lq_calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    lq_str whose = lq_str_c(type);
    c->s = s;
    c->task = (lq_task){.type = e->item.task.type,
                        .payload = e->item.task.payload,
                        .id = e->item.task.id,
                        .queue = e->item.task.queue,
                        .max_retry = e->item.task.max_retry};
    c->in = (lq_tick_in){
        .entry_id = e->id, .spec = e->spec, .name = e->name, .task = &c->task};
    if (!keep(c, &whose) || !keep(c, &c->task.type) ||
        !keep(c, &c->task.payload) || !keep(c, &c->task.id) ||
        !keep(c, &c->task.queue) || !keep_text(c, &c->in.entry_id) ||
        !keep_text(c, &c->in.spec) || !keep_text(c, &c->in.name) ||
        !c->in.entry_id || !c->in.spec) {
        call_free(c);
        return NULL;
    }
    c->r.run = (lq_run){.kind = kind, .task.type = whose, .in = &c->in};
    return c;
}

static void failed(const struct call *c, const lq_verdict *v, const char *what)
{
    bool none = v->error_kind && strcmp(v->error_kind, "no_hook") == 0;
    if (v->kind != LQ_SUCCEEDED && v->kind != LQ_ENDED && !none)
        LQ_LOG(c->s->control->rt->o.log, ERROR, what,
               lq_fc("entry", c->in.entry_id), lq_fs("reason", v->message));
}

/* ---- before -------------------------------------------------------------- */

static void asked(lq_internal_run *r, const lq_verdict *v)
{
    struct call *c = (struct call *)r;
    lq_scheduler *s = c->s;
    lq_entry *e = lq_schedule_find(&s->schedule, c->in.entry_id);
    failed(c, v, "before_enqueue failed; the tick goes on");
    /* The entry may be another of the same name: it asks for itself. */
    if (e && e->asked_ms == c->in.instant_ms && !e->answered) {
        if (v->kind == LQ_ENDED) {
            e->asked_ms = 0; /* the server stops */
        } else {
            e->answered = true;
            e->skip = v->kind == LQ_SUCCEEDED && c->out.skip;
        }
    }
    call_free(c);
    lq_scheduler_now(s);
}

bool lq_scheduler_ask(lq_scheduler *s, lq_entry *e, int64_t instant_ms)
{
    const char *type = owner(s, LQ_RUN_BEFORE_ENQUEUE, e);
    struct call *c = type ? call_new(s, e, LQ_RUN_BEFORE_ENQUEUE, type) : NULL;
    if (!c)
        return false;
    c->in.instant_ms = instant_ms;
    c->r.run.out = &c->out;
    c->r.timeout_ms = BEFORE_MS;
    c->r.done = asked;
    e->asked_ms = instant_ms;
    e->answered = e->skip = false;
    lq_internal_submit(&s->control->internal, &c->r);
    return true;
}

/* ---- after --------------------------------------------------------------- */

static void told(lq_internal_run *r, const lq_verdict *v)
{
    struct call *c = (struct call *)r;
    failed(c, v, "after_enqueue failed");
    call_free(c);
}

void lq_scheduler_tell(lq_scheduler *s, lq_entry *e, int64_t instant_ms)
{
    const char *type = owner(s, LQ_RUN_AFTER_ENQUEUE, e);
    struct call *c = type ? call_new(s, e, LQ_RUN_AFTER_ENQUEUE, type) : NULL;
    if (!c)
        return;
    c->in.instant_ms = instant_ms;
    c->in.code = e->item.code;
    c->in.reason = lunaq_strerror(e->item.code);
    c->r.timeout_ms = AFTER_MS;
    c->r.done = told;
    lq_internal_submit(&s->control->internal, &c->r);
}
