/* QUEUE_PLACE: the slot of a queue, and the nodes that serve it. */
#include "broker/place.h"
#include "redis/cluster_map.h"
#include "redis/cluster_rows.h"

#include <stdio.h>

static int place_build(lq_op *op, uint32_t i, lq_cmd *cmd)
{
    (void)op;
    (void)i;
    lq_cmd_c(cmd, "CLUSTER");
    lq_cmd_c(cmd, "SLOTS");
    return LUNAQ_OK;
}

/* One range of slots: its ends, its master, its replicas; a node is its host,
 * its port, its id. */
static int take_range(lq_op_queue_place *op, const lq_reply *range)
{
    size_t nodes = lq_reply_count(range) - 2;
    op->nodes = lq_arena_alloc(&op->op.mem, (nodes + 1) * sizeof *op->nodes);
    if (!op->nodes)
        return lq_fail_nomem(&op->op.err);
    for (size_t i = 0; i < nodes; i++) {
        const lq_reply *node = lq_reply_at(range, i + 2);
        lq_place_node *to = &op->nodes[op->count];
        if (lq_reply_type(node) != LQ_REPLY_ARRAY || lq_reply_count(node) < 2)
            return lq_redis_odd(&op->op);
        *to = (lq_place_node){.port = lq_reply_int(lq_reply_at(node, 1), 0)};
        if (!lq_redis_keep(&op->op, lq_reply_str(lq_reply_at(node, 0)),
                           &to->host) ||
            (lq_reply_count(node) > 2 &&
             !lq_redis_keep(&op->op, lq_reply_str(lq_reply_at(node, 2)),
                            &to->id)))
            return lq_fail_nomem(&op->op.err);
        op->count++;
    }
    return LUNAQ_OK;
}

static int place_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_queue_place *op = (lq_op_queue_place *)base;
    char tagged[LUNAQ_NAME_MAX + 8];
    (void)i;
    if (op->queue.len > LUNAQ_NAME_MAX)
        return lq_fail(&base->err, LUNAQ_EINVAL,
                       "queue place: its name has "
                       "more than %d bytes",
                       LUNAQ_NAME_MAX);
    int n = snprintf(tagged, sizeof tagged, "{%.*s}", LQ_STR_ARG(op->queue));
    op->slot = lq_cluster_slot(lq_str_n(tagged, (size_t)n));
    op->count = 0;
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY)
        return lq_redis_odd(base);
    for (size_t k = 0; k < lq_reply_count(reply); k++) {
        const lq_reply *range = lq_reply_at(reply, k);
        if (lq_reply_type(range) != LQ_REPLY_ARRAY || lq_reply_count(range) < 3)
            return lq_redis_odd(base);
        if (op->slot >= lq_reply_int(lq_reply_at(range, 0), 0) &&
            op->slot <= lq_reply_int(lq_reply_at(range, 1), -1))
            return take_range(op, range);
    }
    return LUNAQ_OK; /* nobody serves it now */
}

const lq_redis_op lq_cluster_row_place = {.build = place_build,
                                          .parse = place_parse};
