/* JSON: what is read, what is refused and where, and how values are written. */
#include "support/test.h"

#include "lua/json.h"

#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int setup(void **state)
{
    lua_State *L = luaL_newstate();
    assert_non_null(L);
    luaL_openlibs(L);
    lq_json_push_null(L);
    lua_setglobal(L, "null");
    lq_json_push_empty_array(L);
    lua_setglobal(L, "empty_array");
    *state = L;
    return 0;
}

static int teardown(void **state)
{
    lua_close(*state);
    return 0;
}

/* ---- texts that are and are not JSON ------------------------------------ */

struct text {
    const char *name;
    lq_str text;
    const char *error; /* NULL = it is JSON */
};

#define YES(name, literal)                                                     \
    {                                                                          \
        "check__" name "__is_json", {literal, sizeof(literal) - 1}, NULL       \
    }
#define NO(name, literal, error)                                               \
    {                                                                          \
        "check__" name "__is_refused", {literal, sizeof(literal) - 1}, error   \
    }

static const struct text texts[] = {
    YES("null", "null"),
    YES("true", "true"),
    YES("false", "false"),
    YES("empty_object", "{}"),
    YES("empty_array", "[]"),
    YES("space_everywhere", " \t\r\n[ 1 , { \"a\" : 2 } ] \n"),
    YES("zero", "0"),
    YES("minus_zero", "-0"),
    YES("exponents", "[1e5,1E5,1e+5,1e-5,0e0,-1.5E-10]"),
    YES("int64_limits", "[9223372036854775807,-9223372036854775808]"),
    YES("all_escapes", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\""),
    YES("escaped_nul", "\"a\\u0000b\""),
    YES("four_byte_character", "\"\xf0\x9f\x98\x80\""),
    YES("noncharacter", "\"\xef\xbf\xbf\""),
    YES("delete_character", "\"\x7f\""),
    YES("empty_name", "{\"\":1}"),
    YES("same_name_twice", "{\"a\":1,\"a\":2}"),
    YES("lone_string", "\"asd\""),
    NO("empty_text", "", "line 1, column 1: the text is empty"),
    NO("only_space", "  ",
       "line 1, column 3: a value was expected, but the text ends"),
    NO("byte_order_mark", "\xef\xbb\xbf{}",
       "line 1, column 1: a value was expected"),
    NO("second_value", "{} {}", "line 1, column 4: something follows"),
    NO("trailing_nul", "1\0", "line 1, column 2: something follows"),
    NO("comma_at_the_end", "[1,]", "line 1, column 4: a value was expected"),
    NO("comma_first", "[,1]", "line 1, column 2: a value was expected"),
    NO("two_commas", "[1,,2]", "line 1, column 4: a value was expected"),
    NO("no_comma", "[1 2]", "line 1, column 4: ',' or ']' was expected"),
    NO("open_array", "[1", "line 1, column 3: ',' or ']' was expected"),
    NO("open_object", "{\"a\":1", "line 1, column 7: ',' or '}'"),
    NO("wrong_bracket", "[1}", "line 1, column 3: ',' or ']'"),
    NO("name_without_quotes", "{a:1}", "line 1, column 2: a name in quotes"),
    NO("single_quotes", "{'a':1}", "line 1, column 2: a name in quotes"),
    NO("comma_at_the_end_of_object", "{\"a\":1,}",
       "line 1, column 8: a name in quotes"),
    NO("no_colon", "{\"a\" 1}", "line 1, column 6: ':' was expected"),
    NO("no_value", "{\"a\":}", "line 1, column 6: a value was expected"),
    NO("leading_zero", "[01]", "line 1, column 2: a number cannot begin"),
    NO("minus_leading_zero", "-012", "line 1, column 2: a number cannot"),
    NO("plus", "+1", "line 1, column 1: a value was expected"),
    NO("bare_minus", "-", "line 1, column 2: a digit is missing"),
    NO("no_fraction", "1.", "line 1, column 3: a digit is missing"),
    NO("no_whole", ".5", "line 1, column 1: a value was expected"),
    NO("no_exponent", "1e", "line 1, column 3: a digit is missing"),
    NO("exponent_sign_only", "1e+", "line 1, column 4: a digit is missing"),
    NO("hex_number", "0x1", "line 1, column 2: something follows"),
    NO("nan", "NaN", "line 1, column 1: a value was expected"),
    NO("infinity", "Infinity", "line 1, column 1: a value was expected"),
    NO("cut_word", "tru", "line 1, column 1: a value was expected"),
    NO("capital_word", "True", "line 1, column 1: a value was expected"),
    NO("longer_word", "nulls", "line 1, column 5: something follows"),
    NO("open_string", "\"abc", "line 1, column 1: the string has no end"),
    NO("string_ends_in_backslash", "\"abc\\",
       "line 1, column 5: the string has no end"),
    NO("raw_newline", "[\"a\n\"]", "line 1, column 4: a control character"),
    NO("raw_tab", "\"\t\"", "line 1, column 2: a control character"),
    NO("raw_nul", "\"\0\"", "line 1, column 2: a control character"),
    NO("unknown_escape", "\"\\x41\"", "line 1, column 2: no such escape"),
    NO("escaped_raw_nul", "\"\\\0\"", "line 1, column 2: no such escape"),
    NO("short_unicode", "\"\\u00e\"", "line 1, column 2: \\u needs four"),
    NO("bad_unicode", "\"\\u00eg\"", "line 1, column 2: \\u needs four"),
    NO("high_surrogate_alone", "\"\\ud800\"", "column 2: half a surrogate"),
    NO("low_surrogate_alone", "\"\\udc00\"", "column 2: half a surrogate"),
    NO("two_high_surrogates", "\"\\ud800\\ud800\"", "half a surrogate"),
    NO("high_surrogate_and_text", "\"\\ud800abcdef\"", "half a surrogate"),
    NO("invalid_utf8", "\"\xff\"", "line 1, column 2: invalid UTF-8"),
    NO("overlong_utf8", "\"\xc0\xaf\"", "line 1, column 2: invalid UTF-8"),
    NO("surrogate_in_utf8", "\"\xed\xa0\x80\"", "invalid UTF-8"),
    NO("cut_utf8", "\"\xe2\x82", "line 1, column 2: invalid UTF-8"),
    NO("comment", "[1/*x*/]", "line 1, column 3: ',' or ']' was expected"),
    NO("form_feed_as_space", "[\f]", "line 1, column 2: a value was expected"),
    NO("no_break_space", "[\xc2\xa0]", "column 2: a value was expected"),
    NO("fault_in_line_3", "{\n  \"a\": 1,\n  \"é\" 2\n}",
       "line 3, column 7: ':' was expected"),
};

static void check_text(void **state)
{
    const struct text *t = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = lq_json_check(t->text, &err);
    if (!t->error) {
        assert_string_equal(err.message, "");
        assert_int_equal(rc, 0);
        return;
    }
    assert_int_equal(rc, LUNAQ_EINVAL);
    if (!strstr(err.message, t->error))
        fail_msg("%s\n  was: %s", t->error, err.message);
}

/* ---- reading ------------------------------------------------------------ */

/* `text` reads as the value of the Lua expression. */
static void reads_as(lua_State *L, lq_str text, const char *test)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    int top = lua_gettop(L);
    if (lq_json_push(L, text, &err))
        fail_msg("%.*s: %s", LQ_STR_ARG(text), err.message);
    assert_int_equal(lua_gettop(L), top + 1);
    lua_setglobal(L, "v");
    char chunk[512];
    snprintf(chunk, sizeof chunk, "return %s", test);
    if (luaL_dostring(L, chunk))
        fail_msg("%s: %s", test, lua_tostring(L, -1));
    if (!lua_toboolean(L, -1))
        fail_msg("%.*s: not %s", LQ_STR_ARG(text), test);
    lua_settop(L, top);
}

static void read__integers__are_exact(void **state)
{
    reads_as(*state, LQ_STR("9007199254740993"), "v == 9007199254740993");
    reads_as(*state, LQ_STR("9223372036854775807"), "v == math.maxinteger");
    reads_as(*state, LQ_STR("-9223372036854775808"), "v == math.mininteger");
    reads_as(*state, LQ_STR("[-0]"), "math.type(v[1]) == 'integer'");
}

static void read__one_and_one_point_zero__stay_apart(void **state)
{
    reads_as(*state, LQ_STR("1"), "math.type(v) == 'integer' and v == 1");
    reads_as(*state, LQ_STR("1.0"), "math.type(v) == 'float' and v == 1");
    reads_as(*state, LQ_STR("1e0"), "math.type(v) == 'float'");
    reads_as(*state, LQ_STR("-0.0"), "1 / v == -math.huge");
}

static void read__integer_beyond_int64__becomes_a_float(void **state)
{
    reads_as(*state, LQ_STR("9223372036854775808"), "v == 2^63");
    reads_as(*state, LQ_STR("-9223372036854775809"),
             "v == -2^63 and math.type(v) == 'float'");
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_buf_add_char(&b, '1');
    for (int i = 0; i < 100; i++)
        lq_buf_add_char(&b, '0');
    reads_as(*state, lq_buf_str(&b), "v == 1e100");
    lq_buf_release(&b);
}

static void read__number_without_a_double__is_refused(void **state)
{
    lua_State *L = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_int_equal(lq_json_push(L, LQ_STR("[1,\n -1e999]"), &err),
                     LUNAQ_EINVAL);
    assert_string_equal(err.message,
                        "line 2, column 2: the number is out of range");
    assert_int_equal(lua_gettop(L), 0);
    reads_as(L, LQ_STR("1e-999"), "v == 0");
}

static void read__strings__keep_every_byte(void **state)
{
    reads_as(*state, LQ_STR("\"a\\u0000b\""), "v == 'a\\0b'");
    reads_as(*state, LQ_STR("\"\\ud83d\\ude00\\u00e9\\u20ac\\u007f\""),
             "v == '\\u{1F600}\\u{e9}\\u{20ac}\\x7f'");
    reads_as(*state, LQ_STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
             "v == '\"\\\\/\\b\\f\\n\\r\\t'");
    reads_as(*state, LQ_STR("\"\""), "v == ''");
    reads_as(*state, LQ_STR("{\"a\\u0062\":1}"), "v.ab == 1");
}

static void read__long_escaped_string__is_whole(void **state)
{
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_buf_add_char(&b, '"');
    for (int i = 0; i < 100000; i++)
        lq_buf_add_c(&b, "\\n");
    lq_buf_add_char(&b, '"');
    reads_as(*state, lq_buf_str(&b), "v == ('\\n'):rep(100000)");
    lq_buf_release(&b);
}

static void read__containers__become_tables(void **state)
{
    reads_as(*state, LQ_STR("[1,[2,[]],{\"a\":[3]}]"),
             "#v == 3 and v[2][1] == 2 and #v[2][2] == 0 and v[3].a[1] == 3");
    reads_as(*state, LQ_STR("[null,1]"), "v[1] == null and v[2] == 1");
    reads_as(*state, LQ_STR("{\"a\":null}"), "v.a == null");
    reads_as(*state, LQ_STR("null"), "v == null");
    reads_as(*state, LQ_STR("[true,false]"), "v[1] == true and v[2] == false");
}

static void read__same_name_twice__last_wins(void **state)
{
    reads_as(*state, LQ_STR("{\"a\":1,\"b\":2,\"a\":3}"), "v.a == 3");
    reads_as(*state, LQ_STR("{\"a\":1,\"a\":null}"), "v.a == null");
}

static void nested(lq_buf *b, int levels)
{
    lq_buf_clear(b);
    for (int i = 0; i < levels; i++)
        lq_buf_add_c(b, i % 2 ? "{\"a\":" : "[");
    lq_buf_add_c(b, "1");
    for (int i = levels; i-- > 0;)
        lq_buf_add_c(b, i % 2 ? "}" : "]");
}

static void read__128_levels__is_the_most(void **state)
{
    lua_State *L = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_buf b, again;
    lq_buf_init(&b, 0);
    lq_buf_init(&again, 0);
    nested(&b, LQ_JSON_DEPTH);
    assert_int_equal(lq_json_push(L, lq_buf_str(&b), &err), 0);
    assert_int_equal(lq_json_write(L, -1, &again, &err), 0);
    assert_string_equal(again.p, b.p);
    nested(&b, LQ_JSON_DEPTH + 1);
    assert_int_equal(lq_json_push(L, lq_buf_str(&b), &err), LUNAQ_EINVAL);
    assert_non_null(strstr(err.message, "nested deeper than 128 levels"));
    assert_int_equal(lua_gettop(L), 1);
    lq_buf_release(&b);
    lq_buf_release(&again);
}

static void read__text_over_the_limit__is_refused(void **state)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    (void)state;
    assert_int_equal(lq_json_check(lq_str_n("1", LQ_JSON_MAX + 1), &err),
                     LUNAQ_EINVAL);
    assert_non_null(strstr(err.message, "more than"));
}

/* ---- writing ------------------------------------------------------------ */

struct written {
    const char *name;
    const char *lua;  /* an expression */
    const char *json; /* what it is written as, or NULL */
    const char *error;
};

static const struct written writes[] = {
    {"write__nil__is_null", "nil", "null", NULL},
    {"write__null__is_null", "null", "null", NULL},
    {"write__booleans", "{true,false}", "[true,false]", NULL},
    {"write__integers__are_exact",
     "{9007199254740993, math.maxinteger, math.mininteger, 0, -1}",
     "[9007199254740993,9223372036854775807,-9223372036854775808,0,-1]", NULL},
    {"write__floats__stay_floats", "{1.0, -0.0, 1e15, 2^53}",
     "[1.0,-0.0,1e+15,9007199254740992.0]", NULL},
    {"write__floats__are_short", "{0.1, 1/3, 1e300, 5e-324}",
     "[0.1,0.3333333333333333,1e+300,4.94065645841247e-324]", NULL},
    {"write__empty_table__is_an_object", "{}", "{}", NULL},
    {"write__empty_array_mark__is_an_array", "{a=empty_array}", "{\"a\":[]}",
     NULL},
    {"write__names__are_sorted_by_bytes", "{b=1,a=2,B=3,ab=4,['']=5,['é']=6}",
     "{\"\":5,\"B\":3,\"a\":2,\"ab\":4,\"b\":1,\"é\":6}", NULL},
    {"write__many_names__are_sorted",
     "(function() local t = {} for i = 999, 100, -1 do t['k'..i] = i end "
     "return t end)()",
     NULL, ""},
    {"write__nested", "{a={1,{b={2}}}}", "{\"a\":[1,{\"b\":[2]}]}", NULL},
    {"write__control_characters__are_escaped",
     "'\\0\\1\\b\\t\\n\\f\\r\\x1f\"\\\\/\\x7f'",
     "\"\\u0000\\u0001\\b\\t\\n\\f\\r\\u001f\\\"\\\\/\x7f\"", NULL},
    {"write__utf8__stays", "'é€\\u{1F600}'", "\"é€\xf0\x9f\x98\x80\"", NULL},
    {"write__shared_table__is_written_twice",
     "(function() local t = {1} return {t, t} end)()", "[[1],[1]]", NULL},
    {"write__metamethods__are_not_asked",
     "setmetatable({1}, {__index = error, __len = error, __pairs = error})",
     "[1]", NULL},
    {"write__nan__is_refused", "{a={0/0}}", NULL, "$.a[1]: NaN has no"},
    {"write__infinity__is_refused", "-1/0", NULL, "$: infinity has no"},
    {"write__function__is_refused", "{items={1,2,{price=print}}}", NULL,
     "$.items[3].price: a function has no JSON form"},
    {"write__userdata__is_refused", "{io.stdout}", NULL, "$[1]: a userdata"},
    {"write__mixed_keys__are_refused", "{x={1,2,a=3}}", NULL,
     "$.x: a table with both names and indices"},
    {"write__hole__is_refused", "{1,nil,3}", NULL, "$: an array with holes"},
    {"write__sparse_array__is_refused", "{[5]=1}", NULL, "array with holes"},
    {"write__key_zero__is_refused", "{[0]=1}", NULL, "a number below 1"},
    {"write__float_key__is_refused", "{[1.5]=1}", NULL, "a key that is a num"},
    {"write__boolean_key__is_refused", "{a={[true]=1}}", NULL,
     "$.a: a key that is a boolean"},
    {"write__cycle__is_refused",
     "(function() local t = {a={}} t.a.b = t return t end)()", NULL,
     "$.a.b: a table that contains itself"},
    {"write__too_deep__is_refused",
     "(function() local t = {} for i = 1, 128 do t = {t} end return t end)()",
     NULL, "nested deeper than 128 levels"},
    {"write__bytes__are_refused", "{a='\\xff'}", NULL, "$.a: a string that is"},
    {"write__name_of_bytes__is_refused", "{['a\\xff']=1}", NULL,
     "$.a?: a string that is not UTF-8"},
    {"write__long_path__shows_its_tail",
     "(function() local t = {bad=print} for i = 1, 60 do t = {level=t} end "
     "return t end)()",
     NULL, "....level.level"},
};

static void write_one(void **state)
{
    const struct written *w = *state;
    void *lua = NULL;
    setup(&lua);
    lua_State *L = lua;
    char chunk[512];
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_buf_add_c(&b, "before");
    snprintf(chunk, sizeof chunk, "return %s", w->lua);
    if (luaL_dostring(L, chunk))
        fail_msg("%s", lua_tostring(L, -1));
    lua_settop(L, 1);
    int rc = lq_json_write(L, -1, &b, &err);
    assert_int_equal(lua_gettop(L), 1);
    if (w->json) {
        assert_string_equal(err.message, "");
        assert_int_equal(rc, 0);
        assert_string_equal(b.p + 6, w->json);
    } else if (w->error[0]) {
        assert_int_equal(rc, LUNAQ_EINVAL);
        if (!strstr(err.message, w->error))
            fail_msg("%s\n  was: %s", w->error, err.message);
        assert_string_equal(b.p, "before");
        assert_false(b.failed);
    } else {
        assert_int_equal(rc, 0);
        assert_memory_equal(b.p + 6, "{\"k100\":100,\"k101\":101,", 23);
        assert_non_null(strstr(b.p, ",\"k998\":998,\"k999\":999}"));
    }
    lq_buf_release(&b);
    teardown(&lua);
}

static void write__array_that_was_read_empty__stays_an_array(void **state)
{
    lua_State *L = *state;
    lq_buf b;
    lq_buf_init(&b, 0);
    lq_str text = LQ_STR("{\"a\":[],\"b\":{},\"c\":[[],{}]}");
    assert_int_equal(lq_json_push(L, text, NULL), 0);
    assert_int_equal(lq_json_write(L, -1, &b, NULL), 0);
    assert_string_equal(b.p, text.p);
    lq_buf_release(&b);
}

static void write__longer_than_the_buffer_may_be__is_refused(void **state)
{
    lua_State *L = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_buf b;
    lq_buf_init(&b, 20);
    assert_int_equal(luaL_dostring(L, "return {('x'):rep(30)}"), 0);
    assert_int_equal(lq_json_write(L, -1, &b, &err), LUNAQ_EFULL);
    assert_int_equal(b.len, 0);
    assert_false(b.failed);
    lq_buf_release(&b);
}

static void write__members__takes_only_the_named(void **state)
{
    lua_State *L = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_buf b;
    lq_buf_init(&b, 0);
    static const char *const names[] = {"user_id", "gone", "at"};
    assert_int_equal(
        luaL_dostring(L, "return {user_id=7,other=print,at={at=1,x=2}}"), 0);
    assert_int_equal(lq_json_write_members(L, -1, names, 3, &b, &err), 0);
    assert_string_equal(b.p, "{\"at\":{\"at\":1,\"x\":2},\"user_id\":7}");
    lq_buf_clear(&b);
    assert_int_equal(lq_json_write_members(L, -1, NULL, 0, &b, &err), 0);
    assert_string_equal(b.p, "{}");
    lua_pushinteger(L, 1);
    assert_int_equal(lq_json_write_members(L, -1, names, 3, &b, &err),
                     LUNAQ_EINVAL);
    assert_int_equal(luaL_dostring(L, "return {1}"), 0);
    assert_int_equal(lq_json_write_members(L, -1, names, 3, &b, &err),
                     LUNAQ_EINVAL);
    lq_buf_release(&b);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest fixed[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(read__integers__are_exact),
        T(read__one_and_one_point_zero__stay_apart),
        T(read__integer_beyond_int64__becomes_a_float),
        T(read__number_without_a_double__is_refused),
        T(read__strings__keep_every_byte),
        T(read__long_escaped_string__is_whole),
        T(read__containers__become_tables),
        T(read__same_name_twice__last_wins),
        T(read__128_levels__is_the_most),
        T(read__text_over_the_limit__is_refused),
        T(write__array_that_was_read_empty__stays_an_array),
        T(write__longer_than_the_buffer_may_be__is_refused),
        T(write__members__takes_only_the_named),
#undef T
    };
    struct CMUnitTest
        tests[LQ_COUNT(fixed) + LQ_COUNT(texts) + LQ_COUNT(writes)];
    size_t n = 0;
    for (size_t i = 0; i < LQ_COUNT(fixed); i++)
        tests[n++] = fixed[i];
    for (size_t i = 0; i < LQ_COUNT(texts); i++)
        tests[n++] = (struct CMUnitTest){texts[i].name, check_text, NULL, NULL,
                                         (void *)(uintptr_t)&texts[i]};
    for (size_t i = 0; i < LQ_COUNT(writes); i++)
        tests[n++] = (struct CMUnitTest){writes[i].name, write_one, NULL, NULL,
                                         (void *)(uintptr_t)&writes[i]};
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
