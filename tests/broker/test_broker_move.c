/* Everything of one broker moved to another, both ways. */
#include "inspect_world.h"

#include "base/clock.h"
#include "task/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define Q "orders"
#define LOCK "asynq:{" Q "}:unique:hello:1"

static struct world redis = {.broker = &inspected_redis};
static struct world sqlite = {.broker = &inspected_sqlite};

static void open_side(struct world *w)
{
    lq_caller *caller = NULL;
    w->broker->wipe(w);
    assert_int_equal(w->broker->open(w, &caller), 0);
    assert_int_equal(lq_client_new(&w->client, caller, 20000, NULL), 0);
    assert_int_equal(w->broker->open(w, &w->caller), 0);
}

static int begin(void **state)
{
    (void)state;
    open_side(&redis);
    open_side(&sqlite);
    return 0;
}

static int end(void **state)
{
    (void)state;
    struct world *const sides[] = {&redis, &sqlite};
    for (size_t i = 0; i < LQ_COUNT(sides); i++) {
        lunaq_client_close(sides[i]->client);
        lq_caller_close(sides[i]->caller);
    }
    return 0;
}

static int move(struct world *from, struct world *to,
                const lunaq_broker_move_options *options,
                lunaq_broker_moved *moved, lunaq_error *err)
{
    moved->size = sizeof *moved;
    return lunaq_broker_move(from->client, to->client, options, moved, err);
}

/* ---- all that there is --------------------------------------------------- */

static const struct planted all[] = {
    {.queue = Q, .id = "p1", .state = LUNAQ_PENDING, .score = 1700000001},
    {.queue = Q, .id = "p2", .state = LUNAQ_PENDING, .score = 1700000002},
    {.queue = Q, .id = "p0", .state = LUNAQ_PENDING, .score = 1700000003},
    {.queue = Q,
     .id = "held",
     .state = LUNAQ_ACTIVE,
     .score = 1900000000,
     .crashes = 2,
     .cancel = "me: enough"},
    {.queue = Q, .id = "later", .state = LUNAQ_SCHEDULED, .score = 1900000001},
    {.queue = Q,
     .id = "again",
     .state = LUNAQ_RETRY,
     .score = 1900000002,
     .retried = 2,
     .lock = LOCK},
    {.queue = Q, .id = "dead", .state = LUNAQ_ARCHIVED, .score = 1900000003},
    {.queue = Q,
     .id = "done",
     .state = LUNAQ_COMPLETED,
     .score = 1900000004,
     .result = "42"},
    {.queue = Q, .id = "g1", .state = LUNAQ_AGGREGATING, .group = "g"},
    {.queue = Q, .id = "h1", .state = LUNAQ_AGGREGATING, .group = "h"},
    {.queue = Q, .id = "odd", .state = LUNAQ_ARCHIVED, .msg = "\xff\xff"},
    {.queue = "other", .id = "p1", .state = LUNAQ_PENDING},
};

static void furnish(struct world *w)
{
    lq_copy_cron crons[] = {{LQ_STR("hourly"), 1700000000000},
                            {LQ_STR("never"), -1700000000000}};
    lq_queue_copy copy = {.paused_ms = 1700000000000,
                          .processed = 70,
                          .failed = 7,
                          .discarded = 3,
                          .dropped = 2,
                          .processed_on = {5, 6, [89] = 9},
                          .failed_on = {1, [30] = 4},
                          .crons = crons,
                          .cron_count = 2};
    for (size_t i = 0; i < LQ_COUNT(all); i++)
        plant(w, &all[i]);
    plant_queue(w, Q, &copy);
    for (int i = 0; i < 3; i++) {
        static const char *const ids[] = {"first", "second", "third"};
        lq_op_cron_record op = {.entry_id = LQ_STR("hourly"),
                                .task_id = lq_str_c(ids[i]),
                                .at_ms = 1700000000000 + i * INT64_C(1000)};
        lq_op_init(&op.op, LQ_OP_CRON_RECORD);
        carry_out(w, &op.op);
        lq_op_release(&op.op);
    }
}

static void assert_history(struct world *w)
{
    lunaq_cron_history *h = NULL;
    assert_int_equal(lunaq_cron_history_open(w->client, "hourly", 0, &h, NULL),
                     0);
    assert_int_equal(lunaq_cron_history_count(h), 3);
    assert_string_equal(lunaq_cron_history_at(h, 0)->task_id, "third");
    assert_string_equal(lunaq_cron_history_at(h, 2)->task_id, "first");
    assert_int_equal(lunaq_cron_history_at(h, 2)->at, 1700000000000);
    lunaq_cron_history_free(h);
}

static void assert_task(struct world *w, const struct planted *p)
{
    lunaq_task_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lunaq_task_find(w->client, p->queue, p->id, &list, &err))
        fail_msg("%s: %s", p->id, err.message);
    const lunaq_task_info *t = lunaq_task_list_at(list, 0);
    int64_t at = (p->score ? p->score : 1700000000) * 1000;
    assert_int_equal(t->state, p->state);
    assert_int_equal(t->crashes, p->crashes);
    assert_int_equal(t->retried, p->retried);
    assert_string_equal(t->group, p->group ? p->group : "");
    assert_string_equal(t->result, p->result ? p->result : "");
    if (p->state == LUNAQ_ACTIVE)
        assert_int_equal(t->lease_at, at);
    if (p->state == LUNAQ_SCHEDULED || p->state == LUNAQ_RETRY ||
        p->state == LUNAQ_COMPLETED)
        assert_int_equal(t->next_at, at);
    if (p->msg)
        assert_memory_equal(t->payload, p->msg, strlen(p->msg));
    lunaq_task_list_free(list);
}

/* That it is what furnish() made. */
static void assert_furnished(struct world *w)
{
    lq_op_export_queue op = {.queue = LQ_STR(Q), .now_ms = lq_now_ms()};
    lunaq_task_query query = LUNAQ_TASK_QUERY_INIT;
    lunaq_task_list *list = NULL;
    for (size_t i = 0; i < LQ_COUNT(all); i++)
        assert_task(w, &all[i]);
    query.queue = Q;
    query.state = LUNAQ_PENDING;
    assert_int_equal(lunaq_task_list_open(w->client, &query, &list, NULL), 0);
    assert_int_equal(lunaq_task_list_count(list), 3);
    assert_string_equal(lunaq_task_list_at(list, 0)->id, "p1");
    assert_string_equal(lunaq_task_list_at(list, 1)->id, "p2");
    assert_string_equal(lunaq_task_list_at(list, 2)->id, "p0");
    lunaq_task_list_free(list);

    lq_op_init(&op.op, LQ_OP_EXPORT_QUEUE);
    carry_out(w, &op.op);
    assert_int_equal(op.copy.paused_ms, 1700000000000);
    assert_int_equal(op.copy.processed, 70);
    assert_int_equal(op.copy.failed, 7);
    assert_int_equal(op.copy.discarded, 3);
    assert_int_equal(op.copy.dropped, 2);
    assert_int_equal(op.copy.processed_on[1], 6);
    assert_int_equal(op.copy.processed_on[89], 9);
    assert_int_equal(op.copy.failed_on[30], 4);
    assert_int_equal(op.copy.cron_count, 2);
    for (size_t i = 0; i < op.copy.cron_count; i++)
        assert_int_equal(op.copy.crons[i].last_ms,
                         lq_str_eq(op.copy.crons[i].entry, LQ_STR("hourly"))
                             ? 1700000000000
                             : -1700000000000);
    lq_op_release(&op.op);
    assert_history(w);
    assert_true(locked(w, LOCK));
    assert_sound(w, Q);
    assert_sound(w, "other");
}

static void there_and_back(struct world *from, struct world *to)
{
    lunaq_broker_moved moved = {0};
    lunaq_error err = LUNAQ_ERROR_INIT;
    furnish(from);
    if (move(from, to, NULL, &moved, &err))
        fail_msg("%s", err.message);
    assert_int_equal(moved.queues, 2);
    assert_int_equal(moved.tasks, LQ_COUNT(all));
    assert_int_equal(moved.added, LQ_COUNT(all));
    assert_furnished(to);
    assert_int_equal(things(from), 0);
    if (move(to, from, NULL, &moved, &err))
        fail_msg("%s", err.message);
    assert_furnished(from);
    assert_int_equal(things(to), 0);
}

static void move__all_states_redis_to_sqlite_and_back__are_as_before(void **s)
{
    (void)s;
    there_and_back(&redis, &sqlite);
}

static void move__all_states_sqlite_to_redis_and_back__are_as_before(void **s)
{
    (void)s;
    there_and_back(&sqlite, &redis);
}

static void move__many_batches__keep_their_order(void **state)
{
    (void)state;
    struct world *const ways[][2] = {{&redis, &sqlite}, {&sqlite, &redis}};
    for (size_t i = 0; i < LQ_COUNT(ways); i++) {
        lunaq_broker_moved moved = {0};
        lunaq_task_query query = LUNAQ_TASK_QUERY_INIT;
        lunaq_task_list *list = NULL;
        if (i == 0) {
            plant_queue(&redis, Q, &(lq_queue_copy){0});
            plant_pending(&redis, Q, "n", 730);
        }
        assert_int_equal(move(ways[i][0], ways[i][1], NULL, &moved, NULL), 0);
        assert_int_equal(moved.added, 730);
        query.queue = Q;
        query.state = LUNAQ_PENDING;
        query.page_size = 1000;
        assert_int_equal(
            lunaq_task_list_open(ways[i][1]->client, &query, &list, NULL), 0);
        assert_int_equal(lunaq_task_list_count(list), 730);
        for (size_t k = 0; k < 730; k++) {
            char id[16];
            snprintf(id, sizeof id, "n%zu", k);
            assert_string_equal(lunaq_task_list_at(list, k)->id, id);
        }
        lunaq_task_list_free(list);
    }
}

/* ---- interrupted, refused ------------------------------------------------ */

static void move__after_an_interruption__goes_on(void **state)
{
    (void)state;
    lunaq_broker_move_options keep = LUNAQ_BROKER_MOVE_OPTIONS_INIT;
    lunaq_broker_moved moved = {0};
    struct planted late = {.queue = Q, .id = "late", .state = LUNAQ_RETRY};
    keep.keep = 1;
    furnish(&sqlite);
    assert_int_equal(move(&sqlite, &redis, &keep, &moved, NULL), 0);
    assert_furnished(&sqlite);
    assert_furnished(&redis);
    plant(&sqlite, &late); /* what the first attempt did not come to */
    assert_int_equal(move(&sqlite, &redis, NULL, &moved, NULL), 0);
    assert_int_equal(moved.added, 1);
    assert_int_equal(moved.tasks, LQ_COUNT(all) + 1);
    assert_task(&redis, &late);
    assert_furnished(&redis);
    assert_int_equal(things(&sqlite), 0);
}

static void move__another_task_of_the_same_id__is_refused(void **state)
{
    (void)state;
    struct planted one = {.queue = Q, .id = "x", .state = LUNAQ_RETRY};
    struct planted two = {
        .queue = Q, .id = "x", .state = LUNAQ_RETRY, .retried = 1};
    struct world *const ways[][2] = {{&redis, &sqlite}, {&sqlite, &redis}};
    plant(&redis, &one);
    plant(&sqlite, &two);
    for (size_t i = 0; i < LQ_COUNT(ways); i++) {
        lunaq_broker_moved moved = {0};
        lunaq_error err = LUNAQ_ERROR_INIT;
        assert_int_equal(move(ways[i][0], ways[i][1], NULL, &moved, &err),
                         LUNAQ_ESTATE);
        assert_non_null(strstr(err.message, "task x"));
        assert_task(&redis, &one);
        assert_task(&sqlite, &two);
    }
}

static void publish_server(struct world *w, int64_t ttl_ms)
{
    lq_server_msg m = {.host = LQ_STR("h"),
                       .server_id = LQ_STR("server"),
                       .status = LQ_STR("active"),
                       .pid = 7,
                       .start_ms = 1700000000000};
    lq_buf info;
    lq_buf_init(&info, 0);
    lq_server_encode(&info, &m);
    lq_op_heartbeat op = {.host = m.host,
                          .server_id = m.server_id,
                          .pid = m.pid,
                          .info = lq_buf_str(&info),
                          .ttl_ms = ttl_ms};
    lq_op_init(&op.op, LQ_OP_HEARTBEAT);
    carry_out(w, &op.op);
    lq_op_release(&op.op);
    lq_buf_release(&info);
}

static void move__beside_a_live_server__only_by_force(void **state)
{
    (void)state;
    struct world *const lively[] = {&redis, &sqlite};
    for (size_t i = 0; i < LQ_COUNT(lively); i++) {
        lunaq_broker_move_options force = LUNAQ_BROKER_MOVE_OPTIONS_INIT;
        lunaq_broker_moved moved = {0};
        lunaq_error err = LUNAQ_ERROR_INIT;
        redis.broker->wipe(&redis);
        (void)end(NULL);
        (void)begin(NULL);
        furnish(&redis);
        publish_server(lively[i], 60000);
        assert_int_equal(move(&redis, &sqlite, NULL, &moved, &err),
                         LUNAQ_ESTATE);
        assert_non_null(strstr(err.message, "live server"));
        assert_furnished(&redis);
        force.force = 1;
        assert_int_equal(move(&redis, &sqlite, &force, &moved, &err), 0);
        assert_furnished(&sqlite);
    }
}

static void move__to_itself__is_refused_and_loses_nothing(void **state)
{
    (void)state;
    struct world *const both[] = {&redis, &sqlite};
    for (size_t i = 0; i < LQ_COUNT(both); i++) {
        lunaq_broker_moved moved = {0};
        lunaq_error err = LUNAQ_ERROR_INIT;
        lq_caller *caller = NULL;
        lunaq_client *again = NULL;
        struct world *w = both[i];
        furnish(w);
        assert_int_equal(w->broker->open(w, &caller), 0);
        assert_int_equal(lq_client_new(&again, caller, 0, NULL), 0);
        moved.size = sizeof moved;
        assert_int_equal(
            lunaq_broker_move(w->client, again, NULL, &moved, &err),
            LUNAQ_ESTATE);
        assert_non_null(strstr(err.message, "same broker"));
        lunaq_client_close(again);
        assert_furnished(w);
    }
}

/* Forwards what is due on a side: the state of the task then. */
static int64_t forwarded(struct world *w, const char *id)
{
    lq_op_forward op = {.queue = LQ_STR(Q)};
    lunaq_task_list *list = NULL;
    lq_op_init(&op.op, LQ_OP_FORWARD);
    carry_out(w, &op.op);
    lq_op_release(&op.op);
    assert_int_equal(lunaq_task_find(w->client, Q, id, &list, NULL), 0);
    int64_t state = lunaq_task_list_at(list, 0)->state;
    lunaq_task_list_free(list);
    return state;
}

/* Whether it goes into its group does not change with the broker: what Asynq's
 * client scheduled names it in its message only, and so does what has left it.
 */
static void move__group_in_the_message_only__goes_where_it_would_have(void **s)
{
    struct world *const sides[] = {&redis, &sqlite};
    (void)s;
    for (size_t i = 0; i < 4; i++) {
        bool alone = i & 1;
        struct world *from = sides[i / 2], *to = sides[1 - i / 2];
        lunaq_broker_moved moved = {0};
        lq_buf msg;
        lq_task t = {.type = LQ_STR("hello"),
                     .id = LQ_STR("due"),
                     .queue = LQ_STR(Q),
                     .group_key = LQ_STR("g")};
        lq_copy item = {.state = LUNAQ_SCHEDULED,
                        .id = t.id,
                        .at_ms = 1700000000000,
                        .group = alone ? (lq_str){0} : LQ_STR("g")};
        lq_op_import op = {.queue = LQ_STR(Q), .items = &item, .count = 1};
        lq_queue_copy none = {0};
        lq_buf_init(&msg, 0);
        lq_task_encode(&msg, &t);
        item.msg = lq_buf_str(&msg);
        plant_queue(from, Q, &none);
        lq_op_init(&op.op, LQ_OP_IMPORT);
        carry_out(from, &op.op);
        assert_int_equal(item.code, LUNAQ_OK);
        lq_op_release(&op.op);
        lq_buf_release(&msg);
        if (from == &redis && !alone) /* as Asynq's client leaves it */
            redis_int(from, "HDEL", "asynq:{" Q "}:t:due", "lunaq_group", NULL);
        assert_int_equal(move(from, to, NULL, &moved, NULL), 0);
        assert_int_equal(forwarded(to, "due"),
                         alone ? LUNAQ_PENDING : LUNAQ_AGGREGATING);
        end(NULL);
        begin(NULL);
    }
}

static void move__nothing_there__is_not_found(void **state)
{
    (void)state;
    lunaq_broker_moved moved = {0};
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_int_equal(move(&sqlite, &redis, NULL, &moved, &err),
                     LUNAQ_ENOTFOUND);
    assert_int_equal(move(&redis, &sqlite, NULL, &moved, &err),
                     LUNAQ_ENOTFOUND);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(move__all_states_redis_to_sqlite_and_back__are_as_before),
        TEST(move__all_states_sqlite_to_redis_and_back__are_as_before),
        TEST(move__many_batches__keep_their_order),
        TEST(move__after_an_interruption__goes_on),
        TEST(move__another_task_of_the_same_id__is_refused),
        TEST(move__beside_a_live_server__only_by_force),
        TEST(move__to_itself__is_refused_and_loses_nothing),
        TEST(move__group_in_the_message_only__goes_where_it_would_have),
        TEST(move__nothing_there__is_not_found),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (redis.broker->start(&redis) != 0)
        return 77; /* no Redis here: skipped */
    int failed = sqlite.broker->start(&sqlite);
    if (!failed)
        failed = cmocka_run_group_tests_name("broker_move", tests, NULL, NULL);
    redis.broker->stop(&redis);
    sqlite.broker->stop(&sqlite);
    return failed;
}
