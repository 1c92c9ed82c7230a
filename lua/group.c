/* Groups in Lua: see group.h. */
#include "lua/group.h"

#include "lua/enqueue.h"
#include "lua/error.h"
#include "lua/generation.h"
#include "lua/json.h"

#include <openssl/evp.h>

#define BATCH_HEADER LQ_STR("lunaq-group") /* see runtime/batch.h */

static void push_str(lua_State *L, lq_str s)
{
    lua_pushlstring(L, s.p ? s.p : "", s.len);
}

static const lq_header *batch_header(const lq_task *t)
{
    for (size_t i = 0; i < t->header_count; i++)
        if (lq_str_eq(t->headers[i].key, BATCH_HEADER))
            return &t->headers[i];
    return NULL;
}

bool lq_lua_is_batch(const lq_task *t)
{
    return batch_header(t) != NULL;
}

lq_str lq_lua_group_of(const lq_task *t)
{
    const lq_header *h = batch_header(t);
    return h ? h->value : t->group_key;
}

/* ---- one task ------------------------------------------------------------ */

/* Sets payload, or raw, of the table on top. */
static void set_payload(lua_State *L, lq_str payload)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (payload.len == 0) {
        lua_newtable(L);
    } else if (lq_json_push(L, payload, &err)) {
        push_str(L, payload);
        lua_setfield(L, -2, "raw");
        return;
    }
    lua_setfield(L, -2, "payload");
}

static void push_task(lua_State *L, const lq_task *t)
{
    lua_createtable(L, 0, 4);
    push_str(L, t->id);
    lua_setfield(L, -2, "id");
    push_str(L, t->type);
    lua_setfield(L, -2, "type");
    lua_createtable(L, 0, (int)t->header_count);
    for (size_t i = 0; i < t->header_count; i++) {
        push_str(L, t->headers[i].key);
        push_str(L, t->headers[i].value);
        lua_rawset(L, -3);
    }
    lua_setfield(L, -2, "headers");
    set_payload(L, t->payload);
}

/* ---- task.tasks ---------------------------------------------------------- */

/* payload_base64 of the table on top becomes raw. */
static void decode_raw(lua_State *L)
{
    size_t len;
    lua_pushliteral(L, "payload_base64");
    if (lua_rawget(L, -2) != LUA_TSTRING) {
        lua_pop(L, 1);
        return;
    }
    const char *p = lua_tolstring(L, -1, &len);
    luaL_Buffer b;
    char *to = luaL_buffinitsize(L, &b, len / 4 * 3 + 1);
    int n = len % 4 ? -1
                    : EVP_DecodeBlock((unsigned char *)to,
                                      (const unsigned char *)p, (int)len);
    /* It counts the bytes that '=' stands for, too. */
    for (size_t i = len; n > 0 && i > 0 && p[i - 1] == '='; i--)
        n--;
    luaL_pushresultsize(&b, n > 0 ? (size_t)n : 0);
    lua_setfield(L, -3, "raw");
    lua_pop(L, 1);
    lua_pushnil(L);
    lua_setfield(L, -2, "payload_base64");
}

static void fill_in(lua_State *L, const char *name, const char *unless)
{
    bool there = unless && lua_getfield(L, -1, unless) != LUA_TNIL;
    if (unless)
        lua_pop(L, 1);
    if (!there && lua_getfield(L, -1, name) == LUA_TNIL) {
        lua_newtable(L);
        lua_setfield(L, -3, name);
        lua_pop(L, 1);
    } else if (!there) {
        lua_pop(L, 1);
    }
}

void lq_lua_group_tasks(lua_State *L, const lq_task *t, int payload)
{
    luaL_checkstack(L, 10, NULL);
    payload = payload ? lua_absindex(L, payload) : 0;
    if (!lq_lua_is_batch(t)) {
        lua_createtable(L, 1, 0);
        push_task(L, t);
        lua_rawseti(L, -2, 1);
        return;
    }
    if (!lua_istable(L, payload) ||
        lua_getfield(L, payload, "tasks") != LUA_TTABLE)
        lq_lua_raise(L, "payload", "the batch has no list of tasks");
    for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TTABLE; i++) {
        decode_raw(L);
        fill_in(L, "headers", NULL);
        fill_in(L, "payload", "raw");
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* ---- the hook ------------------------------------------------------------ */

int lq_lua_group_push(lua_State *L, lq_lua_run *r)
{
    const lq_aggregate_in *in = r->run->in;
    push_str(L, in->group);
    lua_createtable(L, (int)in->count, 0);
    for (size_t i = 0; i < in->count; i++) {
        push_task(L, &in->tasks[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 2;
}

/* The options at 3, and in them the queue: a group's task stays in its own. */
static int with_queue(lua_State *L, lq_str queue, lunaq_error *err)
{
    if (!lua_isnil(L, 3) && !lua_istable(L, 3))
        return lq_fail(err, LUNAQ_EINVAL, "its third value is a %s, no options",
                       luaL_typename(L, 3));
    lua_newtable(L);
    if (lua_istable(L, 3)) {
        for (lua_pushnil(L); lua_next(L, 3);) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, -4);
        }
    }
    size_t len = 0;
    lua_getfield(L, -1, "queue");
    const char *said =
        lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    bool other = said && !lq_str_eq(lq_str_n(said, len), queue);
    lua_pop(L, 1);
    if (other)
        return lq_fail(err, LUNAQ_EINVAL,
                       "queue: the new task is of its group's queue, '%.*s'",
                       LQ_STR_ARG(queue));
    push_str(L, queue);
    lua_setfield(L, -2, "queue");
    lua_replace(L, 3);
    return LUNAQ_OK;
}

int lq_lua_group_read(lua_State *L, lq_lua_run *r, lunaq_error *err)
{
    const lq_aggregate_in *in = r->run->in;
    lq_aggregate_out *out = r->run->out;
    size_t len;
    if (lua_isnil(L, 1))
        return lq_fail(err, LUNAQ_EINVAL,
                       "it returned nothing: return a type, a payload and "
                       "perhaps options");
    if (lua_type(L, 1) != LUA_TSTRING)
        return lq_fail(err, LUNAQ_EINVAL,
                       "its first value is a %s, where a type is expected",
                       luaL_typename(L, 1));
    int rc = with_queue(L, in->queue, err);
    if (rc)
        return rc;
    const char *type = lua_tolstring(L, 1, &len);
    rc = lq_lua_read_enqueue(L, lq_str_n(type, len), 2, 3, false,
                             r->gen->snapshot, &out->mem, &out->item, err);
    out->made = rc == LUNAQ_OK;
    return rc;
}
