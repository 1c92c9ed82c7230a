/* Broker operations that a handler waits for: see operation.h. */
#include "lua/operation.h"

#define OPERATION_NAME "lunaq.operation"

static void canceled(lq_await *a)
{
    lq_lua_operation *o = LQ_OF(a, lq_lua_operation, await);
    o->job->waiter = NULL;
    o->job = NULL;
}

lq_lua_operation *lq_lua_operation_new(lua_State *L, const char *what)
{
    lq_lua_operation *o = lua_newuserdatauv(L, sizeof *o, 0);
    *o = (lq_lua_operation){0};
    luaL_setmetatable(L, OPERATION_NAME);
    lq_await_init(&o->await, L, what, canceled);
    return o;
}

void lq_lua_operation_give(lq_lua_operation *o, lq_lua_job *job,
                           void (*release)(lq_lua_job *job))
{
    o->job = job;
    job->waiter = o;
    job->release = release;
}

static void op_done(lq_op *op)
{
    lq_lua_job *job = op->ud;
    job->under_way = false;
    if (!job->waiter) {
        job->release(job);
        return;
    }
    if (job->next && job->next(job))
        return;
    lq_await_done(&job->waiter->await);
}

void lq_lua_job_submit(lq_lua_job *job, lq_op *op)
{
    op->ud = job;
    op->done = op_done;
    job->under_way = true;
    job->services->submit(job->services->ud, op);
}

int lq_lua_operation_submit(lua_State *L, lq_lua_operation *o, lq_op *op,
                            lua_KFunction k)
{
    o->job->services = lq_lua_services(L);
    lq_lua_job_submit(o->job, op);
    return lq_await_park(L, &o->await, (lua_KContext)o, k);
}

static int operation_gc(lua_State *L)
{
    lq_lua_operation *o = lua_touserdata(L, 1);
    if (o->job && !o->job->under_way)
        o->job->release(o->job);
    else if (o->job)
        o->job->waiter = NULL; /* the state closes with it under way */
    o->job = NULL;
    return 0;
}

void lq_lua_operation_open(lua_State *L)
{
    luaL_newmetatable(L, OPERATION_NAME);
    lua_pushcfunction(L, operation_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

const char *lq_lua_code_kind(int code)
{
    switch (code) {
    case LUNAQ_EEXIST:
        return "conflict";
    case LUNAQ_EDUPLICATE:
        return "duplicate";
    case LUNAQ_ENOTFOUND:
        return "not_found";
    case LUNAQ_ESTATE:
        return "state";
    case LUNAQ_EUNKNOWN:
        return "unknown";
    case LUNAQ_ELEASE:
        return "lease";
    case LUNAQ_EAMBIGUOUS:
        return "ambiguous";
    case LUNAQ_EFULL:
        return "full";
    case LUNAQ_EINVAL:
        return "invalid";
    case LUNAQ_ENOMEM:
        return "memory";
    default:
        return "broker";
    }
}

int lq_lua_raise_code(lua_State *L, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    lua_pushvfstring(L, format, args);
    va_end(args);
    return lq_lua_raise(L, lq_lua_code_kind(code), "%s", lua_tostring(L, -1));
}
