/* The states of a task and the arrows between them.
 *
 *                 enqueue            forward (due)
 *        ┌──────────┬─────────────┬────────────────┐
 *        ▼          ▼             │                │
 *   aggregating  scheduled ───────┤              retry
 *        │          ▲             ▼                ▲
 *        │          │ snooze   pending ◄──┐        │ fail, attempts left
 *        ▼          │             │ take  │ give   │
 *    (its group)    └───────── active ────┘ back   │
 *                                 ├────────────────┘
 *                done ┌───────────┼─────────────┐ attempts over, skip, cancel
 *                     ▼           ▼             ▼
 *                 (deleted)   completed      archived
 */
#ifndef LQ_STATE_H
#define LQ_STATE_H

#include "base/str.h"
#include <lunaq/lunaq.h>

/* State 0 (LUNAQ_STATE_ANY) stands for "not there": new or deleted. */
typedef struct lq_arrow {
    lunaq_state from, to;
    const char *by;   /* the operation */
    const char *when; /* for people */
} lq_arrow;

/** The table, which the docs and a test of every other pair are made from. */
const lq_arrow *lq_arrows(size_t *count);
/** True when the table has an arrow from → to. */
bool lq_state_may(lunaq_state from, lunaq_state to);
/** True when a task in this state can be moved so by hand.  An active one
 *  cannot: it is its holder's. */
bool lq_state_may_move(lunaq_state from, lunaq_move move);
/** "run", "archive", "delete"; NULL for what is no move. */
const char *lq_move_name(lunaq_move move);
lunaq_state lq_state_from(lq_str name); /* LUNAQ_STATE_ANY when unknown */

#endif
