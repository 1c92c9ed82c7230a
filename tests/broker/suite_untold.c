/* Tasks that are archived while no server has them in hand: one is told, once.
 */
#include "broker/world.h"
#include "broker/archived.h"
#include "broker/inspect.h"

#include <stdio.h>
#include <string.h>

static void cancel(world *w, const char *id, const char *reason)
{
    lq_op_cancel op = {.op.kind = LQ_OP_CANCEL,
                       .queue = LQ_STR(Q),
                       .id = lq_str_c(id),
                       .reason = lq_str_c(reason)};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
}

/* Takes notes: their ids and reasons, "id:reason id:reason". */
static void take(world *w, char *said, size_t size, bool *more)
{
    lq_op_untold op = {.op.kind = LQ_OP_UNTOLD, .queue = LQ_STR(Q)};
    size_t len = 0;
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    said[0] = '\0';
    for (size_t i = 0; i < op.count; i++) {
        const lq_untold *u = &op.items[i];
        lq_task t = {0};
        assert_int_equal(lq_task_decode(&t, u->msg, NULL), LUNAQ_OK);
        assert_true(lq_str_eq(t.id, u->id));
        lq_task_release(&t);
        len += (size_t)snprintf(said + len, size - len, "%s%.*s:%.*s",
                                i ? " " : "", LQ_STR_ARG(u->id),
                                LQ_STR_ARG(u->error));
    }
    if (more)
        *more = op.more;
    lq_op_release(&op.op);
}

static void expect(world *w, const char *said)
{
    char got[256];
    bool more;
    take(w, got, sizeof(got), &more);
    assert_string_equal(got, said);
    assert_false(more);
}

static void untold__canceled_while_pending__is_taken_once(void **state)
{
    world *w = *state;
    expect(w, "");
    world_put(w, "one");
    cancel(w, "one", "anna");
    expect(w, "one:anna");
    expect(w, "");
}

static void untold__canceled_elsewhere_than_pending__is_taken(void **state)
{
    world *w = *state;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = "later";
    t.process_in_ms = 60000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    cancel(w, "later", "a");
    expect(w, "later:a");
    t.task_id = "grouped";
    t.process_in_ms = 0;
    t.group = "g";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    cancel(w, "grouped", "b");
    expect(w, "grouped:b");
    lq_buf msg;
    lq_buf_init(&msg, 0);
    world_put(w, "again");
    world_take_id(w, "again");
    lq_outcome o = {.kind = LQ_RETRY_AT,
                    .id = LQ_STR("again"),
                    .msg = world_msg(&msg, "again"),
                    .delay_ms = 60000};
    assert_int_equal(world_settle(w, o), LUNAQ_OK);
    lq_buf_release(&msg);
    cancel(w, "again", "c");
    expect(w, "again:c");
}

/* Its holder is told by the settling, nobody else. */
static void untold__canceled_while_active__is_none(void **state)
{
    world *w = *state;
    world_put(w, "one");
    world_take_id(w, "one");
    cancel(w, "one", "anna");
    assert_int_equal(world_end(w, LQ_REQUEUE, "one"), LUNAQ_OK);
    assert_string_equal(w->canceled, "anna");
    expect(w, "");
}

/* The reply to a take was lost, and its task was canceled meanwhile. */
static void untold__given_back_and_canceled__is_taken(void **state)
{
    world *w = *state;
    world_put(w, "one");
    world_take_id(w, "one");
    cancel(w, "one", "anna");
    lq_op_reconcile op = {
        .op.kind = LQ_OP_RECONCILE, .queue = LQ_STR(Q), .old_token = w->token};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
    assert_int_equal(world_state(w, "one"), LUNAQ_ARCHIVED);
    expect(w, "one:anna");
}

static void move(world *w, const char *id, lunaq_move how)
{
    lq_op_move op = {.op.kind = LQ_OP_MOVE,
                     .queue = LQ_STR(Q),
                     .id = lq_str_c(id),
                     .move = how};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
}

static void untold__archived_no_more__is_left_out(void **state)
{
    world *w = *state;
    world_put_many(w, 3);
    cancel(w, "a000", "x");
    cancel(w, "a001", "x");
    cancel(w, "a002", "x");
    move(w, "a000", LUNAQ_MOVE_RUN);
    move(w, "a001", LUNAQ_MOVE_DELETE);
    expect(w, "a002:x");
    cancel(w, "a000", "y");
    expect(w, "a000:y");
    /* By hand is not by cancel. */
    world_put(w, "one");
    move(w, "one", LUNAQ_MOVE_ARCHIVE);
    expect(w, "");
}

static void untold__many__are_taken_in_parts(void **state)
{
    world *w = *state;
    char got[8192];
    bool more;
    world_put_many(w, 120);
    for (int i = 0; i < 120; i++) {
        char id[16];
        snprintf(id, sizeof(id), "a%03d", i);
        cancel(w, id, "x");
    }
    take(w, got, sizeof(got), &more);
    assert_true(more);
    assert_int_equal(strlen(got), 100 * 7 - 1);
    take(w, got, sizeof(got), &more);
    assert_false(more);
    assert_int_equal(strlen(got), 20 * 7 - 1);
}

static void untold__queue_is_removed__so_are_they(void **state)
{
    world *w = *state;
    world_put(w, "one");
    cancel(w, "one", "x");
    lq_op_queue_remove op = {
        .op.kind = LQ_OP_QUEUE_REMOVE, .queue = LQ_STR(Q), .force = true};
    do {
        assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
        lq_op_release(&op.op);
    } while (op.more);
    world_put(w, "one");
    move(w, "one", LUNAQ_MOVE_ARCHIVE);
    expect(w, "");
}

size_t suite_untold(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(untold__canceled_while_pending__is_taken_once),
        WORLD_TEST(untold__canceled_elsewhere_than_pending__is_taken),
        WORLD_TEST(untold__canceled_while_active__is_none),
        WORLD_TEST(untold__given_back_and_canceled__is_taken),
        WORLD_TEST(untold__archived_no_more__is_left_out),
        WORLD_TEST(untold__many__are_taken_in_parts),
        WORLD_TEST(untold__queue_is_removed__so_are_they),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
