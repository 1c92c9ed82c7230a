/* From how a run ended to what the broker is told. */
#include "support/test.h"

#include "runtime/settle.h"

#define NOW_MS ((int64_t)1700000000000)

struct settle_case {
    const char *name;
    enum lq_verdict_kind verdict;
    enum lq_cancel cancel;
    int32_t retried;
    int64_t retention_s;
    int64_t delay_ms;             /* the verdict's */
    enum lq_outcome_kind outcome; /* 0: nothing is written */
    int32_t retried_after;        /* in the new message; -1 = no new message */
    int64_t delay_min, delay_max;
};

/* max_retry is 3 in every row. */
static const struct settle_case cases[] = {
    {"success__without_retention__is_deleted", LQ_SUCCEEDED, LQ_CANCEL_NONE, 0,
     0, -1, LQ_DONE, -1, 0, 0},
    {"success__with_retention__is_kept", LQ_SUCCEEDED, LQ_CANCEL_NONE, 1, 60,
     -1, LQ_COMPLETE, 1, 0, 0},
    {"success__after_a_shutdown_asked_to_end__counts", LQ_SUCCEEDED,
     LQ_CANCEL_SHUTDOWN, 0, 0, -1, LQ_DONE, -1, 0, 0},
    {"failure__first__is_retried_by_the_curve", LQ_FAILED, LQ_CANCEL_NONE, 0, 0,
     -1, LQ_RETRY_AT, 1, 15000, 44000},
    {"failure__third__is_retried_by_the_curve", LQ_FAILED, LQ_CANCEL_NONE, 2, 0,
     -1, LQ_RETRY_AT, 3, 31000, 118000},
    {"failure__with_the_handlers_backoff__waits_so_long", LQ_FAILED,
     LQ_CANCEL_NONE, 0, 0, 5000, LQ_RETRY_AT, 1, 5000, 5000},
    {"failure__with_no_attempt_left__is_archived", LQ_FAILED, LQ_CANCEL_NONE, 3,
     0, -1, LQ_ARCHIVE, 3, 0, 0},
    {"retry_after__waits_so_long_and_uses_an_attempt", LQ_RETRY_AFTER,
     LQ_CANCEL_NONE, 0, 0, 30000, LQ_RETRY_AT, 1, 30000, 30000},
    {"retry_after__with_no_attempt_left__is_archived", LQ_RETRY_AFTER,
     LQ_CANCEL_NONE, 3, 0, 30000, LQ_ARCHIVE, 3, 0, 0},
    {"snooze__uses_no_attempt", LQ_SNOOZED, LQ_CANCEL_NONE, 3, 0, 30000,
     LQ_SNOOZE, -1, 30000, 30000},
    {"skip__is_archived_whatever_is_left", LQ_SKIPPED, LQ_CANCEL_NONE, 0, 0, -1,
     LQ_ARCHIVE, 0, 0, 0},
    {"discard__is_dropped", LQ_DISCARDED, LQ_CANCEL_NONE, 0, 60, -1, LQ_DISCARD,
     -1, 0, 0},
    {"deadline__is_a_failure", LQ_ENDED, LQ_CANCEL_DEADLINE, 0, 0, -1,
     LQ_RETRY_AT, 1, 15000, 44000},
    {"ended_without_a_reason__is_a_failure", LQ_ENDED, LQ_CANCEL_NONE, 0, 0, -1,
     LQ_RETRY_AT, 1, 15000, 44000},
    {"cancel_request__is_a_failure_unless_the_broker_knows_better", LQ_ENDED,
     LQ_CANCEL_REQUEST, 0, 0, -1, LQ_RETRY_AT, 1, 15000, 44000},
    {"cancel_request__with_the_handlers_backoff__waits_so_long", LQ_ENDED,
     LQ_CANCEL_REQUEST, 0, 0, 5000, LQ_RETRY_AT, 1, 5000, 5000},
    {"deadline__with_the_handlers_backoff_of_none__is_tried_at_once", LQ_ENDED,
     LQ_CANCEL_DEADLINE, 0, 0, 0, LQ_RETRY_AT, 1, 0, 0},
    {"retry_after__beyond_all_time__is_cut", LQ_RETRY_AFTER, LQ_CANCEL_NONE, 0,
     0, INT64_MAX, LQ_RETRY_AT, 1, INT64_C(3153600000000),
     INT64_C(3153600000000)},
    {"shutdown__goes_back_without_using_an_attempt", LQ_ENDED,
     LQ_CANCEL_SHUTDOWN, 0, 0, -1, LQ_REQUEUE, -1, 0, 0},
    {"lost_lease__writes_nothing", LQ_ENDED, LQ_CANCEL_LEASE, 0, 0, -1, 0, -1,
     0, 0},
};

static void test_settle(void **state)
{
    const struct settle_case *c = *state;
    lq_task task = {.type = LQ_STR("a:b"),
                    .id = LQ_STR("t1"),
                    .queue = LQ_STR("default"),
                    .payload = LQ_STR("{}"),
                    .max_retry = 3,
                    .retried = c->retried,
                    .retention_s = c->retention_s,
                    .unique_key = LQ_STR("lock")};
    lq_verdict verdict = {.kind = c->verdict,
                          .message = LQ_STR("why"),
                          .result = LQ_STR("42"),
                          .delay_ms = c->delay_ms};
    lq_settle_in in = {.task = &task,
                       .max_retry = 3,
                       .verdict = &verdict,
                       .cancel = c->cancel,
                       .now_ms = NOW_MS,
                       .random = 12345};
    lq_outcome out = {0};
    lq_buf msg;
    lq_task after = {0};

    lq_buf_init(&msg, 0);
    assert_int_equal(lq_settle(&out, &msg, &in), c->outcome != 0);
    if (c->outcome) {
        assert_int_equal(out.kind, c->outcome);
        assert_in_range(out.delay_ms, c->delay_min, c->delay_max);
        assert_string_equal(out.unique_key.p, "lock");
    }
    if (c->retried_after >= 0) {
        assert_int_equal(lq_task_decode(&after, out.msg, NULL), LUNAQ_OK);
        assert_int_equal(after.retried, c->retried_after);
        assert_int_equal(after.max_retry, 3);
        if (c->outcome == LQ_COMPLETE) {
            assert_int_equal(after.completed_s, NOW_MS / 1000);
            assert_int_equal(out.retention_s, 60);
            assert_true(lq_str_eq(out.result, LQ_STR("42")));
        } else {
            assert_int_equal(after.last_failed_s, NOW_MS / 1000);
            assert_true(after.error_msg.len > 0);
        }
        lq_task_release(&after);
    } else {
        assert_null(out.msg.p);
    }
    lq_buf_release(&msg);
}

static void handlers_max_retry__counts_but_is_not_written(void **unused)
{
    lq_task task = {.type = LQ_STR("a"), .max_retry = 25, .retried = 3};
    lq_verdict verdict = {.kind = LQ_FAILED, .message = LQ_STR("no")};
    lq_settle_in in = {.task = &task, .max_retry = 3, .verdict = &verdict};
    lq_outcome out = {0};
    lq_task after = {0};
    lq_buf msg;
    (void)unused;

    lq_buf_init(&msg, 0);
    assert_true(lq_settle(&out, &msg, &in));
    assert_int_equal(out.kind, LQ_ARCHIVE);
    assert_int_equal(lq_task_decode(&after, out.msg, NULL), LUNAQ_OK);
    assert_int_equal(after.max_retry, 25);
    lq_task_release(&after);
    lq_buf_release(&msg);
}

static void check_not_a_failure(enum lq_verdict_kind kind,
                                enum lq_cancel cancel, int32_t retried,
                                lq_outcome *out, int32_t *retried_after)
{
    lq_task task = {.type = LQ_STR("a"), .max_retry = 3, .retried = retried};
    lq_verdict verdict = {.kind = kind,
                          .message = LQ_STR("busy"),
                          .delay_ms = -1,
                          .not_failure = true};
    lq_settle_in in = {.task = &task,
                       .max_retry = 3,
                       .verdict = &verdict,
                       .cancel = cancel,
                       .now_ms = NOW_MS};
    lq_task after = {0};
    lq_buf msg;

    lq_buf_init(&msg, 0);
    assert_true(lq_settle(out, &msg, &in));
    assert_int_equal(lq_task_decode(&after, out->msg, NULL), LUNAQ_OK);
    *retried_after = after.retried;
    assert_true(lq_str_eq(after.error_msg, cancel == LQ_CANCEL_REQUEST
                                               ? LQ_STR("canceled")
                                               : LQ_STR("busy")));
    assert_int_equal(after.last_failed_s, NOW_MS / 1000);
    lq_task_release(&after);
    lq_buf_release(&msg);
}

/* Asynq's IsFailure, in all its ways. */
static void not_a_failure__is_retried_without_using_an_attempt(void **unused)
{
    lq_outcome out = {0};
    int32_t retried;
    (void)unused;

    check_not_a_failure(LQ_FAILED, LQ_CANCEL_NONE, 2, &out, &retried);
    assert_int_equal(out.kind, LQ_RETRY_AT);
    assert_false(out.is_failure);
    assert_int_equal(retried, 2);
    assert_in_range(out.delay_ms, 31000, 118000); /* the curve of the third */
    check_not_a_failure(LQ_RETRY_AFTER, LQ_CANCEL_NONE, 0, &out, &retried);
    assert_false(out.is_failure);
    assert_int_equal(retried, 0);
    check_not_a_failure(LQ_ENDED, LQ_CANCEL_REQUEST, 1, &out, &retried);
    assert_false(out.is_failure);
    assert_int_equal(retried, 1);
}

static void not_a_failure__at_the_limit__is_archived(void **unused)
{
    lq_outcome out = {0};
    int32_t retried;
    (void)unused;

    check_not_a_failure(LQ_FAILED, LQ_CANCEL_NONE, 3, &out, &retried);
    assert_int_equal(out.kind, LQ_ARCHIVE);
    assert_true(out.is_failure);
    assert_int_equal(retried, 3);
}

/* The broker then keeps the message that it has. */
static void message_without_memory__is_not_written_by_half(void **unused)
{
    lq_task task = {.type = LQ_STR("a"),
                    .payload = LQ_STR("more bytes than there is room for"),
                    .max_retry = 3};
    lq_verdict verdict = {.kind = LQ_FAILED, .message = LQ_STR("no")};
    lq_settle_in in = {.task = &task, .max_retry = 3, .verdict = &verdict};
    lq_outcome out = {0};
    lq_buf msg;
    (void)unused;

    lq_buf_init(&msg, 20);
    assert_true(lq_settle(&out, &msg, &in));
    assert_int_equal(out.kind, LQ_RETRY_AT);
    assert_null(out.msg.p);
    lq_buf_release(&msg);
}

static void undecodable__is_archived_as_a_valid_message(void **unused)
{
    const char bytes[] = "\xff\xff\0garbage";
    lq_outcome out = {0};
    lq_task after = {0};
    lq_buf msg;
    (void)unused;

    lq_buf_init(&msg, 0);
    lq_settle_undecodable(&out, &msg, LQ_STR("t9"), LQ_STR("low"),
                          lq_str_n(bytes, sizeof(bytes)), "cannot decode",
                          NOW_MS);
    assert_int_equal(out.kind, LQ_ARCHIVE);
    assert_int_equal(lq_task_decode(&after, out.msg, NULL), LUNAQ_OK);
    assert_true(lq_str_eq(after.type, LQ_STR(LQ_TYPE_UNDECODABLE)));
    assert_true(lq_str_eq(after.id, LQ_STR("t9")));
    assert_true(lq_str_eq(after.queue, LQ_STR("low")));
    assert_int_equal(after.payload.len, sizeof(bytes));
    assert_memory_equal(after.payload.p, bytes, sizeof(bytes));
    lq_task_release(&after);
    lq_buf_release(&msg);
}

struct expired_case {
    const char *name;
    uint32_t token;
    int32_t crashes, retried;
    enum lq_outcome_kind outcome;
    int64_t limit;
    const char *cancel;
};

static const struct expired_case expired_cases[] = {
    {"vanished__once__is_pending_again", 7, 0, 0, LQ_CRASHED, 3, NULL},
    {"vanished__with_no_attempt_left__is_pending_again", 7, 1, 3, LQ_CRASHED, 3,
     NULL},
    {"vanished__for_the_third_time__is_archived", 7, 2, 0, LQ_ARCHIVE, 3, NULL},
    {"vanished__without_a_limit__is_pending_again", 7, 99, 0, LQ_CRASHED, 0,
     NULL},
    {"vanished__after_a_cancel__is_archived", 7, 0, 0, LQ_ARCHIVE, 3, "by ops"},
    {"go_holder__vanished__is_retried_by_asynqs_rules", 0, 0, 0, LQ_RETRY_AT, 3,
     NULL},
    {"go_holder__with_no_attempt_left__is_archived", 0, 0, 3, LQ_ARCHIVE, 3,
     NULL},
};

static void test_expired(void **state)
{
    const struct expired_case *c = *state;
    lq_task task = {
        .type = LQ_STR("a:b"), .max_retry = 3, .retried = c->retried};
    lq_expired e = {.id = LQ_STR("t1"),
                    .score = "1700000000.5",
                    .token = c->token,
                    .crashes = c->crashes,
                    .cancel = lq_str_c(c->cancel)};
    lq_outcome out = {0};
    lq_buf msg;

    lq_buf_init(&msg, 0);
    lq_settle_expired(&out, &msg, &e, &task, c->limit, NOW_MS, 1);
    assert_int_equal(out.kind, c->outcome);
    assert_string_equal(out.score, "1700000000.5");
    assert_int_equal(out.token, 0);
    assert_int_equal(out.keep_crashes, c->outcome == LQ_CRASHED);
    lq_buf_release(&msg);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[LQ_COUNT(cases) + LQ_COUNT(expired_cases) + 5];
    size_t n = 0;

    for (size_t i = 0; i < LQ_COUNT(cases); i++)
        tests[n++] = (struct CMUnitTest){cases[i].name, test_settle, NULL, NULL,
                                         (void *)(uintptr_t)&cases[i]};
    for (size_t i = 0; i < LQ_COUNT(expired_cases); i++)
        tests[n++] =
            (struct CMUnitTest){expired_cases[i].name, test_expired, NULL, NULL,
                                (void *)(uintptr_t)&expired_cases[i]};
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(
        handlers_max_retry__counts_but_is_not_written);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(
        not_a_failure__is_retried_without_using_an_attempt);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(
        not_a_failure__at_the_limit__is_archived);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(
        message_without_memory__is_not_written_by_half);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(
        undecodable__is_archived_as_a_valid_message);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("settle", tests, NULL, NULL);
}
