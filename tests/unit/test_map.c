/* lq_map, and the allocator beneath it: arenas and failing allocations. */
#include "unit.h"

#include "base/map.h"

static void set__then_get__finds_it(void **state)
{
    (void)state;
    lq_map m = {0};
    int a, b;
    void *old = &b;
    assert_null(lq_map_get(&m, LQ_STR("x")));
    assert_null(lq_map_remove(&m, LQ_STR("x")));
    assert_true(lq_map_set(&m, LQ_STR("x"), &a, &old));
    assert_null(old);
    assert_ptr_equal(lq_map_get(&m, LQ_STR("x")), &a);
    assert_null(lq_map_get(&m, LQ_STR("y")));
    assert_true(lq_map_set(&m, LQ_STR("x"), &b, &old));
    assert_ptr_equal(old, &a);
    assert_int_equal(m.count, 1);
    assert_ptr_equal(lq_map_remove(&m, LQ_STR("x")), &b);
    assert_int_equal(m.count, 0);
    assert_null(lq_map_get(&m, LQ_STR("x")));
    lq_map_release(&m);
}

static void keys__that_are_empty_or_hold_nul__are_keys_like_others(void **state)
{
    (void)state;
    lq_map m = {0};
    int v[3];
    assert_true(lq_map_set(&m, (lq_str){0}, &v[0], NULL));
    assert_true(lq_map_set(&m, LQ_STR("a\0b"), &v[1], NULL));
    assert_true(lq_map_set(&m, LQ_STR("a"), &v[2], NULL));
    assert_ptr_equal(lq_map_get(&m, LQ_STR("")), &v[0]);
    assert_ptr_equal(lq_map_get(&m, LQ_STR("a\0b")), &v[1]);
    assert_ptr_equal(lq_map_get(&m, LQ_STR("a")), &v[2]);
    lq_map_release(&m);
}

static void key__after_set__is_a_copy(void **state)
{
    (void)state;
    lq_map m = {0};
    int v;
    char key[] = "abc";
    assert_true(lq_map_set(&m, lq_str_c(key), &v, NULL));
    key[0] = 'x';
    assert_ptr_equal(lq_map_get(&m, LQ_STR("abc")), &v);
    lq_map_release(&m);
}

#define KEYS 400

/* Random sets and removes beside a plain array. */
static void thousands_of_moves__agree_with_an_array(void **state)
{
    (void)state;
    lq_map m = {0};
    void *is[KEYS] = {0};
    int values[7];
    uint64_t seed = 42;
    size_t count = 0;
    for (int round = 0; round < 50000; round++) {
        size_t k = draw(&seed, KEYS);
        /* Full phases and nearly empty ones take turns. */
        bool set = draw(&seed, 10) < (round / 5000 % 2 ? 2 : 8);
        char key[16];
        lq_str s = {key, (size_t)snprintf(key, sizeof key, "task:%zu", k)};
        if (set) {
            void *old, *v = &values[draw(&seed, 7)];
            assert_true(lq_map_set(&m, s, v, &old));
            assert_ptr_equal(old, is[k]);
            count += is[k] == NULL;
            is[k] = v;
        } else {
            assert_ptr_equal(lq_map_remove(&m, s), is[k]);
            count -= is[k] != NULL;
            is[k] = NULL;
        }
        assert_int_equal(m.count, count);
        k = draw(&seed, KEYS);
        s.len = (size_t)snprintf(key, sizeof key, "task:%zu", k);
        assert_ptr_equal(lq_map_get(&m, s), is[k]);
    }
    size_t at = 0, seen = 0;
    lq_str key;
    void *value;
    while (lq_map_each(&m, &at, &key, &value)) {
        int64_t k;
        lq_str digits = {key.p + 5, key.len - 5};
        assert_true(lq_str_int64(digits, &k));
        assert_ptr_equal(value, is[k]);
        is[k] = NULL;
        seen++;
    }
    assert_int_equal(seen, count);
    lq_map_release(&m);
}

static bool fill(void)
{
    lq_map m = {0};
    bool ok = true;
    int v;
    size_t had = 0;
    for (int i = 0; ok && i < 100; i++) {
        char key[8];
        lq_str s = {key, (size_t)snprintf(key, sizeof key, "%d", i)};
        ok = lq_map_set(&m, s, &v, NULL);
        if (ok)
            had++;
        else
            assert_null(lq_map_get(&m, s));
    }
    assert_int_equal(m.count, had);
    lq_map_release(&m);
    return ok;
}

static void any_allocation__fails__and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(fill) >= 1);
}

/* 12 of 16 buckets are taken and the table cannot grow: it serves on. */
static void growth__finds_no_memory__the_rest_is_still_used(void **state)
{
    (void)state;
    lq_map m = {0};
    int v;
    char key[2] = "a";
    for (; m.count < 12; key[0]++)
        assert_true(lq_map_set(&m, lq_str_c(key), &v, NULL));
    lq_alloc_fail_at(1, false);
    assert_true(lq_map_set(&m, LQ_STR("one more"), &v, NULL));
    lq_alloc_fail_at(1, true);
    assert_false(lq_map_set(&m, LQ_STR("two more"), &v, NULL));
    lq_alloc_fail_at(0, false);
    assert_int_equal(m.count, 13);
    assert_ptr_equal(lq_map_get(&m, LQ_STR("one more")), &v);
    lq_map_release(&m);
}

static void arena__blocks__are_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 0, 7, 16, 1000, 5000, 3, 900, 4096, 40};
    lq_arena a = {0};
    unsigned char *blocks[LQ_COUNT(sizes) * 10];
    for (size_t i = 0; i < LQ_COUNT(blocks); i++) {
        size_t size = sizes[i % LQ_COUNT(sizes)];
        blocks[i] = lq_arena_alloc(&a, size);
        assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < size; j++)
            assert_int_equal(blocks[i][j], 0);
        memset(blocks[i], (int)(i + 1), size);
    }
    for (size_t i = 0; i < LQ_COUNT(blocks); i++)
        for (size_t j = 0; j < sizes[i % LQ_COUNT(sizes)]; j++)
            assert_int_equal(blocks[i][j], (unsigned char)(i + 1));
    assert_string_equal(lq_arena_dup(&a, LQ_STR("abc")), "abc");
    assert_string_equal(lq_arena_dup(&a, (lq_str){0}), "");
    assert_null(lq_arena_alloc(&a, SIZE_MAX));
    lq_arena_release(&a);
    assert_null(a.chunks);
}

static void fail_at__the_third__fails_the_third_alone(void **state)
{
    (void)state;
    lq_alloc_fail_at(3, false);
    void *a = lq_malloc(1), *b = lq_calloc(2, 2);
    assert_non_null(a);
    assert_non_null(b);
    void *grown = lq_realloc(b, 100);
    assert_null(grown);
    grown = lq_realloc(b, 100);
    assert_non_null(grown);
    lq_alloc_fail_at(2, true);
    void *c = lq_malloc(1);
    assert_non_null(c);
    assert_null(lq_malloc(1));
    assert_null(lq_strdup("x"));
    lq_alloc_fail_at(0, false);
    assert_int_equal(lq_alloc_live(), 3);
    lq_free(a);
    lq_free(grown);
    lq_free(c);
    lq_free(NULL);
}

static void calloc__of_an_overflowing_product__is_null(void **state)
{
    (void)state;
    volatile size_t half = SIZE_MAX / 2; /* the compiler would object */
    assert_null(lq_calloc(half, 3));
}

static void strdup__of_bytes__keeps_their_nul(void **state)
{
    (void)state;
    char *p = lq_strdup_n(LQ_STR("a\0b"));
    assert_memory_equal(p, "a\0b", 4);
    lq_free(p);
    assert_null(lq_strdup(NULL));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set__then_get__finds_it),
        cmocka_unit_test(
            keys__that_are_empty_or_hold_nul__are_keys_like_others),
        cmocka_unit_test(key__after_set__is_a_copy),
        cmocka_unit_test(thousands_of_moves__agree_with_an_array),
        cmocka_unit_test(any_allocation__fails__and_nothing_leaks),
        cmocka_unit_test(growth__finds_no_memory__the_rest_is_still_used),
        cmocka_unit_test(arena__blocks__are_zeroed_aligned_and_apart),
        cmocka_unit_test(fail_at__the_third__fails_the_third_alone),
        cmocka_unit_test(calloc__of_an_overflowing_product__is_null),
        cmocka_unit_test(strdup__of_bytes__keeps_their_nul),
    };
    return RUN_TESTS("map", tests, LQ_COUNT(tests));
}
