/* CRON_FIRE: a tick of a periodic entry becomes a task once.  CRON_RECORD,
 * CRON_HISTORY: which tasks they were; Asynq's keys, which share no slot with
 * the queue's. */
#include "redis/keys.h"
#include "broker/inspect.h"
#include "redis/ops_enqueue.h"
#include "redis/rows.h"

extern const lq_script lq_script_cron_fire;

/* The queue has to be known before it gets a task. */
static uint32_t fire_count(lq_op *op)
{
    return ((lq_op_cron_fire *)op)->item ? 2 : 1;
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
    lq_cmd_queue(c, o->queue, "pending");
    lq_cmd_queue(c, o->queue, "scheduled");
    lq_cmd_queue(c, o->queue, "groups");
    lq_cmd_own(c, o->queue, "fired");
    lq_cmd_str(c, o->entry_id);
    lq_cmd_int(c, o->item || o->skip ? o->instant_ms : -1);
    lq_cmd_int(c, o->first_ms);
    if (!o->item) {
        if (o->skip)
            lq_cmd_c(c, "skip");
        else
            lq_cmd_int(c, o->latest_ms);
        return LUNAQ_OK;
    }
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
    o->last_ms = lq_reply_int(lq_reply_at(reply, 1), 0);
    o->fired = what == 1;
    if (lq_reply_count(reply) != 3 || o->last_ms == INT64_MIN ||
        (o->fired && o->item && !code.len))
        return lq_redis_odd(op);
    o->set_back = what == 2;
    o->never = o->last_ms <= 0;
    if (o->last_ms < 0)
        o->last_ms = -o->last_ms;
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

/* ---- CRON_RECORD --------------------------------------------------------- */

static uint32_t record_count(lq_op *op)
{
    return ((const lq_op_cron_record *)op)->task_id.len ? 3 : 1;
}

static void build_event(lq_cmd *c, const lq_op_cron_record *o)
{
    lq_buf event;
    lq_buf_init(&event, 0);
    lq_cron_event_encode(&event, o->task_id, o->at_ms * 1000000);
    if (event.failed)
        c->body.failed = true;
    lq_cmd_str(c, lq_buf_str(&event));
    lq_buf_release(&event);
}

/* As Asynq does it, and a time to live: there, the histories of entries that
 * were forgotten stand for ever. */
static int record_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    static const char *const commands[] = {"ZREMRANGEBYRANK", "ZADD",
                                           "PEXPIRE"};
    const lq_op_cron_record *o = (const lq_op_cron_record *)op;
    lq_cmd_c(c, o->task_id.len ? commands[i] : "DEL");
    lq_cmd_global_of(c, "scheduler_history:", o->entry_id);
    if (!o->task_id.len)
        return LUNAQ_OK;
    switch (i) {
    case 0:
        lq_cmd_int(c, 0);
        lq_cmd_int(c, -LQ_CRON_HISTORY_MAX);
        break;
    case 1:
        lq_cmd_int(c, o->at_ms / 1000);
        build_event(c, o);
        break;
    default:
        lq_cmd_int(c, LQ_CRON_HISTORY_MS);
        break;
    }
    return LUNAQ_OK;
}

static int record_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    (void)i;
    return lq_reply_type(reply) == LQ_REPLY_INTEGER ? LUNAQ_OK
                                                    : lq_redis_odd(op);
}

const lq_redis_op lq_row_cron_record = {
    .count = record_count, .build = record_build, .parse = record_parse};

/* ---- CRON_HISTORY -------------------------------------------------------- */

static int history_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_cron_history *o = (const lq_op_cron_history *)op;
    (void)i;
    lq_cmd_c(c, "ZREVRANGE");
    lq_cmd_global_of(c, "scheduler_history:", o->entry_id);
    lq_cmd_int(c, 0);
    lq_cmd_int(c, (int64_t)(o->limit ? o->limit : LQ_CRON_HISTORY_MAX) - 1);
    return LUNAQ_OK;
}

static int history_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_cron_history *o = (lq_op_cron_history *)op;
    size_t n = lq_reply_count(reply);
    (void)i;
    o->count = 0;
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY)
        return lq_redis_odd(op);
    o->events = lq_arena_alloc(&op->mem, (n + 1) * sizeof(*o->events));
    if (!o->events)
        return lq_fail_nomem(&op->err);
    for (size_t k = 0; k < n; k++) {
        lq_cron_event *e = &o->events[o->count];
        lq_str id;
        int64_t at_ns;
        /* What is no event is left out, as Asynq does. */
        if (lq_cron_event_decode(&id, &at_ns,
                                 lq_reply_str(lq_reply_at(reply, k)), NULL))
            continue;
        if (!lq_redis_keep(op, id, &e->task_id))
            return lq_fail_nomem(&op->err);
        e->at_ms = at_ns / 1000000;
        o->count++;
    }
    return LUNAQ_OK;
}

const lq_redis_op lq_row_cron_history = {.build = history_build,
                                         .parse = history_parse};
