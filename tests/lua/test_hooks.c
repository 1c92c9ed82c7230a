/* Hooks of handler files in the host: what they are given, what they may do,
 * and how they end. */
#include "support/test.h"

#include <stdio.h>

#include "base/alloc.h"
#include "lua/world.h"

#define HANDLER(body)                                                          \
    "return {run = function(task) end, on_archive = function(task, "           \
    "err)\n" body "\nend}\n"

static const lq_archived_in no_luck = {.error = {"no luck", 7},
                                       .error_kind = "http"};

static lq_run archived(void)
{
    return (lq_run){
        .kind = LQ_RUN_ARCHIVED,
        .in = &no_luck,
        .task = {.type = LQ_STR("t"),
                 .id = LQ_STR("01890a5d-ac96-774b-bcce-b302099a8057"),
                 .queue = LQ_STR("default"),
                 .payload = LQ_STR("{\"n\":7}"),
                 .max_retry = 3}};
}

static world *open_with(const char *source)
{
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    world_write(w, "handlers/t.lua", source);
    world_open(w);
    return w;
}

/* ---- what it may do ------------------------------------------------------ */

static void on_archive__gets_task_and_error(void **state)
{
    (void)state;
    int64_t before = lq_alloc_live();
    world *w = open_with(HANDLER(
        "log.warn('gone', {id = task.id, n = task.payload.n, kind = err.kind, "
        "message = err.message, text = tostring(err)})"));
    world_run *r = world_start_run(w, archived(), 1000);
    world_wait(w, r);
    assert_int_equal(r->kind, LQ_SUCCEEDED);
    assert_true(world_sees(
        w, "\"id\":\"01890a5d-ac96-774b-bcce-b302099a8057\",\"kind\":\"http\","
           "\"message\":\"no luck\",\"n\":7,\"text\":\"no luck\""));
    world_end(r);
    world_free(w);
    assert_int_equal(lq_alloc_live(), before);
}

static void on_archive__may_wait(void **state)
{
    (void)state;
    world *w = open_with(HANDLER("lunaq.sleep(0.01) log.info('after')"));
    world_run *r = world_start_run(w, archived(), 5000);
    assert_false(r->ended);
    world_wait(w, r);
    assert_int_equal(r->kind, LQ_SUCCEEDED);
    assert_true(world_sees(w, "after"));
    world_end(r);
    world_free(w);
}

static void endless_hook__ends_at_its_deadline(void **state)
{
    (void)state;
    world *w = open_with(HANDLER("while true do end"));
    world_run *r = world_start_run(w, archived(), 100);
    world_wait(w, r);
    assert_int_equal(r->kind, LQ_FAILED);
    assert_string_equal(r->error_kind, "timeout");
    world_end(r);
    world_free(w);
}

static void waiting_hook__canceled__ends(void **state)
{
    (void)state;
    world *w = open_with(HANDLER("lunaq.sleep(60)"));
    world_run *r = world_start_run(w, archived(), 60000);
    world_spin(w, 20);
    assert_false(r->ended);
    w->runner->ops->cancel(w->runner, &r->run, LQ_CANCEL_SHUTDOWN);
    assert_true(r->ended);
    assert_int_equal(r->kind, LQ_ENDED);
    world_end(r);
    world_free(w);
}

/* ---- how it may fail ----------------------------------------------------- */

static void raising_hook__fails_with_its_place(void **state)
{
    (void)state;
    world *w = open_with(HANDLER("error('no mail')"));
    world_run *r = world_start_run(w, archived(), 1000);
    world_wait(w, r);
    assert_int_equal(r->kind, LQ_FAILED);
    assert_non_null(strstr(r->message, "t.lua:2: no mail"));
    world_end(r);
    world_free(w);
}

static void verdict_of_a_hook__is_no_verdict_of_a_task(void **state)
{
    (void)state;
    world *w = open_with(HANDLER("error(lunaq.snooze('1h', 'later'))"));
    world_run *r = world_start_run(w, archived(), 1000);
    world_wait(w, r);
    assert_int_equal(r->kind, LQ_FAILED);
    assert_string_equal(r->message, "later");
    world_end(r);
    world_free(w);
}

static void type_without_the_hook__says_so(void **state)
{
    (void)state;
    world *w = open_with("return function(task) end\n");
    world_run *r = world_start_run(w, archived(), 1000);
    assert_true(r->ended);
    assert_int_equal(r->kind, LQ_FAILED);
    assert_string_equal(r->error_kind, "no_hook");
    world_end(r);
    assert_false(
        w->runner->ops->hooks(w->runner, LQ_RUN_ARCHIVED, LQ_STR("t")));
    world_free(w);
}

static void hook_that_is_no_function__refuses_the_file(void **state)
{
    (void)state;
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    lunaq_error err = LUNAQ_ERROR_INIT;
    world_write(w, "handlers/t.lua",
                "return {\n  run = function() end,\n  on_archive = 5}\n");
    assert_int_equal(world_load(w, &err), LUNAQ_EHANDLER);
    assert_non_null(strstr(err.message, "t.lua:3: on_archive: 5"));
    world_free(w);
}

/* ---- questions after an attempt ------------------------------------------ */

/* Whether an attempt of this handler counts as a failure; *log: what the log
 * has to say, or NULL. */
static bool counts(const char *source, const char *log)
{
    world *w = open_with(source);
    world_run *r = world_start(w, "t", "{\"n\":7}");
    world_wait(w, r);
    assert_true(r->kind == LQ_FAILED || r->kind == LQ_RETRY_AFTER);
    bool failure = !r->not_failure;
    if (log)
        assert_true(world_sees(w, log));
    world_end(r);
    world_free(w);
    return failure;
}

static void is_failure__decides_by_error_and_task(void **state)
{
    (void)state;
    static const char source[] =
        "return {run = function() error({kind = 'http', message = 'busy'}) "
        "end, is_failure = function(err, task) return not (err.kind == 'http' "
        "and err.message:find('busy') and task.payload.n == 7 and task.attempt "
        "== 1) end}";
    assert_false(counts(source, NULL));
    assert_true(counts("return {run = function() error('x') end, is_failure = "
                       "function() return true end}",
                       NULL));
    assert_true(counts("return function() error('x') end", NULL));
}

static void is_failure__of_retry_after__is_asked(void **state)
{
    (void)state;
    assert_false(
        counts("return {run = function() return lunaq.retry_after(5) end, "
               "is_failure = function(e) return e.kind ~= 'retry_after' end}",
               NULL));
}

static void is_failure_that_is_faulty__is_a_failure_and_logged(void **state)
{
    (void)state;
    static const struct {
        const char *body, *log;
    } rows[] = {
        {"error('oops')", "t.lua:1: oops"},
        {"while true do end", "took longer than 100 ms"},
        {"lunaq.sleep(1)", "cannot wait"},
        {"return 5", "it returned a number, not true or false"},
        {"", "it returned a nil, not true or false"},
    };
    for (size_t i = 0; i < LQ_COUNT(rows); i++) {
        char source[200];
        snprintf(source, sizeof source,
                 "return {run = function() error('x') end, is_failure = "
                 "function() %s end}",
                 rows[i].body);
        assert_true(counts(source, rows[i].log));
    }
}

static void is_failure__of_a_cancel__is_asked(void **state)
{
    (void)state;
    world *w = open_with("return {run = function() lunaq.sleep(60) end, "
                         "is_failure = function(e) return e.kind ~= "
                         "'canceled' end}");
    world_run *r = world_start(w, "t", "{}");
    w->runner->ops->cancel(w->runner, &r->run, LQ_CANCEL_REQUEST);
    assert_int_equal(r->kind, LQ_ENDED);
    assert_true(r->not_failure);
    world_end(r);
    world_free(w);
}

static void backoff__gets_attempt_error_and_task(void **state)
{
    (void)state;
    world *w = open_with("return {run = function() error('x', 0) end, backoff "
                         "= function(n, err, task) return n + (err.message:"
                         "find('^x') and 10 or 0) + task.payload.n end}");
    world_run *r = world_start(w, "t", "{\"n\":7}");
    world_wait(w, r);
    assert_int_equal(r->delay_ms, 18000);
    world_end(r);
    world_free(w);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_archive__gets_task_and_error),
        cmocka_unit_test(on_archive__may_wait),
        cmocka_unit_test(endless_hook__ends_at_its_deadline),
        cmocka_unit_test(waiting_hook__canceled__ends),
        cmocka_unit_test(raising_hook__fails_with_its_place),
        cmocka_unit_test(verdict_of_a_hook__is_no_verdict_of_a_task),
        cmocka_unit_test(type_without_the_hook__says_so),
        cmocka_unit_test(hook_that_is_no_function__refuses_the_file),
        cmocka_unit_test(is_failure__decides_by_error_and_task),
        cmocka_unit_test(is_failure__of_retry_after__is_asked),
        cmocka_unit_test(is_failure_that_is_faulty__is_a_failure_and_logged),
        cmocka_unit_test(is_failure__of_a_cancel__is_asked),
        cmocka_unit_test(backoff__gets_attempt_error_and_task),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("hooks", tests, NULL, NULL);
}
