/* Wall time, monotonic time, and random numbers. */
#include "base/clock.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

int64_t lq_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t lq_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t lq_mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* splitmix64 (Steele, Lea, Flood 2014): one word of state, good enough for
 * jitter and for drawing queues by weight. */
static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t lq_random(uint64_t bound)
{
    static _Thread_local uint64_t state; /* 0: not seeded yet */
    if (bound == 0)
        return 0;
    if (state == 0 && !lq_random_bytes(&state, sizeof state))
        state = (uint64_t)lq_mono_ns() ^ (uint64_t)(uintptr_t)&state;
    /* The first 2^64 mod bound numbers would come once too often. */
    uint64_t skip = (0 - bound) % bound, r;
    do
        r = splitmix(&state);
    while (r < skip);
    return r % bound;
}

int lq_random_bytes(void *p, unsigned len)
{
    unsigned char *to = p;
    while (len > 0) {
        unsigned n = len < 256 ? len : 256; /* what one getentropy() gives */
        if (getentropy(to, n))
            return 0;
        to += n;
        len -= n;
    }
    return 1;
}
