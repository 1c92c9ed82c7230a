/* A worker's Lua state: its memory, its libraries, its runs' structs. */
#include "lua/host.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lua/generation.h"
#include "lua/interrupt.h"
#include "lua/nap.h"
#include "lua/run.h"
#include "lua/sandbox.h"

/* ---- memory -------------------------------------------------------------- */

/* Before every block: who made it.  A slot is reused by later runs, so the
 * serial tells whether the maker still runs; if not, nobody is credited. */
struct header {
    uint32_t owner, serial;
};

static_assert(sizeof(struct header) == 8, "blocks stay aligned to 8 bytes");

static void charge(lq_lua_host *host, const struct header *h, int64_t bytes)
{
    lq_lua_run *r = host->slots[h->owner];
    if (r->serial == h->serial)
        r->bytes += bytes;
    host->bytes = (size_t)((int64_t)host->bytes + bytes);
}

/* lua_Alloc.  Not lq_malloc(): its counter is shared by all threads, and a
 * handler allocates at every turn; the state's own count is host->bytes. */
static void *allocate(void *ud, void *p, size_t old, size_t size)
{
    lq_lua_host *host = ud;
    struct header *h = p ? (struct header *)p - 1 : NULL;
    if (size == 0) {
        if (h) {
            charge(host, h, -(int64_t)old);
            free(h);
        }
        return NULL;
    }
    size_t before = h ? old : 0;
    if (size > SIZE_MAX / 2 ||
        (size > before && host->bytes_max &&
         host->bytes + (size - before) > host->bytes_max))
        return NULL;
    struct header *n = realloc(h, size + sizeof *n);
    if (!n)
        return NULL;
    if (!h)
        *n = (struct header){host->owner, host->slots[host->owner]->serial};
    charge(host, n, (int64_t)size - (int64_t)before);
    return n + 1;
}

/* ---- the structs of runs ------------------------------------------------- */

static lq_lua_run *slot_new(lq_lua_host *host)
{
    if (host->slot_count == host->slot_cap) {
        size_t cap = host->slot_cap ? host->slot_cap * 2 : 16;
        lq_lua_run **slots = lq_realloc(host->slots, cap * sizeof(void *));
        if (!slots)
            return NULL;
        host->slots = slots;
        host->slot_cap = cap;
    }
    lq_lua_run *r = lq_calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->index = (uint32_t)host->slot_count;
    host->slots[host->slot_count++] = r;
    return r;
}

lq_lua_run *lq_lua_run_take(lq_lua_host *host)
{
    lq_list *node = lq_list_shift(&host->pool);
    lq_lua_run *r = node ? LQ_OF(node, lq_lua_run, node) : slot_new(host);
    if (!r)
        return NULL;
    uint32_t index = r->index, serial = r->serial;
    lua_State **chain = r->chain;
    size_t chain_cap = r->chain_cap;
    memset(r, 0, sizeof *r);
    r->index = index;
    r->serial = serial;
    r->chain = chain;
    r->chain_cap = chain_cap;
    r->host = host;
    r->co_ref = LUA_NOREF;
    lq_list_init(&r->node);
    return r;
}

void lq_lua_run_give(lq_lua_run *r)
{
    lq_lua_host *host = r->host;
    r->serial++; /* its blocks that live on are nobody's now */
    r->phase = LQ_PHASE_IDLE;
    lq_list_remove(&r->node);
    lq_list_append(&host->pool, &r->node);
}

/* ---- the host ------------------------------------------------------------ */

static int open_libraries(lua_State *L)
{
    lq_lua_sandbox_open(L);
    return 0;
}

/* Lua calls this when an error escapes every protected call: our own mistake,
 * for which there is no way on.  abort() is what Lua does anyway; this leaves
 * the message where people see it. */
static int panicked(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    LQ_LOG(lq_lua_here(L)->host->log, ERROR, "the Lua host is broken",
           lq_fc("error", text ? text : "?"));
    return 0;
}

/* ThreadSanitizer holds a signal back until the thread makes a call that it
 * knows, which an endless loop in Lua never does. */
static lunaq_interrupt usable_mode(lunaq_interrupt asked)
{
#if defined(__SANITIZE_THREAD__)
    return asked == LUNAQ_INTERRUPT_SIGNAL ? LUNAQ_INTERRUPT_HOOK : asked;
#else
    return asked;
#endif
}

int lq_lua_host_new(lq_lua_host **out, const lq_worker_services *services,
                    const lq_lua_options *options, lunaq_error *err)
{
    int rc = LUNAQ_ENOMEM;
    lq_lua_host *host = lq_calloc(1, sizeof *host);
    if (!host)
        return lq_fail_nomem(err);
    pthread_mutex_init(&host->shown_lock, NULL);
    lq_list_init(&host->ready);
    lq_list_init(&host->parked);
    lq_list_init(&host->pool);
    lq_list_init(&host->generations);
    lq_list_init(&host->idle.node);
    host->options = options;
    host->log = options->log;
    host->mode = usable_mode(options->interrupt);
    host->thread = pthread_self();
    host->idle.host = host;
    host->idle.co_ref = LUA_NOREF;
    if (lq_random_bytes(host->secret, sizeof host->secret))
        host->secret[0] = (uint64_t)lq_mono_ns();
    host->slots = lq_calloc(16, sizeof(void *));
    if (!host->slots)
        goto out;
    host->slots[0] = &host->idle;
    host->slot_cap = 16;
    host->slot_count = 1;

    host->L = lua_newstate(allocate, host);
    if (!host->L)
        goto out;
    lua_atpanic(host->L, panicked);
    lq_lua_bind(host->L, &host->idle, false);
    lua_pushcfunction(host->L, open_libraries);
    if (lua_pcall(host->L, 0, 0, 0)) {
        rc = lq_fail(err, LUNAQ_ENOMEM, "lua: %s",
                     lua_tostring(host->L, -1) ? lua_tostring(host->L, -1)
                                               : "out of memory");
        goto out;
    }
    if (services) {
        host->services = *services;
        host->log = services->log;
        rc = lq_turn_new(&host->turn, services->loop, lq_lua_turn, host, err);
        if (!rc)
            rc = lq_lua_naps_new(&host->naps, services->loop, err);
        if (rc)
            goto out;
    }
    lq_lua_interrupt_init(host);
    rc = LUNAQ_OK;
    *out = host;
    host = NULL;
out:
    if (host) {
        if (rc == LUNAQ_ENOMEM)
            lq_fail_nomem(err);
        lq_lua_host_free(host);
    }
    return rc;
}

void lq_lua_host_free(lq_lua_host *host)
{
    if (!host)
        return;
    lq_lua_interrupt_release(host);
    LQ_LIST_EACH (&host->generations, node) {
        lq_lua_generation_free(lq_lua_generation_of(node));
    }
    if (host->L)
        lua_close(host->L);
    lq_lua_naps_free(host->naps);
    lq_turn_close(host->turn);
    for (size_t i = 1; i < host->slot_count; i++) {
        lq_free(host->slots[i]->chain);
        lq_free(host->slots[i]);
    }
    lq_free(host->slots);
    pthread_mutex_destroy(&host->shown_lock);
    lq_free(host);
}
