/* A worker's steps with the broker, one at a time; see the drawing in worker.h.
 * On the worker's thread. */
#ifndef LQ_WORKER_STEP_H
#define LQ_WORKER_STEP_H

#include "runtime/worker.h"

/** Makes the timers of steps.  lq_worker_step_close() also after a failure. */
int lq_worker_step_init(lq_worker *w, lunaq_error *err);
void lq_worker_step_close(lq_worker *w);
/** Readies a queue's waiter, before the thread runs. */
void lq_worker_step_waiter(lq_worker *w, size_t queue);

/** Begins a step when there is an outcome to settle, or room for tasks that may
 *  be there; else lets the waiters wait for them. */
void lq_worker_step(lq_worker *w);
/** Slots that a step under way may fill with tasks, beyond those that it
 *  settles. */
size_t lq_worker_step_promised(const lq_worker *w);

#endif
