/* Cron in time zones: what becomes of local times that a change of the clock
 * leaves out or brings twice, by both rules; and a scan of every minute as an
 * oracle for the default one. */
#include "unit.h"

#include "task/cron_rule.h"
#include "task/date.h"

#include <time.h>

#define UTC_MS(text) instant(text)

/* "2026-03-29T01:00:00" in UTC → Unix ms; "" = never. */
static int64_t instant(const char *text)
{
    struct tm t = {0};
    if (!text[0])
        return 0;
    assert_non_null(strptime(text, "%Y-%m-%dT%H:%M:%S", &t));
    return (int64_t)timegm(&t) * 1000;
}

struct row {
    const char *name;
    const char *spec, *tz, *dst;
    const char *after;
    const char *next[4]; /* the following instants, in UTC; NULL ends them */
};

#define BERLIN "Europe/Berlin"
#define NEW_YORK "America/New_York"
#define LORD_HOWE "Australia/Lord_Howe"

static const struct row rows[] = {
    /* The clock goes from 02:00 to 03:00 on March 29th, at 01:00 UTC. */
    {"spring__fixed_time_in_the_gap__fires_at_its_end",
     "30 2 * * *",
     BERLIN,
     NULL,
     "2026-03-28T12:00:00",
     {"2026-03-29T01:00:00", "2026-03-30T00:30:00"}},
    {"spring__many_fixed_times_in_the_gap__fire_once",
     "0,10,20 2 * * *",
     BERLIN,
     NULL,
     "2026-03-28T12:00:00",
     {"2026-03-29T01:00:00", "2026-03-30T00:00:00", "2026-03-30T00:10:00"}},
    {"spring__fixed_times_in_the_gap_and_at_its_end__fire_once",
     "0 2,3 * * *",
     BERLIN,
     NULL,
     "2026-03-28T12:00:00",
     {"2026-03-29T01:00:00", "2026-03-30T00:00:00", "2026-03-30T01:00:00"}},
    {"spring__every_15_minutes__by_elapsed_time",
     "*/15 * * * *",
     BERLIN,
     NULL,
     "2026-03-29T00:30:00",
     {"2026-03-29T00:45:00", "2026-03-29T01:00:00", "2026-03-29T01:15:00"}},
    {"spring__every_second_hour__follows_the_clock",
     "0 */2 * * *",
     BERLIN,
     NULL,
     "2026-03-28T22:30:00",
     {"2026-03-28T23:00:00", "2026-03-29T02:00:00", "2026-03-29T04:00:00"}},
    {"spring__hours_from_0_by_2__follow_the_clock",
     "0 0/2 * * *",
     BERLIN,
     NULL,
     "2026-03-28T22:30:00",
     {"2026-03-28T23:00:00", "2026-03-29T02:00:00"}},
    {"spring__every_minute_of_the_lost_hour__does_not_fire",
     "* 2 * * *",
     BERLIN,
     NULL,
     "2026-03-28T12:00:00",
     {"2026-03-30T00:00:00", "2026-03-30T00:01:00"}},
    {"spring__a_day_that_does_not_fit__makes_no_difference",
     "30 2 * * mon",
     BERLIN,
     NULL,
     "2026-03-28T12:00:00",
     {"2026-03-30T00:30:00"}},
    {"spring__robfig__leaves_it_out",
     "30 2 * * *",
     BERLIN,
     "robfig",
     "2026-03-28T12:00:00",
     {"2026-03-30T00:30:00"}},
    /* From 03:00 to 02:00 on October 25th, at 01:00 UTC. */
    {"autumn__fixed_time_that_comes_twice__fires_at_the_first",
     "30 2 * * *",
     BERLIN,
     NULL,
     "2026-10-24T12:00:00",
     {"2026-10-25T00:30:00", "2026-10-26T01:30:00"}},
    {"autumn__just_after_the_first__waits_for_tomorrow",
     "30 2 * * *",
     BERLIN,
     NULL,
     "2026-10-25T00:30:00",
     {"2026-10-26T01:30:00"}},
    {"autumn__between_the_two__waits_for_tomorrow",
     "30 2 * * *",
     BERLIN,
     NULL,
     "2026-10-25T01:15:00",
     {"2026-10-26T01:30:00"}},
    {"autumn__full_hour__fires_at_the_first",
     "0 2 * * *",
     BERLIN,
     NULL,
     "2026-10-24T12:00:00",
     {"2026-10-25T00:00:00", "2026-10-26T01:00:00"}},
    {"autumn__the_end_of_the_repeated_hour__fires_once",
     "0 3 * * *",
     BERLIN,
     NULL,
     "2026-10-24T12:00:00",
     {"2026-10-25T02:00:00", "2026-10-26T02:00:00"}},
    {"autumn__every_20_minutes__by_elapsed_time",
     "*/20 * * * *",
     BERLIN,
     NULL,
     "2026-10-25T00:20:00",
     {"2026-10-25T00:40:00", "2026-10-25T01:00:00", "2026-10-25T01:20:00"}},
    {"autumn__robfig__fires_twice",
     "30 2 * * *",
     BERLIN,
     "robfig",
     "2026-10-24T12:00:00",
     {"2026-10-25T00:30:00", "2026-10-25T01:30:00", "2026-10-26T01:30:00"}},
    {"new_york__spring",
     "0 2 * * *",
     NEW_YORK,
     NULL,
     "2026-03-07T12:00:00",
     {"2026-03-08T07:00:00", "2026-03-09T06:00:00"}},
    {"new_york__autumn",
     "30 1 * * *",
     NEW_YORK,
     NULL,
     "2026-10-31T12:00:00",
     {"2026-11-01T05:30:00", "2026-11-02T06:30:00"}},
    /* Half an hour: from 02:00 to 02:30, and from 02:00 to 01:30. */
    {"lord_howe__spring__in_the_half_hour",
     "15 2 * * *",
     LORD_HOWE,
     NULL,
     "2026-10-03T12:00:00",
     {"2026-10-03T15:30:00", "2026-10-04T15:15:00"}},
    {"lord_howe__spring__behind_it",
     "45 2 * * *",
     LORD_HOWE,
     NULL,
     "2026-10-03T12:00:00",
     {"2026-10-03T15:45:00", "2026-10-04T15:45:00"}},
    {"lord_howe__autumn__in_the_half_hour",
     "45 1 * * *",
     LORD_HOWE,
     NULL,
     "2026-04-04T12:00:00",
     {"2026-04-04T14:45:00", "2026-04-05T15:15:00"}},
    {"lord_howe__autumn__robfig",
     "45 1 * * *",
     LORD_HOWE,
     "robfig",
     "2026-04-04T12:00:00",
     {"2026-04-04T14:45:00", "2026-04-04T15:15:00", "2026-04-05T15:15:00"}},
    /* Cairo's summer begins at midnight, on Friday, April 24th. */
    {"cairo__midnight_that_does_not_exist__is_one_o_clock",
     "0 0 * * *",
     "Africa/Cairo",
     NULL,
     "2026-04-23T12:00:00",
     {"2026-04-23T22:00:00", "2026-04-24T21:00:00"}},
    {"cairo__on_that_weekday_only",
     "0 0 * * fri",
     "Africa/Cairo",
     NULL,
     "2026-04-20T12:00:00",
     {"2026-04-23T22:00:00", "2026-04-30T21:00:00"}},
    {"cairo__midnight_that_comes_twice__is_the_first",
     "30 23 * * *",
     "Africa/Cairo",
     NULL,
     "2026-10-29T12:00:00",
     {"2026-10-29T20:30:00", "2026-10-30T21:30:00"}},
    {"sao_paulo__midnight_that_does_not_exist__in_2018",
     "0 0 * * *",
     "America/Sao_Paulo",
     NULL,
     "2018-11-03T12:00:00",
     {"2018-11-04T03:00:00", "2018-11-05T02:00:00"}},
    {"sao_paulo__monthly_on_a_first_without_midnight__is_one_o_clock",
     "@monthly",
     "America/Asuncion",
     NULL,
     "2017-09-15T12:00:00",
     {"2017-10-01T04:00:00", "2017-11-01T03:00:00"}},
    /* December 30th, 2011 was left out as a whole. */
    {"apia__a_day_that_does_not_exist__fires_behind_it",
     "0 12 * * *",
     "Pacific/Apia",
     NULL,
     "2011-12-29T23:00:00",
     {"2011-12-30T10:00:00", "2011-12-30T22:00:00"}},
    {"apia__robfig__whose_walk_does_not_end",
     "0 12 30 12 *",
     "Pacific/Apia",
     "robfig",
     "2011-12-01T00:00:00",
     {"2011-12-30T10:00:00", "2012-12-29T22:00:00"}},
    {"leap_day__in_a_zone",
     "0 0 29 2 *",
     "Asia/Tokyo",
     NULL,
     "2026-03-01T00:00:00",
     {"2028-02-28T15:00:00", "2032-02-28T15:00:00"}},
    {"leap_day__that_is_over_five_years_away__never_fires",
     "0 0 29 2 *",
     "Asia/Tokyo",
     NULL,
     "2096-03-01T00:00:00",
     {""}},
    {"february_30th__in_a_zone__never_fires",
     "0 0 30 2 *",
     BERLIN,
     NULL,
     "2026-03-01T00:00:00",
     {""}},
    {"february_30th__robfig__never_fires",
     "0 0 30 2 *",
     BERLIN,
     "robfig",
     "2026-03-01T00:00:00",
     {""}},
    {"zone__by_prefix",
     "TZ=Asia/Kolkata 0 9 * * *",
     NULL,
     NULL,
     "2026-03-01T00:00:00",
     {"2026-03-01T03:30:00"}},
    {"zone__by_cron_tz__with_a_descriptor",
     "CRON_TZ=Asia/Tokyo @daily",
     NULL,
     NULL,
     "2026-03-01T00:00:00",
     {"2026-03-01T15:00:00"}},
    {"zone__every__does_not_care",
     "CRON_TZ=Asia/Tokyo @every 90m",
     NULL,
     NULL,
     "2026-03-01T00:00:00",
     {"2026-03-01T01:30:00"}},
    {"zone__beyond_the_listed_changes__by_its_rule",
     "30 2 * * *",
     BERLIN,
     NULL,
     "2150-03-28T12:00:00",
     {"2150-03-29T01:00:00", "2150-03-30T00:30:00"}},
    {"zone__before_standard_time__seconds_of_offset",
     "0 12 * * *",
     BERLIN,
     NULL,
     "1880-01-01T00:00:00",
     {"1880-01-01T11:06:32"}},
};

static void test_row(void **state)
{
    const struct row *row = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_zones zones = {0};
    lq_cron_rule rule;
    lq_cron_text text = {row->spec, row->tz, row->dst, NULL};
    if (lq_cron_rule_read(&rule, NULL, &zones, &text, NULL, &err))
        fail_msg("%s", err.message);
    int64_t at = UTC_MS(row->after);
    for (size_t i = 0; i < LQ_COUNT(row->next) && row->next[i]; i++) {
        int64_t next = lq_cron_next_ms(&rule.cron, at);
        int64_t want = UTC_MS(row->next[i]);
        if (next != want) {
            time_t s = (time_t)(next / 1000);
            struct tm t;
            char got[32];
            strftime(got, sizeof got, "%FT%T", gmtime_r(&s, &t));
            fail_msg("%zu: %s, not %s", i, got, row->next[i]);
        }
        at = next;
    }
    lq_zones_release(&zones);
}

/* ---- options ------------------------------------------------------------- */

struct refused_row {
    const char *name;
    lq_cron_text text;
    const char *says;
};

static const struct refused_row refused_rows[] = {
    {"refused__unknown_zone",
     {"0 5 * * *", "Mars/Base", NULL, NULL},
     "Mars/Base"},
    {"refused__unknown_zone_in_a_prefix",
     {"TZ=Mars/Base 0 5 * * *", NULL, NULL, NULL},
     "Mars/Base"},
    {"refused__unknown_zone_of_every",
     {"TZ=Mars/Base @every 1h", NULL, NULL, NULL},
     "Mars/Base"},
    {"refused__zone_that_leaves_the_folder",
     {"0 5 * * *", "../localtime", NULL, NULL},
     "not the name"},
    {"refused__zone_given_twice",
     {"TZ=Asia/Tokyo 0 5 * * *", "Asia/Tokyo", NULL, NULL},
     "leave one"},
    {"refused__zone_without_a_spec",
     {"TZ=Asia/Tokyo", NULL, NULL, NULL},
     "empty"},
    {"refused__missed", {"0 5 * * *", NULL, NULL, "never"}, "once, skip or"},
    {"refused__dst", {"0 5 * * *", NULL, "none", NULL}, "vixie or robfig"},
    {"refused__spec", {"0 5 * *", NULL, NULL, NULL}, "4 fields"},
    {"refused__no_spec", {NULL, NULL, NULL, NULL}, "empty"},
};

static void test_refused(void **state)
{
    const struct refused_row *row = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_int_equal(lq_cron_rule_check(&row->text, &err), LUNAQ_EINVAL);
    if (!strstr(err.message, row->says))
        fail_msg("\"%s\" does not say \"%s\"", err.message, row->says);
}

static void check_shown(const char *spec, const char *tz, const char *fallback,
                        const char *want)
{
    lq_zones zones = {0};
    lq_cron_rule rule;
    lq_buf shown;
    lq_buf_init(&shown, 0);
    lq_cron_text text = {spec, tz, NULL, "all"};
    assert_int_equal(
        lq_cron_rule_read(&rule, &shown, &zones, &text, fallback, NULL),
        LUNAQ_OK);
    assert_string_equal(shown.p, want);
    assert_int_equal(rule.missed, LQ_MISSED_ALL);
    lq_buf_release(&shown);
    lq_zones_release(&zones);
}

static void shown__is_the_spec_with_its_zone(void **state)
{
    (void)state;
    check_shown("0 5 * * *", NULL, NULL, "0 5 * * *");
    check_shown("0 5 * * *", "UTC", BERLIN, "0 5 * * *");
    check_shown("0 5 * * *", BERLIN, NULL, "CRON_TZ=Europe/Berlin 0 5 * * *");
    check_shown("0 5 * * *", "", BERLIN, "CRON_TZ=Europe/Berlin 0 5 * * *");
    check_shown("0 5 * * *", "Asia/Tokyo", BERLIN,
                "CRON_TZ=Asia/Tokyo 0 5 * * *");
    check_shown("TZ=Asia/Tokyo 0 5 * * *", NULL, BERLIN,
                "TZ=Asia/Tokyo 0 5 * * *");
    check_shown("@every 1h", BERLIN, NULL, "@every 1h");
    check_shown("@daily", BERLIN, NULL, "CRON_TZ=Europe/Berlin @daily");
}

/* ---- a scan as an oracle ------------------------------------------------- */

static const char *const scanned_zones[] = {BERLIN,
                                            NEW_YORK,
                                            LORD_HOWE,
                                            "Africa/Cairo",
                                            "Africa/Casablanca",
                                            "America/Sao_Paulo",
                                            "Asia/Gaza",
                                            "Europe/Dublin",
                                            "America/Nuuk",
                                            "Pacific/Apia",
                                            "Asia/Kathmandu",
                                            "America/Caracas",
                                            "Antarctica/Troll",
                                            "Asia/Pyongyang"};
static const char *const scanned_specs[] = {
    "30 2 * * *",   "0 0 * * *",    "15,45 1-3 * * *", "59 23 * * *",
    "*/20 * * * *", "0 */2 * * *",  "10 * * * *",      "5 0/3 * * *",
    "0 1 1 * *",    "30 0 * * sun", "* 2 * * *",       "0 0 1,15 * fri"};

static bool fits(const lq_cron *c, int64_t local)
{
    int64_t days = lq_floor_div(local, 86400), s = local - days * 86400;
    lq_date d = lq_date_of(days);
    bool dom = c->dom >> d.day & 1, dow = c->dow >> lq_date_weekday(days) & 1;
    return c->minute >> s / 60 % 60 & 1 && c->hour >> s / 3600 & 1 &&
           c->month >> d.month & 1 &&
           (c->dom_star || c->dow_star ? dom && dow : dom || dow);
}

/* A fixed local time is due when the highest that the clock showed so far
 * passes it; what is due often, when the clock shows it. */
static void scan(const char *zone, const char *spec, int64_t from, int64_t days)
{
    lq_zones zones = {0};
    lq_cron_rule rule;
    lq_cron_text text = {spec, zone, NULL, NULL};
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lq_cron_rule_read(&rule, NULL, &zones, &text, NULL, &err))
        fail_msg("%s", err.message);
    const lq_cron *c = &rule.cron;
    int64_t next = lq_cron_next_ms(c, from * 1000) / 1000;
    lq_zone_span span = lq_zone_at(c->zone, from);
    int64_t highest = from + span.offset_s;
    for (int64_t at = from + 60; at < from + days * 86400; at += 60) {
        if (at >= span.end)
            span = lq_zone_at(c->zone, at);
        int64_t local = at + span.offset_s;
        bool due = false;
        if (c->often)
            due = fits(c, local);
        else
            for (int64_t l = highest + 60; l <= local && !due; l += 60)
                due = fits(c, l);
        highest = local > highest ? local : highest;
        if (due != (next == at))
            fail_msg("%s in %s at %lld: %s", spec, zone, (long long)at,
                     due ? "missed" : "fired");
        if (due)
            next = lq_cron_next_ms(c, at * 1000) / 1000;
    }
    lq_zones_release(&zones);
}

static void
vixie__over_a_year_of_many_zones__is_what_a_scan_of_every_minute_finds(
    void **state)
{
    (void)state;
    for (size_t z = 0; z < LQ_COUNT(scanned_zones); z++)
        for (size_t s = 0; s < LQ_COUNT(scanned_specs); s++)
            scan(scanned_zones[z], scanned_specs[s],
                 /* from 2026; some had their changes before */
                 z % 2 || z == 12 ? 1767225600 - 15 * 31557600 / 60 * 60
                                  : 1767225600,
                 366);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[80];
    size_t n = 0;
    lq_zones zones = {0};
    const lq_zone *berlin;
    if (lq_zones_get(&zones, LQ_STR(BERLIN), &berlin, NULL)) {
        print_message("skipped: no time zones here: install tzdata\n");
        return 77;
    }
    lq_zones_release(&zones);
    ADD_ROWS(tests, n, rows, test_row);
    ADD_ROWS(tests, n, refused_rows, test_refused);
    ADD_TEST(tests, n, shown__is_the_spec_with_its_zone);
    ADD_TEST(
        tests, n,
        vixie__over_a_year_of_many_zones__is_what_a_scan_of_every_minute_finds);
    return RUN_TESTS("cron_zone", tests, n);
}
