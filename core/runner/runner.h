/* How a handler is run: what the runtime asks of whoever runs handlers.
 *
 * The Lua host implements this, and so does the pool of C callbacks.  One
 * runner belongs to one worker thread; all but `tick` is called there.
 *
 *     runtime                         runner
 *     start(run) ──────────────────►  begins; may end at once or later
 *     cancel(run, why) ────────────►  makes it end soon
 *          ◄──────────── lq_run_end(run, verdict)      exactly once a start
 */
#ifndef LQ_RUNNER_H
#define LQ_RUNNER_H

#include "base/log.h"
#include "broker/broker.h"
#include "broker/group.h"

typedef struct lq_runner lq_runner;
typedef struct lq_run lq_run;

/* Why a run is ended from outside. */
enum lq_cancel {
    LQ_CANCEL_NONE = 0,
    LQ_CANCEL_DEADLINE, /* its time is up */
    LQ_CANCEL_REQUEST,  /* somebody canceled the task */
    LQ_CANCEL_LEASE,    /* the broker says it is not ours any more */
    LQ_CANCEL_SHUTDOWN  /* handed back */
};

/* How a run ended. */
enum lq_verdict_kind {
    LQ_SUCCEEDED = 1,
    LQ_FAILED,
    LQ_RETRY_AFTER, /* failed, retried in delay_ms */
    LQ_SNOOZED,     /* again in delay_ms, no attempt used */
    LQ_SKIPPED,     /* archived, whatever attempts are left */
    LQ_DISCARDED,   /* dropped */
    LQ_ENDED        /* it was canceled, and has stopped */
};

/* What is run.  All but the first are hooks: functions of a handler file that
 * run for something that is no attempt of a task (see "Hooks" below). */
enum lq_run_kind {
    LQ_RUN_TASK = 0,       /* run(task): an attempt, in a slot, with a lease */
    LQ_RUN_ARCHIVED,       /* on_archive(task, err) */
    LQ_RUN_AGGREGATE,      /* a group's tasks → one task */
    LQ_RUN_PROVIDE,        /* → cron entries */
    LQ_RUN_BEFORE_ENQUEUE, /* before a tick of a cron entry is enqueued */
    LQ_RUN_AFTER_ENQUEUE,  /* and after it was, or was not */
    LQ_RUN_KINDS
};

typedef struct lq_verdict {
    enum lq_verdict_kind kind;
    lq_str result;  /* SUCCEEDED: bytes to keep; p NULL = none */
    lq_str message; /* else: one line for people, then perhaps a traceback */
    const char *error_kind; /* "error", "timeout", "payload", "not_found", … */
    /* RETRY_AFTER, SNOOZED; FAILED, ENDED by request or deadline: by the
     * handler's own backoff, -1 = Asynq's curve. */
    int64_t delay_ms;
    bool not_failure; /* FAILED, RETRY_AFTER, ENDED by request: the handler says
                         that it is none: retried without using an attempt */
} lq_verdict;

/* One attempt (one lease, one slot), or one call of a hook.  The runtime's; the
 * runner reads it. */
struct lq_run {
    enum lq_run_kind kind;
    /* The runner's last word goes here: see lq_run_end(). */
    void (*end)(lq_run *run, const lq_verdict *verdict);
    lq_task task;        /* views into the runtime's copy of the message */
    int64_t started_ms;  /* Unix */
    int64_t deadline_ms; /* Unix; 0 = none */
    int64_t max_retry; /* that counts: task.max_retry, or the handler file's */
    uint32_t token;
    uint64_t number;   /* of this run in this process, never repeated */
    void *runner_data; /* the runner's */
    const void *in;    /* hooks: what they are told, by kind */
    void *out;         /* hooks: what they answer, by kind */
};

/** Ends a run: the runner's last word.  Borrows verdict for the call.  run may
 *  be gone after it.  May be called inside start(). */
static inline void lq_run_end(lq_run *run, const lq_verdict *verdict)
{
    run->end(run, verdict);
}

typedef struct lq_runner_ops {
    /* True when this runner has a handler for the type.  NULL = for all. */
    bool (*handles)(lq_runner *r, lq_str type);
    /* True when it takes runs whose type nobody handles, to fail them itself.
     * NULL = no. */
    bool (*wraps_unknown)(lq_runner *r);
    /* True when its handler for the type has a hook of this kind.  NULL = it
     * knows no hooks. */
    bool (*hooks)(lq_runner *r, enum lq_run_kind kind, lq_str type);
    void (*start)(lq_runner *r, lq_run *run);
    /* The run ends by lq_run_end(), soon, perhaps inside.  Repeating it does no
     * harm. */
    void (*cancel)(lq_runner *r, lq_run *run, enum lq_cancel why);
    /* Every 5 ms while the runner says it is busy, on the control thread: is a
     * run holding the CPU too long?  NULL = never. */
    void (*tick)(lq_runner *r, int64_t mono_ns);
    /* True while the worker thread is inside a run; read by the control
     * thread.  NULL = never: runs have threads of their own. */
    bool (*busy)(lq_runner *r);
    /* What the thread is inside of and since when, for "stuck" reports: false
     * when it is not.  Control thread.  NULL as with busy. */
    bool (*inside)(lq_runner *r, int64_t *since_mono_ns, char *type, char *id,
                   size_t size);
    /* Frees the runner; no run is left.  On the worker thread, before its loop
     * ends. */
    void (*free)(lq_runner *r);
} lq_runner_ops;

struct lq_runner {
    const lq_runner_ops *ops;
};

/* ---- Hooks ---------------------------------------------------------------
 *
 * Everything that a handler file may do outside of an attempt is a run as well:
 * on a worker, with a deadline, with the whole world (db, queue, log, waiting)
 * and with interruption.  Who needs one fills an lq_internal_run and hands it
 * to a worker (runtime/internal_run.h); `run.task.type` names the handler,
 * looked up in the generation that is live when the run begins.
 *
 * `in` points to what the hook is told and `out` to what it answers, both of
 * the starter, both until the run ended, their type by kind as below.  Text in
 * `out` lives in its arena, which the starter releases.  `out` counts only
 * after LQ_SUCCEEDED.
 *
 * How it may end: LQ_SUCCEEDED; LQ_FAILED with message and error_kind, among
 * them "timeout" and "no_hook" (no handler for the type, or none with such a
 * function); LQ_ENDED when the server stops.
 *
 * To add a kind or fill one in: its struct(s) here, and a row in lua/hook.c.
 *
 * kind              in              out
 * ARCHIVED          lq_archived_in  -          task: as it was archived
 * AGGREGATE         lq_aggregate_in lq_aggregate_out   task: only its type
 * PROVIDE           -               lq_provide_out     task: only its type
 * BEFORE_ENQUEUE    lq_tick_in      lq_before_out      task: only its type
 * AFTER_ENQUEUE     lq_tick_in      -                  task: only its type
 */

typedef struct lq_archived_in {
    lq_str error;           /* as stored: a line, then perhaps a traceback */
    const char *error_kind; /* as in a verdict; "crash", "canceled" */
} lq_archived_in;

typedef struct lq_aggregate_in {
    lq_str queue, group;
    const lq_task *tasks; /* the oldest first */
    size_t count;
} lq_aggregate_in;

typedef struct lq_aggregate_out {
    lq_arena mem;    /* the starter's, born as {0} */
    lq_enqueue item; /* of in->queue; lives in mem */
    bool made;       /* lq_enqueue_release() is the starter's */
} lq_aggregate_out;

/* A cron entry that a provider wants; lq_enqueue_release() is the starter's. */
typedef struct lq_provided {
    struct lq_provided *next;
    struct lq_cron_want *want;
    lq_enqueue item;
} lq_provided;

typedef struct lq_provide_out {
    lq_arena mem; /* the starter's, born as {0}; all of it lives there */
    lq_provided *entries;
    size_t count;
    size_t refused; /* rows that were none: said in the log, left out */
} lq_provide_out;

/* A tick of a cron entry. */
typedef struct lq_tick_in {
    const char *entry_id, *spec;
    const char *name;    /* NULL = none */
    const lq_task *task; /* what is enqueued; after: with its id */
    int64_t instant_ms;  /* the tick, Unix */
    int code;            /* after: LUNAQ_OK, or why it was not enqueued */
    const char *reason;  /* after: the same in words */
} lq_tick_in;

typedef struct lq_before_out {
    bool skip; /* this tick enqueues nothing */
} lq_before_out;

/* Who has functions for all cron entries, not those of one type: the file
 * _schedule.lua, or the embedding program.  No type of tasks is called so. */
#define LQ_SCHEDULE_TYPE "lunaq:schedule"
#define LQ_CALLBACK_SCHEDULE_TYPE "lunaq:schedule:c"

/* What a worker gives to its runner. */
typedef struct lq_worker_services {
    struct lq_loop *loop;
    lq_log *log;
    /* Submits an operation on the worker's link, as lq_link_submit(). */
    void (*submit)(void *ud, lq_op *op);
    /* The runner went from idle to busy: the control thread shall tick.  Cheap
     * to repeat. */
    void (*busy)(void *ud);
    void *ud;
    size_t worker; /* index, from 0 */
    size_t worker_count;
} lq_worker_services;

/* Makes the runner of one worker, on its thread. */
typedef int lq_runner_new_fn(lq_runner **out,
                             const lq_worker_services *services, void *ud,
                             lunaq_error *err);

/* What the runtime wants to know of a task type; from handler files. */
typedef struct lq_type_options {
    int64_t timeout_ms;   /* -1 = not said; 0 = none */
    int64_t max_retry;    /* -1 = not said */
    uint32_t concurrency; /* of its handler in this process; 0 = no cap */
    char handler[LUNAQ_NAME_MAX + 8]; /* whose cap it is; when there is one */
    bool grouped;         /* its handler takes the tasks of groups: */
    bool aggregates;      /* … by LQ_RUN_AGGREGATE; else all in one run */
    uint64_t group_owner; /* that handler; the same for all types it has */
    lq_group_rule group;  /* 0 = not said, -1 = none */
} lq_type_options;

/* A periodic entry that a handler file or the configuration asks for. */
typedef struct lq_cron_want {
    const char *spec;
    const char *name;       /* NULL = none */
    const lq_enqueue *item; /* what to enqueue; id and times are set per tick */
    const char *tz, *dst, *missed; /* task/cron_rule.h; NULL = the default */
    const char *file;              /* that it stands in, for people; or NULL */
    int64_t row;                   /* of what a provider gave; 0 = of none */
} lq_cron_want;

#endif
