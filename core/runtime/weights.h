/* Which queue next: a plan for one step. */
#ifndef LQ_WEIGHTS_H
#define LQ_WEIGHTS_H

#include "base/str.h"

#define LQ_WEIGHTS_MAX 64 /* queues in one plan */

typedef struct lq_weight {
    uint32_t weight; /* > 0 */
    bool skip;       /* gives nothing now: paused */
} lq_weight;

/** Plans to take n tasks from `count` queues.  order[] receives every index
 *  once, in the order in which the queues are asked; want[i] how many to take
 *  from queue i before what is left over is filled up in that order.
 *  Strict: by weight, the highest first, and no quotas.  Otherwise n draws by
 *  weight; each queue's chance to come first is its share of the weights.
 *  rnd(bound) is uniform in [0, bound). */
void lq_weights_plan(const lq_weight *queues, size_t count, uint32_t n,
                     bool strict, uint64_t (*rnd)(uint64_t bound),
                     size_t *order, uint32_t *want);

#endif
