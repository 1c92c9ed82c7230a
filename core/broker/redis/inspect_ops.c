/* The table of the inspector's operations. */
#include "redis/inspect.h"
#include "redis/inspect_rows.h"

const lq_redis_op *lq_inspect_row(enum lq_op_kind kind)
{
    switch (kind) {
    case LQ_OP_MOVE:
        return &lq_inspect_move;
    case LQ_OP_MOVE_ALL:
        return &lq_inspect_move_all;
    case LQ_OP_TASK_GET:
        return &lq_inspect_task_get;
    case LQ_OP_TASK_LIST:
        return &lq_inspect_task_list;
    case LQ_OP_TASK_SCAN:
        return &lq_inspect_task_scan;
    case LQ_OP_QUEUES:
        return &lq_inspect_queues;
    case LQ_OP_QUEUE_STATS:
        return &lq_inspect_queue_stats;
    case LQ_OP_QUEUE_HISTORY:
        return &lq_inspect_queue_history;
    case LQ_OP_QUEUE_PAUSE:
        return &lq_inspect_queue_pause;
    case LQ_OP_QUEUE_REMOVE:
        return &lq_inspect_queue_remove;
    case LQ_OP_SERVERS:
        return &lq_inspect_servers;
    case LQ_OP_CRONS:
        return &lq_inspect_crons;
    case LQ_OP_EXPORT:
        return &lq_inspect_export;
    case LQ_OP_IMPORT:
        return &lq_inspect_import;
    case LQ_OP_EXPORT_QUEUE:
        return &lq_inspect_export_queue;
    case LQ_OP_IMPORT_QUEUE:
        return &lq_inspect_import_queue;
    case LQ_OP_UPDATE:
        return &lq_inspect_update;
    case LQ_OP_DIAGNOSE:
        return &lq_inspect_diagnose;
    case LQ_OP_CHECK:
        return &lq_inspect_check;
    default:
        return NULL;
    }
}
