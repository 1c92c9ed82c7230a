/* The life of a server: start, quiet, stop, and what can be asked of it. */
#include "api/server_parts.h"

#include "runtime/control.h"
#include "runtime/cron_callback.h"

#include <stdio.h>

static int start(lunaq_server *s, lunaq_error *err)
{
    bool runs = s->app || lq_callbacks_count(s->callbacks);
    if (s->life != LIFE_OPEN)
        return lq_fail(err, LUNAQ_ESTATE, "the server was started before");
    /* Without a handler it may be a scheduler: quiet from the beginning. */
    if (!runs && !s->o.cron_count && !s->cron_callbacks)
        return lq_fail(err, LUNAQ_ECONFIG,
                       "nothing to run: name a handlers folder or add a "
                       "handler with lunaq_server_handle(), or periodic "
                       "entries");
    int rc = lq_server_make_runtime(s, err);
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
    if (!rc && !runs)
        lq_server_quiet(s->runtime);
    if (!rc)
        lq_server_begin(s->runtime);
    if (!rc && !runs)
        lq_server_quiet(s->runtime);
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

/* Nobody may be in the reloader when it goes; what is under way ends soon, and
 * none begins any more. */
static void stop_app(void *ud)
{
    lunaq_server *s = ud;
    pthread_mutex_lock(&s->mutex);
    while (s->reloads > 0)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
    lq_lua_app_stop(s->app);
}

/* On a thread that a stop waits for.  With the mutex held. */
static bool is_inside(const lunaq_server *s)
{
    return lq_callbacks_inside(s->callbacks) ||
           lq_cron_callbacks_inside(s->cron_callbacks) ||
           (s->runtime && lq_control_inside(s->runtime));
}

/* Only who finds it started stops it; the others wait for that.  The mutex is
 * free meanwhile: what callbacks call must not wait for the stop, which waits
 * for them. */
static int stop(lunaq_server *s, lunaq_error *err)
{
    while (s->life == LIFE_STOPPING)
        pthread_cond_wait(&s->changed, &s->mutex);
    if (s->life != LIFE_STARTED)
        return LUNAQ_OK;
    s->life = LIFE_STOPPING;
    pthread_mutex_unlock(&s->mutex);
    int rc =
        lq_server_stop(s->runtime, &s->hurry, s->app ? stop_app : NULL, s, err);
    pthread_mutex_lock(&s->mutex);
    s->life = LIFE_STOPPED;
    pthread_cond_broadcast(&s->changed);
    return rc;
}

int lunaq_server_stop(lunaq_server *server, lunaq_error *err)
{
    if (!server)
        return LUNAQ_OK;
    pthread_mutex_lock(&server->mutex);
    int rc = is_inside(server)
                 ? lq_fail(err, LUNAQ_ERECURSE,
                           "lunaq_server_stop() inside a handler or another "
                           "callback would wait for itself")
                 : stop(server, err);
    pthread_mutex_unlock(&server->mutex);
    return rc;
}

int lunaq_server_reload(lunaq_server *server, lunaq_error *err)
{
    if (!server || !server->app)
        return lq_fail(err, LUNAQ_ESTATE,
                       "this server has no handlers folder to reload");
    pthread_mutex_lock(&server->mutex);
    bool runs = server->life == LIFE_STARTED;
    server->reloads += runs;
    pthread_mutex_unlock(&server->mutex);
    if (!runs)
        return lq_fail(err, LUNAQ_ESTATE, "the server is not running");
    int rc = lq_lua_app_reload(server->app, err);
    pthread_mutex_lock(&server->mutex);
    /* Zones are read again, too. */
    if (server->life == LIFE_STARTED)
        lq_control_handlers_changed(server->runtime);
    server->reloads--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
    return rc;
}

const char *lunaq_server_id(const lunaq_server *server)
{
    return server && server->runtime ? server->runtime->server_id : "";
}

int lunaq_server_healthy(lunaq_server *server)
{
    int life = server ? atomic_load(&server->life) : LIFE_OPEN;
    return (life == LIFE_STARTED || life == LIFE_STOPPING) &&
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
    lq_server_release(server);
}
