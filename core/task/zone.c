/* TZif: a header, a block of 32-bit times, and from version 2 on a second
 * header, a block of 64-bit times and a rule for what comes after them.
 *
 *   header   "TZif" version 15×0  isutc isstd leap time type char   (6 × u32)
 *   block    times  indices of types  types (offset i32, dst, name)  names
 *            leap seconds  standard/wall  UTC/local
 *   footer   \n POSIX rule \n
 */
#include "task/zone.h"

#include "base/alloc.h"

#define HEADER_LEN 44
#define TYPE_LEN 6
#define TYPES_MAX 256
#define OFFSET_MIN (-93599) /* RFC 8536: -25:59:59 to 26:00:00 … */
#define OFFSET_MAX 93600
/* What zic writes for "always" is 2^59 s ago; sums with an offset fit. */
#define CHANGE_MAX (INT64_C(1) << 60)

struct type {
    int32_t offset_s;
    bool dst;
};

struct lq_zone {
    size_t count; /* of changes */
    int64_t *at;
    uint8_t *to; /* the type from at[i] on; in the same block */
    struct type types[TYPES_MAX];
    bool has_rule;
    lq_zone_rule rule; /* after the last change */
};

/* ---- bytes --------------------------------------------------------------- */

static uint32_t u32(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 |
           b[3];
}

static int32_t i32(const char *p)
{
    uint32_t u = u32(p);
    return u <= INT32_MAX ? (int32_t)u : -(int32_t)(UINT32_MAX - u) - 1;
}

static int64_t i64(const char *p)
{
    uint64_t u = (uint64_t)u32(p) << 32 | u32(p + 4);
    return u <= INT64_MAX ? (int64_t)u : -(int64_t)(UINT64_MAX - u) - 1;
}

struct header {
    char version;
    uint32_t isutc, isstd, leap, time, type, chars;
};

static const char *read_header(lq_str s, struct header *h)
{
    if (s.len < HEADER_LEN)
        return "is cut off in a header";
    if (memcmp(s.p, "TZif", 4) != 0)
        return "is not a TZif file";
    *h = (struct header){.version = s.p[4],
                         .isutc = u32(s.p + 20),
                         .isstd = u32(s.p + 24),
                         .leap = u32(s.p + 28),
                         .time = u32(s.p + 32),
                         .type = u32(s.p + 36),
                         .chars = u32(s.p + 40)};
    /* Newer versions are to stay readable as this one. */
    if (h->version != 0 && h->version < '2')
        return "is of an unknown version";
    if (h->type == 0 || h->type > TYPES_MAX || h->chars == 0 ||
        (h->isutc != 0 && h->isutc != h->type) ||
        (h->isstd != 0 && h->isstd != h->type))
        return "has counts that do not fit each other";
    return NULL;
}

/* Counts are 32 bits each, so the sum cannot overflow. */
static uint64_t block_len(const struct header *h, uint64_t time_len)
{
    return h->time * time_len + h->time + (uint64_t)h->type * TYPE_LEN +
           h->chars + h->leap * (time_len + 4) + h->isstd + h->isutc;
}

/* ---- parsing ------------------------------------------------------------- */

static const char *read_types(lq_zone *z, const struct header *h, const char *p)
{
    for (uint32_t i = 0; i < h->type; i++, p += TYPE_LEN) {
        z->types[i].offset_s = i32(p);
        z->types[i].dst = p[4] != 0;
        if (z->types[i].offset_s < OFFSET_MIN ||
            z->types[i].offset_s > OFFSET_MAX)
            return "has an offset of more than a day";
        if (p[4] != 0 && p[4] != 1)
            return "has a flag that is neither 0 nor 1";
        if ((unsigned char)p[5] >= h->chars)
            return "has a name outside its names";
    }
    return NULL;
}

static const char *read_block(lq_zone *z, const struct header *h, const char *p,
                              size_t time_len)
{
    if (h->leap != 0)
        return "counts leap seconds, which Unix time does not: use the zone "
               "without \"right/\"";
    const char *index = p + h->time * time_len;
    for (uint32_t i = 0; i < h->time; i++) {
        const char *at = p + i * time_len;
        z->at[i] = time_len == 8 ? i64(at) : i32(at);
        z->to[i] = (uint8_t)index[i];
        if (z->at[i] < -CHANGE_MAX || z->at[i] > CHANGE_MAX)
            return "has a change that is out of range";
        if (i > 0 && z->at[i] <= z->at[i - 1])
            return "has changes that are out of order";
        if (z->to[i] >= h->type)
            return "has a change to a type that it does not list";
    }
    z->count = h->time;
    return read_types(z, h, index + h->time);
}

static const char *read_footer(lq_zone *z, lq_str s)
{
    const char *end =
        s.len > 1 && s.p[0] == '\n' ? memchr(s.p + 1, '\n', s.len - 1) : NULL;
    if (!end)
        return "is cut off in its rule";
    lq_str rule = lq_str_n(s.p + 1, (size_t)(end - s.p) - 1);
    z->has_rule = rule.len > 0;
    return z->has_rule ? lq_zone_rule_parse(&z->rule, rule) : NULL;
}

static lq_zone *zone_new(size_t count)
{
    lq_zone *z = lq_calloc(1, sizeof(*z));
    if (z)
        z->at = lq_calloc(count + 1, sizeof(*z->at) + sizeof(*z->to));
    if (!z || !z->at) {
        lq_free(z);
        return NULL;
    }
    z->to = (uint8_t *)(z->at + count + 1);
    return z;
}

int lq_zone_parse(lq_zone **out, lq_str s, lunaq_error *err)
{
    struct header h;
    size_t time_len = 4;
    lq_zone *z = NULL;
    const char *why =
        s.len > LQ_ZONE_BYTES_MAX ? "is too large" : read_header(s, &h);
    if (!why && h.version != 0) { /* the 64-bit block instead */
        uint64_t skip = HEADER_LEN + block_len(&h, 4);
        if (skip > s.len) {
            why = "is cut off";
        } else {
            s = lq_str_n(s.p + skip, s.len - (size_t)skip);
            time_len = 8;
            why = read_header(s, &h);
            if (!why && h.version == 0)
                why = "has two versions";
        }
    }
    if (!why && HEADER_LEN + block_len(&h, time_len) > s.len)
        why = "is cut off";
    if (!why && !(z = zone_new(h.time)))
        return lq_fail_nomem(err);
    if (!why)
        why = read_block(z, &h, s.p + HEADER_LEN, time_len);
    if (!why && time_len == 8) {
        size_t used = HEADER_LEN + (size_t)block_len(&h, time_len);
        why = read_footer(z, lq_str_n(s.p + used, s.len - used));
    }
    if (why) {
        lq_zone_free(z);
        return lq_fail(err, LUNAQ_EINVAL, "the zone's file %s", why);
    }
    *out = z;
    return LUNAQ_OK;
}

void lq_zone_free(lq_zone *zone)
{
    if (zone)
        lq_free(zone->at);
    lq_free(zone);
}

void lq_zone_swap(lq_zone *a, lq_zone *b)
{
    lq_zone was = *a;
    *a = *b;
    *b = was;
}

/* ---- asking -------------------------------------------------------------- */

/* How many changes lie at or before the instant. */
static size_t changes_until(const lq_zone *z, int64_t unix_s)
{
    size_t low = 0, high = z->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (z->at[mid] <= unix_s)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

lq_zone_span lq_zone_at(const lq_zone *z, int64_t unix_s)
{
    lq_zone_span span = {INT64_MIN, INT64_MAX, 0, false};
    if (!z)
        return span;
    size_t i = changes_until(z, unix_s);
    if (i == z->count && z->has_rule) {
        span = lq_zone_rule_at(&z->rule, unix_s);
        if (i > 0 && span.start < z->at[i - 1])
            span.start = z->at[i - 1];
        return span;
    }
    const struct type *t = &z->types[i > 0 ? z->to[i - 1] : 0];
    span.offset_s = t->offset_s;
    span.dst = t->dst;
    if (i > 0)
        span.start = z->at[i - 1];
    if (i < z->count)
        span.end = z->at[i];
    return span;
}
