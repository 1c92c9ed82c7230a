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
#include "redis_uv/cluster_parts.h"

#include "base/clock.h"

#define MAP_MS 1500       /* for one node's answer about the map */
#define MAP_MIN_MS 50     /* between two readings, and up to twice that */
#define MAP_REST_MS 60000 /* without any doubt */
/* Out of reach so long: leases of 10 s may be at risk. */
#define STALL_MS 3000
#define PATIENCE_MS 2000 /* for what cannot be done at the moment, … */
#define STEP_MS 30       /* … which holds up other queues, … */
#define LONG_MS 10000

/* ---- the map ------------------------------------------------------------- */

static void map_done(lq_op *op)
{
    struct lq_map_ask *ask = (struct lq_map_ask *)op;
    struct lq_node *n = ask->node;
    struct lq_cluster_link *l = n->owner;
    n->under_way--;
    if (!op->rc)
        n->mute = false;
    if (l->map != ask) { /* another node was asked since */
        lq_op_release(op);
        lq_free(ask);
        lq_turn_arm(l->base.turn);
        return;
    }
    l->map = NULL;
    if (op->rc) {
        if (n->ended) /* by look_at_map() */
            lq_fail(&op->err, LUNAQ_EBROKER,
                    "redis: %s:%d: it did not tell the cluster's slots in time",
                    ask->slots.asked.host, ask->slots.asked.port);
        if (!l->base.closing && l->state == LQ_LINK_DOWN)
            lq_link_base_down(&l->base, &op->err);
        l->map_min_ms = lq_mono_ms() + MAP_FAILED_MS / 2 +
                        (int64_t)lq_random(MAP_FAILED_MS);
    } else {
        lq_cluster_fresh(l->cluster);
        lq_node_close_unused(l);
        l->map_read = true;
        l->map_due_ms =
            lq_mono_ms() + MAP_REST_MS / 2 + (int64_t)lq_random(MAP_REST_MS);
    }
    lq_op_release(op);
    lq_free(ask);
    lq_turn_arm(l->base.turn);
}

static void ask_for_map(struct lq_cluster_link *l)
{
    lunaq_error why = LUNAQ_ERROR_INIT;
    int64_t now = lq_mono_ms();
    size_t at = lq_node_any(l);
    struct lq_node *n = lq_node_at(l, at, &why);
    l->map_min_ms = now + MAP_MIN_MS + (int64_t)lq_random(MAP_MIN_MS);
    if (!n || n->state != LQ_NODE_OK) {
        bool late =
            n && n->state == LQ_NODE_NEW && now >= n->since_ms + CONNECT_MS;
        if (late) {
            lq_fail(&n->why, LUNAQ_EBROKER, "redis: no answer in time");
            n->state = LQ_NODE_FAILED;
            lq_node_fail_waiting(n);
        }
        if (n && n->state == LQ_NODE_FAILED && l->state == LQ_LINK_DOWN)
            lq_link_base_down(&l->base, &n->why);
        if (n && n->state == LQ_NODE_FAILED)
            l->map_min_ms = now + MAP_FAILED_MS;
        return;
    }
    struct lq_map_ask *ask = lq_calloc(1, sizeof(*ask));
    if (!ask)
        return; /* again after map_min_ms */
    lq_op_init(&ask->slots.op, LQ_OP_SLOTS);
    ask->slots.op.done = map_done;
    ask->slots.cluster = l->cluster;
    ask->slots.asked = lq_cluster_map_of(l->cluster)->nodes[at].addr;
    ask->node = n;
    l->map = ask;
    l->map_until_ms = now + MAP_MS;
    n->under_way++;
    lq_link_submit(n->link, &ask->slots.op);
}

/* ---- breaking ------------------------------------------------------------ */

void lq_cluster_link_break(struct lq_cluster_link *l, const lunaq_error *why)
{
    lunaq_error told = *why;
    if (l->state != LQ_LINK_UP)
        return;
    l->state = LQ_LINK_BREAKING;
    l->map_read = false;
    lq_cluster_doubt(l->cluster);
    lq_link_base_down(&l->base, &told);
    told.code = LUNAQ_EBROKER;
    lq_cluster_hurry(l->cluster, &told);
    /* What listens would never end. */
    for (size_t at = 0; at < l->count; at++)
        if (l->nodes[at] && l->nodes[at]->ear)
            lq_node_close(l, at);
    lq_turn_arm(l->base.turn);
}

static void come_up(struct lq_cluster_link *l)
{
    l->state = LQ_LINK_UP;
    (void)lq_cluster_back(l->cluster, 0);
    lq_link_base_up(&l->base);
}

/* ---- what is due --------------------------------------------------------- */

bool lq_cluster_link_deliver(struct lq_cluster_link *l)
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

static void set_timer(struct lq_cluster_link *l)
{
    int64_t now = lq_mono_ms(), due = lq_cluster_due(l->cluster);
    if (!l->map)
        due = earlier(due, lq_cluster_stale(l->cluster) ? l->map_min_ms
                                                        : l->map_due_ms);
    else
        due = earlier(due, l->map_until_ms);
    for (size_t at = 0; at < l->count; at++) {
        const struct lq_node *n = l->nodes[at];
        if (n && !lq_list_empty(&n->waiting))
            due = earlier(due, n->since_ms + CONNECT_MS);
        if (n && lq_node_is_silent(n, now))
            due = earlier(due, n->doubt_ms);
        else if (n && n->state == LQ_NODE_OK && n->pressing)
            due = earlier(due, n->heard_ms + SILENT_MS);
    }
    lq_timer_start(l->base.timer, due > now ? due - now : 0);
}

/* Sends what can be sent; ends nothing. */
void lq_cluster_link_pump(struct lq_cluster_link *l)
{
    size_t at;
    lq_op *bundle;
    if (l->base.closing) /* or it would open links again */
        return;
    while ((bundle = lq_cluster_next(l->cluster, &at, lq_mono_ms())))
        lq_node_hand_over(l, bundle, at);
}

static void look_at_map(struct lq_cluster_link *l)
{
    int64_t now = lq_mono_ms();
    if (l->map && now >= l->map_until_ms) {
        /* Another one is asked, and that one left if it has been replaced.
         * What is under way there has the link's own patience. */
        struct lq_map_ask *ask = l->map;
        struct lq_node *n = ask->node;
        n->mute = true;
        if (n->under_way == 1 && !n->ended) {
            lq_node_close(l, n->at);
        } else {
            ask->slots.cluster = NULL;
            l->map = NULL;
        }
    }
    if (!l->map &&
        now >= (lq_cluster_stale(l->cluster) ? l->map_min_ms : l->map_due_ms))
        ask_for_map(l);
}

static void end(struct lq_cluster_link *l);

static void turn(void *ud)
{
    struct lq_cluster_link *l = ud;
    if (l->base.closing) {
        end(l);
        return;
    }
    lq_node_give_up_waiting(l);
    lq_node_look_at_silent(l);
    look_at_map(l);
    lq_cluster_link_pump(l);
    if (lq_cluster_back(l->cluster, STALL_MS)) {
        lunaq_error why = LUNAQ_ERROR_INIT;
        lq_fail(&why, LUNAQ_EBROKER,
                "redis: a part of the cluster was out of reach, and is back");
        lq_cluster_link_break(l, &why);
    }
    /* First what ended, so that whoever hears that it is up has it all back. */
    lq_cluster_link_deliver(l);
    if (l->base.closing) /* which armed the turn again */
        return;
    if (l->state != LQ_LINK_UP && l->map_read &&
        lq_cluster_out(l->cluster) == 0)
        come_up(l);
    set_timer(l);
}

static void timer(void *ud)
{
    struct lq_cluster_link *l = ud;
    lq_turn_arm(l->base.turn);
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
    struct lq_cluster_link *l = LQ_OF(link, struct lq_cluster_link, base.link);
    if (l->state != LQ_LINK_UP || l->base.closing) {
        op->rc =
            lq_fail(&op->err, l->base.closing ? LUNAQ_ECANCELED : LUNAQ_EBROKER,
                    "redis: not connected to the cluster");
        lq_list_append(&l->refused, &op->node);
    } else {
        lq_cluster_submit(l->cluster, op, lq_mono_ms(), patience(op));
        lq_cluster_link_pump(l);
    }
    lq_turn_arm(l->base.turn);
}

static void link_free(struct lq_cluster_link *l)
{
    lq_link_base_release(&l->base);
    lq_tls_context_free(l->tls);
    lq_cluster_free(l->cluster);
    lq_url_release(&l->url);
    lq_free(l->nodes);
    lq_free(l);
}

/* At the end of turns after close(): first the nodes' links, then what was
 * under way, then nothing is left. */
static void end(struct lq_cluster_link *l)
{
    lunaq_error why = LUNAQ_ERROR_INIT;
    lq_fail(&why, LUNAQ_ECANCELED, "the connection was closed");
    for (size_t at = 0; at < l->count; at++)
        if (l->nodes[at])
            lq_node_close(l, at);
    lq_cluster_hurry(l->cluster, &why);
    if (lq_cluster_link_deliver(l)) { /* and what that submits, a turn later */
        lq_turn_arm(l->base.turn);
        return;
    }
    if (l->open > 0 || lq_cluster_out(l->cluster) > 0)
        return; /* node_closed() comes back here */
    l->base.closed(l->base.closed_ud);
    link_free(l);
}

int lq_cluster_link_open(lq_link **out, lq_loop *loop, const lq_url *url,
                         const lq_link_events *events, void *ud,
                         lunaq_error *err)
{
    static const lq_link_ops ops = {.submit = submit,
                                    .close = lq_link_base_close};
    struct lq_cluster_link *l = lq_calloc(1, sizeof(*l));
    *out = NULL;
    if (!l)
        return lq_fail_nomem(err);
    l->state = LQ_LINK_DOWN;
    lq_list_init(&l->refused);
    int rc = lq_url_node(&l->url, url, "", 0, err);
    l->url.scheme = LQ_URL_REDIS_CLUSTER; /* what its nodes are of */
    if (!rc && url->tls)
        rc = lq_tls_context_new(&l->tls, url, err);
    if (!rc)
        rc = lq_cluster_new(&l->cluster, url, err);
    if (!rc)
        rc = lq_link_base_init(&l->base, &ops, loop, events, ud, turn, timer,
                               err);
    if (rc) {
        link_free(l);
        return rc;
    }
    lq_turn_arm(l->base.turn);
    *out = &l->base.link;
    return LUNAQ_OK;
}
