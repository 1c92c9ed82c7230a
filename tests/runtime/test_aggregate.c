/* The aggregator with a C function, on a real broker: on Redis, and on a queue
 * file when the first argument is "sqlite". */
#include "runtime/world.h"

#include "broker/group.h"

#include "support/cutter.h"

#include <stdio.h>
#include <string.h>

static redis_server redis;
static bool on_sqlite;

/* What the aggregators of a test saw and shall do. */
typedef struct seen {
    world *w;
    atomic_int calls, tasks, digests, bad;
    atomic_bool hold, nothing, fail;
    int64_t at[16]; /* Unix ms of the first calls */
} seen;

static seen s;

static int setup(void **state)
{
    int rc = world_setup(state, on_sqlite ? NULL : &redis);
    memset(&s, 0, sizeof(s));
    s.w = *state;
    if (!rc) {
        s.w->o.group.grace_ms = 1000;
        s.w->o.aggregate = true;
    }
    return rc;
}

static int teardown(void **state)
{
    s.hold = false;
    return world_teardown(state);
}

/* ---- what runs ----------------------------------------------------------- */

static void check(const lunaq_group *group, const lunaq_task *t, size_t i)
{
    char id[32];
    snprintf(id, sizeof(id), "%s-%zu", lunaq_group_name(group), i);
    if (strcmp(t->task_id, id) != 0 || strcmp(t->type, "event") != 0 ||
        t->payload_len != 2 || memcmp(t->payload, "hi", 2) != 0 ||
        t->header_count != 1 || strcmp(t->headers[0].name, "k") != 0 ||
        strcmp(t->headers[0].value, "v") != 0)
        atomic_fetch_add(&s.bad, 1);
}

static int aggregate(lunaq_group *group, void *userdata)
{
    char count[32];
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_task task = LUNAQ_TASK_INIT;
    int call = atomic_fetch_add(&s.calls, 1);

    if (call < (int)LQ_COUNT(s.at))
        s.at[call] = lq_now_ms();
    while (s.hold)
        let_pass(2);
    if (userdata != &s || lunaq_group_task(group, lunaq_group_count(group)) ||
        strcmp(lunaq_group_queue(group), "default") != 0)
        atomic_fetch_add(&s.bad, 1);
    for (size_t i = 0; i < lunaq_group_count(group); i++)
        check(group, lunaq_group_task(group, i), i);
    if (s.fail)
        return lunaq_group_fail(group, "no words");
    if (s.nothing)
        return LUNAQ_OK;
    task.type = "digest";
    task.queue = "elsewhere";
    if (lunaq_group_set_task(group, &task, &err) != LUNAQ_EINVAL)
        atomic_fetch_add(&s.bad, 1);
    snprintf(count, sizeof(count), "%zu", lunaq_group_count(group));
    task.queue = NULL;
    task.payload = count;
    task.payload_len = strlen(count);
    return lunaq_group_set_task(group, &task, &err);
}

static int digest(lunaq_run *run, void *userdata)
{
    size_t len;
    const char *payload = lunaq_run_payload(run, &len);
    (void)userdata;
    atomic_fetch_add(&s.tasks, (int)strtol(payload, NULL, 10));
    atomic_fetch_add(&s.digests, 1);
    return LUNAQ_OK;
}

static void start(world *w, size_t i)
{
    world_callbacks(w, i);
    lq_callbacks *c = w->sides[i].callbacks;
    assert_int_equal(lq_callbacks_add(c, "digest", NULL, digest, NULL, NULL),
                     LUNAQ_OK);
    if (w->o.aggregate)
        lq_callbacks_aggregate(c, aggregate, &s);
    world_start(w, i);
}

static void put(world *w, const char *group, size_t n)
{
    static const lunaq_header header = {"k", "v"};
    for (size_t i = 0; i < n; i++) {
        char id[32];
        lunaq_task t = LUNAQ_TASK_INIT;
        snprintf(id, sizeof(id), "%s-%zu", group, i);
        t.type = "event";
        t.task_id = id;
        t.group = group;
        t.payload = "hi";
        t.payload_len = 2;
        t.headers = &header;
        t.header_count = 1;
        world_enqueue(w, "default", 1, &t);
    }
}

/* The group, or the set, that is there. */
static lq_op_groups look(world *w)
{
    lq_op_groups op = {.queue = LQ_STR("default")};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_init(&op.op, LQ_OP_GROUPS);
    if (lq_caller_call(w->caller, &op.op, 10000, &err))
        fail_msg("groups: %s", err.message);
    return op;
}

static void wait_failures(world *w, int64_t n)
{
    int64_t until = lq_mono_ms() + WAIT_MS, is = 0;
    while (is < n && lq_mono_ms() < until) {
        lq_op_groups op = look(w);
        is = op.count ? op.rows[0].failures : 0;
        lq_op_release(&op.op);
        let_pass(5);
    }
    assert_int_equal(is, n);
}

/* ---- tests --------------------------------------------------------------- */

static void aggregate__group_is_due__one_task_of_all_runs(void **state)
{
    world *w = *state;
    int64_t from = lq_now_ms();
    put(w, "g", 3);
    start(w, 0);
    wait_for("digests", &s.digests, 1);
    assert_int_equal(s.tasks, 3);
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.bad, 0);
    /* Not before the grace, by the broker's whole seconds. */
    assert_true(s.at[0] >= from - from % 1000 + 1000);
}

static void aggregate__max_size__does_not_wait(void **state)
{
    world *w = *state;
    w->o.group = (lq_group_rule){3600000, 0, 2};
    put(w, "g", 2);
    start(w, 0);
    wait_for("digests", &s.digests, 1);
    assert_int_equal(s.tasks, 2);
}

static void aggregate__rule_of_the_queue__goes_before(void **state)
{
    world *w = *state;
    lq_queue_settings settings[1] = {{.group = {3600000, -1, 2}}};
    w->o.group = (lq_group_rule){3600000, 1000, 0};
    w->o.settings = settings;
    put(w, "a", 1);
    put(w, "b", 2);
    start(w, 0);
    wait_for("digests", &s.digests, 1);
    let_pass(1500);
    assert_int_equal(s.tasks, 2);
}

static void aggregate__fails__says_why_and_waits(void **state)
{
    world *w = *state;
    s.fail = true;
    put(w, "g", 2);
    start(w, 0);
    wait_failures(w, 1);
    lq_op_groups op = look(w);
    assert_int_equal(op.rows[0].size, 2);
    assert_string_equal(op.rows[0].error.p, "no words");
    assert_in_range(op.rows[0].retry_ms, 1, 5000);
    lq_op_release(&op.op);
    assert_true(w->lines > 0);
    s.fail = false;
    wait_for("digests", &s.digests, 1);
    assert_int_equal(s.tasks, 2);
    assert_int_equal(s.calls, 2);
    assert_true(s.at[1] - s.at[0] >= 4000);
}

static void aggregate__no_task__is_a_failure(void **state)
{
    world *w = *state;
    s.nothing = true;
    put(w, "g", 1);
    start(w, 0);
    wait_failures(w, 1);
    lq_op_groups op = look(w);
    assert_string_equal(op.rows[0].error.p, "it made no task");
    lq_op_release(&op.op);
}

static void aggregate__takes_long__no_other_server_gets_the_set(void **state)
{
    world *w = *state;
    w->o.lease_ms = 1500; /* of a set, too */
    s.hold = true;
    put(w, "g", 2);
    start(w, 0);
    wait_for("calls", &s.calls, 1);
    start(w, 1);
    let_pass(4000);
    assert_int_equal(s.calls, 1);
    s.hold = false;
    wait_for("digests", &s.digests, 1);
    assert_int_equal(s.tasks, 2);
}

static void aggregate__two_servers__each_task_once(void **state)
{
    world *w = *state;
    enum { GROUPS = 12, EACH = 7 };
    for (int i = 0; i < GROUPS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "g%d", i);
        put(w, name, EACH);
    }
    start(w, 0);
    start(w, 1);
    wait_for("tasks", &s.tasks, GROUPS * EACH);
    let_pass(300);
    assert_int_equal(s.tasks, GROUPS * EACH);
    assert_int_equal(s.digests, GROUPS);
    assert_int_equal(s.bad, 0);
}

/* Moves whose reply was lost are repeated, and change nothing then. */
static void aggregate__replies_are_lost__each_task_once(void **state)
{
    world *w = *state;
    enum { GROUPS = 12, EACH = 5 };
    cutter c;
    if (on_sqlite) /* there is nothing to cut */
        skip();
    for (int i = 0; i < GROUPS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "g%d", i);
        put(w, name, EACH);
    }
    assert_int_equal(cutter_start(&c, redis.socket), 0);
    c.every = 6;
    c.min_len = 100;
    w->o.broker = c.url;
    start(w, 0);
    wait_for("cuts", &c.cuts, 6);
    c.every = 0;
    wait_for("tasks", &s.tasks, GROUPS * EACH);
    let_pass(1500);
    assert_int_equal(s.tasks, GROUPS * EACH);
    assert_int_equal(s.digests, GROUPS);
    (void)world_stop(w, 0);
    cutter_stop(&c);
}

static void stop__aggregating__group_is_put_back_whole(void **state)
{
    world *w = *state;
    s.hold = true;
    put(w, "g", 3);
    start(w, 0);
    wait_for("calls", &s.calls, 1);
    (void)world_stop(w, 0);
    lq_op_groups op = look(w);
    /* At once when its function lets go, when its lease is over if not. */
    assert_int_equal(op.count + op.set_count, 1);
    assert_int_equal(op.count ? op.rows[0].size : op.sets[0].size, 3);
    lq_op_release(&op.op);
    assert_int_equal(s.digests, 0);
    s.hold = false;
}

/* As many as are under way at once end; the others wait for another server. */
static void quiet__more_groups_are_due__none_is_begun(void **state)
{
    world *w = *state;
    enum { GROUPS = 24 };
    s.hold = true;
    for (int i = 0; i < GROUPS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "g%d", i);
        put(w, name, 1);
    }
    start(w, 0);
    wait_for("calls", &s.calls, 1);
    let_pass(100);
    lq_server_quiet(w->sides[0].runtime);
    int under_way = s.calls;
    s.hold = false;
    int64_t until = lq_mono_ms() + WAIT_MS;
    lq_op_groups op = look(w);
    while (op.set_count > 0 && lq_mono_ms() < until) {
        lq_op_release(&op.op);
        let_pass(20);
        op = look(w);
    }
    let_pass(1500);
    lq_op_release(&op.op);
    op = look(w);
    assert_int_equal(op.set_count, 0);
    /* Threads of the pool may have had some in their queue. */
    assert_in_range(s.calls, under_way, 8);
    assert_int_equal(op.count, GROUPS - s.calls);
    lq_op_release(&op.op);
}

static void groups__nobody_aggregates__is_warned_of(void **state)
{
    world *w = *state;
    w->o.aggregate = false;
    put(w, "g", 1);
    start(w, 0);
    let_pass(1500);
    assert_int_equal(w->lines, 0);
    wait_for("a warning", &w->lines, 1);
    lq_op_groups op = look(w);
    assert_int_equal(op.rows[0].size, 1);
    lq_op_release(&op.op);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(aggregate__group_is_due__one_task_of_all_runs),
        TEST(aggregate__max_size__does_not_wait),
        TEST(aggregate__rule_of_the_queue__goes_before),
        TEST(aggregate__fails__says_why_and_waits),
        TEST(aggregate__no_task__is_a_failure),
        TEST(aggregate__takes_long__no_other_server_gets_the_set),
        TEST(aggregate__two_servers__each_task_once),
        TEST(aggregate__replies_are_lost__each_task_once),
        TEST(stop__aggregating__group_is_put_back_whole),
        TEST(quiet__more_groups_are_due__none_is_begun),
        TEST(groups__nobody_aggregates__is_warned_of),
    };
    on_sqlite = argc > 1 && strcmp(argv[1], "sqlite") == 0;
    if (!on_sqlite && redis_server_start(&redis, NULL, NULL))
        return 77; /* skipped */
    if (argc > 1 + on_sqlite)
        cmocka_set_test_filter(argv[1 + on_sqlite]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (!on_sqlite)
        redis_server_stop(&redis);
    return failed;
}
