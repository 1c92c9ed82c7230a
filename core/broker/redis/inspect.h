/* inspect: the rows of what clients and inspectors ask. */
#ifndef LQ_REDIS_INSPECT_H
#define LQ_REDIS_INSPECT_H

#include "redis/ops.h"

/** The row of MOVE, MOVE_ALL, TASK_GET, TASK_LIST, TASK_SCAN, QUEUES,
 *  QUEUE_STATS, QUEUE_HISTORY, QUEUE_PAUSE, QUEUE_REMOVE, SERVERS, CRONS,
 *  EXPORT, IMPORT, EXPORT_QUEUE or IMPORT_QUEUE; NULL for others. */
const lq_redis_op *lq_inspect_row(enum lq_op_kind kind);

#endif
