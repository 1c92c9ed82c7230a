/* The broker suite on a Redis Cluster, through the blocking connection. */
#include "broker/world.h"

#include "redis/link_poll.h"
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

int main(int argc, char **argv)
{
    static const world_factory factory = {"cluster", open_cluster, wipe_cluster,
                                          NULL};
    static struct CMUnitTest tests[400];
    size_t n = 0;
    if (redis_cluster_start(&cluster))
        return 77; /* skipped */
    world_use(&factory);
    n += suite_enqueue(tests + n);
    n += suite_take(tests + n);
    n += suite_task(tests + n);
    n += suite_lease(tests + n);
    n += suite_due(tests + n);
    n += suite_group(tests + n);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed =
        _cmocka_run_group_tests("broker on a cluster", tests, n, NULL, NULL);
    redis_cluster_stop(&cluster);
    return failed;
}
