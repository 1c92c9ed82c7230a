/* Option structs that grow: each begins with its size as its caller knew it. */
#ifndef LQ_OPTIONS_H
#define LQ_OPTIONS_H

#include "base/error.h"

/** Reads a struct that begins with `size_t size` into *out, which has `known`
 *  bytes: fields that the caller did not know become zero.  in may be NULL: all
 *  zero.  LUNAQ_EINVAL when size is too small to be one, or when the caller set
 *  fields that this version does not know. */
int lq_options_read(void *out, size_t known, const void *in, const char *what,
                    lunaq_error *err);

#endif
