/* What the two ways to find a spec's next instant share. */
#ifndef LQ_CRON_NEXT_H
#define LQ_CRON_NEXT_H

#include "task/cron.h"
#include "task/date.h"

#define LQ_CRON_YEARS_AHEAD 5

static inline bool lq_cron_has(uint64_t bits, unsigned i)
{
    return bits >> i & 1;
}

/** Of the two day fields; not of the month. */
static inline bool lq_cron_day_fits(const lq_cron *c, lq_date d, int64_t days)
{
    bool dom = lq_cron_has(c->dom, d.day);
    bool dow = lq_cron_has(c->dow, lq_date_weekday(days));
    return c->dom_star || c->dow_star ? dom && dow : dom || dow;
}

/** As lq_cron_next_ms() by robfig's walk over the fields; in Unix seconds.  -1:
 *  the walk does not end. */
int64_t lq_cron_next_robfig(const lq_cron *c, int64_t after_s);

#endif
