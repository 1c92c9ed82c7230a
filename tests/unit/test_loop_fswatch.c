/* Watching a folder and what is below it. */
#include "support/test.h"

#include "support/loop_world.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    loop_world w;
    char root[64];
    lq_fswatch *watch;
    int calls;
};

static void changed(void *ud)
{
    struct folder *f = ud;

    f->calls++;
    lq_loop_stop(f->w.loop);
}

/* A path below the root; good until the next call. */
static const char *below(struct folder *f, const char *name)
{
    static char path[200];

    snprintf(path, sizeof(path), "%s/%s", f->root, name);
    return path;
}

static void put(struct folder *f, const char *name, const char *text)
{
    FILE *file = fopen(below(f, name), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void watch(struct folder *f)
{
    lunaq_error err = LUNAQ_ERROR_INIT;

    assert_int_equal(
        lq_fswatch_new(&f->watch, f->w.loop, f->root, changed, f, &err),
        LUNAQ_OK);
}

/* Waits for a call, then until no more comes of the same change. */
static void wait_change(struct folder *f)
{
    int calls;

    if (!f->calls)
        loop_world_run(&f->w);
    assert_true(f->calls > 0);
    do {
        calls = f->calls;
        lq_timer_start(f->w.guard, 30);
        lq_loop_run(f->w.loop);
    } while (f->calls != calls);
    f->calls = 0;
}

static int setup(void **state)
{
    static struct folder f;

    memset(&f, 0, sizeof(f));
    loop_world_init(&f.w);
    strcpy(f.root, "/tmp/lq-watch-XXXXXX");
    assert_non_null(mkdtemp(f.root));
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct folder *f = *state;
    char command[100];

    lq_fswatch_close(f->watch);
    loop_world_release(&f->w);
    snprintf(command, sizeof(command), "rm -r -- '%s'", f->root);
    return system(command); /* NOLINT(cert-env33-c): a fixed command */
}

static void file__made_written_renamed_deleted__each_is_seen(void **state)
{
    struct folder *f = *state;
    char from[200];

    watch(f);
    put(f, "a.lua", "1");
    wait_change(f);
    put(f, "a.lua", "2");
    wait_change(f);
    snprintf(from, sizeof(from), "%s", below(f, "a.lua"));
    assert_int_equal(rename(from, below(f, "b.lua")), 0);
    wait_change(f);
    assert_int_equal(unlink(below(f, "b.lua")), 0);
    wait_change(f);
}

static void folder__there_before__is_watched(void **state)
{
    struct folder *f = *state;

    assert_int_equal(mkdir(below(f, "email"), 0700), 0);
    assert_int_equal(mkdir(below(f, "email/news"), 0700), 0);
    watch(f);
    put(f, "email/news/a.lua", "1");
    wait_change(f);
}

static void folder__made_later__is_watched(void **state)
{
    struct folder *f = *state;

    watch(f);
    assert_int_equal(mkdir(below(f, "email"), 0700), 0);
    wait_change(f);
    put(f, "email/a.lua", "1");
    wait_change(f);
    assert_int_equal(mkdir(below(f, "email/deep"), 0700), 0);
    wait_change(f);
    put(f, "email/deep/b.lua", "1");
    wait_change(f);
}

static void folder__replaced_by_another__the_new_one_is_watched(void **state)
{
    struct folder *f = *state;
    char from[200];

    assert_int_equal(mkdir(below(f, "email"), 0700), 0);
    watch(f);
    snprintf(from, sizeof(from), "%s", below(f, "email"));
    assert_int_equal(rename(from, below(f, ".old")), 0);
    assert_int_equal(mkdir(below(f, "email"), 0700), 0);
    wait_change(f);
    put(f, "email/a.lua", "1");
    wait_change(f);
}

static void link__in_a_circle__ends(void **state)
{
    struct folder *f = *state;

    assert_int_equal(mkdir(below(f, "a"), 0700), 0);
    assert_int_equal(symlink("..", below(f, "a/up")), 0);
    watch(f);
    put(f, "a/x.lua", "1");
    wait_change(f);
}

static void root__missing__fails(void **state)
{
    struct folder *f = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_fswatch *w;

    assert_int_equal(
        lq_fswatch_new(&w, f->w.loop, below(f, "none"), changed, f, &err),
        LUNAQ_EIO);
    assert_null(w);
    assert_non_null(strstr(err.message, "none"));
}

static void root__deleted_and_made_again__is_watched_again(void **state)
{
    struct folder *f = *state;

    watch(f);
    assert_int_equal(rmdir(f->root), 0);
    loop_world_run(&f->w);
    assert_int_equal(mkdir(f->root, 0700), 0);
    f->calls = 0;
    loop_world_run(&f->w); /* the slow rescan */
    wait_change(f);
    put(f, "a.lua", "1");
    wait_change(f);
}

static void close__after_a_change__is_silent(void **state)
{
    struct folder *f = *state;

    watch(f);
    put(f, "a.lua", "1");
    lq_fswatch_close(f->watch);
    f->watch = NULL;
    loop_world_run_ms(&f->w, 30);
    assert_int_equal(f->calls, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(file__made_written_renamed_deleted__each_is_seen),
        TEST(folder__there_before__is_watched),
        TEST(folder__made_later__is_watched),
        TEST(folder__replaced_by_another__the_new_one_is_watched),
        TEST(link__in_a_circle__ends),
        TEST(root__missing__fails),
        TEST(root__deleted_and_made_again__is_watched_again),
        TEST(close__after_a_change__is_silent),
    };

    return cmocka_run_group_tests_name("loop_fswatch", tests, NULL, NULL);
}
