/* Edits of the folder while runs are under way. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lua/generation.h"
#include "lua/world.h"

/* ---- edits ----------------------------------------------------------------
 */

static world *open_hello(bool watch, bool gc)
{
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, gc);
    w->options.watch = watch;
    world_write(w, "handlers/hello.lua", "return function() return '1' end");
    world_open(w);
    assert_int_equal(lq_lua_app_start(w->app, NULL), 0);
    assert_int_equal(atomic_load(&w->changes), 1);
    return w;
}

static void good_edit__is_live_for_the_next_run(void **state)
{
    (void)state;
    char text[200];
    int64_t before = lq_alloc_live();
    world *w = open_hello(false, false);
    assert_string_equal(world_run_text(w, "hello", text), "1");
    world_write(w, "handlers/hello.lua", "return function() return '2' end");
    assert_int_equal(world_reload(w, NULL), 0);
    assert_string_equal(world_run_text(w, "hello", text), "2");
    assert_int_equal(atomic_load(&w->changes), 2);
    assert_true(world_sees(w, "reload  hello.lua  generation 2 ("));
    size_t types;
    int64_t generation;
    lq_lua_app_count(w->app, &types, &generation);
    assert_int_equal(generation, 2);
    world_free(w);
    assert_int_equal(lq_alloc_live(), before);
}

static void broken_edit__changes_nothing_and_says_why(void **state)
{
    (void)state;
    char text[200];
    lunaq_error err = LUNAQ_ERROR_INIT;
    world *w = open_hello(false, false);
    world_write(w, "handlers/hello.lua", "return function()\n  x y\nend");
    assert_int_equal(world_reload(w, &err), LUNAQ_EHANDLER);
    assert_non_null(strstr(err.message, "hello.lua:2: syntax error near 'y'"));
    assert_string_equal(world_run_text(w, "hello", text), "1");
    assert_int_equal(atomic_load(&w->changes), 1);
    assert_true(world_sees(w, "reload  hello.lua  REFUSED  hello.lua:2: syntax "
                              "error near 'y'; generation 1 keeps running"));
    lq_buf json;
    lq_buf_init(&json, 0);
    lq_lua_app_describe(w->app, &json);
    assert_non_null(strstr(json.p, "\"rejected\":\"hello.lua:2: syntax"));
    lq_buf_release(&json);
    assert_int_equal(atomic_load(&w->descriptions), 1);

    /* Back to what it was: nothing to do, and nothing rejected any more. */
    world_write(w, "handlers/hello.lua", "return function() return '1' end");
    assert_int_equal(world_reload(w, NULL), 0);
    assert_true(world_sees(w, "reload  the files are again those of generation "
                              "1, which runs"));
    lq_buf_init(&json, 0);
    lq_lua_app_describe(w->app, &json);
    assert_non_null(strstr(json.p, "\"rejected\":\"\""));
    assert_non_null(strstr(json.p, "\"generation\":1"));
    lq_buf_release(&json);
    assert_int_equal(atomic_load(&w->descriptions), 2);
    world_free(w);
}

/* Loads in the loader, fails on the worker: nobody switches. */
static void edit_that_fails_on_a_worker__changes_nothing(void **state)
{
    (void)state;
    char text[200];
    lunaq_error err = LUNAQ_ERROR_INIT;
    int64_t before = lq_alloc_live();
    world *w = open_hello(false, false);
    world_write(w, "handlers/a.lua", "return print");
    /* The environment differs nowhere but in the time it takes; a file that is
     * good once only shows the same. */
    world_write(w, "handlers/hello.lua",
                "if collectgarbage('count') > 4096 then error('on a worker') "
                "end return function() return '2' end");
    world_write(w, "handlers/big.lua",
                "local kept\n"
                "return function() kept = ('x'):rep(1 << 23) end");
    assert_int_equal(world_reload(w, NULL), 0);
    assert_string_equal(world_run_text(w, "hello", text), "2");
    world_run_text(w, "big", text);
    world_write(w, "handlers/more.lua", "return print");
    assert_int_equal(world_reload(w, &err), LUNAQ_EHANDLER);
    assert_non_null(strstr(err.message, "hello.lua:1: on a worker"));
    assert_false(world_handles(w, "more"));
    assert_string_equal(world_run_text(w, "hello", text), "2");
    world_free(w);
    assert_int_equal(lq_alloc_live(), before);
}

static void deleted_file__takes_its_type_away(void **state)
{
    (void)state;
    world *w = open_hello(false, false);
    world_write(w, "handlers/other.lua", "return print");
    assert_int_equal(world_reload(w, NULL), 0);
    assert_true(world_handles(w, "other"));
    world_delete(w, "handlers/other.lua");
    assert_int_equal(world_reload(w, NULL), 0);
    assert_false(world_handles(w, "other"));
    assert_true(world_sees(w, "reload  other.lua  generation 3 ("));
    assert_true(world_sees(w, " gone)"));
    world_free(w);
}

static void run_under_way__finishes_on_its_generation(void **state)
{
    (void)state;
    char text[200];
    world *w = open_hello(false, true);
    world_write(w, "lib/v.lua", "return 'old'");
    world_write(
        w, "handlers/slow.lua",
        "return function() lunaq.sleep(0.1) return require 'lib.v' end");
    assert_int_equal(world_reload(w, NULL), 0);
    world_run *slow = world_start(w, "slow", "{}");
    world_write(w, "lib/v.lua", "return 'new'");
    assert_int_equal(world_reload(w, NULL), 0);
    assert_string_equal(world_run_text(w, "slow", text), "new");
    world_wait(w, slow);
    assert_string_equal(slow->result, "old");
    world_end(slow);
    world_free(w);
}

static size_t generations(world *w)
{
    size_t n = 0;
    LQ_LIST_EACH (&((lq_lua_host *)w->runner)->generations, node) {
        n++;
    }
    return n;
}

static void two_hundred_reloads__with_runs_across_them__leak_nothing(void **s)
{
    (void)s;
    enum { ROUNDS = 200, OPEN = 10 };
    char source[300], text[200];
    int64_t before = lq_alloc_live();
    world *w = open_hello(false, false);
    world_write(w, "handlers/slow.lua",
                "return function() lunaq.sleep(0.03) return 'ok' end");
    world_run *runs[OPEN] = {0};
    /* Ended runs are kept for the next ones.  As many as a fast machine has at
     * once, so that the pool does not grow below. */
    world_run *at_once[OPEN + 1];
    assert_int_equal(world_reload(w, NULL), 0);
    for (size_t j = 0; j < LQ_COUNT(at_once); j++)
        at_once[j] = world_start(w, "slow", "{}");
    for (size_t j = 0; j < LQ_COUNT(at_once); j++) {
        world_wait(w, at_once[j]);
        world_end(at_once[j]);
    }
    size_t lua_before = 0;
    int64_t live_before = 0;
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(source, sizeof source,
                 "local t = {} for i = 1, 200 do t[i] = {i} end\n"
                 "return function() return '%d' .. #t end",
                 i);
        world_write(w, "handlers/hello.lua", source);
        assert_int_equal(world_reload(w, NULL), 0);
        snprintf(source, sizeof source, "%d200", i);
        assert_string_equal(world_run_text(w, "hello", text), source);
        world_run **slot = &runs[i % OPEN];
        if (*slot) {
            world_wait(w, *slot);
            assert_string_equal((*slot)->result, "ok");
            world_end(*slot);
        }
        *slot = world_start(w, "slow", "{}");
        if (i == 20 || i == ROUNDS - 1) {
            for (size_t j = 0; j < OPEN; j++) {
                if (!runs[j])
                    continue;
                world_wait(w, runs[j]);
                world_end(runs[j]);
                runs[j] = NULL;
            }
            assert_int_equal(generations(w), 1);
        }
        if (i == 20) {
            lua_before = world_lua_bytes(w);
            live_before = lq_alloc_live();
        }
    }
    size_t lua_after = world_lua_bytes(w);
    /* Lua's table of strings may have doubled; a generation that stayed would
     * be 10 KB, of each round. */
    if (lua_after > lua_before + 8192)
        fail_msg("Lua memory grew from %zu to %zu", lua_before, lua_after);
    assert_true(lq_alloc_live() <= live_before);
    world_free(w);
    assert_int_equal(lq_alloc_live(), before);
}

static void saved_file__is_live_soon(void **state)
{
    (void)state;
    char text[200], source[100];
    world *w = open_hello(true, false);
    int64_t worst = 0, least = INT64_MAX;
    for (int i = 2; i < 8; i++) {
        snprintf(source, sizeof source, "return function() return '%d' end", i);
        world_write(w, "handlers/hello.lua", source);
        int64_t began = lq_mono_ms();
        while (atomic_load(&w->changes) < i && lq_mono_ms() - began < 20000)
            world_spin(w, 1);
        int64_t took = lq_mono_ms() - began;
        worst = took > worst ? took : worst;
        least = took < least ? took : least;
        snprintf(source, sizeof source, "%d", i);
        assert_string_equal(world_run_text(w, "hello", text), source);
    }
    print_message("save to live: %d to %d ms\n", (int)least, (int)worst);
    assert_true(least < 1000); /* others may be held up */
    world_free(w);
}

static void new_folder_and_lib__are_noticed(void **state)
{
    (void)state;
    world *w = open_hello(true, false);
    world_write(w, "handlers/new/er.lua", "return print");
    int64_t began = lq_mono_ms();
    while (atomic_load(&w->changes) < 2 && lq_mono_ms() - began < 20000)
        world_spin(w, 5);
    assert_true(world_handles(w, "new:er"));
    world_write(w, "lib/x.lua", "return 1");
    while (atomic_load(&w->changes) < 3 && lq_mono_ms() - began < 40000)
        world_spin(w, 5);
    assert_int_equal(atomic_load(&w->changes), 3);
    world_free(w);
}

static void edit_during_stop__is_no_trouble(void **state)
{
    (void)state;
    int64_t before = lq_alloc_live();
    for (int i = 0; i < 20; i++) {
        world *w = open_hello(true, false);
        world_write(w, "handlers/hello.lua", "return print");
        world_spin(w, (int64_t)i * 5);
        /* stop waits for a reload under way, which needs the worker's loop */
        world_reload(w, NULL);
        world_free(w);
    }
    assert_int_equal(lq_alloc_live(), before);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_edit__is_live_for_the_next_run),
        cmocka_unit_test(broken_edit__changes_nothing_and_says_why),
        cmocka_unit_test(edit_that_fails_on_a_worker__changes_nothing),
        cmocka_unit_test(deleted_file__takes_its_type_away),
        cmocka_unit_test(run_under_way__finishes_on_its_generation),
        cmocka_unit_test(
            two_hundred_reloads__with_runs_across_them__leak_nothing),
        cmocka_unit_test(saved_file__is_live_soon),
        cmocka_unit_test(new_folder_and_lib__are_noticed),
        cmocka_unit_test(edit_during_stop__is_no_trouble),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
