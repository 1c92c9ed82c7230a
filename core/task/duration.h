/* Durations as text. */
#ifndef LQ_DURATION_H
#define LQ_DURATION_H

#include "base/buf.h"
#include "base/error.h"

/** "90s", "5m", "1h30m", "24h", "7d", "250ms", "1.5h", or a plain number of
 *  seconds → milliseconds.  Units: ms s m h d w.  LUNAQ_EINVAL for anything
 *  else, negative ones included. */
int lq_duration_parse(lq_str text, int64_t *ms, lunaq_error *err);
/** Go's own grammar: units ns us µs ms s m h, and "0".  Less than a millisecond
 *  is cut. */
int lq_duration_parse_go(lq_str text, int64_t *ms, lunaq_error *err);
/** Appends it as Go writes it ("1h0m0s", "30s", "1.5s", "0s"): what Asynq's
 *  inspector parses. */
void lq_duration_go(lq_buf *out, int64_t ms);
/** Appends it for people: "1.2ms", "17s", "5m", "1h30m", "3d". */
void lq_duration_text(lq_buf *out, double ms);

#endif
