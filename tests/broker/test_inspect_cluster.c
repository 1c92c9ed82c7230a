/* What looks after a broker, on a Redis Cluster. */
#include "support/test.h"

#include "client/client.h"
#include "redis/link_poll.h"
#include "support/redis_cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static redis_cluster cluster;
static lunaq_client *client;

static int open_all(void **state)
{
    (void)state;
    lq_caller *caller = NULL;
    if (redis_cluster_start(&cluster))
        exit(77); /* not here: skipped */
    if (lq_redis_caller_open(&caller, cluster.url, NULL))
        return -1;
    return lq_client_new(&client, caller, 20000, NULL);
}

static int close_all(void **state)
{
    (void)state;
    lunaq_client_close(client);
    redis_cluster_stop(&cluster);
    return 0;
}

static void enqueue(const char *queue, const char *type, int count)
{
    lunaq_task task = LUNAQ_TASK_INIT;
    lunaq_error err = LUNAQ_ERROR_INIT;
    task.type = type;
    task.queue = queue;
    for (int i = 0; i < count; i++)
        if (lunaq_client_enqueue(client, &task, NULL, &err))
            fail_msg("%s", err.message);
}

static void check__queues_on_several_nodes__are_clean(void **state)
{
    (void)state;
    lunaq_checked checked = {.size = sizeof checked};
    lunaq_error err = LUNAQ_ERROR_INIT;
    char name[16];
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "q%d", i);
        enqueue(name, "a", 20);
    }
    if (lunaq_queue_check(client, NULL, NULL, &checked, &err))
        fail_msg("%s", err.message);
    assert_int_equal(checked.queues, 6);
    assert_int_equal(checked.tasks, 120);
    assert_int_equal(checked.faults, 0);
}

static void check__queues_not_listed__are_found_on_every_node(void **state)
{
    (void)state;
    static const char *const forget[] = {"DEL", "asynq:queues", NULL};
    lunaq_check_options o = LUNAQ_CHECK_OPTIONS_INIT;
    lunaq_checked checked = {.size = sizeof checked};
    lunaq_error err = LUNAQ_ERROR_INIT;
    bool has[REDIS_CLUSTER_NODES] = {false};
    char name[16], key[64];
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "q%d", i);
        snprintf(key, sizeof key, "asynq:{%s}:pending", name);
        enqueue(name, "a", 1);
        has[redis_cluster_owner(&cluster, key)] = true;
    }
    assert_true(has[0] && has[1] && has[2]); /* or it would show little */
    int owner = redis_cluster_owner(&cluster, "asynq:queues");
    free(redis_server_command(&cluster.nodes[owner], forget));
    if (lunaq_queue_check(client, NULL, NULL, &checked, &err))
        fail_msg("%s", err.message);
    assert_int_equal(checked.faults, 6);
    assert_int_equal(checked.queues, 6); /* looked over all the same */
    o.repair = 1;
    assert_int_equal(lunaq_queue_check(client, NULL, &o, &checked, NULL), 0);
    assert_int_equal(checked.repaired, 6);
    assert_int_equal(lunaq_queue_check(client, NULL, NULL, &checked, NULL), 0);
    assert_int_equal(checked.faults, 0);
    assert_int_equal(checked.queues, 6);
}

/* Those that docs/redis.md names. */
static void login__limited_user__is_each_nodes(void **state)
{
    static const char *const user[] = {
        "ACL",      "SETUSER",        "limited",  "on",
        ">p@ss",    "~asynq:*",       "~lunaq:*", "&asynq:*",
        "&lunaq:*", "+@all",          "-@admin",  "-@dangerous",
        "+info",    "+cluster|slots", NULL};
    char url[200];
    lunaq_client *before = client;
    lunaq_checked checked = {.size = sizeof checked};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_caller *caller = NULL;
    (void)state;
    for (size_t i = 0; i < REDIS_CLUSTER_NODES; i++) {
        char *reply = redis_server_command(&cluster.nodes[i], user);
        assert_string_equal(reply, "+OK\r\n");
        free(reply);
    }
    snprintf(url, sizeof url, "redis-cluster://limited:p%%40ss@%.160s",
             cluster.url + strlen("redis-cluster://"));
    assert_int_equal(lq_redis_caller_open(&caller, url, NULL), 0);
    assert_int_equal(lq_client_new(&client, caller, 20000, NULL), 0);
    enqueue("q1", "l", 2);
    enqueue("q2", "l", 2);
    enqueue("q4", "l", 2);
    if (lunaq_queue_check(client, NULL, NULL, &checked, &err))
        fail_msg("%s", err.message);
    assert_int_equal(checked.faults, 0);
    lunaq_client_close(client);
    client = before;
}

static void by_hand__on_every_node__as_on_one(void **state)
{
    (void)state;
    lunaq_task_filter f = LUNAQ_TASK_FILTER_INIT;
    lunaq_task_list *list = NULL;
    lunaq_enqueued done;
    int64_t n = 0;
    lunaq_task task = LUNAQ_TASK_INIT;
    enqueue("q1", "b", 5);
    enqueue("q4", "b", 5);
    f.type = "b";
    assert_int_equal(
        lunaq_task_move_many(client, &f, LUNAQ_MOVE_ARCHIVE, &n, NULL), 0);
    assert_int_equal(n, 10);
    task.type = "c";
    task.queue = "q2";
    assert_int_equal(lunaq_client_enqueue(client, &task, &done, NULL), 0);
    assert_int_equal(lunaq_task_update(client, "q2", done.id, "[1]", 3, NULL),
                     0);
    assert_int_equal(lunaq_task_find(client, NULL, done.id, &list, NULL), 0);
    assert_int_equal(lunaq_task_list_at(list, 0)->payload_len, 3);
    lunaq_task_list_free(list);
    assert_int_equal(lunaq_task_cancel(client, "q2", done.id, "no", NULL), 0);
}

static void note(void *ud, const lunaq_finding *f)
{
    (void)f;
    ++*(int *)ud;
}

static void doctor__says_something(void **state)
{
    (void)state;
    int said = 0;
    assert_int_equal(lunaq_doctor(client, note, &said, NULL), 0);
    assert_true(said > 3);
}

static void remove__every_queue__leaves_none(void **state)
{
    (void)state;
    lunaq_queue_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    char name[16];
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "q%d", i);
        if (lunaq_queue_remove(client, name, 1, &err))
            fail_msg("%s", err.message);
    }
    assert_int_equal(lunaq_queue_list_open(client, NULL, &list, NULL), 0);
    assert_int_equal(lunaq_queue_list_count(list), 0);
    lunaq_queue_list_free(list);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check__queues_on_several_nodes__are_clean),
        cmocka_unit_test(check__queues_not_listed__are_found_on_every_node),
        cmocka_unit_test(login__limited_user__is_each_nodes),
        cmocka_unit_test(by_hand__on_every_node__as_on_one),
        cmocka_unit_test(doctor__says_something),
        cmocka_unit_test(remove__every_queue__leaves_none),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("inspect_cluster", tests, open_all,
                                       close_all);
}
