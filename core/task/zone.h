/* Time zones, read from the bytes of a TZif file (RFC 8536, versions 1 to 4).
 *
 * The C library's own reader is bound to one zone a process.  Pure functions:
 * zone_file.h finds the bytes.
 */
#ifndef LQ_ZONE_H
#define LQ_ZONE_H

#include "base/error.h"
#include "task/zone_rule.h"

typedef struct lq_zone lq_zone;

#define LQ_ZONE_BYTES_MAX ((size_t)256 * 1024)

/** Reads a zone.  LUNAQ_EINVAL says what is wrong with the file: cut off, out
 *  of order, out of range, with leap seconds (which Unix time does not count).
 *  Borrows bytes for the call. */
int lq_zone_parse(lq_zone **out, lq_str bytes, lunaq_error *err);
void lq_zone_free(lq_zone *zone); /* NULL is fine */
/** Each becomes what the other was: who points to it sees the new one. */
void lq_zone_swap(lq_zone *a, lq_zone *b);

/** The span that holds the instant (Unix seconds); NULL is UTC. */
lq_zone_span lq_zone_at(const lq_zone *zone, int64_t unix_s);

#endif
