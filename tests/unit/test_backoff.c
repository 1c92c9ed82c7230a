/* The delay before the next attempt. */
#include "unit.h"

#include "task/backoff.h"

/* asynq-protocol: n^4 + 15 + rand{0…29} * (n + 1) seconds. */
static const struct {
    int32_t n;
    int64_t least_s, most_s;
} published[] = {{0, 15, 44},         {1, 16, 74},   {2, 31, 118},
                 {3, 96, 212},        {5, 640, 814}, {10, 10015, 10334},
                 {24, 331791, 332516}};

static void delay__for_published_n__has_the_published_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < LQ_COUNT(published); i++) {
        assert_int_equal(lq_backoff_ms(published[i].n, 0),
                         published[i].least_s * 1000);
        assert_int_equal(lq_backoff_ms(published[i].n, 29),
                         published[i].most_s * 1000);
    }
}

static void delay__for_n_to_24_and_each_draw__is_the_curve(void **state)
{
    (void)state;
    for (int32_t n = 0; n <= 24; n++)
        for (uint64_t r = 0; r < 90; r++) {
            int64_t n4 = (int64_t)n * n * n * n;
            assert_int_equal(lq_backoff_ms(n, r),
                             (n4 + 15 + (int64_t)(r % 30) * (n + 1)) * 1000);
        }
    assert_int_equal(lq_backoff_ms(0, UINT64_MAX), 15000 + 15 * 1000);
}

static void delay__all_retries__add_up_to_twenty_days(void **state)
{
    (void)state;
    int64_t sum = 0;
    for (int32_t n = 0; n < 25; n++)
        sum += lq_backoff_ms(n, 15);
    assert_in_range(sum / 3600000, 20 * 24, 21 * 24);
}

static void delay__for_negative_n__is_that_of_the_first(void **state)
{
    (void)state;
    assert_int_equal(lq_backoff_ms(-1, 3), lq_backoff_ms(0, 3));
    assert_int_equal(lq_backoff_ms(INT32_MIN, 3), lq_backoff_ms(0, 3));
}

static void delay__for_great_n__stops_at_ten_years(void **state)
{
    (void)state;
    const int64_t ten_years = INT64_C(10) * 365 * 24 * 3600 * 1000;
    int64_t before = 0;
    for (int32_t n = 0; n < 400; n++) {
        int64_t ms = lq_backoff_ms(n, 29);
        assert_true(ms >= before && ms <= ten_years);
        before = ms;
    }
    assert_int_equal(lq_backoff_ms(INT32_MAX, 29), ten_years);
    assert_true(lq_backoff_ms(130, 0) < ten_years);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delay__for_published_n__has_the_published_bounds),
        cmocka_unit_test(delay__for_n_to_24_and_each_draw__is_the_curve),
        cmocka_unit_test(delay__all_retries__add_up_to_twenty_days),
        cmocka_unit_test(delay__for_negative_n__is_that_of_the_first),
        cmocka_unit_test(delay__for_great_n__stops_at_ten_years),
    };
    return RUN_TESTS("backoff", tests, LQ_COUNT(tests));
}
