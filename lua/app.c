/* The Lua side of a server, wired together: see app.h. */
#include "lua/app.h"

#include <cJSON.h>
#include <stdio.h>

#include "base/alloc.h"
#include "lua/generation.h"
#include "lua/hook.h"
#include "lua/interrupt.h"
#include "lua/loader.h"
#include "lua/reload.h"
#include "lua/run.h"
#ifdef LQ_WITH_DB
#include "db/db.h"
#include "lua/mod_db.h"
#endif

/* ---- making one ---------------------------------------------------------- */

static int copy_env(lq_lua_app *app, const char *const *env, lunaq_error *err)
{
    size_t n = 0;
    while (env && env[n])
        n++;
    const char **copy = lq_arena_alloc(&app->mem, (n + 1) * sizeof *copy);
    if (!copy)
        return lq_fail_nomem(err);
    for (size_t i = 0; i < n; i++) {
        copy[i] = lq_arena_dup(&app->mem, lq_str_c(env[i]));
        if (!copy[i])
            return lq_fail_nomem(err);
    }
    app->options.env = copy;
    return LUNAQ_OK;
}

static int copy_options(lq_lua_app *app, const lq_lua_options *o,
                        lunaq_error *err)
{
    app->options = *o;
    app->options.folder = lq_arena_dup(&app->mem, lq_str_c(o->folder));
    if (o->database)
        app->options.database = lq_arena_dup(&app->mem, lq_str_c(o->database));
    if (!app->options.folder || (o->database && !app->options.database))
        return lq_fail_nomem(err);
    app->hosts = lq_arena_alloc(&app->mem,
                                (o->worker_count + 1) * sizeof(lq_lua_host *));
    return app->hosts ? copy_env(app, o->env, err) : lq_fail_nomem(err);
}

int lq_lua_app_new(lq_lua_app **out, const lq_lua_options *options,
                   lunaq_error *err)
{
    lq_lua_app *app = lq_calloc(1, sizeof *app);
    if (!app)
        return lq_fail_nomem(err);
    pthread_mutex_init(&app->lock, NULL);
    int rc = copy_options(app, options, err);
    if (!rc && options->interrupt == LUNAQ_INTERRUPT_SIGNAL)
        rc = lq_lua_interrupt_install(err);
#ifdef LQ_WITH_DB
    if (!rc && options->database)
        rc = lq_db_helper_new(&app->db_helper, err);
#endif
    if (!rc)
        rc = lq_lua_load(&app->live, &app->options, err);
    if (rc) {
        lq_lua_app_free(app);
        return rc;
    }
    app->live->generation = 1;
    *out = app;
    return LUNAQ_OK;
}

void lq_lua_app_free(lq_lua_app *app)
{
    if (!app)
        return;
    lq_lua_app_stop(app);
#ifdef LQ_WITH_DB
    lq_db_helper_free(app->db_helper);
#endif
    lq_lua_snapshot_unref(app->live);
    pthread_mutex_destroy(&app->lock);
    lq_arena_release(&app->mem);
    lq_free(app);
}

int lq_lua_app_start(lq_lua_app *app, lunaq_error *err)
{
    int rc = lq_lua_reloader_start(&app->reloader, app, err);
    if (!rc && app->options.changed)
        app->options.changed(app->options.ud);
    return rc;
}

int lq_lua_app_reload(lq_lua_app *app, lunaq_error *err)
{
    if (!app->reloader)
        return lq_fail(err, LUNAQ_ESTATE, "the server is not running");
    return lq_lua_reloader_run(app->reloader, err);
}

void lq_lua_app_stop(lq_lua_app *app)
{
    lq_lua_reloader_stop(app->reloader);
    app->reloader = NULL;
}

/* ---- a worker's runner --------------------------------------------------- */

static void runner_free(lq_runner *runner)
{
    lq_lua_host *host = (lq_lua_host *)runner;
    struct lq_db *db = host->db;
    lq_lua_host_free(host);
#ifdef LQ_WITH_DB
    lq_db_close(db);
#else
    (void)db;
#endif
}

static const lq_runner_ops runner_ops = {.handles = lq_lua_handles,
                                         .hooks = lq_lua_has_hook,
                                         .start = lq_lua_start,
                                         .cancel = lq_lua_cancel,
                                         .tick = lq_lua_tick,
                                         .busy = lq_lua_busy,
                                         .inside = lq_lua_inside,
                                         .free = runner_free};

/* The worker's share of the process' connections. */
static int open_db(lq_lua_host *host, lunaq_error *err)
{
#ifdef LQ_WITH_DB
    const lq_lua_app *app = host->app;
    if (!app->options.database)
        return LUNAQ_OK;
    size_t n = host->services.worker_count ? host->services.worker_count : 1;
    size_t pool = app->options.db_pool > 0 ? (size_t)app->options.db_pool : 10;
    size_t share = pool / n + (host->services.worker < pool % n);
    lq_db_options o = {.url = app->options.database,
                       .size = share ? share : 1,
                       .no_prepare = !app->options.db_prepare,
                       .helper = app->db_helper,
                       .log = host->log};
    int rc = lq_db_open(&host->db, host->services.loop, &o, err);
    if (!rc)
        lq_lua_db_attach(host->L, host->db);
    return rc;
#else
    (void)host;
    (void)err;
    return LUNAQ_OK;
#endif
}

int lq_lua_runner_new(lq_runner **out, const lq_worker_services *services,
                      void *ud, lunaq_error *err)
{
    lq_lua_app *app = ud;
    lq_lua_host *host = NULL;
    lq_lua_generation *gen = NULL;
    int rc = lq_lua_host_new(&host, services, &app->options, err);
    if (rc)
        return rc;
    host->app = app;
    host->runner.ops = &runner_ops;
    rc = open_db(host, err);
    if (!rc) {
        lq_lua_snapshot *s = lq_lua_app_live(app);
        rc = lq_lua_generation_new(&gen, host, s, err);
        lq_lua_snapshot_unref(s);
    }
    for (bool more = true; !rc && more;)
        rc = lq_lua_generation_load_next(gen, &more, err);
    if (rc) {
        runner_free(&host->runner);
        return rc;
    }
    lq_lua_generation_switch(gen);
    pthread_mutex_lock(&app->lock);
    app->hosts[services->worker] = host;
    pthread_mutex_unlock(&app->lock);
    *out = &host->runner;
    return LUNAQ_OK;
}

/* ---- questions ----------------------------------------------------------- */

lq_lua_snapshot *lq_lua_app_live(lq_lua_app *app)
{
    pthread_mutex_lock(&app->lock);
    lq_lua_snapshot *s = lq_lua_snapshot_ref(app->live);
    pthread_mutex_unlock(&app->lock);
    return s;
}

/* A file's cap is its own, whatever types it handles. */
static void type_options(const lq_lua_spec *spec, lq_type_options *out)
{
    out->timeout_ms = spec->timeout_ms;
    out->max_retry = spec->max_retry;
    out->concurrency = (uint32_t)spec->concurrency;
    if (spec->concurrency)
        snprintf(out->handler, sizeof out->handler, "%s", spec->file->name);
    out->grouped = spec->grouped;
    out->aggregates = spec->aggregates;
    out->group = spec->group;
    /* The file's name makes the owner: it is the same in every generation. */
    out->group_owner = 1469598103934665603u;
    for (const char *p = spec->file->name; *p; p++)
        out->group_owner = (out->group_owner ^ (uint8_t)*p) * 1099511628211u;
}

bool lq_lua_app_type(lq_lua_app *app, lq_str type, lq_type_options *out)
{
    lq_lua_snapshot *s = lq_lua_app_live(app);
    const lq_lua_spec *spec = lq_lua_snapshot_find(s, type);
    if (spec)
        type_options(spec, out);
    lq_lua_snapshot_unref(s);
    return spec != NULL;
}

bool lq_lua_app_grouped(lq_lua_app *app)
{
    lq_lua_snapshot *s = lq_lua_app_live(app);
    bool grouped = s->grouped;
    lq_lua_snapshot_unref(s);
    return grouped;
}

bool lq_lua_app_archived(lq_lua_app *app)
{
    lq_lua_snapshot *s = lq_lua_app_live(app);
    bool archived = s->archived;
    lq_lua_snapshot_unref(s);
    return archived;
}

void lq_lua_app_each_cron(lq_lua_app *app,
                          void (*fn)(void *ud, const lq_cron_want *want),
                          void *ud)
{
    lq_lua_snapshot *s = lq_lua_app_live(app);
    for (const lq_lua_cron *c = s->crons; c; c = c->next) {
        lq_cron_want want = {.spec = c->spec,
                             .name = c->name,
                             .item = &c->item,
                             .tz = c->tz,
                             .dst = c->dst,
                             .missed = c->missed,
                             .file = c->handler->file->name};
        fn(ud, &want);
    }
    lq_lua_snapshot_unref(s);
}

void lq_lua_app_each_provider(lq_lua_app *app,
                              void (*fn)(void *ud, const char *type,
                                         int64_t every_ms),
                              void *ud)
{
    lq_lua_snapshot *s = lq_lua_app_live(app);
    for (size_t i = 0; i < s->spec_count; i++)
        if (s->specs[i].provides)
            fn(ud, s->specs[i].types[0], s->specs[i].schedule_every_ms);
    lq_lua_snapshot_unref(s);
}

bool lq_lua_app_cron_hook(lq_lua_app *app, enum lq_run_kind kind, lq_str type)
{
    lq_lua_snapshot *s = lq_lua_app_live(app);
    const lq_lua_spec *spec = lq_lua_snapshot_find(s, type);
    bool has = spec && (kind == LQ_RUN_BEFORE_ENQUEUE ? spec->before_enqueue
                                                      : spec->after_enqueue);
    lq_lua_snapshot_unref(s);
    return has;
}

/* What of the rule the file says itself; see lq_group_rule. */
static bool describe_group(cJSON *row, const lq_lua_spec *spec)
{
    if (!spec->grouped)
        return true;
    cJSON *group = cJSON_AddObjectToObject(row, "group");
    return group &&
           cJSON_AddNumberToObject(group, "grace_ms",
                                   (double)spec->group.grace_ms) &&
           cJSON_AddNumberToObject(group, "max_delay_ms",
                                   (double)spec->group.max_delay_ms) &&
           cJSON_AddNumberToObject(group, "max_size",
                                   (double)spec->group.max_size);
}

static bool add_number(cJSON *row, const char *name, int64_t n)
{
    return n < 0 || cJSON_AddNumberToObject(row, name, (double)n);
}

/* What the file says of tasks that are enqueued without it. */
static bool describe_defaults(cJSON *row, const lq_lua_spec *spec)
{
    bool lock = spec->unique_ms > 0 && spec->unique_by_count == 0;
    return (!spec->queue ||
            cJSON_AddStringToObject(row, "queue", spec->queue)) &&
           add_number(row, "max_retry", spec->max_retry) &&
           add_number(row, "timeout_ms", spec->timeout_ms) &&
           add_number(row, "retention_ms", spec->retention_ms) &&
           add_number(row, "unique_ms", lock ? spec->unique_ms : -1) &&
           add_number(row, "concurrency",
                      spec->concurrency ? spec->concurrency : -1);
}

static bool describe_spec(cJSON *list, const lq_lua_spec *spec)
{
    bool ok = true;
    for (size_t i = 0; i < spec->type_count && ok; i++) {
        char hash[13];
        snprintf(hash, sizeof hash, "%.12s", spec->file->hash);
        cJSON *row = cJSON_CreateObject();
        ok = row && cJSON_AddStringToObject(row, "type", spec->types[i]) &&
             cJSON_AddStringToObject(row, "file", spec->file->name) &&
             cJSON_AddStringToObject(row, "doc", spec->doc ? spec->doc : "") &&
             cJSON_AddStringToObject(row, "hash", hash) &&
             describe_defaults(row, spec) && describe_group(row, spec) &&
             cJSON_AddItemToArray(list, row);
        if (!ok)
            cJSON_Delete(row);
    }
    return ok;
}

void lq_lua_app_describe(lq_lua_app *app, lq_buf *json)
{
    char rejected[sizeof app->rejected];
    lq_lua_snapshot *s = lq_lua_app_live(app);
    pthread_mutex_lock(&app->lock);
    memcpy(rejected, app->rejected, sizeof rejected);
    pthread_mutex_unlock(&app->lock);
    cJSON *root = cJSON_CreateObject();
    bool ok = root && cJSON_AddNumberToObject(root, "generation",
                                              (double)s->generation);
    cJSON *list = ok ? cJSON_AddArrayToObject(root, "handlers") : NULL;
    ok = list != NULL;
    for (size_t i = 0; i < s->spec_count && ok; i++)
        ok = describe_spec(list, &s->specs[i]);
    ok = ok && cJSON_AddStringToObject(root, "rejected", rejected);
    char *text = ok ? cJSON_PrintUnformatted(root) : NULL;
    if (text)
        lq_buf_add_c(json, text);
    else
        json->failed = true;
    cJSON_free(text);
    cJSON_Delete(root);
    lq_lua_snapshot_unref(s);
}

void lq_lua_app_count(lq_lua_app *app, size_t *types, int64_t *generation)
{
    lq_lua_snapshot *s = lq_lua_app_live(app);
    *types = s->type_count;
    *generation = s->generation;
    lq_lua_snapshot_unref(s);
}
