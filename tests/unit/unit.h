/* What every unit test starts with: cmocka, the allocator's count of live
 * blocks as a check for leaks, and a generator with a fixed seed. */
#ifndef LQ_UNIT_H
#define LQ_UNIT_H

#include "support/test.h"

#include "base/alloc.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

/* A group's teardown: fails the group when lunaq's blocks are left over. */
static inline int no_leaks(void **state)
{
    (void)state;
    lq_alloc_fail_at(0, false);
    if (lq_alloc_live() != 0)
        print_error("%lld blocks leaked\n", (long long)lq_alloc_live());
    return lq_alloc_live() == 0 ? 0 : -1;
}

/* Runs `step` with the 1st, 2nd, 3rd … allocation failing until it succeeds,
 * and checks each time that nothing is left behind.  step returns true for
 * success.  Returns how many rounds failed. */
static inline unsigned each_allocation_fails(bool (*step)(void))
{
    int64_t before = lq_alloc_live();
    for (unsigned n = 1;; n++) {
        lq_alloc_fail_at(n, false);
        bool ok = step();
        lq_alloc_fail_at(0, false);
        assert_int_equal(lq_alloc_live(), before);
        if (ok)
            return n - 1;
        assert_true(n < 10000);
    }
}

/* A linear congruential generator (Knuth's MMIX): the same on every machine. */
static inline uint64_t draw(uint64_t *seed, uint64_t bound)
{
    *seed =
        *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*seed >> 33) % bound;
}

/* Rows of a table become tests of their own. */
#define ADD_ROWS(tests, count, rows, function)                                 \
    for (size_t row_ = 0; row_ < LQ_COUNT(rows); row_++)                       \
        (tests)[(count)++] = (struct CMUnitTest)                               \
        {                                                                      \
            (rows)[row_].name, function, NULL, NULL,                           \
                (void *)(uintptr_t) & (rows)[row_]                             \
        }
#define ADD_TEST(tests, count, function)                                       \
    (tests)[(count)++] = (struct CMUnitTest)cmocka_unit_test(function)

/* Runs tests[0 … count): cmocka's macro wants an array of known size. */
#define RUN_TESTS(name, tests, count)                                          \
    (argc > 1 ? cmocka_set_test_filter(argv[1]) : (void)0,                     \
     _cmocka_run_group_tests(name, tests, count, NULL, no_leaks))

#endif
