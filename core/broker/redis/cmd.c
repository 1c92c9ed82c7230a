/* Building commands: arguments in RESP, one after another. */
#include "redis/ops.h"

/* Decimal digits without stdio: this runs for every argument. */
static size_t digits(char out[20], uint64_t v)
{
    char tmp[20];
    size_t n = 0;
    do {
        tmp[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    for (size_t i = 0; i < n; i++)
        out[i] = tmp[n - 1 - i];
    return n;
}

static char *header(char *at, uint64_t len)
{
    *at++ = '$';
    at += digits(at, len);
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

void lq_cmd_join(lq_cmd *c, const lq_str *parts, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    char *begin = lq_buf_reserve(&c->body, len + 26);
    if (!begin)
        return;
    char *at = header(begin, len);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len)
            memcpy(at, parts[i].p, parts[i].len);
        at += parts[i].len;
    }
    *at++ = '\r';
    *at++ = '\n';
    lq_buf_grew(&c->body, (size_t)(at - begin));
    c->argc++;
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
    char text[24];
    size_t n = 0;
    if (v < 0)
        text[n++] = '-';
    n += digits(text + n, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
    lq_cmd_str(c, lq_str_n(text, n));
}

void lq_cmd_task(lq_cmd *c, const lq_task *t)
{
    /* Its length stands in front and is known only after it was encoded: so
     * room for the longest header is left, and the message moved down. */
    enum { ROOM = 24 };
    lq_buf *b = &c->body;
    size_t begin = b->len;
    char head[ROOM];
    if (!lq_buf_reserve(b, ROOM))
        return;
    b->len += ROOM;
    lq_task_encode(b, t);
    if (b->failed)
        return;
    size_t len = b->len - begin - ROOM;
    size_t n = (size_t)(header(head, len) - head);
    memcpy(b->p + begin, head, n);
    memmove(b->p + begin + n, b->p + begin + ROOM, len);
    b->len = begin + n + len;
    lq_buf_add(b, "\r\n", 2);
    c->argc++;
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
