/* The control thread: everything that must go on while workers are busy.
 *
 * It renews leases, publishes the server, forwards due tasks, recovers tasks
 * whose holder vanished, cleans up, fires periodic entries, hears cancel
 * requests and watches the workers.  It never runs Lua or a callback of a
 * handler's author.
 */
#ifndef LQ_CONTROL_H
#define LQ_CONTROL_H

#include "runtime/aggregator.h"
#include "runtime/forwarder.h"
#include "runtime/health.h"
#include "runtime/heartbeat.h"
#include "runtime/internal_run.h"
#include "runtime/janitor.h"
#include "runtime/listener.h"
#include "runtime/orders.h"
#include "runtime/recoverer.h"
#include "runtime/runtime.h"
#include "runtime/scheduler.h"
#include "runtime/teller.h"
#include "runtime/watchdog.h"

#include <pthread.h>

typedef struct lq_control {
    lq_runtime *rt;
    pthread_t thread;
    lq_loop *loop;
    lq_link *link;
    bool link_up;
    int64_t up_since_ms; /* monotonic; while link_up: answering since */
    int open;            /* links still to be closed */
    lq_aggregator aggregator;
    lq_forwarder forwarder;
    lq_health health;
    lq_heartbeat heartbeat;
    lq_internal_service internal; /* hooks of handlers, on workers */
    lq_janitor janitor;
    lq_listener listener;
    lq_orders orders;
    lq_recoverer recoverer;
    lq_scheduler scheduler;
    lq_teller teller;
    lq_watchdog watchdog;
    lq_post begin_post, handlers_post, goodbye_post, close_post;
    atomic_bool handlers_posted;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool said_goodbye;
} lq_control;

/** Makes the loop and starts the thread; nothing is sent yet. */
int lq_control_start(lq_runtime *rt, lunaq_error *err);
/** Opens the links and starts the services; the workers exist. */
void lq_control_begin(lq_runtime *rt);
/** Takes the server's records away, or gives up after timeout_ms. */
void lq_control_goodbye(lq_runtime *rt, int64_t timeout_ms);
/** Closes everything, joins the thread and frees it. */
void lq_control_stop(lq_runtime *rt);

/** On the control thread: a reply came to what was asked at that monotonic
 *  instant.  A broker that stood still so long that leases ended counts as one
 *  that was away: their holders shall renew first. */
void lq_control_replied(lq_control *c, int64_t asked_ms);

/* Any thread: */

/** True on the control thread.  Only before lq_server_free(). */
bool lq_control_inside(const lq_runtime *rt);
/** The handler files changed: periodic entries and records follow. */
void lq_control_handlers_changed(lq_runtime *rt);
/** A worker's runner became busy: tick until none is. */
void lq_control_tick(lq_runtime *rt);
/** There may be work in these queues for workers other than this one. */
void lq_control_kick_others(lq_runtime *rt, size_t worker, uint64_t queues);
/** A link of this process was lost, or is back; the first loss and the last
 *  return are logged. */
void lq_control_link_down(lq_runtime *rt, const lunaq_error *why);
void lq_control_link_up(lq_runtime *rt);

#endif
