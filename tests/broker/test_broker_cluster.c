/* The broker suite on a Redis Cluster, through the blocking connection and
 * through the link on a loop. */
#include "broker/world.h"

#include "base/alloc.h"
#include "loop/loop.h"
#include "redis/link_poll.h"
#include "redis_uv/link_uv.h"
#include "support/redis_cluster.h"

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
};

static void stop(void *ud)
{
    lq_loop_stop(((struct linked *)ud)->loop);
}

static void stop_at_done(lq_op *op)
{
    stop(op->ud);
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
    lq_loop_run(l->loop);
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

/* -------------------------------------------------------------------------- */

static size_t suites(struct CMUnitTest *tests)
{
    size_t n = 0;
    n += suite_enqueue(tests + n);
    n += suite_take(tests + n);
    n += suite_task(tests + n);
    n += suite_lease(tests + n);
    n += suite_due(tests + n);
    n += suite_group(tests + n);
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
    world_use(&looping);
    failed += _cmocka_run_group_tests("broker on a cluster, on a loop", tests,
                                      suites(tests), NULL, NULL);
    redis_cluster_stop(&cluster);
    return failed;
}
