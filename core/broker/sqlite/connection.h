/* connection: what an lq_sqlite holds, for the files of this layer's core
 * (file.c, open.c, statement.c, apply.c) alone. */
#ifndef LQ_SQLITE_CONNECTION_H
#define LQ_SQLITE_CONNECTION_H

#include "sqlite/statement.h"

struct lq_sqlite {
    sqlite3 *db;
    char *path;
    lq_sqlite_lock lock;
    int64_t deadline_ns; /* until when SQLite's own locks are waited for */
    bool normal;         /* synchronous=NORMAL: a commit is in no hurry */
    bool sync;           /* … but this one's is asked to be on the disk */
    bool under_way;      /* a transaction was begun and not ended */
    lunaq_error fault;   /* of the operation under way */
    lq_sqlite_wakes wakes;
    lq_buf scratch;
    lq_sqlite_line line; /* of the transaction; none that can be other than
                            what the file says outlives an operation */
    char line_name[256];
    sqlite3_stmt *stmts[LQ_SQL_COUNT]; /* prepared at their first use */
};

/** Runs a statement without parameters or rows; SQLite's code. */
int lq_sqlite_control(lq_sqlite *q, enum lq_sql which);

#endif
