/* Waiting for work without polling.
 *
 * At most one waiter per queue and process is armed, on a worker with free
 * slots, when the last take found the queue empty.  A push wakes every waiter
 * of every process, so few of them is kind to the broker.  A waiter has a
 * connection of its own, opened when it is first armed.
 *
 *   CLOSED ──arm──► OPENING ──up──► WAITING ──reply──► IDLE ──arm──► WAITING
 *                      ▲                │ lost
 *                      └────────────────┘
 */
#ifndef LQ_WAITER_H
#define LQ_WAITER_H

#include "runtime/runtime.h"

typedef struct lq_waiter {
    lq_runtime *rt;
    lq_loop *loop;
    int worker;
    size_t queue;
    enum {
        LQ_WAITER_CLOSED,
        LQ_WAITER_OPENING,
        LQ_WAITER_IDLE,
        LQ_WAITER_WAITING,
        LQ_WAITER_CLOSING
    } state;
    lq_link *link;
    lq_op_wait op;
    lq_timer *calm; /* delays the next arming, after wakes for nothing */
    int wasted;     /* wakes in a row that gave no task */
    bool woken;     /* the take after its last wake has not been judged */
    bool want;      /* arm as soon as the link is up */
    bool connected;
    void (*woke)(void *ud, size_t queue);
    void (*idle)(void *ud); /* may be armed again, after a pause */
    void (*closed)(void *ud);
    void *ud;
} lq_waiter;

void lq_waiter_init(lq_waiter *w, lq_runtime *rt, lq_loop *loop, int worker,
                    size_t queue);
/** Arms it if no worker of this process has one armed for the queue. */
void lq_waiter_arm(lq_waiter *w);
/** What a take gave; the first one after a wake tells whether it was for
 *  nothing. */
void lq_waiter_result(lq_waiter *w, bool got_task);
/** Closes; closed(ud) comes once, later or now when it never was open. */
void lq_waiter_close(lq_waiter *w);

#endif
