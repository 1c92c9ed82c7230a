/* inspect_rows: results of inspectors that grow row by row, in op->mem. */
#ifndef LQ_SQLITE_INSPECT_ROWS_H
#define LQ_SQLITE_INSPECT_ROWS_H

#include "sqlite/ops.h"

/** Room for item number `count` in an array that has room for *room of `size`
 *  bytes each: the array, or a larger copy of it.  NULL: out of memory, and
 *  the array is as it was. */
void *lq_sqlite_room(lq_arena *mem, void *array, size_t count, size_t *room,
                     size_t size);
/** Adds a copy of the column x stands on to a list of texts. */
int lq_sqlite_keep(lq_op *op, lq_query *x, int column, lq_str **list,
                   size_t *count, size_t *room);

#endif
