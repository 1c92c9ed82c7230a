/* Groups in Redis as Asynq's servers see and leave them. */
#include "broker/redis_world.h"

#include "base/clock.h"
#include "broker/group.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define K(name) ("asynq:{" Q "}:" name)
#define SET "0193b9a0-0000-7000-8000-000000000001"

static void put_in(world *w, const char *group, const char *id)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = id;
    t.group = group;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
}

static void expect(const char *reply, const char *text)
{
    assert_string_equal(reply, text);
}

static void take(world *w, int64_t ttl_ms)
{
    lq_op_group_take op = {.op.kind = LQ_OP_GROUP_TAKE,
                           .queue = LQ_STR(Q),
                           .group = LQ_STR("a:b"),
                           .set_id = LQ_STR(SET),
                           .ttl_ms = ttl_ms};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.count, 1);
    lq_op_release(&op.op);
}

static void reclaim(world *w)
{
    lq_op_group_reclaim op = {.op.kind = LQ_OP_GROUP_RECLAIM,
                              .queue = LQ_STR(Q)};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
}

/* As Asynq's: the set's key has the group and an id, its end is in the zset of
 * sets as whole seconds, and a group without tasks has no name. */
static void bytes__set__has_asynqs_keys(void **state)
{
    world *w = *state;
    put_in(w, "a:b", "one");
    take(w, 120000);
    expect(REDIS("EXISTS", K("g:a:b")), ":0\r\n");
    expect(REDIS("SISMEMBER", K("groups"), "a:b"), ":0\r\n");
    expect(REDIS("ZCARD", K("g:a:b:" SET)), ":1\r\n");
    double kept =
        strtod(strchr(REDIS("ZSCORE", K("g:a:b:" SET), "one"), '\n'), NULL);
    assert_true(kept > 1e9 && (double)(int64_t)kept == kept);
    double end = strtod(
        strchr(REDIS("ZSCORE", K("aggregation_sets"), K("g:a:b:" SET)), '\n'),
        NULL);
    assert_true((double)(int64_t)end == end);
    assert_in_range((int64_t)end - (int64_t)time(NULL), 90, 122);
    expect(REDIS("HGET", K("t:one"), "state"), "$11\r\naggregating\r\n");
}

/* Asynq's recoverer puts a set back and forgets to announce its group. */
static void reclaim__put_back_by_asynq__group_is_announced(void **state)
{
    world *w = *state;
    put_in(w, "a:b", "one");
    take(w, 120000);
    reclaim(w); /* sees the set */
    (void)REDIS("RENAME", K("g:a:b:" SET), K("g:a:b"));
    (void)REDIS("ZREM", K("aggregation_sets"), K("g:a:b:" SET));
    expect(REDIS("SCARD", K("groups")), ":0\r\n");
    reclaim(w);
    expect(REDIS("SISMEMBER", K("groups"), "a:b"), ":1\r\n");
    /* And nothing is announced that is not there. */
    (void)REDIS("SREM", K("groups"), "a:b");
    reclaim(w);
    expect(REDIS("SCARD", K("groups")), ":0\r\n");
    (void)REDIS("SADD", K("groups"), "a:b");
}

/* What cannot be a set is dropped from the sets, and harms no other. */
static void reclaim__odd_sets__are_dropped(void **state)
{
    world *w = *state;
    put_in(w, "a:b", "one");
    take(w, 0);
    (void)REDIS("ZADD", K("aggregation_sets"), "1", "nonsense");
    (void)REDIS("ZADD", K("aggregation_sets"), "1", K("g:gone:id"));
    (void)REDIS("SET", K("g:text:id"), "x");
    (void)REDIS("ZADD", K("aggregation_sets"), "1", K("g:text:id"));
    int64_t until = lq_mono_ms() + 20000;
    while (strcmp(REDIS("ZCARD", K("aggregation_sets")), ":0\r\n") != 0 &&
           lq_mono_ms() < until) {
        reclaim(w);
        (void)poll(NULL, 0, 20);
    }
    expect(REDIS("ZCARD", K("aggregation_sets")), ":0\r\n");
    expect(REDIS("SMEMBERS", K("groups")), "*1\r\n$3\r\na:b\r\n");
    (void)REDIS("DEL", K("g:text:id"));
}

/* Whatever is wrong with the group's keys: the tasks of its set stay in it,
 * other groups go on, and it is told; mended, they come back. */
static void
reclaim__key_of_the_group_has_a_wrong_type__loses_nothing(void **state)
{
    static const char *const broken[] = {K("g:a:b"), K("groups")};
    world *w = *state;
    for (size_t i = 0; i < LQ_COUNT(broken); i++) {
        lq_op_group_reclaim op = {.op.kind = LQ_OP_GROUP_RECLAIM,
                                  .queue = LQ_STR(Q)};
        (void)REDIS("FLUSHALL");
        put_in(w, "a:b", "one");
        take(w, 120000);
        (void)REDIS("ZADD", K("aggregation_sets"), "1", K("g:a:b:" SET));
        (void)REDIS("DEL", broken[i]);
        (void)REDIS("SET", broken[i], "x");
        (void)REDIS("SADD", "lunaq:{" Q "}:sets", "a:b");
        assert_int_equal(world_call(w, &op.op), LUNAQ_EREPLY);
        assert_non_null(strstr(op.op.err.message, "a:b"));
        lq_op_release(&op.op);
        expect(REDIS("ZCARD", K("g:a:b:" SET)), ":1\r\n");
        expect(REDIS("ZCARD", K("aggregation_sets")), ":1\r\n");
        /* It does not stand in the way of others. */
        reclaim(w);
        (void)REDIS("DEL", broken[i]);
        (void)REDIS("ZADD", K("aggregation_sets"), "1", K("g:a:b:" SET));
        reclaim(w);
        expect(REDIS("ZCARD", K("g:a:b")), ":1\r\n");
        expect(REDIS("SISMEMBER", K("groups"), "a:b"), ":1\r\n");
        expect(REDIS("EXISTS", K("aggregation_sets")), ":0\r\n");
    }
}

/* All of it or nothing, also of what is lunaq's own. */
static void finish__own_key_of_a_wrong_type__changes_nothing(void **state)
{
    world *w = *state;
    lq_op_group_finish op = {.op.kind = LQ_OP_GROUP_FINISH,
                             .queue = LQ_STR(Q),
                             .group = LQ_STR("a:b"),
                             .set_id = LQ_STR(SET),
                             .now_ms = lq_now_ms()};
    lq_op_group_back back = {.op.kind = LQ_OP_GROUP_BACK,
                             .queue = LQ_STR(Q),
                             .group = LQ_STR("a:b"),
                             .set_id = LQ_STR(SET),
                             .error = LQ_STR("no")};
    put_in(w, "a:b", "one");
    take(w, 120000);
    (void)REDIS("SET", "lunaq:{" Q "}:groups", "x");
    assert_int_equal(world_call(w, &op.op), LUNAQ_EREPLY);
    assert_non_null(strstr(op.op.err.message, "lunaq:{" Q "}:groups"));
    assert_int_equal(world_call(w, &back.op), LUNAQ_EREPLY);
    expect(REDIS("ZCARD", K("g:a:b:" SET)), ":1\r\n");
    assert_int_equal(world_state(w, "one"), LUNAQ_AGGREGATING);
    (void)REDIS("DEL", "lunaq:{" Q "}:groups");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
    lq_op_release(&back.op);
}

/* Asynq's client notes the group of a scheduled task in its message only. */
static void forward__scheduled_by_asynq_with_a_group__joins_it(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = "one";
    t.group = "a:b";
    t.process_in_ms = 100;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    expect(REDIS("HDEL", K("t:one"), "lunaq_group"), ":1\r\n");
    int64_t until = lq_mono_ms() + 20000;
    lq_op_forward op = {.op.kind = LQ_OP_FORWARD, .queue = LQ_STR(Q)};
    do {
        assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
        lq_op_release(&op.op);
        (void)poll(NULL, 0, 20);
    } while (op.moved == 0 && lq_mono_ms() < until);
    assert_int_equal(world_state(w, "one"), LUNAQ_AGGREGATING);
    expect(REDIS("SISMEMBER", K("groups"), "a:b"), ":1\r\n");
    expect(REDIS("HGET", K("t:one"), "group"), "$3\r\na:b\r\n");
}

size_t redis_groups(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(bytes__set__has_asynqs_keys),
        WORLD_TEST(reclaim__put_back_by_asynq__group_is_announced),
        WORLD_TEST(reclaim__odd_sets__are_dropped),
        WORLD_TEST(reclaim__key_of_the_group_has_a_wrong_type__loses_nothing),
        WORLD_TEST(finish__own_key_of_a_wrong_type__changes_nothing),
        WORLD_TEST(forward__scheduled_by_asynq_with_a_group__joins_it),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
