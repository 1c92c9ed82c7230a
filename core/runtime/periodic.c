/* Rounds of periodic work. */
#include "runtime/periodic.h"

#include "base/clock.h"

static void round_due(void *ud)
{
    lq_periodic *p = ud;
    p->running = true;
    p->work(p->ud);
}

int lq_periodic_start(lq_periodic *p, lq_loop *loop, int64_t first_ms,
                      int64_t every_ms, void (*work)(void *ud), void *ud,
                      lunaq_error *err)
{
    p->every_ms = every_ms;
    p->work = work;
    p->ud = ud;
    p->running = false;
    int rc = lq_timer_new(&p->timer, loop, round_due, p, err);
    if (rc)
        return rc;
    lq_timer_start(p->timer, first_ms);
    return LUNAQ_OK;
}

void lq_periodic_over_in(lq_periodic *p, int64_t ms)
{
    p->running = false;
    if (p->timer)
        lq_timer_start(p->timer, ms < 0 ? 0 : ms);
}

void lq_periodic_over(lq_periodic *p)
{
    int64_t jitter = p->every_ms / 10;
    lq_periodic_over_in(p, p->every_ms - jitter +
                               (int64_t)lq_random((uint64_t)jitter * 2 + 1));
}

void lq_periodic_now(lq_periodic *p)
{
    if (p->timer && !p->running)
        lq_timer_start(p->timer, 0);
}

void lq_periodic_stop(lq_periodic *p)
{
    lq_timer_close(p->timer);
    p->timer = NULL;
}
