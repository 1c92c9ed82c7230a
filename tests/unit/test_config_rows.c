/* The configuration, row by row: good and bad files, variables and flags; each
 * bad one says what a person needs to correct it. */
#include "support/test.h"
#include "config_world.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

typedef struct row {
    const char *name;
    const char *lua, *json; /* the file; NULL = none */
    const char *vars[4];
    const char *args[6];
    int code; /* of config_load() */
    /* Parts of the message, or of what config_print() prints. */
    const char *parts[4];
} row;

static void test_row(void **state)
{
    /* The state of the group is the folder; the row comes as initial state. */
    const row *r = *state;
    void *folder = NULL;
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_int_equal(config_world_setup(&folder), 0);
    if (r->lua)
        config_world_write(folder, "lunaq.conf.lua", r->lua, strlen(r->lua));
    if (r->json)
        config_world_write(folder, "lunaq.conf.json", r->json, strlen(r->json));
    int rc = config_world_load(&c, folder, r->vars, r->args, &err);
    char *text = rc ? NULL : config_world_printed(c);
    if (rc != r->code)
        fail_msg("code %d, not %d: %s", rc, r->code, err.message);
    for (size_t i = 0; i < COUNT(r->parts) && r->parts[i]; i++)
        assert_has(rc ? err.message : text, r->parts[i]);
    if (rc)
        assert_int_equal(err.code, rc);
    free(text);
    config_free(c);
    assert_int_equal(config_world_teardown(&folder), 0);
}

static const row good[] = {
    {"nothing_given__defaults",
     .parts = {"-- broker: default, sqlite:", "-- concurrency: default, 10"}},
    {"lua__every_kind",
     .lua = "local n = 4\n"
            "return { broker = 'redis://h:1/2', queues = { a = 2, b = 1 },\n"
            "  strict = true, concurrency = n * 5, lease = '15s',\n"
            "  shutdown_timeout = 90, log = { level = 'warn' } }",
     .parts = {"broker = \"redis://h:1/2\"", "[\"a\"] = 2, [\"b\"] = 1",
               "concurrency = 20,", "shutdown_timeout = \"90s\""}},
    {"lua__queues_with_tables",
     .lua = "return { queues = { a = 6, b = { weight = 3, concurrency = 5 },\n"
            "  c = { concurrency = 1 } } }",
     .parts = {"[\"a\"] = 6", "[\"b\"] = { weight = 3, concurrency = 5 }",
               "[\"c\"] = { weight = 1, concurrency = 1 }"}},
    {"lua__groups__when_they_are_due",
     .lua = "return { group_grace = '5s', group_max_delay = '2m',\n"
            "  group_max_size = 50, queues = { a = { group_grace = '9s',\n"
            "  group_max_delay = '3m', group_max_size = 7 } } }",
     .parts = {"group_grace = \"5s\"", "group_max_delay = \"120s\"",
               "group_max_size = 50",
               "group_grace = \"9s\", group_max_delay = \"180s\", "
               "group_max_size = 7"}},
    {"lua__queue_with_limits",
     .lua = "return { queues = { a = { archive_max = -1, archive = '30d',\n"
            "  completed_max = 9 } } }",
     .parts = {"archive_max = -1, archive = \"2592000s\", completed_max = 9"}},
    {"lua__empty_table__defaults", .lua = "return {}",
     .parts = {"-- lease: default, 30s"}},
    {"lua__env__reads_variables",
     .lua = "return { concurrency = 7, broker = env('MY') or 'x:1' }",
     .vars = {"MY=redis://there:7"},
     .parts = {"broker = \"redis://there:7/0\", -- "}},
    {"lua__env__of_an_unset_variable__nil",
     .lua = "return { broker = env('MY') or 'fallback:1' }",
     .parts = {"broker = \"redis://fallback:1/0\""}},
    {"json__same_keys",
     .json = "{\"concurrency\": 3, \"db\": {\"pool\": 5, \"prepare\": false},"
             " \"env\": [\"A\", \"B\"]}",
     .parts = {"concurrency = 3,", "pool = 5,", "prepare = false,",
               "env = { \"A\", \"B\" }"}},
    {"variable__before_file", .lua = "return { concurrency = 3 }",
     .vars = {"WORKER_CONCURRENCY=8"},
     .parts = {"concurrency = 8, -- WORKER_CONCURRENCY"}},
    {"variable__ours_before_the_common_one",
     .vars = {"WORKER_CONCURRENCY=8", "LUNAQ_CONCURRENCY=9"},
     .parts = {"concurrency = 9, -- LUNAQ_CONCURRENCY"}},
    {"variable__empty__is_not_set", .vars = {"WORKER_CONCURRENCY="},
     .parts = {"-- concurrency: default"}},
    {"variable__nested_key",
     .vars = {"LUNAQ_DB_POOL=33", "LUNAQ_DB_PREPARE=no"},
     .parts = {"pool = 33, -- LUNAQ_DB_POOL", "prepare = false"}},
    {"variable__queues", .vars = {"LUNAQ_QUEUES=critical=6, low=1,plain"},
     .parts = {"[\"critical\"] = 6, [\"low\"] = 1, [\"plain\"] = 1"}},
    {"variable__redis_addr", .vars = {"REDIS_ADDR=10.0.0.5:6380"},
     .parts = {"broker = \"redis://10.0.0.5:6380/0\", -- REDIS_ADDR"}},
    {"variable__redis_url_before_addr",
     .vars = {"REDIS_ADDR=a:1", "REDIS_URL=redis://b:2/3"},
     .parts = {"broker = \"redis://b:2/3\", -- REDIS_URL"}},
    {"variable__lunaq_broker_before_redis_url",
     .vars = {"LUNAQ_BROKER=c:1", "REDIS_URL=redis://b:2/3"},
     .parts = {"broker = \"redis://c:1/0\", -- LUNAQ_BROKER"}},
    {"flag__before_variable", .vars = {"LUNAQ_CONCURRENCY=9"},
     .args = {"--concurrency", "11"},
     .parts = {"concurrency = 11, -- --concurrency"}},
    {"flag__with_equals", .args = {"--db-pool=12", "--log-level=debug"},
     .parts = {"pool = 12", "level = \"debug\""}},
    {"flag__boolean_alone_and_negated", .args = {"--strict", "--no-watch"},
     .parts = {"strict = true", "watch = false"}},
    {"flag__boolean_with_value", .args = {"--strict=false"},
     .parts = {"strict = false"}},
    {"flag__last_one_wins", .args = {"--lease", "20s", "--lease", "25s"},
     .parts = {"lease = \"25s\""}},
    {"flag__absolute_handlers", .args = {"--handlers", "/x/y"},
     .parts = {"handlers = \"/x/y\""}},
    {"password__is_masked", .vars = {"REDIS_URL=redis://me:s3cret@h:1/0"},
     .parts = {"broker = \"redis://me:***@h:1/0\""}},
    {"redis__settings_of_the_file__are_below_it",
     .lua = "return { redis = { ca = 'c.pem', server_name = 'r', "
            "insecure = true }, durable = 'replica' }",
     .parts = {"/c.pem\"", "server_name = \"r\"", "insecure = true",
               "durable = \"replica\""}},
    {"redis__variables__have_its_names",
     .vars = {"LUNAQ_REDIS_SERVER_NAME=n", "LUNAQ_DURABLE=fsync"},
     .parts = {"server_name = \"n\", -- LUNAQ_REDIS_SERVER_NAME",
               "durable = \"fsync\""}},
    {"redis__sentinel_password__is_masked",
     .vars = {"LUNAQ_REDIS_SENTINEL_PASSWORD=s3cret"},
     .parts = {"sentinel_password = \"***\""}},
    {"broker__query__is_not_shown",
     .vars = {"REDIS_URL=redis-sentinel://me:s3cret@a,b/1?master=m"
              "&sentinel_password=s3cret"},
     .parts = {"redis-sentinel://me:***@a,b/1"}},
    {"crash_limit__zero__is_never", .lua = "return { crash_limit = 0 }",
     .parts = {"crash_limit = 0,"}},
    {"cron__zones_and_policies",
     .lua = "return { timezone = 'Europe/Rome', schedules = 'app.plans',\n"
            "schedule_every = '10m', cron = {\n"
            "{ spec = '@daily', type = 'a', tz = 'Asia/Tokyo',\n"
            "dst = 'robfig', missed = 'all' } } }",
     .parts = {"timezone = \"Europe/Rome\"", "schedules = \"app.plans\"",
               "schedule_every = \"600s\"",
               "tz = \"Asia/Tokyo\", dst = \"robfig\", missed = \"all\""}},
    {"cron__list",
     .lua = "return { cron = { { spec = '@every 1h', type = 'a',\n"
            "  payload = { b = 2, a = 1, c = {} }, queue = 'q', timeout = 90,\n"
            "  max_retry = 0 }, { spec = '@daily', type = 'b' } } }",
     .parts = {"spec = \"@every 1h\", type = \"a\"",
               "payload = \"{\\\"a\\\":1,\\\"b\\\":2,\\\"c\\\":{}}\"",
               "max_retry = 0, timeout = \"90s\""}},
    {"cron__one_table__is_a_list_of_one",
     .json = "{\"cron\": {\"spec\": \"@daily\", \"type\": \"x\"}}",
     .parts = {"{ spec = \"@daily\", type = \"x\" },"}},
    {"cron__integers_stay_exact",
     .lua = "return { cron = { spec = '@daily', type = 'x',\n"
            "  payload = { id = 9007199254740993 } } }",
     .parts = {"9007199254740993"}},
};

static const row bad[] = {
    {"unknown_key__names_the_nearest", .lua = "return { concurency = 3 }",
     .code = LUNAQ_ECONFIG,
     .parts = {"lunaq.conf.lua", "unknown key \"concurency\"",
               "did you mean \"concurrency\"?"}},
    {"unknown_key__far_from_all", .lua = "return { zzzzzz = 3 }",
     .code = LUNAQ_ECONFIG, .parts = {"\"zzzzzz\"", "lunaq.conf(5)"}},
    {"unknown_nested_key", .lua = "return { log = { levle = 'info' } }",
     .code = LUNAQ_ECONFIG,
     .parts = {"\"log.levle\"", "did you mean \"log.level\"?"}},
    {"dotted_key__is_not_a_key", .lua = "return { ['db.pool'] = 3 }",
     .code = LUNAQ_ECONFIG,
     .parts = {"key \"db.pool\": write it as db = { pool ="}},
    {"number_too_large__names_its_key", .lua = "return { concurrency = 1e300 }",
     .code = LUNAQ_ECONFIG, .parts = {"concurrency: 1.0", "kept exactly"}},
    {"queues__none", .lua = "return { queues = {} }", .code = LUNAQ_ECONFIG,
     .parts = {"queues: ", "got an empty table"}},
    {"group_without_table", .lua = "return { db = 10 }", .code = LUNAQ_ECONFIG,
     .parts = {"db: expected a table, got 10"}},
    {"wrong_type", .lua = "return { concurrency = 'many' }",
     .code = LUNAQ_ECONFIG,
     .parts = {"lunaq.conf.lua: concurrency: expected a whole number from 1 to "
               "100000, got \"many\""}},
    {"number_with_a_fraction", .lua = "return { concurrency = 2.5 }",
     .code = LUNAQ_ECONFIG, .parts = {"concurrency", "got 2.5"}},
    {"number_too_small", .json = "{\"concurrency\": 0}", .code = LUNAQ_ECONFIG,
     .parts = {"lunaq.conf.json", "concurrency", "from 1", "got 0"}},
    {"boolean_expected", .lua = "return { strict = 1 }", .code = LUNAQ_ECONFIG,
     .parts = {"strict: expected true or false, got 1"}},
    {"wrong_unit", .lua = "return { lease = '30x' }", .code = LUNAQ_ECONFIG,
     .parts = {"lease: expected a time from 10s to 60s", "got \"30x\""}},
    {"time_out_of_range", .lua = "return { lease = '5s' }",
     .code = LUNAQ_ECONFIG, .parts = {"lease", "10s to 60s", "got \"5s\""}},
    {"negative_time", .lua = "return { shutdown_timeout = -1 }",
     .code = LUNAQ_ECONFIG, .parts = {"shutdown_timeout", "got -1"}},
    {"wrong_choice", .lua = "return { log = { format = 'xml' } }",
     .code = LUNAQ_ECONFIG,
     .parts = {"log.format: expected one of: auto text json, got \"xml\""}},
    {"queues__no_table", .lua = "return { queues = 'default' }",
     .code = LUNAQ_ECONFIG, .parts = {"queues", "{ default = 1 }"}},
    {"queues__a_list", .lua = "return { queues = { 'default' } }",
     .code = LUNAQ_ECONFIG, .parts = {"queues", "got a list"}},
    {"queues__empty", .lua = "return { queues = {} }", .code = LUNAQ_ECONFIG,
     .parts = {"queues", "{ default = 1 }"}},
    {"queues__weight_zero", .lua = "return { queues = { a = 0 } }",
     .code = LUNAQ_ECONFIG,
     .parts = {"queues: \"a\": expected a weight from 1", "got 0"}},
    {"queues__member_misspelt",
     .lua = "return { queues = { a = { wieght = 1 } } }", .code = LUNAQ_ECONFIG,
     .parts = {"queues: \"a\": unknown key \"wieght\": did you mean "
               "\"weight\"?"}},
    {"queues__concurrency_below_zero",
     .lua = "return { queues = { a = { concurrency = -1 } } }",
     .code = LUNAQ_ECONFIG,
     .parts = {"queues: \"a\".concurrency: expected a whole number", "got -1"}},
    {"queues__archive_is_no_time",
     .lua = "return { queues = { a = { archive = 'soon' } } }",
     .code = LUNAQ_ECONFIG,
     .parts = {"queues: \"a\".archive: expected a time such as \"30d\""}},
    {"queues__braces_in_the_name", .lua = "return { queues = { ['{a}'] = 1 } }",
     .code = LUNAQ_ECONFIG, .parts = {"\"{a}\"", "without braces"}},
    {"env__not_a_list", .lua = "return { env = 'A' }", .code = LUNAQ_ECONFIG,
     .parts = {"env", "list of names", "got \"A\""}},
    {"database__another_scheme", .vars = {"DATABASE_URL=mysql://u:secret@h/db"},
     .code = LUNAQ_ECONFIG,
     .parts = {"DATABASE_URL", "only postgres://", "mysql"}},
    {"cron__without_type", .lua = "return { cron = { { spec = '@daily' } } }",
     .code = LUNAQ_ECONFIG, .parts = {"cron[1]", "\"type\" is missing"}},
    {"cron__misspelt_key",
     .lua = "return { cron = { { spec = 'x', type = 'y', paylod = 1 } } }",
     .code = LUNAQ_ECONFIG, .parts = {"\"paylod\"", "\"payload\"?"}},
    {"cron__wrong_time",
     .lua = "return { cron = { { spec = 'x', type = 'y', timeout = '-' } } }",
     .code = LUNAQ_ECONFIG, .parts = {"cron[1].timeout", "got \"-\""}},
    {"cron__by_variable", .vars = {"LUNAQ_CRON=@daily"}, .code = LUNAQ_ECONFIG,
     .parts = {"LUNAQ_CRON", "lunaq.conf.lua"}},
    {"lua__syntax__names_the_line", .lua = "return {\n concurrency = = 3 }",
     .code = LUNAQ_ECONFIG, .parts = {"lunaq.conf.lua:2:", "near '='"}},
    {"lua__error__names_the_line", .lua = "\nlocal x = nil + 1\nreturn {}",
     .code = LUNAQ_ECONFIG, .parts = {"lunaq.conf.lua:2:", "nil"}},
    {"lua__returns_nothing", .lua = "local x = 1", .code = LUNAQ_ECONFIG,
     .parts = {"lunaq.conf.lua", "must return a table", "nil"}},
    {"lua__returns_a_list", .lua = "return { 1, 2 }", .code = LUNAQ_ECONFIG,
     .parts = {"must be a table of keys"}},
    {"lua__function_as_value", .lua = "return { lease = function() end }",
     .code = LUNAQ_ECONFIG, .parts = {"lease", "code, not data"}},
    {"lua__table_in_itself", .lua = "local t = {} t.t = t return { db = t }",
     .code = LUNAQ_ECONFIG, .parts = {"nested too deep"}},
    {"lua__half_a_list", .lua = "return { env = { 'A', b = 'B' } }",
     .code = LUNAQ_ECONFIG, .parts = {"env", "half a list"}},
    {"lua__key_is_no_name", .lua = "return { db = { [true] = 1 } }",
     .code = LUNAQ_ECONFIG, .parts = {"db", "keys must be names"}},
    {"lua__not_a_number", .lua = "return { concurrency = 0/0 }",
     .code = LUNAQ_ECONFIG, .parts = {"concurrency", "finite"}},
    {"lua__endless_loop__ends", .lua = "while true do end",
     .code = LUNAQ_ECONFIG, .parts = {"lunaq.conf.lua:1:", "runs too long"}},
    {"lua__memory__is_limited",
     .lua = "local s = 'x' while true do s = s .. s end", .code = LUNAQ_ECONFIG,
     .parts = {"lunaq.conf.lua", "not enough memory"}},
    {"lua__no_libraries", .lua = "return { env = { os.getenv('A') } }",
     .code = LUNAQ_ECONFIG, .parts = {"lunaq.conf.lua:1:", "'os'"}},
    {"lua__bytecode__is_refused", .lua = "\x1bLua\x54", .code = LUNAQ_ECONFIG,
     .parts = {"lunaq.conf.lua", "binary chunk"}},
    {"lua__error_that_is_no_text", .lua = "return env({})",
     .code = LUNAQ_ECONFIG, .parts = {"lunaq.conf.lua", "string expected"}},
    {"json__syntax__names_the_line", .json = "{\n\"a\": ]\n}",
     .code = LUNAQ_ECONFIG, .parts = {"lunaq.conf.json:2:", "JSON"}},
    {"json__trailing_text", .json = "{} x", .code = LUNAQ_ECONFIG,
     .parts = {"lunaq.conf.json:1:", "\"x\""}},
    {"json__key_twice", .json = "{\"strict\": true, \"strict\": false}",
     .code = LUNAQ_ECONFIG, .parts = {"\"strict\"", "twice"}},
    {"json__a_list", .json = "[]", .code = LUNAQ_ECONFIG,
     .parts = {"must be a table of keys"}},
    {"json__null", .json = "{\"lease\": null}", .code = LUNAQ_ECONFIG,
     .parts = {"lease", "got null"}},
    {"variable__wrong_type", .vars = {"WORKER_CONCURRENCY=ten"},
     .code = LUNAQ_ECONFIG,
     .parts = {"WORKER_CONCURRENCY: expected a whole number", "\"ten\""}},
    {"variable__wrong_unit", .vars = {"LUNAQ_LEASE=30q"}, .code = LUNAQ_ECONFIG,
     .parts = {"LUNAQ_LEASE: expected a time", "\"30q\""}},
    {"variable__wrong_boolean", .vars = {"LUNAQ_STRICT=perhaps"},
     .code = LUNAQ_ECONFIG,
     .parts = {"LUNAQ_STRICT: expected true or false", "\"perhaps\""}},
    {"variable__queue_twice", .vars = {"LUNAQ_QUEUES=a=1,a=2"},
     .code = LUNAQ_ECONFIG, .parts = {"LUNAQ_QUEUES: \"a\"", "second"}},
    {"variable__secret_file_missing",
     .vars = {"DATABASE_URL_FILE=/no/such/file"}, .code = LUNAQ_ECONFIG,
     .parts = {"DATABASE_URL_FILE", "/no/such/file", "cannot be read"}},
    {"variable__config_file_missing", .vars = {"LUNAQ_CONFIG=/no/such.lua"},
     .code = LUNAQ_ECONFIG, .parts = {"/no/such.lua", "cannot be read"}},
    {"flag__unknown", .args = {"--concurency", "3"}, .code = LUNAQ_EINVAL,
     .parts = {"\"--concurency\"", "did you mean --concurrency?"}},
    {"flag__far_from_all", .args = {"-x"}, .code = LUNAQ_EINVAL,
     .parts = {"\"-x\"", "lunaqd --help"}},
    {"flag__without_value", .args = {"--lease"}, .code = LUNAQ_EINVAL,
     .parts = {"--lease needs a value"}},
    {"flag__with_a_value_it_does_not_take", .args = {"--check=1"},
     .code = LUNAQ_EINVAL, .parts = {"--check takes no value"}},
    {"flag__wrong_value", .args = {"--lease", "1h"}, .code = LUNAQ_EINVAL,
     .parts = {"--lease: expected a time from 10s to 60s", "\"1h\""}},
    {"flag__home_is_no_folder", .args = {"--home", "/no/such"},
     .code = LUNAQ_EINVAL, .parts = {"--home", "/no/such is not a folder"}},
    {"argument", .args = {"start"}, .code = LUNAQ_EINVAL,
     .parts = {"\"start\"", "no arguments"}},
};

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[COUNT(good) + COUNT(bad)];
    size_t n = 0;
    for (size_t i = 0; i < COUNT(good); i++, n++)
        tests[n] = (struct CMUnitTest){good[i].name, test_row, NULL, NULL,
                                       (void *)(uintptr_t)&good[i]};
    for (size_t i = 0; i < COUNT(bad); i++, n++)
        tests[n] = (struct CMUnitTest){bad[i].name, test_row, NULL, NULL,
                                       (void *)(uintptr_t)&bad[i]};
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("config_rows", tests, NULL, NULL);
}
