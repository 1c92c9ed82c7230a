/* Where a pool connects to: a URL taken apart, with its names resolved.
 *
 * libpq resolves names while the caller waits.  So a pool resolves them on a
 * thread, and hands libpq addresses beside the names (which it still needs for
 * certificates and passwords).  Names that come from a service file are the
 * exception: libpq reads them itself.
 */
#ifndef LQ_DB_TARGET_H
#define LQ_DB_TARGET_H

#include "base/alloc.h"
#include "base/error.h"
#include "db/lane.h"

#define LQ_TARGET_KEYS 64

/* For PQconnectStartParams(): NULL-ended. */
typedef struct lq_target {
    lq_arena arena;
    const char *keys[LQ_TARGET_KEYS];
    const char *values[LQ_TARGET_KEYS];
    size_t count;
    const char *hosts, *ports; /* as given; "" = not said */
    bool needs_names;          /* a host is a name, so lq_names is needed */
    char *where;               /* "host:port/database", for messages */
} lq_target;

/** Takes a URL apart.  LUNAQ_ECONFIG. */
int lq_target_init(lq_target *t, const char *url, lunaq_error *err);
void lq_target_release(lq_target *t);

/* Addresses in place of names: lists for libpq's host, hostaddr and port. */
typedef struct lq_names {
    char *hosts, *addresses, *ports;
    char why[160]; /* "" = resolved */
} lq_names;

void lq_names_release(lq_names *names);
/** Resolves; blocks. */
void lq_names_resolve(lq_names *names, const char *hosts, const char *ports);

/* A resolution under way on a thread.  Whoever gives it up lets go of it, and
 * nothing comes back. */
typedef struct lq_lookup lq_lookup;
/** fd becomes readable when the answer is there; the lookup's.  NULL when
 *  memory, descriptors or threads are out. */
lq_lookup *lq_lookup_start(const lq_target *t, lq_lane *lane, int *fd);
/** Moves the answer to names; false when it is not there yet. */
bool lq_lookup_take(lq_lookup *l, lq_names *names);
void lq_lookup_free(lq_lookup *l); /* NULL is fine */

#endif
