/* When to wait awake, decided by how long replies took. */
#include "base/spin.h"

#include "base/clock.h"

#define NEAR_NS 100000    /* replies that take longer are slept for */
#define AWAKE_NS 100000   /* at most so long for one that is late */
#define CEILING_NS 600000 /* one late reply alone changes nothing */
#define WEIGHT 8
#define RETRY 64 /* requests slept for, until it is tried again */

int64_t lq_spin_begin(lq_spin *s)
{
    s->began_ns = lq_mono_ns();
    if (!s->allowed)
        return 0;
    /* Sleeping makes replies look late: only awake one sees how near they
     * are. */
    if (s->usual_ns < NEAR_NS)
        s->slept = 0;
    else if (++s->slept > RETRY)
        s->usual_ns = NEAR_NS / 2;
    return s->usual_ns < NEAR_NS ? s->began_ns + AWAKE_NS : 0;
}

void lq_spin_end(lq_spin *s)
{
    int64_t took = lq_mono_ns() - s->began_ns;
    if (took > CEILING_NS)
        took = CEILING_NS;
    s->usual_ns += (took - s->usual_ns) / WEIGHT;
}
