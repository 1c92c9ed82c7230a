/* Ids: form, order, and that no two are the same. */
#include "unit.h"

#include "base/clock.h"
#include "task/id.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW INT64_C(1800000000000)

static void assert_uuid(const char *id, char version)
{
    assert_int_equal(strlen(id), LQ_UUID_LEN);
    for (int i = 0; i < LQ_UUID_LEN; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23)
            assert_int_equal(id[i], '-');
        else
            assert_non_null(strchr("0123456789abcdef", id[i]));
    }
    assert_int_equal(id[14], version);
    assert_non_null(strchr("89ab", id[19]));
}

static void uuid7__holds_its_milliseconds(void **state)
{
    (void)state;
    char id[LQ_UUID_LEN + 1];
    lq_uuid7(id, NOW);
    assert_uuid(id, '7');
    char digits[13];
    memcpy(digits, id, 8);
    memcpy(digits + 8, id + 9, 4);
    digits[12] = 0;
    assert_int_equal(strtoll(digits, NULL, 16), NOW);
}

static void
uuid7__of_one_thread__ascend_also_when_the_clock_steps_back(void **state)
{
    (void)state;
    char before[LQ_UUID_LEN + 1] = "", id[LQ_UUID_LEN + 1];
    uint64_t seed = 5;
    for (int i = 0; i < 200000; i++) {
        int64_t now = NOW + 1000 + i / 1000;
        if (draw(&seed, 100) == 0)
            now -= 500000;
        lq_uuid7(id, now);
        assert_uuid(id, '7');
        assert_true(strcmp(before, id) < 0);
        memcpy(before, id, sizeof id);
    }
}

static void uuid4__is_random(void **state)
{
    (void)state;
    char a[LQ_UUID_LEN + 1], b[LQ_UUID_LEN + 1];
    static const char variants[] = "89ab";
    bool seen[4] = {0};
    for (int i = 0; i < 1000; i++) {
        lq_uuid4(a);
        lq_uuid4(b);
        assert_uuid(a, '4');
        assert_string_not_equal(a, b);
        seen[strchr(variants, a[19]) - variants] = true;
    }
    assert_true(seen[0] && seen[1] && seen[2] && seen[3]);
}

static void uuid7__of_a_forked_child__differ_from_the_parents(void **state)
{
    (void)state;
    char id[LQ_UUID_LEN + 1], childs[LQ_UUID_LEN + 1];
    int fds[2];
    lq_uuid7(id, NOW + 5000000);
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    lq_uuid7(id, NOW + 5000000);
    if (child == 0) {
        ssize_t n = write(fds[1], id, sizeof id);
        _exit(n == (ssize_t)sizeof id ? 0 : 1);
    }
    int status;
    assert_int_equal(read(fds[0], childs, sizeof childs), sizeof childs);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_string_not_equal(id, childs);
    close(fds[0]);
    close(fds[1]);
}

static void *make_one(void *out)
{
    lq_uuid7(out, NOW);
    return NULL;
}

static void uuid7__of_two_threads_in_one_millisecond__differ(void **state)
{
    (void)state;
    char ids[2][LQ_UUID_LEN + 1];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_one, ids[i]),
                         0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_string_not_equal(ids[0], ids[1]);
}

static void short_id__is_the_last_eight(void **state)
{
    (void)state;
    lq_str s = lq_id_short(LQ_STR("019ac0de-0000-7000-8000-00009c41e0a7"));
    assert_true(lq_str_eq(s, LQ_STR("9c41e0a7")));
    assert_true(lq_str_eq(lq_id_short(LQ_STR("t1")), LQ_STR("t1")));
    assert_true(lq_str_eq(lq_id_short(LQ_STR("")), LQ_STR("")));
}

static void random__below_a_bound__covers_it_evenly(void **state)
{
    (void)state;
    int hits[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint64_t r = lq_random(7);
        assert_true(r < 7);
        hits[r]++;
    }
    for (int i = 0; i < 7; i++)
        assert_in_range(hits[i], 9400, 10600); /* 6 sigma */
    assert_int_equal(lq_random(0), 0);
    assert_int_equal(lq_random(1), 0);
}

static void clock__monotonic__does_not_go_back(void **state)
{
    (void)state;
    int64_t before = lq_mono_ns();
    for (int i = 0; i < 10000; i++) {
        int64_t now = lq_mono_ns();
        assert_true(now >= before);
        before = now;
    }
    assert_true(lq_now_ms() > INT64_C(1700000000000));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uuid7__holds_its_milliseconds),
        cmocka_unit_test(
            uuid7__of_one_thread__ascend_also_when_the_clock_steps_back),
        cmocka_unit_test(uuid4__is_random),
        cmocka_unit_test(uuid7__of_a_forked_child__differ_from_the_parents),
        cmocka_unit_test(uuid7__of_two_threads_in_one_millisecond__differ),
        cmocka_unit_test(short_id__is_the_last_eight),
        cmocka_unit_test(random__below_a_bound__covers_it_evenly),
        cmocka_unit_test(clock__monotonic__does_not_go_back),
    };
    return RUN_TESTS("id", tests, LQ_COUNT(tests));
}
