/* ops_enqueue: a task to be enqueued, as scripts/_enqueue.lua takes it. */
#ifndef LQ_OPS_ENQUEUE_H
#define LQ_OPS_ENQUEUE_H

#include "redis/ops.h"

/** Appends the arguments of one item; returns how many. */
uint32_t lq_enqueue_item_build(lq_cmd *c, const lq_enqueue *e);
/** Takes its answer; false when it is none. */
bool lq_enqueue_item_parse(lq_enqueue *e, char answer);

/** What a result is worth: an item whose level was not confirmed is unknown. */
void lq_enqueue_item_settle(const lq_op_enqueue *o, lq_enqueue *e);
/** How many commands behind a script confirm it. */
uint32_t lq_enqueue_confirms(const lq_op_enqueue *o);
#endif
