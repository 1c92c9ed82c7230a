/* Time. */
#ifndef LQ_CLOCK_H
#define LQ_CLOCK_H

#include <stdint.h>

int64_t lq_now_ms(void);  /* Unix milliseconds, may step */
int64_t lq_now_us(void);  /* the same in microseconds */
int64_t lq_mono_ns(void); /* monotonic nanoseconds */
static inline int64_t lq_mono_ms(void)
{
    return lq_mono_ns() / 1000000;
}
/** A uniform number in [0, bound); 0 for bound 0.  Not for secrets.  Any
 *  thread (per-thread state, seeded from the system). */
uint64_t lq_random(uint64_t bound);
/** Fills with bytes of the system's generator; false when there is none. */
int lq_random_bytes(void *p, unsigned len);

#endif
