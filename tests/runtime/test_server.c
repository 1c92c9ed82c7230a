/* A server's threads and services on a real broker, with C handlers: on Redis,
 * and on a queue file when the first argument is "sqlite". */
#include "support/test.h"

#include "base/clock.h"
#include "broker/inspect.h"
#include "redis/link_poll.h"
#include "redis_uv/link_uv.h"
#include "runtime/callback.h"
#include "runtime/server.h"
#include "sqlite/caller.h"
#include "sqlite/engine.h"
#include "sqlite_uv/link_sqlite.h"
#include "support/cutter.h"
#include "support/redis_server.h"
#include "support/temp_folder.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUEUE "default"
#define WAIT_MS 20000

static bool on_sqlite;
static redis_server redis;
static temp_folder folder;
static char queue_file[128];

/* What one test works with. */
typedef struct world {
    lq_caller *caller;
    lq_log *log;
    lq_callbacks *callbacks;
    lq_runtime *runtime;
    lq_sqlite_engine *engine;
    atomic_int runs, now, most;
    atomic_bool hold; /* handlers wait while it is set */
    atomic_bool canceled;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
} world;

static void *settled(void **state)
{
    return *state;
}

/* ---- the world ----------------------------------------------------------- */

static void flush(void)
{
    if (on_sqlite) {
        temp_folder_empty(folder.path);
        return;
    }
    const char *const words[] = {"FLUSHALL", NULL};
    free(redis_server_command(&redis, words));
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof(*w));
    lq_log_options log = {.level = LUNAQ_LOG_OFF, .format = LUNAQ_LOG_TEXT};

    flush();
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->log = lq_log_new(&log);
    *state = w;
    const lq_sqlite_engine_options file = {.path = queue_file, .log = w->log};
    if (on_sqlite &&
        (lq_sqlite_engine_open(&w->engine, &file, NULL) ||
         lq_sqlite_caller_open(&w->caller, queue_file, NULL, NULL)))
        return -1;
    return (!on_sqlite && lq_redis_caller_open(&w->caller, redis.url, NULL)) ||
           lq_callbacks_new(&w->callbacks, 32, w->log, NULL);
}

static void audit(world *w)
{
    lq_op_audit op = {.queue = LQ_STR(QUEUE)};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_init(&op.op, LQ_OP_AUDIT);
    if (lq_caller_call(w->caller, &op.op, 5000, &err))
        fail_msg("audit: %s", err.message);
    if (op.count)
        fail_msg("audit: %.*s", LQ_STR_ARG(op.faults[0]));
    lq_op_release(&op.op);
}

static int teardown(void **state)
{
    world *w = *state;
    w->hold = false;
    if (w->runtime && w->runtime->control)
        lq_server_stop(w->runtime, NULL, NULL, NULL, NULL);
    audit(w);
    lq_server_free(w->runtime);
    lq_callbacks_free(w->callbacks);
    lq_caller_close(w->caller);
    lq_sqlite_engine_close(w->engine);
    lq_log_free(w->log);
    free(w);
    return 0;
}

static int count_run(lunaq_run *run, void *ud)
{
    world *w = ud;
    int now = atomic_fetch_add(&w->now, 1) + 1, most = w->most;
    while (now > most && !atomic_compare_exchange_weak(&w->most, &most, now)) {
    }
    pthread_mutex_lock(&w->mutex);
    while (w->hold && !lunaq_run_canceled(run)) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_nsec += 10000000;
        if (t.tv_nsec >= 1000000000) {
            t.tv_sec++;
            t.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&w->changed, &w->mutex, &t);
    }
    pthread_mutex_unlock(&w->mutex);
    if (lunaq_run_canceled(run))
        w->canceled = true;
    atomic_fetch_sub(&w->now, 1);
    atomic_fetch_add(&w->runs, 1);
    return LUNAQ_OK;
}

static void start_on(world *w, const char *url, uint32_t concurrency,
                     uint32_t threads)
{
    static const struct lq_queue_prio queues[] = {{{QUEUE, 7}, 1}};
    lq_runtime_options o = {.broker = on_sqlite ? (const void *)w->engine : url,
                            .link_open = on_sqlite ? lq_sqlite_link_open
                                                   : lq_redis_link_open,
                            .take_on_wake = !on_sqlite,
                            .log = w->log,
                            .queues = queues,
                            .queue_count = 1,
                            .concurrency = concurrency,
                            .worker_threads = threads,
                            .lease_ms = 10000,
                            .shutdown_timeout_ms = 300,
                            .crash_limit = 3,
                            .runners = {{lq_callback_runner_new, w->callbacks}},
                            .runner_count = 1};
    lunaq_error err = LUNAQ_ERROR_INIT;

    if (lq_server_new(&w->runtime, &o, &err) ||
        lq_server_start(w->runtime, &err))
        fail_msg("start: %s", err.message);
    lq_server_begin(w->runtime);
}

static void start(world *w, uint32_t concurrency, uint32_t threads)
{
    start_on(w, redis.url, concurrency, threads);
}

static void add(world *w, const char *type)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lq_callbacks_add(w->callbacks, type, NULL, count_run, w, &err))
        fail_msg("add: %s", err.message);
}

static void enqueue(world *w, size_t n)
{
    static lq_enqueue items[LQ_BATCH_MAX];
    lq_enqueue *ptrs[LQ_BATCH_MAX];
    lunaq_error err = LUNAQ_ERROR_INIT;

    while (n > 0) {
        size_t batch = n < LQ_BATCH_MAX ? n : LQ_BATCH_MAX;
        lq_op_enqueue op = {.items = ptrs, .count = batch};
        for (size_t i = 0; i < batch; i++) {
            lunaq_task t = LUNAQ_TASK_INIT;
            t.type = "work";
            t.payload = "{}";
            t.payload_len = 2;
            assert_int_equal(lq_enqueue_init(&items[i], &t, lq_now_ms(), &err),
                             0);
            ptrs[i] = &items[i];
        }
        lq_op_init(&op.op, LQ_OP_ENQUEUE);
        if (lq_caller_call(w->caller, &op.op, 5000, &err))
            fail_msg("enqueue: %s", err.message);
        lq_op_release(&op.op);
        for (size_t i = 0; i < batch; i++)
            lq_enqueue_release(&items[i]);
        n -= batch;
    }
}

/* Looks often until it is so; the deadline is the test's verdict. */
static void wait_runs(world *w, int n)
{
    int64_t until = lq_mono_ms() + WAIT_MS;
    while (atomic_load(&w->runs) < n) {
        struct timespec t = {0, 1000000};
        if (lq_mono_ms() > until)
            fail_msg("%d of %d tasks ran", (int)w->runs, n);
        nanosleep(&t, NULL);
    }
}

static void wait_now(world *w, int n)
{
    int64_t until = lq_mono_ms() + WAIT_MS;
    while (atomic_load(&w->now) < n) {
        struct timespec t = {0, 1000000};
        if (lq_mono_ms() > until)
            fail_msg("%d of %d tasks are running", (int)w->now, n);
        nanosleep(&t, NULL);
    }
}

static lunaq_queue_info info(world *w)
{
    lq_op_queue_stats op = {.queue = LQ_STR(QUEUE), .now_ms = lq_now_ms()};
    lunaq_error err = LUNAQ_ERROR_INIT;

    lq_op_init(&op.op, LQ_OP_QUEUE_STATS);
    if (lq_caller_call(w->caller, &op.op, 5000, &err))
        fail_msg("stats: %s", err.message);
    lunaq_queue_info result = op.info;
    lq_op_release(&op.op);
    return result;
}

static void assert_left(world *w, int64_t pending, int64_t active)
{
    lunaq_queue_info left = info(w);
    assert_int_equal(left.pending, pending);
    assert_int_equal(left.active, active);
}

/* ---- tests --------------------------------------------------------------- */

static void two_thousand_tasks__run_once_each(void **state)
{
    world *w = settled(state);
    add(w, "work");
    enqueue(w, 2000);
    start(w, 10, 2);
    wait_runs(w, 2000);
    assert_int_equal(lq_server_stop(w->runtime, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(w->runs, 2000);
    assert_left(w, 0, 0);
}

/* The median: a busy machine may keep some back, polling keeps back most. */
static void task_pushed_to_an_idle_server__runs_without_polling(void **state)
{
    world *w = settled(state);
    int soon = 0;
    add(w, "work");
    start(w, 4, 2);
    for (int i = 1; i <= 20; i++) {
        int64_t from = lq_mono_ms();
        enqueue(w, 1);
        wait_runs(w, i);
        if (i > 5) /* by then the waiter's connection is up */
            soon += lq_mono_ms() - from < 100;
    }
    assert_in_range(soon, 8, 15);
}

static void concurrency__is_reached_and_never_exceeded(void **state)
{
    world *w = settled(state);
    add(w, "work");
    w->hold = true;
    enqueue(w, 100);
    start(w, 7, 3);
    wait_now(w, 7);
    w->hold = false;
    wait_runs(w, 100);
    assert_int_equal(w->most, 7);
}

static void stop_under_load__gives_back_what_runs(void **state)
{
    world *w = settled(state);
    add(w, "work");
    w->hold = true;
    enqueue(w, 50);
    start(w, 8, 2);
    wait_now(w, 8);
    assert_int_equal(lq_server_stop(w->runtime, NULL, NULL, NULL, NULL), 0);
    assert_true(w->canceled);
    /* What a canceled handler returns is not used: all eight are back. */
    assert_left(w, 50, 0);
}

static void broker_killed_under_load__loses_nothing(void **state)
{
    world *w = settled(state);
    add(w, "work");
    enqueue(w, 3000);
    start(w, 10, 2);
    wait_runs(w, 500);
    redis_server_kill(&redis);
    assert_int_equal(redis_server_restart(&redis), 0);
    wait_runs(w, 3000);
    assert_int_equal(lq_server_stop(w->runtime, NULL, NULL, NULL, NULL), 0);
    assert_left(w, 0, 0);
}

/* Each cut loses the reply of a script that was carried out: tasks taken that
 * nobody knows of, outcomes that may or may not have been written.  Nothing may
 * run twice, for no holder ever died. */
static void lost_replies__lose_and_repeat_nothing(void **state)
{
    world *w = settled(state);
    cutter c;

    assert_int_equal(cutter_start(&c, redis.socket), 0);
    c.min_len = 400; /* steps: not greetings, tokens, reconciling */
    c.every = 30;
    add(w, "work");
    enqueue(w, 2000);
    start_on(w, c.url, 20, 2);
    wait_runs(w, 1500);
    c.every = 0;
    wait_runs(w, 2000);
    assert_int_equal(lq_server_stop(w->runtime, NULL, NULL, NULL, NULL), 0);
    assert_true(c.cuts >= 3);
    assert_int_equal(w->runs, 2000);
    assert_left(w, 0, 0);
    cutter_stop(&c);
}

static void no_handler__is_retried_not_lost(void **state)
{
    world *w = settled(state);
    int64_t until = lq_mono_ms() + WAIT_MS;
    add(w, "other");
    enqueue(w, 3);
    start(w, 2, 1);
    while (info(w).retry < 3) {
        struct timespec t = {0, 2000000};
        if (lq_mono_ms() > until)
            fail_msg("not in retry");
        nanosleep(&t, NULL);
    }
    assert_int_equal(w->runs, 0);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(two_thousand_tasks__run_once_each),
        TEST(task_pushed_to_an_idle_server__runs_without_polling),
        TEST(concurrency__is_reached_and_never_exceeded),
        TEST(stop_under_load__gives_back_what_runs),
        TEST(no_handler__is_retried_not_lost),
    };
    const struct CMUnitTest redis_only[] = {
        TEST(broker_killed_under_load__loses_nothing),
        TEST(lost_replies__lose_and_repeat_nothing),
    };
    on_sqlite = argc > 1 && strcmp(argv[1], "sqlite") == 0;
    argc -= on_sqlite;
    argv += on_sqlite;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (on_sqlite) {
        if (temp_folder_make(&folder))
            return 77;
        snprintf(queue_file, sizeof(queue_file), "%s/queue.db", folder.path);
    } else if (redis_server_start_durable(&redis)) {
        return 77;
    }
    int failed = cmocka_run_group_tests_name("server", tests, NULL, NULL);
    if (!on_sqlite)
        failed += cmocka_run_group_tests_name("server, and what a connection "
                                              "can lose",
                                              redis_only, NULL, NULL);
    temp_folder_remove(&folder);
    redis_server_stop(&redis);
    return failed;
}
