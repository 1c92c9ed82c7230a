/* ORDER, ORDER_TAKE: lunaq's key lunaq:orders:{host:pid:id} and a note on the
 * channel of cancel requests. */
#include "redis/keys.h"
#include "redis/rows.h"

#include "broker/order.h"

extern const lq_script lq_script_order;

/* The note is published by the script: a command of its own could be carried
 * out before a script that the server has to be sent first. */
static int order_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_order *o = (const lq_op_order *)op;
    const lq_str note[] = {LQ_STR(LQ_ORDER_NOTE), o->server_id};
    (void)i;
    lq_cmd_script(c, &lq_script_order, 2);
    lq_cmd_server(c, "servers", o->host, o->pid, o->server_id);
    lq_cmd_own_order(c, o->host, o->pid, o->server_id);
    lq_cmd_str(c, o->text);
    lq_cmd_int(c, LQ_ORDER_KEPT_S);
    lq_cmd_own_global(c, "cancel");
    lq_cmd_join(c, note, LQ_COUNT(note));
    return LUNAQ_OK;
}

static int order_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    const lq_op_order *o = (const lq_op_order *)op;
    (void)i;
    if (lq_reply_int(reply, -1) == 1)
        return LUNAQ_OK;
    return lq_fail(&op->err, LUNAQ_ENOTFOUND, "no server %.*s lives",
                   LQ_STR_ARG(o->server_id));
}

const lq_redis_op lq_row_order = {.build = order_build, .parse = order_parse};

static int take_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_order_take *o = (const lq_op_order_take *)op;
    (void)i;
    lq_cmd_c(c, "GETDEL");
    lq_cmd_own_order(c, o->host, o->pid, o->server_id);
    return LUNAQ_OK;
}

static int take_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_order_take *o = (lq_op_order_take *)op;
    lq_str text = lq_reply_str(reply);
    (void)i;
    o->text = (lq_str){0};
    if (text.p && !lq_redis_keep(op, text, &o->text))
        return lq_fail_nomem(&op->err);
    return LUNAQ_OK;
}

const lq_redis_op lq_row_order_take = {.build = take_build,
                                       .parse = take_parse};
