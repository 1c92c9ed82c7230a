#include "redis_uv/link_durable.h"

#include "base/alloc.h"
#include "loop/loop.h"
#include "redis_uv/link_uv.h"

#include <assert.h>

struct durable_link {
    lq_link link;
    lq_loop *loop;
    char *url;
    lq_link *plain;
    lq_link *durable; /* NULL until something asks for it */
    bool tried;       /* durable came up, or did not: it answers by itself */
    lq_list held;     /* operations until then */
    lq_link_events events; /* of the plain one */
    void *ud;
    bool closing;
    void (*closed)(void *ud);
    void *closed_ud;
};

static bool is_durable(const lq_op *op)
{
    const lq_op_enqueue *o = (const lq_op_enqueue *)op;
    if (op->kind != LQ_OP_ENQUEUE)
        return false;
    for (size_t i = 0; i < o->count; i++)
        if (o->items[i]->durable > LUNAQ_DURABLE_NONE)
            return true;
    return false;
}

/* A link that is not connected says so to whatever it gets. */
static void hand_over(struct durable_link *l)
{
    lq_list *node;
    l->tried = true;
    while ((node = lq_list_shift(&l->held)))
        lq_link_submit(l->durable, LQ_OF(node, lq_op, node));
}

static void durable_up(void *ud)
{
    hand_over(ud);
}

static void durable_down(void *ud, const lunaq_error *why)
{
    (void)why;
    hand_over(ud);
}

/* False: it cannot be; the plain one has to do. */
static bool open_durable(struct durable_link *l)
{
    static const lq_link_events events = {durable_up, durable_down};
    if (!l->durable && !l->closing)
        (void)lq_redis_link_open(&l->durable, l->loop, l->url, &events, l,
                                 NULL);
    return l->durable != NULL;
}

static void submit(lq_link *link, lq_op *op)
{
    struct durable_link *l = LQ_OF(link, struct durable_link, link);
    if (!is_durable(op) || !open_durable(l))
        lq_link_submit(l->plain, op);
    else if (l->tried)
        lq_link_submit(l->durable, op);
    else
        lq_list_append(&l->held, &op->node);
}

static void link_free(struct durable_link *l)
{
    lq_free(l->url);
    lq_free(l);
}

static void plain_closed(void *ud)
{
    struct durable_link *l = ud;
    l->closed(l->closed_ud);
    link_free(l);
}

/* The plain one goes last: what ends meanwhile may submit something. */
static void durable_closed(void *ud)
{
    struct durable_link *l = ud;
    l->durable = NULL;
    l->plain->ops->close(l->plain, plain_closed, l);
}

static void close_link(lq_link *link, void (*closed)(void *ud), void *ud)
{
    struct durable_link *l = LQ_OF(link, struct durable_link, link);
    assert(!l->closing);
    l->closing = true;
    l->closed = closed;
    l->closed_ud = ud;
    if (!l->durable) {
        durable_closed(l);
        return;
    }
    hand_over(l);
    l->durable->ops->close(l->durable, durable_closed, l);
}

static void plain_up(void *ud)
{
    struct durable_link *l = ud;
    if (!l->closing && l->events.up)
        l->events.up(l->ud);
}

static void plain_down(void *ud, const lunaq_error *why)
{
    struct durable_link *l = ud;
    if (!l->closing && l->events.down)
        l->events.down(l->ud, why);
}

int lq_redis_durable_link_open(lq_link **out, lq_loop *loop, const void *broker,
                               const lq_link_events *events, void *ud,
                               lunaq_error *err)
{
    static const lq_link_ops ops = {.submit = submit, .close = close_link};
    static const lq_link_events own = {plain_up, plain_down};
    struct durable_link *l = lq_calloc(1, sizeof(*l));
    int rc;

    *out = NULL;
    if (!l)
        return lq_fail_nomem(err);
    l->url = lq_strdup(broker);
    rc = l->url ? lq_redis_link_open(&l->plain, loop, broker, &own, l, err)
                : lq_fail_nomem(err);
    if (rc) {
        link_free(l);
        return rc;
    }
    l->link.ops = &ops;
    l->loop = loop;
    l->events = *events;
    l->ud = ud;
    lq_list_init(&l->held);
    *out = &l->link;
    return LUNAQ_OK;
}
