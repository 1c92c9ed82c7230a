/* What every list of the client is: items that grow, their texts in an arena,
 * and, of all queues, those that could not be read.
 *
 *     struct lunaq_x_list {
 *         LQ_LIST(lunaq_x_info);
 *     };
 *     LQ_LIST_FUNCTIONS(lunaq_x_list, lunaq_x_info)
 */
#ifndef LQ_CLIENT_LIST_H
#define LQ_CLIENT_LIST_H

#include "base/alloc.h"

#include <lunaq/lunaq.h>

/* The queues of which nothing is in a list of all, "queue 'x': why". */
typedef struct lq_unread {
    const char **texts; /* in the list's arena */
    size_t count;
} lq_unread;

/* The members of a list of `info`s.  It is born by lq_calloc(). */
#define LQ_LIST(info)                                                          \
    lq_arena mem;                                                              \
    info *items; /* lq_malloc'ed, grows */                                     \
    size_t count, room;                                                        \
    lq_unread unread

/* The public lunaq_x_list_count(), _at() and _free(). */
#define LQ_LIST_FUNCTIONS(name, info)                                          \
    size_t name##_count(const name *list)                                      \
    {                                                                          \
        return list ? list->count : 0;                                         \
    }                                                                          \
    const info *name##_at(const name *list, size_t i)                          \
    {                                                                          \
        return list && i < list->count ? &list->items[i] : NULL;               \
    }                                                                          \
    void name##_free(name *list)                                               \
    {                                                                          \
        if (!list)                                                             \
            return;                                                            \
        lq_arena_release(&list->mem);                                          \
        lq_free(list->items);                                                  \
        lq_free(list);                                                         \
    }

/** Items with room for `count` of `size` bytes: the ones given, or moved;
 *  *room follows.  NULL when out of memory: the ones given are still there. */
void *lq_list_reserve(void *items, size_t *room, size_t count, size_t size);
/** The i-th; NULL behind the last. */
const char *lq_unread_at(const lq_unread *unread, size_t i);
/** Notes that a queue could not be read, and why. */
int lq_unread_add(lq_unread *unread, lq_arena *mem, lq_str queue,
                  const lunaq_error *why, lunaq_error *err);

#endif
