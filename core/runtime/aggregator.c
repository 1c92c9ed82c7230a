/* Walking through groups: see aggregator.h. */
#include "runtime/aggregator.h"

#include "base/clock.h"
#include "base/log_format.h"
#include "runtime/aggregation.h"
#include "runtime/control.h"

#include <stdio.h>

#define AT_ONCE 8            /* aggregations */
#define GRACE_MIN_MS 1000    /* Asynq's clock has whole seconds */
#define GROUPS_A_SECOND 2000 /* that are looked at */
#define LOOK_MAX_MS 30000    /* between two walks */
#define LOOK_IDLE_MS 60000   /* … when nothing here aggregates */
#define IDLE_GRACES 5        /* a group waits so long: nobody aggregates it */
#define WARN_MS (INT64_C(10) * 60000) /* between two warnings of one queue */

static void walk_next(lq_aggregator *a);
static void listed(lq_op *op);

/* The broker is away, which others say; it goes on when that is back. */
static bool is_out_of_reach(int rc)
{
    return rc == LUNAQ_EBROKER || rc == LUNAQ_EUNKNOWN || rc == LUNAQ_ECANCELED;
}

/* Nothing is begun any more; what is under way comes to its end. */
static bool is_quiet(const lq_aggregator *a)
{
    return lq_phase(a->control->rt) >= LQ_PHASE_QUIET;
}

/* ---- whose group, and when ----------------------------------------------- */

/* The first that says something; -1 is "none". */
static int64_t first_said(int64_t a, int64_t b, int64_t c)
{
    int64_t v = a ? a : b ? b : c;
    return v > 0 ? v : 0;
}

/* What a queue's groups are due by when their handler says nothing. */
static lq_group_rule rule_of(const lq_runtime_options *o, size_t queue)
{
    static const lq_group_rule nothing = {0};
    const lq_group_rule *q = o->settings ? &o->settings[queue].group : &nothing;
    lq_group_rule rule = {
        first_said(q->grace_ms, o->group.grace_ms, LQ_GROUP_GRACE_MS),
        first_said(q->max_delay_ms, o->group.max_delay_ms, 0),
        first_said(q->max_size, o->group.max_size, 0)};
    if (rule.grace_ms < GRACE_MIN_MS)
        rule.grace_ms = GRACE_MIN_MS;
    return rule;
}

bool lq_aggregator_type(const lq_aggregator *a, size_t queue, lq_str type,
                        lq_type_options *o)
{
    const lq_runtime_options *ro = &a->control->rt->o;
    const lq_handler_source *source = &ro->source;
    lq_group_rule rule = rule_of(ro, queue);

    *o = (lq_type_options){.timeout_ms = -1, .max_retry = -1};
    if (ro->aggregate)
        o->grouped = o->aggregates = true; /* all types, one owner */
    else if (!source->type || !source->type(source->ud, type, o))
        *o = (lq_type_options){.grouped = false};
    o->group.grace_ms = first_said(o->group.grace_ms, rule.grace_ms, 0);
    o->group.max_delay_ms =
        first_said(o->group.max_delay_ms, rule.max_delay_ms, 0);
    o->group.max_size = first_said(o->group.max_size, rule.max_size, 0);
    return o->grouped;
}

void lq_aggregator_describe(const lq_aggregator *a, lq_buf *json)
{
    const lq_runtime *rt = a->control->rt;
    lq_buf_printf(json, "\"groups\":{\"all\":%s,\"queues\":{",
                  rt->o.aggregate ? "true" : "false");
    for (size_t i = 0; i < rt->o.queue_count; i++) {
        lq_group_rule rule = rule_of(&rt->o, i);
        if (i)
            lq_buf_add_char(json, ',');
        lq_log_json_string(json, lq_queue_name(rt, i));
        lq_buf_printf(json,
                      ":{\"grace_ms\":%lld,\"max_delay_ms\":%lld,"
                      "\"max_size\":%lld}",
                      (long long)rule.grace_ms, (long long)rule.max_delay_ms,
                      (long long)rule.max_size);
    }
    lq_buf_add_c(json, "}}");
}

static bool aggregates(const lq_aggregator *a)
{
    const lq_runtime_options *o = &a->control->rt->o;
    return o->aggregate ||
           (o->source.grouped && o->source.grouped(o->source.ud));
}

/* ---- the walk ------------------------------------------------------------ */

static bool under_way(const lq_aggregator *a, lq_str group)
{
    LQ_LIST_EACH (&a->jobs, node)
        if (lq_aggregation_is(lq_aggregation_of(node), a->queue, group))
            return true;
    return false;
}

static void note_idle(lq_aggregator *a, const lq_group_row *row)
{
    a->idle.groups++;
    a->idle.tasks += row->size;
    if (row->newest_ms <= a->idle.age_ms)
        return;
    a->idle.age_ms = row->newest_ms;
    snprintf(a->idle.name, sizeof(a->idle.name), "%.*s", LQ_STR_ARG(row->name));
    snprintf(a->idle.type, sizeof(a->idle.type), "%.*s", LQ_STR_ARG(row->type));
}

/* A group is ours when a task of it is, whichever came first. */
static bool is_ours(const lq_aggregator *a, const lq_group_row *row,
                    lq_type_options *o)
{
    lq_str rest = row->types, type = row->type;
    do {
        if (lq_aggregator_type(a, a->queue, type, o))
            return true;
    } while (lq_group_next_type(&rest, &type));
    return false;
}

static void look_at(lq_aggregator *a, const lq_group_row *row)
{
    lq_type_options o;

    a->seen++;
    if (!is_ours(a, row, &o)) {
        if (row->newest_ms > IDLE_GRACES * o.group.grace_ms)
            note_idle(a, row);
        return;
    }
    int64_t due = lq_group_due_ms(row, &o.group);
    if (due > 0) {
        if (a->soonest_ms < 0 || due < a->soonest_ms)
            a->soonest_ms = due;
        return;
    }
    if (!under_way(a, row->name))
        lq_aggregation_begin(a, a->queue, row->name, &o.group, row->failures);
}

static void warn_of_idle(lq_aggregator *a)
{
    const lq_runtime *rt = a->control->rt;
    if (!a->idle.groups || !lq_log_gate(&a->warn_gate[a->queue], WARN_MS))
        return;
    LQ_LOG(rt->o.log, WARN,
           "tasks wait in groups that nobody seems to aggregate: give the "
           "handler of their type a `group` (see lunaq-handlers(7)), or run "
           "them by `lunaq task run --all --state aggregating`",
           lq_fs("queue", lq_queue_name(rt, a->queue)),
           lq_fi("groups", a->idle.groups), lq_fi("tasks", a->idle.tasks),
           lq_fc("for_example", a->idle.name), lq_fc("of_type", a->idle.type));
}

/* When this queue is to be looked at again. */
static void queue_walked(lq_aggregator *a)
{
    int64_t wait = a->seen * 1000 / GROUPS_A_SECOND;
    wait = wait < 900 ? 900 : wait > LOOK_MAX_MS ? LOOK_MAX_MS : wait;
    if (!aggregates(a)) {
        wait = IDLE_GRACES * rule_of(&a->control->rt->o, a->queue).grace_ms;
        wait = wait < LOOK_IDLE_MS ? wait : LOOK_IDLE_MS;
    }
    if (a->soonest_ms >= 0 && a->soonest_ms < wait)
        wait = a->soonest_ms;
    warn_of_idle(a);
    a->look_ms[a->queue] = lq_mono_ms() + wait;
    a->wanted[a->queue] = false;
    if (wait < 900) /* else the forwarder's next look is soon enough */
        lq_timer_start(a->due, wait + 1);
    walk_next(a);
}

static void go_on(lq_aggregator *a)
{
    a->paused = false;
    while (a->row < a->list.count && !is_quiet(a)) {
        if (a->job_count >= AT_ONCE) {
            a->paused = true;
            return;
        }
        look_at(a, &a->list.rows[a->row++]);
    }
    lq_op_release(&a->list.op);
    a->list.count = 0;
    if (is_quiet(a)) {
        a->walking = false;
        return;
    }
    if (a->list.cursor[0] && a->control->link_up) {
        lq_op_init(&a->list.op, LQ_OP_GROUPS);
        lq_link_submit(a->control->link, &a->list.op);
        return;
    }
    queue_walked(a);
}

static void listed(lq_op *op)
{
    lq_aggregator *a = op->ud;
    lq_runtime *rt = a->control->rt;
    if (op->rc) {
        if (!is_out_of_reach(op->rc) && lq_log_gate(&rt->log_gate, 5000))
            LQ_LOG(rt->o.log, ERROR, "cannot look at groups",
                   lq_fs("queue", a->list.queue),
                   lq_fc("reason", op->err.message));
        a->list.count = 0;
        a->list.cursor[0] = 0;
    }
    a->row = 0;
    if (!a->control->link_up) { /* the server stops, or the broker is away */
        lq_op_release(op);
        a->list.count = 0;
        a->walking = false;
        return;
    }
    go_on(a);
}

static void walk_next(lq_aggregator *a)
{
    lq_runtime *rt = a->control->rt;
    a->queue = 0;
    while (a->queue < rt->o.queue_count && !a->wanted[a->queue])
        a->queue++;
    a->walking = a->queue < rt->o.queue_count && a->control->link_up;
    if (!a->walking)
        return;
    a->seen = 0;
    a->soonest_ms = -1;
    memset(&a->idle, 0, sizeof(a->idle));
    lq_op_init(&a->list.op, LQ_OP_GROUPS);
    a->list.op.done = listed;
    a->list.op.ud = a;
    a->list.queue = lq_queue_name(rt, a->queue);
    a->list.cursor[0] = 0;
    lq_link_submit(a->control->link, &a->list.op);
}

void lq_aggregator_looked(lq_aggregator *a, const lq_peek *peeks)
{
    lq_runtime *rt = a->control->rt;
    int64_t now = lq_mono_ms();

    if (is_quiet(a))
        return;
    for (size_t i = 0; i < rt->o.queue_count; i++)
        if (peeks[i].groups > 0 && now >= a->look_ms[i])
            a->wanted[i] = true;
    if (!a->walking)
        walk_next(a);
}

static void due(void *ud)
{
    lq_aggregator *a = ud;
    lq_runtime *rt = a->control->rt;
    int64_t now = lq_mono_ms();
    for (size_t i = 0; i < rt->o.queue_count; i++)
        if (a->look_ms[i] && now >= a->look_ms[i])
            a->wanted[i] = true;
    if (!a->walking && !is_quiet(a))
        walk_next(a);
}

void lq_aggregator_ended(lq_aggregator *a)
{
    if (a->paused && a->walking && a->job_count < AT_ONCE)
        go_on(a);
}

/* ---- sets that were left behind ------------------------------------------ */

static void reclaim_next(lq_aggregator *a);

static void reclaimed(lq_op *op)
{
    lq_aggregator *a = op->ud;
    lq_runtime *rt = a->control->rt;
    if (op->rc && !is_out_of_reach(op->rc) && lq_log_gate(&rt->log_gate, 5000))
        LQ_LOG(rt->o.log, ERROR, "cannot put groups back",
               lq_fs("queue", a->reclaim.queue),
               lq_fc("reason", op->err.message));
    if (!is_out_of_reach(op->rc) && a->reclaim.sets > 0)
        LQ_LOG(rt->o.log, WARN, "groups whose aggregator is gone were put back",
               lq_fs("queue", a->reclaim.queue),
               lq_fi("groups", a->reclaim.sets),
               lq_fi("tasks", a->reclaim.tasks));
    lq_op_release(op);
    a->reclaim_queue++;
    reclaim_next(a);
}

static void reclaim_next(lq_aggregator *a)
{
    lq_runtime *rt = a->control->rt;
    if (a->reclaim_queue == rt->o.queue_count || !a->control->link_up) {
        lq_periodic_over(&a->reclaim_round);
        return;
    }
    lq_op_init(&a->reclaim.op, LQ_OP_GROUP_RECLAIM);
    a->reclaim.op.done = reclaimed;
    a->reclaim.op.ud = a;
    a->reclaim.queue = lq_queue_name(rt, a->reclaim_queue);
    a->reclaim.sets = a->reclaim.tasks = 0;
    lq_link_submit(a->control->link, &a->reclaim.op);
}

static void reclaim_due(void *ud)
{
    lq_aggregator *a = ud;
    a->reclaim_queue = 0;
    reclaim_next(a);
}

/* -------------------------------------------------------------------------- */

int lq_aggregator_start(lq_aggregator *a, struct lq_control *c,
                        lunaq_error *err)
{
    a->control = c;
    lq_list_init(&a->jobs);
    int rc = lq_timer_new(&a->due, c->loop, due, a, err);
    if (rc)
        return rc;
    return lq_periodic_start(&a->reclaim_round, c->loop, 1000,
                             c->rt->o.lease_ms / 3, reclaim_due, a, err);
}

void lq_aggregator_stop(lq_aggregator *a)
{
    lq_list *node;
    if (!a->control)
        return; /* it never began */
    lq_periodic_stop(&a->reclaim_round);
    lq_timer_close(a->due);
    a->due = NULL;
    while ((node = a->jobs.next) != &a->jobs)
        lq_aggregation_free(lq_aggregation_of(node));
    lq_op_release(&a->list.op);
}
