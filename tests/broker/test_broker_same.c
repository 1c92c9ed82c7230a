/* Both brokers give the same answers: random operations are carried out on a
 * Redis and on a queue file side by side, and everything that an operation says
 * and leaves behind is compared.
 *
 * LUNAQ_TEST_SEED chooses the run; a difference names its seed and the
 * operations that led to it.  Left out is what depends on the clock within a
 * second: the order in which tasks of one second come due. */
#include "inspect_world.h"

#include "base/clock.h"
#include "broker/group.h"
#include "broker/inspect.h"
#include "task/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define Q "q"
#define RUNS 12
#define STEPS 220
#define HISTORY 800
#define HOUR_MS 3600000

struct side {
    struct world w;
    uint32_t token;
    lq_buf said; /* of one operation */
};
static struct side sides[2] = {{.w.broker = &inspected_redis},
                               {.w.broker = &inspected_sqlite}};

static const char *const ids[] = {"a", "b", "c", "d", "e", "f", "x1", "x2"};
static const char *const groups[] = {"g", "h"};

/* What is done, the same on both sides. */
struct step {
    const struct act *act;
    uint32_t id, a, b, c; /* drawn */
    char set[8], old_set[8];
    const char *set_group, *old_group;
};

/* ---- saying what came out ------------------------------------------------ */

static void say_str(struct side *s, const char *name, lq_str v)
{
    lq_buf_printf(&s->said, " %s=", name);
    if (v.p)
        lq_buf_add_str(&s->said, v);
    else
        lq_buf_add_c(&s->said, "-");
}

static void say(struct side *s, const char *name, int64_t n)
{
    lq_buf_printf(&s->said, " %s=%lld", name, (long long)n);
}

static int call(struct side *s, lq_op *op, enum lq_op_kind kind)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_init(op, kind);
    int rc = lq_caller_call(s->w.caller, op, 20000, &err);
    if (rc == LUNAQ_EBROKER || rc == LUNAQ_EUNKNOWN || rc == LUNAQ_EPROTO ||
        rc == LUNAQ_EREPLY)
        fail_msg("%s: %s: %s", s->w.broker->name, lq_op_name(kind),
                 err.message);
    say(s, "rc", rc);
    return rc;
}

/* What a message says, without what the clock does. */
static void say_msg(struct side *s, lq_str msg)
{
    lq_task t = {0};
    if (lq_task_decode(&t, msg, NULL)) {
        say_str(s, "raw", msg);
    } else {
        say_str(s, "payload", t.payload);
        say(s, "retried", t.retried);
        say_str(s, "error", t.error_msg);
        say(s, "failed", t.last_failed_s > 0);
        say_str(s, "group", t.group_key);
    }
    lq_task_release(&t);
}

/* ---- acts ---------------------------------------------------------------- */

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
    t.task_id = ids[st->id];
    t.payload = st->b % 2 ? "one" : "two";
    t.payload_len = 3;
    t.unique_ms = st->a % 4 == 1 ? HOUR_MS : 0;
    t.group = st->a % 3 == 2 ? groups[st->b % 2] : NULL;
    t.process_in_ms = st->c % 4 == 0 ? HOUR_MS : 0;
    assert_int_equal(lq_enqueue_init(&e, &t, lq_now_ms(), NULL), 0);
    lq_op_enqueue op = {.items = items, .count = 1};
    call(s, &op.op, LQ_OP_ENQUEUE);
    say(s, "code", e.code);
    say(s, "delayed", e.delayed);
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
    call(s, &op.op, LQ_OP_STEP);
    say(s, "paused", queue.paused);
    say(s, "drained", queue.drained);
    for (size_t i = 0; i < op.taken_count; i++) {
        say_str(s, "id", op.taken[i].id);
        say(s, "crashes", op.taken[i].crashes);
        say_msg(s, op.taken[i].msg);
    }
    lq_op_release(&op.op);
}

static void settle_one(struct side *s, lq_outcome o)
{
    lq_outcome *list[] = {&o};
    lq_step_queue queue = {
        .name = LQ_STR(Q), .outcomes = list, .outcome_count = 1};
    lq_op_step op = {.queues = &queue, .queue_count = 1, .now_ms = lq_now_ms()};
    call(s, &op.op, LQ_OP_STEP);
    say(s, "code", o.code);
    say_str(s, "canceled", o.canceled);
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
    call(s, &get.op, LQ_OP_TASK_GET);
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
    bool there = fresh_msg(s, ids[st->id], kind == LQ_RETRY_AT, &msg, &lock);
    lq_outcome o = {.kind = kind,
                    .id = lq_str_c(ids[st->id]),
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
        const char *id = ids[(st->id + i) % LQ_COUNT(ids)];
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
    call(s, &op.op, LQ_OP_STEP);
    for (size_t i = 0; i < n; i++) {
        say(s, "code", o[i].code);
        say_str(s, "canceled", o[i].canceled);
        lq_buf_release(&msgs[i]);
        lq_buf_release(&locks[i]);
    }
    for (size_t i = 0; i < op.taken_count; i++)
        say_str(s, "id", op.taken[i].id);
    lq_op_release(&op.op);
}

static void peek(struct side *s, const struct step *st)
{
    lq_peek queue = {.queue = LQ_STR(Q)};
    lq_op_peek op = {.queues = &queue, .count = 1};
    (void)st;
    call(s, &op.op, LQ_OP_PEEK);
    say(s, "paused", queue.paused);
    say(s, "pending", queue.pending);
    say(s, "next", queue.next_ms < 0 ? -1 : queue.next_ms > 0);
    say(s, "groups", queue.groups > 0);
    lq_op_release(&op.op);
}

/* The ids of a state, in any order. */
static void list(struct side *s, const struct step *st)
{
    lq_str found[LQ_COUNT(ids)];
    lq_op_task_list op = {.queue = LQ_STR(Q),
                          .state = (lunaq_state)(st->a % 7 + 1),
                          .page_size = st->b % 3 ? 100 : 3,
                          .page = st->c % 4 ? 0 : 1};
    if (st->c % 3 == 0)
        op.group = lq_str_c(groups[st->id % 2]);
    call(s, &op.op, LQ_OP_TASK_LIST);
    say(s, "count", (int64_t)op.count);
    for (size_t i = 0; i < op.count; i++)
        found[i] = op.rows[i].id;
    if (op.page_size == 100 && op.count)
        qsort(found, op.count, sizeof *found, by_text);
    for (size_t i = 0; op.page_size == 100 && i < op.count; i++)
        say_str(s, "id", found[i]);
    lq_op_release(&op.op);
}

static void cron(struct side *s, const struct step *st)
{
    lq_enqueue e;
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = Q;
    t.task_id = ids[st->id];
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
    call(s, &op.op, LQ_OP_CRON_FIRE);
    say(s, "fired", op.fired);
    say(s, "back", op.set_back);
    say(s, "never", op.never);
    say(s, "last", op.last_ms);
    if (op.fired && op.item)
        say(s, "code", e.code);
    lq_op_release(&op.op);
    lq_enqueue_release(&e);
}

static void extend(struct side *s, const struct step *st)
{
    lq_extend_item item = {.id = lq_str_c(ids[st->id]), .token = s->token};
    lq_op_extend op = {.queue = LQ_STR(Q),
                       .items = &item,
                       .count = 1,
                       .lease_ms = st->a % 2 ? 30000 : -5000};
    call(s, &op.op, LQ_OP_EXTEND);
    say(s, "code", item.code);
    say_str(s, "cancel", item.cancel);
    lq_op_release(&op.op);
}

static void cancel(struct side *s, const struct step *st)
{
    lq_op_cancel op = {.queue = LQ_STR(Q),
                       .id = lq_str_c(ids[st->id]),
                       .reason = st->b % 4 ? LQ_STR("by ann") : LQ_STR(""),
                       .attempt = st->a % 4 == 0};
    call(s, &op.op, LQ_OP_CANCEL);
    say(s, "was", op.was);
    say_str(s, "err", lq_str_c(op.op.err.message));
    lq_op_release(&op.op);
}

static void move_one(struct side *s, const struct step *st)
{
    static const lunaq_move moves[] = {LUNAQ_MOVE_RUN, LUNAQ_MOVE_ARCHIVE,
                                       LUNAQ_MOVE_DELETE};
    lq_op_move op = {.queue = LQ_STR(Q),
                     .id = lq_str_c(ids[st->id]),
                     .move = moves[st->a % 3]};
    call(s, &op.op, LQ_OP_MOVE);
    say_str(s, "err", lq_str_c(op.op.err.message));
    lq_op_release(&op.op);
}

static void move_all(struct side *s, const struct step *st)
{
    lq_op_move_all op = {.queue = LQ_STR(Q),
                         .state = (lunaq_state)(st->a % 7 + 1),
                         .move = st->b % 2 ? LUNAQ_MOVE_ARCHIVE
                                           : LUNAQ_MOVE_DELETE};
    if (st->c % 2)
        op.group = lq_str_c(groups[st->c / 2 % 2]);
    if (st->c % 5 == 0)
        op.type = LQ_STR("other");
    call(s, &op.op, LQ_OP_MOVE_ALL);
    say(s, "moved", op.moved);
    say(s, "left", op.left);
    say(s, "skip", op.skip);
    say(s, "more", op.more);
    lq_op_release(&op.op);
}

static void update(struct side *s, const struct step *st)
{
    lq_op_update op = {.queue = LQ_STR(Q),
                       .id = lq_str_c(ids[st->id]),
                       .payload = st->a % 3 ? LQ_STR("new") : LQ_STR("")};
    call(s, &op.op, LQ_OP_UPDATE);
    say_str(s, "err", lq_str_c(op.op.err.message));
    lq_op_release(&op.op);
}

static void result(struct side *s, const struct step *st)
{
    lq_op_result op = {.queue = LQ_STR(Q),
                       .id = lq_str_c(ids[st->id]),
                       .token = st->a % 4 ? s->token : s->token % 1000 + 1,
                       .data = LQ_STR("half")};
    call(s, &op.op, LQ_OP_RESULT);
    lq_op_release(&op.op);
}

/* One of them is lost. */
static void reconcile(struct side *s, const struct step *st)
{
    lq_str held[LQ_COUNT(ids)];
    lq_op_reconcile op = {
        .queue = LQ_STR(Q), .old_token = s->token, .held = held};
    for (size_t i = 0; i < LQ_COUNT(ids); i++)
        if (i != st->id)
            held[op.held_count++] = lq_str_c(ids[i]);
    call(s, &op.op, LQ_OP_RECONCILE);
    say(s, "returned", op.returned);
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
    call(s, &op.op, LQ_OP_EXPIRED);
    if (op.count)
        qsort(op.items, op.count, sizeof *op.items, by_id);
    for (size_t i = 0; i < op.count; i++) {
        say_str(s, "id", op.items[i].id);
        say(s, "ours", op.items[i].token == s->token);
        say(s, "crashes", op.items[i].crashes);
        say_str(s, "cancel", op.items[i].cancel);
        say_msg(s, op.items[i].msg);
    }
    say(s, "next", op.next_ms < 0 ? -1 : op.next_ms > 0);
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
    call(s, &op.op, LQ_OP_GROUP_TAKE);
    if (op.count)
        qsort(op.ids, op.count, sizeof *op.ids, by_text);
    for (size_t i = 0; i < op.count; i++)
        say_str(s, "id", op.ids[i]);
    say(s, "left", op.left);
    lq_op_release(&op.op);
}

static void group_finish(struct side *s, const struct step *st)
{
    lq_enqueue e, *items[] = {&e};
    const lq_str alone[] = {lq_str_c(ids[st->b % LQ_COUNT(ids)])};
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "batch";
    t.queue = Q;
    t.task_id = ids[st->id];
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
    int rc = call(s, &op.op, LQ_OP_GROUP_FINISH);
    if (op.count && rc != LUNAQ_ELEASE)
        say(s, "code", e.code);
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
    call(s, &op.op, LQ_OP_GROUP_BACK);
    lq_op_release(&op.op);
}

static void group_extend(struct side *s, const struct step *st)
{
    lq_op_group_extend op = {.queue = LQ_STR(Q),
                             .group = lq_str_c(st->old_group),
                             .set_id = lq_str_c(st->old_set),
                             .ttl_ms = st->a % 2 ? HOUR_MS : -5000};
    call(s, &op.op, LQ_OP_GROUP_EXTEND);
    lq_op_release(&op.op);
}

static void group_reclaim(struct side *s, const struct step *st)
{
    lq_op_group_reclaim op = {.queue = LQ_STR(Q)};
    (void)st;
    call(s, &op.op, LQ_OP_GROUP_RECLAIM);
    say(s, "sets", op.sets);
    say(s, "tasks", op.tasks);
    lq_op_release(&op.op);
}

static void pause_or_resume(struct side *s, const struct step *st)
{
    lq_op_queue_pause op = {.queue = LQ_STR(Q), .pause = st->a % 3 == 0};
    call(s, &op.op, LQ_OP_QUEUE_PAUSE);
    say_str(s, "err", lq_str_c(op.op.err.message));
    lq_op_release(&op.op);
}

static void upkeep(struct side *s, const struct step *st)
{
    lq_op_clean clean = {.queue = LQ_STR(Q)};
    lq_op_forward forward = {.queue = LQ_STR(Q)};
    lq_op_repair repair = {.queue = LQ_STR(Q)};
    (void)st;
    call(s, &clean.op, LQ_OP_CLEAN);
    say(s, "deleted", clean.deleted);
    say(s, "dropped", clean.dropped);
    call(s, &forward.op, LQ_OP_FORWARD);
    say(s, "moved", forward.moved);
    say(s, "next", forward.next_ms < 0 ? -1 : forward.next_ms > 0);
    call(s, &repair.op, LQ_OP_REPAIR);
    say(s, "leased", repair.leased);
    say(s, "gone", repair.dropped);
    lq_op_release(&clean.op);
    lq_op_release(&forward.op);
    lq_op_release(&repair.op);
}

static const struct act {
    const char *name;
    void (*run)(struct side *s, const struct step *st);
    uint32_t weight;
} acts[] = {{"enqueue", enqueue, 9},
            {"take", take, 6},
            {"settle", settle, 8},
            {"settle many", settle_many, 5},
            {"peek", peek, 1},
            {"list", list, 2},
            {"cron", cron, 2},
            {"extend", extend, 2},
            {"cancel", cancel, 4},
            {"move", move_one, 5},
            {"move all", move_all, 1},
            {"update", update, 2},
            {"result", result, 1},
            {"reconcile", reconcile, 1},
            {"recover", recover, 3},
            {"group take", group_take, 4},
            {"group finish", group_finish, 3},
            {"group back", group_back, 2},
            {"group extend", group_extend, 1},
            {"group reclaim", group_reclaim, 2},
            {"pause", pause_or_resume, 1},
            {"upkeep", upkeep, 1}};

/* ---- all that there is --------------------------------------------------- */

static void look_tasks(struct side *s)
{
    static const lq_str queue = {Q, sizeof(Q) - 1};
    for (size_t i = 0; i < LQ_COUNT(ids); i++) {
        lq_op_task_get get = {
            .queues = &queue, .queue_count = 1, .id = lq_str_c(ids[i])};
        call(s, &get.op, LQ_OP_TASK_GET);
        if (get.count) {
            const lq_task_row *r = &get.rows[0];
            lq_buf_printf(&s->said, "\n  %s %s", ids[i],
                          lunaq_state_name(r->state));
            say(s, "crashes", r->crashes);
            say_str(s, "cancel", r->cancel);
            say_str(s, "result", r->result);
            say(s, "since", r->since_ms > 0);
            say(s, "at", r->at_ms > 0 && r->state != LUNAQ_AGGREGATING);
            say(s, "lock", r->lock_ms > 0);
            say_msg(s, r->msg);
        }
        lq_op_release(&get.op);
    }
}

static void look_queue(struct side *s)
{
    lq_op_task_list list = {
        .queue = LQ_STR(Q), .state = LUNAQ_PENDING, .page_size = 100};
    call(s, &list.op, LQ_OP_TASK_LIST);
    lq_buf_add_c(&s->said, "\n  line:");
    for (size_t i = 0; i < list.count; i++)
        say_str(s, "id", list.rows[i].id);
    lq_op_release(&list.op);

    lq_op_queue_stats stats = {.queue = LQ_STR(Q), .now_ms = lq_now_ms()};
    if (call(s, &stats.op, LQ_OP_QUEUE_STATS) == LUNAQ_OK) {
        const lunaq_queue_info *i = &stats.info;
        const int64_t numbers[] = {
            i->pending,      i->active,        i->scheduled,
            i->retry,        i->archived,      i->completed,
            i->groups,       i->aggregating,   i->processed_total,
            i->failed_total, i->dropped_total, i->processed_today,
            i->failed_today, i->paused_at > 0, i->archive_max};
        for (size_t k = 0; k < LQ_COUNT(numbers); k++)
            lq_buf_printf(&s->said, " %lld", (long long)numbers[k]);
    }
    lq_op_release(&stats.op);
}

static void look_groups(struct side *s)
{
    lq_op_groups op = {.queue = LQ_STR(Q)};
    int64_t sets = 0;
    call(s, &op.op, LQ_OP_GROUPS);
    for (size_t i = 0; i < op.set_count; i++)
        sets += op.sets[i].size * 100 + 1;
    say(s, "sets", sets);
    for (size_t g = 0; g < LQ_COUNT(groups); g++)
        for (size_t i = 0; i < op.count; i++)
            if (lq_str_eq(op.rows[i].name, lq_str_c(groups[g]))) {
                say_str(s, "\n  group", op.rows[i].name);
                say(s, "size", op.rows[i].size);
                say(s, "failures", op.rows[i].failures);
                say(s, "waits", op.rows[i].retry_ms > 0);
                say_str(s, "error",
                        op.rows[i].error.len ? op.rows[i].error : (lq_str){0});
            }
    lq_op_release(&op.op);
}

/* ---- runs ---------------------------------------------------------------- */

static uint32_t draw(uint64_t *seed, uint32_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*seed >> 33) % n);
}

static const struct act *draw_act(uint64_t *seed)
{
    uint32_t all = 0;
    for (size_t i = 0; i < LQ_COUNT(acts); i++)
        all += acts[i].weight;
    uint32_t n = draw(seed, all);
    size_t i = 0;
    for (; n >= acts[i].weight; i++)
        n -= acts[i].weight;
    return &acts[i];
}

static void open_side(struct side *s)
{
    static const struct step first = {.a = 0};
    lq_op_token op = {.server_id = LQ_STR("server")};
    s->w.broker->wipe(&s->w);
    assert_int_equal(s->w.broker->open(&s->w, &s->w.caller), 0);
    lq_buf_init(&s->said, 0);
    call(s, &op.op, LQ_OP_TOKEN);
    s->token = op.token;
    lq_op_release(&op.op);
    enqueue(s, &first); /* a tick alone does not make a queue known in Redis */
}

static void close_side(struct side *s)
{
    lq_caller_close(s->w.caller);
    lq_buf_release(&s->said);
}

/* The lines that differ.  (Changes both.) */
static void print_difference(char *a, char *b)
{
    while (a && b) {
        const char *x = strsep(&a, "\n"), *y = strsep(&b, "\n");
        if (strcmp(x, y) != 0)
            print_error("redis: %s\nsqlite:%s\n", x, y);
    }
}

/* The last of what was done. */
static void note(char history[HISTORY], const struct step *st)
{
    size_t len = strlen(history);
    if (len > HISTORY - 100) {
        memmove(history, history + HISTORY / 2, len - HISTORY / 2 + 1);
        len -= HISTORY / 2;
    }
    snprintf(history + len, HISTORY - len, "%s %s %u %u %u; ", st->act->name,
             ids[st->id], st->a, st->b, st->c);
}

static void run(uint64_t seed)
{
    uint64_t state = seed;
    struct step last = {.old_group = "g", .set_group = "g"};
    int sets = 0;
    char history[HISTORY] = "";
    for (size_t i = 0; i < 2; i++)
        open_side(&sides[i]);
    for (int n = 0; n < STEPS; n++) {
        struct step st = {.act = draw_act(&state),
                          .id = draw(&state, LQ_COUNT(ids)),
                          .a = draw(&state, 840),
                          .b = draw(&state, 840),
                          .c = draw(&state, 840),
                          .old_group = last.old_group,
                          .set_group = groups[draw(&state, 2)]};
        memcpy(st.old_set, last.old_set, sizeof st.old_set);
        snprintf(st.set, sizeof st.set, "s%d", ++sets % 100000);
        note(history, &st);
        for (size_t i = 0; i < 2; i++) {
            struct side *s = &sides[i];
            lq_buf_clear(&s->said);
            st.act->run(s, &st);
            look_tasks(s);
            look_queue(s);
            look_groups(s);
            assert_false(s->said.failed);
        }
        if (strcmp(sides[0].said.p, sides[1].said.p) != 0) {
            print_error("…%s\n", history);
            print_difference(sides[0].said.p, sides[1].said.p);
            fail_msg("LUNAQ_TEST_SEED=%llu, step %d: %s",
                     (unsigned long long)seed, n, st.act->name);
        }
        if (st.act->run == group_take) {
            memcpy(last.old_set, st.set, sizeof st.set);
            last.old_group = st.set_group;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        assert_sound(&sides[i].w, Q);
        close_side(&sides[i]);
    }
}

static void random_operations__on_both__say_and_leave_the_same(void **state)
{
    const char *text = getenv("LUNAQ_TEST_SEED");
    (void)state;
    if (text) {
        run(strtoull(text, NULL, 10));
        return;
    }
    for (int i = 0; i < RUNS; i++)
        run(lq_random(1000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations__on_both__say_and_leave_the_same)};
    if (sides[0].w.broker->start(&sides[0].w) != 0)
        return 77; /* no Redis here: skipped */
    int failed = sides[1].w.broker->start(&sides[1].w);
    if (!failed)
        failed = cmocka_run_group_tests_name("broker_same", tests, NULL, NULL);
    for (size_t i = 0; i < 2; i++)
        sides[i].w.broker->stop(&sides[i].w);
    return failed;
}
