/* Cron: specs and their instants, refused specs, and a scan of every minute as
 * an oracle for both. */
#include "unit.h"

#include "task/cron.h"

#include <time.h>

/* "2026-03-01 10:00:00" in UTC → Unix ms.  "" is 0: never. */
static int64_t at(const char *text)
{
    struct tm t = {0};
    if (!text[0])
        return 0;
    assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &t));
    return (int64_t)timegm(&t) * 1000;
}

struct next_row {
    const char *name, *spec, *after, *next;
};

static const struct next_row next_rows[] = {
    {"every_minute__takes_the_next_whole_one", "* * * * *",
     "2026-03-01 10:00:00", "2026-03-01 10:01:00"},
    {"every_minute__from_the_last_second", "* * * * *", "2026-03-01 10:00:59",
     "2026-03-01 10:01:00"},
    {"step__every_15_minutes", "*/15 * * * *", "2026-03-01 10:14:59",
     "2026-03-01 10:15:00"},
    {"step__wraps_to_the_next_hour", "*/15 * * * *", "2026-03-01 10:45:00",
     "2026-03-01 11:00:00"},
    {"step__from_a_number_goes_on_to_the_end", "7/20 * * * *",
     "2026-03-01 10:27:00", "2026-03-01 10:47:00"},
    {"range__with_step", "0 9-17/4 * * *", "2026-03-01 13:00:00",
     "2026-03-01 17:00:00"},
    {"range__is_over__goes_to_tomorrow", "0 9-17/4 * * *",
     "2026-03-01 17:00:00", "2026-03-02 09:00:00"},
    {"list__of_minutes", "5,10,30-32 * * * *", "2026-03-01 10:31:00",
     "2026-03-01 10:32:00"},
    {"list__with_empty_items__drops_them", ",5,, * * * *",
     "2026-03-01 10:00:00", "2026-03-01 10:05:00"},
    {"list__of_commas_alone__never_fires", ", * * * *", "2026-03-01 10:00:00",
     ""},
    {"months__by_name", "0 0 1 JAN,jul *", "2026-03-01 00:00:00",
     "2026-07-01 00:00:00"},
    {"weekdays__by_name", "30 8 * * Mon-Fri", "2026-03-06 08:30:00",
     "2026-03-09 08:30:00"},
    {"weekday__0_is_sunday", "0 0 * * 0", "2026-03-02 00:00:00",
     "2026-03-08 00:00:00"},
    {"question_mark__is_a_star", "0 0 ? * 1", "2026-03-02 00:00:00",
     "2026-03-09 00:00:00"},
    {"both_days_given__either_fits__day_of_month_first", "0 0 13 * fri",
     "2026-03-06 00:00:00", "2026-03-13 00:00:00"},
    {"both_days_given__either_fits__weekday_first", "0 0 13 * fri",
     "2026-03-13 00:00:00", "2026-03-20 00:00:00"},
    {"star_day__both_must_fit", "0 0 * * fri", "2026-03-06 00:00:00",
     "2026-03-13 00:00:00"},
    {"star_weekday__both_must_fit", "0 0 13 * *", "2026-03-13 00:00:00",
     "2026-04-13 00:00:00"},
    /* Every second day or Monday: March 2nd, 2026 is a Monday. */
    {"star_with_step__is_no_star__either_fits", "0 0 */2 * mon",
     "2026-03-01 00:00:00", "2026-03-02 00:00:00"},
    {"star_with_step_1__is_a_star__both_must_fit", "0 0 */1 * tue",
     "2026-03-01 00:00:00", "2026-03-03 00:00:00"},
    {"star_in_a_list__is_a_star__both_must_fit", "0 0 5,* * tue",
     "2026-03-03 00:00:00", "2026-03-10 00:00:00"},
    {"month_end__31st_skips_short_months", "0 0 31 * *", "2026-03-31 00:00:00",
     "2026-05-31 00:00:00"},
    {"leap_day__is_found_two_years_ahead", "0 0 29 2 *", "2026-03-01 00:00:00",
     "2028-02-29 00:00:00"},
    {"leap_day__beyond_five_years__never_fires", "0 0 29 2 *",
     "2096-03-01 00:00:00", ""},
    {"leap_day__in_the_fifth_year__is_found", "0 0 29 2 *",
     "2099-01-01 00:00:00", "2104-02-29 00:00:00"},
    {"leap_day__in_the_sixth_year__is_not", "0 0 29 2 *", "2098-12-31 00:00:00",
     ""},
    {"leap_day__2000_was_one", "0 0 29 2 *", "1999-01-01 00:00:00",
     "2000-02-29 00:00:00"},
    {"february_30th__never_fires", "0 0 30 2 *", "2026-03-01 00:00:00", ""},
    {"year_end__carries_over", "59 23 31 12 *", "2026-12-31 23:59:00",
     "2027-12-31 23:59:00"},
    {"yearly", "@yearly", "2026-03-01 00:00:00", "2027-01-01 00:00:00"},
    {"annually", "@annually", "2026-03-01 00:00:00", "2027-01-01 00:00:00"},
    {"monthly", "@monthly", "2026-03-01 00:00:00", "2026-04-01 00:00:00"},
    {"weekly__is_sunday", "@weekly", "2026-03-01 00:00:00",
     "2026-03-08 00:00:00"},
    {"daily", "@daily", "2026-03-01 00:00:00", "2026-03-02 00:00:00"},
    {"midnight", "@midnight", "2026-03-01 12:00:00", "2026-03-02 00:00:00"},
    {"hourly", "@hourly", "2026-03-01 00:00:00", "2026-03-01 01:00:00"},
    {"every__is_not_aligned", "@every 1h30m", "2026-03-01 00:00:07",
     "2026-03-01 01:30:07"},
    {"every__a_fraction_of_a_second__is_cut", "@every 2.9s",
     "2026-03-01 00:00:07", "2026-03-01 00:00:09"},
    {"every__under_a_second__becomes_one", "@every 10ms", "2026-03-01 00:00:07",
     "2026-03-01 00:00:08"},
    {"every__zero__becomes_one_second", "@every 0s", "2026-03-01 00:00:07",
     "2026-03-01 00:00:08"},
    {"zone__utc__is_taken", "TZ=UTC 0 5 * * *", "2026-03-01 00:00:00",
     "2026-03-01 05:00:00"},
    {"zone__cron_tz_utc__with_a_descriptor", "CRON_TZ=UTC @daily",
     "2026-03-01 00:00:00", "2026-03-02 00:00:00"},
    {"blanks__tabs_and_many", " \t0  5\t*   * * ", "2026-03-01 00:00:00",
     "2026-03-01 05:00:00"},
    {"before_1970__works", "0 0 * * *", "1969-12-30 12:00:00",
     "1969-12-31 00:00:00"},
};

static void test_next(void **state)
{
    const struct next_row *row = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_cron c;
    if (lq_cron_parse(&c, lq_str_c(row->spec), &err))
        fail_msg("%s", err.message);
    int64_t after = at(row->after), want = at(row->next);
    assert_true(lq_cron_next_ms(&c, after) == want);
    /* The part of a second does not count. */
    assert_true(lq_cron_next_ms(&c, after + 999) == want);
}

struct refused_row {
    const char *name, *spec, *says;
};

static const struct refused_row refused_rows[] = {
    {"refused__empty", "", "empty"},
    {"refused__blank", "   ", "empty"},
    {"refused__four_fields", "* * * *", "4 fields"},
    {"refused__six_fields", "0 * * * * *", "6 fields"},
    {"refused__minute_60", "60 * * * *", "minute"},
    {"refused__hour_24", "0 24 * * *", "hour"},
    {"refused__day_0", "0 0 0 * *", "day of month"},
    {"refused__day_32", "0 0 32 * *", "day of month"},
    {"refused__month_0", "0 0 1 0 *", "month"},
    {"refused__month_13", "0 0 1 13 *", "month"},
    {"refused__weekday_7", "0 0 * * 7", "day of week"},
    {"refused__step_0", "*/0 * * * *", "step of 0"},
    {"refused__step_missing", "*/ * * * *", "step"},
    {"refused__step_a_word", "*/x * * * *", "step"},
    {"refused__step_negative", "*/-2 * * * *", "step"},
    {"refused__two_steps", "*/2/3 * * * *", "more than one '/'"},
    {"refused__range_backwards", "30-10 * * * *", "backwards"},
    {"refused__weekdays_backwards", "0 0 * * fri-mon", "backwards"},
    {"refused__range_of_three", "1-2-3 * * * *", "more than one '-'"},
    {"refused__range_open", "1- * * * *", "range"},
    {"refused__range_from_a_star", "*-5 * * * *", "star"},
    {"refused__negative", "-5 * * * *", "not a number"},
    {"refused__plus", "+5 * * * *", "not a number"},
    {"refused__long_weekday_names", "0 0 * * monday", "not a number"},
    {"refused__a_month_as_weekday", "0 0 * * jan", "not a number"},
    {"refused__weekday_in_minutes", "mon * * * *", "not a number"},
    {"refused__last_day", "0 0 L * *", "not a number"},
    {"refused__nearest_weekday", "0 0 15W * *", "not a number"},
    {"refused__nth_weekday", "0 0 * * 5#2", "not a number"},
    {"refused__a_huge_number", "99999999999999999999 * * * *", "not a number"},
    {"refused__a_huge_step", "*/99999999999999999999 * * * *", "step"},
    {"refused__reboot", "@reboot", "@reboot"},
    {"refused__descriptors_in_capitals", "@Daily", "@Daily"},
    {"refused__a_descriptor_with_more", "@daily x", "@daily x"},
    {"refused__every_without_duration", "@every", "@every"},
    {"refused__every_a_word", "@every day", "duration"},
    {"refused__every_negative", "@every -5m", "negative"},
    {"refused__every_days", "@every 1d", "unit"},
    {"refused__every_without_unit", "@every 90", "unit"},
    {"refused__a_zone_alone", "TZ=UTC", "empty"},
};

static void test_refused(void **state)
{
    const struct refused_row *row = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_cron c, before;
    memset(&c, 0x5a, sizeof c);
    before = c;
    assert_int_equal(lq_cron_parse(&c, lq_str_c(row->spec), &err),
                     LUNAQ_EINVAL);
    assert_memory_equal(&c, &before, sizeof c);
    if (!strstr(err.message, row->says))
        fail_msg("\"%s\" does not say \"%s\"", err.message, row->says);
    assert_true(lq_utf8_valid(lq_str_c(err.message)));
}

/* ---- the oracle --------------------------------------------------------- */

static int draw_int(uint64_t *seed, int bound)
{
    return (int)draw(seed, (unsigned)bound);
}

/* A field as text and as the set that it means, made together. */
static void draw_field(uint64_t *seed, int min, int max, char *text,
                       bool fires[64], bool *star)
{
    text[0] = 0;
    memset(fires, 0, 64 * sizeof *fires);
    *star = false;
    int items = 1 + draw_int(seed, 3);
    for (int i = 0; i < items; i++) {
        int a = min + draw_int(seed, max - min + 1);
        int b = a + draw_int(seed, max - a + 1);
        int step = 1 + draw_int(seed, 9);
        char *to = text + strlen(text);
        to += sprintf(to, "%s", i ? "," : "");
        switch (draw(seed, items == 1 ? 6 : 4)) {
        case 0:
            sprintf(to, "%d", a);
            b = a;
            step = 1;
            break;
        case 1:
            sprintf(to, "%d-%d", a, b);
            step = 1;
            break;
        case 2:
            sprintf(to, "%d-%d/%d", a, b, step);
            break;
        case 3:
            sprintf(to, "%d/%d", a, step);
            b = max;
            break;
        case 4:
            sprintf(to, "%c", draw(seed, 2) ? '*' : '?');
            a = min;
            b = max;
            step = 1;
            *star = true;
            break;
        default:
            sprintf(to, "*/%d", step);
            a = min;
            b = max;
            *star = step == 1;
            break;
        }
        for (int v = a; v <= b; v += step)
            fires[v] = true;
    }
}

/* Every spec is scanned minute by minute for 40 days from a random start, or
 * until it has fired 200 times. */
static void
random_specs__fire_in_exactly_the_minutes_that_a_scan_finds(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < 300; round++) {
        static const int least[5] = {0, 0, 1, 1, 0},
                         most[5] = {59, 23, 31, 12, 6};
        bool fires[5][64], star[5];
        char text[5][64], spec[400];
        for (int i = 0; i < 5; i++)
            draw_field(&seed, least[i], most[i], text[i], fires[i], &star[i]);
        snprintf(spec, sizeof spec, "%s %s %s %s %s", text[0], text[1], text[2],
                 text[3], text[4]);
        lq_cron c;
        lunaq_error err = LUNAQ_ERROR_INIT;
        if (lq_cron_parse(&c, lq_str_c(spec), &err))
            fail_msg("%s: %s", spec, err.message);
        int64_t start = INT64_C(946684800) + (int64_t)draw(&seed, 2000000000);
        start -= start % 60;
        int64_t next = lq_cron_next_ms(&c, start * 1000);
        int fired = 0;
        for (int64_t s = start + 60;
             s < start + INT64_C(40) * 86400 && fired < 200; s += 60) {
            time_t clock = (time_t)s;
            struct tm t;
            gmtime_r(&clock, &t);
            bool dom = fires[2][t.tm_mday], dow = fires[4][t.tm_wday];
            bool fire = fires[0][t.tm_min] && fires[1][t.tm_hour] &&
                        fires[3][t.tm_mon + 1] &&
                        (star[2] || star[4] ? dom && dow : dom || dow);
            if (fire != (next == s * 1000))
                fail_msg("%s at %lld: %s", spec, (long long)s,
                         fire ? "missed" : "fired");
            if (fire) {
                next = lq_cron_next_ms(&c, s * 1000);
                fired++;
            }
            if (next)
                assert_true(next > s * 1000);
        }
    }
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[120];
    size_t n = 0;
    ADD_ROWS(tests, n, next_rows, test_next);
    ADD_ROWS(tests, n, refused_rows, test_refused);
    ADD_TEST(tests, n,
             random_specs__fire_in_exactly_the_minutes_that_a_scan_finds);
    return RUN_TESTS("cron", tests, n);
}
