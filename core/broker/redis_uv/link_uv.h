/* link_uv: a connection to Redis on an event loop. */
#ifndef LQ_LINK_UV_H
#define LQ_LINK_UV_H

#include "broker/broker.h"
#include "broker/url.h"
#include "redis/tls.h"

/** Opens a link for a Redis URL (broker/url.h); the first attempt to connect
 *  follows on the loop.  What operations of one loop turn send leaves together
 *  at its end.
 *
 *  A connection on which replies are due and nothing comes for 10 s (for
 *  LQ_OP_WAIT: its timeout and 5 s) is given up.  One that listens is asked for
 *  a sign of life after half of that time.
 *  Where sentinels may name another server meanwhile these are 5 s and 2.5 s,
 *  and a connection that was idle for 2.5 s asks for a sign of life.
 *  After a loss `down` comes first, then the operations that were under way
 *  are done.  LUNAQ_ECONFIG: the URL cannot be used. */
lq_link_open_fn lq_redis_link_open;
/** The same for a URL that was parsed, and is no cluster's; it is not kept.
 *  tls: as lq_session_new() has it (redis/session.h). */
int lq_redis_link_open_url(lq_link **out, struct lq_loop *loop,
                           const lq_url *url, lq_tls_context *tls,
                           const lq_link_events *events, void *ud,
                           lunaq_error *err);

#endif
