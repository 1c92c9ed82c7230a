/* The watchdog: ticks runners that are inside a run, and reports a worker that
 * stays there. */
#ifndef LQ_WATCHDOG_H
#define LQ_WATCHDOG_H

#include "runtime/periodic.h"
#include "runtime/runtime.h"

#include <pthread.h>

struct lq_control;

typedef struct lq_watchdog {
    struct lq_control *control;
    lq_timer *tick;
    int quiet_ticks; /* in a row in which no runner was busy */
    atomic_bool ticking;
    lq_post tick_post;
    lq_periodic look;      /* for stuck workers, every second */
    int64_t reported[64];  /* since when each worker was reported inside */
    pthread_mutex_t mutex; /* held while runners are looked at */
    bool disabled;         /* the runners may be gone */
} lq_watchdog;

/** Before the first runner exists: they may wake it from then on. */
void lq_watchdog_init(lq_watchdog *d, struct lq_control *c);
/** On the control thread. */
int lq_watchdog_start(lq_watchdog *d, lunaq_error *err);
void lq_watchdog_stop(lq_watchdog *d);
/** No runner is looked at after it returns.  Any thread. */
void lq_watchdog_disable(lq_watchdog *d);
/** A runner became busy.  Any thread; cheap to repeat. */
void lq_watchdog_wake(lq_watchdog *d);

#endif
