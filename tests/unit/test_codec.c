/* The codec: published vectors, and row by row what is taken and what is
 * refused.  A general protobuf library as an oracle: test_codec_oracle.c. */
#include "unit.h"

#include "task/codec.h"

/* ---- hex ---------------------------------------------------------------- */

static int nibble(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Blanks are allowed between bytes.  The block ends where the bytes do, so that
 * a sanitizer sees every read past the end. */
static lq_str from_hex(const char *hex)
{
    char *bytes = lq_malloc(strlen(hex) / 2 + 1);
    size_t n = 0;
    for (; *hex; hex++) {
        if (*hex == ' ')
            continue;
        bytes[n++] = (char)(nibble(hex[0]) << 4 | nibble(hex[1]));
        hex++;
    }
    char *exact = lq_realloc(bytes, n);
    return lq_str_n(exact, n);
}

static void release(lq_str s)
{
    lq_free((void *)(uintptr_t)s.p);
}

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

/* ---- what is taken and what is refused ---------------------------------- */

struct wire_row {
    const char *name, *hex;
    bool ok;
};

#define V9 "ff ff ff ff ff ff ff ff ff " /* nine bytes of a ten-byte varint */
#define V8 "80 80 80 80 80 80 80 80 "

static const struct wire_row wire_rows[] = {
    {"wire__nothing__is_an_empty_message", "", true},
    {"wire__empty_string_field", "0a 00", true},
    {"wire__varint__of_ten_bytes", "40 " V9 "01", true},
    {"wire__varint__past_64_bits__is_refused", "40 " V9 "02", false},
    {"wire__varint__of_eleven_bytes__is_refused", "40 " V9 "81 00", false},
    {"wire__varint__not_minimal", "40 " V8 "80 00", true},
    {"wire__varint__cut__is_refused", "40 ff", false},
    {"wire__varint__missing__is_refused", "40", false},
    {"wire__tag__not_minimal", "8a 80 80 00 00", true},
    {"wire__tag__of_ten_bytes", "8a " V8 "00 00", true},
    {"wire__tag__past_64_bits__is_refused", "ff " V8 "02 00", false},
    {"wire__tag__cut__is_refused", "8a", false},
    {"wire__number_0__is_refused", "02 00", false},
    {"wire__number_0_varint__is_refused", "00 00", false},
    {"wire__number_2_to_29_minus_1", "fa ff ff ff 0f 00", true},
    {"wire__number_2_to_29__is_refused", "82 80 80 80 10 00", false},
    {"wire__number_huge__is_refused", "82 80 80 80 80 01 00", false},
    {"wire__length__past_the_end__is_refused", "0a 02 61", false},
    {"wire__length__of_2_to_31__is_refused", "0a 80 80 80 80 08 61", false},
    {"wire__length__of_2_to_63__is_refused", "0a " V8 "80 01 61", false},
    {"wire__length__of_2_to_64_minus_1__is_refused", "0a " V9 "01 61", false},
    {"wire__length__past_64_bits__is_refused", "0a " V9 "03", false},
    {"wire__length__not_minimal", "0a 81 80 00 61", true},
    {"wire__length__missing__is_refused", "0a", false},
    {"wire__unknown_varint", "80 01 05", true},
    {"wire__unknown_fixed64", "81 01 01 02 03 04 05 06 07 08", true},
    {"wire__unknown_fixed64__cut__is_refused", "81 01 01 02 03 04 05 06 07",
     false},
    {"wire__unknown_bytes", "82 01 02 ff fe", true},
    {"wire__unknown_bytes__cut__is_refused", "82 01 03 ff fe", false},
    {"wire__unknown_fixed32", "85 01 01 02 03 04", true},
    {"wire__unknown_fixed32__cut__is_refused", "85 01 01 02 03", false},
    {"wire__type_6__is_refused", "86 01 00", false},
    {"wire__type_7__is_refused", "87 01 00", false},
    {"wire__known_number_of_type_6__is_refused", "0e 00", false},
    {"wire__known_string_as_varint__is_unknown", "08 05", true},
    {"wire__known_string_as_fixed32__is_unknown", "0d 01 02 03 04", true},
    {"wire__known_int_as_bytes__is_unknown", "42 01 ff", true},
    {"wire__known_int_as_fixed64__is_unknown", "41 01 02 03 04 05 06 07 08",
     true},
    {"wire__headers_as_varint__is_unknown", "78 05", true},
    {"wire__group__empty", "83 01 84 01", true},
    {"wire__group__of_every_type",
     "83 01 08 05 11 01 02 03 04 05 06 07 08 1a 01 ff 25 01 02 03 04 84 01",
     true},
    {"wire__group__nested", "83 01 0b 13 14 0c 84 01", true},
    {"wire__group__of_a_known_number__is_unknown", "0b 0c", true},
    {"wire__group__not_ended__is_refused", "83 01 08 05", false},
    {"wire__group__ended_by_another__is_refused", "83 01 8c 01", false},
    {"wire__group__nested_wrongly__is_refused", "83 01 0b 84 01 0c", false},
    {"wire__group__with_number_0__is_refused", "83 01 00 00 84 01", false},
    {"wire__group__with_number_2_to_29", "83 01 80 80 80 80 10 05 84 01", true},
    {"wire__group__with_number_2_to_31__is_refused",
     "83 01 80 80 80 80 40 05 84 01", false},
    {"wire__group__with_a_cut_field__is_refused", "83 01 1a 05 84 01", false},
    {"wire__group__with_type_7__is_refused", "83 01 0f 84 01", false},
    {"wire__group_end__alone__is_refused", "84 01", false},
    {"wire__group_end__of_a_known_number__is_refused", "0c", false},
    {"wire__string__not_utf8__is_refused", "0a 01 ff", false},
    {"wire__string__a_surrogate__is_refused", "1a 03 ed a0 80", false},
    {"wire__string__overlong__is_refused", "22 02 c0 80", false},
    {"wire__string__cut_character__is_refused", "3a 02 e2 82", false},
    {"wire__string__past_unicode__is_refused", "52 04 f4 90 80 80", false},
    {"wire__string__group_not_utf8__is_refused", "72 01 80", false},
    {"wire__string__with_nul", "0a 03 61 00 62", true},
    {"wire__string__replaced_but_not_utf8__is_refused", "0a 01 ff 0a 01 61",
     false},
    {"wire__payload__is_any_bytes", "12 03 ff 00 c0", true},
    {"wire__header__empty_entry", "7a 00", true},
    {"wire__header__value_first", "7a 06 12 01 76 0a 01 6b", true},
    {"wire__header__key_twice", "7a 06 0a 01 6b 0a 01 6c", true},
    {"wire__header__with_unknown_fields", "7a 05 0a 01 6b 18 05", true},
    {"wire__header__key_as_varint__is_unknown", "7a 02 08 05", true},
    {"wire__header__key_not_utf8__is_refused", "7a 03 0a 01 ff", false},
    {"wire__header__value_not_utf8__is_refused", "7a 03 12 01 ff", false},
    {"wire__header__key_past_its_entry__is_refused", "7a 03 0a 02 6b 6b",
     false},
    {"wire__header__number_0__is_refused", "7a 02 02 00", false},
    {"wire__header__group_end__is_refused", "7a 01 0c", false},
    {"wire__header__cut__is_refused", "7a 05 0a 01 6b", false},
};

static void test_wire(void **state)
{
    const struct wire_row *row = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_str bytes = from_hex(row->hex);
    lq_task t;
    int rc = lq_task_decode(&t, bytes, &err);
    if (rc != (row->ok ? LUNAQ_OK : LUNAQ_EPROTO))
        fail_msg("%d: %s", rc, err.message);
    if (!row->ok) {
        assert_memory_equal(err.message, "task message: ", 14);
        assert_null(t.headers);
        assert_null(t.unknown);
        assert_int_equal(t.type.len, 0);
    }
    lq_task_release(&t);
    release(bytes);
}

/* Go gives up at 10,001 open groups. */
static void groups__as_deep_as_go_takes__and_one_more(void **state)
{
    (void)state;
    for (size_t depth = 10001; depth <= 10002; depth++) {
        char *bytes = lq_malloc(2 * depth);
        memset(bytes, 0x0b, depth);
        memset(bytes + depth, 0x0c, depth);
        lq_task t;
        assert_int_equal(lq_task_decode(&t, lq_str_n(bytes, 2 * depth), NULL),
                         depth == 10001 ? LUNAQ_OK : LUNAQ_EPROTO);
        lq_task_release(&t);
        lq_free(bytes);
    }
}

struct other_row {
    const char *name;
    char kind; /* server, worker, cron or event */
    const char *hex;
    bool ok;
};

static const struct other_row other_rows[] = {
    {"server__empty", 's', "", true},
    {"server__queue_not_utf8__is_refused", 's', "2a 03 0a 01 ff", false},
    {"server__queue_weight_as_bytes__is_unknown", 's', "2a 03 12 01 01", true},
    {"server__queue_cut__is_refused", 's', "2a 02 0a 01", false},
    {"server__status_not_utf8__is_refused", 's', "3a 01 ff", false},
    {"server__timestamp_cut__is_refused", 's', "42 01 08", false},
    {"server__timestamp_with_unknown", 's', "42 02 18 05", true},
    {"server__timestamp_with_number_0__is_refused", 's', "42 02 00 05", false},
    {"worker__empty", 'w', "", true},
    {"worker__payload_is_any_bytes", 'w', "32 01 ff", true},
    {"worker__type_not_utf8__is_refused", 'w', "2a 01 ff", false},
    {"worker__cut__is_refused", 'w', "0a 05 61", false},
    {"worker__timestamp_seconds_as_bytes__is_unknown", 'w', "42 03 0a 01 ff",
     true},
    {"cron__empty", 'c', "", true},
    {"cron__payload_is_any_bytes", 'c', "22 01 ff", true},
    {"cron__option_not_utf8__is_refused", 'c', "2a 01 ff", false},
    {"cron__options_then_an_error__is_refused", 'c', "2a 01 61 2a 01 62 0a 09",
     false},
    {"event__empty", 'e', "", true},
    {"event__id_not_utf8__is_refused", 'e', "0a 01 ff", false},
    {"event__time_cut__is_refused", 'e', "12 01 10", false},
};

static void test_other(void **state)
{
    const struct other_row *row = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_str bytes = from_hex(row->hex), id;
    lq_server_msg s;
    lq_worker_msg w;
    lq_cron_msg c;
    int64_t ns;
    int rc;
    switch (row->kind) {
    case 's':
        rc = lq_server_decode(&s, bytes, &err);
        lq_free((void *)(uintptr_t)s.queues);
        break;
    case 'w':
        rc = lq_worker_decode(&w, bytes, &err);
        break;
    case 'c':
        rc = lq_cron_decode(&c, bytes, &err);
        lq_free((void *)(uintptr_t)c.options);
        break;
    default:
        rc = lq_cron_event_decode(&id, &ns, bytes, &err);
    }
    if (rc != (row->ok ? LUNAQ_OK : LUNAQ_EPROTO))
        fail_msg("%d: %s", rc, err.message);
    release(bytes);
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
    struct CMUnitTest tests[160];
    size_t n = 0;
    ADD_TEST(tests, n, task_vector__goes_both_ways);
    ADD_TEST(tests, n, task_vector_with_headers__goes_both_ways);
    ADD_TEST(tests, n, server_vector__goes_both_ways);
    ADD_TEST(tests, n, worker_vector__goes_both_ways);
    ADD_TEST(tests, n, cron_vector__goes_both_ways);
    ADD_TEST(tests, n, event_vector__goes_both_ways);
    ADD_TEST(tests, n, instants__before_1970_and_with_millis__go_both_ways);
    ADD_ROWS(tests, n, wire_rows, test_wire);
    ADD_ROWS(tests, n, other_rows, test_other);
    ADD_TEST(tests, n, groups__as_deep_as_go_takes__and_one_more);
    ADD_TEST(tests, n, repeated_field__the_last_value_wins);
    ADD_TEST(tests, n, repeated_timestamp__is_merged);
    ADD_TEST(tests, n, numbers__negative_and_too_wide__are_gos);
    ADD_TEST(tests, n, absurd_timestamps__are_clamped);
    ADD_TEST(tests, n, unknown_fields__are_kept_on_the_way_back);
    ADD_TEST(tests, n,
             encode__invalid_utf8__is_replaced_but_not_in_the_payload);
    ADD_TEST(tests, n, encode__past_the_buffers_maximum__fails_it);
    ADD_TEST(tests, n, many_headers__are_kept_and_doubles_dropped);
    ADD_TEST(tests, n, any_allocation__fails__and_nothing_leaks);
    return RUN_TESTS("codec", tests, n);
}
