/* cluster_rows: operations that take another way through a cluster, where each
 * command goes to the node of its keys: one call a queue, a global key at a
 * time. */
#ifndef LQ_CLUSTER_ROWS_H
#define LQ_CLUSTER_ROWS_H

#include "redis/ops.h"

/** The row of a kind in a cluster; NULL when Redis does not do it. */
const lq_redis_op *lq_cluster_row(enum lq_op_kind kind);

/* cluster_step.c */
extern const lq_redis_op lq_cluster_row_step;
/* cluster_ops.c */
extern const lq_redis_op lq_cluster_row_token, lq_cluster_row_token_renew,
    lq_cluster_row_peek, lq_cluster_row_enqueue, lq_cluster_row_pause,
    lq_cluster_row_cron_fire, lq_cluster_row_servers, lq_cluster_row_crons;

/* inspect_check.c, inspect_place.c */
extern const lq_redis_op lq_cluster_row_check, lq_cluster_row_place;

#endif
