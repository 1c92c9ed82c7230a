/* Counting places under caps, and the line before a handler's. */
#include "support/test.h"

#include "runtime/caps.h"

#include <pthread.h>

#define NOW INT64_C(1700000000000)

static uint64_t no_jitter(uint64_t bound)
{
    (void)bound;
    return 0;
}

static uint64_t most_jitter(uint64_t bound)
{
    return bound - 1;
}

/* ---- places -------------------------------------------------------------- */

static void take__gives_what_is_left(void **state)
{
    lq_cap c = {0};
    (void)state;
    assert_int_equal(lq_cap_take(&c, 5, 3), 3);
    assert_int_equal(lq_cap_take(&c, 5, 3), 2);
    assert_int_equal(lq_cap_take(&c, 5, 1), 0);
    assert_true(lq_cap_full(&c, 5));
    assert_false(lq_cap_full(&c, 6));           /* a cap may be raised … */
    assert_int_equal(lq_cap_take(&c, 2, 1), 0); /* … and lowered */
}

static void give__tells_once_that_somebody_wants_one(void **state)
{
    lq_cap c = {0};
    (void)state;
    assert_int_equal(lq_cap_take(&c, 1, 1), 1);
    assert_false(lq_cap_give(&c, 1)); /* nobody asked */
    assert_int_equal(lq_cap_take(&c, 1, 1), 1);
    assert_int_equal(lq_cap_take(&c, 1, 1), 0);
    assert_true(lq_cap_give(&c, 1));
    assert_int_equal(lq_cap_take(&c, 1, 1), 1);
    assert_false(lq_cap_give(&c, 1));
    assert_false(lq_cap_give(&c, 0));
}

#define MAX 3
#define THREADS 4
#define ROUNDS 20000

struct shared {
    lq_cap cap;
    atomic_int now, most;
};

static void *takes_and_gives(void *ud)
{
    struct shared *s = ud;
    for (int i = 0; i < ROUNDS; i++) {
        int n = (int)lq_cap_take(&s->cap, MAX, 1 + (uint32_t)i % 2);
        int now = atomic_fetch_add(&s->now, n) + n, most = s->most;
        while (now > most &&
               !atomic_compare_exchange_weak(&s->most, &most, now)) {
        }
        atomic_fetch_sub(&s->now, n);
        lq_cap_give(&s->cap, (uint32_t)n);
    }
    return NULL;
}

static void take__from_many_threads__is_never_more(void **state)
{
    struct shared s = {0};
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, takes_and_gives, &s);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(s.most, 1, MAX);
    assert_int_equal(s.cap.used, 0);
}

/* ---- the line ------------------------------------------------------------ */

static void delay__is_a_second_at_least_and_a_minute_at_most(void **state)
{
    lq_handler_cap h = {0};
    (void)state;
    assert_int_equal(lq_handler_cap_delay(&h, 1, NOW, no_jitter), 1000);
    for (int i = 0; i < 5000; i++)
        assert_in_range(lq_handler_cap_delay(&h, 1, NOW, most_jitter), 1000,
                        61000);
}

/* Two at once, 100 ms each: twenty a second. */
static void delay__follows_the_length_of_runs(void **state)
{
    lq_handler_cap h = {0};
    (void)state;
    lq_handler_cap_ran(&h, 100000);
    for (int i = 0; i < 200; i++)
        assert_int_equal(lq_handler_cap_delay(&h, 2, NOW, no_jitter),
                         1000 + 50 * i);
    /* Time goes on, and the line with it. */
    assert_int_equal(lq_handler_cap_delay(&h, 2, NOW + 60000, no_jitter), 1000);
}

static void delay__runs_below_a_millisecond__still_make_a_line(void **state)
{
    lq_handler_cap h = {0};
    int64_t last = 0;
    (void)state;
    lq_handler_cap_ran(&h, 400);
    for (int i = 0; i < 1000; i++)
        last = lq_handler_cap_delay(&h, 1, NOW, no_jitter);
    assert_in_range(last, 1001, 2000);
}

static void usual_run__follows_slowly(void **state)
{
    lq_handler_cap h = {0};
    (void)state;
    lq_handler_cap_ran(&h, 8000);
    lq_handler_cap_ran(&h, 16000);
    assert_int_equal(h.run_us, 9000);
    for (int i = 0; i < 200; i++)
        lq_handler_cap_ran(&h, 0);
    assert_in_range(h.run_us, 1, 10);
}

static size_t parks(int64_t run_us, uint32_t max)
{
    lq_handler_cap h = {0};
    size_t n = 0;
    if (run_us)
        lq_handler_cap_ran(&h, run_us);
    while (n < 10000 && lq_handler_cap_park(&h, max))
        n++;
    for (size_t i = 0; i < n; i++)
        lq_handler_cap_unpark(&h);
    assert_int_equal(h.parked, 0);
    return n;
}

static void park__holds_what_runs_in_two_seconds(void **state)
{
    (void)state;
    assert_int_equal(parks(100000, 2), 40);
    assert_int_equal(parks(10000000, 3), 3); /* but a next one for each */
    assert_int_equal(parks(1000, 5), 200);   /* and not all there are */
    assert_int_equal(parks(0, 1), 40);       /* nothing known yet */
}

/* ---- by name ------------------------------------------------------------- */

static void handlers__of_one_name__share_a_cap(void **state)
{
    lq_caps caps;
    (void)state;
    lq_caps_init(&caps);
    lq_handler_cap *a = lq_caps_of(&caps, LQ_STR("a.lua"));
    assert_non_null(a);
    assert_ptr_equal(lq_caps_of(&caps, LQ_STR("a.lua")), a);
    assert_ptr_not_equal(lq_caps_of(&caps, LQ_STR("b.lua")), a);
    lq_caps_release(&caps);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take__gives_what_is_left),
        cmocka_unit_test(give__tells_once_that_somebody_wants_one),
        cmocka_unit_test(take__from_many_threads__is_never_more),
        cmocka_unit_test(delay__is_a_second_at_least_and_a_minute_at_most),
        cmocka_unit_test(delay__follows_the_length_of_runs),
        cmocka_unit_test(delay__runs_below_a_millisecond__still_make_a_line),
        cmocka_unit_test(usual_run__follows_slowly),
        cmocka_unit_test(park__holds_what_runs_in_two_seconds),
        cmocka_unit_test(handlers__of_one_name__share_a_cap),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("caps", tests, NULL, NULL);
}
