/* A folder of Lua handlers, loaded: what the daemon and the server see of lua/.
 *
 * One lq_lua_app a process.  It loads the folder as generation 1 when it is
 * made, makes one runner a worker thread, and from start on watches the folder
 * and brings each edit to all workers at once or to none (see reload.h).
 */
#ifndef LQ_LUA_APP_H
#define LQ_LUA_APP_H

#include "runner/runner.h"
#include <lunaq/server.h>

typedef struct lq_lua_app lq_lua_app;

typedef struct lq_lua_options {
    const char *folder;   /* handlers/ */
    const char *database; /* postgres://… or NULL */
    int64_t db_pool;      /* connections in the whole process */
    bool db_prepare;
    const char *const *env; /* what lunaq.env() may read, NULL-ended; or NULL */
    lunaq_interrupt interrupt;
    bool watch;
    int64_t durable; /* a lunaq_durable, of enqueues that do not say */
    size_t worker_count;
    const char *schedules; /* a table of periodic entries in the database, or a
                              query; NULL = none */
    lq_log *log;
    /* A generation went live (also the first, from start).  Any thread. */
    void (*changed)(void *ud);
    /* What lq_lua_app_describe() says of a refused edit is another: why, or
     * that there is none any more.  Any thread. */
    void (*described)(void *ud);
    void *ud;
} lq_lua_options;

/** Loads the folder.  LUNAQ_EHANDLER with file and line when a handler is
 *  faulty, LUNAQ_EIO when the folder cannot be read. */
int lq_lua_app_new(lq_lua_app **out, const lq_lua_options *options,
                   lunaq_error *err);
/** lq_runner_new_fn; ud is the app.  Called worker_count times, on the worker
 *  threads, before start. */
int lq_lua_runner_new(lq_runner **out, const lq_worker_services *services,
                      void *app, lunaq_error *err);
/** Starts the loader thread and the watch. */
int lq_lua_app_start(lq_lua_app *app, lunaq_error *err);
/** Reads the folder again and waits until it is live, or was refused.  Any
 *  thread but a worker's. */
int lq_lua_app_reload(lq_lua_app *app, lunaq_error *err);
/** Ends the loader thread and the watch; before the worker loops end. */
void lq_lua_app_stop(lq_lua_app *app);
/** After the runners were freed.  NULL is fine. */
void lq_lua_app_free(lq_lua_app *app);

/* The rest may be called from any thread and speaks of the live generation. */

/** False when no handler fits the type. */
bool lq_lua_app_type(lq_lua_app *app, lq_str type, lq_type_options *out);
/** True when a handler takes the tasks of groups. */
bool lq_lua_app_grouped(lq_lua_app *app);
/** True when any handler has an on_archive. */
bool lq_lua_app_archived(lq_lua_app *app);
/** Calls fn for each cron entry that handler files ask for. */
void lq_lua_app_each_cron(lq_lua_app *app,
                          void (*fn)(void *ud, const lq_cron_want *want),
                          void *ud);
/** Calls fn for each file with a `schedule`: whose it is, and how often it
 *  shall be called, 0 = not said. */
void lq_lua_app_each_provider(lq_lua_app *app,
                              void (*fn)(void *ud, const char *type,
                                         int64_t every_ms),
                              void *ud);
/** True when the handler of the type has before_enqueue or after_enqueue. */
bool lq_lua_app_cron_hook(lq_lua_app *app, enum lq_run_kind kind, lq_str type);
/** Appends {"generation":2,"handlers":[{"type":…,"file":…,"doc":…,"hash":…}],
 *  "rejected":"…"}: what `lunaq handlers` shows. */
void lq_lua_app_describe(lq_lua_app *app, lq_buf *json);
/** How many types, and the generation. */
void lq_lua_app_count(lq_lua_app *app, size_t *types, int64_t *generation);

#endif
