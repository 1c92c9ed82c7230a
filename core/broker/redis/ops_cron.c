/* CRON_FIRE: a tick of a periodic entry becomes a task once. */
#include "base/clock.h"
#include "redis/keys.h"
#include "redis/ops_enqueue.h"
#include "redis/rows.h"

extern const lq_script lq_script_cron_fire;

/* The queue has to be known before it gets a task. */
static uint32_t fire_count(lq_op *op)
{
    return ((lq_op_cron_fire *)op)->item ? 2 : 1;
}

void lq_cron_event_build(lq_cmd *c, lq_str task_id)
{
    lq_buf event;
    lq_buf_init(&event, 0);
    lq_cron_event_encode(&event, task_id, lq_now_ms() * 1000000);
    if (event.failed)
        c->body.failed = true;
    lq_cmd_str(c, lq_buf_str(&event));
    lq_buf_release(&event);
}

static int fire_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_cron_fire *o = (const lq_op_cron_fire *)op;
    if (o->item && i == 0) {
        lq_cmd_c(c, "SADD");
        lq_cmd_global(c, "queues");
        lq_cmd_str(c, o->queue);
        return LUNAQ_OK;
    }
    lq_cmd_script(c, &lq_script_cron_fire, 5);
    lq_cmd_own(c, o->queue, "cron");
    if (c->cluster) /* in another slot: a command of its own */
        lq_cmd_own(c, o->queue, "cron");
    else
        lq_cmd_global_of(c, "scheduler_history:", o->entry_id);
    lq_cmd_queue(c, o->queue, "pending");
    lq_cmd_queue(c, o->queue, "scheduled");
    lq_cmd_queue(c, o->queue, "groups");
    lq_cmd_str(c, o->entry_id);
    lq_cmd_int(c, o->item ? o->instant_ms : -1);
    lq_cmd_int(c, o->first_ms);
    if (!o->item) {
        lq_cmd_int(c, o->latest_ms);
        return LUNAQ_OK;
    }
    lq_cron_event_build(c, o->item->task.id);
    lq_cmd_queue(c, o->queue, "t:");
    lq_cmd_queue(c, o->queue, "g:");
    lq_enqueue_item_build(c, o->item);
    return LUNAQ_OK;
}

static int fire_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_cron_fire *o = (lq_op_cron_fire *)op;
    if (o->item && i == 0)
        return LUNAQ_OK;
    lq_str code = lq_reply_str(lq_reply_at(reply, 2));
    int64_t what = lq_reply_int(lq_reply_at(reply, 0), 0);
    o->fired = what == 1;
    o->set_back = what == 2;
    o->last_ms = lq_reply_int(lq_reply_at(reply, 1), 0);
    o->never = o->last_ms <= 0;
    if (o->last_ms < 0)
        o->last_ms = -o->last_ms;
    if (lq_reply_count(reply) != 3 || (o->fired && !code.len))
        return lq_redis_odd(op);
    if (code.len && o->item && !lq_enqueue_item_parse(o->item, code.p[0]))
        return lq_redis_odd(op);
    if (!o->fired && code.len)
        return lq_fail(&op->err, LUNAQ_EREPLY,
                       "redis: cron fire: a key of queue '%.*s' has a wrong "
                       "type",
                       LQ_STR_ARG(o->queue));
    return LUNAQ_OK;
}

const lq_redis_op lq_row_cron_fire = {
    .count = fire_count, .build = fire_build, .parse = fire_parse};
