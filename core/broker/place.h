/* place: where a queue lives in a Redis Cluster. */
#ifndef LQ_BROKER_PLACE_H
#define LQ_BROKER_PLACE_H

#include "broker/broker.h"

typedef struct lq_place_node {
    lq_str id;   /* of the node, 40 hex digits */
    lq_str host; /* empty: the node that was asked */
    int64_t port;
} lq_place_node;

/* In a cluster only; nobody else supports it. */
typedef struct lq_op_queue_place {
    lq_op op;
    lq_str queue;
    int64_t slot;         /* result */
    lq_place_node *nodes; /* result, in op.mem: the master, then its replicas */
    size_t count;
} lq_op_queue_place;

#endif
