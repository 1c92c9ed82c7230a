/* Task ids: UUIDv7 text (RFC 9562), so that ids sort by time. */
#ifndef LQ_ID_H
#define LQ_ID_H

#include "base/str.h"

#define LQ_UUID_LEN 36

/** Writes a UUIDv7 and a NUL (37 bytes).  Ids of one thread ascend strictly.
 *  Any thread. */
void lq_uuid7(char out[LQ_UUID_LEN + 1], int64_t now_ms);
/** Writes a random UUIDv4 and a NUL. */
void lq_uuid4(char out[LQ_UUID_LEN + 1]);
/** The last 8 characters: how ids are shown where space is short. */
lq_str lq_id_short(lq_str id);

#endif
