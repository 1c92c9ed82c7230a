/* JSON as the command line writes it: what is taken, what is refused. */
#include "support/test.h"

#include "base/buf.h"
#include "bin/cli.h"

#include <string.h>

static const struct row {
    const char *name;
    const char *in;
    const char *out; /* NULL: refused */
} rows[] = {
    {"null", "null", "null"},
    {"true", " true\n", "true"},
    {"string__escapes_stay", "\"a\\u00e9\\n\"", "\"a\\u00e9\\n\""},
    {"number__digits_stay", "12345678901234567890.10e+5",
     "12345678901234567890.10e+5"},
    {"number__negative", "-0.5", "-0.5"},
    {"array__space_goes", "[ 1 , [ ] , { } ]", "[1,[],{}]"},
    {"object__sorted", "{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}"},
    {"object__sorted_inside", "[{\"b\":{\"d\":1,\"c\":2},\"a\":0}]",
     "[{\"a\":0,\"b\":{\"c\":2,\"d\":1}}]"},
    {"object__shorter_first", "{\"aa\":1,\"a\":2,\"\":3}",
     "{\"\":3,\"a\":2,\"aa\":1}"},
    {"object__by_bytes", "{\"a!\":1,\"a\":2}", "{\"a\":2,\"a!\":1}"},
    {"nothing", "", NULL},
    {"space", "  ", NULL},
    {"word", "nul", NULL},
    {"text", "hello", NULL},
    {"two_values", "1 2", NULL},
    {"leading_zero", "01", NULL},
    {"plus", "+1", NULL},
    {"dot_without_digits", "1.", NULL},
    {"exponent_without_digits", "1e", NULL},
    {"minus_alone", "-", NULL},
    {"open_string", "\"a", NULL},
    {"open_escape", "\"a\\", NULL},
    {"bad_escape", "\"\\x\"", NULL},
    {"short_unicode", "\"\\u12g4\"", NULL},
    {"raw_newline", "\"a\nb\"", NULL},
    {"not_utf8", "\"\xff\"", NULL},
    {"open_array", "[1", NULL},
    {"trailing_comma", "[1,]", NULL},
    {"open_object", "{\"a\":1", NULL},
    {"name_without_quotes", "{a:1}", NULL},
    {"member_without_colon", "{\"a\" 1}", NULL},
    {"object_trailing_comma", "{\"a\":1,}", NULL},
    {"name_twice", "{\"a\":1,\"a\":2}", NULL},
};

static void test_row(void **state)
{
    const struct row *row = *state;
    lq_buf out;
    lq_buf_init(&out, 0);
    const char *why = cli_json_canonical(&out, row->in, strlen(row->in));
    if (row->out) {
        assert_null(why);
        assert_string_equal(out.p, row->out);
    } else {
        assert_non_null(why);
    }
    lq_buf_release(&out);
}

static void depth__100_levels_and_no_more(void **state)
{
    char text[400];
    lq_buf out;
    (void)state;
    for (size_t depth = 100; depth <= 101; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        lq_buf_init(&out, 0);
        const char *why = cli_json_canonical(&out, text, 2 * depth);
        assert_int_equal(why != NULL, depth > 100);
        lq_buf_release(&out);
    }
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[LQ_COUNT(rows) + 1];
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        tests[i] = (struct CMUnitTest){rows[i].name, test_row, NULL, NULL,
                                       (void *)(uintptr_t)&rows[i]};
    tests[LQ_COUNT(rows)] =
        (struct CMUnitTest)cmocka_unit_test(depth__100_levels_and_no_more);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("canonical", tests, NULL, NULL);
}
