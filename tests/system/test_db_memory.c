/* The pool when memory runs out: at the first allocation, at the second, and so
 * on until nothing fails.  Every call ends, and nothing leaks. */
#include "support/test.h"

#include "db_world.h"

#include "base/alloc.h"

static void statement(db_world *w, lq_db_tx *tx, const char *sql)
{
    ask a = {.world = w};
    lunaq_error err = LUNAQ_ERROR_INIT;
    const lq_db_value params[] = {
        {.kind = LQ_DB_INT, .num = 1},
        {.kind = LQ_DB_TEXT, .str = LQ_STR("back\\slash")}};
    const lq_db_statement s = {.sql = lq_str_c(sql),
                               .params = params,
                               .param_count = LQ_COUNT(params),
                               .timeout_ms = 3000};
    ask_expect(w, &a);
    if (lq_db_query(w->db, tx, &s, ask_done, &a, &a.call, &err))
        w->waiting--;
    db_world_wait(w);
    ask_release(&a);
}

static void chunks(db_world *w)
{
    ask a = {.world = w};
    lunaq_error err = LUNAQ_ERROR_INIT;
    const lq_db_statement s = {
        .sql = LQ_STR("select * from generate_series(1, 10)"),
        .timeout_ms = 3000,
        .chunk_rows = 4};
    if (lq_db_query(w->db, NULL, &s, ask_done, &a, &a.call, &err))
        return;
    do {
        ask_expect(w, &a);
        if (a.more)
            lq_db_next(a.call);
        db_world_wait(w);
    } while (a.more);
    ask_release(&a);
}

static void transaction(db_world *w)
{
    static const char sql[] = "select $1::int, $2::bytea";
    ask a = {.world = w};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_db_tx *tx;
    if (lq_db_begin(w->db, 3000, &tx, ask_done, &a, &a.call, &err))
        return;
    ask_expect(w, &a);
    db_world_wait(w);
    statement(w, tx, sql);
    (void)lq_db_savepoint(tx, LQ_DB_SAVEPOINT, 1, &err);
    statement(w, tx, sql);
    (void)lq_db_savepoint(tx, LQ_DB_SAVEPOINT_ROLLBACK, 1, &err);
    a = (ask){.world = w};
    if (lq_db_commit(tx, 3000, ask_done, &a, &a.call, &err) == 0) {
        ask_expect(w, &a);
        db_world_wait(w);
    }
    lq_db_release(tx);
}

/* True when the pool could be opened. */
static bool scenario(uint64_t fail_at)
{
    db_world w = {0};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_db_options options = {.url = db_server.url, .size = 2};
    loop_world_init(&w.w);
    lq_alloc_fail_at(fail_at, false);
    if (lq_db_helper_new(&w.helper, &err) == 0) {
        options.helper = w.helper;
        (void)lq_db_open(&w.db, w.w.loop, &options, &err);
    }
    bool opened = w.db != NULL;
    if (opened) {
        statement(&w, NULL, "select $1::int, $2::text");
        statement(&w, NULL, "select $1::int, $2::text");
        chunks(&w);
        transaction(&w);
    }
    lq_alloc_fail_at(0, false);
    if (opened) { /* whatever failed: the pool goes on */
        ask a;
        ask_now(&w, &a, NULL, "select 1", "");
        ask_release(&a);
    }
    db_world_close(&w);
    return opened;
}

static void memory__running_out_anywhere__is_survived(void **state)
{
    (void)state;
    unsigned opened = 0;
    for (uint64_t n = 1; n <= 80; n++)
        opened += scenario(n);
    assert_in_range(opened, 60, 79); /* else 80 is too few, or pointless */
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory__running_out_anywhere__is_survived),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (!db_world_server(0))
        return 77;
    int failed = cmocka_run_group_tests_name("db_memory", tests, NULL, NULL);
    db_world_server_stop();
    return failed;
}
