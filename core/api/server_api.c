/* The public server: checks the options, wires broker, runtime and handlers,
 * and owns their order of life.  The only file that sees every layer. */
#include <lunaq/server.h>

#include "api/broker_choice.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "base/sized.h"
#include "broker/url.h"
#include "db/db.h"
#include "lua/app.h"
#include "redis_uv/link_uv.h"
#include "runtime/callback.h"
#include "runtime/control.h"
#include "runtime/server.h"
#include "sqlite/engine.h"
#include "sqlite_uv/link_sqlite.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>

#define CHECK_MS 5000 /* for the broker's first answer */
#define CALLBACK_THREADS_MAX 64
#define WORKER_THREADS_MAX 64
#define SLOTS_A_THREAD 10

static_assert(sizeof(lunaq_server_options) % sizeof(int64_t) == 0,
              "no tail padding: a new field must change the size");

enum life { LIFE_OPEN, LIFE_STARTED, LIFE_STOPPED };

struct lunaq_server {
    lunaq_server_options o; /* strings live in mem */
    lq_arena mem;
    lq_log *log;
    lq_callbacks *callbacks;
    lq_lua_app *app;
    lq_sqlite_engine *engine; /* NULL: the broker is Redis */
    lq_runtime *runtime;
    lq_cron_want *cron;
    lq_enqueue **cron_items;
    atomic_int life;       /* an enum life */
    pthread_mutex_t mutex; /* held while it changes */
    atomic_bool hurry;
    char broker_version[32];
};

/* ---- options ------------------------------------------------------------- */

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
    if (!o->worker_threads)
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
    o->shutdown_timeout_ms =
        none_is_zero(or_default(o->shutdown_timeout_ms, 8000));
    o->stuck_after_ms = none_is_zero(or_default(o->stuck_after_ms, 120000));
    o->crash_limit = none_is_zero(or_default(o->crash_limit, 3));
    o->db_pool = or_default(o->db_pool, 10);
    if (!rc)
        rc = check_range("db.pool", o->db_pool, 1, 10000, err);
    o->log_level = or_default(o->log_level, LUNAQ_LOG_INFO);
    return rc;
}

static int choose_broker(lunaq_server *s, lunaq_error *err)
{
    lq_broker_choice choice = lq_broker_choose(s->o.broker);
    char *url;
    int rc = lq_broker_url(&url, choice.url, s->o.prefix, err);
    if (rc) {
        if (choice.source)
            lq_error_prefix(err, "%s", choice.source);
        return rc;
    }
    s->o.broker = lq_arena_dup(&s->mem, lq_str_c(url));
    s->o.prefix = NULL; /* the URL has it now */
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
    if (!rc)
        rc = copy_queues(s, err);
    if (!rc)
        rc = copy_env(s, err);
    return rc;
}

static bool dup_in(lq_arena *mem, const char **s)
{
    if (!*s)
        return true;
    *s = lq_arena_dup(mem, lq_str_c(*s));
    return *s != NULL;
}

/* An item keeps views into its task: the caller's strings need not stay. */
static bool copy_task(lq_arena *mem, lunaq_task *t)
{
    if (!dup_in(mem, &t->type) || !dup_in(mem, &t->queue) ||
        !dup_in(mem, &t->task_id) || !dup_in(mem, &t->group))
        return false;
    if (t->payload) {
        t->payload = lq_arena_dup(mem, lq_str_n(t->payload, t->payload_len));
        if (!t->payload)
            return false;
    }
    if (!t->headers)
        return true;
    lunaq_header *headers =
        lq_arena_alloc(mem, (t->header_count + 1) * sizeof(*headers));
    if (!headers)
        return false;
    for (size_t i = 0; i < t->header_count; i++) {
        headers[i] = t->headers[i];
        if (!dup_in(mem, &headers[i].name) || !dup_in(mem, &headers[i].value))
            return false;
    }
    t->headers = headers;
    return true;
}

static int copy_cron(lunaq_server *s, lunaq_error *err)
{
    size_t n = s->o.cron_count;
    s->cron = lq_arena_alloc(&s->mem, (n + 1) * sizeof(*s->cron));
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): of pointers it is */
    s->cron_items = lq_arena_alloc(&s->mem, (n + 1) * sizeof(*s->cron_items));
    if (!s->cron || !s->cron_items)
        return lq_fail_nomem(err);
    const char *from = (const char *)s->o.cron;
    for (size_t i = 0; i < n; i++) {
        lunaq_cron_entry e = {0};
        int rc = lq_sized_copy(&e, sizeof(e), from, "lunaq_cron_entry", err);
        lq_cron parsed;
        if (!rc)
            rc = lq_cron_parse(&parsed, lq_str_c(e.spec), err);
        s->cron_items[i] = lq_arena_alloc(&s->mem, sizeof(lq_enqueue));
        if (!s->cron_items[i] || (!rc && !copy_task(&s->mem, &e.task)))
            return lq_fail_nomem(err);
        if (!rc)
            rc = lq_enqueue_init(s->cron_items[i], &e.task, lq_now_ms(), err);
        if (rc) {
            lq_error_prefix(err, "cron entry \"%s\"", e.spec ? e.spec : "");
            return rc;
        }
        s->cron[i] =
            (lq_cron_want){.spec = lq_arena_dup(&s->mem, lq_str_c(e.spec)),
                           .name = dup_or_null(&s->mem, e.name),
                           .item = s->cron_items[i]};
        from += ((const lunaq_cron_entry *)(const void *)from)->size;
    }
    return LUNAQ_OK;
}

void lunaq_server_options_init(lunaq_server_options *options, size_t size)
{
    memset(options, 0, size);
    options->size = size;
}

/* ---- opening ------------------------------------------------------------- */

static int check_broker(lunaq_server *s, lunaq_error *err)
{
    lq_caller *caller = NULL;
    lq_op_ping ping = {0};
    int rc = lq_broker_caller_open(&caller, s->o.broker, err);

    if (rc)
        return rc;
    lq_op_init(&ping.op, LQ_OP_PING);
    rc = lq_caller_call(caller, &ping.op, CHECK_MS, err);
    if (!rc && ping.warning[0])
        LQ_LOG(s->log, WARN, "the broker's settings endanger tasks",
               lq_fc("reason", ping.warning));
    snprintf(s->broker_version, sizeof(s->broker_version), "%s", ping.version);
    lq_op_release(&ping.op);
    lq_caller_close(caller);
    return rc;
}

/* A queue file is opened once a process, for all links. */
static int open_engine(lunaq_server *s, lunaq_error *err)
{
    lq_url url;

    if (!lq_url_is_sqlite(s->o.broker))
        return LUNAQ_OK;
    int rc = lq_url_parse(&url, s->o.broker, err);
    if (rc)
        return rc;
    const lq_sqlite_engine_options o = {
        .path = url.host, .normal = url.normal, .log = s->log};
    rc = lq_sqlite_engine_open(&s->engine, &o, err);
    lq_url_release(&url);
    return rc;
}

static void handlers_changed(void *ud)
{
    lunaq_server *s = ud;
    if (s->runtime)
        lq_control_handlers_changed(s->runtime);
}

static int load_handlers(lunaq_server *s, lunaq_error *err)
{
    lq_lua_options o = {.folder = s->o.handlers,
                        .database = s->o.database,
                        .db_pool = s->o.db_pool,
                        .db_prepare = !s->o.db_prepare_off,
                        .env = s->o.env,
                        .interrupt = (lunaq_interrupt)s->o.interrupt,
                        .watch = !s->o.watch_off,
                        .worker_count = (size_t)s->o.worker_threads,
                        .log = s->log,
                        .changed = handlers_changed,
                        .ud = s};
    return s->o.handlers ? lq_lua_app_new(&s->app, &o, err) : LUNAQ_OK;
}

static bool source_type(void *ud, lq_str type, lq_type_options *out)
{
    lunaq_server *s = ud;
    if (lq_callbacks_handles(s->callbacks, type))
        return false;
    return lq_lua_app_type(s->app, type, out);
}

static void source_cron(void *ud,
                        void (*fn)(void *fn_ud, const lq_cron_want *want),
                        void *fn_ud)
{
    lq_lua_app_each_cron(((lunaq_server *)ud)->app, fn, fn_ud);
}

static void source_describe(void *ud, lq_buf *json)
{
    lq_lua_app_describe(((lunaq_server *)ud)->app, json);
}

static int make_runtime(lunaq_server *s, lunaq_error *err)
{
    struct lq_queue_prio *queues =
        lq_arena_alloc(&s->mem, s->o.queue_count * sizeof(*queues));
    if (!queues)
        return lq_fail_nomem(err);
    for (size_t i = 0; i < s->o.queue_count; i++)
        queues[i] = (struct lq_queue_prio){lq_str_c(s->o.queues[i].queue),
                                           (int32_t)s->o.queues[i].weight};
    lq_runtime_options o = {
        .broker = s->engine ? (const void *)s->engine : s->o.broker,
        .link_open = s->engine ? lq_sqlite_link_open : lq_redis_link_open,
        .take_on_wake = !s->engine,
        .log = s->log,
        .queues = queues,
        .queue_count = s->o.queue_count,
        .strict = s->o.strict != 0,
        .trust_message = s->o.trust_message != 0,
        .concurrency = (uint32_t)s->o.concurrency,
        .worker_threads = (uint32_t)s->o.worker_threads,
        .lease_ms = s->o.lease_ms,
        .shutdown_timeout_ms = s->o.shutdown_timeout_ms,
        .stuck_after_ms = s->o.stuck_after_ms,
        .crash_limit = s->o.crash_limit,
        .cron = s->cron,
        .cron_count = s->o.cron_count,
        .stuck = s->o.stuck,
        .stuck_userdata = s->o.stuck_userdata,
    };
    if (lq_callbacks_count(s->callbacks))
        o.runners[o.runner_count++] =
            (lq_runner_factory){lq_callback_runner_new, s->callbacks};
    if (s->app) {
        o.runners[o.runner_count++] =
            (lq_runner_factory){lq_lua_runner_new, s->app};
        o.source = (lq_handler_source){.type = source_type,
                                       .each_cron = source_cron,
                                       .describe = source_describe,
                                       .ud = s};
    }
    return lq_server_new(&s->runtime, &o, err);
}

static int open_parts(lunaq_server *s, const lunaq_server_options *options,
                      lunaq_error *err)
{
    int rc = copy_options(s, options, err);
    if (!rc)
        rc = copy_cron(s, err);
    if (rc)
        return rc;
    lq_log_options log = {.level = (lunaq_log_level)s->o.log_level,
                          .format = (lunaq_log_format)s->o.log_format,
                          .sink = s->o.log,
                          .userdata = s->o.log_userdata};
    s->log = lq_log_new(&log);
    if (!s->log)
        return lq_fail(err, LUNAQ_ENOMEM, "cannot start the log's thread");
    rc = lq_callbacks_new(&s->callbacks, (size_t)s->o.callback_threads, s->log,
                          err);
    if (!rc)
        rc = open_engine(s, err);
    if (!rc)
        rc = check_broker(s, err);
    if (!rc && s->o.database)
        rc = lq_db_migrate(s->o.database, s->o.migrations, s->log, err);
    if (!rc)
        rc = load_handlers(s, err);
    return rc;
}

static void free_server(lunaq_server *s)
{
    lq_server_free(s->runtime);
    lq_lua_app_free(s->app);
    lq_callbacks_free(s->callbacks);
    lq_sqlite_engine_close(s->engine);
    lq_log_free(s->log);
    for (size_t i = 0; s->cron_items && i < s->o.cron_count; i++)
        if (s->cron_items[i])
            lq_enqueue_release(s->cron_items[i]);
    lq_arena_release(&s->mem);
    pthread_mutex_destroy(&s->mutex);
    lq_free(s);
}

int lunaq_server_open(lunaq_server **out, const lunaq_server_options *options,
                      lunaq_error *err)
{
    if (!out)
        return lq_fail(err, LUNAQ_EINVAL, "lunaq_server_open: out is NULL");
    *out = NULL;
    lunaq_server *s = lq_calloc(1, sizeof(*s));
    if (!s)
        return lq_fail_nomem(err);
    pthread_mutex_init(&s->mutex, NULL);
    int rc = open_parts(s, options, err);
    if (rc) {
        free_server(s);
        return rc;
    }
    *out = s;
    return LUNAQ_OK;
}

int lunaq_server_handle(lunaq_server *server, const char *type,
                        lunaq_handler_fn *handler, void *userdata,
                        lunaq_error *err)
{
    if (!server || server->life != LIFE_OPEN)
        return lq_fail(err, LUNAQ_ESTATE,
                       "handlers are added before lunaq_server_start()");
    return lq_callbacks_add(server->callbacks, type, handler, userdata, err);
}

/* ---- life ---------------------------------------------------------------- */

static int start(lunaq_server *s, lunaq_error *err)
{
    if (s->life != LIFE_OPEN)
        return lq_fail(err, LUNAQ_ESTATE, "the server was started before");
    if (!s->app && !lq_callbacks_count(s->callbacks))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "nothing to run: name a handlers folder or add a "
                       "handler with lunaq_server_handle()");
    int rc = make_runtime(s, err);
    if (!rc)
        rc = lq_server_start(s->runtime, err);
    if (rc) {
        lq_server_free(s->runtime);
        s->runtime = NULL;
        return rc;
    }
    s->life = LIFE_STARTED;
    if (s->app)
        rc = lq_lua_app_start(s->app, err);
    if (!rc)
        lq_server_begin(s->runtime);
    return rc;
}

int lunaq_server_start(lunaq_server *server, lunaq_error *err)
{
    if (!server)
        return lq_fail(err, LUNAQ_EINVAL, "lunaq_server_start: no server");
    pthread_mutex_lock(&server->mutex);
    int rc = start(server, err);
    pthread_mutex_unlock(&server->mutex);
    return rc;
}

void lunaq_server_quiet(lunaq_server *server)
{
    pthread_mutex_lock(&server->mutex);
    if (server->life == LIFE_STARTED)
        lq_server_quiet(server->runtime);
    pthread_mutex_unlock(&server->mutex);
}

void lunaq_server_hurry(lunaq_server *server)
{
    atomic_store(&server->hurry, true);
}

static void stop_app(void *ud)
{
    lq_lua_app_stop(ud);
}

int lunaq_server_stop(lunaq_server *server, lunaq_error *err)
{
    int rc = LUNAQ_OK;

    if (!server)
        return LUNAQ_OK;
    if (lq_callbacks_inside(server->callbacks))
        return lq_fail(err, LUNAQ_ERECURSE,
                       "lunaq_server_stop() inside a handler would wait for "
                       "itself");
    pthread_mutex_lock(&server->mutex);
    if (server->life == LIFE_STARTED) {
        rc = lq_server_stop(server->runtime, &server->hurry,
                            server->app ? stop_app : NULL, server->app, err);
        server->life = LIFE_STOPPED;
    }
    pthread_mutex_unlock(&server->mutex);
    return rc;
}

int lunaq_server_reload(lunaq_server *server, lunaq_error *err)
{
    if (!server || !server->app)
        return lq_fail(err, LUNAQ_ESTATE,
                       "this server has no handlers folder to reload");
    if (server->life != LIFE_STARTED)
        return lq_fail(err, LUNAQ_ESTATE, "the server is not running");
    return lq_lua_app_reload(server->app, err);
}

const char *lunaq_server_id(const lunaq_server *server)
{
    return server && server->runtime ? server->runtime->server_id : "";
}

int lunaq_server_healthy(lunaq_server *server)
{
    return server && server->runtime && server->life == LIFE_STARTED &&
           lq_server_healthy(server->runtime);
}

void lunaq_server_describe(lunaq_server *server, char *text, size_t len)
{
    size_t types = 0;
    int64_t generation = 0;

    if (len == 0)
        return;
    if (!server->app) {
        snprintf(text, len, "%zu C handlers",
                 lq_callbacks_count(server->callbacks));
        return;
    }
    lq_lua_app_count(server->app, &types, &generation);
    snprintf(text, len, "%zu type%s loaded from %s%s", types,
             types == 1 ? "" : "s", server->o.handlers,
             server->o.watch_off ? "" : " (watching)");
}

void lunaq_server_close(lunaq_server *server)
{
    if (!server)
        return;
    /* Inside a handler nothing can be freed that the handler stands on. */
    if (lunaq_server_stop(server, NULL) == LUNAQ_ERECURSE)
        return;
    free_server(server);
}
