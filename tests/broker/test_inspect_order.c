/* Orders to servers, on both brokers. */
#include "inspect_world.h"

#include "broker/order.h"

#include <string.h>

#define A "aaaaaaaa-0000-4000-8000-00000000000a"
#define B "aaaaaaaa-0000-4000-8000-00000000000b"

static void beat(struct world *w, const char *id, const char *extra)
{
    plant_server(w, id, NULL, extra);
}

static void assert_order(struct world *w, const char *id, const char *wanted)
{
    lq_op_order_take op = {
        .host = LQ_STR("here"), .server_id = lq_str_c(id), .pid = 7};
    lq_op_init(&op.op, LQ_OP_ORDER_TAKE);
    carry_out(w, &op.op);
    if (wanted) {
        assert_int_equal(op.text.len, strlen(wanted));
        assert_memory_equal(op.text.p, wanted, op.text.len);
    } else {
        assert_null(op.text.p);
    }
    lq_op_release(&op.op);
}

static void order__to_one__is_taken_once_and_by_it_alone(void **state)
{
    struct world *w = *state;
    beat(w, A, "{\"remote_control\":true}");
    beat(w, B, "{\"remote_control\":true}");
    assert_order(w, A, NULL);
    assert_int_equal(
        lunaq_server_order(w->client, A, LUNAQ_ORDER_STOP, "anna@here", NULL),
        0);
    assert_order(w, B, NULL);
    assert_order(w, A, "stop anna@here");
    assert_order(w, A, NULL);
}

static void order__twice__the_newest_counts(void **state)
{
    struct world *w = *state;
    beat(w, A, "{\"remote_control\":true}");
    assert_int_equal(
        lunaq_server_order(w->client, A, LUNAQ_ORDER_QUIET, "x", NULL), 0);
    assert_int_equal(
        lunaq_server_order(w->client, A, LUNAQ_ORDER_STOP, NULL, NULL), 0);
    assert_order(w, A, "stop somebody");
    assert_order(w, A, NULL);
}

static void order__by_a_piece_of_the_id__needs_only_one(void **state)
{
    struct world *w = *state;
    beat(w, A, "{\"remote_control\":true}");
    beat(w, B, "{\"remote_control\":true}");
    assert_int_equal(
        lunaq_server_order(w->client, "0000000b", LUNAQ_ORDER_QUIET, "x", NULL),
        0);
    assert_order(w, B, "quiet x");
    assert_int_equal(
        lunaq_server_order(w->client, "aaaaaaaa", LUNAQ_ORDER_QUIET, "x", NULL),
        LUNAQ_EAMBIGUOUS);
    assert_int_equal(
        lunaq_server_order(w->client, "0000b", LUNAQ_ORDER_QUIET, "x", NULL),
        LUNAQ_ENOTFOUND);
}

static void order__to_asynq_or_one_that_refuses__is_an_error(void **state)
{
    struct world *w = *state;
    beat(w, A, NULL);
    beat(w, B, "{\"remote_control\":false}");
    assert_int_equal(
        lunaq_server_order(w->client, A, LUNAQ_ORDER_STOP, "x", NULL),
        LUNAQ_ESTATE);
    assert_int_equal(
        lunaq_server_order(w->client, B, LUNAQ_ORDER_STOP, "x", NULL),
        LUNAQ_ESTATE);
    assert_int_equal(
        lunaq_server_order(w->client, B, (lunaq_order)7, "x", NULL),
        LUNAQ_EINVAL);
    assert_order(w, A, NULL);
    assert_order(w, B, NULL);
}

static void order__to_one_that_is_gone__is_not_kept(void **state)
{
    struct world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_order op = {.host = LQ_STR("here"),
                      .server_id = LQ_STR(A),
                      .pid = 7,
                      .text = LQ_STR("stop x")};
    lq_op_init(&op.op, LQ_OP_ORDER);
    assert_int_equal(lq_caller_call(w->caller, &op.op, 5000, &err),
                     LUNAQ_ENOTFOUND);
    lq_op_release(&op.op);
    assert_order(w, A, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(order__to_one__is_taken_once_and_by_it_alone),
        TEST(order__twice__the_newest_counts),
        TEST(order__by_a_piece_of_the_id__needs_only_one),
        TEST(order__to_asynq_or_one_that_refuses__is_an_error),
        TEST(order__to_one_that_is_gone__is_not_kept),
    };
    return world_run("inspect_order", tests, LQ_COUNT(tests), NULL, 0, argc,
                     argv);
}
