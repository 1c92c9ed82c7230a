/* UUIDs: version 7 for tasks, version 4 for what needs no order. */
#include "task/id.h"

#include "base/clock.h"

#define SHORT_LEN ((size_t)8)
#define RAND_B_BITS 62
#define RAND_B_MASK ((UINT64_C(1) << RAND_B_BITS) - 1)

/* Two words of the system's generator, with one call for both. */
struct words {
    uint64_t a, b;
};

static struct words random_words(void)
{
    struct words w;
    if (!lq_random_bytes(&w, sizeof w))
        w = (struct words){lq_random(UINT64_MAX), lq_random(UINT64_MAX)};
    return w;
}

static void write_uuid(char *out, uint64_t high, uint64_t low)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        uint64_t half = i < 16 ? high : low;
        if (i == 8 || i == 12 || i == 16 || i == 20)
            *out++ = '-';
        *out++ = digits[(half >> (60 - 4 * (i % 16))) & 15];
    }
    *out = 0;
}

/* Layout: 48 bits of milliseconds, version 7, 12 bits rand_a; variant 2, 62
 * bits rand_b.  Within one millisecond, or when the clock steps back, the 74
 * random bits of this thread's last id go up by a random step (RFC 9562,
 * 6.2, method 2); the step comes from the system, so that ids of a forked
 * child differ from its parent's. */
void lq_uuid7(char out[LQ_UUID_LEN + 1], int64_t now_ms)
{
    static _Thread_local struct {
        int64_t ms;
        uint64_t a, b;
    } last;
    struct words r = random_words();
    if (now_ms > last.ms) {
        last.ms = now_ms;
        last.a = r.a & 0x7ff; /* the top bit free: room to count */
        last.b = r.b & RAND_B_MASK;
    } else {
        last.b += 1 + (r.b & UINT32_MAX);
        if (last.b > RAND_B_MASK) {
            last.b &= RAND_B_MASK;
            last.a++;
        }
        if (last.a > 0xfff) {
            last.a = 0;
            last.ms++;
        }
    }
    uint64_t ms = (uint64_t)last.ms & ((UINT64_C(1) << 48) - 1);
    write_uuid(out, ms << 16 | UINT64_C(7) << 12 | last.a,
               UINT64_C(2) << RAND_B_BITS | last.b);
}

void lq_uuid4(char out[LQ_UUID_LEN + 1])
{
    struct words r = random_words();
    write_uuid(out, (r.a & ~UINT64_C(0xf000)) | UINT64_C(4) << 12,
               (r.b & RAND_B_MASK) | UINT64_C(2) << RAND_B_BITS);
}

lq_str lq_id_short(lq_str id)
{
    if (id.len <= SHORT_LEN)
        return id;
    return lq_str_n(id.p + id.len - SHORT_LEN, SHORT_LEN);
}
