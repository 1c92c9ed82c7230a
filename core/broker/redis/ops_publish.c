/* What others may see of a server: HEARTBEAT, GOODBYE, CRON_PUBLISH. */
#include "redis/keys.h"
#include "redis/rows.h"

extern const lq_script lq_script_heartbeat, lq_script_goodbye,
    lq_script_cron_publish;

static void build_server_keys(lq_cmd *c, lq_str host, int32_t pid,
                              lq_str server_id)
{
    lq_cmd_global(c, "servers");
    lq_cmd_global(c, "workers");
    lq_cmd_server(c, "servers", host, pid, server_id);
    lq_cmd_server(c, "workers", host, pid, server_id);
    lq_cmd_own_server(c, host, pid, server_id);
}

/* Every row here answers with an integer that says nothing. */
static int publish_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    (void)i;
    return lq_reply_type(reply) == LQ_REPLY_INTEGER ? LUNAQ_OK
                                                    : lq_redis_odd(op);
}

static int heartbeat_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_heartbeat *o = (const lq_op_heartbeat *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_heartbeat, 5);
    build_server_keys(c, o->host, o->pid, o->server_id);
    lq_cmd_int(c, o->ttl_ms > 0 ? o->ttl_ms : 10000);
    lq_cmd_str(c, o->info);
    lq_cmd_int(c, o->extra.p ? 1 : 0);
    lq_cmd_str(c, o->extra);
    for (size_t k = 0; k < o->worker_count; k++) {
        lq_cmd_str(c, o->workers[k].task_id);
        lq_cmd_str(c, o->workers[k].msg);
    }
    return LUNAQ_OK;
}

const lq_redis_op lq_row_heartbeat = {.build = heartbeat_build,
                                      .parse = publish_parse};

static int goodbye_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_goodbye *o = (const lq_op_goodbye *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_goodbye, 7 + (uint32_t)o->token_count);
    build_server_keys(c, o->host, o->pid, o->server_id);
    /* A server's scheduler has the server's name. */
    lq_cmd_global(c, "schedulers");
    lq_cmd_server(c, "schedulers", o->host, o->pid, o->server_id);
    for (size_t k = 0; k < o->token_count; k++)
        lq_cmd_token(c, o->tokens[k]);
    lq_cmd_str(c, o->server_id);
    return LUNAQ_OK;
}

const lq_redis_op lq_row_goodbye = {.build = goodbye_build,
                                    .parse = publish_parse};

static int cron_publish_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_cron_publish *o = (const lq_op_cron_publish *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_cron_publish, 2);
    lq_cmd_global(c, "schedulers");
    lq_cmd_scheduler(c, o->scheduler_id);
    lq_cmd_int(c, o->ttl_ms > 0 ? o->ttl_ms : 20000);
    for (size_t k = 0; k < o->count; k++)
        lq_cmd_str(c, o->entries[k]);
    return LUNAQ_OK;
}

const lq_redis_op lq_row_cron_publish = {.build = cron_publish_build,
                                         .parse = publish_parse};
