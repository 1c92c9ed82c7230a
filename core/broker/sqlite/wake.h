/* Telling other processes at once that a queue file has something for them.
 *
 * Beside the queue file stands the folder "<file>.wake".  Who waits binds a
 * datagram socket in it; who committed sends the names to all of them:
 *
 *   queue.db.wake/4711-9f3ac2d0.task     wants names of queues with new tasks
 *   queue.db.wake/4711-9f3ac2d0.cancel   wants ids of tasks to cancel
 *
 * Best effort by design: a full socket, a path too long for a socket, a folder
 * of another user lose nothing but time, for every waiter also looks at
 * `PRAGMA data_version`.  A socket nobody reads any more (its process was
 * killed) is removed by whoever finds it.
 */
#ifndef LQ_SQLITE_WAKE_H
#define LQ_SQLITE_WAKE_H

#include "base/error.h"
#include "base/str.h"

#include <time.h>

enum lq_sqlite_bell_kind { LQ_SQLITE_BELL_TASK, LQ_SQLITE_BELL_CANCEL };

/** Takes the first of names that each end with a NUL off the front; false:
 *  there is none. */
static inline bool lq_sqlite_next_name(lq_str *names, lq_str *name)
{
    const char *zero = names->len ? memchr(names->p, 0, names->len) : NULL;
    if (!zero)
        return false;
    *name = lq_str_n(names->p, (size_t)(zero - names->p));
    *names = lq_str_n(zero + 1, names->len - name->len - 1);
    return true;
}

/* The receiving end.  One thread at a time. */
typedef struct lq_sqlite_bell {
    int fd; /* -1: there is none; poll instead */
    enum lq_sqlite_bell_kind kind;
    char path[108];
} lq_sqlite_bell;

/** Binds a socket for the queue file.  False: not possible here, *bell can
 *  be read and closed all the same, and never rings. */
bool lq_sqlite_bell_open(lq_sqlite_bell *bell, const char *file,
                         enum lq_sqlite_bell_kind kind);
/** Reads what has come without waiting; each name goes to fn (may be NULL).
 *  True: something had come.  A name is the socket's until fn returns. */
bool lq_sqlite_bell_read(lq_sqlite_bell *bell,
                         void (*fn)(void *ud, lq_str name), void *ud);
void lq_sqlite_bell_close(lq_sqlite_bell *bell);

/* The sending end of one thread; born as {0} with `file` set. */
typedef struct lq_sqlite_ringer {
    const char *file; /* the queue file; outlives it */
    int fd;           /* 0: not opened yet */
    /* By kind: the folder as it was when it had no bell but `own`. */
    struct timespec alone[2];
} lq_sqlite_ringer;

/** Sends the names, each ended by a NUL, to every bell of the kind but `own`
 *  (may be NULL).  Never waits.  A name longer than a datagram is left out. */
void lq_sqlite_ring(lq_sqlite_ringer *r, enum lq_sqlite_bell_kind kind,
                    lq_str names, const lq_sqlite_bell *own);
void lq_sqlite_ringer_close(lq_sqlite_ringer *r);

#endif
