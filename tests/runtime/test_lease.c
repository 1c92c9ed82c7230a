/* A lease that is lost while its task runs: the run ends, and nothing is
 * written of it.  On Redis, and on a queue file when the first argument is
 * "sqlite". */
#include "runtime/world.h"

#include "broker/inspect.h"
#include "runtime/worker.h"

#include <stdio.h>
#include <string.h>

static redis_server redis;
static bool on_sqlite;

static int setup(void **state)
{
    return world_setup(state, on_sqlite ? NULL : &redis);
}

static uint32_t token_of(lq_runtime *rt)
{
    uint32_t token = 0;
    for (uint32_t i = 0; !token && i < rt->o.worker_threads; i++) {
        lq_arena mem = {0};
        lq_held *held;
        if (lq_held_copy(&rt->workers[i]->held, -1, 10, &mem, &held))
            token = held[0].token;
        lq_arena_release(&mem);
    }
    assert_int_not_equal(token, 0);
    return token;
}

/* What somebody else does who was given the task meanwhile: archives it. */
static void settle_elsewhere(world *w, const char *id)
{
    lq_buf msg;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_task t = {.type = LQ_STR("work"),
                 .id = lq_str_c(id),
                 .queue = LQ_STR("default"),
                 .max_retry = 25,
                 .error_msg = LQ_STR("elsewhere")};
    lq_buf_init(&msg, 0);
    lq_task_encode(&msg, &t);
    lq_outcome o = {.kind = LQ_ARCHIVE,
                    .id = lq_str_c(id),
                    .token = token_of(w->sides[0].runtime),
                    .msg = lq_buf_str(&msg),
                    .is_failure = true},
               *list[] = {&o};
    lq_step_queue queue = {
        .name = LQ_STR("default"), .outcomes = list, .outcome_count = 1};
    lq_op_step step = {.queues = &queue,
                       .queue_count = 1,
                       .lease_ms = 30000,
                       .now_ms = lq_now_ms()};
    lq_op_init(&step.op, LQ_OP_STEP);
    if (lq_caller_call(w->caller, &step.op, 5000, &err))
        fail_msg("step: %s", err.message);
    assert_int_equal(o.code, LUNAQ_OK);
    lq_op_release(&step.op);
    lq_buf_release(&msg);
}

static void lost__the_run_ends_and_nothing_is_written(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    static const lq_str queues[] = {{"default", 7}};
    lq_op_task_get get = {
        .queues = queues, .queue_count = 1, .id = LQ_STR("task-one")};

    t.task_id = "task-one";
    t.retention_ms = 3600000;
    w->o.lease_ms = 3000; /* renewed twice a second */
    w->hold = true;
    world_enqueue(w, "default", 1, &t);
    world_start(w, 0);
    wait_for("running", &w->sides[0].now, 1);
    settle_elsewhere(w, "task-one");
    wait_for("told to end", &w->sides[0].canceled, 1);
    wait_for("warned", &w->lines, 1); /* the outcome is thrown away here */
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
    assert_int_equal(w->starts, 1);

    lq_op_init(&get.op, LQ_OP_TASK_GET);
    assert_int_equal(lq_caller_call(w->caller, &get.op, 5000, NULL), LUNAQ_OK);
    assert_int_equal(get.count, 1);
    assert_int_equal(get.rows[0].state, LUNAQ_ARCHIVED);
    assert_non_null(memmem(get.rows[0].msg.p, get.rows[0].msg.len, "elsewhere",
                           strlen("elsewhere")));
    lq_op_release(&get.op);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(lost__the_run_ends_and_nothing_is_written),
    };
    on_sqlite = argc > 1 && strcmp(argv[1], "sqlite") == 0;
    if (!on_sqlite && redis_server_start(&redis, NULL, NULL))
        return 77;
    int failed = cmocka_run_group_tests_name("lease", tests, NULL, NULL);
    if (!on_sqlite)
        redis_server_stop(&redis);
    return failed;
}
