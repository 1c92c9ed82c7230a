/* parts of callback: the table, the threads and a worker's runner, as the files
 * of C handlers share them. */
#ifndef LQ_CALLBACK_PARTS_H
#define LQ_CALLBACK_PARTS_H

#include "base/map.h"
#include "runtime/callback.h"
#include "runtime/callback_run.h"

#include <pthread.h>

/* A type's function. */
typedef struct lq_callback_entry {
    lq_str type; /* without its '*' */
    bool prefix;
    lunaq_handler_fn *fn;
    void *userdata;
    lunaq_handler_options options;
    lq_list node; /* in prefixes, longest first */
} lq_callback_entry;

struct lq_callbacks {
    lq_log *log;
    lq_map exact; /* type → lq_callback_entry */
    lq_list prefixes;
    size_t count;
    size_t max;
    lq_callback_around around;
    lunaq_aggregate_fn *aggregate; /* of the server; or NULL */
    void *aggregate_userdata;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work, written;
    lq_list queue;   /* of lunaq_run */
    lq_list running; /* of lunaq_run: handlers have them */
    size_t queued, idle, started;
    bool ending;
    pthread_t threads[]; /* max */
};

struct lq_callback_runner {
    lq_runner runner;
    lq_callbacks *pool;
    lq_worker_services services;
    lq_list runs; /* of lunaq_run: begun, and not ended yet */
};

/** The type's function: its own, or that of its longest prefix; or NULL. */
const lq_callback_entry *lq_callback_find(const lq_callbacks *c, lq_str type);
/** Queues r for a thread of the pool; false when there is none and none can be
 *  made. */
bool lq_callback_queue(lq_callbacks *c, lunaq_run *r);
/** True when r had not begun; then it never will. */
bool lq_callback_unqueue(lq_callbacks *c, lunaq_run *r);
/** Its runner goes while a handler has r: what the handler waits for ends. */
void lq_callback_write_end(lunaq_run *r);

#endif
