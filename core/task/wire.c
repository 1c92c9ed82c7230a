/* The protobuf wire format, bounds checked before every step. */
#include "task/wire.h"

#include "base/alloc.h"
#include "base/map.h"

#define NUMBER_MAX ((UINT32_C(1) << 29) - 1)
#define GROUP_DEPTH_MAX 10001 /* Go's recursion limit, and the group itself */

/* ---- reading ------------------------------------------------------------ */

lq_wire lq_wire_open(lq_str bytes)
{
    static const unsigned char nothing;
    const unsigned char *p =
        bytes.len ? (const unsigned char *)bytes.p : &nothing;
    return (lq_wire){.start = p, .p = p, .end = p + bytes.len};
}

static bool refuse(lq_wire *w, const char *why)
{
    if (!w->why)
        w->why = why;
    return false;
}

static bool take_varint(lq_wire *w, uint64_t *v)
{
    uint64_t value = 0;
    *v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (w->p == w->end)
            return refuse(w, "the bytes end inside a number");
        unsigned char byte = *w->p++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *v = value;
            return true;
        }
    }
    return refuse(w, "a number has more than 64 bits");
}

static bool skip_fixed(lq_wire *w, size_t len)
{
    if ((size_t)(w->end - w->p) < len)
        return refuse(w, "the bytes end inside a field");
    w->p += len;
    return true;
}

static bool take_bytes(lq_wire *w, lq_str *bytes)
{
    uint64_t len;
    if (!take_varint(w, &len))
        return false;
    if (len > (uint64_t)(w->end - w->p))
        return refuse(w, "a length runs past the end");
    *bytes = lq_str_n(w->p, (size_t)len);
    w->p += len;
    return true;
}

/* Reads a value that is not a group. */
static bool take_value(lq_wire *w, unsigned type, uint64_t *varint,
                       lq_str *bytes)
{
    switch (type) {
    case LQ_WIRE_VARINT:
        return take_varint(w, varint);
    case LQ_WIRE_FIXED64:
        return skip_fixed(w, 8);
    case LQ_WIRE_BYTES:
        return take_bytes(w, bytes);
    case LQ_WIRE_FIXED32:
        return skip_fixed(w, 4);
    default:
        return refuse(w, "a field has a type that does not exist");
    }
}

/* Skips to the end of the group whose tag was just read.  The stack of open
 * groups is why this is a function of its own: its 40 KB are touched only when
 * there is a group, which Asynq never writes. */
__attribute__((noinline)) static bool skip_group(lq_wire *w, uint32_t number)
{
    uint32_t open[GROUP_DEPTH_MAX];
    size_t depth = 0;
    open[depth++] = number;
    while (depth > 0) {
        uint64_t tag, varint;
        lq_str bytes;
        if (!take_varint(w, &tag))
            return false;
        /* Go checks numbers inside of groups less strictly. */
        if (tag >> 3 == 0 || tag >> 3 > INT32_MAX)
            return refuse(w, "a field number is out of range");
        uint32_t inner = (uint32_t)(tag >> 3);
        unsigned type = tag & 7;
        if (type == LQ_WIRE_GROUP) {
            if (depth == LQ_COUNT(open))
                return refuse(w, "groups are nested too deep");
            open[depth++] = inner;
        } else if (type == LQ_WIRE_GROUP_END) {
            if (open[--depth] != inner)
                return refuse(w, "a group ends that was not open");
        } else if (!take_value(w, type, &varint, &bytes)) {
            return false;
        }
    }
    return true;
}

bool lq_wire_next(lq_wire *w)
{
    if (w->why || w->p == w->end)
        return false;
    const unsigned char *start = w->p;
    uint64_t tag;
    if (!take_varint(w, &tag))
        return false;
    if (tag >> 3 == 0 || tag >> 3 > NUMBER_MAX)
        return refuse(w, "a field number is out of range");
    w->number = (uint32_t)(tag >> 3);
    w->type = tag & 7;
    if (w->type == LQ_WIRE_GROUP_END)
        return refuse(w, "a group ends that was not open");
    bool ok = w->type == LQ_WIRE_GROUP
                  ? skip_group(w, w->number)
                  : take_value(w, w->type, &w->varint, &w->bytes);
    if (ok)
        w->raw = lq_str_n(start, (size_t)(w->p - start));
    return ok;
}

lq_str lq_wire_string(lq_wire *w)
{
    if (!lq_utf8_valid(w->bytes))
        refuse(w, "a string is not UTF-8");
    return w->bytes;
}

void lq_wire_timestamp(lq_wire *w, int64_t *s, int32_t *ns)
{
    lq_wire inner = lq_wire_open(w->bytes);
    while (lq_wire_next(&inner)) {
        if (lq_wire_is(&inner, 1, LQ_WIRE_VARINT))
            *s = (int64_t)inner.varint;
        else if (lq_wire_is(&inner, 2, LQ_WIRE_VARINT))
            *ns = (int32_t)(uint32_t)inner.varint;
    }
    if (inner.why)
        refuse(w, inner.why);
}

int lq_wire_result(const lq_wire *w, const char *what, lunaq_error *err)
{
    if (!w->why)
        return LUNAQ_OK;
    return lq_fail(err, LUNAQ_EPROTO, "%s: near byte %zu of %zu: %s", what,
                   (size_t)(w->p - w->start), (size_t)(w->end - w->start),
                   w->why);
}

/* ---- maps --------------------------------------------------------------- */

#define FEW 16 /* up to here, looking at all of them beats a hash map */

static size_t find_key(const char *items, size_t count, size_t item_size,
                       lq_str key)
{
    size_t i = 0;
    while (
        i < count &&
        !lq_str_eq(*(const lq_str *)(const void *)(items + i * item_size), key))
        i++;
    return i;
}

int64_t lq_wire_unique(void *array, size_t count, size_t item_size)
{
    char *items = array;
    size_t kept = 0;
    int64_t result = -1;
    lq_map places = {0}; /* key → item kept */
    for (size_t i = 0; i < count; i++) {
        char *item = items + i * item_size, *place;
        lq_str key = *(lq_str *)(void *)item;
        if (count <= FEW) {
            place = items + find_key(items, kept, item_size, key) * item_size;
        } else {
            place = lq_map_get(&places, key);
            if (!place) {
                place = items + kept * item_size;
                if (!lq_map_set(&places, key, place, NULL))
                    goto out;
            }
        }
        if (place == items + kept * item_size)
            kept++;
        if (place != item)
            memcpy(place, item, item_size);
    }
    result = (int64_t)kept;
out:
    lq_map_release(&places);
    return result;
}

void *lq_wire_room_for_one(void *array, size_t count, size_t item_size)
{
    /* It is full at 0, 4, 8, 16, …, so the count alone says when. */
    bool full = count == 0 || (count >= 4 && (count & (count - 1)) == 0);
    if (!full)
        return array;
    return lq_realloc(array, (count < 4 ? 4 : 2 * count) * item_size);
}

/* ---- writing ------------------------------------------------------------ */

unsigned char *lq_wire_put_varint(unsigned char *to, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *to++ = (unsigned char)(v | 0x80);
    *to++ = (unsigned char)v;
    return to;
}

unsigned char *lq_wire_put_tag(unsigned char *to, uint32_t number,
                               unsigned type)
{
    return lq_wire_put_varint(to, (uint64_t)number << 3 | type);
}

unsigned char *lq_wire_put_int(unsigned char *to, uint32_t number, int64_t v)
{
    if (v == 0)
        return to;
    to = lq_wire_put_tag(to, number, LQ_WIRE_VARINT);
    return lq_wire_put_varint(to, (uint64_t)v);
}

unsigned char *lq_wire_put_head(unsigned char *to, uint32_t number, size_t len)
{
    to = lq_wire_put_tag(to, number, LQ_WIRE_BYTES);
    return lq_wire_put_varint(to, len);
}

static unsigned char *put_clean(unsigned char *to, lq_str s)
{
    if (s.len == 0)
        return to;
    if (lq_utf8_valid(s))
        memcpy(to, s.p, s.len);
    else
        lq_utf8_clean(s, (char *)to, s.len); /* as long as it was */
    return to + s.len;
}

unsigned char *lq_wire_put_bytes(unsigned char *to, uint32_t number, lq_str s)
{
    if (s.len == 0)
        return to;
    to = lq_wire_put_head(to, number, s.len);
    memcpy(to, s.p, s.len);
    return to + s.len;
}

unsigned char *lq_wire_put_string(unsigned char *to, uint32_t number, lq_str s)
{
    if (s.len == 0)
        return to;
    return put_clean(lq_wire_put_head(to, number, s.len), s);
}

unsigned char *lq_wire_put_timestamp(unsigned char *to, uint32_t number,
                                     int64_t s, int32_t ns)
{
    unsigned char inner[LQ_WIRE_TIMESTAMP_MAX];
    unsigned char *end = lq_wire_put_int(inner, 1, s);
    end = lq_wire_put_int(end, 2, ns);
    size_t len = (size_t)(end - inner);
    to = lq_wire_put_head(to, number, len);
    memcpy(to, inner, len);
    return to + len;
}

static size_t bytes_len(lq_str s)
{
    return 1 + lq_wire_varint_len(s.len) + s.len;
}

unsigned char *lq_wire_put_entry(unsigned char *to, uint32_t number, lq_str key,
                                 lq_str value)
{
    to = lq_wire_put_head(to, number, bytes_len(key) + bytes_len(value));
    to = put_clean(lq_wire_put_head(to, 1, key.len), key);
    return put_clean(lq_wire_put_head(to, 2, value.len), value);
}

unsigned char *lq_wire_put_entry_int(unsigned char *to, uint32_t number,
                                     lq_str key, int64_t value)
{
    size_t len = bytes_len(key) + 1 + lq_wire_varint_len((uint64_t)value);
    to = lq_wire_put_head(to, number, len);
    to = put_clean(lq_wire_put_head(to, 1, key.len), key);
    to = lq_wire_put_tag(to, 2, LQ_WIRE_VARINT);
    return lq_wire_put_varint(to, (uint64_t)value);
}
