/* sentinel: asks Redis' sentinels who the master is, without a socket.
 *
 * A round goes through the sentinels one after another, beginning with the one
 * that answered last:
 *
 *     lq_sentinel_whom()            connect to it
 *     lq_sentinel_begin()           connected: the question is in the output
 *     lq_sentinel_output() → write → lq_sentinel_sent()
 *     lq_sentinel_received()        until lq_sentinel_master() is set
 *     lq_sentinel_next()            no answer, or its master is none: the next
 *
 * What a sentinel says is believed only after the server itself said that it
 * is a master (ROLE, in proto.c's greeting): a sentinel that was cut off names
 * the old one for a while.
 */
#ifndef LQ_SENTINEL_H
#define LQ_SENTINEL_H

#include "broker/url.h"

typedef struct lq_sentinel lq_sentinel;

/** url: an LQ_URL_REDIS_SENTINEL; copied as far as needed. */
int lq_sentinel_new(lq_sentinel **out, const lq_url *url, lunaq_error *err);
void lq_sentinel_free(lq_sentinel *s); /* NULL is fine */

/** Whom to ask now.  Borrowed until the next call of lq_sentinel_next(). */
const lq_url_host *lq_sentinel_whom(const lq_sentinel *s);
/** The transport to it is there. */
int lq_sentinel_begin(lq_sentinel *s, lunaq_error *err);
lq_str lq_sentinel_output(const lq_sentinel *s);
void lq_sentinel_sent(lq_sentinel *s, size_t n);
/** Bytes came.  On failure it has nothing to say: close the connection and go
 *  on with lq_sentinel_next().  LUNAQ_EPROTO: what it says is no answer;
 *  LUNAQ_ECONFIG: it refused the login or knows no such master;
 *  LUNAQ_EBROKER: it knows none at the moment. */
int lq_sentinel_received(lq_sentinel *s, const char *p, size_t n,
                         lunaq_error *err);
/** What it answered; NULL = nothing yet.  Borrowed until the next begin. */
const lq_url_host *lq_sentinel_master(const lq_sentinel *s);

/** Goes on with the next.  False: all were asked, and a new round begins. */
bool lq_sentinel_next(lq_sentinel *s);
/** The master that was named is one: the next round begins with this
 *  sentinel. */
void lq_sentinel_was_right(lq_sentinel *s);

#endif
