/* The configuration: what the rows of test_config_rows.c cannot say. */
#include "support/test.h"
#include "config_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const nothing[] = {NULL};

static void defaults__are_what_the_server_expects(void **state)
{
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    char path[256];
    assert_int_equal(config_world_load(&c, *state, nothing, nothing, &err),
                     LUNAQ_OK);
    snprintf(path, sizeof(path), "sqlite:%s/.lunaq/queue.db", (char *)*state);
    assert_string_equal(c->options.broker, path);
    snprintf(path, sizeof(path), "sqlite:%s/.lunaq/app.db", (char *)*state);
    assert_string_equal(c->options.database, path);
    snprintf(path, sizeof(path), "%s/handlers", (char *)*state);
    assert_string_equal(c->options.handlers, path);
    assert_null(c->options.migrations);
    assert_null(c->source[config_key_find("broker")]);
    assert_int_equal(c->options.interrupt, LUNAQ_INTERRUPT_SIGNAL);
    assert_int_equal(c->options.concurrency, 0);
    assert_int_equal(c->options.size, sizeof(c->options));
    assert_int_equal(c->warning_count, 0);
    config_free(c);
}

static void zero__is_none_where_the_options_say_minus_one(void **state)
{
    const char *text = "return { crash_limit = 0, shutdown_timeout = 0,\n"
                       " stuck_after = '0s', watch = false, worker_threads = 0,"
                       " interrupt = 'none', log = { level = 'off' } }";
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    config_world_write(*state, "lunaq.conf.lua", text, strlen(text));
    assert_int_equal(config_world_load(&c, *state, nothing, nothing, &err),
                     LUNAQ_OK);
    assert_int_equal(c->options.crash_limit, -1);
    assert_int_equal(c->options.shutdown_timeout_ms, -1);
    assert_int_equal(c->options.stuck_after_ms, -1);
    assert_int_equal(c->options.watch_off, 1);
    assert_int_equal(c->options.worker_threads, 0);
    assert_int_equal(c->options.interrupt, LUNAQ_INTERRUPT_NONE);
    assert_int_equal(c->options.log_level, LUNAQ_LOG_OFF);
    config_free(c);
}

static void home__is_the_nearest_ancestor(void **state)
{
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    char deep[256];
    snprintf(deep, sizeof(deep), "%s/handlers/deep", (char *)*state);
    assert_int_equal(mkdir(deep, 0700), 0);
    assert_int_equal(config_world_load(&c, deep, nothing, nothing, &err),
                     LUNAQ_OK);
    assert_string_equal(c->home, *state);
    config_free(c);
}

static void home__by_flag__finds_its_file(void **state)
{
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    const char *text = "return { concurrency = 77, handlers = 'h' }";
    const char *args[] = {"-C", *state, NULL};
    char path[256];
    config_world_write(*state, "lunaq.conf.lua", text, strlen(text));
    assert_int_equal(config_world_load(&c, "/", nothing, args, &err), LUNAQ_OK);
    assert_int_equal(c->options.concurrency, 77);
    snprintf(path, sizeof(path), "%s/h", (char *)*state);
    assert_string_equal(c->options.handlers, path);
    config_free(c);
}

static void file__that_leads_nowhere__is_not_no_file(void **state)
{
    const char *folder = *state;
    char path[4096];
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    snprintf(path, sizeof path, "%s/lunaq.conf.lua", folder);
    assert_int_equal(symlink("nowhere", path), 0);
    assert_int_equal(config_world_load(&c, folder, nothing, nothing, &err),
                     LUNAQ_ECONFIG);
    assert_has(err.message, "lunaq.conf.lua: cannot be read: No such file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(config_world_load(&c, folder, nothing, nothing, &err),
                     LUNAQ_ECONFIG);
    assert_has(err.message, "lunaq.conf.lua: is a folder");
    assert_int_equal(rmdir(path), 0);
}

static void file__by_flag__its_folder_is_home(void **state)
{
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    const char *text = "return { concurrency = 78 }";
    char path[256];
    snprintf(path, sizeof(path), "%s/other.lua", (char *)*state);
    const char *args[] = {"--config", path, NULL};
    config_world_write(*state, "other.lua", text, strlen(text));
    assert_int_equal(config_world_load(&c, "/", nothing, args, &err), LUNAQ_OK);
    assert_int_equal(c->options.concurrency, 78);
    assert_string_equal(c->home, *state);
    config_free(c);
}

static void migrations__are_used_when_the_folder_is_there(void **state)
{
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    const char *vars[] = {"DATABASE_URL=postgres://h/db", NULL};
    char path[256];
    snprintf(path, sizeof(path), "%s/migrations", (char *)*state);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(config_world_load(&c, *state, vars, nothing, &err),
                     LUNAQ_OK);
    assert_string_equal(c->options.migrations, path);
    config_free(c);
    assert_int_equal(config_world_load(&c, *state, nothing, nothing, &err),
                     LUNAQ_OK);
    assert_string_equal(c->options.migrations, path);
    assert_int_equal(c->warning_count, 0);
    config_free(c);
    /* Without a database they cannot be applied: say so, go on. */
    const char *none[] = {"DATABASE_URL=none", NULL};
    assert_int_equal(config_world_load(&c, *state, none, nothing, &err),
                     LUNAQ_OK);
    assert_null(c->options.database);
    assert_null(c->options.migrations);
    assert_int_equal(c->warning_count, 1);
    assert_has(c->warnings[0], "\"none\"");
    config_free(c);
}

static void queue_file__relative__starts_at_home(void **state)
{
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    const char *text = "return { broker = 'sqlite:q.db?durability=normal',\n"
                       "  database = 'sqlite:d/app.db' }";
    const char *flags[] = {"--broker", "sqlite:/tmp/q.db", NULL};
    const char *empty[] = {"--database=", NULL};
    char odd[256], path[300];
    config_world_write(*state, "lunaq.conf.lua", text, strlen(text));
    assert_int_equal(config_world_load(&c, *state, nothing, nothing, &err),
                     LUNAQ_OK);
    snprintf(path, sizeof(path), "sqlite:%s/q.db?durability=normal",
             (char *)*state);
    assert_string_equal(c->options.broker, path);
    snprintf(path, sizeof(path), "sqlite:%s/d/app.db", (char *)*state);
    assert_string_equal(c->options.database, path);
    config_free(c);
    assert_int_equal(config_world_load(&c, *state, nothing, flags, &err),
                     LUNAQ_OK);
    assert_string_equal(c->options.broker, "sqlite:/tmp/q.db");
    config_free(c);
    assert_int_equal(config_world_load(&c, *state, nothing, empty, &err),
                     LUNAQ_OK);
    assert_null(c->options.database);
    config_free(c);
    /* A folder's name is not a part of the URL's grammar. */
    snprintf(odd, sizeof(odd), "%s/handlers/a%%b?c", (char *)*state);
    snprintf(path, sizeof(path), "%s/handlers", odd);
    assert_int_equal(mkdir(odd, 0700), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(config_world_load(&c, odd, nothing, nothing, &err),
                     LUNAQ_OK);
    snprintf(path, sizeof(path),
             "sqlite:%s/handlers/a%%25b%%3Fc/.lunaq/queue.db", (char *)*state);
    assert_string_equal(c->options.broker, path);
    config_free(c);
    snprintf(path, sizeof(path), "%s/handlers", odd);
    assert_int_equal(rmdir(path) + rmdir(odd), 0);
}

/* What the file says starts at home, what a flag says where one stands. */
static void files_of_tls__relative__start_at_home(void **state)
{
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    const char *home = *state;
    const char *text =
        "return { broker = 'rediss://:p%26?a@h/1?ca=certs/a%20b.pem"
        "&cert=/etc/c.pem&insecure=true&key=k.pem',\n"
        "  redis = { ca = 'certs/other.pem' } }";
    const char *flags[] = {"--broker", "rediss://h?ca=%2Fetc/a.pem&key=", NULL};
    const char *variables[] = {"LUNAQ_REDIS_CA=v.pem", NULL};
    char path[600];
    config_world_write(home, "lunaq.conf.lua", text, strlen(text));
    assert_int_equal(config_world_load(&c, home, nothing, nothing, &err),
                     LUNAQ_OK);
    snprintf(path, sizeof(path),
             "rediss://:p%%26?a@h/1?ca=certs/a%%20b.pem&cert=/etc/c.pem"
             "&insecure=true&key=k.pem&ca=%s/certs/a%%20b.pem&key=%s/k.pem",
             home, home);
    assert_string_equal(c->options.broker, path);
    snprintf(path, sizeof(path), "%s/certs/other.pem", home);
    assert_string_equal(c->redis.ca, path);
    config_free(c);
    assert_int_equal(config_world_load(&c, home, variables, flags, &err),
                     LUNAQ_OK);
    assert_string_equal(c->options.broker, flags[1]);
    snprintf(path, sizeof(path), "%s/v.pem", home);
    assert_string_equal(c->redis.ca, path);
    config_free(c);
}

/* The last of them counts, and there is room for all. */
static void files_of_tls__given_many_times__the_last_counts(void **state)
{
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    const char *home = *state;
    char text[600] = "return { broker = 'rediss://h?insecure=true", end[400];
    size_t at = strlen(text);
    for (int i = 0; i < 40; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "&ca=a.pem");
    snprintf(text + at, sizeof(text) - at, "&ca=b.pem' }");
    config_world_write(home, "lunaq.conf.lua", text, strlen(text));
    assert_int_equal(config_world_load(&c, home, nothing, nothing, &err),
                     LUNAQ_OK);
    size_t len = (size_t)snprintf(end, sizeof(end), "&ca=%s/b.pem", home);
    assert_string_equal(c->options.broker + strlen(c->options.broker) - len,
                        end);
    config_free(c);
}

static void secret__from_a_file__first_line(void **state)
{
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    char var[300];
    snprintf(var, sizeof(var), "REDIS_URL_FILE=%s/secret", (char *)*state);
    const char *vars[] = {var, NULL};
    config_world_write(*state, "secret", "redis://:pw@h:1/0\n", 18);
    assert_int_equal(config_world_load(&c, *state, vars, nothing, &err),
                     LUNAQ_OK);
    assert_string_equal(c->options.broker, "redis://:pw@h:1/0");
    assert_string_equal(c->source[config_key_find("broker")], "REDIS_URL_FILE");
    config_free(c);
}

static void variable__unknown__is_a_warning(void **state)
{
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    const char *vars[] = {"LUNAQ_CONCURENCY=3",
                          "LUNAQ_PORT_6379_TCP=tcp://10.0.0.1:6379",
                          "LUNAQ_SERVICE_HOST=10.0.0.1", "OTHER=1", NULL};
    assert_int_equal(config_world_load(&c, *state, vars, nothing, &err),
                     LUNAQ_OK);
    assert_int_equal(c->warning_count, 1);
    assert_has(c->warnings[0], "\"LUNAQ_CONCURENCY\"");
    assert_has(c->warnings[0], "did you mean LUNAQ_CONCURRENCY?");
    config_free(c);
}

static void action__help_needs_no_good_file(void **state)
{
    config *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    const char *args[] = {"--check", "--help", NULL};
    config_world_write(*state, "lunaq.conf.lua", "!", 1);
    assert_int_equal(config_world_load(&c, *state, nothing, args, &err),
                     LUNAQ_OK);
    assert_int_equal(c->action, CONFIG_HELP);
    config_free(c);
}

static void key__variable_and_flag_follow_from_its_name(void **state)
{
    (void)state;
    char text[64];
    const config_key *k = &config_keys[config_key_find("db.pool")];
    config_key_variable(k, text, sizeof(text));
    assert_string_equal(text, "LUNAQ_DB_POOL");
    config_key_flag(k, text, sizeof(text));
    assert_string_equal(text, "--db-pool");
    assert_int_equal(config_key_find("nothing"), config_key_count);
}

/* The secret part of each is "s3" followed by anything. */
static void secrets__are_never_shown(void **state)
{
    static const struct {
        const char *url, *shown;
    } urls[] = {
        {"redis://h", "redis://h/0"},
        {"redis://:s3@h:1/2", "redis://***@h:1/2"},
        {"redis://u:s3@h", "redis://u:***@h/0"},
        {"redis://s3!token@h", "redis://***@h/0"},
        {"redis://u:s3@s3/s3@h:1", "redis://u:***@h:1/0"},
        {"redis://u:s3?s3@h:1", "redis://***"},
        {"redis://h?password=s3", "redis://h/0"},
        {"h:1", "redis://h:1/0"},
        {"u:s3@h:1", "redis://u:***@h:1/0"},
        {"redis-socket:///run/r.sock?db=3", "redis-socket:///run/r.sock?db=3"},
        {"redis-socket://:s3@/run/r.sock", "redis-socket://***@/run/r.sock"},
        {"postgres://u:s3@h/db?sslpassword=s3", "postgres://u:***@h/db"},
        {"host=h user=u password=s3 dbname=d", "host=h user=u dbname=d"},
        {"password='s3 s3' host=h", "host=h"},
        {"password=s3", "***"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(urls); i++) {
        char shown[128], again[128], small[8];
        config_show_url(urls[i].url, shown, sizeof(shown));
        assert_string_equal(shown, urls[i].shown);
        assert_null(strstr(shown, "s3"));
        if (strncmp(urls[i].url, "host", 4) != 0) {
            config_show_url(shown, again, sizeof(again));
            assert_null(strstr(again, "s3"));
        }
        config_show_url(urls[i].url, small, sizeof(small));
        assert_true(strlen(small) < sizeof(small));
    }
}

static void secrets__are_not_in_messages(void **state)
{
    static const char *const texts[] = {
        "return { broker = { 'redis://u:s3@h' } }",
        "return { broker = 'redis://u:s3\\1@h' }",
        "return { database = 'mysql://u:s3@h/d' }",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        config *c = NULL;
        lunaq_error err = LUNAQ_ERROR_INIT;
        config_world_write(*state, "lunaq.conf.lua", texts[i],
                           strlen(texts[i]));
        assert_int_equal(config_world_load(&c, *state, nothing, nothing, &err),
                         LUNAQ_ECONFIG);
        assert_null(strstr(err.message, "s3"));
    }
}

#define WORLD(f)                                                               \
    cmocka_unit_test_setup_teardown(f, config_world_setup,                     \
                                    config_world_teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        WORLD(defaults__are_what_the_server_expects),
        WORLD(zero__is_none_where_the_options_say_minus_one),
        WORLD(home__is_the_nearest_ancestor),
        WORLD(home__by_flag__finds_its_file),
        WORLD(file__that_leads_nowhere__is_not_no_file),
        WORLD(file__by_flag__its_folder_is_home),
        WORLD(migrations__are_used_when_the_folder_is_there),
        WORLD(queue_file__relative__starts_at_home),
        WORLD(files_of_tls__relative__start_at_home),
        WORLD(files_of_tls__given_many_times__the_last_counts),
        WORLD(secret__from_a_file__first_line),
        WORLD(variable__unknown__is_a_warning),
        WORLD(action__help_needs_no_good_file),
        cmocka_unit_test(key__variable_and_flag_follow_from_its_name),
        cmocka_unit_test(secrets__are_never_shown),
        WORLD(secrets__are_not_in_messages),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
