#include "redis/resp.h"

#include <hiredis.h>
#include <stdlib.h>

#define PIECE ((size_t)16 * 1024)       /* what the reader is fed at once */
#define KEEP_ROOM ((size_t)1024 * 1024) /* an empty buffer it may keep */
#define LINE_MAX_LEN ((size_t)64 * 1024)
#define NUMBER_MAX_LEN ((size_t)64)
#define COUNT_FIRST_AT ((size_t)1024 * 1024)

/* The i-th of the values that are open, arrays in arrays. */
#if HIREDIS_MAJOR < 1
#define OPEN_VALUE(reader, i) (&(reader)->rstack[i])
#else
#define OPEN_VALUE(reader, i) ((reader)->task[i])
#endif

/* ---- what hiredis does not limit ----------------------------------------- */

#if HIREDIS_MAJOR < 1
/* hiredis 0.14 has no maxelements: "*2147483647" makes it allocate 16 GiB,
 * which costs nothing while they are not touched, but when bytes that are no
 * reply follow at once it walks through all of them.  So its food is cut
 * behind everything that looks like such a header, that too_large() may have a
 * look at what came of it.  A cut in the wrong place does no harm. */
static size_t piece_len(const redisReader *in, const char *p, size_t len)
{
    const char *end = p + len, *nl = NULL;
    if (in->ridx >= 0 && in->rstack[in->ridx].type == REDIS_REPLY_ARRAY)
        nl = memchr(p, '\n', len); /* of a header that began before */
    for (const char *at = p; !nl && (at = memchr(at, '*', (size_t)(end - at)));
         at++) {
        const char *digit = at + 1;
        while (digit < end && *digit >= '0' && *digit <= '9')
            digit++;
        if (digit - at > 7 && end - digit > 1 && digit[1] == '\n')
            nl = digit + 1;
    }
    return nl ? (size_t)(nl - p) + 1 : len;
}
#endif

/* Counts the values of a reply, or of what is there of one, which the limits
 * on a single array do not bound.  False: it passes a limit. */
static bool count_values(const redisReply *v, int depth, size_t *count)
{
    if (!v)
        return true; /* still to come */
    if (++*count > LQ_RESP_NODES || v->type < REDIS_REPLY_STRING ||
        v->type > REDIS_REPLY_ERROR) /* RESP3 is never asked for */
        return false;
    if (v->type != REDIS_REPLY_ARRAY)
        return true;
    if (v->elements > LQ_RESP_NODES || depth == LQ_RESP_DEPTH)
        return false;
    for (size_t i = 0; i < v->elements; i++)
        if (!count_values(v->element[i], depth + 1, count))
            return false;
    return true;
}

/* What the reader waits for, once it has taken all it can: a line or a string
 * that does not end would be collected without a limit. */
static bool waits_in_vain(const redisReader *in)
{
    const char *p = in->buf + in->pos;
    size_t len = in->len - in->pos;
    if (OPEN_VALUE(in, in->ridx)->type != REDIS_REPLY_STRING)
        return len > LINE_MAX_LEN;
    if (!memchr(p, '\n', len < NUMBER_MAX_LEN ? len : NUMBER_MAX_LEN))
        return len >= NUMBER_MAX_LEN;
    return strtoll(p, NULL, 10) > LQ_RESP_BYTES; /* p ends with NUL */
}

/* Is the reply that is coming in beyond a limit already? */
static bool too_large(lq_resp *r)
{
    const redisReader *in = r->reader;
    bool large = r->bytes > LQ_RESP_BYTES || in->ridx > LQ_RESP_DEPTH ||
                 (in->ridx >= 0 && waits_in_vain(in));
    for (int i = 0; i < in->ridx; i++)
        if (OPEN_VALUE(in, i)->elements > (int)LQ_RESP_NODES) {
            /* Freeing must not walk through what never came. */
            redisReply *array = OPEN_VALUE(in, i)->obj;
            array->elements = (size_t)OPEN_VALUE(in, i + 1)->idx + 1;
            large = true;
        }
    if (!large && r->bytes >= r->count_at) {
        size_t count = 0;
        r->count_at = r->bytes * 2;
        large = !count_values(in->reply, 0, &count);
    }
    return large;
}

/* ---- bytes into replies -------------------------------------------------- */

static int reader_failed(const redisReader *in, lunaq_error *err)
{
    if (in->err == REDIS_ERR_OOM)
        return lq_fail_nomem(err);
    return lq_fail(err, LUNAQ_EPROTO, "redis: %s: is this a Redis server?",
                   in->errstr);
}

static int reply_too_large(lunaq_error *err)
{
    return lq_fail(err, LUNAQ_EPROTO,
                   "redis: a reply that is too large or nested too deep");
}

int lq_resp_feed(lq_resp *r, const char *p, size_t len, size_t *used,
                 lunaq_error *err)
{
    *used = len < PIECE ? len : PIECE;
    if (!r->reader) {
        r->reader = redisReaderCreate();
        if (!r->reader)
            return lq_fail_nomem(err);
        r->reader->maxbuf = KEEP_ROOM;
#if HIREDIS_MAJOR >= 1
        r->reader->maxelements = LQ_RESP_NODES;
#endif
        r->count_at = COUNT_FIRST_AT;
    }
#if HIREDIS_MAJOR < 1
    *used = piece_len(r->reader, p, *used);
#endif
    if (redisReaderFeed(r->reader, p, *used) != REDIS_OK)
        return reader_failed(r->reader, err);
    r->bytes += *used;
    return LUNAQ_OK;
}

int lq_resp_next(lq_resp *r, lq_reply **reply, lunaq_error *err)
{
    void *whole = NULL;
    size_t count = 0;
    *reply = NULL;
    if (redisReaderGetReply(r->reader, &whole) != REDIS_OK)
        return reader_failed(r->reader, err);
    if (!whole)
        return too_large(r) ? reply_too_large(err) : LUNAQ_OK;
    r->bytes = r->reader->len - r->reader->pos;
    r->count_at = COUNT_FIRST_AT;
    if (!count_values(whole, 0, &count)) {
        freeReplyObject(whole);
        return reply_too_large(err);
    }
    *reply = whole;
    return LUNAQ_OK;
}

void lq_resp_release(lq_resp *r)
{
    redisReaderFree(r->reader);
    *r = (lq_resp){0};
}

void lq_reply_free(lq_reply *reply)
{
    freeReplyObject(reply);
}

/* ---- reading a reply ----------------------------------------------------- */

enum lq_reply_type lq_reply_type(const lq_reply *reply)
{
    switch (reply->type) {
    case REDIS_REPLY_STRING:
        return LQ_REPLY_STRING;
    case REDIS_REPLY_STATUS:
        return LQ_REPLY_STATUS;
    case REDIS_REPLY_ERROR:
        return LQ_REPLY_ERROR;
    case REDIS_REPLY_INTEGER:
        return LQ_REPLY_INTEGER;
    case REDIS_REPLY_ARRAY:
        return LQ_REPLY_ARRAY;
    default:
        return LQ_REPLY_NIL;
    }
}

size_t lq_reply_count(const lq_reply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
}

const lq_reply *lq_reply_at(const lq_reply *reply, size_t i)
{
    static const redisReply nil = {.type = REDIS_REPLY_NIL};
    return i < lq_reply_count(reply) ? reply->element[i] : &nil;
}

int64_t lq_reply_int(const lq_reply *reply, int64_t other)
{
    int64_t n = 0;
    if (reply->type == REDIS_REPLY_INTEGER)
        return reply->integer;
    return reply->type == REDIS_REPLY_STRING &&
                   lq_str_int64(lq_str_n(reply->str, reply->len), &n)
               ? n
               : other;
}

lq_str lq_reply_str(const lq_reply *reply)
{
    if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS)
        return lq_str_n(reply->str, reply->len);
    return (lq_str){0};
}

lq_str lq_reply_error(const lq_reply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return lq_str_n(reply->str, reply->len);
    return (lq_str){0};
}
