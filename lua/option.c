/* Reading options: see option.h.  Raw accesses only, so nothing raises. */
#include "lua/option.h"

#include <ctype.h>
#include <lauxlib.h>

#include "lua/enqueue.h"
#include "lua/names.h"

/* ---- places -------------------------------------------------------------- */

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The line where `name =` stands first, outside of comments; 0 when it does
 * nowhere.  "" is no name. */
static int line_of(lq_str text, const char *name)
{
    size_t len = strlen(name);
    int line = 1;
    for (size_t i = 0; len > 0 && i + len <= text.len; i++) {
        if (text.p[i] == '-' && i + 1 < text.len && text.p[i + 1] == '-')
            while (i + 1 < text.len && text.p[i] != '\n')
                i++;
        if (text.p[i] == '\n')
            line++;
        if (i + len > text.len || memcmp(text.p + i, name, len) != 0 ||
            (i > 0 && is_name(text.p[i - 1])))
            continue;
        size_t j = i + len;
        while (j < text.len && (text.p[j] == ' ' || text.p[j] == '\t'))
            j++;
        if (j < text.len && text.p[j] == '=' &&
            (j + 1 == text.len || text.p[j + 1] != '='))
            return line;
    }
    return 0;
}

/* Puts "file:line: " before the message in *err. */
int lq_lua_option_fail(lq_lua_reader *r, const char *option)
{
    const lq_lua_file *f = r->spec->file;
    const char *dot = strrchr(option, '.'); /* "group.grace" */
    int line = line_of(f->text, dot ? dot + 1 : option);
    if (line > 0)
        lq_error_prefix(r->err, "%s:%d", f->name, line);
    else
        lq_error_prefix(r->err, "%s", f->name);
    r->err->code = LUNAQ_EHANDLER;
    return LUNAQ_EHANDLER;
}

int lq_lua_option_wrong(lq_lua_reader *r, const char *option,
                        const char *expected)
{
    lq_lua_wrong(r->L, option, expected, r->err);
    return lq_lua_option_fail(r, option);
}

int lq_lua_option_members(lq_lua_reader *r, const char *option,
                          const char *const *known)
{
    const char *stranger = NULL;
    int rc = lq_lua_known_members(r->L, option, known, &stranger, r->err);
    return rc ? lq_lua_option_fail(r, stranger ? stranger : option) : LUNAQ_OK;
}

int lq_lua_option_only_list(lq_lua_reader *r, const char *option)
{
    const char *stranger = NULL;
    if (lq_lua_is_list(r->L, &stranger))
        return LUNAQ_OK;
    lq_fail(r->err, LUNAQ_EHANDLER,
            "%s: it is a list, in which '%.40s' has no meaning", option,
            stranger ? stranger : "?");
    return lq_lua_option_fail(r, stranger ? stranger : option);
}

/* ---- values -------------------------------------------------------------- */

int lq_lua_option_get(lq_lua_reader *r, const char *name)
{
    lua_pushstring(r->L, name);
    return lua_rawget(r->L, r->table);
}

int lq_lua_option_copy(lq_lua_reader *r, const char *option, const char **out)
{
    size_t len;
    if (lua_type(r->L, -1) != LUA_TSTRING)
        return lq_lua_option_wrong(r, option, "a string");
    const char *p = lua_tolstring(r->L, -1, &len);
    if (memchr(p, 0, len)) {
        lq_fail(r->err, LUNAQ_EHANDLER, "%s: it holds a zero byte", option);
        return lq_lua_option_fail(r, option);
    }
    *out = lq_arena_dup(&r->s->mem, lq_str_n(p, len));
    return *out ? LUNAQ_OK : lq_fail_nomem(r->err);
}

int lq_lua_option_text(lq_lua_reader *r, const char *name, const char **out)
{
    int rc = lq_lua_option_get(r, name) == LUA_TNIL
                 ? LUNAQ_OK
                 : lq_lua_option_copy(r, name, out);
    lua_pop(r->L, 1);
    return rc;
}

/* The list of strings on top. */
int lq_lua_option_list(lq_lua_reader *r, const char *option, const char ***out,
                       size_t *count)
{
    size_t n = lua_istable(r->L, -1) ? lua_rawlen(r->L, -1) : 0;
    if (n == 0 || n > LQ_OPTION_LIST_MAX)
        return lq_lua_option_wrong(r, option, "a list of strings");
    int rc = lq_lua_option_only_list(r, option);
    if (rc)
        return rc;
    *out = lq_arena_alloc(&r->s->mem, n * sizeof **out);
    if (!*out)
        return lq_fail_nomem(r->err);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(r->L, -1, (lua_Integer)i + 1);
        rc = lq_lua_option_copy(r, option, &(*out)[i]);
        lua_pop(r->L, 1);
        if (rc)
            return rc;
    }
    *count = n;
    return LUNAQ_OK;
}

int lq_lua_option_duration_here(lq_lua_reader *r, const char *option,
                                int64_t *ms)
{
    return lq_lua_duration_at(r->L, -1, option, ms, r->err)
               ? lq_lua_option_fail(r, option)
               : LUNAQ_OK;
}

int lq_lua_option_duration(lq_lua_reader *r, const char *name, int64_t *out)
{
    int rc = lq_lua_option_get(r, name) == LUA_TNIL
                 ? LUNAQ_OK
                 : lq_lua_option_duration_here(r, name, out);
    lua_pop(r->L, 1);
    return rc;
}

int lq_lua_option_count(lq_lua_reader *r, const char *name, int64_t *out)
{
    int rc = LUNAQ_OK;
    if (lq_lua_option_get(r, name) != LUA_TNIL) {
        int is = 0;
        lua_Integer n = lua_type(r->L, -1) == LUA_TNUMBER
                            ? lua_tointegerx(r->L, -1, &is)
                            : 0;
        if (!is || n < 0 || n > INT32_MAX)
            rc = lq_lua_option_wrong(r, name, "a whole number from 0 on");
        *out = n;
    }
    lua_pop(r->L, 1);
    return rc;
}
