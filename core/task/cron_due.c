/* Due instants, and what becomes of missed ones. */
#include "task/cron_due.h"

#define HOUR_MS INT64_C(3600000)
#define SKEW_MS 300000 /* by which the clocks of several hosts may differ */

/* The last `room` due instants from `next` on, in a ring; how many there are.
 */
struct ring {
    int64_t at[LQ_MISSED_MAX];
    size_t room;
    uint64_t seen;
};

static void walk(struct ring *r, const lq_cron *c, int64_t next, int64_t now_ms)
{
    r->seen = 0;
    for (; next && next <= now_ms; next = lq_cron_next_ms(c, next))
        r->at[r->seen++ % r->room] = next;
}

/* Fills the ring.  When much was missed it is not walked through from its
 * beginning: a window that ends now and holds enough will do. */
static void latest(struct ring *r, const lq_cron *c, int64_t next,
                   int64_t now_ms)
{
    static const int64_t hours[] = {1, 24, INT64_C(24) * 32, INT64_C(24) * 367};
    for (size_t i = 0; i < LQ_COUNT(hours); i++) {
        int64_t from = now_ms - hours[i] * HOUR_MS;
        if (from <= next)
            break;
        walk(r, c, lq_cron_next_ms(c, from), now_ms);
        if (r->seen >= r->room)
            return;
    }
    walk(r, c, next, now_ms);
}

static int64_t oldest(const struct ring *r)
{
    return r->seen < r->room ? r->at[0] : r->at[r->seen % r->room];
}

/* "@every" keeps its beat: next, next + every … */
static int64_t beat(const lq_cron *c, int64_t next, int64_t now_ms,
                    int64_t room)
{
    int64_t last = (now_ms - next) / c->every_ms;
    int64_t first = last >= room ? last - room + 1 : 0;
    return next + first * c->every_ms;
}

int64_t lq_cron_due(const lq_cron_rule *rule, int64_t *next_ms, int64_t now_ms)
{
    const lq_cron *c = &rule->cron;
    struct ring r = {.room = rule->missed == LQ_MISSED_ALL ? LQ_MISSED_MAX : 1};
    if (!*next_ms || *next_ms > now_ms)
        return 0;
    if (c->every_ms > 0) {
        *next_ms = beat(c, *next_ms, now_ms, (int64_t)r.room);
    } else {
        latest(&r, c, *next_ms, now_ms);
        *next_ms = oldest(&r);
    }
    if (rule->missed != LQ_MISSED_SKIP || *next_ms > now_ms - LQ_CRON_LATE_MS)
        return *next_ms;
    *next_ms =
        c->every_ms > 0 ? *next_ms + c->every_ms : lq_cron_next_ms(c, *next_ms);
    return 0;
}

int64_t lq_cron_believed_ms(const lq_cron *c, int64_t now_ms)
{
    int64_t period = c->every_ms;
    if (period <= 0) {
        int64_t next = lq_cron_next_ms(c, now_ms);
        period = next ? lq_cron_next_ms(c, next) - next : 0;
    }
    return now_ms + (period > SKEW_MS ? period : SKEW_MS);
}
