/* From one broker to another: what EXPORT and IMPORT carry.
 *
 * Each broker reads and writes the same values, so a queue can go from any to
 * any.  Times of day are the broker's, as in broker.h.
 */
#ifndef LQ_BROKER_COPY_H
#define LQ_BROKER_COPY_H

#include "broker/broker.h"

/* A task with all that a broker knows of it.  Who held it stays behind: an
 * active one arrives with a lease that nobody can renew. */
typedef struct lq_copy {
    lunaq_state state;
    lq_str id, msg;
    lq_str group, unique_key, cancel, result; /* p NULL = none */
    int64_t at_ms; /* pending, aggregating: since when; else as in a row */
    int64_t crashes;
    int64_t lock_ms; /* for how long it holds unique_key; 0 = it does not */
    int code;        /* result of IMPORT: OK; EEXIST it is there already;
                        ESTATE another of this id is there; ENOTFOUND it is not
                        there (check); EREPLY a key has a wrong type */
} lq_copy;

/* Reads a queue's tasks, the pending in the order in which they run.  Repeat
 * with the same cursor until it is "0" again.  Tasks that move meanwhile may
 * be missed or met twice. */
typedef struct lq_op_export {
    lq_op op;
    lq_str queue;
    char cursor[64]; /* in: "" to begin; out: where to go on */
    lq_copy *items;  /* result, in op.mem: at most LQ_BATCH_MAX */
    size_t count;
    size_t dangling; /* result: ids without a task, left out */
} lq_op_export;

/* Adds tasks as they were.  Those whose id is there change nothing, so it can
 * be repeated.  The archive's limits are not applied. */
typedef struct lq_op_import {
    lq_op op;
    lq_str queue;
    lq_copy *items;
    size_t count;
    bool check; /* only looks whether they are there as they should */
} lq_op_import;

typedef struct lq_copy_cron {
    lq_str entry;
    int64_t last_ms; /* negative: seen then, never fired */
} lq_copy_cron;

#define LQ_COPY_DAYS 90

/* What a queue has beside its tasks. */
typedef struct lq_queue_copy {
    int64_t paused_ms; /* since when; 0 = it is not */
    int64_t processed, failed, discarded, dropped;
    int64_t processed_on[LQ_COPY_DAYS], failed_on[LQ_COPY_DAYS]; /* days ago */
    lq_copy_cron *crons;
    size_t cron_count;
} lq_queue_copy;

typedef struct lq_op_export_queue {
    lq_op op; /* rc ENOTFOUND: no such queue */
    lq_str queue;
    int64_t now_ms;     /* the caller's clock, for the names of day counters */
    lq_queue_copy copy; /* result */
} lq_op_export_queue;

/* Makes the queue.  Of a counter and of an entry's last instant the larger
 * remains, so it can be repeated. */
typedef struct lq_op_import_queue {
    lq_op op;
    lq_str queue;
    int64_t now_ms;
    lq_queue_copy copy;
} lq_op_import_queue;

#endif
