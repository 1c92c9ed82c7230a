/* Where a broker is: its URL. */
#ifndef LQ_URL_H
#define LQ_URL_H

#include "base/error.h"
#include "base/str.h"

typedef struct lq_url {
    enum { LQ_URL_REDIS, LQ_URL_REDIS_SOCKET, LQ_URL_SQLITE } scheme;
    char *host; /* or the path of the socket or the queue file */
    char *user; /* NULL = none */
    char *password;
    int port;
    int database;
    bool normal; /* SQLite: durability=normal */
} lq_url;

/** Parses sqlite:path[?durability=full|normal] (also sqlite:///path),
 *  redis://[user[:password]@]host[:port][/db], the same without the
 *  scheme, and redis-socket://[user:password@]/path[?db=n].  Percent escapes
 *  in user, password and paths are decoded.  LUNAQ_ECONFIG says what is wrong,
 *  without repeating a password.  Not yet known: rediss, redis-sentinel. */
int lq_url_parse(lq_url *out, const char *text, lunaq_error *err);
/** True when the text names a queue file. */
bool lq_url_is_sqlite(const char *text);
void lq_url_release(lq_url *u);
/** Writes it for people, without user and password.  Always NUL-terminated. */
void lq_url_show(const lq_url *u, char *out, size_t size);

#endif
