/* lock: who writes to a queue file next.
 *
 * SQLite lets one connection write at a time and lets the others try again
 * later, whoever comes first: under load some of them wait for seconds.  So
 * lunaq's writers take turns by an OFD lock on "<file>.lock" before they begin.
 * Its bytes are locked by:
 *
 *   byte 0       the writer, during the transaction
 *   byte 1 …     who waits, each its own, until it has written
 *
 * Who comes draws a number, which is its byte, and waits until the one before
 * it is free: so nobody passes another, and whoever has just written stands
 * behind all.  The file's content, one page that all map, has the last number
 * and a futex a byte, by which who leaves wakes who is behind it.  It decides
 * nothing: the locks do, and they are gone with a process that dies; who is
 * woken by nobody looks by itself after some milliseconds.  Nothing is ever to
 * be cleaned up.
 */
#ifndef LQ_SQLITE_LOCK_H
#define LQ_SQLITE_LOCK_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct lq_sqlite_lock {
    int fd;                        /* -1: not open */
    bool held;                     /* byte 0 is ours */
    int place;                     /* our other byte; 0: none */
    struct lq_sqlite_places *line; /* the page; NULL: polling has to do */
} lq_sqlite_lock;

#define LQ_SQLITE_LOCK_INIT                                                    \
    {                                                                          \
        .fd = -1                                                               \
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
