/* Transactions: commit, rollback however they end, savepoints. */
#include "support/test.h"

#include "db_world.h"

#include "base/clock.h"

static db_world world;

static int open_world(void **state)
{
    (void)state;
    const lq_db_options options = {.size = 2};
    assert_int_equal(postgres_server_exec(db_server.url,
                                          "drop table if exists t;"
                                          "create table t (v int)"),
                     0);
    db_world_open(&world, &options);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    db_world_close(&world);
    return 0;
}

/* What others see; the connection that just was released may be rolling back
 * still, so it is given time. */
static void table_becomes(const char *want)
{
    int64_t end = lq_mono_ms() + 5000;
    char text[64];
    for (;;) {
        assert_int_equal(
            postgres_server_value(
                db_server.url,
                "select coalesce(string_agg(v::text, ' ' order by v), '') || "
                "(select case when count(*) = 0 then '' else ' open' end from "
                "pg_stat_activity where application_name = 'lunaq' and "
                "state like 'idle in%') from t",
                text, sizeof text),
            0);
        if (strcmp(text, want) == 0)
            return;
        if (lq_mono_ms() > end)
            fail_msg("'%s' expected, is '%s'", want, text);
        loop_world_run_ms(&world.w, 5);
    }
}

static void commit__makes_it_visible(void **state)
{
    (void)state;
    ask a;
    lq_db_stats stats;
    lq_db_tx *tx = ask_begin_now(&world);
    ask_run_in(&world, tx, "insert into t values (1)");
    table_becomes(" open");
    ask_run_in(&world, tx, "insert into t values (2)");
    ask_commit(&world, &a, tx);
    assert_int_equal(a.rc, 0);
    lq_db_release(tx);
    table_becomes("1 2");
    lq_db_stats_get(world.db, &stats);
    assert_int_equal(stats.idle, 1);
    assert_int_equal(stats.connects, 1);
}

static void release__without_commit__rolls_back(void **state)
{
    (void)state;
    lq_db_tx *tx = ask_begin_now(&world);
    lq_db_stats stats;
    ask_run_in(&world, tx, "insert into t values (1)");
    lq_db_release(tx);
    table_becomes("");
    lq_db_stats_get(world.db, &stats);
    assert_int_equal(stats.idle, 1); /* its connection was kept */
    assert_int_equal(stats.connects, 1);
}

static void failed_statement__fails_the_commit(void **state)
{
    (void)state;
    ask a;
    lq_db_tx *tx = ask_begin_now(&world);
    ask_run_in(&world, tx, "insert into t values (1)");
    ask_start(&world, &a, tx, 0, "select 1/0", "");
    db_world_wait(&world);
    assert_string_equal(a.sqlstate, "22012");
    ask_start(&world, &a, tx, 0, "select 1", "");
    db_world_wait(&world);
    assert_string_equal(a.sqlstate, "25P02");
    ask_commit(&world, &a, tx);
    assert_int_equal(a.rc, LUNAQ_EDATABASE);
    assert_non_null(strstr(a.message, "was rolled back"));
    lq_db_release(tx);
    table_becomes("");
}

static void statement__after_the_commit__is_refused(void **state)
{
    (void)state;
    ask a;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_db_call *call;
    lq_db_tx *tx = ask_begin_now(&world);
    ask_commit(&world, &a, tx);
    const lq_db_statement s = {.sql = LQ_STR("select 1")};
    assert_int_equal(lq_db_query(world.db, tx, &s, ask_done, NULL, &call, &err),
                     LUNAQ_EDATABASE);
    lq_db_release(tx);
}

static void commit__as_a_statement__is_refused(void **state)
{
    (void)state;
    ask a;
    lq_db_tx *tx = ask_begin_now(&world);
    ask_start(&world, &a, tx, 0, "commit", "");
    db_world_wait(&world);
    assert_int_equal(a.rc, LUNAQ_EDATABASE);
    assert_non_null(strstr(a.message, "ended the transaction"));
    lq_db_release(tx);
    ask_now(&world, &a, NULL, "select 1", "");
    ask_release(&a);
}

static void savepoint__rolled_back__undoes_its_part(void **state)
{
    (void)state;
    ask a;
    lq_db_tx *tx = ask_begin_now(&world);
    ask_run_in(&world, tx, "insert into t values (1)");
    assert_int_equal(lq_db_savepoint(tx, LQ_DB_SAVEPOINT, 1, NULL), 0);
    ask_run_in(&world, tx, "insert into t values (2)");
    ask_start(&world, &a, tx, 0, "select 1/0", "");
    db_world_wait(&world);
    assert_int_equal(lq_db_savepoint(tx, LQ_DB_SAVEPOINT_ROLLBACK, 1, NULL), 0);
    ask_run_in(&world, tx, "insert into t values (3)");
    assert_int_equal(lq_db_savepoint(tx, LQ_DB_SAVEPOINT, 1, NULL), 0);
    ask_run_in(&world, tx, "insert into t values (4)");
    assert_int_equal(lq_db_savepoint(tx, LQ_DB_SAVEPOINT_RELEASE, 1, NULL), 0);
    ask_commit(&world, &a, tx);
    assert_int_equal(a.rc, 0);
    lq_db_release(tx);
    table_becomes("1 3 4");
}

static void abandoned_statement__loses_the_transaction(void **state)
{
    (void)state;
    ask a;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_db_call *call;
    lq_db_tx *tx = ask_begin_now(&world);
    ask_run_in(&world, tx, "insert into t values (1)");
    ask_start(&world, &a, tx, 0, "select pg_sleep(30)", "");
    loop_world_run_ms(&world.w, 20);
    lq_db_abandon(a.call);
    world.waiting--;
    const lq_db_statement s = {.sql = LQ_STR("select 1")};
    assert_int_equal(lq_db_query(world.db, tx, &s, ask_done, NULL, &call, &err),
                     LUNAQ_EDATABASE);
    lq_db_release(tx);
    assert_int_equal(a.done, 0);
    table_becomes("");
}

static void begin__abandoned_while_waiting__leaves_the_line(void **state)
{
    (void)state;
    ask a, b;
    lq_db_stats stats;
    lq_db_tx *first = ask_begin_now(&world), *second = ask_begin_now(&world),
             *third;
    ask_begin(&world, &a, &third);
    lq_db_stats_get(world.db, &stats);
    assert_int_equal(stats.waiting, 1);
    lq_db_release(third); /* gives the begin up, too */
    world.waiting--;
    lq_db_stats_get(world.db, &stats);
    assert_int_equal(stats.waiting, 0);
    lq_db_release(first);
    lq_db_release(second);
    ask_now(&world, &b, NULL, "select 1", "");
    ask_release(&b);
    assert_int_equal(a.done, 0);
}

static void release__gives_the_connection_to_who_waits(void **state)
{
    (void)state;
    ask a;
    lq_db_tx *first = ask_begin_now(&world), *second = ask_begin_now(&world);
    ask_start(&world, &a, NULL, 5000, "select 7", "");
    loop_world_run_ms(&world.w, 20);
    assert_int_equal(a.done, 0);
    lq_db_release(first);
    db_world_wait(&world);
    assert_string_equal(ask_cell(&a, 0, 0), "7");
    ask_release(&a);
    lq_db_release(second);
}

static void killed_backend__fails_what_waits_in_it(void **state)
{
    (void)state;
    ask a, b;
    lq_db_tx *tx = ask_begin_now(&world);
    ask_start(&world, &a, tx, 0,
              "select pg_terminate_backend(pg_backend_pid()), pg_sleep(30)",
              "");
    ask_start(&world, &b, tx, 0, "select 1", "");
    db_world_wait(&world);
    assert_int_equal(a.rc, LUNAQ_EDATABASE);
    assert_string_equal(a.sqlstate, "57P01");
    assert_int_equal(b.rc, LUNAQ_EDATABASE);
    assert_non_null(strstr(b.message, "connection of the transaction"));
    lq_db_release(tx);
    ask_now(&world, &a, NULL, "select 1", "");
    ask_release(&a);
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
    static const struct CMUnitTest tests[] = {
        T(commit__makes_it_visible),
        T(release__without_commit__rolls_back),
        T(failed_statement__fails_the_commit),
        T(statement__after_the_commit__is_refused),
        T(commit__as_a_statement__is_refused),
        T(savepoint__rolled_back__undoes_its_part),
        T(abandoned_statement__loses_the_transaction),
        T(begin__abandoned_while_waiting__leaves_the_line),
        T(release__gives_the_connection_to_who_waits),
        T(killed_backend__fails_what_waits_in_it),
    };
#undef T
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (!db_world_server(0))
        return 77;
    int failed = cmocka_run_group_tests_name("db_tx", tests, NULL, NULL);
    db_world_server_stop();
    return failed;
}
