/* The module `db` of handlers.
 *
 *   db.query(sql, …) → rows      db.one(sql, …) → row or nil
 *   db.value(sql, …) → value     db.exec(sql, …) → rows touched
 *   for row in db.each(sql, …) do … end        500 rows at a time
 *   db.tx(function(tx) tx:exec(…) … end)       commits at the end of it
 *
 * Inside of db.tx only `tx:` belongs to the transaction; `db.` takes another
 * connection, and may wait for one.  tx:tx(function … end) undoes its own part
 * when it raises.  Each has a try_ twin that returns nil and the error.
 *
 * Integers stay integers, numeric, json and timestamps are strings, bytea is a
 * string of bytes, NULL is absent from the row.  nil and db.null are NULL as
 * parameters.
 */
#include "lua/mod_db.h"

#include "lua/db_query.h"
#include "lua/json.h"

#include <lauxlib.h>

/* Upvalues of each function: its row in `functions`, whether it is the try_
 * twin, whether it is a method of a transaction. */
enum { UP_FUNCTION = 1, UP_SOFT, UP_METHOD };

static const struct {
    const char *name;
    const char *what;
    enum lq_db_shape shape;
} functions[] = {
    {"query", "db.query", LQ_DB_ROWS},  {"one", "db.one", LQ_DB_ONE},
    {"value", "db.value", LQ_DB_VALUE}, {"exec", "db.exec", LQ_DB_COUNT},
    {"each", "db.each", LQ_DB_EACH},
};

static int over(lua_State *L, int status, lua_KContext ctx);
static int each_next(lua_State *L);

/* query, one, value, exec, each, and their twins */
static int run(lua_State *L)
{
    size_t row = (size_t)lua_tointeger(L, lua_upvalueindex(UP_FUNCTION));
    bool method = lua_toboolean(L, lua_upvalueindex(UP_METHOD));
    int first = method ? 2 : 1;
    lq_db_tx *tx = method ? lq_db_tx_check(L) : NULL;
    luaL_checktype(L, first, LUA_TSTRING);
    lq_db_query_ud *q = lq_db_query_new(L, functions[row].what);
    int index = lua_gettop(L);
    q->shape = functions[row].shape;
    q->soft = lua_toboolean(L, lua_upvalueindex(UP_SOFT));
    if (method) { /* the transaction must not be collected meanwhile */
        lua_pushvalue(L, 1);
        lua_setiuservalue(L, index, 1);
    }
    if (lq_db_query_submit(L, q, tx, first))
        return lq_db_query_fail(L, q);
    lua_pushvalue(L, index);
    return lq_await_park(L, &q->await, index, over);
}

static int over(lua_State *L, int status, lua_KContext ctx)
{
    int index = (int)ctx;
    lq_db_query_ud *q = lua_touserdata(L, index);
    (void)status;
    if (q->rc)
        return lq_db_query_fail(L, q);
    if (q->shape != LQ_DB_EACH)
        return lq_db_query_push(L, q);
    lua_pushvalue(L, index);
    lua_pushcclosure(L, each_next, 1);
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushvalue(L, index); /* closed when the loop is left */
    return 4;
}

/* ---- each --------------------------------------------------------------- */

static int each_came(lua_State *L, int status, lua_KContext ctx)
{
    lq_db_query_ud *q = lua_touserdata(L, lua_upvalueindex(1));
    (void)status;
    (void)ctx;
    if (q->rc) {
        q->soft = false; /* inside of a loop there is nobody to test it */
        return lq_db_query_fail(L, q);
    }
    if (lq_db_query_push_next(L, q))
        return 1;
    lq_db_query_close(q);
    lua_pushnil(L);
    return 1;
}

static int each_next(lua_State *L)
{
    lq_db_query_ud *q = lua_touserdata(L, lua_upvalueindex(1));
    lua_settop(L, 0);
    if (lq_db_query_push_next(L, q))
        return 1;
    if (!q->more || !q->call) {
        lq_db_query_close(q);
        lua_pushnil(L);
        return 1;
    }
    lq_db_query_again(L, q, "db.each");
    lq_db_next(q->call);
    lua_pushvalue(L, lua_upvalueindex(1));
    return lq_await_park(L, &q->await, 0, each_came);
}

/* ---- the module --------------------------------------------------------- */

static int no_other(lua_State *L)
{
    return lq_lua_raise(L, "db",
                        "no database named '%s': only the one of DATABASE_URL "
                        "is configured",
                        luaL_checkstring(L, 2));
}

static void add_functions(lua_State *L, bool methods)
{
    for (size_t i = 0; i < LQ_COUNT(functions); i++) {
        for (int soft = 0; soft < 2; soft++) {
            lua_pushinteger(L, (lua_Integer)i);
            lua_pushboolean(L, soft);
            lua_pushboolean(L, methods);
            lua_pushcclosure(L, run, 3);
            lua_pushfstring(L, "%s%s", soft ? "try_" : "", functions[i].name);
            lua_insert(L, -2);
            lua_rawset(L, -3);
        }
    }
}

int luaopen_lunaq_db(lua_State *L)
{
    lua_newtable(L); /* methods of a transaction */
    add_functions(L, true);
    lq_db_tx_setup(L);

    lua_newtable(L);
    add_functions(L, false);
    for (int soft = 0; soft < 2; soft++) {
        lua_pushboolean(L, soft);
        lua_pushcclosure(L, lq_db_tx_start, 1);
        lua_setfield(L, -2, soft ? "try_tx" : "tx");
    }
    lq_json_push_null(L);
    lua_setfield(L, -2, "null");

    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, no_other);
    lua_setfield(L, -2, "__call");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    return 1;
}
