/* What is written in Redis, byte by byte: Asynq's format, which the
 * documentation of the format lays down. */
#include "broker/redis_world.h"
#include "broker/inspect.h"

#include "base/clock.h"
#include "redis/link_poll.h"
#include "task/token.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define T(id) ("asynq:{" Q "}:t:" id)
#define K(name) ("asynq:{" Q "}:" name)

static void assert_int_reply(const char *reply, int64_t n)
{
    char expected[40];
    snprintf(expected, sizeof(expected), ":%lld\r\n", (long long)n);
    assert_string_equal(reply, expected);
}

static void assert_bulk(const char *reply, const char *text)
{
    char expected[600];
    snprintf(expected, sizeof(expected), "$%zu\r\n%s\r\n", strlen(text), text);
    assert_string_equal(reply, expected);
}

/* The number in a bulk or integer reply. */
static double number(const char *reply)
{
    const char *at = reply[0] == ':' ? reply + 1 : strstr(reply, "\r\n");
    assert_non_null(at);
    return strtod(at, NULL);
}

static void put(world *w, const lunaq_task *t)
{
    assert_int_equal(world_put_task(w, t, NULL), LUNAQ_OK);
}

static void bytes__enqueue__writes_what_asynq_writes(void **state)
{
    world *w = *state;
    static const char msg[] =
        "\x0a\x0a"
        "email:send\x12\x07{\"u\":1}\x1a\x02t1\x22\x01q\x28\x19\x40\x88\x0e";
    lunaq_task t = LUNAQ_TASK_INIT;
    char expected[200];
    t.type = "email:send";
    t.payload = "{\"u\":1}";
    t.payload_len = 7;
    t.queue = Q;
    t.task_id = "t1";
    put(w, &t);
    assert_int_reply(REDIS("SISMEMBER", "asynq:queues", Q), 1);
    assert_int_reply(REDIS("HLEN", T("t1")), 3);
    assert_bulk(REDIS("HGET", T("t1"), "state"), "pending");
    snprintf(expected, sizeof(expected), "$%zu\r\n", sizeof(msg) - 1);
    const char *got = REDIS("HGET", T("t1"), "msg");
    assert_memory_equal(got, expected, strlen(expected));
    assert_memory_equal(got + strlen(expected), msg, sizeof(msg) - 1);
    double since = number(REDIS("HGET", T("t1"), "pending_since")) / 1e6;
    assert_in_range((int64_t)since, lq_now_ms() - 5000, lq_now_ms() + 5000);
    assert_int_equal(
        strlen(strstr(REDIS("HGET", T("t1"), "pending_since"), "\r\n")),
        2 + 19 + 2);
    assert_string_equal(REDIS("LRANGE", K("pending"), "0", "-1"),
                        "*1\r\n$2\r\nt1\r\n");
    assert_int_reply(REDIS("TTL", T("t1")), -1);
}

static void bytes__unique__writes_lock_and_field(void **state)
{
    world *w = *state;
    static const char *const key =
        K("unique:email:send:cfeb4906248f18cb94f202711c2a34cf");
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "email:send";
    t.payload = "{\"u\":1}";
    t.payload_len = 7;
    t.queue = Q;
    t.task_id = "t1";
    t.unique_ms = 60000;
    put(w, &t);
    assert_bulk(REDIS("GET", key), "t1");
    assert_in_range((int64_t)number(REDIS("TTL", key)), 58, 60);
    assert_bulk(REDIS("HGET", T("t1"), "unique_key"), key);
    assert_int_reply(REDIS("HLEN", T("t1")), 4);
}

static void bytes__scheduled__writes_score_and_no_more(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    char expected[40];
    t.type = "t";
    t.queue = Q;
    t.task_id = "t1";
    t.process_at = (lq_now_ms() / 1000 + 100) * 1000 - 999;
    put(w, &t);
    snprintf(expected, sizeof(expected), "%lld",
             (long long)(t.process_at + 999) / 1000);
    assert_bulk(REDIS("ZSCORE", K("scheduled"), "t1"), expected);
    assert_bulk(REDIS("HGET", T("t1"), "state"), "scheduled");
    assert_int_reply(REDIS("HLEN", T("t1")), 2);
    assert_int_reply(REDIS("EXISTS", K("pending")), 0);

    t.task_id = "t2";
    t.unique_ms = 5000;
    put(w, &t);
    assert_int_reply(REDIS("HLEN", T("t2")), 3);
    assert_in_range((int64_t)number(REDIS("TTL", K("unique:t:"))), 103, 106);
}

static void bytes__group__writes_set_zset_and_field(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = "t1";
    t.group = "g1";
    put(w, &t);
    assert_bulk(REDIS("HGET", T("t1"), "state"), "aggregating");
    assert_bulk(REDIS("HGET", T("t1"), "group"), "g1");
    assert_int_reply(REDIS("HLEN", T("t1")), 3);
    assert_string_equal(REDIS("SMEMBERS", K("groups")), "*1\r\n$2\r\ng1\r\n");
    assert_in_range((int64_t)number(REDIS("ZSCORE", K("g:g1"), "t1")),
                    lq_now_ms() / 1000 - 5, lq_now_ms() / 1000 + 5);
    t.task_id = "t2";
    t.unique_ms = 5000;
    put(w, &t);
    assert_int_reply(REDIS("HLEN", T("t2")), 3); /* no unique_key, as Asynq */
    assert_int_reply(REDIS("EXISTS", K("unique:t:")), 1);
    t.task_id = "t3"; /* scheduled: aggregated when due */
    t.unique_ms = 0;
    t.process_in_ms = 60000;
    put(w, &t);
    assert_bulk(REDIS("HGET", T("t3"), "lunaq_group"), "g1");
    assert_int_reply(REDIS("HEXISTS", T("t3"), "group"), 0);
    assert_bulk(REDIS("HGET", T("t3"), "state"), "scheduled");
}

static void bytes__take__writes_lease_with_the_token(void **state)
{
    world *w = *state;
    world_put(w, "t1");
    world_take_id(w, "t1");
    assert_bulk(REDIS("HGET", T("t1"), "state"), "active");
    assert_int_reply(REDIS("HLEN", T("t1")), 2); /* no pending_since */
    assert_string_equal(REDIS("LRANGE", K("active"), "0", "-1"),
                        "*1\r\n$2\r\nt1\r\n");
    double score = number(REDIS("ZSCORE", K("lease"), "t1"));
    assert_int_equal(lq_token_of(score), w->token);
    assert_in_range((int64_t)(score * 1000), lq_now_ms() + 28000,
                    lq_now_ms() + 32000);
    assert_true(score == lq_token_score((int64_t)score, w->token));
    assert_int_reply(REDIS("EXISTS", K("pending")), 0);
}

static void bytes__done__leaves_counters_alone(void **state)
{
    world *w = *state;
    char day[80];
    struct tm tm;
    time_t now = time(NULL);
    world_put(w, "t1");
    world_take_id(w, "t1");
    assert_int_equal(world_end(w, LQ_DONE, "t1"), LUNAQ_OK);
    gmtime_r(&now, &tm);
    strftime(day, sizeof(day), K("processed:%Y-%m-%d"), &tm);
    assert_bulk(REDIS("GET", day), "1");
    assert_bulk(REDIS("GET", K("processed")), "1");
    assert_in_range((int64_t)number(REDIS("TTL", day)), 7775900, 7776000);
    assert_int_reply(REDIS("TTL", K("processed")), -1);
    /* asynq:queues, the two counters, the token */
    assert_int_reply(REDIS("DBSIZE"), 4);
}

static void bytes__total_at_its_limit__starts_again(void **state)
{
    world *w = *state;
    (void)REDIS("SET", K("processed"), "9223372036854775807");
    world_put(w, "t1");
    world_take_id(w, "t1");
    assert_int_equal(world_end(w, LQ_DONE, "t1"), LUNAQ_OK);
    assert_bulk(REDIS("GET", K("processed")), "1");
}

static void bytes__retry_and_archive__write_message_and_score(void **state)
{
    world *w = *state;
    int64_t now = lq_now_ms() / 1000;
    world_put_many(w, 2);
    assert_int_equal(world_take(w, 2), 2);
    assert_int_equal(world_end(w, LQ_RETRY_AT, "a000"), LUNAQ_OK);
    assert_int_equal(world_end(w, LQ_ARCHIVE, "a001"), LUNAQ_OK);
    assert_bulk(REDIS("HGET", T("a000"), "state"), "retry");
    assert_bulk(REDIS("HGET", T("a001"), "state"), "archived");
    assert_int_reply(REDIS("HLEN", T("a000")), 2);
    assert_in_range((int64_t)number(REDIS("ZSCORE", K("retry"), "a000")),
                    now + 60, now + 63);
    assert_in_range((int64_t)number(REDIS("ZSCORE", K("archived"), "a001")),
                    now, now + 3);
    assert_bulk(REDIS("GET", K("failed")), "2");
    assert_int_reply(REDIS("EXISTS", K("lease"), K("active")), 0);
}

static void bytes__crash_count__is_a_field_of_our_own(void **state)
{
    world *w = *state;
    world_put(w, "t1");
    world_take_id(w, "t1");
    assert_int_equal(world_end(w, LQ_CRASHED, "t1"), LUNAQ_OK);
    assert_bulk(REDIS("HGET", T("t1"), "lunaq_crashes"), "1");
    assert_bulk(REDIS("HGET", T("t1"), "state"), "pending");
    world_take_id(w, "t1");
    assert_int_equal(world_end(w, LQ_SNOOZE, "t1"), LUNAQ_OK);
    assert_int_reply(REDIS("HEXISTS", T("t1"), "lunaq_crashes"), 0);
}

static void bytes__heartbeat__has_asynqs_keys_and_times(void **state)
{
    world *w = *state;
    const lq_heartbeat_worker worker = {LQ_STR("t1"), LQ_STR("record")};
    lq_op_heartbeat op = {.op.kind = LQ_OP_HEARTBEAT,
                          .host = LQ_STR("h"),
                          .server_id = LQ_STR("id"),
                          .pid = 7,
                          .info = LQ_STR("info"),
                          .extra = LQ_STR("{}"),
                          .workers = &worker,
                          .worker_count = 1,
                          .ttl_ms = 10000};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
    assert_bulk(REDIS("GET", "asynq:servers:{h:7:id}"), "info");
    assert_bulk(REDIS("HGET", "asynq:workers:{h:7:id}", "t1"), "record");
    assert_bulk(REDIS("GET", "lunaq:servers:{h:7:id}"), "{}");
    assert_in_range((int64_t)number(REDIS("PTTL", "asynq:servers:{h:7:id}")),
                    5000, 10000);
    assert_in_range((int64_t)number(REDIS("PTTL", "asynq:workers:{h:7:id}")),
                    5000, 10000);
    assert_in_range((int64_t)number(REDIS("PTTL", "lunaq:servers:{h:7:id}")),
                    5000, 10000);
    assert_in_range((int64_t)number(REDIS("ZSCORE", "asynq:servers",
                                          "asynq:servers:{h:7:id}")),
                    lq_now_ms() / 1000 + 5, lq_now_ms() / 1000 + 12);
    assert_true(
        number(REDIS("ZSCORE", "asynq:workers", "asynq:workers:{h:7:id}")) > 0);
}

static void bytes__cron__writes_last_and_history(void **state)
{
    world *w = *state;
    lq_enqueue e;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = "t1";
    assert_int_equal(lq_enqueue_init(&e, &t, lq_now_ms(), NULL), 0);
    lq_op_cron_fire op = {.op.kind = LQ_OP_CRON_FIRE,
                          .queue = LQ_STR(Q),
                          .entry_id = LQ_STR("entry"),
                          .instant_ms = 1700000000000,
                          .item = &e};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
    lq_enqueue_release(&e);
    assert_bulk(REDIS("HGET", "lunaq:{" Q "}:cron", "entry"), "1700000000000");
    lq_op_cron_record note = {.op.kind = LQ_OP_CRON_RECORD,
                              .entry_id = LQ_STR("entry"),
                              .task_id = LQ_STR("t1"),
                              .at_ms = 1700000000500};
    assert_int_equal(world_call(w, &note.op), LUNAQ_OK);
    lq_op_release(&note.op);
    assert_int_reply(REDIS("ZCARD", "asynq:scheduler_history:entry"), 1);
    assert_in_range(
        (int64_t)number(REDIS("TTL", "asynq:scheduler_history:entry")),
        90 * 86400 - 10, 90 * 86400);
    assert_int_reply(REDIS("SISMEMBER", "asynq:queues", Q), 1);
    assert_bulk(REDIS("HGET", T("t1"), "state"), "pending");
}

static void bytes__token__is_a_key_for_a_day(void **state)
{
    world *w = *state;
    char key[40];
    snprintf(key, sizeof(key), "lunaq:token:%u", w->token);
    assert_bulk(REDIS("GET", key), "server");
    assert_in_range((int64_t)number(REDIS("TTL", key)), 86390, 86400);
    (void)REDIS("EXPIRE", key, "5");
    lq_op_token_renew op = {.op.kind = LQ_OP_TOKEN_RENEW,
                            .server_id = LQ_STR("server"),
                            .tokens = &w->token,
                            .count = 1};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_in_range((int64_t)number(REDIS("TTL", key)), 86390, 86400);
    lq_op_release(&op.op);

    /* Only its owner gives it back. */
    lq_op_goodbye bye = {.op.kind = LQ_OP_GOODBYE,
                         .host = LQ_STR("h"),
                         .server_id = LQ_STR("another"),
                         .tokens = &w->token,
                         .token_count = 1};
    assert_int_equal(world_call(w, &bye.op), LUNAQ_OK);
    assert_int_reply(REDIS("EXISTS", key), 1);
    bye.server_id = LQ_STR("server");
    assert_int_equal(world_call(w, &bye.op), LUNAQ_OK);
    assert_int_reply(REDIS("EXISTS", key), 0);
    lq_op_release(&bye.op);
}

/* ---- channels ------------------------------------------------------------ */

struct ear {
    lq_op_listen op; /* first */
    char heard[40];
};

static void heard(lq_op_listen *op, lq_str id)
{
    struct ear *e = (struct ear *)op;
    snprintf(e->heard, sizeof(e->heard), "%.*s", LQ_STR_ARG(id));
}

/* Publishes once there is somebody to hear it, then ends the listening. */
static void *publish(void *ud)
{
    static const char *const say[] = {"PUBLISH", "asynq:cancel", "t1", NULL};
    static const char *const end[] = {"CLIENT", "KILL", "TYPE", "pubsub", NULL};
    const redis_server *s = ud;
    int64_t deadline = lq_mono_ms() + 8000;
    bool reached = false;
    while (!reached && lq_mono_ms() < deadline) {
        char *reply = redis_server_command(s, say);
        reached = reply && strcmp(reply, ":1\r\n") == 0;
        free(reply);
    }
    free(redis_server_command(s, end));
    return NULL;
}

static void listen__cancel_published__is_heard_until_the_end(void **state)
{
    world *w = *state;
    struct ear ear = {.op = {.op.kind = LQ_OP_LISTEN, .cancel = heard}};
    pthread_t thread;
    assert_int_equal(
        pthread_create(&thread, NULL, publish, redis_world_server()), 0);
    int rc = lq_caller_call(w->caller, &ear.op.op, 10000, NULL);
    pthread_join(thread, NULL);
    assert_int_equal(rc, LUNAQ_EUNKNOWN);
    assert_string_equal(ear.heard, "t1");
    lq_op_release(&ear.op.op);
}

static void cancel__of_an_active_task__is_published(void **state)
{
    world *w = *state;
    lq_op_cancel op = {.op.kind = LQ_OP_CANCEL,
                       .queue = LQ_STR(Q),
                       .id = LQ_STR("t1"),
                       .reason = LQ_STR("by \xff ann")};
    world_put(w, "t1");
    world_take_id(w, "t1");
    (void)REDIS("CONFIG", "RESETSTAT");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
    assert_non_null(
        strstr(REDIS("INFO", "commandstats"), "cmdstat_publish:calls=1,"));
    /* What becomes protobuf text has to be UTF-8. */
    assert_bulk(REDIS("HGET", T("t1"), "lunaq_cancel"), "by ? ann");
}

size_t redis_bytes(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(bytes__enqueue__writes_what_asynq_writes),
        WORLD_TEST(bytes__unique__writes_lock_and_field),
        WORLD_TEST(bytes__scheduled__writes_score_and_no_more),
        WORLD_TEST(bytes__group__writes_set_zset_and_field),
        WORLD_TEST(bytes__take__writes_lease_with_the_token),
        WORLD_TEST(bytes__done__leaves_counters_alone),
        WORLD_TEST(bytes__total_at_its_limit__starts_again),
        WORLD_TEST(bytes__retry_and_archive__write_message_and_score),
        WORLD_TEST(bytes__crash_count__is_a_field_of_our_own),
        WORLD_TEST(bytes__heartbeat__has_asynqs_keys_and_times),
        WORLD_TEST(bytes__cron__writes_last_and_history),
        WORLD_TEST(bytes__token__is_a_key_for_a_day),
        WORLD_TEST(listen__cancel_published__is_heard_until_the_end),
        WORLD_TEST(cancel__of_an_active_task__is_published),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
