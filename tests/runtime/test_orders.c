/* Orders from afar, as an embedding program sees them, on Redis and on a queue
 * file; and how soon a cancel is heard there. */
#include "runtime/world.h"

#include "broker/order.h"
#include "broker/inspect.h"

#include <stdio.h>
#include <string.h>

static redis_server redis;
static bool on_redis = true;

struct told {
    atomic_int count;
    lunaq_order order;
    char who[64];
};

static int setup(void **state)
{
    return world_setup(state, on_redis ? &redis : NULL);
}

static void order(lunaq_order what, const char *who, void *userdata)
{
    struct told *t = userdata;
    t->order = what;
    snprintf(t->who, sizeof t->who, "%s", who);
    atomic_fetch_add(&t->count, 1);
}

/* Repeats until the server has said that it lives. */
static void give(world *w, const char *text)
{
    lq_runtime *rt = w->sides[0].runtime;
    lq_op_order op = {.host = lq_str_c(rt->host),
                      .server_id = lq_str_c(rt->server_id),
                      .pid = rt->pid,
                      .text = lq_str_c(text)};
    int64_t until = lq_mono_ms() + WAIT_MS;
    int rc;
    do {
        lq_op_init(&op.op, LQ_OP_ORDER);
        rc = lq_caller_call(w->caller, &op.op, 5000, NULL);
        if (rc == LUNAQ_ENOTFOUND)
            let_pass(10);
    } while (rc == LUNAQ_ENOTFOUND && lq_mono_ms() < until);
    lq_op_release(&op.op);
    assert_int_equal(rc, LUNAQ_OK);
}

static void stop__quiets_the_server_and_tells_who_asked(void **state)
{
    world *w = *state;
    struct told told = {0};
    w->o.order = order;
    w->o.order_userdata = &told;
    world_start(w, 0);
    give(w, "stop anna@here");
    wait_for("told", &told.count, 1);
    assert_int_equal(told.order, LUNAQ_ORDER_STOP);
    assert_string_equal(told.who, "anna@here");
    assert_int_equal(lq_phase(w->sides[0].runtime), LQ_PHASE_QUIET);
    world_enqueue(w, "default", 1, NULL);
    let_pass(300);
    assert_int_equal(w->starts, 0);
}

static void order_that_is_unknown_or_off__changes_nothing(void **state)
{
    world *w = *state;
    struct told told = {0};
    w->o.order = order;
    w->o.order_userdata = &told;
    world_start(w, 0);
    give(w, "dance anna@here");
    atomic_int *lines = &w->lines; /* warnings are counted */
    wait_for("refused", lines, 1);
    w->sides[0].runtime->o.orders_off = true;
    give(w, "stop anna@here");
    wait_for("refused", lines, 2);
    assert_int_equal(told.count, 0);
    assert_int_equal(lq_phase(w->sides[0].runtime), LQ_PHASE_ACTIVE);
    world_enqueue(w, "default", 1, NULL);
    wait_for("started", &w->starts, 1);
}

static void cancel(world *w, bool attempt)
{
    lq_op_cancel op = {.queue = LQ_STR("default"),
                       .id = LQ_STR("task-one"),
                       .reason = LQ_STR("a test"),
                       .attempt = attempt};
    lq_op_init(&op.op, LQ_OP_CANCEL);
    assert_int_equal(lq_caller_call(w->caller, &op.op, 5000, NULL), 0);
    lq_op_release(&op.op);
}

static int64_t count_in(world *w, lunaq_state state)
{
    lq_op_task_list op = {
        .queue = LQ_STR("default"), .state = state, .page_size = 10};
    lq_op_init(&op.op, LQ_OP_TASK_LIST);
    assert_int_equal(lq_caller_call(w->caller, &op.op, 5000, NULL), 0);
    int64_t count = (int64_t)op.count;
    lq_op_release(&op.op);
    return count;
}

static void wait_count(world *w, lunaq_state state, int64_t wanted)
{
    int64_t until = lq_mono_ms() + WAIT_MS;
    while (count_in(w, state) != wanted) {
        if (lq_mono_ms() > until)
            fail_msg("%s: not %lld", lunaq_state_name(state),
                     (long long)wanted);
        let_pass(10);
    }
}

/* The handler is told within a moment; a renewal, which tells it as well, comes
 * every 5 s. */
static void cancel__of_a_run__is_heard_soon(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    int64_t best = INT64_MAX;
    t.task_id = "task-one";
    t.max_retry = 100;
    w->hold = true;
    world_start(w, 0);
    world_enqueue(w, "default", 1, &t);
    for (int round = 1; round <= 3; round++) {
        wait_for("running", &w->begun, round);
        let_pass(100); /* the listener hears by now */
        int64_t from = lq_mono_ms();
        cancel(w, round < 3);
        wait_for("canceled", &w->sides[0].canceled, round);
        int64_t took = lq_mono_ms() - from;
        best = took < best ? took : best;
        if (round == 3)
            break;
        wait_count(w, LUNAQ_RETRY, 1); /* the attempt alone: it failed */
        lq_op_move op = {.queue = LQ_STR("default"),
                         .id = LQ_STR("task-one"),
                         .move = LUNAQ_MOVE_RUN};
        lq_op_init(&op.op, LQ_OP_MOVE);
        assert_int_equal(lq_caller_call(w->caller, &op.op, 5000, NULL), 0);
        lq_op_release(&op.op);
    }
    wait_count(w, LUNAQ_ARCHIVED, 1); /* for good */
    assert_in_range(best, 0, 250);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(stop__quiets_the_server_and_tells_who_asked),
        TEST(order_that_is_unknown_or_off__changes_nothing),
        TEST(cancel__of_a_run__is_heard_soon),
    };
    on_redis = argc < 2 || strcmp(argv[1], "sqlite") != 0;
    if (on_redis && redis_server_start(&redis, NULL, NULL))
        return 77;
    int failed = cmocka_run_group_tests_name(
        on_redis ? "orders on redis" : "orders on sqlite", tests, NULL, NULL);
    if (on_redis)
        redis_server_stop(&redis);
    return failed;
}
