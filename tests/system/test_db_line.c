/* Writers of one process on a SQLite file: each has its turn in order,
 * whichever pool it belongs to. */
#include "support/test.h"

#include "db_world.h"

#include "base/clock.h"
#include "db/lane.h"
#include "db/line.h"
#include "support/temp_folder.h"

#include <stdio.h>

#define WRITERS 5

static db_world first, second;
static lq_db_helper *helper;
static temp_folder folder;
static char url[128];

static int open_world(void **state)
{
    (void)state;
    ask a;
    assert_int_equal(temp_folder_make(&folder), 0);
    snprintf(url, sizeof url, "sqlite:%s/app.db", folder.path);
    lq_db_options o = {.url = url, .size = WRITERS};
    db_world_open(&first, &o);
    second = first;
    o.helper = helper = first.helper;
    assert_int_equal(lq_db_open(&second.db, first.w.loop, &o, NULL), 0);
    ask_now(&first, &a, NULL,
            "create table t (n integer primary key, v integer)", "");
    ask_release(&a);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    lq_db_close(second.db);
    db_world_close(&first);
    temp_folder_remove(&folder);
    return 0;
}

static void wait_for_line(size_t count)
{
    int64_t end = lq_mono_ms() + 20000;
    while (lq_line_waiting(helper->writers) != count) {
        assert_true(lq_mono_ms() < end);
        loop_world_run_ms(&first.w, 1);
    }
}

/* A transaction that has the turn, on the first pool. */
static lq_db_tx *begin(void)
{
    ask a = {.world = &first};
    lq_db_tx *tx = NULL;
    first.waiting++;
    assert_int_equal(
        lq_db_begin(first.db, 20000, &tx, ask_done, &a, &a.call, NULL), 0);
    db_world_wait(&first);
    assert_int_equal(a.rc, 0);
    ask_release(&a);
    return tx;
}

static void writers__of_two_pools__have_their_turn_in_order(void **state)
{
    (void)state;
    ask asks[WRITERS], a;
    lq_db_tx *tx = begin();
    for (int i = 0; i < WRITERS; i++) {
        char sql[64];
        snprintf(sql, sizeof sql, "insert into t (v) values (%d)", i);
        const lq_db_statement s = {.sql = lq_str_c(sql), .timeout_ms = 20000};
        asks[i] = (ask){.world = &first};
        first.waiting++;
        assert_int_equal(lq_db_query(i % 2 ? first.db : second.db, NULL, &s,
                                     ask_done, &asks[i], &asks[i].call, NULL),
                         0);
        wait_for_line((size_t)i + 1);
    }
    lq_db_release(tx); /* rolls back */
    db_world_wait(&first);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(asks[i].rc, 0);
        ask_release(&asks[i]);
    }
    wait_for_line(0);
    ask_now(&first, &a, NULL,
            "select group_concat(v, ' ') from (select v from t order by n)",
            "");
    assert_string_equal(ask_cell(&a, 0, 0), "'0 1 2 3 4'");
    ask_release(&a);
}

static void writer__at_its_deadline__steps_out_of_the_line(void **state)
{
    (void)state;
    ask late, next;
    lq_db_tx *tx = begin();
    ask_start(&first, &late, NULL, 200, "insert into t (v) values (1)", "");
    wait_for_line(1);
    ask_start(&first, &next, NULL, 20000, "insert into t (v) values (2)", "");
    wait_for_line(2);
    while (!late.done)
        loop_world_run_ms(&first.w, 5);
    assert_int_equal(late.rc, LUNAQ_ETIMEOUT);
    assert_non_null(strstr(late.message, "another writer held"));
    wait_for_line(1);
    lq_db_release(tx);
    db_world_wait(&first);
    assert_int_equal(next.rc, 0);
    ask_release(&late);
    ask_release(&next);
}

static void reader__waits_for_nobody(void **state)
{
    (void)state;
    ask a;
    lq_db_tx *tx = begin();
    ask_now(&first, &a, NULL, "select count(*) from t", "");
    assert_string_equal(ask_cell(&a, 0, 0), "0");
    ask_release(&a);
    lq_db_release(tx);
}

static void close__with_writers_in_line__ends_them(void **state)
{
    (void)state;
    ask a;
    lq_db_tx *tx = begin();
    const lq_db_statement s = {.sql = LQ_STR("insert into t (v) values (1)"),
                               .timeout_ms = 20000};
    a = (ask){.world = &first};
    first.waiting++;
    assert_int_equal(
        lq_db_query(second.db, NULL, &s, ask_done, &a, &a.call, NULL), 0);
    wait_for_line(1);
    lq_db_close(second.db);
    second.db = NULL;
    assert_int_equal(a.rc, LUNAQ_ECANCELED);
    assert_int_equal(lq_line_waiting(helper->writers), 0);
    lq_db_release(tx);
    ask_release(&a);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    static const struct CMUnitTest tests[] = {
        T(writers__of_two_pools__have_their_turn_in_order),
        T(writer__at_its_deadline__steps_out_of_the_line),
        T(reader__waits_for_nobody),
        T(close__with_writers_in_line__ends_them),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("db_line", tests, NULL, NULL);
}
