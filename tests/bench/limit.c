/* bench_limit: how fast tasks can be taken and finished at all.
 *
 *     bench_limit host port queue concurrency [step.lua]
 *
 * No lunaq in it: one connection, one script call after the other, each
 * finishing what the last one took and taking `concurrency` more, until the
 * queue is empty.  Its own script leaves the same keys behind as a worker does
 * and compares the lease's token as a worker must, and nothing else.  With a
 * file it runs that one instead: lunaq's step script, its parts put in. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hiredis/hiredis.h>

enum { CONCURRENCY_MAX = 100, ID_MAX = 64, ARGS_MAX = 24, SCRIPT_MAX = 65536 };
enum { TOKEN = 4711, DONE_FROM_TAIL = 1 + 16 };

/* KEYS  pending paused active lease processed:D processed
 * ARGV  prefix of task keys, tasks to take, token, expiry of the day counter,
 *       then the ids that are done
 * Returns id, msg, id, msg, … */
static const char bare_script[] =
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
    bool step; /* lunaq's script and its arguments */
    char sha[41];
    char keys[6][128]; /* in the order of the bare script */
    char prefix[128];
    char ids[CONCURRENCY_MAX][ID_MAX];
    int held;
    char numbers[8][32];
    const char *argv[ARGS_MAX + 2 * CONCURRENCY_MAX];
    int argc;
};

static bool prepare(struct limit *l, const char *queue, const char *text)
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
    redisReply *r = redisCommand(l->redis, "SCRIPT LOAD %s", text);
    bool ok = r && r->type == REDIS_REPLY_STRING && r->len == 40;
    if (ok)
        memcpy(l->sha, r->str, sizeof l->sha);
    else
        fprintf(stderr, "bench_limit: %s\n", r ? r->str : l->redis->errstr);
    freeReplyObject(r);
    return ok;
}

static void put(struct limit *l, const char *text)
{
    l->argv[l->argc++] = text;
}

/* slot: a place for its digits until the call is sent. */
static void put_number(struct limit *l, int slot, long long number)
{
    snprintf(l->numbers[slot], sizeof l->numbers[slot], "%lld", number);
    put(l, l->numbers[slot]);
}

static void build_bare(struct limit *l, int want)
{
    put(l, "6");
    for (int i = 0; i < 6; i++)
        put(l, l->keys[i]);
    put(l, l->prefix);
    put_number(l, 0, want);
    put_number(l, 1, TOKEN);
    put_number(l, 2, (long long)time(NULL) + 7776000);
    for (int i = 0; i < l->held; i++)
        put(l, l->ids[i]);
}

/* As the comment above scripts/step.lua says. */
static void build_step(struct limit *l, int want)
{
    static const int order[] = {0, 2, 3, 1, 4, 5};
    int keys = l->held > 0 ? 6 : 4;
    put_number(l, 0, keys);
    for (int i = 0; i < keys; i++)
        put(l, l->keys[order[i]]);
    put_number(l, 1, want);
    put(l, "30000");
    put_number(l, 2, TOKEN);
    put(l, "1");
    put(l, l->prefix);
    put_number(l, 3, want);
    put(l, "-1");
    put(l, l->held > 0 ? "1" : "0");
    put_number(l, 4, l->held);
    snprintf(l->numbers[5], sizeof l->numbers[5], "%d",
             DONE_FROM_TAIL + 2048 * TOKEN);
    for (int i = 0; i < l->held; i++) {
        put(l, l->ids[i]);
        put(l, l->numbers[5]);
    }
}

/* One turn; false on failure.  What it took is in ids. */
static bool finish_and_take(struct limit *l, int want)
{
    l->argc = 0;
    put(l, "EVALSHA");
    put(l, l->sha);
    if (l->step)
        build_step(l, want);
    else
        build_bare(l, want);
    redisReply *r = redisCommandArgv(l->redis, l->argc, l->argv, NULL);
    bool ok = r && r->type == REDIS_REPLY_ARRAY;
    const redisReply *taken = ok && l->step ? r->element[3] : r;
    size_t width = l->step ? 3 : 2;
    l->held = 0;
    for (size_t i = 0; ok && i + 1 < taken->elements; i += width)
        snprintf(l->ids[l->held++], ID_MAX, "%s", taken->element[i]->str);
    if (!ok)
        fprintf(stderr, "bench_limit: %s\n", r ? r->str : l->redis->errstr);
    freeReplyObject(r);
    return ok;
}

static bool read_file(const char *path, char *text)
{
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, SCRIPT_MAX - 1, f) : 0;
    text[n] = '\0';
    if (f)
        fclose(f);
    if (n == 0)
        fprintf(stderr, "bench_limit: cannot read %s\n", path);
    return n > 0;
}

int main(int argc, char **argv)
{
    static struct limit l;
    static char text[SCRIPT_MAX];
    int concurrency = argc >= 5 ? (int)strtol(argv[4], NULL, 10) : 0;
    if (concurrency < 1 || concurrency > CONCURRENCY_MAX) {
        fprintf(stderr, "usage: bench_limit host port queue concurrency "
                        "[step.lua]; concurrency at most 100\n");
        return 2;
    }
    l.step = argc > 5;
    l.redis = redisConnect(argv[1], (int)strtol(argv[2], NULL, 10));
    bool ok = l.redis && !l.redis->err && (!l.step || read_file(argv[5], text));
    ok = ok && prepare(&l, argv[3], l.step ? text : bare_script);
    do {
        ok = ok && finish_and_take(&l, concurrency);
    } while (ok && l.held > 0);
    if (!ok)
        fprintf(stderr, "bench_limit: failed\n");
    redisFree(l.redis);
    return ok ? 0 : 1;
}
