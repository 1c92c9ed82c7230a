/* lq_buf: growth, the maximum, and failure that sticks. */
#include "unit.h"

#include "base/buf.h"

static void append__many_small__are_all_there(void **state)
{
    (void)state;
    lq_buf b;
    lq_buf_init(&b, 0);
    for (int i = 0; i < 1000; i++)
        lq_buf_add_char(&b, (char)('a' + i % 26));
    lq_buf_add_c(&b, "end");
    lq_buf_add_str(&b, LQ_STR("\0!"));
    assert_int_equal(b.len, 1005);
    assert_memory_equal(b.p + 999, "lend\0!", 7); /* its NUL too */
    assert_false(b.failed);
    lq_buf_release(&b);
    assert_null(b.p);
}

static void append__of_nothing__makes_it_an_empty_string(void **state)
{
    (void)state;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_buf_add(&b, NULL, 0);
    assert_string_equal(b.p, "");
    lq_buf_release(&b);
}

static void append__up_to_the_maximum__succeeds(void **state)
{
    (void)state;
    lq_buf b;
    lq_buf_init(&b, 8);
    lq_buf_add_c(&b, "12345678");
    assert_false(b.failed);
    assert_string_equal(b.p, "12345678");
    lq_buf_release(&b);
}

static void append__past_the_maximum__changes_nothing_and_sticks(void **state)
{
    (void)state;
    lq_buf b;
    lq_buf_init(&b, 8);
    lq_buf_add_c(&b, "1234");
    lq_buf_add_c(&b, "56789");
    assert_true(b.failed);
    assert_string_equal(b.p, "1234");
    lq_buf_add_char(&b, 'x');
    lq_buf_printf(&b, "%d", 1);
    assert_null(lq_buf_reserve(&b, 0));
    assert_string_equal(b.p, "1234");
    lq_buf_clear(&b);
    lq_buf_add_c(&b, "again");
    assert_false(b.failed);
    assert_string_equal(b.p, "again");
    lq_buf_release(&b);
}

static void reserve__of_a_huge_size__fails(void **state)
{
    (void)state;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_buf_add_char(&b, 'x');
    assert_null(lq_buf_reserve(&b, SIZE_MAX));
    assert_true(b.failed);
    lq_buf_release(&b);
}

static void printf__longer_than_the_guess__is_whole(void **state)
{
    (void)state;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_buf_add_c(&b, "<");
    lq_buf_printf(&b, "%0200d|%s", 7, "x");
    assert_int_equal(b.len, 203);
    assert_string_equal(b.p + 200, "7|x");
    lq_buf_release(&b);
}

static void printf__near_the_maximum__fills_it_exactly(void **state)
{
    (void)state;
    for (size_t max = 0; max < 140; max++) {
        lq_buf b;
        lq_buf_init(&b, max + 1);
        lq_buf_add_char(&b, '<');
        lq_buf_printf(&b, "%0*d", 70, 0);
        assert_int_equal(b.failed, max < 70);
        assert_int_equal(b.len, max < 70 ? 1 : 71);
        assert_int_equal(strlen(b.p), b.len);
        lq_buf_release(&b);
    }
}

static void reserve__then_grew__adds_what_was_written(void **state)
{
    (void)state;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_buf_add_c(&b, "ab");
    char *to = lq_buf_reserve(&b, 100);
    assert_ptr_equal(to, b.p + 2);
    to[0] = 'c';
    to[1] = 'd';
    lq_buf_grew(&b, 2);
    assert_string_equal(b.p, "abcd");
    lq_buf_release(&b);
}

static void consume__some__leaves_the_rest(void **state)
{
    (void)state;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_buf_consume(&b, 3); /* of nothing */
    lq_buf_add_c(&b, "abcdef");
    lq_buf_consume(&b, 2);
    assert_string_equal(b.p, "cdef");
    lq_buf_consume(&b, 100);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.p, "");
    lq_buf_release(&b);
}

static void take__gives_the_bytes_away(void **state)
{
    (void)state;
    lq_buf b;
    size_t len;
    lq_buf_init(&b, 0);
    lq_buf_add_c(&b, "mine");
    char *p = lq_buf_take(&b, &len);
    assert_string_equal(p, "mine");
    assert_int_equal(len, 4);
    assert_null(b.p);
    assert_int_equal(b.len, 0);
    lq_free(p);
    p = lq_buf_take(&b, NULL); /* never appended to */
    assert_string_equal(p, "");
    lq_free(p);
}

static void take__of_a_failed_buffer__is_null(void **state)
{
    (void)state;
    lq_buf b;
    size_t len = 99;
    lq_buf_init(&b, 2);
    lq_buf_add_c(&b, "a");
    lq_buf_add_c(&b, "bcd");
    assert_null(lq_buf_take(&b, &len));
    assert_int_equal(len, 0);
    assert_false(b.failed);
}

static bool fill(void)
{
    lq_buf b;
    lq_buf_init(&b, 0);
    for (int i = 0; i < 500; i++)
        lq_buf_printf(&b, "%d ", i);
    bool ok = !b.failed;
    lq_buf_release(&b);
    return ok;
}

static void any_allocation__fails__and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(fill) >= 3);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append__many_small__are_all_there),
        cmocka_unit_test(append__of_nothing__makes_it_an_empty_string),
        cmocka_unit_test(append__up_to_the_maximum__succeeds),
        cmocka_unit_test(append__past_the_maximum__changes_nothing_and_sticks),
        cmocka_unit_test(reserve__of_a_huge_size__fails),
        cmocka_unit_test(printf__longer_than_the_guess__is_whole),
        cmocka_unit_test(printf__near_the_maximum__fills_it_exactly),
        cmocka_unit_test(reserve__then_grew__adds_what_was_written),
        cmocka_unit_test(consume__some__leaves_the_rest),
        cmocka_unit_test(take__gives_the_bytes_away),
        cmocka_unit_test(take__of_a_failed_buffer__is_null),
        cmocka_unit_test(any_allocation__fails__and_nothing_leaks),
    };
    return RUN_TESTS("buf", tests, LQ_COUNT(tests));
}
