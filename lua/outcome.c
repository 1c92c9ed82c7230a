/* Values and errors → verdicts: the rules of a handler's end.
 *
 * A run fails if it raises, or if its first value is nil or false and its
 * second is not nil; otherwise it succeeds and the first value is its result.
 * A verdict value (lunaq.snooze(…)) means the same returned and raised. */
#include "lua/outcome.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lua/call.h"
#include "lua/error.h"
#include "lua/generation.h"
#include "lua/hook.h"
#include "lua/json.h"
#include "task/duration.h"

#define VERDICT_NAME "lunaq.verdict"
#define TOSTRING_MS 20
#define WARN_MS 5000

void lq_lua_outcome_init(lq_lua_outcome *o)
{
    memset(o, 0, sizeof *o);
    lq_buf_init(&o->text, LQ_PAYLOAD_MAX);
    o->verdict.delay_ms = -1;
}

void lq_lua_outcome_release(lq_lua_outcome *o)
{
    lq_buf_release(&o->text);
}

static void set_kind(lq_lua_outcome *o, const char *kind)
{
    snprintf(o->kind, sizeof o->kind, "%s", kind);
}

/* ---- verdict values ------------------------------------------------------ */

void lq_lua_push_verdict(lua_State *L, enum lq_verdict_kind kind,
                         int64_t delay_ms, int why_index)
{
    lq_lua_here(L)->made_verdict = true;
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, kind);
    lua_setfield(L, -2, "verdict");
    lua_pushinteger(L, delay_ms);
    lua_setfield(L, -2, "delay_ms");
    if (!lua_isnoneornil(L, why_index)) {
        lq_lua_tostring(L, why_index, NULL);
        lua_setfield(L, -2, "why");
    }
    luaL_setmetatable(L, VERDICT_NAME);
}

static int verdict_tostring(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_istable(L, 1)) {
        lua_pushliteral(L, "why");
        lua_rawget(L, 1);
    }
    if (!lua_isstring(L, -1))
        lua_pushliteral(L, "verdict");
    return 1;
}

void lq_lua_outcome_open(lua_State *L)
{
    luaL_newmetatable(L, VERDICT_NAME);
    lua_pushcfunction(L, verdict_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

static lua_Integer raw_integer(lua_State *L, int index, const char *key)
{
    lua_pushstring(L, key);
    lua_rawget(L, index);
    lua_Integer n = lua_tointeger(L, -1);
    lua_pop(L, 1);
    return n;
}

/* The raw string member `key`, left on the stack; empty when it is none. */
static lq_str raw_string(lua_State *L, int index, const char *key)
{
    size_t len = 0;
    lua_pushstring(L, key);
    const char *p =
        lua_rawget(L, index) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    return lq_str_n(p, len);
}

/* Takes the value at index if it is a verdict. */
static bool take_verdict(lua_State *L, int index, lq_lua_outcome *o)
{
    if (!lua_istable(L, index) || !lua_getmetatable(L, index))
        return false;
    luaL_getmetatable(L, VERDICT_NAME);
    bool is = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    lua_Integer kind = is ? raw_integer(L, index, "verdict") : 0;
    if (kind < LQ_RETRY_AFTER || kind > LQ_DISCARDED)
        return false; /* somebody wrote into it */
    lua_Integer delay = raw_integer(L, index, "delay_ms");
    o->verdict.kind = (enum lq_verdict_kind)kind;
    o->verdict.delay_ms = delay > 0 ? delay : 0;
    lq_str why = raw_string(L, index, "why");
    lq_buf_add_str(&o->text, why);
    lua_pop(L, 1);
    set_kind(o, kind == LQ_RETRY_AFTER ? "retry_after"
                : kind == LQ_SNOOZED   ? "snooze"
                : kind == LQ_SKIPPED   ? "skip_retry"
                                       : "discard");
    return true;
}

/* ---- errors of every type ------------------------------------------------ */

struct reading {
    lq_lua_outcome *o;
    lq_lua_run *r;
    int status, nres;
    lq_buf trace; /* of the coroutine, taken before anything else */
    char where[128];
};

static int call_tostring(lua_State *L)
{
    lq_lua_tostring(L, 1, NULL);
    return 1;
}

/* A value that came through middleware was raised elsewhere. */
static void know_place(lua_State *L, int index, struct reading *rd)
{
    const lq_lua_host *host = rd->r->host;
    const void *value = lua_topointer(L, index);
    if (!value || host->raised.value != value ||
        host->raised.run != rd->r->run->number)
        return;
    snprintf(rd->where, sizeof rd->where, "%s", host->raised.where);
    lq_buf_clear(&rd->trace);
    lq_buf_add_c(&rd->trace, host->raised.frames);
}

/* Its own __tostring, under a time limit; false when that fails too. */
static bool add_custom_text(lua_State *L, int index, struct reading *rd)
{
    if (luaL_getmetafield(L, index, "__tostring") == LUA_TNIL)
        return false;
    lua_pop(L, 1);
    lua_pushcfunction(L, call_tostring);
    lua_pushvalue(L, index);
    size_t len;
    bool ok = lq_lua_call(rd->r->host, LQ_PHASE_CALLBACK, 1, 1, TOSTRING_MS,
                          rd->r->run) == LUA_OK &&
              lua_type(L, -1) == LUA_TSTRING;
    if (ok) {
        const char *p = lua_tolstring(L, -1, &len);
        lq_buf_add(&rd->o->text, p, len);
    }
    lua_pop(L, 1);
    return ok;
}

/* A table: its message member, its JSON, or at least that it is a table. */
static void add_table(lua_State *L, int index, struct reading *rd)
{
    lq_buf *text = &rd->o->text;
    lq_str kind = raw_string(L, index, "kind");
    lq_str message = raw_string(L, index, "message");
    lq_str where = raw_string(L, index, "where");
    lq_str trace = raw_string(L, index, "traceback");
    if (rd->status != LUA_OK)
        know_place(L, index, rd);
    if (kind.len > 0)
        snprintf(rd->o->kind, sizeof rd->o->kind, "%.*s", LQ_STR_ARG(kind));
    if (lq_lua_is_error(L, index)) {
        if (where.p) /* not that of whoever raised it again */
            snprintf(rd->where, sizeof rd->where, "%.*s", LQ_STR_ARG(where));
        if (trace.len > 0) {
            lq_buf_clear(&rd->trace);
            lq_buf_add_str(&rd->trace, trace);
        }
    }
    if (rd->where[0])
        lq_buf_printf(text, "%s: ", rd->where);
    if (message.len > 0) {
        lq_buf_add_str(text, message);
    } else if (!add_custom_text(L, index, rd)) {
        lq_buf json;
        lq_buf_init(&json, 1000);
        if (lq_json_write(L, index, &json, NULL) == LUNAQ_OK) {
            lq_buf_add_c(text, "a table was raised: ");
            lq_buf_add_str(text, lq_buf_str(&json));
        } else {
            lq_buf_add_c(text, "a table without a message was raised");
        }
        lq_buf_release(&json);
    }
    lua_pop(L, 4);
}

static void add_error(lua_State *L, int index, struct reading *rd)
{
    lq_buf *text = &rd->o->text;
    size_t len;
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
    case LUA_TNUMBER: {
        lua_pushvalue(L, index); /* tolstring changes a number in place */
        const char *p = lua_tolstring(L, -1, &len);
        lq_buf_add(text, p, len);
        lua_pop(L, 1);
        break;
    }
    case LUA_TTABLE:
        add_table(L, index, rd);
        return;
    default:
        if (rd->where[0])
            lq_buf_printf(text, "%s: ", rd->where);
        if (lua_type(L, index) != LUA_TUSERDATA ||
            !add_custom_text(L, index, rd))
            lq_buf_printf(text, "a %s value was raised as an error",
                          luaL_typename(L, index));
    }
}

static void failed(lua_State *L, int index, struct reading *rd)
{
    lq_lua_outcome *o = rd->o;
    if (take_verdict(L, index, o))
        return;
    o->verdict.kind = LQ_FAILED;
    o->text.max = LQ_ERROR_TEXT_MAX;
    set_kind(o, rd->status == LUA_ERRMEM ? "memory" : "error");
    size_t before = o->text.len;
    add_error(L, index, rd);
    if (o->text.failed) { /* a message beyond the maximum: keep its head */
        lq_buf_clear(&o->text);
        size_t len = 0;
        const char *p = lua_type(L, index) == LUA_TSTRING
                            ? lua_tolstring(L, index, &len)
                            : "a message that is too long was raised";
        len = len ? len : strlen(p);
        lq_buf_add(&o->text, p, len < 4096 ? len : 4096);
    }
    if (o->text.len == before)
        lq_buf_add_c(&o->text, "an empty text was raised as an error");
    if (o->text.len + rd->trace.len < LQ_ERROR_TEXT_MAX)
        lq_buf_add_str(&o->text, lq_buf_str(&rd->trace));
    /* A payload that is no JSON never becomes one. */
    if (lq_lua_is_error(L, index) && strcmp(o->kind, "payload") == 0)
        o->verdict.kind = LQ_SKIPPED;
}

/* ---- success ------------------------------------------------------------- */

/* `lunaq.snooze("5m")` without its `return` looks like a success. */
static void warn_of_verdict(const lq_lua_run *r)
{
    if (lq_log_gate(&r->host->verdict_gate, WARN_MS))
        LQ_LOG(
            r->host->log, WARN,
            "a verdict was made but not returned: the task counts as done",
            lq_fs("type", r->run->task.type), lq_fs("task_id", r->run->task.id),
            lq_fc("file",
                  r->handler->spec->file ? r->handler->spec->file->name : ""),
            lq_fc("hint", "write return lunaq.snooze(\xe2\x80\xa6), or "
                          "error() with it from inside a function"));
}

static void succeeded(lua_State *L, int index, struct reading *rd)
{
    lq_lua_outcome *o = rd->o;
    lunaq_error err = LUNAQ_ERROR_INIT;
    size_t len;
    o->verdict.kind = LQ_SUCCEEDED;
    if (lua_isnil(L, index)) {
        if (rd->r->made_verdict)
            warn_of_verdict(rd->r);
        return;
    }
    if (lua_type(L, index) == LUA_TSTRING) {
        const char *p = lua_tolstring(L, index, &len);
        lq_buf_add(&o->text, p, len);
        if (o->text.failed)
            lq_fail(&err, LUNAQ_EFULL, "it has %zu bytes, more than %zu", len,
                    LQ_PAYLOAD_MAX);
    } else {
        lq_json_write(L, index, &o->text, &err);
    }
    if (err.code == LUNAQ_OK) {
        o->verdict.result = lq_buf_str(&o->text);
        if (!o->verdict.result.p)
            o->verdict.result.p = "";
        return;
    }
    lq_buf_clear(&o->text);
    if (rd->r->run->task.retention_s > 0) {
        o->verdict.kind = LQ_FAILED;
        set_kind(o, "result");
        lq_buf_printf(&o->text, "the result cannot be stored: %s", err.message);
    } else {
        /* Nobody will read it. */
        LQ_LOG(rd->r->host->log, WARN, "the handler's result cannot be stored",
               lq_fs("type", rd->r->run->task.type),
               lq_fs("task_id", rd->r->run->task.id),
               lq_fc("error", err.message));
    }
}

static void ended(struct reading *rd)
{
    lq_lua_outcome *o = rd->o;
    const lq_run *run = rd->r->run;
    if (rd->r->why != LQ_CANCEL_DEADLINE) {
        o->verdict.kind = LQ_ENDED;
        return;
    }
    o->verdict.kind = LQ_FAILED;
    set_kind(o, "timeout");
    if (rd->where[0])
        lq_buf_printf(&o->text, "%s: ", rd->where);
    lq_buf_add_c(&o->text, "its time is up");
    if (run->deadline_ms > run->started_ms) {
        lq_buf_add_c(&o->text, " (");
        lq_duration_text(&o->text,
                         (double)(run->deadline_ms - run->started_ms));
        lq_buf_add_c(&o->text, ")");
    }
    lq_buf_add_str(&o->text, lq_buf_str(&rd->trace));
}

/* What a hook returned; a verdict value says nothing here. */
static void read_hook(lua_State *L, struct reading *rd)
{
    lq_lua_outcome *o = rd->o;
    const lq_lua_hook *hook = &lq_lua_hooks[rd->r->run->kind];
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (!lua_toboolean(L, 1) && !lua_isnil(L, 2)) {
        failed(L, 2, rd);
        return;
    }
    o->verdict.kind = LQ_SUCCEEDED;
    if (!hook->read || !hook->read(L, rd->r, &err))
        return;
    o->verdict.kind = LQ_FAILED;
    set_kind(o, "result");
    lq_buf_printf(&o->text, "%s: %s%s%s: %s", rd->r->handler->spec->file->name,
                  hook->option, hook->member ? "." : "",
                  hook->member ? hook->member : "", err.message);
}

/* Below lua_pcall(): everything here may raise for lack of memory. */
static int read_outcome(lua_State *L)
{
    struct reading *rd = lua_touserdata(L, 1);
    lua_State *co = rd->r->co;
    lua_settop(L, 0);
    luaL_checkstack(L, 20, NULL);
    if (rd->r->ending && rd->status != LUA_OK) {
        ended(rd);
        return 0;
    }
    if (rd->status != LUA_OK) {
        lua_xmove(co, L, 1);
        failed(L, 1, rd);
        return 0;
    }
    int most = rd->r->run->kind == LQ_RUN_TASK ? 2 : 3;
    if (rd->nres > most) {
        lua_pop(co, rd->nres - most);
        rd->nres = most;
    }
    lua_xmove(co, L, rd->nres);
    lua_settop(L, most);
    if (rd->r->run->kind != LQ_RUN_TASK) {
        read_hook(L, rd);
        return 0;
    }
    if (take_verdict(L, 1, rd->o))
        return 0;
    if (!lua_toboolean(L, 1) && !lua_isnil(L, 2))
        failed(L, 2, rd);
    else
        succeeded(L, 1, rd);
    return 0;
}

void lq_lua_outcome_of(lq_lua_outcome *o, lq_lua_run *r, int status, int nres)
{
    struct reading rd = {.o = o, .r = r, .status = status, .nres = nres};
    lua_State *L = r->host->L;
    lua_State *inner = r->chain_len > 0 ? r->chain[0] : r->co;
    lq_buf_init(&rd.trace, LQ_ERROR_TEXT_MAX / 2);
    if (status != LUA_OK) {
        lq_buf where;
        lq_buf_init(&where, sizeof rd.where - 1);
        if (lq_lua_where(inner, &where) && where.p)
            memcpy(rd.where, where.p, where.len + 1);
        lq_buf_release(&where);
        lq_lua_traceback(inner, 0, &rd.trace);
        for (size_t i = 1; i < r->chain_len; i++)
            lq_lua_traceback(r->chain[i], 0, &rd.trace);
        if (inner != r->co)
            lq_lua_traceback(r->co, 0, &rd.trace);
    }
    lua_pushcfunction(L, read_outcome);
    lua_pushlightuserdata(L, &rd);
    if (lua_pcall(L, 1, 0, 0)) {
        lua_pop(L, 1);
        lq_buf_clear(&o->text);
        o->verdict = (lq_verdict){.kind = LQ_FAILED, .delay_ms = -1};
        o->lost = true;
        set_kind(o, "memory");
    }
    lq_buf_release(&rd.trace);
    if (r->run->kind && o->verdict.kind != LQ_SUCCEEDED &&
        o->verdict.kind != LQ_ENDED)
        o->verdict.kind = LQ_FAILED;
    if (o->verdict.kind != LQ_SUCCEEDED && o->text.len > 0)
        o->text.len =
            lq_utf8_clean(lq_buf_str(&o->text), o->text.p, o->text.len);
    if (o->verdict.kind != LQ_SUCCEEDED) {
        o->verdict.message = lq_buf_str(&o->text);
        if (o->text.len == 0 && o->verdict.kind == LQ_FAILED)
            o->verdict.message = LQ_STR("out of memory");
        o->verdict.error_kind = o->kind;
    }
}
