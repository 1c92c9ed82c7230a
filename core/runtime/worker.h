/* A worker thread: one loop, one broker link, its share of the slots, and the
 * runners that run tasks in them.  Workers share nothing with each other.
 *
 * A turn of its work:
 *
 *   runs end ─► outcomes are ready ─► step (settle these, take for free slots)
 *      ▲                                              │
 *      └────────────── runs start ◄── tasks taken ◄───┘
 *
 * One step is under way at a time; what becomes ready meanwhile leaves together
 * with the next.  An outcome that the broker could not take stays ready, and
 * its slot occupied, until the broker takes it or says that it is not ours:
 * that is the syncer.
 */
#ifndef LQ_WORKER_H
#define LQ_WORKER_H

#include "base/spin.h"
#include "runtime/held.h"
#include "runtime/internal_run.h"
#include "runtime/runtime.h"
#include "runtime/slot.h"
#include "runtime/waiter.h"
#include "runtime/weights.h"

#define LQ_OLD_TOKENS 8

/* A token that is not used any more: tasks may have been taken with it that
 * nobody runs. */
typedef struct lq_old_token {
    uint32_t token;
    int rounds;  /* of reconciling still to do; 0 = this place is free */
    bool lost;   /* by a reply that never came, else for want of a slot */
    bool unsure; /* no round is over yet */
    bool listed; /* in the round under way */
} lq_old_token;

typedef struct lq_worker_queue {
    bool drained;    /* the last take found nothing more in it */
    uint32_t places; /* under its cap, held for a step; see worker_caps.h */
    lq_list ready;   /* slots whose outcome waits for the next step */
    size_t ready_count;
    lq_list age; /* slots in hand, the oldest first */
    lq_waiter waiter;
} lq_worker_queue;

typedef struct lq_worker {
    lq_runtime *rt;
    size_t index;
    pthread_t thread;
    lq_loop *loop;
    lq_turn *turn;
    lq_link *link;
    uint64_t resting; /* queues whose node was out of reach just now */
    lq_timer *rest_timer;
    bool connected;
    bool link_up;    /* and we have a token */
    lq_list orphans; /* operations submitted when there is no link any more */
    uint32_t token;
    lq_old_token old[LQ_OLD_TOKENS];
    lq_op_token token_op;
    lq_op_reconcile reconcile_op;
    size_t reconcile_at; /* old token * queues + queue */
    bool reconciling;
    lq_str *reconcile_held;
    lq_timer *reconcile_timer;
    lq_timer *retry_timer; /* after a refused step or token */
    lq_timer *poll_timer;  /* instead of waiters, when there are too many */

    lq_runner *runners[LQ_RUNNERS_MAX];
    lq_slot *slots;
    size_t slot_count;
    lq_list free_slots;
    size_t free_count;
    lq_slot *spares; /* see worker_slots.h */
    lq_list spare_slots, parked;
    size_t extra_count, ready_extra, sent_extra;
    lq_list sent; /* slots whose outcome is in the step under way */
    lq_held_list held;
    lq_internal_lane internal;
    lq_worker_queue queues[LQ_QUEUES_MAX];

    lq_op_step step;
    bool stepping;
    lq_spin spin; /* for the step's reply */
    lq_step_queue step_queues[LQ_QUEUES_MAX];
    size_t step_order[LQ_QUEUES_MAX]; /* step queue → queue */
    lq_outcome *step_outcomes[LQ_BATCH_MAX];

    bool taking;                 /* new tasks are wanted */
    int closing;                 /* links and waiters still open */
    bool unsure;                 /* closed with a reply outstanding */
    atomic_uint_fast64_t kicked; /* queues that other threads saw work in */
    atomic_bool kick_posted;
    lq_post kick_post;
    lq_post command_post;
    atomic_int command;
    atomic_uint current_token; /* for renewal by the control thread */

    /* Handshake with the thread that starts and stops us. */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool started, drained, ended;
    lunaq_error start_error;
} lq_worker;

/** Makes worker `index` with `slots` slots and starts its thread, which makes
 *  the runners.  Blocks until that is done. */
int lq_worker_start(lq_worker **out, lq_runtime *rt, size_t index, size_t slots,
                    lunaq_error *err);

/* Any thread, once the worker was started: */

/** Opens the link and begins to take tasks. */
void lq_worker_begin(lq_worker *w);
/** Takes nothing more. */
void lq_worker_quiet(lq_worker *w);
/** Waits until nothing is in hand, or the monotonic instant has passed; true in
 *  the first case.  After lq_worker_quiet(). */
bool lq_worker_wait_drained(lq_worker *w, int64_t until_mono_ms);
/** Tells what still runs to end; it goes back to its queue. */
void lq_worker_end_runs(lq_worker *w);
/** Closes everything and joins the thread.  Returns how many tasks it still had
 *  in hand (they run again when their lease ends). */
size_t lq_worker_stop(lq_worker *w);
/** After lq_worker_stop(), when no other thread knows the worker any more. */
void lq_worker_free(lq_worker *w);
/** There may be work in these queues (bit i: queue i). */
void lq_worker_kick(lq_worker *w, uint64_t queues);
/** Ends a run: by number when it is not 0, else by task id. */
void lq_worker_cancel(lq_worker *w, uint64_t number, lq_str id,
                      enum lq_cancel why, lq_str reason);

/* For slots, on the worker's thread: */

/** A slot's outcome is ready to be settled. */
void lq_worker_ready(lq_worker *w, lq_slot *slot);
/** A slot is free again. */
void lq_worker_freed(lq_worker *w, lq_slot *slot);

#endif
