/* Tasks are taken: alone, from several queues, with one that ends. */
#include "broker/world.h"
#include "broker/inspect.h"

#include "base/clock.h"

#include <stdio.h>

/* ---- take ---------------------------------------------------------------- */

static void take__nothing_there__says_drained(void **state)
{
    world *w = *state;
    assert_int_equal(world_take(w, 5), 0);
    assert_true(w->queues[0].drained);
    assert_false(w->queues[0].paused);
}

static void take__several__oldest_first_with_their_messages(void **state)
{
    world *w = *state;
    world_put_many(w, 3);
    assert_int_equal(world_take(w, 2), 2);
    for (size_t i = 0; i < 2; i++) {
        char id[16];
        lq_task t;
        snprintf(id, sizeof(id), "a%03zu", i);
        assert_string_equal(w->step.taken[i].id.p, id);
        assert_int_equal(w->step.taken[i].crashes, 0);
        assert_false(w->step.taken[i].bad);
        assert_int_equal(lq_task_decode(&t, w->step.taken[i].msg, NULL), 0);
        assert_true(lq_str_eq(t.id, lq_str_c(id)));
        lq_task_release(&t);
        assert_int_equal(world_state(w, id), LUNAQ_ACTIVE);
    }
    assert_int_equal(world_state(w, "a002"), LUNAQ_PENDING);
}

static void take__a_hundred__is_one_call(void **state)
{
    world *w = *state;
    world_put_many(w, 120);
    assert_int_equal(world_take(w, 100), 100);
    assert_int_equal(world_take(w, 100), 20);
    assert_true(w->queues[0].drained);
}

static void take__paused__gives_nothing(void **state)
{
    world *w = *state;
    lq_op_queue_pause pause = {
        .op.kind = LQ_OP_QUEUE_PAUSE, .queue = LQ_STR(Q), .pause = true};
    assert_int_equal(world_put(w, "one"), LUNAQ_OK);
    assert_int_equal(world_call(w, &pause.op), LUNAQ_OK);
    assert_int_equal(world_take(w, 1), 0);
    assert_true(w->queues[0].paused);
    assert_int_equal(world_call(w, &pause.op), LUNAQ_ESTATE);
    pause.pause = false;
    assert_int_equal(world_call(w, &pause.op), LUNAQ_OK);
    world_take_id(w, "one");
    lq_op_release(&pause.op);
}

static void put_both(world *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lunaq_task t = LUNAQ_TASK_INIT;
        t.type = "t";
        t.queue = Q;
        assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
        t.queue = "other";
        assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    }
}

static void take__two_queues__wants_first_then_the_rest(void **state)
{
    world *w = *state;
    size_t from[2] = {0};
    lq_step_queue queues[2] = {{.name = LQ_STR(Q), .want = 1},
                               {.name = LQ_STR("other"), .want = 2}};
    lq_op_step op = {.op.kind = LQ_OP_STEP,
                     .queues = queues,
                     .queue_count = 2,
                     .free = 5,
                     .token = w->token,
                     .lease_ms = 30000,
                     .now_ms = lq_now_ms()};
    put_both(w, 4);
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.taken_count, 5);
    for (size_t i = 0; i < op.taken_count; i++)
        from[op.taken[i].queue]++;
    assert_int_equal(from[0], 3); /* 1 wanted, 2 of the rest in order */
    assert_int_equal(from[1], 2);
    lq_op_release(&op.op);
}

static void take__wants_more_than_free__stops_at_free(void **state)
{
    world *w = *state;
    lq_step_queue queues[2] = {{.name = LQ_STR(Q), .want = 3},
                               {.name = LQ_STR("other"), .want = 3}};
    lq_op_step op = {.op.kind = LQ_OP_STEP,
                     .queues = queues,
                     .queue_count = 2,
                     .free = 4,
                     .token = w->token,
                     .lease_ms = 30000,
                     .now_ms = lq_now_ms()};
    put_both(w, 4);
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.taken_count, 4);
    lq_op_release(&op.op);
}

/* ---- a worker with one slot ---------------------------------------------- */

/* Settles one of Q as done and takes one, wanted from `wanted`: 0 Q, 1 other.
 */
static lq_op_step step_one(world *w, lq_step_queue queues[2], lq_outcome *done,
                           int wanted)
{
    lq_outcome *outcomes[] = {done};
    queues[0] = (lq_step_queue){.name = LQ_STR(Q),
                                .want = wanted == 0,
                                .outcomes = outcomes,
                                .outcome_count = done ? 1 : 0};
    queues[1] = (lq_step_queue){.name = LQ_STR("other"), .want = wanted == 1};
    lq_op_step op = {.op.kind = LQ_OP_STEP,
                     .queues = queues,
                     .queue_count = 2,
                     .free = 1,
                     .token = w->token,
                     .lease_ms = 30000,
                     .now_ms = lq_now_ms()};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    return op;
}

static void step_one__ends_one_and_takes_the_next(void **state)
{
    world *w = *state;
    lq_step_queue queues[2];
    lq_outcome done = {
        .kind = LQ_DONE, .id = LQ_STR("a000"), .token = w->token};
    world_put_many(w, 3);
    world_take_id(w, "a000");
    for (int tail = 0; tail < 2; tail++) {
        done.from_tail = tail;
        done.id = tail ? LQ_STR("a001") : LQ_STR("a000");
        lq_op_step op = step_one(w, queues, &done, 0);
        assert_int_equal(done.code, LUNAQ_OK);
        assert_int_equal(op.taken_count, 1);
        assert_string_equal(op.taken[0].id.p, tail ? "a002" : "a001");
        assert_int_equal(op.taken[0].queue, 0);
        lq_op_release(&op.op);
    }
    lunaq_queue_info s = world_stats(w);
    assert_int_equal(s.processed_total, 2);
    assert_int_equal(s.active, 1);
    assert_int_equal(world_end(w, LQ_DONE, "a002"), LUNAQ_OK);
}

static void step_one__of_another_holder__ends_nothing_and_takes(void **state)
{
    world *w = *state;
    lq_step_queue queues[2];
    lq_outcome done = {
        .kind = LQ_DONE, .id = LQ_STR("a000"), .token = world_new_token(w)};
    world_put_many(w, 2);
    world_take_id(w, "a000");
    lq_op_step op = step_one(w, queues, &done, 0);
    assert_int_equal(done.code, LUNAQ_ELEASE);
    assert_int_equal(op.taken_count, 1);
    lq_op_release(&op.op);
    assert_int_equal(world_stats(w).active, 2);
    assert_int_equal(world_stats(w).processed_total, 0);
}

static void step_one__wanted_queue_first_then_the_others(void **state)
{
    static const size_t from[] = {1, 0};
    world *w = *state;
    lq_step_queue queues[2];
    put_both(w, 1);
    for (size_t i = 0; i < 2; i++) {
        lq_op_step op = step_one(w, queues, NULL, 1);
        assert_int_equal(op.taken_count, 1);
        assert_int_equal(op.taken[0].queue, from[i]);
        lq_op_release(&op.op);
    }
    lq_op_step op = step_one(w, queues, NULL, 1);
    assert_int_equal(op.taken_count, 0);
    assert_true(queues[0].drained && queues[1].drained);
    lq_op_release(&op.op);
}

static void step_one__paused__gives_nothing(void **state)
{
    world *w = *state;
    lq_step_queue queues[2];
    lq_op_queue_pause pause = {.queue = LQ_STR("other"), .pause = true};
    put_both(w, 2);
    lq_op_init(&pause.op, LQ_OP_QUEUE_PAUSE);
    assert_int_equal(world_call(w, &pause.op), LUNAQ_OK);
    lq_op_release(&pause.op);
    lq_op_step op = step_one(w, queues, NULL, 1);
    assert_true(queues[1].paused);
    assert_false(queues[0].paused);
    assert_int_equal(op.taken_count, 1);
    assert_int_equal(op.taken[0].queue, 0);
    lq_op_release(&op.op);
}

/* ---- capped queues ------------------------------------------------------- */

/* Takes up to `free` of Q, not more than `most`, and of "other". */
static lq_op_step step_capped(world *w, lq_step_queue queues[2], uint32_t free,
                              uint32_t most)
{
    uint32_t want = most < free ? most : free;
    queues[0] = (lq_step_queue){
        .name = LQ_STR(Q), .want = want, .capped = true, .most = most};
    queues[1] = (lq_step_queue){.name = LQ_STR("other")};
    lq_op_step op = {.op.kind = LQ_OP_STEP,
                     .queues = queues,
                     .queue_count = 2,
                     .free = free,
                     .token = w->token,
                     .lease_ms = 30000,
                     .now_ms = lq_now_ms()};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    return op;
}

static size_t taken_of(const lq_op_step *op, size_t queue)
{
    size_t n = 0;
    for (size_t i = 0; i < op->taken_count; i++)
        n += op->taken[i].queue == queue;
    return n;
}

static void take__capped_queue__gives_no_more_and_others_the_rest(void **state)
{
    static const uint32_t mosts[] = {3, 1, 0};
    world *w = *state;
    lq_step_queue queues[2];
    put_both(w, 30);
    for (size_t i = 0; i < LQ_COUNT(mosts); i++) {
        lq_op_step op = step_capped(w, queues, 8, mosts[i]);
        assert_int_equal(taken_of(&op, 0), mosts[i]);
        assert_int_equal(taken_of(&op, 1), 8 - mosts[i]);
        assert_false(queues[0].drained); /* it has more */
        lq_op_release(&op.op);
    }
    /* One at a time is another way through. */
    lq_op_step op = step_capped(w, queues, 1, 0);
    assert_int_equal(taken_of(&op, 0), 0);
    assert_int_equal(taken_of(&op, 1), 1);
    lq_op_release(&op.op);
}

static void take__capped_queue_alone__leaves_slots_free(void **state)
{
    world *w = *state;
    lq_step_queue queues[2];
    world_put_many(w, 9);
    lq_op_step op = step_capped(w, queues, 8, 2);
    assert_int_equal(op.taken_count, 2);
    assert_false(queues[0].drained);
    assert_true(queues[1].drained);
    lq_op_release(&op.op);
    op = step_capped(w, queues, 8, 8);
    assert_int_equal(op.taken_count, 7);
    assert_true(queues[0].drained);
    lq_op_release(&op.op);
}

size_t suite_take(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(take__nothing_there__says_drained),
        WORLD_TEST(take__several__oldest_first_with_their_messages),
        WORLD_TEST(take__a_hundred__is_one_call),
        WORLD_TEST(take__paused__gives_nothing),
        WORLD_TEST(take__two_queues__wants_first_then_the_rest),
        WORLD_TEST(take__wants_more_than_free__stops_at_free),
        WORLD_TEST(step_one__ends_one_and_takes_the_next),
        WORLD_TEST(step_one__of_another_holder__ends_nothing_and_takes),
        WORLD_TEST(step_one__wanted_queue_first_then_the_others),
        WORLD_TEST(step_one__paused__gives_nothing),
        WORLD_TEST(take__capped_queue__gives_no_more_and_others_the_rest),
        WORLD_TEST(take__capped_queue_alone__leaves_slots_free),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
