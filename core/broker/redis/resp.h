/* resp: Redis replies out of bytes (RESP2), without trusting the sender.
 *
 * The scanner walks bytes as they come, in any pieces, and says where a reply
 * ends; it allocates nothing, so a header that announces four billion elements
 * costs nothing.  A whole reply is then laid out as a tree of views into the
 * bytes: one allocation a reply at most, none once the nodes have grown.
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

typedef struct lq_reply {
    enum lq_reply_type type;
    lq_str str;                   /* STRING, STATUS, ERROR (without '-') */
    int64_t integer;              /* INTEGER */
    const struct lq_reply *items; /* ARRAY */
    size_t count;
} lq_reply;

typedef struct lq_resp {
    size_t at;    /* scanned so far, from the reply's first byte */
    size_t nodes; /* values seen */
    int depth;
    uint32_t left[LQ_RESP_DEPTH]; /* elements still to come, per open array */
    lq_reply *tree; /* room for `room` values, kept from reply to reply */
    size_t room;
} lq_resp; /* born as {0} */

/** Scans p[0..len), which begins with a reply (the same bytes as last time and
 *  perhaps more).  Returns LUNAQ_OK with *used = 0 when it needs more bytes,
 *  or with its length and *reply when it is whole: views into p, valid until
 *  the bytes move or the next call.  LUNAQ_EPROTO: not a reply, or larger than
 *  the limits above. */
int lq_resp_scan(lq_resp *r, const char *p, size_t len, size_t *used,
                 const lq_reply **reply, lunaq_error *err);
void lq_resp_release(lq_resp *r);

/** The i-th element of an array; a nil when there is none. */
const lq_reply *lq_reply_at(const lq_reply *reply, size_t i);
/** An integer, or a string that is one; `other` for anything else. */
int64_t lq_reply_int(const lq_reply *reply, int64_t other);
/** The bytes of a string or status; p NULL for anything else. */
lq_str lq_reply_str(const lq_reply *reply);

#endif
