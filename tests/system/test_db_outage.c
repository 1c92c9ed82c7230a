/* PostgreSQL away, restarting, refusing; and hosts by name. */
#include "support/test.h"

#include "db_world.h"

#include "base/clock.h"
#include "db/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void server__away__fails_after_the_attempt(void **state)
{
    (void)state;
    db_world w;
    ask a[20];
    lq_db_stats stats;
    const lq_db_options options = {
        .url = "postgres://me:s3cret@/x?host=/nonexistent", .size = 5};
    db_world_open(&w, &options);
    int64_t begin = lq_mono_ms();
    for (int i = 0; i < 20; i++)
        ask_start(&w, &a[i], NULL, 10000, "select 1", "");
    db_world_wait(&w);
    assert_true(lq_mono_ms() - begin < 8000);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(a[i].rc, LUNAQ_EDATABASE);
        assert_non_null(
            strstr(a[i].message, "cannot connect to /nonexistent/x: "));
        assert_null(strstr(a[i].message, "s3cret"));
    }
    /* The next one waits for the next attempt: no busy loop. */
    begin = lq_mono_ms();
    for (int i = 0; i < 4; i++) {
        ask_start(&w, &a[i], NULL, 10000, "select 1", "");
        db_world_wait(&w);
        assert_int_equal(a[i].rc, LUNAQ_EDATABASE);
    }
    assert_true(lq_mono_ms() - begin > 300);
    lq_db_stats_get(w.db, &stats);
    assert_in_range(stats.failed_connects, 5, 10);
    db_world_close(&w);
}

static void server__away__never_waits_beyond_the_deadline(void **state)
{
    (void)state;
    db_world w;
    ask a;
    const lq_db_options options = {.url = "postgres://me@/x?host=/nonexistent"};
    db_world_open(&w, &options);
    for (int i = 0; i < 8; i++) { /* so that the pause has grown */
        int64_t begin = lq_mono_ms();
        ask_start(&w, &a, NULL, 150, "select 1", "");
        db_world_wait(&w);
        assert_true(a.rc == LUNAQ_EDATABASE || a.rc == LUNAQ_ETIMEOUT);
        assert_true(lq_mono_ms() - begin < 1000);
    }
    db_world_close(&w);
}

static void port__that_nobody_listens_on__is_refused(void **state)
{
    (void)state;
    db_world w;
    ask a;
    const lq_db_options options = {.url = "postgres://me@127.0.0.1:1/x"};
    db_world_open(&w, &options);
    ask_start(&w, &a, NULL, 10000, "select 1", "");
    db_world_wait(&w);
    assert_int_equal(a.rc, LUNAQ_EDATABASE);
    assert_non_null(strstr(a.message, "refused"));
    db_world_close(&w);
}

static int mute_listener(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

/* A listener that never answers: the handshake has a limit of its own. */
static void server__that_says_nothing__is_given_up(void **state)
{
    (void)state;
    db_world w;
    ask a;
    char folder[] = "/tmp/lunaq-mute-XXXXXX", path[64], url[128];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/.s.PGSQL.5432", folder);
    snprintf(url, sizeof url, "postgres://me@/x?host=%s", folder);
    int fd = mute_listener(path);
    const lq_db_options options = {.url = url, .connect_timeout_ms = 100};
    db_world_open(&w, &options);
    ask_start(&w, &a, NULL, 10000, "select 1", "");
    db_world_wait(&w);
    assert_int_equal(a.rc, LUNAQ_EDATABASE);
    assert_non_null(strstr(a.message, "no connection within 100 ms"));
    db_world_close(&w);
    close(fd);
    unlink(path);
    rmdir(folder);
}

static void database__that_does_not_exist__says_so(void **state)
{
    (void)state;
    db_world w;
    ask a;
    char url[192];
    postgres_server_url(&db_server, "no_such_database", url, sizeof url);
    const lq_db_options options = {.url = url};
    db_world_open(&w, &options);
    ask_start(&w, &a, NULL, 10000, "select 1", "");
    db_world_wait(&w);
    assert_non_null(strstr(a.message, "\"no_such_database\" does not exist"));
    db_world_close(&w);
}

static void two_hosts__one_dead__connects_to_the_other(void **state)
{
    (void)state;
    db_world w;
    ask a;
    char url[256];
    snprintf(url, sizeof url, "postgres://postgres@/postgres?host=%s,%s",
             "/nonexistent", db_server.folder);
    const lq_db_options options = {.url = url};
    db_world_open(&w, &options);
    ask_now(&w, &a, NULL, "select 1", "");
    ask_release(&a);
    db_world_close(&w);
}

/* The server dies and comes back while statements run all the time. */
static void restart__under_load__fails_some_and_goes_on(void **state)
{
    (void)state;
    static ask a[40];
    db_world w;
    const lq_db_options options = {.size = 8};
    int failed = 0, served_after = 0;
    db_world_open(&w, &options);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < LQ_COUNT(a); i++)
            ask_start(&w, &a[i], NULL, 20000, "select pg_sleep(0.02)", "");
        loop_world_run_ms(&w.w, 15);
        postgres_server_kill(&db_server);
        db_world_wait(&w); /* nothing hangs while it is away */
        for (size_t i = 0; i < LQ_COUNT(a); i++) {
            failed += a[i].rc != 0;
            assert_true(a[i].rc == 0 || a[i].rc == LUNAQ_EDATABASE);
            assert_int_equal(a[i].done, 1);
            ask_release(&a[i]);
        }
        assert_int_equal(postgres_server_restart(&db_server), 0);
        int64_t end = lq_mono_ms() + 15000;
        do {
            ask_start(&w, &a[0], NULL, 20000, "select 1", "");
            db_world_wait(&w);
            ask_release(&a[0]);
        } while (a[0].rc && lq_mono_ms() < end);
        served_after += a[0].rc == 0;
    }
    assert_true(failed > 0);
    assert_int_equal(served_after, 3);
    db_world_close(&w);
}

static void idle_connections__after_a_restart__are_replaced(void **state)
{
    (void)state;
    db_world w;
    ask a[4];
    lq_db_stats stats;
    const lq_db_options options = {.size = 4};
    db_world_open(&w, &options);
    for (int i = 0; i < 4; i++)
        ask_start(&w, &a[i], NULL, 0, "select pg_sleep(0.05)", "");
    db_world_wait(&w);
    for (int i = 0; i < 4; i++)
        ask_release(&a[i]);
    assert_int_equal(postgres_server_restart(&db_server), 0);
    ask_now(&w, &a[0], NULL, "select 1", ""); /* the dead ones are not used */
    ask_release(&a[0]);
    lq_db_stats_get(w.db, &stats);
    assert_true(stats.dropped >= 1);
    db_world_close(&w);
}

static void names__are_resolved_to_addresses(void **state)
{
    (void)state;
    lq_names names;
    lq_names_resolve(&names, "localhost", "5432");
    assert_string_equal(names.why, "");
    assert_true(strstr(names.addresses, "127.0.0.1") ||
                strstr(names.addresses, "::1"));
    assert_non_null(strstr(names.hosts, "localhost"));
    assert_non_null(strstr(names.ports, "5432"));
    lq_names_release(&names);
    lq_names_resolve(&names, "127.0.0.1,/run/x", "1,2");
    assert_string_equal(names.hosts, "127.0.0.1,/run/x");
    assert_string_equal(names.addresses, "127.0.0.1,");
    assert_string_equal(names.ports, "1,2");
    lq_names_release(&names);
}

static void host__that_has_no_address__says_so(void **state)
{
    (void)state;
    db_world w;
    ask a;
    const lq_db_options options = {.url = "postgres://me@nowhere.invalid/x"};
    db_world_open(&w, &options);
    ask_start(&w, &a, NULL, 15000, "select 1", "");
    db_world_wait(&w);
    assert_int_equal(a.rc, LUNAQ_EDATABASE);
    assert_non_null(strstr(a.message, "host nowhere.invalid: "));
    db_world_close(&w);
}

static void host__by_name__reaches_an_attempt(void **state)
{
    (void)state;
    db_world w;
    ask a;
    const lq_db_options options = {.url = "postgres://me@localhost:1/x"};
    db_world_open(&w, &options);
    ask_start(&w, &a, NULL, 15000, "select 1", "");
    db_world_wait(&w);
    assert_int_equal(a.rc, LUNAQ_EDATABASE);
    assert_non_null(strstr(a.message, "refused"));
    db_world_close(&w);
}

static void pool__closed_during_a_lookup__leaves_nothing(void **state)
{
    (void)state;
    db_world w;
    ask a;
    const lq_db_options options = {.url = "postgres://me@localhost:1/x"};
    db_world_open(&w, &options);
    ask_start(&w, &a, NULL, 15000, "select 1", "");
    loop_world_run_ms(&w.w, 0);
    lq_db_close(w.db);
    w.db = NULL;
    assert_true(a.done == 1);
    db_world_close(&w);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(server__away__fails_after_the_attempt),
        cmocka_unit_test(server__away__never_waits_beyond_the_deadline),
        cmocka_unit_test(port__that_nobody_listens_on__is_refused),
        cmocka_unit_test(server__that_says_nothing__is_given_up),
        cmocka_unit_test(database__that_does_not_exist__says_so),
        cmocka_unit_test(two_hosts__one_dead__connects_to_the_other),
        cmocka_unit_test(restart__under_load__fails_some_and_goes_on),
        cmocka_unit_test(idle_connections__after_a_restart__are_replaced),
        cmocka_unit_test(names__are_resolved_to_addresses),
        cmocka_unit_test(host__that_has_no_address__says_so),
        cmocka_unit_test(host__by_name__reaches_an_attempt),
        cmocka_unit_test(pool__closed_during_a_lookup__leaves_nothing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (!db_world_server(0))
        return 77;
    int failed = cmocka_run_group_tests_name("db_outage", tests, NULL, NULL);
    db_world_server_stop();
    return failed;
}
