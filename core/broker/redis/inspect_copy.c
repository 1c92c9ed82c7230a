/* From one broker to another: a queue read with all it has, and put in. */
#include "redis/inspect_rows.h"
#include "redis/keys.h"

#include "broker/copy.h"
#include "task/state.h"

#define EXPORT_BYTES (INT64_C(4) * 1024 * 1024) /* of messages in one reply */
#define DAY_S ((int64_t)24 * 3600)
#define COUNTERS 4

extern const lq_script lq_script_inspect_export;
extern const lq_script lq_script_inspect_import;
extern const lq_script lq_script_inspect_import_queue;

static bool keep_optional(lq_op *op, const lq_reply *reply, lq_str *copy)
{
    lq_str s = lq_reply_str(reply);
    *copy = (lq_str){0};
    return !s.p || lq_redis_keep(op, s, copy);
}

/* ---- EXPORT -------------------------------------------------------------- */

static int export_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    static const char *const keys[] = {
        "pending",  "active",    "lease",  "scheduled",       "retry",
        "archived", "completed", "groups", "aggregation_sets"};
    const lq_op_export *op = (const lq_op_export *)base;
    (void)i;
    lq_cmd_script(cmd, &lq_script_inspect_export, LQ_COUNT(keys));
    for (size_t k = 0; k < LQ_COUNT(keys); k++)
        lq_cmd_queue(cmd, op->queue, keys[k]);
    lq_cmd_c(cmd, op->cursor);
    lq_cmd_int(cmd, LQ_BATCH_MAX);
    lq_cmd_int(cmd, EXPORT_BYTES);
    lq_cmd_queue(cmd, op->queue, "t:");
    lq_cmd_queue(cmd, op->queue, "g:");
    lq_cmd_queue(cmd, op->queue, "unique:");
    return LUNAQ_OK;
}

static bool export_item(lq_op *base, const lq_reply *r, lq_copy *c)
{
    lq_str lock = lq_reply_str(lq_reply_at(r, 5));
    c->unique_key = (lq_str){0};
    c->state = lq_state_from(lq_reply_str(lq_reply_at(r, 1)));
    c->at_ms = lq_reply_int(lq_reply_at(r, 2), 0);
    c->crashes = lq_reply_int(lq_reply_at(r, 8), 0);
    c->lock_ms = lq_reply_int(lq_reply_at(r, 9), 0);
    return lq_redis_keep(base, lq_reply_str(lq_reply_at(r, 0)), &c->id) &&
           lq_keys_plain_msg(base, lq_reply_str(lq_reply_at(r, 3)), &c->msg) &&
           keep_optional(base, lq_reply_at(r, 4), &c->group) &&
           (!lock.p || lq_keys_plain_lock(base, lock, &c->unique_key)) &&
           keep_optional(base, lq_reply_at(r, 6), &c->cancel) &&
           keep_optional(base, lq_reply_at(r, 7), &c->result);
}

static int export_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_export *op = (lq_op_export *)base;
    (void)i;
    lq_str cursor = lq_reply_str(lq_reply_at(reply, 0));
    op->count = 0;
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY || lq_reply_count(reply) < 2 ||
        !cursor.p || cursor.len == 0 || cursor.len >= sizeof op->cursor)
        return lq_redis_odd(base);
    memcpy(op->cursor, cursor.p, cursor.len);
    op->cursor[cursor.len] = '\0';
    int64_t dangling = lq_reply_int(lq_reply_at(reply, 1), 0);
    op->dangling = dangling > 0 ? (size_t)dangling : 0;
    op->items = lq_arena_alloc(&base->mem,
                               (lq_reply_count(reply) - 1) * sizeof *op->items);
    if (!op->items)
        return lq_fail_nomem(&base->err);
    for (size_t k = 2; k < lq_reply_count(reply); k++)
        if (!export_item(base, lq_reply_at(reply, k), &op->items[k - 2]))
            return lq_fail_nomem(&base->err);
    op->count = lq_reply_count(reply) - 2;
    return LUNAQ_OK;
}

const lq_redis_op lq_inspect_export = {.build = export_build,
                                       .parse = export_parse};

/* ---- IMPORT -------------------------------------------------------------- */

static void build_optional(lq_cmd *cmd, lq_str s)
{
    const lq_str parts[] = {s.p ? LQ_STR("1") : LQ_STR("0"), s};
    lq_cmd_join(cmd, parts, LQ_COUNT(parts));
}

static int import_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    static const char *const keys[] = {"pending",   "active", "lease",
                                       "scheduled", "retry",  "archived",
                                       "completed", "groups"};
    const lq_op_import *op = (const lq_op_import *)base;
    (void)i;
    lq_cmd_script(cmd, &lq_script_inspect_import, LQ_COUNT(keys));
    for (size_t k = 0; k < LQ_COUNT(keys); k++)
        lq_cmd_queue(cmd, op->queue, keys[k]);
    lq_cmd_queue(cmd, op->queue, "t:");
    lq_cmd_queue(cmd, op->queue, "g:");
    lq_cmd_c(cmd, op->check ? "1" : "0");
    for (size_t k = 0; k < op->count; k++) {
        const lq_copy *c = &op->items[k];
        lq_cmd_str(cmd, c->id);
        lq_cmd_c(cmd, lunaq_state_name(c->state));
        lq_cmd_int(cmd, c->at_ms);
        lq_cmd_msg(cmd, c->msg);
        lq_cmd_int(cmd, c->crashes);
        lq_cmd_int(cmd, c->lock_ms);
        build_optional(cmd, c->group);
        lq_cmd_lock(cmd, c->unique_key.p ? "1" : "0", c->unique_key);
        build_optional(cmd, c->cancel);
        build_optional(cmd, c->result);
    }
    return LUNAQ_OK;
}

static int import_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_import *op = (lq_op_import *)base;
    lq_str codes = lq_reply_str(reply);
    (void)i;
    if (lq_reply_type(reply) != LQ_REPLY_STRING || codes.len != op->count)
        return lq_redis_odd(base);
    for (size_t k = 0; k < op->count; k++)
        switch (codes.p[k]) {
        case '0':
            op->items[k].code = LUNAQ_OK;
            break;
        case 'E':
            op->items[k].code = LUNAQ_EEXIST;
            break;
        case 'X':
            op->items[k].code = LUNAQ_ESTATE;
            break;
        case 'N':
            op->items[k].code = LUNAQ_ENOTFOUND;
            break;
        default:
            op->items[k].code = LUNAQ_EREPLY;
        }
    return LUNAQ_OK;
}

const lq_redis_op lq_inspect_import = {.build = import_build,
                                       .parse = import_parse};

/* ---- EXPORT_QUEUE -------------------------------------------------------- */

static uint32_t export_queue_count(lq_op *base)
{
    (void)base;
    return 3;
}

static void counter_keys(lq_cmd *cmd, lq_str queue)
{
    lq_cmd_queue(cmd, queue, "processed");
    lq_cmd_queue(cmd, queue, "failed");
    lq_cmd_own(cmd, queue, "discarded");
    lq_cmd_own(cmd, queue, "dropped");
}

static int export_queue_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    const lq_op_export_queue *op = (const lq_op_export_queue *)base;
    if (i == 0) {
        lq_cmd_c(cmd, "SISMEMBER");
        lq_cmd_global(cmd, "queues");
        lq_cmd_str(cmd, op->queue);
        return LUNAQ_OK;
    }
    if (i == 1) {
        lq_cmd_c(cmd, "HGETALL");
        lq_cmd_own(cmd, op->queue, "cron");
        return LUNAQ_OK;
    }
    lq_cmd_c(cmd, "MGET");
    lq_cmd_queue(cmd, op->queue, "paused");
    counter_keys(cmd, op->queue);
    for (int64_t d = 0; d < LQ_COPY_DAYS; d++) {
        lq_cmd_day(cmd, op->queue, "processed", op->now_ms - d * DAY_S * 1000);
        lq_cmd_day(cmd, op->queue, "failed", op->now_ms - d * DAY_S * 1000);
    }
    return LUNAQ_OK;
}

static int take_crons(lq_op_export_queue *op, const lq_reply *reply)
{
    lq_op *base = &op->op;
    lq_queue_copy *copy = &op->copy;
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY)
        return lq_redis_odd(base);
    copy->cron_count = 0;
    copy->crons = lq_arena_alloc(&base->mem, (lq_reply_count(reply) / 2 + 1) *
                                                 sizeof *copy->crons);
    if (!copy->crons)
        return lq_fail_nomem(&base->err);
    for (size_t k = 0; k + 1 < lq_reply_count(reply); k += 2) {
        lq_copy_cron *c = &copy->crons[copy->cron_count];
        lq_str entry = lq_reply_str(lq_reply_at(reply, k));
        c->last_ms = lq_reply_int(lq_reply_at(reply, k + 1), 0);
        if (!lq_redis_keep(base, entry, &c->entry))
            return lq_fail_nomem(&base->err);
        copy->cron_count++;
    }
    return LUNAQ_OK;
}

static int export_queue_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_export_queue *op = (lq_op_export_queue *)base;
    lq_queue_copy *copy = &op->copy;
    if (i == 0) {
        if (lq_reply_type(reply) != LQ_REPLY_INTEGER)
            return lq_redis_odd(base);
        return lq_reply_int(reply, 0)
                   ? LUNAQ_OK
                   : lq_fail(&base->err, LUNAQ_ENOTFOUND, "no queue '%.*s'",
                             LQ_STR_ARG(op->queue));
    }
    if (i == 1)
        return take_crons(op, reply);
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY ||
        lq_reply_count(reply) != 1 + COUNTERS + 2 * LQ_COPY_DAYS)
        return lq_redis_odd(base);
    const lq_reply *paused = lq_reply_at(reply, 0);
    int64_t since = lq_reply_int(paused, 0);
    copy->paused_ms = 0;
    /* Its being there is what counts. */
    if (lq_reply_type(paused) != LQ_REPLY_NIL)
        copy->paused_ms =
            since > 0 && since < INT64_MAX / 1000 ? since * 1000 : 1;
    copy->processed = lq_reply_int(lq_reply_at(reply, 1), 0);
    copy->failed = lq_reply_int(lq_reply_at(reply, 2), 0);
    copy->discarded = lq_reply_int(lq_reply_at(reply, 3), 0);
    copy->dropped = lq_reply_int(lq_reply_at(reply, 4), 0);
    for (size_t d = 0; d < LQ_COPY_DAYS; d++) {
        size_t at = 1 + COUNTERS + 2 * d;
        copy->processed_on[d] = lq_reply_int(lq_reply_at(reply, at), 0);
        copy->failed_on[d] = lq_reply_int(lq_reply_at(reply, at + 1), 0);
    }
    return LUNAQ_OK;
}

const lq_redis_op lq_inspect_export_queue = {.count = export_queue_count,
                                             .build = export_queue_build,
                                             .parse = export_queue_parse};

/* ---- IMPORT_QUEUE -------------------------------------------------------- */

static uint32_t import_queue_count(lq_op *base)
{
    (void)base;
    return 2;
}

/* Counters of days: the keys of those that counted (what 0), or their values
 * and the seconds until they end (1); how many. */
static uint32_t days(lq_cmd *cmd, const lq_op_import_queue *op, bool values)
{
    uint32_t n = 0;
    for (int64_t d = 0; d < LQ_COPY_DAYS; d++) {
        const int64_t value[] = {op->copy.processed_on[d],
                                 op->copy.failed_on[d]};
        for (size_t k = 0; k < LQ_COUNT(value); k++) {
            if (value[k] <= 0)
                continue;
            n++;
            if (!cmd)
                continue;
            if (values) {
                lq_cmd_int(cmd, value[k]);
                lq_cmd_int(cmd, (LQ_COPY_DAYS - d) * DAY_S);
            } else {
                lq_cmd_day(cmd, op->queue, k ? "failed" : "processed",
                           op->now_ms - d * DAY_S * 1000);
            }
        }
    }
    return n;
}

static int import_queue_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    const lq_op_import_queue *op = (const lq_op_import_queue *)base;
    const lq_queue_copy *c = &op->copy;
    if (i == 0) {
        lq_cmd_c(cmd, "SADD");
        lq_cmd_global(cmd, "queues");
        lq_cmd_str(cmd, op->queue);
        return LUNAQ_OK;
    }
    lq_cmd_script(cmd, &lq_script_inspect_import_queue,
                  2 + COUNTERS + days(NULL, op, false));
    lq_cmd_queue(cmd, op->queue, "paused");
    lq_cmd_own(cmd, op->queue, "cron");
    counter_keys(cmd, op->queue);
    days(cmd, op, false);
    lq_cmd_int(cmd, (c->paused_ms + 999) / 1000);
    lq_cmd_int(cmd, (int64_t)c->cron_count);
    for (size_t k = 0; k < c->cron_count; k++) {
        lq_cmd_str(cmd, c->crons[k].entry);
        lq_cmd_int(cmd, c->crons[k].last_ms);
    }
    const int64_t totals[COUNTERS] = {c->processed, c->failed, c->discarded,
                                      c->dropped};
    for (size_t k = 0; k < COUNTERS; k++) {
        lq_cmd_int(cmd, totals[k]);
        lq_cmd_int(cmd, 0);
    }
    days(cmd, op, true);
    return LUNAQ_OK;
}

static int import_queue_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    (void)i;
    return lq_reply_type(reply) == LQ_REPLY_INTEGER ? LUNAQ_OK
                                                    : lq_redis_odd(base);
}

const lq_redis_op lq_inspect_import_queue = {.count = import_queue_count,
                                             .build = import_queue_build,
                                             .parse = import_queue_parse};
