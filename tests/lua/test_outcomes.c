/* How a handler's end becomes a verdict: one row a way to end. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "lua/world.h"

typedef struct row {
    const char *name;
    const char *source; /* handlers/t.lua */
    const char *payload;
    enum lq_verdict_kind kind;
    const char *message; /* part of it */
    const char *result;
    const char *error_kind;
    int64_t delay_ms;
} row;

#define RUN(body) "return function(task)\n" body "\nend\n"

static const row rows[] = {
    {"nothing__succeeds", RUN(""), "{}", LQ_SUCCEEDED, NULL, NULL, NULL, -1},
    {"nil__succeeds", RUN("return nil"), "{}", LQ_SUCCEEDED, NULL, NULL, NULL,
     -1},
    {"false__succeeds", RUN("return false"), "{}", LQ_SUCCEEDED, NULL, "false",
     NULL, -1},
    {"string__is_the_result_as_it_is", RUN("return 'a\\0b'"), "{}",
     LQ_SUCCEEDED, NULL, "a", NULL, -1},
    {"empty_string__is_a_result", RUN("return ''"), "{}", LQ_SUCCEEDED, NULL,
     "", NULL, -1},
    {"table__is_json", RUN("return {b = 1, a = 'x'}"), "{}", LQ_SUCCEEDED, NULL,
     "{\"a\":\"x\",\"b\":1}", NULL, -1},
    {"number__is_json", RUN("return 42"), "{}", LQ_SUCCEEDED, NULL, "42", NULL,
     -1},
    {"first_of_two__is_the_result", RUN("return ('aa'):gsub('a', 'b')"), "{}",
     LQ_SUCCEEDED, NULL, "bb", NULL, -1},
    {"many_values__first_counts", RUN("return 1, 2, 3, 4, 5, 6"), "{}",
     LQ_SUCCEEDED, NULL, "1", NULL, -1},
    {"nil_and_text__fails", RUN("return nil, 'no luck'"), "{}", LQ_FAILED,
     "no luck", NULL, "error", -1},
    {"false_and_text__fails", RUN("return false, 'no luck'"), "{}", LQ_FAILED,
     "no luck", NULL, "error", -1},
    {"function_result_without_retention__succeeds", RUN("return print"), "{}",
     LQ_SUCCEEDED, NULL, NULL, NULL, -1},
    {"error__has_file_and_line", RUN("error('boom')"), "{}", LQ_FAILED,
     "t.lua:2: boom\n  t.lua:2: in", NULL, "error", -1},
    {"nil_index__has_field_name", RUN("local x = task.payload.user.name"), "{}",
     LQ_FAILED, "t.lua:2: attempt to index a nil value (field 'user')", NULL,
     "error", -1},
    {"error_nil__fails", RUN("error()"), "{}", LQ_FAILED,
     "a nil value was raised as an error", NULL, "error", -1},
    {"error_number__fails", RUN("error(42)"), "{}", LQ_FAILED, "42", NULL,
     "error", -1},
    {"error_boolean__fails", RUN("error(true)"), "{}", LQ_FAILED,
     "a boolean value was raised", NULL, "error", -1},
    {"error_function__fails", RUN("error(print)"), "{}", LQ_FAILED,
     "a function value was raised", NULL, "error", -1},
    {"error_table__shows_its_json", RUN("error({code = 5})"), "{}", LQ_FAILED,
     "{\"code\":5}", NULL, "error", -1},
    {"error_table_with_message__shows_it",
     RUN("error({kind = 'http', message = 'status 500'})"), "{}", LQ_FAILED,
     "t.lua:2: status 500", NULL, "http", -1},
    {"error_with_tostring__shows_it",
     RUN("error(setmetatable({}, {__tostring = function() return 'mine' "
         "end}))"),
     "{}", LQ_FAILED, "mine", NULL, "error", -1},
    {"error_with_failing_tostring__fails_cleanly",
     RUN("error(setmetatable({}, {__tostring = function() error('no') end}))"),
     "{}", LQ_FAILED, "a table was raised: {}", NULL, "error", -1},
    {"error_with_endless_tostring__fails_cleanly",
     RUN("error(setmetatable({}, {__tostring = function() while true do end "
         "end}))"),
     "{}", LQ_FAILED, "a table was raised: {}", NULL, "error", -1},
    {"error_with_tostring_of_wrong_type__fails_cleanly",
     RUN("error(setmetatable({}, {__tostring = function() return {} end}))"),
     "{}", LQ_FAILED, "a table was raised", NULL, "error", -1},
    {"error_userdata__fails", RUN("error(task)"), "{}", LQ_FAILED, "task t",
     NULL, "error", -1},
    {"error_with_invalid_utf8__is_cleaned", RUN("error('a\\xff', 0)"), "{}",
     LQ_FAILED, "a?", NULL, "error", -1},
    {"error_of_a_megabyte__is_cut", RUN("error(('x'):rep(1048576), 0)"), "{}",
     LQ_FAILED, "xxxxxxxx", NULL, "error", -1},
    {"error_in_coroutine__fails",
     RUN("coroutine.wrap(function() error('inner') end)()"), "{}", LQ_FAILED,
     "inner", NULL, "error", -1},
    {"stack_overflow__fails", RUN("local function f() return 1 + f() end f()"),
     "{}", LQ_FAILED, "stack overflow", NULL, "error", -1},
    {"retry_after__says_when", RUN("return lunaq.retry_after('30s', 'busy')"),
     "{}", LQ_RETRY_AFTER, "busy", NULL, "retry_after", 30000},
    {"retry_after_raised__means_the_same",
     RUN("local function deep() error(lunaq.retry_after(2.5, 'busy')) end "
         "deep()"),
     "{}", LQ_RETRY_AFTER, "busy", NULL, "retry_after", 2500},
    {"snooze__says_when", RUN("return lunaq.snooze('1m')"), "{}", LQ_SNOOZED,
     "", NULL, "snooze", 60000},
    {"skip_retry__archives", RUN("return lunaq.skip_retry('no such session')"),
     "{}", LQ_SKIPPED, "no such session", NULL, "skip_retry", 0},
    {"skip_retry_raised__archives", RUN("error(lunaq.skip_retry('gone'))"),
     "{}", LQ_SKIPPED, "gone", NULL, "skip_retry", 0},
    {"nil_and_verdict__is_the_verdict",
     RUN("return nil, lunaq.skip_retry('gone')"), "{}", LQ_SKIPPED, "gone",
     NULL, "skip_retry", 0},
    {"discard__drops", RUN("return lunaq.discard('old')"), "{}", LQ_DISCARDED,
     "old", NULL, "discard", 0},
    {"yield_from_the_handler__fails", RUN("coroutine.yield(1)"), "{}",
     LQ_FAILED, "outside a coroutine", NULL, "error", -1},
    {"global_assignment__names_line_and_name", RUN("local a\ncount = 1"), "{}",
     LQ_FAILED, "t.lua:3: assignment to the global 'count'", NULL, "error", -1},
    {"payload_that_is_no_json__is_skipped", RUN("return task.payload.x"),
     "{not json", LQ_SKIPPED, "the payload is not JSON", NULL, "payload", -1},
    {"payload_that_is_not_used__may_be_anything", RUN("return task.raw"),
     "{not json", LQ_SUCCEEDED, NULL, "{not json", NULL, -1},
    {"empty_payload__is_an_empty_table",
     RUN("return next(task.payload) == nil"), "", LQ_SUCCEEDED, NULL, "true",
     NULL, -1},
    {"args__match__run",
     "return {args = {s = 'string', n = 'number', o = 'table?'},"
     "run = function(task) return task.payload.s end}",
     "{\"s\":\"x\",\"n\":1.5}", LQ_SUCCEEDED, NULL, "x", NULL, -1},
    {"args__missing__is_skipped",
     "return {args = {session_id = 'string'}, run = function() end}", "{}",
     LQ_SKIPPED, "the payload has no 'session_id' (type string is needed)",
     NULL, "payload", -1},
    {"args__null__is_missing",
     "return {args = {s = 'string'}, run = function() end}", "{\"s\":null}",
     LQ_SKIPPED, "the payload has no 's'", NULL, "payload", -1},
    {"args__wrong_type__is_skipped",
     "return {args = {s = 'string'}, run = function() end}", "{\"s\":5}",
     LQ_SKIPPED, "the payload's 's' is a number, not of type string", NULL,
     "payload", -1},
    {"args__fraction_for_integer__is_skipped",
     "return {args = {n = 'integer'}, run = function() end}", "{\"n\":1.5}",
     LQ_SKIPPED, "not of type integer", NULL, "payload", -1},
    {"args__no_json__is_skipped",
     "return {args = {s = 'string'}, run = function() end}", "nonsense",
     LQ_SKIPPED, "the payload is not JSON", NULL, "payload", -1},
    {"args__not_an_object__is_skipped",
     "return {args = {s = 'string'}, run = function() end}", "5", LQ_SKIPPED,
     "not an object", NULL, "payload", -1},
    {"backoff_list__gives_the_delay",
     "return {backoff = {'5s', '30s'}, run = function() error('x') end}", "{}",
     LQ_FAILED, "x", NULL, "error", 5000},
    {"backoff_exponential__is_asynqs_curve",
     "return {backoff = 'exponential', run = function() error('x') end}", "{}",
     LQ_FAILED, "x", NULL, "error", -1},
    {"backoff_function__gives_the_delay",
     "return {backoff = function(n, e) return n + #e.message - #e.message + 6 "
     "end, run = function() error('x') end}",
     "{}", LQ_FAILED, "x", NULL, "error", 7000},
    {"backoff_function_that_raises__default",
     "return {backoff = function() error('oops') end, run = function() "
     "error('x') end}",
     "{}", LQ_FAILED, "x", NULL, "error", -1},
    {"backoff_function_that_loops__default",
     "return {backoff = function() while true do end end, run = function() "
     "error('x') end}",
     "{}", LQ_FAILED, "x", NULL, "error", -1},
    {"backoff_function_that_waits__default",
     "return {backoff = function() lunaq.sleep(1) end, run = function() "
     "error('x') end}",
     "{}", LQ_FAILED, "x", NULL, "error", -1},
    {"sleep__goes_on", RUN("lunaq.sleep(0.01) return 'woke'"), "{}",
     LQ_SUCCEEDED, NULL, "woke", NULL, -1},
    {"sleep_in_pcall__goes_on",
     RUN("local ok, v = pcall(function() lunaq.sleep('10ms') return 5 end) "
         "return v"),
     "{}", LQ_SUCCEEDED, NULL, "5", NULL, -1},
    {"error_after_sleep_in_pcall__is_caught",
     RUN("local ok, e = pcall(function() lunaq.sleep(0.001) error('x', 0) end) "
         "return e"),
     "{}", LQ_SUCCEEDED, NULL, "x", NULL, -1},
    {"sleep_in_a_generator__goes_on",
     RUN("local function gen() return coroutine.wrap(function() for i = 1, 3 "
         "do "
         "lunaq.sleep(0.001) coroutine.yield(i) end end) end\n"
         "local outer = coroutine.wrap(function() for i in gen() do "
         "lunaq.sleep(0.001) coroutine.yield(i * 10) end end)\n"
         "local s = 0 for v in outer do s = s + v lunaq.sleep(0) end return s"),
     "{}", LQ_SUCCEEDED, NULL, "60", NULL, -1},
    {"sleep_in_sort__is_a_clear_error",
     RUN("table.sort({3, 2, 1}, function(a, b) lunaq.sleep(0) return a < b "
         "end)"),
     "{}", LQ_FAILED, "cannot wait inside a sort comparator", NULL, "error",
     -1},
    {"sleep_in_gsub_coroutine__is_a_clear_error",
     RUN("('a'):gsub('a', coroutine.wrap(function() lunaq.sleep(0) end))"),
     "{}", LQ_FAILED, "cannot wait inside a sort comparator", NULL, "error",
     -1},
    {"xpcall__calls_the_handler_across_a_wait",
     RUN("local ok, v = xpcall(function(a) lunaq.sleep(0) error(a, 0) end, "
         "function(e) return 'h:' .. e end, 'z') return v"),
     "{}", LQ_SUCCEEDED, NULL, "h:z", NULL, -1},
    {"fields__are_there",
     RUN("return {task.id, task.type, task.queue, task.attempt, "
         "task.max_retry, task.enqueued_at, #task.raw}"),
     "{}", LQ_SUCCEEDED, NULL,
     "[\"01890a5d-ac96-774b-bcce-b302099a8057\",\"t\",\"default\",1,3,"
     "1688096058.518,2]",
     NULL, -1},
    {"field_assignment__fails", RUN("task.id = 1"), "{}", LQ_FAILED,
     "cannot be changed", NULL, "error", -1},
    {"env_not_allowed__fails", RUN("return lunaq.env('HOME')"), "{}", LQ_FAILED,
     "not allowed", NULL, "error", -1},
};

static lunaq_interrupt mode = LUNAQ_INTERRUPT_SIGNAL;
static bool gc, wrapped;

static void check(void **state)
{
    const row *c = *state;
    int64_t before = lq_alloc_live();
    world *w = world_new(mode, gc);
    world_write(w, "handlers/t.lua", c->source);
    if (wrapped)
        world_write(w, "handlers/_middleware.lua",
                    "return function(task, next) return next(task) end");
    world_open(w);
    world_run *r = world_start(w, "t", c->payload);
    world_wait(w, r);
    if (r->kind != c->kind)
        fail_msg("verdict %d: %s", r->kind, r->message ? r->message : "");
    if (c->message && !strstr(r->message, c->message))
        fail_msg("message: %s", r->message);
    if (c->result)
        assert_string_equal(r->result ? r->result : "(none)", c->result);
    else
        assert_null(r->result);
    if (c->error_kind)
        assert_string_equal(r->error_kind, c->error_kind);
    assert_int_equal(r->delay_ms, c->delay_ms);
    if (r->message)
        assert_true(strlen(r->message) <= LQ_ERROR_TEXT_MAX);
    world_end(r);
    world_free(w);
    assert_int_equal(lq_alloc_live(), before);
}

static void verdict_that_is_not_returned__is_warned_of(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        bool warned;
    } ways[] = {
        {RUN("lunaq.snooze('5s')"), true},
        {RUN("pcall(function() error(lunaq.discard()) end)"), true},
        {RUN("return lunaq.snooze('5s')"), false},
        {RUN("error(lunaq.skip_retry('x'))"), false},
        {RUN("local v = lunaq.discard('x') return tostring(v)"), false},
        {RUN(""), false},
        {"local v = lunaq.discard() return function() end", false},
    };
    for (size_t i = 0; i < LQ_COUNT(ways); i++) {
        world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
        world_write(w, "handlers/t.lua", ways[i].source);
        world_open(w);
        world_run *r = world_start(w, "t", "{}");
        world_wait(w, r);
        world_end(r);
        r = world_start(w, "t", "{}"); /* not again, so soon */
        world_wait(w, r);
        world_end(r);
        LQ_LOG(w->log, INFO, "that was all");
        assert_true(world_sees(w, "that was all"));
        pthread_mutex_lock(&w->lock);
        const char *first =
            w->log_text.p
                ? strstr(w->log_text.p, "a verdict was made but not returned")
                : NULL;
        if (!first == ways[i].warned)
            fail_msg("%s", ways[i].source);
        if (first)
            assert_null(strstr(first + 1, "a verdict was made"));
        pthread_mutex_unlock(&w->lock);
        world_free(w);
    }
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[LQ_COUNT(rows)];
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        tests[i] = (struct CMUnitTest){rows[i].name, check, NULL, NULL,
                                       (void *)(uintptr_t)&rows[i]};
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(verdict_that_is_not_returned__is_warned_of),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = cmocka_run_group_tests_name("outcomes", tests, NULL, NULL);
    gc = true;
    failed +=
        cmocka_run_group_tests_name("outcomes, collecting", tests, NULL, NULL);
    mode = LUNAQ_INTERRUPT_HOOK;
    gc = false;
    failed += cmocka_run_group_tests_name("outcomes, hook", tests, NULL, NULL);
    mode = LUNAQ_INTERRUPT_SIGNAL;
    wrapped = true;
    failed += cmocka_run_group_tests_name("outcomes, in middleware", tests,
                                          NULL, NULL);
    failed +=
        cmocka_run_group_tests_name("outcomes, others", others, NULL, NULL);
    return failed;
}
