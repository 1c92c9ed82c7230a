/* What the decoders take and what they refuse, field by field: the rules of
 * Go's protobuf runtime. */
#include "hex.h"

#include "task/codec.h"

struct wire_row {
    const char *name, *hex;
    bool ok;
};

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
    const char *name, *kind; /* server, worker, cron or event */
    const char *hex;
    bool ok;
};

static const struct other_row other_rows[] = {
    {"server__empty", "s", "", true},
    {"server__queue_not_utf8__is_refused", "s", "2a 03 0a 01 ff", false},
    {"server__queue_weight_as_bytes__is_unknown", "s", "2a 03 12 01 01", true},
    {"server__queue_cut__is_refused", "s", "2a 02 0a 01", false},
    {"server__status_not_utf8__is_refused", "s", "3a 01 ff", false},
    {"server__timestamp_cut__is_refused", "s", "42 01 08", false},
    {"server__timestamp_with_unknown", "s", "42 02 18 05", true},
    {"server__timestamp_with_number_0__is_refused", "s", "42 02 00 05", false},
    {"worker__empty", "w", "", true},
    {"worker__payload_is_any_bytes", "w", "32 01 ff", true},
    {"worker__type_not_utf8__is_refused", "w", "2a 01 ff", false},
    {"worker__cut__is_refused", "w", "0a 05 61", false},
    {"worker__timestamp_seconds_as_bytes__is_unknown", "w", "42 03 0a 01 ff",
     true},
    {"cron__empty", "c", "", true},
    {"cron__payload_is_any_bytes", "c", "22 01 ff", true},
    {"cron__option_not_utf8__is_refused", "c", "2a 01 ff", false},
    {"cron__options_then_an_error__is_refused", "c", "2a 01 61 2a 01 62 0a 09",
     false},
    {"event__empty", "e", "", true},
    {"event__id_not_utf8__is_refused", "e", "0a 01 ff", false},
    {"event__time_cut__is_refused", "e", "12 01 10", false},
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
    switch (row->kind[0]) {
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

int main(int argc, char **argv)
{
    struct CMUnitTest tests[160];
    size_t n = 0;
    ADD_ROWS(tests, n, wire_rows, test_wire);
    ADD_ROWS(tests, n, other_rows, test_other);
    ADD_TEST(tests, n, groups__as_deep_as_go_takes__and_one_more);
    return RUN_TESTS("wire", tests, n);
}
