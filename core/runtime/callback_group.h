/* callback_group: what a C aggregator sees of a group. */
#ifndef LQ_CALLBACK_GROUP_H
#define LQ_CALLBACK_GROUP_H

#include "runtime/callback_run.h"

/** Copies what an aggregator may read.  NULL when out of memory. */
struct lunaq_group *lq_callback_group_new(lunaq_run *r,
                                          const lq_aggregate_in *in);
void lq_callback_group_free(struct lunaq_group *g); /* NULL is fine */
/** Gives the task that was set to who asked for it.  On the worker's thread;
 *  g is only to be freed after. */
void lq_callback_group_answer(struct lunaq_group *g, lq_aggregate_out *out);

#endif
