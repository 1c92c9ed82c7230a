/* The janitor: deletes completed tasks that outlived their retention, and what
 * is over the limits of its queue. */
#ifndef LQ_JANITOR_H
#define LQ_JANITOR_H

#include "runtime/periodic.h"
#include "runtime/runtime.h"

struct lq_control;

typedef struct lq_janitor {
    struct lq_control *control;
    lq_periodic round;
    size_t queue;
    lq_op_clean op;
} lq_janitor;

int lq_janitor_start(lq_janitor *j, struct lq_control *c, lunaq_error *err);
void lq_janitor_stop(lq_janitor *j);

#endif
