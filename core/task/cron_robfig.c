/* Cron: the next instant exactly as robfig/cron v3 finds it, for those who move
 * from Asynq and want its instants to the second.
 *
 * It walks: the month is moved on until it fits, then the day, the hour, the
 * minute; when one of them wraps, it begins anew.  Months and days are moved in
 * local time, by Go's rule for local times that do not exist or exist twice;
 * hours and minutes in elapsed time.  The first move of all sets what is
 * smaller to zero.
 */
#include "task/cron_next.h"

#define MINUTE_S 60
#define HOUR_S 3600
#define DAY_S 86400
#define STEPS_MAX 100000 /* a walk of five years takes some thousands */

struct walk {
    const lq_cron *c;
    int64_t at; /* Unix seconds */
    bool moved;
    int steps;
    /* at, as the clock on the wall shows it */
    lq_date date;
    int64_t days;
    unsigned hour, minute, second;
};

static void set(struct walk *w, int64_t at)
{
    int64_t local = at + lq_zone_at(w->c->zone, at).offset_s;
    w->at = at;
    w->steps++;
    w->days = lq_floor_div(local, DAY_S);
    w->date = lq_date_of(w->days);
    unsigned s = (unsigned)(local - w->days * DAY_S);
    w->hour = s / HOUR_S;
    w->minute = s % HOUR_S / MINUTE_S;
    w->second = s % MINUTE_S;
}

/* Go's choice for a local time: the offset at that time taken as UTC; where
 * that does not hold at the instant it leads to, the one that holds there. */
static void set_local(struct walk *w, int64_t local)
{
    lq_zone_span span = lq_zone_at(w->c->zone, local);
    int64_t utc = local - span.offset_s;
    if (span.offset_s != 0 && (utc < span.start || utc >= span.end))
        utc = local - lq_zone_at(w->c->zone, utc).offset_s;
    set(w, utc);
}

/* Where a whole day was left out (Apia in 2011) its walk does not end. */
static bool lost(const struct walk *w)
{
    return w->steps >= STEPS_MAX;
}

static int64_t clock_of(const struct walk *w)
{
    return (int64_t)w->hour * HOUR_S + (int64_t)w->minute * MINUTE_S +
           w->second;
}

/* The following return true when they wrapped. */

static bool to_month(struct walk *w)
{
    while (!lq_cron_has(w->c->month, w->date.month) && !lost(w)) {
        if (!w->moved) {
            w->moved = true;
            set_local(w, lq_date_days(w->date.year, w->date.month, 1) * DAY_S);
        }
        bool last = w->date.month == 12;
        set_local(w, lq_date_days(w->date.year + last,
                                  last ? 1 : w->date.month + 1, w->date.day) *
                             DAY_S +
                         clock_of(w));
        if (w->date.month == 1)
            return true;
    }
    return false;
}

static bool to_day(struct walk *w)
{
    while (!lq_cron_day_fits(w->c, w->date, w->days) && !lost(w)) {
        if (!w->moved) {
            w->moved = true;
            set_local(w, w->days * DAY_S);
        }
        set_local(w, (w->days + 1) * DAY_S + clock_of(w));
        if (w->hour > 12) /* there was no midnight, or it came twice */
            set(w, w->at + (int64_t)(24 - w->hour) * HOUR_S);
        else if (w->hour > 0)
            set(w, w->at - (int64_t)w->hour * HOUR_S);
        if (w->date.day == 1)
            return true;
    }
    return false;
}

static bool to_hour(struct walk *w)
{
    while (!lq_cron_has(w->c->hour, w->hour)) {
        if (!w->moved) {
            w->moved = true;
            set_local(w, w->days * DAY_S + (int64_t)w->hour * HOUR_S);
        }
        set(w, w->at + HOUR_S);
        if (w->hour == 0)
            return true;
    }
    return false;
}

static bool to_minute(struct walk *w)
{
    while (!lq_cron_has(w->c->minute, w->minute)) {
        if (!w->moved) {
            w->moved = true;
            set(w, lq_floor_div(w->at, MINUTE_S) * MINUTE_S);
        }
        set(w, w->at + MINUTE_S);
        if (w->minute == 0)
            return true;
    }
    return false;
}

static bool to_second(struct walk *w)
{
    while (w->second != 0) {
        w->moved = true;
        set(w, w->at + 1);
        if (w->second == 0)
            return true;
    }
    return false;
}

int64_t lq_cron_next_robfig(const lq_cron *c, int64_t after_s)
{
    struct walk w = {.c = c};
    set(&w, after_s + 1);
    int64_t limit = w.date.year + LQ_CRON_YEARS_AHEAD;
    while (w.date.year <= limit && !lost(&w))
        if (!to_month(&w) && !to_day(&w) && !to_hour(&w) && !to_minute(&w) &&
            !to_second(&w) && !lost(&w))
            return w.at;
    return lost(&w) ? -1 : 0;
}
