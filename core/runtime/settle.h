/* From how a run ended to what the broker shall do. */
#ifndef LQ_SETTLE_H
#define LQ_SETTLE_H

#include "runner/runner.h"

/* What decides, beside the verdict. */
typedef struct lq_settle_in {
    const lq_task *task; /* as it was taken: retried, max_retry, … */
    int64_t max_retry;   /* that counts: the message's or the handler's */
    const lq_verdict *verdict;
    enum lq_cancel cancel; /* why it was ended from outside, if it was */
    lq_str cancel_reason;
    int64_t now_ms;
    uint64_t random; /* for the backoff's jitter */
} lq_settle_in;

/** Fills out->kind, msg, delay_ms, retention_s, result, unique_key, is_failure
 *  and keep_crashes; id, holder and from_tail are the caller's.  *msg receives
 *  the new message, which out->msg points to (also result: a copy behind it
 *  would not help, it stays the verdict's).  Returns false when nothing is to
 * be written, because the lease is not ours any more. */
bool lq_settle(lq_outcome *out, lq_buf *msg, const lq_settle_in *in);

/** An undecodable message as a valid one that can be archived: its type is
 *  LQ_TYPE_UNDECODABLE, its payload the bytes. */
void lq_settle_undecodable(lq_outcome *out, lq_buf *msg, lq_str id,
                           lq_str queue, lq_str bytes, const char *why,
                           int64_t now_ms);

/** A task whose holder vanished.  lunaq's: pending again, or archived as poison
 *  at its crash_limit-th crash (<= 0: never).  Go's: retried or archived by
 *  Asynq's rules. */
void lq_settle_expired(lq_outcome *out, lq_buf *msg, const lq_expired *e,
                       const lq_task *task, int64_t crash_limit, int64_t now_ms,
                       uint64_t random);

/** "succeeded", "failed", "archived", …: for the log. */
const char *lq_outcome_name(enum lq_outcome_kind kind);

#endif
