/* archived: tasks that were archived while no server had them in hand.
 *
 * Who cancels a task that waits archives it himself, and no server sees it.  So
 * a note stays with the queue, for a day, and one of its servers takes that,
 * once, to tell the task's handler.  A note that was taken is gone: when that
 * server dies before it has told, nobody does.
 */
#ifndef LQ_BROKER_ARCHIVED_H
#define LQ_BROKER_ARCHIVED_H

#include "broker/broker.h"

#define LQ_UNTOLD_KEPT_S 86400
#define LQ_UNTOLD_MAX 10000 /* notes of a queue: the oldest go first */
#define LQ_UNTOLD_BYTES                                                        \
    ((int64_t)8 << 20) /* of messages in one take; at least 1 task */

typedef struct lq_untold {
    lq_str id, msg; /* in op.mem, as all of it */
    lq_str error;   /* who asked to cancel it, and why */
} lq_untold;

/* Takes notes of a queue, the oldest first, at most LQ_BATCH_MAX.  Those of
 * tasks that are not in the archive any more are dropped. */
typedef struct lq_op_untold {
    lq_op op;
    lq_str queue;
    lq_untold *items; /* results */
    size_t count;
    bool more; /* there are more notes */
} lq_op_untold;

#endif
