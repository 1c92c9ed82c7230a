/* A periodic entry as a C program writes it → what the scheduler takes. */
#ifndef LQ_CRON_ENTRY_H
#define LQ_CRON_ENTRY_H

#include "base/alloc.h"
#include "runner/runner.h"

/** Reads `from`, a lunaq_cron_entry of any size; all strings are copied into
 *  mem, to which want and item then point.  On success item is released by
 *  lq_enqueue_release().  LUNAQ_EINVAL: the entry is none. */
int lq_cron_entry_read(lq_cron_want *want, lq_enqueue *item, const void *from,
                       lq_arena *mem, lunaq_error *err);

#endif
