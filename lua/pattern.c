/* Compiling and matching Lua patterns: see pattern.h. */
#include "lua/pattern.h"

#include <ctype.h>
#include <string.h>

#define DEPTH_MAX 200 /* of the matcher's recursion */

#define OPEN_CAPTURE ((ptrdiff_t)-1)

/* ---- classes and sets ---------------------------------------------------- */

static bool in_class(unsigned char c, unsigned char letter)
{
    bool in;
    switch (tolower(letter)) {
    case 'a':
        in = isalpha(c);
        break;
    case 'c':
        in = iscntrl(c);
        break;
    case 'd':
        in = isdigit(c);
        break;
    case 'g':
        in = isgraph(c);
        break;
    case 'l':
        in = islower(c);
        break;
    case 'p':
        in = ispunct(c);
        break;
    case 's':
        in = isspace(c);
        break;
    case 'u':
        in = isupper(c);
        break;
    case 'w':
        in = isalnum(c);
        break;
    case 'x':
        in = isxdigit(c);
        break;
    default:
        return letter == c;
    }
    return isupper(letter) ? !in : in;
}

static bool in_set(const lq_pattern_set *set, unsigned char c)
{
    return set->bits[c >> 5] >> (c & 31) & 1;
}

static void set_add(lq_pattern_set *set, unsigned from, unsigned to)
{
    for (unsigned c = from; c <= to; c++)
        set->bits[c >> 5] |= UINT32_C(1) << (c & 31);
}

/* Compiles what follows '['; returns the byte after ']' or NULL.  The first
 * byte is a member even when it is ']'. */
static const char *compile_set(lq_pattern_set *set, const char *p,
                               const char *end)
{
    memset(set, 0, sizeof *set);
    bool negated = p < end && *p == '^';
    if (negated)
        p++;
    for (const char *first = p;;) {
        if (p >= end)
            return NULL;
        if (*p == ']' && p != first)
            break;
        unsigned char c = (unsigned char)*p++;
        if (c == '%') {
            if (p >= end)
                return NULL;
            unsigned char letter = (unsigned char)*p++;
            for (unsigned i = 0; i < 256; i++)
                if (in_class((unsigned char)i, letter))
                    set_add(set, i, i);
        } else if (end - p >= 2 && *p == '-' && p[1] != ']') {
            set_add(set, c, (unsigned char)p[1]);
            p += 2;
        } else {
            set_add(set, c, c);
        }
    }
    for (int i = 0; negated && i < 8; i++)
        set->bits[i] = ~set->bits[i];
    return p + 1;
}

/* ---- compiling ----------------------------------------------------------- */

size_t lq_pattern_size(size_t len)
{
    /* A set takes at least 3 bytes of the pattern, "[a]". */
    return (len + 1) * sizeof(lq_pattern_item) +
           (len / 3 + 1) * sizeof(lq_pattern_set);
}

/* What is between '%' and the next item; p is behind the '%'. */
static const char *compile_escape(lq_pattern *out, lq_pattern_item *item,
                                  const char **at, const char *end)
{
    const char *p = *at;
    if (p >= end)
        return "malformed pattern (ends with '%')";
    unsigned char c = (unsigned char)*p++;
    if (c == 'b') {
        if (end - p < 2)
            return "malformed pattern (missing arguments to '%b')";
        *item = (lq_pattern_item){
            .kind = LQ_PAT_BALANCED, .a = (uint8_t)p[0], .b = (uint8_t)p[1]};
        p += 2;
    } else if (c == 'f') {
        if (p >= end || *p != '[')
            return "missing '[' after '%f' in pattern";
        *item = (lq_pattern_item){.kind = LQ_PAT_FRONTIER,
                                  .set = (uint32_t)out->set_count};
        p = compile_set(&out->sets[out->set_count++], p + 1, end);
        if (!p)
            return "malformed pattern (missing ']')";
    } else if (isdigit(c)) {
        if (c == '0')
            return "invalid capture index %0 in pattern";
        *item =
            (lq_pattern_item){.kind = LQ_PAT_BACKREF, .a = (uint8_t)(c - '1')};
    } else {
        *item = (lq_pattern_item){
            .kind = isalpha(c) ? LQ_PAT_CLASS : LQ_PAT_CHAR, .a = c};
    }
    *at = p;
    return NULL;
}

/* True for items that stand for one byte, which may be repeated. */
static bool is_single(const lq_pattern_item *item)
{
    return item->kind <= LQ_PAT_SET;
}

static const char *compile_item(lq_pattern *out, lq_pattern_item *item,
                                const char **at, const char *end)
{
    const char *p = *at, *fault = NULL;
    unsigned char c = (unsigned char)*p++;
    *item = (lq_pattern_item){.kind = LQ_PAT_CHAR, .a = c};
    switch (c) {
    case '(':
        item->kind = LQ_PAT_OPEN;
        if (p < end && *p == ')') {
            item->kind = LQ_PAT_POSITION;
            p++;
        }
        break;
    case ')':
        item->kind = LQ_PAT_CLOSE;
        break;
    case '.':
        item->kind = LQ_PAT_ANY;
        break;
    case '$':
        if (p == end)
            item->kind = LQ_PAT_TAIL;
        break;
    case '[':
        item->kind = LQ_PAT_SET;
        item->set = (uint32_t)out->set_count;
        p = compile_set(&out->sets[out->set_count++], p, end);
        if (!p)
            return "malformed pattern (missing ']')";
        break;
    case '%':
        fault = compile_escape(out, item, &p, end);
        break;
    default:
        break;
    }
    if (!fault && is_single(item) && p < end && *p && strchr("*+-?", *p))
        item->repeat = *p++;
    *at = p;
    return fault;
}

const char *lq_pattern_compile(lq_pattern *out, void *memory, const char *p,
                               size_t len, bool anchors)
{
    const char *end = p + len;
    *out = (lq_pattern){.sets = memory};
    out->items = (void *)(out->sets + len / 3 + 1);
    if (anchors && len > 0 && *p == '^') {
        out->anchored = true;
        p++;
    }
    while (p < end) {
        const char *fault =
            compile_item(out, &out->items[out->item_count], &p, end);
        if (fault)
            return fault;
        out->item_count++;
    }
    return NULL;
}

/* ---- matching ------------------------------------------------------------ */

static const char *match(lq_match *m, size_t at, const char *s);

static bool spend(lq_match *m)
{
    if (m->steps > 0) {
        m->steps--;
        return true;
    }
    m->error = "the pattern takes too many steps on this text; make it simpler "
               "or match a shorter piece";
    return false;
}

static const char *fault(lq_match *m, const char *error)
{
    m->error = error;
    return NULL;
}

static bool fits(const lq_match *m, const lq_pattern_item *item, const char *s)
{
    if (s >= m->end)
        return false;
    unsigned char c = (unsigned char)*s;
    switch (item->kind) {
    case LQ_PAT_CHAR:
        return c == item->a;
    case LQ_PAT_ANY:
        return true;
    case LQ_PAT_CLASS:
        return in_class(c, item->a);
    default:
        return in_set(&m->pattern->sets[item->set], c);
    }
}

/* As many as possible, then fewer until the rest matches. */
static const char *match_greedy(lq_match *m, size_t at, const char *s,
                                size_t least)
{
    const lq_pattern_item *item = &m->pattern->items[at];
    size_t n = 0;
    while (fits(m, item, s + n)) {
        if (!spend(m))
            return NULL;
        n++;
    }
    for (;; n--) {
        if (n < least)
            return NULL;
        const char *e = match(m, at + 1, s + n);
        if (e || m->error || n == 0)
            return e;
    }
}

/* As few as possible, then more. */
static const char *match_lazy(lq_match *m, size_t at, const char *s)
{
    const lq_pattern_item *item = &m->pattern->items[at];
    for (;; s++) {
        const char *e = match(m, at + 1, s);
        if (e || m->error)
            return e;
        if (!fits(m, item, s) || !spend(m))
            return NULL;
    }
}

static const char *match_balanced(lq_match *m, const lq_pattern_item *item,
                                  const char *s)
{
    if (s >= m->end || (uint8_t)*s != item->a)
        return NULL;
    size_t open = 1;
    for (s++; s < m->end; s++) {
        if (!spend(m))
            return NULL;
        if ((uint8_t)*s == item->b) {
            if (--open == 0)
                return s + 1;
        } else if ((uint8_t)*s == item->a) {
            open++;
        }
    }
    return NULL;
}

static const char *match_backref(lq_match *m, const lq_pattern_item *item,
                                 const char *s)
{
    if (item->a >= m->count || m->captures[item->a].len < 0)
        return fault(m, "invalid capture index in pattern");
    size_t len = (size_t)m->captures[item->a].len;
    if ((size_t)(m->end - s) < len ||
        memcmp(m->captures[item->a].p, s, len) != 0)
        return NULL;
    m->steps -= m->steps < len / 64 ? m->steps : len / 64;
    return s + len;
}

static bool at_frontier(const lq_match *m, const lq_pattern_item *item,
                        const char *s)
{
    const lq_pattern_set *set = &m->pattern->sets[item->set];
    unsigned char before = s > m->subject ? (unsigned char)s[-1] : 0;
    unsigned char here = s < m->end ? (unsigned char)*s : 0;
    return !in_set(set, before) && in_set(set, here);
}

static const char *match_open(lq_match *m, size_t at, const char *s,
                              ptrdiff_t len)
{
    if (m->count == LQ_PATTERN_CAPTURES)
        return fault(m, "too many captures");
    m->captures[m->count].p = s;
    m->captures[m->count].len = len;
    m->count++;
    const char *e = match(m, at + 1, s);
    if (!e)
        m->count--;
    return e;
}

static const char *match_close(lq_match *m, size_t at, const char *s)
{
    int i = m->count - 1;
    while (i >= 0 && m->captures[i].len != OPEN_CAPTURE)
        i--;
    if (i < 0)
        return fault(m, "invalid pattern capture");
    m->captures[i].len = s - m->captures[i].p;
    const char *e = match(m, at + 1, s);
    if (!e)
        m->captures[i].len = OPEN_CAPTURE;
    return e;
}

/* From item `at` on; loops where nothing has to be tried again. */
static const char *match_items(lq_match *m, size_t at, const char *s)
{
    for (; at < m->pattern->item_count; at++) {
        const lq_pattern_item *item = &m->pattern->items[at];
        if (!spend(m))
            return NULL;
        switch (item->kind) {
        case LQ_PAT_OPEN:
            return match_open(m, at, s, OPEN_CAPTURE);
        case LQ_PAT_POSITION:
            return match_open(m, at, s, LQ_PATTERN_POSITION);
        case LQ_PAT_CLOSE:
            return match_close(m, at, s);
        case LQ_PAT_TAIL:
            if (s != m->end)
                return NULL;
            continue;
        case LQ_PAT_FRONTIER:
            if (!at_frontier(m, item, s))
                return NULL;
            continue;
        case LQ_PAT_BALANCED:
            s = match_balanced(m, item, s);
            break;
        case LQ_PAT_BACKREF:
            s = match_backref(m, item, s);
            break;
        default:
            switch (item->repeat) {
            case '*':
                return match_greedy(m, at, s, 0);
            case '+':
                return match_greedy(m, at, s, 1);
            case '-':
                return match_lazy(m, at, s);
            case '?':
                if (fits(m, item, s)) {
                    const char *e = match(m, at + 1, s + 1);
                    if (e || m->error)
                        return e;
                }
                continue;
            default:
                s = fits(m, item, s) ? s + 1 : NULL;
            }
        }
        if (!s)
            return NULL;
    }
    return s;
}

static const char *match(lq_match *m, size_t at, const char *s)
{
    if (m->depth == DEPTH_MAX)
        return fault(m, "pattern too complex");
    m->depth++;
    const char *e = match_items(m, at, s);
    m->depth--;
    return e;
}

const char *lq_match_at(lq_match *m, const char *s)
{
    m->count = 0;
    m->depth = 0;
    const char *e = match(m, 0, s);
    for (int i = 0; e && i < m->count; i++)
        if (m->captures[i].len == OPEN_CAPTURE)
            return fault(m, "unfinished capture");
    return e;
}
