/* cluster_work: what the cluster core keeps of operations under way. */
#ifndef LQ_CLUSTER_WORK_H
#define LQ_CLUSTER_WORK_H

#include "redis/cluster.h"
#include "redis/keys.h"

enum lq_command_state {
    LQ_COMMAND_READY = 1,
    LQ_COMMAND_WAITING,
    LQ_COMMAND_SENT,
    LQ_COMMAND_ENDED
};

struct lq_cluster_command {
    enum lq_command_state state;
    bool follows; /* LQ_COMMAND_WAITING until it is sent with the one before it
                   */
    bool any;     /* no key: any node will do */
    bool ask;     /* this once at `to` */
    uint16_t slot;
    uint16_t to;   /* ask: the node */
    uint32_t hops; /* redirections and refusals so far */
    int64_t due;   /* LQ_COMMAND_WAITING */
};

/* An operation under way. */
struct lq_cluster_work {
    lq_list node; /* in `ready` while a command of it is LQ_COMMAND_READY, else
                     `idle` */
    lq_op *op;
    const lq_redis_op *row;
    struct lq_cluster_command *commands;
    uint32_t count, room;
    uint32_t ready, waiting, sent, ended;
    int64_t begun, deadline;
    lunaq_error said; /* why it waits */
    bool hurried;
};

/* One command in a bundle, and what came of it. */
struct lq_cluster_item {
    uint32_t i;
    bool answered; /* the row has its reply */
    enum lq_cluster_said said;
    uint16_t slot, to;
};

struct lq_cluster_part {
    lq_op op; /* LQ_OP_PART */
    lq_cluster *cluster;
    struct lq_cluster_work *work;
    size_t at; /* the node */
    bool ask;
    uint32_t count;
    struct lq_cluster_item items[];
};

/* LISTEN takes its connection for itself. */
struct lq_cluster_ear {
    lq_op_listen op;
    struct lq_cluster_work *work;
};

struct lq_cluster {
    lq_cluster_map map;
    size_t seeds;
    lq_cmd cmd; /* to find keys with */
    lq_heads heads;
    lq_list ready, idle, finished;
    size_t out;
    bool stale;
    int64_t *lame; /* per slot: since when it is out of reach; 0 = it is not */
    int64_t back_ms;
    size_t lame_count;
};

/** The operation ends with the first code that is none of success. */
static inline void lq_cluster_note(struct lq_cluster_work *w, int rc)
{
    if (!w->op->rc)
        w->op->rc = rc;
}

#endif
