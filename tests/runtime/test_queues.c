/* Which tasks run, when, and where: queues, times, cancels, two servers. */
#include "runtime/world.h"
#include "broker/inspect.h"

#include <stdio.h>
#include <string.h>

static redis_server redis;

static int setup(void **state)
{
    return world_setup(state, &redis);
}

static void weighted_queues__share_by_weight(void **state)
{
    static const char *const names[] = {"critical", "default", "low"};
    static const int32_t weights[] = {6, 3, 1};
    world *w = *state;
    int count[256] = {0};

    world_queues(w, 3, names, weights);
    w->o.concurrency = 10;
    world_enqueue(w, "critical", 14000, NULL);
    world_enqueue(w, "default", 8000, NULL);
    world_enqueue(w, "low", 4000, NULL);
    world_start(w, 0);
    wait_for("starts", &w->starts, 20000);
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
    for (int i = 0; i < 20000; i++)
        count[(unsigned char)w->order[i]]++;
    assert_in_range(count['c'], 10800, 13200);
    assert_in_range(count['d'], 5400, 6600);
    assert_in_range(count['l'], 1800, 2200);
}

static void strict_queues__wait_for_the_higher_ones(void **state)
{
    static const char *const names[] = {"low", "high", "middle"};
    static const int32_t weights[] = {1, 3, 2};
    world *w = *state;

    world_queues(w, 3, names, weights);
    w->o.strict = true;
    w->o.concurrency = w->o.worker_threads = 1;
    for (size_t i = 0; i < 3; i++)
        world_enqueue(w, names[i], 200, NULL);
    world_start(w, 0);
    wait_for("starts", &w->starts, 600);
    for (int i = 0; i < 600; i++)
        assert_int_equal(w->order[i], i < 200 ? 'h' : i < 400 ? 'm' : 'l');
}

static void pause_queue(world *w, const char *queue, bool pause)
{
    lq_op_queue_pause op = {.queue = lq_str_c(queue), .pause = pause};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_init(&op.op, LQ_OP_QUEUE_PAUSE);
    if (lq_caller_call(w->caller, &op.op, 5000, &err))
        fail_msg("pause: %s", err.message);
    lq_op_release(&op.op);
}

static void paused_queue__starts_nothing_until_it_is_resumed(void **state)
{
    static const char *const names[] = {"paused", "default"};
    static const int32_t weights[] = {9, 1};
    world *w = *state;

    world_queues(w, 2, names, weights);
    world_enqueue(w, "paused", 1, NULL);
    world_start(w, 0);
    wait_for("runs", &w->sides[0].runs, 1);
    pause_queue(w, "paused", true);
    world_enqueue(w, "paused", 50, NULL);
    for (int i = 0; i < 50; i++) { /* one by one: with waits between */
        world_enqueue(w, "default", 1, NULL);
        wait_for("runs", &w->queue['d'], i + 1);
    }
    assert_int_equal(w->queue['p'], 1);
    pause_queue(w, "paused", false);
    wait_for("runs", &w->queue['p'], 51);
}

static void twenty_queues__are_all_served(void **state)
{
    static char names[QUEUES_MAX][8];
    const char *ptrs[QUEUES_MAX];
    int32_t weights[QUEUES_MAX];
    world *w = *state;

    for (int i = 0; i < QUEUES_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "%c-queue", 'a' + i);
        ptrs[i] = names[i];
        weights[i] = 1 + i;
    }
    world_queues(w, QUEUES_MAX, ptrs, weights);
    world_start(w, 0);
    for (int round = 1; round <= 2; round++)
        for (int i = 0; i < QUEUES_MAX; i++) {
            world_enqueue(w, names[i], 1, NULL);
            if (i % 7 == 0) /* alone in an idle server */
                wait_for(names[i], &w->queue['a' + i], round);
        }
    for (int i = 0; i < QUEUES_MAX; i++)
        wait_for(names[i], &w->queue['a' + i], 2);
}

static void canceled_task__ends_soon_and_is_archived(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    lq_op_cancel op = {.queue = LQ_STR("default"),
                       .id = LQ_STR("task-one"),
                       .reason = LQ_STR("a test")};
    const char *const archived[] = {"ZCARD", "asynq:{default}:archived", NULL};

    t.task_id = "task-one";
    w->hold = true;
    world_enqueue(w, "default", 1, &t);
    world_start(w, 0);
    wait_for("running", &w->sides[0].now, 1);
    /* Once the listener hears, a cancel takes no renewal to arrive. */
    const char *const heard[] = {"PUBLISH", "asynq:cancel", "nobody", NULL};
    wait_reply(w, heard, 1);
    int64_t from = lq_mono_ms();
    lq_op_init(&op.op, LQ_OP_CANCEL);
    assert_int_equal(lq_caller_call(w->caller, &op.op, 5000, NULL), 0);
    lq_op_release(&op.op);
    wait_for("canceled", &w->sides[0].canceled, 1);
    assert_in_range(lq_mono_ms() - from, 0, 1000);
    wait_reply(w, archived, 1);
}

static void run_past_its_timeout__ends_and_is_retried(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    const char *const retry[] = {"ZCARD", "asynq:{default}:retry", NULL};

    t.timeout_ms = 1000;
    w->hold = true;
    world_enqueue(w, "default", 1, &t);
    world_start(w, 0);
    wait_reply(w, retry, 1);
    assert_int_equal(w->sides[0].canceled, 1);
    assert_in_range(lq_now_ms() - w->at[0], 950, 2500);
}

static void task_past_its_deadline__does_not_start(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    const char *const archived[] = {"ZCARD", "asynq:{default}:archived", NULL};

    t.deadline_at = lq_now_ms() - 5000;
    world_enqueue(w, "default", 1, &t);
    world_start(w, 0);
    wait_reply(w, archived, 1);
    assert_int_equal(w->starts, 0);
}

static void delayed_tasks__start_at_their_second(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;

    world_start(w, 0);
    world_enqueue(w, "default", 1, NULL);
    wait_for("starts", &w->starts, 1);
    int64_t at = lq_now_ms() + 1300, due = (at + 999) / 1000 * 1000;
    t.process_at = at;
    world_enqueue(w, "default", 40, &t);
    wait_for("starts", &w->starts, 41);
    for (int i = 1; i <= 40; i++)
        assert_in_range(w->at[i], due, due + 500);
}

static void two_servers__share_a_queue(void **state)
{
    world *w = *state;

    world_start(w, 0);
    world_start(w, 1);
    world_enqueue(w, "default", 4000, NULL);
    wait_for("starts", &w->starts, 4000);
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
    assert_int_equal(world_stop(w, 1), LUNAQ_OK);
    assert_int_equal(w->sides[0].runs + w->sides[1].runs, 4000);
    assert_true(w->sides[0].runs > 400);
    assert_true(w->sides[1].runs > 400);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(weighted_queues__share_by_weight),
        TEST(strict_queues__wait_for_the_higher_ones),
        TEST(paused_queue__starts_nothing_until_it_is_resumed),
        TEST(twenty_queues__are_all_served),
        TEST(canceled_task__ends_soon_and_is_archived),
        TEST(run_past_its_timeout__ends_and_is_retried),
        TEST(task_past_its_deadline__does_not_start),
        TEST(delayed_tasks__start_at_their_second),
        TEST(two_servers__share_a_queue),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (redis_server_start(&redis, NULL, NULL))
        return 77;
    int failed = cmocka_run_group_tests_name("queues", tests, NULL, NULL);
    redis_server_stop(&redis);
    return failed;
}
