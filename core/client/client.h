/* The blocking client: a lunaq_client over any broker's connection.
 *
 * The public functions that take a lunaq_client are implemented in this layer;
 * which broker it talks to is decided by whoever makes it (core/api).
 */
#ifndef LQ_CLIENT_H
#define LQ_CLIENT_H

#include "broker/broker.h"

/** Makes a client.  Consumes take_caller, also on failure.  timeout_ms: of each
 *  call; 0 = 5000. */
int lq_client_new(lunaq_client **out, lq_caller *take_caller,
                  int64_t timeout_ms, lunaq_error *err);
/** What tasks that do not say ask for, a lunaq_durable.  LUNAQ_EINVAL. */
int lq_client_set_durable(lunaq_client *client, int64_t durable,
                          lunaq_error *err);

#endif
