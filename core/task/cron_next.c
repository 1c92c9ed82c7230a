/* Cron: the next instant.
 *
 * A zone is a row of spans in which local time runs evenly; in each, the local
 * minutes that fit are looked up.  What lies between two spans decides the
 * rest: a gap, whose fixed times fire at its end, or a time that comes again,
 * which fixed times sit out.
 */
#include "task/cron_next.h"

#define MINUTE_S 60
#define DAY_S 86400
#define DAY_MINUTES 1440
#define NONE INT64_MAX

/* The first minute of the day that fires, from `from` on; -1 = none. */
static int minute_of_day(const lq_cron *c, unsigned from)
{
    for (unsigned m = from; m < DAY_MINUTES; m++) {
        if (!lq_cron_has(c->hour, m / 60))
            m += 59 - m % 60; /* to the next hour */
        else if (lq_cron_has(c->minute, m % 60))
            return (int)m;
    }
    return -1;
}

/* The first local second in [from, to) that fires, or NONE. */
static int64_t local_next(const lq_cron *c, int64_t from, int64_t to)
{
    int64_t minute = lq_floor_div(from + MINUTE_S - 1, MINUTE_S);
    int64_t days = lq_floor_div(minute, DAY_MINUTES);
    unsigned first = (unsigned)(minute - days * DAY_MINUTES);
    for (; days * DAY_S < to; days++, first = 0) {
        lq_date d = lq_date_of(days);
        if (!lq_cron_has(c->month, d.month) || !lq_cron_day_fits(c, d, days))
            continue;
        int m = minute_of_day(c, first);
        int64_t at = days * DAY_S + (int64_t)m * MINUTE_S;
        if (m >= 0)
            return at < to ? at : NONE;
    }
    return NONE;
}

/* Fixed times at the edge where `span` begins.  Returns NONE, or the edge when
 * one of them was left out there; moves *from (local) behind what came
 * before. */
static int64_t at_edge(const lq_cron *c, const lq_zone_span *span,
                       int64_t earliest, int64_t *from)
{
    if (span->start == INT64_MIN)
        return NONE;
    int64_t before =
        span->start + lq_zone_at(c->zone, span->start - 1).offset_s;
    int64_t after = span->start + span->offset_s;
    if (*from < before)
        *from = before;
    if (before < after && earliest <= span->start &&
        local_next(c, before, after) != NONE)
        return span->start;
    return NONE;
}

static int64_t next_vixie(const lq_cron *c, int64_t after_s)
{
    int64_t earliest = after_s + 1;
    lq_zone_span span = lq_zone_at(c->zone, earliest);
    int64_t year =
        lq_date_of(lq_floor_div(earliest + span.offset_s, DAY_S)).year;
    int64_t limit =
        lq_date_days(year + LQ_CRON_YEARS_AHEAD + 1, 1, 1) * DAY_S; /* local */
    for (;;) {
        int64_t from =
            span.offset_s + (earliest > span.start ? earliest : span.start);
        int64_t to =
            span.end < limit ? span.end + span.offset_s : limit; /* local */
        if (!c->often) {
            int64_t edge = at_edge(c, &span, earliest, &from);
            if (edge != NONE)
                return edge;
        }
        int64_t at = local_next(c, from, to < limit ? to : limit);
        if (at != NONE)
            return at - span.offset_s;
        if (to >= limit)
            return 0;
        span = lq_zone_at(c->zone, span.end);
    }
}

int64_t lq_cron_next_ms(const lq_cron *c, int64_t after_ms)
{
    if (c->every_ms > 0)
        return lq_floor_div(after_ms + c->every_ms, 1000) * 1000;
    int64_t after_s = lq_floor_div(after_ms, 1000);
    int64_t next =
        c->dst == LQ_DST_ROBFIG ? lq_cron_next_robfig(c, after_s) : -1;
    return 1000 * (next < 0 ? next_vixie(c, after_s) : next);
}
