/* What is around C handlers, by the public functions: middleware, hooks, what a
 * run shows, results written mid-run.  On Redis, and on a queue file when the
 * first argument is "sqlite". */
#include "support/test.h"

#include "support/patience.h"
#include "support/redis_server.h"
#include "support/temp_folder.h"
#include <lunaq/server.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static redis_server redis;
static bool on_sqlite;

typedef struct world {
    temp_folder folder;
    char broker[160];
    lunaq_client *client;
    lunaq_server *server;
    lunaq_server_hooks hooks;
    pthread_mutex_t mutex;
    char said[512]; /* what callbacks wrote down */
    atomic_int runs, archived, errors, healthy;
    atomic_bool hold;
} world;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Adds a word to w->said. */
static void say(world *w, const char *word)
{
    pthread_mutex_lock(&w->mutex);
    size_t n = strlen(w->said);
    snprintf(w->said + n, sizeof(w->said) - n, "%s%s", n ? " " : "", word);
    pthread_mutex_unlock(&w->mutex);
}

static int setup(void **state)
{
    static const char *const flush[] = {"FLUSHALL", NULL};
    static const lunaq_queue_weight queues[] = {{"default", 1}};
    world *w = calloc(1, sizeof(*w));
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_server_options o = LUNAQ_SERVER_OPTIONS_INIT;
    lunaq_client_options c = LUNAQ_CLIENT_OPTIONS_INIT;

    *state = w;
    pthread_mutex_init(&w->mutex, NULL);
    if (temp_folder_make(&w->folder))
        return -1;
    if (on_sqlite) {
        snprintf(w->broker, sizeof(w->broker), "sqlite:%s/queue.db",
                 w->folder.path);
    } else {
        free(redis_server_command(&redis, flush));
        snprintf(w->broker, sizeof(w->broker), "%s", redis.url);
    }
    o.broker = c.broker = w->broker;
    o.queues = queues;
    o.queue_count = 1;
    o.concurrency = 4;
    o.log = silent;
    o.log_userdata = w;
    w->hooks = (lunaq_server_hooks)LUNAQ_SERVER_HOOKS_INIT;
    w->hooks.userdata = w->hooks.context = w;
    if (lunaq_server_open(&w->server, &o, &err) ||
        lunaq_client_open(&w->client, &c, &err)) {
        fprintf(stderr, "setup: %s\n", err.message);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    w->hold = false;
    if (!on_sqlite)
        kill(redis.pid, SIGCONT);
    lunaq_server_close(w->server);
    lunaq_client_close(w->client);
    temp_folder_remove(&w->folder);
    pthread_mutex_destroy(&w->mutex);
    free(w);
    return 0;
}

static void start(world *w)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lunaq_server_hook(w->server, &w->hooks, &err) ||
        lunaq_server_start(w->server, &err))
        fail_msg("%s", err.message);
}

static void handle(world *w, const char *type, lunaq_handler_fn *fn)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lunaq_server_handle(w->server, type, fn, w, &err))
        fail_msg("%s", err.message);
}

static void use(world *w, lunaq_handler_fn *fn)
{
    assert_int_equal(lunaq_server_use(w->server, fn, w, NULL), LUNAQ_OK);
}

static void enqueue(world *w, const char *type, const char *id,
                    const lunaq_task *like)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_task t = like ? *like : (lunaq_task)LUNAQ_TASK_INIT;
    t.type = type;
    t.task_id = id;
    if (lunaq_client_enqueue(w->client, &t, NULL, &err))
        fail_msg("%s", err.message);
}

/* The task once it is in that state; to be freed. */
static lunaq_task_list *wait_state(world *w, const char *id, lunaq_state state)
{
    int64_t until = now_ms() + WAIT_MS;
    lunaq_error err = LUNAQ_ERROR_INIT;
    for (;;) {
        lunaq_task_list *list = NULL;
        int rc = lunaq_task_find(w->client, "default", id, &list, &err);
        if (!rc && lunaq_task_list_at(list, 0)->state == (int64_t)state)
            return list;
        if (now_ms() > until)
            fail_msg("%s: %s", id,
                     rc ? err.message
                        : lunaq_state_name(
                              (lunaq_state)lunaq_task_list_at(list, 0)->state));
        lunaq_task_list_free(list);
        nap();
    }
}

/* ---- middleware ---------------------------------------------------------- */

static int outer(lunaq_run *run, void *ud)
{
    say(ud, "outer(");
    int code = lunaq_run_next(run);
    say(ud, ")outer");
    return code;
}

static int inner(lunaq_run *run, void *ud)
{
    say(ud, "inner(");
    int code = lunaq_run_next(run);
    say(ud, ")inner");
    return code;
}

static int plain(lunaq_run *run, void *ud)
{
    world *w = ud;
    say(w, lunaq_run_type(run));
    if (lunaq_run_next(run) != LUNAQ_ERECURSE)
        say(w, "nothing is inside of a handler");
    if (lunaq_run_context(run) != w)
        say(w, "no context");
    atomic_fetch_add(&w->runs, 1);
    return LUNAQ_OK;
}

static void note_error(lunaq_run *run, const char *error, void *ud)
{
    world *w = ud;
    (void)run;
    say(w, error);
    atomic_fetch_add(&w->errors, 1);
}

static void middleware__is_nested_the_first_outermost(void **state)
{
    world *w = *state;
    use(w, outer);
    use(w, inner);
    handle(w, "a", plain);
    lunaq_task keep = LUNAQ_TASK_INIT;
    keep.retention_ms = 60000;
    start(w);
    enqueue(w, "a", "task-one", &keep);
    lunaq_task_list_free(wait_state(w, "task-one", LUNAQ_COMPLETED));
    assert_string_equal(w->said, "outer( inner( a )inner )outer");
}

static void middleware__is_around_what_nobody_handles(void **state)
{
    world *w = *state;
    use(w, outer);
    handle(w, "a", plain);
    w->hooks.on_error = note_error;
    start(w);
    enqueue(w, "b", "task-two", NULL);
    lunaq_task_list *list = wait_state(w, "task-two", LUNAQ_RETRY);
    assert_string_equal(lunaq_task_list_at(list, 0)->error,
                        "handler not found for task \"b\"");
    lunaq_task_list_free(list);
    assert_string_equal(w->said,
                        "outer( )outer handler not found for task \"b\"");
}

static int swallows(lunaq_run *run, void *ud)
{
    (void)ud;
    return lunaq_run_next(run) ? LUNAQ_OK : LUNAQ_EINVAL;
}

static int refuses(lunaq_run *run, void *ud)
{
    atomic_fetch_add(&((world *)ud)->runs, 1);
    return lunaq_run_fail(run, "no");
}

static void middleware__says_the_last_word(void **state)
{
    world *w = *state;
    lunaq_task keep = LUNAQ_TASK_INIT;
    keep.retention_ms = 60000;
    use(w, swallows);
    handle(w, "a", plain);
    handle(w, "no", refuses);
    start(w);
    enqueue(w, "no", "task-three", &keep);
    enqueue(w, "a", "task-four", &keep);
    lunaq_task_list_free(wait_state(w, "task-three", LUNAQ_COMPLETED));
    lunaq_task_list_free(wait_state(w, "task-four", LUNAQ_RETRY));
}

/* ---- patterns ------------------------------------------------------------ */

static int says_prefix(lunaq_run *run, void *ud)
{
    (void)run;
    say(ud, "img:*");
    atomic_fetch_add(&((world *)ud)->runs, 1);
    return LUNAQ_OK;
}

static int says_longer(lunaq_run *run, void *ud)
{
    (void)run;
    say(ud, "img:big:*");
    atomic_fetch_add(&((world *)ud)->runs, 1);
    return LUNAQ_OK;
}

static void pattern__the_longest_prefix_wins(void **state)
{
    world *w = *state;
    handle(w, "img:*", says_prefix);
    handle(w, "img:big:*", says_longer);
    handle(w, "img:big:one", plain);
    w->hooks.context = w;
    start(w);
    enqueue(w, "img:big:one", "id-0001", NULL);
    wait_for("runs", &w->runs, 1);
    enqueue(w, "img:big:two", "id-0002", NULL);
    wait_for("runs", &w->runs, 2);
    enqueue(w, "img:small", "id-0003", NULL);
    wait_for("runs", &w->runs, 3);
    assert_string_equal(w->said, "img:big:one img:big:* img:*");
}

/* ---- hooks --------------------------------------------------------------- */

static int64_t retry_delay(lunaq_run *run, const char *error, void *ud)
{
    (void)ud;
    return strcmp(error, "no") == 0 ? 3600000 * lunaq_run_attempt(run) : 0;
}

static void retry_delay__is_the_programs_own(void **state)
{
    world *w = *state;
    handle(w, "no", refuses);
    w->hooks.retry_delay = retry_delay;
    w->hooks.on_error = note_error;
    start(w);
    int64_t from = (int64_t)time(NULL) * 1000;
    enqueue(w, "no", "task-five", NULL);
    lunaq_task_list *list = wait_state(w, "task-five", LUNAQ_RETRY);
    const lunaq_task_info *t = lunaq_task_list_at(list, 0);
    assert_in_range(t->next_at - from, 3590000, 3640000);
    assert_int_equal(t->retried, 1);
    lunaq_task_list_free(list);
    assert_string_equal(w->said, "no");
}

static int never_a_failure(lunaq_run *run, const char *error, void *ud)
{
    (void)run;
    (void)ud;
    return strcmp(error, "no") != 0;
}

static void is_failure__that_is_none_uses_no_attempt(void **state)
{
    world *w = *state;
    lunaq_queue_list *queues = NULL;
    handle(w, "no", refuses);
    w->hooks.is_failure = never_a_failure;
    w->hooks.retry_delay = retry_delay;
    start(w);
    enqueue(w, "no", "task-six", NULL);
    lunaq_task_list *list = wait_state(w, "task-six", LUNAQ_RETRY);
    assert_int_equal(lunaq_task_list_at(list, 0)->retried, 0);
    lunaq_task_list_free(list);
    assert_int_equal(lunaq_queue_list_open(w->client, "default", &queues, NULL),
                     LUNAQ_OK);
    assert_int_equal(lunaq_queue_list_at(queues, 0)->failed_total, 0);
    assert_int_equal(lunaq_queue_list_at(queues, 0)->processed_total, 0);
    lunaq_queue_list_free(queues);
}

static void note_archived(lunaq_run *run, const char *error, void *ud)
{
    world *w = ud;
    say(w, lunaq_run_id(run));
    say(w, error);
    atomic_fetch_add(&w->archived, 1);
}

static void on_archive__is_told_once(void **state)
{
    world *w = *state;
    lunaq_task once = LUNAQ_TASK_INIT;
    once.max_retry = -1;
    handle(w, "no", refuses);
    w->hooks.on_archive = note_archived;
    start(w);
    enqueue(w, "no", "task-seven", &once);
    wait_for("archived", &w->archived, 1);
    assert_string_equal(w->said, "task-seven no");
    lunaq_task_list_free(wait_state(w, "task-seven", LUNAQ_ARCHIVED));
}

/* Whoever canceled it archived it: no server had it in hand. */
static void on_archive__canceled_while_it_waits__is_told_once(void **state)
{
    world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_task later = LUNAQ_TASK_INIT;
    later.process_in_ms = 3600000;
    handle(w, "no", refuses);
    w->hooks.on_archive = note_archived;
    enqueue(w, "no", "task-one", &later);
    enqueue(w, "other", "task-two", &later); /* nobody's */
    if (lunaq_task_cancel(w->client, "default", "task-one", "too old", &err) ||
        lunaq_task_cancel(w->client, "default", "task-two", "too", &err))
        fail_msg("%s", err.message);
    start(w);
    wait_for("archived", &w->archived, 1);
    assert_string_equal(w->said, "task-one too old");
    /* And while it runs. */
    enqueue(w, "no", "task-three", &later);
    if (lunaq_task_cancel(w->client, "default", "task-three", "never", &err))
        fail_msg("%s", err.message);
    wait_for("archived", &w->archived, 2);
    assert_string_equal(w->said, "task-one too old task-three never");
}

static int waits(lunaq_run *run, void *ud)
{
    (void)ud;
    while (!lunaq_run_canceled(run))
        nap();
    return LUNAQ_OK;
}

static void timeout__is_an_error_of_its_own(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.timeout_ms = 1000;
    handle(w, "slow", waits);
    w->hooks.on_error = note_error;
    start(w);
    enqueue(w, "slow", "task-eight", &t);
    lunaq_task_list *list = wait_state(w, "task-eight", LUNAQ_RETRY);
    assert_string_equal(lunaq_task_list_at(list, 0)->error,
                        "timeout: its time was up");
    lunaq_task_list_free(list);
    assert_string_equal(w->said, "timeout: its time was up");
}

static void note_health(int code, const char *message, void *ud)
{
    (void)message;
    atomic_fetch_add(code ? &((world *)ud)->errors : &((world *)ud)->healthy,
                     1);
}

static void health__is_told_again_and_again(void **state)
{
    world *w = *state;
    handle(w, "a", plain);
    w->hooks.on_health = note_health;
    w->hooks.health_interval_ms = 20;
    start(w);
    wait_for("healthy", &w->healthy, 3);
}

static void health__broker_is_silent__says_so_and_when_it_is_back(void **state)
{
    world *w = *state;
    if (on_sqlite) {
        print_message("skipped: a queue file is in this process\n");
        skip();
    }
    handle(w, "a", plain);
    w->hooks.on_health = note_health;
    w->hooks.health_interval_ms = 20;
    start(w);
    wait_for("healthy", &w->healthy, 1);
    kill(redis.pid, SIGSTOP);
    wait_for("ill", &w->errors, 2);
    kill(redis.pid, SIGCONT);
    wait_for("healthy again", &w->healthy, w->healthy + 2);
}

/* ---- the run ------------------------------------------------------------- */

static int shows_all(lunaq_run *run, void *ud)
{
    world *w = ud;
    size_t n = 0;
    const lunaq_header *h = lunaq_run_headers(run, &n);
    char text[200];
    snprintf(text, sizeof(text), "%zu %s=%s %s %s [%s]", n, h[0].name,
             h[0].value, lunaq_run_header(run, "trace"),
             lunaq_run_header(run, "none") ? "?" : "none",
             lunaq_run_group(run));
    say(w, text);
    atomic_fetch_add(&w->runs, 1);
    return LUNAQ_OK;
}

static void run__shows_its_headers(void **state)
{
    static const lunaq_header headers[] = {{"trace", "00-ab"}, {"who", "ann"}};
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.headers = headers;
    t.header_count = 2;
    handle(w, "a", shows_all);
    start(w);
    enqueue(w, "a", "task-nine", &t);
    wait_for("runs", &w->runs, 1);
    assert_string_equal(w->said, "2 trace=00-ab 00-ab none []");
}

static int writes(lunaq_run *run, void *ud)
{
    world *w = ud;
    int rc = lunaq_run_write_result(run, "half", 4);
    if (rc)
        return rc;
    atomic_fetch_add(&w->runs, 1);
    while (w->hold && !lunaq_run_canceled(run))
        nap();
    return lunaq_run_set_result(run, "whole", 5);
}

static void result__is_readable_while_the_handler_runs(void **state)
{
    world *w = *state;
    lunaq_task keep = LUNAQ_TASK_INIT;
    keep.retention_ms = 60000;
    w->hold = true;
    handle(w, "a", writes);
    start(w);
    enqueue(w, "a", "task-ten", &keep);
    wait_for("written", &w->runs, 1);
    lunaq_task_list *list = wait_state(w, "task-ten", LUNAQ_ACTIVE);
    const lunaq_task_info *t = lunaq_task_list_at(list, 0);
    assert_int_equal(t->result_len, 4);
    assert_memory_equal(t->result, "half", 4);
    lunaq_task_list_free(list);
    w->hold = false;
    list = wait_state(w, "task-ten", LUNAQ_COMPLETED);
    t = lunaq_task_list_at(list, 0);
    assert_int_equal(t->result_len, 5);
    assert_memory_equal(t->result, "whole", 5);
    lunaq_task_list_free(list);
}

/* ---- options ------------------------------------------------------------- */

static int shows_limits(lunaq_run *run, void *ud)
{
    world *w = ud;
    char text[60];
    snprintf(text, sizeof(text), "%lld %d", (long long)lunaq_run_attempts(run),
             lunaq_run_deadline_at(run) == 0);
    say(w, text);
    atomic_fetch_add(&w->runs, 1);
    return LUNAQ_OK;
}

static void handler_options__count_where_the_task_says_nothing(void **state)
{
    world *w = *state;
    lunaq_handler_options o = LUNAQ_HANDLER_OPTIONS_INIT;
    lunaq_task t = LUNAQ_TASK_INIT;
    lunaq_error err = LUNAQ_ERROR_INIT;
    o.max_retry = 4;
    o.timeout_ms = -1;
    assert_int_equal(
        lunaq_server_handle_with(w->server, "a", &o, shows_limits, w, NULL),
        LUNAQ_OK);
    o.concurrency = -2;
    assert_int_equal(
        lunaq_server_handle_with(w->server, "b", &o, shows_limits, w, &err),
        LUNAQ_ECONFIG);
    start(w);
    enqueue(w, "a", "id-0001", NULL);
    wait_for("runs", &w->runs, 1);
    t.max_retry = 1;
    t.timeout_ms = 5000;
    enqueue(w, "a", "id-0002", &t);
    wait_for("runs", &w->runs, 2);
    assert_string_equal(w->said, "5 1 2 0");
}

static void queue_options__of_an_unknown_queue__are_refused(void **state)
{
    world *w = *state;
    lunaq_server_options o = LUNAQ_SERVER_OPTIONS_INIT;
    lunaq_queue_options q = LUNAQ_QUEUE_OPTIONS_INIT;
    lunaq_server *server = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    o.broker = w->broker;
    o.queue_options = &q;
    o.queue_option_count = 1;
    q.queue = "defualt";
    assert_int_equal(lunaq_server_open(&server, &o, &err), LUNAQ_ECONFIG);
    assert_string_equal(err.message,
                        "options of queue \"defualt\", which is not served");
    q.queue = "default";
    q.archive_max = -2;
    assert_int_equal(lunaq_server_open(&server, &o, &err), LUNAQ_ECONFIG);
}

static void around__after_the_start__is_refused(void **state)
{
    world *w = *state;
    handle(w, "a", plain);
    start(w);
    assert_int_equal(lunaq_server_use(w->server, outer, w, NULL), LUNAQ_ESTATE);
    assert_int_equal(lunaq_server_hook(w->server, &w->hooks, NULL),
                     LUNAQ_ESTATE);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(middleware__is_nested_the_first_outermost),
        TEST(middleware__is_around_what_nobody_handles),
        TEST(middleware__says_the_last_word),
        TEST(pattern__the_longest_prefix_wins),
        TEST(retry_delay__is_the_programs_own),
        TEST(is_failure__that_is_none_uses_no_attempt),
        TEST(on_archive__is_told_once),
        TEST(on_archive__canceled_while_it_waits__is_told_once),
        TEST(timeout__is_an_error_of_its_own),
        TEST(health__is_told_again_and_again),
        TEST(health__broker_is_silent__says_so_and_when_it_is_back),
        TEST(run__shows_its_headers),
        TEST(result__is_readable_while_the_handler_runs),
        TEST(handler_options__count_where_the_task_says_nothing),
        TEST(queue_options__of_an_unknown_queue__are_refused),
        TEST(around__after_the_start__is_refused),
    };
    on_sqlite = argc > 1 && strcmp(argv[1], "sqlite") == 0;
    if (argc > 1 + on_sqlite)
        cmocka_set_test_filter(argv[1 + on_sqlite]);
    if (!on_sqlite && redis_server_start(&redis, NULL, NULL))
        return 77;
    int failed = cmocka_run_group_tests_name("around", tests, NULL, NULL);
    if (!on_sqlite)
        redis_server_stop(&redis);
    return failed;
}
