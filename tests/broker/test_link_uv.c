/* The Redis link on a loop, against a server whose every word the test says:
 * each operation is done exactly once, with the code that fits. */
#include "support/test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "redis_uv/link_uv.h"
#include "support/fake_server.h"
#include "support/loop_world.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define GREETING "$22\r\nredis_version:7.0.15\r\n\r\n+PONG\r\n"
#define ANSWER "$22\r\nredis_version:7.0.15\r\n\r\n$13\r\nmaxmemory:0\r\n\r\n"
#define ASKED "memory\r\n" /* the end of a ping operation */

struct client;

/* One operation, and how it ended. */
struct asked {
    lq_op_ping ping;
    struct client *c;
    int done;
};

struct client {
    loop_world w;
    fake_server *server;
    lq_link *link;
    int ups, downs, closed, done;
    lunaq_error why;
    struct asked asked[100];
    size_t count;
    bool in_submit;
    int stop_at_downs, stop_at_done, ask_when_up;
    bool close_when_up, close_when_down, close_when_done, again_when_done;
};

static void closed(void *ud)
{
    struct client *c = ud;

    c->closed++;
    for (size_t i = 0; i < c->count; i++)
        assert_int_equal(c->asked[i].done, 1); /* all before this */
    lq_loop_stop(c->w.loop);
}

static void close_link(struct client *c)
{
    lq_link *link = c->link;

    if (!link)
        return;
    c->link = NULL;
    link->ops->close(link, closed, c);
}

static void asked_done(lq_op *op)
{
    struct asked *a = LQ_OF(op, struct asked, ping.op);
    struct client *c = a->c;

    assert_false(c->in_submit);
    assert_int_equal(c->closed, 0);
    a->done++;
    c->done++;
    if (c->close_when_done)
        close_link(c);
    if (c->again_when_done && c->link) {
        a->done--;
        lq_op_init(op, LQ_OP_PING);
        lq_link_submit(c->link, op);
    }
    if (c->done == c->stop_at_done)
        lq_loop_stop(c->w.loop);
}

static struct asked *ask(struct client *c)
{
    struct asked *a = &c->asked[c->count++];

    a->c = c;
    lq_op_init(&a->ping.op, LQ_OP_PING);
    a->ping.op.done = asked_done;
    c->in_submit = true;
    lq_link_submit(c->link, &a->ping.op);
    c->in_submit = false;
    return a;
}

static void link_up(void *ud)
{
    struct client *c = ud;

    assert_non_null(c->link);
    c->ups++;
    for (int i = 0; i < c->ask_when_up; i++)
        ask(c);
    if (c->close_when_up)
        close_link(c);
}

static void link_down(void *ud, const lunaq_error *why)
{
    struct client *c = ud;

    assert_non_null(c->link);
    assert_int_not_equal(why->code, LUNAQ_OK);
    c->downs++;
    c->why = *why;
    if (c->close_when_down)
        close_link(c);
    if (c->downs == c->stop_at_downs)
        lq_loop_stop(c->w.loop);
}

static void connect_to(struct client *c, int port)
{
    static const lq_link_events events = {link_up, link_down};
    lunaq_error err = LUNAQ_ERROR_INIT;
    char url[64];

    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", port);
    assert_int_equal(
        lq_redis_link_open(&c->link, c->w.loop, url, &events, c, &err),
        LUNAQ_OK);
}

static void serve(struct client *c, fake_serve_fn *fn)
{
    c->server = fake_server_new(NULL, fn, c);
    connect_to(c, fake_server_port(c->server));
}

static int setup(void **state)
{
    static struct client c;

    memset(&c, 0, sizeof(c));
    loop_world_init(&c.w);
    *state = &c;
    return 0;
}

static int teardown(void **state)
{
    struct client *c = *state;

    if (c->link) {
        close_link(c);
        loop_world_run(&c->w);
    }
    for (size_t i = 0; i < c->count; i++)
        lq_op_release(&c->asked[i].ping.op);
    if (c->server)
        fake_server_free(c->server);
    loop_world_release(&c->w);
    return 0;
}

/* ---- what the servers do ------------------------------------------------- */

static void greet(int fd)
{
    fake_expect(fd, "PING\r\n");
    fake_say(fd, GREETING);
}

static void serve_well(fake_server *s, int fd, int nth, void *ud)
{
    (void)s;
    (void)nth;
    (void)ud;
    greet(fd);
    while (fake_expect(fd, ASKED))
        fake_say(fd, ANSWER);
}

static void serve_nothing(fake_server *s, int fd, int nth, void *ud)
{
    (void)s;
    (void)nth;
    (void)ud;
    fake_drain(fd);
}

static void serve_greeting_only(fake_server *s, int fd, int nth, void *ud)
{
    (void)s;
    (void)nth;
    (void)ud;
    greet(fd);
    fake_drain(fd);
}

/* Cuts the first connection after it got a command, serves the others. */
static void serve_cut(fake_server *s, int fd, int nth, void *ud)
{
    if (nth > 1) {
        serve_well(s, fd, nth, ud);
        return;
    }
    greet(fd);
    fake_expect(fd, ASKED);
}

/* Half of an answer, then the end. */
static void serve_half(fake_server *s, int fd, int nth, void *ud)
{
    if (nth > 1) {
        serve_well(s, fd, nth, ud);
        return;
    }
    greet(fd);
    fake_expect(fd, ASKED);
    fake_say(fd, "$22\r\nredis_ver");
}

static void serve_garbage(fake_server *s, int fd, int nth, void *ud)
{
    (void)s;
    (void)nth;
    (void)ud;
    greet(fd);
    fake_expect(fd, ASKED);
    fake_say(fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
    fake_drain(fd);
}

static void serve_refusal(fake_server *s, int fd, int nth, void *ud)
{
    (void)s;
    (void)nth;
    (void)ud;
    fake_expect(fd, "PING\r\n");
    fake_say(fd, "-NOAUTH Authentication required.\r\n"
                 "-NOAUTH Authentication required.\r\n");
    fake_drain(fd);
}

/* ---- it works ------------------------------------------------------------ */

static void ask__when_up__is_answered(void **state)
{
    struct client *c = *state;

    c->ask_when_up = 1;
    c->stop_at_done = 1;
    serve(c, serve_well);
    loop_world_run(&c->w);
    assert_int_equal(c->ups, 1);
    assert_int_equal(c->downs, 0);
    assert_int_equal(c->asked[0].ping.op.rc, LUNAQ_OK);
    assert_string_equal(c->asked[0].ping.version, "7.0.15");
}

static void serve_counting(fake_server *s, int fd, int nth, void *ud)
{
    char bytes[16384];
    ssize_t n;
    size_t whole = 0;

    (void)s;
    (void)nth;
    (void)ud;
    greet(fd);
    n = read(fd, bytes, sizeof(bytes));
    for (ssize_t i = 0; i + 8 <= n; i++)
        whole += memcmp(bytes + i, ASKED, 8) == 0;
    for (size_t i = 0; i < whole; i++) /* what came in the first packet */
        fake_say(fd, ANSWER);
    fake_drain(fd);
}

static void ask__many_in_one_turn__leave_together(void **state)
{
    struct client *c = *state;

    c->ask_when_up = 40;
    c->stop_at_done = 40;
    serve(c, serve_counting);
    loop_world_run(&c->w);
    for (size_t i = 0; i < c->count; i++)
        assert_int_equal(c->asked[i].ping.op.rc, LUNAQ_OK);
}

static void ask__before_it_is_up__is_done_with_ebroker_later(void **state)
{
    struct client *c = *state;
    struct asked *a;

    serve(c, serve_well);
    a = ask(c);
    assert_int_equal(a->done, 0);
    c->stop_at_done = 1;
    loop_world_run(&c->w);
    assert_int_equal(a->ping.op.rc, LUNAQ_EBROKER);
    assert_int_equal(a->done, 1);
}

static void again_and_again__while_away__does_not_hold_the_loop(void **state)
{
    struct client *c = *state;

    connect_to(c, fake_refusing_port());
    c->again_when_done = true;
    c->stop_at_downs = 2; /* timers and sockets go on */
    ask(c);
    loop_world_run(&c->w);
    assert_true(c->done > 2);
    c->again_when_done = false;
}

/* ---- ways to lose it ----------------------------------------------------- */

static void open__url_unusable__is_refused(void **state)
{
    static const lq_link_events events = {link_up, link_down};
    struct client *c = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;

    assert_int_equal(lq_redis_link_open(&c->link, c->w.loop, "redis://h:port",
                                        &events, c, &err),
                     LUNAQ_ECONFIG);
    assert_null(c->link);
}

static void refused__is_reported_for_each_attempt(void **state)
{
    struct client *c = *state;
    int64_t before = lq_mono_ms();

    connect_to(c, fake_refusing_port());
    c->stop_at_downs = 3;
    loop_world_run(&c->w);
    assert_int_equal(c->ups, 0);
    assert_int_equal(c->why.code, LUNAQ_EBROKER);
    assert_non_null(strstr(c->why.message, "refused"));
    assert_true(lq_mono_ms() - before >= 100); /* two waits */
}

static void cut__after_it_was_sent__is_unknown_and_it_comes_back(void **state)
{
    struct client *c = *state;

    c->ask_when_up = 1;
    c->stop_at_done = 2;
    serve(c, serve_cut);
    loop_world_run(&c->w);
    assert_int_equal(c->ups, 2);
    assert_int_equal(c->downs, 1);
    assert_int_equal(c->asked[0].ping.op.rc, LUNAQ_EUNKNOWN);
    assert_int_equal(c->asked[1].ping.op.rc, LUNAQ_OK);
}

static void cut__in_the_middle_of_a_reply__is_unknown(void **state)
{
    struct client *c = *state;

    c->ask_when_up = 2;
    c->stop_at_done = 3;
    serve(c, serve_half);
    loop_world_run(&c->w);
    assert_int_equal(c->asked[0].ping.op.rc, LUNAQ_EUNKNOWN);
    assert_int_equal(c->asked[1].ping.op.rc, LUNAQ_EUNKNOWN);
    assert_int_equal(c->asked[2].ping.op.rc, LUNAQ_OK);
}

static void garbage__ends_the_connection(void **state)
{
    struct client *c = *state;

    c->ask_when_up = 1;
    c->stop_at_done = 1;
    serve(c, serve_garbage);
    loop_world_run(&c->w);
    assert_int_equal(c->why.code, LUNAQ_EPROTO);
    assert_int_equal(c->asked[0].ping.op.rc, LUNAQ_EUNKNOWN);
}

static void login_refused__says_so_again_and_again(void **state)
{
    struct client *c = *state;

    c->stop_at_downs = 2;
    serve(c, serve_refusal);
    loop_world_run(&c->w);
    assert_int_equal(c->why.code, LUNAQ_ECONFIG);
    assert_int_equal(c->ups, 0);
}

#define HEARS                                                                  \
    "*3\r\n$9\r\nsubscribe\r\n$12\r\nasynq:cancel\r\n:1\r\n"                   \
    "*3\r\n$9\r\nsubscribe\r\n$12\r\nlunaq:cancel\r\n:2\r\n"

/* Has nothing to say to a listener, not even that it lives. */
static void serve_listener(fake_server *s, int fd, int nth, void *ud)
{
    atomic_int *nudges = ud;
    (void)s;
    greet(fd);
    if (nth > 1 || !fake_expect(fd, "lunaq:cancel\r\n"))
        return;
    fake_say(fd, HEARS);
    if (fake_expect(fd, "PING\r\n"))
        atomic_fetch_add(nudges, 1);
    fake_drain(fd);
}

struct listener {
    lq_op_listen listen;
    struct client c; /* on the loop of another */
    int64_t ended_ms;
};

static void listen_done(lq_op *op)
{
    ((struct listener *)op->ud)->ended_ms = lq_mono_ms();
}

static void listen_up(void *ud)
{
    struct listener *l = ud;
    if (l->c.ups++)
        return;
    lq_op_init(&l->listen.op, LQ_OP_LISTEN);
    l->listen.op.done = listen_done;
    l->listen.op.ud = l;
    lq_link_submit(l->c.link, &l->listen.op);
}

/* Three servers at once, since this takes its time. */
static void silence__is_given_up_in_time(void **state)
{
    static const lq_link_events listen_events = {.up = listen_up};
    struct client *c = *state;
    static struct client mute;
    static struct listener l;
    static atomic_int nudges;
    char url[64];
    int64_t before = lq_mono_ms(), took;

    memset(&mute, 0, sizeof(mute));
    mute.w = c->w; /* the same loop */
    mute.stop_at_downs = 1;
    mute.again_when_done = true; /* asking does not put it off */
    serve(&mute, serve_nothing);
    ask(&mute);
    memset(&l, 0, sizeof(l));
    l.c.w = c->w;
    l.c.server = fake_server_new(NULL, serve_listener, &nudges);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d",
             fake_server_port(l.c.server));
    assert_int_equal(
        lq_redis_link_open(&l.c.link, c->w.loop, url, &listen_events, &l, NULL),
        0);
    c->ask_when_up = 1;
    c->stop_at_done = 1;
    serve(c, serve_greeting_only);
    loop_world_run(&c->w);
    took = lq_mono_ms() - before;
    assert_int_equal(mute.downs, 1);
    assert_non_null(strstr(mute.why.message, "no greeting within 5 s"));
    assert_true(took >= 4900 && took < 9000);
    mute.again_when_done = false;

    loop_world_run(&c->w);
    took = lq_mono_ms() - before;
    assert_int_equal(c->asked[0].ping.op.rc, LUNAQ_EUNKNOWN);
    assert_non_null(strstr(c->why.message, "no reply for 10 s"));
    assert_true(took >= 9900 && took < 15000);

    close_link(&mute);
    loop_world_run(&c->w);
    fake_server_free(mute.server);

    while (!l.ended_ms)
        loop_world_run_ms(&c->w, 100);
    took = l.ended_ms - before;
    assert_int_equal(l.listen.op.rc, LUNAQ_EUNKNOWN);
    assert_int_equal(atomic_load(&nudges), 1);
    assert_true(took >= 9900 && took < 20000);
    close_link(&l.c);
    loop_world_run(&c->w);
    fake_server_free(l.c.server);
}

static void cluster__node_that_tells_no_slots__is_named(void **state)
{
    static const lq_link_events events = {link_up, link_down};
    struct client *c = *state;
    char url[64], says[96];

    c->server = fake_server_new(NULL, serve_greeting_only, c);
    snprintf(url, sizeof(url), "redis-cluster://127.0.0.1:%d",
             fake_server_port(c->server));
    snprintf(says, sizeof(says), "127.0.0.1:%d: it did not tell",
             fake_server_port(c->server));
    c->stop_at_downs = 1;
    assert_int_equal(
        lq_redis_link_open(&c->link, c->w.loop, url, &events, c, NULL),
        LUNAQ_OK);
    loop_world_run(&c->w);
    assert_int_equal(c->why.code, LUNAQ_EBROKER);
    if (!strstr(c->why.message, says))
        fail_msg("%s", c->why.message);
}

static void hold_loop(void *ud)
{
    (void)ud;
    usleep(11 * 1000 * 1000); /* what one long call of a handler does */
}

static void reply__that_came_while_the_loop_was_held__counts(void **state)
{
    struct client *c = *state;
    lq_timer *timer;

    assert_int_equal(lq_timer_new(&timer, c->w.loop, hold_loop, NULL, NULL), 0);
    serve(c, serve_well);
    while (!c->ups)
        loop_world_run_ms(&c->w, 2);
    ask(c); /* its tick is running when the loop is held */
    loop_world_run_ms(&c->w, 2);
    c->stop_at_done = 2;
    ask(c);
    lq_timer_start(timer, 0);
    loop_world_run(&c->w);
    assert_int_equal(c->downs, 0);
    assert_int_equal(c->asked[1].ping.op.rc, LUNAQ_OK);
    lq_timer_close(timer);
}

static void open__out_of_memory__leaves_nothing(void **state)
{
    static const lq_link_events events = {link_up, link_down};
    struct client *c = *state;
    int rc = LUNAQ_ENOMEM;

    for (uint64_t n = 1; rc; n++) {
        int64_t before = lq_alloc_live();
        lunaq_error err = LUNAQ_ERROR_INIT;

        lq_alloc_fail_at(n, false);
        rc = lq_redis_link_open(&c->link, c->w.loop, "redis://u:p@127.0.0.1:1",
                                &events, c, &err);
        lq_alloc_fail_at(0, false);
        if (!rc)
            break;
        assert_null(c->link);
        loop_world_run_ms(&c->w, 1); /* the loop lets go of the timer */
        assert_int_equal(lq_alloc_live(), before);
        assert_true(n < 50);
    }
}

/* ---- closing ------------------------------------------------------------- */

static void close__with_operations_under_way__each_is_canceled(void **state)
{
    struct client *c = *state;

    c->ask_when_up = 30;
    serve(c, serve_greeting_only);
    while (!c->ups)
        loop_world_run_ms(&c->w, 2);
    close_link(c);
    loop_world_run(&c->w);
    assert_int_equal(c->closed, 1);
    for (size_t i = 0; i < c->count; i++)
        assert_int_equal(c->asked[i].ping.op.rc, LUNAQ_ECANCELED);
}

static void close__at_once__comes_to_its_end(void **state)
{
    struct client *c = *state;

    serve(c, serve_well);
    ask(c);
    close_link(c);
    assert_int_equal(c->closed, 0);
    loop_world_run(&c->w);
    assert_int_equal(c->closed, 1);
    assert_int_equal(c->ups + c->downs, 0);
}

static void close__while_it_waits_to_connect_again__is_quick(void **state)
{
    struct client *c = *state;
    int64_t least = INT64_MAX;

    /* The shortest wait is 50; other work on the machine may hold up some. */
    for (int i = 0; i < 5 && least >= 40; i++) {
        c->downs = c->closed = 0;
        connect_to(c, fake_refusing_port());
        c->stop_at_downs = 2;
        loop_world_run(&c->w);
        int64_t before = lq_mono_ms();
        close_link(c);
        loop_world_run(&c->w);
        assert_int_equal(c->closed, 1);
        if (lq_mono_ms() - before < least)
            least = lq_mono_ms() - before;
    }
    assert_true(least < 40);
}

static void close__inside_up__is_clean(void **state)
{
    struct client *c = *state;

    c->close_when_up = true;
    c->ask_when_up = 3;
    serve(c, serve_well);
    loop_world_run(&c->w);
    assert_int_equal(c->closed, 1);
    assert_int_equal(c->done, 3);
}

static void close__inside_down__is_clean(void **state)
{
    struct client *c = *state;

    c->close_when_down = true;
    c->ask_when_up = 3;
    serve(c, serve_cut);
    loop_world_run(&c->w);
    assert_int_equal(c->closed, 1);
    assert_int_equal(c->downs, 1);
    assert_int_equal(c->done, 3);
}

static void close__inside_done__the_rest_is_done_too(void **state)
{
    struct client *c = *state;

    c->close_when_done = true;
    c->ask_when_up = 3;
    serve(c, serve_well);
    loop_world_run(&c->w);
    assert_int_equal(c->closed, 1);
    assert_int_equal(c->done, 3);
    assert_int_equal(c->asked[0].ping.op.rc, LUNAQ_OK);
    assert_int_equal(c->asked[2].ping.op.rc, LUNAQ_ECANCELED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ask__when_up__is_answered),
        TEST(ask__many_in_one_turn__leave_together),
        TEST(ask__before_it_is_up__is_done_with_ebroker_later),
        TEST(again_and_again__while_away__does_not_hold_the_loop),
        TEST(open__url_unusable__is_refused),
        TEST(refused__is_reported_for_each_attempt),
        TEST(cut__after_it_was_sent__is_unknown_and_it_comes_back),
        TEST(cut__in_the_middle_of_a_reply__is_unknown),
        TEST(garbage__ends_the_connection),
        TEST(login_refused__says_so_again_and_again),
        TEST(reply__that_came_while_the_loop_was_held__counts),
        TEST(open__out_of_memory__leaves_nothing),
        TEST(silence__is_given_up_in_time),
        TEST(cluster__node_that_tells_no_slots__is_named),
        TEST(close__with_operations_under_way__each_is_canceled),
        TEST(close__at_once__comes_to_its_end),
        TEST(close__while_it_waits_to_connect_again__is_quick),
        TEST(close__inside_up__is_clean),
        TEST(close__inside_down__is_clean),
        TEST(close__inside_done__the_rest_is_done_too),
    };

    return cmocka_run_group_tests_name("link_uv", tests, NULL, NULL);
}
