/* JSON on documents nobody wrote: random ones against cJSON, round trips, cut
 * and damaged texts, and memory that runs out at every possible point. */
#include "support/test.h"

#include "base/alloc.h"
#include "lua/json.h"

#include <cjson/cJSON.h>
#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DOCUMENTS 4000

/* ---- random documents --------------------------------------------------- */

static uint64_t seed;

static unsigned pick(unsigned bound)
{
    seed ^= seed << 13; /* xorshift: the same documents in every run */
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed % bound);
}

static void add_string(lq_buf *b)
{
    static const char *const bits[] = {"a",
                                       "zz",
                                       "é",
                                       "€",
                                       "\\n",
                                       "\\\"",
                                       "\\u00e9",
                                       "\\/",
                                       "\xf0\x9f\x98\x80",
                                       "\\ud83d\\ude00",
                                       " ",
                                       "\\\\"};
    lq_buf_add_char(b, '"');
    for (unsigned n = pick(6); n-- > 0;)
        lq_buf_add_c(b, bits[pick(LQ_COUNT(bits))]);
    lq_buf_add_char(b, '"');
}

static void add_number(lq_buf *b)
{
    switch (pick(4)) {
    case 0:
        lq_buf_printf(b, "%d", (int)pick(2000) - 1000);
        break;
    case 1: /* what a double keeps */
        lq_buf_printf(b, "%.15g", ((double)pick(1u << 30) - 5e8) / 1024);
        break;
    case 2:
        lq_buf_printf(b, "%u.5e%s%u", pick(100), pick(2) ? "-" : "", pick(20));
        break;
    default:
        lq_buf_printf(b, "%u", pick(1u << 31));
    }
}

static void add_space(lq_buf *b)
{
    static const char *const spaces[] = {"", "", "", " ", "\n", "\t "};
    lq_buf_add_c(b, spaces[pick(LQ_COUNT(spaces))]);
}

static void add_value(lq_buf *b, int depth)
{
    add_space(b);
    switch (pick(depth > 5 ? 5 : 7)) {
    case 0:
        lq_buf_add_c(b, "null");
        break;
    case 1:
        lq_buf_add_c(b, pick(2) ? "true" : "false");
        break;
    case 2:
    case 3:
        add_number(b);
        break;
    case 4:
        add_string(b);
        break;
    case 5:
        lq_buf_add_char(b, '[');
        for (unsigned n = pick(5), i = 0; i < n; i++) {
            if (i)
                lq_buf_add_char(b, ',');
            add_value(b, depth + 1);
        }
        add_space(b);
        lq_buf_add_char(b, ']');
        break;
    default:
        lq_buf_add_char(b, '{');
        for (unsigned n = pick(5), i = 0; i < n; i++) {
            /* Numbered, since cJSON keeps both of two equal names. */
            lq_buf_printf(b, "%s\"%u", i ? "," : "", i);
            lq_buf_add_c(b, pick(2) ? "\"" : "é\"");
            add_space(b);
            lq_buf_add_char(b, ':');
            add_value(b, depth + 1);
        }
        lq_buf_add_char(b, '}');
    }
    add_space(b);
}

/* ---- against cJSON ------------------------------------------------------ */

static void same(lua_State *L, const cJSON *c)
{
    if (cJSON_IsNull(c)) {
        assert_true(lq_json_is_null(L, -1));
    } else if (cJSON_IsBool(c)) {
        assert_int_equal(lua_type(L, -1), LUA_TBOOLEAN);
        assert_int_equal(lua_toboolean(L, -1), cJSON_IsTrue(c));
    } else if (cJSON_IsNumber(c)) {
        assert_int_equal(lua_type(L, -1), LUA_TNUMBER);
        assert_true(lua_tonumber(L, -1) == c->valuedouble);
    } else if (cJSON_IsString(c)) {
        assert_int_equal(lua_type(L, -1), LUA_TSTRING);
        assert_string_equal(lua_tostring(L, -1), c->valuestring);
    } else {
        const cJSON *child;
        lua_Integer n = 0;
        assert_int_equal(lua_type(L, -1), LUA_TTABLE);
        assert_int_equal(lq_json_is_array(L, -1), cJSON_IsArray(c));
        cJSON_ArrayForEach(child, c)
        {
            n++;
            if (cJSON_IsArray(c))
                lua_rawgeti(L, -1, n);
            else
                lua_getfield(L, -1, child->string);
            same(L, child);
            lua_pop(L, 1);
        }
        lua_Integer members = 0;
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
            members++;
        assert_int_equal(members, n);
    }
}

static void random_documents__agree_with_cjson(void **state)
{
    (void)state;
    lua_State *L = luaL_newstate();
    lq_buf b, once, twice;
    lq_buf_init(&b, 0);
    lq_buf_init(&once, 0);
    lq_buf_init(&twice, 0);
    seed = 20260131;
    for (int i = 0; i < DOCUMENTS; i++) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        lq_buf_clear(&b);
        add_value(&b, 0);
        cJSON *c = cJSON_ParseWithLength(b.p, b.len);
        assert_non_null(c);
        if (lq_json_push(L, lq_buf_str(&b), &err))
            fail_msg("%s: %s", err.message, b.p);
        same(L, c);
        cJSON_Delete(c);

        /* What is written reads as the same for cJSON … */
        lq_buf_clear(&once);
        assert_int_equal(lq_json_write(L, -1, &once, &err), 0);
        c = cJSON_ParseWithLength(once.p, once.len);
        assert_non_null(c);
        same(L, c);
        cJSON_Delete(c);
        /* … and as the same bytes for us. */
        lua_settop(L, 0);
        assert_int_equal(lq_json_push(L, lq_buf_str(&once), &err), 0);
        lq_buf_clear(&twice);
        assert_int_equal(lq_json_write(L, -1, &twice, &err), 0);
        assert_string_equal(twice.p, once.p);
        lua_settop(L, 0);
    }
    lq_buf_release(&b);
    lq_buf_release(&once);
    lq_buf_release(&twice);
    lua_close(L);
}

/* Every prefix of a document that is not a lone number is not one, and reading
 * it touches nothing behind its end. */
static void cut_documents__are_refused(void **state)
{
    (void)state;
    lq_buf b;
    lq_buf_init(&b, 0);
    seed = 42;
    for (int i = 0; i < 200; i++) {
        lq_buf_clear(&b);
        lq_buf_add_c(&b, "[");
        add_value(&b, 0);
        lq_buf_add_c(&b, "]");
        for (size_t len = 0; len < b.len; len++) {
            char *exact = malloc(len ? len : 1);
            assert_non_null(exact);
            memcpy(exact, b.p, len);
            assert_int_equal(lq_json_check(lq_str_n(exact, len), NULL),
                             LUNAQ_EINVAL);
            free(exact);
        }
    }
    lq_buf_release(&b);
}

/* Damaged at random: what we accept, cJSON accepts too. */
static void damaged_documents__are_read_alike_or_refused(void **state)
{
    (void)state;
    lua_State *L = luaL_newstate();
    lq_buf b;
    lq_buf_init(&b, 0);
    seed = 4711;
    int accepted = 0, refused = 0;
    for (int i = 0; i < DOCUMENTS; i++) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        lq_buf_clear(&b);
        add_value(&b, 0);
        static const char likely[] = "0123456789aeEu\"[]{},:-+. \\/";
        char byte = (char)pick(256);
        if (pick(4))
            byte = likely[pick(sizeof likely - 1)];
        b.p[pick((unsigned)b.len)] = byte;
        int checked = lq_json_check(lq_buf_str(&b), &err);
        int pushed = lq_json_push(L, lq_buf_str(&b), &err);
        if (checked) {
            refused++;
            assert_int_equal(pushed, checked);
        } else {
            accepted++;
            cJSON *c = cJSON_ParseWithLength(b.p, b.len);
            assert_non_null(c);
            cJSON_Delete(c);
        }
        lua_settop(L, 0);
    }
    assert_true(accepted > 100 && refused > 100);
    lq_buf_release(&b);
    lua_close(L);
}

static void integers__survive_the_round_trip(void **state)
{
    (void)state;
    lua_State *L = luaL_newstate();
    lq_buf b;
    lq_buf_init(&b, 0);
    seed = 99;
    for (int i = 0; i < 20000; i++) {
        (void)pick(2);
        lua_Integer n = (lua_Integer)(seed >> pick(64));
        if (pick(2))
            n = -n;
        lq_buf_clear(&b);
        lua_pushinteger(L, n);
        assert_int_equal(lq_json_write(L, -1, &b, NULL), 0);
        assert_int_equal(lq_json_push(L, lq_buf_str(&b), NULL), 0);
        assert_true(lua_isinteger(L, -1) && lua_tointeger(L, -1) == n);
        lua_settop(L, 0);
    }
    lq_buf_release(&b);
    lua_close(L);
}

static void floats__survive_the_round_trip(void **state)
{
    (void)state;
    lua_State *L = luaL_newstate();
    lq_buf b;
    lq_buf_init(&b, 0);
    seed = 7;
    for (int i = 0; i < 20000; i++) {
        double d;
        (void)pick(2);
        memcpy(&d, &seed, sizeof d);
        if (!isfinite(d))
            continue;
        lq_buf_clear(&b);
        lua_pushnumber(L, d);
        assert_int_equal(lq_json_write(L, -1, &b, NULL), 0);
        assert_int_equal(lq_json_push(L, lq_buf_str(&b), NULL), 0);
        assert_false(lua_isinteger(L, -1));
        assert_true(lua_tonumber(L, -1) == d);
        lua_settop(L, 0);
    }
    lq_buf_release(&b);
    lua_close(L);
}

/* ---- out of memory ------------------------------------------------------ */

static const char document[] =
    "{\"name\":\"a\\u0000b and a string longer than forty characters \\n\","
    "\"list\":[1,2.5,{\"deep\":[[],{}]},null,true],"
    "\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,\"6\":6,\"7\":7,\"8\":8,\"9\":9,"
    "\"10\":1,\"11\":2,\"12\":3,\"13\":4,\"14\":5,\"15\":6,\"16\":7,\"17\":8,"
    "\"18\":1,\"19\":2,\"20\":3,\"21\":4,\"22\":5,\"23\":6,\"24\":7,\"25\":8,"
    "\"26\":1,\"27\":2,\"28\":3,\"29\":4,\"30\":5,\"31\":6,\"32\":7,\"33\":8}";

static void write__when_memory_runs_out__leaks_nothing(void **state)
{
    (void)state;
    lua_State *L = luaL_newstate();
    assert_int_equal(lq_json_push(L, lq_str_c(document), NULL), 0);
    int64_t before = lq_alloc_live();
    int rc = -1;
    unsigned rounds = 0;
    for (uint64_t n = 1; rc != 0; n++) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        lq_buf b;
        lq_buf_init(&b, 0);
        lq_alloc_fail_at(n, true);
        rc = lq_json_write(L, -1, &b, &err);
        lq_alloc_fail_at(0, false);
        if (rc)
            assert_int_equal(rc, LUNAQ_EFULL);
        lq_buf_release(&b);
        assert_int_equal(lq_alloc_live(), before);
        assert_int_equal(lua_gettop(L), 1);
        rounds++;
    }
    assert_true(rounds > 2);
    lua_close(L);
}

struct meter {
    uint64_t fail_in; /* allocations until one fails; 0 = never */
};

static void *metered(void *ud, void *p, size_t osize, size_t nsize)
{
    struct meter *m = ud;
    if (nsize == 0) {
        free(p);
        return NULL;
    }
    if ((!p || nsize > osize) && m->fail_in && --m->fail_in == 0) {
        m->fail_in = 1; /* and from now on every one */
        return NULL;
    }
    return realloc(p, nsize);
}

static int push_protected(lua_State *L)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_str text = {lua_touserdata(L, 1), sizeof document - 1};
    int rc = lq_json_push(L, text, &err);
    if (rc) {
        assert_int_equal(rc, LUNAQ_ENOMEM); /* the stack could not grow */
        return luaL_error(L, "no stack");
    }
    return 1;
}

static void read__when_memory_runs_out__raises_and_goes_on(void **state)
{
    (void)state;
    struct meter meter = {0};
    lua_State *L = lua_newstate(metered, &meter);
    assert_non_null(L);
    int64_t before = lq_alloc_live();
    int status = -1;
    unsigned rounds = 0;
    for (uint64_t n = 1; status != LUA_OK; n++) {
        lua_pushcfunction(L, push_protected);
        lua_pushlightuserdata(L, (void *)(uintptr_t)document);
        lua_gc(L, LUA_GCCOLLECT);
        meter.fail_in = n;
        status = lua_pcall(L, 1, 1, 0);
        meter.fail_in = 0;
        assert_true(status == LUA_OK || status == LUA_ERRMEM ||
                    status == LUA_ERRRUN);
        assert_int_equal(lua_gettop(L), 1);
        assert_int_equal(lq_alloc_live(), before);
        if (status == LUA_OK)
            assert_int_equal(lua_type(L, -1), LUA_TTABLE);
        lua_settop(L, 0);
        rounds++;
    }
    assert_true(rounds > 10);
    lua_close(L);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_documents__agree_with_cjson),
        cmocka_unit_test(cut_documents__are_refused),
        cmocka_unit_test(damaged_documents__are_read_alike_or_refused),
        cmocka_unit_test(integers__survive_the_round_trip),
        cmocka_unit_test(floats__survive_the_round_trip),
        cmocka_unit_test(write__when_memory_runs_out__leaks_nothing),
        cmocka_unit_test(read__when_memory_runs_out__raises_and_goes_on),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("json_random", tests, NULL, NULL);
}
