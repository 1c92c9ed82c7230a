/* Lease end and token ⇄ one double. */
#include "task/token.h"

#include <math.h>

double lq_token_score(int64_t lease_end_s, uint32_t token)
{
    return (double)lease_end_s + (double)token / LQ_TOKEN_LIMIT;
}

uint32_t lq_token_of(double score)
{
    if (!isfinite(score))
        return 0;
    double k = floor((score - floor(score)) * LQ_TOKEN_LIMIT + 0.5);
    return k < LQ_TOKEN_LIMIT ? (uint32_t)k : 0; /* rounded up to the next s */
}
