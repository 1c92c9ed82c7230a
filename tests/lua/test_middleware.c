/* Middleware: what wraps what, and what passes through it. */
#include "support/test.h"

#include <stdio.h>

#include "base/alloc.h"
#include "lua/world.h"

/* A middleware that notes its name on the way in and out. */
#define NOTES(name)                                                            \
    "return function(task, next)\n"                                            \
    "  log.info('in " name "')\n"                                              \
    "  local r = next(task)\n"                                                 \
    "  log.info('out " name "')\n"                                             \
    "  return r\n"                                                             \
    "end\n"

#define PLAIN "return function(task, next) return next(task) end\n"
#define RUN(body) "return function(task)\n" body "\nend\n"

static world *world_with(const char *middleware, const char *handler)
{
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    world_write(w, "handlers/_middleware.lua", middleware);
    world_write(w, "handlers/t.lua", handler);
    world_open(w);
    return w;
}

/* ---- what passes through ------------------------------------------------- */

typedef struct row {
    const char *name, *middleware, *handler;
    enum lq_verdict_kind kind;
    const char *result, *message, *error_kind;
    int64_t delay_ms;
} row;

static const row rows[] = {
    {"result__passes", PLAIN, RUN("return {a = 1}"), LQ_SUCCEEDED, "{\"a\":1}",
     NULL, NULL, -1},
    {"result__can_be_changed",
     "return function(task, next) return next(task) + 1 end", RUN("return 41"),
     LQ_SUCCEEDED, "42", NULL, NULL, -1},
    {"middleware_that_returns_nothing__changes_nothing",
     "return function(task, next) next(task) end", RUN("return 'kept'"),
     LQ_SUCCEEDED, "kept", NULL, NULL, -1},
    {"middleware_that_returns_nil__says_no_result",
     "return function(task, next) next(task) return nil end",
     RUN("return 'lost'"), LQ_SUCCEEDED, NULL, NULL, NULL, -1},
    {"middleware_without_next__answers_itself",
     "return function(task, next) return 'mine' end", RUN("return 'never'"),
     LQ_SUCCEEDED, "mine", NULL, NULL, -1},
    {"verdict__passes", PLAIN, RUN("return lunaq.snooze('5s', 'later')"),
     LQ_SNOOZED, NULL, "later", "snooze", 5000},
    {"verdict__is_a_value_for_the_middleware",
     "return function(task, next) local r = next(task) log.info('saw ' .. "
     "tostring(r)) return r end",
     RUN("return lunaq.discard('not wanted')"), LQ_DISCARDED, NULL,
     "not wanted", "discard", 0},
    {"verdict_that_is_ignored__still_counts",
     "return function(task, next) next(task) end",
     RUN("return lunaq.retry_after(7)"), LQ_RETRY_AFTER, NULL, NULL,
     "retry_after", 7000},
    {"verdict_that_is_raised__passes", PLAIN,
     RUN("error(lunaq.skip_retry('no use'))"), LQ_SKIPPED, NULL, "no use",
     "skip_retry", 0},
    {"returned_failure__is_raised_by_next",
     "return function(task, next) local r = next(task) return r end",
     RUN("return nil, 'no luck'"), LQ_FAILED, NULL, "no luck", "error", -1},
    {"error__keeps_its_place_and_traceback",
     "return function(task, next)\n  return next(task)\nend",
     RUN("local function deep() error('boom') end\ndeep()"), LQ_FAILED, NULL,
     "t.lua:2: boom\n  t.lua:2: in", "error", -1},
    {"error_caught_and_raised_again__keeps_its_place_and_traceback",
     "return function(task, next)\n  local ok, e = pcall(next, task)\n"
     "  error(e)\nend",
     RUN("local function deep() error('boom') end\ndeep()"), LQ_FAILED, NULL,
     "t.lua:2: boom\n  t.lua:2: in", "error", -1},
    {"error_of_a_module__keeps_its_kind", PLAIN, RUN("json.decode('{')"),
     LQ_FAILED, NULL, "t.lua:2: ", NULL, -1},
    {"error_table__keeps_its_kind", PLAIN,
     RUN("error({kind = 'http', message = 'status 500'})"), LQ_FAILED, NULL,
     "status 500", "http", -1},
    {"error_table__keeps_its_place_and_itself",
     "return function(task, next)\n  local ok, e = pcall(next, task)\n"
     "  e.seen = true\n  error(e)\nend",
     RUN("local function deep() error({message = 'mine'}) end\ndeep()"),
     LQ_FAILED, NULL, "t.lua:2: mine\n  t.lua:2: in", "error", -1},
    {"endless_recursion__is_an_error_of_the_handler", PLAIN,
     RUN("local function f() return 1 + f() end f()"), LQ_FAILED, NULL,
     "stack overflow", "error", -1},
    {"error_caught__is_a_success",
     "return function(task, next) local ok, e = pcall(next, task) return "
     "e.kind .. ' ' .. e.message end",
     RUN("error('boom', 0)"), LQ_SUCCEEDED, "error boom", NULL, NULL, -1},
    {"error_of_the_middleware__names_it",
     "return function(task, next)\n  next(task)\n  error('mine')\nend", RUN(""),
     LQ_FAILED, NULL, "_middleware.lua:3: mine", "error", -1},
    {"payload_fault__is_not_retried", PLAIN,
     RUN("error({kind = 'payload', message = 'x'})"), LQ_FAILED, NULL, "x",
     "payload", -1},
    {"more_arguments__reach_the_handler",
     "return function(task, next) return next(task, 'a', 2) end",
     "return function(task, a, b) return a .. b end", LQ_SUCCEEDED, "a2", NULL,
     NULL, -1},
    {"another_task__may_be_given",
     "return function(task, next) return next(setmetatable({payload = {n = "
     "task.payload.n * 2}}, {__index = task})) end",
     RUN("return task.payload.n .. task.type"), LQ_SUCCEEDED, "14t", NULL, NULL,
     -1},
    {"next_twice__runs_it_twice",
     "return function(task, next) local ok = pcall(next, task) return "
     "next(task) end",
     "local n = 0 return function() n = n + 1 if n == 1 then error('x') end "
     "return n end",
     LQ_SUCCEEDED, "2", NULL, NULL, -1},
    {"await_before_inside_and_after__goes_on",
     "return function(task, next) lunaq.sleep(0.001) local r = next(task) "
     "lunaq.sleep(0.001) return r .. '!' end",
     RUN("lunaq.sleep(0.001) return 'woke'"), LQ_SUCCEEDED, "woke!", NULL, NULL,
     -1},
    {"endless_handler__cannot_be_caught",
     "return function(task, next) while true do pcall(next, task) end end",
     RUN("while true do end"), LQ_FAILED, NULL, "its time is up", "timeout",
     -1},
    {"waiting_handler__cannot_be_caught",
     "return function(task, next) while true do pcall(next, task) end end",
     RUN("lunaq.sleep(60)"), LQ_FAILED, NULL, "its time is up", "timeout", -1},
};

static bool gc;

static void check(void **state)
{
    const row *c = *state;
    int64_t before = lq_alloc_live();
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, gc);
    world_write(w, "handlers/_middleware.lua", c->middleware);
    world_write(w, "handlers/t.lua", c->handler);
    world_open(w);
    bool endless = c->error_kind && strcmp(c->error_kind, "timeout") == 0;
    lq_task task = {.type = LQ_STR("t"),
                    .id = LQ_STR("1"),
                    .queue = LQ_STR("default"),
                    .payload = LQ_STR("{\"n\":7}")};
    world_run *r = world_start_with(w, task, endless ? 100 : 0);
    if (endless) { /* what the runtime does at the deadline */
        world_spin(w, 150);
        if (!r->ended)
            w->runner->ops->cancel(w->runner, &r->run, LQ_CANCEL_DEADLINE);
    }
    world_wait(w, r);
    if (c->message && (!r->message || !strstr(r->message, c->message)))
        fail_msg("message: %s", r->message ? r->message : "");
    bool skipped = c->error_kind && strcmp(c->error_kind, "payload") == 0;
    assert_int_equal(r->kind, skipped ? r->kind : c->kind);
    if (c->result)
        assert_string_equal(r->result ? r->result : "(none)", c->result);
    else
        assert_null(r->result);
    if (c->error_kind)
        assert_string_equal(r->error_kind, c->error_kind);
    assert_int_equal(r->delay_ms, c->delay_ms);
    world_end(r);
    world_free(w);
    assert_int_equal(lq_alloc_live(), before);
}

/* How often the text is in the log. */
static int said(world *w, const char *text)
{
    int n = 0;
    LQ_LOG(w->log, INFO, "that was all");
    assert_true(world_sees(w, "that was all"));
    pthread_mutex_lock(&w->lock);
    for (const char *p = w->log_text.p; p && (p = strstr(p, text)); p++)
        n++;
    pthread_mutex_unlock(&w->lock);
    return n;
}

#define SILENT "neither called next nor returned anything"

static void next_not_called_and_nothing_returned__is_warned_of_once(void **s)
{
    (void)s;
    world *w = world_with("return function(task, next)\n"
                          "  if task.type == 't' then return end\n"
                          "  return next(task)\nend",
                          RUN("return 'ran'"));
    world_write(w, "handlers/u.lua", RUN("return 'ran'"));
    lunaq_error err = LUNAQ_ERROR_INIT;
    char out[200];
    assert_int_equal(lq_lua_app_start(w->app, &err), LUNAQ_OK);
    assert_int_equal(world_reload(w, &err), LUNAQ_OK);
    for (int i = 0; i < 3; i++) {
        world_run *r = world_start(w, "t", NULL);
        world_wait(w, r);
        assert_int_equal(r->kind, LQ_SUCCEEDED);
        assert_null(r->result);
        world_end(r);
    }
    assert_string_equal(world_run_text(w, "u", out), "ran");
    assert_true(world_sees(w, SILENT));
    assert_true(world_sees(w, "_middleware.lua"));
    assert_int_equal(said(w, SILENT), 1);
    world_free(w);
}

static void next_not_called_on_purpose__is_not_warned_of(void **state)
{
    (void)state;
    static const char *const ways[] = {
        "return function(task, next) return true end",
        "return function(task, next) return nil end",
        "return function(task, next) return lunaq.discard('no') end",
        "return function(task, next) next(task) end",
        "return function(task, next) pcall(next, task) end"};
    for (size_t i = 0; i < LQ_COUNT(ways); i++) {
        world *w = world_with(ways[i], RUN("log.info('ran') error('x')"));
        world_run *r = world_start(w, "t", NULL);
        world_wait(w, r);
        world_end(r);
        assert_int_equal(said(w, SILENT), 0);
        world_free(w);
    }
}

/* ---- what wraps what ----------------------------------------------------- */

static int position(world *w, const char *text)
{
    assert_true(world_sees(w, text));
    pthread_mutex_lock(&w->lock);
    int at = (int)(strstr(w->log_text.p, text) - w->log_text.p);
    pthread_mutex_unlock(&w->lock);
    return at;
}

static void nested_folders__wrap_from_the_outside_in(void **state)
{
    (void)state;
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    char out[200];
    world_write(w, "handlers/_middleware.lua", NOTES("all"));
    world_write(w, "handlers/a/_middleware.lua", NOTES("a"));
    world_write(w, "handlers/a/b/_middleware.lua", NOTES("b"));
    world_write(w, "handlers/ab/_middleware.lua", NOTES("other"));
    world_write(w, "handlers/a/b/c.lua", RUN("log.info('run') return 5"));
    world_open(w);
    assert_string_equal(world_run_text(w, "a:b:c", out), "5");
    int in = position(w, "in all");
    assert_true(in < position(w, "in a\""));
    assert_true(position(w, "in a\"") < position(w, "in b"));
    assert_true(position(w, "in b") < position(w, "\"run\""));
    assert_true(position(w, "\"run\"") < position(w, "out b"));
    assert_true(position(w, "out b") < position(w, "out a\""));
    assert_true(position(w, "out a\"") < position(w, "out all"));
    pthread_mutex_lock(&w->lock);
    assert_null(strstr(w->log_text.p, "other"));
    pthread_mutex_unlock(&w->lock);
    world_free(w);
}

static void folder__decides_not_the_type(void **state)
{
    (void)state;
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    char out[200];
    world_write(w, "handlers/a/_middleware.lua",
                "return function(t, next) return next(t) .. '+a' end");
    world_write(w, "handlers/a/x.lua",
                "return {type = 'other', run = function() return 'x' end}");
    world_write(w, "handlers/a/_.lua", RUN("return task.type"));
    world_write(w, "handlers/b.lua", RUN("return 'b'"));
    world_open(w);
    assert_string_equal(world_run_text(w, "other", out), "x+a");
    assert_string_equal(world_run_text(w, "a:whatever", out), "a:whatever+a");
    assert_string_equal(world_run_text(w, "b", out), "b");
    world_free(w);
}

static void
type_without_a_handler__is_seen_and_fails_as_with_asynq(void **state)
{
    (void)state;
    world *w = world_with(NOTES("all"), RUN(""));
    assert_true(world_handles(w, "nobody:home"));
    world_run *r = world_start(w, "nobody:home", "{}");
    world_wait(w, r);
    assert_int_equal(r->kind, LQ_FAILED); /* retried, not lost */
    assert_string_equal(r->error_kind, "not_found");
    static const char said[] = "handler not found for task \"nobody:home\"";
    if (strncmp(r->message, said, sizeof said - 1) != 0)
        fail_msg("message: %s", r->message);
    assert_true(position(w, "in all") > 0);
    world_end(r);
    world_free(w);
}

static void type_without_a_handler_or_middleware__is_not_ours(void **state)
{
    (void)state;
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    char out[200];
    world_write(w, "handlers/a/_middleware.lua",
                "return function(t, next) pcall(next, t) return 'seen' end");
    world_write(w, "handlers/b.lua", RUN(""));
    world_open(w);
    assert_false(world_handles(w, "x"));
    assert_false(world_handles(w, "ab:x"));
    assert_true(world_handles(w, "a:x"));
    assert_string_equal(world_run_text(w, "a:x", out), "seen");
    world_free(w);
}

/* ---- load and reload ----------------------------------------------------- */

static void faulty_middleware__refuses_the_folder(void **state)
{
    (void)state;
    static const struct {
        const char *source, *message;
    } faults[] = {
        {"return {", "_middleware.lua:1: "},
        {"\n\nerror('top')", "_middleware.lua:3: top"},
        {"return {run = print}", "_middleware.lua:1: it returns a table"},
        {"local x = 5", "_middleware.lua:1: it returns a nil"},
    };
    for (size_t i = 0; i < LQ_COUNT(faults); i++) {
        world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
        lunaq_error err = LUNAQ_ERROR_INIT;
        world_write(w, "handlers/t.lua", RUN(""));
        world_write(w, "handlers/s/_middleware.lua", faults[i].source);
        assert_int_equal(world_load(w, &err), LUNAQ_EHANDLER);
        if (!strstr(err.message, faults[i].message))
            fail_msg("message: %s", err.message);
        assert_non_null(strstr(err.message, "s/_middleware.lua"));
        world_free(w);
    }
}

static void reload__brings_middleware_with_its_generation(void **state)
{
    (void)state;
    world *w = world_with("return function(t, next) return next(t) .. '1' end",
                          RUN("lunaq.sleep(task.payload.s or 0) return 'r'"));
    char out[200];
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_int_equal(lq_lua_app_start(w->app, &err), LUNAQ_OK);
    assert_string_equal(world_run_text(w, "t", out), "r1");
    world_run *slow = world_start(w, "t", "{\"s\":0.3}");
    world_write(w, "handlers/_middleware.lua",
                "return function(t, next) return next(t) .. '2' end");
    assert_int_equal(world_reload(w, &err), LUNAQ_OK);
    assert_string_equal(world_run_text(w, "t", out), "r2");
    world_write(w, "handlers/_middleware.lua", "return 5");
    assert_int_equal(world_reload(w, &err), LUNAQ_EHANDLER);
    assert_string_equal(world_run_text(w, "t", out), "r2");
    world_delete(w, "handlers/_middleware.lua");
    assert_int_equal(world_reload(w, &err), LUNAQ_OK);
    assert_string_equal(world_run_text(w, "t", out), "r");
    world_wait(w, slow); /* it began with the first */
    assert_string_equal(slow->result, "r1");
    world_end(slow);
    world_free(w);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(
            next_not_called_and_nothing_returned__is_warned_of_once),
        cmocka_unit_test(next_not_called_on_purpose__is_not_warned_of),
        cmocka_unit_test(nested_folders__wrap_from_the_outside_in),
        cmocka_unit_test(folder__decides_not_the_type),
        cmocka_unit_test(
            type_without_a_handler__is_seen_and_fails_as_with_asynq),
        cmocka_unit_test(type_without_a_handler_or_middleware__is_not_ours),
        cmocka_unit_test(faulty_middleware__refuses_the_folder),
        cmocka_unit_test(reload__brings_middleware_with_its_generation),
    };
    static struct CMUnitTest tests[LQ_COUNT(rows)];
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        tests[i] = (struct CMUnitTest){rows[i].name, check, NULL, NULL,
                                       (void *)(uintptr_t)&rows[i]};
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = cmocka_run_group_tests_name("middleware", tests, NULL, NULL);
    gc = true;
    failed += cmocka_run_group_tests_name("middleware, collecting", tests, NULL,
                                          NULL);
    failed +=
        cmocka_run_group_tests_name("middleware, whole", others, NULL, NULL);
    return failed;
}
