/* Entries from a table: a handler file in lunaq's own hand. */
#include "lua/schedule_table.h"

#include <openssl/evp.h>
#include <stdio.h>

/* What is read of a row; other columns are the application's. */
static const char text_head[] = "local query = ";
static const char text_tail[] =
    "\n"
    "local columns = {'type', 'spec', 'name', 'tz', 'dst', 'missed', 'queue',\n"
    "  'max_retry', 'timeout', 'retention', 'unique', 'group', 'payload'}\n"
    "local off = {['0'] = true, f = true, ['false'] = true, n = true,\n"
    "  no = true}\n"
    "local function entry_of(row)\n"
    "  local e = {}\n"
    "  for _, name in ipairs(columns) do e[name] = row[name] end\n"
    "  if type(e.payload) == 'string' then\n"
    "    e.raw, e.payload = e.payload, nil\n"
    "  end\n"
    "  return e\n"
    "end\n"
    "return {\n"
    "  doc = 'Periodic entries from the database.',\n"
    "  schedule = function()\n"
    "    local list = {}\n"
    "    for _, row in ipairs(db.query(query)) do\n"
    "      local on = row.enabled\n"
    "      if on == nil or on ~= false and not off[tostring(on)] then\n"
    "        list[#list + 1] = entry_of(row)\n"
    "      end\n"
    "    end\n"
    "    return list\n"
    "  end,\n"
    "}\n";

static bool is_table(const char *what)
{
    for (const char *p = what; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
              (*p >= '0' && *p <= '9') || *p == '_' || *p == '.'))
            return false;
    return *what != 0;
}

/* As a Lua string, whatever it holds. */
static void add_quoted(lq_buf *b, const char *text)
{
    lq_buf_add_char(b, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == '"' || *p == '\\')
            lq_buf_printf(b, "\\%03u", *p);
        else
            lq_buf_add_char(b, (char)*p);
    lq_buf_add_char(b, '"');
}

static bool add_hash(lq_lua_file *f)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!EVP_Digest(f->text.p, f->text.len, digest, &len, EVP_sha1(), NULL))
        return false;
    for (unsigned i = 0; i < len && i < 20; i++)
        snprintf(f->hash + (size_t)2 * i, 3, "%02x", digest[i]);
    return true;
}

int lq_lua_schedule_table(lq_lua_file *out, const char *what, lq_arena *mem,
                          lunaq_error *err)
{
    lq_buf query, b;
    int rc = LUNAQ_OK;
    lq_buf_init(&query, 0);
    lq_buf_init(&b, 0);
    if (is_table(what))
        lq_buf_printf(&query, "select * from %s", what);
    else if (strchr(what, ' ') || strchr(what, '\n'))
        lq_buf_add_c(&query, what);
    else
        rc = lq_fail(err, LUNAQ_ECONFIG,
                     "schedules is \"%.60s\": use the name of a table, or a "
                     "query",
                     what);
    if (rc)
        goto out;
    lq_buf_add_c(&b, text_head);
    add_quoted(&b, query.p ? query.p : "");
    lq_buf_add_c(&b, text_tail);
    *out = (lq_lua_file){.name = "(schedules)"};
    out->text =
        lq_str_n(b.failed ? NULL : lq_arena_dup(mem, lq_buf_str(&b)), b.len);
    if (!out->text.p || !add_hash(out))
        rc = lq_fail_nomem(err);
out:
    lq_buf_release(&query);
    lq_buf_release(&b);
    return rc;
}
