/* The codec: published vectors, and what fields mean.  What is refused:
 * test_wire.c; a general protobuf library as an oracle: test_codec_oracle.c. */
#include "hex.h"

#include "task/codec.h"

static void assert_bytes(const lq_buf *b, const char *hex)
{
    lq_str want = from_hex(hex);
    assert_false(b->failed);
    assert_int_equal(b->len, want.len);
    assert_memory_equal(b->p, want.p, want.len);
    release(want);
}

static void assert_str(lq_str is, const char *want)
{
    if (!lq_str_eq(is, lq_str_c(want)))
        fail_msg("\"%.*s\" is not \"%s\"", LQ_STR_ARG(is), want);
}

/* ---- vectors ------------------------------------------------------------ */

#define TASK_HEX                                                               \
    "0a0a656d61696c3a73656e6412077b2275223a317d1a02743122076465666175"         \
    "6c74281940880e"

static lq_task example_task(void)
{
    return (lq_task){.type = LQ_STR("email:send"),
                     .payload = LQ_STR("{\"u\":1}"),
                     .id = LQ_STR("t1"),
                     .queue = LQ_STR("default"),
                     .max_retry = 25,
                     .timeout_s = 1800};
}

static void task_vector__goes_both_ways(void **state)
{
    (void)state;
    lq_buf b;
    lq_task t = example_task(), back;
    lq_buf_init(&b, 0);
    lq_task_encode(&b, &t);
    assert_bytes(&b, TASK_HEX);
    assert_int_equal(lq_task_decode(&back, lq_buf_str(&b), NULL), LUNAQ_OK);
    assert_str(back.type, "email:send");
    assert_str(back.payload, "{\"u\":1}");
    assert_str(back.id, "t1");
    assert_str(back.queue, "default");
    assert_int_equal(back.max_retry, 25);
    assert_int_equal(back.timeout_s, 1800);
    assert_int_equal(back.header_count, 0);
    assert_null(back.unknown);
    lq_task_release(&back);
    lq_buf_release(&b);
}

static void task_vector_with_headers__goes_both_ways(void **state)
{
    (void)state;
    lq_buf b;
    lq_header header = {LQ_STR("k"), LQ_STR("v")};
    lq_task t = example_task(), back;
    t.headers = &header;
    t.header_count = 1;
    lq_buf_init(&b, 0);
    lq_task_encode(&b, &t);
    assert_bytes(&b, TASK_HEX "7a060a016b120176");
    assert_int_equal(lq_task_decode(&back, lq_buf_str(&b), NULL), LUNAQ_OK);
    assert_int_equal(back.header_count, 1);
    assert_str(back.headers[0].key, "k");
    assert_str(back.headers[0].value, "v");
    lq_task_release(&back);
    lq_buf_release(&b);
}

static void server_vector__goes_both_ways(void **state)
{
    (void)state;
    const struct lq_queue_prio queue = {LQ_STR("default"), 1};
    const lq_server_msg m = {.host = LQ_STR("h"),
                             .pid = 7,
                             .server_id = LQ_STR("s"),
                             .concurrency = 10,
                             .queues = &queue,
                             .queue_count = 1,
                             .status = LQ_STR("active"),
                             .start_ms = INT64_C(1700000000000)};
    lq_server_msg back;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_server_encode(&b, &m);
    assert_bytes(&b, "0a016810071a0173200a2a0b0a0764656661756c7410013a06616374"
                     "69766542060880e2cfaa06");
    assert_int_equal(lq_server_decode(&back, lq_buf_str(&b), NULL), LUNAQ_OK);
    assert_str(back.host, "h");
    assert_int_equal(back.pid, 7);
    assert_str(back.server_id, "s");
    assert_int_equal(back.concurrency, 10);
    assert_int_equal(back.queue_count, 1);
    assert_str(back.queues[0].name, "default");
    assert_int_equal(back.queues[0].weight, 1);
    assert_false(back.strict);
    assert_str(back.status, "active");
    assert_true(back.start_ms == m.start_ms);
    assert_int_equal(back.active_worker_count, 0);
    lq_free((void *)(uintptr_t)back.queues);
    lq_buf_release(&b);
}

static void worker_vector__goes_both_ways(void **state)
{
    (void)state;
    const lq_worker_msg m = {.host = LQ_STR("h"),
                             .pid = 7,
                             .server_id = LQ_STR("s"),
                             .task_id = LQ_STR("t1"),
                             .type = LQ_STR("email:send"),
                             .queue = LQ_STR("default"),
                             .start_ms = INT64_C(1700000000000),
                             .deadline_ms = INT64_C(1700001800000)};
    lq_worker_msg back;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_worker_encode(&b, &m);
    assert_bytes(&b, "0a016810071a0173220274312a0a656d61696c3a73656e643a076465"
                     "6661756c7442060880e2cfaa064a060888f0cfaa06");
    assert_int_equal(lq_worker_decode(&back, lq_buf_str(&b), NULL), LUNAQ_OK);
    assert_str(back.host, "h");
    assert_int_equal(back.pid, 7);
    assert_str(back.server_id, "s");
    assert_str(back.task_id, "t1");
    assert_str(back.type, "email:send");
    assert_int_equal(back.payload.len, 0);
    assert_str(back.queue, "default");
    assert_true(back.start_ms == m.start_ms);
    assert_true(back.deadline_ms == m.deadline_ms);
    lq_buf_release(&b);
}

static void cron_vector__goes_both_ways(void **state)
{
    (void)state;
    const lq_str option = LQ_STR("Queue(\"low\")");
    const lq_cron_msg m = {.id = LQ_STR("e"),
                           .spec = LQ_STR("@every 30s"),
                           .type = LQ_STR("x"),
                           .options = &option,
                           .option_count = 1,
                           .next_ms = INT64_C(1700000000000)};
    lq_cron_msg back;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_cron_encode(&b, &m);
    assert_bytes(&b, "0a0165120a406576657279203330731a01782a0c517565756528226c"
                     "6f77222932060880e2cfaa063a0b088092b8c398feffffff01");
    assert_int_equal(lq_cron_decode(&back, lq_buf_str(&b), NULL), LUNAQ_OK);
    assert_str(back.id, "e");
    assert_str(back.spec, "@every 30s");
    assert_str(back.type, "x");
    assert_int_equal(back.option_count, 1);
    assert_str(back.options[0], "Queue(\"low\")");
    assert_true(back.next_ms == m.next_ms);
    assert_true(back.prev_ms == 0);
    lq_free((void *)(uintptr_t)back.options);
    lq_buf_release(&b);
}

static void event_vector__goes_both_ways(void **state)
{
    (void)state;
    lq_buf b;
    lq_str id;
    int64_t at_ns;
    lq_buf_init(&b, 0);
    lq_cron_event_encode(&b, LQ_STR("t1"), INT64_C(1700000000000000005));
    assert_bytes(&b, "0a02743112080880e2cfaa061005");
    assert_int_equal(lq_cron_event_decode(&id, &at_ns, lq_buf_str(&b), NULL),
                     LUNAQ_OK);
    assert_str(id, "t1");
    assert_true(at_ns == INT64_C(1700000000000000005));
    lq_buf_release(&b);
}

static void instants__before_1970_and_with_millis__go_both_ways(void **state)
{
    (void)state;
    static const int64_t instants[] = {1, -1, 999, -1001, 1700000000123};
    for (size_t i = 0; i < LQ_COUNT(instants); i++) {
        lq_worker_msg m = {.start_ms = instants[i]}, back;
        lq_buf b;
        lq_buf_init(&b, 0);
        lq_worker_encode(&b, &m);
        assert_int_equal(lq_worker_decode(&back, lq_buf_str(&b), NULL), 0);
        assert_true(back.start_ms == instants[i]);
        assert_true(back.deadline_ms == 0);
        lq_buf_clear(&b);
        lq_str id;
        int64_t ns;
        lq_cron_event_encode(&b, LQ_STR("x"), instants[i]);
        assert_int_equal(lq_cron_event_decode(&id, &ns, lq_buf_str(&b), NULL),
                         0);
        assert_true(ns == instants[i]);
        lq_buf_release(&b);
    }
}

/* ---- meaning ------------------------------------------------------------ */

static void repeated_field__the_last_value_wins(void **state)
{
    (void)state;
    lq_str bytes = from_hex("0a0161 2805 12016f 0a0162 2807 1200"
                            "7a060a016b120176 7a060a016a120177"
                            "7a060a016b120178");
    lq_task t;
    assert_int_equal(lq_task_decode(&t, bytes, NULL), LUNAQ_OK);
    assert_str(t.type, "b");
    assert_int_equal(t.max_retry, 7);
    assert_int_equal(t.payload.len, 0);
    assert_int_equal(t.header_count, 2);
    assert_str(t.headers[0].key, "k");
    assert_str(t.headers[0].value, "x");
    assert_str(t.headers[1].key, "j");
    lq_task_release(&t);
    release(bytes);
}

static void repeated_timestamp__is_merged(void **state)
{
    (void)state;
    lq_str bytes = from_hex("0a0161 12020805 120410c0843d");
    lq_str id;
    int64_t ns;
    assert_int_equal(lq_cron_event_decode(&id, &ns, bytes, NULL), LUNAQ_OK);
    assert_true(ns == INT64_C(5001000000));
    release(bytes);
}

static void numbers__negative_and_too_wide__are_gos(void **state)
{
    (void)state;
    /* retry = 2^32 + 5 keeps its low half; timeout = -1; retried = -1 */
    lq_str bytes = from_hex("28 85 80 80 80 10 40 " V9 "01 30 " V9 "01");
    lq_task t;
    lq_buf b;
    lq_buf_init(&b, 0);
    assert_int_equal(lq_task_decode(&t, bytes, NULL), LUNAQ_OK);
    assert_int_equal(t.max_retry, 5);
    assert_true(t.timeout_s == -1);
    assert_int_equal(t.retried, -1);
    lq_task_encode(&b, &t);
    assert_bytes(&b, "28 05 30 " V9 "01 40 " V9 "01");
    lq_buf_release(&b);
    lq_task_release(&t);
    release(bytes);
}

static void absurd_timestamps__are_clamped(void **state)
{
    (void)state;
    lq_str bytes = from_hex("42 0a 08 ff ff ff ff ff ff ff ff 7f"
                            "4a 0b 08 80 80 80 80 80 80 80 80 80 01");
    lq_worker_msg m;
    assert_int_equal(lq_worker_decode(&m, bytes, NULL), LUNAQ_OK);
    assert_true(m.start_ms == INT64_MAX);
    assert_true(m.deadline_ms == INT64_MIN);
    release(bytes);
    bytes = from_hex("12 0a 08 ff ff ff ff ff ff ff ff 7f");
    lq_str id;
    int64_t ns;
    assert_int_equal(lq_cron_event_decode(&id, &ns, bytes, NULL), LUNAQ_OK);
    assert_true(ns == INT64_MAX);
    release(bytes);
}

/* What a newer writer added must come through a retry of ours. */
static void unknown_fields__are_kept_on_the_way_back(void **state)
{
    (void)state;
    lq_str bytes = from_hex("8001 05 0a 01 61 8201 02 fffe 8501 01020304 2807 "
                            "8301 0805 8401 0805 7a 02 0a 00");
    lq_task t;
    lq_buf b;
    lq_buf_init(&b, 0);
    assert_int_equal(lq_task_decode(&t, bytes, NULL), LUNAQ_OK);
    assert_int_equal(t.unknown_count, 3); /* neighbours are one piece */
    t.retried = 1;
    lq_task_encode(&b, &t);
    assert_bytes(&b, "0a0161 2807 3001 7a040a001200 8001 05 8201 02 fffe 8501 "
                     "01020304 8301 0805 8401 0805");
    lq_task_release(&t);
    release(bytes);
    lq_buf_release(&b);
}

static void
encode__invalid_utf8__is_replaced_but_not_in_the_payload(void **state)
{
    (void)state;
    lq_buf b;
    lq_header header = {LQ_STR("\xff"), LQ_STR("v\xc3")};
    const lq_task t = {.type = LQ_STR("a\xff"),
                       .payload = LQ_STR("\xff"),
                       .error_msg = LQ_STR("\xe2\x82 \xe2\x82\xac"),
                       .headers = &header,
                       .header_count = 1};
    lq_task back;
    lq_buf_init(&b, 0);
    lq_task_encode(&b, &t);
    assert_int_equal(lq_task_decode(&back, lq_buf_str(&b), NULL), LUNAQ_OK);
    assert_str(back.type, "a?");
    assert_str(back.payload, "\xff");
    assert_str(back.error_msg, "?? \xe2\x82\xac");
    assert_str(back.headers[0].key, "?");
    assert_str(back.headers[0].value, "v?");
    lq_task_release(&back);
    lq_buf_release(&b);
}

static void encode__past_the_buffers_maximum__fails_it(void **state)
{
    (void)state;
    lq_buf b;
    lq_task t = example_task();
    lq_buf_init(&b, 20);
    lq_task_encode(&b, &t);
    assert_true(b.failed);
    assert_int_equal(b.len, 0);
    lq_buf_release(&b);
}

static void many_headers__are_kept_and_doubles_dropped(void **state)
{
    (void)state;
    enum { COUNT = 3000, KEYS = 1000 };
    static char keys[COUNT][8];
    static lq_header headers[COUNT];
    for (int i = 0; i < COUNT; i++) {
        int n = snprintf(keys[i], sizeof keys[i], "%d", i % KEYS);
        headers[i] = (lq_header){{keys[i], (size_t)n},
                                 lq_str_c(i < 2 * KEYS ? "old" : "new")};
    }
    lq_task t = {.headers = headers, .header_count = COUNT}, back;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_task_encode(&b, &t);
    assert_int_equal(lq_task_decode(&back, lq_buf_str(&b), NULL), LUNAQ_OK);
    assert_int_equal(back.header_count, KEYS);
    for (int i = 0; i < KEYS; i++) {
        assert_str(back.headers[i].key, keys[i]);
        assert_str(back.headers[i].value, "new");
    }
    lq_task_release(&back);
    lq_buf_release(&b);
}

/* ---- out of memory ------------------------------------------------------ */

static bool all_there_and_back(void)
{
    lq_header headers[40];
    char keys[40];
    for (size_t i = 0; i < LQ_COUNT(headers); i++) {
        keys[i] = (char)('0' + i);
        headers[i] = (lq_header){lq_str_n(&keys[i], 1), LQ_STR("v")};
    }
    lq_str unknown = LQ_STR("\x80\x01\x05");
    lq_task t = example_task(), back = {0};
    t.headers = headers;
    t.header_count = LQ_COUNT(headers);
    t.unknown = &unknown;
    t.unknown_count = 1;
    const struct lq_queue_prio queue = {LQ_STR("default"), 1};
    const lq_server_msg server = {.queues = &queue, .queue_count = 1};
    lq_server_msg server_back = {0};
    const lq_str option = LQ_STR("Queue(\"low\")");
    const lq_cron_msg cron = {.options = &option, .option_count = 1};
    lq_cron_msg cron_back = {0};
    lunaq_error err = LUNAQ_ERROR_INIT;
    bool ok = false;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_task_encode(&b, &t);
    if (b.failed || lq_task_decode(&back, lq_buf_str(&b), &err))
        goto out;
    assert_int_equal(back.header_count, LQ_COUNT(headers));
    assert_int_equal(back.unknown_count, 1);
    lq_buf_clear(&b);
    lq_server_encode(&b, &server);
    if (b.failed || lq_server_decode(&server_back, lq_buf_str(&b), &err))
        goto out;
    lq_buf_clear(&b);
    lq_cron_encode(&b, &cron);
    if (b.failed || lq_cron_decode(&cron_back, lq_buf_str(&b), &err))
        goto out;
    ok = true;
out:
    assert_true(ok || b.failed || err.code == LUNAQ_ENOMEM);
    lq_task_release(&back);
    lq_free((void *)(uintptr_t)server_back.queues);
    lq_free((void *)(uintptr_t)cron_back.options);
    lq_buf_release(&b);
    return ok;
}

static void any_allocation__fails__and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(all_there_and_back) >= 8);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task_vector__goes_both_ways),
        cmocka_unit_test(task_vector_with_headers__goes_both_ways),
        cmocka_unit_test(server_vector__goes_both_ways),
        cmocka_unit_test(worker_vector__goes_both_ways),
        cmocka_unit_test(cron_vector__goes_both_ways),
        cmocka_unit_test(event_vector__goes_both_ways),
        cmocka_unit_test(instants__before_1970_and_with_millis__go_both_ways),
        cmocka_unit_test(repeated_field__the_last_value_wins),
        cmocka_unit_test(repeated_timestamp__is_merged),
        cmocka_unit_test(numbers__negative_and_too_wide__are_gos),
        cmocka_unit_test(absurd_timestamps__are_clamped),
        cmocka_unit_test(unknown_fields__are_kept_on_the_way_back),
        cmocka_unit_test(
            encode__invalid_utf8__is_replaced_but_not_in_the_payload),
        cmocka_unit_test(encode__past_the_buffers_maximum__fails_it),
        cmocka_unit_test(many_headers__are_kept_and_doubles_dropped),
        cmocka_unit_test(any_allocation__fails__and_nothing_leaks),
    };
    return RUN_TESTS("codec", tests, LQ_COUNT(tests));
}
