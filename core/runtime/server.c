/* Start: control, workers, then tasks.  Stop: the other way round. */
#include "runtime/server.h"

#include "base/clock.h"
#include "runtime/control.h"
#include "runtime/worker.h"
#include "task/id.h"

#include <unistd.h>

#define HURRY_MS 50 /* how often a stop looks whether to hurry */
#define END_RUNS_MS                                                            \
    2000 /* for runs that were told to end, and their outcomes */
#define GOODBYE_MS 1000

int lq_server_new(lq_runtime **out, const lq_runtime_options *options,
                  lunaq_error *err)
{
    lq_runtime *rt = lq_calloc(1, sizeof(*rt));
    *out = NULL;
    if (!rt)
        return lq_fail_nomem(err);
    rt->o = *options;
    rt->workers =
        lq_calloc(options->worker_threads, sizeof(struct lq_worker *));
    if (!rt->workers) {
        lq_free(rt);
        return lq_fail_nomem(err);
    }
    if (gethostname(rt->host, sizeof(rt->host) - 1) || !rt->host[0])
        memcpy(rt->host, "unknown-host", sizeof("unknown-host"));
    rt->pid = (int32_t)getpid();
    rt->started_ms = lq_now_ms();
    lq_uuid4(rt->server_id);
    lq_caps_init(&rt->handler_caps);
    for (size_t i = 0; i < LQ_QUEUES_MAX; i++)
        atomic_store(&rt->waiter[i], -1);
    *out = rt;
    return LUNAQ_OK;
}

/* Threads first, memory last: until all have ended they know of each other. */
static size_t stop_threads(lq_runtime *rt)
{
    size_t left = 0;

    lq_watchdog_disable(&rt->control->watchdog);
    for (uint32_t i = 0; i < rt->o.worker_threads; i++)
        if (rt->workers[i])
            left += lq_worker_stop(rt->workers[i]);
    lq_control_stop(rt);
    for (uint32_t i = 0; i < rt->o.worker_threads; i++) {
        if (rt->workers[i])
            lq_worker_free(rt->workers[i]);
        rt->workers[i] = NULL;
    }
    return left;
}

int lq_server_start(lq_runtime *rt, lunaq_error *err)
{
    uint32_t n = rt->o.worker_threads, c = rt->o.concurrency;
    int rc = lq_control_start(rt, err);

    for (uint32_t i = 0; !rc && i < n; i++)
        rc = lq_worker_start(&rt->workers[i], rt, i, c / n + (i < c % n), err);
    if (rc && rt->control)
        stop_threads(rt);
    return rc;
}

void lq_server_begin(lq_runtime *rt)
{
    int phase = LQ_PHASE_NEW;
    atomic_compare_exchange_strong(&rt->phase, &phase, LQ_PHASE_ACTIVE);
    lq_control_begin(rt);
    for (uint32_t i = 0; i < rt->o.worker_threads; i++)
        lq_worker_begin(rt->workers[i]);
}

void lq_server_quiet(lq_runtime *rt)
{
    int phase = LQ_PHASE_ACTIVE;
    atomic_compare_exchange_strong(&rt->phase, &phase, LQ_PHASE_QUIET);
    for (uint32_t i = 0; i < rt->o.worker_threads; i++)
        lq_worker_quiet(rt->workers[i]);
}

static bool wait_drained(lq_runtime *rt, int64_t until_ms, atomic_bool *hurry)
{
    for (uint32_t i = 0; i < rt->o.worker_threads; i++) {
        bool drained = false;
        while (!drained) {
            int64_t now = lq_mono_ms();
            int64_t turn =
                now + HURRY_MS < until_ms ? now + HURRY_MS : until_ms;
            drained = lq_worker_wait_drained(rt->workers[i], turn);
            if (!drained && (turn == until_ms || (hurry && *hurry)))
                return false;
        }
    }
    return true;
}

int lq_server_stop(lq_runtime *rt, atomic_bool *hurry,
                   void (*before_close)(void *ud), void *ud, lunaq_error *err)
{
    size_t left = 0;
    int64_t until = lq_mono_ms() + rt->o.shutdown_timeout_ms;

    lq_server_quiet(rt);
    atomic_store(&rt->phase, LQ_PHASE_DRAINING);
    if (!wait_drained(rt, until, hurry)) {
        for (uint32_t i = 0; i < rt->o.worker_threads; i++)
            lq_worker_end_runs(rt->workers[i]);
        wait_drained(rt, lq_mono_ms() + END_RUNS_MS, NULL);
    }
    atomic_store(&rt->phase, LQ_PHASE_CLOSED);
    if (before_close)
        before_close(ud);
    lq_control_goodbye(rt, GOODBYE_MS);
    left = stop_threads(rt);
    if (left)
        return lq_fail(err, LUNAQ_EBROKER,
                       "%zu tasks could not be given back; they run again when "
                       "their lease ends",
                       left);
    return LUNAQ_OK;
}

bool lq_server_healthy(lq_runtime *rt)
{
    return !atomic_load(&rt->stuck);
}

void lq_server_free(lq_runtime *rt)
{
    if (!rt)
        return;
    lq_caps_release(&rt->handler_caps);
    lq_free(rt->workers);
    lq_free(rt);
}
