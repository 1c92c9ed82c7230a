/* Groups: when they are due, what is taken, and what becomes of a set. */
#include "broker/world.h"

#include "base/clock.h"
#include "broker/group.h"

#include <poll.h>
#include <stdio.h>

#define SET "0193b9a0-0000-7000-8000-000000000001"
#define SET_2 "0193b9a0-0000-7000-8000-000000000002"
#define LONG_MS 3600000

static const lq_group_rule at_once = {.grace_ms = 0};
static const lq_group_rule later = {.grace_ms = LONG_MS};

static int put_in(world *w, const char *group, const char *id)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = id;
    t.group = group;
    return world_put_task(w, &t, NULL);
}

/* Takes a set; what came is in *op, to be released. */
static size_t take(world *w, lq_op_group_take *op, const char *set,
                   lq_group_rule rule, int64_t ttl_ms)
{
    *op = (lq_op_group_take){.op.kind = LQ_OP_GROUP_TAKE,
                             .queue = LQ_STR(Q),
                             .group = LQ_STR("g"),
                             .set_id = lq_str_c(set),
                             .rule = rule,
                             .ttl_ms = ttl_ms};
    assert_int_equal(world_call(w, &op->op), LUNAQ_OK);
    return op->count;
}

static size_t take_only(world *w, const char *set, lq_group_rule rule)
{
    lq_op_group_take op;
    size_t n = take(w, &op, set, rule, LONG_MS);
    lq_op_release(&op.op);
    return n;
}

static lq_op_groups look(world *w)
{
    lq_op_groups op = {.op.kind = LQ_OP_GROUPS, .queue = LQ_STR(Q)};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_string_equal(op.cursor, "");
    return op;
}

/* How many wait in groups, how many in sets. */
static void expect(world *w, int64_t waiting, int64_t in_sets)
{
    lq_op_groups op = look(w);
    int64_t rows = 0, sets = 0;
    for (size_t i = 0; i < op.count; i++)
        rows += op.rows[i].size;
    for (size_t i = 0; i < op.set_count; i++)
        sets += op.sets[i].size;
    lq_op_release(&op.op);
    assert_int_equal(rows, waiting);
    assert_int_equal(sets, in_sets);
}

static int finish(world *w, const char *set, lq_enqueue *e, const lq_str *alone,
                  size_t alone_count)
{
    lq_op_group_finish op = {.op.kind = LQ_OP_GROUP_FINISH,
                             .queue = LQ_STR(Q),
                             .group = LQ_STR("g"),
                             .set_id = lq_str_c(set),
                             .items = &e,
                             .count = e ? 1 : 0,
                             .alone = alone,
                             .alone_count = alone_count,
                             .now_ms = lq_now_ms()};
    int rc = world_call(w, &op.op);
    lq_op_release(&op.op);
    return rc;
}

static int finish_with(world *w, const char *set, const lunaq_task *t)
{
    lq_enqueue e;
    assert_int_equal(lq_enqueue_init(&e, t, lq_now_ms(), NULL), LUNAQ_OK);
    int rc = finish(w, set, &e, NULL, 0);
    lq_enqueue_release(&e);
    return rc;
}

static lunaq_task batch_of(const char *id)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "batch";
    t.queue = Q;
    t.task_id = id;
    return t;
}

static int back(world *w, const char *error, int64_t retry_ms)
{
    lq_op_group_back op = {.op.kind = LQ_OP_GROUP_BACK,
                           .queue = LQ_STR(Q),
                           .group = LQ_STR("g"),
                           .set_id = LQ_STR(SET),
                           .error = lq_str_c(error),
                           .retry_ms = retry_ms};
    int rc = world_call(w, &op.op);
    lq_op_release(&op.op);
    return rc;
}

static int extend(world *w, int64_t ttl_ms)
{
    lq_op_group_extend op = {.op.kind = LQ_OP_GROUP_EXTEND,
                             .queue = LQ_STR(Q),
                             .group = LQ_STR("g"),
                             .set_id = LQ_STR(SET),
                             .ttl_ms = ttl_ms};
    int rc = world_call(w, &op.op);
    lq_op_release(&op.op);
    return rc;
}

/* Reclaims until a set was; how many tasks came back. */
static int64_t reclaim(world *w, int64_t patience_ms)
{
    int64_t until = lq_mono_ms() + patience_ms;
    lq_op_group_reclaim op = {.op.kind = LQ_OP_GROUP_RECLAIM,
                              .queue = LQ_STR(Q)};
    for (;;) {
        assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
        lq_op_release(&op.op);
        if (op.sets > 0 || lq_mono_ms() >= until)
            return op.tasks;
        (void)poll(NULL, 0, 20);
    }
}

static void forward_one(world *w)
{
    int64_t until = lq_mono_ms() + 20000;
    lq_op_forward op = {.op.kind = LQ_OP_FORWARD, .queue = LQ_STR(Q)};
    do {
        (void)poll(NULL, 0, 20);
        assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
        lq_op_release(&op.op);
    } while (op.moved == 0 && lq_mono_ms() < until);
    assert_int_equal(op.moved, 1);
}

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
    put_in(w, "g", "one");
    put_in(w, "g", "two");
    put_in(w, "other", "three");
    assert_int_equal(take(w, &op, SET, at_once, LONG_MS), 2);
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
    expect(w, 1, 2);
    assert_int_equal(world_state(w, "one"), LUNAQ_AGGREGATING);
}

static void take__nothing_is_due__takes_nothing(void **state)
{
    world *w = *state;
    lq_op_group_take op;
    lq_group_rule rule = {
        .grace_ms = LONG_MS, .max_delay_ms = LONG_MS, .max_size = 3};
    put_in(w, "g", "one");
    put_in(w, "g", "two");
    assert_int_equal(take(w, &op, SET, rule, LONG_MS), 0);
    assert_int_equal(op.left, 2);
    lq_op_release(&op.op);
    expect(w, 2, 0);
}

static void take__group_is_not_there__takes_nothing(void **state)
{
    assert_int_equal(take_only(*state, SET, at_once), 0);
}

static void take__max_size__takes_so_many_and_leaves_a_named_group(void **state)
{
    world *w = *state;
    lq_op_group_take op;
    lq_group_rule rule = {.grace_ms = LONG_MS, .max_size = 2};
    put_in(w, "g", "one");
    assert_int_equal(take_only(w, SET, rule), 0);
    put_in(w, "g", "two");
    put_in(w, "g", "three");
    assert_int_equal(take(w, &op, SET, rule, LONG_MS), 2);
    assert_int_equal(op.left, 1);
    lq_op_release(&op.op);
    expect(w, 1, 2);
    assert_int_equal(world_stats(w).groups, 1);
    assert_int_equal(take_only(w, SET_2, rule), 0);
    /* … and no more than that many either when the grace is over. */
    put_in(w, "g", "four");
    put_in(w, "g", "five");
    rule.grace_ms = 0;
    assert_int_equal(take_only(w, SET_2, rule), 2);
    expect(w, 1, 4);
}

static void take__max_delay_of_the_oldest__is_due(void **state)
{
    world *w = *state;
    lq_group_rule rule = {.grace_ms = LONG_MS, .max_delay_ms = 1000};
    int64_t until = lq_mono_ms() + 20000;
    put_in(w, "g", "one");
    size_t n = 0;
    while (n == 0 && lq_mono_ms() < until) {
        lq_op_groups op = look(w);
        int64_t wait = lq_group_due_ms(&op.rows[0], &rule);
        lq_op_release(&op.op);
        (void)poll(NULL, 0, (int)wait);
        put_in(w, "g", "two"); /* the newest does not matter */
        n = take_only(w, SET, rule);
        /* What the list says is what the taker finds. */
        assert_true(wait > 0 || n > 0);
    }
    assert_int_equal(n, 2);
}

static void take__twice__second_finds_nothing(void **state)
{
    world *w = *state;
    put_in(w, "g", "one");
    assert_int_equal(take_only(w, SET, at_once), 1);
    assert_int_equal(take_only(w, SET_2, at_once), 0);
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
    assert_int_equal(take(w, &op, SET, at_once, LONG_MS), 2);
    assert_int_equal(op.left, 2);
    lq_op_release(&op.op);
    expect(w, 2, 2);
}

/* ---- lists --------------------------------------------------------------- */

static void groups__says_what_waits_and_what_is_in_sets(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    put_in(w, "g", "one");
    assert_int_equal(take_only(w, SET, at_once), 1);
    t.type = "kind";
    t.queue = Q;
    t.group = "other:group";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    t.type = "newer";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    lq_op_groups op = look(w);
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
    put_in(w, "g", "one");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(queues[0].groups, 1);
    assert_int_equal(queues[1].groups, 0);
    assert_int_equal(take_only(w, SET, at_once), 1);
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(queues[0].groups, 0);
    lq_op_release(&op.op);
}

/* ---- finish -------------------------------------------------------------- */

static void finish__puts_one_task_where_many_were(void **state)
{
    world *w = *state;
    lunaq_task t = batch_of("batch");
    put_in(w, "g", "one");
    put_in(w, "g", "two");
    assert_int_equal(take_only(w, SET, at_once), 2);
    assert_int_equal(finish_with(w, SET, &t), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_STATE_ANY);
    assert_int_equal(world_state(w, "batch"), LUNAQ_PENDING);
    expect(w, 0, 0);
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
    lunaq_task t = batch_of("batch"), again = batch_of("again");
    put_in(w, "g", "one");
    assert_int_equal(take_only(w, SET, at_once), 1);
    assert_int_equal(finish_with(w, SET, &t), LUNAQ_OK);
    assert_int_equal(finish_with(w, SET, &again), LUNAQ_ELEASE);
    assert_int_equal(world_state(w, "again"), LUNAQ_STATE_ANY);
}

static void finish__locks_of_the_tasks__are_released(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT, b = batch_of("batch");
    t.type = "t";
    t.queue = Q;
    t.group = "g";
    t.unique_ms = LONG_MS;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EDUPLICATE);
    assert_int_equal(take_only(w, SET, at_once), 1);
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EDUPLICATE);
    assert_int_equal(finish_with(w, SET, &b), LUNAQ_OK);
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
}

static void finish__id_is_taken__changes_nothing(void **state)
{
    world *w = *state;
    lunaq_task t = batch_of("taken"), free_id = batch_of("free");
    world_put(w, "taken");
    put_in(w, "g", "one");
    assert_int_equal(take_only(w, SET, at_once), 1);
    assert_int_equal(finish_with(w, SET, &t), LUNAQ_EEXIST);
    expect(w, 0, 1);
    assert_int_equal(world_state(w, "one"), LUNAQ_AGGREGATING);
    assert_int_equal(world_stats(w).processed_total, 0);
    assert_int_equal(finish_with(w, SET, &free_id), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_STATE_ANY);
}

static void finish__lock_is_taken__changes_nothing(void **state)
{
    world *w = *state;
    lunaq_task t = batch_of("first"), second = batch_of("second");
    t.unique_ms = second.unique_ms = LONG_MS;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    put_in(w, "g", "one");
    assert_int_equal(take_only(w, SET, at_once), 1);
    assert_int_equal(finish_with(w, SET, &second), LUNAQ_EDUPLICATE);
    expect(w, 0, 1);
    assert_int_equal(back(w, "it is there", 0), LUNAQ_OK);
}

static void
finish__id_and_lock_of_its_own_tasks__may_be_used_again(void **state)
{
    world *w = *state;
    lunaq_task t = batch_of("same");
    t.unique_ms = LONG_MS;
    t.group = "g";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(take_only(w, SET, at_once), 1);
    t.group = NULL;
    assert_int_equal(finish_with(w, SET, &t), LUNAQ_OK);
    assert_int_equal(world_state(w, "same"), LUNAQ_PENDING);
    t.task_id = "another";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_EDUPLICATE);
}

static void finish__alone__run_by_themselves_with_their_locks(void **state)
{
    world *w = *state;
    const lq_str alone[] = {LQ_STR("two")};
    lunaq_task t = LUNAQ_TASK_INIT, b = batch_of("batch");
    lq_enqueue e;
    put_in(w, "g", "one");
    t.type = "t";
    t.queue = Q;
    t.task_id = "two";
    t.group = "g";
    t.unique_ms = LONG_MS;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    assert_int_equal(take_only(w, SET, at_once), 2);
    assert_int_equal(lq_enqueue_init(&e, &b, lq_now_ms(), NULL), LUNAQ_OK);
    assert_int_equal(finish(w, SET, &e, alone, 1), LUNAQ_OK);
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
    forward_one(w);
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
    lunaq_task t = batch_of("late"), g = batch_of("grouped");
    put_in(w, "g", "one");
    assert_int_equal(take_only(w, SET, at_once), 1);
    t.process_in_ms = LONG_MS;
    assert_int_equal(finish_with(w, SET, &t), LUNAQ_OK);
    assert_int_equal(world_state(w, "late"), LUNAQ_SCHEDULED);
    put_in(w, "g", "two");
    assert_int_equal(take_only(w, SET, at_once), 1);
    g.group = "groups of groups";
    assert_int_equal(finish_with(w, SET, &g), LUNAQ_OK);
    assert_int_equal(world_state(w, "grouped"), LUNAQ_AGGREGATING);
    expect(w, 1, 0);
}

/* ---- back, extend, reclaim ----------------------------------------------- */

static void back__nothing_went_wrong__can_be_taken_again(void **state)
{
    world *w = *state;
    lq_op_group_take op;
    put_in(w, "g", "one");
    put_in(w, "g", "two");
    assert_int_equal(take_only(w, SET, at_once), 2);
    assert_int_equal(back(w, NULL, 0), LUNAQ_OK);
    assert_int_equal(back(w, NULL, 0), LUNAQ_ELEASE);
    assert_int_equal(world_stats(w).groups, 1);
    assert_int_equal(take(w, &op, SET_2, at_once, LONG_MS), 2);
    assert_string_equal(op.ids[0].p, "one");
    lq_op_release(&op.op);
}

static void back__failed__waits_and_says_why(void **state)
{
    world *w = *state;
    lunaq_task t = batch_of("batch");
    put_in(w, "g", "one");
    assert_int_equal(take_only(w, SET, at_once), 1);
    assert_int_equal(back(w, "it returned 5 words", 20000), LUNAQ_OK);
    assert_int_equal(take_only(w, SET, at_once), 0);
    lq_op_groups op = look(w);
    assert_int_equal(op.count, 1);
    assert_int_equal(op.rows[0].failures, 1);
    assert_string_equal(op.rows[0].error.p, "it returned 5 words");
    assert_in_range(op.rows[0].retry_ms, 1, 20000);
    assert_in_range(lq_group_due_ms(&op.rows[0], &at_once), 1, 20000);
    lq_op_release(&op.op);

    /* Again, and then well: forgotten. */
    put_in(w, "h", "two");
    lq_op_group_take take_h = {.op.kind = LQ_OP_GROUP_TAKE,
                               .queue = LQ_STR(Q),
                               .group = LQ_STR("h"),
                               .set_id = LQ_STR(SET_2),
                               .rule = at_once,
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
        op = look(w);
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
    put_in(w, "h", "three");
    op = look(w);
    for (size_t k = 0; k < op.count; k++)
        if (lq_str_eq(op.rows[k].name, LQ_STR("h")))
            assert_int_equal(op.rows[k].failures, 0);
    lq_op_release(&op.op);
}

static void reclaim__set_has_not_ended__stays(void **state)
{
    world *w = *state;
    put_in(w, "g", "one");
    assert_int_equal(take_only(w, SET, at_once), 1);
    assert_int_equal(reclaim(w, 0), 0);
    expect(w, 0, 1);
}

static void
reclaim__holder_is_gone__tasks_are_in_their_named_group(void **state)
{
    world *w = *state;
    lq_op_group_take op;
    lunaq_task t = batch_of("batch");
    put_in(w, "g", "one");
    put_in(w, "g", "two");
    assert_int_equal(take(w, &op, SET, at_once, 0), 2);
    lq_op_release(&op.op);
    assert_int_equal(reclaim(w, 20000), 2);
    assert_int_equal(world_stats(w).groups, 1);
    expect(w, 2, 0);
    /* Its holder was only slow: too late. */
    assert_int_equal(extend(w, LONG_MS), LUNAQ_ELEASE);
    assert_int_equal(finish_with(w, SET, &t), LUNAQ_ELEASE);
    assert_int_equal(back(w, "no", 0), LUNAQ_ELEASE);
    assert_int_equal(world_state(w, "batch"), LUNAQ_STATE_ANY);
    assert_int_equal(take(w, &op, SET_2, at_once, LONG_MS), 2);
    assert_string_equal(op.ids[0].p, "one");
    lq_op_release(&op.op);
}

static void extend__set_ends_later(void **state)
{
    world *w = *state;
    lq_op_group_take op;
    put_in(w, "g", "one");
    assert_int_equal(take(w, &op, SET, at_once, 1000), 1);
    lq_op_release(&op.op);
    assert_int_equal(extend(w, LONG_MS), LUNAQ_OK);
    assert_int_equal(reclaim(w, 2100), 0);
    expect(w, 0, 1);
}

/* ---- beside it ----------------------------------------------------------- */

static void set__its_tasks_cannot_be_moved_nor_listed(void **state)
{
    world *w = *state;
    put_in(w, "g", "one");
    assert_int_equal(take_only(w, SET, at_once), 1);
    put_in(w, "g", "two");
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
    expect(w, 1, 1);
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
    expect(w, 2, 0);
    assert_int_equal(take_only(w, SET, later), 0);
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
        WORLD_TEST(finish__puts_one_task_where_many_were),
        WORLD_TEST(finish__twice__second_changes_nothing),
        WORLD_TEST(finish__locks_of_the_tasks__are_released),
        WORLD_TEST(finish__id_is_taken__changes_nothing),
        WORLD_TEST(finish__lock_is_taken__changes_nothing),
        WORLD_TEST(finish__id_and_lock_of_its_own_tasks__may_be_used_again),
        WORLD_TEST(finish__alone__run_by_themselves_with_their_locks),
        WORLD_TEST(finish__delayed_or_grouped_again__goes_there),
        WORLD_TEST(back__nothing_went_wrong__can_be_taken_again),
        WORLD_TEST(back__failed__waits_and_says_why),
        WORLD_TEST(reclaim__set_has_not_ended__stays),
        WORLD_TEST(reclaim__holder_is_gone__tasks_are_in_their_named_group),
        WORLD_TEST(extend__set_ends_later),
        WORLD_TEST(set__its_tasks_cannot_be_moved_nor_listed),
        WORLD_TEST(enqueue__many_with_groups__each_hears_its_own),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
