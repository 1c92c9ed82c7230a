/* DIAGNOSE: what Redis says of itself, and whether this user may do what lunaq
 * does. */
#include "broker/diagnose.h"
#include "redis/inspect_rows.h"
#include "redis/keys.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdlib.h>

#define SKEW_WARN_MS 2000
#define SKEW_BAD_MS                                                            \
    10000 /* leases are 30 s, and Asynq's clocks are its own                   \
           */

enum { INFO, CLOCK, SCRIPT, WRITE, REMOVE, PUBLISH, COMMANDS };

static uint32_t diagnose_count(lq_op *op)
{
    ((lq_op_diagnose *)op)->count = 0;
    return COMMANDS;
}

static int diagnose_build(lq_op *op, uint32_t i, lq_cmd *c)
{
    (void)op;
    switch (i) {
    case INFO:
        lq_cmd_c(c, "INFO");
        break;
    case CLOCK:
        lq_cmd_c(c, "TIME");
        break;
    case SCRIPT:
        lq_cmd_c(c, "EVAL");
        lq_cmd_c(c, "return redis.call('EXISTS', KEYS[1])");
        lq_cmd_int(c, 1);
        lq_cmd_global(c, "queues");
        break;
    case WRITE:
        lq_cmd_c(c, "SET");
        lq_cmd_own_global(c, "doctor");
        lq_cmd_c(c, "1");
        lq_cmd_c(c, "EX");
        lq_cmd_int(c, 10);
        break;
    case REMOVE:
        lq_cmd_c(c, "UNLINK");
        lq_cmd_own_global(c, "doctor");
        break;
    default:
        lq_cmd_c(c, "PUBLISH");
        lq_cmd_own_global(c, "cancel");
        lq_cmd_c(c, "");
        break;
    }
    return LUNAQ_OK;
}

/* ---- INFO ---------------------------------------------------------------- */

static int64_t number(lq_str info, const char *name)
{
    char text[32] = "";
    lq_str s = lq_redis_info(info, name);
    if (s.len && s.len < sizeof text)
        memcpy(text, s.p, s.len);
    return strtoll(text, NULL, 10);
}

static bool is(lq_str info, const char *name, const char *value)
{
    return lq_str_eq(lq_redis_info(info, name), lq_str_c(value));
}

static void look_memory(lq_op_diagnose *op, lq_str info)
{
    int64_t used = number(info, "used_memory");
    int64_t max = number(info, "maxmemory");
    lq_str policy = lq_redis_info(info, "maxmemory_policy");
    if (max > 0 && !lq_str_eq(policy, LQ_STR("noeviction")))
        lq_finding_add(op, LUNAQ_LEVEL_ERROR, "eviction",
                       "set maxmemory-policy to noeviction, or tasks are "
                       "thrown away when it is full",
                       "maxmemory-policy is %.*s", LQ_STR_ARG(policy));
    if (max > 0 && used > max / 10 * 9)
        lq_finding_add(op, LUNAQ_LEVEL_WARN, "memory",
                       "raise maxmemory, or delete what is kept: 'lunaq stats' "
                       "shows which queue holds it",
                       "%" PRId64 " of %" PRId64 " MiB are used", used >> 20,
                       max >> 20);
    else
        lq_finding_add(op, LUNAQ_LEVEL_OK, "memory", NULL,
                       "%" PRId64 " MiB used, %s", used >> 20,
                       max > 0 ? "within maxmemory" : "no limit");
}

static void look_persistence(lq_op_diagnose *op, lq_str info)
{
    if (is(info, "aof_enabled", "1")) {
        bool ok = is(info, "aof_last_write_status", "ok");
        lq_finding_add(
            op, ok ? LUNAQ_LEVEL_OK : LUNAQ_LEVEL_ERROR, "persistence",
            ok ? NULL : "look at Redis' log, and at the disk",
            ok ? "append-only file" : "the append-only file cannot be written");
    } else {
        lq_finding_add(op, LUNAQ_LEVEL_WARN, "persistence",
                       "set appendonly yes, or accept that a crash of Redis "
                       "loses the tasks since its last snapshot",
                       "no append-only file");
    }
    if (is(info, "rdb_last_bgsave_status", "err"))
        lq_finding_add(op, LUNAQ_LEVEL_ERROR, "snapshot",
                       "look at Redis' log, and at the disk: it may refuse "
                       "writes until a snapshot succeeds",
                       "the last snapshot failed");
}

static void look_clients(lq_op_diagnose *op, lq_str info)
{
    int64_t now = number(info, "connected_clients");
    int64_t max = number(info, "maxclients");
    if (max > 0 && now > max / 10 * 9)
        lq_finding_add(op, LUNAQ_LEVEL_WARN, "connections",
                       "raise maxclients, or look who holds them: 'redis-cli "
                       "client list'",
                       "%" PRId64 " of %" PRId64 " connections", now, max);
}

static void look_info(lq_op_diagnose *op, lq_str info)
{
    lq_str version = lq_redis_info(info, "redis_version");
    int v = lq_redis_version(version);
    if (v < 60200)
        lq_finding_add(op, LUNAQ_LEVEL_ERROR, "version",
                       "use Redis 6.2 or newer, or Valkey", "Redis %.*s",
                       LQ_STR_ARG(version));
    else if (v < 70000)
        lq_finding_add(op, LUNAQ_LEVEL_WARN, "version",
                       "use Redis 7 or newer, which lets workers finish their "
                       "tasks when it is full",
                       "Redis %.*s", LQ_STR_ARG(version));
    else
        lq_finding_add(op, LUNAQ_LEVEL_OK, "version", NULL, "Redis %.*s",
                       LQ_STR_ARG(version));
    if (is(info, "role", "slave"))
        lq_finding_add(op, LUNAQ_LEVEL_ERROR, "role",
                       "connect to the primary, or through its sentinels",
                       "this is a replica: it cannot be written to");
    look_memory(op, info);
    look_persistence(op, info);
    look_clients(op, info);
}

/* ---- the rest ------------------------------------------------------------ */

static void look_clock(lq_op_diagnose *op, const lq_reply *reply)
{
    int64_t s = lq_reply_int(lq_reply_at(reply, 0), 0);
    if (s < 0 || s > INT64_MAX / 4000)
        s = 0; /* no time of day */
    int64_t theirs =
        s * 1000 + lq_reply_int(lq_reply_at(reply, 1), 0) % 1000000 / 1000;
    int64_t off = theirs - lq_now_ms();
    int64_t far = off < 0 ? -off : off;
    if (far < SKEW_WARN_MS)
        lq_finding_add(op, LUNAQ_LEVEL_OK, "clock", NULL,
                       "as here, within %" PRId64 " ms", far);
    else
        lq_finding_add(op,
                       far < SKEW_BAD_MS ? LUNAQ_LEVEL_WARN : LUNAQ_LEVEL_ERROR,
                       "clock",
                       "set both by NTP: leases, and the times of scheduled "
                       "tasks, are kept by the broker's clock",
                       "it is %" PRId64 " ms %s the one here", far,
                       off < 0 ? "behind" : "before");
}

static void look_error(lq_op_diagnose *op, uint32_t i, lq_str error)
{
    static const char *const needs[COMMANDS] = {"INFO",
                                                "TIME",
                                                "EVAL",
                                                "SET on its own keys",
                                                "UNLINK on its own keys",
                                                "PUBLISH on its channel"};
    bool denied = lq_str_starts(error, LQ_STR("NOPERM"));
    bool vital = i != INFO && i != PUBLISH;
    lq_finding_add(op, vital ? LUNAQ_LEVEL_ERROR : LUNAQ_LEVEL_WARN,
                   "permissions",
                   denied ? "give this user ~asynq:* ~lunaq:* &asynq:* "
                            "&lunaq:* +@all -@admin -@dangerous +info; with "
                            "a prefix ~PREFIX:* &PREFIX:*"
                          : "look at the server's log and at 'redis-cli'",
                   "%s: %.*s", needs[i],
                   (int)(error.len < 160 ? error.len : 160), error.p);
}

static int diagnose_parse(lq_op *base, uint32_t i, const lq_reply *reply)
{
    lq_op_diagnose *op = (lq_op_diagnose *)base;
    lq_str error = lq_reply_error(reply);
    if (error.p)
        look_error(op, i, error);
    else if (i == INFO)
        look_info(op, lq_reply_str(reply));
    else if (i == CLOCK)
        look_clock(op, reply);
    return LUNAQ_OK;
}

const lq_redis_op lq_inspect_diagnose = {.count = diagnose_count,
                                         .build = diagnose_build,
                                         .parse = diagnose_parse,
                                         .errors = true};
