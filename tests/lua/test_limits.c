/* Time: a run ends at its deadline whatever it does, and a run that keeps the
 * CPU lets others have it. */
#include "support/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lua/world.h"

static lunaq_interrupt mode = LUNAQ_INTERRUPT_SIGNAL;
static bool gc;

#define LIMIT_MS 60
#define LATE_MS 2000 /* what a loaded machine may add */

typedef struct row {
    const char *name;
    const char *body;
    const char *logged; /* by a <close> variable or the like; NULL = nothing */
} row;

static const row rows[] = {
    {"loop", "while true do end", NULL},
    {"empty_goto_loop", "::again:: goto again", NULL},
    {"counting_loop", "for i = 1, 1 << 60 do end", NULL},
    {"repeat_loop", "repeat until false", NULL},
    {"recursion_by_tail_call", "local function f() return f() end f()", NULL},
    {"loop_below_many_frames",
     "local function f(n) if n > 0 then return 1 + f(n - 1) end "
     "while true do end end f(100000)",
     NULL},
    {"stack_overflow_again_and_again",
     "local function f() return 1 + f() end while true do pcall(f) end", NULL},
    {"pcall_around_loop",
     "while true do pcall(function() while true do end end)"
     " end",
     NULL},
    {"nested_pcalls",
     "local function p(n) while true do pcall(p, n + 1) end "
     "end p(0)",
     NULL},
    {"xpcall_with_looping_handler",
     "while true do xpcall(function() error('x') end, function() while true do "
     "end end) end",
     NULL},
    {"xpcall_loop_as_handler",
     "local function f() while true do end end xpcall(f, f)", NULL},
    {"own_coroutine", "coroutine.wrap(function() while true do end end)()",
     NULL},
    {"resume_for_ever",
     "local co = coroutine.create(function() while true do coroutine.yield() "
     "end end) while true do coroutine.resume(co) end",
     NULL},
    {"pcall_in_coroutine_in_pcall",
     "while true do pcall(coroutine.wrap(function() while true do "
     "pcall(function() while true do end end) end end)) end",
     NULL},
    {"coroutines_one_inside_the_other",
     "local function deep(n) if n == 0 then while true do end end "
     "coroutine.wrap(deep)(n - 1) end deep(50)",
     NULL},
    {"sort_comparator",
     "local t = {} for i = 1, 100 do t[i] = i end\n"
     "table.sort(t, function(a, b) while true do end end)",
     NULL},
    {"sort_comparator_with_pcall",
     "local t = {} for i = 1, 100 do t[i] = i end\n"
     "while true do pcall(table.sort, t, function(a, b) while true do "
     "pcall(function() while true do end end) end end) end",
     NULL},
    {"gsub_callback", "('x'):gsub('x', function() while true do end end)",
     NULL},
    {"gsub_callback_with_coroutine",
     "('x'):gsub('x', function() while true do pcall(coroutine.wrap(function() "
     "while true do end end)) end end)",
     NULL},
    {"gsub_callback_with_xpcall",
     "('x'):gsub('x', function() while true do xpcall(error, function() while "
     "true do end end) end end)",
     NULL},
    {"tostring_metamethod",
     "tostring(setmetatable({}, {__tostring = function() while true do end "
     "end}))",
     NULL},
    {"index_metamethod",
     "local t = setmetatable({}, {__index = function() while true do end end})"
     " return t.x",
     NULL},
    {"loaded_chunk", "load('while true do end')()", NULL},
    {"load_with_endless_reader", "load(function() while true do end end)",
     NULL},
    {"strings_in_a_loop",
     "local s = '' while true do s = ('x'):rep(1000) .. #s "
     "end",
     NULL},
    {"patterns_in_a_loop",
     "local s = ('a'):rep(2000) while true do s:find('.-b') end", NULL},
    {"tables_in_a_loop",
     "while true do local t = {} for i = 1, 100 do t[i] = "
     "{i} end end",
     NULL},
    {"awaiting_in_a_loop", "while true do pcall(lunaq.sleep, 0) end", NULL},
    {"asleep", "lunaq.sleep(3600)", NULL},
    {"asleep_in_pcall", "while true do pcall(lunaq.sleep, 3600) end", NULL},
    {"asleep_in_a_coroutine",
     "coroutine.wrap(function() lunaq.sleep(3600) end)()", NULL},
    {"close_variable_runs",
     "local x <close> = setmetatable({}, {__close = function() "
     "log.info('closed it') end}) while true do end",
     "closed it"},
    {"close_variable_of_a_sleeper_runs",
     "local x <close> = setmetatable({}, {__close = function() "
     "log.info('closed it') end}) lunaq.sleep(3600)",
     "closed it"},
    {"close_variable_in_a_coroutine_runs",
     "coroutine.wrap(function() local x <close> = setmetatable({}, {__close = "
     "function() log.info('closed it') end}) lunaq.sleep(3600) end)()",
     "closed it"},
    {"close_variable_inside_sort_runs",
     "table.sort({2, 1}, function() local x <close> = setmetatable({}, "
     "{__close "
     "= function() log.info('closed it') end}) while true do end end)",
     "closed it"},
    {"close_variable_with_a_long_way_runs",
     "local x <close> = setmetatable({}, {__close = function() local n = 0 for "
     "i"
     " = 1, 100000 do n = n + 1 end log.info('closed after ' .. n) end}) while "
     "true do end",
     "closed after 100000"},
    {"close_variable_that_loops__is_ended",
     "local x <close> = setmetatable({}, {__close = function() while true do "
     "pcall(function() while true do end end) end end}) while true do end",
     NULL},
    {"close_variable_that_waits__cannot",
     "local x <close> = setmetatable({}, {__close = function() local ok, e = "
     "pcall(lunaq.sleep, 1) log.info(e) end}) while true do end",
     "cannot wait while its run is being ended"},
};

static void ends_in_time(void **state)
{
    const row *c = *state;
    int64_t before = lq_alloc_live();
    world *w = world_new(mode, gc);
    char source[2000];
    snprintf(source, sizeof source, "return function(task)\n%s\nend\n",
             c->body);
    world_write(w, "handlers/t.lua", source);
    world_open(w);
    lq_task t = {.type = LQ_STR("t"),
                 .id = LQ_STR("one"),
                 .queue = LQ_STR("default"),
                 .payload = LQ_STR("{}")};
    world_run *r = world_start_with(w, t, LIMIT_MS);
    /* The runtime has a timer too; it cancels what is parked. */
    int64_t deadline = lq_mono_ms() + LIMIT_MS + 5;
    while (!r->ended && lq_mono_ms() < deadline)
        world_spin(w, deadline - lq_mono_ms());
    if (!r->ended)
        w->runner->ops->cancel(w->runner, &r->run, LQ_CANCEL_DEADLINE);
    world_wait(w, r);
    assert_int_equal(r->kind, LQ_FAILED);
    if (strcmp(r->error_kind, "timeout") != 0)
        fail_msg("kind %s: %s", r->error_kind, r->message);
    if (!strstr(r->message, "its time is up (60ms)"))
        fail_msg("message: %s", r->message);
    assert_non_null(strstr(r->message, "t.lua:"));
    if (!gc)
        assert_true(r->took_ms < LIMIT_MS + LATE_MS);
    assert_true(r->took_ms >= LIMIT_MS - 10);
    if (c->logged)
        assert_true(world_sees(w, c->logged));
    world_end(r);

    /* The worker is in order after it. */
    world_write(w, "handlers/u.lua", "return function() return 'fine' end");
    world_free(w);
    assert_int_equal(lq_alloc_live(), before);
}

/* ---- fairness ------------------------------------------------------------ */

static void busy_run__and_a_hundred_short_ones__short_ones_are_quick(void **s)
{
    (void)s;
    world *w = world_new(mode, gc);
    world_write(w, "handlers/busy.lua",
                "return function() while true do end end");
    world_write(w, "handlers/short.lua",
                "return function() lunaq.sleep(0.001) return 'ok' end");
    world_open(w);
    world_run *busy = world_start(w, "busy", "{}");
    world_run *runs[100];
    for (size_t i = 0; i < 100; i++)
        runs[i] = world_start(w, "short", "{}");
    for (size_t i = 0; i < 100; i++)
        world_wait(w, runs[i]);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(runs[i]->kind, LQ_SUCCEEDED);
        if (!gc && runs[i]->took_ms > 100 + LATE_MS)
            fail_msg("a short run took %d ms", (int)runs[i]->took_ms);
        world_end(runs[i]);
    }
    assert_false(busy->ended);
    w->runner->ops->cancel(w->runner, &busy->run, LQ_CANCEL_REQUEST);
    assert_true(busy->ended);
    assert_int_equal(busy->kind, LQ_ENDED);
    world_end(busy);
    world_free(w);
}

static void busy_runs__share_the_cpu(void **s)
{
    (void)s;
    world *w = world_new(mode, gc);
    world_write(w, "handlers/count.lua",
                "local n = {}\n"
                "return function(task)\n"
                "  local me = task.payload.me\n"
                "  if me == 0 then return n end\n"
                "  n[me] = 0\n"
                "  while true do n[me] = n[me] + 1 end\n"
                "end\n");
    world_open(w);
    world_run *a = world_start(w, "count", "{\"me\":1}");
    world_run *b = world_start(w, "count", "{\"me\":2}");
    world_spin(w, 1000);
    w->runner->ops->cancel(w->runner, &a->run, LQ_CANCEL_SHUTDOWN);
    w->runner->ops->cancel(w->runner, &b->run, LQ_CANCEL_SHUTDOWN);
    assert_int_equal(a->kind, LQ_ENDED);
    world_run *sum = world_start(w, "count", "{\"me\":0}");
    world_wait(w, sum);
    long long x = 0, y = 0;
    char *rest = NULL;
    x = strtoll(sum->result + 1, &rest, 10);
    y = strtoll(rest + 1, NULL, 10);
    if (x == 0 || y == 0 || x > 4 * y || y > 4 * x)
        fail_msg("unfair: %lld and %lld", x, y);
    world_end(a);
    world_end(b);
    world_end(sum);
    world_free(w);
}

/* ---- ten thousand asleep ------------------------------------------------- */

static void sleeping_runs__cost_little_memory(void **s)
{
    (void)s;
    enum { RUNS = 10000 };
    int64_t before = lq_alloc_live();
    world *w = world_new(mode, false);
    world_write(w, "handlers/sleep.lua",
                "return function(task) lunaq.sleep(3600) end");
    world_open(w);
    world_run *one = world_start(w, "sleep", "{}");
    size_t empty = world_lua_bytes(w);
    static world_run *runs[RUNS];
    for (size_t i = 0; i < RUNS; i++)
        runs[i] = world_start(w, "sleep", "{}");
    size_t each = (world_lua_bytes(w) - empty) / RUNS;
    print_message("a sleeping run: %zu bytes in Lua, %zu beside it\n", each,
                  sizeof(lq_lua_run));
    assert_true(each + sizeof(lq_lua_run) <= 2700);
    for (size_t i = 0; i < RUNS; i++) {
        w->runner->ops->cancel(w->runner, &runs[i]->run, LQ_CANCEL_SHUTDOWN);
        assert_true(runs[i]->ended);
        world_end(runs[i]);
    }
    size_t after = world_lua_bytes(w);
    assert_true(after <
                empty + (size_t)512 * 1024); /* the registry's array stays */
    w->runner->ops->cancel(w->runner, &one->run, LQ_CANCEL_SHUTDOWN);
    world_end(one);
    world_free(w);
    assert_int_equal(lq_alloc_live(), before);
}

static void sleepers__wake_in_order(void **s)
{
    (void)s;
    world *w = world_new(mode, gc);
    world_write(w, "handlers/s.lua",
                "local woke = {}\n"
                "return function(task)\n"
                "  local p = task.payload\n"
                "  if not p.ms then return table.concat(woke, ' ') end\n"
                "  lunaq.sleep(p.ms / 1000)\n"
                "  woke[#woke + 1] = p.ms\n"
                "end\n");
    world_open(w);
    static const int order[] = {180, 60, 300, 120, 240, 0};
    world_run *runs[6];
    for (size_t i = 0; i < 6; i++) {
        char payload[40];
        snprintf(payload, sizeof payload, "{\"ms\":%d}", order[i]);
        runs[i] = world_start(w, "s", payload);
    }
    /* One that is given up must not disturb the others. */
    world_run *gone = world_start(w, "s", "{\"ms\":150}");
    w->runner->ops->cancel(w->runner, &gone->run, LQ_CANCEL_SHUTDOWN);
    for (size_t i = 0; i < 6; i++)
        world_wait(w, runs[i]);
    world_run *r = world_start(w, "s", "{}");
    world_wait(w, r);
    assert_string_equal(r->result, "0 60 120 180 240 300");
    world_end(r);
    world_end(gone);
    for (size_t i = 0; i < 6; i++)
        world_end(runs[i]);
    world_free(w);
}

/* A signal that comes late, or for nothing, changes nothing. */
static void stray_signals__change_nothing(void **s)
{
    (void)s;
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, gc);
    world_write(w, "handlers/t.lua",
                "return function() local n = 0 for i = 1, 20000 do n = n + i "
                "end return n end");
    world_open(w);
    for (int i = 0; i < 200; i++) {
        lq_lua_host *host = (lq_lua_host *)w->runner;
        atomic_store(&host->shot, host->entries + (i % 3));
        pthread_kill(pthread_self(), SIGURG);
        world_run *r = world_start(w, "t", "{}");
        pthread_kill(pthread_self(), SIGURG);
        world_wait(w, r);
        assert_string_equal(r->result, "200010000");
        world_end(r);
    }
    world_free(w);
}

static void inside__tells_what_runs(void **s)
{
    (void)s;
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, gc);
    char type[257], id[257];
    int64_t since;
    world_write(w, "handlers/t.lua", "return function() end");
    world_open(w);
    assert_false(w->runner->ops->inside(w->runner, &since, type, id, 257));
    assert_false(w->runner->ops->busy(w->runner));
    world_free(w);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(
            busy_run__and_a_hundred_short_ones__short_ones_are_quick),
        cmocka_unit_test(busy_runs__share_the_cpu),
        cmocka_unit_test(sleepers__wake_in_order),
        cmocka_unit_test(sleeping_runs__cost_little_memory),
        cmocka_unit_test(stray_signals__change_nothing),
        cmocka_unit_test(inside__tells_what_runs),
    };
    static struct CMUnitTest tests[LQ_COUNT(rows) + LQ_COUNT(others)];
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        tests[i] = (struct CMUnitTest){rows[i].name, ends_in_time, NULL, NULL,
                                       (void *)(uintptr_t)&rows[i]};
    memcpy(tests + LQ_COUNT(rows), others, sizeof others);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = cmocka_run_group_tests_name("limits", tests, NULL, NULL);
    gc = true;
    failed +=
        cmocka_run_group_tests_name("limits, collecting", tests, NULL, NULL);
    gc = false;
    mode = LUNAQ_INTERRUPT_HOOK;
    failed += cmocka_run_group_tests_name("limits, hook", tests, NULL, NULL);
    return failed;
}
