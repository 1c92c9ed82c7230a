/* `db` on a SQLite file: values, transactions, cancel, many at once, chunks,
 * migrations.  What PostgreSQL does alike is in the files beside this one. */
#include "support/test.h"

#include "db_world.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FOREVER                                                                \
    "with recursive n(i) as (select 1 union all select i + 1 from n) "         \
    "select count(*) from n"

static db_world world;
static char folder[64], url[128];

static void remove_file(const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)unlink(path);
}

static void write_file(const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/lunaq-db-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(url, sizeof url, "sqlite:%s/app.db", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    remove_file("app.db");
    remove_file("app.db-wal");
    remove_file("app.db-shm");
    remove_file("0001_a.sql");
    remove_file("0002_b.sqlite.sql");
    remove_file("0002_b.postgres.sql");
    assert_int_equal(rmdir(folder), 0);
    return 0;
}

static int open_world(void **state)
{
    ask a;
    make_folder(state);
    const lq_db_options options = {.url = url, .size = 3};
    db_world_open(&world, &options);
    ask_now(&world, &a, NULL, "create table t (v integer, b boolean, x)", "");
    ask_release(&a);
    return 0;
}

static int close_world(void **state)
{
    db_world_close(&world);
    return remove_folder(state);
}

static void table_is(const char *want)
{
    ask a;
    ask_now(&world, &a, NULL,
            "select coalesce(group_concat(v, ' '), '') from "
            "(select v from t order by v)",
            "");
    assert_string_equal(ask_cell(&a, 0, 0), want);
    ask_release(&a);
}

/* ---- values ------------------------------------------------------------- */

static void values__of_each_kind__come_back(void **state)
{
    (void)state;
    ask a;
    ask_now(&world, &a, NULL, "select $2, $1, $3, $4, $5, $6, $1", "isfxfn",
            INT64_MIN, "é\n", 0.1, LQ_STR("a\0b"), 5.0);
    assert_string_equal(ask_cell(&a, 0, 0), "'é\n'");
    assert_string_equal(ask_cell(&a, 0, 1), "-9223372036854775808");
    assert_string_equal(ask_cell(&a, 0, 2), "float 0.10000000000000001");
    assert_string_equal(ask_cell(&a, 0, 3), "x'610062'");
    assert_string_equal(ask_cell(&a, 0, 4), "5");
    assert_string_equal(ask_cell(&a, 0, 5), "null");
    assert_string_equal(ask_cell(&a, 0, 6), "-9223372036854775808");
    ask_release(&a);
}

static void boolean_column__is_a_boolean(void **state)
{
    (void)state;
    ask a;
    ask_now(&world, &a, NULL, "insert into t (v, b) values (1, $1)", "b", 1);
    assert_int_equal(lq_db_result_affected(a.result), 1);
    ask_release(&a);
    ask_now(&world, &a, NULL, "select b, v from t where b = $1", "b", 1);
    assert_string_equal(ask_cell(&a, 0, 0), "true");
    assert_string_equal(ask_cell(&a, 0, 1), "1");
    ask_release(&a);
}

static void affected__counts_what_a_statement_touched(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        int64_t want;
    } rows[] = {{"insert into t (v) values (1), (2), (3)", 3},
                {"update t set v = v where v > 1", 2},
                {"update t set v = v where v > 9", 0},
                {"create table u (i)", 0},
                {"select v from t", 3},
                {"delete from t returning v", 3}};
    for (size_t i = 0; i < LQ_COUNT(rows); i++) {
        ask a;
        ask_now(&world, &a, NULL, rows[i].sql, "");
        assert_int_equal(lq_db_result_affected(a.result), rows[i].want);
        ask_release(&a);
    }
}

static void statement__that_cannot_run__says_why(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *part;
    } rows[] = {{"selec 1", "in: selec 1"},
                {"select 1; select 2", "more than one statement"},
                {"select $1", "0 parameters given, the statement has 1"},
                {"select ?", "placeholder ?"},
                {"select $1::text", "cast($1 as"},
                {"begin", "use db.tx"},
                {"-- nothing", "no statement"},
                {"select \"no_such\"", "no_such"}};
    for (size_t i = 0; i < LQ_COUNT(rows); i++) {
        ask a;
        ask_start(&world, &a, NULL, 5000, rows[i].sql, "");
        db_world_wait(&world);
        assert_int_not_equal(a.rc, 0);
        if (!strstr(a.message, rows[i].part))
            fail_msg("%s: %s", rows[i].sql, a.message);
    }
}

static void constraint__has_its_sqlstate(void **state)
{
    (void)state;
    ask a;
    ask_now(&world, &a, NULL, "create unique index once on t (v)", "");
    ask_release(&a);
    ask_run_in(&world, NULL, "insert into t (v) values (1)");
    ask_start(&world, &a, NULL, 5000, "insert into t (v) values (1)", "");
    db_world_wait(&world);
    assert_int_equal(a.rc, LUNAQ_EDATABASE);
    assert_string_equal(a.sqlstate, "23505");
}

/* ---- transactions ------------------------------------------------------- */

static void commit__makes_it_visible(void **state)
{
    (void)state;
    ask a;
    lq_db_tx *tx = ask_begin_now(&world);
    ask_run_in(&world, tx, "insert into t (v) values (1)");
    table_is("''");
    ask_commit(&world, &a, tx);
    assert_int_equal(a.rc, 0);
    lq_db_release(tx);
    table_is("'1'");
}

static void release__without_commit__rolls_back(void **state)
{
    (void)state;
    lq_db_tx *tx = ask_begin_now(&world);
    ask_run_in(&world, tx, "insert into t (v) values (1)");
    lq_db_release(tx);
    table_is("''");
    ask_run_in(&world, NULL,
               "insert into t (v) values (2)"); /* no lock is left */
    table_is("'2'");
}

static void failed_statement__fails_the_commit(void **state)
{
    (void)state;
    ask a;
    lq_db_tx *tx = ask_begin_now(&world);
    ask_run_in(&world, tx, "insert into t (v) values (1)");
    ask_start(&world, &a, tx, 0, "select no_such", "");
    db_world_wait(&world);
    assert_int_equal(a.rc, LUNAQ_EDATABASE);
    ask_start(&world, &a, tx, 0, "select 1", "");
    db_world_wait(&world);
    assert_string_equal(a.sqlstate, "25P02");
    ask_commit(&world, &a, tx);
    assert_int_equal(a.rc, LUNAQ_EDATABASE);
    assert_non_null(strstr(a.message, "was rolled back"));
    lq_db_release(tx);
    table_is("''");
}

static void savepoint__rolled_back__undoes_its_part(void **state)
{
    (void)state;
    ask a;
    lq_db_tx *tx = ask_begin_now(&world);
    ask_run_in(&world, tx, "insert into t (v) values (1)");
    assert_int_equal(lq_db_savepoint(tx, LQ_DB_SAVEPOINT, 1, NULL), 0);
    ask_run_in(&world, tx, "insert into t (v) values (2)");
    ask_start(&world, &a, tx, 0, "select no_such", "");
    db_world_wait(&world);
    assert_int_equal(lq_db_savepoint(tx, LQ_DB_SAVEPOINT_ROLLBACK, 1, NULL), 0);
    ask_run_in(&world, tx, "insert into t (v) values (3)");
    assert_int_equal(lq_db_savepoint(tx, LQ_DB_SAVEPOINT, 1, NULL), 0);
    ask_run_in(&world, tx, "insert into t (v) values (4)");
    assert_int_equal(lq_db_savepoint(tx, LQ_DB_SAVEPOINT_RELEASE, 1, NULL), 0);
    ask_commit(&world, &a, tx);
    assert_int_equal(a.rc, 0);
    lq_db_release(tx);
    table_is("'1 3 4'");
}

/* ---- cancel ------------------------------------------------------------- */

static void runaway__at_its_deadline__is_interrupted(void **state)
{
    (void)state;
    ask a;
    int64_t begun = lq_mono_ms();
    for (int i = 0; i < 3; i++) { /* all connections */
        ask_start(&world, &a, NULL, 100, FOREVER, "");
        db_world_wait(&world);
        assert_int_equal(a.rc, LUNAQ_ETIMEOUT);
        assert_non_null(strstr(a.message, "100 ms in: with recursive"));
    }
    ask_now(&world, &a, NULL, "select 7", "");
    assert_string_equal(ask_cell(&a, 0, 0), "7");
    ask_release(&a);
    assert_true(lq_mono_ms() - begun < 10000);
}

static void abandoned__in_a_transaction__loses_it(void **state)
{
    (void)state;
    ask a;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_db_call *call;
    lq_db_tx *tx = ask_begin_now(&world);
    ask_run_in(&world, tx, "insert into t (v) values (1)");
    ask_start(&world, &a, tx, 0, FOREVER, "");
    loop_world_run_ms(&world.w, 20);
    lq_db_abandon(a.call);
    world.waiting--;
    const lq_db_statement s = {.sql = LQ_STR("select 1")};
    assert_int_equal(lq_db_query(world.db, tx, &s, ask_done, NULL, &call, &err),
                     LUNAQ_EDATABASE);
    lq_db_release(tx);
    ask_run_in(&world, NULL, "insert into t (v) values (2)");
    assert_int_equal(a.done, 0);
    table_is("'2'");
}

static void close__ends_what_runs(void **state)
{
    (void)state;
    ask a, b[4];
    lq_db_tx *tx = ask_begin_now(&world);
    ask_start(&world, &a, tx, 0, FOREVER, "");
    for (size_t i = 0; i < LQ_COUNT(b); i++)
        ask_start(&world, &b[i], NULL, 0, FOREVER, "");
    loop_world_run_ms(&world.w, 20);
    lq_db_close(world.db);
    world.db = NULL;
    assert_int_equal(a.rc, LUNAQ_ECANCELED);
    for (size_t i = 0; i < LQ_COUNT(b); i++)
        assert_int_equal(b[i].rc, LUNAQ_ECANCELED);
    lq_db_release(tx);
}

/* ---- many --------------------------------------------------------------- */

static void writer__waits_for_another__until_its_deadline(void **state)
{
    (void)state;
    ask a, b;
    lq_db_tx *tx = ask_begin_now(&world);
    ask_run_in(&world, tx, "insert into t (v) values (1)");
    ask_start(&world, &a, NULL, 100, "insert into t (v) values (2)", "");
    ask_start(&world, &b, NULL, 10000, "insert into t (v) values (3)", "");
    while (!a.done)
        loop_world_run_ms(&world.w, 5);
    assert_int_equal(a.rc, LUNAQ_ETIMEOUT);
    assert_non_null(strstr(a.message, "another writer held"));
    assert_int_equal(b.done, 0);
    ask_commit(&world, &a, tx);
    lq_db_release(tx);
    db_world_wait(&world);
    assert_int_equal(b.rc, 0);
    ask_release(&b);
    table_is("'1 3'");
}

static void sixteen_writers_and_readers__all_get_through(void **state)
{
    (void)state;
    ask asks[16], other[16];
    db_world second;
    ask a;
    const lq_db_options options = {.url = url, .size = 4};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_db_options o = options;
    second = world;
    assert_int_equal(lq_db_open(&second.db, world.w.loop, &o, &err), 0);
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < 16; i++) {
            world.waiting += 2;
            const char *sql = i % 4 ? "insert into t (v) values (1)"
                                    : "select count(*) from t";
            const lq_db_statement s = {.sql = lq_str_c(sql),
                                       .timeout_ms = 15000};
            asks[i] = other[i] = (ask){.world = &world};
            assert_int_equal(lq_db_query(world.db, NULL, &s, ask_done, &asks[i],
                                         &asks[i].call, &err),
                             0);
            assert_int_equal(lq_db_query(second.db, NULL, &s, ask_done,
                                         &other[i], &other[i].call, &err),
                             0);
        }
        db_world_wait(&world);
        for (size_t i = 0; i < 16; i++) {
            assert_int_equal(asks[i].rc, 0);
            assert_int_equal(other[i].rc, 0);
            ask_release(&asks[i]);
            ask_release(&other[i]);
        }
    }
    lq_db_close(second.db);
    ask_now(&world, &a, NULL, "select count(*) from t", "");
    assert_string_equal(ask_cell(&a, 0, 0), "240");
    ask_release(&a);
}

static void chunks__come_one_by_one(void **state)
{
    (void)state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    ask a = {.world = &world};
    size_t sizes[] = {2, 2, 1};
    ask_run_in(&world, NULL,
               "insert into t (v) values (1), (2), (3), (4), (5)");
    const lq_db_statement s = {.sql = LQ_STR("select v from t order by v"),
                               .timeout_ms = 10000,
                               .chunk_rows = 2};
    ask_expect(&world, &a);
    assert_int_equal(
        lq_db_query(world.db, NULL, &s, ask_done, &a, &a.call, &err), 0);
    for (size_t i = 0; i < LQ_COUNT(sizes); i++) {
        db_world_wait(&world);
        assert_int_equal(a.rc, 0);
        assert_int_equal(lq_db_result_rows(a.result), sizes[i]);
        assert_int_equal(a.more, i < 2);
        if (!a.more)
            break;
        ask_run_in(&world, NULL,
                   "insert into t (v) values (9)"); /* it blocks nobody */
        ask_expect(&world, &a);
        lq_db_next(a.call);
    }
    ask_release(&a);
}

static void chunks__abandoned__free_the_connection(void **state)
{
    (void)state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    ask_run_in(&world, NULL,
               "insert into t (v) values (1), (2), (3), (4), (5)");
    const lq_db_statement s = {.sql = LQ_STR("select v from t"),
                               .chunk_rows = 2};
    for (int i = 0; i < 5; i++) { /* more often than there are connections */
        ask a = {.world = &world};
        ask_expect(&world, &a);
        assert_int_equal(
            lq_db_query(world.db, NULL, &s, ask_done, &a, &a.call, &err), 0);
        db_world_wait(&world);
        assert_true(a.more);
        lq_db_abandon(a.call);
        ask_release(&a);
    }
    table_is("'1 2 3 4 5'");
}

/* ---- migrations --------------------------------------------------------- */

static void migrations__in_order_and_dialect__apply_once(void **state)
{
    (void)state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    ask a;
    write_file("0001_a.sql", "create table one (i integer);\n"
                             "insert into one values (1); -- first\n");
    write_file("0002_b.sqlite.sql", "insert into one values (2);");
    write_file("0002_b.postgres.sql", "insert into one values (3);");
    for (int i = 0; i < 2; i++)
        if (lq_db_migrate(url, folder, NULL, &err))
            fail_msg("%s", err.message);
    const lq_db_options options = {.url = url};
    db_world_open(&world, &options);
    ask_now(&world, &a, NULL, "select sum(i), count(*) from one", "");
    assert_string_equal(ask_cell(&a, 0, 0), "3");
    assert_string_equal(ask_cell(&a, 0, 1), "2");
    ask_release(&a);
    db_world_close(&world);
    write_file("0001_a.sql", "create table one (i integer, j integer);");
    assert_int_equal(lq_db_migrate(url, folder, NULL, &err), LUNAQ_ECONFIG);
    assert_non_null(strstr(err.message, "edited after it was applied"));
}

static void migration__that_fails__leaves_nothing(void **state)
{
    (void)state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    write_file("0001_a.sql", "create table one (i integer);\nselec 1;\n");
    assert_int_equal(lq_db_migrate(url, folder, NULL, &err), LUNAQ_EDATABASE);
    assert_non_null(strstr(err.message, "0001_a.sql:2:1: "));
    write_file("0001_a.sql", "create table one (i integer);\ncommit;\n");
    assert_int_equal(lq_db_migrate(url, folder, NULL, &err), LUNAQ_ECONFIG);
    assert_non_null(strstr(err.message, "leave begin"));
    write_file("0001_a.sql", "create table one (i integer);\n");
    if (lq_db_migrate(url, folder, NULL, &err))
        fail_msg("%s", err.message);
}

static void *migrate(void *ud)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    int *rc = ud;
    *rc = lq_db_migrate(url, folder, NULL, &err);
    return NULL;
}

static void migrations__of_eight_at_once__apply_once(void **state)
{
    (void)state;
    pthread_t threads[8];
    int rcs[8];
    ask a;
    write_file("0001_a.sql", "create table one (i integer);");
    write_file("0002_b.sqlite.sql", "insert into one values (1);");
    for (size_t i = 0; i < LQ_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, migrate, &rcs[i]),
                         0);
    for (size_t i = 0; i < LQ_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < LQ_COUNT(threads); i++)
        assert_int_equal(rcs[i], 0);
    const lq_db_options options = {.url = url};
    db_world_open(&world, &options);
    ask_now(&world, &a, NULL, "select count(*) from one", "");
    assert_string_equal(ask_cell(&a, 0, 0), "1");
    ask_release(&a);
    db_world_close(&world);
}

static void session_migrations__apply(void **state)
{
    (void)state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lq_db_migrate(url, MIGRATIONS, NULL, &err))
        fail_msg("%s", err.message);
}

static void file__that_is_no_database__is_named(void **state)
{
    (void)state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    ask a;
    write_file("app.db", "this is a text and certainly not a database, long "
                         "enough to have a header of a hundred bytes or more");
    assert_int_equal(lq_db_migrate(url, folder, NULL, &err), LUNAQ_EDATABASE);
    assert_non_null(strstr(err.message, "app.db"));
    const lq_db_options options = {.url = url};
    db_world_open(&world, &options);
    ask_start(&world, &a, NULL, 5000, "select 1", "");
    db_world_wait(&world);
    assert_int_equal(a.rc, LUNAQ_EDATABASE);
    assert_non_null(strstr(a.message, "no SQLite database"));
    db_world_close(&world);
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
#define M(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
    static const struct CMUnitTest tests[] = {
        T(values__of_each_kind__come_back),
        T(boolean_column__is_a_boolean),
        T(affected__counts_what_a_statement_touched),
        T(statement__that_cannot_run__says_why),
        T(constraint__has_its_sqlstate),
        T(commit__makes_it_visible),
        T(release__without_commit__rolls_back),
        T(failed_statement__fails_the_commit),
        T(savepoint__rolled_back__undoes_its_part),
        T(runaway__at_its_deadline__is_interrupted),
        T(abandoned__in_a_transaction__loses_it),
        T(close__ends_what_runs),
        T(writer__waits_for_another__until_its_deadline),
        T(sixteen_writers_and_readers__all_get_through),
        T(chunks__come_one_by_one),
        T(chunks__abandoned__free_the_connection),
        M(migrations__in_order_and_dialect__apply_once),
        M(migration__that_fails__leaves_nothing),
        M(migrations__of_eight_at_once__apply_once),
        M(session_migrations__apply),
        M(file__that_is_no_database__is_named),
    };
#undef M
#undef T
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("db_sqlite", tests, NULL, NULL);
}
