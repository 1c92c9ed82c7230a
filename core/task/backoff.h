/* How long to wait before the next attempt. */
#ifndef LQ_BACKOFF_H
#define LQ_BACKOFF_H

#include <stdint.h>

/** Asynq's default curve: n^4 + 15 + r * (n + 1) seconds, r uniform in 0…29
 *  (hibiken/asynq, DefaultRetryDelayFunc; Sidekiq's formula).  n: failures
 *  before this one, taken as 0 when negative; random: any number, reduced
 *  modulo 30.  Milliseconds; at most 10 years. */
int64_t lq_backoff_ms(int32_t n, uint64_t random);

#endif
