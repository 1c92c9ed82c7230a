/* What all brokers share: the head of an operation. */
#include "broker/broker.h"

void lq_op_init(lq_op *op, enum lq_op_kind kind)
{
    lq_arena_release(&op->mem);
    op->kind = kind;
    op->rc = LUNAQ_OK;
    op->err = (lunaq_error)LUNAQ_ERROR_INIT;
    op->commands = 0;
    op->replies = 0;
    op->plan = NULL;
    lq_list_init(&op->node);
}

void lq_op_release(lq_op *op)
{
    lq_arena_release(&op->mem);
}

const char *lq_op_name(enum lq_op_kind kind)
{
    static const char *const names[LQ_OP_KINDS] = {
        [LQ_OP_PING] = "ping",
        [LQ_OP_TOKEN] = "token",
        [LQ_OP_TOKEN_RENEW] = "token renew",
        [LQ_OP_ENQUEUE] = "enqueue",
        [LQ_OP_STEP] = "step",
        [LQ_OP_EXTEND] = "extend",
        [LQ_OP_RECONCILE] = "reconcile",
        [LQ_OP_EXPIRED] = "expired",
        [LQ_OP_FORWARD] = "forward",
        [LQ_OP_CLEAN] = "clean",
        [LQ_OP_REPAIR] = "repair",
        [LQ_OP_PEEK] = "peek",
        [LQ_OP_WAIT] = "wait",
        [LQ_OP_HEARTBEAT] = "heartbeat",
        [LQ_OP_GOODBYE] = "goodbye",
        [LQ_OP_CRON_FIRE] = "cron fire",
        [LQ_OP_CRON_PUBLISH] = "cron publish",
        [LQ_OP_CRON_RECORD] = "cron record",
        [LQ_OP_LISTEN] = "listen",
        [LQ_OP_RESULT] = "result",
        [LQ_OP_CANCEL] = "cancel",
        [LQ_OP_MOVE] = "move",
        [LQ_OP_MOVE_ALL] = "move all",
        [LQ_OP_TASK_GET] = "task get",
        [LQ_OP_TASK_LIST] = "task list",
        [LQ_OP_TASK_SCAN] = "task scan",
        [LQ_OP_QUEUES] = "queues",
        [LQ_OP_QUEUE_STATS] = "queue stats",
        [LQ_OP_QUEUE_HISTORY] = "queue history",
        [LQ_OP_QUEUE_PAUSE] = "queue pause",
        [LQ_OP_QUEUE_REMOVE] = "queue remove",
        [LQ_OP_SERVERS] = "servers",
        [LQ_OP_CRONS] = "crons",
        [LQ_OP_CRON_HISTORY] = "cron history",
        [LQ_OP_AUDIT] = "audit",
        [LQ_OP_SLOTS] = "cluster slots",
        [LQ_OP_PART] = "part",
        [LQ_OP_EXPORT] = "export",
        [LQ_OP_IMPORT] = "import",
        [LQ_OP_EXPORT_QUEUE] = "export queue",
        [LQ_OP_IMPORT_QUEUE] = "import queue",
        [LQ_OP_GROUPS] = "groups",
        [LQ_OP_GROUP_TAKE] = "group take",
        [LQ_OP_GROUP_FINISH] = "group finish",
        [LQ_OP_GROUP_BACK] = "group back",
        [LQ_OP_GROUP_EXTEND] = "group extend",
        [LQ_OP_GROUP_RECLAIM] = "group reclaim",
        [LQ_OP_CHECK] = "check",
        [LQ_OP_UPDATE] = "update",
        [LQ_OP_ORDER] = "order",
        [LQ_OP_ORDER_TAKE] = "order take",
        [LQ_OP_DIAGNOSE] = "diagnose",
        [LQ_OP_QUEUE_PLACE] = "queue place",
        [LQ_OP_UNTOLD] = "untold",
    };
    size_t i = (size_t)kind;
    return i < LQ_COUNT(names) && names[i] ? names[i] : "unknown";
}

const char *lq_enqueue_reason(int code)
{
    /* Only Redis refuses an item so, and always with these words: its scripts
     * ask for the type before they write. */
    return code == LUNAQ_EREPLY
               ? "redis: WRONGTYPE Operation against a key holding the wrong "
                 "kind of value"
               : lunaq_strerror(code);
}
