/* When a thread waits awake for a reply. */
#include "unit.h"

#include "base/spin.h"

static void reply_after(lq_spin *s, int64_t ns)
{
    (void)lq_spin_begin(s);
    s->began_ns -= ns; /* as if it had left so long ago */
    lq_spin_end(s);
}

static void begin__not_allowed__sleeps(void **state)
{
    lq_spin s = {0};
    (void)state;
    assert_int_equal(lq_spin_begin(&s), 0);
}

static void begin__at_first__waits_awake_for_a_bounded_time(void **state)
{
    lq_spin s = {.allowed = true};
    (void)state;
    int64_t until = lq_spin_begin(&s);
    assert_true(until > s.began_ns);
    assert_true(until - s.began_ns <= 1000000);
}

static void begin__replies_are_far__sleeps(void **state)
{
    lq_spin s = {.allowed = true};
    (void)state;
    for (int i = 0; i < 10; i++)
        reply_after(&s, 400000);
    assert_int_equal(lq_spin_begin(&s), 0);
}

static void begin__one_late_reply_among_quick_ones__waits_awake(void **state)
{
    lq_spin s = {.allowed = true};
    (void)state;
    for (int i = 0; i < 10; i++)
        reply_after(&s, 1000);
    reply_after(&s, 5000000000);
    assert_true(lq_spin_begin(&s) > 0);
}

/* Of 640 requests, how many are waited for awake. */
static int awake_of_640(lq_spin *s, int64_t awake_ns, int64_t asleep_ns)
{
    int awake = 0;
    for (int i = 0; i < 640; i++) {
        bool is_awake = lq_spin_begin(s) > 0;
        awake += is_awake;
        s->began_ns -= is_awake ? awake_ns : asleep_ns;
        lq_spin_end(s);
    }
    return awake;
}

static void begin__awake_is_faster__waits_awake(void **state)
{
    lq_spin s = {.allowed = true};
    (void)state;
    assert_true(awake_of_640(&s, 100000, 180000) > 600);
}

static void begin__awake_is_no_faster__sleeps(void **state)
{
    lq_spin s = {.allowed = true};
    (void)state;
    assert_true(awake_of_640(&s, 40000, 40000) < 100);
    assert_true(awake_of_640(&s, 40000, 40000) < 20);
}

static void begin__replies_come_near_again__waits_awake(void **state)
{
    lq_spin s = {.allowed = true};
    (void)state;
    assert_true(awake_of_640(&s, 5000000, 5000000) < 20);
    assert_true(awake_of_640(&s, 50000, 120000) > 300);
    assert_true(awake_of_640(&s, 50000, 120000) > 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begin__not_allowed__sleeps),
        cmocka_unit_test(begin__at_first__waits_awake_for_a_bounded_time),
        cmocka_unit_test(begin__replies_are_far__sleeps),
        cmocka_unit_test(begin__one_late_reply_among_quick_ones__waits_awake),
        cmocka_unit_test(begin__awake_is_faster__waits_awake),
        cmocka_unit_test(begin__awake_is_no_faster__sleeps),
        cmocka_unit_test(begin__replies_come_near_again__waits_awake),
    };
    return cmocka_run_group_tests_name("spin", tests, NULL, NULL);
}
