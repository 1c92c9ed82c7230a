/* lq_buf: bytes that grow up to a maximum and remember a failure. */
#include "base/buf.h"

#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>

#define FIRST_CAP ((size_t)64)

void lq_buf_init(lq_buf *b, size_t max)
{
    *b = (lq_buf){.max = max ? max : LQ_BUF_MAX};
}

void lq_buf_release(lq_buf *b)
{
    lq_free(b->p);
    lq_buf_init(b, b->max);
}

void lq_buf_clear(lq_buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->p)
        b->p[0] = 0;
}

char *lq_buf_reserve(lq_buf *b, size_t len)
{
    if (b->failed)
        return NULL;
    if (b->len > b->max || len > b->max - b->len) {
        b->failed = true;
        return NULL;
    }
    size_t need = b->len + len + 1;
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap : FIRST_CAP;
        while (cap < need)
            cap = cap <= SIZE_MAX / 2 ? cap * 2 : need;
        char *p = lq_realloc(b->p, cap);
        if (!p) {
            b->failed = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->len;
}

void lq_buf_grew(lq_buf *b, size_t len)
{
    b->len += len;
    b->p[b->len] = 0;
}

void lq_buf_add(lq_buf *b, const void *p, size_t len)
{
    char *to = lq_buf_reserve(b, len);
    if (!to)
        return;
    if (len)
        memcpy(to, p, len);
    lq_buf_grew(b, len);
}

void lq_buf_add_str(lq_buf *b, lq_str s)
{
    lq_buf_add(b, s.p, s.len);
}

void lq_buf_add_c(lq_buf *b, const char *c)
{
    lq_buf_add_str(b, lq_str_c(c));
}

void lq_buf_add_char(lq_buf *b, char c)
{
    lq_buf_add(b, &c, 1);
}

void lq_buf_printf(lq_buf *b, const char *format, ...)
{
    va_list args;
    /* Most of what is printed is short: one pass into a guessed room. */
    size_t room = FIRST_CAP;
    if (b->max - (b->len < b->max ? b->len : b->max) < room)
        room = b->max - (b->len < b->max ? b->len : b->max);
    char *to = lq_buf_reserve(b, room);
    if (!to)
        return;
    va_start(args, format);
    int n = vsnprintf(to, room + 1, format, args);
    va_end(args);
    to[0] = n > 0 && (size_t)n <= room ? to[0] : 0;
    if (n < 0) {
        b->failed = true;
        return;
    }
    size_t len = (size_t)n;
    if (len > room) {
        to = lq_buf_reserve(b, len);
        if (!to)
            return;
        va_start(args, format);
        vsnprintf(to, len + 1, format, args);
        va_end(args);
    }
    lq_buf_grew(b, len);
}

void lq_buf_consume(lq_buf *b, size_t n)
{
    if (n == 0 || !b->p)
        return;
    if (n > b->len)
        n = b->len;
    b->len -= n;
    memmove(b->p, b->p + n, b->len);
    b->p[b->len] = 0;
}

char *lq_buf_take(lq_buf *b, size_t *len)
{
    char *p = NULL;
    size_t n = 0;
    lq_buf_add(b, NULL, 0); /* what was never appended to becomes "" */
    if (!b->failed) {
        p = b->p;
        n = b->len;
        b->p = NULL;
    }
    if (len)
        *len = n;
    lq_buf_release(b);
    return p;
}
