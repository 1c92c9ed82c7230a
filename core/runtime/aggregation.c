/* The steps of one aggregation: see aggregation.h. */
#include "runtime/aggregation.h"

#include "base/clock.h"
#include "runtime/aggregator.h"
#include "runtime/batch.h"
#include "runtime/control.h"
#include "task/id.h"

#include <stdio.h>

#define AGAIN_MS 1000   /* until a move whose reply was lost is repeated */
#define ASK_MS 60000    /* for a handler's own function */
#define BACKOFF_MS 5000 /* doubled with each failure in a row, */
#define BACKOFF_MAX_MS 600000 /* … up to this */

/* A handler's share of the set. */
struct part {
    lq_internal_run run; /* first */
    lq_aggregation *g;
    uint64_t owner;
    bool aggregates;
    size_t *at; /* its tasks, as indexes */
    size_t count;
    lq_task *tasks; /* the same, in a row; for its function */
    lq_aggregate_in in;
    lq_aggregate_out out;
};

/* For handlers beyond those that one move can serve. */
#define PART_NONE ((struct part *)(void *)-1)

enum step { TAKE, ASK, FINISH, BACK };

struct lq_aggregation {
    lq_list node;
    struct lq_aggregator *a;
    size_t queue;
    lq_str group;
    lq_group_rule rule;
    int64_t failures;
    char set_id[LQ_UUID_LEN + 1];
    enum step step;
    lq_timer *timer; /* ASK: extends the set; FINISH, BACK: again */
    lq_op_group_take take;
    lq_op_group_extend extend;
    lq_op_group_finish finish;
    lq_op_group_back back;
    bool extending, unknown, renamed;
    bool stopping; /* the server does */
    bool over;     /* to be freed when the extension's answer came */

    lq_arena mem; /* what follows */
    lq_task *tasks;
    size_t task_count;
    struct part **parts;
    size_t part_count, asking;
    lq_enqueue **items;
    size_t item_count;
    lq_str *alone;
    size_t alone_count;
    char error[512];
};

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
        struct part *p = g->parts[i];
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
    g->alone = NULL;
    g->task_count = g->part_count = g->item_count = g->alone_count = 0;
    g->unknown = g->renamed = false;
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

/* ---- share out ----------------------------------------------------------- */

static struct part *part_of(lq_aggregation *g, const lq_type_options *o)
{
    for (size_t i = 0; i < g->part_count; i++)
        if (g->parts[i]->owner == o->group_owner)
            return g->parts[i];
    if (g->part_count == LQ_BATCH_MAX)
        return PART_NONE;
    struct part *p = lq_arena_alloc(&g->mem, sizeof(*p));
    if (!p)
        return NULL;
    p->at = lq_arena_alloc(&g->mem, g->take.count * sizeof(*p->at));
    if (!p->at)
        return NULL;
    p->g = g;
    p->owner = o->group_owner;
    p->aggregates = o->aggregates;
    g->parts[g->part_count++] = p;
    return p;
}

/* Whose each task is; what cannot be read runs by itself, to be archived. */
static bool share_out(lq_aggregation *g)
{
    size_t n = g->take.count;
    g->tasks = lq_arena_alloc(&g->mem, n * sizeof(*g->tasks));
    /* NOLINTBEGIN(bugprone-sizeof-expression): of pointers it is */
    g->parts = lq_arena_alloc(&g->mem, n * sizeof(*g->parts));
    g->items = lq_arena_alloc(&g->mem, n * sizeof(*g->items));
    /* NOLINTEND(bugprone-sizeof-expression) */
    g->alone = lq_arena_alloc(&g->mem, n * sizeof(*g->alone));
    if (!g->tasks || !g->parts || !g->items || !g->alone)
        return false;
    for (size_t i = 0; i < n; i++) {
        lq_task *t = &g->tasks[g->task_count++];
        lq_type_options o;
        if (lq_task_decode(t, g->take.msgs[i], NULL) ||
            !lq_aggregator_type(g->a, g->queue, t->type, &o)) {
            g->alone[g->alone_count++] = g->take.ids[i];
            continue;
        }
        struct part *p = part_of(g, &o);
        if (!p)
            return false;
        if (p == PART_NONE)
            g->alone[g->alone_count++] = g->take.ids[i];
        else
            p->at[p->count++] = i;
    }
    return true;
}

static void leave_alone(lq_aggregation *g, const struct part *p)
{
    for (size_t i = 0; i < p->count; i++)
        g->alone[g->alone_count++] = g->take.ids[p->at[i]];
}

/* All of a part in one task. */
static int make_batch(lq_aggregation *g, const struct part *p, lunaq_error *err)
{
    const lq_handler_source *source = &control_of(g)->rt->o.source;
    lq_enqueue *e = lq_arena_alloc(&g->mem, sizeof(*e));
    if (!e)
        return lq_fail_nomem(err);
    int rc = lq_batch_make(e, queue_of(g), g->group, g->tasks, p->at, p->count,
                           source->is_json, &g->mem, lq_now_ms(), err);
    if (rc == LUNAQ_EFULL) { /* too long for one task: each by itself */
        leave_alone(g, p);
        return LUNAQ_OK;
    }
    if (!rc)
        g->items[g->item_count++] = e;
    return rc;
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
    snprintf(g->error, sizeof(g->error), "%.*s", LQ_STR_ARG(text));
    LQ_LOG(log_of(g), DEBUG, "an aggregator failed", lq_fs("group", g->group),
           lq_fs("error", v->message));
}

static void asked(lq_internal_run *r, const lq_verdict *v)
{
    struct part *p = (struct part *)r;
    lq_aggregation *g = p->g;

    g->asking--;
    if (v->kind == LQ_SUCCEEDED && p->out.made)
        g->items[g->item_count++] = &p->out.item;
    else if (v->kind == LQ_ENDED)
        g->stopping = true;
    else if (!g->error[0])
        keep_error(g, v);
    if (g->asking == 0 && control_of(g)->link_up)
        finish(g);
    else if (g->asking == 0)
        lq_timer_start(g->timer, AGAIN_MS);
}

static int ask(lq_aggregation *g, struct part *p, lunaq_error *err)
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
    int rc = share_out(g) ? LUNAQ_OK : lq_fail_nomem(&err);

    g->step = ASK;
    g->asking = 1; /* until all were asked */
    for (size_t i = 0; i < g->part_count && !rc; i++) {
        struct part *p = g->parts[i];
        if (p->aggregates)
            rc = ask(g, p, &err);
        else if (p->count == 1)
            leave_alone(g, p);
        else
            rc = make_batch(g, p, &err);
    }
    if (rc)
        snprintf(g->error, sizeof(g->error), "%s", err.message);
    if (--g->asking == 0)
        finish(g);
}

/* ---- finish -------------------------------------------------------------- */

static void log_done(const lq_aggregation *g)
{
    lq_log *log = log_of(g);
    for (size_t i = 0; i < g->item_count; i++)
        LQ_LOG(log, INFO, "group aggregated", lq_fs("queue", queue_of(g)),
               lq_fs("group", g->group),
               lq_fi("tasks", (int64_t)(g->take.count - g->alone_count)),
               lq_fs("type", g->items[i]->task.type),
               lq_fs("task_id", g->items[i]->task.id));
    if (g->alone_count && lq_log_on(log, LUNAQ_LOG_DEBUG))
        LQ_LOG(log, DEBUG, "tasks of a group run by themselves",
               lq_fs("queue", queue_of(g)), lq_fs("group", g->group),
               lq_fi("tasks", (int64_t)g->alone_count));
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
        snprintf(g->error, sizeof(g->error), "%s", op->err.message);
        give_back(g);
        return;
    }
    if (op->rc == LUNAQ_OK || g->unknown)
        log_done(g); /* gone after a lost reply: it was done then */
    else
        complain(g, "a group was aggregated in vain", op->err.message);
    bool more = op->rc == LUNAQ_OK && g->take.left > 0 &&
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
    if (g->stopping || g->error[0]) {
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
    g->finish.now_ms = lq_now_ms();
    lq_link_submit(control_of(g)->link, &g->finish.op);
}

/* ---- back ---------------------------------------------------------------- */

static int64_t backoff_ms(int64_t failures)
{
    int64_t ms =
        failures < 10 ? (int64_t)BACKOFF_MS << failures : BACKOFF_MAX_MS;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

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
        LQ_LOG(log_of(g), ERROR, "a group could not be aggregated",
               lq_fs("queue", queue_of(g)), lq_fs("group", g->group),
               lq_fi("tasks", (int64_t)g->take.count),
               lq_fi("next_in_s", backoff_ms(g->failures) / 1000),
               lq_fc("reason", g->error));
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
