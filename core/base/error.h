/* Failing with a code and a message for people. */
#ifndef LQ_ERROR_H
#define LQ_ERROR_H

#include <lunaq/lunaq.h>
#include <stdarg.h>

/** Fills *err (may be NULL) and returns code, so that a failing function ends
 *  in `return lq_fail(err, LUNAQ_EINVAL, "…")`.  Long messages are cut at a
 *  character. */
__attribute__((format(printf, 3, 4))) int lq_fail(lunaq_error *err, int code,
                                                  const char *format, ...);
/** Puts "context: " before the message that is there. */
__attribute__((format(printf, 2, 3))) void
lq_error_prefix(lunaq_error *err, const char *format, ...);
/** lq_fail(LUNAQ_ENOMEM). */
int lq_fail_nomem(lunaq_error *err);

#endif
