/* lock: who writes to a queue file next.
 *
 * SQLite lets one connection write at a time and lets the others try again
 * later, whoever comes first: under load some of them wait for seconds.  So
 * lunaq's writers take turns by an OFD lock on "<file>.lock" before they begin.
 * The file has two bytes that are locked:
 *
 *   byte 1  the next writer: held from being the next until being the writer
 *   byte 0  the writer: held during the transaction
 *
 * Whoever has just written has to become the next like everybody else, so it
 * passes nobody who waits already.  Locks of a process that dies are gone with
 * it; nothing is ever to be cleaned up.
 */
#ifndef LQ_SQLITE_LOCK_H
#define LQ_SQLITE_LOCK_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct lq_sqlite_lock {
    int fd;    /* -1: not open */
    bool held; /* byte 0 is ours */
} lq_sqlite_lock;

#define LQ_SQLITE_LOCK_INIT                                                    \
    {                                                                          \
        -1, false                                                              \
    }

/** Opens "<path>.lock", making it with the mode of `path` if that exists, for
 *  the owner alone otherwise.  LUNAQ_ECONFIG says what is wrong. */
int lq_sqlite_lock_open(lq_sqlite_lock *l, const char *path, lunaq_error *err);
void lq_sqlite_lock_close(lq_sqlite_lock *l);
/** Becomes the writer, waiting until deadline_ns (lq_mono_ns) at most.
 *  LUNAQ_EBROKER: the deadline passed. */
int lq_sqlite_lock_take(lq_sqlite_lock *l, int64_t deadline_ns,
                        lunaq_error *err);
void lq_sqlite_lock_give(lq_sqlite_lock *l);
/** True when somebody waits to be the writer after us. */
bool lq_sqlite_lock_wanted(const lq_sqlite_lock *l);

#endif
