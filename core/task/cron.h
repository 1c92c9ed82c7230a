/* Periodic entries: spec → next instant.  The grammar of robfig/cron v3, which
 * Asynq's scheduler takes, in any time zone. */
#ifndef LQ_CRON_H
#define LQ_CRON_H

#include "task/zone.h"

/* What happens to local times that a change of the clock leaves out or brings
 * twice. */
enum lq_dst {
    /* As in Vixie's cron: a fixed time ("30 2 * * *") that is left out fires at
     * the first instant behind the gap, one that comes twice fires at the
     * first; what is due often (`often`) follows the clock as it goes. */
    LQ_DST_VIXIE,
    /* Exactly as robfig/cron, and so Asynq: left out, or twice. */
    LQ_DST_ROBFIG
};

typedef struct lq_cron {
    uint64_t minute, hour, dom, month, dow; /* bit i: value i fires */
    bool dom_star, dow_star; /* a star item without a step > 1: both must fit */
    bool often; /* minute or hour has a star or an "N/step": no fixed times */
    enum lq_dst dst;
    int64_t every_ms; /* > 0: "@every", and the fields are unused */
    lq_str tz;        /* of the prefix, a view into the spec; p NULL = none */
    const lq_zone *zone; /* borrowed; NULL = UTC */
} lq_cron;

/** Parses "m h dom mon dow", "@daily" and its kin, or "@every 1h30m" (under 1 s
 *  becomes 1 s, fractions of a second are cut).  LUNAQ_EINVAL says which field
 *  and why.  A "TZ=" or "CRON_TZ=" prefix is found in `tz`; whoever needs
 *  instants looks the zone up and sets `zone` (cron_rule.h does both). */
int lq_cron_parse(lq_cron *out, lq_str spec, lunaq_error *err);

/** The first instant after `after_ms` (Unix ms) at which it fires; 0 when there
 *  is none within five years (February 30th).  For "@every" it is
 *  after + every, cut to whole seconds, in whatever zone. */
int64_t lq_cron_next_ms(const lq_cron *c, int64_t after_ms);

#endif
