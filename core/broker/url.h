/* Where a broker is: its URL. */
#ifndef LQ_URL_H
#define LQ_URL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#define LQ_PREFIX_DEFAULT "asynq"
#define LQ_PREFIX_MAX 64

typedef struct lq_url_host {
    char *name;
    int port;
} lq_url_host;

typedef struct lq_url {
    enum lq_url_scheme {
        LQ_URL_REDIS,
        LQ_URL_REDIS_SOCKET,
        LQ_URL_SQLITE,
        LQ_URL_REDIS_SENTINEL,
        LQ_URL_REDIS_CLUSTER
    } scheme;
    char *host; /* or the path of the socket or the queue file; NULL with
                   SENTINEL and CLUSTER, which have `hosts` */
    char *user; /* of the servers; NULL = none */
    char *password;
    int port;
    int database;
    bool cluster;       /* it is a node of one: lq_url_node() */
    char *prefix;       /* of the keys in Redis; NULL = LQ_PREFIX_DEFAULT */
    bool normal;        /* SQLite: durability=normal */
    lq_url_host *hosts; /* SENTINEL, CLUSTER: in the order given */
    size_t host_count;
    char *master;        /* SENTINEL: its name */
    char *sentinel_user; /* SENTINEL: NULL = as the servers' */
    char *sentinel_password;
    bool tls;   /* rediss: and the like; what follows only with it */
    char *ca;   /* a file; NULL = the system's */
    char *cert; /* files, both or none */
    char *key;
    char *server_name; /* that the certificate must have; NULL = the host */
    bool insecure;     /* no certificate is looked at */
} lq_url;

/** Parses sqlite:path[?durability=full|normal] (also sqlite:///path) and
 *
 *      redis://[user[:password]@]host[:port][/db][?options], or without scheme
 *      redis-socket://[user:password@]/path[?db=n]
 *      redis-sentinel://[login@]host[:port],…[/db]?master=name[&options]
 *      redis-cluster://[login@]host[:port],…
 *
 *  with rediss for TLS; the options of all are db, prefix and those of TLS.
 * Percent escapes in names, values and paths are decoded.  LUNAQ_ECONFIG says
 * what is wrong, without repeating a password. */
int lq_url_parse(lq_url *out, const char *text, lunaq_error *err);
/** What an application's keys may begin with: 1 to LQ_PREFIX_MAX letters,
 *  digits, '_', '-' or '.', not "lunaq".  So no key of one application can be a
 *  key of another.  LUNAQ_ECONFIG otherwise. */
int lq_prefix_check(lq_str prefix, lunaq_error *err);
/** Writes the URL with a prefix (NULL: none is asked for) to *out, which the
 *  caller lq_free()s.  LUNAQ_ECONFIG: it has another prefix already, or it
 *  names a queue file, which needs none. */
int lq_url_with_prefix(char **out, const char *text, const char *prefix,
                       lunaq_error *err);
/** True when the text names a queue file. */
bool lq_url_is_sqlite(const char *text);
void lq_url_release(lq_url *u);
/** Writes it for people, without user, password and files.  Always
 *  NUL-terminated. */
void lq_url_show(const lq_url *u, char *out, size_t size);

/** One server that another URL led to (a master, a node of a cluster): an
 *  LQ_URL_REDIS with `from`'s login, database and TLS. */
int lq_url_node(lq_url *out, const lq_url *from, const char *host, int port,
                lunaq_error *err);

/** Takes the "name=value&…" of a URL of Redis into u (whose scheme and tls are
 *  known).  LUNAQ_ECONFIG: unknown, malformed, or not for this scheme. */
int lq_url_query(lq_url *u, lq_str query, lunaq_error *err);
/** Cuts the options off the end of a URL of Redis and returns them, without
 *  the '?'; empty: it has none. */
lq_str lq_url_cut_query(lq_str *s);
/** Adds an option to the URL in the buffer. */
void lq_url_add(lq_buf *url, const char *name, const char *value);
/** A copy of s with its percent escapes decoded; NULL: bad escape, an escaped
 *  NUL, or no memory. */
char *lq_url_decode(lq_str s);

#endif
