/* Replies out of bytes: against hiredis' reader, in any pieces, and from a
 * sender that means harm. */
#include "support/test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "redis/resp.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

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
        lq_buf_add_c(b, roll(seed, 2) ? "$-1\r\n" : "*-1\r\n");
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

static void assert_same(const lq_reply *ours, const redisReply *theirs)
{
    switch (theirs->type) {
    case REDIS_REPLY_INTEGER:
        assert_int_equal(ours->type, LQ_REPLY_INTEGER);
        assert_true(ours->integer == theirs->integer);
        break;
    case REDIS_REPLY_NIL:
        assert_int_equal(ours->type, LQ_REPLY_NIL);
        break;
    case REDIS_REPLY_ARRAY:
        assert_int_equal(ours->type, LQ_REPLY_ARRAY);
        assert_int_equal(ours->count, theirs->elements);
        for (size_t i = 0; i < ours->count; i++)
            assert_same(&ours->items[i], theirs->element[i]);
        break;
    default:
        assert_int_equal(ours->type,
                         theirs->type == REDIS_REPLY_STRING   ? LQ_REPLY_STRING
                         : theirs->type == REDIS_REPLY_STATUS ? LQ_REPLY_STATUS
                                                              : LQ_REPLY_ERROR);
        assert_true(
            lq_str_eq(ours->str, lq_str_n(theirs->str, (size_t)theirs->len)));
    }
}

/* Scans bytes that arrive in pieces, each time in a block of exactly their
 * size, so that a read past them is seen. */
static int scan_pieces(lq_resp *r, lq_str bytes, uint32_t *seed, size_t *used,
                       const lq_reply **reply, char **held)
{
    for (size_t have = 0;;) {
        size_t left = bytes.len - have;
        have += left ? roll(seed, left < 9 ? (uint32_t)left + 1 : 9) : 0;
        free(*held);
        *held = malloc(have ? have : 1);
        assert_non_null(*held);
        memcpy(*held, bytes.p, have);
        int rc = lq_resp_scan(r, *held, have, used, reply, NULL);
        if (rc || *used || have == bytes.len)
            return rc;
    }
}

static void scan__random_replies__equal_hiredis(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 3000; i++) {
        uint32_t seed = i;
        lq_resp r = {0};
        lq_buf b;
        size_t used;
        const lq_reply *ours;
        char *held = NULL;
        void *theirs = NULL;
        redisReader *reader = redisReaderCreate();
        lq_buf_init(&b, 0);
        random_reply(&b, &seed, 0);
        assert_int_equal(redisReaderFeed(reader, b.p, b.len), REDIS_OK);
        assert_int_equal(redisReaderGetReply(reader, &theirs), REDIS_OK);
        assert_non_null(theirs);
        assert_int_equal(
            scan_pieces(&r, lq_buf_str(&b), &seed, &used, &ours, &held),
            LUNAQ_OK);
        assert_int_equal(used, b.len);
        assert_same(ours, theirs);
        freeReplyObject(theirs);
        redisReaderFree(reader);
        lq_resp_release(&r);
        lq_buf_release(&b);
        free(held);
    }
}

static void scan__damaged_replies__end_the_same_however_they_come(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 20000; i++) {
        uint32_t seed = i;
        lq_resp whole = {0}, pieces = {0};
        lq_buf b;
        size_t used[2];
        const lq_reply *reply[2];
        char *held = NULL;
        lq_buf_init(&b, 0);
        random_reply(&b, &seed, 0);
        for (uint32_t k = roll(&seed, 3) + 1; k > 0; k--)
            b.p[roll(&seed, (uint32_t)b.len)] =
                "$*:+-\r\n0919\xff"[roll(&seed, 12)];
        int a = lq_resp_scan(&whole, b.p, b.len, &used[0], &reply[0], NULL);
        int c = scan_pieces(&pieces, lq_buf_str(&b), &seed, &used[1], &reply[1],
                            &held);
        /* In pieces, a first reply may be whole where the rest is damaged. */
        assert_int_equal(a, c);
        assert_int_equal(used[0], used[1]);
        lq_resp_release(&whole);
        lq_resp_release(&pieces);
        lq_buf_release(&b);
        free(held);
    }
}

static void scan__two_replies__one_at_a_time(void **state)
{
    static const char bytes[] = ":1\r\n*2\r\n$1\r\na\r\n:2\r\n";
    lq_resp r = {0};
    size_t used;
    const lq_reply *reply;
    (void)state;
    assert_int_equal(
        lq_resp_scan(&r, bytes, sizeof(bytes) - 1, &used, &reply, NULL), 0);
    assert_int_equal(used, 4);
    assert_int_equal(lq_reply_int(reply, 0), 1);
    assert_int_equal(
        lq_resp_scan(&r, bytes + 4, sizeof(bytes) - 5, &used, &reply, NULL), 0);
    assert_int_equal(used, sizeof(bytes) - 5);
    assert_int_equal(lq_reply_int(lq_reply_at(reply, 1), 0), 2);
    assert_int_equal(lq_reply_at(reply, 2)->type, LQ_REPLY_NIL);
    lq_resp_release(&r);
}

struct refused {
    const char *name, *bytes;
};

static const struct refused refused[] = {
    {"scan__http__is_refused", "HTTP/1.1 400 Bad Request\r\n"},
    {"scan__zero_byte__is_refused", "?\r\n"},
    {"scan__resp3_push__is_refused", ">2\r\n"},
    {"scan__length_not_a_number__is_refused", "$x\r\n"},
    {"scan__length_below_minus_one__is_refused", "$-2\r\n"},
    {"scan__string_of_4_gib__is_refused", "$4294967296\r\n"},
    {"scan__array_of_4_billion__is_refused", "*4294967295\r\n"},
    {"scan__array_of_a_huge_number__is_refused", "*99999999999999999999\r\n"},
    {"scan__nine_arrays_deep__is_refused",
     "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"},
    {"scan__string_without_end__is_refused", "$1\r\nabc\r\n"},
    {"scan__line_without_cr__is_refused", "+OK\n"},
    {"scan__endless_header__is_refused",
     "$000000000000000000000000000000000000000000000000000000000000000000000"},
};

static void test_refused(void **state)
{
    const struct refused *row = *state;
    lq_resp r = {0};
    size_t used, len = strlen(row->bytes);
    const lq_reply *reply;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int64_t live = lq_alloc_live();
    assert_int_equal(lq_resp_scan(&r, row->bytes, len, &used, &reply, &err),
                     LUNAQ_EPROTO);
    assert_true(err.message[0] != 0);
    assert_int_equal(lq_alloc_live(), live);
    lq_resp_release(&r);
}

static void scan__million_elements_announced__allocates_nothing(void **state)
{
    static const char bytes[] = "*1048575\r\n:1\r\n";
    lq_resp r = {0};
    size_t used;
    const lq_reply *reply;
    int64_t live = lq_alloc_live();
    (void)state;
    assert_int_equal(
        lq_resp_scan(&r, bytes, sizeof(bytes) - 1, &used, &reply, NULL), 0);
    assert_int_equal(used, 0);
    assert_int_equal(lq_alloc_live(), live);
    lq_resp_release(&r);
}

static void scan__no_memory__is_told(void **state)
{
    lq_resp r = {0};
    size_t used;
    const lq_reply *reply;
    (void)state;
    lq_alloc_fail_at(1, false);
    assert_int_equal(lq_resp_scan(&r, "+OK\r\n", 5, &used, &reply, NULL),
                     LUNAQ_ENOMEM);
    lq_alloc_fail_at(0, false);
    lq_resp_release(&r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(scan__random_replies__equal_hiredis),
        cmocka_unit_test(scan__damaged_replies__end_the_same_however_they_come),
        cmocka_unit_test(scan__two_replies__one_at_a_time),
        cmocka_unit_test(scan__million_elements_announced__allocates_nothing),
        cmocka_unit_test(scan__no_memory__is_told),
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
