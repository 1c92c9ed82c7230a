/* Sets of tasks that are being aggregated: what becomes of them. */
#include "broker/group_world.h"
#include "broker/inspect.h"

#include "base/clock.h"

/* ---- finish -------------------------------------------------------------- */

static void finish__puts_one_task_where_many_were(void **state)
{
    world *w = *state;
    lunaq_task t = group_batch("batch");
    group_put(w, "g", "one");
    group_put(w, "g", "two");
    assert_int_equal(group_take_only(w, SET, group_at_once), 2);
    assert_int_equal(group_finish_with(w, SET, &t), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_STATE_ANY);
    assert_int_equal(world_state(w, "batch"), LUNAQ_PENDING);
    group_expect(w, 0, 0);
    lunaq_queue_info info = world_stats(w);
    assert_int_equal(info.processed_total, 2);
    assert_int_equal(info.processed_today, 2);
    assert_int_equal(info.failed_total, 0);
    assert_int_equal(info.groups, 0);
    world_take_id(w, "batch");
}

static void finish__twice__second_changes_nothing(void **state)
{
    world *w = *state;
    lunaq_task t = group_batch("batch"), again = group_batch("again");
    group_put(w, "g", "one");
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    assert_int_equal(group_finish_with(w, SET, &t), LUNAQ_OK);
    assert_int_equal(group_finish_with(w, SET, &again), LUNAQ_ELEASE);
    assert_int_equal(world_state(w, "again"), LUNAQ_STATE_ANY);
}

static void finish__locks_of_the_tasks__are_released(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT, b = group_batch("batch");
    t.type = "t";
    t.queue = Q;
    t.group = "g";
    t.unique_ms = LONG_MS;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EDUPLICATE);
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EDUPLICATE);
    assert_int_equal(group_finish_with(w, SET, &b), LUNAQ_OK);
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
}

static void finish__id_is_taken__changes_nothing(void **state)
{
    world *w = *state;
    lunaq_task t = group_batch("taken"), free_id = group_batch("free");
    world_put(w, "taken");
    group_put(w, "g", "one");
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    assert_int_equal(group_finish_with(w, SET, &t), LUNAQ_EEXIST);
    group_expect(w, 0, 1);
    assert_int_equal(world_state(w, "one"), LUNAQ_AGGREGATING);
    assert_int_equal(world_stats(w).processed_total, 0);
    assert_int_equal(group_finish_with(w, SET, &free_id), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_STATE_ANY);
}

static void finish__lock_is_taken__changes_nothing(void **state)
{
    world *w = *state;
    lunaq_task t = group_batch("first"), second = group_batch("second");
    t.unique_ms = second.unique_ms = LONG_MS;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    group_put(w, "g", "one");
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    assert_int_equal(group_finish_with(w, SET, &second), LUNAQ_EDUPLICATE);
    group_expect(w, 0, 1);
    assert_int_equal(group_back(w, "it is there", 0), LUNAQ_OK);
}

/* As two handlers of one group may ask for it. */
static int finish_with_two(world *w, const lunaq_task *a, const lunaq_task *b)
{
    lq_enqueue e[2], *items[] = {&e[0], &e[1]};
    lq_op_group_finish op = {.op.kind = LQ_OP_GROUP_FINISH,
                             .queue = LQ_STR(Q),
                             .group = LQ_STR("g"),
                             .set_id = LQ_STR(SET),
                             .items = items,
                             .count = 2};
    assert_int_equal(lq_enqueue_init(&e[0], a, lq_now_ms(), NULL), LUNAQ_OK);
    assert_int_equal(lq_enqueue_init(&e[1], b, lq_now_ms(), NULL), LUNAQ_OK);
    int rc = world_call(w, &op.op);
    lq_op_release(&op.op);
    assert_int_equal(e[1].code, rc);
    lq_enqueue_release(&e[0]);
    lq_enqueue_release(&e[1]);
    return rc;
}

static void finish__one_id_twice__changes_nothing(void **state)
{
    world *w = *state;
    lunaq_task a = group_batch("batch"), b = group_batch("batch");
    lunaq_task other = group_batch("other");
    group_put(w, "g", "one");
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    assert_int_equal(finish_with_two(w, &a, &b), LUNAQ_EEXIST);
    group_expect(w, 0, 1);
    assert_int_equal(world_state(w, "batch"), LUNAQ_STATE_ANY);
    assert_int_equal(finish_with_two(w, &a, &other), LUNAQ_OK);
    assert_int_equal(world_state(w, "batch"), LUNAQ_PENDING);
    assert_int_equal(world_state(w, "other"), LUNAQ_PENDING);
}

static void finish__one_lock_twice__changes_nothing(void **state)
{
    world *w = *state;
    lunaq_task a = group_batch("first"), b = group_batch("second");
    a.unique_ms = b.unique_ms = LONG_MS;
    group_put(w, "g", "one");
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    assert_int_equal(finish_with_two(w, &a, &b), LUNAQ_EDUPLICATE);
    group_expect(w, 0, 1);
    assert_int_equal(world_state(w, "first"), LUNAQ_STATE_ANY);
    assert_int_equal(world_state(w, "one"), LUNAQ_AGGREGATING);
}

static void
finish__id_and_lock_of_its_own_tasks__may_be_used_again(void **state)
{
    world *w = *state;
    lunaq_task t = group_batch("same");
    t.unique_ms = LONG_MS;
    t.group = "g";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    t.group = NULL;
    assert_int_equal(group_finish_with(w, SET, &t), LUNAQ_OK);
    assert_int_equal(world_state(w, "same"), LUNAQ_PENDING);
    t.task_id = "another";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EDUPLICATE);
}

static void finish__alone__run_by_themselves_with_their_locks(void **state)
{
    world *w = *state;
    const lq_str alone[] = {LQ_STR("two")};
    lunaq_task t = LUNAQ_TASK_INIT, b = group_batch("batch");
    lq_enqueue e;
    group_put(w, "g", "one");
    t.type = "t";
    t.queue = Q;
    t.task_id = "two";
    t.group = "g";
    t.unique_ms = LONG_MS;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(group_take_only(w, SET, group_at_once), 2);
    assert_int_equal(lq_enqueue_init(&e, &b, lq_now_ms(), NULL), LUNAQ_OK);
    assert_int_equal(group_finish(w, SET, &e, alone, 1), LUNAQ_OK);
    lq_enqueue_release(&e);
    assert_int_equal(world_stats(w).processed_total, 1);
    assert_int_equal(world_state(w, "one"), LUNAQ_STATE_ANY);
    world_take_id(w, "two");
    t.task_id = "three";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EDUPLICATE);
    /* It has left its group for good: scheduled again, it comes alone. */
    lq_outcome later_alone = {.kind = LQ_SNOOZE, .id = LQ_STR("two")};
    assert_int_equal(world_settle(w, later_alone), LUNAQ_OK);
    assert_int_equal(world_state(w, "two"), LUNAQ_SCHEDULED);
    group_forward_one(w);
    assert_int_equal(world_state(w, "two"), LUNAQ_PENDING);
    lq_op_move del = {.op.kind = LQ_OP_MOVE,
                      .queue = LQ_STR(Q),
                      .id = LQ_STR("two"),
                      .move = LUNAQ_MOVE_DELETE};
    assert_int_equal(world_call(w, &del.op), LUNAQ_OK);
    lq_op_release(&del.op);
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
}

static void finish__delayed_or_grouped_again__goes_there(void **state)
{
    world *w = *state;
    lunaq_task t = group_batch("late"), g = group_batch("grouped");
    group_put(w, "g", "one");
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    t.process_in_ms = LONG_MS;
    assert_int_equal(group_finish_with(w, SET, &t), LUNAQ_OK);
    assert_int_equal(world_state(w, "late"), LUNAQ_SCHEDULED);
    group_put(w, "g", "two");
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    g.group = "groups of groups";
    assert_int_equal(group_finish_with(w, SET, &g), LUNAQ_OK);
    assert_int_equal(world_state(w, "grouped"), LUNAQ_AGGREGATING);
    group_expect(w, 1, 0);
}

static int finish_but(world *w, lq_enqueue *e, const lq_str *back, size_t n)
{
    const lq_str alone[] = {LQ_STR("two")};
    lq_op_group_finish op = {.op.kind = LQ_OP_GROUP_FINISH,
                             .queue = LQ_STR(Q),
                             .group = LQ_STR("g"),
                             .set_id = LQ_STR(SET),
                             .items = &e,
                             .count = 1,
                             .alone = alone,
                             .alone_count = 1,
                             .now_ms = lq_now_ms(),
                             .back = back,
                             .back_count = n,
                             .error = LQ_STR("no words for 2"),
                             .retry_ms = 20000};
    int rc = world_call(w, &op.op);
    lq_op_release(&op.op);
    return rc;
}

static void finish__some_failed__stay_in_the_group_with_the_error(void **state)
{
    world *w = *state;
    const lq_str back[] = {LQ_STR("three"), LQ_STR("four")};
    lq_enqueue e, taken;
    lunaq_task t = group_batch("batch"), of_back = group_batch("four");
    group_put(w, "g", "one");
    group_put(w, "g", "two");
    group_put(w, "g", "three");
    group_put(w, "g", "four");
    assert_int_equal(lq_enqueue_init(&e, &t, lq_now_ms(), NULL), LUNAQ_OK);
    assert_int_equal(lq_enqueue_init(&taken, &of_back, lq_now_ms(), NULL),
                     LUNAQ_OK);
    assert_int_equal(group_take_only(w, SET, group_at_once), 4);
    /* What stays keeps its id. */
    assert_int_equal(finish_but(w, &taken, back, 2), LUNAQ_EEXIST);
    group_expect(w, 0, 4);
    assert_int_equal(finish_but(w, &e, back, 2), LUNAQ_OK);
    lq_enqueue_release(&e);
    lq_enqueue_release(&taken);
    group_expect(w, 2, 0);
    assert_int_equal(world_state(w, "one"), LUNAQ_STATE_ANY);
    assert_int_equal(world_state(w, "two"), LUNAQ_PENDING);
    assert_int_equal(world_state(w, "three"), LUNAQ_AGGREGATING);
    assert_int_equal(world_state(w, "batch"), LUNAQ_PENDING);
    assert_int_equal(world_stats(w).processed_total, 1);
    assert_int_equal(group_take_only(w, SET_2, group_at_once), 0);
    lq_op_groups op = group_look(w);
    assert_int_equal(op.count, 1);
    assert_int_equal(op.rows[0].size, 2);
    assert_int_equal(op.rows[0].failures, 1);
    assert_string_equal(op.rows[0].error.p, "no words for 2");
    assert_in_range(op.rows[0].retry_ms, 1, 20000);
    lq_op_release(&op.op);
}

/* ---- back, extend, reclaim ----------------------------------------------- */

static void back__nothing_went_wrong__can_be_taken_again(void **state)
{
    world *w = *state;
    lq_op_group_take op;
    group_put(w, "g", "one");
    group_put(w, "g", "two");
    assert_int_equal(group_take_only(w, SET, group_at_once), 2);
    assert_int_equal(group_back(w, NULL, 0), LUNAQ_OK);
    assert_int_equal(group_back(w, NULL, 0), LUNAQ_ELEASE);
    assert_int_equal(world_stats(w).groups, 1);
    assert_int_equal(group_take(w, &op, SET_2, group_at_once, LONG_MS), 2);
    assert_string_equal(op.ids[0].p, "one");
    lq_op_release(&op.op);
}

static void back__failed__waits_and_says_why(void **state)
{
    world *w = *state;
    lunaq_task t = group_batch("batch");
    group_put(w, "g", "one");
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    assert_int_equal(group_back(w, "it returned 5 words", 20000), LUNAQ_OK);
    assert_int_equal(group_take_only(w, SET, group_at_once), 0);
    lq_op_groups op = group_look(w);
    assert_int_equal(op.count, 1);
    assert_int_equal(op.rows[0].failures, 1);
    assert_string_equal(op.rows[0].error.p, "it returned 5 words");
    assert_in_range(op.rows[0].retry_ms, 1, 20000);
    assert_in_range(lq_group_due_ms(&op.rows[0], &group_at_once), 1, 20000);
    lq_op_release(&op.op);

    /* Again, and then well: forgotten. */
    group_put(w, "h", "two");
    lq_op_group_take take_h = {.op.kind = LQ_OP_GROUP_TAKE,
                               .queue = LQ_STR(Q),
                               .group = LQ_STR("h"),
                               .set_id = LQ_STR(SET_2),
                               .rule = group_at_once,
                               .ttl_ms = LONG_MS};
    for (int i = 1; i <= 2; i++) {
        lq_op_group_back fail_h = {.op.kind = LQ_OP_GROUP_BACK,
                                   .queue = LQ_STR(Q),
                                   .group = LQ_STR("h"),
                                   .set_id = LQ_STR(SET_2),
                                   .error = LQ_STR("no"),
                                   .retry_ms = 0};
        assert_int_equal(world_call(w, &take_h.op), LUNAQ_OK);
        assert_int_equal(take_h.count, 1);
        assert_int_equal(world_call(w, &fail_h.op), LUNAQ_OK);
        op = group_look(w);
        assert_int_equal(op.count, 2);
        for (size_t k = 0; k < op.count; k++)
            if (lq_str_eq(op.rows[k].name, LQ_STR("h")))
                assert_int_equal(op.rows[k].failures, i);
        lq_op_release(&op.op);
        lq_op_release(&fail_h.op);
        lq_op_release(&take_h.op);
    }
    assert_int_equal(world_call(w, &take_h.op), LUNAQ_OK);
    lq_op_release(&take_h.op);
    lq_enqueue e, *items[] = {&e};
    assert_int_equal(lq_enqueue_init(&e, &t, lq_now_ms(), NULL), LUNAQ_OK);
    lq_op_group_finish done = {.op.kind = LQ_OP_GROUP_FINISH,
                               .queue = LQ_STR(Q),
                               .group = LQ_STR("h"),
                               .set_id = LQ_STR(SET_2),
                               .items = items,
                               .count = 1};
    assert_int_equal(world_call(w, &done.op), LUNAQ_OK);
    lq_op_release(&done.op);
    lq_enqueue_release(&e);
    group_put(w, "h", "three");
    op = group_look(w);
    for (size_t k = 0; k < op.count; k++)
        if (lq_str_eq(op.rows[k].name, LQ_STR("h")))
            assert_int_equal(op.rows[k].failures, 0);
    lq_op_release(&op.op);
}

static void reclaim__set_has_not_ended__stays(void **state)
{
    world *w = *state;
    group_put(w, "g", "one");
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    assert_int_equal(group_reclaim(w, 0), 0);
    group_expect(w, 0, 1);
}

static void
reclaim__holder_is_gone__tasks_are_in_their_named_group(void **state)
{
    world *w = *state;
    lq_op_group_take op;
    lunaq_task t = group_batch("batch");
    group_put(w, "g", "one");
    group_put(w, "g", "two");
    assert_int_equal(group_take(w, &op, SET, group_at_once, 0), 2);
    lq_op_release(&op.op);
    assert_int_equal(group_reclaim(w, 20000), 2);
    assert_int_equal(world_stats(w).groups, 1);
    group_expect(w, 2, 0);
    /* Its holder was only slow: too late. */
    assert_int_equal(group_extend(w, LONG_MS), LUNAQ_ELEASE);
    assert_int_equal(group_finish_with(w, SET, &t), LUNAQ_ELEASE);
    assert_int_equal(group_back(w, "no", 0), LUNAQ_ELEASE);
    assert_int_equal(world_state(w, "batch"), LUNAQ_STATE_ANY);
    assert_int_equal(group_take(w, &op, SET_2, group_at_once, LONG_MS), 2);
    assert_string_equal(op.ids[0].p, "one");
    lq_op_release(&op.op);
}

/* How often the group "g" failed, of which there is a task. */
static int64_t failures(world *w)
{
    lq_op_groups op = group_look(w);
    assert_int_equal(op.count, 1);
    int64_t n = op.rows[0].failures;
    lq_op_release(&op.op);
    return n;
}

static void reclaim__group_that_failed_is_gone__is_forgotten(void **state)
{
    world *w = *state;
    lq_op_move del = {.op.kind = LQ_OP_MOVE,
                      .queue = LQ_STR(Q),
                      .id = LQ_STR("one"),
                      .move = LUNAQ_MOVE_DELETE};
    group_put(w, "g", "one");
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    assert_int_equal(group_back(w, "no", 0), LUNAQ_OK);
    assert_int_equal(group_reclaim(w, 0), 0);
    assert_int_equal(failures(w), 1);
    /* Nor while its tasks are in a set. */
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    assert_int_equal(group_reclaim(w, 0), 0);
    assert_int_equal(group_back(w, "no", LONG_MS), LUNAQ_OK);
    assert_int_equal(failures(w), 2);
    /* Another of the name waits for nothing. */
    assert_int_equal(world_call(w, &del.op), LUNAQ_OK);
    lq_op_release(&del.op);
    assert_int_equal(group_reclaim(w, 0), 0);
    group_put(w, "g", "two");
    assert_int_equal(failures(w), 0);
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
}

static void extend__set_ends_later(void **state)
{
    world *w = *state;
    lq_op_group_take op;
    group_put(w, "g", "one");
    assert_int_equal(group_take(w, &op, SET, group_at_once, 1000), 1);
    lq_op_release(&op.op);
    assert_int_equal(group_extend(w, LONG_MS), LUNAQ_OK);
    assert_int_equal(group_reclaim(w, 2100), 0);
    group_expect(w, 0, 1);
}

size_t suite_group_end(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(finish__puts_one_task_where_many_were),
        WORLD_TEST(finish__twice__second_changes_nothing),
        WORLD_TEST(finish__locks_of_the_tasks__are_released),
        WORLD_TEST(finish__id_is_taken__changes_nothing),
        WORLD_TEST(finish__lock_is_taken__changes_nothing),
        WORLD_TEST(finish__one_id_twice__changes_nothing),
        WORLD_TEST(finish__one_lock_twice__changes_nothing),
        WORLD_TEST(finish__id_and_lock_of_its_own_tasks__may_be_used_again),
        WORLD_TEST(finish__alone__run_by_themselves_with_their_locks),
        WORLD_TEST(finish__delayed_or_grouped_again__goes_there),
        WORLD_TEST(finish__some_failed__stay_in_the_group_with_the_error),
        WORLD_TEST(back__nothing_went_wrong__can_be_taken_again),
        WORLD_TEST(back__failed__waits_and_says_why),
        WORLD_TEST(reclaim__set_has_not_ended__stays),
        WORLD_TEST(reclaim__holder_is_gone__tasks_are_in_their_named_group),
        WORLD_TEST(reclaim__group_that_failed_is_gone__is_forgotten),
        WORLD_TEST(extend__set_ends_later),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
