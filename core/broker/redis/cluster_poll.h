/* cluster_poll: the blocking connection to a Redis Cluster: one connection a
 * node (link_poll.h), opened when it is needed. */
#ifndef LQ_CLUSTER_POLL_H
#define LQ_CLUSTER_POLL_H

#include "broker/broker.h"
#include "broker/url.h"

/** Opens it for a URL of a cluster, which is not kept.  What the cluster cannot
 *  do at the moment (a slot that is on its way, a node that is being replaced)
 *  is tried again within the call's time.  LUNAQ_ECONFIG: the URL cannot be
 *  used. */
int lq_cluster_caller_open(lq_caller **out, const lq_url *url,
                           lunaq_error *err);

#endif
