/* The bells by which processes on one queue file wake each other. */
#include "support/test.h"

#include "base/buf.h"
#include "sqlite/wake.h"
#include "support/temp_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static int setup(void **state)
{
    static temp_folder folder;
    *state = &folder;
    return temp_folder_make(&folder);
}

static int teardown(void **state)
{
    temp_folder_remove(*state);
    return 0;
}

static void path_too_long_for_a_socket__polls(void **state)
{
    temp_folder *f = *state;
    char path[200];
    lq_sqlite_bell bell;

    snprintf(path, sizeof(path), "%s/%.*s", f->path, 80,
             "a_name_that_is_so_long_that_no_socket_can_have_it_aaaaaaaaaaaaaaa"
             "aaaaaaaaaaaaaaaaaaaaa");
    assert_false(lq_sqlite_bell_open(&bell, path, LQ_SQLITE_BELL_TASK));
    assert_int_equal(bell.fd, -1);
    assert_false(lq_sqlite_bell_read(&bell, NULL, NULL));
    lq_sqlite_bell_close(&bell);
}

/* Who finds nobody need not look again until the folder changes. */
static void bell_that_comes_later__is_rung(void **state)
{
    static const struct timespec past[2] = {{1700000000, 1}, {1700000000, 1}};
    const struct timespec later[2] = {{time(NULL) + 600, 0},
                                      {time(NULL) + 600, 0}};
    temp_folder *f = *state;
    char path[160], folder[200];
    lq_sqlite_bell bell;
    lq_sqlite_ringer ringer = {.file = path};
    const lq_str names = lq_str_n("q", 2);

    snprintf(path, sizeof(path), "%s/other.db", f->path);
    snprintf(folder, sizeof(folder), "%s.wake", path);
    assert_true(lq_sqlite_bell_open(&bell, path, LQ_SQLITE_BELL_TASK));
    lq_sqlite_bell_close(&bell);
    assert_int_equal(utimensat(AT_FDCWD, folder, later, 0), 0);
    lq_sqlite_ring(&ringer, LQ_SQLITE_BELL_TASK, names, NULL);
    assert_int_equal(ringer.alone[0].tv_sec, 0); /* not old enough to trust */
    assert_int_equal(utimensat(AT_FDCWD, folder, past, 0), 0);
    lq_sqlite_ring(&ringer, LQ_SQLITE_BELL_TASK, names, NULL);
    assert_int_equal(ringer.alone[0].tv_sec, 1700000000);
    assert_true(lq_sqlite_bell_open(&bell, path, LQ_SQLITE_BELL_TASK));
    lq_sqlite_ring(&ringer, LQ_SQLITE_BELL_TASK, names, NULL);
    assert_true(lq_sqlite_bell_read(&bell, NULL, NULL));
    lq_sqlite_bell_close(&bell);
    lq_sqlite_ringer_close(&ringer);
}

struct collected {
    int count;
    size_t bytes;
};

static void collect(void *ud, lq_str name)
{
    struct collected *c = ud;
    c->count++;
    c->bytes += name.len;
}

static void names_of_many_datagrams__all_arrive(void **state)
{
    enum { N = 300 };
    temp_folder *f = *state;
    char path[160];
    lq_sqlite_bell bell;
    lq_sqlite_ringer ringer = {.file = path};
    struct collected got = {0};
    lq_buf names;

    snprintf(path, sizeof(path), "%s/queue.db", f->path);
    lq_buf_init(&names, 0);
    for (int i = 0; i < N; i++) {
        lq_buf_printf(&names, "name-%028d", i);
        lq_buf_add_char(&names, 0);
    }
    assert_true(lq_sqlite_bell_open(&bell, path, LQ_SQLITE_BELL_CANCEL));
    lq_sqlite_ring(&ringer, LQ_SQLITE_BELL_CANCEL, lq_buf_str(&names), NULL);
    assert_true(lq_sqlite_bell_read(&bell, collect, &got));
    assert_int_equal(got.count, N);
    assert_int_equal(got.bytes, N * 33);
    assert_false(lq_sqlite_bell_read(&bell, collect, &got));
    lq_sqlite_ring(&ringer, LQ_SQLITE_BELL_CANCEL, lq_buf_str(&names), &bell);
    assert_false(lq_sqlite_bell_read(&bell, collect, &got)); /* its own */
    lq_sqlite_ringer_close(&ringer);
    lq_sqlite_bell_close(&bell);
    lq_buf_release(&names);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(path_too_long_for_a_socket__polls),
        TEST(bell_that_comes_later__is_rung),
        TEST(names_of_many_datagrams__all_arrive),
    };
    return cmocka_run_group_tests_name("bells of a queue file", tests, NULL,
                                       NULL);
}
