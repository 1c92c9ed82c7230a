/* Redis as the inspector's tests need it. */
#include "inspect_world.h"

#include "redis/link_poll.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Redis by hand --------------------------------------------------------
 */

static char *command(struct world *w, const char *first, va_list ap)
{
    const char *words[32] = {first};
    size_t n = 1;
    while (n < 31 && (words[n] = va_arg(ap, const char *)))
        n++;
    words[n] = NULL;
    char *reply = redis_server_command(&w->server, words);
    assert_non_null(reply);
    if (reply[0] == '-')
        fail_msg("%s %s: %s", first, n > 1 ? words[1] : "", reply);
    return reply;
}

int64_t redis_int(struct world *w, const char *first, ...)
{
    va_list ap;
    va_start(ap, first);
    char *reply = command(w, first, ap);
    va_end(ap);
    int64_t n = reply[0] == ':' ? strtoll(reply + 1, NULL, 10) : -1;
    free(reply);
    return n;
}

char *redis_text(struct world *w, const char *first, ...)
{
    va_list ap;
    va_start(ap, first);
    char *reply = command(w, first, ap);
    va_end(ap);
    if (reply[0] != '$')
        return reply;
    char *text = strchr(reply, '\n'); /* "$5\r\nhello\r\n" or "$-1\r\n" */
    size_t len = strtoull(reply + 1, NULL, 10);
    char *value = reply[1] == '-' ? strdup("(nil)") : strndup(text + 1, len);
    free(reply);
    assert_non_null(value);
    return value;
}

static char *hex(const void *p, size_t len)
{
    char *out = calloc(len + 1, 2);
    assert_non_null(out);
    for (size_t i = 0; i < len; i++)
        snprintf(out + 2 * i, 3, "%02x", ((const unsigned char *)p)[i]);
    return out;
}

#define UNHEX                                                                  \
    "(ARGV[#ARGV]:gsub('..', function(h) return "                              \
    "string.char(tonumber(h, 16)) end))"

void redis_hset(struct world *w, const char *key, const char *field,
                const void *p, size_t len)
{
    char *text = hex(p, len);
    free(redis_text(w, "EVAL",
                    "return redis.call('HSET', KEYS[1], ARGV[1], " UNHEX ")",
                    "1", key, field, text, NULL));
    free(text);
}

/* ---- tasks by hand ------------------------------------------------------- */

static void place(struct world *w, const struct planted *p)
{
    char key[300], score[32], group[300];
    snprintf(key, sizeof key, "asynq:{%s}:%s", p->queue,
             lunaq_state_name(p->state));
    snprintf(score, sizeof score, "%lld",
             (long long)(p->score ? p->score : 1700000000));
    switch (p->state) {
    case LUNAQ_PENDING:
        redis_int(w, "LPUSH", key, p->id, NULL);
        break;
    case LUNAQ_ACTIVE:
        redis_int(w, "LPUSH", key, p->id, NULL);
        snprintf(key, sizeof key, "asynq:{%s}:lease", p->queue);
        redis_int(w, "ZADD", key, score, p->id, NULL);
        break;
    case LUNAQ_AGGREGATING:
        snprintf(group, sizeof group, "asynq:{%s}:g:%s", p->queue, p->group);
        redis_int(w, "ZADD", group, score, p->id, NULL);
        snprintf(key, sizeof key, "asynq:{%s}:groups", p->queue);
        redis_int(w, "SADD", key, p->group, NULL);
        break;
    default:
        redis_int(w, "ZADD", key, score, p->id, NULL);
    }
}

static void plant_redis(struct world *w, const struct planted *p, lq_str msg)
{
    char key[300], text[32];
    snprintf(key, sizeof key, "asynq:{%s}:t:%s", p->queue, p->id);
    redis_hset(w, key, "msg", msg.p, msg.len);
    redis_int(w, "HSET", key, "state", lunaq_state_name(p->state), NULL);
    if (p->group)
        redis_int(w, "HSET", key, "group", p->group, NULL);
    if (p->cancel)
        redis_int(w, "HSET", key, "lunaq_cancel", p->cancel, NULL);
    if (p->result)
        redis_int(w, "HSET", key, "result", p->result, NULL);
    if (p->crashes) {
        snprintf(text, sizeof text, "%d", p->crashes);
        redis_int(w, "HSET", key, "lunaq_crashes", text, NULL);
    }
    if (p->state == LUNAQ_PENDING && p->score) {
        snprintf(text, sizeof text, "%lld000000000", (long long)p->score);
        redis_int(w, "HSET", key, "pending_since", text, NULL);
    }
    if (p->lock) {
        if (!p->lock_in_msg_only)
            redis_int(w, "HSET", key, "unique_key", p->lock, NULL);
        free(redis_text(w, "SET", p->lock, p->id, "EX", "600", NULL));
    }
    place(w, p);
    redis_int(w, "SADD", "asynq:queues", p->queue, NULL);
}

/* ---- the broker ---------------------------------------------------------- */

static int start(struct world *w)
{
    return redis_server_start(&w->server, NULL, NULL);
}

static void stop(struct world *w)
{
    redis_server_stop(&w->server);
}

static void wipe(struct world *w)
{
    free(redis_text(w, "FLUSHALL", NULL));
}

static int open_redis(struct world *w, lq_caller **out)
{
    return lq_redis_caller_open(out, w->server.url, NULL);
}

static bool is_locked(struct world *w, const char *lock)
{
    return redis_int(w, "EXISTS", lock, NULL) == 1;
}

static int64_t keys(struct world *w)
{
    return redis_int(w, "DBSIZE", NULL);
}

const struct inspected inspected_redis = {
    "redis", start, stop, wipe, open_redis, plant_redis, is_locked, keys};
