/* What handlers cannot reach, change, or run away with; and that patterns mean
 * what Lua's own mean. */
#include "support/test.h"

#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lua/sandbox.h"
#include "lua/world.h"

static bool gc;

typedef struct row {
    const char *name;
    const char *body;   /* of the handler */
    const char *result; /* NULL: it fails */
    const char *message;
} row;

static const row rows[] = {
    {"no_io_no_debug_no_package",
     "return tostring(io) .. tostring(debug) .. tostring(package) .. "
     "tostring(dofile) .. tostring(loadfile) .. tostring(loadstring)",
     "nilnilnilnilnilnil", NULL},
    {"os_is_cut",
     "local n = {} for k in pairs(os) do n[#n + 1] = k end "
     "table.sort(n) return table.concat(n, ' ')",
     "clock date difftime time", NULL},
    {"no_os_execute", "os.execute('true')", NULL, "attempt to call a nil"},
    {"no_string_dump", "return tostring(string.dump)", "nil", NULL},
    {"string_is_read_only", "string.upper = 1", NULL,
     "'string' cannot be changed"},
    {"every_library_is_read_only",
     "local n = 0 for _, l in pairs({string, table, math, utf8, os, coroutine, "
     "json, log, queue, lunaq, db}) do if not pcall(function() l.x = 1 end) "
     "and "
     "not pcall(rawset, l, 'x', 1) and not pcall(setmetatable, l, {}) and "
     "getmetatable(l) == false then n = n + 1 end end return n",
     "11", NULL},
    {"rawset_on_the_environment", "rawset(_ENV, 'x', 1)", NULL,
     "cannot be changed"},
    {"rawset_on_G", "rawset(_G, 'x', 1)", NULL, "cannot be changed"},
    {"setmetatable_on_G", "setmetatable(_G, nil)", NULL, "protected metatable"},
    {"table_insert_into_a_library", "table.insert(string, 1)", NULL,
     "cannot be changed"},
    {"string_metatable_is_protected", "return getmetatable('')", "false", NULL},
    {"string_metatable_cannot_be_written", "getmetatable('').__index = nil",
     NULL, "attempt to index a boolean"},
    {"pairs_of_a_library_does_not_leak_it",
     "local f, t = pairs(string) t.evil = 1", NULL, "cannot be changed"},
    {"bytecode_is_refused_by_load", "local f, e = load('\\27Lua') return e",
     "load: only text can be loaded", NULL},
    {"binary_mode_is_refused",
     "local f, e = load('return 1', 'x', 'b') return "
     "e",
     "load: only text can be loaded", NULL},
    {"loaded_code_has_our_globals", "return load('return tostring(io)')()",
     "nil", NULL},
    {"loaded_code_cannot_set_globals", "load('x = 1')()", NULL,
     "assignment to the global 'x'"},
    {"loaded_code_may_have_its_own",
     "local e = {} load('x = 5', 'c', 't', e)() "
     "return e.x",
     "5", NULL},
    {"finalizers_are_refused", "setmetatable({}, {__gc = function() end})",
     NULL, "'__gc' is not allowed"},
    {"weak_tables_are_refused", "setmetatable({}, {__mode = 'k'})", NULL,
     "'__mode' is not allowed"},
    {"collectgarbage_counts_only",
     "return math.type(collectgarbage('count')) .. "
     "tostring(pcall(collectgarbage, 'stop'))",
     "floatfalse", NULL},
    {"tostring_shows_no_address",
     "local a, b = tostring({}), tostring(print) return a:match('^table: "
     "%x%x%x%x%x%x%x%x$') and b:match('^function: %x%x%x%x%x%x%x%x$') and 'ok'",
     "ok", NULL},
    {"tostring_tells_tables_apart",
     "local t = {} return tostring(t) == tostring(t) and tostring(t) ~= "
     "tostring({})",
     "true", NULL},
    {"format_s_shows_no_address",
     "return ('%s'):format({}):match('^table: %x%x%x%x%x%x%x%x$') and 'ok'",
     "ok", NULL},
    {"format_p_is_refused", "return ('%p'):format({})", NULL,
     "'%p' is not allowed"},
    {"format_works",
     "return ('%5.2f|%-5s|%05d|%x|%q|%%|%s|%s'):format(1.5, 'ab', 42, 255, "
     "'x\\n', nil, true)",
     " 1.50|ab   |00042|ff|\"x\\\n\"|%|nil|true", NULL},
    {"rep_is_bounded", "return ('x'):rep(1 << 30)", NULL, "more than 16777216"},
    {"rep_of_nothing_is_fine", "return #(''):rep(1 << 40)", "0", NULL},
    {"rep_with_separator_is_bounded", "return (''):rep(1 << 30, 'xy')", NULL,
     "more than 16777216"},
    {"format_is_bounded",
     "local s = ('x'):rep(1 << 23) return ('%s%s%s'):format(s, s, s)", NULL,
     "more than 16777216"},
    {"pack_is_bounded", "return string.pack('c1000000000', '')", NULL,
     "more than 16777216"},
    {"concat_is_bounded",
     "local s = ('x'):rep(1 << 20) local t = {} for i = 1, 40 do t[i] = s end "
     "return table.concat(t)",
     NULL, "table.concat: the result has more than"},
    {"concat_works", "return table.concat({1, 'b', 3.5}, ', ', 1, 3)",
     "1, b, 3.5", NULL},
    {"gsub_result_is_bounded",
     "return (('x'):rep(1000000):gsub('x', ('y'):rep(1000)))", NULL,
     "gsub: the result has more than"},
    {"move_is_bounded", "table.move({}, 1, 1000000000, 2)", NULL,
     "table.move: 1000000000 items"},
    {"move_works",
     "local t = {1, 2, 3} table.move(t, 1, 3, 2) return table.concat(t) .. "
     "table.concat(table.move({7, 8}, 1, 2, 1, {})) .. "
     "table.concat(table.move({1, 2, 3}, 2, 3, 1))",
     "112378233", NULL},
    {"insert_with_a_lying_length",
     "table.insert(setmetatable({}, {__len = function() return 1 << 53 end}), "
     "1, 'x')",
     NULL, "table.insert: 9007199254740992 items"},
    {"remove_with_a_lying_length",
     "table.remove(setmetatable({}, {__len = function() return 1 << 53 end}), "
     "1)",
     NULL, "table.remove: 9007199254740991 items"},
    {"insert_and_remove_work",
     "local t = {} table.insert(t, 'a') table.insert(t, 1, 'b') "
     "table.insert(t, "
     "2, 'c') local r = table.remove(t, 1) .. table.remove(t) .. #t "
     "table.remove(t) return r .. #t .. tostring(table.remove(t))",
     "ba10nil", NULL},
    {"sort_with_length_of_its_own",
     "table.sort(setmetatable({}, {__len = function() return 1 << 30 end}))",
     NULL, "cannot be sorted"},
    {"sort_works",
     "local t = {3, 1, 2} table.sort(t) local u = {3, 1, 2} "
     "table.sort(u, function(a, b) return a > b end) return "
     "table.concat(t) .. table.concat(u)",
     "123321", NULL},
    {"unpack_of_ten_million", "return select('#', table.unpack({}, 1, 1e7))",
     NULL, "too many results"},
    {"quadratic_pattern", "return (('a'):rep(65536)):find('.-b')", NULL,
     "too many steps"},
    {"pattern_of_the_fourth_degree", "return (('a'):rep(400)):find('.-.-.-b')",
     NULL, "too many steps"},
    {"trim_of_64k_blanks", "return ((' '):rep(65536) .. 'x'):gsub('%s*$', '')",
     NULL, "too many steps"},
    {"optional_blow_up",
     "return (('a'):rep(24)):find(('a?'):rep(24) .. ('a'):rep(24))", NULL,
     "too many steps"},
#if defined(__SANITIZE_THREAD__) /* at a hundredth of the speed */
    {"linear_pattern_over_80_kib",
     "local n = 0 for w in ('some words '):rep(7000):gmatch('%a+') do n = n + "
     "1 end return n",
     "14000", NULL},
    {"linear_gsub_over_40_kib",
     "local s, n = ('a b '):rep(1 << 10):gsub('%s+', '_') return n", "2048",
     NULL},
#else
    {"linear_pattern_over_8_mib",
     "local n = 0 for w in ('some words '):rep(700000):gmatch('%a+') do n = n "
     "+ "
     "1 end return n",
     "1400000", NULL},
    {"linear_gsub_over_4_mib",
     "local s, n = ('a b '):rep(1 << 20):gsub('%s+', '_') return n", "2097152",
     NULL},
#endif
    {"deep_pattern", "return ('a'):rep(300):find(('a?'):rep(250))", NULL,
     "pattern too complex"},
    {"deep_parentheses", "return tostring(load(('('):rep(1000000)))", "nil",
     NULL},
    {"recursion_through_everything",
     "local function f(n) return pcall(string.gsub, 'x', 'x', function() "
     "return coroutine.wrap(f)(n + 1) end) end f(1) return 'survived'",
     "survived", NULL},
    {"pcall_is_pcall",
     "local ok, e = pcall(error, {1}) return "
     "tostring(ok) .. type(e) .. e[1]",
     "falsetable1", NULL},
    {"pcall_passes_values",
     "return select('#', pcall(function() return nil, nil, 3 end))", "4", NULL},
    {"xpcall_passes_arguments",
     "return select(2, xpcall(function(a, b) return a .. b end, print, 'x', "
     "'y'))",
     "xy", NULL},
    {"error_values_pass_untouched",
     "local t = {} local _, e = pcall(error, t) return e == t", "true", NULL},
    {"coroutine_status",
     "local co co = coroutine.create(function() coroutine.yield() end) local a "
     "= coroutine.status(co) coroutine.resume(co) coroutine.resume(co) return "
     "a "
     ".. coroutine.status(co) .. coroutine.status(coroutine.running())",
     "suspendeddeadrunning", NULL},
    {"coroutine_wrap_error_has_position",
     "local ok, e = pcall(coroutine.wrap(function() error('x') end)) return e",
     "t.lua:2: x", NULL},
    {"resume_dead",
     "local co = coroutine.create(function() end) "
     "coroutine.resume(co) local ok, e = coroutine.resume(co) "
     "return e",
     "cannot resume dead coroutine", NULL},
    {"resume_self",
     "local ok, e = coroutine.resume((coroutine.running())) "
     "return e",
     "cannot resume non-suspended coroutine", NULL},
    {"close_runs_variables",
     "local log = '' local co = coroutine.create(function() local x <close> = "
     "setmetatable({}, {__close = function() log = log .. 'c' end}) "
     "coroutine.yield() end) coroutine.resume(co) return "
     "tostring(coroutine.close(co)) .. log .. coroutine.status(co)",
     "truecdead", NULL},
    {"nested_close_is_bounded",
     "local function f(n) local co = coroutine.create(function() local x "
     "<close>"
     " = setmetatable({}, {__close = function() f(n + 1) end}) "
     "coroutine.yield()"
     " end) coroutine.resume(co) assert(coroutine.close(co)) end f(1)",
     NULL, "nested too deeply"},
    {"require_of_nothing", "require 'os'", NULL, "only files of lib/"},
    {"require_out_of_lib", "require 'lib...etc.passwd'", NULL,
     "only files of lib/"},
    {"require_of_an_absent_file", "require 'lib.nope'", NULL,
     "there is no lib/nope.lua"},
    {"print_goes_to_the_log", "print('a', 1, nil) return 1", "1", NULL},
    {"randomseed_does_no_harm", "math.randomseed(1) return math.random(1, 1)",
     "1", NULL},
};

static world *open_with(const char *body)
{
    char source[4000];
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, gc);
    snprintf(source, sizeof source, "return function(task)\n%s\nend\n", body);
    world_write(w, "handlers/t.lua", source);
    world_open(w);
    return w;
}

static void check(void **state)
{
    const row *c = *state;
    world *w = open_with(c->body);
    int64_t began = lq_mono_ms();
    world_run *r = world_start(w, "t", "{}");
    world_wait(w, r);
    if (c->result) {
        if (r->kind != LQ_SUCCEEDED)
            fail_msg("%s", r->message);
        assert_string_equal(r->result, c->result);
    } else {
        if (r->kind != LQ_FAILED)
            fail_msg("verdict %d, result %s", r->kind, r->result);
        if (!strstr(r->message, c->message))
            fail_msg("message: %s", r->message);
    }
    assert_true(lq_mono_ms() - began < 60000); /* not for ever */
    world_end(r);
    world_free(w);
}

/* ---- patterns against Lua's own ------------------------------------------ */

static const char *const subjects[] = {"",
                                       "a",
                                       "aaa",
                                       "hello world",
                                       "  trim me  ",
                                       "key = value",
                                       "a.b.c",
                                       "f(a(b)c)d",
                                       "x\\0y",
                                       "THE (quick) fox",
                                       "2024-01-31T12:00:00Z",
                                       "]]^-",
                                       "%d%%",
                                       "aXbXc",
                                       "\n\tline\r\n",
                                       "abcabc",
                                       "((()))",
                                       "\xc3\xa4\xff"};
static const char *const patterns[] = {
    "", "a", "a*", "a+", "a-", "a?", ".", ".*", ".-", "^a", "a$", "^a*$",
    "^%s*(.-)%s*$", "(%w+)%s*=%s*(%w+)", "%a+", "[%a_][%w_]*", "[^%s]+", "%b()",
    "%f[%w]%w+", "(a)(b)%1", "(%w)%1", "()a()", "[a-c]+", "[]]", "[^]]", "[a-]",
    "[%-a]", "%d+-%d+-%d+", "$", "^$", "^", "a$b", "(.)(.)(.)", "((a)(b))",
    "%.", "%%", "[%%d]+", "x*$", ".-b", "a.-c", "[A-Z][a-z]*", "%u%l*", "%c+",
    "%p", "%x+", "[a-z%d]+$", "(a*(.)%w(%s*))", "%g+", "\\0", "[\\0-\\31]",
    /* malformed */
    "(", ")", "%", "[", "[a", "%b", "%bx", "%f", "%1", "(()", "[^]", "[%"};
#define MALFORMED 12

/* Both libraries in one state: ours as `t`, Lua's as `s`. */
static const char compare[] =
    "local s, t, subject, pattern, lenient = ...\n"
    "local function show(...)\n"
    "  local out = {}\n"
    "  for i = 1, select('#', ...) do out[i] = tostring((select(i, ...))) end\n"
    "  return table.concat(out, '|')\n"
    "end\n"
    "local function all(lib)\n"
    "  local out = {}\n"
    "  local function try(name, f)\n"
    "    local r = table.pack(pcall(f))\n"
    "    if not r[1] then out[#out + 1] = name .. ' fails: ' .. r[2]\n"
    "    else out[#out + 1] = name .. ' ' .. show(table.unpack(r, 2, r.n)) "
    "end\n"
    "  end\n"
    "  for init = -2, 3 do\n"
    "    try('find', function() return lib.find(subject, pattern, init) end)\n"
    "    try('match', function() return lib.match(subject, pattern, init) "
    "end)\n"
    "  end\n"
    "  try('plain', function() return lib.find(subject, pattern, 1, true) "
    "end)\n"
    "  try('gmatch', function()\n"
    "    local got = {}\n"
    "    for a, b in lib.gmatch(subject, pattern) do\n"
    "      got[#got + 1] = show(a, b)\n"
    "    end\n"
    "    return table.concat(got, ';')\n"
    "  end)\n"
    "  try('gsub', function() return lib.gsub(subject, pattern, '<%0>') end)\n"
    "  try('gsub1', function() return lib.gsub(subject, pattern, '%1.') end)\n"
    "  try('gsub2', function() return lib.gsub(subject, pattern, {a = 1}, 2) "
    "end)\n"
    "  try('gsubf', function()\n"
    "    return lib.gsub(subject, pattern, function(a, b)\n"
    "      return b and (a .. b) or nil end) end)\n"
    "  try('gsub%', function() return lib.gsub(subject, pattern, '%') end)\n"
    "  return out\n"
    "end\n"
    /* A malformed pattern always fails here, in Lua only where the matcher gets
     * to the fault. */
    "local a, b = all(s), all(t)\n"
    "for i = 1, #a do\n"
    "  local fault = lenient and (s.find(b[i], 'malformed') or\n"
    "    s.find(b[i], 'unfinished capture') or\n"
    "    s.find(b[i], 'missing') or s.find(b[i], 'capture index'))\n"
    "  local both = s.find(a[i], ' fails: ') and s.find(b[i], ' fails: ')\n"
    "  if a[i] ~= b[i] and not fault and not both then\n"
    "    error('Lua: ' .. a[i] .. '\\nours: ' .. b[i])\n"
    "  end\n"
    "end\n";

static void patterns__mean_what_they_mean_in_lua(void **state)
{
    (void)state;
    lq_lua_options options = {.folder = "-", .interrupt = LUNAQ_INTERRUPT_NONE};
    lq_lua_host *host = NULL;
    assert_int_equal(lq_lua_host_new(&host, NULL, &options, NULL), 0);
    lua_State *L = host->L;
    luaL_requiref(L, "_G", luaopen_base, 1);
    luaL_requiref(L, "table", luaopen_table, 1);
    lua_pushcfunction(L, luaopen_string);
    lua_call(L, 0, 1);
    int theirs = lua_gettop(L);
    lua_newtable(L);
    lq_lua_open_pattern(L);
    int ours = lua_gettop(L);
    for (size_t i = 0; i < LQ_COUNT(subjects); i++) {
        for (size_t j = 0; j < LQ_COUNT(patterns); j++) {
            assert_int_equal(luaL_loadstring(L, compare), 0);
            lua_pushvalue(L, theirs);
            lua_pushvalue(L, ours);
            lua_pushstring(L, subjects[i]);
            lua_pushstring(L, patterns[j]);
            lua_pushboolean(L, j >= LQ_COUNT(patterns) - MALFORMED);
            if (lua_pcall(L, 5, 0, 0))
                fail_msg("'%s' on '%s':\n%s", patterns[j], subjects[i],
                         lua_tostring(L, -1));
        }
    }
    lq_lua_host_free(host);
}

/* Random patterns over a small alphabet find what tables of cases do not. */
static void random_patterns__mean_what_they_mean_in_lua(void **state)
{
    (void)state;
    static const char pieces[][6] = {"a", "b",  ".",    "*",    "+",  "-",
                                     "?", "(",  ")",    "[ab]", "%a", "^",
                                     "$", "%1", "%b()", "()",   "%s", "[^a]"};
    static const char letters[] = "ab ()";
    lq_lua_options options = {.folder = "-", .interrupt = LUNAQ_INTERRUPT_NONE};
    lq_lua_host *host = NULL;
    assert_int_equal(lq_lua_host_new(&host, NULL, &options, NULL), 0);
    lua_State *L = host->L;
    luaL_requiref(L, "_G", luaopen_base, 1);
    luaL_requiref(L, "table", luaopen_table, 1);
    lua_pushcfunction(L, luaopen_string);
    lua_call(L, 0, 1);
    lua_newtable(L);
    lq_lua_open_pattern(L);
    assert_int_equal(luaL_loadstring(L, compare), 0);
    for (int round = 0; round < 4000; round++) {
        char subject[16] = "", pattern[64] = "";
        size_t n = lq_random(10);
        for (size_t i = 0; i < n; i++)
            subject[i] = letters[lq_random(sizeof letters - 1)];
        n = lq_random(7);
        for (size_t i = 0, at = 0; i < n; i++)
            at += (size_t)snprintf(pattern + at, sizeof pattern - at, "%s",
                                   pieces[lq_random(LQ_COUNT(pieces))]);
        lua_pushvalue(L, -1);
        lua_pushvalue(L, -4);
        lua_pushvalue(L, -4);
        lua_pushstring(L, subject);
        lua_pushstring(L, pattern);
        lua_pushboolean(L, 1);
        if (lua_pcall(L, 5, 0, 0))
            fail_msg("'%s' on '%s':\n%s", pattern, subject,
                     lua_tostring(L, -1));
    }
    lq_lua_host_free(host);
}

/* ---- coroutines of other runs -------------------------------------------- */

static void waiting_coroutine_of_another_run__cannot_be_touched(void **state)
{
    (void)state;
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, gc);
    world_write(
        w, "handlers/t.lua",
        "local shared\n"
        "return function(task)\n"
        "  if task.payload.first then\n"
        "    shared = coroutine.running()\n"
        "    local co = coroutine.create(function() lunaq.sleep(0.05) end)\n"
        "    if task.payload.inner then shared = co end\n"
        "    coroutine.resume(co) return 'done'\n"
        "  end\n"
        "  local ok, e = coroutine.resume(shared)\n"
        "  local ok2, e2 = pcall(coroutine.close, shared)\n"
        "  return tostring(ok) .. ' ' .. e .. '; ' .. tostring(ok2) .. ' ' .. "
        "e2\n"
        "end\n");
    world_open(w);
    for (int inner = 0; inner < 2; inner++) {
        world_run *a = world_start(w, "t",
                                   inner ? "{\"first\":true,\"inner\":true}"
                                         : "{\"first\":true}");
        assert_false(a->ended);
        world_run *b = world_start(w, "t", "{}");
        world_wait(w, b);
        if (b->kind != LQ_SUCCEEDED)
            fail_msg("%s", b->message);
        assert_string_equal(b->result,
                            "false cannot resume a coroutine that waits in a "
                            "run; false cannot close a normal coroutine");
        world_wait(w, a);
        assert_string_equal(a->result, "done");
        world_end(a);
        world_end(b);
    }
    world_free(w);
}

static void task_kept_beyond_its_run__says_so(void **state)
{
    (void)state;
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, gc);
    world_write(w, "handlers/t.lua",
                "local kept\n"
                "return function(task)\n"
                "  if kept then return kept.id end\n"
                "  kept = task\n"
                "end\n");
    world_open(w);
    world_run *a = world_start(w, "t", "{}");
    world_wait(w, a);
    assert_int_equal(a->kind, LQ_SUCCEEDED);
    world_run *b = world_start(w, "t", "{}");
    world_wait(w, b);
    assert_int_equal(b->kind, LQ_FAILED);
    assert_non_null(strstr(b->message, "this task's run is over"));
    world_end(a);
    world_end(b);
    world_free(w);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(patterns__mean_what_they_mean_in_lua),
        cmocka_unit_test(random_patterns__mean_what_they_mean_in_lua),
        cmocka_unit_test(waiting_coroutine_of_another_run__cannot_be_touched),
        cmocka_unit_test(task_kept_beyond_its_run__says_so),
    };
    static struct CMUnitTest tests[LQ_COUNT(rows) + LQ_COUNT(others)];
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        tests[i] = (struct CMUnitTest){rows[i].name, check, NULL, NULL,
                                       (void *)(uintptr_t)&rows[i]};
    memcpy(tests + LQ_COUNT(rows), others, sizeof others);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
    gc = true;
    return failed + cmocka_run_group_tests_name("sandbox, collecting", tests,
                                                NULL, NULL);
}
