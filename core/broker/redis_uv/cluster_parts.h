/* cluster_parts: inside the link to a cluster: its nodes (cluster_node.c), the
 * map and when the whole is up (cluster_uv.c). */
#ifndef LQ_CLUSTER_PARTS_H
#define LQ_CLUSTER_PARTS_H

#include "loop/loop.h"
#include "redis/cluster.h"
#include "redis/tls.h"
#include "redis_uv/cluster_uv.h"
#include "redis_uv/link_base.h"

#define MAP_FAILED_MS 250 /* after a failure */
#define CONNECT_MS 1500   /* that operations wait for a node's first link */
#define SILENT_MS 1500    /* for an answer: is it still a master? */

enum lq_link_state { LQ_LINK_DOWN = 1, LQ_LINK_UP, LQ_LINK_BREAKING };

struct lq_cluster_link;

struct lq_node {
    struct lq_cluster_link *owner;
    size_t at; /* in the map */
    lq_link *link;
    enum { LQ_NODE_NEW = 1, LQ_NODE_OK, LQ_NODE_FAILED } state;
    int64_t since_ms; /* LQ_NODE_NEW */
    lq_list waiting;  /* bundles, until it is up */
    size_t under_way;
    size_t pressing;  /* of these: what is answered at once */
    int64_t heard_ms; /* its last answer, or when the first was due */
    int64_t doubt_ms; /* silent: the map is asked about it again then */
    bool mute;        /* it did not tell the map in time, nor anything since */
    bool ear;         /* a LISTEN is under way */
    bool ended;
    lunaq_error why; /* LQ_NODE_FAILED */
};

/* A node is asked for the map. */
struct lq_map_ask {
    lq_op_slots slots; /* slots.cluster NULL: too late, the answer is old */
    struct lq_node *node;
};

struct lq_cluster_link {
    lq_link_base base;   /* timer: something is due */
    lq_url url;          /* login and TLS of every node */
    lq_tls_context *tls; /* NULL: none */
    enum lq_link_state state;
    lq_cluster *cluster;
    struct lq_node **nodes; /* by the map's index; NULL = no link yet */
    size_t count;
    int64_t map_due_ms;     /* the map is read then, without any doubt, … */
    int64_t map_min_ms;     /* … and with, not before this */
    struct lq_map_ask *map; /* under way; NULL = none */
    int64_t map_until_ms;
    bool map_read;   /* since it broke */
    lq_list refused; /* operations that ended before they began */
    size_t open;     /* links that are not closed yet */
};

/* cluster_uv.c */

/** A part of the cluster is lost, or back: down, and up again when nothing is
 *  under way and the map was read. */
void lq_cluster_link_break(struct lq_cluster_link *l, const lunaq_error *why);
/** Sends what can be sent; ends nothing. */
void lq_cluster_link_pump(struct lq_cluster_link *l);
/** Ends what has finished; false: there was nothing. */
bool lq_cluster_link_deliver(struct lq_cluster_link *l);

/* cluster_node.c */

/** The node with this index of the map, its link opened when there is none;
 *  NULL with *err. */
struct lq_node *lq_node_at(struct lq_cluster_link *l, size_t at,
                           lunaq_error *err);
/** Lets go of a node: what is under way there ends unknown. */
void lq_node_close(struct lq_cluster_link *l, size_t at);
/** Refuses what waits for the node to come up. */
void lq_node_fail_waiting(struct lq_node *n);
/** One that is up, else one that may come up; a random one of those. */
size_t lq_node_any(struct lq_cluster_link *l);
/** Gives a bundle to its node; at ANY: to some node. */
void lq_node_hand_over(struct lq_cluster_link *l, lq_op *bundle, size_t at);
/** Lets go of nodes that serve nothing any more. */
void lq_node_close_unused(struct lq_cluster_link *l);
/** Refuses what has waited too long for a node's first connection. */
void lq_node_give_up_waiting(struct lq_cluster_link *l);
/** True when an answer of the node is overdue: of what is answered at once, or
 *  about the map. */
bool lq_node_is_silent(const struct lq_node *n, int64_t now);
/** Doubts the map because of silent nodes; lets go of replaced ones. */
void lq_node_look_at_silent(struct lq_cluster_link *l);

#endif
