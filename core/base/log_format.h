/* How a log record looks. */
#ifndef LQ_LOG_FORMAT_H
#define LQ_LOG_FORMAT_H

#include "base/buf.h"
#include "base/log.h"

/** Appends the record without a newline; it holds none.  now_ms: its Unix
 *  time.  level: DEBUG to ERROR.  Any thread. */
void lq_log_format(lq_buf *out, bool json, lunaq_log_level level,
                   int64_t now_ms, lq_str message, const lq_field *fields,
                   size_t count);
/** Appends s as a JSON string, in quotes; bytes that are not UTF-8 as '?'. */
void lq_log_json_string(lq_buf *out, lq_str s);

#endif
