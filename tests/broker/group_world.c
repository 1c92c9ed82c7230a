#include "broker/group_world.h"

#include "base/clock.h"

#include <poll.h>

const lq_group_rule group_at_once = {.grace_ms = 0};
const lq_group_rule group_later = {.grace_ms = LONG_MS};

int group_put(world *w, const char *group, const char *id)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = id;
    t.group = group;
    return world_put_task(w, &t, NULL);
}

/* Takes a set; what came is in *op, to be released. */
size_t group_take(world *w, lq_op_group_take *op, const char *set,
                  lq_group_rule rule, int64_t ttl_ms)
{
    *op = (lq_op_group_take){.op.kind = LQ_OP_GROUP_TAKE,
                             .queue = LQ_STR(Q),
                             .group = LQ_STR("g"),
                             .set_id = lq_str_c(set),
                             .rule = rule,
                             .ttl_ms = ttl_ms};
    assert_int_equal(world_call(w, &op->op), LUNAQ_OK);
    return op->count;
}

size_t group_take_only(world *w, const char *set, lq_group_rule rule)
{
    lq_op_group_take op;
    size_t n = group_take(w, &op, set, rule, LONG_MS);
    lq_op_release(&op.op);
    return n;
}

lq_op_groups group_look(world *w)
{
    lq_op_groups op = {.op.kind = LQ_OP_GROUPS, .queue = LQ_STR(Q)};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_string_equal(op.cursor, "");
    return op;
}

/* How many wait in groups, how many in sets. */
void group_expect(world *w, int64_t waiting, int64_t in_sets)
{
    lq_op_groups op = group_look(w);
    int64_t rows = 0, sets = 0;
    for (size_t i = 0; i < op.count; i++)
        rows += op.rows[i].size;
    for (size_t i = 0; i < op.set_count; i++)
        sets += op.sets[i].size;
    lq_op_release(&op.op);
    assert_int_equal(rows, waiting);
    assert_int_equal(sets, in_sets);
}

int group_finish(world *w, const char *set, lq_enqueue *e, const lq_str *alone,
                 size_t alone_count)
{
    lq_op_group_finish op = {.op.kind = LQ_OP_GROUP_FINISH,
                             .queue = LQ_STR(Q),
                             .group = LQ_STR("g"),
                             .set_id = lq_str_c(set),
                             .items = &e,
                             .count = e ? 1 : 0,
                             .alone = alone,
                             .alone_count = alone_count,
                             .now_ms = lq_now_ms()};
    int rc = world_call(w, &op.op);
    lq_op_release(&op.op);
    return rc;
}

int group_finish_with(world *w, const char *set, const lunaq_task *t)
{
    lq_enqueue e;
    assert_int_equal(lq_enqueue_init(&e, t, lq_now_ms(), NULL), LUNAQ_OK);
    int rc = group_finish(w, set, &e, NULL, 0);
    lq_enqueue_release(&e);
    return rc;
}

lunaq_task group_batch(const char *id)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "batch";
    t.queue = Q;
    t.task_id = id;
    return t;
}

int group_back(world *w, const char *error, int64_t retry_ms)
{
    lq_op_group_back op = {.op.kind = LQ_OP_GROUP_BACK,
                           .queue = LQ_STR(Q),
                           .group = LQ_STR("g"),
                           .set_id = LQ_STR(SET),
                           .error = lq_str_c(error),
                           .retry_ms = retry_ms};
    int rc = world_call(w, &op.op);
    lq_op_release(&op.op);
    return rc;
}

int group_extend(world *w, int64_t ttl_ms)
{
    lq_op_group_extend op = {.op.kind = LQ_OP_GROUP_EXTEND,
                             .queue = LQ_STR(Q),
                             .group = LQ_STR("g"),
                             .set_id = LQ_STR(SET),
                             .ttl_ms = ttl_ms};
    int rc = world_call(w, &op.op);
    lq_op_release(&op.op);
    return rc;
}

/* Reclaims until a set was; how many tasks came back. */
int64_t group_reclaim(world *w, int64_t patience_ms)
{
    int64_t until = lq_mono_ms() + patience_ms;
    lq_op_group_reclaim op = {.op.kind = LQ_OP_GROUP_RECLAIM,
                              .queue = LQ_STR(Q)};
    for (;;) {
        assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
        lq_op_release(&op.op);
        if (op.sets > 0 || lq_mono_ms() >= until)
            return op.tasks;
        (void)poll(NULL, 0, 20);
    }
}

void group_forward_one(world *w)
{
    int64_t until = lq_mono_ms() + 20000;
    lq_op_forward op = {.op.kind = LQ_OP_FORWARD, .queue = LQ_STR(Q)};
    do {
        (void)poll(NULL, 0, 20);
        assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
        lq_op_release(&op.op);
    } while (op.moved == 0 && lq_mono_ms() < until);
    assert_int_equal(op.moved, 1);
}
