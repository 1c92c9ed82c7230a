/* One wait for the database: see the header. */
#include "lua/db_query.h"

#include "base/clock.h"
#include "lua/json.h"
#include "lua/mod_db.h"

#include <lauxlib.h>

#define QUERY "lunaq.db.query"
#define PARAMS_HERE 16
/* The host ends a run that is out of time, and its word is the better one: the
 * pool's own limit comes a little later. */
#define GRACE_MS 500

static const char pool_key = 0; /* its address is the key in the registry */

void lq_lua_db_attach(lua_State *L, struct lq_db *db)
{
    lua_pushlightuserdata(L, db);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &pool_key);
}

lq_db *lq_db_pool(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &pool_key);
    lq_db *db = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (!db)
        lq_lua_raise(
            L, "db",
            "no database is configured: set DATABASE_URL to "
            "postgres://user:password@host:port/name or sqlite:app.db");
    return db;
}

int64_t lq_db_time_left(lua_State *L)
{
    const lq_run *run = lq_lua_run_here(L);
    if (!run || run->deadline_ms <= 0)
        return 0;
    int64_t left = run->deadline_ms - lq_now_ms();
    return (left > 0 ? left : 0) + GRACE_MS;
}

/* ---- life --------------------------------------------------------------- */

void lq_db_query_close(lq_db_query_ud *q)
{
    if (q->begins) { /* gives the begin up, too */
        lq_db_release(*q->begins);
        *q->begins = NULL;
        q->call = NULL;
    }
    q->begins = NULL;
    if (q->call)
        lq_db_abandon(q->call);
    q->call = NULL;
    q->more = false;
    lq_db_result_free(q->result);
    q->result = NULL;
    lq_buf_release(&q->message);
    lq_buf_release(&q->scratch);
}

static int query_gc(lua_State *L)
{
    lq_db_query_close(lua_touserdata(L, 1));
    return 0;
}

static void query_canceled(lq_await *a)
{
    lq_db_query_close(LQ_OF(a, lq_db_query_ud, await));
}

lq_db_query_ud *lq_db_query_new(lua_State *L, const char *what)
{
    lq_db_query_ud *q = lua_newuserdatauv(L, sizeof *q, 1);
    *q = (lq_db_query_ud){0};
    lq_buf_init(&q->message, 0);
    lq_buf_init(&q->scratch, 0);
    if (luaL_newmetatable(L, QUERY)) {
        lua_pushcfunction(L, query_gc);
        lua_setfield(L, -2, "__gc");
        lua_pushcfunction(L, query_gc); /* a for loop that is left */
        lua_setfield(L, -2, "__close");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    lq_await_init(&q->await, L, what, query_canceled);
    return q;
}

void lq_db_query_again(lua_State *L, lq_db_query_ud *q, const char *what)
{
    lq_await_init(&q->await, L, what, query_canceled);
}

void lq_db_query_done(void *ud, const lq_db_outcome *outcome)
{
    lq_db_query_ud *q = ud;
    q->rc = outcome->rc;
    q->more = outcome->more;
    memcpy(q->sqlstate, outcome->sqlstate, sizeof q->sqlstate);
    if (outcome->message) {
        lq_buf_clear(&q->message);
        lq_buf_add_c(&q->message, outcome->message);
    }
    lq_db_result_free(q->result);
    q->result = outcome->result;
    q->next_row = 0;
    if (!outcome->more)
        q->call = NULL;
    q->begins = NULL;
    lq_await_done(&q->await);
}

void lq_db_query_refused(lq_db_query_ud *q, int rc, const lunaq_error *err)
{
    q->rc = rc;
    lq_buf_clear(&q->message);
    lq_buf_add_c(&q->message, err->message);
}

int lq_db_query_fail(lua_State *L, lq_db_query_ud *q)
{
    const char *text = q->message.p ? q->message.p : lunaq_strerror(q->rc);
    if (q->soft)
        lq_lua_soft(L, "db", "%s", text);
    else
        lq_lua_push_raised(L, "db", text);
    if (q->sqlstate[0]) {
        lua_pushstring(L, q->sqlstate);
        lua_setfield(L, -2, "sqlstate");
    }
    return q->soft ? 2 : lua_error(L);
}

/* ---- parameters --------------------------------------------------------- */

static void to_value(lua_State *L, int index, lq_db_value *v) /* raises */
{
    *v = (lq_db_value){.kind = LQ_DB_NULL};
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return;
    case LUA_TBOOLEAN:
        v->kind = LQ_DB_BOOL;
        v->num = lua_toboolean(L, index);
        return;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            v->kind = LQ_DB_INT;
            v->num = lua_tointeger(L, index);
        } else {
            v->kind = LQ_DB_FLOAT;
            v->real = lua_tonumber(L, index);
        }
        return;
    case LUA_TSTRING:
        v->kind = LQ_DB_TEXT;
        v->str.p = lua_tolstring(L, index, &v->str.len);
        return;
    case LUA_TTABLE:
        luaL_argerror(L, index,
                      "a table is no SQL value (json.encode makes a text)");
        return;
    default:
        if (!lq_json_is_null(L, index))
            luaL_argerror(L, index,
                          lua_pushfstring(L, "a %s is no SQL value",
                                          luaL_typename(L, index)));
    }
}

int lq_db_query_submit(lua_State *L, lq_db_query_ud *q, lq_db_tx *tx, int first)
{
    lq_db_value here[PARAMS_HERE], *values = here;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_db *db = lq_db_pool(L);
    lq_db_statement s = {.chunk_rows = q->shape == LQ_DB_EACH ? 500 : 0};
    /* The query is on top; what lies between is the parameters. */
    int count = lua_gettop(L) - 1 - first;
    s.sql.p = luaL_checklstring(L, first, &s.sql.len);
    if (count > PARAMS_HERE)
        values = lua_newuserdatauv(L, (size_t)count * sizeof *values, 0);
    for (int i = 0; i < count; i++)
        to_value(L, first + 1 + i, &values[i]);
    s.params = values;
    s.param_count = (size_t)count;
    s.timeout_ms = lq_db_time_left(L);
    int rc = lq_db_query(db, tx, &s, lq_db_query_done, q, &q->call, &err);
    if (count > PARAMS_HERE)
        lua_pop(L, 1);
    if (rc)
        lq_db_query_refused(q, rc, &err);
    return rc;
}

/* ---- rows --------------------------------------------------------------- */

/* Pushes a cell; false (nothing pushed) for NULL. */
static bool push_cell(lua_State *L, lq_db_query_ud *q, size_t row,
                      size_t column) /* raises */
{
    lq_db_value v;
    if (lq_db_result_get(q->result, row, column, &q->scratch, &v))
        luaL_error(L, "not enough memory");
    switch (v.kind) {
    case LQ_DB_NULL:
        return false;
    case LQ_DB_BOOL:
        lua_pushboolean(L, v.num != 0);
        return true;
    case LQ_DB_INT:
        lua_pushinteger(L, v.num);
        return true;
    case LQ_DB_FLOAT:
        lua_pushnumber(L, v.real);
        return true;
    case LQ_DB_TEXT:
    case LQ_DB_BYTES:
        lua_pushlstring(L, v.str.p ? v.str.p : "", v.str.len);
        return true;
    }
    return false;
}

/* Pushes the column names and returns where the first is: each is made once,
 * not once a row. */
static int push_names(lua_State *L, const lq_db_query_ud *q) /* raises */
{
    size_t columns = lq_db_result_columns(q->result);
    luaL_checkstack(L, (int)columns + 8, "too many columns");
    int first = lua_gettop(L) + 1;
    for (size_t i = 0; i < columns; i++)
        lua_pushstring(L, lq_db_result_column(q->result, i));
    return first;
}

static void push_row(lua_State *L, lq_db_query_ud *q, size_t row,
                     int names) /* raises */
{
    size_t columns = lq_db_result_columns(q->result);
    lua_createtable(L, 0, (int)columns);
    for (size_t i = 0; i < columns; i++) {
        lua_pushvalue(L, names + (int)i);
        if (push_cell(L, q, row, i))
            lua_rawset(L, -3);
        else
            lua_pop(L, 1);
    }
}

int lq_db_query_push(lua_State *L, lq_db_query_ud *q)
{
    size_t rows = lq_db_result_rows(q->result);
    if (q->shape == LQ_DB_COUNT) {
        lua_pushinteger(L, lq_db_result_affected(q->result));
    } else if (q->shape == LQ_DB_VALUE) {
        if (rows == 0 || lq_db_result_columns(q->result) == 0 ||
            !push_cell(L, q, 0, 0))
            lua_pushnil(L);
    } else if (q->shape == LQ_DB_ONE) {
        if (rows == 0)
            lua_pushnil(L);
        else
            push_row(L, q, 0, push_names(L, q));
    } else {
        int names = push_names(L, q);
        lua_createtable(L, rows < INT32_MAX ? (int)rows : 0, 0);
        for (size_t i = 0; i < rows; i++) {
            push_row(L, q, i, names);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
    }
    lq_db_query_close(q);
    return 1;
}

bool lq_db_query_push_next(lua_State *L, lq_db_query_ud *q)
{
    if (!q->result || q->next_row >= lq_db_result_rows(q->result))
        return false;
    push_row(L, q, q->next_row++, push_names(L, q));
    return true;
}
