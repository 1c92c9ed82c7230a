/* The `cron` of a handler file: one entry or a list. */
#include "lua/handler.h"

#include <lauxlib.h>

#include "lua/enqueue.h"
#include "lua/mod_task.h"
#include "lua/names.h"
#include "lua/option.h"
#include "task/cron_rule.h"

/* The member of the table on top; *out NULL when there is none. */
static int member(lq_lua_reader *r, const char *name, const char **out)
{
    *out = NULL;
    lua_pushstring(r->L, name);
    int rc = lua_rawget(r->L, -2) == LUA_TNIL
                 ? LUNAQ_OK
                 : lq_lua_option_copy(r, name, out);
    lua_pop(r->L, 1);
    return rc;
}

static const char *const cron_members[] = {"spec",   "name",    "tz", "dst",
                                           "missed", "payload", NULL};

/* Every tick of an entry whose payload, on top, is not what the file's `args`
 * ask for would be archived. */
static int check_args(lq_lua_reader *r)
{
    char refusal[160] = "";
    if (r->spec->arg_count == 0)
        return LUNAQ_OK;
    if (lua_isnil(r->L, -1))
        lua_newtable(r->L);
    else
        lua_pushvalue(r->L, -1);
    lq_lua_args_check(r->L, r->spec, refusal, sizeof refusal);
    lua_pop(r->L, 1);
    if (!*refusal)
        return LUNAQ_OK;
    lq_fail(r->err, LUNAQ_EHANDLER,
            "cron: by `args` every tick would be archived: %s", refusal);
    return lq_lua_option_fail(r, "cron");
}

/* One entry, on top: a spec, or a table. */
static int add_cron(lq_lua_reader *r)
{
    lua_State *L = r->L;
    lq_lua_cron *c = lq_arena_alloc(&r->s->mem, sizeof *c);
    if (!c)
        return lq_fail_nomem(r->err);
    c->handler = r->spec;
    c->type = r->spec->types[0];
    int rc = LUNAQ_OK;
    bool table = lua_istable(L, -1);
    if (!table) {
        rc = lua_type(L, -1) == LUA_TSTRING
                 ? lq_lua_option_copy(r, "cron", &c->spec)
                 : lq_lua_option_wrong(
                       r, "cron", "a spec such as \"0 7 * * *\", or a table");
    } else {
        rc = lq_lua_option_members(r, "cron", cron_members);
        if (!rc)
            rc = member(r, "spec", &c->spec);
        if (!rc)
            rc = member(r, "name", &c->name);
        if (!rc && c->name &&
            lq_name_check("cron.name", lq_str_c(c->name), r->err))
            rc = lq_lua_option_fail(r, "name");
        if (!rc)
            rc = member(r, "tz", &c->tz);
        if (!rc)
            rc = member(r, "dst", &c->dst);
        if (!rc)
            rc = member(r, "missed", &c->missed);
    }
    if (rc)
        return rc;
    if (!c->spec)
        return lq_lua_option_wrong(r, "cron",
                                   "a spec (cron = {spec = \"@every 1h\"})");
    const lq_cron_text text = {c->spec, c->tz, c->dst, c->missed};
    if (lq_cron_rule_check(&text, r->err)) {
        lq_error_prefix(r->err, "cron \"%s\"", c->spec);
        return lq_lua_option_fail(r, "cron");
    }
    if (table) {
        lua_pushliteral(L, "payload");
        lua_rawget(L, -2);
    } else {
        lua_pushnil(L);
    }
    rc = check_args(r);
    if (rc) {
        lua_pop(L, 1);
        return rc;
    }
    rc = lq_lua_read_enqueue(L, lq_str_c(c->type), -1, 0, false, r->s,
                             &r->s->mem, &c->item, r->err);
    lua_pop(L, 1);
    if (rc)
        return lq_lua_option_fail(r, "cron");
    c->ready = true;
    c->next = r->s->crons;
    r->s->crons = c;
    return LUNAQ_OK;
}

/* cron = {"@daily", payload = {…}} */
static int mixed(lq_lua_reader *r, const char *stranger)
{
    lq_fail(r->err, LUNAQ_EHANDLER,
            "cron: it is a list, in which '%.40s' has no meaning: write {spec "
            "= \"@daily\", %.40s = \xe2\x80\xa6}",
            stranger, stranger);
    return lq_lua_option_fail(r, "cron");
}

int lq_lua_handler_crons(lq_lua_reader *r)
{
    lua_State *L = r->L;
    const char *stranger = NULL;
    int rc = LUNAQ_OK, type = lq_lua_option_get(r, "cron");
    if (type == LUA_TNIL)
        goto out;
    const char *type_name = r->spec->types[0];
    if (type_name[strlen(type_name) - 1] == '*') {
        lq_fail(r->err, LUNAQ_EHANDLER,
                "cron: this file handles many types; give it a `type`");
        rc = lq_lua_option_fail(r, "cron");
        goto out;
    }
    size_t n = type == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
    if (n == 0)
        rc = add_cron(r);
    else if (!lq_lua_is_list(L, &stranger))
        rc = mixed(r, stranger ? stranger : "?");
    for (size_t i = 0; i < n && !rc; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        rc = add_cron(r);
        lua_pop(L, 1);
    }
out:
    lua_pop(L, 1);
    return rc;
}
