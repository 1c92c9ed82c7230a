/* Queues' caps as one worker uses them.
 *
 * Places are asked for before a step that may take from a capped queue, and
 * what a task that ends leaves is used by the same step, so a queue's tasks
 * follow each other without a gap.  What is left over after the step goes back
 * for all workers.  Until then it is in `places` of the worker's queue:
 *
 *   the cap ──reserve──► places ──enter──► a slot ──leave──► places ──► the cap
 */
#ifndef LQ_WORKER_CAPS_H
#define LQ_WORKER_CAPS_H

#include "runtime/worker.h"

/** The queue is at its cap: nothing can be taken from it. */
bool lq_worker_caps_full(lq_worker *w, size_t queue);
/** Reserves up to n places in every capped queue, for the step to come. */
void lq_worker_caps_reserve(lq_worker *w, uint32_t n);
/** How many of a queue the step may take, `settled` of its tasks that have a
 *  place being settled by it; UINT32_MAX when it has no cap. */
uint32_t lq_worker_caps_most(const lq_worker *w, size_t queue, size_t settled);
/** No step is under way: what is left goes back. */
void lq_worker_caps_return(lq_worker *w);

/** A task of its queue was taken into a slot; it is settled. */
void lq_worker_caps_enter(lq_worker *w, lq_slot *s);
void lq_worker_caps_leave(lq_worker *w, lq_slot *s);

#endif
