/* What a connection needs: a sign of life, tokens, peeking, waiting,
 * listening. */
#include "base/clock.h"
#include "redis/keys.h"
#include "redis/rows.h"
#include "task/token.h"

#include <stdio.h>

extern const lq_script lq_script_token, lq_script_token_renew, lq_script_peek;

/* ---- PING ---------------------------------------------------------------- */

static uint32_t ping_count(lq_op *op)
{
    lq_op_ping *o = (lq_op_ping *)op;
    o->version[0] = o->warning[0] = 0;
    return 2;
}

static int ping_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    (void)op;
    lq_cmd_c(c, "INFO");
    lq_cmd_c(c, i == 0 ? "server" : "memory");
    return LUNAQ_OK;
}

static int ping_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_ping *o = (lq_op_ping *)op;
    lq_str info = lq_reply_str(reply), error = lq_reply_error(reply);
    if (lq_str_starts(error, LQ_STR("NOPERM"))) {
        snprintf(o->warning, sizeof(o->warning),
                 "this user may not ask INFO: whether maxmemory-policy lets "
                 "Redis throw tasks away is not known: allow +info");
        return LUNAQ_OK;
    }
    if (error.p)
        return lq_redis_error(&op->err, "ping", reply);
    if (i == 0) {
        lq_str version = lq_redis_info(info, "redis_version");
        if (!version.len)
            return lq_redis_odd(op);
        snprintf(o->version, sizeof(o->version), "%.*s", LQ_STR_ARG(version));
        if (lq_redis_version(version) < 60200)
            return lq_fail(&op->err, LUNAQ_ECONFIG,
                           "redis: version %s is too old: 6.2 or newer is "
                           "needed",
                           o->version);
        return LUNAQ_OK;
    }
    lq_str max = lq_redis_info(info, "maxmemory");
    lq_str policy = lq_redis_info(info, "maxmemory_policy");
    if (max.len && !lq_str_eq(max, LQ_STR("0")) && policy.len &&
        !lq_str_eq(policy, LQ_STR("noeviction")))
        snprintf(o->warning, sizeof(o->warning),
                 "maxmemory-policy is %.*s: a full Redis will throw tasks "
                 "away: set it to noeviction",
                 (int)(policy.len < 60 ? policy.len : 60), policy.p);
    return LUNAQ_OK;
}

const lq_redis_op lq_row_ping = {.count = ping_count,
                                 .build = ping_build,
                                 .parse = ping_parse,
                                 .errors = true};

/* ---- TOKEN, TOKEN_RENEW -------------------------------------------------- */

/* Enough draws: with 1,000 connections each hits with 1 : 2,000. */
#define CANDIDATES 4

/* Candidates follow from the first, which count() draws: build may be called
 * twice and has to say the same. */
static uint32_t candidate(uint32_t first, uint32_t i)
{
    return (uint32_t)((first - 1 + (uint64_t)i * 524309) %
                      (LQ_TOKEN_LIMIT - 1)) +
           1;
}

static uint32_t token_count(lq_op *op)
{
    lq_op_token *o = (lq_op_token *)op;
    o->token = (uint32_t)lq_random(LQ_TOKEN_LIMIT - 1) + 1;
    return 1;
}

static int token_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_token *o = (const lq_op_token *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_token, CANDIDATES);
    for (uint32_t k = 0; k < CANDIDATES; k++)
        lq_cmd_token(c, candidate(o->token, k));
    lq_cmd_str(c, o->server_id);
    return LUNAQ_OK;
}

static int token_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_token *o = (lq_op_token *)op;
    int64_t which = lq_reply_int(reply, -1);
    (void)i;
    if (which < 0 || which > CANDIDATES)
        return lq_redis_odd(op);
    if (which == 0)
        return lq_fail(&op->err, LUNAQ_EFULL,
                       "redis: no free lease token found: try again");
    o->token = candidate(o->token, (uint32_t)which - 1);
    return LUNAQ_OK;
}

static int token_end(lq_op *op)
{
    if (op->rc)
        ((lq_op_token *)op)->token = 0;
    return op->rc;
}

const lq_redis_op lq_row_token = {.count = token_count,
                                  .build = token_build,
                                  .parse = token_parse,
                                  .end = token_end};

static uint32_t renew_count(lq_op *op)
{
    return ((lq_op_token_renew *)op)->count ? 1 : 0;
}

static int renew_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_token_renew *o = (const lq_op_token_renew *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_token_renew, (uint32_t)o->count);
    for (size_t k = 0; k < o->count; k++)
        lq_cmd_token(c, o->tokens[k]);
    lq_cmd_str(c, o->server_id);
    return LUNAQ_OK;
}

static int renew_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    (void)i;
    return lq_reply_type(reply) == LQ_REPLY_INTEGER ? LUNAQ_OK
                                                    : lq_redis_odd(op);
}

const lq_redis_op lq_row_token_renew = {
    .count = renew_count, .build = renew_build, .parse = renew_parse};

/* ---- PEEK ---------------------------------------------------------------- */

static uint32_t peek_count(lq_op *op)
{
    return ((lq_op_peek *)op)->count ? 1 : 0;
}

static int peek_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    const lq_op_peek *o = (const lq_op_peek *)op;
    (void)i;
    lq_cmd_script(c, &lq_script_peek, (uint32_t)o->count * 5);
    for (size_t k = 0; k < o->count; k++) {
        lq_cmd_queue(c, o->queues[k].queue, "paused");
        lq_cmd_queue(c, o->queues[k].queue, "pending");
        lq_cmd_queue(c, o->queues[k].queue, "scheduled");
        lq_cmd_queue(c, o->queues[k].queue, "retry");
        lq_cmd_queue(c, o->queues[k].queue, "groups");
    }
    return LUNAQ_OK;
}

static int peek_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_peek *o = (lq_op_peek *)op;
    (void)i;
    if (lq_reply_type(reply) != LQ_REPLY_ARRAY ||
        lq_reply_count(reply) != o->count * 4)
        return lq_redis_odd(op);
    for (size_t k = 0; k < o->count; k++) {
        o->queues[k].paused = lq_reply_int(lq_reply_at(reply, k * 4), 0) != 0;
        o->queues[k].pending = lq_reply_int(lq_reply_at(reply, k * 4 + 1), 0);
        o->queues[k].next_ms = lq_reply_int(lq_reply_at(reply, k * 4 + 2), -1);
        o->queues[k].groups = lq_reply_int(lq_reply_at(reply, k * 4 + 3), 0);
    }
    return LUNAQ_OK;
}

const lq_redis_op lq_row_peek = {
    .count = peek_count, .build = peek_build, .parse = peek_parse};

/* ---- WAIT ---------------------------------------------------------------- */

/* The step waits in the connection's buffer on the server until BLMOVE is over.
 */
static uint32_t wait_count(lq_op *op)
{
    return ((const lq_op_wait *)op)->take ? 2 : 1;
}

static int wait_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    lq_op_wait *o = (lq_op_wait *)op;
    if (i == 1) {
        int rc = lq_row_step.build(&o->take->op, 0, c);
        if (rc)
            op->err = o->take->op.err;
        return rc;
    }
    /* 0 would wait for ever. */
    int64_t ms = o->timeout_ms > 0 ? o->timeout_ms : 1;
    char seconds[32];
    snprintf(seconds, sizeof(seconds), "%lld.%03lld", (long long)(ms / 1000),
             (long long)(ms % 1000));
    lq_cmd_c(c, "BLMOVE"); /* onto itself: waits and changes nothing */
    lq_cmd_queue(c, o->queue, "pending");
    lq_cmd_queue(c, o->queue, "pending");
    lq_cmd_c(c, "RIGHT");
    lq_cmd_c(c, "RIGHT");
    lq_cmd_c(c, seconds);
    return LUNAQ_OK;
}

static int wait_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_wait *o = (lq_op_wait *)op;
    if (i == 0) {
        o->woke = lq_reply_type(reply) == LQ_REPLY_STRING;
        o->taken = false;
        return LUNAQ_OK;
    }
    int rc = lq_row_step.parse(&o->take->op, 0, reply);
    o->taken = rc == LUNAQ_OK;
    if (rc)
        op->err = o->take->op.err;
    return rc;
}

const lq_redis_op lq_row_wait = {
    .count = wait_count, .build = wait_build, .parse = wait_parse};

/* ---- LISTEN -------------------------------------------------------------- */

static int listen_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    (void)op;
    (void)i;
    lq_cmd_c(c, "SUBSCRIBE");
    lq_cmd_global(c, "cancel");
    lq_cmd_own_global(c, "cancel");
    return LUNAQ_OK;
}

static int listen_parse(lq_op *op, uint32_t i, const lq_reply *reply)
{
    lq_op_listen *o = (lq_op_listen *)op;
    (void)i;
    lq_str what = lq_reply_str(lq_reply_at(reply, 0));
    lq_str id = lq_reply_str(lq_reply_at(reply, 2));
    if (lq_str_eq(what, LQ_STR("message")) && id.len && o->cancel)
        o->cancel(o, id);
    return LUNAQ_OK;
}

const lq_redis_op lq_row_listen = {
    .build = listen_build, .parse = listen_parse, .endless = true};
