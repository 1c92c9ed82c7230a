/* The listener: hears cancel requests, orders, and which queues are paused, on
 * a connection of its own. */
#ifndef LQ_LISTENER_H
#define LQ_LISTENER_H

#include "runtime/runtime.h"

struct lq_control;

typedef struct lq_listener {
    struct lq_control *control;
    lq_link *link;
    lq_timer *again; /* after the broker refused to let us listen */
    bool up, closing;
    lq_op_listen op;
} lq_listener;

int lq_listener_start(lq_listener *l, struct lq_control *c, lunaq_error *err);
/** closed(ud) comes once. */
void lq_listener_close(lq_listener *l, void (*closed)(void *ud), void *ud);

#endif
