/* aggregation: one group's way from being due to what becomes of it.
 *
 *   take ──► share out ──► ask handlers ──► finish ──► (take again, if more)
 *              │               │ all failed    │ refused
 *              │               ▼               ▼
 *              │             back, with the error and a delay
 *              └─ each handler gets the tasks of its own types: all in one
 *                 batch (batch.h), or through its own function; what no
 *                 handler takes in groups runs by itself, and so does a task
 *                 that would be a batch of one
 *
 * All on the control thread.  The set's end is put off as long as this lives.
 * When a reply is lost the move is repeated: the set's id makes that safe.
 */
#ifndef LQ_AGGREGATION_H
#define LQ_AGGREGATION_H

#include "broker/group.h"
#include "loop/loop.h"

struct lq_aggregator;

typedef struct lq_aggregation lq_aggregation;

/** Begins; it appends itself to the aggregator's jobs and leaves by
 *  lq_aggregator_ended().  failures: of this group before. */
void lq_aggregation_begin(struct lq_aggregator *a, size_t queue, lq_str group,
                          const lq_group_rule *rule, int64_t failures);
/** True when it is of this group. */
bool lq_aggregation_is(const lq_aggregation *g, size_t queue, lq_str group);
lq_aggregation *lq_aggregation_of(lq_list *node);
/** The loop has ended and hooks have: frees it wherever it stands. */
void lq_aggregation_free(lq_aggregation *g);

#endif
