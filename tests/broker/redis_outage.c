/* Servers that are full, forgetful, restarted, not there, or refuse a login. */
#include "broker/redis_world.h"

#include "base/clock.h"
#include "redis/link_poll.h"

#include <stdio.h>

/* Ends tasks from "a<first>" on in one call. */
static void retry_many(world *w, size_t first, size_t n)
{
    lq_outcome o[20], *list[20];
    char ids[20][8];
    assert_true(n <= LQ_COUNT(o));
    for (size_t i = 0; i < n; i++) {
        snprintf(ids[i], sizeof(ids[i]), "a%03zu", (first + i) % 1000);
        o[i] = (lq_outcome){.kind = LQ_RETRY_AT,
                            .id = lq_str_c(ids[i]),
                            .token = w->token,
                            .msg = lq_str_c("new"),
                            .delay_ms = 60000};
        list[i] = &o[i];
    }
    lq_step_queue queue = {
        .name = LQ_STR(Q), .outcomes = list, .outcome_count = n};
    lq_op_step op = {.op.kind = LQ_OP_STEP,
                     .queues = &queue,
                     .queue_count = 1,
                     .token = w->token,
                     .lease_ms = 30000,
                     .now_ms = lq_now_ms()};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(o[i].code, LUNAQ_OK);
    lq_op_release(&op.op);
}

/* ---- the server's memory ------------------------------------------------- */

static void script_flush__every_operation_goes_on(void **state)
{
    world *w = *state;
    (void)REDIS("SCRIPT", "FLUSH");
    world_put_many(w, 3);
    (void)REDIS("SCRIPT", "FLUSH");
    assert_int_equal(world_take(w, 2), 2);
    (void)REDIS("SCRIPT", "FLUSH");
    assert_int_equal(world_end(w, LQ_DONE, "a000"), LUNAQ_OK);
    (void)REDIS("SCRIPT", "FLUSH");
    assert_int_equal(world_end(w, LQ_REQUEUE, "a001"), LUNAQ_OK);
    world_take_id(w, "a001");
}

static void full_server__drains_while_enqueues_are_refused(void **state)
{
    world *w = *state;
    world_put_many(w, 20);
    (void)REDIS("CONFIG", "SET", "maxmemory", "1");
    assert_int_equal(world_put(w, "more"), LUNAQ_EFULL);
    assert_int_equal(world_take(w, 20), 20);
    lq_extend_item item = {.id = LQ_STR("a000"), .token = w->token};
    lq_op_extend extend = {.op.kind = LQ_OP_EXTEND,
                           .queue = LQ_STR(Q),
                           .items = &item,
                           .count = 1,
                           .lease_ms = 30000};
    assert_int_equal(world_call(w, &extend.op), LUNAQ_OK);
    assert_int_equal(item.code, LUNAQ_OK);
    lq_op_release(&extend.op);
    assert_int_equal(world_end(w, LQ_DONE, "a000"), LUNAQ_OK);
    assert_int_equal(world_end(w, LQ_RETRY_AT, "a001"), LUNAQ_OK);
    assert_int_equal(world_end(w, LQ_ARCHIVE, "a002"), LUNAQ_OK);
    assert_int_equal(world_end(w, LQ_CRASHED, "a003"), LUNAQ_OK);
    retry_many(w, 4, 9);
    lq_op_reconcile reconcile = {
        .op.kind = LQ_OP_RECONCILE, .queue = LQ_STR(Q), .old_token = w->token};
    assert_int_equal(world_call(w, &reconcile.op), LUNAQ_OK);
    assert_int_equal(reconcile.returned, 7);
    lq_op_release(&reconcile.op);
    lq_op_forward forward = {.op.kind = LQ_OP_FORWARD, .queue = LQ_STR(Q)};
    assert_int_equal(world_call(w, &forward.op), LUNAQ_OK);
    lq_op_release(&forward.op);
    (void)world_new_token(w);
    (void)REDIS("CONFIG", "SET", "maxmemory", "0");
    assert_int_equal(world_put(w, "more"), LUNAQ_OK);
}

static void ping__evicting_server__is_warned_of(void **state)
{
    world *w = *state;
    lq_op_ping op = {.op.kind = LQ_OP_PING};
    (void)REDIS("CONFIG", "SET", "maxmemory", "1gb");
    (void)REDIS("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_non_null(strstr(op.warning, "noeviction"));
    (void)REDIS("CONFIG", "SET", "maxmemory-policy", "noeviction");
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_string_equal(op.warning, "");
    (void)REDIS("CONFIG", "SET", "maxmemory", "0");
    lq_op_release(&op.op);
}

/* ---- the connection ------------------------------------------------------ */

static redis_server durable;

/* Also when the test has failed in the middle. */
static int stop_durable(void **state)
{
    redis_server_stop(&durable);
    return world_teardown(state);
}

static void server_restarts__the_next_call_connects_again(void **state)
{
    world *w = *state;
    lq_caller *old = w->caller;
    if (redis_server_start_durable(&durable))
        skip();
    assert_int_equal(lq_redis_caller_open(&w->caller, durable.url, NULL), 0);
    w->token = world_new_token(w);
    world_put_many(w, 3);
    assert_int_equal(world_take(w, 2), 2);
    redis_server_kill(&durable);
    lq_op_ping ping = {.op.kind = LQ_OP_PING};
    assert_int_equal(lq_caller_call(w->caller, &ping.op, 1000, NULL),
                     LUNAQ_EBROKER);
    assert_int_equal(lq_caller_call(w->caller, &ping.op, 1000, NULL),
                     LUNAQ_EBROKER);
    lq_op_release(&ping.op);
    assert_int_equal(redis_server_restart(&durable), 0);
    /* Scripts are gone, tasks and leases are not. */
    assert_int_equal(world_end(w, LQ_DONE, "a000"), LUNAQ_OK);
    assert_int_equal(world_end(w, LQ_REQUEUE, "a001"), LUNAQ_OK);
    assert_int_equal(world_take(w, 5), 2);
    world_audit(w, Q);
    lq_caller_close(w->caller);
    w->caller = old;
}

static void login__right_and_wrong(void **state)
{
    world *w = *state;
    char url[200];
    lq_caller *c;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_ping ping = {.op.kind = LQ_OP_PING};
    const char *path = redis_world_server()->socket;
    (void)w;
    (void)REDIS("ACL", "SETUSER", "ann", "on", ">se:cret", "+@all", "~*", "&*");

    snprintf(url, sizeof(url), "redis-socket://ann:se%%3Acret@%s?db=3", path);
    assert_int_equal(lq_redis_caller_open(&c, url, NULL), 0);
    assert_int_equal(lq_caller_call(c, &ping.op, 5000, NULL), LUNAQ_OK);
    lq_caller_close(c);

    snprintf(url, sizeof(url), "redis-socket://ann:wrong@%s", path);
    assert_int_equal(lq_redis_caller_open(&c, url, NULL), 0);
    assert_int_equal(lq_caller_call(c, &ping.op, 5000, &err), LUNAQ_ECONFIG);
    assert_non_null(strstr(err.message, "login"));
    assert_null(strstr(err.message, "wrong@"));
    lq_caller_close(c);

    snprintf(url, sizeof(url), "redis-socket://%s?db=99", path);
    assert_int_equal(lq_redis_caller_open(&c, url, NULL), 0);
    assert_int_equal(lq_caller_call(c, &ping.op, 5000, &err), LUNAQ_ECONFIG);
    assert_non_null(strstr(err.message, "database 99"));
    lq_caller_close(c);
    lq_op_release(&ping.op);
    (void)REDIS("ACL", "DELUSER", "ann");
}

static void nobody_there__says_so(void **state)
{
    lq_caller *c;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_ping ping = {.op.kind = LQ_OP_PING};
    (void)state;
    assert_int_equal(
        lq_redis_caller_open(&c, "redis-socket:///nowhere/redis.sock", NULL),
        0);
    assert_int_equal(lq_caller_call(c, &ping.op, 1000, &err), LUNAQ_EBROKER);
    assert_non_null(strstr(err.message, "/nowhere/redis.sock"));
    lq_caller_close(c);
    lq_op_release(&ping.op);
}

size_t redis_outage(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(script_flush__every_operation_goes_on),
        WORLD_TEST(full_server__drains_while_enqueues_are_refused),
        WORLD_TEST(ping__evicting_server__is_warned_of),
        cmocka_unit_test_setup_teardown(
            server_restarts__the_next_call_connects_again, world_setup,
            stop_durable),
        WORLD_TEST(login__right_and_wrong),
        WORLD_TEST(nobody_there__says_so),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
