/* The face of both databases: chooses one by the URL, hands every call on. */
#include "db/backend.h"

/* The path in a sqlite: URL; NULL: not one. */
static const char *sqlite_path(const char *url)
{
    static const char scheme[] = "sqlite:";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return NULL;
    url += sizeof scheme - 1;
    if (strncmp(url, "//", 2) == 0) /* sqlite:///absolute, sqlite://relative */
        url += 2;
    return url;
}

int lq_db_open(lq_db **out, lq_loop *loop, const lq_db_options *options,
               lunaq_error *err)
{
    const char *path = sqlite_path(options->url);
    if (path)
        return lq_db_open_sqlite(out, loop, path, options, err);
    return lq_db_open_pg(out, loop, options, err);
}

int lq_db_migrate(const char *url, const char *folder, lq_log *log,
                  lunaq_error *err)
{
    const char *path = sqlite_path(url);
    if (path)
        return lq_lite_migrate(path, folder, log, err);
    return lq_pg_migrate(url, folder, log, err);
}

void lq_db_close(lq_db *db)
{
    if (db)
        db->of->close(db);
}

void lq_db_stats_get(const lq_db *db, lq_db_stats *out)
{
    db->of->stats_get(db, out);
}

int lq_db_query(lq_db *db, lq_db_tx *tx, const lq_db_statement *statement,
                lq_db_done_fn *done, void *ud, lq_db_call **call,
                lunaq_error *err)
{
    return db->of->query(db, tx, statement, done, ud, call, err);
}

void lq_db_next(lq_db_call *call)
{
    call->of->next(call);
}

void lq_db_abandon(lq_db_call *call)
{
    call->of->abandon(call);
}

int lq_db_begin(lq_db *db, int64_t timeout_ms, lq_db_tx **tx,
                lq_db_done_fn *done, void *ud, lq_db_call **call,
                lunaq_error *err)
{
    return db->of->begin(db, timeout_ms, tx, done, ud, call, err);
}

int lq_db_commit(lq_db_tx *tx, int64_t timeout_ms, lq_db_done_fn *done,
                 void *ud, lq_db_call **call, lunaq_error *err)
{
    return tx->of->commit(tx, timeout_ms, done, ud, call, err);
}

void lq_db_release(lq_db_tx *tx)
{
    if (tx)
        tx->of->release(tx);
}

int lq_db_savepoint(lq_db_tx *tx, lq_db_savepoint_op op, unsigned depth,
                    lunaq_error *err)
{
    return tx->of->savepoint(tx, op, depth, err);
}

size_t lq_db_result_rows(const lq_db_result *r)
{
    return r->of->rows(r);
}

size_t lq_db_result_columns(const lq_db_result *r)
{
    return r->of->columns(r);
}

const char *lq_db_result_column(const lq_db_result *r, size_t column)
{
    return r->of->column(r, column);
}

int64_t lq_db_result_affected(const lq_db_result *r)
{
    return r->of->affected(r);
}

int lq_db_result_get(const lq_db_result *r, size_t row, size_t column,
                     lq_buf *scratch, lq_db_value *value)
{
    return r->of->get(r, row, column, scratch, value);
}

void lq_db_result_free(lq_db_result *r)
{
    if (r)
        r->of->free(r);
}
