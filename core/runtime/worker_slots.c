/* Which slots are free, ready, extra and spare. */
#include "runtime/worker_slots.h"

#include "base/alloc.h"

void lq_worker_slots_init(lq_worker *w)
{
    lq_list_init(&w->free_slots);
    lq_list_init(&w->spare_slots);
    lq_list_init(&w->parked);
    for (size_t i = 0; i < w->slot_count; i++) {
        lq_slot_init(&w->slots[i], w);
        lq_list_append(&w->free_slots, &w->slots[i].node);
        w->free_count++;
    }
}

void lq_worker_slots_release(lq_worker *w)
{
    for (size_t i = 0; i < lq_worker_slots_count(w); i++)
        lq_slot_release(lq_worker_slot(w, i));
}

size_t lq_worker_slots_count(const lq_worker *w)
{
    return w->slot_count + (w->spares ? LQ_SPARE_SLOTS : 0);
}

lq_slot *lq_worker_slot(const lq_worker *w, size_t i)
{
    return i < w->slot_count ? &w->slots[i] : &w->spares[i - w->slot_count];
}

size_t lq_worker_in_hand(const lq_worker *w)
{
    return w->slot_count + w->extra_count - w->free_count;
}

void lq_worker_ready(lq_worker *w, lq_slot *s)
{
    lq_list_append(&w->queues[s->queue].ready, &s->node);
    w->queues[s->queue].ready_count++;
    w->ready_extra += s->extra;
    lq_turn_arm(w->turn);
}

void lq_worker_freed(lq_worker *w, lq_slot *s)
{
    if (s->extra) {
        s->extra = false;
        w->extra_count--;
        lq_list_append(&w->spare_slots, &s->node);
    } else {
        lq_list_append(&w->free_slots, &s->node);
        w->free_count++;
    }
    lq_turn_arm(w->turn);
}

/* Most workers never park: the spare slots are made when they are first
 * needed. */
static bool make_spares(lq_worker *w)
{
    if (w->spares)
        return true;
    w->spares = lq_calloc(LQ_SPARE_SLOTS, sizeof(*w->spares));
    if (!w->spares)
        return false;
    for (size_t i = 0; i < LQ_SPARE_SLOTS; i++) {
        lq_slot_init(&w->spares[i], w);
        lq_list_append(&w->spare_slots, &w->spares[i].node);
    }
    return true;
}

bool lq_worker_slot_extra(lq_worker *w, lq_slot *s)
{
    lq_list *spare = make_spares(w) ? lq_list_shift(&w->spare_slots) : NULL;
    if (!spare)
        return false;
    s->extra = true;
    w->extra_count++;
    lq_list_append(&w->free_slots, spare);
    w->free_count++;
    return true;
}

void lq_worker_slot_own(lq_worker *w, lq_slot *s)
{
    lq_list_append(&w->spare_slots, lq_list_shift(&w->free_slots));
    w->free_count--;
    s->extra = false;
    w->extra_count--;
}
