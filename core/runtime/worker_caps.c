/* A worker's dealings with the caps of queues. */
#include "runtime/worker_caps.h"

#include "runtime/control.h"

bool lq_worker_caps_full(lq_worker *w, size_t queue)
{
    uint32_t max = lq_queue_cap(w->rt, queue);
    if (max == 0 || w->queues[queue].places > 0 ||
        !lq_cap_full(&w->rt->queue_caps[queue], max))
        return false;
    /* What is known of the queue grows old: when there is a place again a
     * waiter looks, one a process, so that workers do not wake each other. */
    w->queues[queue].drained = true;
    return true;
}

void lq_worker_caps_reserve(lq_worker *w, uint32_t n)
{
    for (size_t i = 0; n > 0 && i < w->rt->o.queue_count; i++) {
        uint32_t max = lq_queue_cap(w->rt, i);
        if (max)
            w->queues[i].places +=
                lq_cap_take(&w->rt->queue_caps[i], max, n < max ? n : max);
    }
}

uint32_t lq_worker_caps_most(const lq_worker *w, size_t queue, size_t settled)
{
    if (lq_queue_cap(w->rt, queue) == 0)
        return UINT32_MAX;
    return w->queues[queue].places + (uint32_t)settled;
}

void lq_worker_caps_return(lq_worker *w)
{
    bool wanted = false;

    for (size_t i = 0; i < w->rt->o.queue_count; i++) {
        wanted |= lq_cap_give(&w->rt->queue_caps[i], w->queues[i].places);
        w->queues[i].places = 0;
    }
    if (wanted) /* they look again, each for itself */
        lq_control_kick_others(w->rt, w->index, 0);
}

void lq_worker_caps_enter(lq_worker *w, lq_slot *s)
{
    lq_worker_queue *q = &w->queues[s->queue];

    s->placed = lq_queue_cap(w->rt, s->queue) != 0;
    if (!s->placed)
        return;
    if (q->places > 0)
        q->places--;
    else /* cannot be: no step takes more than there are places */
        atomic_fetch_add(&w->rt->queue_caps[s->queue].used, 1);
}

void lq_worker_caps_leave(lq_worker *w, lq_slot *s)
{
    if (s->placed)
        w->queues[s->queue].places++;
    s->placed = false;
}
