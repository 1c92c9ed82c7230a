/* See the header. */
#include "inspect_world.h"

#include "redis/link_poll.h"
#include "task/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int world_open(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w || redis_server_start(&w->server, NULL, NULL) != 0)
        exit(77); /* no Redis here: skipped */
    *state = w;
    return 0;
}

int world_close(void **state)
{
    struct world *w = *state;
    redis_server_stop(&w->server);
    free(w);
    return 0;
}

int world_begin(void **state)
{
    struct world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_caller *caller = NULL;
    free(redis_text(w, "FLUSHALL", NULL));
    w->blocks = lq_alloc_live();
    assert_int_equal(lq_redis_caller_open(&caller, w->server.url, &err), 0);
    assert_int_equal(lq_client_new(&w->client, caller, 0, &err), 0);
    assert_int_equal(lq_redis_caller_open(&w->caller, w->server.url, &err), 0);
    return 0;
}

int world_end(void **state)
{
    struct world *w = *state;
    lunaq_client_close(w->client);
    lq_caller_close(w->caller);
    assert_int_equal(lq_alloc_live(), w->blocks);
    return 0;
}

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

void redis_set(struct world *w, const char *key, const void *p, size_t len)
{
    char *text = hex(p, len);
    free(redis_text(w, "EVAL", "return redis.call('SET', KEYS[1], " UNHEX ")",
                    "1", key, text, NULL));
    free(text);
}

/* ---- tasks by hand --------------------------------------------------------
 */

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

void plant(struct world *w, const struct planted *p)
{
    char key[300];
    lq_buf msg;
    lq_buf_init(&msg, 0);
    lq_task t = {.type = LQ_STR("hello"),
                 .payload = LQ_STR("{\"n\":1}"),
                 .id = lq_str_c(p->id),
                 .queue = lq_str_c(p->queue),
                 .max_retry = 3,
                 .retried = p->retried,
                 .timeout_s = 1800,
                 .unique_key = lq_str_c(p->lock),
                 .group_key = lq_str_c(p->group)};
    lq_task_encode(&msg, &t);
    snprintf(key, sizeof key, "asynq:{%s}:t:%s", p->queue, p->id);
    redis_hset(w, key, "msg", msg.p, msg.len);
    redis_int(w, "HSET", key, "state", lunaq_state_name(p->state), NULL);
    if (p->group)
        redis_int(w, "HSET", key, "group", p->group, NULL);
    if (p->lock) {
        if (!p->lock_in_msg_only)
            redis_int(w, "HSET", key, "unique_key", p->lock, NULL);
        free(redis_text(w, "SET", p->lock, p->id, "EX", "600", NULL));
    }
    place(w, p);
    redis_int(w, "SADD", "asynq:queues", p->queue, NULL);
    lq_buf_release(&msg);
}

void assert_sound(struct world *w, const char *queue)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_audit op = {.queue = lq_str_c(queue)};
    lq_op_init(&op.op, LQ_OP_AUDIT);
    if (lq_caller_call(w->caller, &op.op, 5000, &err))
        fail_msg("audit: %s", err.message);
    for (size_t i = 0; i < op.count; i++)
        print_error("%.*s\n", LQ_STR_ARG(op.faults[i]));
    size_t faults = op.count;
    lq_op_release(&op.op);
    assert_int_equal(faults, 0);
}
