/* Rounds over the entries: which are due, and their ticks, one after the
 * other. */
#include "runtime/scheduler.h"

#include "base/clock.h"
#include "runtime/control.h"
#include "task/id.h"

#include <stdio.h>

#define RECHECK_MS 30000 /* the wall clock may step */
#define REFUSED_MS 1000  /* until an entry that was refused is tried again */

/* Places that entries come from, in the order in which they are read. */
enum { PLACE_CONFIG, PLACE_HANDLERS };

static void round_due(void *ud);
static void tick_next(lq_scheduler *s);
static void ticked(lq_op *op);

/* ---- entries ------------------------------------------------------------- */

static void want(void *ud, const lq_cron_want *w)
{
    lq_schedule_want(ud, w);
}

static void load_entries(lq_scheduler *s)
{
    const lq_runtime_options *o = &s->control->rt->o;

    s->schedule.moved = false;
    lq_schedule_reload_zones(&s->schedule);
    lq_schedule_begin(&s->schedule, PLACE_CONFIG);
    for (size_t i = 0; i < o->cron_count; i++)
        lq_schedule_want(&s->schedule, &o->cron[i]);
    lq_schedule_end(&s->schedule);
    lq_schedule_begin(&s->schedule, PLACE_HANDLERS);
    if (o->source.each_cron)
        o->source.each_cron(o->source.ud, want, &s->schedule);
    lq_schedule_end(&s->schedule);
    lq_scheduler_find_providers(s);
    s->reload = false;
    s->changed = true;
}

/* ---- ticks --------------------------------------------------------------- */

static void round_due(void *ud)
{
    lq_scheduler *s = ud;
    s->again = false;
    if (s->reload)
        load_entries(s);
    lq_scheduler_record_again(s);
    lq_scheduler_provide(s);
    if (s->schedule.moved)
        load_entries(s);
    for (lq_entry *e = s->schedule.entries; e; e = e->next) {
        e->refused = false;
        if (lq_entry_ahead(e, lq_now_ms())) {
            e->seen = false; /* the broker decides it, for all of us */
            e->sent_ms = 0;
        }
    }
    s->at = s->schedule.entries;
    tick_next(s);
}

static void end_round(lq_scheduler *s)
{
    int64_t now = lq_now_ms(), wait = lq_scheduler_provide_in(s);

    if (wait > RECHECK_MS)
        wait = RECHECK_MS;
    for (const lq_entry *e = s->schedule.entries; e; e = e->next)
        if (e->asked_ms && !e->answered)
            continue; /* its answer brings the next round */
        else if (!e->seen || e->refused)
            wait = wait < REFUSED_MS ? wait : REFUSED_MS;
        else if (e->next_ms && e->next_ms - now < wait)
            wait = e->next_ms - now;
    if (s->reload || s->again) /* it came during this round */
        wait = 0;
    if (!s->control->link_up && wait < 1000)
        wait = 1000;
    lq_periodic_over_in(&s->round, wait < 0 ? 0 : wait);
    if (s->changed)
        lq_periodic_now(&s->publish);
}

/* The entry's task with an id of its own for this tick. */
static void make_item(lq_entry *e, int64_t instant)
{
    if (e->sent_ms != instant)
        lq_uuid7(e->item.id, lq_now_ms());
    e->sent_ms = 0;
    e->item.task.id = lq_str_c(e->item.id);
    e->item.process_at_ms = 0;
    e->item.code = LUNAQ_OK;
}

/* The instant of the entry that is to be fired now; 0 = none is, or its
 * before_enqueue is being asked. */
static int64_t fires_now(lq_scheduler *s, lq_entry *e, int64_t now)
{
    if (e->sent_ms && now - e->sent_ms < LQ_CRON_LATE_MS)
        return e->sent_ms; /* was it fired? */
    if (e->sent_ms) {      /* so long ago that the entry says what to do */
        e->sent_ms = e->asked_ms = 0;
        e->answered = e->skip = false;
    }
    if (e->asked_ms)
        return e->answered ? e->asked_ms : 0;
    int64_t instant = lq_entry_due(e, now);
    return instant && lq_scheduler_ask(s, e, instant) ? 0 : instant;
}

static void tick_next(lq_scheduler *s)
{
    int64_t now = lq_now_ms(), instant = 0;

    while (s->control->link_up && s->at && s->at->seen &&
           (instant = fires_now(s, s->at, now)) == 0)
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
    s->fire.latest_ms =
        s->at->seen ? 0 : lq_cron_believed_ms(&s->at->rule.cron, now);
    s->fire.item = NULL;
    s->fire.skip = s->at->seen && s->at->asked_ms && s->at->skip;
    if (s->at->seen && !s->fire.skip) {
        make_item(s->at, instant);
        s->fire.item = &s->at->item;
    }
    lq_link_submit(s->control->link, &s->fire.op);
}

static void log_tick(lq_scheduler *s, const lq_entry *e)
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
    lq_entry *e = s->at;
    int rc = op->rc;
    bool lost =
        rc == LUNAQ_EBROKER || rc == LUNAQ_EUNKNOWN || rc == LUNAQ_ECANCELED;

    if (rc == LUNAQ_OK) {
        if (s->fire.fired && s->fire.skip)
            LQ_LOG(s->control->rt->o.log, INFO,
                   "periodic task left out: before_enqueue said so",
                   lq_fs("type", e->item.task.type), lq_fc("spec", e->spec));
        else if (s->fire.fired)
            log_tick(s, e);
        if (s->fire.fired && !s->fire.skip)
            lq_scheduler_tell(s, e, s->fire.instant_ms);
        if (s->fire.set_back)
            LQ_LOG(s->control->rt->o.log, WARN,
                   "the last tick of a periodic entry lay in the future, as "
                   "when a clock is set back; it begins anew",
                   lq_fs("type", e->item.task.type), lq_fc("spec", e->spec));
        lq_entry_learn(e, s->fire.last_ms, s->fire.never, lq_now_ms());
        e->asked_ms = 0;
        e->answered = e->skip = false;
        s->changed = true;
    } else if (!lost) { /* its keys are damaged: the others go on */
        e->refused = true;
        if (lq_log_gate(&s->control->rt->log_gate, 5000))
            LQ_LOG(s->control->rt->o.log, ERROR, "cannot fire a periodic entry",
                   lq_fc("spec", e->spec), lq_fc("reason", op->err.message));
    }
    if (rc == LUNAQ_OK && s->fire.fired && !s->fire.skip &&
        e->item.code == LUNAQ_OK)
        lq_scheduler_record(s, e);
    lq_op_release(op);
    s->at = e->next;
    if (lost && s->fire.item)
        e->sent_ms = s->fire.instant_ms;
    if (lost) { /* the same tick again, in a while: the broker knows if it came
                 */
        lq_periodic_over_in(&s->round, 1000);
        return;
    }
    tick_next(s);
}

/* -------------------------------------------------------------------------- */

void lq_scheduler_reload(lq_scheduler *s)
{
    s->reload = true;
    lq_periodic_now(&s->round);
}

void lq_scheduler_now(lq_scheduler *s)
{
    s->again = true;
    lq_periodic_now(&s->round);
}

int lq_scheduler_start(lq_scheduler *s, struct lq_control *c, lunaq_error *err)
{
    s->control = c;
    lq_list_init(&s->notes);
    s->reload = true;
    s->schedule.rt = c->rt;
    snprintf(s->scheduler_id, sizeof(s->scheduler_id), "%s:%d:%s", c->rt->host,
             (int)c->rt->pid, c->rt->server_id);
    int rc =
        lq_periodic_start(&s->round, c->loop, 0, RECHECK_MS, round_due, s, err);
    if (!rc)
        rc = lq_scheduler_show_start(s, err);
    return rc;
}

void lq_scheduler_stop(lq_scheduler *s)
{
    lq_periodic_stop(&s->round);
    lq_periodic_stop(&s->publish);
    lq_arena_release(&s->pub_mem);
    lq_buf_release(&s->pub_buf);
    lq_scheduler_forget_providers(s);
    lq_scheduler_forget_records(s);
    lq_schedule_release(&s->schedule);
}
