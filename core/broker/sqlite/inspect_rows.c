#include "sqlite/inspect_rows.h"

#define ROOM_FIRST 16

void *lq_sqlite_room(lq_arena *mem, void *array, size_t count, size_t *room,
                     size_t size)
{
    if (array && count < *room)
        return array;
    size_t wanted = array ? *room * 2 : ROOM_FIRST;
    void *grown = lq_arena_alloc(mem, wanted * size);
    if (grown && array)
        memcpy(grown, array, count * size);
    if (grown)
        *room = wanted;
    return grown;
}

int lq_sqlite_keep(lq_op *op, lq_query *x, int column, lq_str **list,
                   size_t *count, size_t *room)
{
    lq_str *grown =
        lq_sqlite_room(&op->mem, *list, *count, room, sizeof **list);
    if (!grown)
        return lq_fail_nomem(&op->err);
    *list = grown;
    grown[*count] = lq_column_copy(x, column, &op->mem);
    if (!grown[*count].p)
        return lq_fail_nomem(&op->err);
    ++*count;
    return LUNAQ_OK;
}
