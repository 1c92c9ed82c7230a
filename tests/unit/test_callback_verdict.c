/* C handlers: what they read, and what their run's end becomes. */
#include "callback_world.h"

#include <stdlib.h>

static int reads_everything(lunaq_run *run, void *userdata)
{
    size_t len;
    const char *payload = lunaq_run_payload(run, &len);

    *(int *)userdata =
        strcmp(lunaq_run_id(run), "0001") == 0 &&
        strcmp(lunaq_run_type(run), "a:read") == 0 &&
        strcmp(lunaq_run_queue(run), "default") == 0 && len == 7 &&
        strcmp(payload, "{\"a\":1}") == 0 && lunaq_run_attempt(run) == 2 &&
        lunaq_run_attempts(run) == 4 && lunaq_run_deadline_at(run) == 12345 &&
        !lunaq_run_canceled(run);
    return LUNAQ_OK;
}

static void handler__reads_its_run(void **state)
{
    struct world *x = *state;
    struct ended e;
    int right = 0;

    callback_add(x, "a:read", reads_everything, &right);
    callback_run_to_end(x, &e, "a:read");
    assert_int_equal(e.kind, LQ_SUCCEEDED);
    assert_int_equal(e.result_len, 0);
    assert_true(right);
}

static int sets_results(lunaq_run *run, void *userdata)
{
    (void)userdata;
    if (lunaq_run_set_result(run, "first one", 9) ||
        lunaq_run_set_result(run, "a\0b", 3) ||
        lunaq_run_set_result(run, NULL, 1) != LUNAQ_EINVAL)
        return LUNAQ_EIO;
    return LUNAQ_OK;
}

static void handler__sets_a_result__the_last_is_kept(void **state)
{
    struct world *x = *state;
    struct ended e;

    callback_add(x, "a:result", sets_results, NULL);
    callback_run_to_end(x, &e, "a:result");
    assert_int_equal(e.kind, LQ_SUCCEEDED);
    assert_int_equal(e.result_len, 3);
    assert_memory_equal(e.result, "a\0b", 3);
}

struct verdict_case {
    const char *name;
    lunaq_handler_fn *fn;
    enum lq_verdict_kind kind;
    int64_t delay_ms;
    const char *message;
};

static int fails(lunaq_run *run, void *ud)
{
    (void)ud;
    return lunaq_run_fail(run, "no disk");
}
static int fails_silently(lunaq_run *run, void *ud)
{
    (void)ud;
    return lunaq_run_fail(run, NULL);
}
static int fails_by_code(lunaq_run *run, void *ud)
{
    (void)run;
    (void)ud;
    return LUNAQ_ETIMEOUT;
}
static int retries_later(lunaq_run *run, void *ud)
{
    (void)ud;
    return lunaq_run_retry_after(run, 1500, "busy");
}
static int snoozes(lunaq_run *run, void *ud)
{
    (void)ud;
    return lunaq_run_snooze(run, -5, "not ready");
}
static int gives_up(lunaq_run *run, void *ud)
{
    (void)ud;
    return lunaq_run_skip_retry(run, "bad \xff text");
}
static int discards(lunaq_run *run, void *ud)
{
    (void)ud;
    return lunaq_run_discard(run, "old");
}
static int says_two_things(lunaq_run *run, void *ud)
{
    (void)ud;
    lunaq_run_snooze(run, 10, "first");
    return lunaq_run_fail(run, "second");
}
static int says_and_succeeds(lunaq_run *run, void *ud)
{
    (void)ud;
    lunaq_run_fail(run, "never mind");
    return LUNAQ_OK;
}

static const struct verdict_case cases[] = {
    {"fail__is_failed_with_its_text", fails, LQ_FAILED, -1, "no disk"},
    {"fail__without_text__has_one", fails_silently, LQ_FAILED, -1,
     "the handler failed"},
    {"code__is_failed_with_its_text", fails_by_code, LQ_FAILED, -1,
     "timed out"},
    {"retry_after__has_its_delay", retries_later, LQ_RETRY_AFTER, 1500, "busy"},
    {"snooze__negative_delay__is_now", snoozes, LQ_SNOOZED, 0, "not ready"},
    {"skip_retry__text_is_cleaned", gives_up, LQ_SKIPPED, 0, "bad ? text"},
    {"discard__is_discarded", discards, LQ_DISCARDED, 0, "old"},
    {"two_verdicts__the_last_counts", says_two_things, LQ_FAILED, -1, "second"},
    {"verdict_then_ok__succeeds", says_and_succeeds, LQ_SUCCEEDED, -1, ""},
};

/* One row; its name is the test's. */
static void check_verdict(void **state)
{
    const struct verdict_case *row = *state;
    void *world;
    struct ended e;

    callback_setup(&world);
    callback_add(world, "a:verdict", row->fn, NULL);
    callback_run_to_end(world, &e, "a:verdict");
    assert_int_equal(e.kind, row->kind);
    assert_int_equal(e.delay_ms, row->delay_ms);
    assert_string_equal(e.message, row->message);
    callback_teardown(&world);
}

static int fails_at_length(lunaq_run *run, void *ud)
{
    return lunaq_run_fail(run, ud);
}

static void fail__text_too_long__is_cut(void **state)
{
    struct world *x = *state;
    struct ended e;
    char *text = malloc((size_t)3 * LQ_ERROR_TEXT_MAX);

    assert_non_null(text);
    memset(text, 'x', (size_t)3 * LQ_ERROR_TEXT_MAX - 1);
    text[(size_t)3 * LQ_ERROR_TEXT_MAX - 1] = '\0';
    callback_add(x, "a:long", fails_at_length, text);
    callback_run_to_end(x, &e, "a:long");
    assert_int_equal(e.message_len, LQ_ERROR_TEXT_MAX);
    free(text);
}

static int says_first(lunaq_run *run, void *userdata)
{
    ++*(int *)userdata;
    return lunaq_run_fail(run, "first");
}

static void says_other(lunaq_run *run, const char *error, void *userdata)
{
    (void)error;
    (void)userdata;
    (void)lunaq_run_fail(run, "other");
    (void)lunaq_run_next(run);
}

static void hook__says_what_a_handler_may_say__changes_nothing(void **state)
{
    struct world *x = *state;
    lunaq_server_hooks hooks = LUNAQ_SERVER_HOOKS_INIT;
    struct ended e;
    int calls = 0;

    hooks.on_error = says_other;
    assert_int_equal(lq_callbacks_hook(x->pool, &hooks, NULL), LUNAQ_OK);
    callback_add(x, "fails", says_first, &calls);
    callback_run_to_end(x, &e, "fails");
    assert_int_equal(e.kind, LQ_FAILED);
    assert_string_equal(e.message, "first");
    assert_int_equal(calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(handler__reads_its_run),
        TEST(handler__sets_a_result__the_last_is_kept),
        TEST(fail__text_too_long__is_cut),
        TEST(hook__says_what_a_handler_may_say__changes_nothing),
    };
    struct CMUnitTest rows[LQ_COUNT(cases)];
    int failed;

    for (size_t i = 0; i < LQ_COUNT(cases); i++) {
        union {
            const void *in;
            void *out;
        } row = {&cases[i]};
        rows[i] = (struct CMUnitTest){cases[i].name, check_verdict, NULL, NULL,
                                      row.out};
    }
    failed = cmocka_run_group_tests_name("callback runs", tests, NULL, NULL);
    return failed +
           cmocka_run_group_tests_name("callback verdicts", rows, NULL, NULL);
}
