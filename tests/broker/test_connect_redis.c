/* Connecting to real servers by every kind of URL that leads to one server,
 * with the blocking connection and with the one on a loop: TLS, logins,
 * databases, sockets, and what is said when they do not fit. */
#include "support/test.h"

#include "base/alloc.h"
#include "redis/link_poll.h"
#include "redis_uv/link_uv.h"
#include "support/fake_server.h"
#include "support/loop_world.h"
#include "support/redis_server.h"
#include "support/tls_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static tls_files files;
static int64_t patience_ms = 10000; /* of the blocking connection */
/* What listens: plain and TLS; the same with clients' certificates asked for;
 * the same with a certificate that has expired. */
static struct {
    redis_server server;
    char plain[8], tls[8];
    const char *args[32];
} open_one, strict_one, expired_one;

static void start_tls(redis_server *s, char plain[8], char tls[8],
                      const char **args, const char *cert, const char *key,
                      const char *clients)
{
    const char *all[] = {"--port",
                         plain,
                         "--tls-port",
                         tls,
                         "--tls-cert-file",
                         strdup(tls_file(&files, cert)),
                         "--tls-key-file",
                         strdup(tls_file(&files, key)),
                         "--tls-ca-cert-file",
                         strdup(tls_file(&files, "ca.pem")),
                         "--tls-auth-clients",
                         clients,
                         "--user",
                         "limited",
                         "on",
                         ">l%mited/p@ss",
                         "~asynq:*",
                         "~lunaq:*",
                         "&*",
                         "+@all",
                         "-@admin",
                         "-@dangerous",
                         NULL};
    snprintf(plain, 8, "%d", redis_server_free_port());
    do {
        snprintf(tls, 8, "%d", redis_server_free_port());
    } while (strcmp(tls, plain) == 0);
    memcpy(args, all, sizeof(all));
    if (redis_server_start_with(s, args)) {
        printf("1..0 # skipped: no redis-server with TLS\n");
        exit(77);
    }
}

/* ---- the two drivers ----------------------------------------------------- */

/* A task in and out again: the connection works. */
static int use_caller(const char *url, lunaq_error *err)
{
    lq_caller *caller = NULL;
    int rc = lq_redis_caller_open(&caller, url, err);
    if (rc)
        return rc;
    char payload[40000];
    memset(payload, 'x', sizeof(payload));
    lunaq_task task = LUNAQ_TASK_INIT;
    lq_enqueue item, *items[] = {&item};
    task.type = "t";
    task.payload = payload;
    task.payload_len = sizeof(payload);
    assert_int_equal(lq_enqueue_init(&item, &task, 0, NULL), 0);
    lq_op_enqueue enqueue = {.items = items, .count = 1};
    lq_op_init(&enqueue.op, LQ_OP_ENQUEUE);
    rc = lq_caller_call(caller, &enqueue.op, patience_ms, err);
    if (!rc)
        assert_int_equal(item.code, LUNAQ_OK);
    lq_op_release(&enqueue.op);
    lq_enqueue_release(&item);
    lq_step_queue queue = {.name = LQ_STR("default"), .want = 1};
    lq_op_step step = {.queues = &queue,
                       .queue_count = 1,
                       .free = 1,
                       .token = 3,
                       .lease_ms = 30000};
    lq_op_init(&step.op, LQ_OP_STEP);
    if (!rc) {
        rc = lq_caller_call(caller, &step.op, 10000, err);
        if (!rc) {
            assert_int_equal(step.taken_count, 1);
            assert_true(step.taken[0].msg.len > sizeof(payload));
        }
    }
    lq_op_release(&step.op);
    lq_caller_close(caller);
    return rc;
}

struct client {
    loop_world w;
    int up;
    lunaq_error why;
};

static void link_up(void *ud)
{
    struct client *c = ud;
    c->up++;
    lq_loop_stop(c->w.loop);
}

static void link_down(void *ud, const lunaq_error *why)
{
    struct client *c = ud;
    c->why = *why;
    lq_loop_stop(c->w.loop);
}

static void stop(void *ud)
{
    lq_loop_stop(((struct client *)ud)->w.loop);
}

static void pinged(lq_op *op)
{
    lq_loop_stop(((struct client *)op->ud)->w.loop);
}

static int use_link(const char *url, lunaq_error *err)
{
    static const lq_link_events events = {link_up, link_down};
    struct client c = {.up = 0};
    lq_link *link = NULL;
    loop_world_init(&c.w);
    int rc = lq_redis_link_open(&link, c.w.loop, url, &events, &c, err);
    if (!rc) {
        loop_world_run(&c.w);
        rc = c.up ? LUNAQ_OK : c.why.code;
        *err = c.why;
        if (c.up) {
            lq_op_ping ping = {.op = {.done = pinged, .ud = &c}};
            lq_op_init(&ping.op, LQ_OP_PING);
            lq_link_submit(link, &ping.op);
            loop_world_run(&c.w);
            rc = ping.op.rc;
            *err = ping.op.err;
            lq_op_release(&ping.op);
        }
        link->ops->close(link, stop, &c);
        loop_world_run(&c.w);
    }
    loop_world_release(&c.w);
    return rc;
}

#define ANY_CODE (-1)

/* Both drivers reach it, or both say the same. */
static void try(const char *url, int code, const char *says)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = use_caller(url, &err);
    if ((code == ANY_CODE ? !rc : rc != code) ||
        (rc && !strstr(err.message, says)))
        fail_msg("caller: %s: %d: %s", url, rc, err.message);
    err = (lunaq_error){0};
    rc = use_link(url, &err);
    if ((code == ANY_CODE ? !rc : rc != code) ||
        (rc && !strstr(err.message, says)))
        fail_msg("link: %s: %d: %s", url, rc, err.message);
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

/* ---- TLS ----------------------------------------------------------------- */

static void tls__known_ca__connects_by_name_and_address(void **state)
{
    const char *ca = tls_file(&files, "ca.pem");
    (void)state;
    try(with("rediss://localhost:%s?ca=%s", open_one.tls, ca), 0, "");
    try(with("rediss://127.0.0.1:%s/3?ca=%s", open_one.tls, ca), 0, "");
}

static void tls__insecure__looks_at_nothing(void **state)
{
    (void)state;
    try(with("rediss://127.0.0.2:%s?insecure=true%s", open_one.tls, ""),
        LUNAQ_EBROKER, "refused"); /* it listens on 127.0.0.1 alone */
    try(with("rediss://127.0.0.1:%s?insecure=true%s", expired_one.tls, ""), 0,
        "");
}

static void tls__unknown_ca__says_so(void **state)
{
    (void)state;
    try(with("rediss://127.0.0.1:%s?ca=%s", open_one.tls,
             tls_file(&files, "other.pem")),
        LUNAQ_ECONFIG, "ca=");
    try(with("rediss://127.0.0.1:%s%s", open_one.tls, ""), LUNAQ_ECONFIG,
        "its CA is not known here");
}

static void tls__wrong_name__says_so(void **state)
{
    const char *ca = tls_file(&files, "ca.pem");
    (void)state;
    try(with("rediss://127.0.0.1:%s?server_name=redis.example&ca=%s",
             open_one.tls, ca),
        LUNAQ_ECONFIG, "not for 'redis.example'");
    try(with("rediss://127.0.0.1:%s?server_name=127.0.0.9&ca=%s", open_one.tls,
             ca),
        LUNAQ_ECONFIG, "not for '127.0.0.9'");
    try(with("rediss://127.0.0.1:%s?server_name=localhost&ca=%s", open_one.tls,
             ca),
        0, "");
}

static void tls__expired__says_so(void **state)
{
    (void)state;
    try(with("rediss://127.0.0.1:%s?ca=%s", expired_one.tls,
             tls_file(&files, "ca.pem")),
        LUNAQ_ECONFIG, "expired: renew it");
}

static void tls__certificate_wanted__is_given_or_asked_for(void **state)
{
    char rest[300];
    (void)state;
    snprintf(rest, sizeof(rest), "%s&cert=%s&key=%s",
             tls_file(&files, "ca.pem"), tls_file(&files, "client.pem"),
             tls_file(&files, "client.key"));
    try(with("rediss://127.0.0.1:%s?ca=%s", strict_one.tls, rest), 0, "");
    try(with("rediss://127.0.0.1:%s?ca=%s", strict_one.tls,
             tls_file(&files, "ca.pem")),
        ANY_CODE, "cert=");
}

static void tls__other_end_is_plain__says_so(void **state)
{
    (void)state;
    patience_ms = 500;
    try(with("rediss://127.0.0.1:%s?insecure=true", open_one.plain),
        LUNAQ_EBROKER, "speak TLS on this port");
    patience_ms = 10000;
}

static void refuse(fake_server *s, int fd, int nth, void *ud)
{
    (void)s;
    (void)nth;
    (void)ud;
    fake_say(fd, "-ERR unknown command\r\n");
    fake_drain(fd);
}

static void tls__other_end_answers_plainly__says_so(void **state)
{
    fake_server *s = fake_server_new(NULL, refuse, NULL);
    (void)state;
    try(with("rediss://127.0.0.1:%d?insecure=true", fake_server_port(s)),
        LUNAQ_ECONFIG, "does not speak TLS");
    fake_server_free(s);
}

static void plain__other_end_is_tls__says_so(void **state)
{
    (void)state;
    try(with("redis://127.0.0.1:%s%s", open_one.tls, ""), LUNAQ_EBROKER,
        "rediss://");
}

static void tls__files_that_will_not_do__are_named_at_open(void **state)
{
    static const struct {
        const char *ca, *cert, *key, *says;
    } rows[] = {
        {"none.pem", NULL, NULL, "none.pem: No such file"},
        {"junk.pem", NULL, NULL, "junk.pem: holds no certificate"},
        {"", NULL, NULL, "Is a directory"},
        {"ca.pem", "none.pem", "client.key", "none.pem: No such file"},
        {"ca.pem", "junk.pem", "client.key", "junk.pem: holds no certificate"},
        {"ca.pem", "client.pem", "none.key", "none.key: No such file"},
        {"ca.pem", "client.pem", "junk.pem", "junk.pem: holds no private key"},
        {"ca.pem", "client.pem", "server.key", "server.key: is not the key"},
        {"ca.pem", "client.pem", "locked.key", "has a passphrase"},
    };
    (void)state;
    for (size_t i = 0; i < 2 * LQ_COUNT(rows); i++) {
        char url[400];
        const size_t row = i / 2;
        lunaq_error err = LUNAQ_ERROR_INIT;
        lq_caller *caller = NULL;
        int64_t live = lq_alloc_live();
        size_t n = (size_t)snprintf(url, sizeof(url), "rediss%s://h?ca=%s",
                                    i % 2 ? "-cluster" : "",
                                    tls_file(&files, rows[row].ca));
        if (rows[row].cert)
            snprintf(url + n, sizeof(url) - n, "&cert=%s&key=%s",
                     tls_file(&files, rows[row].cert),
                     tls_file(&files, rows[row].key));
        assert_int_equal(lq_redis_caller_open(&caller, url, &err),
                         LUNAQ_ECONFIG);
        if (!strstr(err.message, rows[row].says))
            fail_msg("%s: %s", url, err.message);
        assert_int_equal(lq_alloc_live(), live);
    }
}

static void tls__relative_file_missing__says_where_it_was_looked_for(void **s)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_caller *caller = NULL;
    char folder[4096];
    (void)s;
    assert_non_null(getcwd(folder, sizeof(folder)));
    assert_int_equal(
        lq_redis_caller_open(&caller, "rediss://h?ca=certs/none.pem", &err),
        LUNAQ_ECONFIG);
    folder[strlen(folder) < 100 ? strlen(folder) : 100] = 0;
    if (!strstr(err.message, "ca=certs/none.pem: No such file") ||
        !strstr(err.message, folder))
        fail_msg("%s", err.message);
}

/* ---- logins, databases, sockets ------------------------------------------ */

static void login__limited_user__works_with_its_password(void **state)
{
    (void)state;
    try(with("redis://limited:l%%25mited%%2Fp%%40ss@127.0.0.1:%s/2%s",
             open_one.plain, ""),
        0, "");
    try(with("rediss://limited:l%%25mited%%2Fp%%40ss@127.0.0.1:%s?ca=%s",
             open_one.tls, tls_file(&files, "ca.pem")),
        0, "");
    try(with("redis-socket://limited:l%%25mited%%2Fp%%40ss@%s%s",
             open_one.server.socket, "?db=5"),
        0, "");
}

static void login__wrong__is_refused_without_the_password(void **state)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    const char *url =
        with("redis://limited:sesame@127.0.0.1:%s%s", open_one.plain, "");
    (void)state;
    try(url, LUNAQ_ECONFIG, "login refused");
    assert_int_equal(use_caller(url, &err), LUNAQ_ECONFIG);
    assert_null(strstr(err.message, "sesame"));
    assert_int_equal(use_link(url, &err), LUNAQ_ECONFIG);
    assert_null(strstr(err.message, "sesame"));
}

static void database__each__has_its_own_tasks(void **state)
{
    static const char *const in_7[] = {"GET", "lunaq:test", NULL};
    (void)state;
    try(with("redis://127.0.0.1:%s/7%s", open_one.plain, ""), 0, "");
    try(with("redis://127.0.0.1:%s?db=7%s", open_one.plain, ""), 0, "");
    try(with("redis-socket://%s?db=7%s", open_one.server.socket, ""), 0, "");
    try(with("redis://127.0.0.1:%s/99%s", open_one.plain, ""), LUNAQ_ECONFIG,
        "database 99 refused");
    char *reply = redis_server_command(&open_one.server, in_7);
    assert_non_null(reply); /* the server goes on */
    free(reply);
    static const char *const info[] = {"INFO", "keyspace", NULL};
    reply = redis_server_command(&open_one.server, info);
    assert_non_null(strstr(reply, "db7:"));
    assert_null(strstr(reply, "db0:"));
    free(reply);
}

/* ---- sentinels ----------------------------------------------------------- */

static void answer(fake_server *s, int fd, int nth, void *ud)
{
    (void)s;
    (void)nth;
    if (fake_expect(fd, "by-name"))
        fake_say(fd, ud);
    fake_drain(fd);
}

/* In order: one that is not there, one that is silent, one that is something
 * else, one that knows nothing, one that names nobody's port, one that names a
 * replica, and one that is right. */
static void sentinels__only_the_last_is_right__connects(void **state)
{
    static char silent[] = "", junk[] = "HTTP/1.1 400 Bad Request\r\n",
                none[] = "*-1\r\n";
    char closed[64], stale[64], right[64], url[400];
    redis_server replica;
    char port[8];
    const char *args[] = {"--port",    port,           "--replicaof",
                          "127.0.0.1", open_one.plain, NULL};
    fake_server *fakes[6];
    (void)state;
    snprintf(port, sizeof(port), "%d", redis_server_free_port());
    assert_int_equal(redis_server_start_with(&replica, args), 0);
    const struct {
        char *text;
        int number;
    } named[] = {{closed, fake_refusing_port()},
                 {stale, (int)strtol(port, NULL, 10)},
                 {right, (int)strtol(open_one.plain, NULL, 10)}};
    for (size_t i = 0; i < LQ_COUNT(named); i++) {
        char number[8];
        snprintf(number, sizeof(number), "%d", named[i].number);
        snprintf(named[i].text, sizeof(closed),
                 "*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n", strlen(number),
                 number);
    }
    char *const words[] = {silent, junk, none, closed, stale, right};
    size_t n =
        (size_t)snprintf(url, sizeof(url), "redis-sentinel://127.0.0.1:%d",
                         fake_refusing_port());
    for (size_t i = 0; i < LQ_COUNT(fakes); i++) {
        fakes[i] = fake_server_new(NULL, answer, words[i]);
        n += (size_t)snprintf(url + n, sizeof(url) - n, ",127.0.0.1:%d",
                              fake_server_port(fakes[i]));
    }
    snprintf(url + n, sizeof(url) - n, "/4?master=m");
    try(url, 0, "");
    for (size_t i = 0; i < LQ_COUNT(fakes); i++)
        fake_server_free(fakes[i]);
    redis_server_stop(&replica);
}

static void sentinels__none_knows__says_so(void **state)
{
    static char none[] = "*-1\r\n";
    fake_server *fake = fake_server_new(NULL, answer, none);
    (void)state;
    patience_ms = 2000;
    try(with("redis-sentinel://127.0.0.1:%d,127.0.0.1:%d?master=m",
             fake_refusing_port(), fake_server_port(fake)),
        LUNAQ_ECONFIG, "knows no master 'm'");
    patience_ms = 10000;
    fake_server_free(fake);
}

/* ---- durable ------------------------------------------------------------- */

static int call_once(const char *url, lq_op *op)
{
    lq_caller *caller = NULL;
    assert_int_equal(lq_redis_caller_open(&caller, url, NULL), 0);
    int rc = lq_caller_call(caller, op, 10000, NULL);
    lq_caller_close(caller);
    return rc;
}

/* The rest of durable is tested without a server, or with one that fails over;
 * this needs one that knows WAITAOF. */
static void durable__fsync__is_on_the_disk(void **state)
{
    static const char *const args[] = {"--appendonly", "yes", "--appendfsync",
                                       "everysec", NULL};
    redis_server s;
    lunaq_task task = LUNAQ_TASK_INIT;
    lq_enqueue item, *items[] = {&item};
    lq_op_ping ping = {.op.kind = LQ_OP_PING};
    (void)state;
    assert_int_equal(redis_server_start_with(&s, args), 0);
    assert_int_equal(call_once(s.url, &ping.op), 0);
    bool old = strtod(ping.version, NULL) < 7.2;
    lq_op_release(&ping.op);
    if (old) {
        print_message("skipped: redis-server %s has no WAITAOF, 7.2 has\n",
                      ping.version);
        redis_server_stop(&s);
        skip();
    }
    task.type = "t";
    task.task_id = "sure";
    task.durable = LUNAQ_DURABLE_FSYNC;
    assert_int_equal(lq_enqueue_init(&item, &task, 0, NULL), 0);
    lq_op_enqueue enqueue = {.op.kind = LQ_OP_ENQUEUE,
                             .items = items,
                             .count = 1,
                             .durable_ms = 9000};
    assert_int_equal(call_once(s.url, &enqueue.op), 0);
    assert_int_equal(item.code, LUNAQ_OK);
    assert_int_equal(item.reached, LUNAQ_DURABLE_FSYNC);
    assert_int_equal(redis_server_restart(&s), 0); /* by SIGKILL */
    assert_int_equal(call_once(s.url, &enqueue.op), 0);
    assert_int_equal(item.code, LUNAQ_EEXIST);
    lq_op_release(&enqueue.op);
    lq_enqueue_release(&item);
    redis_server_stop(&s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(database__each__has_its_own_tasks), /* db 0 unused */
        cmocka_unit_test(tls__known_ca__connects_by_name_and_address),
        cmocka_unit_test(tls__insecure__looks_at_nothing),
        cmocka_unit_test(tls__unknown_ca__says_so),
        cmocka_unit_test(tls__wrong_name__says_so),
        cmocka_unit_test(tls__expired__says_so),
        cmocka_unit_test(tls__certificate_wanted__is_given_or_asked_for),
        cmocka_unit_test(tls__other_end_is_plain__says_so),
        cmocka_unit_test(tls__other_end_answers_plainly__says_so),
        cmocka_unit_test(plain__other_end_is_tls__says_so),
        cmocka_unit_test(tls__files_that_will_not_do__are_named_at_open),
        cmocka_unit_test(
            tls__relative_file_missing__says_where_it_was_looked_for),
        cmocka_unit_test(login__limited_user__works_with_its_password),
        cmocka_unit_test(sentinels__only_the_last_is_right__connects),
        cmocka_unit_test(sentinels__none_knows__says_so),
        cmocka_unit_test(durable__fsync__is_on_the_disk),
        cmocka_unit_test(login__wrong__is_refused_without_the_password),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (tls_files_make(&files)) {
        printf("1..0 # skipped: no openssl\n");
        return 77;
    }
    start_tls(&open_one.server, open_one.plain, open_one.tls, open_one.args,
              "server.pem", "server.key", "no");
    start_tls(&strict_one.server, strict_one.plain, strict_one.tls,
              strict_one.args, "server.pem", "server.key", "yes");
    start_tls(&expired_one.server, expired_one.plain, expired_one.tls,
              expired_one.args, "expired.pem", "expired.key", "no");
    int rc = cmocka_run_group_tests_name("connect", tests, NULL, NULL);
    redis_server_stop(&open_one.server);
    redis_server_stop(&strict_one.server);
    redis_server_stop(&expired_one.server);
    tls_files_remove(&files);
    return rc;
}
