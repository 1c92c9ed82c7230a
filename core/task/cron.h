/* Periodic entries: spec → next instant.  The grammar of robfig/cron v3, which
 * Asynq's scheduler takes, in UTC. */
#ifndef LQ_CRON_H
#define LQ_CRON_H

#include "base/error.h"
#include "base/str.h"

typedef struct lq_cron {
    uint64_t minute, hour, dom, month, dow; /* bit i: value i fires */
    bool dom_star, dow_star; /* a star item without a step > 1: both must fit */
    int64_t every_ms;        /* > 0: "@every", and the fields are unused */
} lq_cron;

/** Parses "m h dom mon dow", "@daily" and its kin, or "@every 1h30m" (under 1 s
 *  becomes 1 s, fractions of a second are cut).  LUNAQ_EINVAL says which field
 *  and why; a "TZ=" or "CRON_TZ=" prefix other than UTC is refused, time zones
 *  are not known yet. */
int lq_cron_parse(lq_cron *out, lq_str spec, lunaq_error *err);

/** The first instant after `after_ms` (Unix ms) at which it fires; 0 when there
 *  is none within five years (February 30th).  For "@every" it is
 *  after + every, cut to whole seconds. */
int64_t lq_cron_next_ms(const lq_cron *c, int64_t after_ms);

#endif
