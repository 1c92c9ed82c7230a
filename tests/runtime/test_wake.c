/* Tasks that come with the wake-up: taken by the waiter's own connection. */
#include "runtime/world.h"

#include "support/cutter.h"

static redis_server redis;

static int setup(void **state)
{
    return world_setup(state, &redis);
}

/* How many connections wait; armed: with a take behind the wait. */
static int waiting(const world *w, bool armed)
{
    const char *const words[] = {"CLIENT", "LIST", NULL};
    char *list = redis_server_command(w->redis, words), *line = list;
    int n = 0;

    assert_non_null(list);
    for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = 0;
        if (strstr(line, "cmd=blmove") && (!armed || !strstr(line, " qbuf=0 ")))
            n++;
    }
    free(list);
    return n;
}

static void wait_waiting(const world *w, bool armed, int n)
{
    int64_t until = lq_mono_ms() + WAIT_MS;
    while (waiting(w, armed) != n) {
        if (lq_mono_ms() > until)
            fail_msg("%d connections wait, not %d", waiting(w, armed), n);
        let_pass(2);
    }
}

static void two_queues(world *w)
{
    static const char *const names[] = {"a-queue", "b-queue"};
    static const int32_t weights[] = {1, 1};
    world_queues(w, 2, names, weights);
    w->o.worker_threads = 1;
}

static void idle_server__takes_with_the_wake(void **state)
{
    world *w = *state;
    two_queues(w);
    world_start(w, 0);
    for (int i = 1; i <= 20; i++) {
        wait_waiting(w, true, 2);
        world_enqueue(w, i % 2 ? "a-queue" : "b-queue", 1, NULL);
        wait_for("runs", &w->sides[0].runs, i);
    }
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
    assert_int_equal(w->starts, 20);
}

/* More queues than slots: only as many bring tasks as there is room for. */
static void one_slot__arms_one_take(void **state)
{
    world *w = *state;
    two_queues(w);
    w->o.concurrency = 1;
    world_start(w, 0);
    wait_waiting(w, false, 2);
    assert_int_equal(waiting(w, true), 1);
}

static void task_for_a_slot_that_is_gone__goes_back_and_runs_once(void **state)
{
    const char *const active[] = {"LLEN", "asynq:{a-queue}:active", NULL};
    const char *const pending[] = {"LLEN", "asynq:{a-queue}:pending", NULL};
    world *w = *state;

    two_queues(w);
    w->o.concurrency = 1;
    w->hold = true;
    world_start(w, 0);
    wait_waiting(w, false, 2);
    wait_waiting(w, true, 1);
    /* The first queue's waiter is the one that takes. */
    world_enqueue(w, "b-queue", 1, NULL);
    wait_for("running", &w->sides[0].now, 1);
    world_enqueue(w, "a-queue", 1, NULL);
    wait_reply(w, active, 0);
    wait_reply(w, pending, 1);
    assert_int_equal(w->starts, 1);
    w->hold = false;
    wait_for("runs", &w->sides[0].runs, 2);
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
    assert_int_equal(w->starts, 2);
    assert_int_equal(w->sides[0].most, 1);
    assert_int_equal(w->lines, 0); /* nothing to warn of */
}

static void lost_reply__goes_back_and_runs_once(void **state)
{
    world *w = *state;
    cutter c;

    assert_int_equal(cutter_start(&c, redis.socket), 0);
    w->o.broker = c.url;
    w->o.worker_threads = 1;
    world_start(w, 0);
    wait_waiting(w, true, 1);
    c.waits = 1;
    world_enqueue(w, "default", 1, NULL);
    wait_for("lost", &c.cuts, 1);
    wait_for("runs", &w->sides[0].runs, 1);
    wait_waiting(w, true, 1); /* with another token */
    world_enqueue(w, "default", 1, NULL);
    wait_for("runs", &w->sides[0].runs, 2);
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
    assert_int_equal(w->starts, 2);
    assert_int_equal(list_len(w, "asynq:{default}:active"), 0);
    cutter_stop(&c);
}

static void stop_amid_wakes__leaves_nothing_active(void **state)
{
    world *w = *state;
    int64_t left;

    w->o.worker_threads = 1;
    for (int i = 0; i < 20; i++) {
        world_start(w, 0);
        wait_waiting(w, true, 1);
        world_enqueue(w, "default", 1, NULL);
        assert_int_equal(world_stop(w, 0), LUNAQ_OK);
        assert_int_equal(list_len(w, "asynq:{default}:active"), 0);
        lq_server_free(w->sides[0].runtime);
        lq_callbacks_free(w->sides[0].callbacks);
        w->sides[0].runtime = NULL;
        w->sides[0].callbacks = NULL;
    }
    left = list_len(w, "asynq:{default}:pending");
    assert_int_equal(w->starts + left, 20);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(idle_server__takes_with_the_wake),
        TEST(one_slot__arms_one_take),
        TEST(task_for_a_slot_that_is_gone__goes_back_and_runs_once),
        TEST(lost_reply__goes_back_and_runs_once),
        TEST(stop_amid_wakes__leaves_nothing_active),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (redis_server_start(&redis, NULL, NULL))
        return 77;
    int failed = cmocka_run_group_tests_name("wake", tests, NULL, NULL);
    redis_server_stop(&redis);
    return failed;
}
