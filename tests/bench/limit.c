/* bench_limit: how fast tasks can be taken and finished at all.
 *
 *     bench_limit host port queue concurrency
 *
 * No lunaq in it: one connection, one script call after the other, each
 * finishing what the last one took and taking `concurrency` more, until the
 * queue is empty.  The script leaves the same keys behind as a worker does and
 * compares the lease's token as a worker must, and nothing else. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hiredis/hiredis.h>

enum { CONCURRENCY_MAX = 100, ID_MAX = 64, FIXED_ARGS = 15 };

/* KEYS  pending paused active lease processed:D processed
 * ARGV  prefix of task keys, tasks to take, token, expiry of the day counter,
 *       then the ids that are done
 * Returns id, msg, id, msg, … */
static const char script[] =
    "local prefix, want, token = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])"
    " local done = {}"
    " for i = 5, #ARGV do"
    "   local id = ARGV[i]"
    "   local score = tonumber(redis.call('ZSCORE', KEYS[4], id) or '0')"
    "   if math.floor((score % 1) * 2097152 + 0.5) == token"
    "     and redis.call('LREM', KEYS[3], -1, id) == 1 then"
    "     redis.call('DEL', prefix .. id)"
    "     done[#done + 1] = id"
    "   end"
    " end"
    " if #done > 0 then"
    "   redis.call('ZREM', KEYS[4], unpack(done))"
    "   if redis.call('INCRBY', KEYS[5], #done) == #done then"
    "     redis.call('EXPIREAT', KEYS[5], ARGV[4])"
    "   end"
    "   redis.call('INCRBY', KEYS[6], #done)"
    " end"
    " if redis.call('EXISTS', KEYS[2]) == 1 then return {} end"
    " local ids = redis.call('RPOP', KEYS[1], want)"
    " if not ids then return {} end"
    " redis.call('LPUSH', KEYS[3], unpack(ids))"
    " local time = redis.call('TIME')"
    " local score = tonumber(time[1]) + 30 + token / 2097152"
    " local out = {}"
    " for i, id in ipairs(ids) do"
    "   local t = prefix .. id"
    "   redis.call('HSET', t, 'state', 'active')"
    "   redis.call('HDEL', t, 'pending_since')"
    "   redis.call('ZADD', KEYS[4], score, id)"
    "   out[2 * i - 1] = id"
    "   out[2 * i] = redis.call('HGET', t, 'msg')"
    " end"
    " return out";

struct limit {
    redisContext *redis;
    char sha[41];
    char keys[6][128];
    char prefix[128];
    char ids[CONCURRENCY_MAX][ID_MAX];
    int held;
};

static bool prepare(struct limit *l, const char *queue)
{
    static const char *const names[] = {"pending", "paused", "active",
                                        "lease",   NULL,     "processed"};
    char day[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(day, sizeof day, "processed:%Y-%m-%d", gmtime_r(&now, &utc));
    for (int i = 0; i < 6; i++)
        snprintf(l->keys[i], sizeof l->keys[i], "asynq:{%s}:%s", queue,
                 names[i] ? names[i] : day);
    snprintf(l->prefix, sizeof l->prefix, "asynq:{%s}:t:", queue);
    redisReply *r = redisCommand(l->redis, "SCRIPT LOAD %s", script);
    bool ok = r && r->type == REDIS_REPLY_STRING && r->len == 40;
    if (ok)
        memcpy(l->sha, r->str, sizeof l->sha);
    freeReplyObject(r);
    return ok;
}

/* One turn; false on failure.  What it took is in ids. */
static bool finish_and_take(struct limit *l, int want)
{
    char number[32], expiry[32];
    const char *argv[FIXED_ARGS + CONCURRENCY_MAX] = {"EVALSHA", l->sha, "6"};
    int argc = 3;
    for (int i = 0; i < 6; i++)
        argv[argc++] = l->keys[i];
    snprintf(number, sizeof number, "%d", want);
    snprintf(expiry, sizeof expiry, "%lld", (long long)time(NULL) + 7776000);
    argv[argc++] = l->prefix;
    argv[argc++] = number;
    argv[argc++] = "4711";
    argv[argc++] = expiry;
    for (int i = 0; i < l->held; i++)
        argv[argc++] = l->ids[i];
    redisReply *r = redisCommandArgv(l->redis, argc, argv, NULL);
    bool ok = r && r->type == REDIS_REPLY_ARRAY;
    l->held = 0;
    for (size_t i = 0; ok && i + 1 < r->elements; i += 2)
        snprintf(l->ids[l->held++], ID_MAX, "%s", r->element[i]->str);
    if (!ok)
        fprintf(stderr, "bench_limit: %s\n", r ? r->str : l->redis->errstr);
    freeReplyObject(r);
    return ok;
}

int main(int argc, char **argv)
{
    static struct limit l;
    int concurrency = argc == 5 ? atoi(argv[4]) : 0;
    if (concurrency < 1 || concurrency > CONCURRENCY_MAX) {
        fprintf(stderr, "usage: bench_limit host port queue concurrency, at "
                        "most 100\n");
        return 2;
    }
    l.redis = redisConnect(argv[1], atoi(argv[2]));
    bool ok = l.redis && !l.redis->err && prepare(&l, argv[3]);
    do {
        ok = ok && finish_and_take(&l, concurrency);
    } while (ok && l.held > 0);
    if (!ok)
        fprintf(stderr, "bench_limit: failed\n");
    redisFree(l.redis);
    return ok ? 0 : 1;
}
