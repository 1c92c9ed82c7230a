/* A broker that is away longer than a lease, and a server that is cut off. */
#include "runtime/world.h"

#include "support/cutter.h"

#include <signal.h>

static redis_server redis;

static int setup(void **state)
{
    return world_setup(state, &redis);
}

static void stand_still(int64_t ms)
{
    kill(redis.pid, SIGSTOP);
    let_pass(ms);
    kill(redis.pid, SIGCONT);
}

static void outage_longer_than_a_lease__runs_nothing_again(void **state)
{
    world *w = *state;

    w->hold = true;
    world_enqueue(w, "default", 4, NULL);
    world_start(w, 0);
    wait_for("running", &w->sides[0].now, 4);
    world_start(w, 1);
    stand_still(15000);
    /* The other one recovers when its link is up for 10 s again. */
    let_pass(13000);
    w->hold = false;
    wait_for("runs", &w->sides[0].runs, 4);
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
    assert_int_equal(w->starts, 4);
    assert_int_equal(list_len(w, "asynq:{default}:pending"), 0);
    assert_int_equal(set_len(w, "asynq:{default}:retry"), 0);
}

/* More than two batches of tasks in hand: the leases of the last are renewed a
 * few round trips after those of the first. */
static void server_cut_off__is_recovered_and_a_slow_broker_is_not(void **state)
{
    enum { TASKS = 250 };
    world *w = *state;
    cutter c;

    assert_int_equal(cutter_start(&c, redis.socket), 0);
    w->o.concurrency = TASKS;
    w->hold = true;
    world_enqueue(w, "default", TASKS, NULL);
    w->o.broker = c.url;
    world_start(w, 0);
    wait_for("running", &w->sides[0].now, TASKS);
    w->o.broker = redis.url;
    world_start(w, 1);
    let_pass(12500);   /* from now on it recovers */
    stand_still(9700); /* too short to break a connection */
    let_pass(2000);
    assert_int_equal(w->starts, TASKS);

    cutter_stop(&c);
    wait_for("running elsewhere", &w->sides[1].now, TASKS);
    w->hold = false;
    wait_for("runs", &w->sides[0].runs, TASKS);
    wait_for("runs", &w->sides[1].runs, TASKS);
    assert_int_equal(world_stop(w, 0), LUNAQ_EBROKER);
    assert_int_equal(world_stop(w, 1), LUNAQ_OK);
    assert_int_equal(w->starts, 2 * TASKS);
    assert_int_equal(list_len(w, "asynq:{default}:active"), 0);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(outage_longer_than_a_lease__runs_nothing_again),
        TEST(server_cut_off__is_recovered_and_a_slow_broker_is_not),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (redis_server_start(&redis, NULL, NULL))
        return 77;
    int failed = cmocka_run_group_tests_name("outage", tests, NULL, NULL);
    redis_server_stop(&redis);
    return failed;
}
