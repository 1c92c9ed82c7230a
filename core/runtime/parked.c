/* Parking and starting what was parked. */
#include "runtime/parked.h"

#include "runtime/control.h"
#include "runtime/worker_caps.h"
#include "runtime/worker_slots.h"

bool lq_parked_add(lq_worker *w, lq_slot *s, lq_handler_cap *h, uint32_t max)
{
    if (!lq_handler_cap_park(h, max))
        return false;
    if (!lq_worker_slot_extra(w, s)) {
        lq_handler_cap_unpark(h);
        return false;
    }
    s->state = LQ_SLOT_PARKED;
    s->waits_for = h;
    s->cap_max = max;
    lq_list_append(&w->parked, &s->node);
    lq_worker_caps_leave(w, s);
    lq_held_show(&w->held, &s->held, false);
    lq_turn_arm(w->turn); /* its slot's stand-in is free */
    return true;
}

static void leave(lq_slot *s)
{
    lq_list_remove(&s->node);
    lq_handler_cap_unpark(s->waits_for);
    s->waits_for = NULL;
    s->state = LQ_SLOT_RUNNING;
}

/* Both places, or none. */
static bool has_places(lq_worker *w, lq_slot *s)
{
    uint32_t max = lq_queue_cap(w->rt, s->queue);
    lq_cap *queue = &w->rt->queue_caps[s->queue];

    if (lq_cap_full(&s->waits_for->cap, s->cap_max) ||
        (max && !lq_cap_take(queue, max, 1)))
        return false;
    if (lq_cap_take(&s->waits_for->cap, s->cap_max, 1)) {
        s->placed = max != 0;
        return true;
    }
    if (max && lq_cap_give(queue, 1)) /* somebody found it full meanwhile */
        lq_control_kick_others(w->rt, w->index, 0);
    return false;
}

void lq_parked_start(lq_worker *w, size_t promised)
{
    lq_list all;

    if (lq_list_empty(&w->parked) || !w->taking)
        return;
    /* What begins may end at once, and park or free others. */
    lq_list_init(&all);
    uint64_t paused = atomic_load(&w->rt->paused);
    LQ_LIST_EACH (&w->parked, node) {
        lq_slot *s = LQ_OF(node, lq_slot, node);
        if (paused >> s->queue & 1) { /* nothing of it starts any more */
            lq_parked_end(w, s, LQ_CANCEL_SHUTDOWN, (lq_str){0});
            continue;
        }
        if (w->free_count <= promised)
            break;
        if (!has_places(w, s))
            continue;
        s->cap = s->waits_for;
        leave(s);
        lq_worker_slot_own(w, s);
        lq_list_append(&all, &s->node);
    }
    lq_list *node;
    while ((node = lq_list_shift(&all)) != NULL)
        lq_slot_start_parked(LQ_OF(node, lq_slot, node));
}

size_t lq_parked_startable(lq_worker *w)
{
    const lq_handler_cap *last = NULL;
    size_t n = 0, of_cap = 0, room = 0;

    LQ_LIST_EACH (&w->parked, node) {
        const lq_slot *s = LQ_OF(node, lq_slot, node);
        if (s->waits_for != last) { /* mostly there is one cap alone */
            last = s->waits_for;
            uint32_t used = atomic_load(&s->waits_for->cap.used);
            room = used < s->cap_max ? s->cap_max - used : 0;
            of_cap = 0;
        }
        /* Its queue may be full of others, for which no slot shall wait. */
        uint32_t max = lq_queue_cap(w->rt, s->queue);
        if (max && atomic_load(&w->rt->queue_caps[s->queue].used) >= max)
            continue;
        if (of_cap++ < room)
            n++;
    }
    return n;
}

void lq_parked_end(lq_worker *w, lq_slot *s, enum lq_cancel why, lq_str reason)
{
    const lq_verdict v = {
        .kind = LQ_ENDED, .error_kind = "canceled", .delay_ms = -1};
    (void)w;
    leave(s);
    s->cancel = why;
    lq_buf_clear(&s->reason);
    lq_buf_add_str(&s->reason, reason);
    lq_run_end(&s->run, &v);
}

void lq_parked_end_all(lq_worker *w)
{
    LQ_LIST_EACH (&w->parked, node)
        lq_parked_end(w, LQ_OF(node, lq_slot, node), LQ_CANCEL_SHUTDOWN,
                      (lq_str){0});
}
