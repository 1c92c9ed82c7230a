/* Bytes written as hex, for tests of what is on the wire. */
#ifndef LQ_HEX_H
#define LQ_HEX_H

#include "unit.h"

static inline int nibble(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Blanks are allowed between bytes.  The block ends where the bytes do, so that
 * a sanitizer sees every read past the end. */
static inline lq_str from_hex(const char *hex)
{
    char *bytes = lq_malloc(strlen(hex) / 2 + 1);
    size_t n = 0;
    for (; *hex; hex++) {
        if (*hex == ' ')
            continue;
        bytes[n++] = (char)(nibble(hex[0]) << 4 | nibble(hex[1]));
        hex++;
    }
    char *exact = lq_realloc(bytes, n);
    return lq_str_n(exact, n);
}

static inline void release(lq_str s)
{
    lq_free((void *)(uintptr_t)s.p);
}

#define V9 "ff ff ff ff ff ff ff ff ff " /* nine bytes of a ten-byte varint */
#define V8 "80 80 80 80 80 80 80 80 "

#endif
