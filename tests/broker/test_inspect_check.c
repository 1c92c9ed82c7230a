/* fsck: each fault planted, found, mended, and gone after; nothing false. */
#include "inspect_world.h"

#include "base/clock.h"
#include "broker/inspect.h"
#include "broker/check.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define Q "orders"
#define K(rest) "asynq:{" Q "}:" rest

struct found {
    lunaq_checked sum;
    int count;
    char kinds[400]; /* " kind:id" … */
};

static void note(void *ud, const lunaq_fault *f)
{
    struct found *found = ud;
    size_t at = strlen(found->kinds);
    found->count++;
    assert_string_not_equal(f->text, "");
    snprintf(found->kinds + at, sizeof found->kinds - at, " %s:%s", f->kind,
             f->id);
}

static struct found check(struct world *w, const char *queue, bool repair)
{
    struct found found = {.sum.size = sizeof found.sum};
    lunaq_check_options o = LUNAQ_CHECK_OPTIONS_INIT;
    lunaq_error err = LUNAQ_ERROR_INIT;
    o.repair = repair;
    o.fault = note;
    o.ud = &found;
    if (lunaq_queue_check(w->client, queue, &o, &found.sum, &err))
        fail_msg("check: %s", err.message);
    assert_int_equal(found.sum.faults, found.count);
    return found;
}

static void assert_clean(struct world *w)
{
    struct found found = check(w, NULL, false);
    assert_string_equal(found.kinds, "");
}

/* One task of each state, with locks, which is all as it should be. */
static void furnish(struct world *w)
{
    const struct planted tasks[] = {
        {.queue = Q, .id = "pending-1", .state = LUNAQ_PENDING},
        {.queue = Q,
         .id = "pending-2",
         .state = LUNAQ_PENDING,
         .lock = K("unique:hello:1")},
        {.queue = Q,
         .id = "active-1",
         .state = LUNAQ_ACTIVE,
         .score = lq_now_ms() / 1000 + 600},
        {.queue = Q, .id = "scheduled-1", .state = LUNAQ_SCHEDULED},
        {.queue = Q, .id = "retry-1", .state = LUNAQ_RETRY, .retried = 1},
        {.queue = Q, .id = "archived-1", .state = LUNAQ_ARCHIVED},
        {.queue = Q, .id = "completed-1", .state = LUNAQ_COMPLETED},
        {.queue = Q,
         .id = "grouped-1",
         .state = LUNAQ_AGGREGATING,
         .group = "g:1"},
        {.queue = "other", .id = "pending-1", .state = LUNAQ_PENDING},
    };
    for (size_t i = 0; i < LQ_COUNT(tasks); i++)
        plant(w, &tasks[i]);
}

static void enqueue(struct world *w, int count)
{
    lunaq_task tasks[100];
    lunaq_enqueued results[100];
    for (int i = 0; i < 100; i++) {
        tasks[i] = (lunaq_task)LUNAQ_TASK_INIT;
        tasks[i].type = "hello";
        tasks[i].queue = Q;
    }
    for (int done = 0; done < count; done += 100)
        assert_int_equal(lunaq_client_enqueue_many(
                             w->client, tasks,
                             (size_t)(count - done < 100 ? count - done : 100),
                             results, NULL),
                         0);
}

/* ---- both brokers ---------------------------------------------------------
 */

static void check__one_of_each_state__is_clean_and_untouched(void **state)
{
    struct world *w = *state;
    furnish(w);
    int64_t before = things(w);
    struct found found = check(w, NULL, true);
    assert_string_equal(found.kinds, "");
    assert_int_equal(found.sum.queues, 2);
    assert_int_equal(found.sum.tasks, 9);
    assert_int_equal(things(w), before);
}

static void check__many_tasks__all_are_met_in_parts(void **state)
{
    struct world *w = *state;
    enqueue(w, 2600);
    struct found found = check(w, Q, false);
    assert_string_equal(found.kinds, "");
    assert_int_equal(found.sum.tasks, 2600);
}

static void check__unknown_queue__is_not_found(void **state)
{
    struct world *w = *state;
    assert_int_equal(lunaq_queue_check(w->client, "none", NULL, NULL, NULL),
                     LUNAQ_ENOTFOUND);
}

static void check__undecodable__is_archived_with_its_bytes(void **state)
{
    struct world *w = *state;
    struct planted bad = {
        .queue = Q, .id = "bad-1", .state = LUNAQ_RETRY, .msg = "\377\377"};
    lunaq_task_list *list = NULL;
    furnish(w);
    plant(w, &bad);
    assert_string_equal(check(w, Q, false).kinds, " undecodable:bad-1");
    assert_string_equal(check(w, Q, true).kinds, " undecodable:bad-1");
    assert_clean(w);
    assert_int_equal(lunaq_task_find(w->client, Q, "bad-1", &list, NULL), 0);
    const lunaq_task_info *t = lunaq_task_list_at(list, 0);
    assert_int_equal(t->state, LUNAQ_ARCHIVED);
    assert_string_equal(t->type, "lunaq:undecodable");
    assert_int_equal(t->payload_len, 2);
    assert_memory_equal(t->payload, "\377\377", 2);
    lunaq_task_list_free(list);
}

static void check__message_of_another_task__gets_its_own_name(void **state)
{
    struct world *w = *state;
    /* type "t", id "x", queue "y", an unknown field 20 */
    struct planted odd = {.queue = Q,
                          .id = "odd-1",
                          .state = LUNAQ_PENDING,
                          .msg = "\012\001t\032\001x\042\001y\240\001\005"};
    lunaq_task_list *list = NULL;
    plant(w, &odd);
    assert_string_equal(check(w, Q, false).kinds, " wrong-name:odd-1");
    assert_string_equal(check(w, Q, true).kinds, " wrong-name:odd-1");
    assert_clean(w);
    lq_str queue = LQ_STR(Q);
    lq_op_task_get op = {
        .queues = &queue, .queue_count = 1, .id = LQ_STR("odd-1")};
    lq_op_init(&op.op, LQ_OP_TASK_GET);
    carry_out(w, &op.op);
    assert_int_equal(op.count, 1);
    assert_int_equal(op.rows[0].state, LUNAQ_PENDING);
    assert_non_null(
        memmem(op.rows[0].msg.p, op.rows[0].msg.len, "\240\001\005", 3));
    lq_op_release(&op.op);
    lunaq_task_list_free(list);
}

static void check__lock_of_a_task_that_is_gone__is_released(void **state)
{
    struct world *w = *state;
    struct planted done = {.queue = Q,
                           .id = "done-1",
                           .state = LUNAQ_COMPLETED,
                           .lock = K("unique:hello:2")};
    furnish(w);
    plant(w, &done);
    assert_string_equal(check(w, Q, false).kinds,
                        " lock-dead:" K("unique:hello:2"));
    assert_true(locked(w, K("unique:hello:2")));
    assert_int_equal(check(w, Q, true).sum.repaired, 1);
    assert_false(locked(w, K("unique:hello:2")));
    assert_true(locked(w, K("unique:hello:1")));
    assert_clean(w);
}

/* ---- Redis: a table ------------------------------------------------------ */

/* In the order in which a row reads.
 * NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct plan {
    const char *name;
    const char *script; /* what breaks it; KEYS[1] is the queue's prefix */
    const char *kinds;  /* what is found */
    lunaq_state after;  /* of task `id` after the repair; ANY: it is gone */
    const char *id;
    bool kept; /* the fault remains: only a person can mend it */
};

static const struct plan plans[] = {
    {"dangling_pending", "redis.call('LPUSH', k .. 'pending', 'x')",
     " dangling:x", 0, "x", false},
    {"dangling_active_with_lease",
     "redis.call('LPUSH', k .. 'active', 'x') "
     "redis.call('ZADD', k .. 'lease', 9e9, 'x')",
     " dangling:x", 0, "x", false},
    {"dangling_lease", "redis.call('ZADD', k .. 'lease', 9e9, 'x')",
     " dangling:x", 0, "x", false},
    {"dangling_archived", "redis.call('ZADD', k .. 'archived', 1, 'x')",
     " dangling:x", 0, "x", false},
    {"dangling_in_a_group", "redis.call('ZADD', k .. 'g:g:1', 1, 'x')",
     " dangling:x", 0, "x", false},
    {"orphan_pending", "redis.call('LREM', k .. 'pending', 0, 'pending-1')",
     " orphan:pending-1", LUNAQ_PENDING, "pending-1", false},
    {"orphan_active",
     "redis.call('LREM', k .. 'active', 0, 'active-1') "
     "redis.call('ZREM', k .. 'lease', 'active-1')",
     " orphan:active-1", LUNAQ_ACTIVE, "active-1", false},
    {"orphan_scheduled", "redis.call('ZREM', k .. 'scheduled', 'scheduled-1')",
     " orphan:scheduled-1", LUNAQ_SCHEDULED, "scheduled-1", false},
    {"orphan_retry", "redis.call('ZREM', k .. 'retry', 'retry-1')",
     " orphan:retry-1", LUNAQ_RETRY, "retry-1", false},
    {"orphan_archived", "redis.call('ZREM', k .. 'archived', 'archived-1')",
     " orphan:archived-1", LUNAQ_ARCHIVED, "archived-1", false},
    {"orphan_completed", "redis.call('ZREM', k .. 'completed', 'completed-1')",
     " orphan:completed-1", LUNAQ_COMPLETED, "completed-1", false},
    {"orphan_of_a_group", "redis.call('DEL', k .. 'g:g:1', k .. 'groups')",
     " orphan:grouped-1", LUNAQ_AGGREGATING, "grouped-1", false},
    {"orphan_of_no_state",
     "redis.call('ZREM', k .. 'retry', 'retry-1') "
     "redis.call('HSET', k .. 't:retry-1', 'state', 'lost')",
     " orphan:retry-1", LUNAQ_PENDING, "retry-1", false},
    {"twice_pending", "redis.call('RPUSH', k .. 'pending', 'pending-1')",
     " twice:pending-1", LUNAQ_PENDING, "pending-1", false},
    {"twice_active", "redis.call('RPUSH', k .. 'active', 'active-1')",
     " twice:active-1", LUNAQ_ACTIVE, "active-1", false},
    {"two_places", "redis.call('ZADD', k .. 'retry', 5, 'pending-1')",
     " two-places:pending-1", LUNAQ_PENDING, "pending-1", false},
    {"pending_and_active", "redis.call('LPUSH', k .. 'pending', 'active-1')",
     " two-places:active-1", LUNAQ_ACTIVE, "active-1", false},
    {"two_groups",
     "redis.call('ZADD', k .. 'g:h', 5, 'grouped-1') "
     "redis.call('SADD', k .. 'groups', 'h')",
     " two-places:grouped-1", LUNAQ_AGGREGATING, "grouped-1", false},
    {"wrong_state",
     "redis.call('HSET', k .. 't:archived-1', 'state', 'active')",
     " wrong-state:archived-1", LUNAQ_ARCHIVED, "archived-1", false},
    {"unknown_state",
     "redis.call('HSET', k .. 't:archived-1', 'state', 'dead')",
     " wrong-state:archived-1", LUNAQ_ARCHIVED, "archived-1", false},
    {"no_state", "redis.call('HDEL', k .. 't:archived-1', 'state')",
     " wrong-state:archived-1", LUNAQ_ARCHIVED, "archived-1", false},
    {"another_group", "redis.call('HSET', k .. 't:grouped-1', 'group', 'h')",
     " wrong-state:grouped-1", LUNAQ_AGGREGATING, "grouped-1", false},
    {"no_lease", "redis.call('ZREM', k .. 'lease', 'active-1')",
     " no-lease:active-1", LUNAQ_ACTIVE, "active-1", false},
    {"lease_without_active", "redis.call('LREM', k .. 'active', 0, 'active-1')",
     " lease-only:active-1", LUNAQ_ACTIVE, "active-1", false},
    {"lease_of_a_pending", "redis.call('ZADD', k .. 'lease', 9, 'pending-1')",
     " lease-only:pending-1", LUNAQ_PENDING, "pending-1", false},
    {"no_message", "redis.call('HDEL', k .. 't:pending-1', 'msg')",
     " no-message:pending-1", 0, "pending-1", false},
    {"only_a_result", "redis.call('HSET', k .. 't:x', 'result', 'r')",
     " no-message:x", LUNAQ_ARCHIVED, "x", false},
    {"key_is_a_string",
     "redis.call('DEL', k .. 't:pending-1') "
     "redis.call('SET', k .. 't:pending-1', 'bytes')",
     " task-type:pending-1", LUNAQ_ARCHIVED, "pending-1", false},
    {"key_is_a_list",
     "redis.call('DEL', k .. 't:pending-1') "
     "redis.call('RPUSH', k .. 't:pending-1', 'bytes')",
     " task-type:pending-1", LUNAQ_ARCHIVED, "pending-1", false},
    {"fraction", "redis.call('ZADD', k .. 'retry', 5.5, 'retry-1')",
     " score:retry-1", LUNAQ_RETRY, "retry-1", false},
    {"infinite", "redis.call('ZADD', k .. 'retry', '+inf', 'retry-1')",
     " score:retry-1", LUNAQ_RETRY, "retry-1", false},
    {"group_without_tasks", "redis.call('SADD', k .. 'groups', 'h')",
     " group-empty:h", 0, "x", false},
    {"group_without_name", "redis.call('SREM', k .. 'groups', 'g:1')",
     " group-unnamed:g:1", LUNAQ_AGGREGATING, "grouped-1", false},
    {"set_without_tasks",
     "redis.call('ZADD', k .. 'aggregation_sets', 9e9, k .. 'g:g:1:s')",
     " set-missing:" K("g:g:1:s"), 0, "x", false},
    {"set_that_ended",
     "redis.call('RENAME', k .. 'g:g:1', k .. 'g:g:1:s') "
     "redis.call('SREM', k .. 'groups', 'g:1') "
     "redis.call('ZADD', k .. 'aggregation_sets', 9, k .. 'g:g:1:s')",
     " set-stale:" K("g:g:1:s"), LUNAQ_AGGREGATING, "grouped-1", false},
    {"set_that_is_not_listed",
     "redis.call('RENAME', k .. 'g:g:1', k .. 'g:g:1:s') "
     "redis.call('SREM', k .. 'groups', 'g:1')",
     " set-unowned:" K("g:g:1:s"), LUNAQ_AGGREGATING, "grouped-1", false},
    {"set_at_work",
     "redis.call('RENAME', k .. 'g:g:1', k .. 'g:g:1:s') "
     "redis.call('SREM', k .. 'groups', 'g:1') "
     "redis.call('ZADD', k .. 'aggregation_sets', 9e9, k .. 'g:g:1:s')",
     "", LUNAQ_AGGREGATING, "grouped-1", false},
    {"lock_of_nobody", "redis.call('SET', k .. 'unique:a:', 'x', 'EX', 60)",
     " lock-dead:" K("unique:a:"), 0, "x", false},
    {"lock_without_end", "redis.call('PERSIST', k .. 'unique:hello:1')",
     " lock-forever:" K("unique:hello:1"), LUNAQ_PENDING, "pending-2", false},
    {"counter_of_letters", "redis.call('SET', k .. 'processed', 'many')",
     " counter:" K("processed"), 0, "x", false},
    {"day_without_end", "redis.call('SET', k .. 'failed:2026-01-01', 0)",
     " counter:" K("failed:2026-01-01"), 0, "x", false},
    {"more_failed_than_processed",
     "redis.call('SET', k .. 'failed:2026-01-01', 3, 'EX', 600)",
     " counter:" K("failed:2026-01-01"), 0, "x", false},
    {"own_counter", "redis.call('SET', 'lunaq:{orders}:dropped', 'many')",
     " counter:lunaq:{orders}:dropped", 0, "x", false},
    {"queue_not_listed", "redis.call('SREM', 'asynq:queues', 'other')",
     " queue-unknown:other", 0, "x", false},
    {"archived_is_a_list",
     "redis.call('DEL', k .. 'archived', k .. 't:archived-1') "
     "redis.call('RPUSH', k .. 'archived', 'x')",
     " key-type:" K("archived"), 0, "x", true},
    {"archived_is_a_list_and_a_task_of_it_is_there",
     "redis.call('DEL', k .. 'archived') "
     "redis.call('RPUSH', k .. 'archived', 'x')",
     " key-type:" K("archived") " orphan:archived-1", 0, "x", true},
    {"pending_is_a_string_and_a_task_of_it_is_there",
     "redis.call('DEL', k .. 'pending', k .. 't:pending-2', "
     "k .. 'unique:hello:1') redis.call('SET', k .. 'pending', 'x')",
     " key-type:" K("pending") " orphan:pending-1", 0, "x", true},
    {"archived_is_a_list_and_a_message_is_unreadable",
     "redis.call('DEL', k .. 'archived', k .. 't:archived-1') "
     "redis.call('RPUSH', k .. 'archived', 'x') "
     "redis.call('HSET', k .. 't:retry-1', 'msg', '?')",
     " key-type:" K("archived") " undecodable:retry-1", 0, "x", true},
    {"set_is_a_string",
     "redis.call('ZADD', k .. 'aggregation_sets', 9, k .. 'g:g:1:s') "
     "redis.call('SET', k .. 'g:g:1:s', 'x')",
     " key-type:" K("g:g:1:s") " key-type:" K("g:g:1:s"), 0, "x", true},
    {"set_that_ended_of_a_group_that_is_a_string",
     "redis.call('RENAME', k .. 'g:g:1', k .. 'g:g:1:s') "
     "redis.call('SET', k .. 'g:g:1', 'x') "
     "redis.call('ZADD', k .. 'aggregation_sets', 9, k .. 'g:g:1:s')",
     " set-stale:" K("g:g:1:s") " key-type:" K("g:g:1"), 0, "x", true},
    {"set_not_listed_and_groups_is_a_string",
     "redis.call('RENAME', k .. 'g:g:1', k .. 'g:g:1:s') "
     "redis.call('DEL', k .. 'groups') redis.call('SET', k .. 'groups', 'x')",
     " key-type:" K("groups") " set-unowned:" K("g:g:1:s"), 0, "x", true},
    {"groups_is_a_string",
     "redis.call('DEL', k .. 'groups') redis.call('SET', k .. 'groups', 'x')",
     " key-type:" K("groups") " group-unnamed:g:1", 0, "x", true},
    {"own_key_is_a_list", "redis.call('RPUSH', 'lunaq:{orders}:cron', 'x')",
     " key-type:lunaq:{orders}:cron", 0, "x", true},
};

static void assert_after(struct world *w, const struct plan *p)
{
    lq_str queue = LQ_STR(Q);
    lq_op_task_get op = {
        .queues = &queue, .queue_count = 1, .id = lq_str_c(p->id)};
    lq_op_init(&op.op, LQ_OP_TASK_GET);
    carry_out(w, &op.op);
    assert_int_equal(op.count, p->after ? 1 : 0);
    if (p->after) {
        assert_int_equal(op.rows[0].state, p->after);
        assert_true(op.rows[0].msg.len > 0);
    }
    lq_op_release(&op.op);
}

/* All that there is, in short. */
static char *digest(struct world *w)
{
    return redis_text(w, "EVAL",
                      "local all = redis.call('KEYS', '*') table.sort(all) "
                      "for i, key in ipairs(all) do all[i] = key .. "
                      "redis.call('DUMP', key) end "
                      "return redis.sha1hex(table.concat(all))",
                      "0", NULL);
}

static void check__a_fault__is_found_mended_and_gone(void **state)
{
    struct world *w = *state;
    const struct plan *p = w->own;
    char script[800];
    furnish(w);
    assert_clean(w);
    snprintf(script, sizeof script, "local k = KEYS[1] %s return 'ok'",
             p->script);
    free(redis_text(w, "EVAL", script, "1", K(""), NULL));
    char *before = digest(w);
    assert_string_equal(check(w, NULL, false).kinds, p->kinds);
    char *after = digest(w);
    assert_string_equal(before, after); /* looking changes nothing */
    free(before);
    free(after);
    struct found found = check(w, NULL, true);
    assert_string_equal(found.kinds, p->kinds);
    assert_int_equal(found.sum.repaired, p->kept ? 0 : found.count);
    if (p->kept) {
        assert_string_equal(check(w, NULL, false).kinds, p->kinds);
        return;
    }
    assert_clean(w);
    assert_sound(w, Q);
    assert_after(w, p);
}

static void check__queue_that_is_not_listed__is_looked_over(void **state)
{
    struct world *w = *state;
    furnish(w);
    redis_int(w, "SREM", "asynq:queues", "other", NULL);
    redis_int(w, "LPUSH", "asynq:{other}:pending", "ghost", NULL);
    struct found found = check(w, NULL, false);
    assert_string_equal(found.kinds, " queue-unknown:other dangling:ghost");
    assert_int_equal(found.sum.queues, 2);
    assert_int_equal(check(w, NULL, true).sum.repaired, 2);
    assert_clean(w);
}

/* What moves while it is walked over is no fault. */
static void check__while_tasks_move__finds_nothing_false(void **state)
{
    struct world *w = *state;
    furnish(w);
    enqueue(w, 3000);
    for (int round = 0; round < 5; round++) {
        lq_check_memo memo = {0};
        lq_op_check op = {.queue = LQ_STR(Q), .repair = true, .memo = &memo};
        do {
            lq_op_init(&op.op, LQ_OP_CHECK);
            carry_out(w, &op.op);
            for (size_t i = 0; i < op.count; i++)
                print_error("%s %.*s: %.*s\n", lq_fault_name(op.faults[i].kind),
                            LQ_STR_ARG(op.faults[i].id),
                            LQ_STR_ARG(op.faults[i].detail));
            assert_int_equal(op.count, 0);
            /* Between two parts: some are taken, settled, enqueued. */
            free(redis_text(
                w, "EVAL",
                "local k = KEYS[1] "
                "for i = 1, 40 do local id = redis.call('RPOPLPUSH', "
                "k .. 'pending', k .. 'active') if not id then break end "
                "redis.call('ZADD', k .. 'lease', 9e9, id) "
                "redis.call('HSET', k .. 't:' .. id, 'state', 'active') "
                "end "
                "for i = 1, 30 do local id = redis.call('RPOP', k .. 'active')"
                "if not id then break end "
                "redis.call('ZREM', k .. 'lease', id) if i % 3 == 0 then "
                "redis.call('ZADD', k .. 'retry', 5, id) "
                "redis.call('HSET', k .. 't:' .. id, 'state', 'retry') "
                "else redis.call('DEL', k .. 't:' .. id) end end "
                "local late = redis.call('ZRANGE', k .. 'retry', 0, 4) "
                "for _, id in ipairs(late) do "
                "redis.call('ZREM', k .. 'retry', id) "
                "redis.call('LPUSH', k .. 'pending', id) "
                "redis.call('HSET', k .. 't:' .. id, 'state', 'pending') "
                "end return 'ok'",
                "1", K(""), NULL));
            enqueue(w, 20);
        } while (op.more);
        lq_op_release(&op.op);
        lq_check_memo_release(&memo);
    }
    assert_sound(w, Q);
}

/* ---- SQLite: a table ------------------------------------------------------
 */

static const struct plan rows[] = {
    {"no_such_state", "UPDATE task SET state = 9 WHERE id = 'retry-1'",
     " wrong-state:retry-1", LUNAQ_PENDING, "retry-1", false},
    {"no_group", "UPDATE task SET group_key = NULL WHERE id = 'grouped-1'",
     " wrong-state:grouped-1", LUNAQ_AGGREGATING, "grouped-1", false},
    {"lease_of_a_pending", "UPDATE task SET token = 7 WHERE id = 'retry-1'",
     " lease-only:retry-1", LUNAQ_RETRY, "retry-1", false},
    {"no_whole_second", "UPDATE task SET at_ms = 1500 WHERE id = 'retry-1'",
     " score:retry-1", LUNAQ_RETRY, "retry-1", false},
    {"no_time", "UPDATE task SET at_ms = 'noon' WHERE id = 'archived-1'",
     " score:archived-1", LUNAQ_ARCHIVED, "archived-1", false},
    {"no_message", "UPDATE task SET msg = '' WHERE id = 'retry-1'",
     " undecodable:retry-1", LUNAQ_ARCHIVED, "retry-1", false},
    {"same_place",
     "UPDATE task SET place = 1 WHERE id LIKE 'pending-%' AND queue ="
     " (SELECT queue FROM queue WHERE name = 'orders')",
     " place:pending-2", LUNAQ_PENDING, "pending-2", false},
    {"more_failed_than_processed",
     "INSERT INTO stat VALUES ((SELECT queue FROM queue"
     " WHERE name = 'orders'), 20000, 1, 2)",
     " counter:failed of day 20000", 0, "x", false},
    {"queue_gone", "DELETE FROM queue WHERE name = 'other'",
     " no-queue:pending-1", 0, "x", false},
    {"set_that_is_gone", "UPDATE task SET token = 7 WHERE id = 'grouped-1'",
     " set-unowned:grouped-1", LUNAQ_AGGREGATING, "grouped-1", false},
    {"lock_of_no_queue",
     "INSERT INTO unique_lock VALUES ('k', 99, 'x', 9999999999999)",
     " no-queue:rest", 0, "x", false},
};

static void check__a_bad_row__is_found_mended_and_gone(void **state)
{
    struct world *w = *state;
    const struct plan *p = w->own;
    sqlite3 *db = NULL;
    furnish(w);
    assert_clean(w);
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, p->script, NULL, NULL, NULL), SQLITE_OK);
    assert_true(sqlite3_total_changes(db) > 0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_string_equal(check(w, NULL, false).kinds, p->kinds);
    struct found found = check(w, NULL, true);
    assert_string_equal(found.kinds, p->kinds);
    assert_int_equal(found.sum.repaired, found.count);
    assert_clean(w);
    assert_sound(w, Q);
    assert_after(w, p);
}

/* What only a person can mend: it is told, and nothing is done. */
/* However many: by one run. */
static void check__many_tasks_of_no_queue__all_come_home(void **state)
{
    struct world *w = *state;
    struct found found = {.sum.size = sizeof found.sum};
    lunaq_check_options o = LUNAQ_CHECK_OPTIONS_INIT;
    sqlite3 *db = NULL;
    enqueue(w, 1100);
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE task SET queue = 99", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(lunaq_queue_check(w->client, NULL, &o, &found.sum, NULL),
                     0);
    assert_int_equal(found.sum.faults, 1100);
    o.repair = true;
    assert_int_equal(lunaq_queue_check(w->client, NULL, &o, &found.sum, NULL),
                     0);
    assert_int_equal(found.sum.repaired, 1100);
    assert_int_equal(count_of(w, Q, LUNAQ_PENDING), 1100);
}

static void check__damaged_file__is_told(void **state)
{
    struct world *w = *state;
    sqlite3 *db = NULL;
    furnish(w);
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "PRAGMA writable_schema = ON;"
                                  "DELETE FROM sqlite_schema"
                                  " WHERE name = 'task_retry'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    struct found found = check(w, NULL, true);
    assert_string_equal(found.kinds, " file:file");
    assert_int_equal(found.sum.repaired, 0);
}

/* ---- all ------------------------------------------------------------------
 */

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)
#define ROW(f, row)                                                            \
    (struct CMUnitTest)                                                        \
    {                                                                          \
        (row)->name, f, world_begin, world_end, (void *)(uintptr_t)(row)       \
    }

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(check__one_of_each_state__is_clean_and_untouched),
        TEST(check__many_tasks__all_are_met_in_parts),
        TEST(check__unknown_queue__is_not_found),
        TEST(check__undecodable__is_archived_with_its_bytes),
        TEST(check__message_of_another_task__gets_its_own_name),
        TEST(check__lock_of_a_task_that_is_gone__is_released),
    };
    struct CMUnitTest redis_only[LQ_COUNT(plans) + 2];
    struct CMUnitTest sqlite_only[LQ_COUNT(rows) + 2];
    for (size_t i = 0; i < LQ_COUNT(plans); i++)
        redis_only[i] =
            ROW(check__a_fault__is_found_mended_and_gone, &plans[i]);
    redis_only[LQ_COUNT(plans) + 1] = (struct CMUnitTest)TEST(
        check__queue_that_is_not_listed__is_looked_over);
    redis_only[LQ_COUNT(plans)] =
        (struct CMUnitTest)TEST(check__while_tasks_move__finds_nothing_false);
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        sqlite_only[i] =
            ROW(check__a_bad_row__is_found_mended_and_gone, &rows[i]);
    sqlite_only[LQ_COUNT(rows)] =
        (struct CMUnitTest)TEST(check__damaged_file__is_told);
    sqlite_only[LQ_COUNT(rows) + 1] =
        (struct CMUnitTest)TEST(check__many_tasks_of_no_queue__all_come_home);
    int failed = world_run("inspect_check", tests, LQ_COUNT(tests), redis_only,
                           LQ_COUNT(redis_only), argc, argv);
    return failed + world_run_on(&inspected_sqlite, "inspect_check rows",
                                 sqlite_only, LQ_COUNT(sqlite_only));
}
