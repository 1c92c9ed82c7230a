/* The broker suite on SQLite, and SQLite's own tests. */
#include "broker/sqlite_world.h"

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[400];
    size_t n = 0;
    if (sqlite_world_start())
        return 1;
    world_use(sqlite_world_factory());
    n += suite_enqueue(tests + n);
    n += suite_take(tests + n);
    n += suite_task(tests + n);
    n += suite_lease(tests + n);
    n += suite_due(tests + n);
    n += suite_limits(tests + n);
    n += suite_group(tests + n);
    n += suite_group_end(tests + n);
    n += suite_untold(tests + n);
    n += sqlite_files(tests + n);
    n += sqlite_processes(tests + n);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed =
        _cmocka_run_group_tests("broker on sqlite", tests, n, NULL, NULL);
    sqlite_world_stop();
    return failed;
}
