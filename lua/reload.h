/* Bringing an edit to all workers, or to none.
 *
 *   loader thread                          each worker
 *   something changed, quiet for 50 ms
 *   reads the folder, checks it ──refused──► (nobody hears of it)
 *   prepare ──────────────────────────────► loads one file a loop turn
 *   all ready? ◄──────────────────────────── ready, or why not
 *     no:  drop ──────────────────────────► frees what it loaded
 *     yes: switch ────────────────────────► new runs use it
 *   the old generation goes with its last run
 */
#ifndef LQ_LUA_RELOAD_H
#define LQ_LUA_RELOAD_H

#include "lua/host.h"
#include "lua/snapshot.h"

typedef struct lq_lua_reloader lq_lua_reloader;

struct lq_lua_app {
    lq_lua_options options; /* its strings are copies */
    lq_arena mem;
    struct lq_db_helper *db_helper;
    lq_lua_reloader *reloader; /* from start to stop */

    pthread_mutex_t lock; /* guards what follows */
    lq_lua_snapshot *live;
    char rejected[256];  /* why the newest edit is not live */
    lq_lua_host **hosts; /* by worker; complete before start */
};

/** The live snapshot, counted for the caller.  Any thread. */
lq_lua_snapshot *lq_lua_app_live(struct lq_lua_app *app);

/** Starts the loader thread; it watches the folder if the options say so. */
int lq_lua_reloader_start(lq_lua_reloader **out, struct lq_lua_app *app,
                          lunaq_error *err);
/** Reads the folder and waits until it is live or refused.  Any thread but a
 *  worker's. */
int lq_lua_reloader_run(lq_lua_reloader *r, lunaq_error *err);
/** Ends the thread, when a reload under way is through. */
void lq_lua_reloader_stop(lq_lua_reloader *r); /* NULL is fine */

#endif
