/* The module db in the real host, on a real PostgreSQL and on a SQLite file:
 * the same rows, but for the SQL that is one of them's own. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lua/world.h"
#include "support/postgres_server.h"
#include "support/temp_folder.h"

#include <sqlite3.h>
#include <unistd.h>

/* ---- the databases ------------------------------------------------------- */

typedef struct database {
    const char *name;
    bool lite;
    char url[256];
    /* Runs statements from outside; the first cell of the last into text. */
    int (*run)(const char *sql, char *text, size_t size);
} database;

static postgres_server server;
static temp_folder folder;

static int run_postgres(const char *sql, char *text, size_t size)
{
    return text ? postgres_server_value(server.url, sql, text, size)
                : postgres_server_exec(server.url, sql);
}

static int first_cell(void *ud, int columns, char **cells, char **names)
{
    (void)columns, (void)names;
    snprintf(ud, 256, "%s", cells[0] ? cells[0] : "");
    return 0;
}

static int run_sqlite(const char *sql, char *text, size_t size)
{
    char path[256], cell[256] = "";
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/app.db", folder.path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    int rc = sqlite3_exec(db, sql, first_cell, cell, NULL);
    sqlite3_close(db);
    if (text)
        snprintf(text, size, "%s", cell);
    return rc;
}

static database postgres = {.name = "lua_db on PostgreSQL",
                            .run = run_postgres};
static database sqlite = {
    .name = "lua_db on SQLite", .lite = true, .run = run_sqlite};
static database *the_database; /* that this group runs on */

static void exec(const char *sql)
{
    assert_int_equal(the_database->run(sql, NULL, 0), 0);
}

static void value(const char *sql, char *text, size_t size)
{
    assert_int_equal(the_database->run(sql, text, size), 0);
}

static world *open_world(const char *body, bool gc)
{
    char source[2048];
    world *w = world_new(LUNAQ_INTERRUPT_HOOK, gc);
    snprintf(source, sizeof source, "return function(task)\n%s\nend\n", body);
    world_write(w, "handlers/t.lua", source);
    w->options.database = the_database->url;
    w->options.db_pool = 4;
    w->options.db_prepare = true;
    world_open(w);
    return w;
}

/* t to work on; positive, whose only row may be 1 and above; series, of numbers
 * from 1 on. */
static void reset_tables(void)
{
    exec("drop table if exists t;"
         "create table t (id int primary key, v text);"
         "insert into t values (1, 'one'), (2, null);"
         "drop table if exists positive;"
         "create table positive (n int check (n > 0));"
         "drop view if exists series;");
    exec(the_database->lite
             ? "create view series (g) as with recursive s (g) as (select 1 "
               "union all select g + 1 from s limit 100000) select g from s"
             : "create view series as select g from generate_series(1, "
               "100000) g");
}

/* ---- a row, a run -------------------------------------------------------- */

typedef struct row {
    const char *name;
    const char *body;
    const char *result; /* what the run returns, or */
    const char *error;  /* what it fails with */
    const char *after;  /* the table t afterwards, or NULL */
} row;

static const row rows[] = {
    {"query__returns_rows",
     "local r = db.query('select id, v from t order by id')\n"
     "return #r .. r[1].id .. r[1].v .. tostring(r[2].v) .. "
     "math.type(r[2].id)",
     "21onenilinteger", NULL, NULL},
    {"query__without_rows__is_an_empty_list",
     "local r = db.query('select 1 where false') return #r", "0", NULL, NULL},
    {"one__returns_the_first_row",
     "return db.one('select id, v from t where id = $1', 1).v", "one", NULL,
     NULL},
    {"one__without_rows__is_nil",
     "return tostring(db.one('select 1 where false'))", "nil", NULL, NULL},
    {"value__returns_the_cell", "return db.value('select count(*) from t')",
     "2", NULL, NULL},
    {"value__null__is_nil", "return tostring(db.value('select null'))", "nil",
     NULL, NULL},
    {"exec__returns_the_count", "return db.exec('update t set v = $1', 'x')",
     "2", NULL, "1x 2x"},
    {"parameters__of_each_kind",
     "local r = db.one('select $1::int8 i, $2::float8 f, $3::bool b, $4::text "
     "s, $5::int n, $6::int m, $7::bytea y',\n"
     "9007199254740993, 0.5, true, 'a\\\\b', nil, db.null, 'x\\0y')\n"
     "return string.format('%d %s %s %s %s %s %q', r.i, r.f, r.b, r.s, r.n, "
     "r.m, r.y)",
     "9007199254740993 0.5 true a\\b nil nil \"x\\0y\"", NULL, NULL},
    {"null__is_json_null", "return tostring(db.null == json.null)", "true",
     NULL, NULL},
    {"many_parameters__are_fine",
     "local p, q = {}, {} for i = 1, 100 do p[i] = i q[i] = 'cast($' .. i "
     ".. ' as int)' end\n"
     "return db.value('select ' .. table.concat(q, '+'), "
     "table.unpack(p))",
     "5050", NULL, NULL},
    {"table_parameter__is_refused", "db.query('select $1', {})", NULL,
     "bad argument #2 to 'query' (a table is no SQL value", NULL},
    {"sql_of_wrong_type__is_refused", "db.query(42)", NULL,
     "bad argument #1 to 'query'", NULL},
    {"text_with_a_nul__is_refused", "db.query('select $1::text', 'a\\0b')",
     NULL, "parameter $1 holds a NUL byte", NULL},
    {"failure__names_file_line_and_sql",
     "\ndb.exec('insert into t (id) values (1)')", NULL,
     "t.lua:3: duplicate key value violates unique constraint", NULL},
    {"failure__can_be_caught",
     "local ok, err = pcall(db.exec, 'insert into t (id) values (1)')\n"
     "return tostring(ok) .. ' ' .. err.kind .. ' ' .. err.sqlstate",
     "false db 23505", NULL, NULL},
    {"try_exec__failure__returns_the_error",
     "local n, err = db.try_exec('insert into positive values (0)')\n"
     "return tostring(n) .. ' ' .. err.kind .. ' ' .. err.sqlstate",
     "nil db 23514", NULL, NULL},
    {"try_value__success__returns_it", "return db.try_value('select 5')", "5",
     NULL, NULL},
    {"each__walks_every_row",
     "local n, sum = 0, 0\n"
     "for r in db.each('select g from series where g <= $1', 1700) "
     "do n = n + 1 sum = sum + r.g end\n"
     "return n .. ' ' .. sum",
     "1700 1445850", NULL, NULL},
    {"each__left_early__frees_its_connection",
     "for i = 1, 10 do\n"
     "for r in db.each('select g from series') do\n"
     "if r.g == 3 then break end end end\n"
     "return db.value('select 1')",
     "1", NULL, NULL},
    {"each__failing__raises",
     "for r in db.each('select 1/(3-g) from series') do end", NULL,
     "division by zero", NULL},
    {"tx__commits_at_the_end",
     "local r = db.tx(function(tx)\n"
     "tx:exec('insert into t (id) values (3)')\n"
     "assert(tx:value('select count(*) from t') == 3)\n"
     "assert(db.value('select count(*) from t') == 2)\n"
     "return 'done' end)\nreturn r",
     "done", NULL, "1one 2 3"},
    {"tx__returns_all_values",
     "local a, b, c = db.tx(function(tx) return 1, nil, 3 end)\n"
     "return a .. tostring(b) .. c",
     "1nil3", NULL, NULL},
    {"tx__without_a_statement__is_fine", "db.tx(function() end) return 'ok'",
     "ok", NULL, NULL},
    {"tx__error__rolls_back",
     "db.tx(function(tx) tx:exec('delete from t') error('no') end)", NULL,
     "t.lua:2: no", "1one 2"},
    {"tx__error_that_is_caught__rolls_back",
     "local ok, err = pcall(db.tx, function(tx) tx:exec('delete from t') "
     "error('no', 0) end)\n"
     "return tostring(ok) .. tostring(err) .. "
     "db.exec('update t set v = $1', 'y')",
     "falseno2", NULL, "1y 2y"},
    {"tx__failed_statement_that_is_caught__fails_the_commit",
     "db.tx(function(tx) tx:exec('delete from t') "
     "pcall(tx.exec, tx, 'insert into positive values (0)') end)",
     NULL, "the transaction was rolled back", "1one 2"},
    {"tx__kept_beyond_its_end__is_over",
     "local kept db.tx(function(tx) kept = tx end)\n"
     "return kept:query('select 1')",
     NULL, "this transaction is over", NULL},
    {"tx__with_a_dot__says_what_to_do",
     "db.tx(function(tx) tx.query('select 1') end)", NULL,
     "with a colon: tx:query", NULL},
    {"tx__inner__error_undoes_its_part",
     "db.tx(function(tx)\n"
     "tx:exec('insert into t (id) values (3)')\n"
     "pcall(tx.tx, tx, function(tx) tx:exec('delete from t') "
     "error('no') end)\n"
     "tx:tx(function(tx) tx:exec('insert into t (id) values (4)') end)\n"
     "end)",
     NULL, NULL, "1one 2 3 4"},
    {"tx__inner__after_a_failed_statement__goes_on",
     "db.tx(function(tx)\n"
     "pcall(tx.tx, tx, function(tx) tx:exec('insert into positive "
     "values (0)') end)\n"
     "tx:exec('insert into t (id) values (5)') end)",
     NULL, NULL, "1one 2 5"},
    {"tx__each__walks_inside",
     "return db.tx(function(tx) local n = 0\n"
     "for r in tx:each('select g from series where g <= 1000') do n = n + 1 "
     "end return n end)",
     "1000", NULL, NULL},
    {"tx__sleeping_inside__is_fine",
     "return db.tx(function(tx) lunaq.sleep(0.01) return "
     "tx:value('select 1') end)",
     "1", NULL, NULL},
    {"tx__not_a_function__is_refused", "db.tx('select 1')", NULL,
     "function expected", NULL},
    {"other_database__is_unknown", "db('reporting').query('select 1')", NULL,
     "no database named 'reporting'", NULL},
    {"own_coroutine__may_wait",
     "local co = coroutine.wrap(function() coroutine.yield(1) "
     "return db.value('select 2') end)\n"
     "return co() + co()",
     "3", NULL, NULL},
    {"in_a_sort__says_why",
     "local ok, err = pcall(table.sort, {2, 1}, function(a, b) "
     "return db.value('select true') end)\n"
     "return tostring(err)",
     NULL, NULL, NULL},
};

/* What SQLite does otherwise; the rest of a row is the same. */
static const row lite_rows[] = {
    {"parameters__of_each_kind",
     "local r = db.one('select $1 i, $2 f, $3 b, $4 s, $5 n, $6 m, $7 y',\n"
     "9007199254740993, 0.5, true, 'a\\\\b', nil, db.null, 'x\\0y')\n"
     "return string.format('%d %s %s %s %s %s %q', r.i, r.f, r.b, r.s, "
     "r.n, "
     "r.m, r.y)",
     "9007199254740993 0.5 1 a\\b nil nil \"x\\0y\"", NULL, NULL},
    {"text_with_a_nul__is_refused", "return #db.value('select $1', 'a\\0b')",
     "3", NULL, NULL},
    {"failure__names_file_line_and_sql", NULL, NULL,
     "t.lua:3: UNIQUE constraint failed: t.id", NULL},
    {"each__failing__raises",
     "for r in db.each('select case g when 3 then "
     "abs(-9223372036854775807 - 1) end from series') do end",
     NULL, "integer overflow", NULL},
};

static void check(const row *r, bool gc)
{
    char text[256];
    bool lite = the_database->lite;
    row is = *r;
    for (size_t i = 0; lite && i < LQ_COUNT(lite_rows); i++)
        if (strcmp(lite_rows[i].name, r->name) == 0) {
            is = lite_rows[i];
            is.body = is.body ? is.body : r->body;
        }
    reset_tables();
    world *w = open_world(is.body, gc);
    world_run *run = world_start(w, "t", "{}");
    world_wait(w, run);
    if (is.error) {
        assert_int_equal(run->kind, LQ_FAILED);
        if (!strstr(run->message, is.error))
            fail_msg("%s\n  was: %s", is.error, run->message);
    } else {
        if (run->kind != LQ_SUCCEEDED)
            fail_msg("%s", run->message);
        if (is.result)
            assert_string_equal(run->result, is.result);
    }
    world_end(run);
    world_free(w);
    if (!r->after)
        return;
    value(lite ? "select group_concat(id || coalesce(v, ''), ' ') from "
                 "(select * from t order by id)"
               : "select string_agg(id || coalesce(v, ''), ' ' order by id) "
                 "from t",
          text, sizeof text);
    assert_string_equal(text, r->after);
}

static void check_row(void **state)
{
    check(*state, false);
    check(*state, true);
}

/* ---- runs that are ended ------------------------------------------------- */

/* SQL that does not end by itself, and works on what it is given. */
static const char *endless(void)
{
    return the_database->lite
               ? "with recursive n (i) as (select 1 union all select i + 1 "
                 "from n) select count(*) from n"
               : "select pg_sleep(30)";
}

/* What a connection of the pool does, seen from outside. */
enum busy { BUSY_IN_A_STATEMENT, BUSY_IN_A_TX, BUSY_NOT };

static bool postgres_is(enum busy want)
{
    static const char *const states[] = {"= 'active'", "like 'idle in%'",
                                         "<> 'idle'"};
    char sql[200], text[32];
    snprintf(sql, sizeof sql,
             "select count(*) from pg_stat_activity where application_name = "
             "'lunaq' and state %s",
             states[want]);
    value(sql, text, sizeof text);
    return strcmp(text, want == BUSY_NOT ? "0" : "1") == 0;
}

/* A file shows who writes, not who reads: then it is "active" at once. */
static bool sqlite_is(enum busy want)
{
    char path[256];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/app.db", folder.path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    bool locked = sqlite3_exec(db, "begin immediate", NULL, NULL, NULL) != 0;
    sqlite3_close(db);
    return want == BUSY_IN_A_STATEMENT || locked == (want == BUSY_IN_A_TX);
}

static void wait_until(world *w, enum busy want)
{
    int64_t end = lq_mono_ms() + 20000;
    while (!(the_database->lite ? sqlite_is(want) : postgres_is(want))) {
        if (lq_mono_ms() > end)
            fail_msg("the database is not: %d", want);
        world_spin(w, 10);
    }
}

static void killed(const char *body, enum busy busy)
{
    char text[64];
    reset_tables();
    world *w = open_world(body, false);
    world_run *run = world_start(w, "t", "{}");
    wait_until(w, busy);
    w->runner->ops->cancel(w->runner, &run->run, LQ_CANCEL_REQUEST);
    world_wait(w, run);
    assert_int_equal(run->kind, LQ_ENDED);
    world_end(run);
    wait_until(w, BUSY_NOT);
    value("select count(*) from t", text, sizeof text);
    assert_string_equal(text, "2");
    run = world_start(w, "t2", "{}"); /* the pool goes on */
    world_wait(w, run);
    world_end(run);
    world_free(w);
}

static void run__killed_in_a_statement__cancels_it(void **state)
{
    char body[300];
    (void)state;
    snprintf(body, sizeof body, "db.query('%s')", endless());
    killed(body, BUSY_IN_A_STATEMENT);
}

static void run__killed_in_a_tx_statement__rolls_back(void **state)
{
    char body[300];
    (void)state;
    snprintf(body, sizeof body,
             "db.tx(function(tx) tx:exec('delete from t') tx:query('%s') end)",
             endless());
    killed(body, the_database->lite ? BUSY_IN_A_TX : BUSY_IN_A_STATEMENT);
}

static void run__killed_in_a_tx_that_sleeps__rolls_back(void **state)
{
    (void)state;
    killed("db.tx(function(tx) tx:exec('delete from t') lunaq.sleep(30) end)",
           BUSY_IN_A_TX);
}

static void run__killed_in_each__cancels_it(void **state)
{
    (void)state;
    killed(the_database->lite
               ? "for r in db.each('select a.g from series a, series b') do "
                 "lunaq.sleep(0.001) end"
               : "for r in db.each('select g, pg_sleep(0.01) from "
                 "generate_series(1, 100000) g') do end",
           BUSY_IN_A_STATEMENT);
}

static void deadline__in_a_statement__ends_it_in_the_database(void **state)
{
    char body[300];
    (void)state;
    reset_tables();
    snprintf(body, sizeof body, "db.query('%s')", endless());
    world *w = open_world(body, false);
    lq_task task = {.type = LQ_STR("t"),
                    .id = LQ_STR("01890a5d-ac96-774b-bcce-b302099a8057"),
                    .queue = LQ_STR("default"),
                    .payload = LQ_STR("{}")};
    world_run *run = world_start_with(w, task, 200);
    wait_until(w, BUSY_IN_A_STATEMENT);
    world_spin(w, 200);
    /* The runtime's timer, which this world does not have. */
    w->runner->ops->cancel(w->runner, &run->run, LQ_CANCEL_DEADLINE);
    world_wait(w, run);
    assert_int_equal(run->kind, LQ_FAILED);
    assert_string_equal(run->error_kind, "timeout");
    world_end(run);
    wait_until(w, BUSY_NOT);
    world_free(w); /* would wait for a statement that goes on */
}

static void no_database__says_what_to_set(void **state)
{
    (void)state;
    world *w = world_new(LUNAQ_INTERRUPT_HOOK, false);
    world_write(w, "handlers/t.lua",
                "return function() return db.query('select 1') end");
    world_open(w);
    world_run *run = world_start(w, "t", "{}");
    world_wait(w, run);
    assert_int_equal(run->kind, LQ_FAILED);
    assert_non_null(strstr(run->message, "set DATABASE_URL"));
    world_end(run);
    world_free(w);
}

static void top_level__cannot_query(void **state)
{
    (void)state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    world *w = world_new(LUNAQ_INTERRUPT_HOOK, false);
    world_write(w, "handlers/t.lua",
                "db.query('select 1') return function() end");
    w->options.database = the_database->url;
    assert_int_equal(world_load(w, &err), LUNAQ_EHANDLER);
    assert_non_null(strstr(err.message, "t.lua:1"));
    world_free(w);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest fixed[] = {
        cmocka_unit_test(run__killed_in_a_statement__cancels_it),
        cmocka_unit_test(run__killed_in_a_tx_statement__rolls_back),
        cmocka_unit_test(run__killed_in_a_tx_that_sleeps__rolls_back),
        cmocka_unit_test(run__killed_in_each__cancels_it),
        cmocka_unit_test(deadline__in_a_statement__ends_it_in_the_database),
        cmocka_unit_test(no_database__says_what_to_set),
        cmocka_unit_test(top_level__cannot_query),
    };
    struct CMUnitTest tests[LQ_COUNT(fixed) + LQ_COUNT(rows)];
    size_t n = 0;
    for (size_t i = 0; i < LQ_COUNT(fixed); i++)
        tests[n++] = fixed[i];
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        tests[n++] = (struct CMUnitTest){rows[i].name, check_row, NULL, NULL,
                                         (void *)(uintptr_t)&rows[i]};
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (temp_folder_make(&folder))
        return 1;
    snprintf(sqlite.url, sizeof sqlite.url, "sqlite:%s/app.db", folder.path);
    the_database = &sqlite;
    int failed = _cmocka_run_group_tests(sqlite.name, tests, n, NULL, NULL);
    temp_folder_remove(&folder);
    if (postgres_server_start(&server, 0)) {
        fprintf(stderr, "no PostgreSQL: its half is left out\n");
        return failed ? failed : 77;
    }
    snprintf(postgres.url, sizeof postgres.url, "%s", server.url);
    the_database = &postgres;
    failed += _cmocka_run_group_tests(postgres.name, tests, n, NULL, NULL);
    postgres_server_stop(&server);
    return failed;
}
