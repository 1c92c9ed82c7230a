/* The tasks that a worker has in hand, as other threads may see them.
 *
 * The worker adds and removes; the control thread reads, to renew leases and to
 * publish what is being worked on.
 */
#ifndef LQ_HELD_H
#define LQ_HELD_H

#include "base/alloc.h"
#include "base/list.h"

#include <pthread.h>

/* One task in hand; the views stay valid while it is in the list. */
typedef struct lq_held {
    lq_list node;
    lq_str id, type, payload;
    size_t queue; /* index among the served queues */
    uint32_t token;
    uint64_t number; /* of the run */
    int64_t started_ms, deadline_ms;
    bool hidden; /* it is not being worked on */
} lq_held;

typedef struct lq_held_list {
    pthread_mutex_t mutex;
    lq_list all;
    size_t count;
} lq_held_list;

void lq_held_init(lq_held_list *l);
void lq_held_release(lq_held_list *l);
void lq_held_add(lq_held_list *l, lq_held *h);
/** Safe for one that is not in the list. */
void lq_held_remove(lq_held_list *l, lq_held *h);
/** Says whether it is being worked on. */
void lq_held_show(lq_held_list *l, lq_held *h, bool shown);
size_t lq_held_count(lq_held_list *l);
/** Copies what is held, strings too (payloads cut at payload_max), into mem.
 *  queue: only of that one, or -1.  Returns how many are in *out; NULL and 0
 *  when memory is out. */
size_t lq_held_copy(lq_held_list *l, int queue, size_t payload_max,
                    lq_arena *mem, lq_held **out);

#endif
