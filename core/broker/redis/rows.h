/* rows: the table's rows, by the file that has them. */
#ifndef LQ_REDIS_ROWS_H
#define LQ_REDIS_ROWS_H

#include "redis/ops.h"

/* ops_server.c: what a connection needs */
extern const lq_redis_op lq_row_ping, lq_row_token, lq_row_token_renew,
    lq_row_peek, lq_row_wait, lq_row_listen;
/* ops_enqueue.c */
extern const lq_redis_op lq_row_enqueue;
/* ops_step.c */
extern const lq_redis_op lq_row_step;
/* ops_lease.c: who holds what */
extern const lq_redis_op lq_row_extend, lq_row_reconcile, lq_row_expired,
    lq_row_repair, lq_row_result;
/* ops_upkeep.c: what comes due */
extern const lq_redis_op lq_row_forward, lq_row_clean, lq_row_cancel,
    lq_row_audit;
/* ops_publish.c: what others may see of us */
extern const lq_redis_op lq_row_heartbeat, lq_row_goodbye, lq_row_cron_publish;
/* ops_group.c: groups, and sets that are being aggregated */
extern const lq_redis_op lq_row_groups, lq_row_group_take, lq_row_group_finish,
    lq_row_group_back, lq_row_group_extend, lq_row_group_reclaim;
/* ops_order.c: what is asked of a server from afar */
extern const lq_redis_op lq_row_order, lq_row_order_take;
/* ops_untold.c */
extern const lq_redis_op lq_row_untold;
/* ops_cron.c */
extern const lq_redis_op lq_row_cron_fire, lq_row_cron_record,
    lq_row_cron_history;

/* cluster_part.c: bundles, and the map */
extern const lq_redis_op lq_row_part, lq_row_slots;

#endif
