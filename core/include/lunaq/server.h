/* lunaq/server.h: run tasks inside your program.
 *
 *     lunaq_server_options options = LUNAQ_SERVER_OPTIONS_INIT;
 *     options.handlers = "handlers";
 *     if (lunaq_server_open(&server, &options, &err)) ...
 *     lunaq_server_handle(server, "image:resize", resize, NULL, &err);
 *     lunaq_server_start(server, &err);     // returns at once
 *     ...                                   // your program goes on
 *     lunaq_server_stop(server, &err);      // waits for running tasks
 *     lunaq_server_close(server);
 *
 * The library has no global state, installs no signal handler unless
 * `interrupt` asks for one, and never calls exit().
 */
#ifndef LUNAQ_SERVER_H
#define LUNAQ_SERVER_H

#include <lunaq/lunaq.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lunaq_server lunaq_server;
typedef struct lunaq_run lunaq_run;

typedef enum lunaq_log_level {
    LUNAQ_LOG_DEBUG = 1,
    LUNAQ_LOG_INFO = 2,
    LUNAQ_LOG_WARN = 3,
    LUNAQ_LOG_ERROR = 4,
    LUNAQ_LOG_OFF = 5
} lunaq_log_level;

typedef enum lunaq_log_format {
    LUNAQ_LOG_AUTO = 0, /* text when stderr is a terminal, else JSON */
    LUNAQ_LOG_TEXT = 1,
    LUNAQ_LOG_JSON = 2
} lunaq_log_format;

/* How a Lua run that keeps the CPU is made to give it back. */
typedef enum lunaq_interrupt {
    LUNAQ_INTERRUPT_HOOK = 0,   /* a count hook: Lua runs 2-2.7 times slower */
    LUNAQ_INTERRUPT_SIGNAL = 1, /* SIGURG, whose handler is installed */
    LUNAQ_INTERRUPT_NONE = 2    /* an endless loop is never ended */
} lunaq_interrupt;

/** A line of the log, without its newline.  Called from the log's own thread;
 *  must not call back into lunaq. */
typedef void lunaq_log_fn(lunaq_log_level level, const char *line,
                          size_t line_len, void *userdata);

/** A worker thread has been inside one run for `seconds`.  Called from the
 *  control thread, once a run, after stuck_after_ms; must not block. */
typedef void lunaq_stuck_fn(const char *type, const char *task_id,
                            int64_t seconds, void *userdata);

/** Somebody told this server from afar to take no more tasks (it does not, from
 *  now on) or to stop: then the program should call lunaq_server_stop(), soon,
 *  from a thread of its own.  Called from the control thread; must not
 *  block. */
typedef void lunaq_order_fn(lunaq_order order, const char *who, void *userdata);

/** What is said of a served queue beyond its weight, as `queues` in
 *  lunaq.conf.lua. */
typedef struct lunaq_queue_options {
    size_t size;
    const char *queue;   /* one of `queues` */
    int64_t concurrency; /* of its tasks run at once by this server; 0 = as many
                            as the server runs */
    /* What the queue keeps of tasks that are over; all who archive hold to it,
     * inspectors too, and what is deleted is counted.  Of servers of one queue
     * the last one that says it counts.  -1 = no limit. */
    int64_t archive_max;   /* archived tasks; 0 = 10000 */
    int64_t archive_ms;    /* for how long; 0 = 90 days; whole seconds, rounded
                              up */
    int64_t completed_max; /* completed tasks, which are kept for their
                              retention; 0 = no limit */
    /* When its groups are due; 0 = as the server's, -1 = no limit. */
    int64_t group_grace_ms, group_max_delay_ms, group_max_size;
} lunaq_queue_options;
#define LUNAQ_QUEUE_OPTIONS_INIT                                               \
    {                                                                          \
        sizeof(lunaq_queue_options), 0, 0, 0, 0, 0, 0, 0, 0                    \
    }

/** A periodic task, as `cron` in a handler file. */
typedef struct lunaq_cron_entry {
    size_t size;
    const char *spec; /* 5 fields, a descriptor or "@every 1h" */
    const char
        *name;       /* tells two entries of one type and spec apart; or NULL */
    lunaq_task task; /* what to enqueue at each tick */
    const char *tz;  /* of the spec's times: "Europe/Berlin"; NULL = the
                        server's timezone */
    const char *dst; /* times that a change of the clock leaves out or repeats:
                        "vixie" (once; NULL) or "robfig" (none or twice) */
    const char *missed; /* ticks while no server ran: "once" (NULL), "skip",
                           "all" (the last 100) */
} lunaq_cron_entry;
#define LUNAQ_CRON_ENTRY_INIT                                                  \
    {                                                                          \
        sizeof(lunaq_cron_entry), 0, 0, LUNAQ_TASK_INIT, 0, 0, 0               \
    }

/** A tick of a periodic entry.  Borrowed for the call. */
typedef struct lunaq_cron_tick {
    size_t size;
    const char *entry_id; /* as in lunaq_cron_info */
    const char *spec;     /* with its zone */
    const char *name;     /* "" = none */
    const char *type;     /* of the task, as the rest */
    const char *queue;
    const void *payload;
    size_t payload_len;
    int64_t at;          /* the tick's instant */
    const char *task_id; /* after: what was enqueued; else NULL */
    int64_t code;        /* after: LUNAQ_OK, or why nothing was */
} lunaq_cron_tick;

typedef struct lunaq_cron_provider lunaq_cron_provider;
/** Gives all the entries it wants by lunaq_cron_provide(); they replace those
 *  that it gave before.  For any return but LUNAQ_OK those stay, and it is
 *  asked again a second later, then two, four and so on, schedule_every_ms at
 *  most.  (Asynq's PeriodicTaskConfigProvider.) */
typedef int lunaq_cron_provide_fn(lunaq_cron_provider *to, void *userdata);
/** 0: the tick shall enqueue its task.  1: it is used up without.  Each server
 *  asks; one of them enqueues.  (PreEnqueueFunc.) */
typedef int lunaq_cron_before_fn(const lunaq_cron_tick *tick, void *userdata);
/** On the server that enqueued, or could not.  (PostEnqueueFunc.) */
typedef void lunaq_cron_after_fn(const lunaq_cron_tick *tick, void *userdata);

/* Functions for all periodic entries of a server, called on one thread, in
 * order; they may block.  One that takes longer (provide a minute, before 10 s,
 * after 30 s) is not waited for: what was there stays, the tick goes on. */
typedef struct lunaq_cron_hooks {
    size_t size;
    lunaq_cron_provide_fn *provide; /* each may be NULL */
    lunaq_cron_before_fn *before_enqueue;
    lunaq_cron_after_fn *after_enqueue;
    void *userdata;           /* of them all */
    int64_t provide_every_ms; /* provide is called again; 0 =
                                 schedule_every_ms */
} lunaq_cron_hooks;
#define LUNAQ_CRON_HOOKS_INIT                                                  \
    {                                                                          \
        sizeof(lunaq_cron_hooks), 0, 0, 0, 0, 0                                \
    }

/** Adds an entry, which is copied.  LUNAQ_EINVAL: it is none; that is in the
 *  log, too, and the others are not concerned. */
LUNAQ_API int lunaq_cron_provide(lunaq_cron_provider *to,
                                 const lunaq_cron_entry *entry,
                                 lunaq_error *err);

/** The tasks of a group that is due.  Borrowed until the aggregator returns. */
typedef struct lunaq_group lunaq_group;
/** Makes one task of a group's tasks: lunaq_group_set_task().  It takes their
 *  place in one move with their deletion; when none was set, or for any return
 *  but LUNAQ_OK, they stay in their group and it is tried again later.  Called
 *  on a thread of the callback pool; may block, for at most a minute. */
typedef int lunaq_aggregate_fn(lunaq_group *group, void *userdata);

typedef struct lunaq_server_options {
    size_t size;
    const char *broker; /* as in lunaq_client_options; a queue file is made */
    const char *database; /* postgres://… or sqlite:…, for `db`; NULL = none */
    const char *handlers;   /* folder of Lua handlers; NULL = C handlers only */
    const char *migrations; /* folder of SQL migrations; NULL = none */
    const lunaq_queue_weight *queues; /* NULL = critical 6, default 3, low 1 */
    size_t queue_count;
    const lunaq_cron_entry *cron; /* [0].size is the stride */
    size_t cron_count;
    const char *const
        *env;          /* variables that lunaq.env() may read; NULL-ended */
    lunaq_log_fn *log; /* NULL = stderr */
    void *log_userdata;
    lunaq_stuck_fn *stuck;
    void *stuck_userdata;
    int64_t concurrency;      /* tasks run at once; 0 = 10 */
    int64_t worker_threads;   /* 0 = one for ten slots, at most
                                    min(CPUs, 4) */
    int64_t callback_threads; /* for C handlers, which block; 0 = concurrency,
                                 at most 64 */
    int64_t strict;           /* 1: always the queue of highest weight first */
    int64_t lease_ms;         /* 0 = 30000; 10000 to 60000 */
    int64_t
        shutdown_timeout_ms; /* 0 = 8000, -1 = none: end running tasks now */
    int64_t stuck_after_ms;  /* 0 = 120000, -1 = never */
    int64_t crash_limit;     /* crashes until a task is archived; 0 = 3,
                                -1 = never */
    int64_t db_pool;         /* database connections; 0 = 10 */
    int64_t db_prepare_off;  /* 1: no prepared statements (PgBouncer) */
    int64_t trust_message;   /* 1: Asynq's "not given" values count too */
    int64_t watch_off;       /* 1: no reload when a handler file changes */
    int64_t interrupt;       /* a lunaq_interrupt */
    int64_t log_level;       /* a lunaq_log_level; 0 = info */
    int64_t log_format;      /* a lunaq_log_format */
    const char *prefix;      /* as in lunaq_client_options */
    const lunaq_queue_options *queue_options; /* [0].size is the stride */
    size_t queue_option_count;
    const char *timezone;  /* of cron specs that name none: "Europe/Berlin";
                              NULL = UTC */
    lunaq_order_fn *order; /* NULL: an order to stop only quiets it */
    void *order_userdata;
    int64_t remote_control_off; /* 1: orders from afar are refused */
    /* Asynq's GroupAggregator: gets the tasks of all groups of the served
     * queues, whatever their types.  NULL: handler files with `group` do. */
    lunaq_aggregate_fn *aggregate;
    void *aggregate_userdata;
    int64_t group_grace_ms;     /* a group is due so long after its last task
                                   came; 0 = 60000; at least 1000 */
    int64_t group_max_delay_ms; /* … or so long after its first; 0 = no limit */
    int64_t group_max_size;     /* … or with so many; 0 = no limit */
    const char *schedules; /* periodic entries in the database, beside those of
                              handlers: a table or a query; NULL = none */
    int64_t schedule_every_ms;        /* they and providers are asked again; 0 =
                                         180000 */
    const lunaq_redis_options *redis; /* NULL = none */
    int64_t durable; /* a lunaq_durable, of tasks that handlers enqueue without
                        saying */
} lunaq_server_options;
#define LUNAQ_SERVER_OPTIONS_INIT                                              \
    {                                                                          \
        sizeof(lunaq_server_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   \
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  \
            0, 0, 0, 0, 0, 0, 0, 0, 0                                          \
    }

/** The same as the macro, for bindings: size = sizeof on the caller's side. */
LUNAQ_API void lunaq_server_options_init(lunaq_server_options *options,
                                         size_t size);

/** Checks the options as lunaq_server_open() does first: the broker's URL, the
 *  prefix, the files of TLS, periodic entries and zones.  Connects to nothing,
 *  takes no handlers and writes nothing.  LUNAQ_ECONFIG, LUNAQ_EINVAL: the
 *  message says which and why. */
LUNAQ_API int lunaq_server_check(const lunaq_server_options *options,
                                 lunaq_error *err);

/** Checks the options, connects to the broker and the database, applies the
 *  migrations and loads the handlers.  Takes no task yet.
 *  LUNAQ_EBROKER, LUNAQ_EDATABASE: cannot be reached; LUNAQ_EHANDLER: a
 *  handler file is faulty; LUNAQ_ECONFIG: an option is. */
LUNAQ_API int lunaq_server_open(lunaq_server **out,
                                const lunaq_server_options *options,
                                lunaq_error *err);

/** Runs one attempt of a task.  Called on a thread of the callback pool; may
 *  block.  Returns LUNAQ_OK for success, what lunaq_run_fail() and its kin
 *  return, or any other code for a failure with lunaq_strerror()'s text. */
typedef int lunaq_handler_fn(lunaq_run *run, void *userdata);

/** Adds a C handler for a task type, or for all that begin with `type` when it
 *  ends in '*'.  It goes before a Lua handler of the same type.  Before
 *  lunaq_server_start() only. */
LUNAQ_API int lunaq_server_handle(lunaq_server *server, const char *type,
                                  lunaq_handler_fn *handler, void *userdata,
                                  lunaq_error *err);

/** What is said of a C handler beyond its type, as in a handler file. */
typedef struct lunaq_handler_options {
    size_t size;
    int64_t concurrency; /* of its runs at once in this server; 0 = as many as
                            the server runs.  A task over it waits in the
                            server's hands, or is scheduled again, without using
                            an attempt */
    int64_t max_retry;   /* of a task that was enqueued without; 0 = 25, -1 =
                            none */
    int64_t timeout_ms;  /* the same; 0 = 30 min, -1 = none */
} lunaq_handler_options;
#define LUNAQ_HANDLER_OPTIONS_INIT                                             \
    {                                                                          \
        sizeof(lunaq_handler_options), 0, 0, 0                                 \
    }

/** The same with options, which may be NULL.  LUNAQ_ECONFIG: one is out of
 *  range. */
LUNAQ_API int lunaq_server_handle_with(lunaq_server *server, const char *type,
                                       const lunaq_handler_options *options,
                                       lunaq_handler_fn *handler,
                                       void *userdata, lunaq_error *err);

/** Puts a middleware around every C handler, and around what nobody handles:
 *  it does what it likes, calls lunaq_run_next(run), and returns what that
 *  returned or something else.  The first that is added is the outermost.
 *  Before lunaq_server_start() only. */
LUNAQ_API int lunaq_server_use(lunaq_server *server, lunaq_handler_fn *fn,
                               void *userdata, lunaq_error *err);

/* What a program may be asked and told about the runs of its C handlers; a
 * handler file has functions of its own.  Called on the thread that ran the
 * handler, and may block.  error: its text, borrowed for the call.  The run is
 * over: lunaq_run_fail() and its kin change nothing any more. */

/** 0: that error is no failure: the task is retried without using an attempt
 *  and counted nowhere.  (Asynq's IsFailure.) */
typedef int lunaq_is_failure_fn(lunaq_run *run, const char *error,
                                void *userdata);
/** In how many ms a failed task is tried again; < 0: by Asynq's curve.
 *  lunaq_run_attempt() is the attempt that failed.  (RetryDelayFunc.) */
typedef int64_t lunaq_retry_delay_fn(lunaq_run *run, const char *error,
                                     void *userdata);
/** A run failed, timed out or was canceled.  (ErrorHandler.) */
typedef void lunaq_error_fn(lunaq_run *run, const char *error, void *userdata);
/** A task was archived: by its handler, without attempts left, canceled, or
 *  because its process died too often.  Best effort, after it was done, and not
 *  twice.  One that was canceled while it waited was archived by who did that:
 *  one server of its queue that has on_archive is told, within seconds (or
 *  within a day, when none runs), and nobody if it has no handler of the type.
 *  Not called for lunaq_task_archive(). */
typedef void lunaq_archived_fn(lunaq_run *run, const char *error,
                               void *userdata);
/** Whether the broker answers: code LUNAQ_OK, or why not with its message.
 *  Called from the control thread, so it must not block.  (HealthCheckFunc.) */
typedef void lunaq_health_fn(int code, const char *message, void *userdata);

typedef struct lunaq_server_hooks {
    size_t size;
    lunaq_is_failure_fn *is_failure; /* each may be NULL */
    lunaq_retry_delay_fn *retry_delay;
    lunaq_error_fn *on_error;
    lunaq_archived_fn *on_archive;
    lunaq_health_fn *on_health;
    int64_t health_interval_ms; /* 0 = 15000 */
    void *userdata;             /* of them all */
    void *context; /* what lunaq_run_context() returns; (BaseContext) */
} lunaq_server_hooks;
#define LUNAQ_SERVER_HOOKS_INIT                                                \
    {                                                                          \
        sizeof(lunaq_server_hooks), 0, 0, 0, 0, 0, 0, 0, 0                     \
    }

/** Sets them all.  Before lunaq_server_start() only. */
LUNAQ_API int lunaq_server_hook(lunaq_server *server,
                                const lunaq_server_hooks *hooks,
                                lunaq_error *err);

/** Sets the functions around periodic entries; they go before those of
 *  handlers/_schedule.lua.  Before lunaq_server_start() only. */
LUNAQ_API int lunaq_server_cron(lunaq_server *server,
                                const lunaq_cron_hooks *hooks,
                                lunaq_error *err);

/** Starts the threads and returns.  A server without any handler, but with
 *  periodic entries or lunaq_server_cron(), schedules and takes no task. */
LUNAQ_API int lunaq_server_start(lunaq_server *server, lunaq_error *err);
/** Takes no more tasks; running ones go on.  Any thread, callbacks too. */
LUNAQ_API void lunaq_server_quiet(lunaq_server *server);
/** Drains: takes nothing more, waits up to shutdown_timeout_ms for running
 *  tasks, then ends them and gives them back without using an attempt.
 *  Returns LUNAQ_OK when nothing of this server is left active; else
 *  LUNAQ_EBROKER, and those tasks run again when their lease ends.  Blocks.
 *  Any thread but those of handlers and callbacks (LUNAQ_ERECURSE): it waits
 *  for them.  One that is under way is waited for. */
LUNAQ_API int lunaq_server_stop(lunaq_server *server, lunaq_error *err);
/** Makes a stop under way, or the next one, not wait for running tasks: they
 *  are told to end, and have two seconds.  Any thread, callbacks too. */
LUNAQ_API void lunaq_server_hurry(lunaq_server *server);
/** Reads the handler files again, as a changed file does.  Returns when the
 *  new ones are live everywhere, or LUNAQ_EHANDLER with file and line while
 *  the old ones go on; LUNAQ_ESTATE: there are none, or the server does not
 *  run.  Any thread; blocks. */
LUNAQ_API int lunaq_server_reload(lunaq_server *server, lunaq_error *err);
/** The id under which inspectors list this server; borrowed. */
LUNAQ_API const char *lunaq_server_id(const lunaq_server *server);
/** 1 while the server runs or stops and every worker thread has shown progress
 *  lately; for watchdogs.  Any thread. */
LUNAQ_API int lunaq_server_healthy(lunaq_server *server);
/** A line of text on what was loaded, for a banner: "7 types loaded from …".
 *  Writes at most len bytes with the NUL. */
LUNAQ_API void lunaq_server_describe(lunaq_server *server, char *text,
                                     size_t len);
/** Stops as lunaq_server_stop() if needed, waits for C functions that have not
 *  returned, and frees everything.  No other thread may use the server any
 *  more.  Inside a handler or a callback it does nothing. */
LUNAQ_API void lunaq_server_close(lunaq_server *server);

/* ---- inside a C handler ------------------------------------------------- */

/* Borrowed until the handler returns. */
LUNAQ_API const char *lunaq_run_id(const lunaq_run *run);
LUNAQ_API const char *lunaq_run_type(const lunaq_run *run);
LUNAQ_API const char *lunaq_run_queue(const lunaq_run *run);
LUNAQ_API const void *lunaq_run_payload(const lunaq_run *run, size_t *len);
/** The group it was aggregated from or waited in; "" = none. */
LUNAQ_API const char *lunaq_run_group(const lunaq_run *run);
/** Its metadata, *count pairs; and the value of one, NULL when it is absent. */
LUNAQ_API const lunaq_header *lunaq_run_headers(const lunaq_run *run,
                                                size_t *count);
LUNAQ_API const char *lunaq_run_header(const lunaq_run *run, const char *name);
/** The server's lunaq_server_hooks.context. */
LUNAQ_API void *lunaq_run_context(const lunaq_run *run);
/** Which attempt this is, from 1, and how many there are at most. */
LUNAQ_API int64_t lunaq_run_attempt(const lunaq_run *run);
LUNAQ_API int64_t lunaq_run_attempts(const lunaq_run *run);
/** When this attempt's time is up; 0 = never. */
LUNAQ_API int64_t lunaq_run_deadline_at(const lunaq_run *run);
/** 1 once the attempt shall end: deadline, cancel, lost lease or shutdown.
 *  What the handler returns after that is not used.  Any thread. */
LUNAQ_API int lunaq_run_canceled(const lunaq_run *run);
/** Sets the result that is kept for the task's retention; copies. */
LUNAQ_API int lunaq_run_set_result(lunaq_run *run, const void *data,
                                   size_t len);

/** The same, and stores it beside the task at once, so that inspectors can read
 *  it while the handler runs; the task's last result stays.  Blocks until the
 *  broker answered.  LUNAQ_ELEASE: the task is no longer this server's;
 *  LUNAQ_EBROKER, LUNAQ_EUNKNOWN: the broker is away; LUNAQ_ECANCELED: the
 *  server stops.  On the handler's thread only. */
LUNAQ_API int lunaq_run_write_result(lunaq_run *run, const void *data,
                                     size_t len);

/** In a middleware: runs what is inside of it, at last the handler, and returns
 *  what that returned.  LUNAQ_ERECURSE in a handler. */
LUNAQ_API int lunaq_run_next(lunaq_run *run);

/* Verdicts: `return lunaq_run_snooze(run, 30000, "not ready");`  why is copied
 * and may be NULL. */

/** The attempt failed: retry by backoff, or archived when spent. */
LUNAQ_API int lunaq_run_fail(lunaq_run *run, const char *why);
/** It failed and is retried after delay_ms. */
LUNAQ_API int lunaq_run_retry_after(lunaq_run *run, int64_t delay_ms,
                                    const char *why);
/** Not now: again after delay_ms, without using an attempt. */
LUNAQ_API int lunaq_run_snooze(lunaq_run *run, int64_t delay_ms,
                               const char *why);
/** It can never succeed: archived. */
LUNAQ_API int lunaq_run_skip_retry(lunaq_run *run, const char *why);
/** It is not wanted any more: dropped. */
LUNAQ_API int lunaq_run_discard(lunaq_run *run, const char *why);

/* ---- inside an aggregator ------------------------------------------------ */

/* Borrowed until the aggregator returns. */
LUNAQ_API const char *lunaq_group_name(const lunaq_group *group);
LUNAQ_API const char *lunaq_group_queue(const lunaq_group *group);
LUNAQ_API size_t lunaq_group_count(const lunaq_group *group);
/** The i-th task, the oldest first: its type, task_id, payload and headers.
 *  NULL past the end. */
LUNAQ_API const lunaq_task *lunaq_group_task(const lunaq_group *group,
                                             size_t i);
/** Sets the task that takes their place; copies.  Its queue is the group's:
 *  NULL or that one.  LUNAQ_EINVAL names a field that cannot be. */
LUNAQ_API int lunaq_group_set_task(lunaq_group *group, const lunaq_task *task,
                                   lunaq_error *err);
/** Says why it failed: `return lunaq_group_fail(group, "no template");` */
LUNAQ_API int lunaq_group_fail(lunaq_group *group, const char *why);

#ifdef __cplusplus
}
#endif
#endif
