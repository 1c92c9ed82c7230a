/* lq_str: bytes that somebody else owns, by value. */
#ifndef LQ_STR_H
#define LQ_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Never owned, not NUL-terminated, may hold any byte.  {NULL, 0} is empty. */
typedef struct lq_str {
    const char *p;
    size_t len;
} lq_str;

#define LQ_STR(literal) ((lq_str){"" literal, sizeof(literal) - 1})
#define LQ_STR_ARG(s) (int)(s).len, (s).p ? (s).p : "" /* for "%.*s" */
#define LQ_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline lq_str lq_str_c(const char *c) /* NULL is empty */
{
    return (lq_str){c, c ? strlen(c) : 0};
}

static inline lq_str lq_str_n(const void *p, size_t len)
{
    return (lq_str){p, len};
}

static inline bool lq_str_eq(lq_str a, lq_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool lq_str_starts(lq_str s, lq_str head)
{
    return s.len >= head.len &&
           (head.len == 0 || memcmp(s.p, head.p, head.len) == 0);
}

/** The whole of s as a decimal integer, with an optional '-'.  False when it
 *  is anything else or does not fit. */
bool lq_str_int64(lq_str s, int64_t *value);

/** Levenshtein's distance of two words in bytes: how many to change, add or
 *  take away.  SIZE_MAX when one has more than LQ_WORD_MAX. */
size_t lq_str_distance(const char *a, const char *b);
#define LQ_WORD_MAX 39

/** Adds a name to a list for people: "a, b", and at its end ", …" in the place
 * of those for which there is no room.  list: "" or a former result, NUL-ended;
 *  size: all of it. */
void lq_str_enumerate(char *list, size_t size, lq_str name);

/** Bytes of the valid UTF-8 character that s begins with; 0 when there is
 *  none. */
size_t lq_utf8_char(lq_str s);
/** True when s is valid UTF-8 (no surrogates, no overlong forms). */
bool lq_utf8_valid(lq_str s);
/** Copies s to out with every invalid byte replaced by '?', stopping before
 *  max bytes would be exceeded, at a character's edge.  Returns the bytes
 *  written; out may be s.p. */
size_t lq_utf8_clean(lq_str s, char *out, size_t max);

#endif
