/* The aggregator: looks at the groups of the served queues, and begins the
 * aggregation of those that are due.
 *
 * The forwarder's look, once a second, tells which queues have groups.  Those
 * are walked through when the earliest of them comes due, and at least so often
 * that new ones are seen in time.  Sets that somebody left behind are put back.
 */
#ifndef LQ_AGGREGATOR_H
#define LQ_AGGREGATOR_H

#include "broker/group.h"
#include "runtime/periodic.h"
#include "runtime/runtime.h"

struct lq_control;

typedef struct lq_aggregator {
    struct lq_control *control;
    lq_list jobs; /* lq_aggregation */
    size_t job_count;

    /* the walk through one queue after the other */
    bool walking, paused; /* paused: as many jobs as may be */
    size_t queue;
    bool wanted[LQ_QUEUES_MAX];
    int64_t look_ms[LQ_QUEUES_MAX]; /* monotonic: not before */
    lq_op_groups list;
    size_t row;
    int64_t seen, soonest_ms; /* of this queue's groups, of ours */
    struct {
        int64_t groups, tasks, age_ms;
        char name[LUNAQ_NAME_MAX + 8], type[LUNAQ_NAME_MAX + 8];
    } idle; /* groups that nobody seems to aggregate */
    int64_t warn_gate[LQ_QUEUES_MAX];
    lq_timer *due;

    lq_periodic reclaim_round;
    lq_op_group_reclaim reclaim;
    size_t reclaim_queue;
} lq_aggregator;

int lq_aggregator_start(lq_aggregator *a, struct lq_control *c,
                        lunaq_error *err);
/** The loop has ended. */
void lq_aggregator_stop(lq_aggregator *a);

/** The forwarder has looked: one peek a served queue. */
void lq_aggregator_looked(lq_aggregator *a, const lq_peek *peeks);
/** An aggregation has left the list. */
void lq_aggregator_ended(lq_aggregator *a);

/** Appends the member "groups" of what a server publishes: whether it has an
 *  aggregator of its own, and each queue's rule. */
void lq_aggregator_describe(const lq_aggregator *a, lq_buf *json);

/** Says how a type's tasks in groups are aggregated here.  False: not at all;
 *  *o is then only of use for its rule. */
bool lq_aggregator_type(const lq_aggregator *a, size_t queue, lq_str type,
                        lq_type_options *o);

#endif
