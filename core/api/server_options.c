/* The options of a server: checked, copied, defaults filled in. */
#include "api/server_parts.h"

#include "api/broker_choice.h"
#include "base/cpus.h"
#include "base/sized.h"
#include "broker/url.h"
#include "task/durable.h"

#include <assert.h>

#define CALLBACK_THREADS_MAX 64
#define WORKER_THREADS_MAX 64
#define SLOTS_A_THREAD 10

static_assert(sizeof(lunaq_server_options) % sizeof(int64_t) == 0,
              "no tail padding: a new field must change the size");

static int check_range(const char *name, int64_t value, int64_t min,
                       int64_t max, lunaq_error *err)
{
    if (value >= min && value <= max)
        return LUNAQ_OK;
    return lq_fail(err, LUNAQ_ECONFIG, "%s is %lld: use %lld to %lld", name,
                   (long long)value, (long long)min, (long long)max);
}

static const char *dup_or_null(lq_arena *mem, const char *s)
{
    return s && *s ? lq_arena_dup(mem, lq_str_c(s)) : NULL;
}

static int copy_queues(lunaq_server *s, lunaq_error *err)
{
    static const lunaq_queue_weight defaults[] = {
        {"critical", 6}, {"default", 3}, {"low", 1}};
    const lunaq_queue_weight *from = s->o.queues ? s->o.queues : defaults;
    size_t n = s->o.queues ? s->o.queue_count : LQ_COUNT(defaults);
    lunaq_queue_weight *to = lq_arena_alloc(&s->mem, (n + 1) * sizeof(*to));

    if (!to)
        return lq_fail_nomem(err);
    if (n == 0 || n > LQ_QUEUES_MAX)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "%zu queues: a server serves 1 to %d", n, LQ_QUEUES_MAX);
    for (size_t i = 0; i < n; i++) {
        int rc = lq_name_check("queue", lq_str_c(from[i].queue), err);
        if (!rc)
            rc = check_range("the weight of a queue", from[i].weight, 1,
                             1000000, err);
        for (size_t k = 0; !rc && k < i; k++)
            if (strcmp(from[k].queue, from[i].queue) == 0)
                rc = lq_fail(err, LUNAQ_ECONFIG, "queue \"%s\" is named twice",
                             from[i].queue);
        if (rc)
            return rc;
        to[i].queue = lq_arena_dup(&s->mem, lq_str_c(from[i].queue));
        to[i].weight = from[i].weight;
        if (!to[i].queue)
            return lq_fail_nomem(err);
    }
    s->o.queues = to;
    s->o.queue_count = n;
    return LUNAQ_OK;
}

static lq_queue_settings *settings_of(lunaq_server *s, const char *queue)
{
    for (size_t i = 0; queue && i < s->o.queue_count; i++)
        if (strcmp(s->o.queues[i].queue, queue) == 0)
            return &s->settings[i];
    return NULL;
}

/* Asynq's clock has whole seconds. */
static int check_group(int64_t grace_ms, int64_t max_delay_ms, int64_t max_size,
                       lunaq_error *err)
{
    int rc = grace_ms ? check_range("group_grace (ms)", grace_ms, 1000,
                                    INT64_MAX / 2000, err)
                      : LUNAQ_OK;
    if (!rc)
        rc = check_range("group_max_delay (ms)", max_delay_ms, -1,
                         INT64_MAX / 2000, err);
    if (!rc)
        rc = check_range("group_max_size", max_size, -1, INT32_MAX, err);
    return rc;
}

static int copy_queue_options(lunaq_server *s, lunaq_error *err)
{
    const char *from = (const char *)s->o.queue_options;

    s->settings =
        lq_arena_alloc(&s->mem, s->o.queue_count * sizeof(*s->settings));
    if (!s->settings)
        return lq_fail_nomem(err);
    memset(s->settings, 0, s->o.queue_count * sizeof(*s->settings));
    for (size_t i = 0; i < s->o.queue_option_count; i++) {
        lunaq_queue_options o = {0};
        int rc = lq_sized_copy(&o, sizeof(o), from, "lunaq_queue_options", err);
        lq_queue_settings *to = rc ? NULL : settings_of(s, o.queue);
        if (!rc && !to)
            rc = lq_fail(err, LUNAQ_ECONFIG,
                         "options of queue \"%s\", which is not served",
                         o.queue ? o.queue : "");
        if (!rc)
            rc = check_range("the concurrency of a queue", o.concurrency, 0,
                             1000000, err);
        if (!rc)
            rc = check_range("archive_max of a queue", o.archive_max, -1,
                             INT32_MAX, err);
        if (!rc)
            rc = check_range("archive (ms) of a queue", o.archive_ms, -1,
                             INT64_MAX / 2000, err);
        if (!rc)
            rc = check_range("completed_max of a queue", o.completed_max, -1,
                             INT32_MAX, err);
        if (!rc)
            rc = check_group(o.group_grace_ms, o.group_max_delay_ms,
                             o.group_max_size, err);
        if (rc)
            return rc;
        to->group = (lq_group_rule){o.group_grace_ms, o.group_max_delay_ms,
                                    o.group_max_size};
        to->concurrency = (uint32_t)o.concurrency;
        to->limits =
            (lq_queue_limits){o.archive_max, o.archive_ms, o.completed_max};
        from += ((const lunaq_queue_options *)(const void *)from)->size;
    }
    s->o.queue_options = NULL; /* the caller's */
    return LUNAQ_OK;
}

static int copy_env(lunaq_server *s, lunaq_error *err)
{
    size_t n = 0;
    while (s->o.env && s->o.env[n])
        n++;
    const char **copy = lq_arena_alloc(&s->mem, (n + 1) * sizeof(*copy));
    if (!copy)
        return lq_fail_nomem(err);
    for (size_t i = 0; i < n; i++)
        if (!(copy[i] = lq_arena_dup(&s->mem, lq_str_c(s->o.env[i]))))
            return lq_fail_nomem(err);
    s->o.env = copy;
    return LUNAQ_OK;
}

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value ? value : fallback;
}

/* -1 says "none", which the runtime writes as 0. */
static int64_t none_is_zero(int64_t value)
{
    return value < 0 ? 0 : value;
}

/* A worker settles and takes in one step for all of its slots, so few slots
 * spread over many threads cost round trips: with ten slots two threads made
 * two thirds of the throughput of one, at twice the CPU time. */
static int64_t default_threads(int64_t concurrency)
{
    int64_t cpus = lq_cpus(), most = cpus < 4 ? cpus : 4;
    int64_t wanted = (concurrency + SLOTS_A_THREAD - 1) / SLOTS_A_THREAD;
    return wanted < most ? wanted : most;
}

static int set_numbers(lunaq_server_options *o, lunaq_error *err)
{
    int rc = LUNAQ_OK;
    o->concurrency = or_default(o->concurrency, 10);
    if (!rc)
        rc = check_range("concurrency", o->concurrency, 1, 1000000, err);
    if (!rc && !o->worker_threads)
        o->worker_threads = default_threads(o->concurrency);
    if (!rc)
        rc = check_range("worker_threads", o->worker_threads, 1,
                         WORKER_THREADS_MAX, err);
    if (o->worker_threads > o->concurrency)
        o->worker_threads = o->concurrency;
    if (!o->callback_threads)
        o->callback_threads = o->concurrency < CALLBACK_THREADS_MAX
                                  ? o->concurrency
                                  : CALLBACK_THREADS_MAX;
    if (!rc)
        rc = check_range("callback_threads", o->callback_threads, 1, 4096, err);
    o->lease_ms = or_default(o->lease_ms, 30000);
    if (!rc)
        rc = check_range("lease (ms)", o->lease_ms, 10000, 60000, err);
    if (!rc)
        rc = check_range("shutdown_timeout (ms)", o->shutdown_timeout_ms, -1,
                         INT64_MAX / 2000, err);
    if (!rc)
        rc = check_range("stuck_after (ms)", o->stuck_after_ms, -1,
                         INT64_MAX / 2000, err);
    if (!rc)
        rc = check_range("crash_limit", o->crash_limit, -1, INT32_MAX, err);
    o->shutdown_timeout_ms =
        none_is_zero(or_default(o->shutdown_timeout_ms, 8000));
    o->stuck_after_ms = none_is_zero(or_default(o->stuck_after_ms, 120000));
    o->crash_limit = none_is_zero(or_default(o->crash_limit, 3));
    o->db_pool = or_default(o->db_pool, 10);
    if (!rc)
        rc = check_range("db.pool", o->db_pool, 1, 10000, err);
    o->log_level = or_default(o->log_level, LUNAQ_LOG_INFO);
    if (!rc)
        rc = lq_durable_check(o->durable, err);
    if (!rc)
        rc = check_group(o->group_grace_ms, o->group_max_delay_ms,
                         o->group_max_size, err);
    return rc;
}

static int choose_broker(lunaq_server *s, lunaq_error *err)
{
    lq_broker_choice choice = lq_broker_choose(s->o.broker);
    char *url;
    int rc = lq_broker_url(&url, choice.url, s->o.prefix, s->o.redis, err);
    if (rc) {
        if (choice.source)
            lq_error_prefix(err, "%s", choice.source);
        return rc;
    }
    s->o.broker = lq_arena_dup(&s->mem, lq_str_c(url));
    s->o.prefix = NULL; /* the URL has both now */
    s->o.redis = NULL;
    lq_free(url);
    return s->o.broker ? LUNAQ_OK : lq_fail_nomem(err);
}

static int copy_options(lunaq_server *s, const lunaq_server_options *options,
                        lunaq_error *err)
{
    lunaq_server_options *o = &s->o;
    int rc = options ? lq_sized_copy(o, sizeof(*o), options,
                                     "lunaq_server_options", err)
                     : LUNAQ_OK;
    if (rc)
        return rc;
    rc = choose_broker(s, err);
    if (rc)
        return rc;
    o->database = dup_or_null(&s->mem, o->database);
    o->handlers = dup_or_null(&s->mem, o->handlers);
    o->migrations = dup_or_null(&s->mem, o->migrations);
    rc = set_numbers(o, err);
    if (!rc && o->durable == LUNAQ_DURABLE_REPLICA &&
        lq_url_is_sqlite(o->broker))
        rc = lq_fail(err, LUNAQ_ECONFIG,
                     "durable = replica: a queue file has no replicas: set it "
                     "to fsync or none");
    if (!rc)
        rc = copy_queues(s, err);
    if (!rc)
        rc = copy_queue_options(s, err);
    if (!rc)
        rc = copy_env(s, err);
    return rc;
}

int lq_server_options_take(lunaq_server *s, const lunaq_server_options *options,
                           lunaq_error *err)
{
    int rc = copy_options(s, options, err);
    return rc ? rc : lq_server_cron_take(s, err);
}

void lunaq_server_options_init(lunaq_server_options *options, size_t size)
{
    memset(options, 0, size);
    options->size = size;
}
