/* The nodes of a cluster's link: a link each, and the bundles on their way. */
#include "base/clock.h"
#include "redis_uv/cluster_parts.h"
#include "redis_uv/link_uv.h"

static void bundle_done(lq_op *op)
{
    struct lq_node *n = op->ud;
    struct lq_cluster_link *l = n->owner;
    n->under_way--;
    if (op->kind == LQ_OP_LISTEN)
        n->ear = false;
    if (!lq_cluster_waits(op))
        n->pressing--;
    n->heard_ms = lq_mono_ms();
    n->mute = false;
    if (n->ended && !l->base.closing && op->rc == LUNAQ_ECANCELED)
        op->rc = op->err.code = LUNAQ_EUNKNOWN; /* we gave the node up */
    lq_cluster_ended(l->cluster, op, lq_mono_ms());
    lq_cluster_link_pump(l);
    lq_cluster_link_deliver(l);
    lq_turn_arm(l->base.turn); /* the timer, or the end of a break */
}

static void node_send(struct lq_node *n, lq_op *bundle)
{
    bundle->done = bundle_done;
    bundle->ud = n;
    n->under_way++;
    if (!lq_cluster_waits(bundle) && n->pressing++ == 0)
        n->heard_ms = lq_mono_ms();
    n->ear = n->ear || bundle->kind == LQ_OP_LISTEN;
    lq_link_submit(n->link, bundle);
}

/* Ends a bundle that was not sent. */
static void node_refuse(struct lq_node *n, lq_op *bundle)
{
    bundle->rc = LUNAQ_EBROKER;
    bundle->err = n->why;
    lq_cluster_ended(n->owner->cluster, bundle, lq_mono_ms());
}

void lq_node_fail_waiting(struct lq_node *n)
{
    lq_list *node;
    while ((node = lq_list_shift(&n->waiting)))
        node_refuse(n, LQ_OF(node, lq_op, node));
}

static void node_up(void *ud)
{
    struct lq_node *n = ud;
    lq_list *node;
    if (n->owner->base.closing)
        return;
    n->state = LQ_NODE_OK;
    n->mute = false;
    n->owner->map_min_ms = 0; /* it can be asked at once */
    while ((node = lq_list_shift(&n->waiting)))
        node_send(n, LQ_OF(node, lq_op, node));
    lq_turn_arm(n->owner->base.turn);
}

static void node_down(void *ud, const lunaq_error *why)
{
    struct lq_node *n = ud;
    struct lq_cluster_link *l = n->owner;
    if (l->base.closing)
        return;
    bool lost = n->state == LQ_NODE_OK && n->under_way > 0;
    n->state = LQ_NODE_FAILED;
    n->why = *why;
    if (lost || lq_cluster_map_of(l->cluster)->nodes[n->at].slots > 0)
        lq_cluster_doubt(l->cluster);
    if (lost)
        lq_cluster_link_break(l, why);
    lq_node_fail_waiting(n);
    lq_turn_arm(l->base.turn);
}

struct lq_node *lq_node_at(struct lq_cluster_link *l, size_t at,
                           lunaq_error *err)
{
    static const lq_link_events events = {node_up, node_down};
    const lq_cluster_map *map = lq_cluster_map_of(l->cluster);
    lq_url url;
    if (l->count < map->count) {
        struct lq_node **more =
            lq_realloc(l->nodes, map->count * sizeof(struct lq_node *));
        if (!more) {
            lq_fail_nomem(err);
            return NULL;
        }
        l->nodes = more;
        while (l->count < map->count)
            l->nodes[l->count++] = NULL;
    }
    if (l->nodes[at])
        return l->nodes[at];
    struct lq_node *n = lq_calloc(1, sizeof(*n));
    if (!n) {
        lq_fail_nomem(err);
        return NULL;
    }
    n->owner = l;
    n->at = at;
    n->state = LQ_NODE_NEW;
    n->since_ms = lq_mono_ms();
    lq_list_init(&n->waiting);
    const lq_cluster_addr *addr = &map->nodes[at].addr;
    int rc = lq_url_node(&url, &l->url, addr->host, addr->port, err);
    if (!rc) {
        rc = lq_redis_link_open_url(&n->link, l->base.loop, &url, l->tls,
                                    &events, n, err);
        lq_url_release(&url);
    }
    if (rc) {
        lq_free(n);
        return NULL;
    }
    l->open++;
    l->nodes[at] = n;
    return n;
}

static void node_closed(void *ud)
{
    struct lq_node *n = ud;
    struct lq_cluster_link *l = n->owner;
    lq_free(n);
    l->open--;
    lq_turn_arm(l->base.turn);
}

/* Its operations end with ECANCELED. */
void lq_node_close(struct lq_cluster_link *l, size_t at)
{
    struct lq_node *n = l->nodes[at];
    l->nodes[at] = NULL;
    n->ended = true;
    lq_fail(&n->why, LUNAQ_EBROKER, "the connection was closed");
    lq_node_fail_waiting(n);
    n->link->ops->close(n->link, node_closed, n);
}

bool lq_node_is_silent(const struct lq_node *n, int64_t now)
{
    return n->state == LQ_NODE_OK &&
           (n->mute || (n->pressing > 0 && now >= n->heard_ms + SILENT_MS));
}

/* One that is up, else one that may come up; a random one of those. */
size_t lq_node_any(struct lq_cluster_link *l)
{
    const lq_cluster_map *map = lq_cluster_map_of(l->cluster);
    size_t best = 0, from = (size_t)lq_random(map->count);
    int rank_of_best = -1;
    for (size_t k = 0; k < map->count; k++) {
        size_t at = (from + k) % map->count;
        const struct lq_node *n = at < l->count ? l->nodes[at] : NULL;
        int rank = !n                                   ? 2
                   : lq_node_is_silent(n, lq_mono_ms()) ? 1
                   : n->state == LQ_NODE_OK             ? 4
                   : n->state == LQ_NODE_NEW            ? 3
                                                        : 0;
        rank = 2 * rank + (map->nodes[at].slots > 0);
        if (rank > rank_of_best) {
            rank_of_best = rank;
            best = at;
        }
    }
    return best;
}

void lq_node_hand_over(struct lq_cluster_link *l, lq_op *bundle, size_t at)
{
    lunaq_error why = LUNAQ_ERROR_INIT;
    struct lq_node *n =
        lq_node_at(l, at == LQ_CLUSTER_ANY ? lq_node_any(l) : at, &why);
    if (!n) {
        bundle->rc = LUNAQ_EBROKER;
        bundle->err = why;
        lq_cluster_ended(l->cluster, bundle, lq_mono_ms());
    } else if (n->state == LQ_NODE_OK) {
        node_send(n, bundle);
    } else if (n->state == LQ_NODE_NEW &&
               lq_mono_ms() < n->since_ms + CONNECT_MS) {
        lq_list_append(&n->waiting, &bundle->node);
    } else {
        if (n->state == LQ_NODE_NEW)
            lq_fail(&n->why, LUNAQ_EBROKER, "redis: no answer in time");
        node_refuse(n, bundle);
    }
}

/* Nodes that serve nothing any more. */
void lq_node_close_unused(struct lq_cluster_link *l)
{
    const lq_cluster_map *map = lq_cluster_map_of(l->cluster);
    for (size_t at = 0; at < l->count; at++) {
        const struct lq_node *n = l->nodes[at];
        if (n && !map->nodes[at].slots && !n->under_way &&
            lq_list_empty(&n->waiting))
            lq_node_close(l, at);
    }
}

void lq_node_give_up_waiting(struct lq_cluster_link *l)
{
    int64_t now = lq_mono_ms();
    for (size_t at = 0; at < l->count; at++) {
        struct lq_node *n = l->nodes[at];
        if (!n || n->state != LQ_NODE_NEW || now < n->since_ms + CONNECT_MS ||
            lq_list_empty(&n->waiting))
            continue;
        lq_fail(&n->why, LUNAQ_EBROKER, "redis: %s:%d: no answer in time",
                lq_cluster_map_of(l->cluster)->nodes[at].addr.host,
                lq_cluster_map_of(l->cluster)->nodes[at].addr.port);
        n->state = LQ_NODE_FAILED;
        lq_node_fail_waiting(n);
    }
}

/* Its link has more patience than the cluster, which may have replaced it. */
void lq_node_look_at_silent(struct lq_cluster_link *l)
{
    int64_t now = lq_mono_ms();
    for (size_t at = 0; at < l->count; at++) {
        struct lq_node *n = l->nodes[at];
        if (!n || !lq_node_is_silent(n, now))
            continue;
        const lq_cluster_node *is = &lq_cluster_map_of(l->cluster)->nodes[at];
        if (is->slots > 0 && now >= n->doubt_ms) {
            n->doubt_ms = now + MAP_FAILED_MS;
            lq_cluster_doubt(l->cluster);
        } else if (is->slots == 0) {
            lunaq_error why = LUNAQ_ERROR_INIT;
            lq_fail(&why, LUNAQ_EBROKER,
                    "redis: %s:%d: silent, and replaced by another node",
                    is->addr.host, is->addr.port);
            lq_cluster_link_break(l, &why);
            if (l->nodes[at] == n)
                lq_node_close(l, at);
        }
    }
}
