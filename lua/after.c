/* What a handler says of an attempt that went wrong: `backoff` and
 * `is_failure`.
 *
 * Both are short calls on the worker: 100 ms, nothing that waits.  One that
 * fails is logged, and the default counts. */
#include "lua/outcome.h"

#include <math.h>

#include "lua/call.h"
#include "lua/error.h"
#include "lua/generation.h"
#include "lua/mod_task.h"
#include "task/duration.h"

#define LIMIT_MS 100

struct asking {
    lq_lua_outcome *o;
    lq_lua_run *r;
    double seconds; /* of backoff; < 0: the default */
};

static void push_err(lua_State *L, const struct asking *a)
{
    lq_str message = lq_buf_str(&a->o->text);
    if (a->o->verdict.kind == LQ_ENDED)
        message = LQ_STR("canceled");
    lq_lua_push_error(L,
                      a->o->verdict.kind == LQ_ENDED ? LQ_STR("canceled")
                                                     : lq_str_c(a->o->kind),
                      message, (lq_str){0}, (lq_str){0});
}

/* Calls the function below nargs arguments for one value; raises a text. */
static void call(lua_State *L, const struct asking *a, int nargs)
{
    if (lq_lua_call(a->r->host, LQ_PHASE_CALLBACK, nargs, 1, LIMIT_MS,
                    a->r->run) == LUA_OK)
        return;
    if (lua_type(L, -1) == LUA_TSTRING)
        lua_error(L);
    /* No __tostring here: nothing limits its time. */
    luaL_error(L, "it raised a %s", luaL_typename(L, -1));
}

/* Logs what a question raised, which is on top. */
static void log_fault(const lq_lua_run *r, const char *what)
{
    const char *text = lua_tostring(r->host->L, -1);
    LQ_LOG(r->host->log, WARN, what, lq_fs("type", r->run->task.type),
           lq_fs("task_id", r->run->task.id),
           lq_fc("error", text ? text : "?"));
    lua_pop(r->host->L, 1);
}

/* ---- backoff(attempt, err, task) ----------------------------------------- */

static int ask_backoff(lua_State *L)
{
    struct asking *a = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, a->r->handler->backoff_ref);
    lua_pushinteger(L, (lua_Integer)a->r->run->task.retried + 1);
    push_err(L, a);
    lq_lua_task_push(L, a->r);
    call(L, a, 3);
    if (lua_type(L, -1) == LUA_TSTRING) {
        size_t len;
        lunaq_error err;
        int64_t ms;
        const char *p = lua_tolstring(L, -1, &len);
        if (lq_duration_parse(lq_str_n(p, len), &ms, &err))
            return luaL_error(L, "%s", err.message);
        a->seconds = (double)ms / 1000;
        return 0;
    }
    if (lua_isnil(L, -1))
        return 0; /* the default, on purpose */
    if (!lua_isnumber(L, -1))
        return luaL_error(L, "it returned a %s, not seconds",
                          luaL_typename(L, -1));
    a->seconds = lua_tonumber(L, -1);
    if (!(a->seconds >= 0) || a->seconds > 3.2e8)
        return luaL_error(L, "it returned %f seconds", a->seconds);
    return 0;
}

static void set_backoff(lq_lua_outcome *o, lq_lua_run *r)
{
    const lq_lua_spec *spec = r->handler->spec;
    if (spec->backoff_count > 0) {
        size_t at = r->run->task.retried > 0 ? (size_t)r->run->task.retried : 0;
        if (at >= spec->backoff_count)
            at = spec->backoff_count - 1;
        o->verdict.delay_ms = spec->backoff_ms[at];
        return;
    }
    if (r->handler->backoff_ref == LUA_NOREF)
        return;
    struct asking a = {.o = o, .r = r, .seconds = -1};
    lua_pushcfunction(r->host->L, ask_backoff);
    lua_pushlightuserdata(r->host->L, &a);
    if (lua_pcall(r->host->L, 1, 0, 0))
        log_fault(r, "the backoff function failed; using the default");
    else if (a.seconds >= 0)
        o->verdict.delay_ms = (int64_t)ceil(a.seconds * 1000);
}

/* ---- is_failure(err, task) ----------------------------------------------- */

static int ask_is_failure(lua_State *L)
{
    struct asking *a = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, a->r->handler->is_failure_ref);
    push_err(L, a);
    lq_lua_task_push(L, a->r);
    call(L, a, 2);
    if (!lua_isboolean(L, -1))
        return luaL_error(L, "it returned a %s, not true or false",
                          luaL_typename(L, -1));
    a->o->verdict.not_failure = !lua_toboolean(L, -1);
    return 0;
}

/* Of every error that may be retried, as Asynq does. */
static void set_is_failure(lq_lua_outcome *o, lq_lua_run *r)
{
    if (r->handler->is_failure_ref == LUA_NOREF)
        return;
    struct asking a = {.o = o, .r = r};
    lua_pushcfunction(r->host->L, ask_is_failure);
    lua_pushlightuserdata(r->host->L, &a);
    if (lua_pcall(r->host->L, 1, 0, 0))
        log_fault(r, "the is_failure function failed; it counts as a failure");
}

void lq_lua_outcome_ask(lq_lua_outcome *o, lq_lua_run *r)
{
    switch (o->verdict.kind) {
    case LQ_FAILED:
        set_backoff(o, r);
        set_is_failure(o, r);
        break;
    case LQ_RETRY_AFTER:
        set_is_failure(o, r);
        break;
    case LQ_ENDED:
        if (r->why == LQ_CANCEL_REQUEST) {
            set_backoff(o, r);
            set_is_failure(o, r);
        }
        break;
    default:
        break;
    }
}
