/* parts of a server: what the files of this folder share of it. */
#ifndef LQ_API_SERVER_PARTS_H
#define LQ_API_SERVER_PARTS_H

#include "lua/app.h"
#include "runtime/callback.h"
#include "runtime/server.h"
#include "sqlite/engine.h"

#include <pthread.h>

enum life { LIFE_OPEN, LIFE_STARTED, LIFE_STOPPING, LIFE_STOPPED };

struct lunaq_server {
    lunaq_server_options o; /* strings live in mem */
    lq_arena mem;
    lq_log *log;
    lq_callbacks *callbacks;
    lq_lua_app *app;
    lq_sqlite_engine *engine; /* NULL: the broker is Redis */
    lq_runtime *runtime;
    lq_queue_settings *settings;              /* one a queue */
    struct lq_cron_callbacks *cron_callbacks; /* NULL = none */
    lq_cron_want *cron;
    lq_enqueue **cron_items;
    atomic_int life;        /* an enum life */
    pthread_mutex_t mutex;  /* held while it changes */
    pthread_cond_t changed; /* it did, or a reload is over */
    int reloads;            /* under way; with the mutex held */
    atomic_bool hurry;
    char broker_version[32];
};

/** Makes s->runtime of all that was said. */
int lq_server_make_runtime(lunaq_server *s, lunaq_error *err);
/** Frees everything; nothing runs any more. */
void lq_server_release(lunaq_server *s);

/** Checks and copies the options, queues and periodic entries into s->o, with
 *  defaults filled in; strings live in s->mem.  LUNAQ_ECONFIG says which. */
int lq_server_options_take(lunaq_server *s, const lunaq_server_options *options,
                           lunaq_error *err);

/** Checks and copies what s->o says of periodic tasks.  LUNAQ_EINVAL,
 *  LUNAQ_ECONFIG. */
int lq_server_cron_take(lunaq_server *s, lunaq_error *err);

#endif
