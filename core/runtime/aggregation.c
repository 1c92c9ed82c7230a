/* The steps of one aggregation: see aggregation.h. */
#include "runtime/aggregation_parts.h"

#include "base/clock.h"
#include "runtime/aggregator.h"

#include <stdio.h>

#define AGAIN_MS 1000   /* until a move whose reply was lost is repeated */
#define ASK_MS 60000    /* for a handler's own function */
#define BACKOFF_MS 5000 /* doubled with each failure in a row, */
#define BACKOFF_MAX_MS 600000 /* … up to this */

static void take(lq_aggregation *g);
static void ask_all(lq_aggregation *g);
static void finish(lq_aggregation *g);
static void give_back(lq_aggregation *g);

static lq_control *control_of(const lq_aggregation *g)
{
    return g->a->control;
}

static lq_str queue_of(const lq_aggregation *g)
{
    return lq_queue_name(control_of(g)->rt, g->queue);
}

static lq_log *log_of(const lq_aggregation *g)
{
    return control_of(g)->rt->o.log;
}

/* A set is held as a task is: by a lease that is renewed. */
static int64_t ttl_ms(const lq_aggregation *g)
{
    return control_of(g)->rt->o.lease_ms;
}

/* ---- life ---------------------------------------------------------------- */

bool lq_aggregation_is(const lq_aggregation *g, size_t queue, lq_str group)
{
    return g->queue == queue && lq_str_eq(g->group, group);
}

lq_aggregation *lq_aggregation_of(lq_list *node)
{
    return LQ_OF(node, lq_aggregation, node);
}

/* Forgets the set: it was settled, or is somebody else's. */
static void forget(lq_aggregation *g)
{
    for (size_t i = 0; i < g->part_count; i++) {
        lq_aggregation_part *p = g->parts[i];
        if (p->out.made)
            lq_enqueue_release(&p->out.item);
        lq_arena_release(&p->out.mem);
    }
    for (size_t i = 0; i < g->task_count; i++)
        lq_task_release(&g->tasks[i]);
    lq_op_release(&g->take.op);
    lq_op_release(&g->finish.op);
    lq_op_release(&g->back.op);
    lq_arena_release(&g->mem);
    g->tasks = NULL;
    g->parts = NULL;
    g->items = NULL;
    g->alone = g->left = NULL;
    g->task_count = g->part_count = g->item_count = g->alone_count = 0;
    g->left_count = 0;
    g->unknown = g->renamed = g->broken = false;
    g->error[0] = 0;
}

void lq_aggregation_free(lq_aggregation *g)
{
    forget(g);
    lq_op_release(&g->extend.op);
    lq_timer_close(g->timer);
    lq_list_remove(&g->node);
    g->a->job_count--;
    lq_free(g);
}

static void end(lq_aggregation *g)
{
    struct lq_aggregator *a = g->a;
    if (g->extending) { /* its answer ends it */
        g->over = true;
        return;
    }
    lq_aggregation_free(g);
    lq_aggregator_ended(a);
}

static void complain(const lq_aggregation *g, const char *what,
                     const char *reason)
{
    lq_runtime *rt = control_of(g)->rt;
    if (lq_log_gate(&rt->log_gate, 5000))
        LQ_LOG(rt->o.log, ERROR, what, lq_fs("queue", queue_of(g)),
               lq_fs("group", g->group), lq_fc("reason", reason));
}

/* The operation may have been carried out, or not: once more later.  False: it
 * has an answer. */
static bool wants_repeat(lq_aggregation *g, const lq_op *op)
{
    g->unknown = g->unknown || op->rc == LUNAQ_EUNKNOWN;
    if (op->rc != LUNAQ_EUNKNOWN && op->rc != LUNAQ_EBROKER &&
        op->rc != LUNAQ_EFULL)
        return false;
    if (op->rc == LUNAQ_EFULL)
        complain(g, "a group waits for memory of the broker", op->err.message);
    lq_timer_start(g->timer, AGAIN_MS);
    return true;
}

/* ---- take ---------------------------------------------------------------- */

static void taken(lq_op *op)
{
    lq_aggregation *g = op->ud;
    if (op->rc == LUNAQ_EUNKNOWN) { /* it may be ours: put it back */
        g->unknown = true;
        give_back(g);
        return;
    }
    if (op->rc && op->rc != LUNAQ_EBROKER && op->rc != LUNAQ_ECANCELED)
        complain(g, "cannot take the tasks of a group", op->err.message);
    if (op->rc || g->take.count == 0) {
        end(g);
        return;
    }
    if (lq_phase(control_of(g)->rt) >= LQ_PHASE_QUIET) { /* it came too late */
        give_back(g);
        return;
    }
    lq_timer_start(g->timer, ttl_ms(g) / 3);
    ask_all(g);
}

static void take(lq_aggregation *g)
{
    g->step = TAKE;
    lq_uuid4(g->set_id);
    lq_op_init(&g->take.op, LQ_OP_GROUP_TAKE);
    g->take.op.done = taken;
    g->take.op.ud = g;
    g->take.queue = queue_of(g);
    g->take.group = g->group;
    g->take.set_id = lq_str_c(g->set_id);
    g->take.rule = g->rule;
    g->take.ttl_ms = ttl_ms(g);
    lq_link_submit(control_of(g)->link, &g->take.op);
}

/* ---- ask ----------------------------------------------------------------- */

/* The first line: the rest is a traceback. */
static void keep_error(lq_aggregation *g, const lq_verdict *v)
{
    lq_str text = v->message;
    const char *nl = text.len ? memchr(text.p, '\n', text.len) : NULL;
    if (nl)
        text.len = (size_t)(nl - text.p);
    if (!text.len)
        text = LQ_STR("it made no task");
    if (!g->error[0])
        snprintf(g->error, sizeof(g->error), "%.*s", LQ_STR_ARG(text));
    LQ_LOG(log_of(g), DEBUG, "an aggregator failed", lq_fs("group", g->group),
           lq_fs("error", v->message));
}

static void asked(lq_internal_run *r, const lq_verdict *v)
{
    lq_aggregation_part *p = (lq_aggregation_part *)r;
    lq_aggregation *g = p->g;

    g->asking--;
    if (v->kind == LQ_SUCCEEDED && p->out.made) {
        p->item = &p->out.item;
    } else if (v->kind == LQ_ENDED) {
        g->stopping = true;
    } else {
        p->failed = true;
        keep_error(g, v);
    }
    if (g->asking == 0 && control_of(g)->link_up)
        finish(g);
    else if (g->asking == 0)
        lq_timer_start(g->timer, AGAIN_MS);
}

static int ask(lq_aggregation *g, lq_aggregation_part *p, lunaq_error *err)
{
    p->tasks = lq_arena_alloc(&g->mem, p->count * sizeof(*p->tasks));
    if (!p->tasks)
        return lq_fail_nomem(err);
    for (size_t i = 0; i < p->count; i++)
        p->tasks[i] = g->tasks[p->at[i]]; /* theirs is the memory */
    p->in = (lq_aggregate_in){queue_of(g), g->group, p->tasks, p->count};
    p->run.run.kind = LQ_RUN_AGGREGATE;
    p->run.run.task.type = p->tasks[0].type;
    p->run.run.task.queue = queue_of(g);
    p->run.run.in = &p->in;
    p->run.run.out = &p->out;
    p->run.timeout_ms = ASK_MS;
    p->run.done = asked;
    g->asking++;
    lq_internal_submit(&control_of(g)->internal, &p->run);
    return LUNAQ_OK;
}

static void ask_all(lq_aggregation *g)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = lq_aggregation_share_out(g) ? LUNAQ_OK : lq_fail_nomem(&err);

    g->step = ASK;
    g->asking = 1; /* until all were asked */
    for (size_t i = 0; i < g->part_count && !rc; i++) {
        lq_aggregation_part *p = g->parts[i];
        if (p->aggregates)
            rc = ask(g, p, &err);
        else if (p->count == 1)
            lq_aggregation_leave_alone(g, p);
        else
            rc = lq_aggregation_batch(g, p, &err);
    }
    if (rc) {
        snprintf(g->error, sizeof(g->error), "%s", err.message);
        g->broken = true;
    }
    if (--g->asking == 0)
        finish(g);
}

/* ---- finish -------------------------------------------------------------- */

static void log_done(const lq_aggregation *g)
{
    lq_log *log = log_of(g);
    for (size_t i = 0; i < g->part_count; i++) {
        const lq_aggregation_part *p = g->parts[i];
        if (p->item && !p->failed)
            LQ_LOG(log, INFO, "group aggregated", lq_fs("queue", queue_of(g)),
                   lq_fs("group", g->group), lq_fi("tasks", (int64_t)p->count),
                   lq_fs("type", p->item->task.type),
                   lq_fs("task_id", p->item->task.id));
    }
    if (g->alone_count && lq_log_on(log, LUNAQ_LOG_DEBUG))
        LQ_LOG(log, DEBUG, "tasks of a group run by themselves",
               lq_fs("queue", queue_of(g)), lq_fs("group", g->group),
               lq_fi("tasks", (int64_t)g->alone_count));
}

static int64_t backoff_ms(int64_t failures)
{
    int64_t ms =
        failures < 10 ? (int64_t)BACKOFF_MS << failures : BACKOFF_MAX_MS;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

static void log_failed(const lq_aggregation *g, size_t tasks)
{
    LQ_LOG(log_of(g), ERROR, "a group could not be aggregated",
           lq_fs("queue", queue_of(g)), lq_fs("group", g->group),
           lq_fi("tasks", (int64_t)tasks),
           lq_fi("next_in_s", backoff_ms(g->failures) / 1000),
           lq_fc("reason", g->error));
}

/* The id that an aggregator gave is another task's: theirs must not be lost, so
 * the new task gets an id of its own. */
static bool rename_items(lq_aggregation *g)
{
    bool renamed = false;
    for (size_t i = 0; i < g->item_count && !g->renamed; i++) {
        lq_enqueue *e = g->items[i];
        if (e->code != LUNAQ_EEXIST)
            continue;
        char old[sizeof(e->id)];
        snprintf(old, sizeof(old), "%.*s", LQ_STR_ARG(e->task.id));
        lq_uuid7(e->id, lq_now_ms());
        e->task.id = lq_str_c(e->id);
        LQ_LOG(log_of(g), WARN,
               "the id of an aggregated task is in use: it gets another",
               lq_fs("queue", queue_of(g)), lq_fs("group", g->group),
               lq_fs("type", e->task.type), lq_fc("wanted", old),
               lq_fs("task_id", e->task.id));
        renamed = true;
    }
    g->renamed = g->renamed || renamed;
    return renamed;
}

static void finished(lq_op *op)
{
    lq_aggregation *g = op->ud;
    if (wants_repeat(g, op))
        return;
    if (op->rc == LUNAQ_EEXIST && rename_items(g)) {
        finish(g);
        return;
    }
    if (op->rc == LUNAQ_ECANCELED) {
        end(g); /* the server is gone before the answer: the set will end */
        return;
    }
    if (op->rc && op->rc != LUNAQ_ELEASE) {
        if (!g->error[0])
            snprintf(g->error, sizeof(g->error), "%s", op->err.message);
        g->broken = !lq_aggregation_refused(g);
        finish(g);
        return;
    }
    if (op->rc == LUNAQ_OK || g->unknown)
        log_done(g); /* gone after a lost reply: it was done then */
    else
        complain(g, "a group was aggregated in vain", op->err.message);
    if (op->rc == LUNAQ_OK && g->left_count)
        log_failed(g, g->left_count);
    bool more = op->rc == LUNAQ_OK && g->take.left > 0 && !g->left_count &&
                lq_phase(control_of(g)->rt) < LQ_PHASE_QUIET;
    lq_timer_stop(g->timer);
    forget(g);
    g->failures = 0;
    if (more)
        take(g);
    else
        end(g);
}

static void finish(lq_aggregation *g)
{
    lq_aggregation_collect(g);
    if (g->stopping || g->broken ||
        (g->left_count && g->item_count + g->alone_count == 0)) {
        give_back(g);
        return;
    }
    g->step = FINISH;
    lq_timer_stop(g->timer);
    lq_op_init(&g->finish.op, LQ_OP_GROUP_FINISH);
    g->finish.op.done = finished;
    g->finish.op.ud = g;
    g->finish.queue = queue_of(g);
    g->finish.group = g->group;
    g->finish.set_id = lq_str_c(g->set_id);
    g->finish.items = g->items;
    g->finish.count = g->item_count;
    g->finish.alone = g->alone;
    g->finish.alone_count = g->alone_count;
    g->finish.back = g->left;
    g->finish.back_count = g->left_count;
    g->finish.error = lq_str_c(g->error);
    g->finish.retry_ms = backoff_ms(g->failures);
    g->finish.now_ms = lq_now_ms();
    lq_link_submit(control_of(g)->link, &g->finish.op);
}

/* ---- back ---------------------------------------------------------------- */

static void gave_back(lq_op *op)
{
    lq_aggregation *g = op->ud;
    if (wants_repeat(g, op))
        return;
    end(g);
}

static void give_back(lq_aggregation *g)
{
    if (g->step != BACK && g->error[0])
        log_failed(g, g->take.count);
    g->step = BACK;
    lq_timer_stop(g->timer);
    lq_op_init(&g->back.op, LQ_OP_GROUP_BACK);
    g->back.op.done = gave_back;
    g->back.op.ud = g;
    g->back.queue = queue_of(g);
    g->back.group = g->group;
    g->back.set_id = lq_str_c(g->set_id);
    g->back.error = g->error[0] ? lq_str_c(g->error) : (lq_str){0};
    g->back.retry_ms = backoff_ms(g->failures);
    lq_link_submit(control_of(g)->link, &g->back.op);
}

/* ---- the timer ----------------------------------------------------------- */

static void extended(lq_op *op)
{
    lq_aggregation *g = op->ud;
    g->extending = false;
    lq_op_release(op);
    if (g->over)
        end(g);
}

static void extend(lq_aggregation *g)
{
    lq_timer_start(g->timer, ttl_ms(g) / 3);
    if (g->extending)
        return;
    g->extending = true;
    lq_op_init(&g->extend.op, LQ_OP_GROUP_EXTEND);
    g->extend.op.done = extended;
    g->extend.op.ud = g;
    g->extend.queue = queue_of(g);
    g->extend.group = g->group;
    g->extend.set_id = lq_str_c(g->set_id);
    g->extend.ttl_ms = ttl_ms(g);
    lq_link_submit(control_of(g)->link, &g->extend.op);
}

static void timed(void *ud)
{
    lq_aggregation *g = ud;
    if (!control_of(g)->link_up) /* away; or closing, and soon no more */
        lq_timer_start(g->timer, AGAIN_MS);
    else if (g->step == BACK)
        give_back(g);
    else if (g->step == FINISH || (g->step == ASK && g->asking == 0))
        finish(g);
    else if (g->step == ASK)
        extend(g);
}

void lq_aggregation_begin(struct lq_aggregator *a, size_t queue, lq_str group,
                          const lq_group_rule *rule, int64_t failures)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_aggregation *g = lq_calloc(1, sizeof(*g) + group.len);
    if (g && lq_timer_new(&g->timer, a->control->loop, timed, g, &err)) {
        lq_free(g);
        g = NULL;
    }
    if (!g)
        return; /* out of memory: the next look tries again */
    memcpy(g + 1, group.p, group.len);
    g->group = lq_str_n(g + 1, group.len);
    g->a = a;
    g->queue = queue;
    g->rule = *rule;
    g->failures = failures;
    lq_list_append(&a->jobs, &g->node);
    a->job_count++;
    take(g);
}
