/* log.debug info warn error (message [, fields]): one record, with the task's
 * type, id and attempt. */
#include <stdio.h>
#include <stdlib.h>

#include "lua/error.h"
#include "lua/json.h"
#include "lua/mod_task.h"

#define FIELDS_MAX 32
#define TEXT_MAX ((size_t)8 * 1024) /* of the message, and of each field */

struct record {
    lq_field fields[3 + FIELDS_MAX];
    size_t count;
    lq_buf json[FIELDS_MAX]; /* of the fields that are tables */
    size_t json_count;
};

static lq_str cut(const char *p, size_t len)
{
    return lq_str_n(p, len < TEXT_MAX ? len : TEXT_MAX);
}

/* The value on top as a field.  Raises nothing and calls no metamethod, since
 * rec holds memory; what it points to lives in the fields table. */
static void add_field(lua_State *L, struct record *rec, const char *key)
{
    size_t len;
    const char *p;
    lq_field f;
    switch (lua_type(L, -1)) {
    case LUA_TNUMBER:
        f = lua_isinteger(L, -1) ? lq_fi(key, lua_tointeger(L, -1))
                                 : lq_fd(key, lua_tonumber(L, -1));
        break;
    case LUA_TSTRING:
        p = lua_tolstring(L, -1, &len);
        f = lq_fs(key, cut(p, len));
        break;
    case LUA_TBOOLEAN:
        f = lq_fc(key, lua_toboolean(L, -1) ? "true" : "false");
        f.kind = LQ_FIELD_RAW;
        break;
    default: {
        lq_buf *json = &rec->json[rec->json_count++];
        lq_buf_init(json, TEXT_MAX);
        if (lq_json_write(L, -1, json, NULL)) {
            f = lq_fc(key, luaL_typename(L, -1));
        } else {
            f = lq_fs(key, lq_buf_str(json));
            f.kind = LQ_FIELD_RAW;
        }
    }
    }
    rec->fields[rec->count++] = f;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const lq_field *)a)->key, ((const lq_field *)b)->key);
}

static void add_fields(lua_State *L, struct record *rec)
{
    size_t first = rec->count;
    lua_pushnil(L);
    while (lua_next(L, 2)) {
        if (lua_type(L, -2) == LUA_TSTRING && rec->count < first + FIELDS_MAX)
            add_field(L, rec, lua_tostring(L, -2));
        lua_pop(L, 1);
    }
    /* A table has no order; people compare lines. */
    qsort(rec->fields + first, rec->count - first, sizeof *rec->fields, by_key);
}

/* Upvalue: the level. */
static int write_record(lua_State *L)
{
    const lq_lua_host *host = lq_lua_here(L)->host;
    lunaq_log_level level =
        (lunaq_log_level)lua_tointeger(L, lua_upvalueindex(1));
    luaL_checkany(L, 1);
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TTABLE);
    if (!lq_log_on(host->log, level))
        return 0;
    lua_settop(L, 2);
    size_t len;
    const char *message = lq_lua_tostring(L, 1, &len);

    struct record rec;
    rec.count = rec.json_count = 0;
    const lq_run *run = lq_lua_run_here(L);
    if (run) {
        rec.fields[rec.count++] = lq_fs("type", run->task.type);
        if (run->task.id.len > 0) { /* a hook may be of no task */
            rec.fields[rec.count++] = lq_fs("task_id", run->task.id);
            rec.fields[rec.count++] =
                lq_fi("attempt", (int64_t)run->task.retried + 1);
        }
    }
    if (lua_istable(L, 2))
        add_fields(L, &rec);
    lq_log_write(host->log, level, cut(message, len), rec.fields, rec.count);
    for (size_t i = 0; i < rec.json_count; i++)
        lq_buf_release(&rec.json[i]);
    return 0;
}

int luaopen_lunaq_log(lua_State *L)
{
    static const struct {
        const char *name;
        lunaq_log_level level;
    } levels[] = {{"debug", LUNAQ_LOG_DEBUG},
                  {"info", LUNAQ_LOG_INFO},
                  {"warn", LUNAQ_LOG_WARN},
                  {"error", LUNAQ_LOG_ERROR}};
    lua_createtable(L, 0, (int)LQ_COUNT(levels));
    for (size_t i = 0; i < LQ_COUNT(levels); i++) {
        lua_pushinteger(L, levels[i].level);
        lua_pushcclosure(L, write_record, 1);
        lua_setfield(L, -2, levels[i].name);
    }
    return 1;
}
