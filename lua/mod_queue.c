/* queue.enqueue enqueue_many cancel run archive delete update info pause
 * resume, and their try_ twins, which return nil and the error instead of
 * raising it. */
#include <math.h>

#include "base/alloc.h"
#include "broker/inspect.h"
#include "lua/enqueue.h"
#include "lua/generation.h"
#include "lua/json.h"
#include "lua/mod_task.h"
#include "lua/names.h"
#include "lua/operation.h"

#define MANY_MAX ((size_t)10000) /* tasks in one enqueue_many */

/* One job type for all functions: the operations in the order they may follow
 * each other, and the memory of their arguments. */
struct queue_job {
    lq_lua_job job;
    lq_arena mem;
    int rc;
    const lunaq_error *err; /* of the operation that failed */
    lq_op_enqueue enqueue;
    lq_enqueue **items; /* all; each released with the job */
    size_t item_count, item_sent;
    lq_op_queues queues;
    lq_op_task_get get;
    lq_op_cancel cancel;
    lq_op_move move;
    lq_op_update update;
    lq_op *last;        /* of those three: what is done to the task */
    lq_str *last_queue; /* its queue, when that is known */
    lq_str id;
    const char *what; /* "queue.cancel" */
    lq_op_queue_stats stats;
    lq_op_queue_pause pause;
};

static struct queue_job *job_of(lq_lua_job *job)
{
    return LQ_OF(job, struct queue_job, job);
}

static void job_release(lq_lua_job *job)
{
    struct queue_job *q = job_of(job);
    lq_op *ops[] = {&q->enqueue.op, &q->queues.op, &q->get.op,   &q->cancel.op,
                    &q->move.op,    &q->update.op, &q->stats.op, &q->pause.op};
    for (size_t i = 0; i < LQ_COUNT(ops); i++)
        lq_op_release(ops[i]);
    for (size_t i = 0; i < q->item_count; i++)
        lq_enqueue_release(q->items[i]);
    lq_arena_release(&q->mem);
    lq_free(q);
}

/* Upvalue 1 of every function: true for a try_ twin. */
static bool is_try(lua_State *L)
{
    return lua_toboolean(L, lua_upvalueindex(1));
}

static int fail_code(lua_State *L, int code, const char *message)
{
    const char *kind = lq_lua_code_kind(code);
    return is_try(L) ? lq_lua_soft(L, kind, "%s", message)
                     : lq_lua_raise(L, kind, "%s", message);
}

/* The message is copied: the job may go with the next collection. */
static int fail_op(lua_State *L, const char *what, const lq_op *op)
{
    lua_pushfstring(L, "%s: %s", what,
                    op->err.message[0] ? op->err.message
                                       : lunaq_strerror(op->rc));
    return fail_code(L, op->rc, lua_tostring(L, -1));
}

/* A job with its operation on top of the stack. */
static struct queue_job *begin(lua_State *L, const char *what,
                               lq_lua_operation **o)
{
    *o = lq_lua_operation_new(L, what);
    struct queue_job *q = lq_calloc(1, sizeof *q);
    if (!q)
        luaL_error(L, "out of memory");
    else
        lq_lua_operation_give(*o, &q->job, job_release);
    return q;
}

static lq_str check_str(lua_State *L, int index)
{
    size_t len;
    const char *p = luaL_checklstring(L, index, &len);
    return lq_str_n(p, len);
}

static lq_str keep(lua_State *L, struct queue_job *q, lq_str s)
{
    char *copy = lq_arena_dup(&q->mem, s);
    if (!copy)
        luaL_error(L, "out of memory");
    return lq_str_n(copy, s.len);
}

static const lq_lua_snapshot *handlers_of(lua_State *L)
{
    const lq_lua_run *r = lq_lua_here(L);
    return r->gen ? r->gen->snapshot : NULL;
}

/* ---- enqueue ------------------------------------------------------------- */

/* An item that is not as durable as asked has its reason in the operation. */
static const char *refused(const struct queue_job *q, const lq_enqueue *e)
{
    bool durable = e->code == LUNAQ_EUNKNOWN || e->code == LUNAQ_ECONFIG;
    const char *why = q->enqueue.op.err.message;
    return durable && why[0] ? why : lq_enqueue_reason(e->code);
}

static int enqueued(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    lq_lua_operation *o = lq_lua_operation_at(ctx);
    struct queue_job *q = job_of(o->job);
    const lq_enqueue *e = q->items[0];
    if (q->enqueue.op.rc)
        return fail_op(L, "queue.enqueue", &q->enqueue.op);
    if (e->code) {
        lua_pushfstring(L, "queue.enqueue: %s: %s", e->id, refused(q, e));
        return fail_code(L, e->code, lua_tostring(L, -1));
    }
    lua_pushstring(L, e->id);
    return 1;
}

/* What the call leaves open is the daemon's setting. */
static void set_durable(lua_State *L, lq_enqueue *item)
{
    const lq_lua_host *host = lq_lua_here(L)->host;
    if (!item->durable)
        item->durable = (int)host->options->durable;
}

static lq_enqueue *add_item(lua_State *L, struct queue_job *q)
{
    lq_enqueue *item = lq_arena_alloc(&q->mem, sizeof *item);
    if (!item)
        luaL_error(L, "out of memory");
    return item;
}

static int queue_enqueue(lua_State *L)
{
    if (lua_istable(L, 1))
        return luaL_error(L, "queue.enqueue: the type is a table: write "
                             "queue.enqueue(type, payload, options); lists "
                             "are for queue.enqueue_many");
    lq_str type = check_str(L, 1);
    lua_settop(L, 3);
    lq_lua_operation *o;
    struct queue_job *q = begin(L, "queue.enqueue", &o);
    q->items = lq_arena_alloc(&q->mem, sizeof(void *));
    if (!q->items)
        return luaL_error(L, "out of memory");
    q->items[0] = add_item(L, q);
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lq_lua_read_enqueue(L, type, 2, 3, false, handlers_of(L), &q->mem,
                            q->items[0], &err))
        return luaL_error(L, "queue.enqueue: %s", err.message);
    set_durable(L, q->items[0]);
    q->item_count = 1;
    lq_op_init(&q->enqueue.op, LQ_OP_ENQUEUE);
    q->enqueue.items = q->items;
    q->enqueue.count = 1;
    return lq_lua_operation_submit(L, o, &q->enqueue.op, enqueued);
}

/* ---- enqueue_many -------------------------------------------------------- */

/* Sends the next batch; false when all were sent or one failed as a whole. */
static bool send_batch(lq_lua_job *job)
{
    struct queue_job *q = job_of(job);
    if (q->enqueue.op.rc || q->item_sent == q->item_count)
        return false;
    size_t n = q->item_count - q->item_sent;
    lq_op_init(&q->enqueue.op, LQ_OP_ENQUEUE);
    q->enqueue.items = q->items + q->item_sent;
    q->enqueue.count = n < LQ_BATCH_MAX ? n : LQ_BATCH_MAX;
    q->item_sent += q->enqueue.count;
    lq_lua_job_submit(job, &q->enqueue.op);
    return true;
}

/* A batch that failed as a whole: its tasks may or may not be there (by the
 * code), and those behind it were not sent. */
static void spread_failure(struct queue_job *q)
{
    size_t first = q->item_sent - q->enqueue.count;
    for (size_t i = first; i < q->item_count; i++)
        q->items[i]->code = i < q->item_sent ? q->enqueue.op.rc : LUNAQ_EBROKER;
}

static const char *many_reason(const struct queue_job *q, size_t i)
{
    const lq_op *op = &q->enqueue.op;
    if (!op->rc || i < q->item_sent - q->enqueue.count)
        return refused(q, q->items[i]);
    if (i >= q->item_sent)
        return "not sent: the batch before it failed";
    return op->err.message[0] ? op->err.message : lunaq_strerror(op->rc);
}

/* Returns {id = …} or {error = …, kind = …} for each (with the id too, where it
 * is unknown whether it arrived), and how many have an error. */
static int enqueued_many(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    lq_lua_operation *o = lq_lua_operation_at(ctx);
    struct queue_job *q = job_of(o->job);
    lua_Integer failed = 0;
    if (q->enqueue.op.rc) {
        if (q->item_sent == q->enqueue.count) /* nothing was answered */
            return fail_op(L, "queue.enqueue_many", &q->enqueue.op);
        spread_failure(q);
    }
    lua_createtable(L, (int)q->item_count, 0);
    for (size_t i = 0; i < q->item_count; i++) {
        const lq_enqueue *e = q->items[i];
        lua_createtable(L, 0, 2);
        if (e->code) {
            failed++;
            lua_pushstring(L, many_reason(q, i));
            lua_setfield(L, -2, "error");
            lua_pushstring(L, lq_lua_code_kind(e->code));
            lua_setfield(L, -2, "kind");
        }
        if (!e->code || e->code == LUNAQ_EUNKNOWN) { /* to be asked again */
            lua_pushstring(L, e->id);
            lua_setfield(L, -2, "id");
        }
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushinteger(L, failed);
    return 2;
}

static void read_many_item(lua_State *L, struct queue_job *q, size_t i)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    int at = (int)i + 1;
    lua_rawgeti(L, 1, at);
    if (!lua_istable(L, -1))
        luaL_error(L, "queue.enqueue_many: item %d is no table", at);
    lua_pushliteral(L, "type");
    if (lua_rawget(L, -2) != LUA_TSTRING)
        luaL_error(L,
                   "queue.enqueue_many: item %d has no type: write {type = "
                   "\"a:b\", payload = {}}",
                   at);
    lq_str type = check_str(L, -1);
    lua_pushliteral(L, "payload");
    lua_rawget(L, -3);
    q->items[i] = add_item(L, q);
    if (lq_lua_read_enqueue(L, type, -1, -3, true, handlers_of(L), &q->mem,
                            q->items[i], &err))
        luaL_error(L, "queue.enqueue_many: item %d: %s", at, err.message);
    set_durable(L, q->items[i]);
    q->item_count = i + 1;
    lua_pop(L, 3);
}

static int queue_enqueue_many(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    size_t n = lua_rawlen(L, 1);
    luaL_argcheck(L, n <= MANY_MAX, 1, "more than 10000 tasks");
    if (n == 0) {
        lua_newtable(L);
        lua_pushinteger(L, 0);
        return 2;
    }
    lq_lua_operation *o;
    struct queue_job *q = begin(L, "queue.enqueue_many", &o);
    q->items = lq_arena_alloc(&q->mem, n * sizeof(void *));
    if (!q->items)
        return luaL_error(L, "out of memory");
    for (size_t i = 0; i < n; i++)
        read_many_item(L, q, i);
    lq_op_init(&q->enqueue.op, LQ_OP_ENQUEUE);
    q->enqueue.items = q->items;
    q->enqueue.count = n < LQ_BATCH_MAX ? n : LQ_BATCH_MAX;
    q->item_sent = q->enqueue.count;
    q->job.next = send_batch;
    return lq_lua_operation_submit(L, o, &q->enqueue.op, enqueued_many);
}

/* ---- a task by its id ---------------------------------------------------- */

/* queues → which of them has the task → what is done to it there. */
static bool find_next(lq_lua_job *job)
{
    struct queue_job *q = job_of(job);
    if (q->last_queue->p)
        return false; /* that was the last */
    if (!q->get.op.kind) {
        if (q->queues.op.rc || q->queues.count == 0)
            return false;
        lq_op_init(&q->get.op, LQ_OP_TASK_GET);
        q->get.queues = q->queues.names;
        q->get.queue_count = q->queues.count;
        q->get.id = q->id;
        lq_lua_job_submit(job, &q->get.op);
        return true;
    }
    if (q->get.op.rc || q->get.count != 1)
        return false;
    *q->last_queue = q->get.rows[0].queue;
    lq_lua_job_submit(job, q->last);
    return true;
}

static int found(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    lq_lua_operation *o = lq_lua_operation_at(ctx);
    struct queue_job *q = job_of(o->job);
    const lq_op *ops[] = {&q->queues.op, &q->get.op, q->last};
    for (size_t i = 0; i < LQ_COUNT(ops); i++)
        if (ops[i]->kind && ops[i]->rc)
            return fail_op(L, q->what, ops[i]);
    if (q->last_queue->p) {
        if (q->last == &q->cancel.op)
            lua_pushstring(L, lunaq_state_name(q->cancel.was));
        else
            lua_pushboolean(L, 1);
        return 1;
    }
    bool many = q->get.count > 1;
    lua_pushfstring(L, "%s: %s: %s", q->what, q->id.p,
                    many ? "tasks of more than one queue have this id; give "
                           "{queue = …}"
                         : "no queue has this task");
    return fail_code(L, many ? LUNAQ_EAMBIGUOUS : LUNAQ_ENOTFOUND,
                     lua_tostring(L, -1));
}

/* Does `last` (initialised but for its queue) to the task; queue.p NULL: it is
 * looked for in all.  Yields. */
static int do_to(lua_State *L, lq_lua_operation *o, struct queue_job *q,
                 lq_op *last, lq_str *last_queue, lq_str queue)
{
    q->last = last;
    q->last_queue = last_queue;
    q->job.next = find_next;
    if (queue.p) {
        *last_queue = keep(L, q, queue);
        return lq_lua_operation_submit(L, o, last, found);
    }
    lq_op_init(&q->queues.op, LQ_OP_QUEUES);
    return lq_lua_operation_submit(L, o, &q->queues.op, found);
}

/* A table with no other keys than these; raises. */
static void check_options(lua_State *L, int index, const char *const *known)
{
    const char *stranger;
    lunaq_error err = LUNAQ_ERROR_INIT;
    luaL_checktype(L, index, LUA_TTABLE);
    lua_pushvalue(L, index);
    if (lq_lua_known_members(L, "options", known, &stranger, &err))
        luaL_error(L, "%s", err.message);
    lua_pop(L, 1);
}

/* The queue that the options at `index` name; p NULL = none. */
static lq_str queue_of(lua_State *L, int index)
{
    static const char *const known[] = {"queue", NULL};
    lq_str queue = {0};
    if (lua_isnoneornil(L, index))
        return queue;
    check_options(L, index, known);
    lua_getfield(L, index, "queue");
    if (!lua_isnil(L, -1))
        queue = check_str(L, -1); /* the table keeps it */
    lua_pop(L, 1);
    return queue;
}

static int move(lua_State *L, const char *what, lunaq_move how)
{
    lq_str id = check_str(L, 1), queue = queue_of(L, 2);
    lua_settop(L, 2);
    lq_lua_operation *o;
    struct queue_job *q = begin(L, what, &o);
    q->what = what;
    q->id = q->move.id = keep(L, q, id);
    q->move.move = how;
    lq_op_init(&q->move.op, LQ_OP_MOVE);
    return do_to(L, o, q, &q->move.op, &q->move.queue, queue);
}

/* run(id [, {queue = …}]), archive, delete → true */
static int queue_run(lua_State *L)
{
    return move(L, "queue.run", LUNAQ_MOVE_RUN);
}

static int queue_archive(lua_State *L)
{
    return move(L, "queue.archive", LUNAQ_MOVE_ARCHIVE);
}

static int queue_delete(lua_State *L)
{
    return move(L, "queue.delete", LUNAQ_MOVE_DELETE);
}

/* update(id, payload [, {queue = …}]) → true */
static int queue_update(lua_State *L)
{
    lq_str id = check_str(L, 1), queue = queue_of(L, 3);
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_buf json;
    lua_settop(L, 3);
    lq_lua_operation *o;
    struct queue_job *q = begin(L, "queue.update", &o);
    q->what = "queue.update";
    q->id = q->update.id = keep(L, q, id);
    lq_buf_init(&json, LQ_PAYLOAD_MAX);
    int rc = lua_isnil(L, 2) ? LUNAQ_OK : lq_json_write(L, 2, &json, &err);
    char *copy = rc ? NULL : lq_arena_dup(&q->mem, lq_buf_str(&json));
    q->update.payload = lq_str_n(copy, copy ? json.len : 0);
    lq_buf_release(&json);
    if (rc)
        return luaL_error(L, "queue.update: payload: %s", err.message);
    if (!copy)
        return luaL_error(L, "out of memory");
    lq_op_init(&q->update.op, LQ_OP_UPDATE);
    return do_to(L, o, q, &q->update.op, &q->update.queue, queue);
}

/* cancel(id [, {queue = …, reason = …, retry = …}]) → the state it was in.
 * retry: only the attempt that runs is ended, as a failure. */
static int queue_cancel(lua_State *L)
{
    static const char *const known[] = {"queue", "reason", "retry", NULL};
    lq_str id = check_str(L, 1), queue = {0}, reason = {0};
    lua_settop(L, 2);
    bool attempt = false;
    if (!lua_isnil(L, 2)) {
        check_options(L, 2, known);
        lua_getfield(L, 2, "queue");
        lua_getfield(L, 2, "reason");
        lua_getfield(L, 2, "retry");
        if (!lua_isnil(L, 3))
            queue = check_str(L, 3);
        if (!lua_isnil(L, 4))
            reason = check_str(L, 4);
        attempt = lua_toboolean(L, 5);
    }
    const lq_run *run = lq_lua_run_here(L);
    if (!reason.p && run) {
        lua_pushliteral(L, "by ");
        lua_pushlstring(L, run->task.type.p, run->task.type.len);
        lua_concat(L, 2);
        reason = check_str(L, -1);
    }
    lq_lua_operation *o;
    struct queue_job *q = begin(L, "queue.cancel", &o);
    q->what = "queue.cancel";
    q->id = q->cancel.id = keep(L, q, id);
    q->cancel.reason = keep(L, q, reason);
    q->cancel.attempt = attempt;
    lq_op_init(&q->cancel.op, LQ_OP_CANCEL);
    return do_to(L, o, q, &q->cancel.op, &q->cancel.queue, queue);
}

/* ---- info, pause, resume ------------------------------------------------- */

static void set_int(lua_State *L, const char *name, int64_t n)
{
    lua_pushinteger(L, n);
    lua_setfield(L, -2, name);
}

static int informed(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    lq_lua_operation *o = lq_lua_operation_at(ctx);
    struct queue_job *q = job_of(o->job);
    if (q->stats.op.rc)
        return fail_op(L, "queue.info", &q->stats.op);
    const lunaq_queue_info *info = &q->stats.info;
    lua_createtable(L, 0, 17);
    lua_pushlstring(L, q->stats.queue.p, q->stats.queue.len);
    lua_setfield(L, -2, "name");
    set_int(L, "pending", info->pending);
    set_int(L, "active", info->active);
    set_int(L, "scheduled", info->scheduled);
    set_int(L, "retry", info->retry);
    set_int(L, "archived", info->archived);
    set_int(L, "completed", info->completed);
    set_int(L, "aggregating", info->aggregating);
    set_int(L, "groups", info->groups);
    set_int(L, "processed_today", info->processed_today);
    set_int(L, "failed_today", info->failed_today);
    set_int(L, "processed_total", info->processed_total);
    set_int(L, "failed_total", info->failed_total);
    set_int(L, "dropped_total", info->dropped_total);
    lua_pushnumber(L, (lua_Number)info->latency_ms / 1000);
    lua_setfield(L, -2, "latency");
    lua_pushboolean(L, info->paused_at != 0);
    lua_setfield(L, -2, "paused");
    return 1;
}

static int queue_info(lua_State *L)
{
    lq_str name = check_str(L, 1);
    lua_settop(L, 1);
    lq_lua_operation *o;
    struct queue_job *q = begin(L, "queue.info", &o);
    lq_op_init(&q->stats.op, LQ_OP_QUEUE_STATS);
    q->stats.queue = keep(L, q, name);
    return lq_lua_operation_submit(L, o, &q->stats.op, informed);
}

static int paused(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    lq_lua_operation *o = lq_lua_operation_at(ctx);
    const lq_op_queue_pause *op = &job_of(o->job)->pause;
    if (op->op.rc && op->op.rc != LUNAQ_ESTATE)
        return fail_op(L, op->pause ? "queue.pause" : "queue.resume", &op->op);
    lua_pushboolean(L, op->op.rc == LUNAQ_OK); /* false: it was so already */
    return 1;
}

static int pause_or_resume(lua_State *L, bool pause)
{
    lq_str name = check_str(L, 1);
    lua_settop(L, 1);
    lq_lua_operation *o;
    struct queue_job *q = begin(L, pause ? "queue.pause" : "queue.resume", &o);
    lq_op_init(&q->pause.op, LQ_OP_QUEUE_PAUSE);
    q->pause.queue = keep(L, q, name);
    q->pause.pause = pause;
    return lq_lua_operation_submit(L, o, &q->pause.op, paused);
}

static int queue_pause(lua_State *L)
{
    return pause_or_resume(L, true);
}

static int queue_resume(lua_State *L)
{
    return pause_or_resume(L, false);
}

int luaopen_lunaq_queue(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"enqueue", queue_enqueue}, {"enqueue_many", queue_enqueue_many},
        {"cancel", queue_cancel},   {"info", queue_info},
        {"run", queue_run},         {"archive", queue_archive},
        {"delete", queue_delete},   {"update", queue_update},
        {"pause", queue_pause},     {"resume", queue_resume}};
    lua_newtable(L);
    for (size_t i = 0; i < LQ_COUNT(functions); i++) {
        lua_pushboolean(L, 0);
        lua_pushcclosure(L, functions[i].func, 1);
        lua_setfield(L, -2, functions[i].name);
        lua_pushfstring(L, "try_%s", functions[i].name);
        lua_pushboolean(L, 1);
        lua_pushcclosure(L, functions[i].func, 1);
        lua_rawset(L, -3);
    }
    return 1;
}
