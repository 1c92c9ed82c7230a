/* Replies out of bytes: in any pieces, and from a sender that means harm. */
#include "support/test.h"

#include "base/buf.h"
#include "base/clock.h"
#include "redis/resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

/* A generator of our own: a failing seed can be repeated. */
static uint32_t roll(uint32_t *seed, uint32_t bound)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % bound;
}

static void random_reply(lq_buf *b, uint32_t *seed, int depth)
{
    switch (roll(seed, depth < 5 ? 7 : 5)) {
    case 0:
        lq_buf_printf(b, ":%d\r\n", (int)roll(seed, 100000) - 50000);
        break;
    case 1:
        lq_buf_printf(b, "+status %u\r\n", roll(seed, 100));
        break;
    case 2:
        lq_buf_printf(b, "-ERR text %u\r\n", roll(seed, 100));
        break;
    case 3:
        lq_buf_add_c(b, "$-1\r\n");
        break;
    case 4: {
        uint32_t len = roll(seed, 40);
        lq_buf_printf(b, "$%u\r\n", len);
        for (uint32_t i = 0; i < len; i++)
            lq_buf_add_char(b, (char)roll(seed, 256));
        lq_buf_add_c(b, "\r\n");
        break;
    }
    default: {
        uint32_t count = roll(seed, 6);
        lq_buf_printf(b, "*%u\r\n", count);
        for (uint32_t i = 0; i < count; i++)
            random_reply(b, seed, depth + 1);
        break;
    }
    }
}

/* The bytes that a reply was made of. */
static void dress(lq_buf *b, const lq_reply *reply)
{
    lq_str text;
    switch (lq_reply_type(reply)) {
    case LQ_REPLY_NIL:
        lq_buf_add_c(b, "$-1\r\n");
        break;
    case LQ_REPLY_INTEGER:
        lq_buf_printf(b, ":%lld\r\n", (long long)lq_reply_int(reply, 0));
        break;
    case LQ_REPLY_STATUS:
        text = lq_reply_str(reply);
        lq_buf_printf(b, "+%.*s\r\n", LQ_STR_ARG(text));
        break;
    case LQ_REPLY_ERROR:
        text = lq_reply_error(reply);
        lq_buf_printf(b, "-%.*s\r\n", LQ_STR_ARG(text));
        break;
    case LQ_REPLY_STRING:
        text = lq_reply_str(reply);
        lq_buf_printf(b, "$%zu\r\n", text.len);
        lq_buf_add(b, text.p, text.len);
        lq_buf_add_c(b, "\r\n");
        break;
    case LQ_REPLY_ARRAY:
        lq_buf_printf(b, "*%zu\r\n", lq_reply_count(reply));
        for (size_t i = 0; i < lq_reply_count(reply); i++)
            dress(b, lq_reply_at(reply, i));
        break;
    }
}

/* Feeds bytes in pieces of at most `most`, each in a block of exactly its size
 * so that a read past it is seen, and dresses every reply that comes out. */
static int read_all(lq_str bytes, uint32_t most, uint32_t seed, lq_buf *out,
                    lunaq_error *err)
{
    lq_resp r = {0};
    int rc = LUNAQ_OK;
    for (size_t at = 0, len; !rc && at < bytes.len; at += len) {
        len = bytes.len - at;
        if (len > most)
            len = roll(&seed, most) + 1;
        char *held = malloc(len);
        assert_non_null(held);
        memcpy(held, bytes.p + at, len);
        for (size_t fed = 0, used; !rc && fed < len; fed += used) {
            lq_reply *reply = NULL;
            rc = lq_resp_feed(&r, held + fed, len - fed, &used, err);
            assert_true(rc || (used > 0 && used <= len - fed));
            while (!rc && !(rc = lq_resp_next(&r, &reply, err)) && reply) {
                dress(out, reply);
                lq_reply_free(reply);
            }
        }
        free(held);
    }
    lq_resp_release(&r);
    return rc;
}

static void replies__in_any_pieces__are_what_was_sent(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 3000; i++) {
        uint32_t seed = i;
        lq_buf sent, got;
        lq_buf_init(&sent, 0);
        lq_buf_init(&got, 0);
        for (uint32_t k = roll(&seed, 3) + 1; k > 0; k--)
            random_reply(&sent, &seed, 0);
        assert_int_equal(
            read_all(lq_buf_str(&sent), roll(&seed, 60) + 1, seed, &got, NULL),
            LUNAQ_OK);
        assert_true(lq_str_eq(lq_buf_str(&sent), lq_buf_str(&got)));
        lq_buf_release(&sent);
        lq_buf_release(&got);
    }
}

static void replies__damaged__end_the_same_however_they_come(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 20000; i++) {
        uint32_t seed = i;
        lq_buf sent, whole, pieces;
        lq_buf_init(&sent, 0);
        lq_buf_init(&whole, 0);
        lq_buf_init(&pieces, 0);
        random_reply(&sent, &seed, 0);
        for (uint32_t k = roll(&seed, 3) + 1; k > 0; k--)
            sent.p[roll(&seed, (uint32_t)sent.len)] =
                "$*:+-\r\n0919\xff"[roll(&seed, 12)];
        lq_str bytes = lq_buf_str(&sent);
        int a = read_all(bytes, UINT32_MAX, seed, &whole, NULL);
        int b = read_all(bytes, 9, seed, &pieces, NULL);
        assert_int_equal(a, b);
        assert_true(lq_str_eq(lq_buf_str(&whole), lq_buf_str(&pieces)));
        lq_buf_release(&sent);
        lq_buf_release(&whole);
        lq_buf_release(&pieces);
    }
}

static void reply__read__gives_its_values(void **state)
{
    static const char bytes[] = "*5\r\n$1\r\na\r\n:2\r\n$2\r\n-7\r\n*-1\r\n"
                                "-ERR no\r\n";
    lq_resp r = {0};
    lq_reply *reply;
    size_t used;
    (void)state;
    assert_int_equal(lq_resp_feed(&r, bytes, sizeof(bytes) - 1, &used, NULL),
                     LUNAQ_OK);
    assert_int_equal(used, sizeof(bytes) - 1);
    assert_int_equal(lq_resp_next(&r, &reply, NULL), LUNAQ_OK);
    assert_non_null(reply);
    assert_int_equal(lq_reply_count(reply), 5);
    assert_true(lq_str_eq(lq_reply_str(lq_reply_at(reply, 0)), LQ_STR("a")));
    assert_int_equal(lq_reply_int(lq_reply_at(reply, 0), 3), 3);
    assert_int_equal(lq_reply_int(lq_reply_at(reply, 1), 0), 2);
    assert_null(lq_reply_str(lq_reply_at(reply, 1)).p);
    assert_int_equal(lq_reply_int(lq_reply_at(reply, 2), 0), -7);
    assert_int_equal(lq_reply_type(lq_reply_at(reply, 3)), LQ_REPLY_NIL);
    assert_int_equal(lq_reply_count(lq_reply_at(reply, 3)), 0);
    assert_true(
        lq_str_eq(lq_reply_error(lq_reply_at(reply, 4)), LQ_STR("ERR no")));
    assert_null(lq_reply_str(lq_reply_at(reply, 4)).p);
    assert_int_equal(lq_reply_type(lq_reply_at(reply, 5)), LQ_REPLY_NIL);
    assert_null(lq_reply_error(reply).p);
    lq_reply_free(reply);
    assert_int_equal(lq_resp_next(&r, &reply, NULL), LUNAQ_OK);
    assert_null(reply);
    lq_resp_release(&r);
}

/* Payload that looks like headers of huge arrays is payload. */
static void string__full_of_array_headers__is_taken(void **state)
{
    lq_buf sent, got;
    (void)state;
    lq_buf_init(&sent, 0);
    lq_buf_init(&got, 0);
    lq_buf_add_c(&sent, "*2\r\n$60000\r\n");
    for (int i = 0; i < 4000; i++)
        lq_buf_add_c(&sent, "\r\n*2147483647\r\n");
    lq_buf_add_c(&sent, "\r\n:1\r\n");
    for (uint32_t most = 7; most < 100000; most *= 4) {
        lq_buf_clear(&got);
        assert_int_equal(read_all(lq_buf_str(&sent), most, most, &got, NULL),
                         LUNAQ_OK);
        assert_true(lq_str_eq(lq_buf_str(&sent), lq_buf_str(&got)));
    }
    lq_buf_release(&sent);
    lq_buf_release(&got);
}

#define X8(s) s s s s s s s s

/* What a sender may do with little: `times` 0 = once. */
static const struct refused {
    const char *name, *bytes, *again;
    int times;
    bool huge; /* reserves address space that a sanitizer has to shadow */
} refused[] = {
    {"http__is_refused", "HTTP/1.1 400 Bad Request\r\n", "", 0, 0},
    {"unknown_type__is_refused", "?\r\n", "", 0, 0},
    {"resp3_push__is_refused", ">1\r\n+x\r\n", "", 0, 0},
    {"length_not_a_number__is_refused", "$x\r\n", "", 0, 0},
    {"length_below_minus_one__is_refused", "$-2\r\n", "", 0, 0},
    {"integer_not_a_number__is_refused", ":1x\r\n", "", 0, 0},
    {"string_of_4_gib__is_refused", "$4294967296\r\n", "", 0, 0},
    {"string_of_8_eib__is_refused", "$9223372036854775807\r\n", "", 0, 0},
    {"string_of_257_mib_in_an_array__is_refused", "*1\r\n$269484032\r\n", "", 0,
     0},
    {"string_without_end__is_refused", "$1\r\nabc\r\n", "", 0, 0},
    {"array_of_4_billion__is_refused", "*4294967295\r\n", "", 0, 0},
    {"array_of_a_huge_number__is_refused", "*99999999999999999999\r\n", "", 0,
     0},
    {"array_of_a_million_and_one__is_refused", "*1048577\r\n", "", 0, 0},
    {"array_of_2_billion__is_refused", "*2147483647\r\n", "", 0, 1},
    {"array_of_2_billion_then_nonsense__is_refused", "*2147483647\r\n?", "", 0,
     1},
    {"arrays_of_2_billion_in_each_other__are_refused",
     "*1\r\n:1\r\n*2\r\n:1\r\n" X8("*2147483647\r\n") "?", "", 0, 1},
    {"array_of_a_million_in_arrays_of_a_million__is_refused",
     X8("*1048576\r\n") ":", "x\r\n", 1, 0},
    {"nine_arrays_deep__is_refused", X8("*1\r\n") "*1\r\n:1\r\n", "", 0, 0},
    {"ten_open_arrays__are_refused", X8("*1\r\n") "*1\r\n*1\r\n", "", 0, 0},
    {"arrays_without_end__are_refused", "", "*1\r\n", 1000000, 0},
    {"header_without_end__is_refused", "$", "0", 1000, 0},
    {"line_without_end__is_refused", "+", "0123456789", 100000, 0},
    {"line_with_bare_line_feeds__is_refused", "+", "OK\n", 100000, 0},
    {"values_beyond_a_million_in_all__are_refused", "*1048576\r\n",
     "*2\r\n:1\r\n:1\r\n", 1000000, 0},
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool shadowed = true; /* memory costs more than it does */
#else
static const bool shadowed = false;
#endif

static void test_refused(void **state)
{
    const struct refused *row = *state;
    lq_buf sent, got;
    struct rusage before, after;
    if (row->huge && shadowed)
        skip();
    lq_buf_init(&sent, 0);
    lq_buf_init(&got, 0);
    lq_buf_add_c(&sent, row->bytes);
    for (int i = 0; i < row->times; i++)
        lq_buf_add_c(&sent, row->again);
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    int64_t begun = lq_mono_ms();
    for (int whole = 0; whole < 2; whole++) {
        uint32_t most = whole ? UINT32_MAX : row->times ? 4096 : 1;
        lunaq_error err = LUNAQ_ERROR_INIT;
        assert_int_equal(read_all(lq_buf_str(&sent), most, 1, &got, &err),
                         LUNAQ_EPROTO);
        assert_string_not_equal(err.message, "");
    }
    /* What was announced is neither touched nor walked through. */
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    assert_true(shadowed || lq_mono_ms() - begun < 5000);
    assert_true(shadowed || after.ru_maxrss - before.ru_maxrss < 400 * 1024L);
    lq_buf_release(&sent);
    lq_buf_release(&got);
}

/* Neither piece shows the header, and the reader would free what it announced
 * at the nonsense that follows. */
static void array__of_2_billion_cut_in_its_header__is_refused(void **state)
{
    static const char bytes[] = "*2147483647\r\n?";
    (void)state;
    if (shadowed)
        skip();
    for (size_t cut = 1; cut < sizeof(bytes) - 2; cut++) {
        lq_resp r = {0};
        lq_reply *reply;
        int rc = LUNAQ_OK;
        int64_t begun = lq_mono_ms();
        for (size_t at = 0, used; !rc && at < sizeof(bytes) - 1; at += used) {
            size_t end = at < cut ? cut : sizeof(bytes) - 1;
            rc = lq_resp_feed(&r, bytes + at, end - at, &used, NULL);
            if (!rc)
                rc = lq_resp_next(&r, &reply, NULL);
        }
        assert_int_equal(rc, LUNAQ_EPROTO);
        lq_resp_release(&r);
        assert_true(lq_mono_ms() - begun < 2000);
    }
}

static void array__of_more_than_256_mib_in_all__is_refused(void **state)
{
    enum { MIB = 1024 * 1024 };
    lq_resp r = {0};
    char *mib = calloc(1, MIB);
    int rc = LUNAQ_OK, strings = 0;
    (void)state;
    assert_non_null(mib);
    snprintf(mib, MIB, "$1048564\r\n"); /* and CRLF: a MiB in all */
    mib[MIB - 2] = '\r';
    mib[MIB - 1] = '\n';
    for (size_t used, at = 0; !rc && strings < 300; strings++) {
        lq_reply *reply;
        if (strings == 0)
            rc = lq_resp_feed(&r, "*300\r\n", 6, &used, NULL);
        for (at = 0; !rc && at < MIB; at += used) {
            rc = lq_resp_feed(&r, mib + at, MIB - at, &used, NULL);
            if (!rc)
                rc = lq_resp_next(&r, &reply, NULL);
        }
    }
    assert_int_equal(rc, LUNAQ_EPROTO);
    assert_int_equal(strings, 256);
    lq_resp_release(&r);
    free(mib);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(replies__in_any_pieces__are_what_was_sent),
        cmocka_unit_test(replies__damaged__end_the_same_however_they_come),
        cmocka_unit_test(reply__read__gives_its_values),
        cmocka_unit_test(string__full_of_array_headers__is_taken),
        cmocka_unit_test(array__of_2_billion_cut_in_its_header__is_refused),
        cmocka_unit_test(array__of_more_than_256_mib_in_all__is_refused),
    };
    static struct CMUnitTest tests[LQ_COUNT(plain) + LQ_COUNT(refused)];
    memcpy(tests, plain, sizeof(plain));
    for (size_t i = 0; i < LQ_COUNT(refused); i++) {
        union {
            const struct refused *in;
            void *out;
        } row = {&refused[i]};
        tests[LQ_COUNT(plain) + i] = (struct CMUnitTest){
            refused[i].name, test_refused, NULL, NULL, row.out};
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("resp", tests, NULL, NULL);
}
