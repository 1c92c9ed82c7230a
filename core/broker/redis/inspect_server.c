/* Live servers and schedulers, as they publish themselves. */
#include "redis/inspect_rows.h"
#include "broker/inspect.h"
#include "redis/keys.h"

extern const lq_script lq_script_inspect_servers;
extern const lq_script lq_script_inspect_crons;

/* ---- SERVERS ----------------------------------------------------------------
 */

static int servers_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    (void)base;
    (void)i;
    lq_cmd_script(cmd, &lq_script_inspect_servers, 2);
    lq_cmd_global(cmd, "servers");
    lq_cmd_global(cmd, "workers");
    lq_cmd_global(cmd, "servers:");
    lq_cmd_global(cmd, "workers:");
    lq_cmd_own_global(cmd, "servers:");
    return LUNAQ_OK;
}

static int servers_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_servers *op = (lq_op_servers *)base;
    (void)i;
    op->count = 0;
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY)
        return lq_redis_odd(base);
    op->rows = lq_arena_alloc(&base->mem,
                              (lq_reply_count(reply) + 1) * sizeof *op->rows);
    if (!op->rows)
        return lq_fail_nomem(&base->err);
    for (size_t k = 0; k < lq_reply_count(reply); k++) {
        const lq_reply *r = lq_reply_at(reply, k);
        lq_server_row *row = &op->rows[k];
        lq_str extra = lq_reply_str(lq_reply_at(r, 1));
        if (lq_reply_type(r) != LQ_REPLY_ARRAY || lq_reply_count(r) < 2)
            return lq_redis_odd(base);
        if (!lq_redis_keep(base, lq_reply_str(lq_reply_at(r, 0)), &row->info) ||
            (extra.p && !lq_redis_keep(base, extra, &row->extra)))
            return lq_fail_nomem(&base->err);
        row->worker_count = lq_reply_count(r) - 2;
        row->workers = lq_arena_alloc(&base->mem, (lq_reply_count(r) - 1) *
                                                      sizeof *row->workers);
        if (!row->workers)
            return lq_fail_nomem(&base->err);
        for (size_t w = 0; w < row->worker_count; w++)
            if (!lq_redis_keep(base, lq_reply_str(lq_reply_at(r, w + 2)),
                               &row->workers[w]))
                return lq_fail_nomem(&base->err);
    }
    op->count = lq_reply_count(reply);
    return LUNAQ_OK;
}

const lq_redis_op lq_inspect_servers = {.build = servers_build,
                                        .parse = servers_parse};

/* ---- CRONS
 * ------------------------------------------------------------------- */

static int crons_build(lq_op *base, uint32_t i, lq_cmd *cmd)
{
    (void)base;
    (void)i;
    lq_cmd_script(cmd, &lq_script_inspect_crons, 1);
    lq_cmd_global(cmd, "schedulers");
    return LUNAQ_OK;
}

static int crons_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_crons *op = (lq_op_crons *)base;
    (void)i;
    op->count = 0;
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY)
        return lq_redis_odd(base);
    op->entries = lq_arena_alloc(&base->mem, (lq_reply_count(reply) + 1) *
                                                 sizeof *op->entries);
    if (!op->entries)
        return lq_fail_nomem(&base->err);
    for (size_t k = 0; k < lq_reply_count(reply); k++) {
        lq_str entry = lq_reply_str(lq_reply_at(reply, k));
        if (!lq_redis_keep(base, entry, &op->entries[k]))
            return lq_fail_nomem(&base->err);
    }
    op->count = lq_reply_count(reply);
    return LUNAQ_OK;
}

const lq_redis_op lq_inspect_crons = {.build = crons_build,
                                      .parse = crons_parse};
