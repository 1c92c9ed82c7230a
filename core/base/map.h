/* A hash map from bytes to pointers.  Keys are copied, values are the
 * caller's.  Not thread-safe. */
#ifndef LQ_MAP_H
#define LQ_MAP_H

#include "base/str.h"

typedef struct lq_map {
    struct lq_map_entry **buckets;
    size_t bucket_count;
    size_t count;
} lq_map; /* born as {0} */

void *lq_map_get(const lq_map *m, lq_str key); /* NULL when absent */
/** Adds or replaces; *old (may be NULL) receives the former value.  False when
 *  out of memory (nothing changed). */
bool lq_map_set(lq_map *m, lq_str key, void *value, void **old);
void *lq_map_remove(lq_map *m, lq_str key); /* the value; NULL when absent */
void lq_map_release(lq_map *m);
/** Walks in no particular order: start with *at = 0; false at the end.  The
 *  map must not change meanwhile. */
bool lq_map_each(const lq_map *m, size_t *at, lq_str *key, void **value);

#endif
