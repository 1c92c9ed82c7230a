/* The set of periodic entries: places that want the same one, entries that
 * move, and thousands that are none. */
#include "support/test.h"

#include "base/clock.h"
#include "base/log.h"
#include "runtime/schedule.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define A 0
#define B 1

typedef struct world {
    lq_runtime rt;
    lq_schedule s;
    lq_enqueue item;
} world;

static world *world_new(void)
{
    world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->s.rt = &w->rt;
    w->item.task = (lq_task){.type = LQ_STR("t"), .queue = LQ_STR("default")};
    return w;
}

static void world_free(world *w)
{
    lq_schedule_release(&w->s);
    free(w);
}

/* Reads a place that wants these names of one spec; NULL ends them. */
static void place(world *w, int place, const char *const *names)
{
    lq_schedule_begin(&w->s, place);
    for (; *names; names++) {
        lq_cron_want want = {
            .spec = "@daily", .name = *names, .item = &w->item};
        lq_schedule_want(&w->s, &want);
    }
    lq_schedule_end(&w->s);
}

static const char *const none[] = {NULL}, *const x[] = {"x", NULL},
                         *const xy[] = {"x", "y", NULL};

static int place_of(world *w, const char *id)
{
    const lq_entry *e = lq_schedule_find(&w->s, id);
    return e ? e->place : -1;
}

static void entry_that_moves_to_a_place_read_before__is_wanted_again(void **s)
{
    (void)s;
    world *w = world_new();
    place(w, A, none);
    place(w, B, x);
    assert_int_equal(place_of(w, "t|@daily|x"), B);
    /* It moved from B to A, which is read first. */
    place(w, A, x);
    assert_int_equal(place_of(w, "t|@daily|x"), B);
    assert_false(w->s.moved);
    place(w, B, none);
    assert_true(w->s.moved); /* the scheduler reads all again */
    w->s.moved = false;
    place(w, A, x);
    place(w, B, none);
    assert_int_equal(place_of(w, "t|@daily|x"), A);
    assert_false(w->s.moved);
    world_free(w);
}

static void entry_that_goes__and_nobody_else_wants__is_no_reason(void **s)
{
    (void)s;
    world *w = world_new();
    place(w, A, x);
    place(w, B, xy); /* x is A's */
    assert_int_equal(w->s.count, 2);
    place(w, B, x);
    assert_int_equal(w->s.count, 1);
    assert_false(w->s.moved);
    world_free(w);
}

static void name_that_is_no_text__is_left_out(void **s)
{
    (void)s;
    static const char *const names[] = {"a\nb", "\xff", "ok", "", NULL};
    world *w = world_new();
    place(w, A, names);
    assert_int_equal(w->s.count, 2); /* "" is no name */
    assert_int_equal(w->s.ignored, 2);
    world_free(w);
}

static atomic_int lines;

static void count_line(lunaq_log_level level, const char *line, size_t len,
                       void *ud)
{
    (void)ud;
    (void)level;
    (void)line;
    (void)len;
    lines++;
}

static void ten_thousand_of_one_name__are_said_in_some_lines(void **s)
{
    (void)s;
    world *w = world_new();
    const lq_log_options options = {.sink = count_line};
    w->rt.o.log = lq_log_new(&options);
    lq_schedule_begin(&w->s, A);
    lq_cron_want want = {.spec = "@daily", .item = &w->item};
    for (int i = 0; i < 10000; i++)
        lq_schedule_want(&w->s, &want);
    lq_schedule_end(&w->s);
    assert_int_equal(w->s.count, 1);
    assert_int_equal(w->s.ignored, 9999);
    lq_log_free(w->rt.o.log);
    assert_int_equal(lines, 11);
    world_free(w);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            entry_that_moves_to_a_place_read_before__is_wanted_again),
        cmocka_unit_test(entry_that_goes__and_nobody_else_wants__is_no_reason),
        cmocka_unit_test(name_that_is_no_text__is_left_out),
        cmocka_unit_test(ten_thousand_of_one_name__are_said_in_some_lines),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
