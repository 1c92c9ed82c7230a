/* resp: Redis replies out of bytes: hiredis' redisReader, without trusting the
 * sender.
 *
 * The reader takes bytes as they come, in any pieces, and builds replies; what
 * it does not limit itself is limited here.  It is the only file that knows
 * hiredis' structs, which differ between 0.14 and 1.x.
 */
#ifndef LQ_RESP_H
#define LQ_RESP_H

#include "base/error.h"
#include "base/str.h"

#define LQ_RESP_DEPTH 8            /* arrays in arrays */
#define LQ_RESP_NODES (1u << 20)   /* values in one reply */
#define LQ_RESP_BYTES (256u << 20) /* bytes of one reply */

enum lq_reply_type {
    LQ_REPLY_NIL,
    LQ_REPLY_STRING,
    LQ_REPLY_STATUS, /* "+OK" */
    LQ_REPLY_ERROR,
    LQ_REPLY_INTEGER,
    LQ_REPLY_ARRAY
};

typedef struct redisReply lq_reply; /* hiredis'; read by the functions below */

typedef struct lq_resp {
    struct redisReader *reader; /* NULL until bytes come */
    size_t bytes;               /* of the reply that is coming in */
    size_t count_at;            /* at so many bytes its values are counted */
} lq_resp;                      /* born as {0} */

/** Copies the first *used of p[0..len) into the reader; call lq_resp_next()
 *  until it has no more, then come again with the rest. */
int lq_resp_feed(lq_resp *r, const char *p, size_t len, size_t *used,
                 lunaq_error *err);
/** The next whole reply, to be freed by lq_reply_free(), or NULL when it needs
 *  more bytes.  LUNAQ_EPROTO: not a reply, or larger than the limits above;
 *  after that r is to be released. */
int lq_resp_next(lq_resp *r, lq_reply **reply, lunaq_error *err);
/** Forgets everything; r can be used again as after {0}. */
void lq_resp_release(lq_resp *r);
/** NULL is fine. */
void lq_reply_free(lq_reply *reply);

enum lq_reply_type lq_reply_type(const lq_reply *reply);
/** How many elements an array has; 0 for anything else. */
size_t lq_reply_count(const lq_reply *reply);
/** The i-th element of an array; a nil when there is none. */
const lq_reply *lq_reply_at(const lq_reply *reply, size_t i);
/** An integer, or a string that is one; `other` for anything else. */
int64_t lq_reply_int(const lq_reply *reply, int64_t other);
/** The bytes of a string or status; p NULL for anything else. */
lq_str lq_reply_str(const lq_reply *reply);
/** The text of an error (without '-'); p NULL for anything else. */
lq_str lq_reply_error(const lq_reply *reply);

#endif
