/* caller: the blocking connection to a queue file, on the caller's thread. */
#ifndef LQ_SQLITE_CALLER_H
#define LQ_SQLITE_CALLER_H

#include "broker/broker.h"
#include "sqlite/file.h"

/** Opens a blocking connection for a path (the part of the URL after
 *  "sqlite:").  The file is opened at the first call, and again at the next
 *  call after a failure to open.  options may be NULL.  Never repeats an
 *  operation by itself. */
int lq_sqlite_caller_open(lq_caller **out, const char *path,
                          const lq_sqlite_options *options, lunaq_error *err);

#endif
