/* order: what a person asks of a server from afar.
 *
 * An order is a short text that is kept for the server, once, for a minute; the
 * newest replaces the one before.  Those who listen for cancel requests hear a
 * note with the server's id, so that it takes the order at once; if the note is
 * lost it does with its next heartbeat.
 */
#ifndef LQ_BROKER_ORDER_H
#define LQ_BROKER_ORDER_H

#include "broker/broker.h"

#define LQ_ORDER_NOTE "lunaq:order:" /* and the server's id: no task's id */
/* And the name of a queue that was paused or resumed: servers hear it in the
 * same way, so that they need not wait for their next look. */
#define LQ_QUEUE_NOTE "lunaq:queue:"
#define LQ_ORDER_KEPT_S 60
#define LQ_ORDER_MAX 512

typedef struct lq_op_order {
    lq_op op; /* rc ENOTFOUND: no such server lives */
    lq_str host, server_id;
    int32_t pid;
    lq_str text;
} lq_op_order;

typedef struct lq_op_order_take {
    lq_op op;
    lq_str host, server_id;
    int32_t pid;
    lq_str text; /* result, in op.mem; p NULL = there is none */
} lq_op_order_take;

#endif
