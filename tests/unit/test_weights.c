/* Weighted and strict choice among queues. */
#include "support/test.h"

#include "base/clock.h"
#include "runtime/weights.h"

#define ROUNDS 10000

/* A generator with a fixed seed: shares must not depend on luck. */
static uint64_t state;

static uint64_t fixed_random(uint64_t bound)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % bound;
}

static const lq_weight six_three_one[] = {{6, false}, {3, false}, {1, false}};

static void batches_of_one__shares_follow_the_weights(void **unused)
{
    size_t order[3], first[3] = {0};
    uint32_t want[3];
    (void)unused;

    state = 1;
    for (int i = 0; i < ROUNDS; i++) {
        lq_weights_plan(six_three_one, 3, 1, false, fixed_random, order, want);
        first[order[0]]++;
        assert_int_equal(want[0] + want[1] + want[2], 1);
        assert_int_equal(want[order[0]], 1);
    }
    assert_in_range(first[0], 5700, 6300);
    assert_in_range(first[1], 2700, 3300);
    assert_in_range(first[2], 800, 1200);
}

static void batches_of_ten__quotas_follow_the_weights(void **unused)
{
    size_t order[3], sum[3] = {0};
    uint32_t want[3];
    (void)unused;

    state = 2;
    for (int i = 0; i < ROUNDS / 10; i++) {
        lq_weights_plan(six_three_one, 3, 10, false, fixed_random, order, want);
        for (size_t q = 0; q < 3; q++)
            sum[q] += want[q];
    }
    assert_int_equal(sum[0] + sum[1] + sum[2], ROUNDS);
    assert_in_range(sum[0], 5700, 6300);
    assert_in_range(sum[1], 2700, 3300);
    assert_in_range(sum[2], 900, 1100);
}

static void every_queue__is_in_the_order_once(void **unused)
{
    size_t order[3];
    uint32_t want[3];
    (void)unused;

    state = 3;
    for (int i = 0; i < 1000; i++) {
        bool seen[3] = {false};
        lq_weights_plan(six_three_one, 3, (uint32_t)(i % 5), i % 2,
                        fixed_random, order, want);
        for (size_t k = 0; k < 3; k++) {
            assert_true(order[k] < 3);
            assert_false(seen[order[k]]);
            seen[order[k]] = true;
        }
    }
}

static void strict__orders_by_weight_and_sets_no_quota(void **unused)
{
    const lq_weight queues[] = {{1, false}, {9, false}, {5, false}};
    size_t order[3];
    uint32_t want[3] = {7, 7, 7};
    (void)unused;

    lq_weights_plan(queues, 3, 10, true, fixed_random, order, want);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 2);
    assert_int_equal(order[2], 0);
    assert_int_equal(want[0] + want[1] + want[2], 0);
}

static void paused__gets_no_quota_and_comes_last(void **unused)
{
    const lq_weight queues[] = {{9, true}, {1, false}, {1, false}};
    size_t order[3];
    uint32_t want[3];
    (void)unused;

    state = 4;
    for (int i = 0; i < 100; i++) {
        lq_weights_plan(queues, 3, 5, false, fixed_random, order, want);
        assert_int_equal(want[0], 0);
        assert_int_equal(want[1] + want[2], 5);
        assert_int_equal(order[2], 0);
    }
}

static void all_paused__asks_for_nothing(void **unused)
{
    const lq_weight queues[] = {{9, true}, {1, true}};
    size_t order[2];
    uint32_t want[2];
    (void)unused;

    lq_weights_plan(queues, 2, 5, false, lq_random, order, want);
    assert_int_equal(want[0] + want[1], 0);
    assert_int_equal(order[0] + order[1], 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_of_one__shares_follow_the_weights),
        cmocka_unit_test(batches_of_ten__quotas_follow_the_weights),
        cmocka_unit_test(every_queue__is_in_the_order_once),
        cmocka_unit_test(strict__orders_by_weight_and_sets_no_quota),
        cmocka_unit_test(paused__gets_no_quota_and_comes_last),
        cmocka_unit_test(all_paused__asks_for_nothing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
