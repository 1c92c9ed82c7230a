/* inspect_rows: one row an inspector's operation; inspect_ops.c is the table.
 */
#ifndef LQ_REDIS_INSPECT_ROWS_H
#define LQ_REDIS_INSPECT_ROWS_H

#include "redis/ops.h"

/* inspect_move.c */
extern const lq_redis_op lq_inspect_move;
extern const lq_redis_op lq_inspect_move_all;
/* inspect_task.c */
extern const lq_redis_op lq_inspect_task_get;
extern const lq_redis_op lq_inspect_task_list;
extern const lq_redis_op lq_inspect_task_scan;
/* inspect_queue.c */
extern const lq_redis_op lq_inspect_queues;
extern const lq_redis_op lq_inspect_queue_stats;
extern const lq_redis_op lq_inspect_queue_history;
extern const lq_redis_op lq_inspect_queue_pause;
/** Appends the channel and the note by which servers hear of it. */
void lq_inspect_pause_note(lq_cmd *cmd, lq_str queue);
extern const lq_redis_op lq_inspect_queue_remove;
/* inspect_server.c */
extern const lq_redis_op lq_inspect_servers;
extern const lq_redis_op lq_inspect_crons;
/* inspect_copy.c */
extern const lq_redis_op lq_inspect_export;
extern const lq_redis_op lq_inspect_import;
extern const lq_redis_op lq_inspect_export_queue;
extern const lq_redis_op lq_inspect_import_queue;
extern const lq_redis_op lq_inspect_update; /* inspect_move.c */
/* inspect_diagnose.c */
extern const lq_redis_op lq_inspect_diagnose;
/* inspect_check.c */
extern const lq_redis_op lq_inspect_check;

#endif
