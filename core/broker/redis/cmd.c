/* Building commands: arguments are collected, hiredis puts them into bytes. */
#include "redis/keys.h"

#include <hiredis.h>
#include <stdio.h>

#define KEEP_ROOM ((size_t)1024 * 1024) /* a body larger than it is freed */

void lq_cmd_init(lq_cmd *c)
{
    *c = (lq_cmd){.heads = lq_heads_default()};
    lq_buf_init(&c->body, 0);
}

void lq_cmd_release(lq_cmd *c)
{
    lq_buf_release(&c->body);
    lq_free(c->lens);
    lq_free(c->args);
    lq_cmd_init(c);
}

void lq_cmd_clear(lq_cmd *c)
{
    if (c->body.cap > KEEP_ROOM)
        lq_buf_release(&c->body);
    lq_buf_clear(&c->body);
    c->argc = 0;
    c->key = 0;
    c->slot = 0;
    c->eval = false;
    c->scripted = false;
}

static bool more_room(lq_cmd *c)
{
    uint32_t room = c->room ? c->room * 2 : 64;
    size_t *lens = lq_realloc(c->lens, room * sizeof(*lens));
    if (lens)
        c->lens = lens;
    const char **args = lq_realloc(c->args, room * sizeof(*args));
    if (args)
        c->args = args;
    if (lens && args)
        c->room = room;
    return lens && args;
}

/* What stands in the body from `begin` on is an argument. */
static void arg_ended(lq_cmd *c, size_t begin)
{
    if (c->body.failed)
        return;
    if (c->argc == c->room && !more_room(c)) {
        c->body.failed = true;
        return;
    }
    c->lens[c->argc++] = c->body.len - begin;
}

lq_str lq_cmd_key(const lq_cmd *c)
{
    size_t at = 0;
    if (!c->key || c->key > c->argc || c->body.failed)
        return (lq_str){0};
    for (uint32_t i = 0; i + 1 < c->key; i++)
        at += c->lens[i];
    return lq_str_n(c->body.p + at, c->lens[c->key - 1]);
}

void lq_cmd_mark_key(lq_cmd *c)
{
    if (!c->key)
        c->key = c->argc + 1;
}

/* True when the rest of the command is of no interest. */
static bool is_enough(const lq_cmd *c)
{
    return c->key_only && c->key && c->argc >= c->key;
}

/* The key that never exists; 0 = there is none, or no memory. */
static size_t add_guard(lq_cmd *c)
{
    lq_str key = lq_cmd_key(c);
    const char *open = key.len ? memchr(key.p, '{', key.len) : NULL;
    const char *close =
        open ? memchr(open, '}', key.len - (size_t)(open - key.p)) : NULL;
    char tag[2 * LUNAQ_NAME_MAX];
    if (!close || (size_t)(close - open) >= sizeof(tag))
        return 0;
    size_t len = (size_t)(close - open - 1);
    memcpy(tag, open + 1, len); /* the body may move */
    lq_cmd_own(c, lq_str_n(tag, len), "moving");
    return c->body.failed ? 0 : c->lens[c->argc - 1];
}

/* Moves the last argument behind the announced keys. */
static void place_guard(lq_cmd *c, size_t len, char *count, size_t size)
{
    uint32_t at = 3 + c->keys;
    const char *guard = c->args[c->argc - 1];
    for (uint32_t i = c->argc - 1; i > at; i--) {
        c->args[i] = c->args[i - 1];
        c->lens[i] = c->lens[i - 1];
    }
    c->args[at] = guard;
    c->lens[at] = len;
    c->lens[2] = (size_t)snprintf(count, size, "%u", c->keys + 1);
    c->args[2] = count;
}

bool lq_cmd_format(lq_cmd *c, lq_buf *out)
{
    char *bytes = NULL, count[16];
    size_t guard = c->cluster && c->scripted ? add_guard(c) : 0;
    const char *at = c->body.p; /* it moved while it grew: not known before */
    if (c->body.failed)
        return false;
    for (uint32_t i = 0; i < c->argc; i++) {
        c->args[i] = at;
        at += c->lens[i];
    }
    if (guard)
        place_guard(c, guard, count, sizeof(count));
    /* int in hiredis 0.14 and 1.0, long long from 1.1 on */
    long long len =
        redisFormatCommandArgv(&bytes, (int)c->argc, c->args, c->lens);
    if (len < 0)
        return false;
    lq_buf_add(out, bytes, (size_t)len);
    redisFreeCommand(bytes);
    return !out->failed;
}

void lq_cmd_join(lq_cmd *c, const lq_str *parts, size_t count)
{
    size_t begin = c->body.len;
    if (is_enough(c))
        return;
    for (size_t i = 0; i < count; i++)
        lq_buf_add_str(&c->body, parts[i]);
    arg_ended(c, begin);
}

void lq_cmd_str(lq_cmd *c, lq_str s)
{
    lq_cmd_join(c, &s, 1);
}

void lq_cmd_c(lq_cmd *c, const char *s)
{
    lq_cmd_str(c, lq_str_c(s));
}

void lq_cmd_int(lq_cmd *c, int64_t v)
{
    /* Without stdio: this runs for every second argument. */
    char text[24], *at = text + sizeof(text);
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (v < 0)
        *--at = '-';
    lq_cmd_str(c, lq_str_n(at, (size_t)(text + sizeof(text) - at)));
}

void lq_cmd_encode(lq_cmd *c, const lq_task *t)
{
    size_t begin = c->body.len;
    if (is_enough(c))
        return;
    lq_task_encode(&c->body, t);
    arg_ended(c, begin);
}

void lq_cmd_script(lq_cmd *c, const lq_script *script, uint32_t keys)
{
    /* Redis before 7 takes the line "#!lua …" for a syntax error. */
    bool oom = script->oom_source.p && c->redis >= 70000;
    c->scripted = true;
    c->keys = keys;
    if (c->eval) {
        lq_cmd_str(c, LQ_STR("EVAL"));
        lq_cmd_str(c, oom ? script->oom_source : script->source);
    } else {
        lq_cmd_str(c, LQ_STR("EVALSHA"));
        lq_cmd_c(c, oom ? script->oom_sha : script->sha);
    }
    lq_cmd_int(c, keys);
}
