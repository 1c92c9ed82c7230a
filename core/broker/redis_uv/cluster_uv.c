/* The loop's driver of the cluster core: a link a node, the map, and when the
 * whole counts as up.
 *
 *            map read      node lost with replies due, or a slot is back
 *    DOWN ───────────▶ UP ───────────────────────────────────▶ BREAKING
 *                      ▲                                          │
 *                      └──── nothing is under way, map read ──────┘
 *
 * Nodes: a link that has not come up yet is waited for a short while; one that
 * failed refuses at once, until it is up again (it tries by itself).
 */
#include "redis_uv/cluster_uv.h"

#include "base/clock.h"
#include "loop/loop.h"
#include "redis/cluster.h"
#include "redis_uv/link_uv.h"

#include <assert.h>

#define MAP_MS 1500       /* for one node's answer about the map */
#define MAP_MIN_MS 50     /* between two readings, and up to twice that */
#define MAP_FAILED_MS 250 /* after a failure */
#define MAP_REST_MS 60000 /* without any doubt */
#define CONNECT_MS 1500   /* that operations wait for a node's first link */
#define SILENT_MS 1500    /* for an answer: is it still a master? */
#define STALL_MS                                                               \
    3000 /* out of reach so long: leases of 10 s may be at risk                \
          */
#define PATIENCE_MS 2000 /* for what cannot be done at the moment, … */
#define STEP_MS 30       /* … which holds up other queues, … */
#define LONG_MS 10000

enum state { DOWN = 1, UP, BREAKING };

struct cluster_link;

struct node {
    struct cluster_link *owner;
    size_t at; /* in the map */
    lq_link *link;
    enum { NEW = 1, OK, FAILED } state;
    int64_t since_ms; /* NEW */
    lq_list waiting;  /* bundles, until it is up */
    size_t under_way;
    size_t pressing;  /* of these: what is answered at once */
    int64_t heard_ms; /* its last answer, or when the first was due */
    int64_t doubt_ms; /* silent: the map is asked about it again then */
    bool ear;         /* a LISTEN is under way */
    bool ended;
    lunaq_error why; /* FAILED */
};

struct cluster_link {
    lq_link link;
    lq_loop *loop;
    lq_url url; /* login and TLS of every node */
    lq_link_events events;
    void *ud;
    enum state state;
    lq_cluster *cluster;
    struct node **nodes; /* by the map's index; NULL = no link yet */
    size_t count;
    lq_turn *turn;
    lq_timer *timer;    /* something is due */
    int64_t map_due_ms; /* the map is read then, without any doubt, … */
    int64_t map_min_ms; /* … and with, not before this */
    lq_op_slots map;    /* … and is under way: */
    size_t map_node;    /* the node that was asked; ANY = none */
    int64_t map_until_ms;
    bool map_read;   /* since it broke */
    lq_list refused; /* operations that ended before they began */
    bool closing;
    size_t open; /* links that are not closed yet */
    void (*closed)(void *ud);
    void *closed_ud;
};

static void pump(struct cluster_link *l);
static bool deliver(struct cluster_link *l);

static int64_t now_ms(const struct cluster_link *l)
{
    (void)l;
    return lq_mono_ms();
}

/* ---- nodes --------------------------------------------------------------- */

static void bundle_done(lq_op *op)
{
    struct node *n = op->ud;
    struct cluster_link *l = n->owner;
    n->under_way--;
    if (op->kind == LQ_OP_LISTEN)
        n->ear = false;
    if (!lq_cluster_waits(op))
        n->pressing--;
    n->heard_ms = now_ms(l);
    if (n->ended && !l->closing && op->rc == LUNAQ_ECANCELED)
        op->rc = op->err.code = LUNAQ_EUNKNOWN; /* we gave the node up */
    lq_cluster_ended(l->cluster, op, now_ms(l));
    pump(l);
    deliver(l);
    lq_turn_arm(l->turn); /* the timer, or the end of a break */
}

static void node_send(struct node *n, lq_op *bundle)
{
    bundle->done = bundle_done;
    bundle->ud = n;
    n->under_way++;
    if (!lq_cluster_waits(bundle) && n->pressing++ == 0)
        n->heard_ms = now_ms(n->owner);
    n->ear = n->ear || bundle->kind == LQ_OP_LISTEN;
    lq_link_submit(n->link, bundle);
}

/* Ends a bundle that was not sent. */
static void node_refuse(struct node *n, lq_op *bundle)
{
    bundle->rc = LUNAQ_EBROKER;
    bundle->err = n->why;
    lq_cluster_ended(n->owner->cluster, bundle, now_ms(n->owner));
}

static void node_fail_waiting(struct node *n)
{
    lq_list *node;
    while ((node = lq_list_shift(&n->waiting)))
        node_refuse(n, LQ_OF(node, lq_op, node));
}

static void begin_break(struct cluster_link *l, const lunaq_error *why);

static void node_up(void *ud)
{
    struct node *n = ud;
    lq_list *node;
    if (n->owner->closing)
        return;
    n->state = OK;
    n->owner->map_min_ms = 0; /* it can be asked at once */
    while ((node = lq_list_shift(&n->waiting)))
        node_send(n, LQ_OF(node, lq_op, node));
    lq_turn_arm(n->owner->turn);
}

static void node_down(void *ud, const lunaq_error *why)
{
    struct node *n = ud;
    struct cluster_link *l = n->owner;
    if (l->closing)
        return;
    bool lost = n->state == OK && n->under_way > 0;
    n->state = FAILED;
    n->why = *why;
    if (lost || lq_cluster_map_of(l->cluster)->nodes[n->at].slots > 0)
        lq_cluster_doubt(l->cluster);
    if (lost)
        begin_break(l, why);
    node_fail_waiting(n);
    lq_turn_arm(l->turn);
}

static struct node *node_at(struct cluster_link *l, size_t at, lunaq_error *err)
{
    static const lq_link_events events = {node_up, node_down};
    const lq_cluster_map *map = lq_cluster_map_of(l->cluster);
    lq_url url;
    if (l->count < map->count) {
        struct node **more =
            lq_realloc(l->nodes, map->count * sizeof(struct node *));
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
    struct node *n = lq_calloc(1, sizeof(*n));
    if (!n) {
        lq_fail_nomem(err);
        return NULL;
    }
    n->owner = l;
    n->at = at;
    n->state = NEW;
    n->since_ms = now_ms(l);
    lq_list_init(&n->waiting);
    const lq_cluster_addr *addr = &map->nodes[at].addr;
    int rc = lq_url_node(&url, &l->url, addr->host, addr->port, err);
    if (!rc) {
        rc = lq_redis_link_open_url(&n->link, l->loop, &url, &events, n, err);
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
    struct node *n = ud;
    struct cluster_link *l = n->owner;
    lq_free(n);
    l->open--;
    lq_turn_arm(l->turn);
}

/* Its operations end with ECANCELED. */
static void node_close(struct cluster_link *l, size_t at)
{
    struct node *n = l->nodes[at];
    l->nodes[at] = NULL;
    n->ended = true;
    lq_fail(&n->why, LUNAQ_EBROKER, "the connection was closed");
    node_fail_waiting(n);
    n->link->ops->close(n->link, node_closed, n);
}

static bool is_silent(const struct node *n, int64_t now)
{
    return n->state == OK && n->pressing > 0 && now >= n->heard_ms + SILENT_MS;
}

/* One that is up, else one that may come up; a random one of those. */
static size_t any_node(struct cluster_link *l)
{
    const lq_cluster_map *map = lq_cluster_map_of(l->cluster);
    size_t best = 0, from = (size_t)lq_random(map->count);
    int rank_of_best = -1;
    for (size_t k = 0; k < map->count; k++) {
        size_t at = (from + k) % map->count;
        const struct node *n = at < l->count ? l->nodes[at] : NULL;
        int rank = !n                        ? 2
                   : is_silent(n, now_ms(l)) ? 1
                   : n->state == OK          ? 4
                   : n->state == NEW         ? 3
                                             : 0;
        rank = 2 * rank + (map->nodes[at].slots > 0);
        if (rank > rank_of_best) {
            rank_of_best = rank;
            best = at;
        }
    }
    return best;
}

static void hand_over(struct cluster_link *l, lq_op *bundle, size_t at)
{
    lunaq_error why = LUNAQ_ERROR_INIT;
    struct node *n = node_at(l, at == LQ_CLUSTER_ANY ? any_node(l) : at, &why);
    if (!n) {
        bundle->rc = LUNAQ_EBROKER;
        bundle->err = why;
        lq_cluster_ended(l->cluster, bundle, now_ms(l));
    } else if (n->state == OK) {
        node_send(n, bundle);
    } else if (n->state == NEW && now_ms(l) < n->since_ms + CONNECT_MS) {
        lq_list_append(&n->waiting, &bundle->node);
    } else {
        if (n->state == NEW)
            lq_fail(&n->why, LUNAQ_EBROKER, "redis: no answer in time");
        node_refuse(n, bundle);
    }
}

/* ---- the map ------------------------------------------------------------- */

/* Nodes that serve nothing any more. */
static void close_unused(struct cluster_link *l)
{
    const lq_cluster_map *map = lq_cluster_map_of(l->cluster);
    for (size_t at = 0; at < l->count; at++) {
        const struct node *n = l->nodes[at];
        if (n && !map->nodes[at].slots && !n->under_way &&
            lq_list_empty(&n->waiting))
            node_close(l, at);
    }
}

static void map_done(lq_op *op)
{
    struct node *n = op->ud;
    struct cluster_link *l = n->owner;
    n->under_way--;
    l->map_node = LQ_CLUSTER_ANY;
    if (op->rc) {
        if (!l->closing && l->state == DOWN && l->events.down)
            l->events.down(l->ud, &op->err);
        l->map_min_ms =
            now_ms(l) + MAP_FAILED_MS / 2 + (int64_t)lq_random(MAP_FAILED_MS);
    } else {
        lq_cluster_fresh(l->cluster);
        close_unused(l);
        l->map_read = true;
        l->map_due_ms =
            now_ms(l) + MAP_REST_MS / 2 + (int64_t)lq_random(MAP_REST_MS);
    }
    lq_op_release(op);
    lq_turn_arm(l->turn);
}

static void ask_for_map(struct cluster_link *l)
{
    lunaq_error why = LUNAQ_ERROR_INIT;
    int64_t now = now_ms(l);
    size_t at = any_node(l);
    struct node *n = node_at(l, at, &why);
    l->map_min_ms = now + MAP_MIN_MS + (int64_t)lq_random(MAP_MIN_MS);
    if (!n || n->state != OK) {
        bool late = n && n->state == NEW && now >= n->since_ms + CONNECT_MS;
        if (late) {
            lq_fail(&n->why, LUNAQ_EBROKER, "redis: no answer in time");
            n->state = FAILED;
            node_fail_waiting(n);
        }
        if (n && n->state == FAILED && l->state == DOWN && l->events.down)
            l->events.down(l->ud, &n->why);
        if (n && n->state == FAILED)
            l->map_min_ms = now + MAP_FAILED_MS;
        return;
    }
    lq_op_init(&l->map.op, LQ_OP_SLOTS);
    l->map.op.done = map_done;
    l->map.op.ud = n;
    l->map.cluster = l->cluster;
    l->map.asked = lq_cluster_map_of(l->cluster)->nodes[at].addr;
    l->map_node = at;
    l->map_until_ms = now + MAP_MS;
    n->under_way++;
    lq_link_submit(n->link, &l->map.op);
}

/* ---- breaking ------------------------------------------------------------ */

static void begin_break(struct cluster_link *l, const lunaq_error *why)
{
    lunaq_error told = *why;
    if (l->state != UP)
        return;
    l->state = BREAKING;
    l->map_read = false;
    lq_cluster_doubt(l->cluster);
    if (l->events.down)
        l->events.down(l->ud, &told);
    told.code = LUNAQ_EBROKER;
    lq_cluster_hurry(l->cluster, &told);
    /* What listens would never end. */
    for (size_t at = 0; at < l->count; at++)
        if (l->nodes[at] && l->nodes[at]->ear)
            node_close(l, at);
    lq_turn_arm(l->turn);
}

static void come_up(struct cluster_link *l)
{
    l->state = UP;
    (void)lq_cluster_back(l->cluster, 0);
    if (l->events.up)
        l->events.up(l->ud);
}

/* ---- what is due --------------------------------------------------------- */

static bool deliver(struct cluster_link *l)
{
    lq_list ended, *node;
    lq_op *op;
    bool any;
    lq_list_init(&ended);
    while ((node = lq_list_shift(&l->refused)))
        lq_list_append(&ended, node);
    while ((op = lq_cluster_finished(l->cluster)))
        lq_list_append(&ended, &op->node);
    any = !lq_list_empty(&ended);
    while ((node = lq_list_shift(&ended))) {
        op = LQ_OF(node, lq_op, node);
        op->done(op); /* op may be gone after it */
    }
    return any;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void set_timer(struct cluster_link *l)
{
    int64_t now = now_ms(l), due = lq_cluster_due(l->cluster);
    if (l->map_node == LQ_CLUSTER_ANY)
        due = earlier(due, lq_cluster_stale(l->cluster) ? l->map_min_ms
                                                        : l->map_due_ms);
    else
        due = earlier(due, l->map_until_ms);
    for (size_t at = 0; at < l->count; at++) {
        const struct node *n = l->nodes[at];
        if (n && !lq_list_empty(&n->waiting))
            due = earlier(due, n->since_ms + CONNECT_MS);
        if (n && is_silent(n, now))
            due = earlier(due, n->doubt_ms);
        else if (n && n->state == OK && n->pressing)
            due = earlier(due, n->heard_ms + SILENT_MS);
    }
    lq_timer_start(l->timer, due > now ? due - now : 0);
}

/* Sends what can be sent; ends nothing. */
static void pump(struct cluster_link *l)
{
    size_t at;
    lq_op *bundle;
    while ((bundle = lq_cluster_next(l->cluster, &at, now_ms(l))))
        hand_over(l, bundle, at);
}

static void look_at_map(struct cluster_link *l)
{
    int64_t now = now_ms(l);
    if (l->map_node != LQ_CLUSTER_ANY && now >= l->map_until_ms) {
        /* Silent: another one next time.  What is under way there has the
         * link's own patience. */
        struct node *n = l->nodes[l->map_node];
        if (n && n->under_way == 1)
            node_close(l, l->map_node);
        else
            l->map_until_ms = now + MAP_MS;
    }
    if (l->map_node == LQ_CLUSTER_ANY &&
        now >= (lq_cluster_stale(l->cluster) ? l->map_min_ms : l->map_due_ms))
        ask_for_map(l);
}

static void give_up_waiting(struct cluster_link *l)
{
    int64_t now = now_ms(l);
    for (size_t at = 0; at < l->count; at++) {
        struct node *n = l->nodes[at];
        if (!n || n->state != NEW || now < n->since_ms + CONNECT_MS ||
            lq_list_empty(&n->waiting))
            continue;
        lq_fail(&n->why, LUNAQ_EBROKER, "redis: %s:%d: no answer in time",
                lq_cluster_map_of(l->cluster)->nodes[at].addr.host,
                lq_cluster_map_of(l->cluster)->nodes[at].addr.port);
        n->state = FAILED;
        node_fail_waiting(n);
    }
}

/* Its link has more patience than the cluster, which may have replaced it. */
static void look_at_silent(struct cluster_link *l)
{
    int64_t now = now_ms(l);
    for (size_t at = 0; at < l->count; at++) {
        struct node *n = l->nodes[at];
        if (!n || !is_silent(n, now))
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
            begin_break(l, &why);
            if (l->nodes[at] == n)
                node_close(l, at);
        }
    }
}

static void end(struct cluster_link *l);

static void turn(void *ud)
{
    struct cluster_link *l = ud;
    if (l->closing) {
        end(l);
        return;
    }
    give_up_waiting(l);
    look_at_silent(l);
    look_at_map(l);
    pump(l);
    if (lq_cluster_back(l->cluster, STALL_MS)) {
        lunaq_error why = LUNAQ_ERROR_INIT;
        lq_fail(&why, LUNAQ_EBROKER,
                "redis: a part of the cluster was out of reach, and is back");
        begin_break(l, &why);
    }
    if (l->state != UP && l->map_read && lq_cluster_out(l->cluster) == 0)
        come_up(l);
    deliver(l);
    if (!l->closing)
        set_timer(l);
}

static void timer(void *ud)
{
    struct cluster_link *l = ud;
    lq_turn_arm(l->turn);
}

/* ---- the link ------------------------------------------------------------ */

static int64_t patience(const lq_op *op)
{
    switch (op->kind) {
    case LQ_OP_STEP:
    case LQ_OP_RECONCILE:
    case LQ_OP_TOKEN: /* another one is at another node */
        return STEP_MS;
    case LQ_OP_WAIT:
        return 0;
    case LQ_OP_ENQUEUE: /* … and these nothing but the one who asks */
    case LQ_OP_RESULT:
    case LQ_OP_CANCEL:
    case LQ_OP_TASK_GET:
    case LQ_OP_GROUP_FINISH:
        return LONG_MS;
    default:
        return PATIENCE_MS;
    }
}

static void submit(lq_link *link, lq_op *op)
{
    struct cluster_link *l = LQ_OF(link, struct cluster_link, link);
    if (l->state != UP || l->closing) {
        op->rc = lq_fail(&op->err, l->closing ? LUNAQ_ECANCELED : LUNAQ_EBROKER,
                         "redis: not connected to the cluster");
        lq_list_append(&l->refused, &op->node);
    } else {
        lq_cluster_submit(l->cluster, op, now_ms(l), patience(op));
        pump(l);
    }
    lq_turn_arm(l->turn);
}

static void link_free(struct cluster_link *l)
{
    lq_turn_close(l->turn);
    lq_timer_close(l->timer);
    lq_op_release(&l->map.op);
    lq_cluster_free(l->cluster);
    lq_url_release(&l->url);
    lq_free(l->nodes);
    lq_free(l);
}

/* At the end of turns after close(): first the nodes' links, then what was
 * under way, then nothing is left. */
static void end(struct cluster_link *l)
{
    lunaq_error why = LUNAQ_ERROR_INIT;
    lq_fail(&why, LUNAQ_ECANCELED, "the connection was closed");
    for (size_t at = 0; at < l->count; at++)
        if (l->nodes[at])
            node_close(l, at);
    lq_cluster_hurry(l->cluster, &why);
    if (deliver(l)) { /* and what that submits, a turn later */
        lq_turn_arm(l->turn);
        return;
    }
    if (l->open > 0 || lq_cluster_out(l->cluster) > 0)
        return; /* node_closed() comes back here */
    l->closed(l->closed_ud);
    link_free(l);
}

static void close_link(lq_link *link, void (*closed)(void *ud), void *ud)
{
    struct cluster_link *l = LQ_OF(link, struct cluster_link, link);
    assert(!l->closing);
    l->closing = true;
    l->closed = closed;
    l->closed_ud = ud;
    lq_timer_stop(l->timer);
    lq_turn_arm(l->turn);
}

int lq_cluster_link_open(lq_link **out, lq_loop *loop, const lq_url *url,
                         const lq_link_events *events, void *ud,
                         lunaq_error *err)
{
    static const lq_link_ops ops = {.submit = submit, .close = close_link};
    struct cluster_link *l = lq_calloc(1, sizeof(*l));
    *out = NULL;
    if (!l)
        return lq_fail_nomem(err);
    l->link.ops = &ops;
    l->loop = loop;
    l->events = *events;
    l->ud = ud;
    l->state = DOWN;
    l->map_node = LQ_CLUSTER_ANY;
    lq_list_init(&l->refused);
    int rc = lq_url_node(&l->url, url, "", 0, err);
    l->url.scheme = LQ_URL_REDIS_CLUSTER; /* what its nodes are of */
    if (!rc)
        rc = lq_cluster_new(&l->cluster, url, err);
    if (!rc)
        rc = lq_turn_new(&l->turn, loop, turn, l, err);
    if (!rc)
        rc = lq_timer_new(&l->timer, loop, timer, l, err);
    if (rc) {
        link_free(l);
        return rc;
    }
    lq_turn_arm(l->turn);
    *out = &l->link;
    return LUNAQ_OK;
}
