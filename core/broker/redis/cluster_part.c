/* The rows of what a cluster's node is sent: a bundle of an operation's
 * commands, each of which hears what the node says, and the question for the
 * map. */
#include "redis/cluster_work.h"
#include "redis/rows.h"

static uint32_t part_count(lq_op *op)
{
    const struct lq_cluster_part *p = (const struct lq_cluster_part *)op;
    return p->count + p->ask;
}

static int part_build(lq_op *op, uint32_t i, lq_cmd *cmd)
{
    const struct lq_cluster_part *p = (const struct lq_cluster_part *)op;
    struct lq_cluster_work *w = p->work;
    if (p->ask && i-- == 0) {
        lq_cmd_c(cmd, "ASKING");
        return LUNAQ_OK;
    }
    /* ASKING is for the next command alone, so that must not be refused for an
     * unknown script. */
    if (p->ask)
        cmd->eval = true;
    lunaq_error first = w->op->err;
    int rc = w->row->build(w->op, p->items[i].i, cmd);
    if (rc) {
        op->err = w->op->err;
        w->op->err = first;
    }
    return rc;
}

static void hear(struct lq_cluster_part *p, struct lq_cluster_item *t,
                 const lq_cluster_hint *h)
{
    lq_cluster_map *map = &p->cluster->map;
    t->said = h->said;
    t->slot = h->slot;
    if (h->said != LQ_SAID_MOVED && h->said != LQ_SAID_ASK)
        return;
    lq_str host = lq_str_c(h->to.host);
    if (!host.len && p->at < map->count) /* the same, at another port */
        host = lq_str_c(map->nodes[p->at].addr.host);
    /* A copy: the map may move while it grows. */
    char copy[LQ_CLUSTER_HOST_MAX];
    memcpy(copy, host.p ? host.p : "", host.len);
    copy[host.len] = 0;
    int to = lq_cluster_map_node(map, lq_str_c(copy), h->to.port);
    if (to < 0)
        t->said = LQ_SAID_DOWN;
    else
        t->to = (uint16_t)to;
}

static int part_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    struct lq_cluster_part *p = (struct lq_cluster_part *)op;
    struct lq_cluster_work *w = p->work;
    if (p->ask && i-- == 0)
        return LUNAQ_OK;
    struct lq_cluster_item *t = &p->items[i];
    bool error = lq_reply_type(reply) == LQ_REPLY_ERROR;
    if (w->commands[t->i].follows && i > 0 && p->items[i - 1].said) {
        t->said = p->items[i - 1].said; /* it confirms nothing */
        return LUNAQ_OK;
    }
    if (error) {
        lq_cluster_hint h = lq_cluster_hear(lq_reply_error(reply));
        if (h.said) {
            hear(p, t, &h);
            return LUNAQ_OK;
        }
    }
    t->answered = true;
    lunaq_error first = w->op->err;
    int rc;
    if (error && !w->row->errors) {
        rc = lq_redis_error(&w->op->err, lq_op_name(w->op->kind), reply);
    } else {
        rc = w->row->parse(w->op, t->i, reply);
    }
    if (w->op->rc)
        w->op->err = first;
    lq_cluster_note(w, rc);
    return LUNAQ_OK;
}

const lq_redis_op lq_row_part = {.count = part_count,
                                 .build = part_build,
                                 .parse = part_parse,
                                 .errors = true};

static int slots_build(lq_op *op, uint32_t i, lq_cmd *cmd)
{
    (void)op;
    (void)i;
    lq_cmd_c(cmd, "CLUSTER");
    lq_cmd_c(cmd, "SLOTS");
    return LUNAQ_OK;
}

static int slots_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_slots *o = (lq_op_slots *)op;
    lq_str error = lq_reply_error(reply);
    (void)i;
    if (error.len && memmem(error.p, error.len, "cluster support", 15))
        return lq_fail(&op->err, LUNAQ_ECONFIG,
                       "redis: %s:%d is no node of a cluster: begin the URL "
                       "with redis:// instead",
                       o->asked.host, o->asked.port);
    if (error.p)
        return lq_redis_error(&op->err, "cluster slots", reply);
    if (!o->cluster) /* another node has been asked meanwhile */
        return LUNAQ_OK;
    return lq_cluster_map_read(&o->cluster->map, reply, &o->asked, &op->err);
}

const lq_redis_op lq_row_slots = {
    .build = slots_build, .parse = slots_parse, .errors = true};
