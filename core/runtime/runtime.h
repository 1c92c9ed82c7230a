/* What the parts of one server share: its settings, and the few numbers that
 * threads exchange.
 *
 * Threads: one control thread (control.h) and N worker threads (worker.h).
 * Settings do not change after start.  All else here is atomic.
 */
#ifndef LQ_RUNTIME_H
#define LQ_RUNTIME_H

#include "runner/runner.h"
#include "loop/loop.h"
#include "runtime/caps.h"

#include <stdatomic.h>

#define LQ_RUNNERS_MAX 3 /* C callbacks before Lua; cron callbacks */

typedef struct lq_runner_factory {
    lq_runner_new_fn *fn;
    void *ud;
} lq_runner_factory;

/* What the runtime asks of the handler files; any member may be NULL. */
typedef struct lq_handler_source {
    bool (*type)(void *ud, lq_str type, lq_type_options *out);
    void (*each_cron)(void *ud, void (*fn)(void *fn_ud, const lq_cron_want *),
                      void *fn_ud);
    void (*describe)(void *ud, lq_buf *json);
    /* Calls fn for each that provides cron entries: whose LQ_RUN_PROVIDE it is,
     * and how often; 0 = schedule_every_ms. */
    void (*each_provider)(void *ud,
                          void (*fn)(void *fn_ud, const char *type,
                                     int64_t every_ms),
                          void *fn_ud);
    /* Whose hook of this kind concerns the entries of a type: the type's own,
     * LQ_SCHEDULE_TYPE, or NULL: nobody's. */
    const char *(*cron_hook)(void *ud, enum lq_run_kind kind, lq_str type);
    /* True when any handler takes the tasks of groups. */
    bool (*grouped)(void *ud);
    /* True when any handler has an on_archive. */
    bool (*archived)(void *ud);
    bool (*is_json)(lq_str text);
    void *ud;
} lq_handler_source;

/* What is said of a queue beyond its weight. */
typedef struct lq_queue_settings {
    uint32_t concurrency; /* of its tasks run at once here; 0 = no cap */
    lq_queue_limits limits;
    lq_group_rule group; /* 0 = as the server's, -1 = none */
} lq_queue_settings;

typedef struct lq_runtime_options {
    const void *broker; /* what link_open needs */
    lq_link_open_fn *link_open;
    bool take_on_wake; /* its waits carry out takes */
    lq_log *log;
    const struct lq_queue_prio *queues;
    size_t queue_count;
    const lq_queue_settings *settings; /* one a queue; NULL = the defaults */
    bool strict;
    bool trust_message;
    uint32_t concurrency;
    uint32_t worker_threads;
    int64_t lease_ms;
    int64_t shutdown_timeout_ms; /* 0 = none */
    int64_t stuck_after_ms;      /* 0 = never */
    int64_t crash_limit;         /* 0 = never */
    lq_runner_factory runners[LQ_RUNNERS_MAX];
    size_t runner_count;
    lq_handler_source source;
    lq_group_rule group; /* where neither handler nor queue says it; grace 0 =
                            the default */
    bool aggregate;      /* a runner aggregates whatever the type: the server's
                            own aggregator goes before handler files */
    const lq_cron_want *cron; /* the configuration's, beside the source's */
    size_t cron_count;
    int64_t schedule_every_ms;
    const char *timezone; /* of specs that name none; NULL = UTC */
    lunaq_stuck_fn *stuck;
    void *stuck_userdata;
    lunaq_health_fn *health; /* NULL = nobody asks */
    void *health_userdata;
    int64_t health_interval_ms;
    lunaq_order_fn *order; /* told of orders from afar; NULL = nobody */
    void *order_userdata;
    bool orders_off; /* refuses them */
} lq_runtime_options;

struct lq_worker;

/* Where a server is in its life; only forward. */
enum lq_phase {
    LQ_PHASE_NEW,
    LQ_PHASE_ACTIVE,
    LQ_PHASE_QUIET,    /* takes nothing more */
    LQ_PHASE_DRAINING, /* … and shall end when nothing runs */
    LQ_PHASE_CLOSED
};

typedef struct lq_runtime {
    lq_runtime_options o;
    char host[256];
    int32_t pid;
    char server_id[40];
    int64_t started_ms;
    struct lq_worker **workers;
    struct lq_control *control;
    pthread_t control_thread;    /* while … */
    atomic_bool control_started; /* … it lives: another may get its id then */
    atomic_int phase;
    atomic_uint_fast64_t run_numbers;
    atomic_bool stuck;   /* some worker is, now */
    atomic_int suspects; /* tasks that crashed before and run now */
    /* Per queue: which worker has the waiter armed; -1 = none. */
    atomic_int waiter[LQ_QUEUES_MAX];
    lq_cap queue_caps[LQ_QUEUES_MAX];
    lq_caps handler_caps;
    atomic_uint_fast64_t paused; /* bit i: queue i was paused when last seen */
    atomic_bool broker_lost;     /* and the log was told */
    int64_t lost_gate, log_gate; /* for lq_log_gate() */
} lq_runtime;

static inline enum lq_phase lq_phase(lq_runtime *rt)
{
    return (enum lq_phase)atomic_load_explicit(&rt->phase,
                                               memory_order_acquire);
}

/* How many tasks of a queue may run at once here; 0 = as many as slots. */
static inline uint32_t lq_queue_cap(const lq_runtime *rt, size_t queue)
{
    return rt->o.settings ? rt->o.settings[queue].concurrency : 0;
}

static inline lq_str lq_queue_name(const lq_runtime *rt, size_t queue)
{
    return rt->o.queues[queue].name;
}

#endif
