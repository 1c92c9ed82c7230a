/* What the engine's threads share.  Each of them has a connection of its own;
 * everything else is under the lock. */
#ifndef LQ_SQLITE_ENGINE_PARTS_H
#define LQ_SQLITE_ENGINE_PARTS_H

#include "base/spin.h"
#include "sqlite/apply.h"
#include "sqlite/engine.h"
#include "sqlite/file.h"
#include "sqlite/wake.h"

#include <pthread.h>
#include <stdatomic.h>

#define LQ_SQLITE_READERS 2

/* An LQ_OP_WAIT under way. */
typedef struct lq_sqlite_waiting {
    lq_list node;
    lq_sqlite_client *client;
    lq_op_wait *op;
    int64_t until; /* monotonic ms */
} lq_sqlite_waiting;

typedef struct lq_sqlite_reader {
    struct lq_sqlite_engine *engine;
    pthread_t thread;
    bool started;
    lq_sqlite *q;
    int64_t until; /* monotonic ms: when its operation is interrupted */
} lq_sqlite_reader;

struct lq_sqlite_engine {
    lq_log *log;
    char *path;

    pthread_mutex_t lock;
    pthread_cond_t write_ready, read_ready, stopping;
    bool stop;
    lq_list clients;  /* all */
    lq_list to_write; /* clients with something to write */
    lq_list to_read;
    lq_list waits;

    /* The writer's. */
    lq_sqlite *writer;
    pthread_t writer_thread;
    bool writer_started;
    lq_sqlite_ringer ringer;
    int64_t busy_gate, failed_gate;           /* of the log */
    int64_t truncate_not_before, stuck_until; /* monotonic ms */
    lq_spin spin;                             /* for something to write */
    atomic_bool submitted; /* … which came since it last gathered */

    lq_sqlite_reader readers[LQ_SQLITE_READERS];

    /* The watch's. */
    lq_sqlite *watch;
    pthread_t watch_thread;
    bool watch_started;
    int watch_wake; /* an eventfd */
    size_t listen_count;
    bool watch_look;    /* look whether waits can end */
    bool watch_listen;  /* look for tasks to cancel */
    bool first_listen;  /* … from now on */
    int64_t watch_gate; /* of the log */
    lq_sqlite_bell tasks, cancels;

    /* The keeper's. */
    lq_sqlite *keeper;
    pthread_t keeper_thread;
    bool keeper_started;
};

/* The threads' functions; arg is the engine (of a reader: the reader). */
void *lq_sqlite_writer_main(void *arg);
void *lq_sqlite_reader_main(void *arg);
void *lq_sqlite_watch_main(void *arg);
void *lq_sqlite_keeper_main(void *arg);

/** Moves the WAL's pages to the file; with `empty` it waits for readers and
 *  writers, then cuts the WAL to nothing.  False: not all could be moved. */
bool lq_sqlite_checkpoint(lq_sqlite *q, bool empty);

/* Under the lock: */

/** Tells the client that there is something to collect. */
void lq_sqlite_tell(lq_sqlite_client *c);
/** Gives op back to its client. */
void lq_sqlite_finish(lq_sqlite_client *c, lq_op *op);
/** Ends op without a result. */
void lq_sqlite_refuse(lq_op *op, int rc, const char *why);
/** Takes a WAIT or LISTEN. */
void lq_sqlite_watch_submit(lq_sqlite_engine *e, lq_sqlite_client *c,
                            lq_op *op);
/** Ends a closing client's waits and listens. */
void lq_sqlite_watch_drop(lq_sqlite_engine *e, lq_sqlite_client *c);
/** The writer committed something that calls for this. */
void lq_sqlite_watch_committed(lq_sqlite_engine *e,
                               const lq_sqlite_wakes *wakes);
/** Makes the watch look at its lists. */
void lq_sqlite_watch_poke(lq_sqlite_engine *e);

#endif
