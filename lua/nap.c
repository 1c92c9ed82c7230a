/* Sleeping runs: see nap.h. */
#include "lua/nap.h"

#include "base/alloc.h"
#include "base/clock.h"

struct lq_lua_naps {
    lq_timer *timer;
    lq_lua_nap **heap; /* the earliest is first */
    size_t count, cap;
};

static void place(lq_lua_naps *n, size_t at, lq_lua_nap *nap)
{
    n->heap[at] = nap;
    nap->place = at;
}

/* Moves the nap at `at` to where it belongs. */
static void sift(lq_lua_naps *n, size_t at)
{
    lq_lua_nap *nap = n->heap[at];
    while (at > 0 && n->heap[(at - 1) / 2]->at_ms > nap->at_ms) {
        place(n, at, n->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < n->count &&
            n->heap[child + 1]->at_ms < n->heap[child]->at_ms)
            child++;
        if (child >= n->count || n->heap[child]->at_ms >= nap->at_ms)
            break;
        place(n, at, n->heap[child]);
        at = child;
    }
    place(n, at, nap);
}

static void take_out(lq_lua_naps *n, size_t at)
{
    lq_lua_nap *last = n->heap[--n->count];
    if (at == n->count)
        return;
    place(n, at, last);
    sift(n, at);
}

static void arm(lq_lua_naps *n)
{
    if (n->count == 0) {
        lq_timer_stop(n->timer);
        return;
    }
    int64_t left = n->heap[0]->at_ms - lq_mono_ms();
    lq_timer_start(n->timer, left > 0 ? left : 0);
}

static void fired(void *ud)
{
    lq_lua_naps *n = ud;
    int64_t now = lq_mono_ms();
    while (n->count > 0 && n->heap[0]->at_ms <= now) {
        lq_lua_nap *nap = n->heap[0];
        take_out(n, 0);
        lq_await_done(&nap->await);
    }
    arm(n);
}

int lq_lua_naps_new(lq_lua_naps **out, lq_loop *loop, lunaq_error *err)
{
    lq_lua_naps *n = lq_calloc(1, sizeof *n);
    if (!n)
        return lq_fail_nomem(err);
    int rc = lq_timer_new(&n->timer, loop, fired, n, err);
    if (rc) {
        lq_free(n);
        return rc;
    }
    *out = n;
    return LUNAQ_OK;
}

void lq_lua_naps_free(lq_lua_naps *n)
{
    if (!n)
        return;
    lq_timer_close(n->timer);
    lq_free((void *)n->heap);
    lq_free(n);
}

bool lq_lua_nap_start(lq_lua_naps *n, lq_lua_nap *nap, int64_t ms)
{
    if (n->count == n->cap) {
        size_t cap = n->cap ? n->cap * 2 : 64;
        lq_lua_nap **heap = lq_realloc((void *)n->heap, cap * sizeof(void *));
        if (!heap)
            return false;
        n->heap = heap;
        n->cap = cap;
    }
    nap->naps = n;
    nap->at_ms = lq_mono_ms() + ms;
    n->heap[n->count] = nap;
    sift(n, n->count++);
    if (n->heap[0] == nap)
        arm(n);
    return true;
}

void lq_lua_nap_cancel(lq_await *a)
{
    lq_lua_nap *nap = LQ_OF(a, lq_lua_nap, await);
    take_out(nap->naps, nap->place);
    if (nap->place == 0)
        arm(nap->naps);
}
