/* The module json, as handlers see it. */
#include "support/test.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "lua/world.h"

typedef struct row {
    const char *name;
    const char *body;
    const char *result; /* what the run returns, or */
    const char *error;  /* what it fails with */
} row;

static const row rows[] = {
    {"encode__table", "return json.encode({b = 1, a = {1, 2.5}})",
     "{\"a\":[1,2.5],\"b\":1}", NULL},
    {"encode__nil__is_null", "return json.encode(nil)", "null", NULL},
    {"encode__nothing__is_misuse", "return json.encode()", NULL,
     "bad argument #1 to 'encode'"},
    {"encode__function__raises_with_the_path",
     "return json.encode({a = {print}})", NULL,
     "json.encode: $.a[1]: a function has no JSON form"},
    {"try_encode__function__returns_the_error",
     "local v, err = json.try_encode(print)\n"
     "return tostring(v) .. ' ' .. err.kind .. ' ' .. err.message",
     "nil json json.encode: $: a function has no JSON form", NULL},
    {"encode__after_a_failure__works",
     "json.try_encode({1, 2, print}) return json.encode({3})", "[3]", NULL},
    {"encode__large_value__works",
     "return #json.encode({('x'):rep(1000000)}) + #json.encode('y')", "1000007",
     NULL},
    {"decode__object", "return json.decode('{\"a\":[1,{\"b\":true}]}').a[2].b",
     "true", NULL},
    {"decode__garbage__raises_with_the_place",
     "return json.decode('{\"a\": tru}')", NULL,
     "json.decode: line 1, column 7: a value was expected"},
    {"try_decode__garbage__returns_the_error",
     "local v, err = json.try_decode('[') return err.message",
     "json.decode: line 1, column 2: a value was expected, but the text ends",
     NULL},
    {"decode__error__can_be_caught",
     "local ok, err = pcall(json.decode, '') return err.kind", "json", NULL},
    {"decode__not_a_string__is_misuse", "return json.decode({})", NULL,
     "string expected"},
    {"null__survives_a_round_trip",
     "local t = json.decode('[null]') assert(t[1] == json.null)\n"
     "return json.encode(t)",
     "[null]", NULL},
    {"array__empty__is_an_array",
     "return json.encode({a = json.array(), b = json.array({}), "
     "c = json.empty_array, d = {}})",
     "{\"a\":[],\"b\":[],\"c\":[],\"d\":{}}", NULL},
    {"array__is_the_same_table",
     "local t = {1} assert(json.array(t) == t) t[2] = 2\n"
     "return json.encode(t)",
     "[1,2]", NULL},
    {"array__twice__is_fine", "return json.encode(json.array(json.array()))",
     "[]", NULL},
    {"array__of_an_object__is_refused",
     "return json.array(setmetatable({}, {}))", NULL,
     "a table without a metatable expected"},
    {"array__mark__cannot_be_reached",
     "return tostring(getmetatable(json.array()))", "false", NULL},
    {"integers__are_exact",
     "return json.encode(json.decode('[9007199254740993,1.0,1]'))",
     "[9007199254740993,1.0,1]", NULL},
};

static void check(const row *r, bool gc)
{
    char source[1024];
    world *w = world_new(LUNAQ_INTERRUPT_HOOK, gc);
    snprintf(source, sizeof source, "return function(task)\n%s\nend\n",
             r->body);
    world_write(w, "handlers/t.lua", source);
    world_open(w);
    world_run *run = world_start(w, "t", "{}");
    world_wait(w, run);
    if (r->error) {
        assert_int_equal(run->kind, LQ_FAILED);
        if (!strstr(run->message, r->error))
            fail_msg("%s\n  was: %s", r->error, run->message);
    } else {
        if (run->kind != LQ_SUCCEEDED)
            fail_msg("%s", run->message);
        assert_string_equal(run->result, r->result);
    }
    world_end(run);
    world_free(w);
}

static void check_row(void **state)
{
    check(*state, false);
    check(*state, true);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[LQ_COUNT(rows)];
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        tests[i] = (struct CMUnitTest){rows[i].name, check_row, NULL, NULL,
                                       (void *)(uintptr_t)&rows[i]};
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("lua_json", tests, NULL, NULL);
}
