/* postgres_server: a real PostgreSQL server of the test's own.
 *
 * It listens on a socket in a temporary folder only, syncs nothing to disk, and
 * dies with the test: at stop, and by the kernel when the test itself is
 * killed.  Started by root it runs as the user postgres, since PostgreSQL
 * refuses to run as root.
 */
#ifndef LQ_TEST_POSTGRES_SERVER_H
#define LQ_TEST_POSTGRES_SERVER_H

#include <stddef.h>
#include <sys/types.h>

typedef struct postgres_server {
    char folder[64];
    char url[192]; /* of the database "postgres", as its superuser */
    int max_connections;
    pid_t pid; /* 0: not running */
} postgres_server;

/** Makes a cluster, starts a server and waits until it takes connections
 *  (30 s).  max_connections: 0 = 100.  0, or -1 with a message on stderr: skip
 *  the program then (exit code 77). */
int postgres_server_start(postgres_server *s, int max_connections);
/** Ends it at once, as `pg_ctl stop -m immediate`; what was committed stays. */
void postgres_server_kill(postgres_server *s);
/** Starts it again after a kill, with the same data. */
int postgres_server_restart(postgres_server *s);
/** Ends it and removes the folder.  Safe to repeat. */
void postgres_server_stop(postgres_server *s);

/** The URL of another database of this server. */
void postgres_server_url(const postgres_server *s, const char *database,
                         char *url, size_t size);
/** Runs SQL (several statements are fine) in the database of a URL; 0, or -1
 *  with what the server said on stderr.  Blocks. */
int postgres_server_exec(const char *url, const char *sql);
/** The first cell of the result as text; "" for NULL and for no row. */
int postgres_server_value(const char *url, const char *sql, char *out,
                          size_t size);

#endif
