/* Durations: what is read, what is refused, how they are written. */
#include "unit.h"

#include "task/duration.h"

struct parse_row {
    const char *name, *text;
    int64_t ms; /* -1: refused */
    int64_t go_ms;
};

#define HOUR INT64_C(3600000)

static const struct parse_row parse_rows[] = {
    {"parse__90s", "90s", 90000, 90000},
    {"parse__5m", "5m", 300000, 300000},
    {"parse__1h30m", "1h30m", HOUR * 3 / 2, HOUR * 3 / 2},
    {"parse__24h", "24h", 24 * HOUR, 24 * HOUR},
    {"parse__7d__is_not_go", "7d", 168 * HOUR, -1},
    {"parse__2w__is_not_go", "2w", 336 * HOUR, -1},
    {"parse__250ms", "250ms", 250, 250},
    {"parse__1.5h", "1.5h", HOUR * 3 / 2, HOUR * 3 / 2},
    {"parse__a_dot_first", ".5s", 500, 500},
    {"parse__a_dot_last", "1.s", 1000, 1000},
    {"parse__0.1s", "0.1s", 100, 100},
    {"parse__0.3s", "0.3s", 300, 300},
    {"parse__1.001s", "1.001s", 1001, 1001},
    {"parse__units_twice_and_in_any_order", "1m1h1m", HOUR + 120000,
     HOUR + 120000},
    {"parse__a_plain_number__is_seconds", "45", 45000, -1},
    {"parse__a_plain_fraction__is_seconds", "1.5", 1500, -1},
    {"parse__zero", "0", 0, 0},
    {"parse__0s", "0s", 0, 0},
    {"parse__microseconds__are_go_only", "1500us", -1, 1},
    {"parse__micro_sign__is_go_only", "2000\xc2\xb5s", -1, 2},
    {"parse__nanoseconds__are_go_only", "1000000ns", -1, 1},
    {"parse__the_longest", "9223372036854ms", INT64_C(9223372036854),
     INT64_C(9223372036854)},
    {"parse__longer__is_refused", "9223372036855ms", -1, -1},
    {"parse__longer_by_a_sum__is_refused", "2562047h48m", -1, -1},
    {"parse__absurdly_long__is_refused", "99999999999999999999999h", -1, -1},
    {"parse__absurd_weeks__are_refused", "18446744073709551615w", -1, -1},
    {"parse__empty__is_refused", "", -1, -1},
    {"parse__negative__is_refused", "-5m", -1, -1},
    {"parse__plus__is_refused", "+5m", -1, -1},
    {"parse__a_word__is_refused", "soon", -1, -1},
    {"parse__a_unit_alone__is_refused", "h", -1, -1},
    {"parse__a_dot_alone__is_refused", ".", -1, -1},
    {"parse__a_dot_and_a_unit__is_refused", ".h", -1, -1},
    {"parse__an_unknown_unit__is_refused", "5y", -1, -1},
    {"parse__upper_case__is_refused", "5M", -1, -1},
    {"parse__a_number_without_unit_at_the_end__is_refused", "1h30", -1, -1},
    {"parse__a_blank_between__is_refused", "1h 30m", -1, -1},
    {"parse__a_blank_before__is_refused", " 1h", -1, -1},
    {"parse__two_dots__is_refused", "1.2.3s", -1, -1},
};

static void test_parse(void **state)
{
    const struct parse_row *row = *state;
    for (int go = 0; go < 2; go++) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        int64_t ms = -7, want = go ? row->go_ms : row->ms;
        lq_str text = lq_str_c(row->text);
        int rc = go ? lq_duration_parse_go(text, &ms, &err)
                    : lq_duration_parse(text, &ms, &err);
        if (want < 0) {
            assert_int_equal(rc, LUNAQ_EINVAL);
            assert_int_equal(ms, -7);
            assert_non_null(strstr(err.message, row->text));
        } else {
            assert_int_equal(rc, LUNAQ_OK);
            assert_int_equal(ms, want);
        }
    }
}

struct text_row {
    const char *name;
    double ms;
    const char *text;
};

/* As Go's time.Duration.String() writes them. */
static const struct text_row go_rows[] = {
    {"go__0", 0, "0s"},
    {"go__1ms", 1, "1ms"},
    {"go__999ms", 999, "999ms"},
    {"go__1s", 1000, "1s"},
    {"go__1.5s", 1500, "1.5s"},
    {"go__1.05s", 1050, "1.05s"},
    {"go__1.005s", 1005, "1.005s"},
    {"go__30s", 30000, "30s"},
    {"go__1m", 60000, "1m0s"},
    {"go__1m30.25s", 90250, "1m30.25s"},
    {"go__1h", 3600000, "1h0m0s"},
    {"go__24h", 86400000, "24h0m0s"},
    {"go__1h0m1s", 3601000, "1h0m1s"},
    {"go__negative", -61000, "-1m1s"},
};

static void test_go(void **state)
{
    const struct text_row *row = *state;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_duration_go(&b, (int64_t)row->ms);
    assert_string_equal(b.p, row->text);
    int64_t back = -1;
    if (row->ms >= 0) {
        assert_int_equal(lq_duration_parse_go(lq_buf_str(&b), &back, NULL), 0);
        assert_int_equal(back, (int64_t)row->ms);
    }
    lq_buf_release(&b);
}

static const struct text_row text_rows[] = {
    {"text__0", 0, "0ms"},
    {"text__0.04ms", 0.04, "0.04ms"},
    {"text__0.5ms", 0.5, "0.5ms"},
    {"text__1ms", 1, "1ms"},
    {"text__1.2ms", 1.2, "1.2ms"},
    {"text__1.26ms", 1.26, "1.3ms"},
    {"text__99.96ms", 99.96, "100ms"},
    {"text__250ms", 250, "250ms"},
    {"text__999.4ms", 999.4, "999ms"},
    {"text__999.6ms", 999.6, "1s"},
    {"text__1.5s", 1500, "1.5s"},
    {"text__9.96s", 9960, "10s"},
    {"text__17s", 17000, "17s"},
    {"text__59.4s", 59400, "59s"},
    {"text__59.6s", 59600, "1m"},
    {"text__5m", 300000, "5m"},
    {"text__5m30s", 330000, "5m30s"},
    {"text__1h", 3600000, "1h"},
    {"text__1h30m", 5400000, "1h30m"},
    {"text__1h0m59s", 3659000, "1h"},
    {"text__3d", 3 * 86400000.0, "3d"},
    {"text__3d4h", 3 * 86400000.0 + 4 * 3600000, "3d4h"},
    {"text__negative", -1500, "-1.5s"},
    {"text__endless", 1e300, "104166666666d16h"},
};

static void test_text(void **state)
{
    const struct text_row *row = *state;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_duration_text(&b, row->ms);
    assert_string_equal(b.p, row->text);
    lq_buf_release(&b);
}

static void go_text__of_random_durations__is_read_back(void **state)
{
    (void)state;
    uint64_t seed = 3;
    lq_buf b;
    lq_buf_init(&b, 0);
    for (int i = 0; i < 20000; i++) {
        int64_t ms = (int64_t)draw(&seed, UINT64_C(1) << draw(&seed, 31)), back;
        lq_buf_clear(&b);
        lq_duration_go(&b, ms);
        assert_int_equal(lq_duration_parse_go(lq_buf_str(&b), &back, NULL), 0);
        assert_int_equal(back, ms);
    }
    lq_buf_release(&b);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[120];
    size_t n = 0;
    ADD_ROWS(tests, n, parse_rows, test_parse);
    ADD_ROWS(tests, n, go_rows, test_go);
    ADD_ROWS(tests, n, text_rows, test_text);
    ADD_TEST(tests, n, go_text__of_random_durations__is_read_back);
    return RUN_TESTS("duration", tests, n);
}
