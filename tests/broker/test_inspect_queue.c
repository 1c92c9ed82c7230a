/* Queues in numbers; pausing and removing them. */
#include "inspect_world.h"

#include "base/clock.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define Q "orders"
#define K(rest) "asynq:{" Q "}:" rest

static void plant_in(struct world *w, const char *queue, lunaq_state state,
                     const char *id, const char *group)
{
    struct planted p = {
        .queue = queue, .id = id, .state = state, .group = group};
    plant(w, &p);
}

/* ---- numbers --------------------------------------------------------------
 */

/* Another number of tasks in each state, so that none stands for another. */
static void plant_states(struct world *w)
{
    static const struct {
        lunaq_state state;
        int count;
    } rows[] = {{LUNAQ_ACTIVE, 3},    {LUNAQ_SCHEDULED, 4},
                {LUNAQ_RETRY, 5},     {LUNAQ_ARCHIVED, 6},
                {LUNAQ_COMPLETED, 7}, {LUNAQ_AGGREGATING, 8}};
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        for (int k = 0; k < rows[i].count; k++) {
            char id[32];
            snprintf(id, sizeof id, "%s%d", lunaq_state_name(rows[i].state), k);
            plant_in(w, Q, rows[i].state, id,
                     rows[i].state != LUNAQ_AGGREGATING ? NULL
                     : k                                ? "x"
                                                        : "y");
        }
}

static void stats__each_state__counts_its_tasks(void **state)
{
    struct world *w = *state;
    struct planted waits = {.queue = Q,
                            .id = "p",
                            .state = LUNAQ_PENDING,
                            .score = lq_now_ms() / 1000 - 90};
    plant(w, &waits);
    plant_states(w);
    plant_queue(w, Q,
                &(lq_queue_copy){.paused_ms = 1700000000000,
                                 .processed = INT64_MAX,
                                 .failed = 9,
                                 .processed_on = {5},
                                 .failed_on = {2}});

    lunaq_queue_list *list = NULL;
    assert_int_equal(lunaq_queue_list_open(w->client, Q, &list, NULL), 0);
    assert_int_equal(lunaq_queue_list_count(list), 1);
    const lunaq_queue_info *q = lunaq_queue_list_at(list, 0);
    assert_string_equal(q->name, Q);
    assert_int_equal(q->pending, 1);
    assert_int_equal(q->active, 3);
    assert_int_equal(q->scheduled, 4);
    assert_int_equal(q->retry, 5);
    assert_int_equal(q->archived, 6);
    assert_int_equal(q->completed, 7);
    assert_int_equal(q->aggregating, 8);
    assert_int_equal(q->groups, 2);
    assert_int_equal(q->processed_today, 5);
    assert_int_equal(q->failed_today, 2);
    assert_true(q->processed_total == INT64_MAX);
    assert_int_equal(q->failed_total, 9);
    assert_in_range(q->latency_ms, 89000, 110000);
    assert_int_equal(q->paused_at, 1700000000000);
    lunaq_queue_list_free(list);
}

static void queues__all__are_sorted(void **state)
{
    struct world *w = *state;
    lunaq_queue_list *list = NULL;
    plant_in(w, "b", LUNAQ_PENDING, "1", NULL);
    plant_in(w, "a", LUNAQ_PENDING, "1", NULL);
    plant_in(w, "ab", LUNAQ_PENDING, "1", NULL);
    assert_int_equal(lunaq_queue_list_open(w->client, NULL, &list, NULL), 0);
    assert_int_equal(lunaq_queue_list_count(list), 3);
    assert_string_equal(lunaq_queue_list_at(list, 0)->name, "a");
    assert_string_equal(lunaq_queue_list_at(list, 1)->name, "ab");
    assert_string_equal(lunaq_queue_list_at(list, 2)->name, "b");
    lunaq_queue_list_free(list);
}

static void queues__unknown__names_the_known(void **state)
{
    struct world *w = *state;
    lunaq_queue_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    plant_in(w, "email", LUNAQ_PENDING, "1", NULL);
    assert_int_equal(lunaq_queue_list_open(w->client, "emial", &list, &err),
                     LUNAQ_ENOTFOUND);
    assert_string_equal(err.message, "no queue 'emial' (known: email)");
}

static void history__days_back__missing_ones_are_zero(void **state)
{
    struct world *w = *state;
    int64_t processed[4], failed[4];
    plant_queue(w, Q,
                &(lq_queue_copy){.processed_on = {5}, .failed_on = {0, 0, 7}});
    assert_int_equal(
        lunaq_queue_history(w->client, Q, 4, processed, failed, NULL), 0);
    assert_int_equal(processed[0], 5);
    assert_int_equal(processed[1], 0);
    assert_int_equal(failed[2], 7);
    assert_int_equal(failed[3], 0);
    assert_int_equal(
        lunaq_queue_history(w->client, Q, 0, processed, failed, NULL),
        LUNAQ_EINVAL);
    assert_int_equal(
        lunaq_queue_history(w->client, Q, 91, processed, failed, NULL),
        LUNAQ_EINVAL);
    assert_int_equal(
        lunaq_queue_history(w->client, "none", 1, processed, failed, NULL),
        LUNAQ_ENOTFOUND);
}

/* ---- pausing --------------------------------------------------------------
 */

static int64_t paused_at(struct world *w)
{
    lunaq_queue_list *list = NULL;
    assert_int_equal(lunaq_queue_list_open(w->client, Q, &list, NULL), 0);
    int64_t at = lunaq_queue_list_at(list, 0)->paused_at;
    lunaq_queue_list_free(list);
    return at;
}

static void pause__twice_and_back__says_when_it_already_is_so(void **state)
{
    struct world *w = *state;
    plant_in(w, Q, LUNAQ_PENDING, "p", NULL);
    assert_int_equal(lunaq_queue_resume(w->client, Q, NULL), LUNAQ_ESTATE);
    assert_int_equal(lunaq_queue_pause(w->client, Q, NULL), 0);
    assert_in_range(paused_at(w), lq_now_ms() - 10000, lq_now_ms() + 10000);
    assert_int_equal(lunaq_queue_pause(w->client, Q, NULL), LUNAQ_ESTATE);
    assert_int_equal(lunaq_queue_resume(w->client, Q, NULL), 0);
    assert_int_equal(paused_at(w), 0);
}

static void pause__unknown_queue__is_not_found_and_leaves_nothing(void **state)
{
    struct world *w = *state;
    assert_int_equal(lunaq_queue_pause(w->client, "tpyo", NULL),
                     LUNAQ_ENOTFOUND);
    assert_int_equal(things(w), 0);
}

static void never_told(void *ud, const lunaq_node *node)
{
    (void)ud;
    (void)node;
    fail();
}

static void place__no_cluster__says_so(void **state)
{
    struct world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int64_t slot = -7;
    assert_int_equal(
        lunaq_queue_place(w->client, "email", &slot, never_told, NULL, &err),
        LUNAQ_ESTATE);
    assert_non_null(strstr(err.message, "no Redis Cluster"));
    assert_int_equal(
        lunaq_queue_place(w->client, "", &slot, never_told, NULL, &err),
        LUNAQ_EINVAL);
    assert_int_equal(
        lunaq_queue_place(NULL, "email", &slot, never_told, NULL, &err),
        LUNAQ_EINVAL);
    assert_int_equal(slot, -7);
}

/* ---- removing -------------------------------------------------------------
 */

/* Everything that can belong to a queue, and a neighbour. */
static void furnish(struct world *w)
{
    char id[32];
    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof id, "p%d", i);
        plant_in(w, Q, LUNAQ_PENDING, id, NULL);
    }
    free(redis_text(w, "EVAL",
                    "for i = 1, 2000 do redis.call('HSET', KEYS[1] .. 't:m' "
                    ".. i, 'state', 'pending') redis.call('LPUSH', KEYS[1] .. "
                    "'pending', 'm' .. i) end return 'ok'",
                    "1", K(""), NULL));
    plant_in(w, Q, LUNAQ_SCHEDULED, "s", NULL);
    plant_in(w, Q, LUNAQ_RETRY, "r", NULL);
    plant_in(w, Q, LUNAQ_ARCHIVED, "d", NULL);
    plant_in(w, Q, LUNAQ_COMPLETED, "c", NULL);
    plant_in(w, Q, LUNAQ_AGGREGATING, "g", "x:y");
    free(redis_text(w, "SET", K("unique:hello:1"), "gone", NULL));
    free(redis_text(w, "SET", K("processed"), "1", NULL));
    free(redis_text(w, "SET", K("failed:2026-01-01"), "1", NULL));
    redis_int(w, "HSET", K("t:orphan"), "state", "retry", NULL);
    redis_int(w, "ZADD", K("g:x:set"), "1", "in-set", NULL);
    redis_int(w, "HSET", K("t:in-set"), "state", "aggregating", NULL);
    redis_int(w, "ZADD", K("aggregation_sets"), "1", K("g:x:set"), NULL);
    redis_int(w, "HSET", "lunaq:{" Q "}:cron", "e", "1", NULL);
    redis_int(w, "HSET", "lunaq:{" Q "}:limits", "archive_max", "5", NULL);
    redis_int(w, "HSET", "lunaq:{" Q "}:groups", "x", "1 1 y", NULL);
    redis_int(w, "INCRBY", "lunaq:{" Q "}:dropped", "5", NULL);
    free(redis_text(w, "SET", K("paused"), "1", NULL));
}

static void remove__all_that_belongs_to_it__is_gone(void **state)
{
    struct world *w = *state;
    furnish(w);
    plant_in(w, Q "2", LUNAQ_PENDING, "neighbour", NULL);
    redis_int(w, "HSET", "lunaq:{" Q "2}:cron", "e", "1", NULL);
    assert_int_equal(lunaq_queue_remove(w->client, Q, 1, NULL), 0);
    char *keys = redis_text(w, "KEYS", "*{" Q "}*", NULL);
    assert_string_equal(keys, "*0\r\n");
    free(keys);
    assert_int_equal(redis_int(w, "SISMEMBER", "asynq:queues", Q, NULL), 0);
    /* asynq:queues, the neighbour's task, list and entry */
    assert_int_equal(redis_int(w, "DBSIZE", NULL), 4);
}

static void remove__name_that_is_a_pattern__takes_no_neighbour(void **state)
{
    struct world *w = *state;
    plant_in(w, "a*[b]\\?", LUNAQ_PENDING, "1", NULL);
    plant_in(w, "axyb\\z", LUNAQ_PENDING, "1", NULL);
    plant_in(w, "aX[b]\\?", LUNAQ_PENDING, "1", NULL);
    assert_int_equal(lunaq_queue_remove(w->client, "a*[b]\\?", 1, NULL), 0);
    assert_int_equal(redis_int(w, "DBSIZE", NULL), 5);
}

static void remove__tasks_counters_and_locks__only_its_own(void **state)
{
    struct world *w = *state;
    lq_queue_copy copy = {
        .processed = 3, .processed_on = {2, 1}, .failed_on = {1}};
    lq_copy_cron cron = {LQ_STR("e"), 1700000000000};
    struct planted holder = {.queue = Q,
                             .id = "r",
                             .state = LUNAQ_RETRY,
                             .lock = K("unique:hello:1")};
    copy.crons = &cron;
    copy.cron_count = 1;
    plant_in(w, Q "2", LUNAQ_PENDING, "neighbour", NULL);
    plant_queue(w, Q "2", &copy);
    int64_t before = things(w);
    plant_pending(w, Q, "many-", 1200);
    plant_queue(w, Q, &copy);
    plant(w, &holder);
    plant_in(w, Q, LUNAQ_AGGREGATING, "g", "x:y");
    assert_true(things(w) > before);
    assert_int_equal(lunaq_queue_remove(w->client, Q, 1, NULL), 0);
    assert_int_equal(things(w), before);
    assert_false(locked(w, K("unique:hello:1")));
    assert_int_equal(lunaq_queue_pause(w->client, Q, NULL), LUNAQ_ENOTFOUND);
}

static void remove__with_tasks_and_no_force__changes_nothing(void **state)
{
    struct world *w = *state;
    static const lunaq_state states[] = {LUNAQ_PENDING,   LUNAQ_SCHEDULED,
                                         LUNAQ_RETRY,     LUNAQ_ARCHIVED,
                                         LUNAQ_COMPLETED, LUNAQ_AGGREGATING};
    for (size_t i = 0; i < LQ_COUNT(states); i++) {
        char name[8];
        snprintf(name, sizeof name, "%zu", i);
        plant_in(w, name, states[i], "t",
                 states[i] == LUNAQ_AGGREGATING ? "g" : NULL);
        int64_t before = things(w);
        assert_int_equal(lunaq_queue_remove(w->client, name, 0, NULL),
                         LUNAQ_ESTATE);
        assert_int_equal(things(w), before);
    }
}

static void remove__with_active_tasks__is_refused_even_by_force(void **state)
{
    struct world *w = *state;
    struct planted held = {.queue = Q,
                           .id = "a",
                           .state = LUNAQ_ACTIVE,
                           .score = lq_now_ms() / 1000 - 10};
    plant(w, &held);
    int64_t before = things(w);
    assert_int_equal(lunaq_queue_remove(w->client, Q, 1, NULL), LUNAQ_ESTATE);
    assert_int_equal(things(w), before);
}

static void remove__active_tasks_that_nobody_holds__needs_force(void **state)
{
    struct world *w = *state;
    int64_t before = things(w);
    plant_in(w, Q, LUNAQ_ACTIVE, "a", NULL); /* its lease ended long ago */
    assert_int_equal(lunaq_queue_remove(w->client, Q, 0, NULL), LUNAQ_ESTATE);
    assert_int_equal(count_of(w, Q, LUNAQ_ACTIVE), 1);
    assert_int_equal(lunaq_queue_remove(w->client, Q, 1, NULL), 0);
    assert_int_equal(things(w), before);
}

static void memory__grows_with_what_tasks_hold(void **state)
{
    struct world *w = *state;
    lunaq_queue_list *list = NULL;
    char payload[2000] = "";
    int64_t bytes[2];
    lunaq_task task = LUNAQ_TASK_INIT;
    task.type = "hello";
    task.queue = Q;
    plant_in(w, Q, LUNAQ_AGGREGATING, "g", "x");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lunaq_queue_list_open(w->client, Q, &list, NULL), 0);
        bytes[i] = lunaq_queue_list_at(list, 0)->memory_bytes;
        lunaq_queue_list_free(list);
        task.payload = payload;
        task.payload_len = sizeof payload;
        for (int k = 0; i == 0 && k < 30; k++)
            assert_int_equal(lunaq_client_enqueue(w->client, &task, NULL, NULL),
                             0);
    }
    assert_in_range(bytes[0], 50, 2000);
    assert_in_range(bytes[1], 30 * 2000, 30 * 4000);
}

/* Some services do not allow it. */
static void memory__without_the_command__is_still_known(void **state)
{
    struct world *w = *state;
    lunaq_queue_list *list = NULL;
    for (int i = 0; i < 3; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        plant_in(w, Q, LUNAQ_RETRY, id, NULL);
    }
    free(redis_text(w, "ACL", "SETUSER", "default", "-memory", NULL));
    int rc = lunaq_queue_list_open(w->client, Q, &list, NULL);
    free(redis_text(w, "ACL", "SETUSER", "default", "+memory", NULL));
    assert_int_equal(rc, 0);
    assert_in_range(lunaq_queue_list_at(list, 0)->memory_bytes, 300, 3000);
    lunaq_queue_list_free(list);
}

/* Whatever is broken in it: it can be got rid of. */
static void remove__keys_of_wrong_types__leaves_nothing(void **state)
{
    static const char *const keys[] = {
        "pending",  "active",    "lease",  "scheduled",       "retry",
        "archived", "completed", "groups", "aggregation_sets"};
    struct world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    for (size_t i = 0; i < LQ_COUNT(keys); i++) {
        char key[64];
        furnish(w);
        snprintf(key, sizeof key, "asynq:{" Q "}:%s", keys[i]);
        free(redis_text(w, "DEL", key, NULL));
        free(redis_text(w, "SET", key, "x", NULL));
        assert_int_equal(lunaq_queue_remove(w->client, Q, false, &err),
                         LUNAQ_ESTATE);
        if (lunaq_queue_remove(w->client, Q, true, &err))
            fail_msg("%s: %s", keys[i], err.message);
        assert_int_equal(things(w), 0);
    }
}

/* As Asynq leaves them, whose recoverer does not announce a group. */
static void remove__group_without_a_name__is_gone(void **state)
{
    struct world *w = *state;
    furnish(w);
    redis_int(w, "SREM", K("groups"), "x:y", NULL);
    redis_int(w, "ZADD", K("g:lost:set"), "1", "nowhere", NULL);
    assert_int_equal(lunaq_queue_remove(w->client, Q, true, NULL), 0);
    assert_int_equal(things(w), 0);
}

/* A task that no list knows of is a task. */
static void remove__task_that_is_nowhere__needs_force(void **state)
{
    struct world *w = *state;
    plant_in(w, Q, LUNAQ_AGGREGATING, "g", "x:y");
    redis_int(w, "SREM", K("groups"), "x:y", NULL);
    int64_t before = things(w);
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_int_equal(lunaq_queue_remove(w->client, Q, false, &err),
                     LUNAQ_ESTATE);
    assert_non_null(strstr(err.message, "fsck --repair"));
    assert_int_equal(things(w), before); /* nor is it paused now */
    assert_int_equal(lunaq_queue_remove(w->client, Q, true, NULL), 0);
    assert_int_equal(things(w), 0);
    /* Nothing but what is no task goes without. */
    plant_in(w, Q, LUNAQ_PENDING, "one", NULL);
    assert_int_equal(lunaq_task_delete(w->client, Q, "one", NULL), 0);
    redis_int(w, "HSET", "lunaq:{" Q "}:cron", "e", "1", NULL);
    assert_int_equal(lunaq_queue_remove(w->client, Q, false, NULL), 0);
    assert_int_equal(things(w), 0);
}

static void remove__unknown_queue__is_not_found(void **state)
{
    struct world *w = *state;
    assert_int_equal(lunaq_queue_remove(w->client, "none", 1, NULL),
                     LUNAQ_ENOTFOUND);
}

static void remove__then_enqueue__the_queue_is_known_again(void **state)
{
    struct world *w = *state;
    lunaq_task task = LUNAQ_TASK_INIT;
    task.type = "hello";
    task.queue = Q;
    assert_int_equal(lunaq_client_enqueue(w->client, &task, NULL, NULL), 0);
    assert_int_equal(lunaq_queue_remove(w->client, Q, 1, NULL), 0);
    assert_int_equal(lunaq_client_enqueue(w->client, &task, NULL, NULL), 0);
    assert_int_equal(count_of(w, Q, LUNAQ_PENDING), 1);
}

/* ---- a queue file: every table that knows queues --------------------------
 */

static int64_t ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int64_t n = -1;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    if (sqlite3_step(s) == SQLITE_ROW)
        n = sqlite3_column_int64(s, 0);
    (void)sqlite3_finalize(s);
    return n;
}

/* Puts a row of the queue into each table that has a column of that name, or
 * counts them. */
static int64_t rows_of_queue(sqlite3 *db, int64_t queue, bool fill)
{
    static const char tables_sql[] =
        "SELECT m.name, (SELECT group_concat(CASE WHEN c.name = 'queue'"
        " THEN '?1' WHEN c.type = 'INTEGER' THEN '4711' ELSE quote('x') END)"
        " FROM pragma_table_info(m.name) c)"
        " FROM sqlite_schema m WHERE m.type = 'table' AND m.name <> 'queue'"
        " AND EXISTS (SELECT 1 FROM pragma_table_info(m.name)"
        " WHERE name = 'queue')";
    sqlite3_stmt *tables = NULL;
    int64_t rows = 0;
    assert_int_equal(sqlite3_prepare_v2(db, tables_sql, -1, &tables, NULL), 0);
    while (sqlite3_step(tables) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(tables, 0);
        const char *values = (const char *)sqlite3_column_text(tables, 1);
        char sql[600];
        sqlite3_stmt *one = NULL;
        if (fill)
            snprintf(sql, sizeof sql, "INSERT INTO %s VALUES (%s)", name,
                     values);
        else
            snprintf(sql, sizeof sql,
                     "SELECT count(*) FROM %s WHERE queue = ?1", name);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &one, NULL), 0);
        assert_int_equal(sqlite3_bind_int64(one, 1, queue), 0);
        int rc = sqlite3_step(one);
        if (fill && rc != SQLITE_DONE)
            fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        rows += fill ? 1 : sqlite3_column_int64(one, 0);
        (void)sqlite3_finalize(one);
    }
    (void)sqlite3_finalize(tables);
    return rows;
}

static void remove__rows_in_every_table__none_is_left(void **state)
{
    struct world *w = *state;
    sqlite3 *db = NULL;
    plant_in(w, Q, LUNAQ_PENDING, "p", NULL);
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    int64_t queue = ask(db, "SELECT queue FROM queue WHERE name = '" Q "'");
    assert_true(queue > 0);
    assert_true(rows_of_queue(db, queue, true) >= 6);
    assert_true(rows_of_queue(db, queue, false) >= 7);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE task SET state = 5", NULL, NULL, NULL), 0);
    assert_int_equal(lunaq_queue_remove(w->client, Q, 1, NULL), 0);
    assert_int_equal(rows_of_queue(db, queue, false), 0);
    assert_int_equal(ask(db, "SELECT count(*) FROM queue"), 0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(stats__each_state__counts_its_tasks),
        TEST(queues__all__are_sorted),
        TEST(queues__unknown__names_the_known),
        TEST(history__days_back__missing_ones_are_zero),
        TEST(pause__twice_and_back__says_when_it_already_is_so),
        TEST(pause__unknown_queue__is_not_found_and_leaves_nothing),
        TEST(place__no_cluster__says_so),
        TEST(remove__tasks_counters_and_locks__only_its_own),
        TEST(remove__with_tasks_and_no_force__changes_nothing),
        TEST(remove__with_active_tasks__is_refused_even_by_force),
        TEST(remove__active_tasks_that_nobody_holds__needs_force),
        TEST(memory__grows_with_what_tasks_hold),
        TEST(remove__unknown_queue__is_not_found),
        TEST(remove__then_enqueue__the_queue_is_known_again),
    };
    const struct CMUnitTest redis_only[] = {
        TEST(remove__all_that_belongs_to_it__is_gone),
        TEST(remove__name_that_is_a_pattern__takes_no_neighbour),
        TEST(remove__keys_of_wrong_types__leaves_nothing),
        TEST(remove__group_without_a_name__is_gone),
        TEST(remove__task_that_is_nowhere__needs_force),
        TEST(memory__without_the_command__is_still_known),
    };
    const struct CMUnitTest sqlite_only[] = {
        TEST(remove__rows_in_every_table__none_is_left),
    };
    int failed = world_run_on(&inspected_sqlite, "inspect_queue's rows",
                              sqlite_only, LQ_COUNT(sqlite_only));
    return failed + world_run("inspect_queue", tests, LQ_COUNT(tests),
                              redis_only, LQ_COUNT(redis_only), argc, argv);
}
