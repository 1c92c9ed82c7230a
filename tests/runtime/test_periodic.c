/* The scheduler on a real Redis. */
#include "runtime/world.h"

#include "broker/inspect.h"
#include "support/cutter.h"

#include <stdio.h>
#include <string.h>

static redis_server redis;
static lq_enqueue items[3];

static int setup(void **state)
{
    static const char *const names[] = {"default", "before", "after"};
    static const int32_t weights[] = {1, 1, 1};
    int rc = world_setup(state, &redis);

    world_queues(*state, 3, names, weights);
    for (size_t i = 0; i < 3; i++) {
        lunaq_task t = LUNAQ_TASK_INIT;
        t.type = "tick";
        t.queue = names[i];
        assert_int_equal(lq_enqueue_init(&items[i], &t, lq_now_ms(), NULL), 0);
    }
    return rc;
}

static int64_t commands_so_far(void)
{
    const char *const words[] = {"INFO", "stats", NULL};
    char *reply = redis_server_command(&redis, words);
    char *at = strstr(reply, "total_commands_processed:");
    int64_t n = at ? strtoll(strchr(at, ':') + 1, NULL, 10) : -1;
    free(reply);
    return n;
}

static void entry__fires_once_on_two_servers(void **state)
{
    const lq_cron_want want = {.spec = "@every 1s", .item = &items[0]};
    world *w = *state;

    w->o.cron = &want;
    w->o.cron_count = 1;
    world_start(w, 0);
    world_start(w, 1);
    wait_for("ticks", &w->starts, 4);
    for (int i = 1; i < 4; i++)
        assert_in_range(w->at[i] - w->at[i - 1], 500, 2500);
}

static void ticks_missed_for_a_year__fire_once(void **state)
{
    const lq_cron_want want = {.spec = "* * * * *", .item = &items[0]};
    char last[32];
    const char *const seen[] = {"HSET", "lunaq:{default}:cron",
                                "tick|* * * * *", last, NULL};
    world *w = *state;

    snprintf(last, sizeof(last), "%lld",
             (long long)(lq_now_ms() - (int64_t)400 * 86400 * 1000) / 60000 *
                 60000);
    assert_int_equal(integer_reply(w, seen), 1);
    w->o.cron = &want;
    w->o.cron_count = 1;
    world_start(w, 0);
    wait_for("ticks", &w->starts, 1);
    let_pass(1500);
    /* A minute may have begun meanwhile. */
    assert_in_range(w->starts, 1, 2);
}

static void refused_tick__neither_spins_nor_stops_the_others(void **state)
{
    const lq_cron_want wants[] = {
        {.spec = "@every 1s", .item = &items[1]},
        {.spec = "@every 1s", .name = "damaged", .item = &items[0]},
        {.spec = "@every 1s", .name = "good", .item = &items[2]},
    };
    const char *const damage[] = {"SET", "asynq:{default}:pending", "x", NULL};
    const char *const mend[] = {"DEL", "asynq:{default}:pending", NULL};
    world *w = *state;

    free(redis_server_command(&redis, damage));
    w->o.cron = wants;
    w->o.cron_count = LQ_COUNT(wants);
    world_start(w, 0);
    wait_for("ticks", &w->queue['a'], 1);
    wait_for("ticks", &w->queue['b'], 1);
    int64_t before = commands_so_far();
    int had = w->queue['a'];
    wait_for("ticks", &w->queue['a'], had + 2);
    assert_in_range(commands_so_far() - before, 0, 600);
    free(redis_server_command(&redis, mend));
    wait_for("mended", &w->queue['d'], 1);
}

static void damaged_record__does_not_stop_the_others(void **state)
{
    const lq_cron_want wants[] = {
        {.spec = "@every 1s", .item = &items[1]},
        {.spec = "@every 1s", .name = "damaged", .item = &items[0]},
        {.spec = "@every 1s", .name = "good", .item = &items[2]},
    };
    const char *const damage[] = {"SET", "lunaq:{default}:cron", "x", NULL};
    const char *const mend[] = {"DEL", "lunaq:{default}:cron", NULL};
    world *w = *state;

    free(redis_server_command(&redis, damage));
    w->o.cron = wants;
    w->o.cron_count = LQ_COUNT(wants);
    world_start(w, 0);
    wait_for("ticks", &w->queue['a'], 2);
    wait_for("ticks", &w->queue['b'], 2);
    assert_int_equal(w->queue['d'], 0);
    free(redis_server_command(&redis, mend));
    wait_for("mended", &w->queue['d'], 1);
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
}

/* Tasks that ticks enqueued, and those of them that the history has. */
static void count_history(world *w, const char *entry, int64_t *all)
{
    lq_op_cron_history op = {.entry_id = lq_str_c(entry)};
    lq_op_init(&op.op, LQ_OP_CRON_HISTORY);
    assert_int_equal(lq_caller_call(w->caller, &op.op, 10000, NULL), 0);
    *all = (int64_t)op.count;
    lq_op_release(&op.op);
}

/* A tick whose reply was lost is asked for again, and so is its note. */
static void lost_replies__leave_no_gap_in_the_history(void **state)
{
    const lq_cron_want want = {.spec = "@every 1s", .item = &items[0]};
    world *w = *state;
    int64_t noted = 0, until;
    cutter c;

    assert_int_equal(cutter_start(&c, redis.socket), 0);
    w->o.cron = &want;
    w->o.cron_count = 1;
    w->o.broker = c.url;
    world_start(w, 0);
    wait_for("ticks", &w->starts, 1);
    c.min_len = 100;
    c.every = 4;
    wait_for("cuts", &c.cuts, 12);
    c.every = 0;
    until = lq_mono_ms() + WAIT_MS;
    int had = w->starts;
    wait_for("ticks", &w->starts, had + 2);
    (void)world_stop(w, 0);
    cutter_stop(&c);
    count_history(w, "tick|@every 1s", &noted);
    assert_true(lq_mono_ms() < until);
    /* What the last tick enqueued may wait still. */
    int64_t pending = list_len(w, "asynq:{default}:pending");
    assert_int_equal(noted, w->starts + pending);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(entry__fires_once_on_two_servers),
        TEST(ticks_missed_for_a_year__fire_once),
        TEST(refused_tick__neither_spins_nor_stops_the_others),
        TEST(damaged_record__does_not_stop_the_others),
        TEST(lost_replies__leave_no_gap_in_the_history),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (redis_server_start(&redis, NULL, NULL))
        return 77;
    int failed = cmocka_run_group_tests_name("periodic", tests, NULL, NULL);
    redis_server_stop(&redis);
    return failed;
}
