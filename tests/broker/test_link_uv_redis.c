/* The Redis link on a loop, with a real server: results, waiting, listening,
 * and a server that is killed under load. */
#include "support/test.h"

#include "base/clock.h"
#include "redis_uv/link_durable.h"
#include "redis_uv/link_uv.h"
#include "support/loop_world.h"
#include "support/redis_server.h"

#include <stdlib.h>

struct client {
    loop_world w;
    redis_server server;
    lq_link *link;
    int ups, downs, closed;
    void (*when_up)(struct client *c);
    void (*when_down)(struct client *c);
};

static void closed(void *ud)
{
    struct client *c = ud;

    c->closed++;
    lq_loop_stop(c->w.loop);
}

static void link_up(void *ud)
{
    struct client *c = ud;

    c->ups++;
    if (c->when_up)
        c->when_up(c);
}

static void link_down(void *ud, const lunaq_error *why)
{
    struct client *c = ud;

    (void)why;
    c->downs++;
    if (c->when_down)
        c->when_down(c);
}

static const lq_link_events events = {link_up, link_down};

static void stop_when_up(struct client *c)
{
    lq_loop_stop(c->w.loop);
}

static lq_link *connect_link(struct client *c, bool wait)
{
    lq_link *link;

    assert_int_equal(
        lq_redis_link_open(&link, c->w.loop, c->server.url, &events, c, NULL),
        LUNAQ_OK);
    if (wait) {
        c->when_up = stop_when_up;
        loop_world_run(&c->w);
        c->when_up = NULL;
    }
    return link;
}

static void close_link(struct client *c, lq_link *link)
{
    int before = c->closed;

    link->ops->close(link, closed, c);
    loop_world_run(&c->w);
    assert_int_equal(c->closed, before + 1);
}

static redis_server server;

static int setup(void **state)
{
    static struct client c;

    c = (struct client){.server = server};
    loop_world_init(&c.w);
    *state = &c;
    return 0;
}

static int teardown(void **state)
{
    struct client *c = *state;

    server = c->server; /* perhaps another process */
    loop_world_release(&c->w);
    return 0;
}

static void stop_when_done(lq_op *op)
{
    lq_loop_stop(((struct client *)op->ud)->w.loop);
}

/* Submits and runs the loop until it is done. */
static int call(struct client *c, lq_link *link, lq_op *op, enum lq_op_kind k)
{
    lq_op_init(op, k);
    op->done = stop_when_done;
    op->ud = c;
    lq_link_submit(link, op);
    loop_world_run(&c->w);
    return op->rc;
}

/* ---- what it carries ----------------------------------------------------- */

static void ping__says_the_version(void **state)
{
    struct client *c = *state;
    lq_link *link = connect_link(c, true);
    lq_op_ping ping = {0};

    assert_int_equal(call(c, link, &ping.op, LQ_OP_PING), LUNAQ_OK);
    assert_true(ping.version[0] >= '6' && ping.version[0] <= '9');
    lq_op_release(&ping.op);
    close_link(c, link);
}

static void token__scripts_are_sent_in_full_when_redis_forgot_them(void **state)
{
    static const char *const flush[] = {"SCRIPT", "FLUSH", NULL};
    struct client *c = *state;
    lq_link *link = connect_link(c, true);
    lq_op_token token = {.server_id = LQ_STR("s")};

    for (int i = 0; i < 3; i++) {
        free(redis_server_command(&c->server, flush));
        assert_int_equal(call(c, link, &token.op, LQ_OP_TOKEN), LUNAQ_OK);
        assert_true(token.token > 0);
    }
    lq_op_release(&token.op);
    close_link(c, link);
}

/* ---- waiting and listening ----------------------------------------------- */

struct waker {
    struct client *c;
    lq_timer *timer;
};

static void push_one(void *ud)
{
    static const char *const push[] = {"LPUSH", "asynq:{w}:pending", "1", NULL};
    struct waker *waker = ud;

    free(redis_server_command(&waker->c->server, push));
}

static void wait__a_task_comes__wakes(void **state)
{
    struct client *c = *state;
    lq_link *link = connect_link(c, true);
    lq_op_wait wait = {.queue = LQ_STR("w"), .timeout_ms = 10000};
    struct waker waker = {.c = c};

    assert_int_equal(
        lq_timer_new(&waker.timer, c->w.loop, push_one, &waker, NULL), 0);
    lq_timer_start(waker.timer, 20);
    assert_int_equal(call(c, link, &wait.op, LQ_OP_WAIT), LUNAQ_OK);
    assert_true(wait.woke);
    lq_timer_close(waker.timer);
    lq_op_release(&wait.op);
    close_link(c, link);
}

static void wait__nothing_comes__ends_without_a_wake(void **state)
{
    struct client *c = *state;
    lq_link *link = connect_link(c, true);
    lq_op_wait wait = {.queue = LQ_STR("none"), .timeout_ms = 1000};

    assert_int_equal(call(c, link, &wait.op, LQ_OP_WAIT), LUNAQ_OK);
    assert_false(wait.woke);
    lq_op_release(&wait.op);
    close_link(c, link);
}

static void wait__link_closed__is_canceled(void **state)
{
    struct client *c = *state;
    lq_link *link = connect_link(c, true);
    lq_op_wait wait = {.queue = LQ_STR("none"), .timeout_ms = 5000};

    lq_op_init(&wait.op, LQ_OP_WAIT);
    wait.op.done = stop_when_done;
    wait.op.ud = c;
    lq_link_submit(link, &wait.op);
    link->ops->close(link, closed, c);
    while (!c->closed)
        loop_world_run(&c->w);
    assert_int_equal(wait.op.rc, LUNAQ_ECANCELED);
    lq_op_release(&wait.op);
}

struct listener {
    lq_op_listen listen;
    struct client *c;
    char id[40];
    int done;
};

static void heard(struct lq_op_listen *op, lq_str id)
{
    struct listener *l = LQ_OF(op, struct listener, listen);

    memcpy(l->id, id.p, id.len < sizeof(l->id) ? id.len : sizeof(l->id) - 1);
    lq_loop_stop(l->c->w.loop);
}

static void listen_done(lq_op *op)
{
    LQ_OF(op, struct listener, listen.op)->done++;
}

static void publish(void *ud)
{
    static const char *const publish_id[] = {"PUBLISH", "asynq:cancel",
                                             "task-1", NULL};
    struct waker *waker = ud;
    char *reply = redis_server_command(&waker->c->server, publish_id);

    if (!reply || strcmp(reply, ":1\r\n") != 0)
        lq_timer_start(waker->timer, 5); /* it does not listen yet */
    free(reply);
}

static void listen__a_cancel_request__is_heard(void **state)
{
    struct client *c = *state;
    lq_link *link = connect_link(c, true);
    struct listener l = {.c = c};
    struct waker waker = {.c = c};

    lq_op_init(&l.listen.op, LQ_OP_LISTEN);
    l.listen.op.done = listen_done;
    l.listen.cancel = heard;
    lq_link_submit(link, &l.listen.op);
    assert_int_equal(
        lq_timer_new(&waker.timer, c->w.loop, publish, &waker, NULL), 0);
    lq_timer_start(waker.timer, 5);
    loop_world_run(&c->w);
    assert_string_equal(l.id, "task-1");
    assert_int_equal(l.done, 0);
    close_link(c, link);
    assert_int_equal(l.done, 1);
    assert_int_equal(l.listen.op.rc, LUNAQ_ECANCELED);
    lq_timer_close(waker.timer);
    lq_op_release(&l.listen.op);
}

/* ---- a server that dies under load --------------------------------------- */

enum { PINGS = 64 };

struct load {
    struct client c;
    lq_link *link;
    struct load_op {
        lq_op_ping ping;
        struct load *load;
        bool under_way;
    } ops[PINGS];
    int64_t ok, lost, strange, kill_at, stop_at;
    bool up;
};

static void load_submit(struct load_op *o)
{
    assert_false(o->under_way);
    o->under_way = true;
    lq_op_init(&o->ping.op, LQ_OP_PING);
    lq_link_submit(o->load->link, &o->ping.op);
}

static void load_done(lq_op *op)
{
    struct load_op *o = LQ_OF(op, struct load_op, ping.op);
    struct load *load = o->load;

    assert_true(o->under_way); /* once */
    o->under_way = false;
    if (op->rc == LUNAQ_OK)
        load->ok++;
    else if (op->rc == LUNAQ_EUNKNOWN || op->rc == LUNAQ_EBROKER)
        load->lost++;
    else
        load->strange++;
    if (load->ok == load->kill_at) {
        load->kill_at = -1;
        redis_server_kill(&load->c.server);
        if (redis_server_restart(&load->c.server))
            load->strange++;
    }
    if (load->ok >= load->stop_at)
        lq_loop_stop(load->c.w.loop);
    else if (load->up)
        load_submit(o);
}

static void load_up(struct client *c)
{
    struct load *load = LQ_OF(c, struct load, c);

    load->up = true;
    for (int i = 0; i < PINGS; i++)
        load_submit(&load->ops[i]);
}

static void load_down(struct client *c)
{
    LQ_OF(c, struct load, c)->up = false;
}

static void restart__under_load__each_operation_is_done_once(void **state)
{
    struct client *c = *state;
    static struct load load;

    memset(&load, 0, sizeof(load));
    load.c = *c;
    load.kill_at = 500;
    load.stop_at = 1000;
    load.c.when_up = load_up;
    load.c.when_down = load_down;
    for (int i = 0; i < PINGS; i++) {
        load.ops[i].load = &load;
        load.ops[i].ping.op.done = load_done;
    }
    load.link = connect_link(&load.c, false);
    loop_world_run(&load.c.w);
    c->server = load.c.server;
    assert_true(load.lost > 0); /* what was under way */
    assert_int_equal(load.strange, 0);
    assert_int_equal(load.c.ups, 2);
    assert_true(load.c.downs >= 1);
    load.up = false;
    load.link->ops->close(load.link, closed, &load.c);
    while (!load.c.closed)
        loop_world_run(&load.c.w);
    for (int i = 0; i < PINGS; i++) {
        assert_false(load.ops[i].under_way);
        lq_op_release(&load.ops[i].ping.op);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- durable ------------------------------------------------------------- */

struct sure {
    struct client *c;
    lq_op_enqueue enqueue;
    lq_enqueue item, *items[1];
    lq_op_ping ping;
    bool closing;
    int ended, ping_at, enqueue_at; /* which was the first to end */
};

static void sure_done(lq_op *op)
{
    struct sure *s = op->ud;
    s->ended++;
    if (op == &s->ping.op)
        s->ping_at = s->ended;
    else
        s->enqueue_at = s->ended;
    if (s->ended == 2 && !s->closing)
        lq_loop_stop(s->c->w.loop);
}

static void sure_begin(struct sure *s, lq_link *link, struct client *c)
{
    lunaq_task task = LUNAQ_TASK_INIT;
    *s = (struct sure){.c = c};
    s->items[0] = &s->item;
    task.type = "t";
    task.durable = LUNAQ_DURABLE_REPLICA;
    assert_int_equal(lq_enqueue_init(&s->item, &task, 0, NULL), 0);
    s->enqueue.items = s->items;
    s->enqueue.count = 1;
    s->enqueue.durable_ms = 500;
    lq_op_init(&s->enqueue.op, LQ_OP_ENQUEUE);
    s->enqueue.op.done = sure_done;
    s->enqueue.op.ud = s;
    lq_op_init(&s->ping.op, LQ_OP_PING);
    s->ping.op.done = sure_done;
    s->ping.op.ud = s;
    lq_link_submit(link, &s->enqueue.op);
}

static void sure_end(struct sure *s)
{
    lq_op_release(&s->enqueue.op);
    lq_op_release(&s->ping.op);
    lq_enqueue_release(&s->item);
}

static lq_link *open_durable(struct client *c)
{
    lq_link *link = NULL;
    assert_int_equal(lq_redis_durable_link_open(&link, c->w.loop, c->server.url,
                                                &events, c, NULL),
                     LUNAQ_OK);
    c->when_up = stop_when_up;
    loop_world_run(&c->w);
    c->when_up = NULL;
    return link;
}

/* No replica is there: the enqueue waits in vain, and holds nothing up. */
static void durable__enqueue_that_waits__holds_nothing_up(void **state)
{
    struct client *c = *state;
    struct sure s;
    lq_link *link = open_durable(c);
    for (int i = 0; i < 2; i++) { /* the second time it is connected */
        sure_begin(&s, link, c);
        lq_link_submit(link, &s.ping.op);
        loop_world_run(&c->w);
        assert_int_equal(s.ping.op.rc, LUNAQ_OK);
        assert_int_equal(s.enqueue.op.rc, LUNAQ_OK);
        assert_int_equal(s.item.code, LUNAQ_EUNKNOWN);
        assert_int_equal(s.ping_at, 1);
        assert_int_equal(s.enqueue_at, 2);
        sure_end(&s);
    }
    close_link(c, link);
}

static void durable__closed_meanwhile__ends_all(void **state)
{
    struct client *c = *state;
    struct sure s;
    lq_link *link = open_durable(c);
    sure_begin(&s, link, c);
    lq_link_submit(link, &s.ping.op);
    s.closing = true;
    close_link(c, link); /* before the second connection is there */
    assert_int_equal(s.ended, 2);
    assert_int_not_equal(s.enqueue.op.rc, LUNAQ_OK);
    sure_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ping__says_the_version),
        TEST(token__scripts_are_sent_in_full_when_redis_forgot_them),
        TEST(wait__a_task_comes__wakes),
        TEST(wait__nothing_comes__ends_without_a_wake),
        TEST(wait__link_closed__is_canceled),
        TEST(listen__a_cancel_request__is_heard),
        TEST(durable__enqueue_that_waits__holds_nothing_up),
        TEST(durable__closed_meanwhile__ends_all),
        TEST(restart__under_load__each_operation_is_done_once),
    };
    int failed;

    if (redis_server_start(&server, NULL, NULL))
        return 77;
    failed = cmocka_run_group_tests_name("link_uv_redis", tests, NULL, NULL);
    redis_server_stop(&server);
    return failed;
}
