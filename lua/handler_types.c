/* Which task types a handler file has: its `type`, its `types`, or its name. */
#include "lua/handler.h"
#include "lua/option.h"

bool lq_lua_type_of(const char *name, char *out, size_t size, bool *any)
{
    size_t len = strlen(name);
    if (len < 5 || len - 4 >= size)
        return false;
    len -= 4; /* ".lua" */
    memcpy(out, name, len);
    out[len] = 0;
    const char *leaf = strrchr(out, '/');
    leaf = leaf ? leaf + 1 : out;
    *any = strcmp(leaf, "_") == 0;
    if (*any)
        out[leaf - out] = 0;
    for (size_t i = 0; out[i]; i++) {
        if (out[i] == '_' && (i == 0 || out[i - 1] == ':'))
            return false;
        if (out[i] == '/')
            out[i] = ':';
    }
    return true;
}

static int add_type(lq_lua_reader *r, const char *type)
{
    lunaq_error err;
    if (!r->spec->any && lq_name_check("type", lq_str_c(type), &err)) {
        *r->err = err;
        return lq_lua_option_fail(r, "type");
    }
    const lq_lua_spec *other = lq_map_get(&r->s->types, lq_str_c(type));
    if (other && other != r->spec) {
        lq_fail(r->err, LUNAQ_EHANDLER,
                "%s and %s both handle the type '%s'; give one of them another "
                "`type`",
                other->file->name, r->spec->file->name, type);
        return LUNAQ_EHANDLER;
    }
    if (!lq_map_set(&r->s->types, lq_str_c(type), r->spec, NULL))
        return lq_fail_nomem(r->err);
    r->s->type_count += !other;
    return LUNAQ_OK;
}

int lq_lua_handler_types(lq_lua_reader *r)
{
    lq_lua_spec *spec = r->spec;
    char own[LUNAQ_NAME_MAX * 2];
    int rc = LUNAQ_OK;
    if (r->table) {
        const char *one = NULL;
        rc = lq_lua_option_text(r, "type", &one);
        if (!rc && one) {
            spec->types = lq_arena_alloc(&r->s->mem, sizeof *spec->types);
            if (!spec->types)
                return lq_fail_nomem(r->err);
            spec->types[0] = one;
            spec->type_count = 1;
        }
        if (!rc && lq_lua_option_get(r, "types") != LUA_TNIL) {
            if (one) {
                lq_fail(r->err, LUNAQ_EHANDLER, "both `type` and `types`");
                rc = lq_lua_option_fail(r, "types");
            } else {
                rc = lq_lua_option_list(r, "types", &spec->types,
                                        &spec->type_count);
            }
            lua_pop(r->L, 1);
        } else if (!rc) {
            lua_pop(r->L, 1);
        }
    }
    if (rc)
        return rc;
    if (spec->type_count == 0) {
        if (!lq_lua_type_of(spec->file->name, own, sizeof own, &spec->any))
            return lq_fail(r->err, LUNAQ_EHANDLER, "%s: the name is too long",
                           spec->file->name);
        spec->types = lq_arena_alloc(&r->s->mem, sizeof *spec->types);
        if (!spec->types)
            return lq_fail_nomem(r->err);
        spec->types[0] = lq_arena_dup(&r->s->mem, lq_str_c(own));
        if (!spec->types[0])
            return lq_fail_nomem(r->err);
        spec->type_count = 1;
    }
    for (size_t i = 0; i < spec->type_count && !rc; i++)
        rc = add_type(r, spec->types[i]);
    return rc;
}
