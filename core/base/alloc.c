/* The allocator seam: malloc with a count of live blocks and a switch that
 * lets the n-th allocation fail. */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>

/* The only state lunaq keeps outside of its handles, for tests: how many
 * blocks live, and in how many allocations one shall fail (0: none).  The top
 * bit of `fail_in` says that every later one fails too. */
static atomic_int_fast64_t live;
static atomic_uint_fast64_t fail_in;

#define STICKY (UINT64_C(1) << 63)

static bool must_fail(void)
{
    uint_fast64_t n = atomic_load_explicit(&fail_in, memory_order_relaxed);
    while (n != 0) {
        uint_fast64_t left = n & ~STICKY;
        uint_fast64_t next = left > 1 ? n - 1 : (n & STICKY) ? n : 0;
        if (atomic_compare_exchange_weak(&fail_in, &n, next))
            return left == 1;
    }
    return false;
}

static void *counted(void *p)
{
    if (p)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return p;
}

void *lq_malloc(size_t size)
{
    return must_fail() ? NULL : counted(malloc(size ? size : 1));
}

void *lq_calloc(size_t count, size_t size)
{
    if (must_fail() || (size > 0 && count > SIZE_MAX / size))
        return NULL;
    size_t bytes = count * size;
    return counted(calloc(1, bytes ? bytes : 1));
}

void *lq_realloc(void *p, size_t size)
{
    if (!p)
        return lq_malloc(size);
    return must_fail() ? NULL : realloc(p, size ? size : 1);
}

void lq_free(void *p)
{
    if (!p)
        return;
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    free(p);
}

char *lq_strdup_n(lq_str s)
{
    char *copy = s.len < SIZE_MAX ? lq_malloc(s.len + 1) : NULL;
    if (!copy)
        return NULL;
    if (s.len)
        memcpy(copy, s.p, s.len);
    copy[s.len] = 0;
    return copy;
}

char *lq_strdup(const char *s)
{
    return s ? lq_strdup_n(lq_str_c(s)) : NULL;
}

void lq_alloc_fail_at(uint64_t n, bool sticky)
{
    atomic_store(&fail_in, n == 0 ? 0 : sticky ? n | STICKY : n & ~STICKY);
}

int64_t lq_alloc_live(void)
{
    return atomic_load_explicit(&live, memory_order_relaxed);
}

/* ---- arena -------------------------------------------------------------- */

#define CHUNK_SIZE ((size_t)4096)
#define ALIGNMENT _Alignof(max_align_t)

struct lq_arena_chunk {
    struct lq_arena_chunk *next;
    size_t size, used; /* of data, in bytes */
    max_align_t data[];
};

/* A block over a quarter of a chunk gets one of its own, behind the first, so
 * that the room left in that one is not lost. */
static struct lq_arena_chunk *chunk_for(lq_arena *a, size_t size)
{
    struct lq_arena_chunk *first = a->chunks;
    if (first && first->size - first->used >= size)
        return first;
    bool own = size > CHUNK_SIZE / 4;
    size_t room = own ? size : CHUNK_SIZE;
    struct lq_arena_chunk *c = lq_calloc(1, sizeof *c + room);
    if (!c)
        return NULL;
    c->size = room;
    if (own && first) {
        c->next = first->next;
        first->next = c;
    } else {
        c->next = first;
        a->chunks = c;
    }
    return c;
}

void *lq_arena_alloc(lq_arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (size == 0)
        size = ALIGNMENT;
    struct lq_arena_chunk *c = chunk_for(a, size);
    if (!c)
        return NULL;
    void *p = (char *)c->data + c->used;
    c->used += size;
    return p;
}

char *lq_arena_dup(lq_arena *a, lq_str s)
{
    char *copy = s.len < SIZE_MAX ? lq_arena_alloc(a, s.len + 1) : NULL;
    if (copy && s.len)
        memcpy(copy, s.p, s.len);
    return copy;
}

void lq_arena_release(lq_arena *a)
{
    while (a->chunks) {
        struct lq_arena_chunk *next = a->chunks->next;
        lq_free(a->chunks);
        a->chunks = next;
    }
}
