#include "broker/world.h"
#include "broker/inspect.h"

#include "base/clock.h"
#include "task/token.h"

#include <stdio.h>
#include <stdlib.h>

static const world_factory *the_factory;

void world_use(const world_factory *factory)
{
    the_factory = factory;
}

int world_setup(void **state)
{
    world *w = calloc(1, sizeof(*w));
    if (!w)
        return -1;
    w->factory = the_factory;
    w->lease_ms = 30000;
    w->factory->wipe(w->factory->ud);
    if (w->factory->open(w->factory->ud, &w->caller))
        return -1;
    w->token = world_new_token(w);
    *state = w;
    return 0;
}

int world_teardown(void **state)
{
    world *w = *state;
    if (!w->broken) {
        world_audit(w, Q);
        world_audit(w, "other");
    }
    lq_op_release(&w->step.op);
    lq_caller_close(w->caller);
    free(w);
    return 0;
}

int world_call(world *w, lq_op *op)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = lq_caller_call(w->caller, op, WORLD_TIMEOUT_MS, &err);
    if (rc == LUNAQ_EBROKER || rc == LUNAQ_EUNKNOWN || rc == LUNAQ_EPROTO)
        fail_msg("%s: %s", lq_op_name(op->kind), err.message);
    return rc;
}

uint32_t world_new_token(world *w)
{
    lq_op_token op = {.op.kind = LQ_OP_TOKEN, .server_id = LQ_STR("server")};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_in_range(op.token, 1, LQ_TOKEN_LIMIT - 1);
    lq_op_release(&op.op);
    return op.token;
}

/* ---- enqueue ------------------------------------------------------------- */

int world_put_task(world *w, const lunaq_task *t, char *id)
{
    lq_enqueue e;
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lq_enqueue_init(&e, t, lq_now_ms(), &err))
        fail_msg("%s", err.message);
    lq_enqueue *items[] = {&e};
    lq_op_enqueue op = {.op.kind = LQ_OP_ENQUEUE, .items = items, .count = 1};
    int rc = world_call(w, &op.op);
    int code = rc ? rc : e.code;
    if (id)
        snprintf(id, LUNAQ_NAME_MAX + 8, "%.*s", LQ_STR_ARG(e.task.id));
    lq_op_release(&op.op);
    lq_enqueue_release(&e);
    return code;
}

int world_put(world *w, const char *id)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = id;
    return world_put_task(w, &t, NULL);
}

void world_put_many(world *w, size_t n)
{
    enum { PART = 100 };
    lq_enqueue *e = calloc(PART, sizeof(*e));
    assert_non_null(e);
    for (size_t done = 0; done < n;) {
        lq_enqueue *items[PART];
        char ids[PART][16];
        size_t part = n - done < PART ? n - done : PART;
        for (size_t i = 0; i < part; i++) {
            lunaq_task t = LUNAQ_TASK_INIT;
            snprintf(ids[i], sizeof(ids[i]), "a%03zu", done + i);
            t.type = "t";
            t.queue = Q;
            t.task_id = ids[i];
            assert_int_equal(lq_enqueue_init(&e[i], &t, lq_now_ms(), NULL), 0);
            items[i] = &e[i];
        }
        lq_op_enqueue op = {.op.kind = LQ_OP_ENQUEUE,
                            .items = items,
                            .count = part,
                            .known_queues = done > 0};
        assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
        for (size_t i = 0; i < part; i++) {
            assert_int_equal(e[i].code, LUNAQ_OK);
            lq_enqueue_release(&e[i]);
        }
        lq_op_release(&op.op);
        done += part;
    }
    free(e);
}

/* ---- step ---------------------------------------------------------------- */

static int step(world *w)
{
    w->step.op.kind = LQ_OP_STEP;
    w->step.queues = w->queues;
    w->step.queue_count = 1;
    w->queues[0].name = LQ_STR(Q);
    w->step.token = w->token;
    w->step.lease_ms = w->lease_ms;
    w->step.now_ms = lq_now_ms();
    return world_call(w, &w->step.op);
}

size_t world_take(world *w, uint32_t n)
{
    w->step.free = n;
    w->queues[0] = (lq_step_queue){.want = n};
    assert_int_equal(step(w), LUNAQ_OK);
    return w->step.taken_count;
}

void world_take_id(world *w, const char *id)
{
    assert_int_equal(world_take(w, 1), 1);
    assert_string_equal(w->step.taken[0].id.p, id);
}

int world_settle(world *w, lq_outcome o)
{
    lq_outcome *list[] = {&o};
    if (!o.token && !o.score)
        o.token = w->token;
    o.code = -1;
    w->step.free = 0;
    w->queues[0] = (lq_step_queue){.outcomes = list, .outcome_count = 1};
    int rc = step(w);
    w->queues[0].outcomes = NULL;
    snprintf(w->canceled, sizeof(w->canceled), "%.*s", LQ_STR_ARG(o.canceled));
    return rc ? rc : o.code;
}

int world_end(world *w, enum lq_outcome_kind kind, const char *id)
{
    lq_buf msg;
    lq_outcome o = {.kind = kind, .id = lq_str_c(id)};
    lq_buf_init(&msg, 0);
    if (kind == LQ_COMPLETE || kind == LQ_RETRY_AT || kind == LQ_ARCHIVE)
        o.msg = world_msg(&msg, id);
    if (kind == LQ_COMPLETE)
        o.retention_s = 60;
    if (kind == LQ_RETRY_AT)
        o.is_failure = true;
    if (kind == LQ_RETRY_AT || kind == LQ_SNOOZE)
        o.delay_ms = 60000;
    int code = world_settle(w, o);
    lq_buf_release(&msg);
    return code;
}

lq_str world_msg(lq_buf *buf, const char *id)
{
    lq_task t = {.type = LQ_STR("t"),
                 .id = lq_str_c(id),
                 .queue = LQ_STR(Q),
                 .max_retry = 25,
                 .retried = 1,
                 .error_msg = LQ_STR("it failed"),
                 .timeout_s = 1800};
    lq_buf_clear(buf);
    lq_task_encode(buf, &t);
    return lq_buf_str(buf);
}

/* ---- looking ------------------------------------------------------------- */

const lq_task_row *world_row(world *w, const char *id, lq_op_task_get *get)
{
    static const lq_str queues[] = {{Q, sizeof(Q) - 1}};
    *get = (lq_op_task_get){.op.kind = LQ_OP_TASK_GET,
                            .queues = queues,
                            .queue_count = 1,
                            .id = lq_str_c(id)};
    assert_int_equal(world_call(w, &get->op), LUNAQ_OK);
    return get->count ? &get->rows[0] : NULL;
}

lunaq_state world_state(world *w, const char *id)
{
    lq_op_task_get get;
    const lq_task_row *row = world_row(w, id, &get);
    lunaq_state state = row ? row->state : LUNAQ_STATE_ANY;
    lq_op_release(&get.op);
    return state;
}

lunaq_queue_info world_stats(world *w)
{
    lq_op_queue_stats op = {.op.kind = LQ_OP_QUEUE_STATS,
                            .queue = LQ_STR(Q),
                            .now_ms = lq_now_ms()};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lunaq_queue_info info = op.info;
    info.name = NULL;
    lq_op_release(&op.op);
    return info;
}

void world_audit(world *w, const char *queue)
{
    lq_op_audit op = {.op.kind = LQ_OP_AUDIT, .queue = lq_str_c(queue)};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    for (size_t i = 0; i < op.count; i++)
        print_error("audit of %s: %.*s\n", queue, LQ_STR_ARG(op.faults[i]));
    size_t count = op.count;
    lq_op_release(&op.op);
    assert_int_equal(count, 0);
}
