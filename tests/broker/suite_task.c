/* What becomes of a task that was taken: each way to end it. */
#include "broker/world.h"
#include "broker/inspect.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

static lunaq_task plain(const char *id)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = id;
    return t;
}

static void done__active__is_deleted_and_counted(void **state)
{
    world *w = *state;
    world_put(w, "one");
    world_take_id(w, "one");
    assert_int_equal(world_end(w, LQ_DONE, "one"), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_STATE_ANY);
    lunaq_queue_info s = world_stats(w);
    assert_int_equal(s.processed_today, 1);
    assert_int_equal(s.processed_total, 1);
    assert_int_equal(s.failed_total, 0);
    assert_int_equal(s.active, 0);
}

static void done__unique__releases_the_lock(void **state)
{
    world *w = *state;
    lunaq_task t = plain("one");
    char key[LUNAQ_NAME_MAX * 2 + 80];
    t.unique_ms = 60000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    world_take_id(w, "one");
    lq_unique_key(key, LQ_STR(Q), LQ_STR("t"), (lq_str){0});
    lq_outcome o = {
        .kind = LQ_DONE, .id = LQ_STR("one"), .unique_key = lq_str_c(key)};
    assert_int_equal(world_settle(w, o), LUNAQ_OK);
    t.task_id = "two";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
}

static void done__lock_of_another__is_left_alone(void **state)
{
    world *w = *state;
    lunaq_task t = plain("one");
    char key[LUNAQ_NAME_MAX * 2 + 80];
    t.unique_ms = 60000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    world_put(w, "two");
    lq_unique_key(key, LQ_STR(Q), LQ_STR("t"), (lq_str){0});
    assert_int_equal(world_take(w, 2), 2);
    lq_outcome o = {
        .kind = LQ_DONE, .id = LQ_STR("two"), .unique_key = lq_str_c(key)};
    assert_int_equal(world_settle(w, o), LUNAQ_OK);
    t.task_id = "three";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EDUPLICATE);
}

static void archive__unique__keeps_the_lock(void **state)
{
    world *w = *state;
    lunaq_task t = plain("one");
    char key[LUNAQ_NAME_MAX * 2 + 80];
    lq_buf msg;
    t.unique_ms = 60000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    world_take_id(w, "one");
    lq_unique_key(key, LQ_STR(Q), LQ_STR("t"), (lq_str){0});
    lq_buf_init(&msg, 0);
    lq_outcome o = {.kind = LQ_ARCHIVE,
                    .id = LQ_STR("one"),
                    .msg = world_msg(&msg, "one"),
                    .unique_key = lq_str_c(key)};
    assert_int_equal(world_settle(w, o), LUNAQ_OK);
    lq_buf_release(&msg);
    t.task_id = "two";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EDUPLICATE);
}

static void complete__keeps_it_with_its_result(void **state)
{
    world *w = *state;
    lq_op_task_get get;
    lq_buf msg;
    world_put(w, "one");
    world_take_id(w, "one");
    lq_buf_init(&msg, 0);
    lq_outcome o = {.kind = LQ_COMPLETE,
                    .id = LQ_STR("one"),
                    .msg = world_msg(&msg, "one"),
                    .result = LQ_STR("{\"a\":1}"),
                    .retention_s = 3600};
    assert_int_equal(world_settle(w, o), LUNAQ_OK);
    const lq_task_row *row = world_row(w, "one", &get);
    assert_int_equal(row->state, LUNAQ_COMPLETED);
    assert_true(lq_str_eq(row->result, o.result));
    assert_true(lq_str_eq(row->msg, o.msg));
    assert_in_range(row->at_ms, lq_now_ms() + 3590000, lq_now_ms() + 3610000);
    lq_op_release(&get.op);
    lq_buf_release(&msg);
    assert_int_equal(world_stats(w).processed_total, 1);
}

/* Whoever wrote the message: it is kept, and not taken for long over. */
static void complete__retention_without_end__is_kept(void **state)
{
    world *w = *state;
    lq_buf msg;
    lq_op_clean clean = {.op.kind = LQ_OP_CLEAN, .queue = LQ_STR(Q)};
    lq_op_forward forward = {.op.kind = LQ_OP_FORWARD, .queue = LQ_STR(Q)};
    world_put_many(w, 3);
    assert_int_equal(world_take(w, 3), 3);
    lq_buf_init(&msg, 0);
    lq_outcome kept = {.kind = LQ_COMPLETE,
                       .id = LQ_STR("a000"),
                       .msg = world_msg(&msg, "a000"),
                       .retention_s = INT64_MAX};
    lq_outcome later = {
        .kind = LQ_SNOOZE, .id = LQ_STR("a001"), .delay_ms = INT64_MAX};
    assert_int_equal(world_settle(w, kept), LUNAQ_OK);
    assert_int_equal(world_settle(w, later), LUNAQ_OK);
    later = (lq_outcome){.kind = LQ_RETRY_AT,
                         .id = LQ_STR("a002"),
                         .msg = world_msg(&msg, "a002"),
                         .delay_ms = INT64_MAX - 5};
    assert_int_equal(world_settle(w, later), LUNAQ_OK);
    lq_buf_release(&msg);
    assert_int_equal(world_call(w, &clean.op), LUNAQ_OK);
    assert_int_equal(clean.deleted, 0);
    assert_int_equal(world_call(w, &forward.op), LUNAQ_OK);
    assert_int_equal(forward.moved, 0);
    assert_true(forward.next_ms > 0);
    lq_op_release(&clean.op);
    lq_op_release(&forward.op);
}

static void retry__failure__waits_and_counts(void **state)
{
    world *w = *state;
    lq_op_task_get get;
    lq_buf msg;
    world_put(w, "one");
    world_take_id(w, "one");
    lq_buf_init(&msg, 0);
    int64_t before = lq_now_ms();
    assert_int_equal(world_end(w, LQ_RETRY_AT, "one"), LUNAQ_OK);
    const lq_task_row *row = world_row(w, "one", &get);
    assert_int_equal(row->state, LUNAQ_RETRY);
    assert_true(lq_str_eq(row->msg, world_msg(&msg, "one")));
    assert_in_range(row->at_ms, before + 60000, before + 62000);
    lq_op_release(&get.op);
    lq_buf_release(&msg);
    assert_int_equal(world_stats(w).processed_total, 1);
    assert_int_equal(world_stats(w).failed_total, 1);
}

static void retry__no_failure__counts_nothing(void **state)
{
    world *w = *state;
    lq_buf msg;
    world_put(w, "one");
    world_take_id(w, "one");
    lq_buf_init(&msg, 0);
    lq_outcome o = {.kind = LQ_RETRY_AT,
                    .id = LQ_STR("one"),
                    .msg = world_msg(&msg, "one"),
                    .delay_ms = 1000};
    assert_int_equal(world_settle(w, o), LUNAQ_OK);
    lq_buf_release(&msg);
    assert_int_equal(world_stats(w).processed_total, 0);
    assert_int_equal(world_stats(w).failed_total, 0);
}

static void archive__keeps_it_and_counts(void **state)
{
    world *w = *state;
    world_put(w, "one");
    world_take_id(w, "one");
    assert_int_equal(world_end(w, LQ_ARCHIVE, "one"), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_ARCHIVED);
    assert_int_equal(world_stats(w).processed_total, 1);
    assert_int_equal(world_stats(w).failed_total, 1);
}

static void requeue__is_next_to_run_and_counts_nothing(void **state)
{
    world *w = *state;
    world_put_many(w, 3);
    assert_int_equal(world_take(w, 2), 2);
    assert_int_equal(world_end(w, LQ_REQUEUE, "a000"), LUNAQ_OK);
    assert_int_equal(world_stats(w).processed_total, 0);
    world_take_id(w, "a000");
    assert_int_equal(w->step.taken[0].crashes, 0);
}

/* Since it came back, not for ever. */
static void give_back__tells_since_when_it_waits(void **state)
{
    static const enum lq_outcome_kind kinds[] = {LQ_REQUEUE, LQ_CRASHED};
    world *w = *state;
    world_put(w, "one");
    for (size_t i = 0; i <= LQ_COUNT(kinds); i++) {
        lq_op_task_get get;
        lq_op_reconcile op = {.op.kind = LQ_OP_RECONCILE,
                              .queue = LQ_STR(Q),
                              .old_token = w->token};
        world_take_id(w, "one");
        int64_t before = lq_now_ms();
        if (i < LQ_COUNT(kinds))
            assert_int_equal(world_end(w, kinds[i], "one"), LUNAQ_OK);
        else
            assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
        const lq_task_row *row = world_row(w, "one", &get);
        assert_int_equal(row->state, LUNAQ_PENDING);
        assert_in_range(row->since_ms, before - 1, lq_now_ms() + 1);
        lq_op_release(&get.op);
        lq_op_release(&op.op);
    }
}

static void requeue__several__keep_their_order(void **state)
{
    world *w = *state;
    lq_outcome o[3], *list[3];
    char ids[3][8];
    world_put_many(w, 5);
    assert_int_equal(world_take(w, 3), 3);
    for (size_t i = 0; i < 3; i++) {
        snprintf(ids[i], sizeof(ids[i]), "a%03zu", i);
        o[i] = (lq_outcome){.kind = LQ_REQUEUE,
                            .id = lq_str_c(ids[i]),
                            .token = w->token,
                            .from_tail = true};
        list[i] = &o[i];
    }
    /* In the same move: what is given back is there to be taken. */
    lq_step_queue queue = {
        .name = LQ_STR(Q), .want = 4, .outcomes = list, .outcome_count = 3};
    lq_op_step op = {.op.kind = LQ_OP_STEP,
                     .queues = &queue,
                     .queue_count = 1,
                     .free = 4,
                     .token = w->token,
                     .lease_ms = 30000,
                     .now_ms = lq_now_ms()};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.taken_count, 4);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(o[i].code, LUNAQ_OK);
        assert_string_equal(op.taken[i].id.p, ids[i]);
    }
    assert_string_equal(op.taken[3].id.p, "a003");
    lq_op_release(&op.op);
}

static void snooze__is_scheduled_and_counts_nothing(void **state)
{
    world *w = *state;
    world_put(w, "one");
    world_take_id(w, "one");
    assert_int_equal(world_end(w, LQ_SNOOZE, "one"), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_SCHEDULED);
    assert_int_equal(world_stats(w).processed_total, 0);
}

static void discard__is_deleted_and_counted(void **state)
{
    world *w = *state;
    world_put(w, "one");
    world_take_id(w, "one");
    assert_int_equal(world_end(w, LQ_DISCARD, "one"), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_STATE_ANY);
    assert_int_equal(world_stats(w).processed_total, 1);
}

static void crashed__is_pending_with_its_count(void **state)
{
    world *w = *state;
    world_put(w, "one");
    for (int i = 0; i < 3; i++) {
        world_take_id(w, "one");
        assert_int_equal(w->step.taken[0].crashes, i);
        assert_int_equal(world_end(w, LQ_CRASHED, "one"), LUNAQ_OK);
    }
    /* A normal end resets it … */
    world_take_id(w, "one");
    assert_int_equal(w->step.taken[0].crashes, 3);
    assert_int_equal(world_end(w, LQ_REQUEUE, "one"), LUNAQ_OK);
    world_take_id(w, "one");
    assert_int_equal(w->step.taken[0].crashes, 0);
    /* … unless it was not quite one. */
    assert_int_equal(world_end(w, LQ_CRASHED, "one"), LUNAQ_OK);
    world_take_id(w, "one");
    lq_outcome o = {
        .kind = LQ_REQUEUE, .id = LQ_STR("one"), .keep_crashes = true};
    assert_int_equal(world_settle(w, o), LUNAQ_OK);
    world_take_id(w, "one");
    assert_int_equal(w->step.taken[0].crashes, 1);
}

static void batch__of_all_kinds__each_is_carried_out(void **state)
{
    world *w = *state;
    static const lunaq_state after[] = {
        [LQ_DONE] = LUNAQ_STATE_ANY,    [LQ_COMPLETE] = LUNAQ_COMPLETED,
        [LQ_RETRY_AT] = LUNAQ_RETRY,    [LQ_ARCHIVE] = LUNAQ_ARCHIVED,
        [LQ_REQUEUE] = LUNAQ_PENDING,   [LQ_SNOOZE] = LUNAQ_SCHEDULED,
        [LQ_CRASHED] = LUNAQ_PENDING,   [LQ_DISCARD] = LUNAQ_STATE_ANY,
        [LQ_DISCARD + 1] = LUNAQ_ACTIVE};
    enum { N = LQ_DISCARD + 1 };
    lq_outcome o[N], *list[N];
    char ids[N][8];
    lq_buf msg[N];
    world_put_many(w, N);
    assert_int_equal(world_take(w, N), N);
    for (size_t i = 0; i < N; i++) {
        snprintf(ids[i], sizeof(ids[i]), "a%03zu", i);
        lq_buf_init(&msg[i], 0);
        o[i] = (lq_outcome){.kind = (enum lq_outcome_kind)(i + 1),
                            .id = lq_str_c(ids[i]),
                            .token = w->token,
                            .from_tail = i % 2 == 0,
                            .delay_ms = 5000,
                            .retention_s = 5};
        if (o[i].kind == LQ_COMPLETE || o[i].kind == LQ_RETRY_AT ||
            o[i].kind == LQ_ARCHIVE)
            o[i].msg = world_msg(&msg[i], ids[i]);
        list[i] = &o[i];
    }
    /* The last is somebody else's. */
    o[N - 1].kind = LQ_DONE;
    o[N - 1].token = w->token % 1000 + 1;
    if (o[N - 1].token == w->token)
        o[N - 1].token++;
    lq_step_queue queue = {
        .name = LQ_STR(Q), .outcomes = list, .outcome_count = N};
    lq_op_step op = {.op.kind = LQ_OP_STEP,
                     .queues = &queue,
                     .queue_count = 1,
                     .token = w->token,
                     .lease_ms = 30000,
                     .now_ms = lq_now_ms()};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(o[i].code, i == N - 1 ? LUNAQ_ELEASE : LUNAQ_OK);
        assert_int_equal(world_state(w, ids[i]), after[i + 1]);
        lq_buf_release(&msg[i]);
    }
    lq_op_release(&op.op);
}

static void batch__one_id_twice__ends_it_once(void **state)
{
    world *w = *state;
    lq_outcome o[2], *list[2];
    world_put(w, "one");
    world_take_id(w, "one");
    for (size_t i = 0; i < 2; i++) {
        o[i] = (lq_outcome){
            .kind = LQ_DONE, .id = LQ_STR("one"), .token = w->token};
        list[i] = &o[i];
    }
    lq_step_queue queue = {
        .name = LQ_STR(Q), .outcomes = list, .outcome_count = 2};
    lq_op_step op = {.op.kind = LQ_OP_STEP,
                     .queues = &queue,
                     .queue_count = 1,
                     .token = w->token,
                     .lease_ms = 30000,
                     .now_ms = lq_now_ms()};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(o[0].code, LUNAQ_OK);
    assert_int_equal(o[1].code, LUNAQ_ELEASE);
    lq_op_release(&op.op);
    assert_int_equal(world_stats(w).processed_total, 1);
}

static void end__never_taken__is_not_ours(void **state)
{
    world *w = *state;
    world_put(w, "one");
    for (int kind = LQ_DONE; kind <= LQ_DISCARD; kind++)
        assert_int_equal(world_end(w, (enum lq_outcome_kind)kind, "one"),
                         LUNAQ_ELEASE);
    assert_int_equal(world_end(w, LQ_DONE, "nowhere"), LUNAQ_ELEASE);
    assert_int_equal(world_state(w, "one"), LUNAQ_PENDING);
    assert_int_equal(world_stats(w).processed_total, 0);
}

static void result__of_its_holder__is_stored(void **state)
{
    world *w = *state;
    lq_op_task_get get;
    world_put(w, "one");
    lq_op_result op = {.op.kind = LQ_OP_RESULT,
                       .queue = LQ_STR(Q),
                       .id = LQ_STR("one"),
                       .token = w->token,
                       .data = LQ_STR("half way")};
    assert_int_equal(world_call(w, &op.op), LUNAQ_ELEASE);
    world_take_id(w, "one");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    const lq_task_row *row = world_row(w, "one", &get);
    assert_true(lq_str_eq(row->result, op.data));
    lq_op_release(&get.op);
    op.id = LQ_STR("nowhere");
    assert_int_equal(world_call(w, &op.op), LUNAQ_ELEASE);
    assert_int_equal(world_state(w, "nowhere"), LUNAQ_STATE_ANY);
    lq_op_release(&op.op);
}

size_t suite_task(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(done__active__is_deleted_and_counted),
        WORLD_TEST(done__unique__releases_the_lock),
        WORLD_TEST(done__lock_of_another__is_left_alone),
        WORLD_TEST(archive__unique__keeps_the_lock),
        WORLD_TEST(complete__keeps_it_with_its_result),
        WORLD_TEST(complete__retention_without_end__is_kept),
        WORLD_TEST(retry__failure__waits_and_counts),
        WORLD_TEST(retry__no_failure__counts_nothing),
        WORLD_TEST(archive__keeps_it_and_counts),
        WORLD_TEST(requeue__is_next_to_run_and_counts_nothing),
        WORLD_TEST(give_back__tells_since_when_it_waits),
        WORLD_TEST(requeue__several__keep_their_order),
        WORLD_TEST(snooze__is_scheduled_and_counts_nothing),
        WORLD_TEST(discard__is_deleted_and_counted),
        WORLD_TEST(crashed__is_pending_with_its_count),
        WORLD_TEST(batch__of_all_kinds__each_is_carried_out),
        WORLD_TEST(batch__one_id_twice__ends_it_once),
        WORLD_TEST(end__never_taken__is_not_ours),
        WORLD_TEST(result__of_its_holder__is_stored),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
