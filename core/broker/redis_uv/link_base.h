/* link_base: what a link to Redis on a loop has, whether it is to one server or
 * to a cluster: whom it tells, the turn and the timer that it works in, and how
 * it is closed.
 *
 * close() marks the link.  The end of the turn takes it apart, when no function
 * of it can be running; it may need several turns for it.
 */
#ifndef LQ_LINK_BASE_H
#define LQ_LINK_BASE_H

#include "broker/broker.h"
#include "loop/loop.h"

typedef struct lq_link_base {
    lq_link link; /* first */
    lq_loop *loop;
    lq_turn *turn;
    lq_timer *timer;
    lq_link_events events;
    void *ud; /* of events */
    bool closing;
    void (*closed)(void *ud);
    void *closed_ud;
} lq_link_base;

/** turn and timer get b, the first member of a link that was born as {0}. */
int lq_link_base_init(lq_link_base *b, const lq_link_ops *ops, lq_loop *loop,
                      const lq_link_events *events, void *ud,
                      void (*turn)(void *ud), void (*timer)(void *ud),
                      lunaq_error *err);
/** Also after a failed init, or none. */
void lq_link_base_release(lq_link_base *b);

/** lq_link_ops.close: the turn comes, finds `closing`, and says when there is
 *  nothing left. */
void lq_link_base_close(lq_link *link, void (*closed)(void *ud), void *ud);

void lq_link_base_up(lq_link_base *b);
void lq_link_base_down(lq_link_base *b, const lunaq_error *why);

#endif
