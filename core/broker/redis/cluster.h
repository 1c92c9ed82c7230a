/* cluster: the way of operations through a Redis Cluster, without a socket.
 *
 * An operation is some commands, each for the node that has the slot of its
 * keys.  Operations go in; bundles of commands for a node come out, which a
 * driver hands to its connection to that node as operations of their own; what
 * the node said decides what is next.
 *
 *     lq_cluster_submit()
 *     while ((b = lq_cluster_next(c, &node, now))) → submit b on node's link
 *     lq_cluster_ended(c, b, now)          when that link is done with it
 *     while ((op = lq_cluster_finished(c))) …         after each step
 *     lq_cluster_due()                     when lq_cluster_next() has more
 *
 *              next                 answered
 *     READY ─────────▶ SENT ───────────────────────▶ ENDED ─▶ more, or finished
 *       ▲               │ MOVED, ASK: at once           ▲
 *       ├───────────────┤ TRYAGAIN, CLUSTERDOWN, … and  │ not within its
 *       │               │ not connected: after a while  │ patience, or unknown
 *       └── WAITING ◀───┘                               │
 *               └───────────────────────────────────────┘
 *
 * A command that a node refused so was not carried out.  One that was sent and
 * not answered is never sent again: its end is unknown.  What ended badly is
 * told command by command (lq_redis_op.lost), the others have their results.
 *
 * One thread at a time.
 */
#ifndef LQ_CLUSTER_H
#define LQ_CLUSTER_H

#include "broker/broker.h"
#include "broker/url.h"
#include "redis/cluster_map.h"

#define LQ_CLUSTER_ANY ((size_t)-1) /* whichever node there is */

typedef struct lq_cluster lq_cluster;

/* Asks a node for the map. */
typedef struct lq_op_slots {
    lq_op op;
    lq_cluster *cluster; /* that takes it; NULL = nobody wants it any more */
    lq_cluster_addr asked;
} lq_op_slots;

/** Copies what it needs of url, whose addresses are the first nodes of the
 *  map. */
int lq_cluster_new(lq_cluster **out, const lq_url *url, lunaq_error *err);
/** With nothing under way and nothing left to fetch.  NULL is fine. */
void lq_cluster_free(lq_cluster *c);

const lq_cluster_map *lq_cluster_map_of(const lq_cluster *c);

/** Takes op until lq_cluster_finished().  What cannot be done now is repeated
 *  for patience_ms. */
void lq_cluster_submit(lq_cluster *c, lq_op *op, int64_t now_ms,
                       int64_t patience_ms);
/** The next bundle and the node it is for; NULL = none now. */
lq_op *lq_cluster_next(lq_cluster *c, size_t *node, int64_t now_ms);
/** A bundle's end: its rc is the connection's word.  rc EBROKER: none of it was
 *  sent. */
void lq_cluster_ended(lq_cluster *c, lq_op *bundle, int64_t now_ms);
/** True for a bundle whose reply may take its time: WAIT, LISTEN. */
bool lq_cluster_waits(lq_op *bundle);
lq_op *lq_cluster_finished(lq_cluster *c);
/** When lq_cluster_next() is to be called again; INT64_MAX = not by itself. */
int64_t lq_cluster_due(const lq_cluster *c);
/** Ends, as if its patience were over, everything that is not sent.  With
 *  why->code LUNAQ_ECANCELED also what would follow from that. */
void lq_cluster_hurry(lq_cluster *c, const lunaq_error *why);
/** Bundles that are out. */
size_t lq_cluster_out(const lq_cluster *c);

/** The map is known to be wrong, or doubted. */
bool lq_cluster_stale(const lq_cluster *c);
/** It is doubted now. */
void lq_cluster_doubt(lq_cluster *c);
/** LQ_OP_SLOTS was carried out: what waited for the map goes on. */
void lq_cluster_fresh(lq_cluster *c);

/** True, once: a slot that was out of reach for longer than `ms` is back. */
bool lq_cluster_back(lq_cluster *c, int64_t ms);

#endif
