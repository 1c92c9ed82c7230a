/* Values on their way to PostgreSQL and back, and results in chunks. */
#include "support/test.h"

#include "db_world.h"

#include <math.h>
#include <stdio.h>

/* ---- cells, a row of the table each ------------------------------------- */

struct cell {
    const char *name;
    const char *sql;
    const char *want;
};

static const struct cell cells[] = {
    {"cell__int2", "select (-32768)::int2", "-32768"},
    {"cell__int4", "select 2147483647::int4", "2147483647"},
    {"cell__int8__is_exact", "select 9007199254740993::int8",
     "9007199254740993"},
    {"cell__int8__lowest", "select (-9223372036854775808)::int8",
     "-9223372036854775808"},
    {"cell__count", "select count(*) from generate_series(1, 3)", "3"},
    {"cell__oid", "select 26::oid", "26"},
    {"cell__float4", "select 1.5::float4", "float 1.5"},
    {"cell__float8__is_exact", "select 0.1::float8",
     "float 0.10000000000000001"},
    {"cell__float8__infinity", "select '-infinity'::float8", "float -inf"},
    {"cell__float8__nan", "select 'nan'::float8", "float nan"},
    {"cell__numeric__stays_text", "select 1.10::numeric", "'1.10'"},
    {"cell__true", "select true", "true"},
    {"cell__false", "select 1 = 2", "false"},
    {"cell__text", "select 'é€'", "'é€'"},
    {"cell__empty_text", "select ''", "''"},
    {"cell__varchar", "select 'x'::varchar(3)", "'x'"},
    {"cell__null", "select null::int", "null"},
    {"cell__json__stays_text", "select '{\"a\": 1}'::json", "'{\"a\": 1}'"},
    {"cell__jsonb__stays_text", "select '{\"a\":1}'::jsonb", "'{\"a\": 1}'"},
    {"cell__bytea", "select '\\x00ff10'::bytea", "x'00ff10'"},
    {"cell__empty_bytea", "select ''::bytea", "x''"},
    {"cell__date", "select date '2026-01-31'", "'2026-01-31'"},
    {"cell__timestamp", "select timestamp '2026-01-31 12:00:00.5'",
     "'2026-01-31 12:00:00.5'"},
    {"cell__uuid", "select '019ac0de-0000-7000-8000-00009c41e0a7'::uuid",
     "'019ac0de-0000-7000-8000-00009c41e0a7'"},
    {"cell__array__stays_text", "select array[1,2]", "'{1,2}'"},
};

static db_world world;

static int open_world(void **state)
{
    (void)state;
    const lq_db_options options = {.size = 2};
    db_world_open(&world, &options);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    db_world_close(&world);
    return 0;
}

static void check_cell(void **state)
{
    const struct cell *c = *state;
    ask a;
    open_world(NULL);
    ask_now(&world, &a, NULL, c->sql, "");
    assert_string_equal(ask_cell(&a, 0, 0), c->want);
    ask_release(&a);
    close_world(NULL);
}

/* ---- parameters --------------------------------------------------------- */

static void parameters__of_each_kind__arrive(void **state)
{
    (void)state;
    ask a;
    ask_now(&world, &a, NULL,
            "select $1::int8, $2::bool, $3::text, $4::float8, $5::text, "
            "$6::int is null",
            "ibsfxn", INT64_MIN, 1, "é\n", 0.1, LQ_STR("xyz"));
    assert_string_equal(ask_cell(&a, 0, 0), "-9223372036854775808");
    assert_string_equal(ask_cell(&a, 0, 1), "true");
    assert_string_equal(ask_cell(&a, 0, 2), "'é\n'");
    assert_string_equal(ask_cell(&a, 0, 3), "float 0.10000000000000001");
    assert_string_equal(ask_cell(&a, 0, 4), "'xyz'");
    assert_string_equal(ask_cell(&a, 0, 5), "true");
    ask_release(&a);
}

static void float__that_is_whole__fits_an_integer(void **state)
{
    (void)state;
    ask a;
    ask_now(&world, &a, NULL, "select $1::int", "f", 5.0);
    assert_string_equal(ask_cell(&a, 0, 0), "5");
    ask_release(&a);
    ask_now(&world, &a, NULL, "select $1::float8, $2::float8", "ff",
            (double)INFINITY, -0.5);
    assert_string_equal(ask_cell(&a, 0, 0), "float inf");
    assert_string_equal(ask_cell(&a, 0, 1), "float -0.5");
    ask_release(&a);
}

static void bytes__for_a_bytea__are_kept(void **state)
{
    (void)state;
    static const lq_str samples[] = {{"a\0b", 3},         {"\\x41", 4},
                                     {"back\\slash", 10}, {"\xff\xfe", 2},
                                     {"plain", 5},        {"", 0}};
    ask a;
    ask_now(&world, &a, NULL, "create temp table bytes (at int, v bytea)", "");
    ask_release(&a);
    for (size_t i = 0; i < LQ_COUNT(samples); i++) {
        char want[64] = "x'";
        size_t len = 2;
        for (size_t at = 0; at < samples[i].len; at++, len += 2)
            snprintf(want + len, 3, "%02x", (unsigned char)samples[i].p[at]);
        snprintf(want + len, 2, "'");
        ask_now(&world, &a, NULL,
                "insert into bytes values ($1, $2) "
                "returning v",
                "ix", (int64_t)i, samples[i]);
        assert_string_equal(ask_cell(&a, 0, 0), want);
        ask_release(&a);
    }
}

static void bytes__older_output_format__are_read(void **state)
{
    (void)state;
    ask a;
    ask_now(&world, &a, NULL, "set bytea_output = 'escape'", "");
    ask_release(&a);
    ask_now(&world, &a, NULL, "select '\\x005c41ff'::bytea", "");
    assert_string_equal(ask_cell(&a, 0, 0), "x'005c41ff'");
    ask_release(&a);
}

static void text__with_backslashes__is_kept(void **state)
{
    (void)state;
    ask a;
    ask_now(&world, &a, NULL, "select $1::text", "s", "a\\x41\\\\b");
    assert_string_equal(ask_cell(&a, 0, 0), "'a\\x41\\\\b'");
    ask_release(&a);
}

static void text__with_a_nul__is_refused_clearly(void **state)
{
    (void)state;
    ask a;
    ask_start(&world, &a, NULL, 0, "select $1::text, $2::text", "sx", "fine",
              LQ_STR("a\0b"));
    db_world_wait(&world);
    assert_int_equal(a.rc, LUNAQ_EINVAL);
    assert_non_null(strstr(a.message, "parameter $2 holds a NUL byte"));
    ask_now(&world, &a, NULL, "select 1", "");
    ask_release(&a);
}

static void text__that_is_not_utf8__is_refused_by_the_server(void **state)
{
    (void)state;
    ask a;
    ask_start(&world, &a, NULL, 0, "select $1::text", "x", LQ_STR("\xff"));
    db_world_wait(&world);
    assert_string_equal(a.sqlstate, "22021");
}

static void sql__with_a_nul__is_refused(void **state)
{
    (void)state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_db_call *call;
    const lq_db_statement s = {.sql = LQ_STR("select 1\0;drop table x")};
    assert_int_equal(
        lq_db_query(world.db, NULL, &s, ask_done, NULL, &call, &err),
        LUNAQ_EINVAL);
    assert_null(call);
}

static void exec__counts_rows(void **state)
{
    (void)state;
    ask a;
    ask_now(&world, &a, NULL, "create temp table n (v int)", "");
    assert_int_equal(lq_db_result_affected(a.result), 0);
    ask_release(&a);
    ask_now(&world, &a, NULL,
            "insert into n select * from generate_series(1, 7)", "");
    assert_int_equal(lq_db_result_affected(a.result), 7);
    ask_release(&a);
    ask_now(&world, &a, NULL, "delete from n where v > $1", "i", (int64_t)4);
    assert_int_equal(lq_db_result_affected(a.result), 3);
    ask_release(&a);
}

/* ---- chunks ------------------------------------------------------------- */

static void start_chunks(ask *a, const char *sql, size_t rows)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    const lq_db_statement s = {.sql = lq_str_c(sql), .chunk_rows = rows};
    *a = (ask){0};
    ask_expect(&world, a);
    assert_int_equal(
        lq_db_query(world.db, NULL, &s, ask_done, a, &a->call, &err), 0);
    db_world_wait(&world);
}

static void next_chunk(ask *a)
{
    lq_db_next(a->call);
    ask_expect(&world, a);
    db_world_wait(&world);
}

static void chunks__of_a_large_result__hold_every_row_once(void **state)
{
    (void)state;
    ask a;
    int64_t rows = 0, chunks = 0;
    start_chunks(&a,
                 "select g, repeat('x', 100) from generate_series(1, 100000) g",
                 1000);
    for (;;) {
        assert_int_equal(a.rc, 0);
        chunks++;
        for (size_t i = 0; i < lq_db_result_rows(a.result); i++) {
            int64_t n = 0;
            assert_true(lq_str_int64(lq_str_c(ask_cell(&a, i, 0)), &n));
            assert_int_equal(n, ++rows);
        }
        if (!a.more)
            break;
        assert_int_equal(lq_db_result_rows(a.result), 1000);
        next_chunk(&a);
    }
    assert_int_equal(rows, 100000);
    assert_int_equal(chunks, 101); /* the last one is empty */
    ask_release(&a);
    ask_now(&world, &a, NULL, "select 1", "");
    ask_release(&a);
}

static void chunks__of_few_rows__come_at_once(void **state)
{
    (void)state;
    ask a;
    start_chunks(&a, "select * from generate_series(1, 3)", 10);
    assert_false(a.more);
    assert_int_equal(lq_db_result_rows(a.result), 3);
    assert_string_equal(ask_cell(&a, 2, 0), "3");
    ask_release(&a);
    start_chunks(&a, "select 1 where false", 10);
    assert_false(a.more);
    assert_int_equal(lq_db_result_rows(a.result), 0);
    assert_int_equal(lq_db_result_columns(a.result), 1);
    ask_release(&a);
}

static void chunks__that_fail_halfway__say_so(void **state)
{
    (void)state;
    ask a;
    start_chunks(&a, "select 100 / (50 - g) from generate_series(1, 100) g",
                 10);
    while (a.more)
        next_chunk(&a);
    assert_int_equal(a.rc, LUNAQ_EDATABASE);
    assert_string_equal(a.sqlstate, "22012");
    ask_release(&a);
}

static void chunks__abandoned_halfway__cancel_the_rest(void **state)
{
    (void)state;
    ask a;
    lq_db_stats stats;
    start_chunks(&a, "select g from generate_series(1, 100000000) g", 10);
    assert_true(a.more);
    lq_db_abandon(a.call);
    ask_release(&a);
    lq_db_stats_get(world.db, &stats);
    assert_int_equal(stats.open, 0);
    ask_now(&world, &a, NULL, "select 1", "");
    ask_release(&a);
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
    static const struct CMUnitTest fixed[] = {
        T(parameters__of_each_kind__arrive),
        T(float__that_is_whole__fits_an_integer),
        T(bytes__for_a_bytea__are_kept),
        T(bytes__older_output_format__are_read),
        T(text__with_backslashes__is_kept),
        T(text__with_a_nul__is_refused_clearly),
        T(text__that_is_not_utf8__is_refused_by_the_server),
        T(sql__with_a_nul__is_refused),
        T(exec__counts_rows),
        T(chunks__of_a_large_result__hold_every_row_once),
        T(chunks__of_few_rows__come_at_once),
        T(chunks__that_fail_halfway__say_so),
        T(chunks__abandoned_halfway__cancel_the_rest),
    };
#undef T
    struct CMUnitTest tests[LQ_COUNT(fixed) + LQ_COUNT(cells)];
    size_t n = 0;
    for (size_t i = 0; i < LQ_COUNT(fixed); i++)
        tests[n++] = fixed[i];
    for (size_t i = 0; i < LQ_COUNT(cells); i++)
        tests[n++] = (struct CMUnitTest){cells[i].name, check_cell, NULL, NULL,
                                         (void *)(uintptr_t)&cells[i]};
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (!db_world_server(0))
        return 77;
    int failed = cmocka_run_group_tests_name("db_values", tests, NULL, NULL);
    db_world_server_stop();
    return failed;
}
