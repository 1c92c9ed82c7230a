/* What others may see of a server: HEARTBEAT, GOODBYE, CRON_PUBLISH.  Global
 * keys one at a time, for a cluster. */
#include "base/clock.h"
#include "redis/keys.h"
#include "redis/rows.h"

extern const lq_script lq_script_heartbeat, lq_script_token_back,
    lq_script_cron_publish;

/* Asynq's readers compare with their own clock, and its writers use theirs. */
static void build_announce(lq_cmd *c, const char *set, int64_t ttl_ms)
{
    lq_cmd_c(c, "ZADD");
    lq_cmd_global(c, set);
    lq_cmd_int(c, (lq_now_ms() + ttl_ms + 999) / 1000);
}

/* Integers that say nothing. */
static int publish_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    (void)i;
    return lq_reply_type(reply) == LQ_REPLY_INTEGER ? LUNAQ_OK
                                                    : lq_redis_odd(op);
}

/* ---- HEARTBEAT: the records, which share a slot, then their names -------- */

static uint32_t heartbeat_count(lq_op *op)
{
    (void)op;
    return 3;
}

static int heartbeat_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_heartbeat *o = (const lq_op_heartbeat *)op;
    int64_t ttl_ms = o->ttl_ms > 0 ? o->ttl_ms : 10000;
    if (i > 0) {
        const char *set = i == 1 ? "servers" : "workers";
        build_announce(c, set, ttl_ms);
        lq_cmd_server(c, set, o->host, o->pid, o->server_id);
        return LUNAQ_OK;
    }
    lq_cmd_script(c, &lq_script_heartbeat, 3);
    lq_cmd_server(c, "servers", o->host, o->pid, o->server_id);
    lq_cmd_server(c, "workers", o->host, o->pid, o->server_id);
    lq_cmd_own_server(c, o->host, o->pid, o->server_id);
    lq_cmd_int(c, ttl_ms);
    lq_cmd_str(c, o->info);
    lq_cmd_int(c, o->extra.p ? 1 : 0);
    lq_cmd_str(c, o->extra);
    for (size_t k = 0; k < o->worker_count; k++) {
        lq_cmd_str(c, o->workers[k].task_id);
        lq_cmd_str(c, o->workers[k].msg);
    }
    return LUNAQ_OK;
}

const lq_redis_op lq_row_heartbeat = {
    .count = heartbeat_count, .build = heartbeat_build, .parse = publish_parse};

/* ---- GOODBYE ------------------------------------------------------------- */

#define GOODBYE_NAMES 3

static uint32_t goodbye_count(lq_op *op)
{
    return GOODBYE_NAMES + 1 +
           (uint32_t)((const lq_op_goodbye *)op)->token_count;
}

static int goodbye_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    /* A server's scheduler has the server's name. */
    static const char *const sets[GOODBYE_NAMES] = {"servers", "workers",
                                                    "schedulers"};
    const lq_op_goodbye *o = (const lq_op_goodbye *)op;
    if (i < GOODBYE_NAMES) {
        lq_cmd_c(c, "ZREM");
        lq_cmd_global(c, sets[i]);
        lq_cmd_server(c, sets[i], o->host, o->pid, o->server_id);
    } else if (i == GOODBYE_NAMES) {
        lq_cmd_c(c, "UNLINK");
        for (size_t k = 0; k < LQ_COUNT(sets); k++)
            lq_cmd_server(c, sets[k], o->host, o->pid, o->server_id);
        lq_cmd_own_server(c, o->host, o->pid, o->server_id);
    } else {
        lq_cmd_script(c, &lq_script_token_back, 1);
        lq_cmd_token(c, o->tokens[i - GOODBYE_NAMES - 1]);
        lq_cmd_str(c, o->server_id);
    }
    return LUNAQ_OK;
}

const lq_redis_op lq_row_goodbye = {
    .count = goodbye_count, .build = goodbye_build, .parse = publish_parse};

/* ---- CRON_PUBLISH -------------------------------------------------------- */

static uint32_t cron_publish_count(lq_op *op)
{
    (void)op;
    return 2;
}

static int cron_publish_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_cron_publish *o = (const lq_op_cron_publish *)op;
    int64_t ttl_ms = o->ttl_ms > 0 ? o->ttl_ms : 20000;
    if (i > 0) {
        if (o->count > 0) {
            build_announce(c, "schedulers", ttl_ms);
        } else {
            lq_cmd_c(c, "ZREM");
            lq_cmd_global(c, "schedulers");
        }
        lq_cmd_scheduler(c, o->scheduler_id);
        return LUNAQ_OK;
    }
    lq_cmd_script(c, &lq_script_cron_publish, 1);
    lq_cmd_scheduler(c, o->scheduler_id);
    lq_cmd_int(c, ttl_ms);
    for (size_t k = 0; k < o->count; k++)
        lq_cmd_str(c, o->entries[k]);
    return LUNAQ_OK;
}

const lq_redis_op lq_row_cron_publish = {.count = cron_publish_count,
                                         .build = cron_publish_build,
                                         .parse = publish_parse};
