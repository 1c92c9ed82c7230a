/* cluster_map: which node of a Redis Cluster has a key, and what an error
 * reply says about it.  Pure functions over a map.
 */
#ifndef LQ_CLUSTER_MAP_H
#define LQ_CLUSTER_MAP_H

#include "base/error.h"
#include "base/str.h"
#include "redis/resp.h"

#define LQ_SLOTS 16384
#define LQ_CLUSTER_HOST_MAX 256
/* Masters in a map, and those that were: in a cluster whose nodes get another
 * address with every restart they are many after some months. */
#define LQ_CLUSTER_NODES_MAX 16384

typedef struct lq_cluster_addr {
    char host[LQ_CLUSTER_HOST_MAX];
    int port;
} lq_cluster_addr;

/* Nodes are only added while a map lives, so that an index stays what it is;
 * those that serve no slot any more have slots == 0. */
typedef struct lq_cluster_node {
    lq_cluster_addr addr;
    uint32_t slots; /* that it serves as master */
} lq_cluster_node;

typedef struct lq_cluster_map {
    lq_cluster_node *nodes;
    size_t count;
    uint16_t owner[LQ_SLOTS]; /* index + 1; 0 = nobody is known */
} lq_cluster_map;             /* born as {0} */

/** The slot of a key: of the text between its first '{' and the next '}', if
 *  there is any. */
uint16_t lq_cluster_slot(lq_str key);

void lq_cluster_map_release(lq_cluster_map *m);
/** The node's index, added when it is new; -1: out of memory, or too many. */
int lq_cluster_map_node(lq_cluster_map *m, lq_str host, int port);
/** Takes the answer to CLUSTER SLOTS; `asked` stands where it names no host.
 *  Slots that it leaves out have nobody.  LUNAQ_EPROTO: it is none; the map is
 *  as it was. */
int lq_cluster_map_read(lq_cluster_map *m, const lq_reply *reply,
                        const lq_cluster_addr *asked, lunaq_error *err);
void lq_cluster_map_move(lq_cluster_map *m, uint16_t slot, size_t node);

/* What a node says instead of carrying out a command; nothing was changed
 * then. */
enum lq_cluster_said {
    LQ_SAID_NOTHING, /* about the cluster */
    LQ_SAID_MOVED,   /* the slot is at `to` for good */
    LQ_SAID_ASK,     /* this once, with ASKING, at `to` */
    LQ_SAID_LATER,   /* TRYAGAIN: the slot is on its way */
    LQ_SAID_DOWN     /* CLUSTERDOWN, READONLY, LOADING, MASTERDOWN: this node
                        does not serve it now */
};

typedef struct lq_cluster_hint {
    enum lq_cluster_said said;
    uint16_t slot;      /* MOVED, ASK */
    lq_cluster_addr to; /* host empty: the one that was asked */
} lq_cluster_hint;

/** Reads an error reply's text.  One that says MOVED or ASK and is malformed
 *  is NOTHING. */
lq_cluster_hint lq_cluster_hear(lq_str error);

#endif
