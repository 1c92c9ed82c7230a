/* When to wait awake, decided by how long replies took. */
#include "base/spin.h"

#include "base/clock.h"

#define FAR_NS 130000     /* replies that take longer are slept for */
#define AWAKE_NS 130000   /* at most so long for one that is late */
#define CEILING_NS 600000 /* one late reply alone changes nothing */
#define WEIGHT 8
#define TRIAL_WEIGHT 2
#define TRIAL 64 /* requests, until the other way is tried again */

/* Awake has to gain a sixteenth, since it costs a CPU.  Of many threads that
 * wait for one server each is faster awake, and all together are slower: FAR_NS
 * is small enough for them to sleep. */
static bool awake_is_worth_it(const lq_spin *s)
{
    if (s->awake_ns >= FAR_NS)
        return false;
    return !s->asleep_ns || s->awake_ns < s->asleep_ns / 16 * 15;
}

int64_t lq_spin_begin(lq_spin *s)
{
    s->began_ns = lq_mono_ns();
    if (!s->allowed)
        return 0;
    s->awake = awake_is_worth_it(s);
    if (++s->since_other >= TRIAL) {
        s->awake = !s->awake;
        s->since_other = 0;
    }
    return s->awake ? s->began_ns + AWAKE_NS : 0;
}

void lq_spin_end(lq_spin *s)
{
    int64_t *usual = s->awake ? &s->awake_ns : &s->asleep_ns;
    int64_t took = lq_mono_ns() - s->began_ns;
    if (took > CEILING_NS)
        took = CEILING_NS;
    int64_t weight = s->since_other ? WEIGHT : TRIAL_WEIGHT;
    *usual += *usual ? (took - *usual) / weight : took;
}
