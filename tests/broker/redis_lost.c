/* Lost replies: the command arrives, its reply does not.
 *
 * A proxy on a thread passes bytes between the client and the server.  Told to
 * cut, it passes the next command on, waits for the server's answer, throws it
 * away and closes both ends.
 */
#include "broker/redis_world.h"
#include "broker/inspect.h"

#include "base/clock.h"
#include "redis/link_poll.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct proxy {
    char path[100];
    int listener;
    int stop[2]; /* a pipe: written to end the thread */
    atomic_bool cut;
    pthread_t thread;
};

static int dial(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool pass(int from, int to)
{
    char bytes[65536];
    ssize_t n = read(from, bytes, sizeof(bytes));
    for (ssize_t at = 0; n > 0 && at < n;) {
        ssize_t k = send(to, bytes + at, (size_t)(n - at), MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        at += k;
    }
    return n > 0;
}

/* Serves one connection to its end; false when the proxy shall end. */
static bool serve(struct proxy *p, int client)
{
    int server = dial(redis_world_server()->socket);
    bool go_on = true, open = server >= 0;
    while (open && go_on) {
        struct pollfd fds[] = {{.fd = client, .events = POLLIN},
                               {.fd = server, .events = POLLIN},
                               {.fd = p->stop[0], .events = POLLIN}};
        if (poll(fds, 3, -1) < 0)
            continue;
        if (fds[2].revents)
            go_on = false;
        else if (fds[1].revents && atomic_exchange(&p->cut, false))
            open = false;
        else
            open = (!fds[0].revents || pass(client, server)) &&
                   (!fds[1].revents || pass(server, client));
    }
    if (server >= 0)
        close(server);
    close(client);
    return go_on;
}

static void *run_proxy(void *ud)
{
    struct proxy *p = ud;
    for (bool go_on = true; go_on;) {
        struct pollfd fds[] = {{.fd = p->listener, .events = POLLIN},
                               {.fd = p->stop[0], .events = POLLIN}};
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents)
            break;
        int client = accept(p->listener, NULL, NULL);
        if (client >= 0)
            go_on = serve(p, client);
    }
    return NULL;
}

static void proxy_start(struct proxy *p, world *w)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char url[160];
    snprintf(p->path, sizeof(p->path), "%s/proxy.sock",
             redis_world_server()->folder);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", p->path);
    snprintf(url, sizeof(url), "redis-socket://%s", p->path);
    unlink(p->path);
    atomic_init(&p->cut, false);
    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (const struct sockaddr *)&a, sizeof(a)),
                     0);
    assert_int_equal(listen(p->listener, 5), 0);
    assert_int_equal(pipe(p->stop), 0);
    assert_int_equal(pthread_create(&p->thread, NULL, run_proxy, p), 0);
    lq_caller_close(w->caller);
    assert_int_equal(lq_redis_caller_open(&w->caller, url, NULL), LUNAQ_OK);
    (void)world_new_token(w); /* connects */
}

static void proxy_stop(struct proxy *p, world *w)
{
    lq_caller_close(w->caller);
    assert_int_equal(write(p->stop[1], "x", 1), 1);
    pthread_join(p->thread, NULL);
    close(p->stop[0]);
    close(p->stop[1]);
    close(p->listener);
    assert_int_equal(w->factory->open(w->factory->ud, &w->caller), 0);
}

static int call(world *w, lq_op *op)
{
    return lq_caller_call(w->caller, op, WORLD_TIMEOUT_MS, NULL);
}

/* ---- the tests ----------------------------------------------------------- */

static void lost_reply__enqueue__repeated_says_it_is_there(void **state)
{
    world *w = *state;
    struct proxy p;
    lq_enqueue e;
    lq_enqueue *items[] = {&e};
    lunaq_task t = LUNAQ_TASK_INIT;
    lq_op_enqueue op = {.op.kind = LQ_OP_ENQUEUE,
                        .items = items,
                        .count = 1,
                        .known_queues = true};
    t.type = "t";
    t.queue = Q;
    t.task_id = "one";
    t.unique_ms = 60000;
    assert_int_equal(lq_enqueue_init(&e, &t, lq_now_ms(), NULL), 0);
    (void)REDIS("SADD", "asynq:queues", Q);
    proxy_start(&p, w);
    atomic_store(&p.cut, true);
    assert_int_equal(call(w, &op.op), LUNAQ_EUNKNOWN);
    /* The first attempt to use it met NOSCRIPT and lost that; so again. */
    int rc = call(w, &op.op);
    assert_int_equal(rc, LUNAQ_OK);
    atomic_store(&p.cut, true);
    assert_int_equal(call(w, &op.op), LUNAQ_EUNKNOWN);
    assert_int_equal(e.code, LUNAQ_EUNKNOWN);
    assert_int_equal(call(w, &op.op), LUNAQ_OK);
    assert_int_equal(e.code, LUNAQ_EEXIST);
    assert_int_equal(world_stats(w).pending, 1);
    proxy_stop(&p, w);
    lq_op_release(&op.op);
    lq_enqueue_release(&e);
}

static void lost_reply__take__is_reconciled(void **state)
{
    world *w = *state;
    struct proxy p;
    uint32_t old = w->token;
    assert_int_equal(world_take(w, 2), 0); /* loads the script */
    world_put_many(w, 4);
    world_take_id(w, "a000"); /* held from here on */
    proxy_start(&p, w);
    lq_step_queue queue = {.name = LQ_STR(Q), .want = 2};
    lq_op_step op = {.op.kind = LQ_OP_STEP,
                     .queues = &queue,
                     .queue_count = 1,
                     .free = 2,
                     .token = old,
                     .lease_ms = 30000,
                     .now_ms = lq_now_ms()};
    atomic_store(&p.cut, true);
    assert_int_equal(call(w, &op.op), LUNAQ_EUNKNOWN);
    lq_op_release(&op.op);
    assert_int_equal(world_stats(w).active, 3);
    const lq_str held[] = {LQ_STR("a000")};
    lq_op_reconcile reconcile = {.op.kind = LQ_OP_RECONCILE,
                                 .queue = LQ_STR(Q),
                                 .old_token = old,
                                 .held = held,
                                 .held_count = 1};
    w->token = world_new_token(w);
    assert_int_equal(world_call(w, &reconcile.op), LUNAQ_OK);
    assert_int_equal(reconcile.returned, 2);
    lq_op_release(&reconcile.op);
    assert_int_equal(world_take(w, 5), 3);
    assert_string_equal(w->step.taken[0].id.p, "a001");
    assert_string_equal(w->step.taken[1].id.p, "a002");
    assert_int_equal(w->step.taken[0].crashes, 0);
    assert_int_equal(world_state(w, "a000"), LUNAQ_ACTIVE);
    proxy_stop(&p, w);
}

static void
lost_reply__finish__repeated_is_not_ours_and_counted_once(void **state)
{
    world *w = *state;
    struct proxy p;
    world_put_many(w, 2);
    assert_int_equal(world_take(w, 2), 2);
    proxy_start(&p, w);
    lq_outcome o[2], *list[2];
    static const char *const ids[] = {"a000", "a001"};
    for (size_t i = 0; i < 2; i++) {
        o[i] = (lq_outcome){.kind = i ? LQ_CRASHED : LQ_DONE,
                            .id = lq_str_c(ids[i]),
                            .token = w->token};
        list[i] = &o[i];
    }
    lq_step_queue queue = {
        .name = LQ_STR(Q), .outcomes = list, .outcome_count = 2};
    lq_op_step op = {.op.kind = LQ_OP_STEP,
                     .queues = &queue,
                     .queue_count = 1,
                     .token = w->token,
                     .lease_ms = 30000,
                     .now_ms = lq_now_ms()};
    atomic_store(&p.cut, true);
    assert_int_equal(call(w, &op.op), LUNAQ_EUNKNOWN);
    assert_int_equal(call(w, &op.op), LUNAQ_OK);
    assert_int_equal(o[0].code, LUNAQ_ELEASE);
    assert_int_equal(o[1].code, LUNAQ_ELEASE);
    lq_op_release(&op.op);
    assert_int_equal(world_stats(w).processed_total, 1);
    proxy_stop(&p, w);
    world_take_id(w, "a001");
    assert_int_equal(w->step.taken[0].crashes, 1);
}

static void lost_reply__extend__was_carried_out(void **state)
{
    world *w = *state;
    struct proxy p;
    lq_op_task_get get;
    lq_extend_item item = {.id = LQ_STR("one"), .token = w->token};
    lq_op_extend op = {.op.kind = LQ_OP_EXTEND,
                       .queue = LQ_STR(Q),
                       .items = &item,
                       .count = 1,
                       .lease_ms = 30000};
    world_put(w, "one");
    w->lease_ms = -5000;
    world_take_id(w, "one");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK); /* loads the script */
    op.lease_ms = 90000;
    proxy_start(&p, w);
    atomic_store(&p.cut, true);
    assert_int_equal(call(w, &op.op), LUNAQ_EUNKNOWN);
    const lq_task_row *row = world_row(w, "one", &get);
    assert_true(row->at_ms > lq_now_ms() + 60000);
    lq_op_release(&get.op);
    assert_int_equal(call(w, &op.op), LUNAQ_OK);
    assert_int_equal(item.code, LUNAQ_OK);
    lq_op_release(&op.op);
    proxy_stop(&p, w);
}

/* A tick is fired once; who sent it hears so again, nobody else. */
static void lost_reply__cron_fire__repeated_says_it_was_fired(void **state)
{
    world *w = *state;
    struct proxy p;
    lq_enqueue e, other;
    lunaq_task t = {
        .size = sizeof(t), .type = "t", .queue = Q, .task_id = "one"};
    assert_int_equal(lq_enqueue_init(&e, &t, lq_now_ms(), NULL), LUNAQ_OK);
    t.task_id = "two";
    assert_int_equal(lq_enqueue_init(&other, &t, lq_now_ms(), NULL), LUNAQ_OK);
    lq_op_cron_fire op = {.op.kind = LQ_OP_CRON_FIRE,
                          .queue = LQ_STR(Q),
                          .entry_id = LQ_STR("t @hourly"),
                          .instant_ms = 1000,
                          .item = &e};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK); /* loads the script */
    assert_true(op.fired);
    world_take_id(w, "one");
    assert_int_equal(world_end(w, LQ_DONE, "one"), LUNAQ_OK);
    op.instant_ms = 2000;
    proxy_start(&p, w);
    atomic_store(&p.cut, true);
    assert_int_equal(call(w, &op.op), LUNAQ_EUNKNOWN);
    op.item = &other; /* another server */
    assert_int_equal(call(w, &op.op), LUNAQ_OK);
    assert_false(op.fired);
    op.item = &e;
    assert_int_equal(call(w, &op.op), LUNAQ_OK);
    assert_true(op.fired);
    assert_int_equal(e.code, LUNAQ_OK);
    assert_int_equal(op.last_ms, 2000);
    assert_int_equal(world_stats(w).pending, 1);
    op.instant_ms = 1000; /* of before: not any more */
    assert_int_equal(call(w, &op.op), LUNAQ_OK);
    assert_false(op.fired);
    lq_op_release(&op.op);
    lq_enqueue_release(&e);
    lq_enqueue_release(&other);
    proxy_stop(&p, w);
}

size_t redis_lost(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(lost_reply__enqueue__repeated_says_it_is_there),
        WORLD_TEST(lost_reply__take__is_reconciled),
        WORLD_TEST(lost_reply__finish__repeated_is_not_ours_and_counted_once),
        WORLD_TEST(lost_reply__extend__was_carried_out),
        WORLD_TEST(lost_reply__cron_fire__repeated_says_it_was_fired),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
