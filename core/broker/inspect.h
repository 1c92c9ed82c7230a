/* inspect: what clients and inspectors ask of a broker: tasks, queues, servers
 * and periodic entries as they are, and moves of them by hand.
 *
 * Operations as those of broker.h.
 */
#ifndef LQ_INSPECT_H
#define LQ_INSPECT_H

#include "broker/broker.h"

/* Waiting: archived with the reason.  Active: marked, and its holder told. */
typedef struct lq_op_cancel {
    lq_op op; /* rc ENOTFOUND, ESTATE (archived or completed) */
    lq_str queue, id;
    lq_str reason;   /* who and why */
    bool attempt;    /* only the attempt that runs: its holder is told, and it
                        counts as failed; ESTATE when it is not active */
    lunaq_state was; /* result */
} lq_op_cancel;

typedef struct lq_op_move {
    lq_op op; /* rc ENOTFOUND, ESTATE */
    lq_str queue, id;
    lunaq_move move;
} lq_op_move;

/* Gives a task that waits or is archived another payload; all else of its
 * message stays, what we do not know of it, too.  Its unique lock, if it has
 * one, stays that of the payload it was enqueued with. */
typedef struct lq_op_update {
    lq_op op; /* rc ENOTFOUND, ESTATE, EPROTO (the message cannot be read) */
    lq_str queue, id;
    lq_str payload;
} lq_op_update;

/* One batch of moving a whole state. */
typedef struct lq_op_move_all {
    lq_op op;
    lq_str queue;
    lunaq_state state;
    lunaq_move move;
    lq_str group;  /* AGGREGATING: of this group; p NULL = of all */
    lq_str type;   /* of this type; p NULL = of all */
    int64_t skip;  /* in: 0 to begin; out: how many were looked at and left */
    int64_t moved; /* result: of this batch */
    int64_t left;  /* result: how many the state still holds */
    bool more;     /* result: call again with skip */
} lq_op_move_all;

typedef struct lq_task_row {
    lunaq_state state;
    lq_str queue; /* in op.mem, as all of it */
    lq_str id;
    lq_str msg; /* p NULL: dangling */
    lq_str result;
    int64_t crashes;
    int64_t at_ms;    /* its score: due, died, deleted at; active: lease end */
    lq_str cancel;    /* who asked to cancel it and why; p NULL = nobody */
    int64_t since_ms; /* pending: since when; 0 = not known */
    int64_t lock_ms;  /* TASK_GET: how long it holds its unique lock still;
                         0 = it does not, -1 = for ever */
} lq_task_row;

/* Looks an id up in the given queues.  Rows of the queues that have it. */
typedef struct lq_op_task_get {
    lq_op op;
    const lq_str *queues;
    size_t queue_count;
    lq_str id;
    lq_task_row *rows; /* result */
    size_t count;
} lq_op_task_get;

typedef struct lq_op_task_list {
    lq_op op;
    lq_str queue;
    lunaq_state state; /* not ANY */
    lq_str group;      /* AGGREGATING: of this group; p NULL = of all */
    int64_t page, page_size;
    lq_task_row *rows; /* result */
    size_t count;
} lq_op_task_list;

/* Walks a queue's task ids for those with a head or tail.  Repeat with the same
 * cursor until it is "0" again. */
typedef struct lq_op_task_scan {
    lq_op op;
    lq_str queue;
    lq_str part;
    char cursor[32]; /* in: "" or "0" to begin; out: where to go on */
    lq_str *ids;     /* result */
    size_t count;
} lq_op_task_scan;

typedef struct lq_op_queues {
    lq_op op;
    lq_str *names; /* result, sorted */
    size_t count;
} lq_op_queues;

typedef struct lq_op_queue_stats {
    lq_op op; /* rc ENOTFOUND: no such queue */
    lq_str queue;
    int64_t now_ms; /* the caller's clock, for the names of day counters */
    bool memory;    /* memory_bytes, too, which takes longer */
    lunaq_queue_info info; /* result; name points into op.mem */
} lq_op_queue_stats;

typedef struct lq_op_queue_history {
    lq_op op;
    lq_str queue;
    size_t days; /* <= 90 */
    int64_t now_ms;
    int64_t *processed, *failed; /* results, the caller's arrays */
} lq_op_queue_history;

typedef struct lq_op_queue_pause {
    lq_op op; /* rc ESTATE when it already is so, ENOTFOUND: no such queue */
    lq_str queue;
    bool pause;
} lq_op_queue_pause;

/* One part of removing a queue. */
typedef struct lq_op_queue_remove {
    lq_op op; /* rc ENOTFOUND, ESTATE */
    lq_str queue;
    bool force;
    bool active;     /* with force: also active tasks, whose holders are gone */
    char cursor[32]; /* in: "" to begin; out: where to go on */
    bool more;       /* result: call again */
} lq_op_queue_remove;

typedef struct lq_server_row {
    lq_str info;     /* encoded lq_server_msg */
    lq_str extra;    /* JSON, or p NULL (Asynq's servers) */
    lq_str *workers; /* encoded lq_worker_msg */
    size_t worker_count;
} lq_server_row;

typedef struct lq_op_servers {
    lq_op op;
    lq_server_row *rows; /* result */
    size_t count;
} lq_op_servers;

typedef struct lq_op_crons {
    lq_op op;
    lq_str *entries; /* result: encoded lq_cron_msg */
    size_t count;
} lq_op_crons;

typedef struct lq_cron_event {
    lq_str task_id;
    int64_t at_ms;
} lq_cron_event;

/* What an entry enqueued, the newest first. */
typedef struct lq_op_cron_history {
    lq_op op;
    lq_str entry_id;
    size_t limit;          /* at most so many; 0 = LQ_CRON_HISTORY_MAX */
    lq_cron_event *events; /* result */
    size_t count;
} lq_op_cron_history;

/* Checks the invariants on all of a queue.  For tests and `doctor`. */
typedef struct lq_op_audit {
    lq_op op;
    lq_str queue;
    lq_str *faults; /* result: one text each */
    size_t count;
} lq_op_audit;

#endif
