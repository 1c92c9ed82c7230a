/* db.tx: a function inside a transaction.
 *
 * The transaction is a to-be-closed value of db.tx's own frame.  However the
 * function is left (an error, a kill, a handler's `pcall` around it), closing
 * it rolls back, and does not wait for that: nothing here has to catch an
 * error, so none can be swallowed.  Only the way through the end of the
 * function commits.
 */
#include "lua/db_query.h"
#include "lua/mod_db.h"

#include <lauxlib.h>

#define TX "lunaq.db.tx"
#define SAVEPOINT "lunaq.db.savepoint"

struct tx {
    lq_db_tx *tx; /* NULL once it is over */
    unsigned depth;
};

struct savepoint {
    struct tx *tx; /* NULL once it is over; its anchor is user value 1 */
    unsigned depth;
};

/* ---- the transaction ---------------------------------------------------- */

static int tx_close(lua_State *L)
{
    struct tx *t = lua_touserdata(L, 1);
    lq_db_tx *tx = t->tx;
    t->tx = NULL;
    lq_db_release(tx);
    return 0;
}

lq_db_tx *lq_db_tx_check(lua_State *L)
{
    struct tx *t = luaL_testudata(L, 1, TX);
    if (!t)
        luaL_error(L, "call it on the transaction, with a colon: tx:query(…)");
    else if (!t->tx)
        lq_lua_raise(L, "db", "this transaction is over");
    return t ? t->tx : NULL;
}

/* The frame of db.tx: */
enum { FUNCTION = 1, TRANSACTION, WAIT, RESULTS };

static int tx_begun(lua_State *L, int status, lua_KContext ctx);
static int tx_ran(lua_State *L, int status, lua_KContext ctx);
static int tx_committed(lua_State *L, int status, lua_KContext ctx);

int lq_db_tx_start(lua_State *L)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    luaL_checktype(L, FUNCTION, LUA_TFUNCTION);
    lua_settop(L, FUNCTION);
    lq_db *db = lq_db_pool(L);
    struct tx *t = lua_newuserdatauv(L, sizeof *t, 0);
    *t = (struct tx){0};
    luaL_setmetatable(L, TX);
    lq_db_query_ud *q = lq_db_query_new(L, "db.tx");
    q->soft = lua_toboolean(L, lua_upvalueindex(1));
    int rc = lq_db_begin(db, lq_db_time_left(L), &t->tx, lq_db_query_done, q,
                         &q->call, &err);
    if (rc) {
        lq_db_query_refused(q, rc, &err);
        return lq_db_query_fail(L, q);
    }
    q->begins = &t->tx;
    lua_pushvalue(L, TRANSACTION);
    lua_setiuservalue(L, WAIT, 1);
    lua_pushvalue(L, WAIT);
    return lq_await_park(L, &q->await, 0, tx_begun);
}

static int tx_begun(lua_State *L, int status, lua_KContext ctx)
{
    struct tx *t = lua_touserdata(L, TRANSACTION);
    lq_db_query_ud *q = lua_touserdata(L, WAIT);
    (void)status;
    if (q->rc) {
        lq_db_release(t->tx);
        t->tx = NULL;
        return lq_db_query_fail(L, q);
    }
    lua_settop(L, WAIT);
    lua_toclose(L, TRANSACTION);
    lua_pushvalue(L, FUNCTION);
    lua_pushvalue(L, TRANSACTION);
    lua_callk(L, 1, LUA_MULTRET, ctx, tx_ran);
    return tx_ran(L, LUA_OK, ctx);
}

static int tx_ran(lua_State *L, int status, lua_KContext ctx)
{
    struct tx *t = lua_touserdata(L, TRANSACTION);
    lq_db_query_ud *q = lua_touserdata(L, WAIT);
    lunaq_error err = LUNAQ_ERROR_INIT;
    lua_KContext results = lua_gettop(L) - WAIT;
    (void)status;
    (void)ctx;
    lq_db_query_again(L, q, "db.tx (commit)");
    int rc = lq_db_commit(t->tx, lq_db_time_left(L), lq_db_query_done, q,
                          &q->call, &err);
    if (rc) {
        lq_db_query_refused(q, rc, &err);
        return lq_db_query_fail(L, q);
    }
    lua_pushvalue(L, WAIT);
    return lq_await_park(L, &q->await, results, tx_committed);
}

static int tx_committed(lua_State *L, int status, lua_KContext ctx)
{
    lq_db_query_ud *q = lua_touserdata(L, WAIT);
    (void)status;
    if (q->rc)
        return lq_db_query_fail(L, q);
    lua_settop(L, WAIT + (int)ctx);
    return (int)ctx; /* closing the transaction finds nothing to undo */
}

/* ---- a transaction inside ----------------------------------------------- */

static int savepoint_close(lua_State *L)
{
    struct savepoint *s = lua_touserdata(L, 1);
    struct tx *t = s->tx;
    s->tx = NULL;
    if (!t)
        return 0;
    t->depth--;
    if (t->tx) /* a failure is told by the next statement */
        (void)lq_db_savepoint(t->tx, LQ_DB_SAVEPOINT_ROLLBACK, s->depth, NULL);
    return 0;
}

static int inner_ran(lua_State *L, int status, lua_KContext ctx);

/* tx:tx(f): f's part alone is undone when it raises. */
static int tx_inner(lua_State *L)
{
    enum { SELF = 1, F, S };
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_db_tx *tx = lq_db_tx_check(L);
    struct tx *t = lua_touserdata(L, SELF);
    luaL_checktype(L, F, LUA_TFUNCTION);
    lua_settop(L, F);
    struct savepoint *s = lua_newuserdatauv(L, sizeof *s, 1);
    *s = (struct savepoint){0};
    luaL_setmetatable(L, SAVEPOINT);
    lua_pushvalue(L, SELF);
    lua_setiuservalue(L, S, 1);
    if (lq_db_savepoint(tx, LQ_DB_SAVEPOINT, t->depth + 1, &err))
        return lq_lua_raise(L, "db", "%s", err.message);
    s->tx = t;
    s->depth = ++t->depth;
    lua_toclose(L, S);
    lua_pushvalue(L, F);
    lua_pushvalue(L, SELF);
    lua_callk(L, 1, LUA_MULTRET, S, inner_ran);
    return inner_ran(L, LUA_OK, S);
}

static int inner_ran(lua_State *L, int status, lua_KContext ctx)
{
    struct savepoint *s = lua_touserdata(L, (int)ctx);
    struct tx *t = s->tx;
    (void)status;
    s->tx = NULL;
    if (t) {
        t->depth--;
        if (t->tx)
            (void)lq_db_savepoint(t->tx, LQ_DB_SAVEPOINT_RELEASE, s->depth,
                                  NULL);
    }
    return lua_gettop(L) - (int)ctx;
}

/* ---- metatables --------------------------------------------------------- */

static void closing_metatable(lua_State *L, const char *name,
                              lua_CFunction close)
{
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__close");
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
}

void lq_db_tx_setup(lua_State *L)
{
    lua_pushcfunction(L, tx_inner);
    lua_setfield(L, -2, "tx");
    closing_metatable(L, TX, tx_close);
    lua_insert(L, -2);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    closing_metatable(L, SAVEPOINT, savepoint_close);
    lua_pop(L, 1);
}
