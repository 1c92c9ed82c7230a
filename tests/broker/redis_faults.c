/* Damaged keys: dangling ids, ghosts, wrong types, archives too large. */
#include "broker/redis_world.h"
#include "broker/inspect.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define T(id) ("asynq:{" Q "}:t:" id)
#define K(name) ("asynq:{" Q "}:" name)

static int64_t integer(const char *reply)
{
    assert_int_equal(reply[0], ':');
    return strtoll(reply + 1, NULL, 10);
}

static int settle_two(world *w, int codes[2])
{
    lq_outcome o[2], *list[2];
    static const char *const ids[] = {"a000", "a001"};
    lq_buf msg[2];
    for (size_t i = 0; i < 2; i++) {
        lq_buf_init(&msg[i], 0);
        o[i] = (lq_outcome){.kind = LQ_RETRY_AT,
                            .id = lq_str_c(ids[i]),
                            .token = w->token,
                            .msg = world_msg(&msg[i], ids[i]),
                            .delay_ms = 60000};
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
    int rc = world_call(w, &op.op);
    for (size_t i = 0; i < 2; i++) {
        codes[i] = o[i].code;
        lq_buf_release(&msg[i]);
    }
    lq_op_release(&op.op);
    return rc;
}

static void untold__note_of_long_ago__goes_with_the_next(void **state)
{
    world *w = *state;
    lq_op_cancel op = {.op.kind = LQ_OP_CANCEL,
                       .queue = LQ_STR(Q),
                       .id = LQ_STR("one"),
                       .reason = LQ_STR("why")};
    world_put(w, "one");
    (void)REDIS("ZADD", ("lunaq:{" Q "}:untold"), "1", "old");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
    assert_int_equal(integer(REDIS("ZCARD", "lunaq:{" Q "}:untold")), 1);
}

/* ---- dangling, ghosts, wrong types --------------------------------------- */

static void take__dangling_id__is_dropped_and_the_batch_goes_on(void **state)
{
    world *w = *state;
    world_put(w, "one");
    (void)REDIS("RPUSH", K("pending"), "gone");
    world_put(w, "two");
    assert_int_equal(world_take(w, 2), 2);
    assert_string_equal(w->step.taken[0].id.p, "one");
    assert_string_equal(w->step.taken[1].id.p, "two");
    assert_int_equal(integer(REDIS("EXISTS", T("gone"))), 0);
}

static void take__hash_without_message__is_removed(void **state)
{
    world *w = *state;
    (void)REDIS("HSET", T("ghost"), "state", "pending");
    (void)REDIS("RPUSH", K("pending"), "ghost");
    world_put(w, "one");
    world_take_id(w, "one");
    assert_int_equal(integer(REDIS("EXISTS", T("ghost"))), 0);
}

static void take__task_of_a_wrong_type__is_told_and_dropped(void **state)
{
    world *w = *state;
    (void)REDIS("SET", T("odd"), "x");
    (void)REDIS("RPUSH", K("pending"), "odd");
    world_put(w, "one");
    assert_int_equal(world_take(w, 2), 2);
    const lq_taken *odd = &w->step.taken[0], *one = &w->step.taken[1];
    assert_true(odd->bad);
    assert_string_equal(odd->id.p, "odd");
    assert_non_null(strstr(odd->msg.p, "WRONGTYPE"));
    assert_false(one->bad);
    assert_string_equal(one->id.p, "one");
    assert_int_equal(integer(REDIS("LLEN", K("active"))), 1);
    (void)REDIS("DEL", T("odd"));
}

static void take_one__task_of_a_wrong_type__is_told(void **state)
{
    world *w = *state;
    (void)REDIS("SET", T("odd"), "x");
    (void)REDIS("RPUSH", K("pending"), "odd");
    world_put(w, "one");
    assert_int_equal(world_take(w, 1), 2); /* it fills no slot */
    assert_true(w->step.taken[0].bad);
    assert_string_equal(w->step.taken[1].id.p, "one");
    (void)REDIS("DEL", T("odd"));
}

static void take_one__pending_of_a_wrong_type__is_told(void **state)
{
    world *w = *state;
    (void)REDIS("SET", K("pending"), "x");
    assert_int_equal(world_take(w, 1), 0);
    assert_int_equal(w->queues[0].code, LUNAQ_EREPLY);
    assert_non_null(strstr(w->queues[0].reason, "pending"));
    (void)REDIS("DEL", K("pending"));
}

static void take__undecodable_message__is_handed_out_raw(void **state)
{
    world *w = *state;
    (void)REDIS("HSET", T("odd"), "msg", "\x07nonsense", "state", "pending");
    (void)REDIS("RPUSH", K("pending"), "odd");
    world_take_id(w, "odd");
    assert_string_equal(w->step.taken[0].msg.p, "\x07nonsense");
    assert_false(w->step.taken[0].bad);
    /* Its taker archives it with a message that can be read. */
    assert_int_equal(world_end(w, LQ_ARCHIVE, "odd"), LUNAQ_OK);
}

static void take__pending_of_a_wrong_type__others_are_served(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    lq_step_queue queues[2] = {{.name = LQ_STR(Q), .want = 1},
                               {.name = LQ_STR("other"), .want = 1}};
    lq_op_step op = {.op.kind = LQ_OP_STEP,
                     .queues = queues,
                     .queue_count = 2,
                     .free = 5,
                     .token = w->token,
                     .lease_ms = 30000,
                     .now_ms = lq_now_ms()};
    t.type = "t";
    t.queue = "other";
    t.task_id = "one";
    (void)REDIS("SET", K("pending"), "x");
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.taken_count, 1);
    assert_int_equal(queues[0].code, LUNAQ_EREPLY);
    assert_non_null(strstr(queues[0].reason, "pending"));
    assert_int_equal(queues[1].code, LUNAQ_OK);
    lq_op_release(&op.op);
    /* An enqueue into the broken one is refused and leaves nothing. */
    assert_int_equal(world_put(w, "two"), LUNAQ_EREPLY);
    assert_int_equal(integer(REDIS("EXISTS", T("two"))), 0);
    (void)REDIS("DEL", K("pending"));
}

static void take__active_or_lease_of_a_wrong_type__takes_nothing(void **state)
{
    static const char *const keys[] = {K("active"), K("lease")};
    world *w = *state;
    world_put_many(w, 3);
    for (size_t i = 0; i < 2; i++) {
        (void)REDIS("SET", keys[i], "x");
        for (uint32_t n = 1; n <= 2; n++) { /* one has a script of its own */
            assert_int_equal(world_take(w, n), 0);
            assert_int_equal(w->queues[0].code, LUNAQ_EREPLY);
        }
        (void)REDIS("DEL", keys[i]);
    }
    assert_int_equal(world_take(w, 3), 3);
    assert_string_equal(w->step.taken[0].id.p, "a000");
    assert_string_equal(w->step.taken[2].id.p, "a002");
}

static void settle__target_of_a_wrong_type__changes_nothing(void **state)
{
    world *w = *state;
    int codes[2];
    world_put_many(w, 2);
    assert_int_equal(world_take(w, 2), 2);
    (void)REDIS("SET", K("retry"), "x");
    assert_int_equal(settle_two(w, codes), LUNAQ_OK);
    assert_int_equal(codes[0], LUNAQ_EREPLY);
    assert_int_equal(codes[1], LUNAQ_EREPLY);
    assert_int_equal(world_state(w, "a000"), LUNAQ_ACTIVE);
    (void)REDIS("DEL", K("retry"));
    assert_int_equal(settle_two(w, codes), LUNAQ_OK);
    assert_int_equal(codes[0], LUNAQ_OK);
    assert_int_equal(codes[1], LUNAQ_OK);
}

static void settle__task_of_a_wrong_type__answers_for_itself(void **state)
{
    world *w = *state;
    int codes[2];
    world_put_many(w, 2);
    assert_int_equal(world_take(w, 2), 2);
    (void)REDIS("DEL", T("a000"));
    (void)REDIS("SET", T("a000"), "x");
    assert_int_equal(settle_two(w, codes), LUNAQ_OK);
    assert_int_equal(codes[0], LUNAQ_EREPLY);
    assert_int_equal(codes[1], LUNAQ_OK);
    assert_int_equal(world_state(w, "a001"), LUNAQ_RETRY);
    w->broken = true;
}

static void settle__task_gone__is_not_found_and_leaves_no_trace(void **state)
{
    world *w = *state;
    int codes[2];
    world_put_many(w, 3);
    assert_int_equal(world_take(w, 3), 3);
    (void)REDIS("DEL", T("a000"), T("a002"));
    assert_int_equal(settle_two(w, codes), LUNAQ_OK);
    assert_int_equal(codes[0], LUNAQ_ENOTFOUND);
    assert_int_equal(codes[1], LUNAQ_OK);
    assert_int_equal(world_end(w, LQ_DONE, "a002"), LUNAQ_ENOTFOUND);
    assert_int_equal(integer(REDIS("EXISTS", K("active"), K("lease"))), 0);
}

static void crashed__count_is_no_number__starts_again(void **state)
{
    world *w = *state;
    world_put(w, "one");
    world_take_id(w, "one");
    (void)REDIS("HSET", T("one"), "lunaq_crashes", "many");
    assert_int_equal(world_end(w, LQ_CRASHED, "one"), LUNAQ_OK);
    world_take_id(w, "one");
    assert_int_equal(w->step.taken[0].crashes, 1);
}

/* Nor does it spoil the reply, with which the tasks beside it would be lost. */
static void take__odd_crash_counts__count_as_none(void **state)
{
    static const char *const odd[] = {"-5",  "1e300", "inf", "nan",
                                      "1.5", "",      "1e9", "4294967296"};
    static const int32_t counts[] = {0, 0, 0, 0, 1, 0, 1000000000, 0};
    world *w = *state;
    for (uint32_t n = 1; n <= 2; n++) { /* one has a script of its own */
        for (size_t i = 0; i < LQ_COUNT(odd); i++) {
            lq_op_expired op = {
                .op.kind = LQ_OP_EXPIRED, .queue = LQ_STR(Q), .limit = 9};
            world_put(w, "one");
            (void)REDIS("HSET", T("one"), "lunaq_crashes", odd[i]);
            w->lease_ms = -5000;
            assert_int_equal(world_take(w, n), 1);
            assert_string_equal(w->step.taken[0].id.p, "one");
            assert_int_equal(w->step.taken[0].crashes, counts[i]);
            assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
            assert_int_equal(op.count, 1);
            assert_int_equal(op.items[0].crashes, counts[i]);
            lq_op_release(&op.op);
            assert_int_equal(world_end(w, LQ_DONE, "one"), LUNAQ_OK);
        }
    }
}

static void take__canceled_in_an_earlier_life__is_not_canceled(void **state)
{
    world *w = *state;
    world_put(w, "one");
    (void)REDIS("HSET", T("one"), "lunaq_cancel", "by ann");
    world_take_id(w, "one");
    assert_int_equal(world_end(w, LQ_RETRY_AT, "one"), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_RETRY);
}

static void settle__lease_of_a_wrong_type__is_told(void **state)
{
    world *w = *state;
    world_put(w, "one");
    world_take_id(w, "one");
    (void)REDIS("RENAME", K("lease"), "kept");
    (void)REDIS("SET", K("lease"), "x");
    assert_int_equal(world_end(w, LQ_DONE, "one"), LUNAQ_EREPLY);
    assert_int_equal(w->queues[0].code, LUNAQ_EREPLY);
    (void)REDIS("RENAME", "kept", K("lease"));
    assert_int_equal(world_end(w, LQ_DONE, "one"), LUNAQ_OK);
}

static void cancel__a_key_of_a_wrong_type__changes_nothing(void **state)
{
    static const char *const keys[] = {K("archived"), K("groups")};
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    lq_op_cancel op = {
        .op.kind = LQ_OP_CANCEL, .queue = LQ_STR(Q), .id = LQ_STR("one")};
    t.type = "t";
    t.queue = Q;
    t.task_id = "one";
    t.group = "g";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    for (size_t i = 0; i < LQ_COUNT(keys); i++) {
        (void)REDIS("DEL", keys[i]);
        (void)REDIS("SET", keys[i], "x");
        assert_int_equal(world_call(w, &op.op), LUNAQ_EREPLY);
        assert_non_null(strstr(op.op.err.message, keys[i]));
        lq_op_release(&op.op);
        assert_int_equal(integer(REDIS("ZCARD", K("g:g"))), 1);
        (void)REDIS("DEL", keys[i]);
    }
    (void)REDIS("SADD", K("groups"), "g");
}

/* What is broken keeps nothing else from its time. */
static void forward__one_key_of_a_wrong_type__the_other_goes_on(void **state)
{
    static const char *const keys[] = {K("scheduled"), K("retry")};
    world *w = *state;
    for (size_t i = 0; i < LQ_COUNT(keys); i++) {
        lq_op_forward op = {.op.kind = LQ_OP_FORWARD, .queue = LQ_STR(Q)};
        world_put(w, "one");
        (void)REDIS("DEL", K("pending"));
        (void)REDIS("ZADD", keys[1 - i], "1", "one");
        (void)REDIS("SET", keys[i], "x");
        assert_int_equal(world_call(w, &op.op), LUNAQ_EREPLY);
        assert_non_null(strstr(op.op.err.message, keys[i]));
        lq_op_release(&op.op);
        (void)REDIS("DEL", keys[i]);
        world_take_id(w, "one");
        assert_int_equal(world_end(w, LQ_DONE, "one"), LUNAQ_OK);
    }
}

static void
clean__completed_of_a_wrong_type__the_archive_is_kept_short(void **state)
{
    world *w = *state;
    lq_queue_limits limits = {.archive_max = 1};
    lq_op_clean op = {
        .op.kind = LQ_OP_CLEAN, .queue = LQ_STR(Q), .limits = &limits};
    world_put_many(w, 2);
    assert_int_equal(world_take(w, 2), 2);
    assert_int_equal(world_end(w, LQ_ARCHIVE, "a000"), LUNAQ_OK);
    assert_int_equal(world_end(w, LQ_ARCHIVE, "a001"), LUNAQ_OK);
    (void)REDIS("SET", K("completed"), "x");
    assert_int_equal(world_call(w, &op.op), LUNAQ_EREPLY);
    lq_op_release(&op.op);
    (void)REDIS("DEL", K("completed"));
    assert_int_equal(integer(REDIS("ZCARD", K("archived"))), 1);
}

static void forward__dangling_id__is_dropped(void **state)
{
    world *w = *state;
    lq_op_forward op = {.op.kind = LQ_OP_FORWARD, .queue = LQ_STR(Q)};
    (void)REDIS("ZADD", K("scheduled"), "1", "gone");
    (void)REDIS("ZADD", K("retry"), "1", "gone2");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.moved, 0);
    assert_int_equal(op.next_ms, -1);
    lq_op_release(&op.op);
}

static void forward__more_than_a_batch__is_due_again_at_once(void **state)
{
    world *w = *state;
    lq_op_forward op = {.op.kind = LQ_OP_FORWARD, .queue = LQ_STR(Q)};
    world_put_many(w, 150);
    assert_int_equal(world_take(w, 100), 100);
    for (size_t i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof(id), "a%03zu", i);
        assert_int_equal(world_end(w, LQ_RETRY_AT, id), LUNAQ_OK);
        (void)REDIS("ZADD", K("retry"), "5", id);
    }
    assert_int_equal(world_take(w, 50), 50);
    for (size_t i = 100; i < 150; i++) {
        char id[16];
        snprintf(id, sizeof(id), "a%03zu", i);
        assert_int_equal(world_end(w, LQ_RETRY_AT, id), LUNAQ_OK);
        (void)REDIS("ZADD", K("retry"), "6", id);
    }
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.moved, 100);
    assert_int_equal(op.next_ms, 0);
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.moved, 50);
    assert_int_equal(op.next_ms, -1);
    assert_int_equal(integer(REDIS("HEXISTS", T("a000"), "pending_since")), 1);
    assert_int_equal(world_take(w, 1), 1);
    assert_string_equal(w->step.taken[0].id.p, "a000");
    lq_op_release(&op.op);
}

/* ---- repair -------------------------------------------------------------- */

static void repair__active_without_lease__gets_one(void **state)
{
    world *w = *state;
    lq_op_repair op = {.op.kind = LQ_OP_REPAIR, .queue = LQ_STR(Q)};
    world_put_many(w, 2);
    assert_int_equal(world_take(w, 2), 2);
    (void)REDIS("ZREM", K("lease"), "a000");
    (void)REDIS("HSET", T("a000"), "state", "pending");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.leased, 1);
    assert_int_equal(op.dropped, 0);
    /* An integer score: whoever holds it, a Go worker can finish it. */
    assert_null(strchr(REDIS("ZSCORE", K("lease"), "a000"), '.'));
    lq_op_release(&op.op);
}

static void repair__entries_without_task__are_dropped(void **state)
{
    world *w = *state;
    lq_op_repair op = {.op.kind = LQ_OP_REPAIR, .queue = LQ_STR(Q)};
    (void)REDIS("LPUSH", K("active"), "ghost");
    (void)REDIS("ZADD", K("lease"), "1", "ghost");
    (void)REDIS("HSET", T("ghost"), "state", "active");
    (void)REDIS("ZADD", K("lease"), "1", "gone");
    (void)REDIS("LPUSH", K("active"), "gone2");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.dropped, 3);
    lq_op_release(&op.op);
}

static void repair__lease_without_active__is_active_again(void **state)
{
    world *w = *state;
    lq_op_repair op = {.op.kind = LQ_OP_REPAIR, .queue = LQ_STR(Q)};
    world_put(w, "one");
    world_take_id(w, "one");
    (void)REDIS("DEL", K("active"));
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.leased, 1);
    assert_int_equal(world_end(w, LQ_DONE, "one"), LUNAQ_OK);
    lq_op_release(&op.op);
}

/* ---- Go's leases --------------------------------------------------------- */

static void expired__held_by_go__thirty_seconds_later(void **state)
{
    world *w = *state;
    char score[32];
    lq_op_expired op = {
        .op.kind = LQ_OP_EXPIRED, .queue = LQ_STR(Q), .limit = 10};
    world_put(w, "one");
    world_take_id(w, "one");
    int64_t now = lq_now_ms() / 1000;
    snprintf(score, sizeof(score), "%lld", (long long)now - 10);
    (void)REDIS("ZADD", K("lease"), score, "one");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.count, 0);
    assert_in_range(op.next_ms, 15000, 21000);
    snprintf(score, sizeof(score), "%lld", (long long)now - 31);
    (void)REDIS("ZADD", K("lease"), score, "one");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.count, 1);
    assert_int_equal(op.items[0].token, 0);
    assert_string_equal(op.items[0].score, score);
    /* Ours, from before Go took it, is too late. */
    assert_int_equal(world_end(w, LQ_DONE, "one"), LUNAQ_ELEASE);
    lq_outcome o = {
        .kind = LQ_CRASHED, .id = LQ_STR("one"), .score = op.items[0].score};
    assert_int_equal(world_settle(w, o), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_PENDING);
    lq_op_release(&op.op);
}

/* ---- archive ------------------------------------------------------------- */

/* n archived tasks that died at `score`, made by the server itself. */
static void fill_archive(const char *n, const char *score)
{
    static const char script[] =
        "for i = 1, tonumber(ARGV[1]) do "
        "local id = ARGV[2] .. '-' .. i "
        "redis.call('HSET', KEYS[2] .. id, 'msg', 'x', 'state', 'archived') "
        "redis.call('ZADD', KEYS[1], ARGV[2], id) end return 1";
    (void)REDIS("EVAL", script, "2", K("archived"), T(""), n, score);
}

static void archive__above_ten_thousand__keeps_ten_thousand(void **state)
{
    world *w = *state;
    char now[32];
    snprintf(now, sizeof(now), "%lld", (long long)lq_now_ms() / 1000 - 100);
    fill_archive("10100", now);
    world_put(w, "one");
    world_take_id(w, "one");
    assert_int_equal(world_end(w, LQ_ARCHIVE, "one"), LUNAQ_OK);
    assert_int_equal(integer(REDIS("ZCARD", K("archived"))), 10000);
    assert_string_equal(REDIS("GET", "lunaq:{" Q "}:dropped"), "$3\r\n101\r\n");
    assert_int_equal(world_state(w, "one"), LUNAQ_ARCHIVED);
}

/* In parts: no call is long. */
static void archive__nine_thousand_too_old__are_all_dropped(void **state)
{
    world *w = *state;
    lq_op_clean op = {.op.kind = LQ_OP_CLEAN, .queue = LQ_STR(Q)};
    fill_archive("9000", "1000");
    world_put(w, "one");
    world_take_id(w, "one");
    assert_int_equal(world_end(w, LQ_ARCHIVE, "one"), LUNAQ_OK);
    assert_int_equal(integer(REDIS("ZCARD", K("archived"))), 7001);
    do
        assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    while (op.more);
    assert_int_equal(integer(REDIS("ZCARD", K("archived"))), 1);
}

size_t redis_faults(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(untold__note_of_long_ago__goes_with_the_next),
        WORLD_TEST(take__dangling_id__is_dropped_and_the_batch_goes_on),
        WORLD_TEST(take__hash_without_message__is_removed),
        WORLD_TEST(take__task_of_a_wrong_type__is_told_and_dropped),
        WORLD_TEST(take__undecodable_message__is_handed_out_raw),
        WORLD_TEST(take__pending_of_a_wrong_type__others_are_served),
        WORLD_TEST(take__active_or_lease_of_a_wrong_type__takes_nothing),
        WORLD_TEST(settle__target_of_a_wrong_type__changes_nothing),
        WORLD_TEST(settle__task_of_a_wrong_type__answers_for_itself),
        WORLD_TEST(settle__task_gone__is_not_found_and_leaves_no_trace),
        WORLD_TEST(crashed__count_is_no_number__starts_again),
        WORLD_TEST(take__odd_crash_counts__count_as_none),
        WORLD_TEST(take__canceled_in_an_earlier_life__is_not_canceled),
        WORLD_TEST(settle__lease_of_a_wrong_type__is_told),
        WORLD_TEST(take_one__task_of_a_wrong_type__is_told),
        WORLD_TEST(take_one__pending_of_a_wrong_type__is_told),
        WORLD_TEST(cancel__a_key_of_a_wrong_type__changes_nothing),
        WORLD_TEST(forward__one_key_of_a_wrong_type__the_other_goes_on),
        WORLD_TEST(clean__completed_of_a_wrong_type__the_archive_is_kept_short),
        WORLD_TEST(forward__dangling_id__is_dropped),
        WORLD_TEST(forward__more_than_a_batch__is_due_again_at_once),
        WORLD_TEST(repair__active_without_lease__gets_one),
        WORLD_TEST(repair__entries_without_task__are_dropped),
        WORLD_TEST(repair__lease_without_active__is_active_again),
        WORLD_TEST(expired__held_by_go__thirty_seconds_later),
        WORLD_TEST(archive__above_ten_thousand__keeps_ten_thousand),
        WORLD_TEST(archive__nine_thousand_too_old__are_all_dropped),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
