/* durable: the names of what may be asked of an enqueue's durability. */
#ifndef LQ_DURABLE_H
#define LQ_DURABLE_H

#include "base/error.h"
#include "base/str.h"

/** "none", "replica" or "fsync" → its lunaq_durable; false for anything
 *  else. */
bool lq_durable_parse(lq_str name, int64_t *durable);
/** LUNAQ_EINVAL when it is none of the enum's values. */
int lq_durable_check(int64_t durable, lunaq_error *err);

#endif
