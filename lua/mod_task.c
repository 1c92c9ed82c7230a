/* task: what a handler is called with.
 *
 *   id type queue raw attempt max_retry deadline enqueued_at  values
 *   payload headers                                            tables
 *   group tasks                    of a group: see group.h
 *   task:result(v)                 stores a result while the run goes on
 */
#include "lua/mod_task.h"

#include <stdio.h>

#include "lua/group.h"
#include "lua/json.h"
#include "lua/operation.h"

#define TASK_NAME "lunaq.task"

/* The run's struct outlives the run, as long as the state; its serial tells
 * whether it is still the same run. */
struct task {
    lq_lua_run *r;
    uint32_t serial;
};

/* User values: what was decoded once. */
#define PAYLOAD 1
#define TASKS 2

void lq_lua_task_push(lua_State *L, lq_lua_run *r)
{
    struct task *t = lua_newuserdatauv(L, sizeof *t, 2);
    *t = (struct task){r, r->serial};
    luaL_setmetatable(L, TASK_NAME);
}

static bool is_over(const struct task *t)
{
    return t->r->serial != t->serial;
}

static lq_lua_run *check_task(lua_State *L)
{
    struct task *t = luaL_checkudata(L, 1, TASK_NAME);
    if (is_over(t))
        luaL_error(L, "this task's run is over");
    return t->r;
}

/* ---- the payload --------------------------------------------------------- */

/* Pushes the decoded payload of the task at index; on failure nothing.  An
 * empty payload is an empty table: what `lunaq enqueue hello` sends. */
static int push_payload(lua_State *L, int index, const lq_run *run,
                        lunaq_error *err)
{
    index = lua_absindex(L, index);
    if (lua_getiuservalue(L, index, PAYLOAD) != LUA_TNIL)
        return LUNAQ_OK;
    lua_pop(L, 1);
    if (run->task.payload.len == 0) {
        lua_newtable(L);
    } else {
        int rc = lq_json_push(L, run->task.payload, err);
        if (rc)
            return rc;
    }
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, index, PAYLOAD);
    return LUNAQ_OK;
}

static bool is_a(lua_State *L, int index, enum lq_lua_arg_type type)
{
    switch (type) {
    case LQ_ARG_STRING:
        return lua_type(L, index) == LUA_TSTRING;
    case LQ_ARG_NUMBER:
        return lua_type(L, index) == LUA_TNUMBER;
    case LQ_ARG_INTEGER: {
        int is = 0;
        if (lua_type(L, index) == LUA_TNUMBER)
            lua_tointegerx(L, index, &is);
        return is;
    }
    case LQ_ARG_BOOLEAN:
        return lua_isboolean(L, index);
    case LQ_ARG_TABLE:
        return lua_istable(L, index);
    default:
        return true;
    }
}

void lq_lua_task_check(lua_State *L, int index, const lq_lua_spec *spec,
                       char *refusal, size_t size)
{
    index = lua_absindex(L, index);
    struct task *t = lua_touserdata(L, index);
    lunaq_error err = LUNAQ_ERROR_INIT;
    *refusal = 0;
    /* One bad task must not archive those that share its batch. */
    if (lq_lua_is_batch(&t->r->run->task))
        return;
    if (push_payload(L, index, t->r->run, &err)) {
        snprintf(refusal, size, "the payload is not JSON: %s", err.message);
        return;
    }
    lq_lua_args_check(L, spec, refusal, size);
    lua_pop(L, 1);
}

void lq_lua_args_check(lua_State *L, const lq_lua_spec *spec, char *refusal,
                       size_t size)
{
    *refusal = 0;
    if (!lua_istable(L, -1))
        snprintf(refusal, size, "the payload is a %s, not an object",
                 luaL_typename(L, -1));
    for (size_t i = 0; i < spec->arg_count && !*refusal; i++) {
        const lq_lua_arg *arg = &spec->args[i];
        lua_pushstring(L, arg->name);
        bool none = lua_rawget(L, -2) == LUA_TNIL || lq_json_is_null(L, -1);
        if (none && !arg->optional)
            snprintf(refusal, size,
                     "the payload has no '%s' (type %s is needed)", arg->name,
                     lq_lua_arg_names[arg->type]);
        else if (!none && !is_a(L, -1, arg->type))
            snprintf(refusal, size,
                     "the payload's '%s' is a %s, not of type %s", arg->name,
                     luaL_typename(L, -1), lq_lua_arg_names[arg->type]);
        lua_pop(L, 1);
    }
}

/* ---- fields -------------------------------------------------------------- */

static void push_str(lua_State *L, lq_str s)
{
    lua_pushlstring(L, s.p ? s.p : "", s.len);
}

static void push_headers(lua_State *L, const lq_task *t)
{
    lua_createtable(L, 0, (int)t->header_count);
    for (size_t i = 0; i < t->header_count; i++) {
        push_str(L, t->headers[i].key);
        push_str(L, t->headers[i].value);
        lua_rawset(L, -3);
    }
}

/* The time in a UUIDv7; ids of other kinds do not tell. */
static bool id_time_ms(lq_str id, int64_t *ms)
{
    if (id.len != 36 || id.p[14] != '7')
        return false;
    int64_t v = 0;
    for (size_t i = 0, digits = 0; digits < 12; i++) {
        char c = i < id.len ? id.p[i] : 0; /* ids of many dashes */
        if (c == '-')
            continue;
        const char *hex = "0123456789abcdef", *at = strchr(hex, c | 0x20);
        if (!c || !at)
            return false;
        v = v << 4 | (at - hex);
        digits++;
    }
    *ms = v;
    return true;
}

static void push_instant(lua_State *L, int64_t ms)
{
    if (ms > 0)
        lua_pushnumber(L, (lua_Number)ms / 1000);
    else
        lua_pushnil(L);
}

static int push_payload_or_raise(lua_State *L, const lq_run *run)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (push_payload(L, 1, run, &err))
        return lq_lua_raise(L, "payload", "the payload is not JSON: %s",
                            err.message);
    return 1;
}

/* The tasks of its group, or itself alone. */
static int push_tasks(lua_State *L, const lq_run *run)
{
    if (lua_getiuservalue(L, 1, TASKS) != LUA_TNIL)
        return 1;
    lua_pop(L, 1);
    int payload = 0;
    if (lq_lua_is_batch(&run->task)) {
        push_payload_or_raise(L, run);
        payload = lua_gettop(L);
    }
    lq_lua_group_tasks(L, &run->task, payload);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, TASKS);
    return 1;
}

enum field {
    F_ID,
    F_TYPE,
    F_QUEUE,
    F_PAYLOAD,
    F_RAW,
    F_HEADERS,
    F_ATTEMPT,
    F_MAX_RETRY,
    F_DEADLINE,
    F_ENQUEUED_AT,
    F_RESULT,
    F_GROUP,
    F_TASKS,
    FIELDS
};

static const char *const field_names[FIELDS] = {
    "id",      "type",    "queue",     "payload",  "raw",
    "headers", "attempt", "max_retry", "deadline", "enqueued_at",
    "result",  "group",   "tasks",
};

static int task_result(lua_State *L);

/* Upvalue: field name → number. */
static int task_index(lua_State *L)
{
    const lq_run *run = check_task(L)->run;
    const lq_task *t = &run->task;
    int64_t ms = 0;
    lua_settop(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL)
        return 1;
    switch ((enum field)lua_tointeger(L, -1)) {
    case F_ID:
        push_str(L, t->id);
        break;
    case F_TYPE:
        push_str(L, t->type);
        break;
    case F_QUEUE:
        push_str(L, t->queue);
        break;
    case F_PAYLOAD:
        return push_payload_or_raise(L, run);
    case F_RAW:
        push_str(L, t->payload);
        break;
    case F_HEADERS:
        push_headers(L, t);
        break;
    case F_ATTEMPT:
        lua_pushinteger(L, (lua_Integer)t->retried + 1);
        break;
    case F_MAX_RETRY:
        lua_pushinteger(L, run->max_retry); /* that counts */
        break;
    case F_DEADLINE:
        push_instant(L, run->deadline_ms);
        break;
    case F_ENQUEUED_AT:
        push_instant(L, id_time_ms(t->id, &ms) ? ms : 0);
        break;
    case F_RESULT:
        lua_pushcfunction(L, task_result);
        break;
    case F_GROUP:
        if (lq_lua_group_of(t).len)
            push_str(L, lq_lua_group_of(t));
        else
            lua_pushnil(L);
        break;
    case F_TASKS:
        return push_tasks(L, run);
    default:
        lua_pushnil(L);
    }
    return 1;
}

static int task_newindex(lua_State *L)
{
    return luaL_error(L, "a task's fields cannot be changed");
}

static int task_tostring(lua_State *L)
{
    struct task *t = luaL_checkudata(L, 1, TASK_NAME);
    if (is_over(t)) {
        lua_pushliteral(L, "task (over)");
        return 1;
    }
    lua_pushliteral(L, "task ");
    push_str(L, t->r->run->task.type);
    lua_pushliteral(L, " ");
    push_str(L, t->r->run->task.id);
    lua_concat(L, 4);
    return 1;
}

/* ---- task:result(v) ------------------------------------------------------ */

struct result_job {
    lq_lua_job job;
    lq_op_result op;
    lq_buf data;
    lq_buf names; /* copies of queue and id */
};

static void result_release(lq_lua_job *job)
{
    struct result_job *rj = LQ_OF(job, struct result_job, job);
    lq_op_release(&rj->op.op);
    lq_buf_release(&rj->data);
    lq_buf_release(&rj->names);
    lq_free(rj);
}

static int result_stored(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    lq_lua_operation *o = lq_lua_operation_at(ctx);
    const lq_op *op = &LQ_OF(o->job, struct result_job, job)->op.op;
    if (op->rc)
        return lq_lua_raise_code(L, op->rc, "task:result: %s", op->err.message);
    return 0;
}

static int task_result(lua_State *L)
{
    if (!luaL_testudata(L, 1, TASK_NAME))
        return luaL_error(L, "task:result: write task:result(value), with a "
                             "colon");
    const lq_run *run = check_task(L)->run;
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    lq_lua_operation *o = lq_lua_operation_new(L, "task:result");
    struct result_job *rj = lq_calloc(1, sizeof *rj);
    if (!rj)
        return luaL_error(L, "out of memory");
    lq_lua_operation_give(o, &rj->job, result_release);
    lq_buf_init(&rj->data, LQ_PAYLOAD_MAX);
    lq_buf_init(&rj->names, 0);
    lunaq_error err = LUNAQ_ERROR_INIT;
    size_t len;
    if (lua_type(L, 2) == LUA_TSTRING) {
        const char *p = lua_tolstring(L, 2, &len);
        lq_buf_add(&rj->data, p, len);
        if (rj->data.failed)
            lq_fail(&err, LUNAQ_EFULL, "the result is too long");
    } else {
        lq_json_write(L, 2, &rj->data, &err);
    }
    if (err.code)
        return luaL_error(L, "task:result: %s", err.message);
    lq_buf_add_str(&rj->names, run->task.queue);
    lq_buf_add_str(&rj->names, run->task.id);
    if (rj->names.failed)
        return luaL_error(L, "out of memory");
    lq_op_init(&rj->op.op, LQ_OP_RESULT);
    rj->op.queue = lq_str_n(rj->names.p, run->task.queue.len);
    rj->op.id = lq_str_n(rj->names.p + run->task.queue.len, run->task.id.len);
    rj->op.token = run->token;
    rj->op.data = lq_str_n(rj->data.p ? rj->data.p : "", rj->data.len);
    return lq_lua_operation_submit(L, o, &rj->op.op, result_stored);
}

void lq_lua_task_open(lua_State *L)
{
    luaL_newmetatable(L, TASK_NAME);
    lua_createtable(L, 0, FIELDS);
    for (int i = 0; i < FIELDS; i++) {
        lua_pushinteger(L, i);
        lua_setfield(L, -2, field_names[i]);
    }
    lua_pushcclosure(L, task_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, task_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, task_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    lq_lua_operation_open(L);
}
