/* The lease token in the fraction of a score. */
#include "unit.h"

#include "task/token.h"

#include <math.h>

struct instant_row {
    const char *name;
    int64_t end_s;
};

static const struct instant_row instant_rows[] = {
    {"every_token__at_second_zero", 0},
    {"every_token__now", 1800000000},
    {"every_token__in_the_last_second_of_31_bits", 2147483647}, /* 2038 */
    {"every_token__in_the_first_second_of_32_bits", 2147483648},
    {"every_token__in_2100", 4102444800},
    {"every_token__in_the_last_second_of_32_bits", 4294967295},
};

/* Exact: the token, the second, and that neighbours differ. */
static void every_token__is_exact(void **state)
{
    const struct instant_row *row = *state;
    double before = (double)row->end_s;
    for (uint32_t k = 1; k < LQ_TOKEN_LIMIT; k++) {
        double score = lq_token_score(row->end_s, k);
        if (lq_token_of(score) != k || !(score > before) ||
            floor(score) != (double)row->end_s)
            fail_msg("token %u", k);
        before = score;
    }
}

/* Redis keeps a score as a double but answers it as text of 17 digits. */
static void token__through_seventeen_digits__survives(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 100000; i++) {
        uint32_t k = 1 + (uint32_t)draw(&seed, LQ_TOKEN_LIMIT - 1);
        int64_t s = 1700000000 + (int64_t)draw(&seed, 2000000000);
        char text[40];
        snprintf(text, sizeof text, "%.17g", lq_token_score(s, k));
        assert_int_equal(lq_token_of(strtod(text, NULL)), k);
    }
}

static void integer_score__has_no_token(void **state)
{
    (void)state;
    assert_int_equal(lq_token_of(0), 0);
    assert_int_equal(lq_token_of(1700000000), 0);
    assert_int_equal(lq_token_of(4294967295.0), 0);
    assert_int_equal(lq_token_of(9007199254740993.0), 0);
    assert_int_equal(lq_token_of(-5), 0);
    assert_true(lq_token_score(1700000000, 0) == 1700000000.0);
}

static void strange_scores__have_no_token(void **state)
{
    (void)state;
    assert_int_equal(lq_token_of(NAN), 0);
    assert_int_equal(lq_token_of(INFINITY), 0);
    assert_int_equal(lq_token_of(-INFINITY), 0);
    assert_int_equal(lq_token_of(1.0 - 0x1p-53), 0); /* nearly the next */
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[20];
    size_t n = 0;
    ADD_ROWS(tests, n, instant_rows, every_token__is_exact);
    ADD_TEST(tests, n, token__through_seventeen_digits__survives);
    ADD_TEST(tests, n, integer_score__has_no_token);
    ADD_TEST(tests, n, strange_scores__have_no_token);
    return RUN_TESTS("token", tests, n);
}
