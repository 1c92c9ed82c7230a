/* Enqueueing through the client. */
#include "inspect_world.h"

#include "redis/link_poll.h" /* a broker that is away */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lunaq_task hello(void)
{
    lunaq_task task = LUNAQ_TASK_INIT;
    task.type = "hello";
    return task;
}

static void enqueue__plain__is_pending_with_a_new_id(void **state)
{
    struct world *w = *state;
    lunaq_task task = hello();
    lunaq_enqueued result;
    assert_int_equal(lunaq_client_enqueue(w->client, &task, &result, NULL), 0);
    assert_int_equal(result.code, 0);
    assert_int_equal(result.delayed, 0);
    assert_int_equal(strlen(result.id), 36);
    assert_int_equal(count_of(w, "default", LUNAQ_PENDING), 1);
    assert_sound(w, "default");
}

static void enqueue__in_the_future__says_delayed(void **state)
{
    struct world *w = *state;
    lunaq_task task = hello();
    lunaq_enqueued result;
    task.process_in_ms = 60000;
    assert_int_equal(lunaq_client_enqueue(w->client, &task, &result, NULL), 0);
    assert_int_equal(result.delayed, 1);
    assert_int_equal(count_of(w, "default", LUNAQ_SCHEDULED), 1);
}

static void enqueue__taken_id__exists(void **state)
{
    struct world *w = *state;
    lunaq_task task = hello();
    lunaq_enqueued result;
    lunaq_error err = LUNAQ_ERROR_INIT;
    task.task_id = "mine";
    assert_int_equal(lunaq_client_enqueue(w->client, &task, NULL, &err), 0);
    assert_int_equal(lunaq_client_enqueue(w->client, &task, &result, &err),
                     LUNAQ_EEXIST);
    assert_int_equal(result.code, LUNAQ_EEXIST);
    assert_string_equal(result.id, "mine");
    assert_non_null(strstr(err.message, "mine"));
}

static void enqueue__unique_twice__is_a_duplicate(void **state)
{
    struct world *w = *state;
    lunaq_task task = hello();
    lunaq_error err = LUNAQ_ERROR_INIT;
    task.unique_ms = 60000;
    assert_int_equal(lunaq_client_enqueue(w->client, &task, NULL, &err), 0);
    assert_int_equal(lunaq_client_enqueue(w->client, &task, NULL, &err),
                     LUNAQ_EDUPLICATE);
    assert_non_null(strstr(err.message, "unique"));
}

static void
enqueue_many__250_with_bad_ones__each_answers_for_itself(void **state)
{
    struct world *w = *state;
    lunaq_task *tasks = calloc(250, sizeof *tasks);
    lunaq_enqueued *results = calloc(250, sizeof *results);
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_non_null(tasks);
    assert_non_null(results);
    for (int i = 0; i < 250; i++)
        tasks[i] = hello();
    tasks[7].task_id = tasks[140].task_id = "twice";
    tasks[200].queue = "{bad}";
    assert_int_equal(
        lunaq_client_enqueue_many(w->client, tasks, 250, results, &err),
        LUNAQ_EEXIST);
    for (int i = 0; i < 250; i++)
        assert_int_equal(results[i].code, i == 140   ? LUNAQ_EEXIST
                                          : i == 200 ? LUNAQ_EINVAL
                                                     : 0);
    assert_int_equal(count_of(w, "default", LUNAQ_PENDING), 248);
    assert_non_null(strstr(err.message, "141"));
    assert_sound(w, "default");
    free(tasks);
    free(results);
}

static void enqueue_many__stride_of_a_newer_caller__is_followed(void **state)
{
    struct world *w = *state;
    struct {
        lunaq_task task;
        int64_t extra;
    } newer[2] = {{LUNAQ_TASK_INIT, 0}, {LUNAQ_TASK_INIT, 0}};
    lunaq_enqueued results[2];
    for (int i = 0; i < 2; i++) {
        newer[i].task.size = sizeof newer[i];
        newer[i].task.type = "hello";
    }
    assert_int_equal(
        lunaq_client_enqueue_many(w->client, &newer[0].task, 2, results, NULL),
        0);
    newer[1].extra = 1;
    assert_int_equal(
        lunaq_client_enqueue_many(w->client, &newer[0].task, 2, results, NULL),
        LUNAQ_EINVAL);
    assert_int_equal(results[0].code, 0);
    assert_int_equal(results[1].code, LUNAQ_EINVAL);
}

static void enqueue__bad_arguments__are_refused(void **state)
{
    struct world *w = *state;
    lunaq_task task = hello();
    lunaq_error err = LUNAQ_ERROR_INIT;
    assert_int_equal(lunaq_client_enqueue(w->client, NULL, NULL, &err),
                     LUNAQ_EINVAL);
    assert_int_equal(lunaq_client_enqueue(NULL, &task, NULL, &err),
                     LUNAQ_EINVAL);
    task.size = 0;
    assert_int_equal(lunaq_client_enqueue(w->client, &task, NULL, &err),
                     LUNAQ_EINVAL);
    task = hello();
    task.type = "";
    assert_int_equal(lunaq_client_enqueue(w->client, &task, NULL, &err),
                     LUNAQ_EINVAL);
    assert_int_equal(lunaq_client_enqueue_many(w->client, NULL, 0, NULL, &err),
                     0);
    assert_int_equal(things(w), 0);
}

static void enqueue__large_payloads__leave_in_smaller_batches(void **state)
{
    struct world *w = *state;
    size_t len = (size_t)3 * 1024 * 1024;
    char *payload = malloc(len);
    lunaq_task tasks[5];
    assert_non_null(payload);
    memset(payload, 'x', len);
    for (int i = 0; i < 5; i++) {
        tasks[i] = hello();
        tasks[i].payload = payload;
        tasks[i].payload_len = len;
    }
    assert_int_equal(lunaq_client_enqueue_many(w->client, tasks, 5, NULL, NULL),
                     0);
    assert_int_equal(count_of(w, "default", LUNAQ_PENDING), 5);
    free(payload);
}

static void broker_away__every_call__says_so(void **state)
{
    struct world *w = *state;
    lq_caller *caller = NULL;
    lunaq_client *client = NULL;
    lunaq_task tasks[2] = {hello(), hello()};
    lunaq_enqueued results[2];
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_queue_list *list = NULL;
    (void)w;
    assert_int_equal(lq_redis_caller_open(&caller, "redis://127.0.0.1:1", &err),
                     0);
    assert_int_equal(lq_client_new(&client, caller, 200, &err), 0);
    assert_int_equal(lunaq_client_ping(client, &err), LUNAQ_EBROKER);
    assert_int_equal(lunaq_client_enqueue_many(client, tasks, 2, results, &err),
                     LUNAQ_EBROKER);
    assert_int_equal(results[1].code, LUNAQ_EBROKER);
    assert_int_equal(strlen(results[1].id), 36);
    assert_int_equal(lunaq_queue_list_open(client, NULL, &list, &err),
                     LUNAQ_EBROKER);
    assert_null(list);
    lunaq_client_close(client);
}

static void ping__answers__and_null_handles_are_fine(void **state)
{
    struct world *w = *state;
    assert_int_equal(lunaq_client_ping(w->client, NULL), 0);
    lunaq_client_close(NULL);
    lunaq_task_list_free(NULL);
    lunaq_queue_list_free(NULL);
    lunaq_server_list_free(NULL);
    lunaq_cron_list_free(NULL);
    lunaq_handler_list_free(NULL);
    assert_int_equal(lunaq_task_list_count(NULL), 0);
    assert_null(lunaq_queue_list_at(NULL, 0));
}

/* Memory runs out at the n-th allocation, for every n: no crash, no leak, and
 * the call says so. */
static void out_of_memory__at_any_allocation__is_told(void **state)
{
    struct world *w = *state;
    bool enough = false;
    for (uint64_t n = 1; !enough && n < 500; n++) {
        lunaq_task_list *list = NULL;
        lunaq_task task = hello();
        lq_alloc_fail_at(n, true);
        int a = lunaq_client_enqueue(w->client, &task, NULL, NULL);
        int b = lunaq_task_list_open(w->client, NULL, &list, NULL);
        lq_alloc_fail_at(0, false);
        enough = !a && !b;
        lunaq_task_list_free(list);
    }
    assert_true(enough);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(enqueue__plain__is_pending_with_a_new_id),
        TEST(enqueue__in_the_future__says_delayed),
        TEST(enqueue__taken_id__exists),
        TEST(enqueue__unique_twice__is_a_duplicate),
        TEST(enqueue_many__250_with_bad_ones__each_answers_for_itself),
        TEST(enqueue_many__stride_of_a_newer_caller__is_followed),
        TEST(enqueue__bad_arguments__are_refused),
        TEST(enqueue__large_payloads__leave_in_smaller_batches),
        TEST(broker_away__every_call__says_so),
        TEST(ping__answers__and_null_handles_are_fine),
        TEST(out_of_memory__at_any_allocation__is_told),
    };
    return world_run("inspect_enqueue", tests, LQ_COUNT(tests), NULL, 0, argc,
                     argv);
}
