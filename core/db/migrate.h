/* The files of a migrations folder. */
#ifndef LQ_DB_MIGRATE_H
#define LQ_DB_MIGRATE_H

#include "base/alloc.h"
#include "base/error.h"

typedef struct lq_migration {
    int64_t version;   /* 0001 */
    const char *name;  /* the file's, without its folder */
    lq_str sql;        /* NUL-terminated */
    char checksum[17]; /* of its bytes */
} lq_migration;

typedef struct lq_migrations {
    lq_arena arena;
    lq_migration *list; /* in order */
    size_t count, cap;
} lq_migrations;

/** Reads a folder: NNNN_name.sql, and with a dialect NNNN_name.postgres.sql,
 *  which goes before the one without.  A folder that does not exist is empty.
 *  LUNAQ_ECONFIG names a file that cannot be used.  Release in any case. */
int lq_migrations_read(lq_migrations *m, const char *folder,
                       const char *dialect, lunaq_error *err);
void lq_migrations_release(lq_migrations *m);

/** The line and column of the character at this position (from 1). */
void lq_migration_position(lq_str sql, int64_t position, size_t *line,
                           size_t *column);

#endif
