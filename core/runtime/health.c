/* A ping an interval; one that is not answered until the next is bad news. */
#include "runtime/health.h"

#include "base/clock.h"
#include "runtime/control.h"

#include <stdio.h>

static void tell(lq_health *h, int code, const char *message)
{
    const lq_runtime_options *o = &h->control->rt->o;
    o->health(code, message, o->health_userdata);
}

static void answered(lq_op *op)
{
    lq_health *h = op->ud;
    h->asking = false;
    if (op->rc != LUNAQ_ECANCELED) /* the server stops */
        tell(h, op->rc, op->err.message);
    lq_op_release(op);
}

static void look(void *ud)
{
    lq_health *h = ud;
    lq_control *c = h->control;
    char text[80];

    if (lq_phase(c->rt) == LQ_PHASE_CLOSED)
        return;
    lq_timer_start(h->timer, c->rt->o.health_interval_ms);
    if (h->asking) {
        snprintf(text, sizeof(text), "no answer for %lld ms",
                 (long long)(lq_mono_ms() - h->asked_ms));
        tell(h, LUNAQ_ETIMEOUT, text);
        return;
    }
    if (!c->link_up) {
        tell(h, LUNAQ_EBROKER, lunaq_strerror(LUNAQ_EBROKER));
        return;
    }
    h->asking = true;
    h->asked_ms = lq_mono_ms();
    lq_op_init(&h->op.op, LQ_OP_PING);
    h->op.op.done = answered;
    h->op.op.ud = h;
    lq_link_submit(c->link, &h->op.op);
}

int lq_health_start(lq_health *h, struct lq_control *c, lunaq_error *err)
{
    h->control = c;
    if (!c->rt->o.health)
        return LUNAQ_OK;
    int rc = lq_timer_new(&h->timer, c->loop, look, h, err);
    if (!rc)
        lq_timer_start(h->timer, c->rt->o.health_interval_ms);
    return rc;
}

void lq_health_stop(lq_health *h)
{
    lq_timer_close(h->timer);
    h->timer = NULL;
}
