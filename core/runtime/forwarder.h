/* The forwarder: scheduled and retry tasks that are due become pending.
 *
 * Scores are whole seconds, so one look right after each full second finds
 * everything in time; the same look tells which queues are paused and where
 * work waits.
 */
#ifndef LQ_FORWARDER_H
#define LQ_FORWARDER_H

#include "runtime/periodic.h"
#include "runtime/runtime.h"

struct lq_control;

typedef struct lq_forwarder {
    struct lq_control *control;
    lq_periodic look;
    lq_timer *due;    /* a task is due before the next look */
    bool again;       /* look once more when this look is over */
    int64_t asked_ms; /* monotonic: when `peek` was sent */
    lq_op_peek peek;
    lq_peek peeks[LQ_QUEUES_MAX];
    lq_op_forward forward;
    size_t at; /* the queue that is being forwarded */
    bool due_now[LQ_QUEUES_MAX];
    bool forwarding;
} lq_forwarder;

int lq_forwarder_start(lq_forwarder *f, struct lq_control *c, lunaq_error *err);
void lq_forwarder_stop(lq_forwarder *f);
/** A queue was paused or resumed: looks at once. */
void lq_forwarder_look_now(lq_forwarder *f);

#endif
