/* Which instant of a periodic entry is to be fired now: the rule, the instant
 * that comes next in it, and the clock. */
#ifndef LQ_CRON_DUE_H
#define LQ_CRON_DUE_H

#include "task/cron_rule.h"

/* With LQ_MISSED_SKIP an instant counts as missed when it is later than that:
 * more than a scheduler may sleep, and a restart may take. */
#define LQ_CRON_LATE_MS 60000

/** The instant to fire, or 0 when none is due.  *next_ms: the first instant
 *  that was not fired yet (0 = never); it is moved behind those that the policy
 *  of missed ones leaves out, but not behind the one that is returned. */
int64_t lq_cron_due(const lq_cron_rule *rule, int64_t *next_ms, int64_t now_ms);

/** A last instant later than that is not believed: it is of a clock that was
 *  set back.  An instant that was fired ahead of its time, by such a clock or
 *  by a host whose clock is ahead, is not fired again.  But where it is more
 *  than a period ahead the entry would miss instants of which nobody took care.
 *  Where periods are short, hosts may differ by some minutes before one of them
 *  takes the other's instants for that. */
int64_t lq_cron_believed_ms(const lq_cron *c, int64_t now_ms);

#endif
