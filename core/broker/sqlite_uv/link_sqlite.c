/* The loop's end of an engine's client: operations go to the engine's threads,
 * and what is finished comes back as a post.
 *
 *   loop ── submit ──► engine        engine ── tell ──► post ── collect ──►
 * done
 *
 * A closed link waits for what is in the threads' hands, and is freed in the
 * first post that finds nothing left.
 */
#include "sqlite_uv/link_sqlite.h"

#include "loop/loop.h"
#include "sqlite/engine.h"
#include "sqlite/wake.h"
#include <assert.h>

struct sqlite_link {
    lq_link link;
    lq_loop *loop;
    lq_sqlite_engine *engine;
    lq_sqlite_client client;
    lq_link_events events;
    void *ud;
    lq_post up;       /* once */
    lq_post finished; /* on the loop from `tell` to the collection */
    bool closing;
    void (*closed)(void *ud);
    void *closed_ud;
};

static void link_submit(lq_link *link, lq_op *op)
{
    struct sqlite_link *l = LQ_OF(link, struct sqlite_link, link);
    lq_sqlite_submit(l->engine, &l->client, op);
}

/* Only the loop's thread changes the list of listens. */
static void link_cancels(struct sqlite_link *l, lq_str ids)
{
    lq_str id;

    while (lq_sqlite_next_name(&ids, &id)) {
        LQ_LIST_EACH (&l->client.listens, node) {
            lq_op *op = LQ_OF(node, lq_op, node);
            lq_op_listen *listen = LQ_OF(op, lq_op_listen, op);
            listen->cancel(listen, id);
            if (l->closing)
                return;
        }
    }
}

static void link_finished(lq_post *post)
{
    struct sqlite_link *l = LQ_OF(post, struct sqlite_link, finished);
    lq_list ended, *node;
    lq_buf cancels;

    lq_list_init(&ended);
    lq_sqlite_collect(l->engine, &l->client, &ended, &cancels);
    if (!l->closing)
        link_cancels(l, lq_buf_str(&cancels));
    lq_buf_release(&cancels);
    while ((node = lq_list_shift(&ended))) {
        lq_op *op = LQ_OF(node, lq_op, node);
        if (l->closing)
            op->rc = lq_fail(&op->err, LUNAQ_ECANCELED,
                             "sqlite: the connection was closed");
        op->done(op); /* op may be gone after it */
    }
    if (l->closing && lq_sqlite_client_remove(l->engine, &l->client)) {
        l->closed(l->closed_ud);
        lq_free(l);
    }
}

/* On any thread, under the engine's lock: once until the collection. */
static void link_tell(lq_sqlite_client *client)
{
    struct sqlite_link *l = LQ_OF(client, struct sqlite_link, client);
    lq_loop_post(l->loop, &l->finished);
}

static void link_up(lq_post *post)
{
    struct sqlite_link *l = LQ_OF(post, struct sqlite_link, up);
    if (!l->closing && l->events.up)
        l->events.up(l->ud);
}

static void link_close(lq_link *link, void (*closed)(void *ud), void *ud)
{
    struct sqlite_link *l = LQ_OF(link, struct sqlite_link, link);

    assert(!l->closing);
    l->closing = true;
    l->closed = closed;
    l->closed_ud = ud;
    lq_sqlite_client_close(l->engine, &l->client);
}

int lq_sqlite_link_open(lq_link **out, lq_loop *loop, const void *broker,
                        const lq_link_events *events, void *ud,
                        lunaq_error *err)
{
    static const lq_link_ops ops = {.submit = link_submit, .close = link_close};
    /* The engine has its own lock; const is what all kinds of brokers share. */
    union {
        const void *in;
        lq_sqlite_engine *engine;
    } broker_of = {broker};
    struct sqlite_link *l = lq_calloc(1, sizeof(*l));

    *out = NULL;
    if (!l)
        return lq_fail_nomem(err);
    l->link.ops = &ops;
    l->loop = loop;
    l->engine = broker_of.engine;
    l->events = *events;
    l->ud = ud;
    l->up.fn = link_up;
    l->finished.fn = link_finished;
    l->client.tell = link_tell;
    lq_sqlite_client_add(l->engine, &l->client);
    lq_loop_post(loop, &l->up);
    *out = &l->link;
    return LUNAQ_OK;
}
