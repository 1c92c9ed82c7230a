/* link_durable: a connection to Redis on which enqueues may wait for replicas
 * and disks without holding up anything else. */
#ifndef LQ_LINK_DURABLE_H
#define LQ_LINK_DURABLE_H

#include "broker/broker.h"

/** Opens a link for a Redis URL as lq_redis_link_open() does.  WAIT and WAITAOF
 *  hold up the connection that sends them, so enqueues that ask for more than
 *  LUNAQ_DURABLE_NONE go by a second one, which is opened for the first of
 *  them.  The events are those of the first connection. */
lq_link_open_fn lq_redis_durable_link_open;

#endif
