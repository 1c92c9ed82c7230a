/* A line of writers.
 *
 * SQLite lets one connection write at a time and tells the others nothing when
 * it is over: they try again and again, and who comes late may be first.  The
 * connections of a process stand in this line instead, so that each has its
 * turn in order and the next one begins at once; only the first competes with
 * other processes.
 */
#ifndef LQ_DB_LINE_H
#define LQ_DB_LINE_H

#include "base/list.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct lq_line lq_line;

/* Where one stands; its owner's, for as long as it uses the line. */
typedef struct lq_line_place {
    lq_list node;
    pthread_cond_t moved;
    bool first; /* has the turn */
} lq_line_place;

lq_line *lq_line_new(void); /* NULL: no memory */
/** Nobody is in it any more.  NULL is fine. */
void lq_line_free(lq_line *line);

void lq_line_place_init(lq_line_place *place);
void lq_line_place_release(lq_line_place *place);

/** Waits for the turn; who has it keeps it.  False: `stop` was set before.
 *  line NULL: true at once, as in the others. */
bool lq_line_enter(lq_line *line, lq_line_place *place,
                   const atomic_bool *stop);
/** Gives the turn on.  Safe without having it. */
void lq_line_leave(lq_line *line, lq_line_place *place);
/** Lets one who waits look at its `stop`.  Any thread. */
void lq_line_poke(lq_line *line, lq_line_place *place);
/** How many wait behind the first. */
size_t lq_line_waiting(lq_line *line);

#endif
