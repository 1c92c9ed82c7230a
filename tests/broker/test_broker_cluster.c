/* The broker suite on a Redis Cluster, through the blocking connection and
 * through the link on a loop. */
#include "broker/world.h"
#include "broker/inspect.h"

#include "base/alloc.h"
#include "loop/loop.h"
#include "redis/cluster_map.h"
#include "redis/link_poll.h"
#include "redis_uv/link_uv.h"
#include "support/redis_cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static redis_cluster cluster;

static int open_cluster(void *ud, lq_caller **out)
{
    (void)ud;
    return lq_redis_caller_open(out, cluster.url, NULL);
}

static void wipe_cluster(void *ud)
{
    (void)ud;
    redis_cluster_wipe(&cluster);
}

/* ---- a link as if it were a caller --------------------------------------- */

struct linked {
    lq_caller base; /* first */
    lq_loop *loop;
    lq_link *link;
    lq_op *done;
};

static void stop(void *ud)
{
    lq_loop_stop(((struct linked *)ud)->loop);
}

static void stop_at_done(lq_op *op)
{
    struct linked *l = op->ud;
    l->done = op;
    stop(l);
}

static int call_link(lq_caller *caller, lq_op *op, int64_t timeout_ms,
                     lunaq_error *err)
{
    struct linked *l = (struct linked *)caller;
    (void)timeout_ms;
    lq_op_init(op, op->kind);
    op->done = stop_at_done;
    op->ud = l;
    lq_link_submit(l->link, op);
    l->done = NULL;
    lq_loop_run(l->loop);
    assert_ptr_equal(l->done, op);
    if (op->rc && err)
        *err = op->err;
    return op->rc;
}

static void close_linked(lq_caller *caller)
{
    struct linked *l = (struct linked *)caller;
    l->link->ops->close(l->link, stop, l);
    lq_loop_run(l->loop);
    lq_loop_free(l->loop);
    lq_free(l);
}

static int open_linked(void *ud, lq_caller **out)
{
    static const lq_link_events events = {.up = stop};
    static const lq_caller_ops ops = {call_link, close_linked};
    struct linked *l = lq_calloc(1, sizeof(*l));
    (void)ud;
    assert_non_null(l);
    l->base.ops = &ops;
    if (lq_loop_new(&l->loop, NULL) ||
        lq_redis_link_open(&l->link, l->loop, cluster.url, &events, l, NULL))
        return -1;
    lq_loop_run(l->loop);
    *out = &l->base;
    return 0;
}

/* ---- a slot that is half here -------------------------------------------- */

static void node_do(int node, const char *const *words)
{
    char *reply = redis_server_command(&cluster.nodes[node], words);
    assert_non_null(reply);
    if (reply[0] == '-')
        fail_msg("%s %s: %s", words[0], words[1], reply);
    free(reply);
}
#define NODE(node, ...) node_do(node, (const char *const[]){__VA_ARGS__, NULL})

/* A script that makes up keys from a prefix would not find those that have left
 * the node, and take their tasks for gone. */
static void
repair__task_has_left_before_its_lists__touches_nothing(void **state)
{
    world *w = *state;
    char slot[8], port[8], from_id[41], to_id[41];
    int from = redis_cluster_owner(&cluster, "asynq:{" Q "}:pending");
    int to = (from + 1) % 3;
    assert_in_range(from, 0, 2);
    assert_true(redis_cluster_id(&cluster, (size_t)from, from_id));
    assert_true(redis_cluster_id(&cluster, (size_t)to, to_id));
    snprintf(slot, sizeof(slot), "%d",
             lq_cluster_slot(LQ_STR("asynq:{" Q "}:pending")));
    snprintf(port, sizeof(port), "%d", cluster.ports[to]);
    world_put_many(w, 2);
    assert_int_equal(world_take(w, 2), 2);
    NODE(from, "ZREM", "asynq:{" Q "}:lease", "a000");
    NODE(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", from_id);
    NODE(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", to_id);
    NODE(from, "MIGRATE", "127.0.0.1", port, ("asynq:{" Q "}:t:a000"), "0",
         "10000");
    lq_op_repair op = {.op.kind = LQ_OP_REPAIR, .queue = LQ_STR(Q)};
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_int_equal(lq_caller_call(w->caller, &op.op, 400, &err),
                     LUNAQ_EBROKER);
    if (!strstr(err.message, "moved between nodes"))
        fail_msg("%s", err.message);
    NODE(from, "MIGRATE", "127.0.0.1", port, "", "0", "10000", "KEYS",
         ("asynq:{" Q "}:t:a001"), ("asynq:{" Q "}:active"),
         ("asynq:{" Q "}:lease"));
    NODE(to, "CLUSTER", "SETSLOT", slot, "NODE", to_id);
    NODE(from, "CLUSTER", "SETSLOT", slot, "NODE", to_id);
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.dropped, 0);
    assert_int_equal(op.leased, 1);
    assert_int_equal(world_stats(w).active, 2);
    lq_op_release(&op.op);
}

/* ---- closing ------------------------------------------------------------- */

struct ending {
    lq_op_step step;
    lq_loop *loop;
    int done;
};

static void step_done(lq_op *op)
{
    ((struct ending *)op->ud)->done++;
}

static void closed(void *ud)
{
    lq_loop_stop(((struct ending *)ud)->loop);
}

/* A step over many queues asks one after the other. */
static void close__with_a_step_under_way__it_is_done_before(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h",
                                        "i", "j", "k", "l", "m", "n", "o", "p"};
    lq_caller *caller = NULL;
    lq_step_queue queues[LQ_COUNT(names)];
    (void)state;
    if (open_linked(NULL, &caller) != 0 || !caller) {
        fail_msg("no link");
        return;
    }
    struct linked *l = (struct linked *)caller;
    struct ending e = {.step = {.queues = queues,
                                .queue_count = LQ_COUNT(names),
                                .free = LQ_COUNT(names),
                                .token = 1,
                                .lease_ms = 10000},
                       .loop = l->loop};
    for (size_t i = 0; i < LQ_COUNT(names); i++)
        queues[i] = (lq_step_queue){.name = lq_str_c(names[i]), .want = i == 0};
    lq_op_init(&e.step.op, LQ_OP_STEP);
    e.step.op.done = step_done;
    e.step.op.ud = &e;
    lq_link_submit(l->link, &e.step.op);
    l->link->ops->close(l->link, closed, &e);
    lq_loop_run(l->loop);
    assert_int_equal(e.done, 1);
    assert_int_equal(e.step.op.rc, LUNAQ_ECANCELED);
    lq_op_release(&e.step.op);
    lq_loop_free(l->loop);
    lq_free(l);
}

struct closing {
    lq_loop *loop;
    lq_link *link;
    bool in_up, in_down, in_done;
    int asked, done, closed;
    lq_op_queues ops[8];
};

static void was_closed(void *ud)
{
    struct closing *c = ud;
    assert_int_equal(c->done, c->asked); /* all before this */
    c->closed++;
    lq_loop_stop(c->loop);
}

static void close_now(struct closing *c)
{
    if (c->link)
        c->link->ops->close(c->link, was_closed, c);
    c->link = NULL;
}

static void asked_done(lq_op *op)
{
    struct closing *c = op->ud;
    c->done++;
    if (c->in_done)
        close_now(c);
}

static void closing_up(void *ud)
{
    struct closing *c = ud;
    for (size_t i = 0; i < LQ_COUNT(c->ops); i++) {
        lq_op_init(&c->ops[i].op, LQ_OP_QUEUES);
        c->ops[i].op.done = asked_done;
        c->ops[i].op.ud = c;
        c->asked++;
        lq_link_submit(c->link, &c->ops[i].op);
    }
    if (c->in_up)
        close_now(c);
}

static void closing_down(void *ud, const lunaq_error *why)
{
    struct closing *c = ud;
    assert_int_equal(why->code, LUNAQ_EBROKER);
    if (c->in_down)
        close_now(c);
}

/* At once, when it is up, when nobody is there, when something was done. */
static void close__at_any_time__is_clean(void **state)
{
    static const lq_link_events events = {closing_up, closing_down};
    char nobody[64];
    (void)state;
    snprintf(nobody, sizeof(nobody), "redis-cluster://127.0.0.1:%d",
             redis_server_free_port());
    for (int i = 0; i < 4; i++) {
        int64_t live = lq_alloc_live();
        struct closing c = {
            .in_up = i == 1, .in_down = i == 2, .in_done = i == 3};
        assert_int_equal(lq_loop_new(&c.loop, NULL), 0);
        assert_int_equal(lq_redis_link_open(&c.link, c.loop,
                                            i == 2 ? nobody : cluster.url,
                                            &events, &c, NULL),
                         0);
        if (i == 0)
            close_now(&c);
        lq_loop_run(c.loop);
        assert_int_equal(c.closed, 1);
        for (int k = 0; k < c.asked; k++)
            lq_op_release(&c.ops[k].op);
        lq_loop_free(c.loop);
        assert_int_equal(lq_alloc_live(), live);
    }
}

/* ---- the wrong kind of URL ----------------------------------------------- */

static void url__of_the_other_kind__is_told(void **state)
{
    world *w = *state;
    char url[128];
    lq_caller *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    bool told = false;
    (void)w;
    for (int i = 0; i < 2 && !told; i++) { /* one of them has not the slot */
        snprintf(url, sizeof(url), "redis://127.0.0.1:%d", cluster.ports[i]);
        assert_int_equal(lq_redis_caller_open(&c, url, NULL), LUNAQ_OK);
        lq_op_queues op = {.op.kind = LQ_OP_QUEUES};
        told = lq_caller_call(c, &op.op, 5000, &err) == LUNAQ_EREPLY;
        lq_op_release(&op.op);
        lq_caller_close(c);
    }
    if (!told || !strstr(err.message, "redis-cluster://"))
        fail_msg("%s", err.message);

    redis_server alone;
    char port[8];
    snprintf(port, sizeof(port), "%d", redis_server_free_port());
    assert_int_equal(redis_server_start(&alone, "--port", port), 0);
    snprintf(url, sizeof(url), "redis-cluster://127.0.0.1:%s", port);
    assert_int_equal(lq_redis_caller_open(&c, url, NULL), LUNAQ_OK);
    lq_op_queues op = {.op.kind = LQ_OP_QUEUES};
    assert_int_equal(lq_caller_call(c, &op.op, 5000, &err), LUNAQ_ECONFIG);
    if (!strstr(err.message, "no node of a cluster"))
        fail_msg("%s", err.message);
    lq_op_release(&op.op);
    lq_caller_close(c);
    redis_server_stop(&alone);
}

/* -------------------------------------------------------------------------- */

static size_t suites(struct CMUnitTest *tests)
{
    size_t n = 0;
    n += suite_enqueue(tests + n);
    n += suite_take(tests + n);
    n += suite_task(tests + n);
    n += suite_lease(tests + n);
    n += suite_due(tests + n);
    n += suite_limits(tests + n);
    n += suite_group(tests + n);
    n += suite_group_end(tests + n);
    n += suite_untold(tests + n);
    return n;
}

int main(int argc, char **argv)
{
    static const world_factory blocking = {"cluster", open_cluster,
                                           wipe_cluster, NULL};
    static const world_factory looping = {"cluster", open_linked, wipe_cluster,
                                          NULL};
    static struct CMUnitTest tests[400];
    if (redis_cluster_start(&cluster))
        return 77; /* skipped */
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    world_use(&blocking);
    int failed = _cmocka_run_group_tests("broker on a cluster", tests,
                                         suites(tests), NULL, NULL);
    static const struct CMUnitTest own[] = {
        WORLD_TEST(url__of_the_other_kind__is_told),
        WORLD_TEST(close__with_a_step_under_way__it_is_done_before),
        WORLD_TEST(close__at_any_time__is_clean),
        WORLD_TEST(repair__task_has_left_before_its_lists__touches_nothing)};
    failed +=
        cmocka_run_group_tests_name("slots on their way", own, NULL, NULL);
    world_use(&looping);
    failed += _cmocka_run_group_tests("broker on a cluster, on a loop", tests,
                                      suites(tests), NULL, NULL);
    redis_cluster_stop(&cluster);
    return failed;
}
