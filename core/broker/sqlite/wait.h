/* wait: what waiters look for in the file, and waiting on a caller's thread.
 *
 * The file is the truth: a bell (wake.h) or a changed data_version only says
 * when to look.
 */
#ifndef LQ_SQLITE_WAIT_H
#define LQ_SQLITE_WAIT_H

#include "broker/broker.h"
#include "sqlite/file.h"

/* How often waiters look whether anybody committed: without a bell it is how
 * they learn of it, with one it is the net below. */
#define LQ_SQLITE_POLL_MS 15
#define LQ_SQLITE_NET_MS 100

/** Whether each queue has a pending task, to has[]. */
int lq_sqlite_look_pending(lq_sqlite *q, const lq_str *queues, size_t count,
                           bool *has, lunaq_error *err);
/** Calls fn with the id of every task that somebody asked to cancel after
 *  *last, in order, and moves *last on; fn NULL: only that.  fn must not use q.
 *  Requests are kept for a minute. */
int lq_sqlite_look_cancels(lq_sqlite *q, int64_t *last,
                           void (*fn)(void *ud, lq_str id), void *ud,
                           lunaq_error *err);

/** Carries out an LQ_OP_WAIT or LQ_OP_LISTEN on this thread: a wait until the
 *  earlier of its timeout and the deadline (lq_mono_ns), a listen until the
 *  deadline (LUNAQ_ETIMEOUT is its regular end).  Returns op->rc. */
int lq_sqlite_wait(lq_sqlite *q, lq_op *op, int64_t deadline_ns);

#endif
