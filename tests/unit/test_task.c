/* From a public task to what a broker takes: checks, defaults, names, locks. */
#include "unit.h"

#include "task/id.h"
#include "task/task.h"

#define NOW INT64_C(1800000000000)

static lunaq_task task_of(const char *type)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = type;
    return t;
}

/* ---- names -------------------------------------------------------------- */

struct name_row {
    const char *name;
    lq_str text;
    bool ok, ok_for_queue;
};

#define NAME(s)                                                                \
    {                                                                          \
        s, sizeof(s) - 1                                                       \
    }
#define SIXTEEN "0123456789abcdef"
#define L256                                                                   \
    SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN    \
        SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN

static const struct name_row name_rows[] = {
    {"name__plain", NAME("email:welcome"), true, true},
    {"name__with_blanks_inside", NAME("a b"), true, true},
    {"name__umlauts", NAME("gr\xc3\xbc\xc3\x9f"), true, true},
    {"name__of_256_bytes", NAME(L256), true, true},
    {"name__of_257_bytes__is_refused", NAME(L256 "x"), false, false},
    {"name__empty__is_refused", NAME(""), false, false},
    {"name__blank__is_refused", NAME("   "), false, false},
    {"name__of_a_no_break_space__is_refused", NAME("\xc2\xa0"), false, false},
    {"name__of_odd_spaces__is_refused",
     NAME("\xe1\x9a\x80\xe2\x80\x80\xe2\x80\x8a\xe3\x80\x80"), false, false},
    {"name__of_a_zero_width_space__is_not_blank", NAME("\xe2\x80\x8b"), true,
     true},
    {"name__with_a_newline__is_refused", NAME("a\nb"), false, false},
    {"name__with_a_nul__is_refused", NAME("a\0b"), false, false},
    {"name__with_del__is_refused", NAME("a\x7f"), false, false},
    {"name__with_c1__is_refused",
     NAME("a\xc2\x9b"
          "1m"),
     false, false},
    {"name__invalid_utf8__is_refused", NAME("a\xff"), false, false},
    {"name__with_an_opening_brace__is_no_queue", NAME("a{b"), true, false},
    {"name__with_a_closing_brace__is_no_queue", NAME("}"), true, false},
};

static void test_name(void **state)
{
    const struct name_row *row = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_int_equal(lq_name_check("task type", row->text, &err),
                     row->ok ? LUNAQ_OK : LUNAQ_EINVAL);
    if (!row->ok)
        assert_memory_equal(err.message, "task type: ", 11);
    assert_int_equal(lq_name_check("queue", row->text, &err),
                     row->ok_for_queue ? LUNAQ_OK : LUNAQ_EINVAL);
}

/* ---- refused tasks ------------------------------------------------------ */

struct bad_row {
    const char *name, *says;
    void (*spoil)(lunaq_task *t);
};

static const lunaq_header no_name[] = {{"a", "b"}, {"", "c"}},
                          bad_value[] = {{"a", "\xff"}};

#define SPOIL(name, change)                                                    \
    static void name(lunaq_task *t)                                            \
    {                                                                          \
        change;                                                                \
    }
SPOIL(type_null, t->type = NULL)
SPOIL(type_blank, t->type = " ")
SPOIL(queue_braces, t->queue = "a{b}")
SPOIL(queue_empty, t->queue = "")
SPOIL(id_empty, t->task_id = "")
SPOIL(id_long, t->task_id = L256 "x")
SPOIL(group_blank, t->group = " ")
SPOIL(payload_null, t->payload_len = 1)
SPOIL(payload_big, (t->payload = "", t->payload_len = LQ_PAYLOAD_MAX + 1))
SPOIL(headers_null, t->header_count = 1)
SPOIL(headers_many, (t->headers = no_name, t->header_count = 1001))
SPOIL(header_no_name, (t->headers = no_name, t->header_count = 2))
SPOIL(header_utf8, (t->headers = bad_value, t->header_count = 1))
SPOIL(retry_low, t->max_retry = -2)
SPOIL(retry_high, t->max_retry = INT64_C(1) << 31)
SPOIL(timeout_low, t->timeout_ms = -2)
SPOIL(timeout_high, t->timeout_ms = INT64_MAX)
SPOIL(deadline_low, t->deadline_at = -1)
SPOIL(process_at_low, t->process_at = -1)
SPOIL(process_in_low, t->process_in_ms = -1)
SPOIL(process_in_high, t->process_in_ms = INT64_MAX)
SPOIL(process_both, (t->process_at = NOW, t->process_in_ms = 1))
SPOIL(retention_low, t->retention_ms = -1)
SPOIL(unique_low, t->unique_ms = -1)
SPOIL(unique_short, t->unique_ms = 999)
SPOIL(size_zero, t->size = 0)
SPOIL(size_small, t->size = sizeof *t - 8)
SPOIL(size_absurd, t->size = SIZE_MAX)

static const struct bad_row bad_rows[] = {
    {"refused__no_type", "task type: ", type_null},
    {"refused__blank_type", "task type: ", type_blank},
    {"refused__queue_with_braces", "queue ", queue_braces},
    {"refused__empty_queue", "queue: ", queue_empty},
    {"refused__empty_id", "task id: ", id_empty},
    {"refused__long_id", "task id: ", id_long},
    {"refused__blank_group", "group: ", group_blank},
    {"refused__length_without_payload", "payload: ", payload_null},
    {"refused__big_payload", "payload: ", payload_big},
    {"refused__count_without_headers", "headers: ", headers_null},
    {"refused__a_thousand_and_one_headers", "headers: ", headers_many},
    {"refused__header_without_name", "headers: number 2 ", header_no_name},
    {"refused__header_not_utf8", "headers: number 1 ", header_utf8},
    {"refused__max_retry_minus_2", "max_retry: ", retry_low},
    {"refused__max_retry_over_31_bits", "max_retry: ", retry_high},
    {"refused__timeout_minus_2", "timeout_ms: ", timeout_low},
    {"refused__timeout_absurd", "timeout_ms: ", timeout_high},
    {"refused__deadline_negative", "deadline_at: ", deadline_low},
    {"refused__process_at_negative", "process_at: ", process_at_low},
    {"refused__process_in_negative", "process_in_ms: ", process_in_low},
    {"refused__process_in_absurd", "process_in_ms: ", process_in_high},
    {"refused__both_process_times", "process_at and ", process_both},
    {"refused__retention_negative", "retention_ms: ", retention_low},
    {"refused__unique_negative", "unique_ms: ", unique_low},
    {"refused__unique_under_a_second", "unique_ms: ", unique_short},
    {"refused__size_zero", "size: ", size_zero},
    {"refused__size_of_no_release", "size: ", size_small},
    {"refused__size_absurd", "size: ", size_absurd},
};

static void test_bad(void **state)
{
    const struct bad_row *row = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_task t = task_of("x");
    lq_enqueue e;
    row->spoil(&t);
    assert_int_equal(lq_enqueue_init(&e, &t, NOW, &err), LUNAQ_EINVAL);
    if (strncmp(err.message, row->says, strlen(row->says)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", err.message, row->says);
    assert_null(e.task.headers);
    assert_int_equal(lq_enqueue_init(&e, &t, NOW, NULL), LUNAQ_EINVAL);
}

/* ---- accepted tasks ----------------------------------------------------- */

static void plain_task__has_the_defaults(void **state)
{
    (void)state;
    lunaq_task t = task_of("email:send");
    lq_enqueue e;
    assert_int_equal(lq_enqueue_init(&e, &t, NOW, NULL), LUNAQ_OK);
    assert_true(lq_str_eq(e.task.type, LQ_STR("email:send")));
    assert_true(lq_str_eq(e.task.queue, LQ_STR("default")));
    assert_int_equal(e.task.id.len, LQ_UUID_LEN);
    assert_ptr_equal(e.task.id.p, e.id);
    assert_int_equal(e.task.max_retry, 25);
    assert_int_equal(e.task.timeout_s, 1800);
    assert_int_equal(e.task.deadline_s, 0);
    assert_int_equal(e.task.retention_s, 0);
    assert_int_equal(e.task.unique_key.len, 0);
    assert_int_equal(e.task.group_key.len, 0);
    assert_int_equal(e.process_at_ms, 0);
    assert_int_equal(e.unique_s, 0);
    assert_null(e.task.payload.p);
    lq_enqueue_release(&e);
}

static void full_task__keeps_what_was_given(void **state)
{
    (void)state;
    const lunaq_header headers[] = {{"k", "v"}, {"trace", NULL}};
    lunaq_task t = task_of("x");
    t.payload = "a\0b";
    t.payload_len = 3;
    t.queue = "low";
    t.task_id = "my-id";
    t.group = "g";
    t.headers = headers;
    t.header_count = 2;
    t.max_retry = -1;
    t.timeout_ms = 1001;
    t.deadline_at = NOW + 5999;
    t.process_in_ms = 2500;
    t.retention_ms = 1;
    t.unique_ms = 1500;
    lq_enqueue e;
    assert_int_equal(lq_enqueue_init(&e, &t, NOW, NULL), LUNAQ_OK);
    assert_true(lq_str_eq(e.task.payload, LQ_STR("a\0b")));
    assert_true(lq_str_eq(e.task.queue, LQ_STR("low")));
    assert_true(lq_str_eq(e.task.id, LQ_STR("my-id")));
    assert_string_equal(e.id, "my-id");
    assert_true(lq_str_eq(e.task.group_key, LQ_STR("g")));
    assert_int_equal(e.task.header_count, 2);
    assert_true(lq_str_eq(e.task.headers[0].key, LQ_STR("k")));
    assert_true(lq_str_eq(e.task.headers[0].value, LQ_STR("v")));
    assert_int_equal(e.task.headers[1].value.len, 0);
    assert_int_equal(e.task.max_retry, 0);
    assert_int_equal(e.task.timeout_s, 2);               /* rounded up */
    assert_int_equal(e.task.deadline_s, NOW / 1000 + 5); /* cut */
    assert_int_equal(e.task.retention_s, 1);
    assert_true(e.process_at_ms == NOW + 2500);
    assert_int_equal(e.unique_s, 2 + 3); /* from when it may run */
    assert_ptr_equal(e.task.unique_key.p, e.unique_key);
    lq_enqueue_release(&e);
}

static void times__at_their_edges(void **state)
{
    (void)state;
    lunaq_task t = task_of("x");
    lq_enqueue e;
    t.deadline_at = NOW + 1;
    assert_int_equal(lq_enqueue_init(&e, &t, NOW, NULL), LUNAQ_OK);
    assert_int_equal(e.task.timeout_s, 0); /* the deadline is enough */
    t.timeout_ms = -1;
    t.process_at = NOW; /* is now */
    t.deadline_at = 1;
    t.max_retry = INT32_MAX;
    assert_int_equal(lq_enqueue_init(&e, &t, NOW, NULL), LUNAQ_OK);
    assert_int_equal(e.task.timeout_s, 0);
    assert_int_equal(e.process_at_ms, 0);
    assert_int_equal(e.task.deadline_s, 1); /* long past, but not "none" */
    assert_int_equal(e.task.max_retry, INT32_MAX);
    t.process_at = NOW + 1;
    t.unique_ms = 1000;
    assert_int_equal(lq_enqueue_init(&e, &t, NOW, NULL), LUNAQ_OK);
    assert_true(e.process_at_ms == NOW + 1);
    assert_int_equal(e.unique_s, 2);
    lq_enqueue_release(&e);
}

/* A caller of a later version: what we do not know must be zero. */
static void larger_size__is_taken_when_the_rest_is_zero(void **state)
{
    (void)state;
    struct {
        lunaq_task task;
        int64_t later;
    } t = {.task = LUNAQ_TASK_INIT};
    lq_enqueue e;
    lunaq_error err = LUNAQ_ERROR_INIT;
    t.task.type = "x";
    t.task.size = sizeof t;
    assert_int_equal(lq_enqueue_init(&e, &t.task, NOW, &err), LUNAQ_OK);
    lq_enqueue_release(&e);
    t.later = 1;
    assert_int_equal(lq_enqueue_init(&e, &t.task, NOW, &err), LUNAQ_EINVAL);
    assert_non_null(strstr(err.message, LUNAQ_VERSION));
}

static bool enqueue_with_headers(void)
{
    const lunaq_header headers[] = {{"k", "v"}};
    lunaq_task t = task_of("x");
    t.headers = headers;
    t.header_count = 1;
    t.unique_ms = 1000;
    lq_enqueue e;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = lq_enqueue_init(&e, &t, NOW, &err);
    assert_true(rc == LUNAQ_OK || rc == LUNAQ_ENOMEM);
    assert_int_equal(err.code, rc);
    if (rc == LUNAQ_OK)
        lq_enqueue_release(&e);
    return rc == LUNAQ_OK;
}

static void any_allocation__fails__and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(enqueue_with_headers) >= 1);
}

/* ---- unique keys -------------------------------------------------------- */

static void unique_key__is_asynqs(void **state)
{
    (void)state;
    char key[LUNAQ_NAME_MAX * 2 + 80];
    lq_str queue = LQ_STR("default"), type = LQ_STR("email:send");
    assert_true(lq_unique_key(key, queue, type, LQ_STR("{\"u\":1}")));
    assert_string_equal(key, "asynq:{default}:unique:email:send:"
                             "cfeb4906248f18cb94f202711c2a34cf");
    assert_true(lq_unique_key(key, queue, type, LQ_STR("")));
    assert_string_equal(key, "asynq:{default}:unique:email:send:"
                             "d41d8cd98f00b204e9800998ecf8427e");
    assert_true(lq_unique_key(key, queue, type, (lq_str){0}));
    assert_string_equal(key, "asynq:{default}:unique:email:send:");
}

static void unique_key__of_the_longest_names__fits(void **state)
{
    (void)state;
    lunaq_task t = task_of(L256);
    t.queue = L256;
    t.payload = "x";
    t.payload_len = 1;
    t.unique_ms = 1000;
    lq_enqueue e;
    assert_int_equal(lq_enqueue_init(&e, &t, NOW, NULL), LUNAQ_OK);
    assert_int_equal(e.task.unique_key.len, 7 + 256 + 9 + 256 + 1 + 32);
    lq_enqueue_release(&e);
}

/* ---- the deadline of an attempt ----------------------------------------- */

struct deadline_row {
    const char *name;
    int64_t timeout_s, deadline_s, ms;
};

static const struct deadline_row deadline_rows[] = {
    {"deadline__neither__is_never", 0, 0, 0},
    {"deadline__timeout_alone", 30, 0, NOW + 30000},
    {"deadline__deadline_alone", 0, NOW / 1000 + 7, NOW + 7000},
    {"deadline__both__the_deadline_is_earlier", 30, NOW / 1000 + 7, NOW + 7000},
    {"deadline__both__the_timeout_is_earlier", 5, NOW / 1000 + 7, NOW + 5000},
    {"deadline__past__stays_past", 30, 1000, 1000000},
    {"deadline__negative__is_past", 30, -5, 1},
    {"deadline__negative_timeout__is_none", -5, 0, 0},
};

static void test_deadline(void **state)
{
    const struct deadline_row *row = *state;
    lq_task t = {.timeout_s = row->timeout_s, .deadline_s = row->deadline_s};
    assert_true(lq_attempt_deadline_ms(&t, NOW) == row->ms);
}

static void deadline__of_absurd_values__does_not_overflow(void **state)
{
    (void)state;
    lq_task t = {.timeout_s = INT64_MAX};
    assert_true(lq_attempt_deadline_ms(&t, NOW) > NOW);
    t.deadline_s = INT64_MAX;
    assert_true(lq_attempt_deadline_ms(&t, NOW) > NOW);
    t.deadline_s = INT64_MIN;
    assert_int_equal(lq_attempt_deadline_ms(&t, NOW), 1);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[120];
    size_t n = 0;
    ADD_ROWS(tests, n, name_rows, test_name);
    ADD_ROWS(tests, n, bad_rows, test_bad);
    ADD_ROWS(tests, n, deadline_rows, test_deadline);
    ADD_TEST(tests, n, plain_task__has_the_defaults);
    ADD_TEST(tests, n, full_task__keeps_what_was_given);
    ADD_TEST(tests, n, times__at_their_edges);
    ADD_TEST(tests, n, larger_size__is_taken_when_the_rest_is_zero);
    ADD_TEST(tests, n, any_allocation__fails__and_nothing_leaks);
    ADD_TEST(tests, n, unique_key__is_asynqs);
    ADD_TEST(tests, n, unique_key__of_the_longest_names__fits);
    ADD_TEST(tests, n, deadline__of_absurd_values__does_not_overflow);
    return RUN_TESTS("task", tests, n);
}
