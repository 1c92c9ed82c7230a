/* Strings by value: numbers, UTF-8; and error messages, which are cut by it. */
#include "unit.h"

#include "base/error.h"

struct int_row {
    const char *name;
    lq_str text;
    bool ok;
    int64_t value;
};

static const struct int_row int_rows[] = {
    {"int64__zero", {"0", 1}, true, 0},
    {"int64__leading_zeros", {"007", 3}, true, 7},
    {"int64__negative", {"-12", 3}, true, -12},
    {"int64__minus_zero", {"-0", 2}, true, 0},
    {"int64__the_greatest", {"9223372036854775807", 19}, true, INT64_MAX},
    {"int64__one_more__is_refused", {"9223372036854775808", 19}, false, 0},
    {"int64__the_least", {"-9223372036854775808", 20}, true, INT64_MIN},
    {"int64__one_less__is_refused", {"-9223372036854775809", 20}, false, 0},
    {"int64__twenty_digits__are_refused",
     {"99999999999999999999", 20},
     false,
     0},
    {"int64__empty__is_refused", {"", 0}, false, 0},
    {"int64__null__is_refused", {NULL, 0}, false, 0},
    {"int64__a_lone_minus__is_refused", {"-", 1}, false, 0},
    {"int64__plus__is_refused", {"+1", 2}, false, 0},
    {"int64__a_blank_before__is_refused", {" 1", 2}, false, 0},
    {"int64__a_blank_after__is_refused", {"1 ", 2}, false, 0},
    {"int64__a_nul_inside__is_refused", {"1\0", 2}, false, 0},
    {"int64__hex__is_refused", {"0x10", 4}, false, 0},
};

static void test_int(void **state)
{
    const struct int_row *row = *state;
    int64_t value = 99;
    assert_int_equal(lq_str_int64(row->text, &value), row->ok);
    assert_true(value == (row->ok ? row->value : 99));
}

/* The definition, put into code: decode, then check the code point. */
static bool plain_utf8(const unsigned char *p, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = p[i] < 0x80             ? 1
                   : (p[i] & 0xe0) == 0xc0 ? 2
                   : (p[i] & 0xf0) == 0xe0 ? 3
                   : (p[i] & 0xf8) == 0xf0 ? 4
                                           : 0;
        if (n == 0 || n > len - i)
            return false;
        uint32_t code = n == 1 ? p[i] : p[i] & (0x7fu >> n);
        for (size_t k = 1; k < n; k++) {
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (p[i + k] & 0x3f);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (code < least[n] || code > 0x10ffff ||
            (code >= 0xd800 && code < 0xe000))
            return false;
        i += n;
    }
    return true;
}

static void utf8__every_three_bytes__agree_with_the_definition(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1u << 24; i++) {
        /* A byte of ASCII in the first place adds nothing new. */
        const unsigned char p[3] = {(unsigned char)(i >> 16),
                                    (unsigned char)(i >> 8), (unsigned char)i};
        if (p[0] < 0x80 && p[0] != 'a')
            continue;
        bool valid = lq_utf8_valid(lq_str_n(p, 3));
        if (valid != plain_utf8(p, 3))
            fail_msg("%02x %02x %02x", p[0], p[1], p[2]);
    }
}

static void utf8__four_bytes__agree_with_the_definition(void **state)
{
    (void)state;
    static const unsigned char edges[] = {0x00, 0x7f, 0x80, 0x8f, 0x90,
                                          0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    for (unsigned a = 0xe0; a < 0x100; a++)
        for (size_t b = 0; b < LQ_COUNT(edges); b++)
            for (size_t c = 0; c < LQ_COUNT(edges); c++)
                for (size_t d = 0; d < LQ_COUNT(edges); d++) {
                    const unsigned char p[4] = {(unsigned char)a, edges[b],
                                                edges[c], edges[d]};
                    assert_int_equal(lq_utf8_valid(lq_str_n(p, 4)),
                                     plain_utf8(p, 4));
                }
}

static void utf8__a_bad_byte_anywhere__is_found(void **state)
{
    (void)state;
    char text[64];
    for (size_t at = 0; at < sizeof text; at++) {
        memset(text, 'x', sizeof text);
        assert_true(lq_utf8_valid(lq_str_n(text, sizeof text)));
        text[at] = (char)0xff;
        assert_false(lq_utf8_valid(lq_str_n(text, sizeof text)));
    }
    assert_true(lq_utf8_valid((lq_str){0}));
}

struct clean_row {
    const char *name, *in;
    size_t max;
    const char *out;
};

static const struct clean_row clean_rows[] = {
    {"clean__valid__stays", "gr\xc3\xbc\xc3\x9f", 99, "gr\xc3\xbc\xc3\x9f"},
    {"clean__each_bad_byte__is_one_mark",
     "a\xff\xfe"
     "b",
     99, "a??b"},
    {"clean__a_broken_character__is_marked", "\xe2\x82", 99, "??"},
    {"clean__a_surrogate__is_marked", "\xed\xa0\x80", 99, "???"},
    {"clean__cut__ends_at_a_character", "a\xc3\xbc", 2, "a"},
    {"clean__cut__to_nothing", "\xe2\x82\xac", 2, ""},
    {"clean__cut__exactly", "\xe2\x82\xac!", 3, "\xe2\x82\xac"},
};

static void test_clean(void **state)
{
    const struct clean_row *row = *state;
    char out[32], in_place[32];
    size_t n = lq_utf8_clean(lq_str_c(row->in), out, row->max);
    assert_int_equal(n, strlen(row->out));
    assert_memory_equal(out, row->out, n);
    snprintf(in_place, sizeof in_place, "%s", row->in);
    assert_int_equal(lq_utf8_clean(lq_str_c(in_place), in_place, row->max), n);
    assert_memory_equal(in_place, row->out, n);
}

static void starts_and_eq__compare_bytes(void **state)
{
    (void)state;
    assert_true(lq_str_eq(LQ_STR("a\0b"), LQ_STR("a\0b")));
    assert_false(lq_str_eq(LQ_STR("a\0b"), LQ_STR("a\0c")));
    assert_false(lq_str_eq(LQ_STR("a"), LQ_STR("ab")));
    assert_true(lq_str_eq((lq_str){0}, LQ_STR("")));
    assert_true(lq_str_starts(LQ_STR("abc"), LQ_STR("ab")));
    assert_true(lq_str_starts(LQ_STR("abc"), (lq_str){0}));
    assert_false(lq_str_starts(LQ_STR("a"), LQ_STR("ab")));
}

/* ---- errors ------------------------------------------------------------- */

static void fail__fills_code_and_message(void **state)
{
    (void)state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = lq_fail(&err, LUNAQ_EINVAL, "queue \"%s\": %d", "x", 7);
    assert_int_equal(rc, LUNAQ_EINVAL);
    assert_int_equal(err.code, LUNAQ_EINVAL);
    assert_string_equal(err.message, "queue \"x\": 7");
    assert_int_equal(lq_fail(NULL, LUNAQ_EIO, "unheard"), LUNAQ_EIO);
    lq_error_prefix(NULL, "unheard");
    assert_int_equal(lq_fail_nomem(&err), LUNAQ_ENOMEM);
}

static void fail__with_its_own_message_as_argument__nests(void **state)
{
    (void)state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_fail(&err, LUNAQ_EINVAL, "inner");
    lq_fail(&err, LUNAQ_EIO, "outer: %s", err.message);
    assert_string_equal(err.message, "outer: inner");
    lq_error_prefix(&err, "line %d", 3);
    assert_string_equal(err.message, "line 3: outer: inner");
    assert_int_equal(err.code, LUNAQ_EIO);
}

static void fail__with_a_long_text__is_cut_at_a_character(void **state)
{
    (void)state;
    /* Every offset of a four-byte character against the end. */
    for (size_t pad = 240; pad < 260; pad++) {
        char text[400];
        memset(text, 'x', pad);
        for (int i = 0; i < 20; i++)
            memcpy(text + pad + 4 * (size_t)i, "\xf0\x9f\x8c\x99", 5);
        lunaq_error err = LUNAQ_ERROR_INIT;
        lq_fail(&err, LUNAQ_EINVAL, "%s", text);
        size_t len = strlen(err.message);
        assert_in_range(len, sizeof err.message - 4, sizeof err.message - 1);
        assert_true(lq_utf8_valid(lq_str_c(err.message)));
        assert_memory_equal(err.message, text, len);
        lq_error_prefix(&err, "a");
        assert_true(lq_utf8_valid(lq_str_c(err.message)));
        assert_memory_equal(err.message, "a: xxx", 6);
    }
}

static void strerror__of_every_code__says_something(void **state)
{
    (void)state;
#define LUNAQ_X(name, number, text)                                            \
    assert_string_equal(lunaq_strerror(LUNAQ_##name), text);
    LUNAQ_ERROR_CODES(LUNAQ_X)
#undef LUNAQ_X
    assert_string_equal(lunaq_strerror(0), "success");
    assert_string_equal(lunaq_strerror(-1), "unknown error");
    assert_string_equal(lunaq_strerror(9999), "unknown error");
}

static void distance__of_two_words__counts_the_edits(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        size_t edits;
    } rows[] = {
        {"", "", 0},           {"queue", "queue", 0},   {"", "abc", 3},
        {"queue", "queu", 1},  {"queue", "qqueue", 1},  {"queue", "quaue", 1},
        {"emial", "email", 2}, {"kitten", "sitting", 3}};
    char longest[LQ_WORD_MAX + 2];
    for (size_t i = 0; i < LQ_COUNT(rows); i++) {
        assert_int_equal(lq_str_distance(rows[i].a, rows[i].b), rows[i].edits);
        assert_int_equal(lq_str_distance(rows[i].b, rows[i].a), rows[i].edits);
    }
    memset(longest, 'a', sizeof longest);
    longest[LQ_WORD_MAX] = 0;
    assert_int_equal(lq_str_distance(longest, ""), LQ_WORD_MAX);
    longest[LQ_WORD_MAX] = 'a';
    longest[LQ_WORD_MAX + 1] = 0;
    assert_true(lq_str_distance(longest, "") == SIZE_MAX);
    assert_true(lq_str_distance("", longest) == SIZE_MAX);
}

static void enumerate__without_room__says_that_there_are_more(void **state)
{
    char list[16] = "";
    (void)state;
    lq_str_enumerate(list, sizeof list, LQ_STR("default"));
    assert_string_equal(list, "default");
    lq_str_enumerate(list, sizeof list, LQ_STR("low"));
    assert_string_equal(list, "default, …");
    lq_str_enumerate(list, sizeof list, LQ_STR("a"));
    assert_string_equal(list, "default, …");
    list[0] = '\0';
    lq_str_enumerate(list, sizeof list, LQ_STR("longer-than-all"));
    assert_string_equal(list, "…");
    list[0] = '\0';
    lq_str_enumerate(list, sizeof list, LQ_STR("a"));
    lq_str_enumerate(list, sizeof list, LQ_STR("b"));
    assert_string_equal(list, "a, b");
    for (size_t size = 1; size < sizeof list; size++) {
        list[0] = '\0';
        list[size] = 'x'; /* is nobody's to write */
        for (int i = 0; i < 5; i++)
            lq_str_enumerate(list, size, LQ_STR("abc"));
        assert_true(strlen(list) < size);
        assert_int_equal(list[size], 'x');
    }
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[100];
    size_t n = 0;
    ADD_ROWS(tests, n, int_rows, test_int);
    ADD_ROWS(tests, n, clean_rows, test_clean);
    ADD_TEST(tests, n, utf8__every_three_bytes__agree_with_the_definition);
    ADD_TEST(tests, n, utf8__four_bytes__agree_with_the_definition);
    ADD_TEST(tests, n, utf8__a_bad_byte_anywhere__is_found);
    ADD_TEST(tests, n, starts_and_eq__compare_bytes);
    ADD_TEST(tests, n, distance__of_two_words__counts_the_edits);
    ADD_TEST(tests, n, enumerate__without_room__says_that_there_are_more);
    ADD_TEST(tests, n, fail__fills_code_and_message);
    ADD_TEST(tests, n, fail__with_its_own_message_as_argument__nests);
    ADD_TEST(tests, n, fail__with_a_long_text__is_cut_at_a_character);
    ADD_TEST(tests, n, strerror__of_every_code__says_something);
    return RUN_TESTS("str", tests, n);
}
