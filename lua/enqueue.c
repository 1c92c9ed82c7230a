/* Lua values → tasks to enqueue: see enqueue.h.
 *
 * Raw accesses only, so that nothing here raises, except when memory is out
 * (lq_json_push); and text that is not a string is refused rather than
 * converted. */
#include "lua/enqueue.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "lua/json.h"
#include "lua/names.h"
#include "task/durable.h"
#include "task/duration.h"

#define NAMES_MAX 64 /* members of unique.by */

const char *const lq_lua_enqueue_options[] = {
    "queue",      "max_retry", "timeout", "deadline", "retention",
    "unique",     "task_id",   "group",   "headers",  "process_at",
    "process_in", "raw",       "durable", NULL,
};

const char *const lq_lua_unique_members[] = {"ttl", "by", NULL};

/* ---- durations ----------------------------------------------------------- */

int lq_lua_duration_at(lua_State *L, int index, const char *name, int64_t *ms,
                       lunaq_error *err)
{
    if (lua_type(L, index) == LUA_TNUMBER) {
        lua_Number s = lua_tonumber(L, index);
        if (!(s >= 0 && s <= 3.2e9))
            return lq_fail(err, LUNAQ_EINVAL,
                           "%s: %g is out of range (seconds, 0 to 3.2e9)", name,
                           s);
        *ms = (int64_t)ceil(s * 1000);
        return LUNAQ_OK;
    }
    if (lua_type(L, index) != LUA_TSTRING)
        return lq_fail(err, LUNAQ_EINVAL,
                       "%s: a %s, where a duration is expected (\"5m\", or "
                       "seconds)",
                       name, luaL_typename(L, index));
    size_t len;
    const char *p = lua_tolstring(L, index, &len);
    int rc = lq_duration_parse(lq_str_n(p, len), ms, err);
    if (rc)
        lq_error_prefix(err, "%s", name);
    return rc;
}

/* ---- one enqueue --------------------------------------------------------- */

struct reader {
    lua_State *L;
    int options; /* absolute, 0 = none */
    lq_arena *mem;
    lunaq_error *err;
    lunaq_task task;
    const char **by; /* unique.by */
    size_t by_count;
    bool has_unique;
    lq_str payload;
};

/* Pushes the option; LUA_TNIL when there is none. */
static int get(struct reader *r, const char *name)
{
    if (!r->options) {
        lua_pushnil(r->L);
        return LUA_TNIL;
    }
    lua_pushstring(r->L, name);
    return lua_rawget(r->L, r->options);
}

static int wrong(struct reader *r, const char *name, const char *expected)
{
    return lq_lua_wrong(r->L, name, expected, r->err);
}

/* The text on top, copied. */
static int copy_text(struct reader *r, const char *name, const char **out)
{
    size_t len;
    if (lua_type(r->L, -1) != LUA_TSTRING)
        return wrong(r, name, "a string");
    const char *p = lua_tolstring(r->L, -1, &len);
    if (memchr(p, 0, len))
        return lq_fail(r->err, LUNAQ_EINVAL, "%s: it holds a zero byte", name);
    *out = lq_arena_dup(r->mem, lq_str_n(p, len));
    return *out ? LUNAQ_OK : lq_fail_nomem(r->err);
}

static int read_text(struct reader *r, const char *name, const char **out)
{
    int rc = get(r, name) == LUA_TNIL ? LUNAQ_OK : copy_text(r, name, out);
    lua_pop(r->L, 1);
    return rc;
}

static int duration_here(struct reader *r, const char *name, int64_t *ms)
{
    return lq_lua_duration_at(r->L, -1, name, ms, r->err);
}

/* none: what "0" becomes, since in a lunaq_task 0 is the default. */
static int read_duration(struct reader *r, const char *name, int64_t none,
                         int64_t *out)
{
    int64_t ms = 0;
    int rc = LUNAQ_OK;
    if (get(r, name) != LUA_TNIL) {
        rc = duration_here(r, name, &ms);
        *out = ms == 0 ? none : ms;
    }
    lua_pop(r->L, 1);
    return rc;
}

static int read_count(struct reader *r, const char *name, int64_t none,
                      int64_t *out)
{
    int rc = LUNAQ_OK;
    if (get(r, name) != LUA_TNIL) {
        int is = 0;
        lua_Integer n = lua_type(r->L, -1) == LUA_TNUMBER
                            ? lua_tointegerx(r->L, -1, &is)
                            : 0;
        if (!is || n < 0 || n > INT32_MAX)
            rc = wrong(r, name, "a whole number from 0 on");
        *out = n == 0 ? none : n;
    }
    lua_pop(r->L, 1);
    return rc;
}

/* An instant: Unix seconds, as os.time() and lunaq.now() give them. */
static int read_instant(struct reader *r, const char *name, int64_t *out)
{
    int rc = LUNAQ_OK;
    if (get(r, name) != LUA_TNIL) {
        lua_Number s = lua_tonumber(r->L, -1);
        if (lua_type(r->L, -1) != LUA_TNUMBER || !(s > 0 && s < 2.5e11))
            rc = wrong(r, name, "Unix time in seconds");
        else
            *out = (int64_t)ceil(s * 1000);
    }
    lua_pop(r->L, 1);
    return rc;
}

/* The list of names on top. */
static int read_by(struct reader *r)
{
    lua_State *L = r->L;
    size_t n = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
    if (n == 0 || n > NAMES_MAX)
        return wrong(r, "unique.by", "a list of payload members");
    r->by = lq_arena_alloc(r->mem, n * sizeof *r->by);
    if (!r->by)
        return lq_fail_nomem(r->err);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        int rc = copy_text(r, "unique.by", &r->by[i]);
        lua_pop(L, 1);
        if (rc)
            return rc;
    }
    r->by_count = n;
    return LUNAQ_OK;
}

/* unique = "1h", or {ttl = "1h", by = {"user_id"}}. */
static int read_unique(struct reader *r)
{
    lua_State *L = r->L;
    int rc = LUNAQ_OK;
    if (get(r, "unique") == LUA_TNIL)
        goto out;
    r->has_unique = true;
    if (!lua_istable(L, -1)) {
        rc = duration_here(r, "unique", &r->task.unique_ms);
        goto out;
    }
    const char *stranger = NULL;
    rc = lq_lua_known_members(L, "unique", lq_lua_unique_members, &stranger,
                              r->err);
    if (rc)
        goto out;
    lua_pushliteral(L, "ttl");
    if (lua_rawget(L, -2) == LUA_TNIL)
        rc = lq_fail(r->err, LUNAQ_EINVAL, "unique.ttl: it is missing");
    else
        rc = duration_here(r, "unique.ttl", &r->task.unique_ms);
    lua_pop(L, 1);
    if (rc)
        goto out;
    lua_pushliteral(L, "by");
    if (lua_rawget(L, -2) != LUA_TNIL)
        rc = read_by(r);
    lua_pop(L, 1);
out:
    if (r->has_unique && r->task.unique_ms == 0)
        r->task.unique_ms = -1; /* not what the handler file says either */
    lua_pop(L, 1);
    return rc;
}

static int read_headers(struct reader *r)
{
    lua_State *L = r->L;
    int rc = LUNAQ_OK;
    size_t n = 0;
    if (get(r, "headers") == LUA_TNIL)
        goto out;
    if (!lua_istable(L, -1)) {
        rc = wrong(r, "headers", "a table");
        goto out;
    }
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        n++;
    lunaq_header *headers = lq_arena_alloc(r->mem, (n + 1) * sizeof *headers);
    if (!headers) {
        rc = lq_fail_nomem(r->err);
        goto out;
    }
    n = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (!rc)
            rc = copy_text(r, "headers", &headers[n].value);
        lua_pushvalue(L, -2);
        if (!rc)
            rc = copy_text(r, "headers", &headers[n].name);
        lua_pop(L, 1);
        n++;
    }
    r->task.headers = headers;
    r->task.header_count = n;
out:
    lua_pop(L, 1);
    return rc;
}

static int read_durable(struct reader *r)
{
    int rc = LUNAQ_OK;
    if (get(r, "durable") != LUA_TNIL) {
        size_t len = 0;
        const char *p = lua_type(r->L, -1) == LUA_TSTRING
                            ? lua_tolstring(r->L, -1, &len)
                            : NULL;
        if (!p)
            rc = wrong(r, "durable", "a string");
        else if (!lq_durable_parse(lq_str_n(p, len), &r->task.durable))
            rc = lq_fail(r->err, LUNAQ_EINVAL,
                         "durable: '%.40s': give none, replica or fsync", p);
    }
    lua_pop(r->L, 1);
    return rc;
}

static int check_names(struct reader *r, bool inline_keys)
{
    static const char *const none[] = {NULL};
    lua_State *L = r->L;
    if (!r->options)
        return LUNAQ_OK;
    for (lua_pushnil(L); lua_next(L, r->options); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            lua_pop(L, 2);
            return lq_fail(r->err, LUNAQ_EINVAL,
                           "options: a value without a name: write queue = "
                           "\"low\", for instance");
        }
        const char *name = lua_tostring(L, -2);
        if (lq_lua_is_one_of(name, lq_lua_enqueue_options) ||
            (inline_keys &&
             (strcmp(name, "type") == 0 || strcmp(name, "payload") == 0)))
            continue;
        int rc =
            lq_lua_unknown_option(name, lq_lua_enqueue_options, none, r->err);
        lua_pop(L, 2);
        return rc;
    }
    return LUNAQ_OK;
}

static int read_payload(struct reader *r, int payload)
{
    lua_State *L = r->L;
    int rc = LUNAQ_OK;
    lq_str bytes = {0}; /* none is not the same as empty: Go's locks differ */
    lq_buf json;
    lq_buf_init(&json, LQ_PAYLOAD_MAX);
    if (get(r, "raw") != LUA_TNIL) {
        size_t len = 0;
        if (lua_type(L, -1) != LUA_TSTRING)
            rc = wrong(r, "raw", "a string");
        else if (!lua_isnil(L, payload))
            rc = lq_fail(r->err, LUNAQ_EINVAL,
                         "raw: it takes the place of the payload; give one");
        else
            bytes.p = lua_tolstring(L, -1, &len);
        bytes.len = len;
    } else if (!lua_isnil(L, payload)) {
        rc = lq_json_write(L, payload, &json, r->err);
        if (rc)
            lq_error_prefix(r->err, "payload");
        bytes = lq_buf_str(&json);
    }
    if (!rc && bytes.p) {
        char *copy = lq_arena_dup(r->mem, bytes);
        if (!copy)
            rc = lq_fail_nomem(r->err);
        r->payload = lq_str_n(copy, bytes.len);
        r->task.payload = copy;
        r->task.payload_len = bytes.len;
    }
    lua_pop(L, 1);
    lq_buf_release(&json);
    return rc;
}

/* Locks on some members of the payload: Asynq's key over their JSON, with
 * "by:" before the hash. */
static int lock_by(struct reader *r, int payload, lq_enqueue *item)
{
    enum { HASH = 32 };
    lq_buf json;
    lq_buf_init(&json, LQ_PAYLOAD_MAX);
    int rc = lua_istable(r->L, payload)
                 ? lq_json_write_members(r->L, payload, r->by, r->by_count,
                                         &json, r->err)
                 : lq_fail(r->err, LUNAQ_EINVAL,
                           "unique.by: the payload is no table (or raw no "
                           "JSON object)");
    if (!rc) {
        char *key = item->unique_key;
        lq_unique_key(key, item->task.queue, item->task.type,
                      lq_buf_str(&json));
        size_t len = strlen(key);
        if (len < HASH || len + 4 > sizeof item->unique_key) {
            rc = lq_fail(r->err, LUNAQ_EINVAL, "unique.by: no key");
        } else {
            memmove(key + len - HASH + 3, key + len - HASH, HASH + 1);
            key[len - HASH] = 'b';
            key[len - HASH + 1] = 'y';
            key[len - HASH + 2] = ':';
            item->task.unique_key = lq_str_n(key, len + 3);
        }
    }
    lq_buf_release(&json);
    return rc;
}

static int read_options(struct reader *r, bool inline_keys)
{
    lunaq_task *t = &r->task;
    int rc = check_names(r, inline_keys);
    if (!rc)
        rc = read_text(r, "queue", &t->queue);
    if (!rc)
        rc = read_text(r, "task_id", &t->task_id);
    if (!rc)
        rc = read_text(r, "group", &t->group);
    if (!rc)
        rc = read_count(r, "max_retry", -1, &t->max_retry);
    if (!rc)
        rc = read_duration(r, "timeout", -1, &t->timeout_ms);
    if (!rc)
        rc = read_duration(r, "retention", -1, &t->retention_ms);
    if (!rc)
        rc = read_duration(r, "process_in", 0, &t->process_in_ms);
    if (!rc)
        rc = read_instant(r, "process_at", &t->process_at);
    if (!rc)
        rc = read_instant(r, "deadline", &t->deadline_at);
    if (!rc)
        rc = read_unique(r);
    if (!rc)
        rc = read_headers(r);
    if (!rc)
        rc = read_durable(r);
    return rc;
}

int lq_lua_read_enqueue(lua_State *L, lq_str type, int payload, int options,
                        bool inline_keys, const lq_lua_snapshot *handlers,
                        lq_arena *mem, lq_enqueue *item, lunaq_error *err)
{
    struct reader r = {.L = L, .mem = mem, .err = err};
    r.task = (lunaq_task)LUNAQ_TASK_INIT;
    payload = lua_absindex(L, payload);
    if (options && !lua_isnoneornil(L, options))
        r.options = lua_absindex(L, options);
    if (!lua_checkstack(L, 10))
        return lq_fail_nomem(err);
    if (r.options && !lua_istable(L, r.options))
        return lq_fail(err, LUNAQ_EINVAL,
                       "options: a %s, where a table such as "
                       "{queue = \"low\"} is expected",
                       luaL_typename(L, r.options));
    r.task.type = lq_arena_dup(mem, type);
    if (!r.task.type)
        return lq_fail_nomem(err);
    if (memchr(type.p, 0, type.len))
        return lq_fail(err, LUNAQ_EINVAL, "task type: it holds a zero byte");
    int rc = read_options(&r, inline_keys);
    if (!rc)
        rc = read_payload(&r, payload);
    if (rc)
        return rc;
    const lq_lua_spec *spec =
        handlers ? lq_lua_snapshot_find(handlers, type) : NULL;
    if (spec) {
        if (!r.has_unique && spec->unique_ms > 0) {
            r.by = spec->unique_by;
            r.by_count = spec->unique_by_count;
        }
        lq_lua_spec_defaults(spec, &r.task);
    }
    if (r.task.unique_ms < 0)
        r.task.unique_ms = 0; /* switched off by the call */
    if (r.task.retention_ms < 0)
        r.task.retention_ms = 0;
    int top = lua_gettop(L);
    if (r.by_count > 0 && r.task.unique_ms > 0 && !lua_istable(L, payload) &&
        r.payload.p && lq_json_push(L, r.payload, NULL) == LUNAQ_OK)
        payload = lua_gettop(L); /* what is in `raw` */
    rc = lq_enqueue_init(item, &r.task, lq_now_ms(), err);
    if (!rc && r.by_count > 0 && item->unique_s > 0) {
        rc = lock_by(&r, payload, item);
        if (rc)
            lq_enqueue_release(item);
    }
    lua_settop(L, top);
    return rc;
}
