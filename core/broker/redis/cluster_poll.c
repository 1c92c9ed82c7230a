#include "redis/cluster_poll.h"

#include "base/clock.h"
#include "redis/cluster.h"
#include "redis/link_poll.h"

#include <poll.h>

#define MAP_MS 1500     /* for one node's answer about the map */
#define MAP_AGAIN_MS 20 /* between two rounds for it, and up to twice that */
#define TRY_MS 1500     /* for a node that did not answer before */
#define MAP_OLD_MS 100  /* a doubted map is read again after so long */

/* The connection to a node of the map. */
struct node {
    lq_caller *caller;
    bool good; /* it answered last time */
};

struct caller {
    lq_caller base;      /* first */
    lq_url url;          /* login and TLS of every node */
    lq_tls_context *tls; /* NULL: none */
    lq_cluster *cluster;
    struct node *nodes; /* by the map's index */
    size_t count;
    bool mapped;    /* the map was read once */
    int64_t map_ms; /* when */
};

/* The connection to a node, made when there is none; NULL with *err. */
static lq_caller *caller_of(struct caller *c, size_t at, lunaq_error *err)
{
    const lq_cluster_map *map = lq_cluster_map_of(c->cluster);
    lq_url url;
    if (c->count < map->count) {
        struct node *more =
            lq_realloc(c->nodes, map->count * sizeof(*c->nodes));
        if (!more) {
            lq_fail_nomem(err);
            return NULL;
        }
        c->nodes = more;
        while (c->count < map->count)
            c->nodes[c->count++] = (struct node){0};
    }
    if (c->nodes[at].caller)
        return c->nodes[at].caller;
    const lq_cluster_addr *addr = &map->nodes[at].addr;
    if (lq_url_node(&url, &c->url, addr->host, addr->port, err))
        return NULL;
    (void)lq_redis_caller_open_url(&c->nodes[at].caller, &url, c->tls, err);
    lq_url_release(&url);
    return c->nodes[at].caller;
}

/* ---- the map ------------------------------------------------------------- */

static int ask_one(struct caller *c, size_t at, int64_t deadline,
                   lunaq_error *err)
{
    lq_caller *caller = caller_of(c, at, err);
    lq_op_slots op = {.op.kind = LQ_OP_SLOTS, .cluster = c->cluster};
    int64_t left = deadline - lq_mono_ms();
    if (!caller)
        return err->code;
    op.asked = lq_cluster_map_of(c->cluster)->nodes[at].addr;
    int rc = lq_caller_call(caller, &op.op, left < MAP_MS ? left : MAP_MS, err);
    lq_op_release(&op.op);
    if (!rc) {
        lq_cluster_fresh(c->cluster);
        c->mapped = true;
        c->map_ms = lq_mono_ms();
    }
    return rc;
}

/* Asks the nodes one after the other, from a random one on; those that serve
 * slots, then the others, among them the URL's. */
static int read_map(struct caller *c, int64_t deadline, lunaq_error *err)
{
    int rc = LUNAQ_EBROKER;
    size_t count = lq_cluster_map_of(c->cluster)->count;
    size_t from = (size_t)lq_random(count);
    for (int round = 0; round < 2; round++)
        for (size_t k = 0; k < count && lq_mono_ms() < deadline; k++) {
            size_t at = (from + k) % count;
            bool serves = lq_cluster_map_of(c->cluster)->nodes[at].slots > 0;
            if (serves != (round == 0))
                continue;
            rc = ask_one(c, at, deadline, err);
            if (!rc || rc == LUNAQ_ECONFIG || rc == LUNAQ_EREPLY)
                return rc;
        }
    return rc;
}

/* Waits a little, less than until the deadline. */
static void rest(int64_t ms, int64_t deadline)
{
    int64_t left = deadline - lq_mono_ms();
    if (ms > left)
        ms = left;
    if (ms > 0)
        (void)poll(NULL, 0, (int)ms);
}

/* The map before the first operation, or when it is in doubt.  A wrong one is
 * better than none: its errors lead on. */
static int need_map(struct caller *c, int64_t deadline, lunaq_error *err)
{
    int rc = LUNAQ_OK;
    if (c->mapped && (!lq_cluster_stale(c->cluster) ||
                      lq_mono_ms() - c->map_ms < MAP_OLD_MS))
        return rc;
    rc = read_map(c, deadline, err);
    while (rc && !c->mapped && rc != LUNAQ_ECONFIG && rc != LUNAQ_EREPLY &&
           lq_mono_ms() < deadline) {
        rest(MAP_AGAIN_MS + (int64_t)lq_random(MAP_AGAIN_MS), deadline);
        rc = read_map(c, deadline, err);
    }
    if (c->mapped)
        c->map_ms = lq_mono_ms();
    return c->mapped ? LUNAQ_OK : rc;
}

/* ---- operations ---------------------------------------------------------- */

/* A node that answered before goes first, for what any can do. */
static size_t any_node(const struct caller *c)
{
    const lq_cluster_map *map = lq_cluster_map_of(c->cluster);
    size_t from = (size_t)lq_random(map->count);
    for (size_t k = 0; k < map->count; k++)
        if (map->nodes[(from + k) % map->count].slots)
            return (from + k) % map->count;
    return from;
}

/* A host that swallows everything shall not take all the time there is. */
static int try_node(struct caller *c, size_t at, int64_t deadline,
                    lunaq_error *err)
{
    lq_caller *caller = caller_of(c, at, err);
    lq_op_ping ping = {.op.kind = LQ_OP_PING};
    int64_t left = deadline - lq_mono_ms();
    if (!caller)
        return err->code;
    if (c->nodes[at].good)
        return LUNAQ_OK;
    int rc =
        lq_caller_call(caller, &ping.op, left < TRY_MS ? left : TRY_MS, err);
    lq_op_release(&ping.op);
    c->nodes[at].good = rc == LUNAQ_OK || rc == LUNAQ_EREPLY;
    return c->nodes[at].good ? LUNAQ_OK : rc;
}

static void carry_out(struct caller *c, lq_op *part, size_t node,
                      int64_t deadline)
{
    size_t at = node == LQ_CLUSTER_ANY ? any_node(c) : node;
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (try_node(c, at, deadline, &err)) {
        part->rc = LUNAQ_EBROKER;
        part->err = err;
    } else {
        int64_t left = deadline - lq_mono_ms();
        int rc = lq_caller_call(c->nodes[at].caller, part, left > 0 ? left : 0,
                                NULL);
        c->nodes[at].good = rc != LUNAQ_EBROKER && rc != LUNAQ_EUNKNOWN;
    }
    lq_cluster_ended(c->cluster, part, lq_mono_ms());
}

static int call(lq_caller *caller, lq_op *op, int64_t timeout_ms,
                lunaq_error *err)
{
    struct caller *c = (struct caller *)caller;
    int64_t deadline = lq_mono_ms() + timeout_ms;
    lunaq_error why = LUNAQ_ERROR_INIT;

    lq_op_init(op, op->kind);
    if (need_map(c, deadline, &why)) {
        op->rc = why.code == LUNAQ_ECONFIG || why.code == LUNAQ_EREPLY
                     ? why.code
                     : LUNAQ_EBROKER;
        op->err = why;
        op->err.code = op->rc;
        if (err)
            *err = op->err;
        return op->rc;
    }
    lq_cluster_submit(c->cluster, op, lq_mono_ms(), timeout_ms);
    while (!lq_cluster_finished(c->cluster)) {
        size_t node;
        int64_t now = lq_mono_ms();
        (void)need_map(c, deadline, &why);
        lq_op *part = lq_cluster_next(c->cluster, &node, now);
        if (part)
            carry_out(c, part, node, deadline);
        else if (lq_cluster_due(c->cluster) != INT64_MAX)
            rest(lq_cluster_due(c->cluster) - now, deadline + 1000);
    }
    if (op->rc && err)
        *err = op->err;
    return op->rc;
}

static void close_caller(lq_caller *caller)
{
    struct caller *c = (struct caller *)caller;
    for (size_t i = 0; i < c->count; i++)
        lq_caller_close(c->nodes[i].caller);
    lq_free(c->nodes);
    lq_tls_context_free(c->tls);
    lq_cluster_free(c->cluster);
    lq_url_release(&c->url);
    lq_free(c);
}

int lq_cluster_caller_open(lq_caller **out, const lq_url *url, lunaq_error *err)
{
    static const lq_caller_ops ops = {call, close_caller};
    struct caller *c = lq_calloc(1, sizeof(*c));
    *out = NULL;
    if (!c)
        return lq_fail_nomem(err);
    c->base.ops = &ops;
    int rc = lq_url_node(&c->url, url, "", 0, err);
    c->url.scheme = LQ_URL_REDIS_CLUSTER; /* what its nodes are of */
    if (!rc && url->tls)
        rc = lq_tls_context_new(&c->tls, url, err);
    if (!rc)
        rc = lq_cluster_new(&c->cluster, url, err);
    if (rc) {
        close_caller(&c->base);
        return rc;
    }
    *out = &c->base;
    return LUNAQ_OK;
}
