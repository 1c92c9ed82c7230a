/* A producer and a server, by every kind of URL that leads to one Redis: tasks
 * are enqueued and run. */
#include "support/test.h"

#include "support/fake_server.h"
#include "support/sentinels.h"

#include <lunaq/server.h>

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASKS 50
#define PATIENCE_MS 30000

static tls_files files;
static redis_server server;
static char plain[8], tls[8];
static atomic_int ran;

static int run_task(lunaq_run *run, void *ud)
{
    (void)run;
    (void)ud;
    atomic_fetch_add(&ran, 1);
    return LUNAQ_OK;
}

static void work(const char *url, const lunaq_redis_options *redis)
{
    static const lunaq_queue_weight queues[] = {{"default", 1}};
    lunaq_server_options so = LUNAQ_SERVER_OPTIONS_INIT;
    lunaq_client_options co = LUNAQ_CLIENT_OPTIONS_INIT;
    lunaq_server *s = NULL;
    lunaq_client *client = NULL;
    lunaq_task tasks[TASKS];
    lunaq_enqueued results[TASKS];
    lunaq_error err = LUNAQ_ERROR_INIT;

    ran = 0;
    so.broker = co.broker = url;
    so.redis = co.redis = redis;
    so.queues = queues;
    so.queue_count = 1;
    so.log_level = LUNAQ_LOG_OFF;
    if (lunaq_server_open(&s, &so, &err) ||
        lunaq_server_handle(s, "work", run_task, NULL, &err) ||
        lunaq_server_start(s, &err) || lunaq_client_open(&client, &co, &err))
        fail_msg("%s: %s", url, err.message);
    for (int i = 0; i < TASKS; i++) {
        tasks[i] = (lunaq_task)LUNAQ_TASK_INIT;
        tasks[i].type = "work";
    }
    if (lunaq_client_enqueue_many(client, tasks, TASKS, results, &err))
        fail_msg("%s: %s", url, err.message);
    for (int ms = 0; ran < TASKS && ms < PATIENCE_MS; ms += 5)
        (void)poll(NULL, 0, 5);
    assert_int_equal(ran, TASKS);
    if (lunaq_server_stop(s, &err))
        fail_msg("%s: %s", url, err.message);
    lunaq_server_close(s);
    lunaq_client_close(client);
}

__attribute__((format(printf, 1, 2))) static const char *
with(const char *format, ...)
{
    static char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return text;
}

static void tcp__limited_user_and_database__works(void **state)
{
    (void)state;
    work(with("redis://limited:p%%40ss@127.0.0.1:%s/3", plain), NULL);
}

static void unix_socket__database__works(void **state)
{
    (void)state;
    work(with("redis-socket://%s?db=4", server.socket), NULL);
}

static void tls__authority_in_the_url__works(void **state)
{
    (void)state;
    work(with("rediss://limited:p%%40ss@localhost:%s/5?ca=%s", tls,
              tls_file(&files, "ca.pem")),
         NULL);
}

static void tls__files_in_the_options__work(void **state)
{
    lunaq_redis_options o = LUNAQ_REDIS_OPTIONS_INIT;
    (void)state;
    o.ca = tls_file(&files, "ca.pem");
    o.cert = tls_file(&files, "client.pem");
    o.key = tls_file(&files, "client.key");
    o.server_name = "localhost";
    work(with("rediss://127.0.0.1:%s/6", tls), &o);
}

static void tls__files_in_the_environment__work(void **state)
{
    (void)state;
    setenv("LUNAQ_REDIS_CA", tls_file(&files, "ca.pem"), 1);
    work(with("rediss://127.0.0.1:%s/7", tls), NULL);
    work(with("redis://127.0.0.1:%s/7", plain), NULL); /* no use for it */
    unsetenv("LUNAQ_REDIS_CA");
}

/* What a client says that asks for a sign of life. */
static void ping(const char *url, const lunaq_redis_options *redis, int code,
                 const char *says)
{
    lunaq_client_options o = LUNAQ_CLIENT_OPTIONS_INIT;
    lunaq_client *client = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    o.broker = url;
    o.redis = redis;
    int rc = lunaq_client_open(&client, &o, &err);
    if (!rc)
        rc = lunaq_client_ping(client, &err);
    lunaq_client_close(client);
    if (rc != code || !strstr(err.message, says))
        fail_msg("%s: %d: %s", url, rc, err.message);
}

static void tls__each_of_the_options__counts(void **state)
{
    lunaq_redis_options none = LUNAQ_REDIS_OPTIONS_INIT, o = none;
    const char *url = with("rediss://127.0.0.1:%s", tls);
    (void)state;
    ping(url, &none, LUNAQ_ECONFIG, "its CA is not known here");
    o.insecure = 1;
    ping(url, &o, LUNAQ_OK, "");
    o = none;
    o.ca = tls_file(&files, "ca.pem");
    ping(url, &o, LUNAQ_OK, "");
    o.server_name = "redis.example";
    ping(url, &o, LUNAQ_ECONFIG, "not for 'redis.example'");
    o.server_name = NULL;
    o.cert = tls_file(&files, "client.pem");
    o.key = tls_file(&files, "server.key");
    ping(url, &o, LUNAQ_ECONFIG, "server.key: is not the key");
}

/* Its tasks leave traces. */
static void assert_in_database(int number)
{
    static const char *const info[] = {"INFO", "keyspace", NULL};
    char text[16];
    char *reply = redis_server_command(&server, info);
    snprintf(text, sizeof(text), "db%d:", number);
    assert_non_null(reply);
    if (!strstr(reply, text))
        fail_msg("no %s in %s", text, reply);
    free(reply);
}

/* A sentinel that answers who logs in as it should. */
static void answer_a_friend(fake_server *s, int fd, int nth, void *ud)
{
    (void)s;
    (void)nth;
    if (fake_expect(fd, "AUTH\r\n$2\r\nsu\r\n$2\r\nsp\r\n"))
        fake_say(fd, ud);
    fake_drain(fd);
}

static void sentinels__login_and_database_of_their_own__works(void **state)
{
    lunaq_redis_options o = LUNAQ_REDIS_OPTIONS_INIT;
    char answer[64];
    (void)state;
    snprintf(answer, sizeof(answer),
             "+OK\r\n*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n", strlen(plain),
             plain);
    fake_server *sentinel = fake_server_new(NULL, answer_a_friend, answer);
    o.sentinel_user = "su";
    o.sentinel_password = "sp";
    work(with("redis-sentinel://limited:p%%40ss@127.0.0.1:%d/8?master=main",
              fake_server_port(sentinel)),
         &o);
    assert_in_database(8);
    fake_server_free(sentinel);
}

/* One node that has all slots, and wants TLS and a login: those of the list's
 * URL are each node's. */
static void cluster__limited_user_by_tls__works(void **state)
{
    static const char *const slots[] = {"CLUSTER", "ADDSLOTSRANGE", "0",
                                        "16383", NULL};
    static const char *const info[] = {"CLUSTER", "INFO", NULL};
    static const char *const off[] = {"ACL", "SETUSER", "default", "off", NULL};
    char port[12], cert[96], key[96], ca[96];
    redis_server node;
    int number, ms = 0;
    (void)state;
    do /* the bus is at a port 10000 higher */
        number = redis_server_free_port();
    while (number >= 55000);
    snprintf(port, sizeof(port), "%d", number);
    snprintf(cert, sizeof(cert), "%s", tls_file(&files, "server.pem"));
    snprintf(key, sizeof(key), "%s", tls_file(&files, "server.key"));
    snprintf(ca, sizeof(ca), "%s", tls_file(&files, "ca.pem"));
    const char *args[] = {"--tls-port",
                          port,
                          "--cluster-enabled",
                          "yes",
                          "--tls-cluster",
                          "yes",
                          "--tls-auth-clients",
                          "no",
                          "--tls-cert-file",
                          cert,
                          "--tls-key-file",
                          key,
                          "--user",
                          "limited",
                          "on",
                          ">p@ss",
                          "~asynq:*",
                          "~lunaq:*",
                          "&*",
                          "+@all",
                          "--tls-ca-cert-file",
                          ca,
                          NULL};
    assert_int_equal(redis_server_start_with(&node, args), 0);
    char *reply = redis_server_command(&node, slots);
    assert_string_equal(reply, "+OK\r\n");
    do {
        free(reply);
        (void)poll(NULL, 0, 20);
        reply = redis_server_command(&node, info);
    } while (!strstr(reply, "cluster_state:ok") && (ms += 20) < PATIENCE_MS);
    free(reply);
    free(redis_server_command(&node, off));
    ping(with("rediss-cluster://127.0.0.1:%s?ca=%s", port, ca), NULL,
         LUNAQ_ECONFIG, "login");
    work(with("rediss-cluster://limited:p%%40ss@127.0.0.1:%s?ca=%s", port, ca),
         NULL);
    redis_server_stop(&node);
}

static void by_sentinels(const char *password, const tls_files *by_tls)
{
    sentinels group;
    assert_int_equal(sentinels_start(&group, 5000, password, by_tls), 0);
    work(group.url, NULL);
    sentinels_stop(&group);
}

static void sentinels__servers_want_a_password__works(void **state)
{
    (void)state;
    by_sentinels("pa55", NULL);
}

static void sentinels__all_by_tls__works(void **state)
{
    (void)state;
    by_sentinels("pa55", &files);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp__limited_user_and_database__works),
        cmocka_unit_test(unix_socket__database__works),
        cmocka_unit_test(tls__authority_in_the_url__works),
        cmocka_unit_test(tls__files_in_the_options__work),
        cmocka_unit_test(tls__files_in_the_environment__work),
        cmocka_unit_test(tls__each_of_the_options__counts),
        cmocka_unit_test(sentinels__login_and_database_of_their_own__works),
        cmocka_unit_test(cluster__limited_user_by_tls__works),
        cmocka_unit_test(sentinels__servers_want_a_password__works),
        cmocka_unit_test(sentinels__all_by_tls__works),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (tls_files_make(&files)) {
        printf("1..0 # skipped: no openssl\n");
        return 77;
    }
    char cert[96], key[96], ca[96];
    snprintf(cert, sizeof(cert), "%s", tls_file(&files, "server.pem"));
    snprintf(key, sizeof(key), "%s", tls_file(&files, "server.key"));
    snprintf(ca, sizeof(ca), "%s", tls_file(&files, "ca.pem"));
    snprintf(plain, sizeof(plain), "%d", redis_server_free_port());
    snprintf(tls, sizeof(tls), "%d", redis_server_free_port());
    const char *args[] = {"--port",
                          plain,
                          "--tls-port",
                          tls,
                          "--tls-cert-file",
                          cert,
                          "--tls-key-file",
                          key,
                          "--tls-ca-cert-file",
                          ca,
                          "--tls-auth-clients",
                          "optional",
                          "--user",
                          "limited",
                          "on",
                          ">p@ss",
                          "~asynq:*",
                          "~lunaq:*",
                          "&asynq:*",
                          "&lunaq:*",
                          "+@all",
                          "-@admin",
                          "-@dangerous",
                          "+info",
                          NULL};
    if (redis_server_start_with(&server, args)) {
        printf("1..0 # skipped: no redis-server with TLS\n");
        tls_files_remove(&files);
        return 77;
    }
    int rc = cmocka_run_group_tests_name("connections", tests, NULL, NULL);
    redis_server_stop(&server);
    tls_files_remove(&files);
    return rc;
}
