/* Attempt → delay: Asynq's default curve. */
#include "task/backoff.h"

#define MAX_MS (INT64_C(10) * 365 * 24 * 3600 * 1000)

int64_t lq_backoff_ms(int32_t n, uint64_t random)
{
    /* 200^4 seconds are 50 years: past the maximum, and no overflow. */
    int64_t k = n < 0 ? 0 : n > 200 ? 200 : n;
    int64_t s = k * k * k * k + 15 + (int64_t)(random % 30) * (k + 1);
    return s * 1000 < MAX_MS ? s * 1000 : MAX_MS;
}
