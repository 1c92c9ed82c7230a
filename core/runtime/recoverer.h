/* The recoverer: tasks whose holder vanished run again.
 *
 * It touches lunaq's leases only after its own link has been up for ten
 * seconds, so that after an outage every living holder renews first, and never
 * a task that this process itself has in hand.
 */
#ifndef LQ_RECOVERER_H
#define LQ_RECOVERER_H

#include "runtime/periodic.h"
#include "runtime/runtime.h"

struct lq_control;

typedef struct lq_recoverer {
    struct lq_control *control;
    lq_periodic sweep;
    size_t queue;       /* that is being swept */
    int64_t soonest_ms; /* until the next lease of any queue ends; -1 none */
    lq_op_expired expired;
    lq_op_step settle;
    lq_step_queue settle_queue;
    lq_outcome outcomes[LQ_BATCH_MAX];
    lq_outcome *outcome_ptrs[LQ_BATCH_MAX];
    lq_buf msgs[LQ_BATCH_MAX];
    size_t item[LQ_BATCH_MAX]; /* outcome → item of `expired` */
    int64_t asked_ms;          /* monotonic: when `expired` was sent */
    lq_op_repair repair;
    int64_t repair_at_ms; /* monotonic */
} lq_recoverer;

int lq_recoverer_start(lq_recoverer *r, struct lq_control *c, lunaq_error *err);
void lq_recoverer_stop(lq_recoverer *r);

#endif
