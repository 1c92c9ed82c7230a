/* caps: how many tasks of one queue, or of one handler, run at once in this
 * process.
 *
 * A cap is one number that all workers share.  A queue's is asked before tasks
 * are taken, so that nothing is taken that may not run (worker_caps.h).  Of
 * which handler a task is, is known only when it was taken: over a handler's
 * cap it waits in hand for a short while (parked.h), else it goes to
 * `scheduled` and comes back, no attempt used.
 */
#ifndef LQ_CAPS_H
#define LQ_CAPS_H

#include "base/map.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct lq_cap {
    atomic_uint used;
    atomic_bool wanted; /* somebody found no place since the last give */
} lq_cap;

/** Takes up to n of max places; returns how many.  Any thread. */
uint32_t lq_cap_take(lq_cap *c, uint32_t max, uint32_t n);
/** Gives n places back; true when somebody found none meanwhile.  Any
 *  thread. */
bool lq_cap_give(lq_cap *c, uint32_t n);
/** No place is free; lq_cap_give() tells of it.  Any thread. */
bool lq_cap_full(lq_cap *c, uint32_t max);

/* A handler's cap.  Tasks over it stand in an imaginary line: each comes back
 * about when its turn should be, so that a long line is not carried to and fro
 * all the time. */
typedef struct lq_handler_cap {
    lq_cap cap;
    atomic_int_fast64_t run_us;  /* usual length of a run; 0 = none ended yet */
    atomic_int_fast64_t line_ms; /* Unix: where the line ends */
    atomic_uint parked;          /* tasks in hand that wait for a place */
} lq_handler_cap;

/* The caps of all handlers that have one, by name.  They stay until the end:
 * a handler file that is edited has the same one. */
typedef struct lq_caps {
    pthread_mutex_t mutex;
    lq_map by_name;
} lq_caps;

void lq_caps_init(lq_caps *c);
void lq_caps_release(lq_caps *c);
/** Finds or makes one; NULL when out of memory.  Any thread. */
lq_handler_cap *lq_caps_of(lq_caps *c, lq_str handler);
/** A run of this handler ended after so long.  Any thread. */
void lq_handler_cap_ran(lq_handler_cap *h, int64_t took_us);
/** Whether one more task shall wait in hand; lq_handler_cap_unpark() when it
 *  does no longer.  Any thread. */
bool lq_handler_cap_park(lq_handler_cap *h, uint32_t max);
void lq_handler_cap_unpark(lq_handler_cap *h);
/** When a task over the cap shall come back: ms from now, 1000 at least.
 *  Any thread. */
int64_t lq_handler_cap_delay(lq_handler_cap *h, uint32_t max, int64_t now_ms,
                             uint64_t (*rnd)(uint64_t bound));

#endif
