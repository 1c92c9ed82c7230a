/* The folder: what is loaded, what is refused and how that is told. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lua/generation.h"
#include "lua/source.h"
#include "lua/world.h"

/* ---- refused at load ------------------------------------------------------
 */

typedef struct row {
    const char *name;
    const char *files[4]; /* name, text, name, text */
    const char *message;
} row;

static const row rows[] = {
    {"syntax_error__has_file_and_line",
     {"handlers/a.lua", "return function()\n  x = = 1\nend"},
     "a.lua:2: unexpected symbol near '='"},
    {"top_level_error__has_file_and_line",
     {"handlers/s/a.lua", "local t\nlocal x = t.y"},
     "s/a.lua:2: attempt to index a nil value (local 't')"},
    {"top_level_error_table__has_file",
     {"handlers/a.lua", "error({message = 'no'})"},
     "a.lua: no"},
    {"top_level_error_of_other_type__has_file",
     {"handlers/a.lua", "error(print)"},
     "a.lua: a function value was raised at the file's top level"},
    {"top_level_error_table_without_message__has_file",
     {"handlers/a.lua", "error({code = 5})"},
     "a.lua: a table without a message was raised"},
    {"top_level_error_of_nothing__has_file",
     {"handlers/a.lua", "error()"},
     "a.lua: a nil value was raised at the file's top level"},
    {"top_level_error_without_a_place__has_file",
     {"handlers/a.lua", "error('no config: set it', 0)"},
     "a.lua: no config: set it"},
    {"unknown_backoff__is_said",
     {"handlers/a.lua", "return {run = print,\n  backoff = 'linear'}"},
     "a.lua:2: backoff: 'linear' is none: use \"exponential\""},
    {"schedule_file_without_a_function__is_said",
     {"handlers/_schedule.lua", "return {doc = 'later'}"},
     "_schedule.lua: it has no schedule, before_enqueue or after_enqueue"},
    {"schedule_file_that_is_a_list__is_said",
     {"handlers/_schedule.lua", "return {{type = 'a', spec = '@daily'}}"},
     "_schedule.lua: the returned table has a table without a name: write "
     "schedule"},
    {"nothing_returned__is_said",
     {"handlers/a.lua", "local x = 1"},
     "a.lua: it returns a nil; return {run = function(task)"},
    {"number_returned__is_said",
     {"handlers/a.lua", "return 5"},
     "a.lua: it returns a number"},
    {"no_run__is_said",
     {"handlers/a.lua", "return {\n  doc = 'x'\n}"},
     "a.lua: run: it is missing, or nil: write run = function(task)"},
    {"run_that_is_nil__has_line",
     {"handlers/a.lua", "local M = {}\nreturn {\n  run = M.proces\n}"},
     "a.lua:3: run: it is missing, or nil"},
    {"name_of_another_system__has_suggestion",
     {"handlers/a.lua", "return { handle = function() end }"},
     "a.lua:1: unknown option 'handle'; did you mean 'run'?"},
    {"function_without_a_name__is_said",
     {"handlers/a.lua", "return { function(task) end }"},
     "a.lua: the returned table has a function without a name: write run ="},
    {"commented_option__is_not_the_line",
     {"handlers/a.lua",
      "return {run = print,\n  -- max_retry = 3,\n  max_retry = 'x'}"},
     "a.lua:3: max_retry: a string"},
    {"arguments_as_a_list__are_said",
     {"handlers/a.lua", "return {run = print,\n  args = {'user_id'}}"},
     "a.lua:2: args: it is a list: give each member a type, as in {user_id ="},
    {"cron_list_with_a_member__is_refused",
     {"handlers/a.lua",
      "return {run = print,\n  cron = {'@daily', payload = {n = 1}}}"},
     "a.lua:2: cron: it is a list, in which 'payload' has no meaning: write "
     "{spec"},
    {"cron_entry_with_a_nameless_value__is_refused",
     {"handlers/a.lua",
      "return {run = print,\n  cron = {{'@daily', payload = {n = 1}}}}"},
     "a.lua:2: cron: a string stands there without a name (known: spec name"},
    {"cron_without_the_arguments__is_refused",
     {"handlers/a.lua",
      "return {run = print, args = {id = 'string'},\n  cron = '@daily'}"},
     "a.lua:2: cron: by `args` every tick would be archived: the payload has "
     "no 'id'"},
    {"cron_with_a_wrong_argument__is_refused",
     {"handlers/a.lua",
      "return {run = print, args = {n = 'integer', x = 'any?'},\n"
      "  cron = {{spec = '@daily', payload = {n = 1}},\n"
      "    {spec = '@hourly', payload = {n = 'x'}}}}"},
     "a.lua:2: cron: by `args` every tick would be archived: the payload's "
     "'n' is a string"},
    {"cron_number__is_refused",
     {"handlers/a.lua", "return {run = print,\n  cron = 5}"},
     "a.lua:2: cron: 5, where a spec such as"},
    {"cron_name_that_is_no_text__is_refused",
     {"handlers/a.lua",
      "return {run = print,\n  cron = {spec = '@daily',\n  name = 'a\\nb'}}"},
     "a.lua:3: cron.name: byte 1 is a control character"},
    {"backoff_list_with_a_member__is_refused",
     {"handlers/a.lua",
      "return {run = print,\n  backoff = {'5s', '1m',\n  max = '1h'}}"},
     "a.lua:3: backoff: it is a list, in which 'max' has no meaning"},
    {"zero_byte_in_a_type__is_refused",
     {"handlers/a.lua", "return {run = print,\n  type = 'a\\0b'}"},
     "a.lua:2: type: it holds a zero byte"},
    {"wrong_type_in_types__has_line",
     {"handlers/a.lua", "return {run = print,\n  types = {'a', 'b\\n'}}"},
     "a.lua:2: type: byte 1 is a control character"},
    {"file_name_that_is_no_type__is_said",
     {"handlers/a\tb.lua", "local x = 1\nreturn print"},
     "a\tb.lua: type: byte 1 is a control character"},
    {"misspelt_option__has_line_and_suggestion",
     {"handlers/a.lua", "return {\n  max_retrys = 3,\n  run = print,\n}"},
     "a.lua:2: unknown option 'max_retrys'; did you mean 'max_retry'?"},
    {"unknown_option__has_line",
     {"handlers/a.lua", "return {\n  run = print,\n  frobnicate = 3\n}"},
     "a.lua:3: unknown option 'frobnicate' (known: run doc args queue"},
    {"wrong_type_of_option__has_line",
     {"handlers/a.lua", "return {run = print,\n  max_retry = 'three'\n}"},
     "a.lua:2: max_retry: a string, where a whole number from 0 on is "
     "expected"},
    {"wrong_duration__has_line",
     {"handlers/a.lua", "return {run = print,\n  timeout = '5 parsecs'\n}"},
     "a.lua:2: timeout: "},
    {"wrong_queue__has_line",
     {"handlers/a.lua", "return {run = print,\n\n  queue = 'a{b}'\n}"},
     "a.lua:3: queue "},
    {"wrong_cron__has_line",
     {"handlers/a.lua", "return {run = print,\n  cron = '61 * * * *'\n}"},
     "a.lua:2: cron \"61 * * * *\": "},
    {"wrong_cron_member__has_line",
     {"handlers/a.lua",
      "return {run = print,\n  cron = {spec = '@hourly',\n  when = 1}}"},
     "a.lua:3: cron: unknown member 'when'"},
    {"wrong_cron_zone__has_line",
     {"handlers/a.lua",
      "return {run = print,\n  cron = {spec = '@hourly', tz = 'Mars/Base'}}"},
     "a.lua:2: cron \"@hourly\": time zone \"Mars/Base\": "},
    {"wrong_schedule__has_line",
     {"handlers/a.lua", "return {run = print,\n  schedule = {}\n}"},
     "a.lua:2: schedule: a table, where a function is expected"},
    {"schedule_every_without_schedule__has_line",
     {"handlers/a.lua", "return {run = print,\n  schedule_every = '1m'\n}"},
     "a.lua:2: schedule_every: there is no `schedule`"},
    {"schedule_every_too_often__has_line",
     {"handlers/_schedule.lua",
      "return {\n schedule = print, schedule_every = '10ms'\n}"},
     "_schedule.lua:2: schedule_every: use 1s or more"},
    {"schedule_file_with_a_handlers_option__has_line",
     {"handlers/_schedule.lua", "return {schedule = print,\n run = print\n}"},
     "_schedule.lua:2: unknown option 'run'"},
    {"schedule_file_that_returns_a_function__is_said",
     {"handlers/_schedule.lua", "return function() end"},
     "_schedule.lua: it returns a function; return {schedule"},
    {"schedule_file_in_a_folder__is_said",
     {"handlers/a/_schedule.lua", "return {schedule = print}"},
     "a/_schedule.lua: there is one such file, handlers/_schedule.lua"},
    {"wrong_before_enqueue__has_line",
     {"handlers/a.lua", "return {run = print,\n  before_enqueue = 1\n}"},
     "a.lua:2: before_enqueue: 1, where a function is expected"},
    {"wrong_cron_missed__has_line",
     {"handlers/a.lua",
      "return {run = print,\n  cron = {spec = '@hourly', missed = 'never'}}"},
     "a.lua:2: cron \"@hourly\": missed is \"never\": use once"},
    {"wrong_group__is_said",
     {"handlers/a.lua", "return {run = print,\n  group = 5\n}"},
     "a.lua:2: group: 5, where a table such as {grace = \"30s\"}"},
    {"wrong_group_member__has_line",
     {"handlers/a.lua",
      "return {run = print,\n  group = {grace = '5s',\n  size = 1}}"},
     "a.lua:3: group: unknown member 'size' (known: grace max_delay"},
    {"wrong_group_grace__has_line",
     {"handlers/a.lua",
      "return {run = print,\n  group = {\n  grace = '0.5s'}}"},
     "a.lua:3: group.grace: at least 1s is needed"},
    {"wrong_group_size__has_line",
     {"handlers/a.lua", "return {run = print,\n  group = {max_size = -1}}"},
     "a.lua:2: group.max_size: -1, where a whole number"},
    {"wrong_group_aggregate__has_line",
     {"handlers/a.lua", "return {run = print,\n  group = {aggregate = 1}}"},
     "a.lua:2: group.aggregate: 1, where a function(group, tasks)"},
    {"wrong_argument_type__lists_those_known",
     {"handlers/a.lua", "return {run = print, args = {\n  id = 'uuid'}}"},
     "a.lua:2: args.id: unknown type 'uuid' (known: string number"},
    {"wrong_backoff__is_said",
     {"handlers/a.lua", "return {run = print, backoff = {}}"},
     "a.lua:1: backoff: a table, where \"exponential\""},
    {"wrong_unique__is_said",
     {"handlers/a.lua", "return {run = print, unique = {by = {'a'}}}"},
     "unique: a nil, where a ttl"},
    {"wrong_unique_by__is_named_with_its_table",
     {"handlers/a.lua",
      "return {run = print,\n  unique = {ttl = 5,\n  by = 1}}"},
     "a.lua:3: unique.by: 1, where a list of strings"},
    {"wrong_unique_member__has_line",
     {"handlers/a.lua",
      "return {run = print,\n  unique = {ttl = 5,\n  bye = {'a'}}}"},
     "a.lua:3: unique: unknown member 'bye' (known: ttl by)"},
    {"folder_and_pattern_of_one_prefix__names_both",
     {"handlers/url/_.lua", "return print", "handlers/b.lua",
      "return {type = 'url:*', run = print}"},
     "b.lua and url/_.lua both handle the type 'url:*'"},
    {"star_inside_a_type__is_refused",
     {"handlers/a.lua", "return {\n  type = 'a*b', run = print}"},
     "a.lua:2: type: a '*' may stand only at the end"},
    {"cron_of_a_pattern__is_refused",
     {"handlers/a.lua", "return {type = 'a:*', cron = '@daily', run = print}"},
     "cron: this file handles many types"},
    {"two_files_of_one_type__names_both",
     {"handlers/a.lua", "return {type = 'x', run = print}", "handlers/b.lua",
      "return {types = {'y', 'x'}, run = print}"},
     "a.lua and b.lua both handle the type 'x'"},
    {"waiting_at_the_top_level__is_refused",
     {"handlers/a.lua", "lunaq.sleep(1) return print"},
     "lunaq.sleep cannot be called while a file is loaded"},
    {"enqueueing_at_the_top_level__is_refused",
     {"handlers/a.lua", "queue.enqueue('x') return print"},
     "queue.enqueue cannot be called while a file is loaded"},
    {"global_at_the_top_level__is_refused",
     {"handlers/a.lua", "\nhelper = function() end return print"},
     "a.lua:2: assignment to the global 'helper'"},
    {"endless_top_level__is_ended",
     {"handlers/a.lua", "while true do end"},
     "took longer than 1000 ms"},
    {"endless_top_level_in_pcall__is_ended",
     {"handlers/a.lua", "while true do pcall(function() while true do end end) "
                        "end"},
     "took longer than 1000 ms"},
    {"greedy_top_level__is_ended",
     {"handlers/a.lua", "local t = {} while true do t[#t + 1] = ('x'):rep(1 << "
                        "23) .. #t end"},
     "not enough memory"},
    {"bytecode__is_refused",
     {"handlers/a.lua", "\033Lua"},
     "attempt to load a binary chunk"},
    {"required_file_with_an_error__has_its_line",
     {"handlers/a.lua", "local x = require 'lib.x' return print", "lib/x.lua",
      "\n\nerror('broken')"},
     "a.lua: lib/x.lua:3: broken"},
    {"lib_with_a_syntax_error__is_refused",
     {"handlers/a.lua", "return print", "lib/x.lua", "return return"},
     "lib/x.lua:1: "},
    {"require_in_a_circle__is_refused",
     {"handlers/a.lua", "require 'lib.x' return print", "lib/x.lua",
      "return require 'lib.x'"},
     "require \"lib.x\": it requires itself"},
};

static void is_refused(void **state)
{
    const row *c = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int64_t before = lq_alloc_live();
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    for (size_t i = 0; i < 4 && c->files[i]; i += 2)
        world_write(w, c->files[i], c->files[i + 1]);
    int64_t began = lq_mono_ms();
    assert_int_equal(world_load(w, &err), LUNAQ_EHANDLER);
    if (!strstr(err.message, c->message))
        fail_msg("message: %s", err.message);
    assert_true(lq_mono_ms() - began < 60000);
    world_free(w);
    assert_int_equal(lq_alloc_live(), before);
}

static void folder_that_does_not_exist__is_said(void **state)
{
    (void)state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    w->options.folder = "/nonexistent/handlers";
    assert_int_equal(world_load(w, &err), LUNAQ_EIO);
    assert_string_equal(err.message,
                        "/nonexistent/handlers: No such file or directory");
    world_free(w);
}

static void link_out_of_the_project__is_refused(void **state)
{
    (void)state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    char path[120];
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    snprintf(path, sizeof path, "%s/a.lua", w->handlers);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_int_equal(world_load(w, &err), LUNAQ_EHANDLER);
    assert_non_null(strstr(err.message, "a.lua: the link leads out"));
    world_free(w);
}

static void link_to_nothing__is_refused(void **state)
{
    (void)state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    char path[120];
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    uint64_t before = lq_lua_source_stamp(w->handlers);
    snprintf(path, sizeof path, "%s/.#a.lua", w->handlers);
    assert_int_equal(symlink("me@host.1:2", path), 0); /* an editor's lock */
    assert_true(lq_lua_source_stamp(w->handlers) == before);
    snprintf(path, sizeof path, "%s/a.lua", w->handlers);
    assert_int_equal(symlink("nowhere.lua", path), 0);
    assert_false(lq_lua_source_stamp(w->handlers) == before);
    assert_int_equal(world_load(w, &err), LUNAQ_EHANDLER);
    assert_string_equal(err.message,
                        "a.lua: the link leads nowhere: mend or delete it");
    world_free(w);
}

/* ---- what is loaded -------------------------------------------------------
 */

static void files__become_types(void **state)
{
    (void)state;
    char text[200];
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    world_write(w, "handlers/hello.lua", "return function() return 'h' end");
    world_write(w, "handlers/a/b/c.lua", "return function() return 'abc' end");
    world_write(w, "handlers/a/_.lua", "return function(t) return t.type end");
    world_write(w, "handlers/a/b/_.lua", "return function(t) return 'b' end");
    world_write(w, "handlers/old.lua",
                "return {types = {'x.y', 'z'}, run = function(t) return t.type "
                "end}");
    world_write(w, "handlers/hello_test.lua", "this is no handler");
    world_write(w, "handlers/_other.lua", "return 5");
    world_write(w, "handlers/.hidden.lua", "nor this");
    world_write(w, "handlers/notes.txt", "nor this");
    world_open(w);
    assert_string_equal(world_run_text(w, "hello", text), "h");
    assert_string_equal(world_run_text(w, "a:b:c", text), "abc");
    assert_string_equal(world_run_text(w, "a:x", text), "a:x");
    assert_string_equal(world_run_text(w, "a:x:y", text), "a:x:y");
    assert_string_equal(world_run_text(w, "a:b:x", text), "b");
    assert_string_equal(world_run_text(w, "x.y", text), "x.y");
    assert_string_equal(world_run_text(w, "z", text), "z");
    assert_false(world_handles(w, "old"));
    assert_false(world_handles(w, "a"));
    assert_false(world_handles(w, "hell"));
    assert_false(world_handles(w, "hello_test"));
    assert_false(world_handles(w, "_other"));
    assert_false(world_handles(w, ""));
    size_t types;
    int64_t generation;
    lq_lua_app_count(w->app, &types, &generation);
    assert_int_equal(types, 6);
    assert_int_equal(generation, 1);
    world_free(w);
}

static void byte_order_mark_and_first_line__are_as_lua_reads_files(void **s)
{
    (void)s;
    char text[200];
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    world_write(w, "handlers/a.lua",
                "\xef\xbb\xbfreturn function() return 'a' end");
    world_write(w, "handlers/b.lua",
                "#!/usr/bin/env lua\nreturn function() error('b') end");
    world_open(w);
    assert_string_equal(world_run_text(w, "a", text), "a");
    assert_non_null(strstr(world_run_text(w, "b", text), "b.lua:2: b"));
    world_free(w);
}

static void file_that_is_nearly_middleware__is_warned_of(void **state)
{
    (void)state;
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    world_write(w, "handlers/a/_midleware.lua", "return 5");
    world_write(w, "handlers/_shared.lua", "return 5");
    world_open(w);
    assert_true(world_sees(w, "\"file\":\"a/_midleware.lua\","
                              "\"meant\":\"_middleware.lua\""));
    pthread_mutex_lock(&w->lock);
    assert_null(strstr(w->log_text.p, "_shared.lua"));
    pthread_mutex_unlock(&w->lock);
    world_free(w);
}

/* As Asynq's ServeMux: exact first, else the longest prefix, byte by byte. */
static void prefixes__are_bytes_and_the_longest_wins(void **state)
{
    (void)state;
    static const char *const types[][2] = {
        {"email", "exact"},
        {"email:", "colon"},
        {"email:a", "colon"},
        {"email:welcome", "welcome"},
        {"email:welcomes", "colon"},
        {"emailer:x", "email"},
        {"emai", "any"},
        {"emails", "email"},
        {"email:b:c", "b"},
        {"email:b", "colon"},
        {"emAil:x", "any"},
        {"url:x", "folder"},
        {"url:", "folder"},
        {"url", "any"},
    };
    char text[200];
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
#define ANSWERS(type, name)                                                    \
    "return {type = '" type "', run = function() return '" name "' end}"
    world_write(w, "handlers/a.lua", ANSWERS("email*", "email"));
    world_write(w, "handlers/b.lua", ANSWERS("email:*", "colon"));
    world_write(w, "handlers/c.lua", ANSWERS("email", "exact"));
    world_write(w, "handlers/d.lua", ANSWERS("email:b:*", "b"));
    world_write(w, "handlers/e.lua",
                "return {types = {'email:welcome', '*'}, run = function(t) "
                "return t.type == 'email:welcome' and 'welcome' or 'any' end}");
    world_write(w, "handlers/url/_.lua",
                "return function() return 'folder' end");
    world_open(w);
    for (size_t i = 0; i < LQ_COUNT(types); i++)
        assert_string_equal(world_run_text(w, types[i][0], text), types[i][1]);
    lq_buf json;
    lq_buf_init(&json, 0);
    lq_lua_app_describe(w->app, &json);
    assert_non_null(strstr(json.p, "\"type\":\"url:*\""));
    assert_non_null(strstr(json.p, "\"type\":\"email*\""));
    assert_non_null(strstr(json.p, "\"type\":\"*\""));
    lq_buf_release(&json);
    world_free(w);
}

static void catch_all__takes_any_type(void **state)
{
    (void)state;
    char text[200];
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    world_write(w, "handlers/_.lua", "return function(t) return t.type end");
    world_write(w, "handlers/a.lua", "return function(t) return 'A' end");
    world_open(w);
    assert_string_equal(world_run_text(w, "a", text), "A");
    assert_string_equal(world_run_text(w, "b", text), "b");
    assert_string_equal(world_run_text(w, "b:c", text), "b:c");
    world_free(w);
}

struct seen {
    char text[400];
};

static void note_cron(void *ud, const lq_cron_want *want)
{
    struct seen *s = ud;
    size_t n = strlen(s->text);
    const lq_task *t = &want->item->task;
    snprintf(s->text + n, sizeof s->text - n, "%s %s %.*s %.*s %.*s r%d t%d;",
             want->spec, want->name ? want->name : "-", LQ_STR_ARG(t->type),
             LQ_STR_ARG(t->queue), LQ_STR_ARG(t->payload), (int)t->max_retry,
             (int)t->timeout_s);
}

static void options__are_read(void **state)
{
    (void)state;
    struct seen seen = {""};
    lq_type_options type = {0};
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    world_write(w, "handlers/clean.lua",
                "return {doc = 'Cleans \"up\".', queue = 'low', max_retry = 3, "
                "timeout = '1m', retention = '1d', unique = {by = {'a'}, ttl = "
                "'1h'}, concurrency = 2, memory = 9,\n"
                "cron = {{spec = '@every 1h', payload = {n = 24, a = 1}}, "
                "{spec = '@daily', name = 'night', payload = {a = 2}}}, run = "
                "print}");
    world_write(w, "handlers/plain.lua", "return print");
    world_open(w);
    assert_true(lq_lua_app_type(w->app, LQ_STR("clean"), &type));
    assert_int_equal(type.timeout_ms, 60000);
    assert_int_equal(type.max_retry, 3);
    assert_int_equal(type.concurrency, 2);
    assert_string_equal(type.handler, "clean.lua");
    assert_true(lq_lua_app_type(w->app, LQ_STR("plain"), &type));
    assert_int_equal(type.timeout_ms, -1);
    assert_int_equal(type.max_retry, -1);
    assert_false(lq_lua_app_type(w->app, LQ_STR("other"), &type));
    lq_lua_app_each_cron(w->app, note_cron, &seen);
    assert_string_equal(seen.text,
                        "@daily night clean low {\"a\":2} r3 t60;"
                        "@every 1h - clean low {\"a\":1,\"n\":24} r3 t60;");
    assert_int_equal(type.concurrency, 0);
    assert_true(world_sees(w, "an option has no effect in this version"));
    lq_buf json;
    lq_buf_init(&json, 0);
    lq_lua_app_describe(w->app, &json);
    assert_non_null(strstr(json.p, "{\"generation\":1,\"handlers\":[{\"type\":"
                                   "\"clean\",\"file\":\"clean.lua\",\"doc\":"
                                   "\"Cleans \\\"up\\\".\",\"hash\":\""));
    assert_non_null(strstr(json.p, "\"rejected\":\"\"}"));
    lq_buf_release(&json);
    world_free(w);
}

static void lib__is_required_once_a_generation(void **state)
{
    (void)state;
    char text[200];
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, true);
    world_write(w, "lib/deep/er.lua", "return {n = 0, name = ...}");
    world_write(w, "lib/nothing.lua", "");
    world_write(w, "handlers/a.lua",
                "local m = require 'lib.deep.er'\n"
                "return function() m.n = m.n + 1 return m.n .. m.name .. "
                "tostring(require 'lib.nothing') end");
    world_write(w, "handlers/b.lua",
                "return function() local m = require 'lib.deep.er' m.n = m.n + "
                "1 return tostring(m.n) end");
    world_open(w);
    assert_string_equal(world_run_text(w, "a", text), "1lib.deep.ertrue");
    assert_string_equal(world_run_text(w, "b", text), "2");
    world_free(w);
}

/* ---- memory that runs out -------------------------------------------------
 */

static void load__when_each_allocation_fails__leaks_nothing(void **state)
{
    (void)state;
    bool loaded = false;
    for (uint64_t n = 1; !loaded; n++) {
        assert_true(n < 5000);
        lunaq_error err = LUNAQ_ERROR_INIT;
        int64_t before = lq_alloc_live();
        world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
        world_write(w, "lib/x.lua", "return 1");
        world_write(w, "handlers/a/b.lua",
                    "return {args = {a = 'number'}, backoff = {1, 2}, unique = "
                    "{by = {'a'}, ttl = 5}, cron = {{spec = '@daily', payload ="
                    " {a = 1}}}, run = function() return require 'lib.x' end}");
        lq_alloc_fail_at(n, false);
        int rc = world_load(w, &err);
        lq_alloc_fail_at(0, false);
        if (rc == LUNAQ_OK)
            loaded = true;
        else if (!strstr(err.message, "memory"))
            fail_msg("allocation %d: %d, %s", (int)n, rc, err.message);
        world_free(w);
        assert_int_equal(lq_alloc_live(), before);
    }
}

static void run__when_lua_memory_ends_anywhere__ends_with_a_verdict(void **s)
{
    (void)s;
    bool done = false;
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    world_write(
        w, "handlers/t.lua",
        "return {args = {a = 'table'}, backoff = function() return 1 "
        "end, run = function(task)\n"
        "  local x <close> = setmetatable({}, {__close = function() end})"
        "\n  lunaq.sleep(0)\n"
        "  local co = coroutine.wrap(function() lunaq.sleep(0) "
        "coroutine.yield(1) end)\n"
        "  pcall(co)\n"
        "  local s = ('%s %d'):format('x', 5):gsub('x', {x = 'y'})\n"
        "  if #task.payload.a ~= 3 then error({message = s}) end\n"
        "  return {s, task.payload.a}\n"
        "end}");
    world_open(w);
    lq_lua_host *host = (lq_lua_host *)w->runner;
    world_lua_bytes(w);
    for (size_t room = 0; !done; room += 24) {
        assert_true(room < 100000);
        host->bytes_max = world_lua_bytes(w) + room;
        world_run *r = world_start(w, "t", "{\"a\":[1,2,3]}");
        world_wait(w, r);
        host->bytes_max = 0;
        if (r->kind == LQ_SUCCEEDED) {
            assert_string_equal(r->result, "[\"y 5\",[1,2,3]]");
            done = room > 20000; /* past the first that went well */
        } else {
            assert_int_equal(r->kind, LQ_FAILED);
            assert_non_null(strstr(r->message, "memory"));
        }
        world_end(r);
    }
    world_free(w);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(folder_that_does_not_exist__is_said),
        cmocka_unit_test(link_out_of_the_project__is_refused),
        cmocka_unit_test(link_to_nothing__is_refused),
        cmocka_unit_test(files__become_types),
        cmocka_unit_test(
            byte_order_mark_and_first_line__are_as_lua_reads_files),
        cmocka_unit_test(file_that_is_nearly_middleware__is_warned_of),
        cmocka_unit_test(prefixes__are_bytes_and_the_longest_wins),
        cmocka_unit_test(catch_all__takes_any_type),
        cmocka_unit_test(options__are_read),
        cmocka_unit_test(lib__is_required_once_a_generation),
        cmocka_unit_test(load__when_each_allocation_fails__leaks_nothing),
        cmocka_unit_test(
            run__when_lua_memory_ends_anywhere__ends_with_a_verdict),
    };
    static struct CMUnitTest tests[LQ_COUNT(rows) + LQ_COUNT(others)];
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        tests[i] = (struct CMUnitTest){rows[i].name, is_refused, NULL, NULL,
                                       (void *)(uintptr_t)&rows[i]};
    memcpy(tests + LQ_COUNT(rows), others, sizeof others);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
