/* Streams: connecting, bytes both ways, and every way to lose one. */
#include "support/test.h"

#include "base/clock.h"
#include "support/fake_server.h"
#include "support/loop_world.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    loop_world *w;
    lq_stream *s;
    int connected, lost, data;
    size_t received;
    lunaq_error why;
    const char *say; /* when connected */
    size_t stop_at;  /* bytes received */
    bool close_in_data, close_in_connected, close_in_lost;
    bool inside; /* a call of ours: nothing may come */
};

static int setup(void **state)
{
    static loop_world world;

    loop_world_init(&world);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    loop_world_release(*state);
    return 0;
}

static void connected(void *ud)
{
    struct peer *p = ud;

    assert_false(p->inside);
    p->connected++;
    p->inside = true;
    if (p->say)
        lq_stream_write(p->s, p->say, strlen(p->say));
    p->inside = false;
    if (p->close_in_connected) {
        lq_stream_close(p->s);
        lq_loop_stop(p->w->loop);
    }
}

static void data(void *ud, const char *bytes, size_t len)
{
    struct peer *p = ud;

    assert_false(p->inside);
    assert_non_null(bytes);
    p->data++;
    p->received += len;
    if (p->close_in_data)
        lq_stream_close(p->s);
    if (p->stop_at && p->received >= p->stop_at)
        lq_loop_stop(p->w->loop);
}

static void lost(void *ud, const lunaq_error *why)
{
    struct peer *p = ud;

    assert_false(p->inside);
    p->lost++;
    p->why = *why;
    if (p->close_in_lost) {
        lq_stream_close(p->s);
        p->s = NULL;
    }
    lq_loop_stop(p->w->loop);
}

static const lq_stream_events events = {connected, data, lost};

static void open_to(struct peer *p, loop_world *w, const char *host, int port,
                    int64_t timeout_ms)
{
    lunaq_error err = LUNAQ_ERROR_INIT;

    p->w = w;
    p->inside = true;
    assert_int_equal(lq_stream_open(&p->s, w->loop, host, port, timeout_ms,
                                    &events, p, &err),
                     LUNAQ_OK);
    p->inside = false;
}

static void serve_echo(fake_server *s, int fd, int nth, void *ud)
{
    char bytes[4096];
    ssize_t n;

    (void)s;
    (void)nth;
    (void)ud;
    while ((n = read(fd, bytes, sizeof(bytes))) > 0)
        if (send(fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
            break;
}

static void stream__tcp__carries_bytes_both_ways(void **state)
{
    struct peer p = {.say = "hello", .stop_at = 5};
    fake_server *server = fake_server_new(NULL, serve_echo, NULL);

    open_to(&p, *state, "127.0.0.1", fake_server_port(server), 5000);
    loop_world_run(*state);
    assert_int_equal(p.connected, 1);
    assert_int_equal(p.received, 5);
    lq_stream_close(p.s);
    lq_stream_close(NULL);
    fake_server_free(server);
}

static void stream__name_of_several_addresses__finds_the_one(void **state)
{
    struct peer p = {.say = "hello", .stop_at = 5};
    fake_server *server = fake_server_new(NULL, serve_echo, NULL);

    open_to(&p, *state, "localhost", fake_server_port(server), 5000);
    loop_world_run(*state);
    assert_int_equal(p.received, 5);
    assert_int_equal(p.lost, 0);
    lq_stream_close(p.s);
    fake_server_free(server);
}

static void stream__unix_socket__carries_bytes_both_ways(void **state)
{
    struct peer p = {.say = "hello", .stop_at = 5};
    char folder[] = "/tmp/lq-stream-XXXXXX", path[64];
    fake_server *server;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/s", folder);
    server = fake_server_new(path, serve_echo, NULL);
    open_to(&p, *state, path, 0, 5000);
    loop_world_run(*state);
    assert_int_equal(p.received, 5);
    lq_stream_close(p.s);
    fake_server_free(server);
    unlink(path);
    rmdir(folder);
}

static void stream__path_too_long__is_refused_at_once(void **state)
{
    loop_world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    char path[200];
    lq_stream *s;

    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(
        lq_stream_open(&s, w->loop, path, 0, 100, &events, NULL, &err),
        LUNAQ_EINVAL);
    assert_null(s);
}

static void stream__refused__is_lost_with_host_and_port(void **state)
{
    struct peer p = {0};
    int port = fake_refusing_port();
    char where[32];

    open_to(&p, *state, "127.0.0.1", port, 5000);
    loop_world_run(*state);
    snprintf(where, sizeof(where), "127.0.0.1:%d: ", port);
    assert_int_equal(p.connected, 0);
    assert_int_equal(p.lost, 1);
    assert_int_equal(p.why.code, LUNAQ_EIO);
    assert_ptr_equal(strstr(p.why.message, where), p.why.message);
    assert_non_null(strstr(p.why.message, "refused"));
    lq_stream_close(p.s);
}

static void stream__no_such_socket__is_lost(void **state)
{
    struct peer p = {.close_in_lost = true};

    open_to(&p, *state, "/nonexistent/lq.sock", 0, 5000);
    loop_world_run(*state);
    assert_int_equal(p.lost, 1);
    assert_non_null(strstr(p.why.message, "/nonexistent/lq.sock: no such"));
}

static void stream__unknown_name__is_lost(void **state)
{
    struct peer p = {0};

    open_to(&p, *state, "no-such-host.invalid", 6379, 3000);
    loop_world_run(*state);
    assert_int_equal(p.lost, 1);
    assert_non_null(strstr(p.why.message, "no-such-host.invalid"));
    lq_stream_close(p.s);
}

/* A listener whose queue is full answers nobody. */
static void stream__no_answer__is_lost_in_time(void **state)
{
    struct peer p = {0};
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0), filler[8];
    int64_t before, took;

    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    for (size_t i = 0; i < LQ_COUNT(filler); i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], (struct sockaddr *)&at, len);
    }
    before = lq_mono_ms();
    open_to(&p, *state, "127.0.0.1", ntohs(at.sin_port), 300);
    loop_world_run(*state);
    took = lq_mono_ms() - before;
    assert_int_equal(p.lost, 1);
    assert_true(took >= 250 && took < 10000);
    lq_stream_close(p.s);
    for (size_t i = 0; i < LQ_COUNT(filler); i++)
        close(filler[i]);
    close(listener);
}

static void hold_loop(lq_post *post)
{
    (void)post;
    usleep(200 * 1000);
}

static void
stream__loop_held_for_longer_than_the_timeout__connects(void **state)
{
    loop_world *w = *state;
    struct peer p = {.say = "hello", .stop_at = 5};
    lq_post post = {.fn = hold_loop};
    fake_server *server = fake_server_new(NULL, serve_echo, NULL);

    lq_loop_post(w->loop, &post);
    open_to(&p, w, "127.0.0.1", fake_server_port(server), 50);
    loop_world_run(w);
    assert_int_equal(p.lost, 0);
    assert_int_equal(p.received, 5);
    lq_stream_close(p.s);
    fake_server_free(server);
}

static void serve_goodbye(fake_server *s, int fd, int nth, void *ud)
{
    (void)s;
    (void)nth;
    (void)ud;
    fake_expect(fd, "hello");
    fake_say(fd, "bye");
}

static void stream__peer_ends__data_first_then_lost_once(void **state)
{
    struct peer p = {.say = "hello"};
    fake_server *server = fake_server_new(NULL, serve_goodbye, NULL);

    open_to(&p, *state, "127.0.0.1", fake_server_port(server), 5000);
    loop_world_run(*state);
    assert_int_equal(p.received, 3);
    assert_int_equal(p.lost, 1);
    lq_stream_write(p.s, "late", 4); /* nothing happens */
    loop_world_run_ms(*state, 20);
    assert_int_equal(p.lost, 1);
    lq_stream_close(p.s);
    fake_server_free(server);
}

static void serve_reset(fake_server *s, int fd, int nth, void *ud)
{
    const struct linger now = {1, 0};

    (void)s;
    (void)nth;
    (void)ud;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

struct writer {
    struct peer p;
    lq_timer *again;
};

static void write_more(void *ud)
{
    struct writer *x = ud;

    if (x->p.lost)
        return;
    x->p.inside = true;
    if (x->p.connected)
        lq_stream_write(x->p.s, "more", 4);
    x->p.inside = false;
    lq_timer_start(x->again, 0);
}

/* Also shows that writing to it does not raise SIGPIPE, which would end the
 * test. */
static void stream__written_to_after_a_reset__is_lost_once(void **state)
{
    loop_world *w = *state;
    struct writer x = {.p = {0}};
    fake_server *server = fake_server_new(NULL, serve_reset, NULL);

    for (int i = 0; i < 20; i++) {
        x.p = (struct peer){0};
        assert_int_equal(lq_timer_new(&x.again, w->loop, write_more, &x, NULL),
                         0);
        open_to(&x.p, w, "127.0.0.1", fake_server_port(server), 5000);
        lq_timer_start(x.again, 0);
        loop_world_run(w);
        assert_int_equal(x.p.lost, 1);
        lq_stream_close(x.p.s);
        lq_timer_close(x.again);
    }
    fake_server_free(server);
}

/* ---- much at once -------------------------------------------------------- */

#define MUCH ((size_t)24 * 1024 * 1024)

struct sum {
    atomic_size_t received;
    atomic_bool in_order;
};

static char pattern(size_t i)
{
    return (char)(i * 31 + i / 251);
}

static void serve_sum(fake_server *s, int fd, int nth, void *ud)
{
    struct sum *sum = ud;
    char bytes[50000];
    size_t at = 0;
    ssize_t n;

    (void)s;
    (void)nth;
    while (at < MUCH && (n = read(fd, bytes, sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (bytes[i] != pattern(at++))
                atomic_store(&sum->in_order, false);
    }
    atomic_store(&sum->received, at);
    fake_say(fd, "all");
}

static void stream__more_than_the_socket_takes__arrives_in_order(void **state)
{
    struct sum sum;
    struct peer p = {0};
    fake_server *server;
    char *bytes = malloc(MUCH);
    size_t at = 0;

    assert_non_null(bytes);
    for (size_t i = 0; i < MUCH; i++)
        bytes[i] = pattern(i);
    atomic_init(&sum.received, 0);
    atomic_init(&sum.in_order, true);
    server = fake_server_new(NULL, serve_sum, &sum);
    p.close_in_connected = false;
    open_to(&p, *state, "127.0.0.1", fake_server_port(server), 5000);
    while (!p.connected)
        loop_world_run_ms(*state, 1);
    for (size_t piece = 1; at < MUCH; piece = piece * 3 + 1) {
        size_t len = piece < MUCH - at ? piece : MUCH - at;
        lq_stream_write(p.s, bytes + at, len);
        at += len;
    }
    p.stop_at = 3;
    loop_world_run(*state);
    assert_int_equal(atomic_load(&sum.received), MUCH);
    assert_true(atomic_load(&sum.in_order));
    lq_stream_close(p.s);
    fake_server_free(server);
    free(bytes);
}

/* ---- closing ------------------------------------------------------------- */

static void serve_chatter(fake_server *s, int fd, int nth, void *ud)
{
    (void)s;
    (void)nth;
    (void)ud;
    for (int i = 0; i < 100; i++)
        fake_say(fd, "0123456789");
    fake_drain(fd);
}

static void close__inside_data__ends_all_callbacks(void **state)
{
    struct peer p = {.close_in_data = true, .stop_at = 1};
    fake_server *server = fake_server_new(NULL, serve_chatter, NULL);

    open_to(&p, *state, "127.0.0.1", fake_server_port(server), 5000);
    loop_world_run(*state);
    loop_world_run_ms(*state, 20);
    assert_int_equal(p.data, 1);
    assert_int_equal(p.lost, 0);
    fake_server_free(server);
}

static void close__inside_connected__ends_all_callbacks(void **state)
{
    struct peer p = {.close_in_connected = true, .say = "hello"};
    fake_server *server = fake_server_new(NULL, serve_chatter, NULL);

    open_to(&p, *state, "127.0.0.1", fake_server_port(server), 5000);
    loop_world_run(*state);
    loop_world_run_ms(*state, 20);
    assert_int_equal(p.data + p.lost, 0);
    fake_server_free(server);
}

static void close__before_it_connected__is_silent(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost",
                                        "no-such-host.invalid",
                                        "/nonexistent/lq.sock"};
    int port = fake_refusing_port();

    for (size_t i = 0; i < LQ_COUNT(hosts); i++) {
        struct peer p = {0};
        open_to(&p, *state, hosts[i], hosts[i][0] == '/' ? 0 : port, 5000);
        lq_stream_close(p.s);
        loop_world_run_ms(*state, 5);
        assert_int_equal(p.connected + p.lost, 0);
    }
}

static void close__with_bytes_queued__is_silent(void **state)
{
    struct peer p = {0};
    fake_server *server = fake_server_new(NULL, serve_goodbye, NULL);
    char *bytes = calloc(1, MUCH);

    assert_non_null(bytes);
    open_to(&p, *state, "127.0.0.1", fake_server_port(server), 5000);
    while (!p.connected)
        loop_world_run_ms(*state, 1);
    lq_stream_write(p.s, bytes, MUCH);
    lq_stream_close(p.s);
    loop_world_run_ms(*state, 20);
    assert_int_equal(p.lost, 0);
    fake_server_free(server);
    free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stream__tcp__carries_bytes_both_ways),
        TEST(stream__name_of_several_addresses__finds_the_one),
        TEST(stream__unix_socket__carries_bytes_both_ways),
        TEST(stream__path_too_long__is_refused_at_once),
        TEST(stream__refused__is_lost_with_host_and_port),
        TEST(stream__no_such_socket__is_lost),
        TEST(stream__unknown_name__is_lost),
        TEST(stream__no_answer__is_lost_in_time),
        TEST(stream__loop_held_for_longer_than_the_timeout__connects),
        TEST(stream__peer_ends__data_first_then_lost_once),
        TEST(stream__written_to_after_a_reset__is_lost_once),
        TEST(stream__more_than_the_socket_takes__arrives_in_order),
        TEST(close__inside_data__ends_all_callbacks),
        TEST(close__inside_connected__ends_all_callbacks),
        TEST(close__before_it_connected__is_silent),
        TEST(close__with_bytes_queued__is_silent),
    };

    return cmocka_run_group_tests_name("loop_stream", tests, NULL, NULL);
}
