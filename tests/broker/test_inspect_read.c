/* Reading tasks, servers, entries and handlers through the client. */
#include "inspect_world.h"

#include "base/clock.h"

#include "task/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define Q "orders"

static lunaq_task_list *list_of(struct world *w, const char *queue,
                                lunaq_state state, const char *group,
                                int64_t page, int64_t size)
{
    lunaq_task_query q = LUNAQ_TASK_QUERY_INIT;
    lunaq_task_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    q.queue = queue;
    q.state = state;
    q.group = group;
    q.page = page;
    q.page_size = size;
    if (lunaq_task_list_open(w->client, &q, &list, &err))
        fail_msg("%s", err.message);
    return list;
}

static void assert_ids(lunaq_task_list *list, const char *ids)
{
    char got[400] = "";
    for (size_t i = 0; i < lunaq_task_list_count(list); i++) {
        size_t at = strlen(got);
        snprintf(got + at, sizeof got - at, "%s%s", i ? " " : "",
                 lunaq_task_list_at(list, i)->id);
    }
    assert_string_equal(got, ids);
    assert_null(lunaq_task_list_at(list, lunaq_task_list_count(list)));
    lunaq_task_list_free(list);
}

static void plant_in(struct world *w, lunaq_state state, const char *id,
                     int64_t score, const char *group)
{
    struct planted p = {
        .queue = Q, .id = id, .state = state, .score = score, .group = group};
    plant(w, &p);
}

/* ---- lists ----------------------------------------------------------------
 */

static void list__pending__next_to_run_first_by_pages(void **state)
{
    struct world *w = *state;
    for (const char *id = "abcde"; *id; id++)
        plant_in(w, LUNAQ_PENDING, (char[]){*id, '\0'}, 0, NULL);
    assert_ids(list_of(w, Q, LUNAQ_PENDING, NULL, 0, 2), "a b");
    assert_ids(list_of(w, Q, LUNAQ_PENDING, NULL, 1, 2), "c d");
    assert_ids(list_of(w, Q, LUNAQ_PENDING, NULL, 2, 2), "e");
    assert_ids(list_of(w, Q, LUNAQ_PENDING, NULL, 3, 2), "");
}

static void list__scheduled__by_time_with_its_instant(void **state)
{
    struct world *w = *state;
    plant_in(w, LUNAQ_SCHEDULED, "late", 1900000002, NULL);
    plant_in(w, LUNAQ_SCHEDULED, "soon", 1900000001, NULL);
    lunaq_task_list *list = list_of(w, Q, LUNAQ_SCHEDULED, NULL, 0, 0);
    assert_int_equal(lunaq_task_list_at(list, 0)->next_at, 1900000001000);
    assert_int_equal(lunaq_task_list_at(list, 0)->state, LUNAQ_SCHEDULED);
    assert_ids(list, "soon late");
}

static void list__active__tells_the_lease_without_its_token(void **state)
{
    struct world *w = *state;
    struct planted p = {.queue = Q,
                        .id = "held",
                        .state = LUNAQ_ACTIVE,
                        .score = 1900000000,
                        .crashes = 2};
    plant(w, &p);
    if (w->broker == &inspected_redis)
        redis_int(w, "ZADD", "asynq:{" Q "}:lease", "1900000000.25", "held",
                  NULL);
    lunaq_task_list *list = list_of(w, Q, LUNAQ_ACTIVE, NULL, 0, 0);
    assert_int_equal(lunaq_task_list_at(list, 0)->lease_at, 1900000000000);
    assert_int_equal(lunaq_task_list_at(list, 0)->crashes, 2);
    assert_ids(list, "held");
}

static void list__groups__all_or_one(void **state)
{
    struct world *w = *state;
    plant_in(w, LUNAQ_AGGREGATING, "a1", 1, "a");
    plant_in(w, LUNAQ_AGGREGATING, "a2", 2, "a");
    plant_in(w, LUNAQ_AGGREGATING, "b1", 3, "b");
    assert_ids(list_of(w, Q, LUNAQ_AGGREGATING, NULL, 0, 2), "a1 a2");
    assert_ids(list_of(w, Q, LUNAQ_AGGREGATING, NULL, 1, 2), "b1");
    assert_ids(list_of(w, Q, LUNAQ_AGGREGATING, "b", 0, 0), "b1");
}

static void list__all_queues_and_states__shows_everything(void **state)
{
    struct world *w = *state;
    struct planted other = {
        .queue = "other", .id = "o", .state = LUNAQ_COMPLETED};
    plant_in(w, LUNAQ_ACTIVE, "a", 0, NULL);
    plant_in(w, LUNAQ_PENDING, "p", 0, NULL);
    plant_in(w, LUNAQ_SCHEDULED, "s", 0, NULL);
    plant_in(w, LUNAQ_RETRY, "r", 0, NULL);
    plant_in(w, LUNAQ_ARCHIVED, "d", 0, NULL);
    plant_in(w, LUNAQ_COMPLETED, "c", 0, NULL);
    plant_in(w, LUNAQ_AGGREGATING, "g", 0, "x");
    plant(w, &other);
    assert_ids(list_of(w, NULL, LUNAQ_STATE_ANY, NULL, 0, 0),
               "a p s r d c g o");
    assert_ids(list_of(w, Q, LUNAQ_RETRY, NULL, 0, 0), "r");
}

static void list__undecodable__is_shown_as_what_it_is(void **state)
{
    struct world *w = *state;
    struct planted p = {
        .queue = Q, .id = "bytes", .state = LUNAQ_RETRY, .msg = "\xff\xff"};
    plant(w, &p);
    lunaq_task_list *list = list_of(w, Q, LUNAQ_RETRY, NULL, 0, 0);
    const lunaq_task_info *bytes = lunaq_task_list_at(list, 0);
    assert_string_equal(bytes->type, LQ_TYPE_UNDECODABLE);
    assert_int_equal(bytes->payload_len, 2);
    assert_ids(list, "bytes");
}

static void list__dangling__is_shown_as_what_it_is(void **state)
{
    struct world *w = *state;
    plant_in(w, LUNAQ_RETRY, "good", 1, NULL);
    redis_int(w, "ZADD", "asynq:{" Q "}:retry", "2", "ghost", NULL);
    free(redis_text(w, "SET", "asynq:{" Q "}:t:odd", "x", NULL));
    redis_int(w, "ZADD", "asynq:{" Q "}:retry", "3", "odd", NULL);
    lunaq_task_list *list = list_of(w, Q, LUNAQ_RETRY, NULL, 0, 0);
    assert_string_not_equal(lunaq_task_list_at(list, 1)->error, "");
    assert_ids(list, "good ghost odd");
}

static void list__bad_queries__are_refused(void **state)
{
    struct world *w = *state;
    lunaq_task_query bad[] = {
        {sizeof bad[0], Q, NULL, 8, 0, 0},
        {sizeof bad[0], Q, NULL, -1, 0, 0},
        {sizeof bad[0], Q, NULL, 2, -1, 0},
        {sizeof bad[0], Q, NULL, 2, 0, 1001},
        {sizeof bad[0], Q, "g", 2, 0, 0},
        {sizeof bad[0], "", NULL, 2, 0, 0},
        {0, Q, NULL, 2, 0, 0},
    };
    for (size_t i = 0; i < LQ_COUNT(bad); i++) {
        lunaq_task_list *list = NULL;
        lunaq_error err = LUNAQ_ERROR_INIT;
        if (lunaq_task_list_open(w->client, &bad[i], &list, &err) !=
            LUNAQ_EINVAL)
            fail_msg("query %zu was taken", i);
        assert_null(list);
        assert_string_not_equal(err.message, "");
    }
}

static void list__newer_struct__is_taken_while_its_extra_is_zero(void **state)
{
    struct world *w = *state;
    struct {
        lunaq_task_query q;
        int64_t extra;
    } newer = {LUNAQ_TASK_QUERY_INIT, 0};
    newer.q.size = sizeof newer;
    lunaq_task_list *list = NULL;
    assert_int_equal(lunaq_task_list_open(w->client, &newer.q, &list, NULL), 0);
    lunaq_task_list_free(list);
    newer.extra = 1;
    assert_int_equal(lunaq_task_list_open(w->client, &newer.q, &list, NULL),
                     LUNAQ_EINVAL);
}

/* ---- find -----------------------------------------------------------------
 */

static void find__whole_id__in_any_queue(void **state)
{
    struct world *w = *state;
    struct planted other = {
        .queue = "other", .id = "x", .state = LUNAQ_PENDING, .result = "42"};
    plant_in(w, LUNAQ_PENDING, "y", 0, NULL);
    plant(w, &other);
    lunaq_task_list *list = NULL;
    assert_int_equal(lunaq_task_find(w->client, NULL, "x", &list, NULL), 0);
    const lunaq_task_info *t = lunaq_task_list_at(list, 0);
    assert_string_equal(t->queue, "other");
    assert_string_equal(t->result, "42");
    assert_int_equal(t->result_len, 2);
    assert_int_equal(t->state, LUNAQ_PENDING);
    assert_ids(list, "x");
    assert_int_equal(lunaq_task_find(w->client, Q, "x", &list, NULL),
                     LUNAQ_ENOTFOUND);
    assert_null(list);
}

static const struct {
    lunaq_state state;
    const char *group;
} places[] = {{LUNAQ_ACTIVE, NULL},    {LUNAQ_PENDING, NULL},
              {LUNAQ_SCHEDULED, NULL}, {LUNAQ_RETRY, NULL},
              {LUNAQ_ARCHIVED, NULL},  {LUNAQ_COMPLETED, NULL},
              {LUNAQ_AGGREGATING, "g"}};

static void find__head_or_tail__in_every_state(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < LQ_COUNT(places); i++) {
        char id[] = "head00-middle-tail00";
        id[5] = id[19] = (char)('0' + i);
        plant_in(w, places[i].state, id, 0, places[i].group);
    }
    for (size_t i = 0; i < LQ_COUNT(places); i++) {
        char part[] = "head00", tail[] = "tail00";
        part[5] = tail[5] = (char)('0' + i);
        lunaq_task_list *list = NULL;
        assert_int_equal(lunaq_task_find(w->client, NULL, part, &list, NULL),
                         0);
        assert_int_equal(lunaq_task_list_count(list), 1);
        assert_int_equal(lunaq_task_list_at(list, 0)->state, places[i].state);
        lunaq_task_list_free(list);
        assert_int_equal(lunaq_task_find(w->client, Q, tail, &list, NULL), 0);
        assert_int_equal(lunaq_task_list_at(list, 0)->state, places[i].state);
        lunaq_task_list_free(list);
    }
}

/* What is broken in one queue, or in one of its states, hides no other task. */
static void find__among_keys_of_wrong_types__is_found(void **state)
{
    static const char *const keys[] = {"pending", "active",    "scheduled",
                                       "retry",   "completed", "groups",
                                       "lease"};
    struct world *w = *state;
    struct planted p = {
        .queue = "broken", .id = "0193-there", .state = LUNAQ_ARCHIVED};
    lunaq_task_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    plant(w, &p);
    for (size_t i = 0; i < LQ_COUNT(keys); i++) {
        char key[64];
        snprintf(key, sizeof key, "asynq:{broken}:%s", keys[i]);
        free(redis_text(w, "SET", key, "x", NULL));
    }
    if (lunaq_task_find(w->client, NULL, "-there", &list, &err))
        fail_msg("%s", err.message);
    assert_int_equal(lunaq_task_list_count(list), 1);
    lunaq_task_list_free(list);
    /* Of what cannot be asked only that is missing. */
    free(redis_text(w, "DEL", "asynq:{broken}:archived", NULL));
    free(redis_text(w, "SET", "asynq:{broken}:archived", "x", NULL));
    if (lunaq_task_find(w->client, NULL, "0193-there", &list, &err))
        fail_msg("%s", err.message);
    assert_int_equal(lunaq_task_list_at(list, 0)->archived_at, 0);
    lunaq_task_list_free(list);
}

static void find__two_that_fit__lists_both(void **state)
{
    struct world *w = *state;
    struct planted other = {
        .queue = "other", .id = "b-same-end", .state = LUNAQ_PENDING};
    plant_in(w, LUNAQ_PENDING, "a-same-end", 0, NULL);
    plant(w, &other);
    lunaq_task_list *list = NULL;
    assert_int_equal(lunaq_task_find(w->client, NULL, "same-end", &list, NULL),
                     0);
    assert_ids(list, "a-same-end b-same-end");
}

static void find__short_or_unknown__is_not_found(void **state)
{
    struct world *w = *state;
    lunaq_task_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    plant_in(w, LUNAQ_PENDING, "abcdefgh", 0, NULL);
    assert_int_equal(lunaq_task_find(w->client, NULL, "abcde", &list, &err),
                     LUNAQ_ENOTFOUND);
    assert_non_null(strstr(err.message, "6 characters"));
    assert_int_equal(lunaq_task_find(w->client, NULL, "bcdefg", &list, &err),
                     LUNAQ_ENOTFOUND);
    assert_int_equal(lunaq_task_find(w->client, NULL, "", &list, &err),
                     LUNAQ_EINVAL);
}

static void find__among_more_ids_than_one_call_looks_at__is_found(void **state)
{
    struct world *w = *state;
    plant_pending(w, Q, "n", 12000);
    plant_in(w, LUNAQ_PENDING, "in-the-front", 0, NULL);
    plant_in(w, LUNAQ_COMPLETED, "far-behind", 0, NULL);
    lunaq_task_list *list = NULL;
    assert_int_equal(lunaq_task_find(w->client, Q, "behind", &list, NULL), 0);
    assert_ids(list, "far-behind");
    assert_int_equal(lunaq_task_find(w->client, Q, "-front", &list, NULL), 0);
    assert_ids(list, "in-the-front");
}

/* ---- servers, entries, handlers -------------------------------------------
 */

static void publish_server(struct world *w, const char *extra)
{
    struct lq_queue_prio queues[] = {{LQ_STR("default"), 3},
                                     {LQ_STR("low"), 1}};
    lq_server_msg m = {.host = LQ_STR("h"),
                       .server_id = LQ_STR("server-00001"),
                       .status = LQ_STR("active"),
                       .pid = 7,
                       .concurrency = 10,
                       .active_worker_count = 2,
                       .strict = true,
                       .start_ms = 1700000000000,
                       .queues = queues,
                       .queue_count = 2};
    lq_worker_msg worker = {.host = m.host,
                            .server_id = m.server_id,
                            .task_id = LQ_STR("t1"),
                            .type = LQ_STR("hello"),
                            .queue = LQ_STR("default"),
                            .pid = 7,
                            .start_ms = 1700000001000};
    lq_worker_msg bounded = worker;
    bounded.task_id = LQ_STR("t2");
    bounded.type = LQ_STR("bye");
    bounded.queue = LQ_STR("low");
    bounded.payload = LQ_STR("{\"n\":1}");
    bounded.start_ms = 1700000002000;
    bounded.deadline_ms = 1700000060000;
    lq_buf info, of_worker, of_bounded;
    lq_buf_init(&info, 0);
    lq_buf_init(&of_worker, 0);
    lq_buf_init(&of_bounded, 0);
    lq_server_encode(&info, &m);
    lq_worker_encode(&of_worker, &worker);
    lq_worker_encode(&of_bounded, &bounded);
    const lq_heartbeat_worker workers[] = {
        {worker.task_id, lq_buf_str(&of_worker)},
        {bounded.task_id, lq_buf_str(&of_bounded)}};
    lq_op_heartbeat op = {.host = m.host,
                          .server_id = m.server_id,
                          .pid = m.pid,
                          .info = lq_buf_str(&info),
                          .extra = lq_str_c(extra),
                          .workers = workers,
                          .worker_count = LQ_COUNT(workers),
                          .ttl_ms = 60000};
    lq_op_init(&op.op, LQ_OP_HEARTBEAT);
    carry_out(w, &op.op);
    lq_op_release(&op.op);
    lq_buf_release(&info);
    lq_buf_release(&of_worker);
    lq_buf_release(&of_bounded);
}

static const lunaq_worker_info *worker_of(const lunaq_server_info *s,
                                          const char *task)
{
    for (size_t i = 0; i < s->worker_count; i++)
        if (strcmp(s->workers[i].task_id, task) == 0)
            return &s->workers[i];
    fail_msg("nobody runs %s", task);
    return NULL;
}

static void servers__live_one__is_listed_with_its_workers(void **state)
{
    struct world *w = *state;
    lunaq_server_list *list = NULL;
    publish_server(w, NULL);
    assert_int_equal(lunaq_server_list_open(w->client, &list, NULL), 0);
    assert_int_equal(lunaq_server_list_count(list), 1);
    const lunaq_server_info *s = lunaq_server_list_at(list, 0);
    assert_string_equal(s->id, "server-00001");
    assert_string_equal(s->host, "h");
    assert_int_equal(s->pid, 7);
    assert_int_equal(s->concurrency, 10);
    assert_int_equal(s->started_at, 1700000000000);
    assert_string_equal(s->status, "active");
    assert_int_equal(s->strict, 1);
    assert_int_equal(s->queue_count, 2);
    assert_string_equal(s->queues[0].queue, "default");
    assert_int_equal(s->queues[0].weight, 3);
    assert_string_equal(s->queues[1].queue, "low");
    assert_int_equal(s->queues[1].weight, 1);
    assert_int_equal(s->worker_count, 2);
    const lunaq_worker_info *t = worker_of(s, "t1");
    assert_string_equal(t->type, "hello");
    assert_string_equal(t->queue, "default");
    assert_int_equal(t->started_at, 1700000001000);
    assert_int_equal(t->deadline_at, 0);
    assert_int_equal(t->payload_len, 0);
    t = worker_of(s, "t2");
    assert_string_equal(t->type, "bye");
    assert_string_equal(t->queue, "low");
    assert_int_equal(t->started_at, 1700000002000);
    assert_int_equal(t->deadline_at, 1700000060000);
    assert_int_equal(t->payload_len, 7);
    assert_memory_equal(t->payload, "{\"n\":1}", 7);
    lunaq_server_list_free(list);
}

static void servers__dead_and_keyless_ones__are_left_out(void **state)
{
    struct world *w = *state;
    lunaq_server_list *list = NULL;
    publish_server(w, NULL);
    redis_int(w, "ZADD", "asynq:servers", "1", "asynq:servers:{old:1:x}", NULL);
    redis_int(w, "ZADD", "asynq:servers", "4000000000",
              "asynq:servers:{keyless:1:x}", NULL);
    assert_int_equal(lunaq_server_list_open(w->client, &list, NULL), 0);
    assert_int_equal(lunaq_server_list_count(list), 1);
    lunaq_server_list_free(list);
    assert_int_equal(redis_int(w, "ZCARD", "asynq:servers", NULL), 2);
}

static void handlers__what_a_daemon_publishes__is_read(void **state)
{
    struct world *w = *state;
    lunaq_handler_list *list = NULL;
    publish_server(w, "{\"generation\":7,\"rejected\":\"a.lua:3: no\","
                      "\"handlers\":[{\"type\":\"hello\",\"file\":\"hello.lua\""
                      ",\"doc\":\"Says it.\",\"hash\":\"0123456789ab\"},"
                      "{\"type\":\"bye\"}]}");
    assert_int_equal(lunaq_handler_list_open(w->client, &list, NULL), 0);
    assert_int_equal(lunaq_handler_list_count(list), 2);
    const lunaq_handler_info *h = lunaq_handler_list_at(list, 0);
    assert_int_equal(h->generation, 7);
    assert_string_equal(h->server_id, "server-00001");
    assert_string_equal(h->type, "hello");
    assert_string_equal(h->file, "hello.lua");
    assert_string_equal(h->hash, "0123456789ab");
    assert_string_equal(h->rejected, "a.lua:3: no");
    assert_string_equal(lunaq_handler_list_at(list, 1)->doc, "");
    lunaq_handler_list_free(list);
}

static void handlers__nonsense_or_none__is_an_empty_list(void **state)
{
    struct world *w = *state;
    static const char *const texts[] = {NULL, "",  "{",
                                        "[]", "7", "{\"handlers\":7}"};
    for (size_t i = 0; i < LQ_COUNT(texts); i++) {
        lunaq_handler_list *list = NULL;
        publish_server(w, texts[i]);
        assert_int_equal(lunaq_handler_list_open(w->client, &list, NULL), 0);
        assert_int_equal(lunaq_handler_list_count(list), 0);
        lunaq_handler_list_free(list);
    }
}

static void crons__two_schedulers__give_one_line_an_entry(void **state)
{
    struct world *w = *state;
    lunaq_cron_list *list = NULL;
    lq_str options[] = {LQ_STR("MaxRetry(3)"), LQ_STR("Queue(\"lo\\\"w\")"),
                        LQ_STR("Name(\"n\")"), LQ_STR("Missed(skip)"),
                        LQ_STR("Server(\"h:7:a\")")};
    lq_cron_msg m = {.id = LQ_STR("e1"),
                     .spec = LQ_STR("CRON_TZ=Asia/Tokyo 0 5 * * *"),
                     .type = LQ_STR("session:cleanup"),
                     .payload = LQ_STR("{}"),
                     .options = options,
                     .option_count = LQ_COUNT(options),
                     .next_ms = 1900000000000};
    for (int i = 0; i < 2; i++) {
        lq_buf bytes;
        lq_buf_init(&bytes, 0);
        if (i)
            options[4] = LQ_STR("Server(\"h:7:b\")");
        m.prev_ms = i ? 1800000000000 : 0;
        m.next_ms = i ? 1900000000000 : 1800000000000;
        lq_cron_encode(&bytes, &m);
        lq_str entry = lq_buf_str(&bytes);
        lq_op_cron_publish op = {.scheduler_id =
                                     i ? LQ_STR("h:7:b") : LQ_STR("h:7:a"),
                                 .entries = &entry,
                                 .count = 1,
                                 .ttl_ms = 60000};
        lq_op_init(&op.op, LQ_OP_CRON_PUBLISH);
        carry_out(w, &op.op);
        lq_op_release(&op.op);
        lq_buf_release(&bytes);
    }
    assert_int_equal(lunaq_cron_list_open(w->client, &list, NULL), 0);
    assert_int_equal(lunaq_cron_list_count(list), 1);
    const lunaq_cron_info *c = lunaq_cron_list_at(list, 0);
    assert_string_equal(c->id, "e1");
    assert_string_equal(c->spec, "CRON_TZ=Asia/Tokyo 0 5 * * *");
    assert_string_equal(c->tz, "Asia/Tokyo");
    assert_string_equal(c->name, "n");
    assert_string_equal(c->missed, "skip");
    assert_string_equal(c->dst, "vixie");
    assert_string_equal(c->servers[0], "h:7:a");
    assert_string_equal(c->servers[1], "h:7:b");
    assert_null(c->servers[2]);
    assert_string_equal(c->queue, "lo\"w");
    assert_int_equal(c->next_at, 1900000000000);
    assert_int_equal(c->last_at, 1800000000000);
    assert_int_equal(c->server_count, 2);
    lunaq_cron_list_free(list);
}

/* ---- all about a task ------------------------------------------------------
 */

static void find__lock_cancel_and_since__are_told(void **state)
{
    struct world *w = *state;
    lunaq_task_list *list = NULL;
    int64_t now = lq_now_ms();
    struct planted p = {.queue = "orders",
                        .id = "task-one",
                        .state = LUNAQ_PENDING,
                        .score = now / 1000 - 60,
                        .lock = "asynq:{orders}:unique:hello:1",
                        .cancel = "anna: a mistake"};
    plant(w, &p);
    assert_int_equal(lunaq_task_find(w->client, NULL, "task-one", &list, NULL),
                     0);
    const lunaq_task_info *t = lunaq_task_list_at(list, 0);
    assert_string_equal(t->unique_key, p.lock);
    assert_in_range(t->unique_left_ms, 500000, 600000);
    assert_string_equal(t->cancel, "anna: a mistake");
    assert_in_range(t->pending_at, now - 70000, now - 50000);
    assert_int_equal(t->orphaned, 0);
    lunaq_task_list_free(list);
}

static void list__active__tells_whose_lease_has_ended(void **state)
{
    struct world *w = *state;
    lunaq_task_list *list = NULL;
    lunaq_task_query q = LUNAQ_TASK_QUERY_INIT;
    struct planted held = {.queue = "orders",
                           .id = "held",
                           .state = LUNAQ_ACTIVE,
                           .score = lq_now_ms() / 1000 + 600};
    struct planted lost = {
        .queue = "orders", .id = "lost", .state = LUNAQ_ACTIVE};
    plant(w, &held);
    plant(w, &lost);
    q.state = LUNAQ_ACTIVE;
    assert_int_equal(lunaq_task_list_open(w->client, &q, &list, NULL), 0);
    assert_int_equal(lunaq_task_list_count(list), 2);
    for (size_t i = 0; i < 2; i++) {
        const lunaq_task_info *t = lunaq_task_list_at(list, i);
        assert_int_equal(t->orphaned, strcmp(t->id, "lost") == 0);
    }
    lunaq_task_list_free(list);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(find__lock_cancel_and_since__are_told),
        TEST(list__active__tells_whose_lease_has_ended),
        TEST(list__pending__next_to_run_first_by_pages),
        TEST(list__scheduled__by_time_with_its_instant),
        TEST(list__active__tells_the_lease_without_its_token),
        TEST(list__groups__all_or_one),
        TEST(list__all_queues_and_states__shows_everything),
        TEST(list__undecodable__is_shown_as_what_it_is),
        TEST(list__bad_queries__are_refused),
        TEST(list__newer_struct__is_taken_while_its_extra_is_zero),
        TEST(find__whole_id__in_any_queue),
        TEST(find__head_or_tail__in_every_state),
        TEST(find__two_that_fit__lists_both),
        TEST(find__short_or_unknown__is_not_found),
        TEST(find__among_more_ids_than_one_call_looks_at__is_found),
        TEST(servers__live_one__is_listed_with_its_workers),
        TEST(handlers__what_a_daemon_publishes__is_read),
        TEST(handlers__nonsense_or_none__is_an_empty_list),
        TEST(crons__two_schedulers__give_one_line_an_entry),
    };
    const struct CMUnitTest redis_only[] = {
        TEST(list__dangling__is_shown_as_what_it_is),
        TEST(find__among_keys_of_wrong_types__is_found),
        TEST(servers__dead_and_keyless_ones__are_left_out),
    };
    return world_run("inspect_read", tests, LQ_COUNT(tests), redis_only,
                     LQ_COUNT(redis_only), argc, argv);
}
