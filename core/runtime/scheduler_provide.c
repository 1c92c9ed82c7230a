/* Providers: functions whose answer is a list of periodic entries, asked again
 * every so often and at each reload.  What one gave last stays until it answers
 * anew: an error changes nothing. */
#include "runtime/scheduler.h"

#include "base/clock.h"
#include "runtime/control.h"

#include <stdio.h>

#define TIMEOUT_MS 60000
#define AGAIN_MS 1000  /* after a failure, then twice as long each time */
#define FIRST_PLACE 16 /* below are the places that are no providers */

typedef struct lq_provider {
    lq_internal_run r; /* first */
    struct lq_provider *next;
    lq_scheduler *s;
    char type[LUNAQ_NAME_MAX + 2]; /* whose LQ_RUN_PROVIDE it is */
    int64_t every_ms;
    int64_t due_ms; /* monotonic: asked again */
    int failures;   /* in a row */
    int place;
    bool kept;
    bool asked; /* the run is under way */
    bool again; /* once more when it is over */
    bool ready; /* `out` waits to be taken */
    lq_provide_out out;
} lq_provider;

static void release_out(lq_provider *p)
{
    for (lq_provided *e = p->out.entries; e; e = e->next)
        lq_enqueue_release(&e->item);
    lq_arena_release(&p->out.mem);
    p->out = (lq_provide_out){0};
    p->ready = false;
}

static void provider_free(lq_provider *p)
{
    release_out(p);
    lq_free(p);
}

/* ---- asking -------------------------------------------------------------- */

/* A database that is away for a moment at the start should not leave out the
 * entries until the next time they are due to be read. */
static int64_t pause_ms(const lq_provider *p)
{
    int64_t ms = AGAIN_MS;
    if (p->failures == 0)
        return p->every_ms;
    for (int i = 1; i < p->failures && ms < p->every_ms; i++)
        ms *= 2;
    return ms < p->every_ms ? ms : p->every_ms;
}

static void answered(lq_internal_run *r, const lq_verdict *v)
{
    lq_provider *p = (lq_provider *)r;
    lq_scheduler *s = p->s;
    p->asked = false;
    if (!s) { /* forgotten meanwhile */
        provider_free(p);
        return;
    }
    p->failures = v->kind == LQ_SUCCEEDED ? 0 : p->failures + 1;
    p->due_ms = lq_mono_ms() + (p->again ? 0 : pause_ms(p));
    p->again = false;
    if (v->kind == LQ_SUCCEEDED) {
        p->ready = true;
    } else {
        release_out(p);
        if (v->kind != LQ_ENDED)
            LQ_LOG(s->control->rt->o.log, ERROR,
                   "periodic entries were not provided; what is there stays",
                   lq_fc("by", p->type), lq_fs("reason", v->message));
    }
    lq_scheduler_now(s);
}

static void ask(lq_provider *p)
{
    p->asked = true;
    p->again = false;
    p->r.run = (lq_run){
        .kind = LQ_RUN_PROVIDE, .task.type = lq_str_c(p->type), .out = &p->out};
    p->r.timeout_ms = TIMEOUT_MS;
    p->r.done = answered;
    lq_internal_submit(&p->s->control->internal, &p->r);
}

/* ---- which there are ----------------------------------------------------- */

static void want(void *ud, const char *type, int64_t every_ms)
{
    lq_scheduler *s = ud;
    lq_provider *p = s->providers;
    if (every_ms <= 0)
        every_ms = s->control->rt->o.schedule_every_ms;
    while (p && strcmp(p->type, type) != 0)
        p = p->next;
    if (!p) {
        p = lq_calloc(1, sizeof(*p));
        if (!p || strlen(type) >= sizeof(p->type)) {
            lq_free(p);
            return;
        }
        p->s = s;
        p->place = FIRST_PLACE + s->places++;
        snprintf(p->type, sizeof(p->type), "%s", type);
        p->next = s->providers;
        s->providers = p;
    }
    p->kept = true;
    p->every_ms = every_ms;
    p->due_ms = 0;
    p->again = p->asked; /* it may speak of the code before */
}

void lq_scheduler_find_providers(lq_scheduler *s)
{
    const lq_handler_source *source = &s->control->rt->o.source;
    for (lq_provider *p = s->providers; p; p = p->next)
        p->kept = false;
    if (source->each_provider)
        source->each_provider(source->ud, want, s);
    for (lq_provider **at = &s->providers; *at;) {
        lq_provider *p = *at;
        if (p->kept) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        lq_schedule_begin(&s->schedule, p->place); /* none is wanted */
        lq_schedule_end(&s->schedule);
        p->s = NULL;
        if (!p->asked)
            provider_free(p);
    }
}

/* ---- at each round ------------------------------------------------------- */

static void take(lq_scheduler *s, lq_provider *p)
{
    lq_schedule_begin(&s->schedule, p->place);
    for (const lq_provided *e = p->out.entries; e; e = e->next)
        lq_schedule_want(&s->schedule, e->want);
    lq_schedule_end(&s->schedule);
    release_out(p);
    s->changed = true;
}

void lq_scheduler_provide(lq_scheduler *s)
{
    int64_t now = lq_mono_ms();
    for (lq_provider *p = s->providers; p; p = p->next) {
        if (p->ready)
            take(s, p);
        if (!p->asked && p->due_ms <= now)
            ask(p);
    }
}

int64_t lq_scheduler_provide_in(const lq_scheduler *s)
{
    int64_t now = lq_mono_ms(), least = INT64_MAX;
    for (const lq_provider *p = s->providers; p; p = p->next) {
        int64_t in = p->ready ? 0 : p->asked ? INT64_MAX : p->due_ms - now;
        if (in < least)
            least = in;
    }
    return least < 0 ? 0 : least;
}

void lq_scheduler_forget_providers(lq_scheduler *s)
{
    while (s->providers) {
        lq_provider *p = s->providers;
        s->providers = p->next;
        p->s = NULL;
        if (!p->asked)
            provider_free(p);
    }
}
