/* schema: the tables of a queue file, by numbered migrations. */
#ifndef LQ_SQLITE_SCHEMA_H
#define LQ_SQLITE_SCHEMA_H

#include "sqlite/file.h"

#define LQ_SQLITE_APPLICATION_ID 0x6c756e71 /* "lunq" */

/** The schema's version that this lunaq writes. */
int lq_sqlite_schema_version(void);
/** Brings a file of version `from` (0 = empty) up to date, inside a write
 *  transaction.  Returns SQLite's code. */
int lq_sqlite_schema_migrate(sqlite3 *db, int from);

#endif
