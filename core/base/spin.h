/* Waiting awake for a reply that is nearly there.
 *
 * A thread that sleeps has to be woken, and on an idle CPU that takes 5 to
 * 50 us, on a virtual one mostly the latter: as long as a broker on the same
 * machine takes to answer.  A thread that goes on looking instead has its reply
 * sooner and uses hardly more CPU, since sleeping and waking are not free
 * either.  It pays only where replies are quick and a CPU is to spare; so both
 * ways are timed, and the other one is tried now and then. */
#ifndef LQ_SPIN_H
#define LQ_SPIN_H

#include <stdbool.h>
#include <stdint.h>

typedef struct lq_spin {
    bool allowed;         /* a CPU is to spare */
    int64_t began_ns;     /* of the request under way */
    int64_t awake_ns;     /* moving average of what replies took */
    int64_t asleep_ns;    /* the same; 0: not tried */
    uint32_t since_other; /* requests since the other way was tried */
    bool awake;           /* how the one under way is waited for */
} lq_spin;

/** A request leaves now.  Returns until when (lq_mono_ns()) to look for its
 *  reply without sleeping; 0: not at all. */
int64_t lq_spin_begin(lq_spin *s);
/** Its reply is there. */
void lq_spin_end(lq_spin *s);

#endif
