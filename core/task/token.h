/* The lease token: who holds a task, hidden in the fraction of its lease score.
 *
 * A token k, 1 <= k < 2^21, belongs to one broker connection.  The score of a
 * lease is its end in seconds plus k / 2^21.  A double has 53 bits of mantissa
 * and seconds need 31 (32 from 2038 on), so 21 bits of fraction are exact until
 * 2106.  An integer score is held by Go's Asynq, which knows no tokens.
 */
#ifndef LQ_TOKEN_H
#define LQ_TOKEN_H

#include "base/str.h"

#define LQ_TOKEN_LIMIT 2097152u /* 2^21 */

double lq_token_score(int64_t lease_end_s, uint32_t token);
uint32_t lq_token_of(double score); /* 0: an integer score, held by Go */

#endif
