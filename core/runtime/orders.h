/* Orders from afar: to take no more tasks, or to stop.  They are looked for
 * with every heartbeat, and at once when a note comes. */
#ifndef LQ_ORDERS_H
#define LQ_ORDERS_H

#include "broker/order.h"
#include "runtime/periodic.h"
#include "runtime/runtime.h"

struct lq_control;

typedef struct lq_orders {
    struct lq_control *control;
    lq_periodic look;
    bool again; /* a note came while one was taken */
    lq_op_order_take op;
} lq_orders;

int lq_orders_start(lq_orders *o, struct lq_control *c, lunaq_error *err);
void lq_orders_stop(lq_orders *o);
/** A note of LQ_ORDER_NOTE came, for this server or for another. */
void lq_orders_heard(lq_orders *o, lq_str note);

#endif
