/* Queues: their names, numbers and history; pausing and removing them. */
#include "redis/inspect_rows.h"
#include "broker/inspect.h"
#include "broker/order.h"
#include "redis/keys.h"

#include <stdlib.h>

#define HISTORY_DAYS 90
#define REMOVE_PART 500 /* tasks deleted in one call */
#define DAY_MS ((int64_t)24 * 3600 * 1000)

extern const lq_script lq_script_inspect_stats;
extern const lq_script lq_script_inspect_memory;
extern const lq_script lq_script_inspect_pause;
extern const lq_script lq_script_inspect_remove;

static int no_queue(lunaq_error *err, lq_str queue)
{
    return lq_fail(err, LUNAQ_ENOTFOUND, "no queue '%.*s'", LQ_STR_ARG(queue));
}

static void build_member(lq_cmd *cmd, const char *command, lq_str queue)
{
    lq_cmd_c(cmd, command);
    lq_cmd_global(cmd, "queues");
    lq_cmd_str(cmd, queue);
}

/* ---- QUEUES ----------------------------------------------------------------
 */

static int queues_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    (void)base;
    (void)i;
    lq_cmd_c(cmd, "SMEMBERS");
    lq_cmd_global(cmd, "queues");
    return LUNAQ_OK;
}

static int by_bytes(const void *a, const void *b)
{
    const lq_str *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int order = n ? memcmp(x->p, y->p, n) : 0;
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

static int queues_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_queues *op = (lq_op_queues *)base;
    (void)i;
    op->count = 0;
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY)
        return lq_redis_odd(base);
    op->names = lq_arena_alloc(&base->mem,
                               (lq_reply_count(reply) + 1) * sizeof *op->names);
    if (!op->names)
        return lq_fail_nomem(&base->err);
    for (size_t k = 0; k < lq_reply_count(reply); k++) {
        lq_str name = lq_reply_str(lq_reply_at(reply, k));
        if (!lq_redis_keep(base, name, &op->names[k]))
            return lq_fail_nomem(&base->err);
    }
    op->count = lq_reply_count(reply);
    qsort(op->names, op->count, sizeof *op->names, by_bytes);
    return LUNAQ_OK;
}

const lq_redis_op lq_inspect_queues = {.build = queues_build,
                                       .parse = queues_parse};

/* ---- QUEUE_STATS ------------------------------------------------------------
 */

static uint32_t stats_count(lq_op *base)
{
    lq_op_queue_stats *op = (lq_op_queue_stats *)base;
    /* Not at the first reply: in a cluster any may be it. */
    op->info = (lunaq_queue_info){.size = sizeof op->info};
    return op->memory ? 3 : 2;
}

static void build_memory(lq_cmd *cmd, lq_str q)
{
    static const char *const keys[] = {"pending", "active",   "scheduled",
                                       "retry",   "archived", "completed",
                                       "groups"};
    lq_cmd_script(cmd, &lq_script_inspect_memory, LQ_COUNT(keys));
    for (size_t k = 0; k < LQ_COUNT(keys); k++)
        lq_cmd_queue(cmd, q, keys[k]);
    lq_cmd_queue(cmd, q, "t:");
    lq_cmd_queue(cmd, q, "g:");
}

static int stats_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    const lq_op_queue_stats *op = (const lq_op_queue_stats *)base;
    lq_str q = op->queue;
    if (i == 0) {
        build_member(cmd, "SISMEMBER", q);
        return LUNAQ_OK;
    }
    if (i == 2) {
        build_memory(cmd, q);
        return LUNAQ_OK;
    }
    static const char *const keys[] = {"pending", "active",   "scheduled",
                                       "retry",   "archived", "completed",
                                       "groups",  "paused"};
    lq_cmd_script(cmd, &lq_script_inspect_stats, LQ_COUNT(keys) + 7);
    for (size_t k = 0; k < LQ_COUNT(keys); k++)
        lq_cmd_queue(cmd, q, keys[k]);
    lq_cmd_day(cmd, q, "processed", op->now_ms);
    lq_cmd_day(cmd, q, "failed", op->now_ms);
    lq_cmd_queue(cmd, q, "processed");
    lq_cmd_queue(cmd, q, "failed");
    lq_cmd_own(cmd, q, "dropped");
    lq_cmd_own(cmd, q, "limits");
    lq_cmd_queue(cmd, q, "aggregation_sets");
    lq_cmd_queue(cmd, q, "t:");
    lq_cmd_queue(cmd, q, "g:");
    return LUNAQ_OK;
}

static int stats_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_queue_stats *op = (lq_op_queue_stats *)base;
    lunaq_queue_info *info = &op->info;
    if (i == 0) {
        if (lq_reply_type(reply) != LQ_REPLY_INTEGER)
            return lq_redis_odd(base);
        return lq_reply_int(reply, 0) ? LUNAQ_OK
                                      : no_queue(&base->err, op->queue);
    }
    if (i == 2) {
        info->memory_bytes = lq_reply_int(reply, 0);
        return LUNAQ_OK;
    }
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY || lq_reply_count(reply) < 17)
        return lq_redis_odd(base);
    int64_t *const fields[] = {
        &info->pending,      &info->active,          &info->scheduled,
        &info->retry,        &info->archived,        &info->completed,
        &info->groups,       &info->aggregating,     &info->processed_today,
        &info->failed_today, &info->processed_total, &info->failed_total,
        &info->latency_ms,   &info->dropped_total,   &info->archive_max,
        &info->archive_ms,   &info->completed_max};
    for (size_t k = 0; k < LQ_COUNT(fields); k++)
        *fields[k] = lq_reply_int(lq_reply_at(reply, k), 0);
    if (info->archive_ms > 0) /* in seconds there */
        info->archive_ms = info->archive_ms < INT64_MAX / 1000
                               ? info->archive_ms * 1000
                               : INT64_MAX;
    const lq_reply *paused = lq_reply_at(reply, 17);
    if (lq_reply_type(paused) !=
        LQ_REPLY_NIL) { /* its being there is what counts */
        int64_t since = lq_reply_int(paused, 0);
        info->paused_at =
            since > 0 && since < INT64_MAX / 1000 ? since * 1000 : 1;
    }
    info->name = lq_arena_dup(&base->mem, op->queue);
    return info->name ? LUNAQ_OK : lq_fail_nomem(&base->err);
}

const lq_redis_op lq_inspect_queue_stats = {
    .count = stats_count, .build = stats_build, .parse = stats_parse};

/* ---- QUEUE_HISTORY
 * ------------------------------------------------------------ */

static uint32_t history_count(lq_op *base)
{
    (void)base;
    return 2;
}

static int history_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    const lq_op_queue_history *op = (const lq_op_queue_history *)base;
    if (op->days < 1 || op->days > HISTORY_DAYS)
        return lq_fail(&base->err, LUNAQ_EINVAL,
                       "history: days must be 1 to %d", HISTORY_DAYS);
    if (i == 0) {
        build_member(cmd, "SISMEMBER", op->queue);
        return LUNAQ_OK;
    }
    lq_cmd_c(cmd, "MGET");
    for (size_t d = 0; d < op->days; d++) {
        int64_t day = op->now_ms - (int64_t)d * DAY_MS;
        lq_cmd_day(cmd, op->queue, "processed", day);
        lq_cmd_day(cmd, op->queue, "failed", day);
    }
    return LUNAQ_OK;
}

static int history_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_queue_history *op = (lq_op_queue_history *)base;
    if (i == 0) {
        if (lq_reply_type(reply) != LQ_REPLY_INTEGER)
            return lq_redis_odd(base);
        return lq_reply_int(reply, 0) ? LUNAQ_OK
                                      : no_queue(&base->err, op->queue);
    }
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY ||
        lq_reply_count(reply) != 2 * op->days)
        return lq_redis_odd(base);
    for (size_t d = 0; d < op->days; d++) {
        op->processed[d] = lq_reply_int(lq_reply_at(reply, 2 * d), 0);
        op->failed[d] = lq_reply_int(lq_reply_at(reply, 2 * d + 1), 0);
    }
    return LUNAQ_OK;
}

const lq_redis_op lq_inspect_queue_history = {
    .count = history_count, .build = history_build, .parse = history_parse};

/* ---- QUEUE_PAUSE
 * --------------------------------------------------------------- */

void lq_inspect_pause_note(lq_cmd *cmd, lq_str queue)
{
    const lq_str note[] = {LQ_STR(LQ_QUEUE_NOTE), queue};
    lq_cmd_own_global(cmd, "cancel");
    lq_cmd_join(cmd, note, LQ_COUNT(note));
}

static int pause_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    const lq_op_queue_pause *op = (const lq_op_queue_pause *)base;
    (void)i;
    lq_cmd_script(cmd, &lq_script_inspect_pause, 2);
    lq_cmd_queue(cmd, op->queue, "paused");
    lq_cmd_global(cmd, "queues");
    lq_cmd_str(cmd, op->queue);
    lq_cmd_c(cmd, op->pause ? "pause" : "resume");
    lq_cmd_c(cmd, "check");
    lq_inspect_pause_note(cmd, op->queue);
    return LUNAQ_OK;
}

static int pause_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    const lq_op_queue_pause *op = (const lq_op_queue_pause *)base;
    (void)i;
    switch (lq_reply_int(reply, -2)) {
    case 1:
        return LUNAQ_OK;
    case 0:
        return lq_fail(&base->err, LUNAQ_ESTATE, "queue '%.*s' is %s",
                       LQ_STR_ARG(op->queue),
                       op->pause ? "paused already" : "not paused");
    case -1:
        return no_queue(&base->err, op->queue);
    default:
        return lq_redis_odd(base);
    }
}

const lq_redis_op lq_inspect_queue_pause = {.build = pause_build,
                                            .parse = pause_parse};

/* ---- QUEUE_REMOVE
 * --------------------------------------------------------------- *
 *
 * cursor  ""      is there such a queue?               → tasks
 *         tasks   by force: a part of its tasks goes   → tasks, scan:0
 *                 else it has none in any list         → look:0
 *         look:n  nor has a part of its keys one       → look:m, scan:0
 *         scan:n  a part of the other keys is deleted  → scan:m, tasks, gone
 *         gone    its name is taken from the set       → the end
 */

static int remove_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    const lq_op_queue_remove *op = (const lq_op_queue_remove *)base;
    (void)i;
    if (op->cursor[0] == '\0' || strcmp(op->cursor, "gone") == 0) {
        build_member(cmd, op->cursor[0] ? "SREM" : "SISMEMBER", op->queue);
        return LUNAQ_OK;
    }
    static const char *const keys[] = {
        "pending",  "active",    "lease",  "scheduled",        "retry",
        "archived", "completed", "groups", "aggregation_sets", "paused"};
    lq_cmd_script(cmd, &lq_script_inspect_remove, LQ_COUNT(keys));
    for (size_t k = 0; k < LQ_COUNT(keys); k++)
        lq_cmd_queue(cmd, op->queue, keys[k]);
    lq_cmd_queue(cmd, op->queue, "");
    lq_cmd_own(cmd, op->queue, "");
    lq_cmd_c(cmd, !op->force ? "0" : op->active ? "2" : "1");
    lq_cmd_c(cmd, op->cursor);
    lq_cmd_int(cmd, REMOVE_PART);
    return LUNAQ_OK;
}

static void set_cursor(lq_op_queue_remove *op, lq_str cursor)
{
    memcpy(op->cursor, cursor.p, cursor.len);
    op->cursor[cursor.len] = '\0';
    op->more = true;
}

static int remove_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_queue_remove *op = (lq_op_queue_remove *)base;
    (void)i;
    op->more = false;
    if (strcmp(op->cursor, "gone") == 0)
        return LUNAQ_OK;
    if (op->cursor[0] == '\0') {
        if (lq_reply_int(reply, 0) != 1)
            return no_queue(&base->err, op->queue);
        set_cursor(op, LQ_STR("tasks"));
        return LUNAQ_OK;
    }
    lq_str next = lq_reply_str(reply);
    if (lq_str_eq(next, LQ_STR("active")))
        return lq_fail(&base->err, LUNAQ_ESTATE,
                       "queue '%.*s' has active tasks: wait for their end, or "
                       "cancel them",
                       LQ_STR_ARG(op->queue));
    if (lq_str_eq(next, LQ_STR("tasks?")))
        return lq_fail(&base->err, LUNAQ_ESTATE,
                       "queue '%.*s' holds tasks%s: --force deletes them, too",
                       LQ_STR_ARG(op->queue),
                       strncmp(op->cursor, "look", 4) == 0
                           ? ", which are in none of its lists (lunaq fsck "
                             "--repair brings them back)"
                           : "");
    if (!next.p || next.len == 0 || next.len >= sizeof op->cursor)
        return lq_redis_odd(base);
    set_cursor(op, lq_str_eq(next, LQ_STR("done")) ? LQ_STR("gone") : next);
    return LUNAQ_OK;
}

const lq_redis_op lq_inspect_queue_remove = {.build = remove_build,
                                             .parse = remove_parse};
