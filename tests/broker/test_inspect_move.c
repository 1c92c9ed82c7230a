/* Moves by hand: one task from each state, and whole states. */
#include "inspect_world.h"

#include "task/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define Q "orders"
#define K(rest) "asynq:{" Q "}:" rest
#define LOCK K("unique:hello:1")

static int move(struct world *w, lunaq_move how, const char *id,
                lunaq_error *err)
{
    switch (how) {
    case LUNAQ_MOVE_RUN:
        return lunaq_task_run(w->client, Q, id, err);
    case LUNAQ_MOVE_ARCHIVE:
        return lunaq_task_archive(w->client, Q, id, err);
    default:
        return lunaq_task_delete(w->client, Q, id, err);
    }
}

/* The state a task is in, 0 when it is gone. */
static int64_t state_of(struct world *w, const char *id)
{
    lunaq_task_list *list = NULL;
    int64_t state = 0;
    if (lunaq_task_find(w->client, Q, id, &list, NULL) == LUNAQ_OK)
        state = lunaq_task_list_at(list, 0)->state;
    lunaq_task_list_free(list);
    return state;
}

/* ---- one task: every state, every move ------------------------------------
 */

struct row {
    const char *name;
    lunaq_state from;
    lunaq_move how;
    int rc;
    int64_t to; /* 0: gone */
};

#define RUN LUNAQ_MOVE_RUN
#define ARC LUNAQ_MOVE_ARCHIVE
#define DEL LUNAQ_MOVE_DELETE

static struct row rows[] = {
    {"run__active__is_refused", LUNAQ_ACTIVE, RUN, LUNAQ_ESTATE, LUNAQ_ACTIVE},
    {"run__pending__is_refused", LUNAQ_PENDING, RUN, LUNAQ_ESTATE,
     LUNAQ_PENDING},
    {"run__scheduled__is_pending", LUNAQ_SCHEDULED, RUN, 0, LUNAQ_PENDING},
    {"run__retry__is_pending", LUNAQ_RETRY, RUN, 0, LUNAQ_PENDING},
    {"run__archived__is_pending", LUNAQ_ARCHIVED, RUN, 0, LUNAQ_PENDING},
    {"run__completed__is_pending", LUNAQ_COMPLETED, RUN, 0, LUNAQ_PENDING},
    {"run__aggregating__is_pending", LUNAQ_AGGREGATING, RUN, 0, LUNAQ_PENDING},
    {"archive__active__is_refused", LUNAQ_ACTIVE, ARC, LUNAQ_ESTATE,
     LUNAQ_ACTIVE},
    {"archive__pending__is_archived", LUNAQ_PENDING, ARC, 0, LUNAQ_ARCHIVED},
    {"archive__scheduled__is_archived", LUNAQ_SCHEDULED, ARC, 0,
     LUNAQ_ARCHIVED},
    {"archive__retry__is_archived", LUNAQ_RETRY, ARC, 0, LUNAQ_ARCHIVED},
    {"archive__archived__is_refused", LUNAQ_ARCHIVED, ARC, LUNAQ_ESTATE,
     LUNAQ_ARCHIVED},
    {"archive__completed__is_archived", LUNAQ_COMPLETED, ARC, 0,
     LUNAQ_ARCHIVED},
    {"archive__aggregating__is_archived", LUNAQ_AGGREGATING, ARC, 0,
     LUNAQ_ARCHIVED},
    {"delete__active__is_refused", LUNAQ_ACTIVE, DEL, LUNAQ_ESTATE,
     LUNAQ_ACTIVE},
    {"delete__pending__is_gone", LUNAQ_PENDING, DEL, 0, 0},
    {"delete__scheduled__is_gone", LUNAQ_SCHEDULED, DEL, 0, 0},
    {"delete__retry__is_gone", LUNAQ_RETRY, DEL, 0, 0},
    {"delete__archived__is_gone", LUNAQ_ARCHIVED, DEL, 0, 0},
    {"delete__completed__is_gone", LUNAQ_COMPLETED, DEL, 0, 0},
    {"delete__aggregating__is_gone", LUNAQ_AGGREGATING, DEL, 0, 0},
};

static void test_row(struct world *w, const struct row *row)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    struct planted p = {.queue = Q,
                        .id = "task-000001",
                        .state = row->from,
                        .lock = LOCK,
                        .group = row->from == LUNAQ_AGGREGATING ? "g" : NULL};
    plant(w, &p);
    assert_int_equal(move(w, row->how, p.id, &err), row->rc);
    assert_int_equal(err.code, row->rc);
    assert_int_equal(state_of(w, p.id), row->to);
    assert_sound(w, Q);
    /* The lock goes with the task, and only with it. */
    assert_int_equal(locked(w, LOCK), row->to != 0);
}

static void test_the_row(void **state)
{
    struct world *w = *state;
    test_row(w, w->own);
}

/* ---- one task: what else counts -------------------------------------------
 */

static void move__unknown_task__is_not_found(void **state)
{
    struct world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_int_equal(move(w, RUN, "nobody", &err), LUNAQ_ENOTFOUND);
    assert_non_null(strstr(err.message, "nobody"));
}

static void move__key_of_another_type__says_so_and_changes_nothing(void **state)
{
    struct world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    free(redis_text(w, "SET", K("t:odd"), "x", NULL));
    assert_int_equal(move(w, DEL, "odd", &err), LUNAQ_EREPLY);
    assert_int_equal(redis_int(w, "EXISTS", K("t:odd"), NULL), 1);
}

/* Where it cannot go it stays where it is; other keys are in nobody's way. */
static void move__a_key_of_a_wrong_type__is_told_or_not_needed(void **state)
{
    static const lunaq_state from[] = {LUNAQ_RETRY, LUNAQ_AGGREGATING};
    static const struct {
        const char *key;
        lunaq_move how;
        bool refused;
    } broken[] = {{K("pending"), RUN, true},    {K("archived"), ARC, true},
                  {K("pending"), ARC, false},   {K("pending"), DEL, false},
                  {K("archived"), RUN, false},  {K("archived"), DEL, false},
                  {K("scheduled"), RUN, false}, {K("groups"), RUN, false},
                  {K("groups"), DEL, false}};
    struct world *w = *state;
    for (size_t i = 0; i < LQ_COUNT(broken); i++) {
        for (size_t k = 0; k < LQ_COUNT(from); k++) {
            lunaq_error err = LUNAQ_ERROR_INIT;
            struct planted p = {
                .queue = Q, .id = "task-000001", .state = from[k]};
            p.group = from[k] == LUNAQ_AGGREGATING ? "g" : NULL;
            plant(w, &p);
            free(redis_text(w, "DEL", broken[i].key, NULL));
            free(redis_text(w, "SET", broken[i].key, "x", NULL));
            int rc = move(w, broken[i].how, p.id, &err);
            if (broken[i].refused) {
                assert_int_equal(rc, LUNAQ_EREPLY);
                assert_non_null(strstr(err.message, broken[i].key));
                assert_int_equal(lunaq_task_move_all(w->client, Q, from[k],
                                                     broken[i].how, NULL, NULL),
                                 LUNAQ_EREPLY);
                assert_int_equal(state_of(w, p.id), from[k]);
            } else if (rc) {
                fail_msg("%s: %s", broken[i].key, err.message);
            }
            free(redis_text(w, "DEL", broken[i].key, NULL));
            assert_sound(w, Q);
            if (state_of(w, p.id))
                assert_int_equal(move(w, DEL, p.id, NULL), 0);
        }
    }
}

static void run__archived_after_its_last_retry__starts_afresh(void **state)
{
    struct world *w = *state;
    struct planted p = {.queue = Q,
                        .id = "spent",
                        .state = LUNAQ_ARCHIVED,
                        .retried = 3,
                        .crashes = 3,
                        .cancel = "me"};
    plant(w, &p);
    assert_int_equal(move(w, RUN, "spent", NULL), 0);
    lunaq_task_list *list = NULL;
    assert_int_equal(lunaq_task_find(w->client, Q, "spent", &list, NULL), 0);
    const lunaq_task_info *t = lunaq_task_list_at(list, 0);
    assert_int_equal(t->retried, 0);
    assert_int_equal(t->crashes, 0);
    assert_int_equal(t->max_retry, 3);
    assert_string_equal(t->type, "hello");
    assert_memory_equal(t->payload, "{\"n\":1}", 7);
    assert_int_equal(t->timeout_ms, 1800000);
    lunaq_task_list_free(list);
}

static void run__retry__keeps_its_failures(void **state)
{
    struct world *w = *state;
    struct planted p = {
        .queue = Q, .id = "again", .state = LUNAQ_RETRY, .retried = 2};
    plant(w, &p);
    assert_int_equal(move(w, RUN, "again", NULL), 0);
    lunaq_task_list *list = NULL;
    assert_int_equal(lunaq_task_find(w->client, Q, "again", &list, NULL), 0);
    assert_int_equal(lunaq_task_list_at(list, 0)->retried, 2);
    lunaq_task_list_free(list);
}

static void run__archived_undecodable_message__is_left_as_it_is(void **state)
{
    struct world *w = *state;
    struct planted p = {.queue = Q,
                        .id = "broken",
                        .state = LUNAQ_ARCHIVED,
                        .msg = "\x30\x03\xff\xff\xff"};
    lunaq_task_list *list = NULL;
    plant(w, &p);
    assert_int_equal(move(w, RUN, "broken", NULL), 0);
    assert_int_equal(lunaq_task_find(w->client, Q, "broken", &list, NULL), 0);
    assert_int_equal(lunaq_task_list_at(list, 0)->payload_len, 5);
    lunaq_task_list_free(list);
}

static void delete__lock_named_in_the_message_only__releases_it(void **state)
{
    struct world *w = *state;
    struct planted p = {.queue = Q,
                        .id = "grouped",
                        .state = LUNAQ_AGGREGATING,
                        .group = "g",
                        .lock = LOCK,
                        .lock_in_msg_only = true};
    plant(w, &p);
    assert_int_equal(move(w, DEL, "grouped", NULL), 0);
    assert_false(locked(w, LOCK));
}

static void delete__lock_of_another_task__stays(void **state)
{
    struct world *w = *state;
    struct planted first = {
        .queue = Q, .id = "first", .state = LUNAQ_RETRY, .lock = LOCK};
    struct planted later = {
        .queue = Q, .id = "later", .state = LUNAQ_ARCHIVED, .lock = LOCK};
    if (w->broker == &inspected_redis) { /* there the last one has it */
        plant(w, &later);
        plant(w, &first);
    } else {
        plant(w, &first);
        plant(w, &later);
    }
    assert_int_equal(move(w, DEL, "later", NULL), 0);
    assert_true(locked(w, LOCK));
    assert_int_equal(move(w, DEL, "first", NULL), 0);
    assert_false(locked(w, LOCK));
}

static void delete__active_that_nobody_holds__is_mended(void **state)
{
    struct world *w = *state;
    struct planted p = {.queue = Q, .id = "lost", .state = LUNAQ_ACTIVE};
    plant(w, &p);
    redis_int(w, "LREM", K("active"), "0", "lost", NULL);
    redis_int(w, "ZREM", K("lease"), "lost", NULL);
    assert_int_equal(move(w, DEL, "lost", NULL), 0);
    assert_int_equal(state_of(w, "lost"), 0);
    assert_sound(w, Q);
}

static void run__task_that_is_not_where_it_says__ends_in_one_place(void **state)
{
    struct world *w = *state;
    struct planted p = {.queue = Q, .id = "astray", .state = LUNAQ_RETRY};
    plant(w, &p);
    redis_int(w, "ZREM", K("retry"), "astray", NULL);
    redis_int(w, "ZADD", K("completed"), "1", "astray", NULL);
    redis_int(w, "LPUSH", K("active"), "astray", NULL);
    redis_int(w, "ZADD", K("lease"), "1", "astray", NULL);
    assert_int_equal(move(w, RUN, "astray", NULL), 0);
    assert_int_equal(state_of(w, "astray"), LUNAQ_PENDING);
    assert_sound(w, Q);
}

static void run__task_in_an_aggregation_set__is_refused(void **state)
{
    struct world *w = *state;
    struct planted p = {
        .queue = Q, .id = "taken", .state = LUNAQ_AGGREGATING, .group = "g"};
    plant(w, &p);
    redis_int(w, "ZREM", K("g:g"), "taken", NULL);
    redis_int(w, "ZADD", K("g:g:set"), "1700000000", "taken", NULL);
    redis_int(w, "ZADD", K("aggregation_sets"), "1700000000", K("g:g:set"),
              NULL);
    assert_int_equal(move(w, RUN, "taken", NULL), LUNAQ_ESTATE);
    assert_int_equal(move(w, DEL, "taken", NULL), LUNAQ_ESTATE);
    assert_int_equal(state_of(w, "taken"), LUNAQ_AGGREGATING);
}

static void archive__too_old_ones__are_deleted_with_their_locks(void **state)
{
    struct world *w = *state;
    struct planted old = {.queue = Q,
                          .id = "old-one",
                          .state = LUNAQ_ARCHIVED,
                          .score = 1,
                          .lock = LOCK};
    struct planted now = {.queue = Q, .id = "now", .state = LUNAQ_PENDING};
    plant(w, &old);
    plant(w, &now);
    assert_int_equal(move(w, ARC, "now", NULL), 0);
    assert_int_equal(state_of(w, "now"), LUNAQ_ARCHIVED);
    assert_int_equal(state_of(w, "old-one"), 0);
    assert_false(locked(w, LOCK));
    assert_int_equal(count_of(w, Q, LUNAQ_ARCHIVED), 1);
}

/* ---- whole states ---------------------------------------------------------
 */

static void plant_many(struct world *w, lunaq_state state, int count)
{
    for (int i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof id, "many-%06d", i);
        struct planted p = {.queue = Q,
                            .id = id,
                            .state = state,
                            .group = state != LUNAQ_AGGREGATING ? NULL
                                     : i % 2                    ? "odd"
                                                                : "even"};
        plant(w, &p);
    }
}

static void move_many(struct world *w, lunaq_state state, lunaq_move how)
{
    int64_t moved = 0;
    plant_many(w, state, 230);
    assert_int_equal(
        lunaq_task_move_all(w->client, Q, state, how, &moved, NULL), 0);
    assert_int_equal(moved, 230);
    assert_sound(w, Q);
}

static void run_all__retry__all_are_pending(void **state)
{
    move_many(*state, LUNAQ_RETRY, RUN);
    assert_int_equal(count_of(*state, Q, LUNAQ_PENDING), 230);
}

static void run_all__groups__all_are_pending(void **state)
{
    move_many(*state, LUNAQ_AGGREGATING, RUN);
    assert_int_equal(count_of(*state, Q, LUNAQ_PENDING), 230);
    assert_int_equal(count_of(*state, Q, LUNAQ_AGGREGATING), 0);
}

static void archive_all__pending__all_are_archived(void **state)
{
    move_many(*state, LUNAQ_PENDING, ARC);
    assert_int_equal(count_of(*state, Q, LUNAQ_ARCHIVED), 230);
}

static void delete_all__completed__nothing_is_left(void **state)
{
    move_many(*state, LUNAQ_COMPLETED, DEL);
    assert_int_equal(things(*state), 1); /* the name */
}

static void delete_all__pending__nothing_is_left(void **state)
{
    move_many(*state, LUNAQ_PENDING, DEL);
    assert_int_equal(things(*state), 1);
}

static void move_all__ids_without_a_task__are_dropped(void **state)
{
    struct world *w = *state;
    int64_t moved = 0;
    plant_many(w, LUNAQ_PENDING, 3);
    redis_int(w, "RPUSH", K("pending"), "ghost", NULL);
    redis_int(w, "ZADD", K("retry"), "1", "ghost", NULL);
    assert_int_equal(
        lunaq_task_move_all(w->client, Q, LUNAQ_PENDING, ARC, &moved, NULL), 0);
    assert_int_equal(moved, 3);
    assert_int_equal(
        lunaq_task_move_all(w->client, Q, LUNAQ_RETRY, RUN, &moved, NULL), 0);
    assert_int_equal(moved, 0);
    assert_sound(w, Q);
}

static void move_all__impossible_pairs__are_refused(void **state)
{
    struct world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_int_equal(
        lunaq_task_move_all(w->client, Q, LUNAQ_ACTIVE, DEL, NULL, &err),
        LUNAQ_ESTATE);
    assert_int_equal(
        lunaq_task_move_all(w->client, Q, LUNAQ_PENDING, RUN, NULL, &err),
        LUNAQ_ESTATE);
    assert_int_equal(
        lunaq_task_move_all(w->client, Q, LUNAQ_ARCHIVED, ARC, NULL, &err),
        LUNAQ_ESTATE);
    assert_int_equal(
        lunaq_task_move_all(w->client, Q, LUNAQ_STATE_ANY, DEL, NULL, &err),
        LUNAQ_ESTATE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)

int main(int argc, char **argv)
{
    const struct CMUnitTest others[] = {
        TEST(move__unknown_task__is_not_found),
        TEST(run__archived_after_its_last_retry__starts_afresh),
        TEST(run__retry__keeps_its_failures),
        TEST(run__archived_undecodable_message__is_left_as_it_is),
        TEST(delete__lock_named_in_the_message_only__releases_it),
        TEST(delete__lock_of_another_task__stays),
        TEST(archive__too_old_ones__are_deleted_with_their_locks),
        TEST(run_all__retry__all_are_pending),
        TEST(run_all__groups__all_are_pending),
        TEST(archive_all__pending__all_are_archived),
        TEST(delete_all__completed__nothing_is_left),
        TEST(delete_all__pending__nothing_is_left),
        TEST(move_all__impossible_pairs__are_refused),
    };
    const struct CMUnitTest redis_only[] = {
        TEST(move__key_of_another_type__says_so_and_changes_nothing),
        TEST(move__a_key_of_a_wrong_type__is_told_or_not_needed),
        TEST(delete__active_that_nobody_holds__is_mended),
        TEST(run__task_that_is_not_where_it_says__ends_in_one_place),
        TEST(run__task_in_an_aggregation_set__is_refused),
        TEST(move_all__ids_without_a_task__are_dropped),
    };
    struct CMUnitTest tests[LQ_COUNT(rows) + LQ_COUNT(others)];
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        tests[i] = (struct CMUnitTest){rows[i].name, test_the_row, world_begin,
                                       world_end, &rows[i]};
    memcpy(tests + LQ_COUNT(rows), others, sizeof others);
    return world_run("inspect_move", tests, LQ_COUNT(tests), redis_only,
                     LQ_COUNT(redis_only), argc, argv);
}
