#include "redis_uv/link_base.h"

#include <assert.h>

int lq_link_base_init(lq_link_base *b, const lq_link_ops *ops, lq_loop *loop,
                      const lq_link_events *events, void *ud,
                      void (*turn)(void *ud), void (*timer)(void *ud),
                      lunaq_error *err)
{
    b->link.ops = ops;
    b->loop = loop;
    b->events = *events;
    b->ud = ud;
    int rc = lq_turn_new(&b->turn, loop, turn, b, err);
    return rc ? rc : lq_timer_new(&b->timer, loop, timer, b, err);
}

void lq_link_base_release(lq_link_base *b)
{
    lq_turn_close(b->turn);
    lq_timer_close(b->timer);
}

void lq_link_base_close(lq_link *link, void (*closed)(void *ud), void *ud)
{
    lq_link_base *b = LQ_OF(link, lq_link_base, link);
    assert(!b->closing);
    b->closing = true;
    b->closed = closed;
    b->closed_ud = ud;
    lq_timer_stop(b->timer);
    lq_turn_arm(b->turn);
}

void lq_link_base_up(lq_link_base *b)
{
    if (b->events.up)
        b->events.up(b->ud);
}

void lq_link_base_down(lq_link_base *b, const lunaq_error *why)
{
    if (b->events.down)
        b->events.down(b->ud, why);
}
