/* Migrations: each applied once, in order, whoever comes at the same time; and
 * what goes wrong is named with its file and place. */
#include "support/test.h"

#include "support/postgres_server.h"

#include "base/alloc.h"
#include "db/db.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static postgres_server server;

/* A database of the test's own, and an empty folder. */
struct world {
    char url[192], folder[64];
};

static int setup(void **state)
{
    static int number;
    struct world *w = calloc(1, sizeof *w);
    char sql[64], name[32];
    assert_non_null(w);
    snprintf(name, sizeof name, "m%d", ++number);
    snprintf(sql, sizeof sql, "create database %s", name);
    assert_int_equal(postgres_server_exec(server.url, sql), 0);
    postgres_server_url(&server, name, w->url, sizeof w->url);
    snprintf(w->folder, sizeof w->folder, "/tmp/lunaq-migrate-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", w->folder);
    int rc = system(command); /* NOLINT(cert-env33-c): our own folder */
    free(w);
    assert_int_equal(lq_alloc_live(), 0);
    return rc;
}

static void put(const struct world *w, const char *name, const char *sql)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(sql, f);
    assert_int_equal(fclose(f), 0);
}

static void migrates(const struct world *w)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lq_db_migrate(w->url, w->folder, NULL, &err))
        fail_msg("%s", err.message);
}

static void fails(const struct world *w, int code, const char *message)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = lq_db_migrate(w->url, w->folder, NULL, &err);
    if (rc != code || !strstr(err.message, message))
        fail_msg("code %d, \"%s\" expected\n  was: %d, \"%s\"", code, message,
                 rc, err.message);
}

static void value_is(const struct world *w, const char *sql, const char *want)
{
    char text[256];
    assert_int_equal(postgres_server_value(w->url, sql, text, sizeof text), 0);
    assert_string_equal(text, want);
}

static void files__in_any_order__are_applied_by_number(void **state)
{
    const struct world *w = *state;
    put(w, "0010_c.sql", "insert into t values (10);");
    put(w, "0002_b.sql", "insert into t values (2); insert into t values (3)");
    put(w, "0001_a.sql",
        "create table t (n serial, v int);\n"
        "alter table t drop n;");
    put(w, "README.md", "not a migration");
    put(w, ".hidden.sql", "nonsense");
    migrates(w);
    value_is(w, "select string_agg(v::text, ' ') from t", "2 3 10");
    value_is(w,
             "select string_agg(version::text, ' ' order by version) "
             "from lunaq_migrations",
             "1 2 10");
    migrates(w); /* a second time changes nothing */
    value_is(w, "select count(*) from t", "3");
    put(w, "0011_d.sql", "insert into t values (11)");
    migrates(w);
    value_is(w, "select count(*) from t", "4");
}

static void folder__that_does_not_exist__has_none(void **state)
{
    struct world w = *(struct world *)*state;
    snprintf(w.folder, sizeof w.folder, "/nonexistent/migrations");
    migrates(&w);
    value_is(&w, "select to_regclass('lunaq_migrations') is null", "t");
}

static void dialects__only_postgres_is_applied(void **state)
{
    const struct world *w = *state;
    put(w, "0001_x.sql", "nonsense for others");
    put(w, "0001_x.postgres.sql", "create table pg (v int)");
    put(w, "0001_x.sqlite.sql", "create table lite (v int)");
    put(w, "0002_y.sqlite.sql", "nonsense");
    migrates(w);
    value_is(w,
             "select to_regclass('pg') is not null and "
             "to_regclass('lite') is null",
             "t");
}

static void broken_sql__is_named_with_its_place(void **state)
{
    const struct world *w = *state;
    put(w, "0001_ok.sql", "create table ok (v int)");
    put(w, "0002_bad.sql",
        "-- é\ncreate table half (v int);\ncreate table wrong (v integr);\n");
    fails(w, LUNAQ_EDATABASE, "/0002_bad.sql:3:23: type \"integr\" does not");
    value_is(w,
             "select to_regclass('ok') is not null and "
             "to_regclass('half') is null",
             "t");
    value_is(w, "select count(*) from lunaq_migrations", "1");
    put(w, "0002_bad.sql", "create table half (v int)");
    migrates(w); /* it was never applied, so it may change */
    value_is(w, "select count(*) from lunaq_migrations", "2");
}

static void failing_statement__without_a_place__names_the_file(void **state)
{
    const struct world *w = *state;
    put(w, "0001_x.sql", "select 1/0");
    fails(w, LUNAQ_EDATABASE, "/0001_x.sql: division by zero");
}

static void applied_file__that_was_edited__is_refused(void **state)
{
    const struct world *w = *state;
    put(w, "0001_a.sql", "create table a (v int)");
    migrates(w);
    put(w, "0001_a.sql", "create table a (v int);");
    put(w, "0002_b.sql", "create table b (v int)");
    fails(w, LUNAQ_ECONFIG, "/0001_a.sql: edited after it was applied on 2");
    value_is(w, "select to_regclass('b') is null", "t");
}

static void applied_file__that_is_gone__is_no_error(void **state)
{
    const struct world *w = *state;
    char path[160];
    put(w, "0001_a.sql", "create table a (v int)");
    migrates(w);
    snprintf(path, sizeof path, "%s/0001_a.sql", w->folder);
    assert_int_equal(unlink(path), 0);
    put(w, "0002_b.sql", "create table b (v int)");
    migrates(w);
    value_is(w, "select to_regclass('b') is not null", "t");
}

static void late_file__with_a_lower_number__is_applied(void **state)
{
    const struct world *w = *state;
    put(w, "0002_b.sql", "create table b (v int)");
    migrates(w);
    put(w, "0001_a.sql", "create table a (v int)");
    migrates(w);
    value_is(w, "select to_regclass('a') is not null", "t");
}

static void commit_inside__is_refused(void **state)
{
    const struct world *w = *state;
    put(w, "0001_x.sql", "create table x (v int); commit;");
    fails(w, LUNAQ_ECONFIG, "/0001_x.sql: it ends the transaction");
}

static void bad_names__are_refused(void **state)
{
    const struct world *w = *state;
    put(w, "first.sql", "select 1");
    fails(w, LUNAQ_ECONFIG, "/first.sql: a migration's name begins with");
}

static void unknown_dialect__is_refused(void **state)
{
    const struct world *w = *state;
    put(w, "0001_x.mysql.sql", "select 1");
    fails(w, LUNAQ_ECONFIG, "no dialect 'mysql'");
}

static void same_number_twice__is_refused(void **state)
{
    const struct world *w = *state;
    put(w, "0001_x.sql", "select 1");
    put(w, "001_y.sql", "select 1");
    fails(w, LUNAQ_ECONFIG, "have the same number");
}

static void unreachable_database__says_where_and_what_to_do(void **state)
{
    struct world w = *(struct world *)*state;
    put(&w, "0001_x.sql", "select 1");
    snprintf(w.url, sizeof w.url,
             "postgres://me:s3cret@/name?host=/nonexistent&port=5433");
    fails(&w, LUNAQ_EDATABASE, "/nonexistent:5433/name cannot be used");
    lunaq_error err = LUNAQ_ERROR_INIT;
    (void)lq_db_migrate(w.url, w.folder, NULL, &err);
    assert_non_null(strstr(err.message, "is DATABASE_URL right?"));
    assert_null(strstr(err.message, "s3cret"));
}

static void bad_url__never_shows_the_password(void **state)
{
    struct world w = *(struct world *)*state;
    static const char *const urls[] = {
        "postgres://me:s3cret%zz@localhost/x", "mysql://me:s3cret@host/x",
        "postgres://me:s3cret@host/x?nonsense=1", "s3cret", ""};
    for (size_t i = 0; i < LQ_COUNT(urls); i++) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        assert_int_equal(lq_db_migrate(urls[i], w.folder, NULL, &err),
                         LUNAQ_ECONFIG);
        assert_null(strstr(err.message, "s3cret"));
        assert_non_null(strstr(err.message, "postgres://user:password@host"));
    }
}

static void *migrate_thread(void *arg)
{
    const struct world *w = arg;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = lq_db_migrate(w->url, w->folder, NULL, &err);
    if (rc)
        fprintf(stderr, "%s\n", err.message);
    return rc ? arg : NULL;
}

static void several_at_once__apply_each_exactly_once(void **state)
{
    struct world *w = *state;
    pthread_t threads[6];
    put(w, "0001_a.sql", "create table t (v int); select pg_sleep(0.1)");
    for (int i = 2; i < 8; i++) {
        char name[32];
        snprintf(name, sizeof name, "%04d_x.sql", i);
        put(w, name, "insert into t select 1 from pg_sleep(0.01)");
    }
    for (size_t i = 0; i < LQ_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, migrate_thread, w),
                         0);
    for (size_t i = 0; i < LQ_COUNT(threads); i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    value_is(w, "select count(*) from t", "6");
    value_is(w, "select count(*) from lunaq_migrations", "7");
}

static void the_application__migrates_from_nothing(void **state)
{
    struct world w = *(struct world *)*state;
    snprintf(w.folder, sizeof w.folder, "%s", "migrations");
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lq_db_migrate(w.url, MIGRATIONS, NULL, &err))
        fail_msg("%s", err.message);
    assert_int_equal(
        postgres_server_exec(w.url, "insert into sessions (id) values ('s1');"
                                    "insert into page_visits (session_id, url)"
                                    " values ('s1', 'https://x')"),
        0);
    value_is(&w, "select status from sessions", "recording");
    value_is(&w,
             "select count(*) from page_visits join sessions on "
             "sessions.id = session_id where updated_at <= now()",
             "1");
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    static const struct CMUnitTest tests[] = {
        T(files__in_any_order__are_applied_by_number),
        T(folder__that_does_not_exist__has_none),
        T(dialects__only_postgres_is_applied),
        T(broken_sql__is_named_with_its_place),
        T(failing_statement__without_a_place__names_the_file),
        T(applied_file__that_was_edited__is_refused),
        T(applied_file__that_is_gone__is_no_error),
        T(late_file__with_a_lower_number__is_applied),
        T(commit_inside__is_refused),
        T(bad_names__are_refused),
        T(unknown_dialect__is_refused),
        T(same_number_twice__is_refused),
        T(unreachable_database__says_where_and_what_to_do),
        T(bad_url__never_shows_the_password),
        T(several_at_once__apply_each_exactly_once),
        T(the_application__migrates_from_nothing),
    };
#undef T
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (postgres_server_start(&server, 0))
        return 77;
    int failed = cmocka_run_group_tests_name("db_migrate", tests, NULL, NULL);
    postgres_server_stop(&server);
    return failed;
}
