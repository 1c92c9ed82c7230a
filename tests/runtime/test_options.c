/* Options of a server and of a client, by the public functions: each one does
 * what it says, and not what the default would.  On Redis, and on a queue file
 * when the first argument is "sqlite". */
#include "support/test.h"

#include "support/patience.h"
#include "support/redis_server.h"
#include "support/temp_folder.h"
#include <lunaq/server.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HOUR_MS INT64_C(3600000)

static redis_server redis;
static bool on_sqlite;

typedef struct world {
    temp_folder folder;
    char broker[160];
    lunaq_server_options o; /* of the server to be started */
    lunaq_server *servers[2];
    lunaq_client *client;
    pthread_mutex_t mutex;
    char logged[8192];
    lunaq_log_level lowest; /* of the lines */
    atomic_int lines;
    atomic_int begun[2], ended[2], canceled; /* runs, by server */
    atomic_int batches, aggregated;
    atomic_bool hold;
} world;

/* What handlers of one server get. */
typedef struct side {
    world *w;
    size_t i;
} side;

static side sides[2];

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what is called ------------------------------------------------------ */

static int work(lunaq_run *run, void *ud)
{
    const side *s = ud;
    world *w = s->w;
    atomic_fetch_add(&w->begun[s->i], 1);
    while (w->hold && strcmp(lunaq_run_type(run), "held") == 0 &&
           !lunaq_run_canceled(run))
        nap();
    if (lunaq_run_canceled(run))
        atomic_fetch_add(&w->canceled, 1);
    atomic_fetch_add(&w->ended[s->i], 1);
    return strcmp(lunaq_run_type(run), "fails") == 0
               ? lunaq_run_fail(run, "on purpose")
               : LUNAQ_OK;
}

static int aggregate(lunaq_group *group, void *ud)
{
    world *w = ud;
    lunaq_task task = LUNAQ_TASK_INIT;
    atomic_fetch_add(&w->batches, 1);
    atomic_fetch_add(&w->aggregated, (int)lunaq_group_count(group));
    task.type = "work";
    return lunaq_group_set_task(group, &task, NULL);
}

static void keep_line(lunaq_log_level level, const char *line, size_t len,
                      void *ud)
{
    world *w = ud;
    pthread_mutex_lock(&w->mutex);
    size_t n = strlen(w->logged);
    snprintf(w->logged + n, sizeof(w->logged) - n, "%.*s\n", (int)len, line);
    if (level < w->lowest)
        w->lowest = level;
    pthread_mutex_unlock(&w->mutex);
    atomic_fetch_add(&w->lines, 1);
}

/* ---- the world ----------------------------------------------------------- */

static int setup(void **state)
{
    static const char *const flush[] = {"FLUSHALL", NULL};
    static const lunaq_queue_weight queues[] = {{"default", 1}};
    world *w = calloc(1, sizeof(*w));

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
    lunaq_server_options_init(&w->o, sizeof(w->o));
    w->o.broker = w->broker;
    w->o.queues = queues;
    w->o.queue_count = 1;
    w->o.concurrency = 4;
    w->o.log = keep_line;
    w->o.log_userdata = w;
    w->lowest = LUNAQ_LOG_OFF;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    w->hold = false;
    for (size_t i = 0; i < 2; i++)
        lunaq_server_close(w->servers[i]);
    lunaq_client_close(w->client);
    temp_folder_remove(&w->folder);
    pthread_mutex_destroy(&w->mutex);
    free(w);
    return 0;
}

static void open_server(world *w, size_t i)
{
    static const char *const types[] = {"work", "held", "fails"};
    lunaq_error err = LUNAQ_ERROR_INIT;
    sides[i] = (side){w, i};
    if (lunaq_server_open(&w->servers[i], &w->o, &err))
        fail_msg("%s", err.message);
    for (size_t k = 0; k < sizeof(types) / sizeof(types[0]); k++)
        assert_int_equal(
            lunaq_server_handle(w->servers[i], types[k], work, &sides[i], NULL),
            LUNAQ_OK);
}

static void start(world *w, size_t i)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    open_server(w, i);
    if (lunaq_server_start(w->servers[i], &err))
        fail_msg("%s", err.message);
}

static void open_client(world *w, int64_t timeout_ms)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_client_options o = LUNAQ_CLIENT_OPTIONS_INIT;
    o.broker = w->broker;
    o.timeout_ms = timeout_ms;
    if (lunaq_client_open(&w->client, &o, &err))
        fail_msg("%s", err.message);
}

static int put_one(world *w, const char *type, const char *group,
                   lunaq_error *err)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = type;
    t.group = group;
    return lunaq_client_enqueue(w->client, &t, NULL, err);
}

static void put(world *w, int n, const char *type, const char *group)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (!w->client)
        open_client(w, 0);
    while (n-- > 0)
        if (put_one(w, type, group, &err))
            fail_msg("%s", err.message);
}

/* ---- the log ------------------------------------------------------------- */

static void log__lines_go_to_the_programs_own(void **state)
{
    world *w = *state;
    start(w, 0);
    put(w, 1, "work", NULL);
    wait_for("ended", &w->ended[0], 1);
    assert_int_equal(lunaq_server_stop(w->servers[0], NULL), LUNAQ_OK);
    lunaq_server_close(w->servers[0]); /* all is written */
    w->servers[0] = NULL;
    assert_true(w->lines > 0);
    assert_int_equal(w->lowest, LUNAQ_LOG_INFO); /* the default */
    assert_non_null(strstr(w->logged, "succeeded"));
}

static void log_level__warn__leaves_out_what_is_below(void **state)
{
    world *w = *state;
    w->o.log_level = LUNAQ_LOG_WARN;
    start(w, 0);
    put(w, 1, "work", NULL);
    put(w, 1, "fails", NULL);
    wait_for("ended", &w->ended[0], 2);
    assert_int_equal(lunaq_server_stop(w->servers[0], NULL), LUNAQ_OK);
    lunaq_server_close(w->servers[0]);
    w->servers[0] = NULL;
    assert_int_equal(w->lowest, LUNAQ_LOG_WARN);
    assert_non_null(strstr(w->logged, "on purpose"));
    assert_null(strstr(w->logged, "succeeded"));
}

/* ---- the end ------------------------------------------------------------- */

static void shutdown_timeout__none__ends_what_runs_at_once(void **state)
{
    world *w = *state;
    w->o.shutdown_timeout_ms = -1;
    w->hold = true;
    start(w, 0);
    put(w, 1, "held", NULL);
    wait_for("begun", &w->begun[0], 1);
    int64_t from = now_ms();
    assert_int_equal(lunaq_server_stop(w->servers[0], NULL), LUNAQ_OK);
    assert_in_range(now_ms() - from, 0, 6000); /* the default is 8 s */
    assert_int_equal(w->canceled, 1);
}

/* Two servers: what the quiet one does not take runs on the other. */
static void quiet__takes_no_more_and_what_runs_goes_on(void **state)
{
    world *w = *state;
    w->hold = true;
    start(w, 0);
    put(w, 1, "held", NULL);
    wait_for("begun", &w->begun[0], 1);
    lunaq_server_quiet(w->servers[0]);
    start(w, 1);
    put(w, 100, "work", NULL);
    wait_for("ended elsewhere", &w->ended[1], 100);
    assert_int_equal(w->begun[0], 1);
    assert_int_equal(w->ended[0], 0);
    w->hold = false;
    wait_for("ended", &w->ended[0], 1);
    assert_int_equal(w->canceled, 0);
    lunaq_server_quiet(w->servers[0]); /* again: nothing */
}

static void healthy__from_the_start_to_the_stop(void **state)
{
    world *w = *state;
    assert_int_equal(lunaq_server_healthy(NULL), 0);
    open_server(w, 0);
    assert_int_equal(lunaq_server_healthy(w->servers[0]), 0);
    assert_int_equal(lunaq_server_start(w->servers[0], NULL), LUNAQ_OK);
    assert_int_equal(lunaq_server_healthy(w->servers[0]), 1);
    assert_int_equal(lunaq_server_stop(w->servers[0], NULL), LUNAQ_OK);
    assert_int_equal(lunaq_server_healthy(w->servers[0]), 0);
}

/* ---- groups -------------------------------------------------------------- */

static void start_aggregating(world *w)
{
    w->o.aggregate = aggregate;
    w->o.aggregate_userdata = w;
    start(w, 0);
}

static void group_grace__is_over__the_group_is_due(void **state)
{
    world *w = *state;
    w->o.group_grace_ms = 1000; /* the default is longer than WAIT_MS */
    start_aggregating(w);
    put(w, 3, "work", "g");
    wait_for("batches", &w->batches, 1);
    wait_for("tasks", &w->aggregated, 3);
}

static void group_max_delay__is_over__the_group_is_due(void **state)
{
    world *w = *state;
    w->o.group_grace_ms = HOUR_MS;
    w->o.group_max_delay_ms = 1000;
    start_aggregating(w);
    put(w, 2, "work", "g");
    wait_for("tasks", &w->aggregated, 2);
}

static void group_max_size__is_reached__the_group_is_due(void **state)
{
    world *w = *state;
    w->o.group_grace_ms = HOUR_MS;
    w->o.group_max_size = 3;
    start_aggregating(w);
    put(w, 6, "work", "g");
    wait_for("tasks", &w->aggregated, 6);
    assert_int_equal(w->batches, 2); /* three at a time */
}

/* ---- the client ---------------------------------------------------------- */

/* A server makes it. */
static void make_queue_file(world *w)
{
    if (!on_sqlite)
        return;
    open_server(w, 0);
    lunaq_server_close(w->servers[0]);
    w->servers[0] = NULL;
}

/* The first lock that a writer takes, held by somebody else. */
static int lock_queue_file(const world *w)
{
    char path[128];
    struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    snprintf(path, sizeof(path), "%s/queue.db.lock", w->folder.path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &f), 0);
    return fd;
}

static void timeout__of_the_client__bounds_a_call(void **state)
{
    world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int fd = -1;
    make_queue_file(w);
    open_client(w, 300);
    put(w, 1, "work", NULL);
    if (on_sqlite)
        fd = lock_queue_file(w);
    else
        kill(redis.pid, SIGSTOP);
    int64_t from = now_ms();
    int rc = put_one(w, "work", NULL, &err);
    int64_t took = now_ms() - from;
    if (on_sqlite)
        close(fd);
    else
        kill(redis.pid, SIGCONT);
    assert_int_not_equal(rc, LUNAQ_OK);
    assert_in_range(took, 200, 4000); /* the default is 5 s */
}

/* In this order, and only where the program says nothing. */
static void broker__not_said__is_what_the_environment_says(void **state)
{
    static const char *const names[] = {"LUNAQ_BROKER", "REDIS_URL",
                                        "REDIS_ADDR"};
    enum { COUNT = sizeof(names) / sizeof(names[0]) };
    world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_client *client = NULL;
    make_queue_file(w);
    for (size_t i = 0; i < COUNT; i++)
        setenv(names[i], "http://nobody", 1);
    assert_int_equal(lunaq_client_open(&client, NULL, &err), LUNAQ_ECONFIG);
    assert_non_null(strstr(err.message, "LUNAQ_BROKER"));
    open_client(w, 0); /* says it */
    for (size_t i = 0; i < COUNT; i++) {
        setenv(names[i], w->broker, 1);
        int rc = lunaq_client_open(&client, NULL, &err);
        if (!rc)
            rc = lunaq_client_ping(client, &err);
        lunaq_client_close(client);
        if (rc)
            fail_msg("%s: %s", names[i], err.message);
        unsetenv(names[i]);
    }
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(log__lines_go_to_the_programs_own),
        TEST(log_level__warn__leaves_out_what_is_below),
        TEST(shutdown_timeout__none__ends_what_runs_at_once),
        TEST(quiet__takes_no_more_and_what_runs_goes_on),
        TEST(healthy__from_the_start_to_the_stop),
        TEST(group_grace__is_over__the_group_is_due),
        TEST(group_max_delay__is_over__the_group_is_due),
        TEST(group_max_size__is_reached__the_group_is_due),
        TEST(timeout__of_the_client__bounds_a_call),
        TEST(broker__not_said__is_what_the_environment_says),
    };
    on_sqlite = argc > 1 && strcmp(argv[1], "sqlite") == 0;
    if (argc > 1 + on_sqlite)
        cmocka_set_test_filter(argv[1 + on_sqlite]);
    if (!on_sqlite && redis_server_start(&redis, NULL, NULL))
        return 77;
    int failed = cmocka_run_group_tests_name("options", tests, NULL, NULL);
    if (!on_sqlite)
        redis_server_stop(&redis);
    return failed;
}
