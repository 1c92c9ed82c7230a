/* The public server: wires broker, runtime and handlers.  The only file that
 * sees every layer. */
#include "api/server_parts.h"

#include "api/broker_choice.h"
#include "broker/url.h"
#include "db/db.h"
#include "lua/json.h"
#include "redis/ops.h"
#include "redis/tls.h"
#include "redis_uv/link_durable.h"
#include "runtime/control.h"
#include "runtime/cron_callback.h"
#include "sqlite_uv/link_sqlite.h"

#include <stdio.h>

#define HEALTH_MS 15000
#define CHECK_MS 5000 /* for the broker's first answer */

/* ---- opening ------------------------------------------------------------- */

/* Else the first enqueue of a handler would be who tells. */
static void check_durable(const lunaq_server *s, const char *version)
{
    int known = s->engine ? 0 : lq_redis_version(lq_str_c(version));
    char why[240];
    if (s->o.durable != LUNAQ_DURABLE_FSYNC || !known ||
        known >= LQ_REDIS_WAITAOF)
        return;
    snprintf(why, sizeof(why),
             "durable is fsync, which needs Redis 7.2 or newer (this is %s): "
             "upgrade, or set durable to none and Redis to appendonly yes and "
             "appendfsync always",
             version);
    LQ_LOG(s->log, WARN, "handlers' enqueues will be refused",
           lq_fc("reason", why));
}

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
    if (!rc)
        check_durable(s, ping.version);
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
                        .durable = s->o.durable,
                        .worker_count = (size_t)s->o.worker_threads,
                        .schedules = s->o.schedules,
                        .log = s->log,
                        .changed = handlers_changed,
                        .described = handlers_changed, /* others see it */
                        .ud = s};
    return s->o.handlers ? lq_lua_app_new(&s->app, &o, err) : LUNAQ_OK;
}

static bool source_type(void *ud, lq_str type, lq_type_options *out)
{
    lunaq_server *s = ud;
    return lq_callbacks_type(s->callbacks, type, out) ||
           (s->app && lq_lua_app_type(s->app, type, out));
}

static void source_cron(void *ud,
                        void (*fn)(void *fn_ud, const lq_cron_want *want),
                        void *fn_ud)
{
    lq_lua_app_each_cron(((lunaq_server *)ud)->app, fn, fn_ud);
}

static void source_providers(void *ud,
                             void (*fn)(void *fn_ud, const char *type,
                                        int64_t every_ms),
                             void *fn_ud)
{
    const lunaq_server *s = ud;
    const lunaq_cron_hooks *h = lq_cron_callbacks_hooks(s->cron_callbacks);
    if (h && h->provide)
        fn(fn_ud, LQ_CALLBACK_SCHEDULE_TYPE, h->provide_every_ms);
    if (s->app)
        lq_lua_app_each_provider(s->app, fn, fn_ud);
}

/* A handler's own function goes before that for all entries. */
static const char *source_cron_hook(void *ud, enum lq_run_kind kind,
                                    lq_str type)
{
    const lunaq_server *s = ud;
    const lunaq_cron_hooks *h = lq_cron_callbacks_hooks(s->cron_callbacks);
    if (s->app && lq_lua_app_cron_hook(s->app, kind, type))
        return type.p;
    if (h && (kind == LQ_RUN_BEFORE_ENQUEUE ? h->before_enqueue != NULL
                                            : h->after_enqueue != NULL))
        return LQ_CALLBACK_SCHEDULE_TYPE;
    if (s->app && lq_lua_app_cron_hook(s->app, kind, LQ_STR(LQ_SCHEDULE_TYPE)))
        return LQ_SCHEDULE_TYPE;
    return NULL;
}

static void source_describe(void *ud, lq_buf *json)
{
    lq_lua_app_describe(((lunaq_server *)ud)->app, json);
}

static bool source_archived(void *ud)
{
    const lunaq_server *s = ud;
    return lq_callbacks_hooks(s->callbacks)->on_archive ||
           (s->app && lq_lua_app_archived(s->app));
}

static bool source_grouped(void *ud)
{
    return lq_lua_app_grouped(((lunaq_server *)ud)->app);
}

int lq_server_make_runtime(lunaq_server *s, lunaq_error *err)
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
        .link_open =
            s->engine ? lq_sqlite_link_open : lq_redis_durable_link_open,
        .take_on_wake = !s->engine,
        .log = s->log,
        .queues = queues,
        .queue_count = s->o.queue_count,
        .settings = s->settings,
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
        .timezone = s->o.timezone,
        .group = {s->o.group_grace_ms, s->o.group_max_delay_ms,
                  s->o.group_max_size},
        .aggregate = s->o.aggregate != NULL,
        .schedule_every_ms = s->o.schedule_every_ms,
        .stuck = s->o.stuck,
        .stuck_userdata = s->o.stuck_userdata,
        .order = s->o.order,
        .order_userdata = s->o.order_userdata,
        .orders_off = s->o.remote_control_off != 0,
    };
    const lunaq_server_hooks *hooks = lq_callbacks_hooks(s->callbacks);
    o.health = hooks->on_health;
    o.health_userdata = hooks->userdata;
    o.health_interval_ms =
        hooks->health_interval_ms ? hooks->health_interval_ms : HEALTH_MS;
    o.source.type = source_type;
    o.source.archived = source_archived;
    o.source.ud = s;
    if (s->o.aggregate)
        lq_callbacks_aggregate(s->callbacks, s->o.aggregate,
                               s->o.aggregate_userdata);
    if (lq_callbacks_count(s->callbacks) || lq_callbacks_around(s->callbacks) ||
        s->o.aggregate)
        o.runners[o.runner_count++] =
            (lq_runner_factory){lq_callback_runner_new, s->callbacks};
    o.source.each_provider = source_providers;
    o.source.cron_hook = source_cron_hook;
    if (s->cron_callbacks)
        o.runners[o.runner_count++] =
            (lq_runner_factory){lq_cron_callback_runner_new, s->cron_callbacks};
    if (s->app) {
        o.runners[o.runner_count++] =
            (lq_runner_factory){lq_lua_runner_new, s->app};
        o.source.each_cron = source_cron;
        o.source.describe = source_describe;
        o.source.grouped = source_grouped;
        o.source.is_json = lq_json_can_nest;
    }
    return lq_server_new(&s->runtime, &o, err);
}

static int open_parts(lunaq_server *s, const lunaq_server_options *options,
                      lunaq_error *err)
{
    int rc = lq_server_options_take(s, options, err);
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

void lq_server_release(lunaq_server *s)
{
    lq_server_free(s->runtime);
    lq_lua_app_free(s->app);
    lq_callbacks_free(s->callbacks);
    lq_cron_callbacks_free(s->cron_callbacks);
    lq_sqlite_engine_close(s->engine);
    lq_log_free(s->log);
    for (size_t i = 0; s->cron_items && i < s->o.cron_count; i++)
        if (s->cron_items[i])
            lq_enqueue_release(s->cron_items[i]);
    lq_arena_release(&s->mem);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->changed);
    lq_free(s);
}

static void init(lunaq_server *s)
{
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->changed, NULL);
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
    init(s);
    int rc = open_parts(s, options, err);
    if (rc) {
        lq_server_release(s);
        return rc;
    }
    *out = s;
    return LUNAQ_OK;
}

/* The files of TLS, without a connection. */
static int check_tls(const lunaq_server *s, lunaq_error *err)
{
    lq_tls_context *context = NULL;
    lq_url url;
    int rc = lq_url_parse(&url, s->o.broker, err);
    if (rc)
        return rc;
    if (url.tls)
        rc = lq_tls_context_new(&context, &url, err);
    lq_tls_context_free(context);
    lq_url_release(&url);
    return rc;
}

int lunaq_server_check(const lunaq_server_options *options, lunaq_error *err)
{
    lunaq_server *s = lq_calloc(1, sizeof(*s));
    if (!s)
        return lq_fail_nomem(err);
    init(s);
    int rc = lq_server_options_take(s, options, err);
    if (!rc)
        rc = check_tls(s, err);
    lq_server_release(s);
    return rc;
}

int lunaq_server_handle(lunaq_server *server, const char *type,
                        lunaq_handler_fn *handler, void *userdata,
                        lunaq_error *err)
{
    return lunaq_server_handle_with(server, type, NULL, handler, userdata, err);
}

int lunaq_server_handle_with(lunaq_server *server, const char *type,
                             const lunaq_handler_options *options,
                             lunaq_handler_fn *handler, void *userdata,
                             lunaq_error *err)
{
    if (!server || server->life != LIFE_OPEN)
        return lq_fail(err, LUNAQ_ESTATE,
                       "handlers are added before lunaq_server_start()");
    return lq_callbacks_add(server->callbacks, type, options, handler, userdata,
                            err);
}

int lunaq_server_use(lunaq_server *server, lunaq_handler_fn *fn, void *userdata,
                     lunaq_error *err)
{
    if (!server || server->life != LIFE_OPEN)
        return lq_fail(err, LUNAQ_ESTATE,
                       "middleware is added before lunaq_server_start()");
    return lq_callbacks_use(server->callbacks, fn, userdata, err);
}

int lunaq_server_hook(lunaq_server *server, const lunaq_server_hooks *hooks,
                      lunaq_error *err)
{
    if (!server || server->life != LIFE_OPEN)
        return lq_fail(err, LUNAQ_ESTATE,
                       "hooks are set before lunaq_server_start()");
    if (!hooks)
        return lq_fail(err, LUNAQ_EINVAL, "lunaq_server_hook: no hooks");
    return lq_callbacks_hook(server->callbacks, hooks, err);
}
