/* What a broker can do: operations as values.
 *
 * A broker is where tasks live.  An operation is a struct that begins with
 * `struct lq_op`; the caller fills in its arguments, hands it to a connection
 * and reads its results when it is done.  There are two kinds of connection,
 * and both take every operation:
 *
 *   lq_link    on a loop: submit, and op->done() comes exactly once, later
 *   lq_caller  blocking: lq_caller_call() returns when it is done
 *
 * Nothing here knows Redis or SQLite.  Instants are the broker's clock where
 * an operation says "now".
 *
 * Invariants that every operation keeps, and lq_op_audit looks for:
 *  1. A task id is in exactly one place: pending, active, scheduled, retry,
 *     archived, completed, or one group; and it says so in its state.
 *  2. A task is active if and only if it has a lease.
 *  3. No id is twice in a list.
 *  4. A finish, an extension or a result of a holder whose token is no longer
 *     in the lease changes nothing.
 *  5. An item of a batch that cannot be carried out answers for itself; the
 *     others are carried out.
 *
 * Batches hold at most LQ_BATCH_MAX items.
 */
#ifndef LQ_BROKER_H
#define LQ_BROKER_H

#include "base/alloc.h"
#include "base/list.h"
#include "task/codec.h"
#include "task/task.h"

#define LQ_BATCH_MAX 100
#define LQ_QUEUES_MAX 64 /* that one server serves */

enum lq_op_kind {
    LQ_OP_PING = 1,
    LQ_OP_TOKEN,
    LQ_OP_TOKEN_RENEW,
    LQ_OP_ENQUEUE,
    LQ_OP_STEP,
    LQ_OP_EXTEND,
    LQ_OP_RECONCILE,
    LQ_OP_EXPIRED,
    LQ_OP_FORWARD,
    LQ_OP_CLEAN,
    LQ_OP_REPAIR,
    LQ_OP_PEEK,
    LQ_OP_WAIT,
    LQ_OP_HEARTBEAT,
    LQ_OP_GOODBYE,
    LQ_OP_CRON_FIRE,
    LQ_OP_CRON_PUBLISH,
    LQ_OP_CRON_RECORD,
    LQ_OP_LISTEN,
    LQ_OP_RESULT,
    LQ_OP_CANCEL,
    LQ_OP_MOVE,
    LQ_OP_MOVE_ALL,
    LQ_OP_TASK_GET,
    LQ_OP_TASK_LIST,
    LQ_OP_TASK_SCAN,
    LQ_OP_QUEUES,
    LQ_OP_QUEUE_STATS,
    LQ_OP_QUEUE_HISTORY,
    LQ_OP_QUEUE_PAUSE,
    LQ_OP_QUEUE_REMOVE,
    LQ_OP_SERVERS,
    LQ_OP_CRONS,
    LQ_OP_CRON_HISTORY,
    LQ_OP_AUDIT,
    LQ_OP_SLOTS, /* these two: redis/cluster.h */
    LQ_OP_PART,
    LQ_OP_EXPORT,
    LQ_OP_IMPORT,
    LQ_OP_EXPORT_QUEUE,
    LQ_OP_IMPORT_QUEUE,
    LQ_OP_GROUPS, /* these and what follows: group.h */
    LQ_OP_GROUP_TAKE,
    LQ_OP_GROUP_FINISH,
    LQ_OP_GROUP_BACK,
    LQ_OP_GROUP_EXTEND,
    LQ_OP_GROUP_RECLAIM,
    LQ_OP_CHECK, /* broker/check.h */
    LQ_OP_UPDATE,
    LQ_OP_ORDER, /* broker/order.h */
    LQ_OP_ORDER_TAKE,
    LQ_OP_DIAGNOSE,    /* broker/diagnose.h */
    LQ_OP_QUEUE_PLACE, /* broker/place.h */
    LQ_OP_UNTOLD,      /* broker/archived.h */
    LQ_OP_KINDS
};

/* The head of every operation. */
typedef struct lq_op {
    enum lq_op_kind kind;
    int rc;          /* result: LUNAQ_OK, or a code for the whole operation:
                        EBROKER nothing was sent, EUNKNOWN sent but no reply,
                        EREPLY the broker refused it, EFULL it has no memory */
    lunaq_error err; /* its message */
    lq_arena mem;    /* results that are not in the struct live here */
    void (*done)(struct lq_op *op); /* links only; op may be freed in it */
    void *ud;
    lq_list node;               /* the connection's while under way */
    uint32_t commands, replies; /* the connection's: sent and answered */
    void *plan;                 /* its way through a cluster, in mem */
} lq_op;

/** Readies an operation whose struct is zeroed or used before: results freed,
 *  arguments kept. */
void lq_op_init(lq_op *op, enum lq_op_kind kind);
/** Frees the results. */
void lq_op_release(lq_op *op);
const char *lq_op_name(enum lq_op_kind kind);

/* ---- connections --------------------------------------------------------- */

/* A connection on a loop.  Belongs to the loop's thread.  It connects by
 * itself, and again after a loss with a jittered backoff of at most 5 s. */
typedef struct lq_link lq_link;
typedef struct lq_link_ops {
    /* Takes op until op->done(), which comes exactly once and never from inside
     * submit.  Not connected: done with EBROKER.  Connection lost after bytes
     * of it left: done with EUNKNOWN. */
    void (*submit)(lq_link *link, lq_op *op);
    /* Ends the connection; operations under way are done with ECANCELED before
     * closed(ud) comes, once, and link is freed after it. */
    void (*close)(lq_link *link, void (*closed)(void *ud), void *ud);
} lq_link_ops;
struct lq_link {
    const lq_link_ops *ops;
};

/* What a link tells its owner, on the loop's thread. */
typedef struct lq_link_events {
    void (*up)(void *ud); /* connected and ready; operations may be submitted */
    void (*down)(void *ud, const lunaq_error *why); /* lost, or could not
        connect; each attempt that fails reports once; it tries again itself */
} lq_link_events;

struct lq_loop;
/* Opens a link to a broker.  broker: what this kind of broker's links need; for
 * Redis the URL, a const char *.  It outlives the link. */
typedef int lq_link_open_fn(lq_link **out, struct lq_loop *loop,
                            const void *broker, const lq_link_events *events,
                            void *ud, lunaq_error *err);

static inline void lq_link_submit(lq_link *link, lq_op *op)
{
    link->ops->submit(link, op);
}

/* A blocking connection.  One thread at a time. */
typedef struct lq_caller lq_caller;
typedef struct lq_caller_ops {
    /* Carries op out, connecting first when needed, within timeout_ms.  Returns
     * op->rc with its message in *err.  op->done is not called. */
    int (*call)(lq_caller *caller, lq_op *op, int64_t timeout_ms,
                lunaq_error *err);
    void (*close)(lq_caller *caller);
} lq_caller_ops;
struct lq_caller {
    const lq_caller_ops *ops;
};

static inline int lq_caller_call(lq_caller *caller, lq_op *op,
                                 int64_t timeout_ms, lunaq_error *err)
{
    return caller->ops->call(caller, op, timeout_ms, err);
}

static inline void lq_caller_close(lq_caller *caller)
{
    if (caller)
        caller->ops->close(caller);
}

/* ---- what servers do ----------------------------------------------------- */

/* Asks for a sign of life, and what the broker is. */
typedef struct lq_op_ping {
    lq_op op;
    char version[32];  /* result: "7.0.15" */
    char warning[200]; /* result: a setting that endangers tasks, or "" */
} lq_op_ping;

/* Draws a lease token that no other connection has. */
typedef struct lq_op_token {
    lq_op op;
    lq_str server_id;
    uint32_t token; /* result */
} lq_op_token;

typedef struct lq_op_token_renew {
    lq_op op;
    lq_str server_id;
    const uint32_t *tokens;
    size_t count;
} lq_op_token_renew;

/* Enqueues items, each with its own result in items[i]->code.
 *
 * An item whose `durable` asks for more than the broker gives by itself is
 * answered when that is reached.  When it is not: EUNKNOWN, with EEXIST too,
 * and why in op.err although op.rc is OK; ECONFIG: never with this broker, and
 * then nothing of the item was done. */
typedef struct lq_op_enqueue {
    lq_op op;
    lq_enqueue **items;
    size_t count;
    bool known_queues;  /* the caller announced them a short while ago */
    int64_t durable_ms; /* how long to wait for replicas and disks; 0 = 1000 */
    uint32_t scripts;   /* Redis' while under way: commands that enqueue, */
    int confirmed; /* … and bits of the lunaq_durables that are reached */
} lq_op_enqueue;

/* What the code of an item means, where op.err does not say.  Static. */
const char *lq_enqueue_reason(int code);

/* How a run of a task ended, or what becomes of a task whose holder is gone. */
enum lq_outcome_kind {
    LQ_DONE = 1, /* deleted; counted as processed */
    LQ_COMPLETE, /* kept for retention_s with its result; processed */
    LQ_RETRY_AT, /* waits delay_ms; processed and failed if is_failure */
    LQ_ARCHIVE,  /* processed and failed */
    LQ_REQUEUE,  /* pending again, next to run; nothing counted */
    LQ_SNOOZE,   /* scheduled in delay_ms; nothing counted */
    LQ_CRASHED,  /* like REQUEUE, and the crash count goes up */
    LQ_DISCARD   /* deleted; processed, and counted as discarded */
};

typedef struct lq_outcome {
    enum lq_outcome_kind kind;
    lq_str id;
    /* The holder: its token, or the lease's exact score as `expired` read it
     * (what a recoverer has).  Exactly one is set. */
    uint32_t token;
    const char *score;
    lq_str msg;        /* the new message: COMPLETE, RETRY_AT, ARCHIVE.  msg.p
                          NULL elsewhere */
    lq_str unique_key; /* released on DONE, COMPLETE, DISCARD if still ours */
    lq_str result;     /* kept beside the task on COMPLETE; p NULL = none */
    int64_t retention_s;
    int64_t delay_ms;
    bool is_failure;
    bool from_tail; /* among the older half of the holder's tasks: where to
                       look for it first in the list of active tasks */
    bool
        keep_crashes; /* the run was not a normal end: do not reset the count */
    int code;         /* result: OK, ELEASE (not ours; nothing changed),
                         ENOTFOUND (no such task), EREPLY (a key has a wrong
                         type) */
    lq_str canceled;  /* result, in op.mem: archived instead, since somebody
                         asked  to cancel it: who and why; p NULL = nobody did */
} lq_outcome;

typedef struct lq_taken {
    size_t queue; /* index in the step's queues */
    lq_str id;
    lq_str msg; /* in op.mem; may be undecodable */
    int32_t crashes;
    bool bad; /* result: the task's key was unusable and its id was
                 dropped; msg says why */
} lq_taken;

typedef struct lq_step_queue {
    lq_str name;
    uint32_t want; /* take so many of it first */
    bool capped;   /* and of all not more than `most`, >= want */
    uint32_t most;
    lq_outcome **outcomes; /* settle these */
    size_t outcome_count;
    size_t extra; /* so many of them leave no slot free: of parked tasks */
    bool paused;  /* result */
    bool drained; /* result: nothing is pending in it any more */
    int code;     /* result: OK, or EREPLY when its keys have a wrong
                     type: the other queues were served */
    char reason[160];
} lq_step_queue;

/* Settles and takes in one move: first every queue's outcomes, then `want` from
 * each queue in order, then what is left of `free` in order again.  Paused
 * queues give nothing.  A message is granted a lease of lease_ms from now. */
typedef struct lq_op_step {
    lq_op op;
    lq_step_queue *queues;
    size_t queue_count;
    uint32_t free;  /* how many to take in all; 0 = only settle */
    uint32_t token; /* of the new leases */
    int64_t lease_ms;
    int64_t now_ms;  /* the caller's clock, for the names of day counters */
    lq_taken *taken; /* result, in op.mem */
    size_t taken_count;
} lq_op_step;

typedef struct lq_extend_item {
    lq_str id;
    uint32_t token;
    int code;      /* result: OK, ELEASE */
    lq_str cancel; /* result, in op.mem: who asked to cancel it and why; p NULL
                      = nobody */
} lq_extend_item;

/* Renews leases, expired ones too while the token still matches. */
typedef struct lq_op_extend {
    lq_op op;
    lq_str queue;
    lq_extend_item *items;
    size_t count;
    int64_t lease_ms;
} lq_op_extend;

/* After a lost reply: what has old_token but is not in `held` goes back to
 * pending, next to run, its crash count untouched. */
typedef struct lq_op_reconcile {
    lq_op op;
    lq_str queue;
    uint32_t old_token;
    const lq_str *held;
    size_t held_count;
    int64_t returned; /* result */
} lq_op_reconcile;

typedef struct lq_expired {
    lq_str id;
    char score[40]; /* of its lease, exact text */
    uint32_t token; /* 0: held by Go */
    lq_str msg;     /* p NULL: no such task, or no message */
    int32_t crashes;
    lq_str cancel; /* as in lq_extend_item */
} lq_expired;

/* Lists at most `limit` tasks whose lease ended: lunaq's at once, Go's 30 s
 * later.  Reads only. */
typedef struct lq_op_expired {
    lq_op op;
    lq_str queue;
    size_t limit;
    lq_expired *items; /* result, in op.mem */
    size_t count;
    int64_t next_ms; /* result: until the next lease ends; -1 = no lease */
} lq_op_expired;

/* Moves due tasks of scheduled and retry to pending (or to their group), at
 * most LQ_BATCH_MAX of each. */
typedef struct lq_op_forward {
    lq_op op;
    lq_str queue;
    int64_t moved;   /* result */
    int64_t next_ms; /* result: until the next is due, 0 = now; -1 = none */
} lq_op_forward;

/* What a queue keeps of tasks that are over; whatever archives or completes
 * holds to it, inspectors too.  0 = the default, -1 = no limit. */
typedef struct lq_queue_limits {
    int64_t archive_max;   /* archived tasks; default 10000 */
    int64_t archive_ms;    /* for how long, whole seconds; default 90 days */
    int64_t completed_max; /* completed tasks; default no limit */
} lq_queue_limits;

/* Deletes completed tasks that outlived their retention, at most
 * LQ_BATCH_MAX, and some of what is over the limits. */
typedef struct lq_op_clean {
    lq_op op;
    lq_str queue;
    const lq_queue_limits *limits; /* from now on; NULL = as they are */
    int64_t deleted, dropped;      /* results */
    bool more;                     /* result: call again */
} lq_op_clean;

/* Gives every active task without a lease one that ends in 30 s, and drops
 * leases and active entries that have no task. */
typedef struct lq_op_repair {
    lq_op op;
    lq_str queue;
    int64_t leased, dropped; /* results */
} lq_op_repair;

typedef struct lq_peek {
    lq_str queue;
    bool paused; /* results */
    int64_t pending;
    int64_t next_ms; /* until the next scheduled or retry is due; -1 = none */
    int64_t groups;  /* how many have tasks; SQLite: 1 when any has */
} lq_peek;

typedef struct lq_op_peek {
    lq_op op;
    lq_peek *queues;
    size_t count;
} lq_op_peek;

/* Waits until the queue has a pending task.  Changes nothing by itself.
 * Occupies its connection: use one that does nothing else.
 *
 * take: NULL, or a step without outcomes over this queue alone, which a broker
 * at the other end of a network carries out as soon as the wait is over, woken
 * or not, and so saves the way there and back.  A broker need not: `taken`
 * tells.  When taken, take's results are there whatever became of the wait; an
 * operation of unknown end may have taken, too. */
typedef struct lq_op_wait {
    lq_op op;
    lq_str queue;
    int64_t timeout_ms; /* whole seconds are what Redis 6.2 takes */
    lq_op_step *take;
    bool woke;  /* result */
    bool taken; /* result: take was carried out */
} lq_op_wait;

typedef struct lq_heartbeat_worker {
    lq_str task_id;
    lq_str msg; /* encoded lq_worker_msg */
} lq_heartbeat_worker;

/* Publishes that a server lives, what it works on, and what lunaq knows of it
 * beyond Asynq's record. */
typedef struct lq_op_heartbeat {
    lq_op op;
    lq_str host, server_id;
    int32_t pid;
    lq_str info;  /* encoded lq_server_msg */
    lq_str extra; /* JSON: handler files and generation; p NULL = as before */
    const lq_heartbeat_worker *workers;
    size_t worker_count;
    int64_t ttl_ms;
} lq_op_heartbeat;

/* Takes a server's records away. */
typedef struct lq_op_goodbye {
    lq_op op;
    lq_str host, server_id;
    int32_t pid;
    const uint32_t *tokens; /* given back */
    size_t token_count;
} lq_op_goodbye;

/* Fires a tick once: when `instant_ms` is later than the entry's last one (in
 * the broker), that becomes instant_ms and the task is enqueued; else nothing.
 * With item NULL it only reads; with first_ms it also sets an entry never seen
 * to that instant, so that "@every" counts from its first sight, and with
 * latest_ms so, too, one whose last instant is later than that: it is of a
 * clock that was set back, and the entry would be silent until then.  (A queue
 * file knows the queue from then on; Redis, as with Asynq, from its first task
 * on.) */
typedef struct lq_op_cron_fire {
    lq_op op;
    lq_str queue;
    lq_str entry_id;
    int64_t instant_ms;
    int64_t first_ms;  /* 0 = do not set */
    int64_t latest_ms; /* 0 = any is believed; only without item */
    bool skip; /* without item: the tick is used up and enqueues nothing */
    lq_enqueue *item;
    bool fired;      /* result; on Redis also when the same item is sent
                        again, because the reply was lost */
    bool set_back;   /* result: the last instant was later than latest_ms */
    bool never;      /* result: last_ms is its first sight, it never fired */
    int64_t last_ms; /* result: the last instant now; 0 = never seen */
} lq_op_cron_fire;

/* Notes in an entry's history which task a tick enqueued.  The newest
 * LQ_CRON_HISTORY_MAX stay, for LQ_CRON_HISTORY_MS after the last. */
#define LQ_CRON_HISTORY_MAX 1000
#define LQ_CRON_HISTORY_MS (INT64_C(90) * 24 * 3600 * 1000)
typedef struct lq_op_cron_record {
    lq_op op;
    lq_str entry_id;
    lq_str task_id; /* empty: the whole history is deleted instead */
    int64_t at_ms;  /* when it was enqueued */
} lq_op_cron_record;

/* Publishes the entries of a scheduler for inspectors; none: takes them away.
 */
typedef struct lq_op_cron_publish {
    lq_op op;
    lq_str scheduler_id;   /* host:pid:uuid */
    const lq_str *entries; /* encoded lq_cron_msg */
    size_t count;
    int64_t ttl_ms;
} lq_op_cron_publish;

/* Listens for cancel requests.  Occupies its connection.  Done when the
 * connection ends. */
typedef struct lq_op_listen {
    lq_op op;
    void (*cancel)(struct lq_op_listen *op, lq_str task_id);
} lq_op_listen;

/* Stores a result mid-run, if the task is active and the token is its
 * holder's.  rc ELEASE otherwise. */
typedef struct lq_op_result {
    lq_op op;
    lq_str queue, id;
    uint32_t token;
    lq_str data;
} lq_op_result;

#endif
