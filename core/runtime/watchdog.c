/* Ticks only while somebody is busy, so that an idle daemon sleeps. */
#include "runtime/watchdog.h"

#include "base/clock.h"
#include "runtime/control.h"
#include "runtime/worker.h"

#define TICK_MS 5
#define QUIET_TICKS 20
#define WARN_AFTER_MS 10000 /* inside one run: worth a line in the log */

/* Ticks every runner that is inside a run; true when there is one. */
static bool tick_all(lq_watchdog *d)
{
    lq_runtime *rt = d->control->rt;
    int64_t now = lq_mono_ns();
    bool busy = false;

    pthread_mutex_lock(&d->mutex);
    for (size_t w = 0; w < rt->o.worker_threads && !d->disabled; w++)
        for (size_t i = 0; i < rt->o.runner_count; i++) {
            lq_runner *r = rt->workers[w]->runners[i];
            if (!r->ops->busy || !r->ops->busy(r))
                continue;
            busy = true;
            if (r->ops->tick)
                r->ops->tick(r, now);
        }
    pthread_mutex_unlock(&d->mutex);
    return busy;
}

static void tick(void *ud)
{
    lq_watchdog *d = ud;

    d->quiet_ticks = tick_all(d) ? 0 : d->quiet_ticks + 1;
    if (d->quiet_ticks >= QUIET_TICKS) {
        /* Who becomes busy from here on sees `ticking` false and wakes us; who
         * became busy just before saw it true, so look once more. */
        atomic_store(&d->ticking, false);
        if (!tick_all(d) || atomic_exchange(&d->ticking, true))
            return;
        d->quiet_ticks = 0;
    }
    lq_timer_start(d->tick, TICK_MS);
}

static void wake(lq_post *post)
{
    lq_watchdog *d = LQ_OF(post, lq_watchdog, tick_post);
    d->quiet_ticks = 0;
    if (d->tick)
        lq_timer_start(d->tick, TICK_MS);
}

void lq_watchdog_wake(lq_watchdog *d)
{
    /* Not relaxed: the runner's own mark must be visible before. */
    if (atomic_load(&d->ticking))
        return;
    if (!atomic_exchange(&d->ticking, true))
        lq_loop_post(d->control->loop, &d->tick_post);
}

static void report(lq_watchdog *d, size_t worker, int64_t since_ns,
                   const char *type, const char *id)
{
    lq_runtime *rt = d->control->rt;
    int64_t inside_ms = (lq_mono_ns() - since_ns) / 1000000;
    int64_t limit = rt->o.stuck_after_ms;

    if (limit > 0 && inside_ms >= limit)
        atomic_store(&rt->stuck, true);
    if (inside_ms < WARN_AFTER_MS || d->reported[worker] == -since_ns)
        return;
    if (d->reported[worker] != since_ns) {
        d->reported[worker] = since_ns;
        LQ_LOG(rt->o.log, WARN,
               "worker stuck inside one call; it takes nothing, its leases go "
               "on",
               lq_fc("type", type), lq_fc("task_id", id),
               lq_fi("worker", (int64_t)worker),
               lq_fi("seconds", inside_ms / 1000));
    }
    if (limit <= 0 || inside_ms < limit)
        return;
    d->reported[worker] = -since_ns; /* told once */
    if (rt->o.stuck)
        rt->o.stuck(type, id, inside_ms / 1000, rt->o.stuck_userdata);
}

static void look(void *ud)
{
    lq_watchdog *d = ud;
    lq_runtime *rt = d->control->rt;

    atomic_store(&rt->stuck, false);
    pthread_mutex_lock(&d->mutex);
    for (size_t w = 0; w < rt->o.worker_threads && !d->disabled; w++)
        for (size_t i = 0; i < rt->o.runner_count; i++) {
            lq_runner *r = rt->workers[w]->runners[i];
            char type[LUNAQ_NAME_MAX + 1], id[LUNAQ_NAME_MAX + 1];
            int64_t since;
            if (r->ops->inside &&
                r->ops->inside(r, &since, type, id, sizeof(type)))
                report(d, w, since, type, id);
        }
    pthread_mutex_unlock(&d->mutex);
    lq_periodic_over_in(&d->look, 1000);
}

void lq_watchdog_disable(lq_watchdog *d)
{
    pthread_mutex_lock(&d->mutex);
    d->disabled = true;
    pthread_mutex_unlock(&d->mutex);
}

void lq_watchdog_init(lq_watchdog *d, struct lq_control *c)
{
    d->control = c;
    d->tick_post.fn = wake;
    pthread_mutex_init(&d->mutex, NULL);
}

int lq_watchdog_start(lq_watchdog *d, lunaq_error *err)
{
    int rc = lq_timer_new(&d->tick, d->control->loop, tick, d, err);
    if (rc)
        return rc;
    if (atomic_load(&d->ticking)) /* a handler ran while it was loaded */
        lq_timer_start(d->tick, TICK_MS);
    return lq_periodic_start(&d->look, d->control->loop, 1000, 1000, look, d,
                             err);
}

void lq_watchdog_stop(lq_watchdog *d)
{
    lq_timer_close(d->tick);
    d->tick = NULL;
    lq_periodic_stop(&d->look);
}
