/* Ends of a server that are not the ordinary one. */
#include "runtime/world.h"

#include "runtime/worker.h"
#include "support/cutter.h"

#include <stdio.h>
#include <sys/resource.h>

static redis_server redis;

static int setup(void **state)
{
    return world_setup(state, &redis);
}

/* The stop does not wait for ever; what the handler's thread has of the server
 * must stay until it returns. */
static void handler_deaf_to_the_stop__returns_to_nobody(void **state)
{
    world *w = *state;
    w->hold = w->deaf = true;
    world_enqueue(w, "default", 3, NULL);
    world_start(w, 0);
    wait_for("running", &w->sides[0].now, 3);
    assert_int_equal(world_stop(w, 0), LUNAQ_EBROKER);
    assert_int_equal(list_len(w, "asynq:{default}:active"), 3);
    w->hold = false;
    wait_for("returned", &w->sides[0].runs, 3);
}

/* Workers end one after another, and the control thread after them. */
static void ended_worker__ignores_what_others_post(void **state)
{
    world *w = *state;
    lq_arena mem = {0};
    lq_held *held;
    w->o.worker_threads = 1;
    w->o.take_on_wake = false; /* nothing else that is unknown at the end */
    w->hold = w->deaf = true;
    world_enqueue(w, "default", 3, NULL);
    world_start(w, 0);
    wait_for("running", &w->sides[0].now, 3);
    lq_runtime *rt = w->sides[0].runtime;
    lq_worker *worker = rt->workers[0];
    lq_watchdog_disable(&rt->control->watchdog);
    assert_int_equal(lq_worker_stop(worker), 3);
    lq_worker_kick(worker, 1);
    assert_int_equal(lq_held_copy(&worker->held, -1, 10, &mem, &held), 3);
    lq_worker_cancel(worker, 0, held[0].id, LQ_CANCEL_REQUEST, (lq_str){0});
    lq_arena_release(&mem);
    w->hold = false; /* two may come back before the loop goes, or after */
    lq_control_stop(rt);
    lq_worker_free(worker);
    rt->workers[0] = NULL;
    wait_for("returned", &w->sides[0].runs, 3);
}

static void stop_before_the_first_connection__is_quick(void **state)
{
    world *w = *state;
    char url[160];
    snprintf(url, sizeof(url), "redis-socket://%s.nobody", redis.socket);
    w->o.broker = url;
    world_start(w, 0);
    int64_t from = lq_mono_ms();
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
    assert_in_range(lq_mono_ms() - from, 0, 2500);
}

static void stop_at_once__is_fine(void **state)
{
    world *w = *state;
    world_start(w, 0);
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
}

static void server_that_never_began__stops(void **state)
{
    world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    side *s = &w->sides[0];
    w->o.runner_count = 0;
    assert_int_equal(lq_server_new(&s->runtime, &w->o, &err), 0);
    assert_int_equal(lq_server_start(s->runtime, &err), 0);
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
}

static int broken_runner(lq_runner **out, const lq_worker_services *services,
                         void *ud, lunaq_error *err)
{
    *out = NULL;
    if (services->worker < *(size_t *)ud)
        return lq_callback_runner_new(out, services, NULL, err);
    return lq_fail(err, LUNAQ_EHANDLER, "broken");
}

static void start_failing_halfway__leaves_nothing(void **state)
{
    world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    side *s = &w->sides[0];
    lq_callbacks *pool;
    size_t good = 0;
    /* The first worker's runner fails: the control thread runs already. */
    assert_int_equal(lq_callbacks_new(&pool, 1, w->log, NULL), 0);
    w->o.runners[0] = (lq_runner_factory){broken_runner, &good};
    assert_int_equal(lq_server_new(&s->runtime, &w->o, &err), 0);
    assert_int_equal(lq_server_start(s->runtime, &err), LUNAQ_EHANDLER);
    assert_string_equal(err.message, "broken");
    assert_null(s->runtime->control);
    lq_callbacks_free(pool);
}

/* A take whose reply is lost right before the stop: the tasks must not stay
 * active without anybody knowing. */
static void stop_after_a_lost_take__gives_the_tasks_back(void **state)
{
    world *w = *state;
    cutter c;
    assert_int_equal(cutter_start(&c, redis.socket), 0);
    w->o.broker = c.url;
    w->o.worker_threads = 1;
    w->o.shutdown_timeout_ms = 5000;
    world_start(w, 0);
    world_enqueue(w, "default", 1, NULL);
    wait_for("runs", &w->sides[0].runs, 1);
    w->hold = true;
    /* Few bytes ask for a take alone; a token or a greeting has fewer. */
    c.min_len = 200;
    c.every = 1;
    world_enqueue(w, "default", 1, NULL);
    int64_t until = lq_mono_ms() + WAIT_MS;
    while (c.cuts == 0 && lq_mono_ms() < until)
        let_pass(1);
    c.every = 0;
    w->hold = false;
    assert_true(c.cuts > 0);
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
    assert_int_equal(list_len(w, "asynq:{default}:active"), 0);
    cutter_stop(&c);
}

static void stop_while_the_broker_is_away__says_what_is_left(void **state)
{
    world *w = *state;
    w->hold = true;
    world_enqueue(w, "default", 2, NULL);
    world_start(w, 0);
    wait_for("running", &w->sides[0].now, 2);
    redis_server_kill(&redis);
    assert_int_equal(world_stop(w, 0), LUNAQ_EBROKER);
    assert_int_equal(redis_server_restart(&redis), 0);
    assert_int_equal(list_len(w, "asynq:{default}:active"), 2);
}

static int64_t cpu_ms(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
           (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

/* With tasks that ended meanwhile, which nobody can be told of. */
static void broker_away__costs_little_and_is_told_once(void **state)
{
    world *w = *state;
    w->hold = true;
    world_enqueue(w, "default", 4, NULL);
    world_start(w, 0);
    wait_for("running", &w->sides[0].now, 4);
    redis_server_kill(&redis);
    w->hold = false;
    wait_for("runs", &w->sides[0].runs, 4);
    int64_t before = cpu_ms();
    let_pass(4000);
    assert_in_range(cpu_ms() - before, 0, 200); /* 5 % */
    assert_int_equal(w->lines, 1);
    assert_int_equal(redis_server_restart(&redis), 0);
    const char *const active[] = {"LLEN", "asynq:{default}:active", NULL};
    wait_reply(w, active, 0);
    assert_int_equal(w->starts, 4);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(handler_deaf_to_the_stop__returns_to_nobody),
        TEST(ended_worker__ignores_what_others_post),
        TEST(stop_before_the_first_connection__is_quick),
        TEST(stop_at_once__is_fine),
        TEST(server_that_never_began__stops),
        TEST(start_failing_halfway__leaves_nothing),
        TEST(stop_after_a_lost_take__gives_the_tasks_back),
        TEST(stop_while_the_broker_is_away__says_what_is_left),
        TEST(broker_away__costs_little_and_is_told_once),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (redis_server_start_durable(&redis))
        return 77;
    int failed = cmocka_run_group_tests_name("stop", tests, NULL, NULL);
    redis_server_stop(&redis);
    return failed;
}
