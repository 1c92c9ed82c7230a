/* lunaq/inspector.h: look at queues, tasks, servers and periodic entries, and
 * move, cancel, change or remove what is there.
 *
 * Part of lunaq/lunaq.h, whose rules hold here: with the client's handle, of
 * one thread at a time.
 */
#ifndef LUNAQ_INSPECTOR_H
#define LUNAQ_INSPECTOR_H

#include <lunaq/lunaq.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a task is.  Names: lunaq_state_name(). */
typedef enum lunaq_state {
    LUNAQ_STATE_ANY = 0,
    LUNAQ_ACTIVE = 1,
    LUNAQ_PENDING = 2,
    LUNAQ_SCHEDULED = 3,
    LUNAQ_RETRY = 4,
    LUNAQ_ARCHIVED = 5,
    LUNAQ_COMPLETED = 6,
    LUNAQ_AGGREGATING = 7
} lunaq_state;

/** "pending", "scheduled", …; "unknown" for other numbers.  Static. */
LUNAQ_API const char *lunaq_state_name(lunaq_state state);
/** The state of a name; LUNAQ_STATE_ANY when there is none. */
LUNAQ_API lunaq_state lunaq_state_parse(const char *name);

/** A task as the broker holds it.  Strings are NUL-terminated, never NULL. */
typedef struct lunaq_task_info {
    size_t size;
    const char *id;
    const char *type;
    const char *queue;
    const char *group;
    const char *error; /* of the last failure */
    const void *payload;
    size_t payload_len;
    const void *result;
    size_t result_len;
    const lunaq_header *headers;
    size_t header_count;
    int64_t max_retry;
    int64_t retried; /* failures so far */
    int64_t crashes; /* times its holder vanished since the last normal end */
    int64_t timeout_ms;  /* 0 = none */
    int64_t deadline_at; /* 0 = none */
    int64_t retention_ms;
    int64_t last_failed_at; /* 0 = never, or it was canceled while it waited */
    int64_t completed_at;   /* 0 = not */
    int64_t next_at;        /* when it is due, or is deleted; 0 = not planned */
    int64_t lease_at;       /* active: when its lease ends; 0 = not active */
    int64_t state;          /* a lunaq_state */
    const char *unique_key; /* the lock it was enqueued with; "" = none */
    const char *cancel;     /* who asked to cancel it, and why; "" = nobody */
    int64_t unique_left_ms; /* how long it holds that lock still; 0 = it does
                               not, -1 = without end; lunaq_task_find() only */
    int64_t pending_at;     /* pending: since when; 0 = not known */
    int64_t orphaned;       /* 1 = active, and its lease has ended: its holder
                               is gone, and it will be recovered */
    int64_t archived_at;    /* archived: since when; 0 = not */
} lunaq_task_info;

typedef struct lunaq_task_list lunaq_task_list;
LUNAQ_API size_t lunaq_task_list_count(const lunaq_task_list *list);
/** Borrowed until the list is freed; NULL past the end. */
LUNAQ_API const lunaq_task_info *lunaq_task_list_at(const lunaq_task_list *list,
                                                    size_t i);
LUNAQ_API void lunaq_task_list_free(lunaq_task_list *list);

/** Which tasks to list. */
typedef struct lunaq_task_query {
    size_t size;
    const char *queue; /* NULL = all queues */
    const char *group; /* with LUNAQ_AGGREGATING; NULL = all groups */
    int64_t state;     /* a lunaq_state; 0 = all */
    int64_t page;      /* from 0 */
    int64_t page_size; /* tasks a queue and state; 0 = 30, at most 1000 */
} lunaq_task_query;
#define LUNAQ_TASK_QUERY_INIT                                                  \
    {                                                                          \
        sizeof(lunaq_task_query), 0, 0, 0, 0, 0                                \
    }

/** Lists tasks: next to run first for pending, by time for the others.  Of
 *  several queues or states, one that cannot be read (a key of a wrong type)
 *  is left out: lunaq_task_list_error(). */
LUNAQ_API int lunaq_task_list_open(lunaq_client *client,
                                   const lunaq_task_query *query,
                                   lunaq_task_list **out, lunaq_error *err);
/** What is left out of a list and why, "queue 'x': …", one text a queue; NULL
 *  behind the last. */
LUNAQ_API const char *lunaq_task_list_error(const lunaq_task_list *list,
                                            size_t i);

/** Finds tasks by id in all queues (or the one given).  id may be a head or
 *  tail of at least 6 characters; every task that it fits is in the list.
 *  LUNAQ_ENOTFOUND when there is none.  A queue that cannot be read is passed
 *  over; LUNAQ_EREPLY when there is one and no other queue has the task. */
LUNAQ_API int lunaq_task_find(lunaq_client *client, const char *queue,
                              const char *id, lunaq_task_list **out,
                              lunaq_error *err);

/* Moves of one task, addressed by queue and full id.  LUNAQ_ENOTFOUND when it
 * is gone, LUNAQ_ESTATE when its state does not allow the move. */

/** Makes a waiting, archived or completed task pending now.  Its crash count
 *  and a cancel request are forgotten. */
LUNAQ_API int lunaq_task_run(lunaq_client *client, const char *queue,
                             const char *id, lunaq_error *err);
/** Archives a task that is not active: kept, not run again. */
LUNAQ_API int lunaq_task_archive(lunaq_client *client, const char *queue,
                                 const char *id, lunaq_error *err);
/** Deletes a task that is not active, with its unique lock. */
LUNAQ_API int lunaq_task_delete(lunaq_client *client, const char *queue,
                                const char *id, lunaq_error *err);
/** Cancels a task: a waiting one is archived now; a running one is told to
 *  stop and archived when it has.  reason may be NULL. */
LUNAQ_API int lunaq_task_cancel(lunaq_client *client, const char *queue,
                                const char *id, const char *reason,
                                lunaq_error *err);

/** Ends only the attempt of a task that runs, as Asynq's tools do: it counts as
 *  failed, and the task is retried while it has retries left.  Success means
 *  that it was said.  LUNAQ_ESTATE when the task is not active. */
LUNAQ_API int lunaq_task_end_attempt(lunaq_client *client, const char *queue,
                                     const char *id, lunaq_error *err);
/** Gives a task that is scheduled, pending, waits for a retry or in a group, or
 *  is archived, another payload, at once.  All else stays, also its unique
 * lock: that is still the one of the payload it was enqueued with.
 * LUNAQ_ESTATE: active or completed. */
LUNAQ_API int lunaq_task_update(lunaq_client *client, const char *queue,
                                const char *id, const void *payload,
                                size_t payload_len, lunaq_error *err);

typedef enum lunaq_move {
    LUNAQ_MOVE_RUN = 1,
    LUNAQ_MOVE_ARCHIVE = 2,
    LUNAQ_MOVE_DELETE = 3
} lunaq_move;
/** Moves every task of one state of a queue, in batches; *moved (may be NULL)
 *  counts them.  A task that changes state meanwhile is left out. */
LUNAQ_API int lunaq_task_move_all(lunaq_client *client, const char *queue,
                                  lunaq_state state, lunaq_move move,
                                  int64_t *moved, lunaq_error *err);

/** Which tasks are moved: all that fit each field that is set. */
typedef struct lunaq_task_filter {
    size_t size;
    const char *queue; /* NULL = all queues */
    const char *group; /* of this group; NULL = any or none */
    const char *type;  /* of this type; NULL = any */
    int64_t state;     /* a lunaq_state; 0 = all that allow it, but completed
                          tasks are then only deleted */
} lunaq_task_filter;
#define LUNAQ_TASK_FILTER_INIT                                                 \
    {                                                                          \
        sizeof(lunaq_task_filter), 0, 0, 0, 0                                  \
    }

/** Moves every task that fits, in batches, as lunaq_task_move_all().  One queue
 *  of all that cannot be changed (a key of a wrong type) does not keep back the
 *  others: they are done, *moved counts them, and the result is its
 *  LUNAQ_EREPLY.  So it is with the two below. */
LUNAQ_API int lunaq_task_move_many(lunaq_client *client,
                                   const lunaq_task_filter *filter,
                                   lunaq_move move, int64_t *moved,
                                   lunaq_error *err);
/** Cancels every task that fits, as lunaq_task_cancel(). */
LUNAQ_API int lunaq_task_cancel_many(lunaq_client *client,
                                     const lunaq_task_filter *filter,
                                     const char *reason, int64_t *canceled,
                                     lunaq_error *err);
/** Ends the attempts of all that run and fit, as lunaq_task_end_attempt(). */
LUNAQ_API int lunaq_task_end_attempts(lunaq_client *client,
                                      const lunaq_task_filter *filter,
                                      int64_t *told, lunaq_error *err);

/** A queue in numbers. */
typedef struct lunaq_queue_info {
    size_t size;
    const char *name;
    int64_t pending, active, scheduled, retry, archived, completed, aggregating;
    int64_t groups;
    int64_t processed_today, failed_today; /* attempts, UTC day */
    int64_t processed_total, failed_total;
    int64_t latency_ms;    /* how long the next task has been pending */
    int64_t paused_at;     /* 0 = not paused */
    int64_t dropped_total; /* archived and completed tasks that were deleted
                              because of the limits below */
    /* As the servers of the queue were told (lunaq_queue_options): 0 = the
     * default, -1 = no limit. */
    int64_t archive_max, archive_ms, completed_max;
    int64_t memory_bytes; /* about what its tasks take, from samples */
    const char *error;    /* why its numbers are not known (a key of a wrong
                             type); NULL: they are */
} lunaq_queue_info;

typedef struct lunaq_queue_list lunaq_queue_list;
LUNAQ_API size_t lunaq_queue_list_count(const lunaq_queue_list *list);
LUNAQ_API const lunaq_queue_info *
lunaq_queue_list_at(const lunaq_queue_list *list, size_t i);
LUNAQ_API void lunaq_queue_list_free(lunaq_queue_list *list);

/** All queues by name, or the one given (LUNAQ_ENOTFOUND when unknown).  Of
 *  all, one whose keys cannot be read is listed with its error; of one,
 *  LUNAQ_EREPLY. */
LUNAQ_API int lunaq_queue_list_open(lunaq_client *client, const char *queue,
                                    lunaq_queue_list **out, lunaq_error *err);
/** Stops and allows taking from a queue; running tasks go on.  LUNAQ_ESTATE
 *  when it already is so. */
LUNAQ_API int lunaq_queue_pause(lunaq_client *client, const char *queue,
                                lunaq_error *err);
LUNAQ_API int lunaq_queue_resume(lunaq_client *client, const char *queue,
                                 lunaq_error *err);
/** Removes a queue and all that belongs to it.  LUNAQ_ESTATE when it holds
 *  tasks and force is 0, or holds active ones whose lease has not ended half a
 *  minute ago. */
LUNAQ_API int lunaq_queue_remove(lunaq_client *client, const char *queue,
                                 int force, lunaq_error *err);
/** processed[i] and failed[i] of the UTC day i days ago, for i < days <= 90.
 *  Both arrays are the caller's. */
LUNAQ_API int lunaq_queue_history(lunaq_client *client, const char *queue,
                                  size_t days, int64_t *processed,
                                  int64_t *failed, lunaq_error *err);

/** A group with tasks that wait to be aggregated, or are being aggregated. */
typedef struct lunaq_group_info {
    size_t size;
    const char *queue;
    const char *name;
    const char *type;    /* of its oldest task */
    const char *error;   /* why it could not be aggregated; "" = it was not
                            tried, or went well */
    int64_t tasks;       /* that wait */
    int64_t aggregating; /* that an aggregator holds now */
    int64_t oldest_at;   /* since when its oldest waits; 0 = none waits */
    int64_t newest_at;   /* … its newest */
    int64_t due_at;      /* when a live server of lunaq aggregates it; 0 = none
                            of them will */
    int64_t failures;    /* of aggregating it, in a row */
} lunaq_group_info;

typedef struct lunaq_group_list lunaq_group_list;
LUNAQ_API size_t lunaq_group_list_count(const lunaq_group_list *list);
LUNAQ_API const lunaq_group_info *
lunaq_group_list_at(const lunaq_group_list *list, size_t i);
LUNAQ_API void lunaq_group_list_free(lunaq_group_list *list);
/** Groups of all queues, or of the one given, by queue and name; at most
 *  100,000 a queue.  Their tasks: lunaq_task_list_open().  Of all queues, one
 *  that cannot be read is left out: lunaq_group_list_error(). */
LUNAQ_API int lunaq_group_list_open(lunaq_client *client, const char *queue,
                                    lunaq_group_list **out, lunaq_error *err);
/** As lunaq_task_list_error(). */
LUNAQ_API const char *lunaq_group_list_error(const lunaq_group_list *list,
                                             size_t i);

/** A task in a server's hands. */
typedef struct lunaq_worker_info {
    const char *task_id;
    const char *type;
    const char *queue;
    int64_t started_at;
    int64_t deadline_at;
    const void *payload; /* its first 1,024 bytes; Asynq's servers: all */
    size_t payload_len;
} lunaq_worker_info;

/** A queue and its weight. */
typedef struct lunaq_queue_weight {
    const char *queue;
    int64_t weight; /* > 0 */
} lunaq_queue_weight;

/** A live server: lunaq's or Asynq's. */
typedef struct lunaq_server_info {
    size_t size;
    const char *id;
    const char *host;
    const char *status;
    int64_t pid;
    int64_t concurrency;
    int64_t strict;
    int64_t started_at;
    const lunaq_queue_weight *queues;
    size_t queue_count;
    const lunaq_worker_info *workers;
    size_t worker_count;
    int64_t lunaq;          /* 1 = a server of lunaq's, 0 = Asynq's */
    int64_t remote_control; /* 1 = it takes orders: lunaq_server_order() */
} lunaq_server_info;

typedef struct lunaq_server_list lunaq_server_list;
LUNAQ_API size_t lunaq_server_list_count(const lunaq_server_list *list);
LUNAQ_API const lunaq_server_info *
lunaq_server_list_at(const lunaq_server_list *list, size_t i);
LUNAQ_API void lunaq_server_list_free(lunaq_server_list *list);
LUNAQ_API int lunaq_server_list_open(lunaq_client *client,
                                     lunaq_server_list **out, lunaq_error *err);

/** The server of a list with this id, or a head or tail of at least 6
 * characters of it; borrowed.  NULL: LUNAQ_ENOTFOUND, or LUNAQ_EAMBIGUOUS, in
 * *err. */
LUNAQ_API const lunaq_server_info *
lunaq_server_list_find(const lunaq_server_list *list, const char *id,
                       lunaq_error *err);

typedef enum lunaq_order {
    LUNAQ_ORDER_QUIET = 1, /* take no more tasks; running ones go on */
    LUNAQ_ORDER_STOP = 2   /* drain, and end */
} lunaq_order;
/** Tells a server from afar what to do.  server_id: its id, or a head or tail
 *  of at least 6 characters.  who: goes into its log.  It is obeyed at once, or
 *  with the next heartbeat; success means that it was said.  LUNAQ_ENOTFOUND:
 *  no such server lives; LUNAQ_EAMBIGUOUS; LUNAQ_ESTATE: it is Asynq's, or
 *  refuses orders. */
LUNAQ_API int lunaq_server_order(lunaq_client *client, const char *server_id,
                                 lunaq_order order, const char *who,
                                 lunaq_error *err);

/** A periodic entry that a live scheduler, lunaq's or Asynq's, announces. */
typedef struct lunaq_cron_info {
    size_t size;
    const char *id;
    const char *spec;
    const char *type;
    const char *queue;
    const void *payload;
    size_t payload_len;
    int64_t next_at;
    int64_t last_at;     /* 0 = never */
    size_t server_count; /* how many live servers have it */
    const char *name;    /* "" = none */
    const char *tz;      /* of its spec; "UTC" */
    const char *dst;     /* "vixie", "robfig" */
    const char *missed;  /* "once", "skip", "all" */
    const char *const
        *servers; /* "host:pid:id", those that say so; NULL-ended */
} lunaq_cron_info;

typedef struct lunaq_cron_list lunaq_cron_list;
LUNAQ_API size_t lunaq_cron_list_count(const lunaq_cron_list *list);
LUNAQ_API const lunaq_cron_info *lunaq_cron_list_at(const lunaq_cron_list *list,
                                                    size_t i);
LUNAQ_API void lunaq_cron_list_free(lunaq_cron_list *list);
LUNAQ_API int lunaq_cron_list_open(lunaq_client *client, lunaq_cron_list **out,
                                   lunaq_error *err);

/** One tick of a periodic entry that enqueued a task. */
typedef struct lunaq_cron_event {
    size_t size;
    const char *task_id;
    int64_t at;
} lunaq_cron_event;

/** What an entry enqueued, the newest first: the last 1000, kept for 90 days
 *  after the last.  An entry keeps its id, and so its history, across
 *  restarts. */
typedef struct lunaq_cron_history lunaq_cron_history;
LUNAQ_API size_t lunaq_cron_history_count(const lunaq_cron_history *history);
LUNAQ_API const lunaq_cron_event *
lunaq_cron_history_at(const lunaq_cron_history *history, size_t i);
LUNAQ_API void lunaq_cron_history_free(lunaq_cron_history *history);
/** entry_id: as in lunaq_cron_info; limit: at most so many, 0 = all.  An entry
 *  that nobody knows has an empty history. */
LUNAQ_API int lunaq_cron_history_open(lunaq_client *client,
                                      const char *entry_id, size_t limit,
                                      lunaq_cron_history **out,
                                      lunaq_error *err);

/** What the daemons say of their handler files: one row a server and type. */
typedef struct lunaq_handler_info {
    size_t size;
    const char *server_id;
    const char *type;
    const char *file;
    const char *doc;
    const char *hash;     /* of the source, first 12 hex digits */
    const char *rejected; /* why the newest edit is not live; "" when it is */
    int64_t generation;
    /* What the file says of tasks that are enqueued without it.  "" or -1: it
     * says nothing.  Whoever enqueues in another language may follow it. */
    const char *queue;
    int64_t max_retry;    /* 0 = none */
    int64_t timeout_ms;   /* 0 = none */
    int64_t retention_ms; /* 0 = none */
    int64_t unique_ms;    /* 0 = none; -1 also when it locks on some members of
                             the payload (unique.by) */
    int64_t concurrency;  /* its runs at once in a process; -1 = as many as the
                             process runs */
} lunaq_handler_info;

typedef struct lunaq_handler_list lunaq_handler_list;
LUNAQ_API size_t lunaq_handler_list_count(const lunaq_handler_list *list);
LUNAQ_API const lunaq_handler_info *
lunaq_handler_list_at(const lunaq_handler_list *list, size_t i);
LUNAQ_API void lunaq_handler_list_free(lunaq_handler_list *list);
LUNAQ_API int lunaq_handler_list_open(lunaq_client *client,
                                      lunaq_handler_list **out,
                                      lunaq_error *err);

/** How everything of one broker is moved to another. */
typedef struct lunaq_broker_move_options {
    size_t size;
    int64_t keep;  /* 1 = only copy: `from` stays as it is */
    int64_t force; /* 1 = although servers work on one of them */
    /* Called with a queue's tasks so far, now and then; NULL = never. */
    void (*progress)(void *ud, const char *queue, int64_t tasks);
    void *ud;
} lunaq_broker_move_options;
#define LUNAQ_BROKER_MOVE_OPTIONS_INIT                                         \
    {                                                                          \
        sizeof(lunaq_broker_move_options), 0, 0, 0, 0                          \
    }

/** What was moved. */
typedef struct lunaq_broker_moved {
    size_t size; /* set by the caller */
    int64_t queues;
    int64_t tasks; /* that `from` had */
    int64_t added; /* of them; the others had arrived before */
} lunaq_broker_moved;

/** Moves every task in every state, with locks, counters, paused flags and the
 *  state and history of periodic entries, from one broker to another, looks
 * whether all is there, and only then removes it from the first.  When it fails
 * on the way it can be called again and goes on.  Nobody may enqueue to `from`
 * meanwhile. LUNAQ_ESTATE: live servers; the two are one broker; `to` has other
 * tasks of the same ids; `from` changed on the way.  LUNAQ_ENOTFOUND: `from`
 * has no queue.  options and moved may be NULL. */
LUNAQ_API int lunaq_broker_move(lunaq_client *from, lunaq_client *to,
                                const lunaq_broker_move_options *options,
                                lunaq_broker_moved *moved, lunaq_error *err);

/** Something in a broker that must never be. */
typedef struct lunaq_fault {
    size_t size;
    const char *kind;  /* one word, never changed: "orphan", "no-lease", … */
    const char *queue; /* "" when it belongs to none */
    const char *id;    /* a task's id, or the key it is about */
    const char *text;  /* what is wrong, one line */
    const char *cure;  /* what repair does; "" when only a person can */
    int64_t repaired;  /* 1 = it was done */
} lunaq_fault;

/** How a broker is looked over. */
typedef struct lunaq_check_options {
    size_t size;
    int64_t repair; /* 1 = mend what is found */
    /* Called with each fault, which is borrowed for the call. */
    void (*fault)(void *ud, const lunaq_fault *fault);
    void *ud;
} lunaq_check_options;
#define LUNAQ_CHECK_OPTIONS_INIT                                               \
    {                                                                          \
        sizeof(lunaq_check_options), 0, 0, 0                                   \
    }

/** What was found. */
typedef struct lunaq_checked {
    size_t size; /* set by the caller */
    int64_t queues;
    int64_t tasks;
    int64_t faults;
    int64_t repaired; /* of them */
} lunaq_checked;

/** Looks over a queue (NULL: all, and what belongs to none) for what must never
 *  be, and mends it when asked to.  In small parts: servers and producers may
 *  work on it meanwhile, and what they move is no fault.  A repair loses no
 *  task: those that cannot be read are archived with their bytes.  options and
 *  checked may be NULL.  LUNAQ_ENOTFOUND: no such queue. */
LUNAQ_API int lunaq_queue_check(lunaq_client *client, const char *queue,
                                const lunaq_check_options *options,
                                lunaq_checked *checked, lunaq_error *err);

typedef enum lunaq_level {
    LUNAQ_LEVEL_OK = 0,
    LUNAQ_LEVEL_WARN = 1,
    LUNAQ_LEVEL_ERROR = 2
} lunaq_level;

/** Something that the doctor found. */
typedef struct lunaq_finding {
    size_t size;
    int64_t level;    /* a lunaq_level */
    const char *area; /* one word: "version", "clock", "queue", … */
    const char *text; /* what is, one line */
    const char *cure; /* what to do; "" when it is well */
} lunaq_finding;
typedef void lunaq_finding_fn(void *ud, const lunaq_finding *finding);

/** Looks how the broker is (version, memory, eviction, persistence, clock,
 *  permissions), how its queues are (paused, served by nobody, behind, active
 *  tasks without a holder) and its servers.  finding is called with each, which
 *  is borrowed for the call. */
LUNAQ_API int lunaq_doctor(lunaq_client *client, lunaq_finding_fn *finding,
                           void *ud, lunaq_error *err);

/** A node of a Redis Cluster that has a queue. */
typedef struct lunaq_node {
    size_t size;
    const char *id;   /* 40 hex digits */
    const char *addr; /* "host:port" */
    int64_t master;   /* 0: a replica */
} lunaq_node;
typedef void lunaq_node_fn(void *ud, const lunaq_node *node);

/** The slot of a queue in a Redis Cluster, and the nodes that serve it, the
 *  master first; node is called with each, which is borrowed for the call, and
 *  may be NULL, as may slot.  LUNAQ_ESTATE: the broker is no cluster. */
LUNAQ_API int lunaq_queue_place(lunaq_client *client, const char *queue,
                                int64_t *slot, lunaq_node_fn *node, void *ud,
                                lunaq_error *err);

#ifdef __cplusplus
}
#endif
#endif
