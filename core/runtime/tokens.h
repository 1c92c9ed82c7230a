/* A worker's lease tokens: one per connection, and reconciling after a loss.
 *
 *   link up ─► draw a token ─► reconcile the tokens of lost connections
 *           ─► the first step.  Reconciling is repeated three times, in case a
 *   take that was on its way when the connection broke is carried out late.
 */
#ifndef LQ_TOKENS_H
#define LQ_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

struct lq_worker;

/** The link is up: draws a token, then reconciles, then lets steps begin. */
void lq_tokens_begin(struct lq_worker *w);
/** The link was lost: its token becomes an old one. */
void lq_tokens_lost(struct lq_worker *w);
/** A waiter's token is spent: what it took and nobody runs is returned.  lost:
 *  the reply to its take was. */
void lq_tokens_spent(struct lq_worker *w, uint32_t token, bool lost);
/** True while there may be tasks of ours that we know nothing of: the reply to
 *  a take was lost and no reconciling has looked for them yet. */
bool lq_tokens_unsure(const struct lq_worker *w);
/** Reconciles all old tokens again; the timer's callback, ud is the worker. */
void lq_tokens_reconcile(void *worker);

#endif
