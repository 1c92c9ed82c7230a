/* Waiting for work without polling.
 *
 * At most one waiter per queue and process is armed, on a worker with free
 * slots, when the last take found the queue empty.  A push wakes every waiter
 * of every process, so few of them is kind to the broker.  A waiter has a
 * connection of its own, opened when it is first armed.
 *
 *   CLOSED ──arm──► OPENING ──up──► DRAWING ──token──► IDLE ◄─reply─┐
 *                      ▲               ▲                │ arm        │
 *                      │ lost          │ token spent    ▼            │
 *                      └───────────────┴───────────── WAITING ───────┤
 *                                                       │ task       │
 *                                                       ▼            │
 *                                                    HOLDING ──slot──┘
 *
 * With a slot to spare for it, a waiter does not only wait: the broker takes
 * one task for it in the same move, which saves the way there and back.  Such
 * takes have a lease token of the waiter's own.  When a reply is lost, or comes
 * when the slot is gone, the token is spent: the worker returns to the queue
 * what was taken by it, and the waiter draws another.
 */
#ifndef LQ_WAITER_H
#define LQ_WAITER_H

#include "runtime/runtime.h"

/* What became of a task that a waiter took. */
enum lq_took {
    LQ_TOOK_RUNS,
    LQ_TOOK_LATER, /* the slot is promised to a step under way: ask again */
    LQ_TOOK_NOT    /* no slot for it */
};

typedef struct lq_waiter {
    lq_runtime *rt;
    lq_loop *loop;
    int worker;
    size_t queue;
    enum {
        LQ_WAITER_CLOSED,
        LQ_WAITER_OPENING,
        LQ_WAITER_DRAWING,
        LQ_WAITER_IDLE,
        LQ_WAITER_WAITING,
        LQ_WAITER_HOLDING,
        LQ_WAITER_CLOSING
    } state;
    lq_link *link;
    lq_op_wait op;
    lq_op_step take; /* op.take, when it takes */
    lq_step_queue take_queue;
    lq_op_token token_op;
    atomic_uint token; /* for takes; 0 = none.  The control thread renews it */
    lq_timer *calm;    /* delays the next arming, after wakes for nothing */
    int wasted;        /* wakes in a row that gave no task */
    bool woken;        /* the take after its last wake has not been judged */
    bool want;         /* arm as soon as the link is up */
    bool connected;
    bool refused; /* the last wait was */
    bool tell;    /* closed() is to be called */
    void (*woke)(void *ud, size_t queue);
    /* A take was carried out: w->take has what it gave. */
    enum lq_took (*took)(void *ud, struct lq_waiter *w);
    /* What this token took is to be returned, but for what the worker holds. */
    void (*spent)(void *ud, uint32_t token, bool lost);
    void (*idle)(void *ud); /* may be armed again, after a pause; or is quiet */
    void (*closed)(void *ud);
    void *ud;
} lq_waiter;

void lq_waiter_init(lq_waiter *w, lq_runtime *rt, lq_loop *loop, int worker,
                    size_t queue);
/** Arms it if no worker of this process has one armed for the queue.  take: a
 *  slot is to spare for what it may take. */
void lq_waiter_arm(lq_waiter *w, bool take);
/** It is armed and may take a task. */
bool lq_waiter_takes(const lq_waiter *w);
/** What a take gave; the first one after a wake tells whether it was for
 *  nothing. */
void lq_waiter_result(lq_waiter *w, bool got_task);
/** Offers what it holds again, if it holds anything. */
void lq_waiter_offer(lq_waiter *w);
/** Takes nothing more, for good; idle(ud) comes when that is certain. */
void lq_waiter_quiet(lq_waiter *w);
/** Its connection is closed, or was never open. */
bool lq_waiter_is_closed(const lq_waiter *w);
/** Closes; closed(ud) comes once, later or now when it is closed already. */
void lq_waiter_close(lq_waiter *w);

#endif
