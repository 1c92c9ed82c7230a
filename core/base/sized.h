/* Reading structs that carry their size: what a caller built against another
 * version of the library passes in. */
#ifndef LQ_SIZED_H
#define LQ_SIZED_H

#include "base/error.h"
#include "base/str.h"

/** Copies the struct `in`, which begins with its size, to out, which has
 *  `known` bytes: what the caller does not know is zero, the default.
 *  LUNAQ_EINVAL when it sets a field that this library does not know.  what:
 *  the struct's name, for the message. */
static inline int lq_sized_copy(void *out, size_t known, const void *in,
                                const char *what, lunaq_error *err)
{
    size_t size = 0;
    memcpy(&size, in, sizeof size);
    if (size < sizeof size || size > (size_t)1 << 16)
        return lq_fail(err, LUNAQ_EINVAL,
                       "%s: its size is not set: begin with its _INIT macro",
                       what);
    const unsigned char *bytes = in;
    for (size_t i = known; i < size; i++)
        if (bytes[i])
            return lq_fail(err, LUNAQ_EINVAL,
                           "%s: sets a field that lunaq %s does not know: "
                           "update the library",
                           what, LUNAQ_VERSION);
    memset(out, 0, known);
    memcpy(out, in, size < known ? size : known);
    memcpy(out, &known, sizeof known);
    return LUNAQ_OK;
}

#endif
