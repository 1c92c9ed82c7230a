/* Who holds a task: tokens, leases, recovery, reconciling, cancelling. */
#include "broker/world.h"
#include "broker/inspect.h"

#include "base/clock.h"
#include "task/token.h"

#include <stdio.h>

/* Takes "one" with a lease that has ended already. */
static void take_ended(world *w)
{
    w->lease_ms = -5000;
    world_take_id(w, "one");
    w->lease_ms = 30000;
}

static size_t list_expired(world *w, lq_op_expired *op)
{
    *op = (lq_op_expired){
        .op.kind = LQ_OP_EXPIRED, .queue = LQ_STR(Q), .limit = 100};
    assert_int_equal(world_call(w, &op->op), LUNAQ_OK);
    return op->count;
}

static int extend_one(world *w, const char *id, uint32_t token, char *cancel,
                      size_t size)
{
    lq_extend_item item = {.id = lq_str_c(id), .token = token};
    lq_op_extend op = {.op.kind = LQ_OP_EXTEND,
                       .queue = LQ_STR(Q),
                       .items = &item,
                       .count = 1,
                       .lease_ms = 30000};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    if (cancel)
        snprintf(cancel, size, "%.*s", LQ_STR_ARG(item.cancel));
    lq_op_release(&op.op);
    return item.code;
}

static int64_t reconcile(world *w, uint32_t token, const lq_str *held, size_t n)
{
    lq_op_reconcile op = {.op.kind = LQ_OP_RECONCILE,
                          .queue = LQ_STR(Q),
                          .old_token = token,
                          .held = held,
                          .held_count = n};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
    return op.returned;
}

/* ---- tokens -------------------------------------------------------------- */

static void token__drawn_twice__differs(void **state)
{
    world *w = *state;
    uint32_t seen[50];
    for (size_t i = 0; i < LQ_COUNT(seen); i++) {
        seen[i] = world_new_token(w);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(seen[i], seen[k]);
    }
    lq_op_token_renew op = {.op.kind = LQ_OP_TOKEN_RENEW,
                            .server_id = LQ_STR("server"),
                            .tokens = seen,
                            .count = LQ_COUNT(seen)};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    lq_op_release(&op.op);
}

static void lease__carries_its_token_and_its_time(void **state)
{
    world *w = *state;
    lq_op_task_get get;
    world_put(w, "one");
    int64_t before = lq_now_ms();
    world_take_id(w, "one");
    const lq_task_row *row = world_row(w, "one", &get);
    /* Rounded up to a second, and the token's fraction of one. */
    assert_in_range(row->at_ms, before + 30000, lq_now_ms() + 32000);
    lq_op_release(&get.op);
}

static void end__with_another_token__changes_nothing(void **state)
{
    world *w = *state;
    uint32_t other = world_new_token(w);
    world_put(w, "one");
    world_take_id(w, "one");
    for (int kind = LQ_DONE; kind <= LQ_DISCARD; kind++) {
        lq_outcome o = {.kind = (enum lq_outcome_kind)kind,
                        .id = LQ_STR("one"),
                        .msg = LQ_STR("x"),
                        .token = other};
        assert_int_equal(world_settle(w, o), LUNAQ_ELEASE);
    }
    assert_int_equal(extend_one(w, "one", other, NULL, 0), LUNAQ_ELEASE);
    assert_int_equal(world_state(w, "one"), LUNAQ_ACTIVE);
    assert_int_equal(world_stats(w).processed_total, 0);
    assert_int_equal(world_end(w, LQ_DONE, "one"), LUNAQ_OK);
}

/* ---- recovery ------------------------------------------------------------ */

static void expired__lists_only_what_has_ended(void **state)
{
    world *w = *state;
    lq_op_expired op;
    world_put(w, "one");
    take_ended(w);
    world_put(w, "two");
    world_take_id(w, "two");
    assert_int_equal(list_expired(w, &op), 1);
    assert_string_equal(op.items[0].id.p, "one");
    assert_int_equal(op.items[0].token, w->token);
    assert_int_equal(op.items[0].crashes, 0);
    assert_true(op.items[0].msg.len > 0);
    assert_null(op.items[0].cancel.p);
    assert_in_range(op.next_ms, 28000, 32000); /* two's */
    lq_op_release(&op.op);
}

static void expired__nothing_active__has_no_next(void **state)
{
    world *w = *state;
    lq_op_expired op;
    assert_int_equal(list_expired(w, &op), 0);
    assert_int_equal(op.next_ms, -1);
    lq_op_release(&op.op);
}

static void expired__above_its_limit__is_due_again_at_once(void **state)
{
    world *w = *state;
    world_put_many(w, 7);
    w->lease_ms = -5000;
    assert_int_equal(world_take(w, 7), 7);
    lq_op_expired op = {
        .op.kind = LQ_OP_EXPIRED, .queue = LQ_STR(Q), .limit = 3};
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.count, 3);
    assert_int_equal(op.next_ms, 0);
    for (size_t i = 0; i < 143; i++)
        assert_int_equal(world_put(w, NULL), LUNAQ_OK);
    assert_int_equal(world_take(w, 100), 100);
    assert_int_equal(world_take(w, 43), 43);
    lq_op_release(&op.op);
    assert_int_equal(list_expired(w, &op), 100);
    assert_int_equal(op.next_ms, 0);
    lq_op_release(&op.op);
}

static void recover__by_score__gives_it_to_the_next(void **state)
{
    world *w = *state;
    lq_op_expired op;
    uint32_t first = w->token;
    world_put(w, "one");
    take_ended(w);
    assert_int_equal(list_expired(w, &op), 1);
    lq_outcome crashed = {
        .kind = LQ_CRASHED, .id = LQ_STR("one"), .score = op.items[0].score};
    assert_int_equal(world_settle(w, crashed), LUNAQ_OK);
    /* A second recoverer comes too late. */
    assert_int_equal(world_settle(w, crashed), LUNAQ_ELEASE);
    lq_op_release(&op.op);

    w->token = world_new_token(w);
    world_take_id(w, "one");
    assert_int_equal(w->step.taken[0].crashes, 1);
    /* The late holder changes nothing … */
    lq_outcome late = {.kind = LQ_DONE, .id = LQ_STR("one"), .token = first};
    assert_int_equal(world_settle(w, late), LUNAQ_ELEASE);
    assert_int_equal(extend_one(w, "one", first, NULL, 0), LUNAQ_ELEASE);
    lq_op_result result = {.op.kind = LQ_OP_RESULT,
                           .queue = LQ_STR(Q),
                           .id = LQ_STR("one"),
                           .token = first,
                           .data = LQ_STR("late")};
    assert_int_equal(world_call(w, &result.op), LUNAQ_ELEASE);
    lq_op_release(&result.op);
    assert_int_equal(world_state(w, "one"), LUNAQ_ACTIVE);
    /* … and the new one goes on. */
    assert_int_equal(world_end(w, LQ_DONE, "one"), LUNAQ_OK);
    assert_int_equal(world_stats(w).processed_total, 1);
}

static void recover__renewed_meanwhile__changes_nothing(void **state)
{
    world *w = *state;
    lq_op_expired op;
    world_put(w, "one");
    take_ended(w);
    assert_int_equal(list_expired(w, &op), 1);
    assert_int_equal(extend_one(w, "one", w->token, NULL, 0), LUNAQ_OK);
    lq_outcome crashed = {
        .kind = LQ_CRASHED, .id = LQ_STR("one"), .score = op.items[0].score};
    assert_int_equal(world_settle(w, crashed), LUNAQ_ELEASE);
    lq_op_release(&op.op);
    assert_int_equal(world_state(w, "one"), LUNAQ_ACTIVE);
    assert_int_equal(list_expired(w, &op), 0);
    lq_op_release(&op.op);
}

static void
end__after_the_lease_ended__is_taken_while_the_token_fits(void **state)
{
    world *w = *state;
    world_put(w, "one");
    take_ended(w);
    assert_int_equal(world_end(w, LQ_DONE, "one"), LUNAQ_OK);
}

static void extend__several__each_answers_for_itself(void **state)
{
    world *w = *state;
    world_put_many(w, 3);
    assert_int_equal(world_take(w, 2), 2);
    lq_extend_item items[] = {
        {.id = LQ_STR("a000"), .token = w->token},
        {.id = LQ_STR("a001"), .token = w->token % 1000 + 7},
        {.id = LQ_STR("a002"), .token = w->token}, /* pending */
        {.id = LQ_STR("nowhere"), .token = w->token},
        {.id = LQ_STR("a001"), .token = w->token},
        {.id = LQ_STR("a001"), .token = 0},
    };
    static const int codes[] = {LUNAQ_OK,     LUNAQ_ELEASE, LUNAQ_ELEASE,
                                LUNAQ_ELEASE, LUNAQ_OK,     LUNAQ_ELEASE};
    lq_op_extend op = {.op.kind = LQ_OP_EXTEND,
                       .queue = LQ_STR(Q),
                       .items = items,
                       .count = LQ_COUNT(items),
                       .lease_ms = 30000};
    if (items[1].token == w->token)
        items[1].token++;
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    for (size_t i = 0; i < LQ_COUNT(items); i++)
        assert_int_equal(items[i].code, codes[i]);
    lq_op_release(&op.op);
}

/* ---- reconcile ----------------------------------------------------------- */

static void reconcile__not_held__goes_back_in_order(void **state)
{
    world *w = *state;
    const lq_str held[] = {LQ_STR("a001")};
    uint32_t old = w->token;
    world_put_many(w, 5);
    assert_int_equal(world_take(w, 3), 3);
    w->token = world_new_token(w);
    world_take_id(w, "a003");
    assert_int_equal(reconcile(w, old, held, 1), 2);
    assert_int_equal(reconcile(w, old, held, 1), 0);
    assert_int_equal(world_state(w, "a001"), LUNAQ_ACTIVE);
    assert_int_equal(world_state(w, "a003"), LUNAQ_ACTIVE);
    assert_int_equal(world_take(w, 3), 3);
    assert_string_equal(w->step.taken[0].id.p, "a000");
    assert_string_equal(w->step.taken[1].id.p, "a002");
    assert_string_equal(w->step.taken[2].id.p, "a004");
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(w->step.taken[i].crashes, 0);
    /* What is held ends under its own, old token. */
    lq_outcome o = {.kind = LQ_DONE, .id = LQ_STR("a001"), .token = old};
    assert_int_equal(world_settle(w, o), LUNAQ_OK);
}

/* As they were taken, whatever their names are. */
static void reconcile__taken_in_one_second__keeps_their_order(void **state)
{
    static const char *const ids[] = {"c", "a", "d", "b"};
    world *w = *state;
    for (size_t i = 0; i < LQ_COUNT(ids); i++)
        world_put(w, ids[i]);
    assert_int_equal(world_take(w, 3), 3);
    world_take_id(w, "b");
    assert_int_equal(reconcile(w, w->token, NULL, 0), 4);
    for (size_t i = 0; i < LQ_COUNT(ids); i++)
        world_take_id(w, ids[i]);
}

static void reconcile__keeps_the_crash_count(void **state)
{
    world *w = *state;
    uint32_t old = w->token;
    world_put(w, "one");
    world_take_id(w, "one");
    assert_int_equal(world_end(w, LQ_CRASHED, "one"), LUNAQ_OK);
    world_take_id(w, "one");
    w->token = world_new_token(w);
    assert_int_equal(reconcile(w, old, NULL, 0), 1);
    world_take_id(w, "one");
    assert_int_equal(w->step.taken[0].crashes, 1);
}

static void repair__of_a_sound_queue__does_nothing(void **state)
{
    world *w = *state;
    lq_op_repair op = {.op.kind = LQ_OP_REPAIR, .queue = LQ_STR(Q)};
    world_put_many(w, 3);
    assert_int_equal(world_take(w, 2), 2);
    assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
    assert_int_equal(op.leased, 0);
    assert_int_equal(op.dropped, 0);
    lq_op_release(&op.op);
}

/* ---- cancel -------------------------------------------------------------- */

static int cancel(world *w, const char *id, lunaq_state *was)
{
    lq_op_cancel op = {.op.kind = LQ_OP_CANCEL,
                       .queue = LQ_STR(Q),
                       .id = lq_str_c(id),
                       .reason = LQ_STR("canceled by ann: not needed")};
    int rc = world_call(w, &op.op);
    if (was)
        *was = op.was;
    lq_op_release(&op.op);
    return rc;
}

/* The task is archived, its message says why, and if an attempt ended with it
 * when; retried: how many attempts had failed before. */
static void assert_canceled(world *w, const char *id, bool ran, int retried)
{
    lq_op_task_get get;
    lq_task t;
    const lq_task_row *row = world_row(w, id, &get);
    assert_non_null(row);
    assert_int_equal(row->state, LUNAQ_ARCHIVED);
    assert_int_equal(lq_task_decode(&t, row->msg, NULL), LUNAQ_OK);
    assert_true(lq_str_eq(t.error_msg, LQ_STR("canceled by ann: not needed")));
    if (ran)
        assert_in_range(t.last_failed_s, lq_now_ms() / 1000 - 5,
                        lq_now_ms() / 1000 + 5);
    else
        assert_int_equal(t.last_failed_s, 0);
    assert_int_equal(t.retried, retried);
    assert_int_equal(row->crashes, 0);
    assert_true(lq_str_eq(t.id, lq_str_c(id)));
    assert_int_equal(t.timeout_s, 1800);
    lq_task_release(&t);
    lq_op_release(&get.op);
}

static void cancel__waiting__is_archived_with_the_reason(void **state)
{
    world *w = *state;
    lunaq_state was;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    world_put(w, "pending");
    t.task_id = "scheduled";
    t.process_in_ms = 60000;
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    t.task_id = "grouped";
    t.process_in_ms = 0;
    t.group = "g";
    assert_int_equal(world_put_task(w, &t, NULL), LUNAQ_OK);
    world_put(w, "crashed");
    assert_int_equal(world_take(w, 2), 2);
    assert_int_equal(world_end(w, LQ_CRASHED, "crashed"), LUNAQ_OK);
    assert_int_equal(world_end(w, LQ_REQUEUE, "pending"), LUNAQ_OK);
    world_put(w, "retry");
    assert_int_equal(world_take(w, 3), 3);
    assert_int_equal(world_end(w, LQ_RETRY_AT, "retry"), LUNAQ_OK);
    assert_int_equal(world_end(w, LQ_CRASHED, "crashed"), LUNAQ_OK);
    assert_int_equal(world_end(w, LQ_REQUEUE, "pending"), LUNAQ_OK);
    static const struct {
        const char *id;
        lunaq_state was;
        int retried;
    } rows[] = {{"pending", LUNAQ_PENDING, 0},
                {"crashed", LUNAQ_PENDING, 0},
                {"scheduled", LUNAQ_SCHEDULED, 0},
                {"retry", LUNAQ_RETRY, 1},
                {"grouped", LUNAQ_AGGREGATING, 0}};
    for (size_t i = 0; i < LQ_COUNT(rows); i++) {
        assert_int_equal(cancel(w, rows[i].id, &was), LUNAQ_OK);
        assert_int_equal(was, rows[i].was);
        assert_canceled(w, rows[i].id, false, rows[i].retried);
        assert_int_equal(cancel(w, rows[i].id, NULL), LUNAQ_ESTATE);
    }
    assert_int_equal(cancel(w, "nowhere", NULL), LUNAQ_ENOTFOUND);
    assert_int_equal(world_take(w, 5), 0);
}

static void cancel__active__its_holder_hears_of_it(void **state)
{
    world *w = *state;
    lunaq_state was;
    char why[100];
    lq_op_expired op;
    world_put(w, "one");
    take_ended(w);
    assert_int_equal(cancel(w, "one", &was), LUNAQ_OK);
    assert_int_equal(was, LUNAQ_ACTIVE);
    assert_int_equal(list_expired(w, &op), 1);
    assert_string_equal(op.items[0].cancel.p, "canceled by ann: not needed");
    lq_op_release(&op.op);
    assert_int_equal(extend_one(w, "one", w->token, why, sizeof(why)),
                     LUNAQ_OK);
    assert_string_equal(why, "canceled by ann: not needed");
    assert_int_equal(world_state(w, "one"), LUNAQ_ACTIVE);
}

static void cancel__active__archives_whatever_would_run_it_again(void **state)
{
    static const enum lq_outcome_kind kinds[] = {
        LQ_RETRY_AT, LQ_REQUEUE, LQ_SNOOZE, LQ_CRASHED, LQ_ARCHIVE};
    world *w = *state;
    for (size_t i = 0; i < LQ_COUNT(kinds); i++) {
        char id[16];
        snprintf(id, sizeof(id), "k%d", kinds[i]);
        world_put(w, id);
        world_take_id(w, id);
        assert_int_equal(cancel(w, id, NULL), LUNAQ_OK);
        assert_int_equal(world_end(w, kinds[i], id), LUNAQ_OK);
        assert_string_equal(w->canceled, "canceled by ann: not needed");
        /* This attempt and no more: the message of the archive counts one. */
        assert_canceled(w, id, true, kinds[i] == LQ_ARCHIVE ? 1 : 0);
    }
    world_put(w, "other");
    world_take_id(w, "other");
    assert_int_equal(world_end(w, LQ_ARCHIVE, "other"), LUNAQ_OK);
    assert_string_equal(w->canceled, "");
    assert_int_equal(world_take(w, 5), 0);
}

static void cancel__active_but_it_succeeds__is_done(void **state)
{
    world *w = *state;
    world_put(w, "one");
    world_take_id(w, "one");
    assert_int_equal(cancel(w, "one", NULL), LUNAQ_OK);
    assert_int_equal(world_end(w, LQ_DONE, "one"), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_STATE_ANY);
}

static void cancel__lost_with_its_holder__is_archived_by_reconcile(void **state)
{
    world *w = *state;
    world_put(w, "one");
    world_take_id(w, "one");
    assert_int_equal(cancel(w, "one", NULL), LUNAQ_OK);
    assert_int_equal(reconcile(w, w->token, NULL, 0), 1);
    assert_canceled(w, "one", false, 0);
}

static void cancel__then_run_by_hand__runs(void **state)
{
    world *w = *state;
    lq_op_move run = {.op.kind = LQ_OP_MOVE,
                      .queue = LQ_STR(Q),
                      .id = LQ_STR("one"),
                      .move = LUNAQ_MOVE_RUN};
    world_put(w, "one");
    assert_int_equal(cancel(w, "one", NULL), LUNAQ_OK);
    assert_int_equal(world_call(w, &run.op), LUNAQ_OK);
    lq_op_release(&run.op);
    world_take_id(w, "one");
    assert_int_equal(world_end(w, LQ_REQUEUE, "one"), LUNAQ_OK);
    assert_int_equal(world_state(w, "one"), LUNAQ_PENDING);
}

size_t suite_lease(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(token__drawn_twice__differs),
        WORLD_TEST(lease__carries_its_token_and_its_time),
        WORLD_TEST(end__with_another_token__changes_nothing),
        WORLD_TEST(expired__lists_only_what_has_ended),
        WORLD_TEST(expired__nothing_active__has_no_next),
        WORLD_TEST(expired__above_its_limit__is_due_again_at_once),
        WORLD_TEST(recover__by_score__gives_it_to_the_next),
        WORLD_TEST(recover__renewed_meanwhile__changes_nothing),
        WORLD_TEST(end__after_the_lease_ended__is_taken_while_the_token_fits),
        WORLD_TEST(extend__several__each_answers_for_itself),
        WORLD_TEST(reconcile__not_held__goes_back_in_order),
        WORLD_TEST(reconcile__taken_in_one_second__keeps_their_order),
        WORLD_TEST(reconcile__keeps_the_crash_count),
        WORLD_TEST(repair__of_a_sound_queue__does_nothing),
        WORLD_TEST(cancel__waiting__is_archived_with_the_reason),
        WORLD_TEST(cancel__active__its_holder_hears_of_it),
        WORLD_TEST(cancel__active__archives_whatever_would_run_it_again),
        WORLD_TEST(cancel__active_but_it_succeeds__is_done),
        WORLD_TEST(cancel__lost_with_its_holder__is_archived_by_reconcile),
        WORLD_TEST(cancel__then_run_by_hand__runs),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
