/* The `group` of a handler file: true, or when its groups are due and how they
 * become one task. */
#include "lua/option.h"

#include <lauxlib.h>
#include <stdio.h>

#define GRACE_MIN_MS 1000 /* Asynq's clock has whole seconds */

static const char *const group_members[] = {"grace", "max_delay", "max_size",
                                            "aggregate", NULL};

static int get_member(lq_lua_reader *r, const char *name)
{
    lua_pushstring(r->L, name);
    return lua_rawget(r->L, -2);
}

/* 0 is "none", which the rule writes as -1. */
static int read_time(lq_lua_reader *r, const char *name, int64_t *ms)
{
    int rc = LUNAQ_OK;
    char path[40];
    snprintf(path, sizeof path, "group.%s", name);
    if (get_member(r, name) != LUA_TNIL) {
        rc = lq_lua_option_duration_here(r, path, ms);
        if (!rc && *ms == 0)
            *ms = -1;
    }
    lua_pop(r->L, 1);
    return rc;
}

static int read_size(lq_lua_reader *r)
{
    int rc = LUNAQ_OK, is = 1;
    if (get_member(r, "max_size") != LUA_TNIL) {
        lua_Integer n = lua_type(r->L, -1) == LUA_TNUMBER
                            ? lua_tointegerx(r->L, -1, &is)
                            : -1;
        if (!is || n < 0 || n > INT32_MAX)
            rc = lq_lua_option_wrong(r, "group.max_size",
                                     "a whole number from 0 on");
        r->spec->group.max_size = n == 0 ? -1 : n;
    }
    lua_pop(r->L, 1);
    return rc;
}

static int read_aggregate(lq_lua_reader *r)
{
    int type = get_member(r, "aggregate");
    int rc = type == LUA_TNIL || type == LUA_TFUNCTION
                 ? LUNAQ_OK
                 : lq_lua_option_wrong(r, "group.aggregate",
                                       "a function(group, tasks)");
    r->spec->aggregates = type == LUA_TFUNCTION;
    lua_pop(r->L, 1);
    return rc;
}

static int read_rule(lq_lua_reader *r)
{
    lq_group_rule *rule = &r->spec->group;
    int rc = lq_lua_option_members(r, "group", group_members);
    if (!rc)
        rc = read_time(r, "grace", &rule->grace_ms);
    if (!rc && rule->grace_ms && rule->grace_ms < GRACE_MIN_MS) {
        lq_fail(r->err, LUNAQ_EHANDLER, "group.grace: at least 1s is needed");
        rc = lq_lua_option_fail(r, "group.grace");
    }
    if (!rc)
        rc = read_time(r, "max_delay", &rule->max_delay_ms);
    if (!rc)
        rc = read_size(r);
    if (!rc)
        rc = read_aggregate(r);
    return rc;
}

int lq_lua_handler_group(lq_lua_reader *r)
{
    int type = lq_lua_option_get(r, "group"), rc = LUNAQ_OK;
    bool said =
        type == LUA_TTABLE || (type == LUA_TBOOLEAN && lua_toboolean(r->L, -1));
    if (type == LUA_TTABLE)
        rc = read_rule(r);
    else if (type != LUA_TNIL && type != LUA_TBOOLEAN)
        rc = lq_lua_option_wrong(r, "group",
                                 "a table such as {grace = \"30s\"}, or true");
    r->spec->grouped = said;
    r->s->grouped = r->s->grouped || said;
    lua_pop(r->L, 1);
    return rc;
}
