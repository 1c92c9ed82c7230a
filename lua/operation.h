/* Broker operations that a handler waits for.
 *
 * The operation and what it points to live in a job, outside of Lua.  The
 * userdata on the handler's stack owns the job until it is submitted; from then
 * on the job ends by itself when the run was canceled meanwhile.
 *
 *     o = lq_lua_operation_new(L, "queue.info");    // may raise
 *     job = lq_calloc(…);
 *     lq_lua_operation_give(o, &job->job, release); // o frees it from now on
 *     … fill in; may raise …
 *     return lq_lua_operation_submit(L, o, &job->op.op, k);
 */
#ifndef LQ_LUA_OPERATION_H
#define LQ_LUA_OPERATION_H

#include "lua/host.h"

typedef struct lq_lua_job {
    struct lq_lua_operation *waiter; /* NULL: nobody waits (any more) */
    const lq_worker_services *services;
    bool under_way;
    /* What to do when an operation is done; true: it submitted another one by
     * lq_lua_job_submit().  NULL: nothing. */
    bool (*next)(struct lq_lua_job *job);
    void (*release)(struct lq_lua_job *job);
} lq_lua_job;

typedef struct lq_lua_operation { /* a userdata */
    lq_await await;
    lq_lua_job *job;
} lq_lua_operation;

/** Pushes a new one; raises where the run cannot wait. */
lq_lua_operation *lq_lua_operation_new(lua_State *L, const char *what);
/** Gives it a job; release(job) comes exactly once, when nobody needs it. */
void lq_lua_operation_give(lq_lua_operation *o, lq_lua_job *job,
                           void (*release)(lq_lua_job *job));
/** Submits and waits; k(L, …, ctx) finds o by lq_lua_operation_at(ctx).  o is
 *  pushed again if it is not on top: index says where it is. */
int lq_lua_operation_submit(lua_State *L, lq_lua_operation *o, lq_op *op,
                            lua_KFunction k);
void lq_lua_job_submit(lq_lua_job *job, lq_op *op);

static inline lq_lua_operation *lq_lua_operation_at(lua_KContext ctx)
{
    return (lq_lua_operation *)ctx; /* NOLINT: an address in transit */
}

/** Raises an error table whose kind says what the code means: "exists",
 *  "duplicate", "broker", … */
int lq_lua_raise_code(lua_State *L, int code, const char *format, ...);
/** "exists" … for a code; static. */
const char *lq_lua_code_kind(int code);
/** Makes the metatable. */
void lq_lua_operation_open(lua_State *L);

#endif
