/* The heartbeat: renews the leases of all tasks in hand, and publishes that the
 * server lives and what it works on. */
#ifndef LQ_HEARTBEAT_H
#define LQ_HEARTBEAT_H

#include "runtime/held.h"
#include "runtime/periodic.h"
#include "runtime/runtime.h"

struct lq_control;

typedef struct lq_heartbeat {
    struct lq_control *control;
    lq_periodic renew;   /* every lease / 6 */
    lq_periodic publish; /* every 5 s */
    lq_periodic tokens;  /* every hour */
    /* One round of renewals: worker by worker, queue by queue, batch by batch.
     */
    size_t worker, queue, at, held_count;
    lq_held *held;
    lq_arena mem;
    lq_extend_item items[LQ_BATCH_MAX];
    lq_op_extend extend;
    lq_op_heartbeat beat;
    lq_arena beat_mem;
    lq_buf beat_buf, extra_buf;
    bool extra_sent; /* since the handler files changed */
    int64_t extra_at_ms;
    lq_op_token_renew token_op;
    uint32_t token_list[LQ_BATCH_MAX];
    size_t token_at; /* so many of this round were renewed */
    lq_op_goodbye goodbye;
} lq_heartbeat;

int lq_heartbeat_start(lq_heartbeat *h, struct lq_control *c, lunaq_error *err);
void lq_heartbeat_stop(lq_heartbeat *h);
/** Renews now: after a reconnect, before anything else. */
void lq_heartbeat_renew_now(lq_heartbeat *h);
/** Publishes now: the status or the handler files changed. */
void lq_heartbeat_publish_now(lq_heartbeat *h);
/** Takes the server's records away; done(ud) when that is over. */
void lq_heartbeat_goodbye(lq_heartbeat *h, void (*done)(lq_op *op), void *ud);

#endif
