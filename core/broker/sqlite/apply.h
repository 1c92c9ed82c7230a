/* apply: what each operation does to the file, inside a transaction. */
#ifndef LQ_SQLITE_APPLY_H
#define LQ_SQLITE_APPLY_H

#include "broker/broker.h"
#include "sqlite/file.h"

/* What is kept in an archive where the caller does not say. */
#define LQ_ARCHIVE_MAX 10000
#define LQ_ARCHIVE_MS ((int64_t)90 * 24 * 3600 * 1000)

/** True when the operation only reads, so that a LQ_SQLITE_READ transaction
 *  will do. */
bool lq_sqlite_reads(const lq_op *op);

/** Carries op, readied by lq_op_init(), out in the transaction under way, which
 * has to be of the mode that lq_sqlite_reads() asks for.  Sets op->rc, op->err
 * and the results (op->mem); does not call op->done.  An operation that fails
 * as a whole leaves nothing of itself in the transaction; if
 * lq_sqlite_in_transaction() is false after it, nothing of the others either.
 * WAIT and LISTEN are not operations of the file: EINVAL. */
void lq_sqlite_apply(lq_sqlite *q, lq_op *op, int64_t now_ms);

/** The same for the many small operations of a batch, without the safety net
 *  that costs as much as they do: false means that the operation failed as a
 *  whole and may have left something, so the transaction has to be rolled back.
 *  All of it can then be repeated with lq_sqlite_apply(). */
bool lq_sqlite_apply_quick(lq_sqlite *q, lq_op *op, int64_t now_ms);

/** Makes op one that failed, with the items of its batch: what it did is not
 *  in the file, because its transaction could not begin or not be committed;
 *  with LUNAQ_EUNKNOWN it is, and nobody can tell for how long. */
void lq_sqlite_undone(lq_op *op, const lunaq_error *why);

#endif
