/* One coroutine a run: see run.h. */
#include "lua/run.h"

#include "base/clock.h"
#include "lua/call.h"
#include "lua/generation.h"
#include "lua/hook.h"
#include "lua/interrupt.h"
#include "lua/middleware.h"
#include "lua/mod_task.h"
#include "lua/outcome.h"

/* The pieces, in the order time takes them. */
static int prepare(lua_State *L);                        /* protected */
static void step(lq_lua_run *r);                         /* executes, parks */
static void finish(lq_lua_run *r, int status, int nres); /* the last word */

bool lq_lua_handles(lq_runner *runner, lq_str type)
{
    const lq_lua_host *host = (lq_lua_host *)runner;
    return host->live && lq_lua_generation_runs(host->live, type);
}

/* ---- start --------------------------------------------------------------- */

/* What prepare() leaves when the task shall not run at all. */
struct start {
    lq_lua_run *r;
    char refusal[512];
};

static int prepare(lua_State *L)
{
    struct start *s = lua_touserdata(L, 1);
    lq_lua_run *r = s->r;
    r->co = lua_newthread(L);
    lq_lua_bind(r->co, r, false);
    lua_pushvalue(L, -1);
    r->co_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    enum lq_run_kind kind = r->run->kind;
    if (kind == LQ_RUN_TASK) {
        if (r->handler == &r->gen->nobody)
            lq_lua_middleware_push_not_found(L, r->gen, r->run->task.type);
        else
            lua_rawgeti(L, LUA_REGISTRYINDEX, r->handler->run_ref);
        lq_lua_task_push(L, r);
        r->nargs = 1;
        if (r->handler->spec->arg_count > 0)
            lq_lua_task_check(L, -1, r->handler->spec, s->refusal,
                              sizeof s->refusal);
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, r->handler->hook_refs[kind]);
        r->nargs = lq_lua_hooks[kind].push(L, r);
    }
    lua_xmove(L, r->co, r->nargs + 1); /* a new thread has room for 20 */
    return 0;
}

static int64_t limit_of(const lq_run *run)
{
    if (run->deadline_ms == 0)
        return 0;
    int64_t left = run->deadline_ms - lq_now_ms();
    return lq_mono_ns() + (left > 0 ? left : 0) * 1000000;
}

/* Ends a run that never began. */
static void refuse(lq_run *run, enum lq_verdict_kind kind, const char *error,
                   const char *message)
{
    lq_verdict v = {.kind = kind,
                    .message = lq_str_c(message),
                    .error_kind = error,
                    .delay_ms = -1};
    lq_run_end(run, &v);
}

static void give_back(lq_lua_run *r)
{
    lq_lua_host *host = r->host;
    if (r->co_ref != LUA_NOREF)
        luaL_unref(host->L, LUA_REGISTRYINDEX, r->co_ref);
    struct lq_lua_generation *gen = r->gen;
    lq_lua_run_give(r);
    lq_lua_generation_unref(gen);
}

void lq_lua_start(lq_runner *runner, lq_run *run)
{
    lq_lua_host *host = (lq_lua_host *)runner;
    const struct lq_lua_handler *handler = NULL;
    if (host->live && run->kind == LQ_RUN_TASK)
        handler = lq_lua_generation_runs(host->live, run->task.type);
    else if (host->live)
        handler = lq_lua_generation_find(host->live, run->task.type);
    run->runner_data = NULL;
    if (!handler) {
        refuse(run, LQ_FAILED, "not_found", "no handler file for this type");
        return;
    }
    if (run->kind && handler->hook_refs[run->kind] == LUA_NOREF) {
        refuse(run, LQ_FAILED, "no_hook", "no handler has such a function");
        return;
    }
    lq_lua_run *r = lq_lua_run_take(host);
    if (!r) {
        refuse(run, LQ_FAILED, "memory", "out of memory");
        return;
    }
    r->run = run;
    r->handler = handler;
    r->gen = lq_lua_generation_ref(host->live);
    r->phase = LQ_PHASE_RUNNING;
    r->limit_ns = limit_of(run);
    run->runner_data = r;

    struct start s = {.r = r};
    uint32_t owner = host->owner;
    host->owner = r->index;
    lua_pushcfunction(host->L, prepare);
    lua_pushlightuserdata(host->L, &s);
    int status = lua_pcall(host->L, 1, 0, 0);
    host->owner = owner;
    if (status || s.refusal[0]) {
        if (status)
            lua_pop(host->L, 1);
        run->runner_data = NULL;
        give_back(r);
        if (status)
            refuse(run, LQ_FAILED, "memory", "out of memory");
        else
            refuse(run, LQ_SKIPPED, "payload", s.refusal);
        return;
    }
    lq_lua_ready(r);
}

/* ---- executing ----------------------------------------------------------- */

int lq_lua_resume(lq_lua_run *r, int nargs, int *nres)
{
    lq_lua_host *host = r->host;
    if (host->gc_at_yield)
        lua_gc(host->L, LUA_GCCOLLECT);
    r->pause = LQ_PAUSE_NONE;
    lq_lua_bind(r->co, r, false);
    lq_lua_enter(r);
    int status = lua_resume(r->co, host->L, nargs, nres);
    lq_lua_leave(r);
    lq_lua_bind(r->co, r, true);
    if (host->gc_at_yield)
        lua_gc(host->L, LUA_GCCOLLECT);
    return status;
}

/* Ends the wait of a run that will not go on. */
static void detach(lq_lua_run *r)
{
    lq_await *a = r->parked;
    r->parked = NULL;
    if (a)
        a->cancel(a);
}

static void step(lq_lua_run *r)
{
    lq_lua_host *host = r->host;
    int nres = 0;
    bool first = lua_status(r->co) == LUA_OK;
    int status = lq_lua_resume(r, first ? r->nargs : 0, &nres);
    if (status != LUA_YIELD || r->pause == LQ_PAUSE_END || r->ending) {
        detach(r);
        finish(r, status, nres);
        return;
    }
    if (r->pause == LQ_PAUSE_SLICE) {
        lq_list_append(&host->ready, &r->node);
        lq_turn_arm(host->turn);
        return;
    }
    if (!r->parked) /* done came while the yield was on its way */
        lq_lua_ready(r);
    else
        lq_list_append(&host->parked, &r->node);
}

void lq_lua_ready(lq_lua_run *r)
{
    lq_lua_host *host = r->host;
    lq_list_remove(&r->node);
    if (host->inside || host->reporting) {
        lq_list_append(&host->ready, &r->node);
        lq_turn_arm(host->turn);
        return;
    }
    step(r);
}

void lq_lua_turn(void *ud)
{
    lq_lua_host *host = ud;
    int64_t began = lq_mono_ns();
    while (!lq_list_empty(&host->ready)) {
        if (lq_mono_ns() - began >= LQ_SLICE_NS) {
            lq_turn_arm(host->turn);
            return;
        }
        lq_list *node = lq_list_shift(&host->ready);
        step(LQ_OF(node, lq_lua_run, node));
    }
}

/* ---- ending -------------------------------------------------------------- */

static void close_one(lq_lua_run *r, lua_State *co)
{
    lq_lua_executes(r->host, co);
    lq_lua_bind(co, r, false);
    lua_resetthread(co); /* an error of a <close> function interests nobody */
    lua_settop(co, 0);
    lq_lua_bind(co, co == r->co ? r : &r->host->idle, false);
}

/* Below lua_pcall(): a memory error inside lua_resetthread() is caught there,
 * but not what the collector's finalizers may find. */
static int close_all(lua_State *L)
{
    lq_lua_run *r = lua_touserdata(L, 1);
    for (size_t i = 0; i < r->chain_len; i++)
        close_one(r, r->chain[i]);
    r->chain_len = 0;
    close_one(r, r->co);
    return 0;
}

void lq_lua_close_all(lq_lua_run *r)
{
    lua_State *L = r->host->L;
    r->phase = LQ_PHASE_CLOSING;
    r->ending = false; /* else every error handler would be cut short */
    r->limit_ns = lq_mono_ns() + LQ_GRACE_NS;
    lua_pushcfunction(L, close_all);
    lua_pushlightuserdata(L, r);
    lq_lua_enter(r);
    int status = lua_pcall(L, 1, 0, 0);
    lq_lua_leave(r);
    if (status)
        lua_pop(L, 1);
}

static void finish(lq_lua_run *r, int status, int nres)
{
    lq_lua_host *host = r->host;
    lq_run *run = r->run;
    lq_lua_outcome outcome;
    lq_lua_outcome_init(&outcome);
    lq_lua_outcome_of(&outcome, r, status, nres);
    /* A coroutine that returned has nothing left to close. */
    if (status != LUA_OK)
        lq_lua_close_all(r);
    if (!outcome.lost && run->kind == LQ_RUN_TASK)
        lq_lua_outcome_ask(&outcome, r);
    run->runner_data = NULL;
    give_back(r);
    bool reporting = host->reporting;
    host->reporting = true;
    lq_run_end(run, &outcome.verdict);
    host->reporting = reporting;
    lq_lua_outcome_release(&outcome);
}

void lq_lua_cancel(lq_runner *runner, lq_run *run, enum lq_cancel why)
{
    (void)runner;
    lq_lua_run *r = run->runner_data;
    if (!r)
        return;
    if (r->executing) {
        lq_lua_decide_end(r, why);
        return;
    }
    detach(r);
    lq_list_remove(&r->node);
    lq_lua_decide_end(r, why);
    finish(r, LUA_YIELD, 0);
}
