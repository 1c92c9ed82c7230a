/* Caps of queues and of handlers under load, with several worker threads: on
 * Redis, and on a queue file when the first argument is "sqlite". */
#include "runtime/world.h"
#include "broker/inspect.h"

#include <string.h>

#define THREADS 4
#define SLOTS 12

static redis_server redis;
static bool on_sqlite;

/* One handler, and how many of its runs went on at once. */
/* Static in every test: one that fails leaves runs behind that count in it. */
typedef struct kind {
    world *w;
    int64_t nap_ms;
    atomic_int now, most, runs;
    atomic_int again; /* runs that were not a first attempt */
} kind;

static int run_kind(lunaq_run *run, void *ud)
{
    kind *k = ud;
    int now = atomic_fetch_add(&k->now, 1) + 1, most = k->most;

    while (now > most && !atomic_compare_exchange_weak(&k->most, &most, now)) {
    }
    if (lunaq_run_attempt(run) > 1)
        atomic_fetch_add(&k->again, 1);
    if (k->nap_ms)
        let_pass(k->nap_ms);
    while (k->w->hold && !lunaq_run_canceled(run))
        let_pass(2);
    atomic_fetch_sub(&k->now, 1);
    atomic_fetch_add(&k->runs, 1);
    return LUNAQ_OK;
}

static void handle(world *w, size_t server, const char *type,
                   int64_t concurrency, kind *k)
{
    lunaq_handler_options o = LUNAQ_HANDLER_OPTIONS_INIT;
    lunaq_error err = LUNAQ_ERROR_INIT;

    k->w = w;
    o.concurrency = concurrency;
    if (!w->sides[server].callbacks)
        world_callbacks(w, server);
    if (lq_callbacks_add(w->sides[server].callbacks, type, &o, run_kind, k,
                         &err))
        fail_msg("%s", err.message);
}

static bool source_type(void *ud, lq_str type, lq_type_options *out)
{
    return lq_callbacks_type(((side *)ud)->callbacks, type, out);
}

static int setup(void **state)
{
    int rc = world_setup(state, on_sqlite ? NULL : &redis);
    world *w = *state;

    w->o.worker_threads = THREADS;
    w->o.concurrency = SLOTS;
    w->o.source = (lq_handler_source){.type = source_type, .ud = &w->sides[0]};
    return rc;
}

static void enqueue(world *w, const char *queue, const char *type, size_t n)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = type;
    world_enqueue(w, queue, n, &t);
}

static lunaq_queue_info stats(world *w, const char *queue)
{
    lq_op_queue_stats op = {.queue = lq_str_c(queue), .now_ms = lq_now_ms()};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_init(&op.op, LQ_OP_QUEUE_STATS);
    if (lq_caller_call(w->caller, &op.op, 5000, &err))
        fail_msg("stats: %s", err.message);
    lunaq_queue_info info = op.info;
    info.name = NULL;
    lq_op_release(&op.op);
    return info;
}

static void wait_processed(world *w, const char *queue, int64_t n)
{
    int64_t until = lq_mono_ms() + WAIT_MS;
    while (stats(w, queue).processed_total < n) {
        if (lq_mono_ms() > until)
            fail_msg("%s: %lld processed", queue,
                     (long long)stats(w, queue).processed_total);
        let_pass(10);
    }
}

/* ---- queues -------------------------------------------------------------- */

static void capped_queue__never_runs_more_and_is_worked_off(void **state)
{
    static const char *const names[] = {"narrow", "default"};
    static const int32_t weights[] = {9, 1};
    static const lq_queue_settings settings[] = {{.concurrency = 3}, {0}};
    world *w = *state;
    static kind narrow = {.nap_ms = 2}, wide = {.nap_ms = 2};

    world_queues(w, 2, names, weights);
    w->o.settings = settings;
    handle(w, 0, "narrow", 0, &narrow);
    handle(w, 0, "wide", 0, &wide);
    enqueue(w, "narrow", "narrow", 1500);
    enqueue(w, "default", "wide", 500);
    world_start(w, 0);
    wait_for("wide", &wide.runs, 500);
    wait_for("narrow", &narrow.runs, 1500);
    assert_in_range(narrow.most, 1, 3);
    assert_in_range(wide.most, 4, SLOTS);
    wait_processed(w, "narrow", 1500);
    assert_int_equal(stats(w, "narrow").scheduled, 0);
}

/* Commands that Redis has carried out; 0 on a queue file. */
static int64_t commands(world *w)
{
    static const char *const info[] = {"INFO", "stats", NULL};
    static const char name[] = "total_commands_processed:";
    if (!w->redis)
        return 0;
    char *text = redis_server_command(w->redis, info);
    const char *at = strstr(text, name);
    int64_t n = at ? strtoll(at + sizeof(name) - 1, NULL, 10) : -1;
    free(text);
    return n;
}

/* All its places taken, what comes later waits in its queue untouched, and the
 * server asks the broker for nothing. */
static void full_queue__is_left_alone_until_a_place_is_free(void **state)
{
    static const lq_queue_settings settings[] = {{.concurrency = 2}};
    world *w = *state;
    static kind k = {0};

    w->o.settings = settings;
    w->hold = true;
    handle(w, 0, "*", 0, &k);
    world_start(w, 0);
    enqueue(w, "default", "work", 50);
    wait_for("running", &k.now, 2);
    let_pass(300);
    uint64_t numbers = atomic_load(&w->sides[0].runtime->run_numbers);
    int64_t from = commands(w);
    let_pass(1000);
    /* What a server says and asks anyhow, with all that its scripts do. */
    assert_in_range(commands(w) - from, 0, 300);
    assert_int_equal(numbers, atomic_load(&w->sides[0].runtime->run_numbers));
    assert_int_equal(numbers, 2);
    assert_int_equal(k.now, 2);
    assert_int_equal(stats(w, "default").pending, 48);
    assert_int_equal(stats(w, "default").active, 2);
    w->hold = false;
    wait_for("runs", &k.runs, 50);
    assert_int_equal(k.most, 2);
}

/* One by one into an idle server: a place that is free is used at once. */
static void capped_queue__starts_a_task_at_once_when_idle(void **state)
{
    static const lq_queue_settings settings[] = {{.concurrency = 1}};
    world *w = *state;
    static kind k = {0};
    int64_t slow = 0;

    w->o.settings = settings;
    handle(w, 0, "*", 0, &k);
    world_start(w, 0);
    for (int i = 0; i < 30; i++) {
        int64_t from = lq_mono_ms();
        enqueue(w, "default", "work", 1);
        wait_for("runs", &k.runs, i + 1);
        slow += lq_mono_ms() - from > 1000;
    }
    assert_in_range(slow, 0, 3); /* polling would be late most times */
}

static void server__tells_the_broker_what_its_queues_keep(void **state)
{
    static const lq_queue_settings settings[] = {{.limits = {3, -1, 2}}};
    world *w = *state;
    static kind k = {0};
    lunaq_task t = LUNAQ_TASK_INIT;

    w->o.settings = settings;
    handle(w, 0, "*", 0, &k);
    enqueue(w, "default", "work", 1);
    world_start(w, 0);
    int64_t until = lq_mono_ms() + WAIT_MS;
    while (stats(w, "default").archive_max != 3 && lq_mono_ms() < until)
        let_pass(10);
    assert_int_equal(stats(w, "default").archive_max, 3);
    assert_int_equal(stats(w, "default").archive_ms, -1);
    assert_int_equal(stats(w, "default").completed_max, 2);
    t.retention_ms = 60000;
    world_enqueue(w, "default", 30, &t);
    wait_processed(w, "default", 31);
    assert_int_equal(stats(w, "default").completed, 2);
    assert_int_equal(stats(w, "default").dropped_total, 28);
}

/* ---- handlers ------------------------------------------------------------ */

static void capped_handler__never_runs_more_and_uses_no_attempt(void **state)
{
    world *w = *state;
    static kind narrow = {.nap_ms = 5}, wide = {.nap_ms = 1};

    handle(w, 0, "narrow", 3, &narrow);
    handle(w, 0, "wide", 0, &wide);
    enqueue(w, "default", "narrow", 250);
    enqueue(w, "default", "wide", 200);
    world_start(w, 0);
    wait_for("wide", &wide.runs, 200);
    wait_for("narrow", &narrow.runs, 250);
    wait_processed(w, "default", 450);
    lunaq_queue_info info = stats(w, "default");
    assert_in_range(narrow.most, 1, 3);
    assert_int_equal(narrow.again, 0);
    assert_int_equal(info.processed_total, 450);
    assert_int_equal(info.failed_total, 0);
    assert_int_equal(info.pending + info.active + info.scheduled + info.retry,
                     0);
}

/* A thousand tasks that may not run yet stand before others. */
static void capped_handler__starves_no_other_of_its_queue(void **state)
{
    world *w = *state;
    static kind narrow = {0}, wide = {0};
    world other = {.hold = false};

    w->hold = true;
    handle(w, 0, "narrow", 1, &narrow);
    handle(w, 0, "wide", 0, &wide);
    wide.w = &other; /* these are not held */
    enqueue(w, "default", "narrow", 1000);
    enqueue(w, "default", "wide", 50);
    world_start(w, 0);
    wait_for("wide", &wide.runs, 50);
    assert_int_equal(narrow.most, 1);
    assert_int_equal(narrow.runs, 0);
    /* They lie still: a line of a thousand is not carried to and fro. */
    uint64_t from = atomic_load(&w->sides[0].runtime->run_numbers);
    let_pass(2000);
    uint64_t taken = atomic_load(&w->sides[0].runtime->run_numbers) - from;
    int most = narrow.most;
    w->hold = false;
    assert_int_equal(world_stop(w, 0), LUNAQ_OK); /* they are of this test */
    assert_in_range(taken, 0, 600);
    assert_int_equal(most, 1);
}

static void wait_active(world *w, int64_t n)
{
    int64_t until = lq_mono_ms() + WAIT_MS;
    while (stats(w, "default").active != n) {
        if (lq_mono_ms() > until)
            fail_msg("%lld active", (long long)stats(w, "default").active);
        let_pass(5);
    }
}

/* Those that wait in hand are nobody's work yet. */
static size_t shown_workers(world *w)
{
    lq_op_servers op = {0};
    lq_op_init(&op.op, LQ_OP_SERVERS);
    assert_int_equal(lq_caller_call(w->caller, &op.op, 5000, NULL), LUNAQ_OK);
    size_t n = op.count ? op.rows[0].worker_count : 0;
    lq_op_release(&op.op);
    return n;
}

static void parked_tasks__go_back_at_a_stop_without_having_run(void **state)
{
    world *w = *state;
    static kind narrow = {0};

    w->hold = true;
    handle(w, 0, "narrow", 1, &narrow);
    enqueue(w, "default", "narrow", 9);
    world_start(w, 0);
    wait_for("running", &narrow.now, 1);
    wait_active(w, 9);
    int64_t until = lq_mono_ms() + WAIT_MS;
    while (shown_workers(w) != 1 && lq_mono_ms() < until)
        let_pass(20);
    assert_int_equal(shown_workers(w), 1);
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
    lunaq_queue_info info = stats(w, "default");
    assert_int_equal(info.active, 0);
    assert_int_equal(info.pending, 9); /* also the one that ran */
    assert_int_equal(narrow.runs, 1);
    assert_int_equal(narrow.again, 0);
}

static void cancel_one(world *w, const char *queue, const char *id)
{
    lq_op_cancel op = {.queue = lq_str_c(queue),
                       .id = lq_str_c(id),
                       .reason = LQ_STR("a test")};
    lq_op_init(&op.op, LQ_OP_CANCEL);
    assert_int_equal(lq_caller_call(w->caller, &op.op, 5000, NULL), LUNAQ_OK);
    assert_int_equal(op.was, LUNAQ_ACTIVE);
    lq_op_release(&op.op);
}

static void parked_task__canceled__never_runs(void **state)
{
    world *w = *state;
    static kind narrow = {0};
    lunaq_task t = LUNAQ_TASK_INIT;

    w->hold = true;
    handle(w, 0, "narrow", 1, &narrow);
    world_start(w, 0);
    enqueue(w, "default", "narrow", 1);
    wait_for("running", &narrow.now, 1);
    t.type = "narrow";
    t.task_id = "task-two";
    world_enqueue(w, "default", 1, &t);
    wait_active(w, 2);
    cancel_one(w, "default", "task-two");
    int64_t until = lq_mono_ms() + WAIT_MS;
    while (stats(w, "default").archived != 1 && lq_mono_ms() < until)
        let_pass(10);
    assert_int_equal(stats(w, "default").archived, 1);
    w->hold = false;
    wait_for("runs", &narrow.runs, 1);
    wait_active(w, 0);
    assert_int_equal(narrow.runs, 1);
}

/* It had no place under its queue's cap, so none is free when it ends. */
static void parked_task__canceled__leaves_no_place_in_its_queue(void **state)
{
    static const char *const names[] = {"full"};
    static const int32_t weights[] = {1};
    static const lq_queue_settings settings[] = {{.concurrency = 2}};
    world *w = *state;
    static kind narrow, stays;
    lunaq_task t = LUNAQ_TASK_INIT;

    world_queues(w, 1, names, weights);
    w->o.settings = settings;
    w->o.worker_threads = 1;
    w->o.concurrency = 6;
    w->hold = true;
    handle(w, 0, "narrow", 1, &narrow);
    handle(w, 0, "stays", 0, &stays);
    world_start(w, 0);
    enqueue(w, "full", "narrow", 1);
    wait_for("narrow", &narrow.now, 1);
    t.type = "narrow";
    t.task_id = "parked";
    world_enqueue(w, "full", 1, &t);
    int64_t until = lq_mono_ms() + WAIT_MS;
    while (stats(w, "full").active != 2 && lq_mono_ms() < until)
        let_pass(5);
    enqueue(w, "full", "stays", 3);
    wait_for("stays", &stays.now, 1);
    assert_int_equal(stats(w, "full").active, 3);
    cancel_one(w, "full", "parked");
    while (stats(w, "full").archived != 1 && lq_mono_ms() < until)
        let_pass(5);
    lunaq_queue_info info = stats(w, "full");
    assert_int_equal(info.archived, 1);
    assert_int_equal(info.active, 2);
    assert_int_equal(info.pending, 2);
    w->hold = false;
    wait_for("stays", &stays.runs, 3);
}

static void pause_queue(world *w, const char *queue, bool pause)
{
    lq_op_queue_pause op = {.queue = lq_str_c(queue), .pause = pause};
    lq_op_init(&op.op, LQ_OP_QUEUE_PAUSE);
    assert_int_equal(lq_caller_call(w->caller, &op.op, 5000, NULL), LUNAQ_OK);
    lq_op_release(&op.op);
}

static void parked_task__of_a_queue_that_is_paused__goes_back(void **state)
{
    world *w = *state;
    static kind narrow;

    w->hold = true;
    handle(w, 0, "narrow", 1, &narrow);
    world_start(w, 0);
    enqueue(w, "default", "narrow", 1);
    wait_for("narrow", &narrow.now, 1);
    enqueue(w, "default", "narrow", 5);
    wait_active(w, 6);
    pause_queue(w, "default", true);
    wait_active(w, 1);
    assert_int_equal(stats(w, "default").pending, 5);
    w->hold = false;
    wait_active(w, 0);
    assert_int_equal(narrow.runs, 1);
    assert_int_equal(stats(w, "default").pending, 5);
    pause_queue(w, "default", false);
    wait_for("narrow", &narrow.runs, 6);
    assert_int_equal(narrow.most, 1);
    assert_int_equal(narrow.again, 0);
}

/* It is told to servers: they do not wait for their look once a second. */
static void
parked_task__of_a_queue_that_is_paused__goes_back_at_once(void **state)
{
    world *w = *state;
    static kind narrow;
    int64_t best = INT64_MAX;

    w->hold = true;
    handle(w, 0, "narrow", 1, &narrow);
    world_start(w, 0);
    enqueue(w, "default", "narrow", 1);
    wait_for("narrow", &narrow.now, 1);
    enqueue(w, "default", "narrow", 1);
    for (int i = 0; i < 4; i++) {
        wait_active(w, 2);
        /* Looks come with a full second: the next one is far. */
        let_pass(1050 - lq_now_ms() % 1000);
        int64_t from = lq_mono_ms();
        pause_queue(w, "default", true);
        wait_active(w, 1);
        int64_t took = lq_mono_ms() - from;
        best = took < best ? took : best;
        pause_queue(w, "default", false);
    }
    w->hold = false;
    wait_for("narrow", &narrow.runs, 2);
    assert_in_range(best, 0, 600);
}

/* A place that is free goes to who waits in hand before what is pending, also
 * when other tasks would fill every slot. */
static void parked_tasks__get_their_slots_under_load(void **state)
{
    world *w = *state;
    static kind narrow = {.nap_ms = 1}, wide = {.nap_ms = 1};

    handle(w, 0, "narrow", 1, &narrow);
    handle(w, 0, "wide", 0, &wide);
    enqueue(w, "default", "narrow", 60);
    enqueue(w, "default", "wide", 8000);
    world_start(w, 0);
    wait_for("narrow", &narrow.runs, 20);
    int others = wide.runs;
    assert_int_equal(world_stop(w, 0), LUNAQ_OK); /* they are of this test */
    assert_in_range(others, 0, 7000);
    assert_int_equal(narrow.most, 1);
}

/* It waits for its queue: no slot is kept free for it meanwhile. */
static void parked_task__of_a_full_queue__holds_up_nobody(void **state)
{
    static const char *const names[] = {"full", "default"};
    static const int32_t weights[] = {1, 1};
    static const lq_queue_settings settings[] = {{.concurrency = 2}, {0}};
    world *w = *state, other = {.hold = true};
    static kind narrow = {0}, stays = {0}, wide = {0};

    world_queues(w, 2, names, weights);
    w->o.settings = settings;
    w->o.worker_threads = 1;
    w->o.concurrency = 3;
    w->hold = true;
    handle(w, 0, "narrow", 1, &narrow);
    handle(w, 0, "stays", 0, &stays);
    handle(w, 0, "wide", 0, &wide);
    stays.w = &other;
    wide.w = &(world){.hold = false};
    world_start(w, 0);
    enqueue(w, "full", "narrow", 1);
    wait_for("narrow", &narrow.now, 1);
    enqueue(w, "full", "narrow", 1); /* is parked */
    int64_t until = lq_mono_ms() + WAIT_MS;
    while (stats(w, "full").active != 2 && lq_mono_ms() < until)
        let_pass(5);
    enqueue(w, "full", "stays", 2);
    wait_for("stays", &stays.now, 1);
    w->hold = false; /* the first ends; "stays" takes its place in the queue */
    wait_for("narrow", &narrow.runs, 1);
    enqueue(w, "default", "wide", 20);
    wait_for("wide", &wide.runs, 20);
    other.hold = false;
    wait_for("narrow", &narrow.runs, 2);
    wait_for("stays", &stays.runs, 2);
    assert_int_equal(narrow.most, 1);
    assert_in_range(stays.most, 1, 2);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(capped_queue__never_runs_more_and_is_worked_off),
        TEST(full_queue__is_left_alone_until_a_place_is_free),
        TEST(capped_queue__starts_a_task_at_once_when_idle),
        TEST(server__tells_the_broker_what_its_queues_keep),
        TEST(capped_handler__never_runs_more_and_uses_no_attempt),
        TEST(capped_handler__starves_no_other_of_its_queue),
        TEST(parked_tasks__go_back_at_a_stop_without_having_run),
        TEST(parked_task__canceled__never_runs),
        TEST(parked_task__canceled__leaves_no_place_in_its_queue),
        TEST(parked_task__of_a_queue_that_is_paused__goes_back),
        TEST(parked_task__of_a_queue_that_is_paused__goes_back_at_once),
        TEST(parked_tasks__get_their_slots_under_load),
        TEST(parked_task__of_a_full_queue__holds_up_nobody),
    };
    on_sqlite = argc > 1 && strcmp(argv[1], "sqlite") == 0;
    if (argc > 1 + on_sqlite)
        cmocka_set_test_filter(argv[1 + on_sqlite]);
    if (!on_sqlite && redis_server_start(&redis, NULL, NULL))
        return 77;
    int failed = cmocka_run_group_tests_name("caps", tests, NULL, NULL);
    if (!on_sqlite)
        redis_server_stop(&redis);
    return failed;
}
