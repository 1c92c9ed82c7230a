/* What a database has to offer to stand behind db.h: PostgreSQL (pg.c and what
 * it uses) or SQLite (sqlite_*.c).  They are beside each other, unaware of each
 * other; db.c chooses one by the URL, and hands every call on.
 *
 * A pool, a call, a transaction and a result each begin with one of these.
 */
#ifndef LQ_DB_BACKEND_H
#define LQ_DB_BACKEND_H

#include "db/db.h"

typedef struct lq_db_backend {
    void (*close)(lq_db *db);
    void (*stats_get)(const lq_db *db, lq_db_stats *out);
    int (*query)(lq_db *db, lq_db_tx *tx, const lq_db_statement *statement,
                 lq_db_done_fn *done, void *ud, lq_db_call **call,
                 lunaq_error *err);
    void (*next)(lq_db_call *call);
    void (*abandon)(lq_db_call *call);
    int (*begin)(lq_db *db, int64_t timeout_ms, lq_db_tx **tx,
                 lq_db_done_fn *done, void *ud, lq_db_call **call,
                 lunaq_error *err);
    int (*commit)(lq_db_tx *tx, int64_t timeout_ms, lq_db_done_fn *done,
                  void *ud, lq_db_call **call, lunaq_error *err);
    void (*release)(lq_db_tx *tx);
    int (*savepoint)(lq_db_tx *tx, lq_db_savepoint_op op, unsigned depth,
                     lunaq_error *err);
} lq_db_backend;

typedef struct lq_db_rows {
    size_t (*rows)(const lq_db_result *r);
    size_t (*columns)(const lq_db_result *r);
    const char *(*column)(const lq_db_result *r, size_t column);
    int64_t (*affected)(const lq_db_result *r);
    int (*get)(const lq_db_result *r, size_t row, size_t column,
               lq_buf *scratch, lq_db_value *value);
    void (*free)(lq_db_result *r);
} lq_db_rows;

struct lq_db {
    const lq_db_backend *of;
};
struct lq_db_call {
    const lq_db_backend *of;
};
struct lq_db_tx {
    const lq_db_backend *of;
};
struct lq_db_result {
    const lq_db_rows *of;
};

/* pg.c, migrate.c */
int lq_db_open_pg(lq_db **out, lq_loop *loop, const lq_db_options *options,
                  lunaq_error *err);
int lq_pg_migrate(const char *url, const char *folder, lq_log *log,
                  lunaq_error *err);

/* sqlite_pool.c, sqlite_migrate.c; path: what follows "sqlite:" */
int lq_db_open_sqlite(lq_db **out, lq_loop *loop, const char *path,
                      const lq_db_options *options, lunaq_error *err);
int lq_lite_migrate(const char *path, const char *folder, lq_log *log,
                    lunaq_error *err);

#endif
