/* Which instant is fired, and which missed ones are left out. */
#include "unit.h"

#include "task/cron_due.h"

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define T0 INT64_C(1772323200000) /* 2026-03-01 00:00 UTC, a Sunday */

static lq_cron_rule rule_of(const char *spec, const char *missed)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_zones none = {0};
    lq_cron_rule rule;
    lq_cron_text text = {spec, NULL, NULL, missed};
    if (lq_cron_rule_read(&rule, NULL, &none, &text, NULL, &err))
        fail_msg("%s", err.message);
    return rule;
}

struct row {
    const char *name, *spec, *missed;
    int64_t next, now; /* after T0 */
    int64_t due;       /* after T0; -1 = none */
    int64_t then;      /* what next became */
};

static const struct row rows[] = {
    {"nothing_is_due", "@hourly", NULL, HOUR, HOUR - 1, -1, HOUR},
    {"just_due", "@hourly", NULL, HOUR, HOUR, HOUR, HOUR},
    {"just_due__skip", "@hourly", "skip", HOUR, HOUR, HOUR, HOUR},
    {"just_due__all", "@hourly", "all", HOUR, HOUR, HOUR, HOUR},
    {"once__fires_the_latest", "@hourly", "once", HOUR, 5 * HOUR + MINUTE,
     5 * HOUR, 5 * HOUR},
    {"once__over_months__fires_the_latest", "*/5 * * * *", NULL, 5 * MINUTE,
     300 * DAY + 7 * MINUTE, 300 * DAY + 5 * MINUTE, 300 * DAY + 5 * MINUTE},
    {"once__every__keeps_its_beat", "@every 7m", NULL, 7 * MINUTE, 50 * MINUTE,
     49 * MINUTE, 49 * MINUTE},
    {"skip__long_gone__fires_none", "@hourly", "skip", HOUR,
     5 * HOUR + HOUR / 2, -1, 6 * HOUR},
    {"skip__a_little_late__fires", "@hourly", "skip", HOUR,
     5 * HOUR + MINUTE / 2, 5 * HOUR, 5 * HOUR},
    {"skip__every__keeps_its_beat", "@every 7m", "skip", 7 * MINUTE,
     51 * MINUTE, -1, 56 * MINUTE},
    {"skip__daily__waits_for_the_next", "0 3 * * *", "skip", 3 * HOUR, 10 * DAY,
     -1, 10 * DAY + 3 * HOUR},
    {"all__fires_the_first", "@hourly", "all", HOUR, 5 * HOUR + MINUTE, HOUR,
     HOUR},
    {"all__at_most_a_hundred", "@hourly", "all", HOUR, 300 * HOUR, 201 * HOUR,
     201 * HOUR},
    {"all__a_hundred__all_of_them", "@hourly", "all", HOUR, 100 * HOUR, HOUR,
     HOUR},
    {"all__a_hundred_and_one__one_is_left_out", "@hourly", "all", HOUR,
     101 * HOUR, 2 * HOUR, 2 * HOUR},
    {"all__every__at_most_a_hundred", "@every 1m", "all", MINUTE, 300 * MINUTE,
     201 * MINUTE, 201 * MINUTE},
    {"all__every__few", "@every 1m", "all", MINUTE, 3 * MINUTE, MINUTE, MINUTE},
    /* A clock that jumps two years ahead: 720 catch-up runs are not wanted. */
    {"clock_ahead__once", "*/5 * * * *", NULL, 5 * MINUTE, 700 * DAY, 700 * DAY,
     700 * DAY},
    {"clock_ahead__all__the_latest_hundred", "*/5 * * * *", "all", 5 * MINUTE,
     700 * DAY, 700 * DAY - 495 * MINUTE, 700 * DAY - 495 * MINUTE},
};

static void test_due(void **state)
{
    const struct row *row = *state;
    lq_cron_rule rule = rule_of(row->spec, row->missed);
    int64_t next = T0 + row->next;
    int64_t due = lq_cron_due(&rule, &next, T0 + row->now);
    assert_int_equal(due ? due - T0 : -1, row->due);
    assert_int_equal(next - T0, row->then);
}

/* Fired one after the other, as the scheduler does. */
static void all__fired_one_by_one__are_each_instant_in_order(void **state)
{
    (void)state;
    lq_cron_rule rule = rule_of("*/10 8-9 * * *", "all");
    int64_t next = lq_cron_next_ms(&rule.cron, T0), now = T0 + 30 * DAY;
    int64_t want = T0 + 30 * DAY, due;
    /* 12 a day: the latest hundred begin 8 days and 4 instants ago. */
    for (int i = 0; i < 100; i++)
        do
            want -= 10 * MINUTE;
        while ((want - T0) % DAY / HOUR < 8 || (want - T0) % DAY / HOUR > 9);
    int fired = 0;
    for (; (due = lq_cron_due(&rule, &next, now)) != 0; fired++) {
        assert_int_equal(due, want);
        next = lq_cron_next_ms(&rule.cron, due);
        want = next;
    }
    assert_int_equal(fired, 100);
}

static void never__is_never_due(void **state)
{
    (void)state;
    lq_cron_rule rule = rule_of("0 0 30 2 *", "all");
    int64_t next = lq_cron_next_ms(&rule.cron, T0);
    assert_int_equal(lq_cron_due(&rule, &next, INT64_C(1) << 50), 0);
}

static void believed__is_a_period_ahead_or_some_minutes(void **state)
{
    (void)state;
    lq_cron_rule rule = rule_of("@daily", NULL);
    assert_int_equal(lq_cron_believed_ms(&rule.cron, T0), T0 + DAY);
    rule = rule_of("@every 2s", NULL);
    assert_int_equal(lq_cron_believed_ms(&rule.cron, T0), T0 + 5 * MINUTE);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[40];
    size_t n = 0;
    ADD_ROWS(tests, n, rows, test_due);
    ADD_TEST(tests, n, all__fired_one_by_one__are_each_instant_in_order);
    ADD_TEST(tests, n, never__is_never_due);
    ADD_TEST(tests, n, believed__is_a_period_ahead_or_some_minutes);
    return RUN_TESTS("cron_due", tests, n);
}
