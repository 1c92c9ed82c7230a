/* Lists grow, and remember the queues that could not be read. */
#include "client/list.h"

#include "base/error.h"

#include <stdio.h>

void *lq_list_reserve(void *items, size_t *room, size_t count, size_t size)
{
    if (items && count <= *room)
        return items;
    size_t more = 2 * *room + 16;
    more = more < count ? count : more;
    void *grown = lq_realloc(items, more * size);
    if (grown)
        *room = more;
    return grown;
}

const char *lq_unread_at(const lq_unread *unread, size_t i)
{
    return i < unread->count ? unread->texts[i] : NULL;
}

int lq_unread_add(lq_unread *unread, lq_arena *mem, lq_str queue,
                  const lunaq_error *why, lunaq_error *err)
{
    char text[LUNAQ_NAME_MAX + sizeof why->message + 16];
    int n = snprintf(text, sizeof text, "queue '%.*s': %s", LQ_STR_ARG(queue),
                     why->message);
    size_t len = n < 0                     ? 0
                 : (size_t)n < sizeof text ? (size_t)n
                                           : sizeof text - 1;
    const char **texts =
        lq_arena_alloc(mem, (unread->count + 1) * sizeof *texts);
    char *copy = lq_arena_dup(mem, lq_str_n(text, len));
    if (!texts || !copy)
        return lq_fail_nomem(err);
    for (size_t i = 0; i < unread->count; i++)
        texts[i] = unread->texts[i];
    texts[unread->count++] = copy;
    unread->texts = texts;
    return LUNAQ_OK;
}
