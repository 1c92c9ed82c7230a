/* The options of periodic entries as Asynq writes them, and back. */
#include "unit.h"

#include "task/cron_options.h"

static void check(const lq_str *options, size_t count, size_t i,
                  const char *want)
{
    assert_true(i < count);
    if (!lq_str_eq(options[i], lq_str_c(want)))
        fail_msg("%.*s, not %s", LQ_STR_ARG(options[i]), want);
}

static void render__is_what_asynqs_inspector_parses(void **state)
{
    (void)state;
    lq_header headers[] = {{LQ_STR("k\"ey"), LQ_STR("a\nb")}};
    lq_enqueue item = {.unique_s = 3600,
                       .task = {.queue = LQ_STR("lo\"w\\"),
                                .max_retry = 3,
                                .timeout_s = 90,
                                .retention_s = 86400,
                                .group_key = LQ_STR("g"),
                                .headers = headers,
                                .header_count = 1}};
    const lq_cron_shown shown = {.item = &item,
                                 .missed = LQ_MISSED_SKIP,
                                 .dst = LQ_DST_ROBFIG,
                                 .name = "n(1)",
                                 .server = "host:1:id"};
    static const char *const want[] = {"Queue(\"lo\\\"w\\\\\")",
                                       "MaxRetry(3)",
                                       "Timeout(1m30s)",
                                       "Unique(1h0m0s)",
                                       "Retention(24h0m0s)",
                                       "Group(\"g\")",
                                       "Header([\"k\\\"ey\",\"a\\u000ab\"])",
                                       "Name(\"n(1)\")",
                                       "Missed(skip)",
                                       "Dst(robfig)",
                                       "Server(\"host:1:id\")"};
    lq_arena mem = {0};
    const lq_str *options;
    size_t count;
    assert_true(lq_cron_options_render(&shown, &mem, &options, &count));
    assert_int_equal(count, LQ_COUNT(want));
    for (size_t i = 0; i < LQ_COUNT(want); i++)
        check(options, count, i, want[i]);
    /* And back. */
    assert_string_equal(lq_cron_option(options, count, "Queue", &mem).p,
                        "lo\"w\\");
    assert_string_equal(lq_cron_option(options, count, "Name", &mem).p, "n(1)");
    assert_true(lq_str_eq(lq_cron_option(options, count, "Missed", &mem),
                          LQ_STR("skip")));
    assert_null(lq_cron_option(options, count, "Nam", &mem).p);
    assert_null(lq_cron_option(options, count, "TaskID", &mem).p);
    lq_arena_release(&mem);
}

static void render__defaults__are_left_out(void **state)
{
    (void)state;
    lq_enqueue item = {.task = {.queue = LQ_STR("default"), .max_retry = 25}};
    const lq_cron_shown shown = {.item = &item};
    lq_arena mem = {0};
    const lq_str *options;
    size_t count;
    assert_true(lq_cron_options_render(&shown, &mem, &options, &count));
    assert_int_equal(count, 2);
    check(options, count, 0, "Queue(\"default\")");
    check(options, count, 1, "MaxRetry(25)");
    lq_arena_release(&mem);
}

static void option__odd_texts__are_passed_over(void **state)
{
    (void)state;
    const lq_str odd[] = {LQ_STR(""), LQ_STR("Queue"), LQ_STR("Queue("),
                          LQ_STR("Queue)("), LQ_STR("Queue(\")")};
    lq_arena mem = {0};
    assert_true(lq_str_eq(lq_cron_option(odd, 5, "Queue", &mem), LQ_STR("\"")));
    assert_null(lq_cron_option(odd, 4, "Queue", &mem).p);
    assert_null(lq_cron_option(NULL, 0, "Queue", &mem).p);
    lq_arena_release(&mem);
}

static void zone__of_a_spec(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"0 5 * * *", "UTC"},
        {"TZ=Asia/Tokyo 0 5 * * *", "Asia/Tokyo"},
        {"CRON_TZ=A/B @daily", "A/B"},
        {"TZ= @daily", "UTC"},
        {"@every 1h", "UTC"},
        {"nonsense", "UTC"}};
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        assert_true(lq_str_eq(lq_cron_spec_zone(lq_str_c(rows[i][0])),
                              lq_str_c(rows[i][1])));
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[8];
    size_t n = 0;
    ADD_TEST(tests, n, render__is_what_asynqs_inspector_parses);
    ADD_TEST(tests, n, render__defaults__are_left_out);
    ADD_TEST(tests, n, option__odd_texts__are_passed_over);
    ADD_TEST(tests, n, zone__of_a_spec);
    return RUN_TESTS("cron_options", tests, n);
}
