/* statement: every SQL text in one table, prepared once per connection.
 *
 * Parameters are bound in the order of their numbers.  A failure (of SQLite or
 * of memory) is kept in the connection until the operation ends; after it every
 * call here does nothing, finds no row and changes nothing, so an operation may
 * look at it once, at its end:
 *
 *     lq_query x = lq_query_begin(q, LQ_SQL_TASK_DONE);
 *     lq_query_int(&x, queue);
 *     lq_query_text(&x, id);
 *     if (lq_query_run(&x) == 1) …
 *
 *     while (lq_query_row(&x)) … lq_column_int(&x, 0) …
 *     lq_query_end(&x);
 */
#ifndef LQ_SQLITE_STATEMENT_H
#define LQ_SQLITE_STATEMENT_H

#include "sqlite/file.h"

/* Column task.state holds the numbers of lunaq_state. */

enum lq_sql {
    LQ_SQL_NONE,
#define LQ_SQL_ROW(name, text) LQ_SQL_##name,
#include "sqlite/statements.def"
#undef LQ_SQL_ROW
    LQ_SQL_COUNT
};

/** Its text. */
const char *lq_sql_text(enum lq_sql which);

typedef struct lq_query {
    lq_sqlite *q;
    sqlite3_stmt *stmt; /* NULL after a failure */
    int bound;          /* parameters so far */
} lq_query;

lq_query lq_query_begin(lq_sqlite *q, enum lq_sql which);
/* Bind the next parameter.  The bytes must live until the query ends. */
void lq_query_int(lq_query *x, int64_t v);
void lq_query_null(lq_query *x);
void lq_query_text(lq_query *x, lq_str s); /* p NULL binds NULL */
void lq_query_blob(lq_query *x, lq_str s); /* p NULL binds NULL */
/** Steps to the next row; false at the end and after a failure.  Then, too,
 *  the query has to be ended. */
bool lq_query_row(lq_query *x);
/** Ends it, so that it can begin again. */
void lq_query_end(lq_query *x);
/** Runs it to its end and ends it: how many rows it inserted, changed or
 *  deleted; 0 after a failure. */
int64_t lq_query_run(lq_query *x);
/** Runs it, ends it, and gives the integer in its first row; `none` when there
 *  is no row, a NULL or a failure. */
int64_t lq_query_one(lq_query *x, int64_t none);

int64_t lq_column_int(lq_query *x, int i); /* NULL is 0 */
bool lq_column_is_null(lq_query *x, int i);
/** Text or blob: a view that ends with the next row; p NULL for NULL, and
 *  never NULL otherwise. */
lq_str lq_column_bytes(lq_query *x, int i);
/** The same as a NUL-terminated copy in mem; p NULL for NULL. */
lq_str lq_column_copy(lq_query *x, int i, lq_arena *mem);

/* Where enqueue puts tasks: of the queue used last. */
typedef struct lq_sqlite_line {
    lq_str name;
    int64_t queue; /* 0: none yet */
    int64_t tail;  /* next place; 0: not known */
} lq_sqlite_line;

/** Keeps a failure of the operation under way: a code of ours and its message;
 *  the first one wins. */
void lq_sqlite_fault(lq_sqlite *q, int code, const char *message);
void lq_sqlite_fault_nomem(lq_sqlite *q);
/** The failure kept, LUNAQ_OK when there is none.  Its message goes to *err,
 *  which may be NULL. */
int lq_sqlite_fault_of(const lq_sqlite *q, lunaq_error *err);

#endif
