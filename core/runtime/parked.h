/* Parked tasks: in hand, waiting for a place under their handler's cap.
 *
 * A task over the cap whose turn comes within a second or so stays here, so
 * that the next begins as soon as one ends; for more of them the way back to
 * the broker is the better place (slot.c).  A parked task keeps its lease,
 * holds no place under its queue's cap and no slot of the concurrency, is not
 * shown as being worked on, and its time has not begun.
 */
#ifndef LQ_PARKED_H
#define LQ_PARKED_H

#include "runtime/worker.h"

/** Parks a task that was just taken, over the cap h of max; false when there
 *  is no room: then it is to come back later. */
bool lq_parked_add(lq_worker *w, lq_slot *s, lq_handler_cap *h, uint32_t max);
/** Starts those that have a place under the caps, and a free slot that no step
 *  under way counts on (`promised`).  Those of a paused queue go back to it. */
void lq_parked_start(lq_worker *w, size_t promised);
/** How many could start at once if they had a slot: the next step shall leave
 *  so many free. */
size_t lq_parked_startable(lq_worker *w);
/** Ends one, as a run that has just begun would be. */
void lq_parked_end(lq_worker *w, lq_slot *s, enum lq_cancel why, lq_str reason);
/** Hands all back, first in line. */
void lq_parked_end_all(lq_worker *w);

#endif
