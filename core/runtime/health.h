/* Health: asks the broker now and then whether it answers, for a program that
 * wants to know. */
#ifndef LQ_HEALTH_H
#define LQ_HEALTH_H

#include "runtime/runtime.h"

struct lq_control;

typedef struct lq_health {
    struct lq_control *control;
    lq_timer *timer;
    lq_op_ping op;
    bool asking; /* since asked_ms, monotonic */
    int64_t asked_ms;
} lq_health;

/** Does nothing when nobody wants to know. */
int lq_health_start(lq_health *h, struct lq_control *c, lunaq_error *err);
void lq_health_stop(lq_health *h);

#endif
