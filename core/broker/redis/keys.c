#include "redis/keys.h"

#include <stdio.h>
#include <time.h>

/* ---- what keys begin with ------------------------------------------------ */

static const lq_heads plain = {"asynq:{", "lunaq:{", 7, 7};

const lq_heads *lq_heads_default(void)
{
    return &plain;
}

void lq_heads_init(lq_heads *h, const char *prefix)
{
    if (!prefix || strcmp(prefix, LQ_PREFIX_DEFAULT) == 0) {
        *h = plain;
        return;
    }
    h->asynq_len = (size_t)snprintf(h->asynq, sizeof(h->asynq), "%s:{", prefix);
    h->own_len = (size_t)snprintf(h->own, sizeof(h->own), "%s:lunaq:{", prefix);
}

static lq_str asynq_queue(const lq_cmd *c)
{
    return lq_str_n(c->heads->asynq, c->heads->asynq_len);
}

static lq_str own_queue(const lq_cmd *c)
{
    return lq_str_n(c->heads->own, c->heads->own_len);
}

static lq_str asynq_global(const lq_cmd *c)
{
    return lq_str_n(c->heads->asynq, c->heads->asynq_len - 1);
}

static lq_str own_global(const lq_cmd *c)
{
    return lq_str_n(c->heads->own, c->heads->own_len - 1);
}

/* ---- keys ---------------------------------------------------------------- */

/* Every one of them is a key, or follows keys. */

void lq_cmd_global(lq_cmd *c, const char *name)
{
    lq_cmd_global_of(c, name, (lq_str){0});
}

void lq_cmd_global_of(lq_cmd *c, const char *name, lq_str more)
{
    lq_cmd_mark_key(c);
    const lq_str parts[] = {asynq_global(c), lq_str_c(name), more};
    lq_cmd_join(c, parts, LQ_COUNT(parts));
}

void lq_cmd_own_global(lq_cmd *c, const char *name)
{
    lq_cmd_own_global_of(c, name, (lq_str){0});
}

void lq_cmd_own_global_of(lq_cmd *c, const char *name, lq_str more)
{
    lq_cmd_mark_key(c);
    const lq_str parts[] = {own_global(c), lq_str_c(name), more};
    lq_cmd_join(c, parts, LQ_COUNT(parts));
}

void lq_cmd_queue(lq_cmd *c, lq_str queue, const char *rest)
{
    lq_cmd_queue_of(c, queue, rest, (lq_str){0});
}

void lq_cmd_queue_of(lq_cmd *c, lq_str queue, const char *rest, lq_str more)
{
    lq_cmd_mark_key(c);
    const lq_str parts[] = {asynq_queue(c), queue, LQ_STR("}:"), lq_str_c(rest),
                            more};
    lq_cmd_join(c, parts, LQ_COUNT(parts));
}

void lq_cmd_own(lq_cmd *c, lq_str queue, const char *rest)
{
    lq_cmd_mark_key(c);
    const lq_str parts[] = {own_queue(c), queue, LQ_STR("}:"), lq_str_c(rest)};
    lq_cmd_join(c, parts, LQ_COUNT(parts));
}

static void cmd_server(lq_cmd *c, lq_str head, const char *kind, lq_str host,
                       int32_t pid, lq_str server_id)
{
    char number[24];
    lq_cmd_mark_key(c);
    snprintf(number, sizeof(number), ":%d:", pid);
    const lq_str parts[] = {head,       lq_str_c(kind),   LQ_STR(":{"),
                            host,       lq_str_c(number), server_id,
                            LQ_STR("}")};
    lq_cmd_join(c, parts, LQ_COUNT(parts));
}

void lq_cmd_server(lq_cmd *c, const char *kind, lq_str host, int32_t pid,
                   lq_str server_id)
{
    cmd_server(c, asynq_global(c), kind, host, pid, server_id);
}

void lq_cmd_own_server(lq_cmd *c, lq_str host, int32_t pid, lq_str server_id)
{
    cmd_server(c, own_global(c), "servers", host, pid, server_id);
}

void lq_cmd_own_order(lq_cmd *c, lq_str host, int32_t pid, lq_str server_id)
{
    cmd_server(c, own_global(c), "orders", host, pid, server_id);
}

void lq_cmd_scheduler(lq_cmd *c, lq_str scheduler_id)
{
    lq_cmd_mark_key(c);
    const lq_str parts[] = {asynq_global(c), LQ_STR("schedulers:{"),
                            scheduler_id, LQ_STR("}")};
    lq_cmd_join(c, parts, LQ_COUNT(parts));
}

void lq_cmd_token(lq_cmd *c, uint32_t token)
{
    char name[24];
    snprintf(name, sizeof(name), "token:%u", token);
    lq_cmd_own_global(c, name);
}

void lq_cmd_day(lq_cmd *c, lq_str queue, const char *name, int64_t now_ms)
{
    char day[40];
    struct tm tm;
    time_t t = (time_t)(now_ms / 1000);
    if (!gmtime_r(&t, &tm))
        tm = (struct tm){.tm_year = 70, .tm_mday = 1};
    snprintf(day, sizeof(day), ":%04d-%02d-%02d", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday);
    lq_cmd_queue_of(c, queue, name, lq_str_c(day));
}

/* ---- unique keys --------------------------------------------------------- */

/* True when Asynq's prefix of the key is to become the application's. */
static bool is_foreign(const lq_cmd *c, lq_str key)
{
    const lq_str asynq = lq_str_n(plain.asynq, plain.asynq_len);
    return lq_str_starts(key, asynq) && !lq_str_eq(asynq_queue(c), asynq);
}

void lq_cmd_lock(lq_cmd *c, const char *before, lq_str key)
{
    size_t skip = is_foreign(c, key) ? plain.asynq_len : 0;
    const lq_str parts[] = {lq_str_c(before),
                            skip ? asynq_queue(c) : (lq_str){0},
                            lq_str_n(key.p + skip, key.len - skip)};
    lq_cmd_join(c, parts, LQ_COUNT(parts));
}

/* A copy with another head in front of what stands behind the first '{'. */
static char *with_head(lq_str head, lq_str key, size_t skip, lq_str *out)
{
    size_t rest = key.len - skip;
    char *p = lq_malloc(head.len + rest + 1);
    if (!p)
        return NULL;
    memcpy(p, head.p, head.len);
    memcpy(p + head.len, key.p + skip, rest);
    p[head.len + rest] = 0;
    *out = lq_str_n(p, head.len + rest);
    return p;
}

void lq_cmd_task(lq_cmd *c, const lq_task *t)
{
    lq_task copy = *t;
    char *key = NULL;
    if (is_foreign(c, t->unique_key)) {
        key = with_head(asynq_queue(c), t->unique_key, plain.asynq_len,
                        &copy.unique_key);
        if (!key)
            c->body.failed = true;
    }
    lq_cmd_encode(c, &copy);
    lq_free(key);
}

void lq_cmd_msg(lq_cmd *c, lq_str msg)
{
    lq_task t;
    if (lq_str_eq(asynq_queue(c), lq_str_n(plain.asynq, plain.asynq_len)) ||
        lq_task_decode(&t, msg, NULL)) {
        lq_cmd_str(c, msg);
        return;
    }
    if (is_foreign(c, t.unique_key))
        lq_cmd_task(c, &t);
    else
        lq_cmd_str(c, msg);
    lq_task_release(&t);
}

/* How much stands before the tag of a key with another prefix than Asynq's;
 * 0: it is Asynq's, or no key of ours. */
static size_t foreign_head(lq_str key)
{
    const char *brace = key.len ? memchr(key.p, '{', key.len) : NULL;
    if (!brace || brace == key.p || brace[-1] != ':' ||
        lq_str_starts(key, lq_str_n(plain.asynq, plain.asynq_len)))
        return 0;
    return (size_t)(brace - key.p) + 1;
}

bool lq_keys_plain_lock(lq_op *op, lq_str key, lq_str *copy)
{
    size_t skip = foreign_head(key);
    lq_str made;
    if (!skip)
        return lq_redis_keep(op, key, copy);
    char *p =
        with_head(lq_str_n(plain.asynq, plain.asynq_len), key, skip, &made);
    bool ok = p && lq_redis_keep(op, made, copy);
    lq_free(p);
    return ok;
}

bool lq_keys_plain_msg(lq_op *op, lq_str msg, lq_str *copy)
{
    lq_task t;
    bool ok;
    if (lq_task_decode(&t, msg, NULL))
        return lq_redis_keep(op, msg, copy);
    if (!foreign_head(t.unique_key)) {
        ok = lq_redis_keep(op, msg, copy);
    } else {
        lq_buf bytes;
        lq_buf_init(&bytes, 0);
        ok = lq_keys_plain_lock(op, t.unique_key, &t.unique_key);
        if (ok)
            lq_task_encode(&bytes, &t);
        ok = ok && !bytes.failed && lq_redis_keep(op, lq_buf_str(&bytes), copy);
        lq_buf_release(&bytes);
    }
    lq_task_release(&t);
    return ok;
}

lq_str lq_glob_quote(lq_str name, char *out, size_t size)
{
    size_t len = 0;
    for (size_t k = 0; k < name.len && len + 2 < size; k++) {
        if (name.p[k] && strchr("*?[]\\^-", name.p[k]))
            out[len++] = '\\';
        out[len++] = name.p[k];
    }
    return lq_str_n(out, len);
}
