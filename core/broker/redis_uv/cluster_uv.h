/* cluster_uv: a connection to a Redis Cluster on an event loop: one link a node
 * (link_uv.h), opened when it is needed. */
#ifndef LQ_CLUSTER_UV_H
#define LQ_CLUSTER_UV_H

#include "broker/broker.h"
#include "broker/url.h"

/** Opens it for a URL of a cluster, which is not kept.
 *
 *  It is up once the map of slots was read.  When a node is lost while replies
 *  of it are due, `down` comes, what is under way ends, and after the map was
 *  read again `up`: so the owner does all that it does after a lost connection
 *  (a new token, reconciling, renewing).  The same when a slot comes back that
 *  was out of reach so long that leases may have ended.  In between, operations
 *  for a node that cannot be reached end with EBROKER, a step's queue by queue;
 *  the others are carried out. */
int lq_cluster_link_open(lq_link **out, struct lq_loop *loop, const lq_url *url,
                         const lq_link_events *events, void *ud,
                         lunaq_error *err);

#endif
