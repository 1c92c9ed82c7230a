/* Moves of many tasks by queue, state, group and type; another payload. */
#include "inspect_world.h"
#include "broker/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define Q "orders"
#define K(rest) "asynq:{" Q "}:" rest

/* `count` pending tasks, in turn of the types "a", "b", "c". */
static void enqueue_mixed(struct world *w, const char *queue, int count)
{
    static const char *const types[] = {"a", "b", "c"};
    lunaq_task tasks[90];
    lunaq_enqueued results[90];
    for (int i = 0; i < 90; i++) {
        tasks[i] = (lunaq_task)LUNAQ_TASK_INIT;
        tasks[i].type = types[i % 3];
        tasks[i].queue = queue;
    }
    for (int done = 0; done < count; done += 90)
        assert_int_equal(
            lunaq_client_enqueue_many(w->client, tasks, 90, results, NULL), 0);
}

static int64_t move_many(struct world *w, const lunaq_task_filter *f,
                         lunaq_move how)
{
    int64_t moved = -1;
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lunaq_task_move_many(w->client, f, how, &moved, &err))
        fail_msg("%s", err.message);
    return moved;
}

static void archive__one_type__leaves_the_others_in_order(void **state)
{
    struct world *w = *state;
    lunaq_task_filter f = LUNAQ_TASK_FILTER_INIT;
    enqueue_mixed(w, Q, 450);
    f.queue = Q;
    f.type = "b";
    assert_int_equal(move_many(w, &f, LUNAQ_MOVE_ARCHIVE), 150);
    assert_int_equal(count_of(w, Q, LUNAQ_ARCHIVED), 150);
    assert_int_equal(count_of(w, Q, LUNAQ_PENDING), 300);
    f.type = "none";
    assert_int_equal(move_many(w, &f, LUNAQ_MOVE_DELETE), 0);
    f.type = "b";
    f.state = LUNAQ_ARCHIVED;
    assert_int_equal(move_many(w, &f, LUNAQ_MOVE_RUN), 150);
    assert_int_equal(count_of(w, Q, LUNAQ_PENDING), 450);
    assert_sound(w, Q);
}

static void delete__all_queues_of_a_type__only_that_type(void **state)
{
    struct world *w = *state;
    lunaq_task_filter f = LUNAQ_TASK_FILTER_INIT;
    enqueue_mixed(w, Q, 90);
    enqueue_mixed(w, "other", 180);
    f.type = "c";
    assert_int_equal(move_many(w, &f, LUNAQ_MOVE_DELETE), 90);
    assert_int_equal(count_of(w, Q, LUNAQ_PENDING), 60);
    assert_int_equal(count_of(w, "other", LUNAQ_PENDING), 120);
}

static void run__one_group__leaves_the_other(void **state)
{
    struct world *w = *state;
    lunaq_task_filter f = LUNAQ_TASK_FILTER_INIT;
    char id[16];
    for (int i = 0; i < 150; i++) {
        struct planted p = {.queue = Q,
                            .id = id,
                            .state = LUNAQ_AGGREGATING,
                            .group = i % 2 ? "odd" : "even"};
        snprintf(id, sizeof id, "id-%d", i);
        plant(w, &p);
    }
    f.group = "odd";
    assert_int_equal(move_many(w, &f, LUNAQ_MOVE_RUN), 75);
    assert_int_equal(count_of(w, Q, LUNAQ_PENDING), 75);
    assert_int_equal(count_of(w, Q, LUNAQ_AGGREGATING), 75);
    f.state = LUNAQ_RETRY;
    assert_int_equal(
        lunaq_task_move_many(w->client, &f, LUNAQ_MOVE_RUN, NULL, NULL),
        LUNAQ_EINVAL);
    assert_sound(w, Q);
}

static void archive__every_state__those_that_failed_or_wait(void **state)
{
    struct world *w = *state;
    lunaq_task_filter f = LUNAQ_TASK_FILTER_INIT;
    static const lunaq_state states[] = {
        LUNAQ_PENDING,  LUNAQ_ACTIVE,    LUNAQ_SCHEDULED,  LUNAQ_RETRY,
        LUNAQ_ARCHIVED, LUNAQ_COMPLETED, LUNAQ_AGGREGATING};
    for (size_t i = 0; i < LQ_COUNT(states); i++) {
        struct planted p = {.queue = Q,
                            .id = lunaq_state_name(states[i]),
                            .state = states[i],
                            .group =
                                states[i] == LUNAQ_AGGREGATING ? "g" : NULL};
        plant(w, &p);
    }
    f.queue = Q;
    assert_int_equal(move_many(w, &f, LUNAQ_MOVE_ARCHIVE), 4);
    assert_int_equal(count_of(w, Q, LUNAQ_ACTIVE), 1);
    assert_int_equal(count_of(w, Q, LUNAQ_COMPLETED), 1);
    f.state = LUNAQ_ACTIVE;
    assert_int_equal(
        lunaq_task_move_many(w->client, &f, LUNAQ_MOVE_DELETE, NULL, NULL),
        LUNAQ_ESTATE);
}

static void cancel__one_type_of_many__none_is_missed(void **state)
{
    struct world *w = *state;
    lunaq_task_filter f = LUNAQ_TASK_FILTER_INIT;
    lunaq_task_list *list = NULL;
    lunaq_task_query q = LUNAQ_TASK_QUERY_INIT;
    int64_t canceled = 0;
    enqueue_mixed(w, Q, 1080);
    f.type = "a";
    assert_int_equal(
        lunaq_task_cancel_many(w->client, &f, "not needed", &canceled, NULL),
        0);
    assert_int_equal(canceled, 360);
    assert_int_equal(count_of(w, Q, LUNAQ_PENDING), 720);
    q.queue = Q;
    q.state = LUNAQ_ARCHIVED;
    assert_int_equal(lunaq_task_list_open(w->client, &q, &list, NULL), 0);
    assert_string_equal(lunaq_task_list_at(list, 0)->error, "not needed");
    assert_string_equal(lunaq_task_list_at(list, 0)->type, "a");
    lunaq_task_list_free(list);
}

static void cancel__active_ones__are_marked_once(void **state)
{
    struct world *w = *state;
    lunaq_task_filter f = LUNAQ_TASK_FILTER_INIT;
    int64_t canceled = 0, told = 0;
    struct planted a = {.queue = Q, .id = "a", .state = LUNAQ_ACTIVE};
    struct planted done = {.queue = Q, .id = "c", .state = LUNAQ_COMPLETED};
    plant(w, &a);
    plant(w, &done);
    f.queue = Q;
    assert_int_equal(lunaq_task_end_attempts(w->client, &f, &told, NULL), 0);
    assert_int_equal(told, 1);
    assert_int_equal(
        lunaq_task_cancel_many(w->client, &f, NULL, &canceled, NULL), 0);
    assert_int_equal(canceled, 1);
    assert_int_equal(count_of(w, Q, LUNAQ_ACTIVE), 1);
}

static void end_attempt__of_one_that_waits__is_refused(void **state)
{
    struct world *w = *state;
    struct planted p = {.queue = Q, .id = "p", .state = LUNAQ_PENDING};
    plant(w, &p);
    assert_int_equal(lunaq_task_end_attempt(w->client, Q, "p", NULL),
                     LUNAQ_ESTATE);
    assert_int_equal(lunaq_task_end_attempt(w->client, Q, "none", NULL),
                     LUNAQ_ENOTFOUND);
    assert_int_equal(count_of(w, Q, LUNAQ_PENDING), 1);
}

/* ---- another payload ------------------------------------------------------
 */

static void assert_payload(struct world *w, const char *id, const char *wanted)
{
    lunaq_task_list *list = NULL;
    assert_int_equal(lunaq_task_find(w->client, Q, id, &list, NULL), 0);
    const lunaq_task_info *t = lunaq_task_list_at(list, 0);
    assert_int_equal(t->payload_len, strlen(wanted));
    assert_memory_equal(t->payload, wanted, strlen(wanted));
    assert_string_equal(t->type, "hello");
    lunaq_task_list_free(list);
}

static void update__by_state__those_that_can_run_later(void **state)
{
    struct world *w = *state;
    static const struct {
        lunaq_state state;
        int code;
    } rows[] = {{LUNAQ_PENDING, LUNAQ_OK},      {LUNAQ_SCHEDULED, LUNAQ_OK},
                {LUNAQ_RETRY, LUNAQ_OK},        {LUNAQ_ARCHIVED, LUNAQ_OK},
                {LUNAQ_AGGREGATING, LUNAQ_OK},  {LUNAQ_ACTIVE, LUNAQ_ESTATE},
                {LUNAQ_COMPLETED, LUNAQ_ESTATE}};
    for (size_t i = 0; i < LQ_COUNT(rows); i++) {
        const char *id = lunaq_state_name(rows[i].state);
        bool grouped = rows[i].state == LUNAQ_AGGREGATING;
        struct planted p = {.queue = Q,
                            .id = id,
                            .state = rows[i].state,
                            .group = grouped ? "g" : NULL};
        plant(w, &p);
        assert_int_equal(
            lunaq_task_update(w->client, Q, id, "{\"n\":2}", 7, NULL),
            rows[i].code);
        assert_payload(w, id, rows[i].code ? "{\"n\":1}" : "{\"n\":2}");
        assert_int_equal(count_of(w, Q, rows[i].state), 1);
    }
    assert_int_equal(lunaq_task_update(w->client, Q, "none", "", 0, NULL),
                     LUNAQ_ENOTFOUND);
    assert_sound(w, Q);
}

static void update__large_small_and_empty__are_what_is_read(void **state)
{
    struct world *w = *state;
    struct planted p = {.queue = Q, .id = "p", .state = LUNAQ_PENDING};
    char *large = calloc(1, 70001);
    assert_non_null(large);
    memset(large, 'x', 70000);
    plant(w, &p);
    assert_int_equal(lunaq_task_update(w->client, Q, "p", large, 70000, NULL),
                     0);
    assert_payload(w, "p", large);
    assert_int_equal(lunaq_task_update(w->client, Q, "p", "", 0, NULL), 0);
    assert_payload(w, "p", "");
    assert_int_equal(lunaq_task_update(w->client, Q, "p", "12", 2, NULL), 0);
    assert_payload(w, "p", "12");
    free(large);
}

static void update__unknown_fields_and_lock__stay(void **state)
{
    struct world *w = *state;
    /* type "hello", payload "x", id "p", queue, field 20 = 5 */
    struct planted p = {.queue = Q,
                        .id = "p",
                        .state = LUNAQ_RETRY,
                        .lock = K("unique:hello:1"),
                        .msg = "\012\005hello\022\001x\032\001p\042\006" Q
                               "\240\001\005"};
    lq_str queue = LQ_STR(Q);
    lq_op_task_get op = {.queues = &queue, .queue_count = 1, .id = LQ_STR("p")};
    plant(w, &p);
    assert_int_equal(lunaq_task_update(w->client, Q, "p", "yy", 2, NULL), 0);
    assert_payload(w, "p", "yy");
    lq_op_init(&op.op, LQ_OP_TASK_GET);
    carry_out(w, &op.op);
    assert_non_null(
        memmem(op.rows[0].msg.p, op.rows[0].msg.len, "\240\001\005", 3));
    lq_op_release(&op.op);
    assert_true(locked(w, K("unique:hello:1")));
}

static void update__unreadable__is_refused_untouched(void **state)
{
    struct world *w = *state;
    struct planted p = {
        .queue = Q, .id = "p", .state = LUNAQ_PENDING, .msg = "\377\377"};
    plant(w, &p);
    assert_int_equal(lunaq_task_update(w->client, Q, "p", "y", 1, NULL),
                     LUNAQ_EPROTO);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(archive__one_type__leaves_the_others_in_order),
        TEST(delete__all_queues_of_a_type__only_that_type),
        TEST(run__one_group__leaves_the_other),
        TEST(archive__every_state__those_that_failed_or_wait),
        TEST(cancel__one_type_of_many__none_is_missed),
        TEST(cancel__active_ones__are_marked_once),
        TEST(end_attempt__of_one_that_waits__is_refused),
        TEST(update__by_state__those_that_can_run_later),
        TEST(update__large_small_and_empty__are_what_is_read),
        TEST(update__unknown_fields_and_lock__stay),
        TEST(update__unreadable__is_refused_untouched),
    };
    return world_run("inspect_many", tests, LQ_COUNT(tests), NULL, 0, argc,
                     argv);
}
