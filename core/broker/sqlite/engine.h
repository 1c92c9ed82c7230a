/* The engine: one queue file as a daemon uses it, on threads of its own.
 *
 *   clients (links)            engine
 *   ─ submit ─► to_write ─►  writer   BEGIN, everything that waits, COMMIT
 *               to_read  ─►  readers  each operation in a snapshot of its own
 *               waits    ─►  watch    new tasks, cancel requests
 *   ◄─ tell ── finished  ◄─           keeper   checkpoints, free pages
 *
 * Group commit: while one transaction is made durable the next one gathers, so
 * that under load many operations share one sync, and a lonely one leaves at
 * once.  An operation is answered after its commit, never before.
 *
 * One engine per process and file.  Any thread.
 */
#ifndef LQ_SQLITE_ENGINE_H
#define LQ_SQLITE_ENGINE_H

#include "base/buf.h"
#include "base/log.h"
#include "broker/broker.h"

typedef struct lq_sqlite_engine lq_sqlite_engine;

/* Who submits operations and gets them back.  All members are the engine's but
 * `tell` and what the owner keeps around it. */
typedef struct lq_sqlite_client {
    /* Something can be collected.  Comes once until lq_sqlite_collect(), on any
     * thread and under the engine's lock: post it elsewhere. */
    void (*tell)(struct lq_sqlite_client *client);
    bool told;
    bool closing;
    lq_list node;       /* of the engine's clients */
    lq_list write_node; /* … of those with something to write */
    lq_list batch_node; /* … of those in the transaction; the writer's own */
    lq_list read_node;  /* … of those with something to read */
    lq_list to_write, to_read;
    lq_list writing, wrote; /* in the writer's hands; its own */
    lq_list listens;
    lq_list finished;
    size_t under_way; /* in a thread's hands */
    lq_buf cancels;   /* ids for the listens, each ends with a NUL */
} lq_sqlite_client;

typedef struct lq_sqlite_engine_options {
    const char *path;
    bool normal; /* durability: as in lq_sqlite_options */
    lq_log *log; /* outlives the engine; may be NULL */
} lq_sqlite_engine_options;

/** Opens (and makes, and migrates) the file and starts the threads.
 *  LUNAQ_ECONFIG, LUNAQ_EBROKER: why the file cannot be used. */
int lq_sqlite_engine_open(lq_sqlite_engine **out,
                          const lq_sqlite_engine_options *options,
                          lunaq_error *err);
/** Ends the threads.  After the last client was removed.  NULL is fine. */
void lq_sqlite_engine_close(lq_sqlite_engine *e);

/** Adds a client whose `tell` is set; the rest is zeroed. */
void lq_sqlite_client_add(lq_sqlite_engine *e, lq_sqlite_client *c);
/** Takes op until lq_sqlite_collect() gives it back.  op->done is not called.
 *  On a closing client it comes back with LUNAQ_ECANCELED. */
void lq_sqlite_submit(lq_sqlite_engine *e, lq_sqlite_client *c, lq_op *op);
/** Moves what is finished to *ended, and the ids of tasks to cancel to
 *  *cancels (an empty buffer). */
void lq_sqlite_collect(lq_sqlite_engine *e, lq_sqlite_client *c, lq_list *ended,
                       lq_buf *cancels);
/** Cancels what has not begun, and gives back what has as canceled when it is
 *  done; `tell` comes at least once. */
void lq_sqlite_client_close(lq_sqlite_engine *e, lq_sqlite_client *c);
/** True when nothing of a closing client is in the engine any more, and then
 *  the engine has forgotten it. */
bool lq_sqlite_client_remove(lq_sqlite_engine *e, lq_sqlite_client *c);

#endif
