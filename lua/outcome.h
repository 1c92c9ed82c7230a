/* What the end of a coroutine means for its task: values and errors of every
 * type → a verdict with text for people. */
#ifndef LQ_LUA_OUTCOME_H
#define LQ_LUA_OUTCOME_H

#include "base/buf.h"
#include "lua/host.h"

typedef struct lq_lua_outcome {
    lq_verdict verdict; /* points into what follows */
    lq_buf text;        /* message or result */
    char kind[48];
    bool lost; /* memory ran out while it was made */
} lq_lua_outcome;

void lq_lua_outcome_init(lq_lua_outcome *o);
void lq_lua_outcome_release(lq_lua_outcome *o);
/** Reads what lua_resume() left on r->co: status and nres values, or with
 *  LUA_YIELD a run that was ended.  Never fails: at worst the text says that
 *  memory is out.  The coroutine may be closed after. */
void lq_lua_outcome_of(lq_lua_outcome *o, lq_lua_run *r, int status, int nres);
/** Asks the handler's own functions about a task's attempt that went wrong:
 * when the next one shall be (backoff), and whether this one counts
 * (is_failure). See after.c. */
void lq_lua_outcome_ask(lq_lua_outcome *o, lq_lua_run *r);

/** Pushes a verdict value: what lunaq.snooze() and its kin return.  Raises. */
void lq_lua_push_verdict(lua_State *L, enum lq_verdict_kind kind,
                         int64_t delay_ms, int why_index);
/** Makes its metatable. */
void lq_lua_outcome_open(lua_State *L);

#endif
