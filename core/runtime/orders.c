/* An order is "<word> <who>": "stop anna@host". */
#include "runtime/orders.h"

#include "runtime/control.h"
#include "runtime/server.h"

#define LOOK_MS 5000

static bool word_is(lq_str text, const char *word, lq_str *who)
{
    lq_str w = lq_str_c(word);
    if (!lq_str_starts(text, w) || text.len <= w.len || text.p[w.len] != ' ')
        return false;
    *who = lq_str_n(text.p + w.len + 1, text.len - w.len - 1);
    return true;
}

static void obey(lq_orders *o, lq_str text)
{
    lq_runtime *rt = o->control->rt;
    lq_str who = {0};
    lunaq_order order = (lunaq_order)0;
    char name[LQ_ORDER_MAX];

    if (word_is(text, "quiet", &who))
        order = LUNAQ_ORDER_QUIET;
    else if (word_is(text, "stop", &who))
        order = LUNAQ_ORDER_STOP;
    if (!order || rt->o.orders_off) {
        LQ_LOG(rt->o.log, WARN,
               order ? "an order from afar was refused (remote_control)"
                     : "an order that this version does not know",
               lq_fs("order", text));
        return;
    }
    size_t len = lq_utf8_clean(who, name, sizeof(name) - 1);
    name[len] = '\0';
    LQ_LOG(rt->o.log, WARN,
           order == LUNAQ_ORDER_STOP ? "told from afar to stop"
                                     : "told from afar to take no more tasks",
           lq_fc("who", name));
    lq_server_quiet(rt);
    lq_heartbeat_publish_now(&o->control->heartbeat);
    if (rt->o.order)
        rt->o.order(order, name, rt->o.order_userdata);
}

static void taken(lq_op *op)
{
    lq_orders *o = op->ud;
    if (op->rc == LUNAQ_OK && o->op.text.p)
        obey(o, o->op.text);
    lq_op_release(op);
    o->op.text = (lq_str){0};
    lq_periodic_over_in(&o->look, o->again ? 0 : LOOK_MS);
    o->again = false;
}

static void look(void *ud)
{
    lq_orders *o = ud;
    lq_runtime *rt = o->control->rt;

    if (!o->control->link_up || lq_phase(rt) == LQ_PHASE_CLOSED) {
        lq_periodic_over(&o->look);
        return;
    }
    lq_op_init(&o->op.op, LQ_OP_ORDER_TAKE);
    o->op.op.done = taken;
    o->op.op.ud = o;
    o->op.host = lq_str_c(rt->host);
    o->op.server_id = lq_str_c(rt->server_id);
    o->op.pid = rt->pid;
    lq_link_submit(o->control->link, &o->op.op);
}

void lq_orders_heard(lq_orders *o, lq_str note)
{
    const lq_str head = LQ_STR(LQ_ORDER_NOTE);
    lq_str id = lq_str_c(o->control->rt->server_id);
    lq_str of = lq_str_n(note.p + head.len, note.len - head.len);

    if (!lq_str_starts(of, id))
        return;
    if (o->look.running)
        o->again = true;
    else
        lq_periodic_now(&o->look);
}

int lq_orders_start(lq_orders *o, struct lq_control *c, lunaq_error *err)
{
    o->control = c;
    return lq_periodic_start(&o->look, c->loop, LOOK_MS, LOOK_MS, look, o, err);
}

void lq_orders_stop(lq_orders *o)
{
    lq_periodic_stop(&o->look);
}
