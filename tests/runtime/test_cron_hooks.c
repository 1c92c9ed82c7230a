/* Periodic entries by the public functions: a C program provides them, leaves
 * ticks out, is told of them; several servers, missed ticks, history.  On
 * Redis, and on a queue file when the first argument is "sqlite". */
#include "support/test.h"

#include "support/patience.h"
#include "support/redis_server.h"
#include "support/temp_folder.h"
#include <lunaq/server.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SERVERS 3
#define ENTRIES 4

static redis_server redis;
static bool on_sqlite;

/* What the provider gives, by number; 0 = fails. */
enum { FAILS, TWO, ONE, NONE };

typedef struct world {
    temp_folder folder;
    char broker[160];
    lunaq_client *client;
    lunaq_server *servers[SERVERS];
    lunaq_cron_hooks hooks;
    const char *timezone;
    atomic_int gives, provided, refused;
    atomic_int runs[ENTRIES]; /* by the first digit of the payload */
    atomic_int before, after, after_bad, after_refused;
} world;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int run(lunaq_run *r, void *userdata)
{
    world *w = userdata;
    size_t len;
    const char *payload = lunaq_run_payload(r, &len);
    if (len)
        atomic_fetch_add(&w->runs[(payload[0] - '0') % ENTRIES], 1);
    return LUNAQ_OK;
}

/* ---- the program's functions --------------------------------------------- */

static lunaq_cron_entry entry_of(const char *payload, const char *name)
{
    lunaq_cron_entry e = LUNAQ_CRON_ENTRY_INIT;
    e.spec = "@every 1s";
    e.name = name;
    e.task.type = "tick";
    e.task.payload = payload;
    e.task.payload_len = strlen(payload);
    return e;
}

static int provide(lunaq_cron_provider *to, void *userdata)
{
    world *w = userdata;
    int gives = atomic_load(&w->gives);
    lunaq_cron_entry e = entry_of("1", "one");
    lunaq_error err = LUNAQ_ERROR_INIT;

    if (gives == TWO || gives == ONE)
        assert_int_equal(lunaq_cron_provide(to, &e, &err), LUNAQ_OK);
    if (gives == TWO) {
        e.spec = "61 * * * *";
        if (lunaq_cron_provide(to, &e, &err) == LUNAQ_EINVAL)
            atomic_fetch_add(&w->refused, 1);
        e = entry_of("2", "two");
        assert_int_equal(lunaq_cron_provide(to, &e, &err), LUNAQ_OK);
    }
    atomic_fetch_add(&w->provided, 1);
    return gives == FAILS ? LUNAQ_EIO : LUNAQ_OK;
}

static int before(const lunaq_cron_tick *tick, void *userdata)
{
    world *w = userdata;
    atomic_fetch_add(&w->before, 1);
    return strcmp(tick->name, "two") == 0;
}

static void after(const lunaq_cron_tick *tick, void *userdata)
{
    world *w = userdata;
    bool good = tick->code == LUNAQ_OK && tick->task_id && tick->task_id[0] &&
                strcmp(tick->type, "tick") == 0 &&
                strcmp(tick->queue, "default") == 0 &&
                strcmp(tick->entry_id, "tick|@every 1s|one") == 0 &&
                tick->payload_len == 1 && tick->at <= now_ms();
    atomic_fetch_add(good ? &w->after : &w->after_bad, 1);
}

/* Of an entry whose task is locked out from the second tick on. */
static void after_locked(const lunaq_cron_tick *tick, void *userdata)
{
    world *w = userdata;
    if (tick->code == LUNAQ_OK && tick->task_id)
        atomic_fetch_add(&w->after, 1);
    else if (tick->code == LUNAQ_EDUPLICATE && !tick->task_id &&
             strcmp(tick->name, "locked") == 0 && tick->at <= now_ms())
        atomic_fetch_add(&w->after_refused, 1);
    else
        atomic_fetch_add(&w->after_bad, 1);
}

/* ---- the world ----------------------------------------------------------- */

static int setup(void **state)
{
    static const char *const flush[] = {"FLUSHALL", NULL};
    world *w = calloc(1, sizeof(*w));
    lunaq_client_options c = LUNAQ_CLIENT_OPTIONS_INIT;

    *state = w;
    if (temp_folder_make(&w->folder))
        return -1;
    if (on_sqlite) {
        snprintf(w->broker, sizeof(w->broker), "sqlite:%s/queue.db",
                 w->folder.path);
    } else {
        free(redis_server_command(&redis, flush));
        snprintf(w->broker, sizeof(w->broker), "%s", redis.url);
    }
    w->hooks = (lunaq_cron_hooks)LUNAQ_CRON_HOOKS_INIT;
    w->hooks.userdata = w;
    w->hooks.provide_every_ms = 1000;
    c.broker = w->broker;
    return lunaq_client_open(&w->client, &c, NULL);
}

/* Opens and starts server i with these entries beside the hooks. */
static void start(world *w, size_t i, const lunaq_cron_entry *entries,
                  size_t count)
{
    static const lunaq_queue_weight queues[] = {{"default", 1}};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_server_options o = LUNAQ_SERVER_OPTIONS_INIT;
    o.broker = w->broker;
    o.queues = queues;
    o.queue_count = 1;
    o.concurrency = 4;
    o.cron = entries;
    o.cron_count = count;
    o.timezone = w->timezone;
    o.log = silent;
    if (lunaq_server_open(&w->servers[i], &o, &err) ||
        lunaq_server_handle(w->servers[i], "tick", run, w, &err) ||
        lunaq_server_cron(w->servers[i], &w->hooks, &err) ||
        lunaq_server_start(w->servers[i], &err))
        fail_msg("%s", err.message);
}

static void stop(world *w, size_t i)
{
    lunaq_server_close(w->servers[i]);
    w->servers[i] = NULL;
}

static int teardown(void **state)
{
    world *w = *state;
    for (size_t i = 0; i < SERVERS; i++)
        stop(w, i);
    lunaq_client_close(w->client);
    temp_folder_remove(&w->folder);
    free(w);
    return 0;
}

static lunaq_cron_list *entries_of(world *w)
{
    lunaq_cron_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lunaq_cron_list_open(w->client, &list, &err))
        fail_msg("%s", err.message);
    return list;
}

static void wait_listed(world *w, size_t n)
{
    int64_t until = now_ms() + WAIT_MS;
    for (;;) {
        lunaq_cron_list *list = entries_of(w);
        size_t count = lunaq_cron_list_count(list);
        lunaq_cron_list_free(list);
        if (count == n)
            return;
        if (now_ms() > until)
            fail_msg("%zu entries, not %zu", count, n);
        nap();
    }
}

/* ---- tests --------------------------------------------------------------- */

static void provide__entries_come_change_and_go(void **state)
{
    world *w = *state;
    w->gives = TWO;
    w->hooks.provide = provide;
    start(w, 0, NULL, 0);
    wait_for("the first", &w->runs[1], 1);
    wait_for("the second", &w->runs[2], 1);
    wait_for("what is none was refused", &w->refused, 1);
    wait_listed(w, 2);
    /* What failed changes nothing. */
    w->gives = FAILS;
    wait_for("asked again", &w->provided, atomic_load(&w->provided) + 2);
    wait_for("goes on", &w->runs[2], atomic_load(&w->runs[2]) + 2);
    w->gives = ONE;
    wait_listed(w, 1);
    wait_for("it stays", &w->runs[1], atomic_load(&w->runs[1]) + 1);
    w->gives = NONE;
    wait_listed(w, 0);
}

static void provide__that_fails_first__is_asked_again_soon(void **state)
{
    world *w = *state;
    w->gives = FAILS;
    w->hooks.provide = provide;
    w->hooks.provide_every_ms = 3600000;
    start(w, 0, NULL, 0);
    wait_for("twice in vain", &w->provided, 2);
    w->gives = ONE;
    wait_for("its entry", &w->runs[1], 1);
    int provided = atomic_load(&w->provided);
    wait_for("more of it", &w->runs[1], 3);
    assert_int_equal(atomic_load(&w->provided), provided); /* not soon again */
}

static void hooks__before_leaves_out__after_is_told_once_a_tick(void **state)
{
    world *w = *state;
    const lunaq_cron_entry entries[] = {entry_of("1", "one"),
                                        entry_of("2", "two")};
    w->hooks.before_enqueue = before;
    w->hooks.after_enqueue = after;
    int64_t began = now_ms();
    for (size_t i = 0; i < SERVERS; i++)
        start(w, i, entries, 2);
    wait_for("ticks", &w->runs[1], 4);
    wait_for("after", &w->after, 4);
    stop(w, 1);
    wait_for("one server less", &w->runs[1], 6);
    for (size_t i = 0; i < SERVERS; i++)
        stop(w, i);
    int64_t seconds = (now_ms() - began) / 1000 + 1;
    assert_int_equal(atomic_load(&w->runs[2]), 0);
    assert_int_equal(atomic_load(&w->after_bad), 0);
    assert_true(atomic_load(&w->before) >= atomic_load(&w->after) * 2);
    /* One server tells of a tick, and each tick is one task. */
    assert_true(atomic_load(&w->after) <= seconds);
    assert_true(atomic_load(&w->runs[1]) <= seconds);

    lunaq_cron_history *h = NULL;
    assert_int_equal(
        lunaq_cron_history_open(w->client, "tick|@every 1s|one", 0, &h, NULL),
        LUNAQ_OK);
    size_t count = lunaq_cron_history_count(h);
    assert_true((int)count >= 6 && (int)count <= seconds);
    for (size_t i = 1; i < count; i++)
        assert_true(lunaq_cron_history_at(h, i - 1)->at >=
                    lunaq_cron_history_at(h, i)->at + 500);
    lunaq_cron_history_free(h);
    assert_int_equal(
        lunaq_cron_history_open(w->client, "tick|@every 1s|two", 0, &h, NULL),
        LUNAQ_OK);
    assert_int_equal(lunaq_cron_history_count(h), 0);
    lunaq_cron_history_free(h);
}

static void hooks__tick_that_is_refused__after_is_told_why(void **state)
{
    world *w = *state;
    lunaq_cron_entry e = entry_of("1", "locked");
    e.task.queue = "unserved";
    e.task.unique_ms = 3600000;
    w->hooks.after_enqueue = after_locked;
    start(w, 0, &e, 1);
    wait_for("the first is enqueued", &w->after, 1);
    wait_for("the one behind it is refused", &w->after_refused, 1);
    assert_int_equal(atomic_load(&w->after), 1);
    assert_int_equal(atomic_load(&w->after_bad), 0);
}

/* The zone of the server is that of entries which name none. */
static void timezone__entry_without_one__is_in_it(void **state)
{
    world *w = *state;
    lunaq_cron_entry e = entry_of("1", "n");
    lunaq_cron_list *list = NULL;
    e.spec = "30 2 * * *";
    w->timezone = "Asia/Kolkata";
    start(w, 0, &e, 1);
    wait_listed(w, 1);
    list = entries_of(w);
    const lunaq_cron_info *c = lunaq_cron_list_at(list, 0);
    assert_string_equal(c->tz, "Asia/Kolkata");
    /* Half past two there is nine in the evening here. */
    assert_int_equal(c->next_at / 1000 % 86400, 21 * 3600);
    lunaq_cron_list_free(list);
}

static void list__says_zone_policy_and_servers(void **state)
{
    world *w = *state;
    lunaq_cron_entry e = entry_of("1", "n");
    e.spec = "30 2 * * *";
    e.tz = "Europe/Berlin";
    e.missed = "skip";
    e.dst = "robfig";
    start(w, 0, &e, 1);
    start(w, 1, &e, 1);
    int64_t until = now_ms() + WAIT_MS;
    for (;;) {
        lunaq_cron_list *list = entries_of(w);
        const lunaq_cron_info *c = lunaq_cron_list_at(list, 0);
        bool both = c && c->server_count == 2;
        if (both) {
            assert_string_equal(c->spec, "CRON_TZ=Europe/Berlin 30 2 * * *");
            assert_string_equal(c->id,
                                "tick|CRON_TZ=Europe/Berlin 30 2 * * *|n");
            assert_string_equal(c->tz, "Europe/Berlin");
            assert_string_equal(c->missed, "skip");
            assert_string_equal(c->dst, "robfig");
            assert_string_equal(c->name, "n");
            assert_non_null(c->servers[0]);
            assert_non_null(c->servers[1]);
            assert_null(c->servers[2]);
            assert_true(c->next_at > now_ms());
            assert_int_equal(c->last_at, 0);
        }
        lunaq_cron_list_free(list);
        if (both)
            return;
        if (now_ms() > until)
            fail_msg("two servers are not listed");
        nap();
    }
}

static void
scheduler__without_handlers__enqueues_and_takes_nothing(void **state)
{
    world *w = *state;
    const lunaq_cron_entry e = entry_of("1", NULL);
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_server_options o = LUNAQ_SERVER_OPTIONS_INIT;
    o.broker = w->broker;
    o.log = silent;
    assert_int_equal(lunaq_server_open(&w->servers[0], &o, &err), LUNAQ_OK);
    assert_int_equal(lunaq_server_start(w->servers[0], &err), LUNAQ_ECONFIG);
    stop(w, 0);
    o.cron = &e;
    o.cron_count = 1;
    if (lunaq_server_open(&w->servers[0], &o, &err) ||
        lunaq_server_start(w->servers[0], &err))
        fail_msg("%s", err.message);
    int64_t until = now_ms() + WAIT_MS, pending = 0, others = 0;
    while (pending < 3) {
        lunaq_queue_list *list = NULL;
        if (now_ms() > until)
            fail_msg("%d tasks", (int)pending);
        nap();
        if (lunaq_queue_list_open(w->client, "default", &list, NULL))
            continue; /* it is not there yet */
        const lunaq_queue_info *q = lunaq_queue_list_at(list, 0);
        pending = q->pending;
        others = q->active + q->retry + q->archived + q->processed_total;
        lunaq_queue_list_free(list);
    }
    assert_int_equal(others, 0);
    assert_int_equal(lunaq_server_stop(w->servers[0], &err), LUNAQ_OK);
}

static void options__that_are_none__are_refused(void **state)
{
    world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_server_options o = LUNAQ_SERVER_OPTIONS_INIT;
    lunaq_cron_entry e = entry_of("1", NULL);
    o.broker = w->broker;
    o.log = silent;
    o.timezone = "Mars/Base";
    assert_int_equal(lunaq_server_open(&w->servers[0], &o, &err),
                     LUNAQ_ECONFIG);
    assert_non_null(strstr(err.message, "timezone"));
    o.timezone = "Asia/Tokyo";
    o.cron = &e;
    o.cron_count = 1;
    e.missed = "never";
    assert_int_equal(lunaq_server_open(&w->servers[0], &o, &err), LUNAQ_EINVAL);
    assert_non_null(strstr(err.message, "missed"));
    e.missed = NULL;
    e.name = "a\nb";
    assert_int_equal(lunaq_server_open(&w->servers[0], &o, &err), LUNAQ_EINVAL);
    assert_non_null(strstr(err.message, "name: byte 1 is a control"));
    o.cron_count = 0;
    o.schedules = "plans";
    assert_int_equal(lunaq_server_open(&w->servers[0], &o, &err),
                     LUNAQ_ECONFIG);
    assert_non_null(strstr(err.message, "schedules"));
    o.schedules = NULL;
    assert_int_equal(lunaq_server_open(&w->servers[0], &o, &err), LUNAQ_OK);
    w->hooks.provide_every_ms = 10;
    assert_int_equal(lunaq_server_cron(w->servers[0], &w->hooks, &err),
                     LUNAQ_ECONFIG);
    assert_int_equal(lunaq_server_cron(w->servers[0], NULL, &err),
                     LUNAQ_EINVAL);
    assert_int_equal(lunaq_server_cron(NULL, &w->hooks, &err), LUNAQ_ESTATE);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(provide__entries_come_change_and_go),
        TEST(provide__that_fails_first__is_asked_again_soon),
        TEST(hooks__before_leaves_out__after_is_told_once_a_tick),
        TEST(hooks__tick_that_is_refused__after_is_told_why),
        TEST(timezone__entry_without_one__is_in_it),
        TEST(list__says_zone_policy_and_servers),
        TEST(scheduler__without_handlers__enqueues_and_takes_nothing),
        TEST(options__that_are_none__are_refused),
    };
    on_sqlite = argc > 1 && strcmp(argv[1], "sqlite") == 0;
    if (argc > 1 + on_sqlite)
        cmocka_set_test_filter(argv[1 + on_sqlite]);
    if (!on_sqlite && redis_server_start(&redis, NULL, NULL))
        return 77;
    int failed = cmocka_run_group_tests_name("cron_hooks", tests, NULL, NULL);
    if (!on_sqlite)
        redis_server_stop(&redis);
    return failed;
}
