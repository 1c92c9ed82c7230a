/* UNTOLD: lunaq's key untold, notes of tasks that were archived while no server
 * had them in hand. */
#include "redis/keys.h"
#include "redis/rows.h"

#include "broker/archived.h"

#define FIELDS 3

extern const lq_script lq_script_untold;

static int untold_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_untold *o = (const lq_op_untold *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_untold, 1);
    lq_cmd_own(c, o->queue, "untold");
    lq_cmd_queue(c, o->queue, "t:");
    lq_cmd_int(c, LQ_BATCH_MAX);
    lq_cmd_int(c, LQ_UNTOLD_BYTES);
    return LUNAQ_OK;
}

static int untold_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_untold *o = (lq_op_untold *)op;
    size_t total = lq_reply_count(reply), n = total / FIELDS;
    (void)i;
    o->count = 0;
    if (total % FIELDS != 1)
        return lq_redis_odd(op);
    o->more = lq_reply_int(lq_reply_at(reply, 0), 0) > 0;
    o->items = lq_arena_alloc(&op->mem, (n + 1) * sizeof(*o->items));
    if (!o->items)
        return lq_fail_nomem(&op->err);
    for (size_t at = 1; at < total; at += FIELDS) {
        lq_untold *u = &o->items[o->count++];
        if (!lq_redis_keep(op, lq_reply_str(lq_reply_at(reply, at)), &u->id) ||
            !lq_redis_keep(op, lq_reply_str(lq_reply_at(reply, at + 1)),
                           &u->msg) ||
            !lq_redis_keep(op, lq_reply_str(lq_reply_at(reply, at + 2)),
                           &u->error))
            return lq_fail_nomem(&op->err);
    }
    return LUNAQ_OK;
}

const lq_redis_op lq_row_untold = {.build = untold_build,
                                   .parse = untold_parse};
