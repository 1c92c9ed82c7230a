/* link_poll: the blocking connection to Redis, over poll(). */
#ifndef LQ_LINK_POLL_H
#define LQ_LINK_POLL_H

#include "broker/broker.h"
#include "broker/url.h"
#include "redis/tls.h"

/** Opens a blocking connection for a Redis URL that is no cluster's; it is not
 *  kept.  Connects at the first call, and again at the next call after a loss;
 *  never repeats an operation by itself.  A call's time bounds everything but
 *  the look-up of a name, which takes what the system's resolver takes.
 *  tls: as lq_session_new() has it (redis/session.h).  LUNAQ_ECONFIG: the URL
 *  cannot be used. */
int lq_redis_caller_open_url(lq_caller **out, const lq_url *url,
                             lq_tls_context *tls, lunaq_error *err);
/** The same for a URL as text. */
int lq_redis_caller_open(lq_caller **out, const char *url, lunaq_error *err);

#endif
