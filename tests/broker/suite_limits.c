/* What a queue keeps of tasks that are over: its limits, who holds to them, and
 * what is counted. */
#include "broker/world.h"
#include "broker/inspect.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

static lq_op_clean clean(world *w, const lq_queue_limits *limits)
{
    lq_op_clean op = {
        .op.kind = LQ_OP_CLEAN, .queue = LQ_STR(Q), .limits = limits};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
    return op;
}

static void limit(world *w, int64_t archive_max, int64_t archive_ms,
                  int64_t completed_max)
{
    const lq_queue_limits l = {archive_max, archive_ms, completed_max};
    (void)clean(w, &l);
}

static void end_all(world *w, enum lq_outcome_kind kind, size_t n)
{
    char id[32];
    lq_buf msg;
    lq_buf_init(&msg, 0);
    assert_int_equal(world_take(w, (uint32_t)n), n);
    for (size_t i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "a%03zu", i);
        lq_outcome o = {.kind = kind,
                        .id = lq_str_c(id),
                        .msg = world_msg(&msg, id),
                        .retention_s = 3600};
        assert_int_equal(world_settle(w, o), LUNAQ_OK);
    }
    lq_buf_release(&msg);
}

static void archive__above_its_limit__drops_the_oldest(void **state)
{
    world *w = *state;
    world_put_many(w, 20);
    limit(w, 5, 0, 0);
    end_all(w, LQ_ARCHIVE, 20);
    assert_int_equal(world_stats(w).archived, 5);
    assert_int_equal(world_stats(w).dropped_total, 15);
}

static void archive__without_limit__keeps_all(void **state)
{
    world *w = *state;
    world_put_many(w, 20);
    limit(w, 5, 0, 0);
    limit(w, -1, -1, 0);
    end_all(w, LQ_ARCHIVE, 20);
    assert_int_equal(world_stats(w).archived, 20);
    assert_int_equal(world_stats(w).dropped_total, 0);
}

static void archive__too_old__is_dropped_by_the_janitor(void **state)
{
    world *w = *state;
    const lq_queue_limits second = {0, 1000, 0};
    world_put_many(w, 3);
    end_all(w, LQ_ARCHIVE, 3);
    int64_t until = lq_mono_ms() + 10000, dropped = 0;
    while (dropped < 3 && lq_mono_ms() < until)
        dropped += clean(w, &second).dropped;
    assert_int_equal(dropped, 3);
    assert_int_equal(world_stats(w).archived, 0);
    assert_int_equal(world_stats(w).dropped_total, 3);
    assert_int_equal(world_state(w, "a000"), LUNAQ_STATE_ANY);
}

static void dropped_task__gives_its_lock_back(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = "a000";
    t.unique_ms = 3600000;
    t.payload = "x";
    t.payload_len = 1;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    limit(w, 1, 0, 0);
    end_all(w, LQ_ARCHIVE, 1);
    t.task_id = "again";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EDUPLICATE);
    world_put(w, "a001");
    world_take_id(w, "a001");
    assert_int_equal(world_end(w, LQ_ARCHIVE, "a001"), LUNAQ_OK);
    assert_int_equal(world_state(w, "a000"), LUNAQ_STATE_ANY);
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
}

static void completed__above_their_limit__the_first_to_go_are_dropped(void **s)
{
    world *w = *s;
    world_put_many(w, 12);
    limit(w, 0, 0, 4);
    end_all(w, LQ_COMPLETE, 12);
    assert_int_equal(world_stats(w).completed, 4);
    assert_int_equal(world_stats(w).dropped_total, 8);
    assert_int_equal(world_stats(w).processed_total, 12);
}

static void limits__are_shown_and_forgotten(void **state)
{
    world *w = *state;
    world_put(w, "one");
    limit(w, 7, 86400000, -1);
    lunaq_queue_info info = world_stats(w);
    assert_int_equal(info.archive_max, 7);
    assert_int_equal(info.archive_ms, 86400000);
    assert_int_equal(info.completed_max, -1);
    (void)clean(w, NULL); /* says nothing: they stay */
    assert_int_equal(world_stats(w).archive_max, 7);
    limit(w, 0, 0, 0);
    info = world_stats(w);
    assert_int_equal(info.archive_max, 0);
    assert_int_equal(info.archive_ms, 0);
    assert_int_equal(info.completed_max, 0);
}

/* Whoever archives: a cancel of many waiting tasks, one by one. */
static void cancel__of_waiting_tasks__holds_to_the_limit(void **state)
{
    world *w = *state;
    char id[32];
    world_put_many(w, 9);
    limit(w, 2, 0, 0);
    for (int i = 0; i < 9; i++) {
        snprintf(id, sizeof(id), "a%03d", i);
        lq_op_cancel op = {.op.kind = LQ_OP_CANCEL,
                           .queue = LQ_STR(Q),
                           .id = lq_str_c(id),
                           .reason = LQ_STR("test")};
        assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
        lq_op_release(&op.op);
    }
    assert_int_equal(world_stats(w).archived, 2);
    assert_int_equal(world_stats(w).dropped_total, 7);
}

static void inspector__archiving_many__holds_to_the_limit(void **state)
{
    world *w = *state;
    lq_op_move_all op = {.op.kind = LQ_OP_MOVE_ALL,
                         .queue = LQ_STR(Q),
                         .state = LUNAQ_PENDING,
                         .move = LUNAQ_MOVE_ARCHIVE};
    world_put_many(w, 250);
    limit(w, 10, 0, 0);
    do {
        assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
        lq_op_release(&op.op);
    } while (op.more);
    assert_int_equal(world_stats(w).archived, 10);
    assert_int_equal(world_stats(w).dropped_total, 240);
}

/* Much more than one call may drop: the janitor is told to come again. */
static void lowered_limit__is_reached_in_parts(void **state)
{
    world *w = *state;
    const lq_queue_limits low = {3, 0, 0};
    lq_op_move_all op = {.op.kind = LQ_OP_MOVE_ALL,
                         .queue = LQ_STR(Q),
                         .state = LUNAQ_PENDING,
                         .move = LUNAQ_MOVE_ARCHIVE};
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    for (int i = 0; i < 2500; i++)
        assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    do {
        assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
        lq_op_release(&op.op);
    } while (op.more);
    assert_int_equal(world_stats(w).archived, 2500);
    lq_op_clean first = clean(w, &low);
    assert_true(first.more);
    assert_in_range(first.dropped, 1, 2496);
    while (clean(w, &low).more)
        ;
    assert_int_equal(world_stats(w).archived, 3);
    assert_int_equal(world_stats(w).dropped_total, 2497);
}

size_t suite_limits(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(archive__above_its_limit__drops_the_oldest),
        WORLD_TEST(archive__without_limit__keeps_all),
        WORLD_TEST(archive__too_old__is_dropped_by_the_janitor),
        WORLD_TEST(dropped_task__gives_its_lock_back),
        WORLD_TEST(completed__above_their_limit__the_first_to_go_are_dropped),
        WORLD_TEST(limits__are_shown_and_forgotten),
        WORLD_TEST(cancel__of_waiting_tasks__holds_to_the_limit),
        WORLD_TEST(inspector__archiving_many__holds_to_the_limit),
        WORLD_TEST(lowered_limit__is_reached_in_parts),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
