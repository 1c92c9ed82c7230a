/* Something that recurs on a loop: every so often, jittered, never overlapping
 * itself, stoppable. */
#ifndef LQ_PERIODIC_H
#define LQ_PERIODIC_H

#include "loop/loop.h"

typedef struct lq_periodic {
    lq_timer *timer;
    int64_t every_ms;
    bool running; /* the work of this round is not over */
    void (*work)(void *ud);
    void *ud;
} lq_periodic;

/** The first round comes after first_ms.  work must lead to one
 *  lq_periodic_over(), at once or later. */
int lq_periodic_start(lq_periodic *p, lq_loop *loop, int64_t first_ms,
                      int64_t every_ms, void (*work)(void *ud), void *ud,
                      lunaq_error *err);
/** This round is over; the next comes in every_ms ± 10 %. */
void lq_periodic_over(lq_periodic *p);
/** The same, but the next comes in ms. */
void lq_periodic_over_in(lq_periodic *p, int64_t ms);
/** Brings the next round forward to now, unless one is running. */
void lq_periodic_now(lq_periodic *p);
/** No further rounds.  Safe to repeat, also on a zeroed one. */
void lq_periodic_stop(lq_periodic *p);

#endif
