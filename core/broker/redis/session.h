/* session: all that a URL of Redis asks for, without a socket: the sentinels'
 * word, TLS, the greeting, operations (proto.h).
 *
 * A driver connects where it is told, moves bytes and keeps the time:
 *
 *     lq_session_where()            connect there, then lq_session_begin()
 *     lq_session_output() → write → lq_session_sent()   as long as there is any
 *     lq_session_space() → read → lq_session_received() may end the connection
 *     lq_session_hop()              true: close it, go to lq_session_where()
 *     lq_session_state() == READY   operations: lq_session_proto()
 *     lq_session_lost()             could not connect, or it broke
 *
 *            begin                                 (sentinels only)
 *     DOWN ────────▶ SECURING ──▶ ASKING ── hop ──▶ DOWN, where() = the master
 *      ▲      (TLS)      │
 *      │                 └──────▶ GREETING ──▶ READY
 *      └─ lost, from everywhere
 *
 * One thread at a time.
 */
#ifndef LQ_SESSION_H
#define LQ_SESSION_H

#include "redis/proto.h"
#include "redis/tls.h"

typedef struct lq_session lq_session;

enum lq_session_state {
    LQ_SESSION_DOWN,
    LQ_SESSION_SECURING, /* TLS' handshake */
    LQ_SESSION_ASKING,   /* a sentinel */
    LQ_SESSION_GREETING,
    LQ_SESSION_READY
};

/** Makes a session that is DOWN.  Copies what it needs of url.  tls: what the
 *  URL says of it, which has to outlive the session and may serve others of
 *  this thread; NULL: it reads the files itself.  LUNAQ_ECONFIG: the URL cannot
 *  be used. */
int lq_session_new(lq_session **out, const lq_url *url, lq_tls_context *tls,
                   lunaq_error *err);
/** Must be DOWN with nothing left to fetch.  NULL is fine. */
void lq_session_free(lq_session *s);

lq_proto *lq_session_proto(lq_session *s);
enum lq_session_state lq_session_state(const lq_session *s);
/** "asking sentinel h:p", "TLS with …": what is being done, for messages. */
void lq_session_show(const lq_session *s, char *out, size_t size);

/** What "the server closed the connection" is to be followed by: "" or a
 *  guess why it never said a word.  Static. */
const char *lq_session_why_closed(const lq_session *s);

/** What "no answer in time" is to be followed by, likewise. */
const char *lq_session_why_silent(const lq_session *s);

/** Where to connect now.  port 0: host is the path of a socket.  Borrowed
 *  until hop or lost. */
void lq_session_where(const lq_session *s, const char **host, int *port);
/** True when there is more than one place to try: be brief with each. */
bool lq_session_has_choice(const lq_session *s);
/** The transport to it is there. */
int lq_session_begin(lq_session *s, lunaq_error *err);

/** What is to be written, len 0 = nothing; *rc and err when that failed, the
 *  connection is lost then.  It stays until lq_session_sent(), or lost. */
lq_str lq_session_output(lq_session *s, int *rc, lunaq_error *err);
void lq_session_sent(lq_session *s, size_t n);
/** Room to read into; NULL when out of memory. */
char *lq_session_space(lq_session *s, size_t *size);
/** n bytes came into the space.  On failure the connection is to be closed:
 *  lq_session_lost() with this error. */
int lq_session_received(lq_session *s, size_t n, lunaq_error *err);

/** True, once, when the connection has served: a sentinel answered.  Close it
 *  and connect to where(); the session is DOWN. */
bool lq_session_hop(lq_session *s);

/** The transport is gone, given up, or could not be made.  True: connect to
 *  where() at once, there is another place to try.  False: all were tried, or
 *  there is only this one; *why then says so. */
bool lq_session_lost(lq_session *s, lunaq_error *why);

#endif
