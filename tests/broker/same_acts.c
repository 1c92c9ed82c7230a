/* What is done to two brokers alike: an operation each, made of what was
 * drawn, and everything that it says. */
#include "same.h"

#include "base/clock.h"
#include "broker/group.h"
#include "broker/inspect.h"
#include "task/codec.h"

#include <stdlib.h>
#include <string.h>

#define HOUR_MS 3600000

const char *const same_ids[IDS] = {"a", "b", "c", "d", "e", "f", "x1", "x2"};
const char *const same_groups[GROUPS] = {"g", "h"};

static int by_text(const void *a, const void *b)
{
    return strcmp(((const lq_str *)a)->p, ((const lq_str *)b)->p);
}

static void enqueue(struct side *s, const struct step *st)
{
    lq_enqueue e, *items[] = {&e};
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = same_ids[st->id];
    t.payload = st->b % 2 ? "one" : "two";
    t.payload_len = 3;
    t.unique_ms = st->a % 4 == 1 ? HOUR_MS : 0;
    t.group = st->a % 3 == 2 ? same_groups[st->b % 2] : NULL;
    t.process_in_ms = st->c % 4 == 0 ? HOUR_MS : 0;
    assert_int_equal(lq_enqueue_init(&e, &t, lq_now_ms(), NULL), 0);
    lq_op_enqueue op = {.items = items, .count = 1};
    side_call(s, &op.op, LQ_OP_ENQUEUE);
    side_say(s, "code", e.code);
    side_say(s, "delayed", e.delayed);
    lq_op_release(&op.op);
    lq_enqueue_release(&e);
}

static void take(struct side *s, const struct step *st)
{
    lq_step_queue queue = {.name = LQ_STR(Q), .want = st->a % 3 + 1};
    lq_op_step op = {.queues = &queue,
                     .queue_count = 1,
                     .free = st->a % 3 + 1,
                     .token = s->token,
                     .lease_ms = st->c % 4 ? 30000 : -5000,
                     .now_ms = lq_now_ms()};
    side_call(s, &op.op, LQ_OP_STEP);
    side_say(s, "paused", queue.paused);
    side_say(s, "drained", queue.drained);
    for (size_t i = 0; i < op.taken_count; i++) {
        side_say_str(s, "id", op.taken[i].id);
        side_say(s, "crashes", op.taken[i].crashes);
        side_say_msg(s, op.taken[i].msg);
    }
    lq_op_release(&op.op);
}

static void settle_one(struct side *s, lq_outcome o)
{
    lq_outcome *list[] = {&o};
    lq_step_queue queue = {
        .name = LQ_STR(Q), .outcomes = list, .outcome_count = 1};
    lq_op_step op = {.queues = &queue, .queue_count = 1, .now_ms = lq_now_ms()};
    side_call(s, &op.op, LQ_OP_STEP);
    side_say(s, "code", o.code);
    side_say_str(s, "canceled", o.canceled);
    lq_op_release(&op.op);
}

/* The message that a run of the task would write. */
static bool fresh_msg(struct side *s, const char *id, bool failed, lq_buf *msg,
                      lq_buf *lock)
{
    static const lq_str queue = {Q, sizeof(Q) - 1};
    lq_op_task_get get = {
        .queues = &queue, .queue_count = 1, .id = lq_str_c(id)};
    lq_task t = {0};
    side_call(s, &get.op, LQ_OP_TASK_GET);
    bool there = get.count && !lq_task_decode(&t, get.rows[0].msg, NULL);
    if (there) {
        t.retried += failed;
        t.error_msg = LQ_STR("it failed");
        t.last_failed_s = 1700000000;
        lq_task_encode(msg, &t);
        lq_buf_add_str(lock, t.unique_key);
    }
    lq_task_release(&t);
    lq_op_release(&get.op);
    return there;
}

static void settle(struct side *s, const struct step *st)
{
    enum lq_outcome_kind kind = (enum lq_outcome_kind)(st->a % 8 + 1);
    lq_buf msg, lock;
    lq_buf_init(&msg, 0);
    lq_buf_init(&lock, 0);
    bool writes =
        kind == LQ_COMPLETE || kind == LQ_RETRY_AT || kind == LQ_ARCHIVE;
    bool there =
        fresh_msg(s, same_ids[st->id], kind == LQ_RETRY_AT, &msg, &lock);
    lq_outcome o = {.kind = kind,
                    .id = lq_str_c(same_ids[st->id]),
                    .token = st->b % 8 ? s->token : s->token % 1000 + 1,
                    .delay_ms = HOUR_MS,
                    .retention_s = 3600,
                    .is_failure = true,
                    .keep_crashes = st->c % 3 == 0,
                    .from_tail = st->c % 2};
    if (there && lock.len)
        o.unique_key = lq_buf_str(&lock);
    if (there && writes)
        o.msg = lq_buf_str(&msg);
    if (kind == LQ_COMPLETE && st->c % 2)
        o.result = LQ_STR("42");
    if (there || !writes)
        settle_one(s, o);
    lq_buf_release(&msg);
    lq_buf_release(&lock);
}

/* Many at once, some of them not ours, some twice, and others taken in the same
 * move. */
static void settle_many(struct side *s, const struct step *st)
{
    enum { MOST = 10 };
    lq_outcome o[MOST], *list[MOST];
    lq_buf msgs[MOST], locks[MOST];
    size_t n = 0, wanted = st->c % (MOST - 1) + 2;
    for (size_t i = 0; i < wanted; i++) {
        enum lq_outcome_kind kind =
            (enum lq_outcome_kind)((st->a + i * st->b) % 8 + 1);
        const char *id = same_ids[(st->id + i) % IDS];
        lq_buf_init(&msgs[n], 0);
        lq_buf_init(&locks[n], 0);
        bool there = fresh_msg(s, id, kind == LQ_RETRY_AT, &msgs[n], &locks[n]);
        if (!there)
            continue;
        o[n] = (lq_outcome){.kind = kind,
                            .id = lq_str_c(id),
                            .token = (st->b + i) % 9 ? s->token
                                                     : s->token % 1000 + 1,
                            .unique_key = lq_buf_str(&locks[n]),
                            .delay_ms = HOUR_MS,
                            .retention_s = 3600,
                            .is_failure = i % 2,
                            .from_tail = st->a % 2};
        if (kind == LQ_COMPLETE || kind == LQ_RETRY_AT || kind == LQ_ARCHIVE)
            o[n].msg = lq_buf_str(&msgs[n]);
        list[n] = &o[n];
        n++;
    }
    lq_step_queue queue = {
        .name = LQ_STR(Q), .outcomes = list, .outcome_count = n};
    lq_op_step op = {.queues = &queue,
                     .queue_count = 1,
                     .free = st->a % 4,
                     .token = s->token,
                     .lease_ms = 30000,
                     .now_ms = lq_now_ms()};
    side_call(s, &op.op, LQ_OP_STEP);
    for (size_t i = 0; i < n; i++) {
        side_say(s, "code", o[i].code);
        side_say_str(s, "canceled", o[i].canceled);
        lq_buf_release(&msgs[i]);
        lq_buf_release(&locks[i]);
    }
    for (size_t i = 0; i < op.taken_count; i++)
        side_say_str(s, "id", op.taken[i].id);
    lq_op_release(&op.op);
}

static void peek(struct side *s, const struct step *st)
{
    lq_peek queue = {.queue = LQ_STR(Q)};
    lq_op_peek op = {.queues = &queue, .count = 1};
    (void)st;
    side_call(s, &op.op, LQ_OP_PEEK);
    side_say(s, "paused", queue.paused);
    side_say(s, "pending", queue.pending);
    side_say(s, "next", queue.next_ms < 0 ? -1 : queue.next_ms > 0);
    side_say(s, "groups", queue.groups > 0);
    lq_op_release(&op.op);
}

/* The ids of a state, in any order. */
static void list(struct side *s, const struct step *st)
{
    lq_str found[IDS];
    lq_op_task_list op = {.queue = LQ_STR(Q),
                          .state = (lunaq_state)(st->a % 7 + 1),
                          .page_size = st->b % 3 ? 100 : 3,
                          .page = st->c % 4 ? 0 : 1};
    if (st->c % 3 == 0)
        op.group = lq_str_c(same_groups[st->id % 2]);
    side_call(s, &op.op, LQ_OP_TASK_LIST);
    side_say(s, "count", (int64_t)op.count);
    for (size_t i = 0; i < op.count; i++)
        found[i] = op.rows[i].id;
    if (op.page_size == 100 && op.count)
        qsort(found, op.count, sizeof *found, by_text);
    for (size_t i = 0; op.page_size == 100 && i < op.count; i++)
        side_say_str(s, "id", found[i]);
    lq_op_release(&op.op);
}

static void cron(struct side *s, const struct step *st)
{
    lq_enqueue e;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = same_ids[st->id];
    t.unique_ms = st->a % 4 ? 0 : HOUR_MS;
    assert_int_equal(lq_enqueue_init(&e, &t, lq_now_ms(), NULL), 0);
    lq_op_cron_fire op = {.queue = LQ_STR(Q),
                          .entry_id = LQ_STR("t|@hourly"),
                          .instant_ms = 1700000000000 + st->b * INT64_C(1000)};
    if (st->c % 3 == 0)
        op.first_ms = 1700000000000 + st->a * INT64_C(1000);
    if (st->c % 5 == 0)
        op.latest_ms = 1700000000000 + st->b * INT64_C(1000);
    else if (st->c % 5 == 1)
        op.skip = true;
    else
        op.item = &e;
    side_call(s, &op.op, LQ_OP_CRON_FIRE);
    side_say(s, "fired", op.fired);
    side_say(s, "back", op.set_back);
    side_say(s, "never", op.never);
    side_say(s, "last", op.last_ms);
    if (op.fired && op.item)
        side_say(s, "code", e.code);
    lq_op_release(&op.op);
    lq_enqueue_release(&e);
}

static void extend(struct side *s, const struct step *st)
{
    lq_extend_item item = {.id = lq_str_c(same_ids[st->id]), .token = s->token};
    lq_op_extend op = {.queue = LQ_STR(Q),
                       .items = &item,
                       .count = 1,
                       .lease_ms = st->a % 2 ? 30000 : -5000};
    side_call(s, &op.op, LQ_OP_EXTEND);
    side_say(s, "code", item.code);
    side_say_str(s, "cancel", item.cancel);
    lq_op_release(&op.op);
}

static void cancel(struct side *s, const struct step *st)
{
    lq_op_cancel op = {.queue = LQ_STR(Q),
                       .id = lq_str_c(same_ids[st->id]),
                       .reason = st->b % 4 ? LQ_STR("by ann") : LQ_STR(""),
                       .attempt = st->a % 4 == 0};
    side_call(s, &op.op, LQ_OP_CANCEL);
    side_say(s, "was", op.was);
    side_say_str(s, "err", lq_str_c(op.op.err.message));
    lq_op_release(&op.op);
}

static void move_one(struct side *s, const struct step *st)
{
    static const lunaq_move moves[] = {LUNAQ_MOVE_RUN, LUNAQ_MOVE_ARCHIVE,
                                       LUNAQ_MOVE_DELETE};
    lq_op_move op = {.queue = LQ_STR(Q),
                     .id = lq_str_c(same_ids[st->id]),
                     .move = moves[st->a % 3]};
    side_call(s, &op.op, LQ_OP_MOVE);
    side_say_str(s, "err", lq_str_c(op.op.err.message));
    lq_op_release(&op.op);
}

static void move_all(struct side *s, const struct step *st)
{
    lq_op_move_all op = {.queue = LQ_STR(Q),
                         .state = (lunaq_state)(st->a % 7 + 1),
                         .move = st->b % 2 ? LUNAQ_MOVE_ARCHIVE
                                           : LUNAQ_MOVE_DELETE};
    if (st->c % 2)
        op.group = lq_str_c(same_groups[st->c / 2 % 2]);
    if (st->c % 5 == 0)
        op.type = LQ_STR("other");
    side_call(s, &op.op, LQ_OP_MOVE_ALL);
    side_say(s, "moved", op.moved);
    side_say(s, "left", op.left);
    side_say(s, "skip", op.skip);
    side_say(s, "more", op.more);
    lq_op_release(&op.op);
}

static void update(struct side *s, const struct step *st)
{
    lq_op_update op = {.queue = LQ_STR(Q),
                       .id = lq_str_c(same_ids[st->id]),
                       .payload = st->a % 3 ? LQ_STR("new") : LQ_STR("")};
    side_call(s, &op.op, LQ_OP_UPDATE);
    side_say_str(s, "err", lq_str_c(op.op.err.message));
    lq_op_release(&op.op);
}

static void result(struct side *s, const struct step *st)
{
    lq_op_result op = {.queue = LQ_STR(Q),
                       .id = lq_str_c(same_ids[st->id]),
                       .token = st->a % 4 ? s->token : s->token % 1000 + 1,
                       .data = LQ_STR("half")};
    side_call(s, &op.op, LQ_OP_RESULT);
    lq_op_release(&op.op);
}

/* One of them is lost. */
static void reconcile(struct side *s, const struct step *st)
{
    lq_str held[IDS];
    lq_op_reconcile op = {
        .queue = LQ_STR(Q), .old_token = s->token, .held = held};
    for (size_t i = 0; i < IDS; i++)
        if (i != st->id)
            held[op.held_count++] = lq_str_c(same_ids[i]);
    side_call(s, &op.op, LQ_OP_RECONCILE);
    side_say(s, "returned", op.returned);
    lq_op_release(&op.op);
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const lq_expired *)a)->id.p, ((const lq_expired *)b)->id.p);
}

static void recover(struct side *s, const struct step *st)
{
    static const enum lq_outcome_kind kinds[] = {LQ_CRASHED, LQ_REQUEUE};
    lq_op_expired op = {.queue = LQ_STR(Q), .limit = 100};
    side_call(s, &op.op, LQ_OP_EXPIRED);
    if (op.count)
        qsort(op.items, op.count, sizeof *op.items, by_id);
    for (size_t i = 0; i < op.count; i++) {
        side_say_str(s, "id", op.items[i].id);
        side_say(s, "ours", op.items[i].token == s->token);
        side_say(s, "crashes", op.items[i].crashes);
        side_say_str(s, "cancel", op.items[i].cancel);
        side_say_msg(s, op.items[i].msg);
    }
    side_say(s, "next", op.next_ms < 0 ? -1 : op.next_ms > 0);
    if (op.count > 0) {
        lq_outcome o = {.kind = kinds[st->a % 2],
                        .id = op.items[0].id,
                        .score = op.items[0].score};
        settle_one(s, o);
        settle_one(s, o); /* too late */
    }
    lq_op_release(&op.op);
}

static void group_take(struct side *s, const struct step *st)
{
    lq_op_group_take op = {.queue = LQ_STR(Q),
                           .group = lq_str_c(st->set_group),
                           .set_id = lq_str_c(st->set),
                           .rule = {.grace_ms = st->a % 5 ? 0 : HOUR_MS},
                           .ttl_ms = st->b % 3 ? HOUR_MS : -5000};
    side_call(s, &op.op, LQ_OP_GROUP_TAKE);
    if (op.count)
        qsort(op.ids, op.count, sizeof *op.ids, by_text);
    for (size_t i = 0; i < op.count; i++)
        side_say_str(s, "id", op.ids[i]);
    side_say(s, "left", op.left);
    lq_op_release(&op.op);
}

static void group_finish(struct side *s, const struct step *st)
{
    lq_enqueue e, *items[] = {&e};
    const lq_str alone[] = {lq_str_c(same_ids[st->b % IDS])};
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "batch";
    t.queue = Q;
    t.task_id = same_ids[st->id];
    t.unique_ms = st->a % 3 ? 0 : HOUR_MS;
    t.payload = "one";
    t.payload_len = 3;
    assert_int_equal(lq_enqueue_init(&e, &t, lq_now_ms(), NULL), 0);
    lq_op_group_finish op = {.queue = LQ_STR(Q),
                             .group = lq_str_c(st->old_group),
                             .set_id = lq_str_c(st->old_set),
                             .items = items,
                             .count = st->c % 4 ? 1 : 0,
                             .alone = alone,
                             .alone_count = st->c % 2,
                             .now_ms = lq_now_ms()};
    int rc = side_call(s, &op.op, LQ_OP_GROUP_FINISH);
    if (op.count && rc != LUNAQ_ELEASE)
        side_say(s, "code", e.code);
    lq_op_release(&op.op);
    lq_enqueue_release(&e);
}

static void group_back(struct side *s, const struct step *st)
{
    lq_op_group_back op = {.queue = LQ_STR(Q),
                           .group = lq_str_c(st->old_group),
                           .set_id = lq_str_c(st->old_set),
                           .retry_ms = st->b % 2 ? HOUR_MS : 0};
    if (st->a % 3)
        op.error = LQ_STR("it failed");
    side_call(s, &op.op, LQ_OP_GROUP_BACK);
    lq_op_release(&op.op);
}

static void group_extend(struct side *s, const struct step *st)
{
    lq_op_group_extend op = {.queue = LQ_STR(Q),
                             .group = lq_str_c(st->old_group),
                             .set_id = lq_str_c(st->old_set),
                             .ttl_ms = st->a % 2 ? HOUR_MS : -5000};
    side_call(s, &op.op, LQ_OP_GROUP_EXTEND);
    lq_op_release(&op.op);
}

static void group_reclaim(struct side *s, const struct step *st)
{
    lq_op_group_reclaim op = {.queue = LQ_STR(Q)};
    (void)st;
    side_call(s, &op.op, LQ_OP_GROUP_RECLAIM);
    side_say(s, "sets", op.sets);
    side_say(s, "tasks", op.tasks);
    lq_op_release(&op.op);
}

static void pause_or_resume(struct side *s, const struct step *st)
{
    lq_op_queue_pause op = {.queue = LQ_STR(Q), .pause = st->a % 3 == 0};
    side_call(s, &op.op, LQ_OP_QUEUE_PAUSE);
    side_say_str(s, "err", lq_str_c(op.op.err.message));
    lq_op_release(&op.op);
}

static void upkeep(struct side *s, const struct step *st)
{
    lq_op_clean clean = {.queue = LQ_STR(Q)};
    lq_op_forward forward = {.queue = LQ_STR(Q)};
    lq_op_repair repair = {.queue = LQ_STR(Q)};
    (void)st;
    side_call(s, &clean.op, LQ_OP_CLEAN);
    side_say(s, "deleted", clean.deleted);
    side_say(s, "dropped", clean.dropped);
    side_call(s, &forward.op, LQ_OP_FORWARD);
    side_say(s, "moved", forward.moved);
    side_say(s, "next", forward.next_ms < 0 ? -1 : forward.next_ms > 0);
    side_call(s, &repair.op, LQ_OP_REPAIR);
    side_say(s, "leased", repair.leased);
    side_say(s, "gone", repair.dropped);
    lq_op_release(&clean.op);
    lq_op_release(&forward.op);
    lq_op_release(&repair.op);
}

const struct act *same_acts(size_t *count)
{
    static const struct act acts[] = {
        {"enqueue", enqueue, 9, false},
        {"take", take, 6, false},
        {"settle", settle, 8, false},
        {"settle many", settle_many, 5, false},
        {"peek", peek, 1, false},
        {"list", list, 2, false},
        {"cron", cron, 2, false},
        {"extend", extend, 2, false},
        {"cancel", cancel, 4, false},
        {"move", move_one, 5, false},
        {"move all", move_all, 1, false},
        {"update", update, 2, false},
        {"result", result, 1, false},
        {"reconcile", reconcile, 1, false},
        {"recover", recover, 3, false},
        {"group take", group_take, 4, true},
        {"group finish", group_finish, 3, false},
        {"group back", group_back, 2, false},
        {"group extend", group_extend, 1, false},
        {"group reclaim", group_reclaim, 2, false},
        {"pause", pause_or_resume, 1, false},
        {"upkeep", upkeep, 1, false}};
    *count = LQ_COUNT(acts);
    return acts;
}
