/* op_group: what the files of operations on groups share. */
#ifndef LQ_SQLITE_OP_GROUP_H
#define LQ_SQLITE_OP_GROUP_H

#include "broker/group.h"
#include "sqlite/ops.h"

/** The number of a group's set; 0: it is not there (any more). */
int64_t lq_sqlite_set(lq_sqlite *q, int64_t queue, lq_str group, lq_str set_id);
/** Fails an operation because the set is not there any more. */
int lq_sqlite_set_gone(lq_op *op, lq_str group);

#endif
