/* Rows and errors of the server, in our words. */
#include "db/result.h"

#include "base/alloc.h"
#include "base/list.h"
#include "db/backend.h"

#include <locale.h>
#include <stdlib.h>

/* Type numbers of PostgreSQL's own types never change. */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_OID = 26,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701
};

struct pg_result {
    lq_db_result base;
    PGresult **parts; /* one with all rows, or many with one row each */
    size_t count, cap;
    size_t rows;
};

static struct pg_result *mine(lq_db_result *r)
{
    return LQ_OF(r, struct pg_result, base);
}

static const struct pg_result *mine_const(const lq_db_result *r)
{
    return (const struct pg_result *)(const void *)r; /* base is first */
}

bool lq_db_result_take(lq_db_result *base, PGresult *r)
{
    struct pg_result *result = mine(base);
    size_t rows = (size_t)PQntuples(r);
    /* The end of a chunked result: only its columns matter, if at all. */
    if (rows == 0 && result->count > 0) {
        PQclear(r);
        return true;
    }
    if (result->count == result->cap) {
        size_t cap = result->cap ? result->cap * 2 : 1;
        PGresult **more = lq_realloc(result->parts, cap * sizeof(PGresult *));
        if (!more) {
            PQclear(r);
            return false;
        }
        result->parts = more;
        result->cap = cap;
    }
    result->parts[result->count++] = r;
    result->rows += rows;
    return true;
}

static void result_free(lq_db_result *base)
{
    struct pg_result *r = mine(base);
    for (size_t i = 0; i < r->count; i++)
        PQclear(r->parts[i]);
    lq_free(r->parts);
    lq_free(r);
}

static size_t rows(const lq_db_result *base)
{
    return mine_const(base)->rows;
}

static size_t columns(const lq_db_result *base)
{
    const struct pg_result *r = mine_const(base);
    return r->count ? (size_t)PQnfields(r->parts[0]) : 0;
}

static const char *column_name(const lq_db_result *base, size_t column)
{
    return PQfname(mine_const(base)->parts[0], (int)column);
}

static int64_t affected(const lq_db_result *base)
{
    const struct pg_result *r = mine_const(base);
    int64_t n = 0;
    if (r->count != 1)
        return (int64_t)r->rows;
    const char *text = PQcmdTuples(r->parts[0]);
    if (!*text || !lq_str_int64(lq_str_c(text), &n))
        return (int64_t)r->rows;
    return n;
}

/* ---- cells -------------------------------------------------------------- */

static double to_double(const char *text)
{
    char local[64];
    const char *point = localeconv()->decimal_point;
    if (point[0] == '.' && !point[1])
        return strtod(text, NULL);
    /* An embedding program may have set a locale, which strtod() obeys. */
    snprintf(local, sizeof local, "%s", text);
    char *dot = strchr(local, '.');
    if (dot && !point[1])
        *dot = point[0];
    return strtod(local, NULL);
}

static int nibble(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* bytea as the server writes it: "\x6162", or the older escape format. */
static int to_bytes(lq_str text, lq_buf *scratch, lq_str *out)
{
    lq_buf_clear(scratch);
    if (lq_str_starts(text, LQ_STR("\\x"))) {
        size_t len = (text.len - 2) / 2;
        char *p = lq_buf_reserve(scratch, len);
        if (!p)
            return LUNAQ_ENOMEM;
        for (size_t i = 0; i < len; i++)
            p[i] = (char)(nibble(text.p[2 + 2 * i]) << 4 |
                          nibble(text.p[3 + 2 * i]));
        lq_buf_grew(scratch, len);
    } else {
        size_t len = 0;
        unsigned char *p = PQunescapeBytea((const unsigned char *)text.p, &len);
        if (!p)
            return LUNAQ_ENOMEM;
        lq_buf_add(scratch, p, len);
        PQfreemem(p);
        if (scratch->failed)
            return LUNAQ_ENOMEM;
    }
    *out = lq_buf_str(scratch);
    return 0;
}

static int get(const lq_db_result *base, size_t row, size_t column,
               lq_buf *scratch, lq_db_value *value)
{
    const struct pg_result *r = mine_const(base);
    const PGresult *part = r->parts[0];
    int at = (int)row, col = (int)column;
    if (r->count > 1) {
        part = r->parts[row];
        at = 0;
    }
    *value = (lq_db_value){.kind = LQ_DB_NULL};
    if (PQgetisnull(part, at, col))
        return 0;
    lq_str text = {PQgetvalue(part, at, col),
                   (size_t)PQgetlength(part, at, col)};
    switch (PQftype(part, col)) {
    case OID_BOOL:
        value->kind = LQ_DB_BOOL;
        value->num = text.p[0] == 't';
        return 0;
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID:
        value->kind = LQ_DB_INT;
        if (lq_str_int64(text, &value->num))
            return 0;
        break;
    case OID_FLOAT4:
    case OID_FLOAT8:
        value->kind = LQ_DB_FLOAT;
        value->real = to_double(text.p);
        return 0;
    case OID_BYTEA:
        value->kind = LQ_DB_BYTES;
        return to_bytes(text, scratch, &value->str);
    default:
        break;
    }
    value->kind = LQ_DB_TEXT;
    value->str = text;
    return 0;
}

static const lq_db_rows pg_rows = {.rows = rows,
                                   .columns = columns,
                                   .column = column_name,
                                   .affected = affected,
                                   .get = get,
                                   .free = result_free};

lq_db_result *lq_db_result_new(void)
{
    struct pg_result *r = lq_calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->base.of = &pg_rows;
    return &r->base;
}

/* ---- errors ------------------------------------------------------------- */

#define SQL_SHOWN 200

/* Appends in one line. */
static void add_line(lq_buf *out, lq_str text)
{
    bool space = false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c <= ' ') {
            space = out->len > 0;
            continue;
        }
        if (space && out->p[out->len - 1] != ' ')
            lq_buf_add_char(out, ' ');
        space = false;
        lq_buf_add_char(out, (char)c);
    }
}

static void add_field(lq_buf *out, const PGresult *r, int field,
                      const char *before)
{
    const char *text = PQresultErrorField(r, field);
    if (!text)
        return;
    lq_buf_add_c(out, before);
    add_line(out, lq_str_c(text));
}

void lq_db_explain(lq_buf *out, const PGresult *r, const char *text, lq_str sql,
                   char *sqlstate)
{
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    sqlstate[0] = 0;
    if (r && PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY)) {
        add_field(out, r, PG_DIAG_MESSAGE_PRIMARY, "");
        add_field(out, r, PG_DIAG_MESSAGE_DETAIL, "; ");
        add_field(out, r, PG_DIAG_MESSAGE_HINT, "; hint: ");
    } else {
        add_line(out, lq_str_c(text && *text ? text : "the connection broke"));
    }
    if (state && strlen(state) == 5) {
        memcpy(sqlstate, state, 6);
        lq_buf_printf(out, " (SQLSTATE %s)", state);
    }
    if (sql.len == 0)
        return;
    size_t shown = sql.len;
    if (shown > SQL_SHOWN) /* not in the middle of a character */
        for (shown = SQL_SHOWN; shown > 0 && (sql.p[shown] & 0xc0) == 0x80;)
            shown--;
    lq_buf_add_c(out, " in: ");
    add_line(out, lq_str_n(sql.p, shown));
    if (shown < sql.len)
        lq_buf_add_c(out, "…");
}
