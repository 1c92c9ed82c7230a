/* Applications with different prefixes on one Redis.
 *
 * The broker suite runs as an application "shop" whose Redis user may touch
 * nothing but shop:*, so that a key outside of it fails the operation that
 * made it; and two applications live their whole lives side by side. */
#include "broker/redis_world.h"
#include "broker/inspect.h"

#include "base/clock.h"
#include "broker/copy.h"
#include "redis/link_poll.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the suite, fenced in ------------------------------------------------ */

static int open_shop(void *ud, lq_caller **out)
{
    const redis_server *s = ud;
    char url[200];
    (void)REDIS("ACL", "SETUSER", "shop", "on", ">pw", "~shop:*", "&shop:*",
                "+@all");
    snprintf(url, sizeof(url), "redis-socket://shop:pw@%s?prefix=shop",
             s->socket);
    return lq_redis_caller_open(out, url, NULL);
}

static void wipe(void *ud)
{
    (void)ud;
    (void)REDIS("FLUSHALL");
}

/* ---- two applications ---------------------------------------------------- */

static lq_caller *open_app(const char *prefix)
{
    lq_caller *c = NULL;
    char url[200];
    snprintf(url, sizeof(url), prefix ? "%s?prefix=%s" : "%s",
             redis_world_server()->url, prefix);
    assert_int_equal(lq_redis_caller_open(&c, url, NULL), LUNAQ_OK);
    return c;
}

static void run(lq_caller *c, lq_op *op)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lq_caller_call(c, op, WORLD_TIMEOUT_MS, &err))
        fail_msg("%s: %s", lq_op_name(op->kind), err.message);
}

/* All keys but the tokens, whose numbers are drawn, in order, a line each. */
static char *keys_of(const char *pattern)
{
    static const char script[] =
        "local k = redis.call('KEYS', ARGV[1]) local out = {} "
        "for i = 1, #k do out[i] = k[i]:gsub('token:%d+', 'token:N') end "
        "table.sort(out) return table.concat(out, '\\n')";
    const char *reply = REDIS("EVAL", script, "0", pattern);
    const char *text = strchr(reply, '\n');
    char *keys = strdup(text ? text + 1 : "");
    assert_non_null(keys);
    keys[strcspn(keys, "\r")] = 0;
    return keys;
}

static char *replaced(const char *text, const char *from, const char *to)
{
    size_t room = strlen(text) * 4 + 1, n = 0;
    char *out = calloc(room, 1);
    assert_non_null(out);
    while (*text) {
        /* at the beginning of a line only */
        bool here = (n == 0 || out[n - 1] == '\n') &&
                    strncmp(text, from, strlen(from)) == 0;
        n += (size_t)snprintf(out + n, room - n, "%s",
                              here ? to : (char[]){*text, 0});
        text += here ? strlen(from) : 1;
    }
    return out;
}

static lq_enqueue *make(lq_enqueue *e, const lunaq_task *t)
{
    assert_int_equal(lq_enqueue_init(e, t, lq_now_ms(), NULL), LUNAQ_OK);
    return e;
}

/* Something of everything; what it leaves behind is there to be compared.
 * Returns its token. */
static uint32_t live(lq_caller *c)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    lq_enqueue e[5];
    lq_enqueue *items[LQ_COUNT(e)];
    t.type = "t";
    t.queue = Q;
    t.task_id = "done";
    items[0] = make(&e[0], &t);
    t.task_id = "retried";
    items[1] = make(&e[1], &t);
    t.task_id = "unique";
    t.unique_ms = 600000;
    items[2] = make(&e[2], &t);
    t.task_id = "later";
    t.unique_ms = 0;
    t.process_in_ms = 3600000;
    items[3] = make(&e[3], &t);
    t.task_id = "grouped";
    t.process_in_ms = 0;
    t.group = "g";
    items[4] = make(&e[4], &t);
    lq_op_enqueue enqueue = {
        .op.kind = LQ_OP_ENQUEUE, .items = items, .count = LQ_COUNT(e)};
    run(c, &enqueue.op);
    for (size_t i = 0; i < LQ_COUNT(e); i++)
        assert_int_equal(e[i].code, LUNAQ_OK);

    lq_op_token token = {.op.kind = LQ_OP_TOKEN, .server_id = LQ_STR("s")};
    run(c, &token.op);
    lq_step_queue queue = {.name = LQ_STR(Q), .want = 3};
    lq_op_step step = {.op.kind = LQ_OP_STEP,
                       .queues = &queue,
                       .queue_count = 1,
                       .free = 3,
                       .token = token.token,
                       .lease_ms = 30000,
                       .now_ms = lq_now_ms()};
    run(c, &step.op);
    assert_int_equal(step.taken_count, 3);
    lq_task held;
    assert_int_equal(lq_task_decode(&held, step.taken[2].msg, NULL), LUNAQ_OK);
    lq_outcome o[] = {{.kind = LQ_DONE, .id = LQ_STR("done")},
                      {.kind = LQ_RETRY_AT,
                       .id = LQ_STR("retried"),
                       .delay_ms = 60000,
                       .is_failure = true},
                      {.kind = LQ_ARCHIVE,
                       .id = LQ_STR("unique"),
                       .unique_key = held.unique_key}};
    lq_outcome *outcomes[] = {&o[0], &o[1], &o[2]};
    for (size_t i = 0; i < LQ_COUNT(o); i++)
        o[i].token = token.token;
    lq_step_queue settled = {
        .name = LQ_STR(Q), .outcomes = outcomes, .outcome_count = LQ_COUNT(o)};
    lq_op_step settle = {.op.kind = LQ_OP_STEP,
                         .queues = &settled,
                         .queue_count = 1,
                         .lease_ms = 30000,
                         .now_ms = lq_now_ms()};
    run(c, &settle.op);
    for (size_t i = 0; i < LQ_COUNT(o); i++)
        assert_int_equal(o[i].code, LUNAQ_OK);
    lq_task_release(&held);
    lq_op_release(&step.op);
    lq_op_release(&settle.op);
    for (size_t i = 0; i < LQ_COUNT(e); i++)
        lq_enqueue_release(&e[i]);

    lq_enqueue tick;
    t = (lunaq_task)LUNAQ_TASK_INIT;
    t.type = "nightly";
    t.queue = Q;
    t.task_id = "tick";
    make(&tick, &t);
    lq_op_cron_fire fire = {.op.kind = LQ_OP_CRON_FIRE,
                            .queue = LQ_STR(Q),
                            .entry_id = LQ_STR("nightly 0 4 * * *"),
                            .instant_ms = lq_now_ms(),
                            .item = &tick};
    run(c, &fire.op);
    assert_true(fire.fired);
    lq_enqueue_release(&tick);
    const lq_str entry = LQ_STR("entry");
    lq_op_cron_publish publish = {.op.kind = LQ_OP_CRON_PUBLISH,
                                  .scheduler_id = LQ_STR("h:1:s"),
                                  .entries = &entry,
                                  .count = 1,
                                  .ttl_ms = 60000};
    run(c, &publish.op);
    const lq_heartbeat_worker worker = {LQ_STR("w"), LQ_STR("record")};
    lq_op_heartbeat heartbeat = {.op.kind = LQ_OP_HEARTBEAT,
                                 .host = LQ_STR("h"),
                                 .server_id = LQ_STR("s"),
                                 .pid = 1,
                                 .info = LQ_STR("info"),
                                 .extra = LQ_STR("{}"),
                                 .workers = &worker,
                                 .worker_count = 1,
                                 .ttl_ms = 60000};
    run(c, &heartbeat.op);
    lq_op_cancel cancel = {.op.kind = LQ_OP_CANCEL,
                           .queue = LQ_STR(Q),
                           .id = LQ_STR("later"),
                           .reason = LQ_STR("why not")};
    run(c, &cancel.op);
    lq_op_queue_pause pause = {
        .op.kind = LQ_OP_QUEUE_PAUSE, .queue = LQ_STR(Q), .pause = true};
    run(c, &pause.op);
    return token.token;
}

static void die(lq_caller *c, uint32_t token)
{
    lq_op_goodbye goodbye = {.op.kind = LQ_OP_GOODBYE,
                             .host = LQ_STR("h"),
                             .server_id = LQ_STR("s"),
                             .pid = 1,
                             .tokens = &token,
                             .token_count = 1};
    run(c, &goodbye.op);
    lq_op_queue_remove rm = {
        .op.kind = LQ_OP_QUEUE_REMOVE, .queue = LQ_STR(Q), .force = true};
    do
        run(c, &rm.op);
    while (rm.more);
}

static void prefixes__two_lives__no_key_in_common(void **state)
{
    (void)state;
    wipe(NULL);
    lq_caller *plain = open_app(NULL), *shop = open_app("shop");
    uint32_t plain_token = live(plain), shop_token;
    char *first = keys_of("*");
    assert_non_null(strstr(first, "asynq:{q}:unique:t:"));
    assert_non_null(strstr(first, "lunaq:{q}:cron"));
    shop_token = live(shop);
    char *second = keys_of("shop:*"), *both = keys_of("*");
    /* The second has the same keys as the first under its own name … */
    char *own = replaced(first, "lunaq:", "shop:lunaq:");
    char *expected = replaced(own, "asynq:", "shop:");
    char *sorted = keys_of("shop:*");
    size_t lines = 0, found = 0;
    for (char *save, *line = strtok_r(expected, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save), lines++)
        found += strstr(second, line) != NULL;
    assert_int_equal(lines, found);
    assert_int_equal(strlen(both), strlen(first) + strlen(second) + 1);
    /* … and goes without a trace of it or a change to the other's. */
    die(shop, shop_token);
    char *left = keys_of("*");
    char *of_shop = keys_of("shop:*");
    assert_null(strstr(of_shop, "shop:{q}:"));
    char *others = keys_of("[al]*");
    assert_string_equal(others, first);
    (void)live(shop);
    die(plain, plain_token);
    char *remains = keys_of("shop:*");
    assert_string_equal(remains, second);
    char *nothing = keys_of("asynq:{*");
    assert_string_equal(nothing, "");
    char *const all[] = {first, second,  both,   own,     expected, sorted,
                         left,  of_shop, others, remains, nothing};
    for (size_t i = 0; i < LQ_COUNT(all); i++)
        free(all[i]);
    lq_caller_close(plain);
    lq_caller_close(shop);
}

static void prefixes__names_and_lists__are_each_ones_own(void **state)
{
    (void)state;
    wipe(NULL);
    lq_caller *plain = open_app(NULL), *shop = open_app("shop");
    (void)live(plain);
    lq_op_queues queues = {.op.kind = LQ_OP_QUEUES};
    run(shop, &queues.op);
    assert_int_equal(queues.count, 0);
    lq_op_release(&queues.op);
    lq_op_servers servers = {.op.kind = LQ_OP_SERVERS};
    run(shop, &servers.op);
    assert_int_equal(servers.count, 0);
    run(plain, &servers.op);
    assert_int_equal(servers.count, 1);
    assert_true(lq_str_eq(servers.rows[0].extra, LQ_STR("{}")));
    lq_op_release(&servers.op);
    lq_op_crons crons = {.op.kind = LQ_OP_CRONS};
    run(shop, &crons.op);
    assert_int_equal(crons.count, 0);
    run(plain, &crons.op);
    assert_int_equal(crons.count, 1);
    lq_op_release(&crons.op);
    lq_caller_close(plain);
    lq_caller_close(shop);
}

static void ignore_cancel(lq_op_listen *op, lq_str id)
{
    (void)op;
    (void)id;
}

static void listen__fenced_in__is_allowed(void **state)
{
    (void)state;
    lq_caller *c = NULL;
    assert_int_equal(open_shop(redis_world_server(), &c), 0);
    lq_op_listen listen = {.op.kind = LQ_OP_LISTEN, .cancel = ignore_cancel};
    /* It ends by the timeout, not by a refusal. */
    assert_int_equal(lq_caller_call(c, &listen.op, 300, NULL), LUNAQ_EUNKNOWN);
    lq_caller_close(c);
}

/* ---- from one to the other ----------------------------------------------- */

static void move__unique_task__its_lock_follows(void **state)
{
    (void)state;
    wipe(NULL);
    lq_caller *app[] = {open_app("shop"), open_app("mail"), open_app(NULL)};
    lunaq_task t = LUNAQ_TASK_INIT;
    lq_enqueue e, *items[] = {&e};
    t.type = "t";
    t.queue = Q;
    t.task_id = "one";
    t.unique_ms = 600000;
    make(&e, &t);
    lq_op_enqueue enqueue = {
        .op.kind = LQ_OP_ENQUEUE, .items = items, .count = 1};
    run(app[0], &enqueue.op);
    static const char *const heads[] = {"shop:", "mail:", "asynq:"};
    for (size_t i = 0; i + 1 < LQ_COUNT(app); i++) {
        lq_op_export from = {.op.kind = LQ_OP_EXPORT, .queue = LQ_STR(Q)};
        run(app[i], &from.op);
        assert_int_equal(from.count, 1);
        assert_true(
            lq_str_eq(from.items[0].unique_key, lq_str_c(e.unique_key)));
        lq_op_import to = {.op.kind = LQ_OP_IMPORT,
                           .queue = LQ_STR(Q),
                           .items = from.items,
                           .count = 1};
        run(app[i + 1], &to.op);
        assert_int_equal(from.items[0].code, LUNAQ_OK);
        to.check = true;
        run(app[i + 1], &to.op);
        assert_int_equal(from.items[0].code, LUNAQ_EEXIST);
        lq_op_release(&from.op);
        lq_op_release(&to.op);

        char lock[sizeof(e.unique_key) + 64];
        snprintf(lock, sizeof(lock), "%s%s", heads[i + 1],
                 e.unique_key + strlen("asynq:"));
        assert_string_equal(REDIS("GET", lock), "$3\r\none\r\n");
        const lq_str queue = LQ_STR(Q);
        lq_op_task_get get = {.op.kind = LQ_OP_TASK_GET,
                              .queues = &queue,
                              .queue_count = 1,
                              .id = LQ_STR("one")};
        run(app[i + 1], &get.op);
        lq_task there;
        assert_int_equal(get.count, 1);
        assert_int_equal(lq_task_decode(&there, get.rows[0].msg, NULL), 0);
        assert_true(lq_str_eq(there.unique_key, lq_str_c(lock)));
        lq_task_release(&there);
        lq_op_release(&get.op);
    }
    lq_enqueue_release(&e);
    for (size_t i = 0; i < LQ_COUNT(app); i++)
        lq_caller_close(app[i]);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest own[] = {
        cmocka_unit_test(prefixes__two_lives__no_key_in_common),
        cmocka_unit_test(prefixes__names_and_lists__are_each_ones_own),
        cmocka_unit_test(listen__fenced_in__is_allowed),
        cmocka_unit_test(move__unique_task__its_lock_follows),
    };
    static struct CMUnitTest suite[300];
    static world_factory shop = {"redis, prefix", open_shop, wipe, NULL};
    size_t n = 0;
    if (redis_server_start(redis_world_server(), NULL, NULL))
        return 77; /* skipped */
    shop.ud = redis_world_server();
    world_use(&shop);
    n += suite_enqueue(suite + n);
    n += suite_take(suite + n);
    n += suite_task(suite + n);
    n += suite_lease(suite + n);
    n += suite_due(suite + n);
    n += suite_limits(suite + n);
    n += suite_group(suite + n);
    n += suite_group_end(suite + n);
    n += suite_untold(suite + n);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = cmocka_run_group_tests_name("prefix", own, NULL, NULL);
    failed += _cmocka_run_group_tests("broker on redis, prefix", suite, n, NULL,
                                      NULL);
    redis_server_stop(redis_world_server());
    return failed;
}
