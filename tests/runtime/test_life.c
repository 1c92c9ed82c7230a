/* A server's life by the public functions: stopping from where one may, and
 * from where one may not; and options that no server can have. */
#include "support/test.h"

#include "support/patience.h"
#include "support/temp_folder.h"
#include <lunaq/server.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct world {
    temp_folder folder;
    char broker[160];
    lunaq_client *client;
    lunaq_server *server;
    lunaq_server_options o;
    atomic_int runs, codes;
    atomic_int code; /* what a callback's call returned */
    atomic_bool hold;
} world;

static int setup(void **state)
{
    static const lunaq_queue_weight queues[] = {{"default", 1}};
    world *w = calloc(1, sizeof(*w));
    *state = w;
    if (temp_folder_make(&w->folder))
        return -1;
    snprintf(w->broker, sizeof(w->broker), "sqlite:%s/queue.db",
             w->folder.path);
    w->o = (lunaq_server_options)LUNAQ_SERVER_OPTIONS_INIT;
    w->o.broker = w->broker;
    w->o.queues = queues;
    w->o.queue_count = 1;
    w->o.log = silent;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    w->hold = false;
    lunaq_server_close(w->server);
    lunaq_client_close(w->client);
    temp_folder_remove(&w->folder);
    free(w);
    return 0;
}

static void open_server(world *w)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_client_options c = LUNAQ_CLIENT_OPTIONS_INIT;
    c.broker = w->broker;
    if (lunaq_server_open(&w->server, &w->o, &err) ||
        lunaq_client_open(&w->client, &c, &err))
        fail_msg("%s", err.message);
}

static void start(world *w, lunaq_handler_fn *fn)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "a";
    if (lunaq_server_handle(w->server, "a", fn, w, &err) ||
        lunaq_server_start(w->server, &err) ||
        lunaq_client_enqueue(w->client, &t, NULL, &err))
        fail_msg("%s", err.message);
}

/* ---- stopping ------------------------------------------------------------ */

/* Told to end, the stop is under way for sure. */
static int quiets_during_the_stop(lunaq_run *run, void *ud)
{
    world *w = ud;
    atomic_fetch_add(&w->runs, 1);
    while (!lunaq_run_canceled(run))
        nap();
    lunaq_server_quiet(w->server);
    atomic_fetch_add(&w->codes, lunaq_server_healthy(w->server));
    w->code = lunaq_server_reload(w->server, NULL);
    return LUNAQ_OK;
}

static void quiet__inside_a_handler_during_a_stop__holds_nobody_up(void **state)
{
    world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    w->o.shutdown_timeout_ms = 100;
    open_server(w);
    start(w, quiets_during_the_stop);
    wait_for("runs", &w->runs, 1);
    if (lunaq_server_stop(w->server, &err))
        fail_msg("%s", err.message);
    assert_int_equal(w->code, LUNAQ_ESTATE);
    assert_int_equal(w->codes, 1); /* it drains: a watchdog need not bite */
}

static int stops(lunaq_run *run, void *ud)
{
    world *w = ud;
    (void)run;
    w->code = lunaq_server_stop(w->server, NULL);
    lunaq_server_close(w->server); /* does nothing */
    atomic_fetch_add(&w->codes, 1);
    return LUNAQ_OK;
}

static void stop__inside_a_handler__is_refused(void **state)
{
    world *w = *state;
    open_server(w);
    start(w, stops);
    wait_for("codes", &w->codes, 1);
    assert_int_equal(w->code, LUNAQ_ERECURSE);
    assert_int_equal(lunaq_server_stop(w->server, NULL), LUNAQ_OK);
}

static void stops_when_asked_for_health(int code, const char *message, void *ud)
{
    world *w = ud;
    (void)code;
    (void)message;
    if (atomic_fetch_add(&w->codes, 1) == 0)
        w->code = lunaq_server_stop(w->server, NULL);
}

static int idle(lunaq_run *run, void *ud)
{
    (void)run;
    (void)ud;
    return LUNAQ_OK;
}

static void stop__on_the_control_thread__is_refused(void **state)
{
    world *w = *state;
    lunaq_server_hooks hooks = LUNAQ_SERVER_HOOKS_INIT;
    hooks.on_health = stops_when_asked_for_health;
    hooks.health_interval_ms = 5;
    hooks.userdata = w;
    open_server(w);
    assert_int_equal(lunaq_server_hook(w->server, &hooks, NULL), LUNAQ_OK);
    start(w, idle);
    wait_for("codes", &w->codes, 2);
    assert_int_equal(w->code, LUNAQ_ERECURSE);
    assert_int_equal(lunaq_server_stop(w->server, NULL), LUNAQ_OK);
}

#define STOPPERS 32 /* more than the server has threads */

static void *stop_once_more(void *arg)
{
    world *w = arg;
    if (lunaq_server_stop(w->server, NULL) == LUNAQ_OK)
        atomic_fetch_add(&w->codes, 1);
    while (!w->hold)
        sched_yield(); /* the ids of all are in use at once */
    return NULL;
}

static void
stop__on_a_thread_with_the_id_of_one_that_ended__is_done(void **state)
{
    world *w = *state;
    pthread_t threads[STOPPERS];
    open_server(w);
    start(w, idle);
    assert_int_equal(lunaq_server_stop(w->server, NULL), LUNAQ_OK);
    for (size_t i = 0; i < STOPPERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, stop_once_more, w),
                         0);
    w->hold = true;
    for (size_t i = 0; i < STOPPERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(w->codes, STOPPERS);
}

static int stops_when_asked_for_entries(lunaq_cron_provider *to, void *ud)
{
    world *w = ud;
    (void)to;
    w->code = lunaq_server_stop(w->server, NULL);
    lunaq_server_close(w->server); /* does nothing */
    atomic_fetch_add(&w->codes, 1);
    return LUNAQ_OK;
}

static void stop__inside_a_provider__is_refused(void **state)
{
    world *w = *state;
    lunaq_cron_hooks hooks = LUNAQ_CRON_HOOKS_INIT;
    hooks.provide = stops_when_asked_for_entries;
    hooks.userdata = w;
    open_server(w);
    assert_int_equal(lunaq_server_cron(w->server, &hooks, NULL), LUNAQ_OK);
    start(w, idle);
    wait_for("codes", &w->codes, 1);
    assert_int_equal(w->code, LUNAQ_ERECURSE);
    assert_int_equal(lunaq_server_stop(w->server, NULL), LUNAQ_OK);
}

static int holds(lunaq_run *run, void *ud)
{
    world *w = ud;
    (void)run;
    atomic_fetch_add(&w->runs, 1);
    while (w->hold)
        nap();
    return LUNAQ_OK;
}

static void *stop_here(void *ud)
{
    world *w = ud;
    atomic_fetch_add(&w->codes, 1);
    return (void *)(intptr_t)lunaq_server_stop(w->server, NULL);
}

static void stop__by_two_threads__both_wait_for_its_end(void **state)
{
    world *w = *state;
    pthread_t threads[2];
    w->hold = true;
    open_server(w);
    start(w, holds);
    wait_for("runs", &w->runs, 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, stop_here, w), 0);
    wait_for("stops", &w->codes, 2);
    w->hold = false;
    for (int i = 0; i < 2; i++) {
        void *code = w;
        assert_int_equal(pthread_join(threads[i], &code), 0);
        assert_null(code);
    }
    assert_false(lunaq_server_healthy(w->server)); /* it does not run */
}

/* ---- numbers ------------------------------------------------------------- */

static int comes_never_again(lunaq_run *run, void *ud)
{
    world *w = ud;
    atomic_fetch_add(&w->runs, 1);
    return lunaq_run_retry_after(run, INT64_MAX, "in a while");
}

static void retry_after__as_long_as_there_is__stays_in_the_future(void **state)
{
    world *w = *state;
    lunaq_task_query q = LUNAQ_TASK_QUERY_INIT;
    lunaq_task_list *list = NULL;
    q.state = LUNAQ_RETRY;
    open_server(w);
    start(w, comes_never_again);
    wait_for("runs", &w->runs, 1);
    assert_int_equal(lunaq_server_stop(w->server, NULL), LUNAQ_OK);
    assert_int_equal(lunaq_task_list_open(w->client, &q, &list, NULL), 0);
    assert_int_equal(lunaq_task_list_count(list), 1);
    assert_true(lunaq_task_list_at(list, 0)->next_at > INT64_C(4000000000000));
    lunaq_task_list_free(list);
}

static void options__out_of_range__are_refused(void **state)
{
    world *w = *state;
    static const size_t fields[] = {
        offsetof(lunaq_server_options, shutdown_timeout_ms),
        offsetof(lunaq_server_options, stuck_after_ms),
        offsetof(lunaq_server_options, crash_limit),
        offsetof(lunaq_server_options, concurrency),
        offsetof(lunaq_server_options, schedule_every_ms),
    };
    static const int64_t wrong[] = {INT64_MAX, INT64_MIN, -2};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        for (size_t k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++) {
            lunaq_server_options o = w->o;
            memcpy((char *)&o + fields[i], &wrong[k], sizeof(wrong[k]));
            assert_int_equal(lunaq_server_check(&o, NULL), LUNAQ_ECONFIG);
        }
    assert_int_equal(lunaq_server_check(&w->o, NULL), LUNAQ_OK);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(quiet__inside_a_handler_during_a_stop__holds_nobody_up),
        TEST(stop__inside_a_handler__is_refused),
        TEST(stop__on_a_thread_with_the_id_of_one_that_ended__is_done),
        TEST(stop__on_the_control_thread__is_refused),
        TEST(stop__inside_a_provider__is_refused),
        TEST(stop__by_two_threads__both_wait_for_its_end),
        TEST(retry_after__as_long_as_there_is__stays_in_the_future),
        TEST(options__out_of_range__are_refused),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
