/* Reads a configuration file, Lua or JSON, into a tree of values.
 *
 * The Lua chunk runs in a state of its own that has no library but env(), at
 * most 8 MiB, 10 million instructions and 2 s of CPU, and is gone afterwards;
 * what it returns must be data.  Keys of every table end up sorted, so that
 * messages and payloads do not depend on hash order.
 */
#include "bin/config_value.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

enum {
    FILE_MAX = 1 << 20,
    LUA_MEMORY_MAX = 8 << 20,
    LUA_STEPS_MAX = 10000000,
    LUA_STEPS_EACH = 1000, /* between two looks at the clock */
    LUA_SECONDS_MAX = 2,
    DEPTH_MAX = 16
};

const char *config_var(const char *const *vars, const char *name)
{
    size_t len = strlen(name);
    for (; vars && *vars; vars++)
        if (strncmp(*vars, name, len) == 0 && (*vars)[len] == '=')
            return (*vars)[len + 1] ? *vars + len + 1 : NULL;
    return NULL;
}

/* ---- bytes -------------------------------------------------------------- */

int config_read_text(char **text, size_t *len, const char *path,
                     const char *shown, lunaq_error *err)
{
    int rc = LUNAQ_OK;
    struct stat st;
    char *bytes = NULL;
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st)) {
        rc = config_fail(err, LUNAQ_ECONFIG, "%s: cannot be read: %s", shown,
                         strerror(errno));
        goto out;
    }
    if (S_ISDIR(st.st_mode)) {
        rc = config_fail(err, LUNAQ_ECONFIG,
                         "%s: is a folder; a file is expected", shown);
        goto out;
    }
    bytes = malloc(FILE_MAX + 1);
    if (!bytes) {
        rc = config_fail(err, LUNAQ_ENOMEM, "out of memory");
        goto out;
    }
    for (ssize_t got; n <= FILE_MAX; n += (size_t)got) {
        got = read(fd, bytes + n, FILE_MAX + 1 - n);
        if (got < 0 && errno == EINTR)
            got = 0;
        else if (got < 0)
            rc = config_fail(err, LUNAQ_ECONFIG, "%s: cannot be read: %s",
                             shown, strerror(errno));
        else if (got == 0)
            break;
        if (rc)
            goto out;
    }
    if (n > FILE_MAX) {
        rc = config_fail(err, LUNAQ_ECONFIG, "%s: is larger than 1 MiB", shown);
        goto out;
    }
    bytes[n] = 0;
    *text = bytes;
    *len = n;
    bytes = NULL;
out:
    if (fd >= 0)
        close(fd);
    free(bytes);
    return rc;
}

/* ---- trees -------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    return strcmp((*(cJSON *const *)a)->string, (*(cJSON *const *)b)->string);
}

/* Sorts the members of one object; a key that is there twice is an error. */
static int sort_object(cJSON *object, const char *shown, lunaq_error *err)
{
    size_t count = (size_t)cJSON_GetArraySize(object), n = 0;
    if (!object || count == 0)
        return LUNAQ_OK;
    cJSON **all = malloc(count * sizeof(cJSON *));
    if (!all)
        return config_fail(err, LUNAQ_ENOMEM, "out of memory");
    for (cJSON *m = object->child; m; m = m->next)
        all[n++] = m;
    qsort(all, count, sizeof(cJSON *), by_key);
    for (size_t i = 0; i < count; i++) {
        all[i]->next = i + 1 < count ? all[i + 1] : NULL;
        all[i]->prev = i > 0 ? all[i - 1] : all[count - 1];
    }
    object->child = all[0];
    int rc = LUNAQ_OK;
    for (size_t i = 1; rc == LUNAQ_OK && i < count; i++)
        if (strcmp(all[i - 1]->string, all[i]->string) == 0)
            rc = config_fail(err, LUNAQ_ECONFIG, "%s: key %s is there twice",
                             shown, config_quote(all[i]->string).text);
    free(all);
    return rc;
}

static int sort_tree(cJSON *tree, int depth, const char *shown,
                     lunaq_error *err)
{
    if (!tree)
        return LUNAQ_OK;
    if (depth > DEPTH_MAX)
        return config_fail(err, LUNAQ_ECONFIG,
                           "%s: tables are nested deeper than %d", shown,
                           DEPTH_MAX);
    if (cJSON_IsNumber(tree) && fabs(tree->valuedouble) > 9007199254740992.0)
        return config_fail(err, LUNAQ_ECONFIG,
                           "%s: %s%s%.17g cannot be kept exactly; in a payload "
                           "write it as text",
                           shown, tree->string ? tree->string : "",
                           tree->string ? ": " : "", tree->valuedouble);
    if (cJSON_IsObject(tree)) {
        int rc = sort_object(tree, shown, err);
        if (rc)
            return rc;
    }
    if (cJSON_IsObject(tree) || cJSON_IsArray(tree))
        for (cJSON *m = tree->child; m; m = m->next) {
            int rc = sort_tree(m, depth + 1, shown, err);
            if (rc)
                return rc;
        }
    return LUNAQ_OK;
}

static int read_json(cJSON **out, const char *text, size_t len,
                     const char *shown, lunaq_error *err)
{
    const char *end = text;
    cJSON *tree = cJSON_ParseWithLengthOpts(text, len + 1, &end, 1);
    if (!tree) {
        int line = 1;
        for (const char *p = text; p < end && p < text + len; p++)
            line += *p == '\n';
        return config_fail(err, LUNAQ_ECONFIG, "%s:%d: not valid JSON near %s",
                           shown, line,
                           config_quote(end < text + len ? end : "").text);
    }
    *out = tree;
    return LUNAQ_OK;
}

/* ---- Lua ---------------------------------------------------------------- */

struct reading {
    const char *const *vars;
    const char *shown;
    lunaq_error *err;
    size_t used;
    int64_t steps;
    clock_t started;
};

static void *limited_alloc(void *ud, void *p, size_t old, size_t len)
{
    struct reading *r = ud;
    if (!p)
        old = 0;
    if (len == 0) {
        free(p);
        r->used -= old;
        return NULL;
    }
    if (len > old && r->used + (len - old) > LUA_MEMORY_MAX)
        return NULL;
    void *q = realloc(p, len);
    if (q)
        r->used += len - old;
    return q;
}

static int lua_env(lua_State *L) /* raises */
{
    const char *const *vars = lua_touserdata(L, lua_upvalueindex(1));
    const char *value = config_var(vars, luaL_checkstring(L, 1));
    lua_pushstring(L, value); /* nil when NULL */
    return 1;
}

static void count_steps(lua_State *L, lua_Debug *ar) /* raises */
{
    void *ud = NULL;
    lua_getallocf(L, &ud);
    struct reading *r = ud;
    r->steps += LUA_STEPS_EACH;
    if (r->steps > LUA_STEPS_MAX ||
        clock() - r->started > LUA_SECONDS_MAX * CLOCKS_PER_SEC) {
        lua_getinfo(L, "Sl", ar);
        luaL_error(L, "%s:%d: runs too long; a configuration is data",
                   ar->short_src, ar->currentline);
    }
}

static cJSON *from_lua(lua_State *L, int at, int depth, const char *key,
                       struct reading *r);

static cJSON *not_data(struct reading *r, const char *key, const char *what)
{
    config_fail(r->err, LUNAQ_ECONFIG, "%s: %s: %s", r->shown, key, what);
    return NULL;
}

/* A table with the keys 1…n is a list, one with names only an object. */
static cJSON *table_from_lua(lua_State *L, int at, int depth, const char *key,
                             struct reading *r)
{
    size_t count = lua_rawlen(L, at), seen = 0;
    cJSON *tree = count ? cJSON_CreateArray() : cJSON_CreateObject();
    if (!tree || !lua_checkstack(L, 8)) {
        cJSON_Delete(tree);
        return not_data(r, key, "out of memory");
    }
    for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1)) {
        seen++;
        if (count)
            continue;
        size_t len = 0;
        const char *name =
            lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : NULL;
        if (!name || strlen(name) != len) {
            not_data(r, key, "keys must be names");
            goto fail;
        }
        cJSON *v = from_lua(L, lua_gettop(L), depth + 1, name, r);
        if (!v || !cJSON_AddItemToObject(tree, name, v)) {
            cJSON_Delete(v);
            goto fail;
        }
    }
    if (count && seen != count) {
        not_data(r, key, "is half a list, half a table with names");
        goto fail;
    }
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(L, at, (lua_Integer)i);
        cJSON *v = from_lua(L, lua_gettop(L), depth + 1, key, r);
        if (!v || !cJSON_AddItemToArray(tree, v)) {
            cJSON_Delete(v);
            goto fail;
        }
        lua_pop(L, 1);
    }
    return tree;
fail:
    cJSON_Delete(tree);
    return NULL;
}

/* The value at `at` as a tree; NULL with the error set.  Raises nothing. */
static cJSON *from_lua(lua_State *L, int at, int depth, const char *key,
                       struct reading *r)
{
    cJSON *tree = NULL;
    size_t len = 0;
    char text[32];
    key = key ? key : "the table";
    if (depth > DEPTH_MAX)
        return not_data(r, key, "tables are nested too deep, or in themselves");
    switch (lua_type(L, at)) {
    case LUA_TBOOLEAN:
        tree = cJSON_CreateBool(lua_toboolean(L, at));
        break;
    case LUA_TSTRING:
        if (strlen(lua_tolstring(L, at, &len)) != len)
            return not_data(r, key, "text with a NUL byte cannot be used");
        tree = cJSON_CreateString(lua_tostring(L, at));
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, at)) {
            lua_Integer i = lua_tointeger(L, at);
            /* Beyond a double's reach it is kept as it is written. */
            snprintf(text, sizeof(text), "%lld", (long long)i);
            tree = i > (INT64_C(1) << 53) || i < -(INT64_C(1) << 53)
                       ? cJSON_CreateRaw(text)
                       : cJSON_CreateNumber((double)i);
        } else if (isfinite(lua_tonumber(L, at))) {
            tree = cJSON_CreateNumber(lua_tonumber(L, at));
        } else {
            return not_data(r, key, "is not a finite number");
        }
        break;
    case LUA_TTABLE:
        return table_from_lua(L, at, depth, key, r);
    default:
        return not_data(r, key,
                        "is code, not data; use text, numbers, "
                        "booleans and tables");
    }
    return tree ? tree : not_data(r, key, "out of memory");
}

static int run_chunk(lua_State *L) /* raises */
{
    lua_pushcclosure(L, lua_env, 1); /* upvalue: the variables */
    lua_setglobal(L, "env");
    lua_sethook(L, count_steps, LUA_MASKCOUNT, LUA_STEPS_EACH);
    lua_settop(L, 1); /* the chunk */
    lua_call(L, 0, 1);
    return 1;
}

static int read_lua(cJSON **out, const char *text, size_t len,
                    const char *const *vars, const char *shown,
                    lunaq_error *err)
{
    int rc = LUNAQ_ECONFIG;
    struct reading r = {
        .vars = vars, .shown = shown, .err = err, .started = clock()};
    char name[128];
    lua_State *L = lua_newstate(limited_alloc, &r);
    if (!L)
        return config_fail(err, LUNAQ_ENOMEM, "out of memory");
    snprintf(name, sizeof(name), "@%s", shown);
    if (luaL_loadbufferx(L, text, len, name, "t") == LUA_OK) {
        lua_pushcfunction(L, run_chunk); /* chunk, run_chunk, chunk, vars */
        lua_insert(L, 1);
        lua_pushlightuserdata(L, (void *)(uintptr_t)vars);
        if (lua_pcall(L, 2, 1, 0) == LUA_OK)
            rc = LUNAQ_OK;
    }
    if (rc) {
        /* lua_tostring() on a number would allocate, and could raise. */
        const char *message = lua_type(L, -1) == LUA_TSTRING
                                  ? lua_tostring(L, -1)
                                  : "raised a value that is not text";
        bool named = strncmp(message, shown, strlen(shown)) == 0;
        config_fail(err, rc, "%s%s%.200s", named ? "" : shown,
                    named ? "" : ": ", message);
    } else if (!lua_istable(L, -1)) {
        rc = config_fail(err, LUNAQ_ECONFIG,
                         "%s: must return a table, as in "
                         "\"return { concurrency = 20 }\"; it returned %s",
                         shown, luaL_typename(L, -1));
    } else {
        *out = from_lua(L, lua_gettop(L), 0, NULL, &r);
        rc = *out ? LUNAQ_OK : LUNAQ_ECONFIG;
    }
    lua_close(L);
    return rc;
}

/* ---- both --------------------------------------------------------------- */

int config_read_file(cJSON **out, const char *path, const char *shown,
                     const char *const *vars, lunaq_error *err)
{
    char *text = NULL;
    cJSON *tree = NULL;
    size_t len = 0, name = strlen(path);
    int rc = config_read_text(&text, &len, path, shown, err);
    if (rc || !text)
        goto out;
    if (strlen(text) != len) {
        rc = config_fail(err, LUNAQ_ECONFIG,
                         "%s: holds a NUL byte; it must be text", shown);
        goto out;
    }
    if (name > 5 && strcmp(path + name - 5, ".json") == 0)
        rc = read_json(&tree, text, len, shown, err);
    else
        rc = read_lua(&tree, text, len, vars, shown, err);
    if (rc == LUNAQ_OK)
        rc = sort_tree(tree, 0, shown, err);
    if (rc)
        goto out;
    *out = tree;
    tree = NULL;
out:
    cJSON_Delete(tree);
    free(text);
    return rc;
}
