/* A worker's slots: its share of the concurrency, and spare ones.
 *
 * A task that is parked (parked.h) needs a slot to be kept in, but none of
 * those that the configuration allows: while it is in one, a spare slot takes
 * the place of its own among the free.  Such a slot is called extra.
 *
 *   free ──take──► a run ──settled──► free       park: an extra one, and a
 * spare spare ◄──────── settled ──────── extra       becomes free; start: back
 */
#ifndef LQ_WORKER_SLOTS_H
#define LQ_WORKER_SLOTS_H

#include "runtime/worker.h"

#define LQ_SPARE_SLOTS 64 /* so many tasks can be parked on a worker */

/** Readies the slots, all free. */
void lq_worker_slots_init(lq_worker *w);
/** Releases what they hold; the array itself outlives the loop. */
void lq_worker_slots_release(lq_worker *w);
/** All of them, the spare ones too: i < lq_worker_slots_count(). */
size_t lq_worker_slots_count(const lq_worker *w);
lq_slot *lq_worker_slot(const lq_worker *w, size_t i);
/** Slots that hold a task. */
size_t lq_worker_in_hand(const lq_worker *w);

/** Makes s extra: a spare slot becomes free instead.  False when there is
 *  none. */
bool lq_worker_slot_extra(lq_worker *w, lq_slot *s);
/** The other way round: a free slot becomes spare.  There is a free one. */
void lq_worker_slot_own(lq_worker *w, lq_slot *s);

#endif
