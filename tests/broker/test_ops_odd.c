/* Every operation without a server: whatever a server may answer, no reply
 * makes it crash, leak or end without a word.  (What inspectors ask, one by
 * one: test_inspect_odd.c.) */
#include "support/test.h"

#include "base/clock.h"
#include "broker/archived.h"
#include "broker/check.h"
#include "broker/copy.h"
#include "broker/diagnose.h"
#include "broker/group.h"
#include "broker/inspect.h"
#include "broker/order.h"
#include "broker/place.h"
#include "redis/cluster_rows.h"
#include "redis/ops.h"

#include <hiredis.h>
#include <stdio.h>
#include <string.h>

/* ---- operations with plausible arguments --------------------------------- */

#define S(text)                                                                \
    {                                                                          \
        (text), sizeof(text) - 1                                               \
    }
#define OP(k) .op = {.kind = LQ_OP_##k}

static lq_outcome outcomes[] = {
    {.kind = LQ_DONE, .id = S("a"), .token = 5},
    {.kind = LQ_RETRY_AT, .id = S("b"), .token = 5, .msg = S("m")}};
static lq_outcome *outcome_list[] = {&outcomes[0], &outcomes[1]};
static lq_step_queue queues[] = {{.name = S("q"),
                                  .want = 1,
                                  .outcomes = outcome_list,
                                  .outcome_count = LQ_COUNT(outcome_list)},
                                 {.name = S("other"), .want = 2}};
static lq_enqueue enqueued[2], *items[] = {&enqueued[0], &enqueued[1]};
static lq_extend_item extended[] = {{.id = S("a"), .token = 5},
                                    {.id = S("b"), .token = 5}};
static lq_peek peeked[] = {{.queue = S("q")}, {.queue = S("other")}};
static const uint32_t tokens[] = {5, 6};
static const lq_str names[] = {S("a"), S("b")};
static lq_op_step taken = {OP(STEP),  .queues = &queues[1], .queue_count = 1,
                           .free = 2, .token = 5,           .lease_ms = 30000};
static lq_copy copies[] = {
    {.state = LUNAQ_PENDING, .id = S("a"), .msg = S("m")},
    {.state = LUNAQ_RETRY, .id = S("b"), .msg = S("m")}};
static int64_t days[2][7];
static lq_finding findings[LQ_FINDINGS_MAX];
static void heard(lq_op_listen *op, lq_str id)
{
    (void)op;
    assert_true(id.len > 0);
}

static union any {
    lq_op op;
    lq_op_ping ping;
    lq_op_token token;
    lq_op_token_renew renew;
    lq_op_enqueue enqueue;
    lq_op_step step;
    lq_op_extend extend;
    lq_op_reconcile reconcile;
    lq_op_expired expired;
    lq_op_forward forward;
    lq_op_clean clean;
    lq_op_repair repair;
    lq_op_peek peek;
    lq_op_wait wait;
    lq_op_heartbeat heartbeat;
    lq_op_goodbye goodbye;
    lq_op_cron_fire fire;
    lq_op_cron_record record;
    lq_op_cron_publish publish;
    lq_op_cron_history cron_history;
    lq_op_listen listen;
    lq_op_result result;
    lq_op_cancel cancel;
    lq_op_audit audit;
    lq_op_groups groups;
    lq_op_group_take take;
    lq_op_group_finish finish;
    lq_op_group_back back;
    lq_op_group_extend group_extend;
    lq_op_group_reclaim reclaim;
    lq_op_order order;
    lq_op_order_take order_take;
    lq_op_untold untold;
    lq_op_export copy_out;
    lq_op_import copy_in;
    lq_op_export_queue queue_out;
    lq_op_import_queue queue_in;
    lq_op_update update;
    lq_op_diagnose diagnose;
    lq_op_check check;
    lq_op_queue_place place;
    lq_op_task_get get;
    lq_op_queue_stats stats;
    lq_op_queue_history history;
} all[] = {
    {.op.kind = LQ_OP_PING},
    {.token = {OP(TOKEN), S("id"), 0}},
    {.renew = {OP(TOKEN_RENEW), S("id"), tokens, 2}},
    {.enqueue = {OP(ENQUEUE), .items = items, .count = 2}},
    {.enqueue = {OP(ENQUEUE), .items = items, .count = 1}},
    {.step = {OP(STEP), .queues = queues, .queue_count = 2, .free = 5,
              .token = 5, .lease_ms = 30000}},
    {.extend = {OP(EXTEND), S("q"), extended, 2, 30000}},
    {.reconcile = {OP(RECONCILE), S("q"), 5, names, 2, 0}},
    {.expired = {OP(EXPIRED), .queue = S("q"), .limit = 9}},
    {.forward = {OP(FORWARD), .queue = S("q")}},
    {.clean = {OP(CLEAN), .queue = S("q")}},
    {.repair = {OP(REPAIR), .queue = S("q")}},
    {.peek = {OP(PEEK), peeked, 2}},
    {.wait = {OP(WAIT), .queue = S("q"), .timeout_ms = 9, .take = &taken}},
    {.heartbeat = {OP(HEARTBEAT), S("h"), S("id"), 7, .info = S("i")}},
    {.goodbye = {OP(GOODBYE), S("h"), S("id"), 7, tokens, 2}},
    {.fire = {OP(CRON_FIRE), S("q"), S("e"), 9, 0, 0, .item = &enqueued[0]}},
    {.fire = {OP(CRON_FIRE), S("q"), S("e"), 0, 9, 9}},
    {.record = {OP(CRON_RECORD), S("e"), S("id"), 9}},
    {.publish = {OP(CRON_PUBLISH), S("h:7:id"), names, 2, 9}},
    {.cron_history = {OP(CRON_HISTORY), .entry_id = S("e")}},
    {.listen = {OP(LISTEN), heard}},
    {.result = {OP(RESULT), S("q"), S("a"), 5, S("r")}},
    {.cancel = {OP(CANCEL), S("q"), S("a"), S("why"), false, 0}},
    {.cancel = {OP(CANCEL), S("q"), S("a"), S("why"), true, 0}},
    {.audit = {OP(AUDIT), .queue = S("q")}},
    {.groups = {OP(GROUPS), .queue = S("q")}},
    {.take = {OP(GROUP_TAKE), S("q"), S("g"), S("set")}},
    {.finish = {OP(GROUP_FINISH), S("q"), S("g"), S("set"), items, 2}},
    {.finish = {OP(GROUP_FINISH), S("q"), S("g"), S("set")}},
    {.back = {OP(GROUP_BACK), S("q"), S("g"), S("set"), S("why"), 9}},
    {.group_extend = {OP(GROUP_EXTEND), S("q"), S("g"), S("set"), 9}},
    {.reclaim = {OP(GROUP_RECLAIM), .queue = S("q")}},
    {.order = {OP(ORDER), S("h"), S("id"), 7, S("quiet")}},
    {.order_take = {OP(ORDER_TAKE), S("h"), S("id"), 7}},
    {.untold = {OP(UNTOLD), .queue = S("q")}},
    {.copy_out = {OP(EXPORT), .queue = S("q")}},
    {.copy_in = {OP(IMPORT), S("q"), copies, 2, false}},
    {.queue_out = {OP(EXPORT_QUEUE), .queue = S("q")}},
    {.queue_in = {OP(IMPORT_QUEUE), .queue = S("q")}},
    {.update = {OP(UPDATE), S("q"), S("a"), S("p")}},
    {.diagnose = {OP(DIAGNOSE), .findings = findings}},
    {.check = {OP(CHECK), .queue = S("q"), .repair = true}},
    {.check = {OP(CHECK), .queue = S(""), .repair = true}},
    {.place = {OP(QUEUE_PLACE), .queue = S("q")}},
    {.get = {OP(TASK_GET), names, 2, S("a")}},
    {.stats = {OP(QUEUE_STATS), .queue = S("q"), .memory = true}},
    {.history = {OP(QUEUE_HISTORY), S("q"), 7, 0, days[0], days[1]}},
};

/* ---- replies ------------------------------------------------------------- */

#define WIDTH 200 /* as many values as any operation reads */
#define LEAVES 21

static redisReply leaves[LEAVES];

static redisReply text(int type, const char *s)
{
    static char kept[LEAVES][80];
    static size_t n;
    redisReply r = {.type = type, .str = kept[n++]};
    snprintf(r.str, sizeof kept[0], "%s", s);
    r.len = strlen(r.str);
    return r;
}

static void make_leaves(void)
{
    static const char long_word[] = "a word of more than 64 bytes: a cursor "
                                    "that has no room where it is to be kept";
    static const char *const texts[] = {
        "",    "0",   "1",      "-1",      "9223372036854775807",
        "nan", "inf", "-1e400", "pending", long_word,
        "00",  "PW",  "\xff"};
    static const int64_t numbers[] = {0, 1, -1, 129, INT64_MAX, INT64_MIN};
    size_t n = 0;
    leaves[n++] = (redisReply){.type = REDIS_REPLY_NIL};
    leaves[n++] = text(REDIS_REPLY_STATUS, "OK");
    for (size_t i = 0; i < LQ_COUNT(texts); i++)
        leaves[n++] = text(REDIS_REPLY_STRING, texts[i]);
    for (size_t i = 0; i < LQ_COUNT(numbers); i++)
        leaves[n++] =
            (redisReply){.type = REDIS_REPLY_INTEGER, .integer = numbers[i]};
    assert_int_equal(n, LEAVES);
}

/* A value of an array: leaves, and arrays of them. */
static redisReply *draw(uint64_t *seed, int depth, lq_arena *mem)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    uint64_t n = *seed >> 33;
    if (depth > 2 || n % 4)
        return &leaves[n / 4 % LEAVES];
    static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 18, 60, 185};
    redisReply *r = lq_arena_alloc(mem, sizeof *r);
    assert_non_null(r);
    *r = (redisReply){.type = REDIS_REPLY_ARRAY};
    r->elements = sizes[n / 4 % LQ_COUNT(sizes)];
    assert_true(r->elements < WIDTH);
    r->element = lq_arena_alloc(mem, WIDTH * sizeof(redisReply *));
    assert_non_null(r->element);
    /* Mostly of one kind, as scripts answer. */
    redisReply *most = draw(seed, depth + 1, mem);
    for (size_t i = 0; i < r->elements; i++) {
        redisReply *other = draw(seed, depth + 1, mem);
        r->element[i] = *seed >> 33 & 1 ? most : other;
    }
    return r;
}

/* ---- the tests ----------------------------------------------------------- */

static const lq_redis_op *row_of(const union any *o)
{
    return o->op.kind == LQ_OP_QUEUE_PLACE ? &lq_cluster_row_place
                                           : lq_redis_op_of(o->op.kind);
}

/* Answers an operation with what is drawn; *told: how often it was refused. */
static void answer(const union any *arguments, uint64_t seed)
{
    union any o = *arguments;
    lq_check_memo memo = {0};
    lq_arena mem = {0};
    const lq_redis_op *row = row_of(&o);
    assert_non_null(row);
    if (o.op.kind == LQ_OP_CHECK)
        o.check.memo = &memo;
    for (int turn = 0; turn < 4; turn++) { /* of a walk in parts */
        lq_op_init(&o.op, o.op.kind);
        uint32_t count = row->count ? row->count(&o.op) : 1;
        int rc = LUNAQ_OK;
        for (uint32_t i = 0; !rc && i < count; i++) {
            lq_cmd cmd;
            lq_cmd_init(&cmd);
            assert_int_equal(row->build(&o.op, i, &cmd), LUNAQ_OK);
            assert_true(cmd.argc > 0 && !cmd.body.failed);
            lq_cmd_release(&cmd);
            const redisReply *reply = draw(&seed, 0, &mem);
            rc = row->parse(&o.op, i, reply);
        }
        if (rc)
            assert_string_not_equal(o.op.err.message, "");
        o.op.rc = rc;
        if (row->end)
            (void)row->end(&o.op);
        if (o.op.kind != LQ_OP_CHECK || rc || !o.check.more)
            break;
    }
    lq_check_memo_release(&memo);
    lq_op_release(&o.op);
    lq_op_release(&taken.op);
    lq_arena_release(&mem);
}

static void any_reply__is_taken_or_told(void **state)
{
    (void)state;
    int64_t blocks = lq_alloc_live();
    for (size_t i = 0; i < LQ_COUNT(all); i++)
        for (uint64_t seed = 1; seed <= 1500; seed++)
            answer(&all[i], seed * 7919 + i);
    assert_int_equal(lq_alloc_live(), blocks);
}

/* What was read by an operation that is used again is gone. */
static void task_get__used_again_and_not_there__has_no_row(void **state)
{
    static redisReply *fields[8];
    redisReply there = {.type = REDIS_REPLY_ARRAY};
    lq_op_task_get get = {OP(TASK_GET), names, 1, S("a")};
    const lq_redis_op *row = lq_redis_op_of(LQ_OP_TASK_GET);
    (void)state;
    for (size_t i = 0; i < LQ_COUNT(fields); i++)
        fields[i] = &leaves[0];
    there.element = fields;
    there.elements = LQ_COUNT(fields);
    lq_op_init(&get.op, LQ_OP_TASK_GET);
    assert_int_equal(row->count(&get.op), 1);
    assert_int_equal(row->parse(&get.op, 0, &there), LUNAQ_OK);
    assert_int_equal(get.count, 1);
    lq_op_init(&get.op, LQ_OP_TASK_GET);
    assert_int_equal(row->count(&get.op), 1);
    assert_int_equal(row->parse(&get.op, 0, &leaves[0]), LUNAQ_OK);
    assert_int_equal(get.count, 0);
    lq_op_release(&get.op);
}

static int setup(void **state)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    (void)state;
    make_leaves();
    t.type = "t";
    t.queue = "q";
    for (size_t i = 0; i < LQ_COUNT(enqueued); i++)
        if (lq_enqueue_init(&enqueued[i], &t, lq_now_ms(), NULL))
            return -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < LQ_COUNT(enqueued); i++)
        lq_enqueue_release(&enqueued[i]);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_reply__is_taken_or_told),
        cmocka_unit_test(task_get__used_again_and_not_there__has_no_row),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("ops_odd", tests, setup, teardown);
}
