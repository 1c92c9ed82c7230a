/* Rows of SQLite, copied, and its errors in PostgreSQL's words. */
#include "db/sqlite_pool.h"

#include <strings.h>

struct lite_result {
    lq_db_result base;
    lq_arena arena;
    const char **names;
    bool *bools; /* columns declared as boolean */
    size_t columns, rows, cap;
    int64_t affected; /* -1 = the rows */
    lq_db_value *cells;
};

static const struct lite_result *mine(const lq_db_result *r)
{
    return (const struct lite_result *)(const void *)r; /* base is first */
}

static size_t rows(const lq_db_result *r)
{
    return mine(r)->rows;
}

static size_t columns(const lq_db_result *r)
{
    return mine(r)->columns;
}

static const char *column_name(const lq_db_result *r, size_t column)
{
    return mine(r)->names[column];
}

static int64_t affected(const lq_db_result *base)
{
    const struct lite_result *r = mine(base);
    return r->affected >= 0 ? r->affected : (int64_t)r->rows;
}

static int get(const lq_db_result *base, size_t row, size_t column,
               lq_buf *scratch, lq_db_value *value)
{
    const struct lite_result *r = mine(base);
    (void)scratch;
    *value = r->cells[row * r->columns + column];
    return 0;
}

static void result_free(lq_db_result *base)
{
    struct lite_result *r = LQ_OF(base, struct lite_result, base);
    lq_arena_release(&r->arena);
    lq_free(r->cells);
    lq_free(r);
}

static const lq_db_rows lite_rows = {.rows = rows,
                                     .columns = columns,
                                     .column = column_name,
                                     .affected = affected,
                                     .get = get,
                                     .free = result_free};

lq_db_result *lq_lite_result_new(sqlite3_stmt *stmt)
{
    struct lite_result *r = lq_calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->base.of = &lite_rows;
    r->affected = -1;
    r->columns = (size_t)sqlite3_column_count(stmt);
    if (r->columns == 0)
        return &r->base;
    r->names = lq_arena_alloc(&r->arena, r->columns * sizeof *r->names);
    r->bools = lq_arena_alloc(&r->arena, r->columns * sizeof *r->bools);
    for (size_t i = 0; r->names && r->bools && i < r->columns; i++) {
        const char *name = sqlite3_column_name(stmt, (int)i);
        const char *type = sqlite3_column_decltype(stmt, (int)i);
        r->bools[i] = type && (strcasecmp(type, "boolean") == 0 ||
                               strcasecmp(type, "bool") == 0);
        r->names[i] = name ? lq_arena_dup(&r->arena, lq_str_c(name)) : NULL;
        if (!r->names[i])
            r->names = NULL;
    }
    if (r->names && r->bools)
        return &r->base;
    result_free(&r->base);
    return NULL;
}

static bool take_cell(struct lite_result *r, sqlite3_stmt *stmt, int i,
                      lq_db_value *v)
{
    const char *bytes;
    *v = (lq_db_value){.kind = LQ_DB_NULL};
    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_INTEGER:
        v->num = sqlite3_column_int64(stmt, i);
        v->kind = r->bools[i] && (v->num == 0 || v->num == 1) ? LQ_DB_BOOL
                                                              : LQ_DB_INT;
        return true;
    case SQLITE_FLOAT:
        v->kind = LQ_DB_FLOAT;
        v->real = sqlite3_column_double(stmt, i);
        return true;
    case SQLITE_NULL:
        return true;
    case SQLITE_BLOB:
        v->kind = LQ_DB_BYTES;
        bytes = sqlite3_column_blob(stmt, i); /* NULL when it is empty */
        break;
    default:
        v->kind = LQ_DB_TEXT;
        bytes = (const char *)sqlite3_column_text(stmt, i);
        if (!bytes)
            return false;
    }
    v->str.len = (size_t)sqlite3_column_bytes(stmt, i);
    v->str.p = lq_arena_dup(&r->arena,
                            bytes ? lq_str_n(bytes, v->str.len) : LQ_STR(""));
    return v->str.p && (bytes || v->str.len == 0);
}

bool lq_lite_result_add(lq_db_result *base, sqlite3_stmt *stmt)
{
    struct lite_result *r = LQ_OF(base, struct lite_result, base);
    if (r->rows == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 4;
        lq_db_value *more =
            lq_realloc(r->cells, cap * r->columns * sizeof *more);
        if (!more)
            return false;
        r->cells = more;
        r->cap = cap;
    }
    for (size_t i = 0; i < r->columns; i++)
        if (!take_cell(r, stmt, (int)i, &r->cells[r->rows * r->columns + i]))
            return false;
    r->rows++;
    return true;
}

void lq_lite_result_affected(lq_db_result *base, int64_t n)
{
    LQ_OF(base, struct lite_result, base)->affected = n;
}

const char *lq_lite_sqlstate(int sqlite_rc)
{
    switch (sqlite_rc) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return "23505";
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return "23503";
    case SQLITE_CONSTRAINT_NOTNULL:
        return "23502";
    case SQLITE_CONSTRAINT_CHECK:
        return "23514";
    case SQLITE_FULL:
        return "53100";
    case SQLITE_INTERRUPT:
        return "57014";
    default:
        return "";
    }
}
