/* Watching the handler folder: see watch.h. */
#include "lua/watch.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lua/source.h"

#define QUIET_MS 50 /* an editor writes, renames, sets times */
#define PATIENCE_MS                                                            \
    500 /* but whoever writes without a pause is not waited for */
#define RESCAN_MS 2000

struct lq_lua_watch {
    lq_loop *loop;
    char *folder;
    char *lib;
    lq_fswatch *handlers, *libs; /* NULL: cannot be watched */
    lq_timer *quiet, *rescan;
    int64_t first_ms; /* the first change of this burst; 0 = none */
    uint64_t stamp;
    void (*changed)(void *ud);
    void *ud;
};

/* Tells the owner if a file did change since it was last told. */
static void compare(lq_lua_watch *w)
{
    uint64_t stamp = lq_lua_source_stamp(w->folder);
    if (stamp == w->stamp)
        return;
    w->stamp = stamp;
    w->changed(w->ud);
}

static void touched(void *ud)
{
    lq_lua_watch *w = ud;
    int64_t now = lq_mono_ms();
    if (w->first_ms == 0)
        w->first_ms = now;
    if (!lq_timer_active(w->quiet) || now - w->first_ms < PATIENCE_MS)
        lq_timer_start(w->quiet, QUIET_MS);
}

static void quiet(void *ud)
{
    lq_lua_watch *w = ud;
    w->first_ms = 0;
    compare(w);
}

static void rescan(void *ud)
{
    lq_lua_watch *w = ud;
    if (!lq_timer_active(w->quiet))
        compare(w);
    /* lib/ may have been made since. */
    if (!w->libs && w->lib)
        lq_fswatch_new(&w->libs, w->loop, w->lib, touched, w, NULL);
    lq_timer_start(w->rescan, RESCAN_MS);
}

/* "…/handlers" → "…/lib" */
static char *lib_beside(const char *folder)
{
    char real[PATH_MAX], lib[PATH_MAX];
    if (!realpath(folder, real))
        return NULL;
    char *slash = strrchr(real, '/');
    if (slash)
        *slash = 0;
    int n = snprintf(lib, sizeof lib, "%s/lib", real);
    return n < PATH_MAX ? lq_strdup(lib) : NULL;
}

int lq_lua_watch_new(lq_lua_watch **out, lq_loop *loop, const char *folder,
                     void (*changed)(void *ud), void *ud, lunaq_error *err)
{
    lq_lua_watch *w = lq_calloc(1, sizeof *w);
    if (!w)
        return lq_fail_nomem(err);
    w->loop = loop;
    w->changed = changed;
    w->ud = ud;
    w->folder = lq_strdup(folder);
    w->lib = lib_beside(folder);
    int rc = w->folder ? LUNAQ_OK : lq_fail_nomem(err);
    if (!rc)
        rc = lq_timer_new(&w->quiet, loop, quiet, w, err);
    if (!rc)
        rc = lq_timer_new(&w->rescan, loop, rescan, w, err);
    if (rc) {
        lq_lua_watch_close(w);
        return rc;
    }
    lq_fswatch_new(&w->handlers, loop, folder, touched, w, NULL);
    if (w->lib)
        lq_fswatch_new(&w->libs, loop, w->lib, touched, w, NULL);
    w->stamp = lq_lua_source_stamp(folder);
    lq_timer_start(w->rescan, RESCAN_MS);
    *out = w;
    return LUNAQ_OK;
}

void lq_lua_watch_close(lq_lua_watch *w)
{
    if (!w)
        return;
    lq_fswatch_close(w->handlers);
    lq_fswatch_close(w->libs);
    lq_timer_close(w->quiet);
    lq_timer_close(w->rescan);
    lq_free(w->folder);
    lq_free(w->lib);
    lq_free(w);
}
