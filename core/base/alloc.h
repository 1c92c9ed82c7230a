/* The one allocator seam: what lunaq allocates itself goes through here, so
 * that a test can count blocks and let the n-th allocation fail.
 *
 * Functions return NULL when memory is out.  Any thread.
 */
#ifndef LQ_ALLOC_H
#define LQ_ALLOC_H

#include "base/str.h"

void *lq_malloc(size_t size);
void *lq_calloc(size_t count, size_t size); /* checks the product */
void *lq_realloc(void *p, size_t size);
void lq_free(void *p); /* NULL is fine */
/** A NUL-terminated copy of s (which may hold NULs itself). */
char *lq_strdup_n(lq_str s);
char *lq_strdup(const char *s); /* NULL gives NULL */

/** For tests: lets the n-th allocation from now fail (1 = the next), and every
 *  later one too when `sticky`; 0 = none. */
void lq_alloc_fail_at(uint64_t n, bool sticky);
/** Blocks allocated and not freed. */
int64_t lq_alloc_live(void);

/* Blocks that live and die together. */
typedef struct lq_arena {
    struct lq_arena_chunk *chunks;
} lq_arena;

/** Memory aligned for any type; zeroed; NULL when out of memory.  An arena is
 *  born as {0}. */
void *lq_arena_alloc(lq_arena *a, size_t size);
/** A NUL-terminated copy; NULL when out of memory. */
char *lq_arena_dup(lq_arena *a, lq_str s);
void lq_arena_release(lq_arena *a);

#endif
