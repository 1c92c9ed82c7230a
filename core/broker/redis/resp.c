#include "redis/resp.h"

#include "base/alloc.h"

/* Finds the end of the line that begins at p[at]; 0 = not here yet. */
static size_t line_end(const char *p, size_t at, size_t len)
{
    const char *nl = memchr(p + at, '\n', len - at);
    return nl ? (size_t)(nl - p) : 0;
}

/* How long a line of this type may be; 0 = no such type. */
static size_t line_max(char type)
{
    switch (type) {
    case '$':
    case '*':
    case ':':
        return 64;
    case '+':
    case '-':
        return (size_t)64 * 1024;
    default:
        return 0;
    }
}

static bool line_number(const char *p, size_t from, size_t nl, int64_t *value)
{
    if (nl < from + 2 || p[nl - 1] != '\r')
        return false;
    return lq_str_int64(lq_str_n(p + from, nl - 1 - from), value);
}

/* One value has ended: so have the arrays that it was the last of. */
static void value_ended(lq_resp *r)
{
    while (r->depth > 0 && --r->left[r->depth - 1] == 0)
        r->depth--;
}

/* Scans the value that begins at r->at.  *more: its bytes are not all here. */
static int scan_value(lq_resp *r, const char *p, size_t len, bool *more,
                      lunaq_error *err)
{
    int64_t n = 0;
    size_t nl = line_end(p, r->at, len);
    size_t max = line_max(p[r->at]);
    *more = false;
    if (!max)
        return lq_fail(err, LUNAQ_EPROTO,
                       "redis: a reply begins with byte 0x%02x: is this a "
                       "Redis server?",
                       (unsigned char)p[r->at]);
    if ((nl ? nl : len) - r->at > max)
        return lq_fail(err, LUNAQ_EPROTO, "redis: a line is too long");
    if (!nl) {
        *more = true;
        return LUNAQ_OK;
    }
    switch (p[r->at]) {
    case '+':
    case '-':
        if (nl == r->at + 1 || p[nl - 1] != '\r')
            return lq_fail(err, LUNAQ_EPROTO, "redis: a line without CR");
        break;
    case ':':
        if (!line_number(p, r->at + 1, nl, &n))
            return lq_fail(err, LUNAQ_EPROTO, "redis: a bad integer");
        break;
    case '$':
        if (!line_number(p, r->at + 1, nl, &n) || n < -1 || n > LQ_RESP_BYTES)
            return lq_fail(err, LUNAQ_EPROTO,
                           "redis: a bad or too large string length");
        if (n < 0)
            break;
        if (len - nl - 1 < (size_t)n + 2) {
            *more = true;
            return LUNAQ_OK;
        }
        nl += (size_t)n + 2;
        if (p[nl - 1] != '\r' || p[nl] != '\n')
            return lq_fail(err, LUNAQ_EPROTO, "redis: a string without CRLF");
        break;
    default: /* '*' */
        if (!line_number(p, r->at + 1, nl, &n) || n < -1 || n > LQ_RESP_NODES)
            return lq_fail(err, LUNAQ_EPROTO,
                           "redis: a bad or too large array length");
        if (n > 0 && r->depth == LQ_RESP_DEPTH)
            return lq_fail(err, LUNAQ_EPROTO, "redis: arrays nested too deep");
        break;
    }
    r->nodes++;
    if (r->nodes > LQ_RESP_NODES)
        return lq_fail(err, LUNAQ_EPROTO, "redis: too many values in a reply");
    bool open = p[r->at] == '*' && n > 0;
    r->at = nl + 1;
    if (open)
        r->left[r->depth++] = (uint32_t)n;
    else
        value_ended(r);
    return LUNAQ_OK;
}

/* Lays the value at *at out in *node.  The bytes were scanned: no checks. */
static void lay(lq_resp *r, const char *p, size_t *at, lq_reply *node,
                size_t *next)
{
    const char *nl = memchr(p + *at, '\n', r->at - *at);
    size_t line = (size_t)(nl - p) - 1 - (*at + 1);
    char type = p[*at];
    int64_t n = 0;

    *node = (lq_reply){.type = LQ_REPLY_NIL};
    if (type == '+' || type == '-') {
        node->type = type == '+' ? LQ_REPLY_STATUS : LQ_REPLY_ERROR;
        node->str = lq_str_n(p + *at + 1, line);
        *at = (size_t)(nl - p) + 1;
        return;
    }
    (void)lq_str_int64(lq_str_n(p + *at + 1, line), &n);
    *at = (size_t)(nl - p) + 1;
    if (type == ':') {
        node->type = LQ_REPLY_INTEGER;
        node->integer = n;
    } else if (n >= 0 && type == '$') {
        node->type = LQ_REPLY_STRING;
        node->str = lq_str_n(p + *at, (size_t)n);
        *at += (size_t)n + 2;
    } else if (n >= 0) {
        lq_reply *items = r->tree + *next;
        *next += (size_t)n;
        node->type = LQ_REPLY_ARRAY;
        node->items = items;
        node->count = (size_t)n;
        /* At most LQ_RESP_DEPTH deep: the scan saw to it. */
        for (int64_t i = 0; i < n; i++)
            lay(r, p, at, &items[i], next);
    }
}

int lq_resp_scan(lq_resp *r, const char *p, size_t len, size_t *used,
                 const lq_reply **reply, lunaq_error *err)
{
    *used = 0;
    *reply = NULL;
    do {
        bool more = r->at >= len;
        if (!more) {
            int rc = scan_value(r, p, len, &more, err);
            if (rc)
                return rc;
        }
        if (more) {
            if (len > LQ_RESP_BYTES)
                return lq_fail(err, LUNAQ_EPROTO,
                               "redis: a reply is larger "
                               "than 256 MiB");
            return LUNAQ_OK;
        }
    } while (r->depth > 0);

    if (r->nodes > r->room) {
        size_t room = r->nodes < 64 ? 64 : r->nodes;
        lq_reply *tree = lq_malloc(room * sizeof(*tree));
        if (!tree)
            return lq_fail_nomem(err);
        lq_free(r->tree);
        r->tree = tree;
        r->room = room;
    }
    size_t at = 0, next = 1;
    lay(r, p, &at, &r->tree[0], &next);
    *reply = r->tree;
    *used = r->at;
    r->at = 0;
    r->nodes = 0;
    return LUNAQ_OK;
}

void lq_resp_release(lq_resp *r)
{
    lq_free(r->tree);
    *r = (lq_resp){0};
}

const lq_reply *lq_reply_at(const lq_reply *reply, size_t i)
{
    static const lq_reply nil = {.type = LQ_REPLY_NIL};
    return reply->type == LQ_REPLY_ARRAY && i < reply->count ? &reply->items[i]
                                                             : &nil;
}

int64_t lq_reply_int(const lq_reply *reply, int64_t other)
{
    int64_t n = 0;
    if (reply->type == LQ_REPLY_INTEGER)
        return reply->integer;
    return reply->type == LQ_REPLY_STRING && lq_str_int64(reply->str, &n)
               ? n
               : other;
}

lq_str lq_reply_str(const lq_reply *reply)
{
    if (reply->type == LQ_REPLY_STRING || reply->type == LQ_REPLY_STATUS)
        return reply->str;
    return (lq_str){0};
}
