/* The broker suite on Redis, and Redis' own tests. */
#include "broker/redis_world.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[400];
    size_t n = 0;
    if (redis_server_start(redis_world_server(), NULL, NULL))
        return 77; /* skipped */
    world_use(redis_world_factory());
    n += suite_enqueue(tests + n);
    n += suite_take(tests + n);
    n += suite_task(tests + n);
    n += suite_lease(tests + n);
    n += suite_due(tests + n);
    n += suite_limits(tests + n);
    n += suite_group(tests + n);
    n += suite_group_end(tests + n);
    n += suite_untold(tests + n);
    n += redis_bytes(tests + n);
    n += redis_faults(tests + n);
    n += redis_outage(tests + n);
    n += redis_lost(tests + n);
    n += redis_groups(tests + n);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed =
        _cmocka_run_group_tests("broker on redis", tests, n, NULL, NULL);
    world_use(redis_world_limited());
    n = suite_enqueue(tests);
    n += suite_take(tests + n);
    n += suite_task(tests + n);
    n += suite_lease(tests + n);
    n += suite_group(tests + n);
    n += suite_group_end(tests + n);
    n += suite_untold(tests + n);
    failed += _cmocka_run_group_tests("broker on redis, limited user", tests, n,
                                      NULL, NULL);
    redis_server_stop(redis_world_server());
    return failed;
}
