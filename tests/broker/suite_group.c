/* Groups: when they are due, what is taken, what is told of them. */
#include "broker/group_world.h"
#include "broker/inspect.h"

#include "base/clock.h"

#include <poll.h>
#include <stdio.h>

/* ---- when a group is due ------------------------------------------------- */

static void due__follows_grace_delay_and_size(void **state)
{
    (void)state;
    lq_group_rule rule = {.grace_ms = 60000};
    lq_group_row row = {.size = 3, .oldest_ms = 50000, .newest_ms = 20000};
    assert_int_equal(lq_group_due_ms(&row, &rule), 40000);
    rule.max_delay_ms = 55000;
    assert_int_equal(lq_group_due_ms(&row, &rule), 5000);
    rule.max_size = 4;
    assert_int_equal(lq_group_due_ms(&row, &rule), 5000);
    rule.max_size = 3;
    assert_int_equal(lq_group_due_ms(&row, &rule), 0);
    row.retry_ms = 7000;
    assert_int_equal(lq_group_due_ms(&row, &rule), 7000);
    row = (lq_group_row){.size = 1, .oldest_ms = 90000, .newest_ms = 60000};
    rule = (lq_group_rule){.grace_ms = 60000};
    assert_int_equal(lq_group_due_ms(&row, &rule), 0);
}

static void take__grace_is_over__takes_all_oldest_first(void **state)
{
    world *w = *state;
    lq_op_group_take op;
    group_put(w, "g", "one");
    group_put(w, "g", "two");
    group_put(w, "other", "three");
    assert_int_equal(group_take(w, &op, SET, group_at_once, LONG_MS), 2);
    assert_string_equal(op.ids[0].p, "one");
    assert_string_equal(op.ids[1].p, "two");
    assert_int_equal(op.left, 0);
    lq_task t;
    assert_int_equal(lq_task_decode(&t, op.msgs[1], NULL), LUNAQ_OK);
    assert_true(lq_str_eq(t.id, LQ_STR("two")));
    assert_true(lq_str_eq(t.group_key, LQ_STR("g")));
    lq_task_release(&t);
    lq_op_release(&op.op);
    assert_int_equal(world_stats(w).groups, 1);
    assert_int_equal(world_stats(w).aggregating, 3);
    group_expect(w, 1, 2);
    assert_int_equal(world_state(w, "one"), LUNAQ_AGGREGATING);
}

static void take__nothing_is_due__takes_nothing(void **state)
{
    world *w = *state;
    lq_op_group_take op;
    lq_group_rule rule = {
        .grace_ms = LONG_MS, .max_delay_ms = LONG_MS, .max_size = 3};
    group_put(w, "g", "one");
    group_put(w, "g", "two");
    assert_int_equal(group_take(w, &op, SET, rule, LONG_MS), 0);
    assert_int_equal(op.left, 2);
    lq_op_release(&op.op);
    group_expect(w, 2, 0);
}

static void take__group_is_not_there__takes_nothing(void **state)
{
    assert_int_equal(group_take_only(*state, SET, group_at_once), 0);
}

static void take__max_size__takes_so_many_and_leaves_a_named_group(void **state)
{
    world *w = *state;
    lq_op_group_take op;
    lq_group_rule rule = {.grace_ms = LONG_MS, .max_size = 2};
    group_put(w, "g", "one");
    assert_int_equal(group_take_only(w, SET, rule), 0);
    group_put(w, "g", "two");
    group_put(w, "g", "three");
    assert_int_equal(group_take(w, &op, SET, rule, LONG_MS), 2);
    assert_int_equal(op.left, 1);
    lq_op_release(&op.op);
    group_expect(w, 1, 2);
    assert_int_equal(world_stats(w).groups, 1);
    assert_int_equal(group_take_only(w, SET_2, rule), 0);
    /* … and no more than that many either when the grace is over. */
    group_put(w, "g", "four");
    group_put(w, "g", "five");
    rule.grace_ms = 0;
    assert_int_equal(group_take_only(w, SET_2, rule), 2);
    group_expect(w, 1, 4);
}

static void take__max_delay_of_the_oldest__is_due(void **state)
{
    world *w = *state;
    lq_group_rule rule = {.grace_ms = LONG_MS, .max_delay_ms = 1000};
    int64_t until = lq_mono_ms() + 20000;
    group_put(w, "g", "one");
    size_t n = 0;
    while (n == 0 && lq_mono_ms() < until) {
        lq_op_groups op = group_look(w);
        int64_t wait = lq_group_due_ms(&op.rows[0], &rule);
        lq_op_release(&op.op);
        (void)poll(NULL, 0, (int)wait);
        group_put(w, "g", "two"); /* the newest does not matter */
        n = group_take_only(w, SET, rule);
        /* What the list says is what the taker finds. */
        assert_true(wait > 0 || n > 0);
    }
    assert_int_equal(n, 2);
}

static void take__twice__second_finds_nothing(void **state)
{
    world *w = *state;
    group_put(w, "g", "one");
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    assert_int_equal(group_take_only(w, SET_2, group_at_once), 0);
}

static void take__of_very_many__leaves_the_rest_for_the_next(void **state)
{
    world *w = *state;
    lq_op_group_take op;
    char payload[3000000] = {0};
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.group = "g";
    t.payload = payload;
    t.payload_len = sizeof(payload);
    for (int i = 0; i < 4; i++)
        assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(group_take(w, &op, SET, group_at_once, LONG_MS), 2);
    assert_int_equal(op.left, 2);
    lq_op_release(&op.op);
    group_expect(w, 2, 2);
}

/* ---- lists --------------------------------------------------------------- */

static void groups__says_what_waits_and_what_is_in_sets(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    group_put(w, "g", "one");
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    t.type = "kind";
    t.queue = Q;
    t.group = "other:group";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    t.type = "newer";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    lq_op_groups op = group_look(w);
    assert_int_equal(op.count, 1);
    assert_string_equal(op.rows[0].name.p, "other:group");
    assert_true(lq_str_eq(op.rows[0].type, LQ_STR("kind")));
    assert_true(lq_str_eq(op.rows[0].types, LQ_STR("kind\0newer")));
    assert_int_equal(op.rows[0].size, 2);
    assert_in_range(op.rows[0].oldest_ms, 0, 30000);
    assert_true(op.rows[0].newest_ms <= op.rows[0].oldest_ms);
    assert_int_equal(op.rows[0].failures, 0);
    assert_int_equal(op.set_count, 1);
    assert_true(lq_str_eq(op.sets[0].group, LQ_STR("g")));
    assert_true(lq_str_eq(op.sets[0].id, LQ_STR(SET)));
    assert_int_equal(op.sets[0].size, 1);
    assert_in_range(op.sets[0].left_ms, LONG_MS - 30000, LONG_MS + 1000);
    lq_op_release(&op.op);
}

static void groups__of_many__come_in_parts(void **state)
{
    world *w = *state;
    enum { N = 700 };
    bool seen[N] = {false};
    size_t count = 0, calls = 0;
    for (int i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof(name), "g%d", i);
        lunaq_task t = LUNAQ_TASK_INIT;
        t.type = "t";
        t.queue = Q;
        t.group = name;
        assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    }
    lq_op_groups op = {.op.kind = LQ_OP_GROUPS, .queue = LQ_STR(Q)};
    do {
        assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
        for (size_t i = 0; i < op.count; i++) {
            int64_t n = 0;
            assert_true(lq_str_int64(
                lq_str_n(op.rows[i].name.p + 1, op.rows[i].name.len - 1), &n));
            count += !seen[n];
            seen[n] = true;
        }
        lq_op_release(&op.op);
        calls++;
    } while (op.cursor[0]);
    assert_int_equal(count, N);
    assert_true(calls > 1);
}

static void peek__groups__are_counted(void **state)
{
    world *w = *state;
    lq_peek queues[] = {{.queue = LQ_STR(Q)}, {.queue = LQ_STR("other")}};
    lq_op_peek op = {.op.kind = LQ_OP_PEEK, .queues = queues, .count = 2};
    group_put(w, "g", "one");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(queues[0].groups, 1);
    assert_int_equal(queues[1].groups, 0);
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(queues[0].groups, 0);
    lq_op_release(&op.op);
}

/* ---- beside it ----------------------------------------------------------- */

static void set__its_tasks_cannot_be_moved_nor_listed(void **state)
{
    world *w = *state;
    group_put(w, "g", "one");
    assert_int_equal(group_take_only(w, SET, group_at_once), 1);
    group_put(w, "g", "two");
    for (lunaq_move move = LUNAQ_MOVE_RUN; move <= LUNAQ_MOVE_DELETE; move++) {
        lq_op_move op = {.op.kind = LQ_OP_MOVE,
                         .queue = LQ_STR(Q),
                         .id = LQ_STR("one"),
                         .move = move};
        assert_int_equal(world_call(w, &op.op), LUNAQ_ESTATE);
        assert_non_null(strstr(op.op.err.message, "being aggregated"));
        lq_op_release(&op.op);
    }
    lq_op_task_list list = {.op.kind = LQ_OP_TASK_LIST,
                            .queue = LQ_STR(Q),
                            .state = LUNAQ_AGGREGATING,
                            .group = LQ_STR("g"),
                            .page_size = 10};
    assert_int_equal(world_call(w, &list.op), LUNAQ_OK);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.rows[0].id.p, "two");
    lq_op_release(&list.op);
    lq_op_cancel cancel = {
        .op.kind = LQ_OP_CANCEL, .queue = LQ_STR(Q), .id = LQ_STR("one")};
    assert_int_not_equal(world_call(w, &cancel.op), LUNAQ_OK);
    lq_op_release(&cancel.op);
    group_expect(w, 1, 1);
}

static void enqueue__many_with_groups__each_hears_its_own(void **state)
{
    world *w = *state;
    enum { N = 5 };
    lq_enqueue e[N], *items[N];
    for (int i = 0; i < N; i++) {
        static const char *const ids[N] = {"a", "b", "a", "d", "e"};
        lunaq_task t = LUNAQ_TASK_INIT;
        t.type = i == 3 ? "lonely" : "t";
        t.queue = Q;
        t.task_id = ids[i];
        t.group = i == 3 ? NULL : "g";
        t.unique_ms = i == 1 || i == 4 ? LONG_MS : 0;
        t.process_in_ms = i == 2 ? LONG_MS : 0;
        assert_int_equal(lq_enqueue_init(&e[i], &t, lq_now_ms(), NULL), 0);
        items[i] = &e[i];
    }
    lq_op_enqueue op = {.op.kind = LQ_OP_ENQUEUE, .items = items, .count = N};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(e[0].code, LUNAQ_OK);
    assert_int_equal(e[1].code, LUNAQ_OK);
    assert_int_equal(e[2].code, LUNAQ_EEXIST);
    assert_int_equal(e[3].code, LUNAQ_OK);
    assert_int_equal(e[4].code, LUNAQ_EDUPLICATE);
    lq_op_release(&op.op);
    for (int i = 0; i < N; i++)
        lq_enqueue_release(&e[i]);
    group_expect(w, 2, 0);
    assert_int_equal(group_take_only(w, SET, group_later), 0);
    assert_int_equal(world_state(w, "d"), LUNAQ_PENDING);
}

size_t suite_group(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(due__follows_grace_delay_and_size),
        WORLD_TEST(take__grace_is_over__takes_all_oldest_first),
        WORLD_TEST(take__nothing_is_due__takes_nothing),
        WORLD_TEST(take__group_is_not_there__takes_nothing),
        WORLD_TEST(take__max_size__takes_so_many_and_leaves_a_named_group),
        WORLD_TEST(take__max_delay_of_the_oldest__is_due),
        WORLD_TEST(take__twice__second_finds_nothing),
        WORLD_TEST(take__of_very_many__leaves_the_rest_for_the_next),
        WORLD_TEST(groups__says_what_waits_and_what_is_in_sets),
        WORLD_TEST(groups__of_many__come_in_parts),
        WORLD_TEST(peek__groups__are_counted),
        WORLD_TEST(set__its_tasks_cannot_be_moved_nor_listed),
        WORLD_TEST(enqueue__many_with_groups__each_hears_its_own),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
