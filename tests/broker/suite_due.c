/* What comes due, and what is published: forward, clean, peek, wait, cron,
 * heartbeat. */
#include "broker/world.h"
#include "broker/inspect.h"

#include "base/clock.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static lq_op_forward forward(world *w)
{
    lq_op_forward op = {.op.kind = LQ_OP_FORWARD, .queue = LQ_STR(Q)};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
    return op;
}

/* Forwards when the broker says that something is due, until n were moved. */
static void forward_until(world *w, int64_t n)
{
    int64_t deadline = lq_mono_ms() + 5000, moved = 0;
    while (moved < n && lq_mono_ms() < deadline) {
        lq_op_forward op = forward(w);
        moved += op.moved;
        if (moved < n) {
            assert_true(op.next_ms >= 0);
            (void)poll(NULL, 0, (int)op.next_ms);
        }
    }
    assert_int_equal(moved, n);
}

static void forward__nothing__has_no_next(void **state)
{
    lq_op_forward op = forward(*state);
    assert_int_equal(op.moved, 0);
    assert_int_equal(op.next_ms, -1);
}

static void forward__not_due__says_when(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.process_in_ms = 60000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    lq_op_forward op = forward(w);
    assert_int_equal(op.moved, 0);
    assert_in_range(op.next_ms, 58000, 61000);
}

static void forward__due__is_pending_and_never_early(void **state)
{
    world *w = *state;
    lq_buf msg;
    lunaq_task t = LUNAQ_TASK_INIT;
    lq_buf_init(&msg, 0);
    world_put(w, "one");
    world_take_id(w, "one");
    int64_t from = lq_now_ms();
    lq_outcome o = {.kind = LQ_RETRY_AT,
                    .id = LQ_STR("one"),
                    .msg = world_msg(&msg, "one"),
                    .delay_ms = 100};
    assert_int_equal(world_settle(w, o), LUNAQ_OK);
    lq_buf_release(&msg);
    int64_t due = lq_now_ms() + 150;
    t.type = "t";
    t.queue = Q;
    t.task_id = "two";
    t.process_at = due;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    forward_until(w, 2);
    assert_true(lq_now_ms() >= due);
    assert_int_equal(world_state(w, "one"), LUNAQ_PENDING);
    assert_int_equal(world_state(w, "two"), LUNAQ_PENDING);
    /* It waits since it was forwarded. */
    assert_in_range(world_stats(w).latency_ms, 0, lq_now_ms() - from);
}

static void forward__group_due__joins_its_group(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = "one";
    t.group = "g";
    t.process_in_ms = 100;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_SCHEDULED);
    forward_until(w, 1);
    assert_int_equal(world_state(w, "one"), LUNAQ_AGGREGATING);
    assert_int_equal(world_stats(w).groups, 1);
}

static void clean__retention_over__is_deleted(void **state)
{
    world *w = *state;
    lq_buf msg;
    lq_op_clean op = {.op.kind = LQ_OP_CLEAN, .queue = LQ_STR(Q)};
    lq_buf_init(&msg, 0);
    world_put_many(w, 2);
    assert_int_equal(world_take(w, 2), 2);
    lq_outcome o = {.kind = LQ_COMPLETE,
                    .id = LQ_STR("a000"),
                    .msg = world_msg(&msg, "a000")};
    assert_int_equal(world_settle(w, o), LUNAQ_OK);
    assert_int_equal(world_end(w, LQ_COMPLETE, "a001"), LUNAQ_OK);
    lq_buf_release(&msg);
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.deleted, 1);
    assert_int_equal(world_state(w, "a000"), LUNAQ_STATE_ANY);
    assert_int_equal(world_state(w, "a001"), LUNAQ_COMPLETED);
    lq_op_release(&op.op);
}

static void peek__says_what_there_is(void **state)
{
    world *w = *state;
    lq_peek queues[] = {{.queue = LQ_STR(Q)}, {.queue = LQ_STR("other")}};
    lq_op_peek op = {.op.kind = LQ_OP_PEEK, .queues = queues, .count = 2};
    lq_op_queue_pause pause = {
        .op.kind = LQ_OP_QUEUE_PAUSE, .queue = LQ_STR("other"), .pause = true};
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = "other";
    t.process_in_ms = 60000;
    world_put_many(w, 3);
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(world_call(w, &pause.op), LUNAQ_OK);
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(queues[0].pending, 3);
    assert_int_equal(queues[0].next_ms, -1);
    assert_false(queues[0].paused);
    assert_int_equal(queues[1].pending, 0);
    assert_in_range(queues[1].next_ms, 58000, 61000);
    assert_true(queues[1].paused);
    lq_op_release(&op.op);
    lq_op_release(&pause.op);
}

static void wait__pending__wakes_and_changes_nothing(void **state)
{
    world *w = *state;
    lq_op_wait op = {
        .op.kind = LQ_OP_WAIT, .queue = LQ_STR(Q), .timeout_ms = 5000};
    world_put_many(w, 3);
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_true(op.woke);
    lq_op_release(&op.op);
    world_take_id(w, "a000");
}

static void wait__nothing__ends_in_time(void **state)
{
    world *w = *state;
    lq_op_wait op = {
        .op.kind = LQ_OP_WAIT, .queue = LQ_STR(Q), .timeout_ms = 20};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_false(op.woke);
    lq_op_release(&op.op);
}

static void ping__names_the_version(void **state)
{
    world *w = *state;
    lq_op_ping op = {.op.kind = LQ_OP_PING};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_true(strchr(op.version, '.') != NULL);
    assert_string_equal(op.warning, "");
    lq_op_release(&op.op);
}

/* ---- cron ---------------------------------------------------------------- */

static lq_op_cron_fire fire(world *w, int64_t instant, int64_t first,
                            const char *id)
{
    lq_enqueue e;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = id;
    if (id)
        assert_int_equal(lq_enqueue_init(&e, &t, lq_now_ms(), NULL), 0);
    lq_op_cron_fire op = {.op.kind = LQ_OP_CRON_FIRE,
                          .queue = LQ_STR(Q),
                          .entry_id = LQ_STR("t @hourly"),
                          .instant_ms = instant,
                          .first_ms = first,
                          .item = id ? &e : NULL};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
    if (id) {
        if (op.fired)
            assert_int_equal(e.code, LUNAQ_OK);
        lq_enqueue_release(&e);
    }
    op.item = NULL;
    return op;
}

static void cron__never_seen__starts_at_its_first_sight(void **state)
{
    world *w = *state;
    assert_int_equal(fire(w, 0, 0, NULL).last_ms, 0);
    assert_int_equal(fire(w, 0, 1700000000123, NULL).last_ms, 1700000000123);
    assert_int_equal(fire(w, 0, 1700000099999, NULL).last_ms, 1700000000123);
    assert_true(fire(w, 0, 0, NULL).never);
    assert_int_equal(world_take(w, 1), 0);
    assert_false(fire(w, 1700000000123, 0, "one").fired);
    lq_op_cron_fire op = fire(w, 1700003600000, 0, "two");
    assert_true(op.fired);
    assert_false(op.never);
    assert_false(fire(w, 0, 0, NULL).never);
}

static void cron__tick__fires_once(void **state)
{
    world *w = *state;
    lq_op_cron_fire op = fire(w, 1700003600000, 0, "one");
    assert_true(op.fired);
    assert_int_equal(op.last_ms, 1700003600000);
    /* Another daemon, the same tick; an older one after a clock step. */
    op = fire(w, 1700003600000, 0, "two");
    assert_false(op.fired);
    assert_int_equal(op.last_ms, 1700003600000);
    assert_false(fire(w, 1700000000000, 0, "three").fired);
    assert_int_equal(world_take(w, 5), 1);
    assert_int_equal(world_end(w, LQ_DONE, "one"), LUNAQ_OK);
    assert_false(fire(w, 1700003600000, 0, "four").fired);
    assert_true(fire(w, 1700007200000, 0, "five").fired);
    assert_int_equal(fire(w, 0, 0, NULL).last_ms, 1700007200000);
}

static void cron__tick_left_out__is_used_up_without_a_task(void **state)
{
    world *w = *state;
    lq_op_cron_fire op = {.op.kind = LQ_OP_CRON_FIRE,
                          .queue = LQ_STR(Q),
                          .entry_id = LQ_STR("t @hourly"),
                          .instant_ms = 1700003600000,
                          .skip = true};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_true(op.fired);
    assert_int_equal(op.last_ms, 1700003600000);
    lq_op_release(&op.op);
    /* Somebody else may not have it now, but the next one. */
    op = fire(w, 1700003600000, 0, "one");
    assert_false(op.fired);
    op = fire(w, 1700007200000, 0, "two");
    assert_true(op.fired);
    /* And what was fired cannot be left out. */
    op = (lq_op_cron_fire){.op.kind = LQ_OP_CRON_FIRE,
                           .queue = LQ_STR(Q),
                           .entry_id = LQ_STR("t @hourly"),
                           .instant_ms = 1700007200000,
                           .skip = true};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_false(op.fired);
    lq_op_release(&op.op);
}

static lq_op_cron_fire look(world *w, int64_t now, int64_t latest)
{
    lq_op_cron_fire op = {.op.kind = LQ_OP_CRON_FIRE,
                          .queue = LQ_STR(Q),
                          .entry_id = LQ_STR("t @hourly"),
                          .first_ms = now,
                          .latest_ms = latest};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
    return op;
}

static void cron__last_is_later_than_believed__begins_anew(void **state)
{
    world *w = *state;
    assert_true(fire(w, 1700007200000, 0, "one").fired);
    /* As late as is believed. */
    lq_op_cron_fire op = look(w, 1700000000000, 1700007200000);
    assert_false(op.set_back);
    assert_false(op.never);
    assert_int_equal(op.last_ms, 1700007200000);
    assert_false(look(w, 1700000000000, 0).set_back);
    op = look(w, 1700000000000, 1700007199999);
    assert_true(op.set_back);
    assert_true(op.never);
    assert_int_equal(op.last_ms, 1700000000000);
    /* Another daemon sees what the first one did. */
    op = look(w, 1700000000001, 1700007199999);
    assert_false(op.set_back);
    assert_int_equal(op.last_ms, 1700000000000);
    assert_true(fire(w, 1700003600000, 0, "two").fired);
    assert_false(fire(w, 1700003600000, 0, "three").fired);
    assert_int_equal(world_take(w, 5), 2);
}

static void cron__first_sight_later_than_believed__begins_anew(void **state)
{
    world *w = *state;
    assert_int_equal(look(w, 1700007200000, 0).last_ms, 1700007200000);
    lq_op_cron_fire op = look(w, 1700000000000, 1700003600000);
    assert_true(op.set_back);
    assert_int_equal(op.last_ms, 1700000000000);
}

static void note(world *w, const char *entry, const char *id, int64_t at_ms)
{
    lq_op_cron_record op = {.op.kind = LQ_OP_CRON_RECORD,
                            .entry_id = lq_str_c(entry),
                            .task_id = lq_str_c(id),
                            .at_ms = at_ms};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
}

static void cron_history__is_the_newest_first_of_one_entry(void **state)
{
    world *w = *state;
    lq_op_cron_history op = {.op.kind = LQ_OP_CRON_HISTORY,
                             .entry_id = LQ_STR("t|@daily")};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.count, 0);
    note(w, "t|@daily", "one", 1700000000123);
    note(w, "t|@daily|b", "other", 1700000001000);
    note(w, "t|@daily", "two", 1700000002456);
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.count, 2);
    assert_true(lq_str_eq(op.events[0].task_id, LQ_STR("two")));
    assert_int_equal(op.events[0].at_ms, 1700000002456);
    assert_true(lq_str_eq(op.events[1].task_id, LQ_STR("one")));
    assert_int_equal(op.events[1].at_ms, 1700000000123);
    op.limit = 1;
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.count, 1);
    assert_true(lq_str_eq(op.events[0].task_id, LQ_STR("two")));
    lq_op_release(&op.op);
}

static void cron_history__over_a_thousand__keeps_the_newest(void **state)
{
    world *w = *state;
    lq_op_cron_history op = {.op.kind = LQ_OP_CRON_HISTORY,
                             .entry_id = LQ_STR("e")};
    for (int i = 0; i < LQ_CRON_HISTORY_MAX + 5; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        note(w, "e", id, 1700000000000 + i * INT64_C(1000));
    }
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.count, LQ_CRON_HISTORY_MAX);
    assert_true(lq_str_eq(op.events[0].task_id, LQ_STR("1004")));
    assert_true(
        lq_str_eq(op.events[LQ_CRON_HISTORY_MAX - 1].task_id, LQ_STR("5")));
    lq_op_release(&op.op);
}

static void cron_publish__is_seen_until_taken_away(void **state)
{
    world *w = *state;
    const lq_str entries[] = {LQ_STR("one"), LQ_STR("two")};
    lq_op_cron_publish op = {.op.kind = LQ_OP_CRON_PUBLISH,
                             .scheduler_id = LQ_STR("host:1:uuid"),
                             .entries = entries,
                             .count = 2,
                             .ttl_ms = 20000};
    lq_op_crons list = {.op.kind = LQ_OP_CRONS};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(world_call(w, &list.op), LUNAQ_OK);
    assert_int_equal(list.count, 2);
    op.count = 0;
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(world_call(w, &list.op), LUNAQ_OK);
    assert_int_equal(list.count, 0);
    lq_op_release(&op.op);
    lq_op_release(&list.op);
}

/* ---- servers ------------------------------------------------------------- */

static void heartbeat__is_seen_until_goodbye(void **state)
{
    world *w = *state;
    const lq_heartbeat_worker workers[] = {{LQ_STR("one"), LQ_STR("w1")},
                                           {LQ_STR("two"), LQ_STR("w2")}};
    lq_op_heartbeat op = {.op.kind = LQ_OP_HEARTBEAT,
                          .host = LQ_STR("h"),
                          .server_id = LQ_STR("id"),
                          .pid = 7,
                          .info = LQ_STR("info"),
                          .extra = LQ_STR("{}"),
                          .workers = workers,
                          .worker_count = 2,
                          .ttl_ms = 10000};
    lq_op_servers list = {.op.kind = LQ_OP_SERVERS};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    op.extra = (lq_str){0};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(world_call(w, &list.op), LUNAQ_OK);
    assert_int_equal(list.count, 1);
    assert_true(lq_str_eq(list.rows[0].info, LQ_STR("info")));
    assert_true(lq_str_eq(list.rows[0].extra, LQ_STR("{}")));
    assert_int_equal(list.rows[0].worker_count, 2);
    op.worker_count = 0;
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(world_call(w, &list.op), LUNAQ_OK);
    assert_int_equal(list.rows[0].worker_count, 0);

    const uint32_t tokens[] = {w->token};
    lq_op_goodbye bye = {.op.kind = LQ_OP_GOODBYE,
                         .host = LQ_STR("h"),
                         .server_id = LQ_STR("id"),
                         .pid = 7,
                         .tokens = tokens,
                         .token_count = 1};
    assert_int_equal(world_call(w, &bye.op), LUNAQ_OK);
    assert_int_equal(world_call(w, &list.op), LUNAQ_OK);
    assert_int_equal(list.count, 0);
    lq_op_release(&op.op);
    lq_op_release(&bye.op);
    lq_op_release(&list.op);
}

static void heartbeat__of_many_tasks__names_them_all(void **state)
{
    world *w = *state;
    enum { N = 9000 };
    lq_heartbeat_worker *workers = calloc(N, sizeof(*workers));
    char(*ids)[8] = calloc(N, sizeof(*ids));
    assert_true(workers && ids);
    for (size_t i = 0; i < N; i++) {
        snprintf(ids[i], sizeof(ids[i]), "%zu", i);
        workers[i].task_id = workers[i].msg = lq_str_c(ids[i]);
    }
    lq_op_heartbeat op = {.op.kind = LQ_OP_HEARTBEAT,
                          .host = LQ_STR("h"),
                          .server_id = LQ_STR("id"),
                          .pid = 7,
                          .info = LQ_STR("info"),
                          .workers = workers,
                          .worker_count = N,
                          .ttl_ms = 10000};
    lq_op_servers list = {.op.kind = LQ_OP_SERVERS};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(world_call(w, &list.op), LUNAQ_OK);
    assert_int_equal(list.count, 1);
    lq_op_release(&op.op);
    lq_op_release(&list.op);
    free(workers);
    free(ids);
}

size_t suite_due(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(forward__nothing__has_no_next),
        WORLD_TEST(forward__not_due__says_when),
        WORLD_TEST(forward__due__is_pending_and_never_early),
        WORLD_TEST(forward__group_due__joins_its_group),
        WORLD_TEST(clean__retention_over__is_deleted),
        WORLD_TEST(peek__says_what_there_is),
        WORLD_TEST(wait__pending__wakes_and_changes_nothing),
        WORLD_TEST(wait__nothing__ends_in_time),
        WORLD_TEST(ping__names_the_version),
        WORLD_TEST(cron__never_seen__starts_at_its_first_sight),
        WORLD_TEST(cron__tick__fires_once),
        WORLD_TEST(cron__tick_left_out__is_used_up_without_a_task),
        WORLD_TEST(cron__last_is_later_than_believed__begins_anew),
        WORLD_TEST(cron__first_sight_later_than_believed__begins_anew),
        WORLD_TEST(cron_history__is_the_newest_first_of_one_entry),
        WORLD_TEST(cron_history__over_a_thousand__keeps_the_newest),
        WORLD_TEST(cron_publish__is_seen_until_taken_away),
        WORLD_TEST(heartbeat__is_seen_until_goodbye),
        WORLD_TEST(heartbeat__of_many_tasks__names_them_all),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
