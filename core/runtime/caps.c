/* Counting places, and the line before a handler that has none left. */
#include "runtime/caps.h"

#include "base/alloc.h"

#define SOONEST_MS 1000
#define LATEST_MS 60000 /* who would wait longer comes to look in between */
#define JITTER_MS 1000
#define PARK_US 2000000 /* so much time in hand may be spent waiting */
#define PARK_MOST 200
#define RUN_US 50000 /* a run's length as long as none is known */

uint32_t lq_cap_take(lq_cap *c, uint32_t max, uint32_t n)
{
    unsigned used = atomic_load(&c->used);
    bool told = false;

    for (;;) {
        uint32_t left = used < max ? max - used : 0;
        uint32_t got = left < n ? left : n;
        if (got < n && !told) { /* and look again: or a give is not heard */
            atomic_store(&c->wanted, true);
            told = true;
            used = atomic_load(&c->used);
            continue;
        }
        if (got == 0 ||
            atomic_compare_exchange_weak(&c->used, &used, used + got))
            return got;
    }
}

bool lq_cap_give(lq_cap *c, uint32_t n)
{
    if (n == 0)
        return false;
    atomic_fetch_sub(&c->used, n);
    return atomic_exchange(&c->wanted, false);
}

bool lq_cap_full(lq_cap *c, uint32_t max)
{
    if (atomic_load(&c->used) < max)
        return false;
    atomic_store(&c->wanted, true);
    return atomic_load(&c->used) >= max;
}

/* ---- handlers ------------------------------------------------------------ */

void lq_caps_init(lq_caps *c)
{
    pthread_mutex_init(&c->mutex, NULL);
    c->by_name = (lq_map){0};
}

void lq_caps_release(lq_caps *c)
{
    size_t at = 0;
    lq_str name;
    void *cap;

    while (lq_map_each(&c->by_name, &at, &name, &cap))
        lq_free(cap);
    lq_map_release(&c->by_name);
    pthread_mutex_destroy(&c->mutex);
}

lq_handler_cap *lq_caps_of(lq_caps *c, lq_str handler)
{
    pthread_mutex_lock(&c->mutex);
    lq_handler_cap *h = lq_map_get(&c->by_name, handler);
    if (!h && (h = lq_calloc(1, sizeof(*h))) != NULL &&
        !lq_map_set(&c->by_name, handler, h, NULL)) {
        lq_free(h);
        h = NULL;
    }
    pthread_mutex_unlock(&c->mutex);
    return h;
}

void lq_handler_cap_ran(lq_handler_cap *h, int64_t took_us)
{
    int64_t usual = atomic_load_explicit(&h->run_us, memory_order_relaxed);
    int64_t next = usual ? usual + (took_us - usual) / 8 : took_us;
    /* Of two that end at once one may go unheard: it is an average. */
    atomic_store_explicit(&h->run_us, next > 0 ? next : 1,
                          memory_order_relaxed);
}

/* As many as will have their turn before others come back. */
bool lq_handler_cap_park(lq_handler_cap *h, uint32_t max)
{
    int64_t run_us = atomic_load_explicit(&h->run_us, memory_order_relaxed);
    int64_t most = (int64_t)max * PARK_US / (run_us ? run_us : RUN_US);
    most = most > PARK_MOST ? PARK_MOST : most < max ? max : most;
    if (atomic_fetch_add(&h->parked, 1) < (uint64_t)most)
        return true;
    lq_handler_cap_unpark(h);
    return false;
}

void lq_handler_cap_unpark(lq_handler_cap *h)
{
    atomic_fetch_sub(&h->parked, 1);
}

int64_t lq_handler_cap_delay(lq_handler_cap *h, uint32_t max, int64_t now_ms,
                             uint64_t (*rnd)(uint64_t bound))
{
    int64_t run_us = atomic_load_explicit(&h->run_us, memory_order_relaxed);
    int64_t each_us = (run_us ? run_us : RUN_US) / (max ? max : 1);
    int_fast64_t line = atomic_load(&h->line_ms);
    int64_t at, behind;

    do {
        at = line > now_ms + SOONEST_MS ? line : now_ms + SOONEST_MS;
        if (at > now_ms + LATEST_MS)
            return SOONEST_MS + (int64_t)rnd(LATEST_MS - SOONEST_MS);
        /* Less than a millisecond each: by chance, or it would be none. */
        behind = at + each_us / 1000 + (rnd(1000) < (uint64_t)(each_us % 1000));
    } while (!atomic_compare_exchange_weak(&h->line_ms, &line, behind));
    return at - now_ms + (int64_t)rnd(JITTER_MS);
}
