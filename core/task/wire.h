/* The protobuf wire format: fields out of bytes, and bytes out of fields.
 *
 * Reading takes what Go's protobuf runtime takes and refuses what it refuses:
 * varints of up to ten bytes, groups (skipped) up to 10,000 deep, field numbers
 * from 1 to 2^29 - 1.
 */
#ifndef LQ_WIRE_H
#define LQ_WIRE_H

#include "base/buf.h"
#include "base/error.h"

enum {
    LQ_WIRE_VARINT = 0,
    LQ_WIRE_FIXED64 = 1,
    LQ_WIRE_BYTES = 2,
    LQ_WIRE_GROUP = 3,
    LQ_WIRE_GROUP_END = 4,
    LQ_WIRE_FIXED32 = 5
};

typedef struct lq_wire {
    const unsigned char *start, *p, *end;
    const char *why; /* set once the bytes are refused */
    /* the field that lq_wire_next() read */
    uint32_t number;
    unsigned type;
    uint64_t varint; /* LQ_WIRE_VARINT */
    lq_str bytes;    /* LQ_WIRE_BYTES */
    lq_str raw;      /* all of it, tag included */
} lq_wire;

lq_wire lq_wire_open(lq_str bytes);
/** Reads the next field; false at the end, and when `why` got set. */
bool lq_wire_next(lq_wire *w);
/** True when the field has this number and type: number and type decide
 *  together, a known number of another type is an unknown field. */
static inline bool lq_wire_is(const lq_wire *w, uint32_t number, unsigned type)
{
    return w->number == number && w->type == type;
}
/** The field's bytes as a string; sets `why` when they are not UTF-8. */
lq_str lq_wire_string(lq_wire *w);
/** A Timestamp, merged into *s and *ns, which keep what it does not hold. */
void lq_wire_timestamp(lq_wire *w, int64_t *s, int32_t *ns);
/** LUNAQ_OK, or LUNAQ_EPROTO with what and where when `why` is set. */
int lq_wire_result(const lq_wire *w, const char *what, lunaq_error *err);

/** Of items that begin with an lq_str key keeps one a key, at the place of the
 *  first and with the value of the last, as a map does.  Returns how many are
 *  left; -1 when out of memory. */
int64_t lq_wire_unique(void *items, size_t count, size_t item_size);

/** Room for one more item in an lq_malloc'ed array (NULL: none yet) that holds
 *  count and grows through this function alone.  NULL when out of memory; the
 *  array stays as it was. */
void *lq_wire_room_for_one(void *array, size_t count, size_t item_size);

/* Writing goes to memory that was reserved before: the caller adds up the
 * sizes.  Each function returns where the next byte goes. */
#define LQ_WIRE_VARINT_MAX ((size_t)10)
#define LQ_WIRE_TAG_MAX ((size_t)2) /* numbers below 2048 */

static inline size_t lq_wire_varint_len(uint64_t v)
{
    size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

/** The most that a field with these bytes takes. */
static inline size_t lq_wire_room(lq_str s)
{
    return LQ_WIRE_TAG_MAX + LQ_WIRE_VARINT_MAX + s.len;
}

unsigned char *lq_wire_put_varint(unsigned char *to, uint64_t v);
unsigned char *lq_wire_put_tag(unsigned char *to, uint32_t number,
                               unsigned type);
/* The next four write nothing for zero and empty, as proto3 wants. */
unsigned char *lq_wire_put_int(unsigned char *to, uint32_t number, int64_t v);
unsigned char *lq_wire_put_bytes(unsigned char *to, uint32_t number, lq_str s);
/** Invalid UTF-8 becomes '?', byte by byte. */
unsigned char *lq_wire_put_string(unsigned char *to, uint32_t number, lq_str s);
/** Head of a sub-message of len bytes; also when len is 0. */
unsigned char *lq_wire_put_head(unsigned char *to, uint32_t number, size_t len);
/** A Timestamp, always written; at most LQ_WIRE_TIMESTAMP_MAX bytes. */
unsigned char *lq_wire_put_timestamp(unsigned char *to, uint32_t number,
                                     int64_t s, int32_t ns);
#define LQ_WIRE_TIMESTAMP_MAX ((size_t)26)
/** An entry of a map: key and value are written even when empty, as Go does.
 *  At most lq_wire_room() of both, and LQ_WIRE_ENTRY_MAX. */
unsigned char *lq_wire_put_entry(unsigned char *to, uint32_t number, lq_str key,
                                 lq_str value);
unsigned char *lq_wire_put_entry_int(unsigned char *to, uint32_t number,
                                     lq_str key, int64_t value);
#define LQ_WIRE_ENTRY_MAX ((size_t)24)

#endif
