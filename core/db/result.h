/* Results as libpq gives them: one for all rows, or one a row. */
#ifndef LQ_DB_RESULT_H
#define LQ_DB_RESULT_H

#include "db/db.h"

#include <libpq-fe.h>

/** NULL when out of memory. */
lq_db_result *lq_db_result_new(void);
/** Adds rows; consumes r, also on failure (out of memory). */
bool lq_db_result_take(lq_db_result *result, PGresult *r);

/** Writes what the server said about a failed statement in one line, with its
 *  SQLSTATE and the head of the SQL.  r may be NULL: then `text` is what is
 *  known.  sqlstate: 6 bytes. */
void lq_db_explain(lq_buf *out, const PGresult *r, const char *text, lq_str sql,
                   char *sqlstate);

#endif
