/* lq_buf: bytes that grow up to a maximum.
 *
 * Always NUL-terminated.  An append that would pass the maximum, or finds no
 * memory, changes nothing and marks the buffer as failed; later appends do
 * nothing, so ten appends need one check at the end.
 */
#ifndef LQ_BUF_H
#define LQ_BUF_H

#include "base/str.h"

typedef struct lq_buf {
    char *p; /* never NULL after the first append; p[len] == 0 */
    size_t len;
    size_t cap;
    size_t max;
    bool failed;
} lq_buf;

#define LQ_BUF_MAX ((size_t)512 * 1024 * 1024)

/** max: bytes it may hold; 0 = LQ_BUF_MAX.  Allocates nothing yet. */
void lq_buf_init(lq_buf *b, size_t max);
/** Frees the bytes; b can be used again as after init. */
void lq_buf_release(lq_buf *b);
/** Empties b and forgets the failure, but keeps the memory. */
void lq_buf_clear(lq_buf *b);
void lq_buf_add(lq_buf *b, const void *p, size_t len);
void lq_buf_add_str(lq_buf *b, lq_str s);
void lq_buf_add_c(lq_buf *b, const char *c);
void lq_buf_add_char(lq_buf *b, char c);
__attribute__((format(printf, 2, 3))) void
lq_buf_printf(lq_buf *b, const char *format, ...);
/** Room for len more bytes at p + len, which the caller fills and then adds to
 *  b->len (the NUL is the caller's too: call lq_buf_grew).  NULL on failure. */
char *lq_buf_reserve(lq_buf *b, size_t len);
void lq_buf_grew(lq_buf *b, size_t len);
/** Removes the first n bytes. */
void lq_buf_consume(lq_buf *b, size_t n);
/** The bytes, now the caller's to lq_free(); NULL when failed.  b is empty
 *  after, as after init. */
char *lq_buf_take(lq_buf *b, size_t *len);
static inline lq_str lq_buf_str(const lq_buf *b)
{
    return (lq_str){b->p, b->len};
}

#endif
