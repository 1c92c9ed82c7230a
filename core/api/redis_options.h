/* What lunaq_redis_options and the environment add to a broker's URL. */
#ifndef LQ_REDIS_OPTIONS_H
#define LQ_REDIS_OPTIONS_H

#include <lunaq/lunaq.h>

/** Writes the URL, with what it leaves open taken from options (NULL: none)
 *  and from LUNAQ_REDIS_…, to *out, which the caller lq_free()s.
 *  LUNAQ_ECONFIG: the URL cannot be used. */
int lq_redis_options_apply(char **out, const char *url,
                           const lunaq_redis_options *options,
                           lunaq_error *err);

#endif
