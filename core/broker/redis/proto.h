/* proto: a Redis connection without a socket.
 *
 * Operations go in and become command bytes; bytes that a driver received go
 * in and become results.  A driver (the poll() one here, the one on a loop in
 * redis_uv) moves the bytes, keeps the time and owns the reconnecting:
 *
 *     lq_proto_begin()              the transport is connected: greeting queued
 *     lq_proto_output() → write → lq_proto_sent()     as long as there is any
 *     lq_proto_space() → read → lq_proto_received()   may end the connection
 *     lq_proto_state() == READY     now operations are taken
 *     lq_proto_submit()
 *     while ((op = lq_proto_finished())) …            after each step
 *     lq_proto_lost()               the transport is gone: DOWN again
 *
 *            begin               greeting answered
 *     DOWN ────────▶ GREETING ─────────────────────▶ READY
 *      ▲                │ lost                         │ lost
 *      └────────────────┴──────────────────────────────┘
 *
 * Nothing here calls op->done: finished operations wait in a list until the
 * driver fetches them, so an operation may be freed and others submitted
 * between two fetches, and nothing is ever called from inside submit.  The one
 * callback is that of LQ_OP_LISTEN, which comes from inside received.
 *
 * One thread at a time.
 */
#ifndef LQ_PROTO_H
#define LQ_PROTO_H

#include "broker/broker.h"
#include "broker/url.h"

typedef struct lq_proto lq_proto;

enum lq_proto_state { LQ_PROTO_DOWN, LQ_PROTO_GREETING, LQ_PROTO_READY };

/** Makes an engine that is DOWN.  Copies what it needs of url (user, password,
 *  database).  It serves any number of connections, one after another. */
int lq_proto_new(lq_proto **out, const lq_url *url, lunaq_error *err);
/** Must be DOWN with nothing left to fetch.  NULL is fine. */
void lq_proto_free(lq_proto *p);

enum lq_proto_state lq_proto_state(const lq_proto *p);

/** DOWN → GREETING: login, database and version are in the output. */
int lq_proto_begin(lq_proto *p, lunaq_error *err);

/** Takes op until it is fetched by lq_proto_finished().  Not READY, or op
 *  cannot be sent at all: it is finished at once, with its code.  op must be
 *  readied by lq_op_init(). */
void lq_proto_submit(lq_proto *p, lq_op *op);

/** Asks a connection on which an LQ_OP_LISTEN is under way for a sign of life:
 *  bytes come then, and nobody sees them.  Only when READY; before the server
 *  has confirmed that it listens, and without memory, nothing is asked. */
void lq_proto_nudge(lq_proto *p);

/** What is to be written, len 0 = nothing.  The bytes stay where they are,
 *  also while operations are submitted, until lq_proto_sent() was told of all
 *  of them, or lost. */
lq_str lq_proto_output(lq_proto *p);
/** The first n bytes of the output have left. */
void lq_proto_sent(lq_proto *p, size_t n);

/** Room to read into, at least 16 KiB; NULL when out of memory. */
char *lq_proto_space(lq_proto *p, size_t *size);
/** n bytes came into the space.  On failure the connection has to be closed:
 *  call lq_proto_lost() with this error.  LUNAQ_EPROTO: the bytes are not
 *  Redis', or over the limits; LUNAQ_ECONFIG: the login, the database or the
 *  server's version will not do; LUNAQ_EBROKER: it is still loading. */
int lq_proto_received(lq_proto *p, size_t n, lunaq_error *err);

/** The next finished operation, in the order they ended; NULL = none. */
lq_op *lq_proto_finished(lq_proto *p);

/** How many operations wait for replies (a LISTEN counts). */
size_t lq_proto_under_way(const lq_proto *p);

/** The transport is gone, or given up.  Operations of which bytes were sent
 *  finish with LUNAQ_EUNKNOWN, the others with LUNAQ_EBROKER; with
 *  why->code LUNAQ_ECANCELED, all with that.  DOWN after. */
void lq_proto_lost(lq_proto *p, const lunaq_error *why);

#endif
