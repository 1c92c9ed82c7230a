/* The control thread's life, and what other threads ask of it. */
#include "runtime/control.h"

#include "base/clock.h"
#include "runtime/worker.h"

#define STALL_MS 5000 /* half of the shortest lease */

static void said_goodbye(lq_op *op);

static void link_up(void *ud)
{
    lq_control *c = ud;
    c->link_up = true;
    c->up_since_ms = lq_mono_ms();
    lq_control_link_up(c->rt);
    lq_heartbeat_renew_now(&c->heartbeat);
    lq_heartbeat_publish_now(&c->heartbeat);
    lq_periodic_now(&c->forwarder.look);
    lq_periodic_now(&c->scheduler.round);
    lq_periodic_now(&c->janitor.round); /* its limits shall be known soon */
}

static void link_down(void *ud, const lunaq_error *why)
{
    lq_control *c = ud;
    c->link_up = false;
    lq_control_link_down(c->rt, why);
}

void lq_control_replied(lq_control *c, int64_t asked_ms)
{
    int64_t now = lq_mono_ms();
    if (now - asked_ms >= STALL_MS)
        c->up_since_ms = now;
}

static void begin(lq_post *post)
{
    static const lq_link_events events = {link_up, link_down};
    lq_control *c = LQ_OF(post, lq_control, begin_post);
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = lq_internal_service_start(&c->internal, c, &err);

    if (!rc)
        rc = c->rt->o.link_open(&c->link, c->loop, c->rt->o.broker, &events, c,
                                &err);
    if (!rc)
        rc = lq_listener_start(&c->listener, c, &err);
    if (!rc)
        rc = lq_aggregator_start(&c->aggregator, c, &err);
    if (!rc)
        rc = lq_forwarder_start(&c->forwarder, c, &err);
    if (!rc)
        rc = lq_heartbeat_start(&c->heartbeat, c, &err);
    if (!rc)
        rc = lq_janitor_start(&c->janitor, c, &err);
    if (!rc)
        rc = lq_orders_start(&c->orders, c, &err);
    if (!rc)
        rc = lq_recoverer_start(&c->recoverer, c, &err);
    if (!rc)
        rc = lq_scheduler_start(&c->scheduler, c, &err);
    if (!rc)
        rc = lq_teller_start(&c->teller, c, &err);
    if (!rc)
        rc = lq_watchdog_start(&c->watchdog, &err);
    if (!rc)
        rc = lq_health_start(&c->health, c, &err);
    if (rc)
        LQ_LOG(c->rt->o.log, ERROR, "a background service did not start",
               lq_fc("reason", err.message));
}

static void handlers_changed(lq_post *post)
{
    lq_control *c = LQ_OF(post, lq_control, handlers_post);
    atomic_store(&c->handlers_posted, false);
    lq_scheduler_reload(&c->scheduler);
    lq_heartbeat_publish_now(&c->heartbeat);
}

static void closed_one(void *ud)
{
    lq_control *c = ud;
    if (--c->open == 0)
        lq_loop_stop(c->loop);
}

static void do_close(lq_post *post)
{
    lq_control *c = LQ_OF(post, lq_control, close_post);

    /* The links first: what is under way comes back to services that exist. */
    c->open = 2;
    c->link_up = false;
    lq_listener_close(&c->listener, closed_one, c);
    if (c->link)
        c->link->ops->close(c->link, closed_one, c);
    else
        closed_one(c);
}

static void goodbye(lq_post *post)
{
    lq_control *c = LQ_OF(post, lq_control, goodbye_post);
    if (c->link)
        lq_heartbeat_goodbye(&c->heartbeat, said_goodbye, c);
}

static void said_goodbye(lq_op *op)
{
    lq_control *c = op->ud;
    lq_op_release(op);
    pthread_mutex_lock(&c->mutex);
    c->said_goodbye = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->mutex);
}

static void *thread_main(void *arg)
{
    lq_control *c = arg;
    lq_loop_run(c->loop);
    lq_internal_service_stop(&c->internal); /* what it ends, others started */
    lq_aggregator_stop(&c->aggregator);
    lq_forwarder_stop(&c->forwarder);
    lq_health_stop(&c->health);
    lq_heartbeat_stop(&c->heartbeat);
    lq_janitor_stop(&c->janitor);
    lq_orders_stop(&c->orders);
    lq_recoverer_stop(&c->recoverer);
    lq_scheduler_stop(&c->scheduler);
    lq_teller_stop(&c->teller);
    lq_watchdog_stop(&c->watchdog);
    return NULL;
}

int lq_control_start(lq_runtime *rt, lunaq_error *err)
{
    pthread_condattr_t attr;
    lq_control *c = lq_calloc(1, sizeof(*c));
    if (!c)
        return lq_fail_nomem(err);
    c->rt = rt;
    c->begin_post.fn = begin;
    c->handlers_post.fn = handlers_changed;
    c->goodbye_post.fn = goodbye;
    c->close_post.fn = do_close;
    lq_watchdog_init(&c->watchdog, c);
    int rc = lq_loop_new(&c->loop, err);
    if (rc) {
        lq_free(c);
        return rc;
    }
    pthread_mutex_init(&c->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&c->thread, NULL, thread_main, c)) {
        lq_loop_free(c->loop);
        lq_free(c);
        return lq_fail(err, LUNAQ_ENOMEM, "cannot start the control thread");
    }
    rt->control = c;
    rt->control_thread = c->thread;
    atomic_store(&rt->control_started, true);
    return LUNAQ_OK;
}

void lq_control_begin(lq_runtime *rt)
{
    lq_loop_post(rt->control->loop, &rt->control->begin_post);
}

void lq_control_goodbye(lq_runtime *rt, int64_t timeout_ms)
{
    lq_control *c = rt->control;
    int64_t until_ms = lq_mono_ms() + timeout_ms;
    struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    int rc = 0;

    lq_loop_post(c->loop, &c->goodbye_post);
    pthread_mutex_lock(&c->mutex);
    while (!c->said_goodbye && rc == 0)
        rc = pthread_cond_timedwait(&c->changed, &c->mutex, &until);
    pthread_mutex_unlock(&c->mutex);
}

void lq_control_stop(lq_runtime *rt)
{
    lq_control *c = rt->control;
    if (!c)
        return;
    lq_loop_post(c->loop, &c->close_post);
    pthread_join(c->thread, NULL);
    atomic_store(&rt->control_started, false);
    lq_loop_free(c->loop);
    pthread_mutex_destroy(&c->mutex);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->watchdog.mutex);
    lq_free(c);
    rt->control = NULL;
}

bool lq_control_inside(const lq_runtime *rt)
{
    return atomic_load(&rt->control_started) &&
           pthread_equal(rt->control_thread, pthread_self());
}

void lq_control_handlers_changed(lq_runtime *rt)
{
    lq_control *c = rt->control;
    if (c && !atomic_exchange(&c->handlers_posted, true))
        lq_loop_post(c->loop, &c->handlers_post);
}

void lq_control_tick(lq_runtime *rt)
{
    lq_watchdog_wake(&rt->control->watchdog);
}

void lq_control_kick_others(lq_runtime *rt, size_t worker, uint64_t queues)
{
    for (size_t i = 0; i < rt->o.worker_threads; i++)
        if (i != worker && rt->workers[i])
            lq_worker_kick(rt->workers[i], queues);
}

void lq_control_link_down(lq_runtime *rt, const lunaq_error *why)
{
    /* Each attempt of each link that fails reports: one line an outage, then
     * one a while, and links that come and go are not told one by one. */
    bool told = atomic_load(&rt->broker_lost);
    if (!lq_log_gate(&rt->lost_gate, told ? 10000 : 1000))
        return;
    atomic_store(&rt->broker_lost, true);
    LQ_LOG(rt->o.log, WARN,
           "broker away: waiting and trying again, nothing is lost",
           lq_fc("reason", why->message));
}

void lq_control_link_up(lq_runtime *rt)
{
    if (atomic_exchange(&rt->broker_lost, false))
        LQ_LOG(rt->o.log, INFO, "broker is back");
}
