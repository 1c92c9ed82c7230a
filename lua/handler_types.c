/* Which task types a handler file has: its `type`, its `types`, or its name. */
#include "lua/handler.h"
#include "lua/option.h"

bool lq_lua_type_of(const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    if (len < 5 || len - 4 >= size)
        return false;
    len -= 4; /* ".lua" */
    memcpy(out, name, len);
    out[len] = 0;
    const char *leaf = strrchr(out, '/');
    leaf = leaf ? leaf + 1 : out;
    if (strcmp(leaf, "_") == 0)
        out[leaf - out] = '*';
    for (size_t i = 0; out[i]; i++) {
        if (out[i] == '_' && (i == 0 || out[i - 1] == ':'))
            return false;
        if (out[i] == '/')
            out[i] = ':';
    }
    return true;
}

/* Enters a prefix behind those that are longer. */
static int add_prefix(lq_lua_reader *r, lq_str text)
{
    lq_lua_snapshot *s = r->s;
    if (s->prefix_count == s->prefix_cap) {
        size_t cap = s->prefix_cap ? s->prefix_cap * 2 : 16;
        lq_lua_prefix *more = lq_arena_alloc(&s->mem, cap * sizeof *more);
        if (!more)
            return lq_fail_nomem(r->err);
        if (s->prefix_count > 0)
            memcpy(more, s->prefixes, s->prefix_count * sizeof *more);
        s->prefixes = more;
        s->prefix_cap = cap;
    }
    size_t i = s->prefix_count++;
    for (; i > 0 && s->prefixes[i - 1].text.len < text.len; i--)
        s->prefixes[i] = s->prefixes[i - 1];
    s->prefixes[i] = (lq_lua_prefix){text, r->spec};
    return LUNAQ_OK;
}

/* "a:b", or with a '*' at the end all that begin so. */
static int check_type(lq_lua_reader *r, const char *option, lq_str type,
                      bool *prefix)
{
    lunaq_error err;
    *prefix = type.len > 0 && type.p[type.len - 1] == '*';
    type.len -= *prefix;
    int rc =
        *prefix && type.len == 0 ? LUNAQ_OK : lq_name_check("type", type, &err);
    if (!rc && type.len > 0 && memchr(type.p, '*', type.len))
        rc = lq_fail(&err, LUNAQ_EHANDLER,
                     "type: a '*' may stand only at the end, for all that "
                     "begin so");
    if (!rc)
        return LUNAQ_OK;
    *r->err = err;
    return lq_lua_option_fail(r, option);
}

/* option: where it stands; "" is the file's name. */
static int add_type(lq_lua_reader *r, const char *option, const char *text)
{
    lq_str type = lq_str_c(text);
    bool prefix;
    int rc = check_type(r, option, type, &prefix);
    if (rc)
        return rc;
    const lq_lua_spec *other = lq_map_get(&r->s->types, type);
    if (other == r->spec)
        return LUNAQ_OK;
    if (other)
        return lq_fail(r->err, LUNAQ_EHANDLER,
                       "%s and %s both handle the type '%s'; give one of them "
                       "another `type`",
                       other->file->name, r->spec->file->name, text);
    if (!lq_map_set(&r->s->types, type, r->spec, NULL))
        return lq_fail_nomem(r->err);
    r->s->type_count++;
    return prefix ? add_prefix(r, lq_str_n(text, type.len - 1)) : LUNAQ_OK;
}

int lq_lua_handler_types(lq_lua_reader *r)
{
    lq_lua_spec *spec = r->spec;
    char own[LUNAQ_NAME_MAX * 2];
    const char *option = "types";
    int rc = LUNAQ_OK;
    if (r->table) {
        const char *one = NULL;
        rc = lq_lua_option_text(r, "type", &one);
        if (!rc && one) {
            spec->types = lq_arena_alloc(&r->s->mem, sizeof *spec->types);
            if (!spec->types)
                return lq_fail_nomem(r->err);
            spec->types[0] = one;
            option = "type";
            spec->type_count = 1;
        }
        if (!rc && lq_lua_option_get(r, "types") != LUA_TNIL) {
            if (one) {
                lq_fail(r->err, LUNAQ_EHANDLER,
                        "types: there is `type`, too: give one of them");
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
        option = "";
        if (!lq_lua_type_of(spec->file->name, own, sizeof own))
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
        rc = add_type(r, option, spec->types[i]);
    return rc;
}
