/* Names that are nearly right: see names.h. */
#include "lua/names.h"

#include <lauxlib.h>
#include <stdio.h>

#define LIST_MAX 200 /* of the 256 bytes of an error's message */

/* What other job systems, and other parts of this one, call it.  The first row
 * counts whose second name is known where it is asked. */
static const struct {
    const char *said, *meant;
} synonyms[] = {
    {"handle", "run"},
    {"handler", "run"},
    {"perform", "run"},
    {"process", "run"},
    {"execute", "run"},
    {"work", "run"},
    {"call", "run"},
    {"fn", "run"},
    {"func", "run"},
    {"main", "run"},
    {"retry", "max_retry"},
    {"retries", "max_retry"},
    {"attempts", "max_retry"},
    {"max_attempts", "max_retry"},
    {"retry_delay", "backoff"},
    {"delay", "process_in"},
    {"delay", "backoff"},
    {"in", "process_in"},
    {"after", "process_in"},
    {"at", "process_at"},
    {"eta", "process_at"},
    {"run_at", "process_at"},
    {"id", "task_id"},
    {"job_id", "task_id"},
    {"ttl", "retention"},
    {"keep", "retention"},
    {"timezone", "tz"},
    {"zone", "tz"},
    {"every", "spec"},
    {"cron", "spec"},
    {"disabled", "enabled"},
    {"every", "cron"},
    {"interval", "cron"},
    {"description", "doc"},
    {"name", "type"},
    {"schema", "args"},
    {"payload", "args"},
    {"lock", "unique"},
    {"unique_for", "unique"},
    {"limit", "concurrency"},
    {"parallel", "concurrency"},
    {"on_failure", "on_archive"},
    {"on_error", "on_archive"},
    {"entries", "schedule"},
    {"provide", "schedule"},
    {"before", "before_enqueue"},
    {"after", "after_enqueue"},
};

bool lq_lua_is_one_of(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

const char *lq_lua_meant(const char *written, const char *const *names)
{
    for (size_t i = 0; i < LQ_COUNT(synonyms); i++)
        if (strcmp(synonyms[i].said, written) == 0 &&
            lq_lua_is_one_of(synonyms[i].meant, names))
            return synonyms[i].meant;
    const char *best = NULL;
    size_t least = strlen(written) / 2 + 1;
    if (least > 3)
        least = 4;
    for (; *names; names++) {
        size_t d = lq_str_distance(written, *names);
        if (d < least) {
            least = d;
            best = *names;
        }
    }
    return best;
}

/* "run doc args …", as far as it fits. */
static void list_names(const char *const *names, char *out, size_t size)
{
    size_t at = 0;
    *out = 0;
    for (; *names && at + strlen(*names) + 2 < size; names++)
        at += (size_t)snprintf(out + at, size - at, "%s%s", at ? " " : "",
                               *names);
}

int lq_lua_unknown_option(const char *written, const char *const *known,
                          const char *const *more, lunaq_error *err)
{
    char list[LIST_MAX];
    const char *meant = lq_lua_meant(written, known);
    if (!meant)
        meant = lq_lua_meant(written, more);
    if (meant)
        return lq_fail(err, LUNAQ_EINVAL,
                       "unknown option '%.60s'; did you mean '%s'?", written,
                       meant);
    list_names(known, list, sizeof list);
    return lq_fail(err, LUNAQ_EINVAL, "unknown option '%.60s' (known: %s)",
                   written, list);
}

int lq_lua_wrong(lua_State *L, const char *name, const char *expected,
                 lunaq_error *err)
{
    if (lua_type(L, -1) == LUA_TNUMBER)
        return lq_fail(err, LUNAQ_EINVAL, "%s: %.14g, where %s is expected",
                       name, lua_tonumber(L, -1), expected);
    return lq_fail(err, LUNAQ_EINVAL, "%s: a %s, where %s is expected", name,
                   luaL_typename(L, -1), expected);
}

int lq_lua_known_members(lua_State *L, const char *what,
                         const char *const *known, const char **stranger,
                         lunaq_error *err)
{
    char list[LIST_MAX];
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        const char *name =
            lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        if (name && lq_lua_is_one_of(name, known))
            continue;
        int type = lua_type(L, -1);
        lua_pop(L, 2);
        *stranger = name;
        list_names(known, list, sizeof list);
        if (name)
            return lq_fail(err, LUNAQ_EINVAL,
                           "%s: unknown member '%.40s' (known: %s)", what, name,
                           list);
        return lq_fail(err, LUNAQ_EINVAL,
                       "%s: a %s stands there without a name (known: %s)", what,
                       lua_typename(L, type), list);
    }
    return LUNAQ_OK;
}

bool lq_lua_is_list(lua_State *L, const char **stranger)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        lua_Integer i = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
        if (i >= 1 && i <= n)
            continue;
        *stranger = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        lua_pop(L, 2);
        return false;
    }
    return true;
}
