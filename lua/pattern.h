/* Lua patterns with a bound on the work of one call.
 *
 * A pattern is compiled into items, then matched by backtracking; every item
 * tried and every byte passed counts as a step, and when the steps are used up
 * the match fails with an error instead of running for minutes.
 */
#ifndef LQ_PATTERN_H
#define LQ_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LQ_PATTERN_CAPTURES 32
#define LQ_PATTERN_POSITION ((ptrdiff_t)-2) /* a capture "()" */

enum lq_pattern_kind {
    LQ_PAT_CHAR,
    LQ_PAT_ANY,
    LQ_PAT_CLASS, /* %a and its kin */
    LQ_PAT_SET,
    LQ_PAT_OPEN,
    LQ_PAT_POSITION,
    LQ_PAT_CLOSE,
    LQ_PAT_BALANCED,
    LQ_PAT_FRONTIER,
    LQ_PAT_BACKREF,
    LQ_PAT_TAIL /* $ */
};

typedef struct lq_pattern_item {
    uint8_t kind;
    char repeat; /* 0 * + - ? */
    uint8_t a, b;
    uint32_t set;
} lq_pattern_item;

typedef struct lq_pattern_set {
    uint32_t bits[8];
} lq_pattern_set;

typedef struct lq_pattern {
    bool anchored;
    size_t item_count, set_count;
    lq_pattern_item *items;
    lq_pattern_set *sets;
} lq_pattern;

/** Bytes of memory that compiling a pattern of len bytes needs. */
size_t lq_pattern_size(size_t len);
/** Compiles into memory of that size (aligned as by malloc).  anchors: a '^' at
 *  the start is special.  Returns NULL, or what is malformed. */
const char *lq_pattern_compile(lq_pattern *out, void *memory, const char *p,
                               size_t len, bool anchors);

typedef struct lq_match {
    const lq_pattern *pattern;
    const char *subject, *end;
    uint64_t steps;   /* left */
    uint64_t look_at; /* the caller's: when to look at the clock */
    const char *error;
    int depth;
    int count; /* captures */
    struct {
        const char *p;
        ptrdiff_t len;
    } captures[LQ_PATTERN_CAPTURES];
} lq_match;

/** Matches at s; returns where the match ends, or NULL: no match, or m->error
 *  says what went wrong. */
const char *lq_match_at(lq_match *m, const char *s);

#endif
