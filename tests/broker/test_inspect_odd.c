/* The inspector's operations without a server: whatever a server may answer,
 * they neither crash nor leak, and an answer that makes no sense is told. */
#include "support/test.h"

#include "base/error.h"
#include "broker/inspect.h"
#include "redis/inspect.h"

#include <hiredis.h>
#include <string.h>

#define NIL (&(redisReply){.type = REDIS_REPLY_NIL})
#define NUMBER(n) (&(redisReply){.type = REDIS_REPLY_INTEGER, .integer = (n)})
#define BYTES(t, s)                                                            \
    (&(redisReply){.type = (t), .str = (char[]){s}, .len = sizeof(s) - 1})
#define TEXT(s) BYTES(REDIS_REPLY_STRING, s)
#define ARRAY(a)                                                               \
    (&(redisReply){                                                            \
        .type = REDIS_REPLY_ARRAY, .element = (a), .elements = LQ_COUNT(a)})

static redisReply *nils[] = {NIL, NIL, NIL, NIL, NIL, NIL, NIL,
                             NIL, NIL, NIL, NIL, NIL, NIL, NIL};
static redisReply *texts[] = {TEXT("x"),     TEXT("99999999999999999999"),
                              TEXT(""),      TEXT("nan"),
                              TEXT("-1"),    TEXT("1e400"),
                              TEXT("\xff"),  TEXT("inf"),
                              TEXT("retry"), TEXT("0"),
                              TEXT("1"),     TEXT("2"),
                              TEXT("3"),     TEXT("4")};
static redisReply *numbers[] = {
    NUMBER(1), NUMBER(-1), NUMBER(INT64_MAX), NUMBER(INT64_MIN), NUMBER(0),
    NUMBER(1), NUMBER(2),  NUMBER(3),         NUMBER(4),         NUMBER(5),
    NUMBER(6), NUMBER(7),  NUMBER(8),         NUMBER(9)};
static redisReply *nested[] = {ARRAY(nils), ARRAY(texts), ARRAY(numbers), NIL,
                               NUMBER(1)};
static const redisReply *const replies[] = {
    NIL,
    NUMBER(0),
    NUMBER(1),
    NUMBER(-7),
    NUMBER(INT64_MAX),
    TEXT(""),
    TEXT("x"),
    TEXT("a cursor that is longer than there is room for it, by far"),
    BYTES(REDIS_REPLY_STATUS, "OK"),
    &(redisReply){.type = REDIS_REPLY_ARRAY},
    ARRAY(nils),
    ARRAY(texts),
    ARRAY(numbers),
    ARRAY(nested),
};

static const lq_str queue = {"q", 1};
static int64_t days[2][7];

static union ops {
    lq_op op;
    lq_op_move move;
    lq_op_move_all move_all;
    lq_op_task_get get;
    lq_op_task_list list;
    lq_op_task_scan scan;
    lq_op_queues queues;
    lq_op_queue_stats stats;
    lq_op_queue_history history;
    lq_op_queue_pause pause;
    lq_op_queue_remove remove;
    lq_op_servers servers;
    lq_op_crons crons;
} ops[] = {
    {.move = {{.kind = LQ_OP_MOVE}, {"q", 1}, {"id", 2}, LUNAQ_MOVE_RUN}},
    {.move_all = {.op = {.kind = LQ_OP_MOVE_ALL},
                  .queue = {"q", 1},
                  .state = LUNAQ_RETRY,
                  .move = LUNAQ_MOVE_DELETE}},
    {.get = {.op = {.kind = LQ_OP_TASK_GET},
             .queues = &queue,
             .queue_count = 1,
             .id = {"id", 2}}},
    {.list = {.op = {.kind = LQ_OP_TASK_LIST},
              .queue = {"q", 1},
              .state = LUNAQ_ACTIVE,
              .page_size = 10}},
    {.scan = {.op = {.kind = LQ_OP_TASK_SCAN},
              .queue = {"q", 1},
              .part = {"abcdef", 6}}},
    {.op = {.kind = LQ_OP_QUEUES}},
    {.stats = {.op = {.kind = LQ_OP_QUEUE_STATS}, .queue = {"q", 1}}},
    {.history = {.op = {.kind = LQ_OP_QUEUE_HISTORY},
                 .queue = {"q", 1},
                 .days = 7,
                 .processed = days[0],
                 .failed = days[1]}},
    {.pause = {.op = {.kind = LQ_OP_QUEUE_PAUSE}, .queue = {"q", 1}}},
    {.remove = {.op = {.kind = LQ_OP_QUEUE_REMOVE}, .queue = {"q", 1}}},
    {.remove = {.op = {.kind = LQ_OP_QUEUE_REMOVE},
                .queue = {"q", 1},
                .cursor = "tasks"}},
    {.op = {.kind = LQ_OP_SERVERS}},
    {.op = {.kind = LQ_OP_CRONS}},
};

static void parse(const union ops *arguments, const lq_reply *reply)
{
    union ops o = *arguments;
    const lq_redis_op *row = lq_inspect_row(o.op.kind);
    assert_non_null(row);
    lq_op_init(&o.op, o.op.kind);
    uint32_t count = row->count ? row->count(&o.op) : 1;
    int rc = LUNAQ_OK;
    for (uint32_t i = 0; !rc && i < count; i++) {
        lq_cmd cmd;
        lq_cmd_init(&cmd);
        assert_int_equal(row->build(&o.op, i, &cmd), LUNAQ_OK);
        assert_true(cmd.body.len > 0 && cmd.argc > 1);
        lq_cmd_release(&cmd);
        rc = row->parse(&o.op, i, reply);
    }
    if (rc)
        assert_string_not_equal(o.op.err.message, "");
    lq_op_release(&o.op);
}

static void any_reply__is_taken_or_told(void **state)
{
    (void)state;
    int64_t blocks = lq_alloc_live();
    for (size_t i = 0; i < LQ_COUNT(ops); i++)
        for (size_t k = 0; k < LQ_COUNT(replies); k++)
            parse(&ops[i], replies[k]);
    assert_int_equal(lq_alloc_live(), blocks);
}

static void no_memory__is_told(void **state)
{
    (void)state;
    int64_t blocks = lq_alloc_live();
    for (size_t i = 0; i < LQ_COUNT(ops); i++)
        for (size_t k = 0; k < LQ_COUNT(replies); k++)
            for (uint64_t n = 1; n < 12; n++) {
                union ops o = ops[i];
                const lq_redis_op *row = lq_inspect_row(o.op.kind);
                lq_op_init(&o.op, o.op.kind);
                uint32_t last = row->count ? row->count(&o.op) - 1 : 0;
                lq_alloc_fail_at(n, true);
                int rc = row->parse(&o.op, last, replies[k]);
                lq_alloc_fail_at(0, false);
                if (rc)
                    assert_string_not_equal(o.op.err.message, "");
                lq_op_release(&o.op);
            }
    assert_int_equal(lq_alloc_live(), blocks);
}

static void wrong_arguments__are_refused_before_anything_is_sent(void **state)
{
    (void)state;
    union ops bad[] = {
        {.move = {{.kind = LQ_OP_MOVE}, {"q", 1}, {NULL, 0}, LUNAQ_MOVE_RUN}},
        {.move = {{.kind = LQ_OP_MOVE}, {"q", 1}, {"id", 2}, (lunaq_move)9}},
        {.get = {.op = {.kind = LQ_OP_TASK_GET}, .id = {"id", 2}}},
        {.list = {.op = {.kind = LQ_OP_TASK_LIST}, .page_size = 10}},
        {.list = {.op = {.kind = LQ_OP_TASK_LIST},
                  .state = LUNAQ_RETRY,
                  .page_size = 0}},
        {.scan = {.op = {.kind = LQ_OP_TASK_SCAN}}},
        {.history = {.op = {.kind = LQ_OP_QUEUE_HISTORY}, .days = 91}},
    };
    for (size_t i = 0; i < LQ_COUNT(bad); i++) {
        lq_cmd cmd;
        lq_cmd_init(&cmd);
        const lq_redis_op *row = lq_inspect_row(bad[i].op.kind);
        lq_op_init(&bad[i].op, bad[i].op.kind);
        assert_int_equal(row->build(&bad[i].op, 0, &cmd), LUNAQ_EINVAL);
        assert_string_not_equal(bad[i].op.err.message, "");
        lq_op_release(&bad[i].op);
        lq_cmd_release(&cmd);
    }
    assert_null(lq_inspect_row(LQ_OP_STEP));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_reply__is_taken_or_told),
        cmocka_unit_test(no_memory__is_told),
        cmocka_unit_test(wrong_arguments__are_refused_before_anything_is_sent),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("inspect_odd", tests, NULL, NULL);
}
