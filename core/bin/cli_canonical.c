/* JSON as lunaq writes it: no space, members sorted by their names' bytes, so
 * that equal payloads have equal bytes and a unique key finds them.
 *
 * The text is checked strictly on the way (RFC 8259); strings and numbers stay
 * as they are written, so that no digit is lost. */
#include "cli.h"

#include "base/buf.h"

#include <stdlib.h>

#define DEPTH_MAX 100

struct reader {
    const char *at, *end;
    int depth;
    const char *error;
};

/* One member of an object: views into a scratch buffer, by offset since it
 * moves as it grows. */
struct member {
    size_t name, name_len; /* with its quotes */
    size_t value, value_len;
    const char *base;
};

static void read_value(struct reader *r, lq_buf *out);

static void fail(struct reader *r, const char *why)
{
    if (!r->error)
        r->error = why;
    r->at = r->end;
}

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' ||
                              *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool accept(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
           (c >= 'A' && c <= 'F');
}

static void read_escape(struct reader *r)
{
    if (r->at == r->end || *r->at == '\0' || !strchr("\"\\/bfnrtu", *r->at)) {
        fail(r, "a backslash in a string that means nothing");
        return;
    }
    if (*r->at++ != 'u')
        return;
    for (int i = 0; i < 4; i++, r->at++)
        if (r->at == r->end || !is_hex(*r->at)) {
            fail(r, "a \\u without four hex digits");
            return;
        }
}

static void read_string(struct reader *r, lq_buf *out)
{
    const char *from = r->at++;
    while (r->at < r->end && *r->at != '"') {
        if ((unsigned char)*r->at < 0x20) {
            fail(r, "a control character in a string");
            return;
        }
        if (*r->at++ == '\\')
            read_escape(r);
    }
    if (!accept(r, '"')) {
        fail(r, "a string without its end");
        return;
    }
    lq_buf_add(out, from, (size_t)(r->at - from));
}

static bool digits(struct reader *r)
{
    const char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > from;
}

static void read_number(struct reader *r, lq_buf *out)
{
    const char *from = r->at;
    accept(r, '-');
    bool ok = accept(r, '0') || digits(r);
    if (ok && accept(r, '.'))
        ok = digits(r);
    if (ok && (accept(r, 'e') || accept(r, 'E'))) {
        if (!accept(r, '+'))
            accept(r, '-');
        ok = digits(r);
    }
    if (!ok || (r->at < r->end && ((*r->at >= '0' && *r->at <= '9')))) {
        fail(r, "a number that is none");
        return;
    }
    lq_buf_add(out, from, (size_t)(r->at - from));
}

static void read_word(struct reader *r, lq_buf *out, lq_str word)
{
    if ((size_t)(r->end - r->at) < word.len ||
        memcmp(r->at, word.p, word.len) != 0) {
        fail(r, "something that is no value (text needs quotes)");
        return;
    }
    r->at += word.len;
    lq_buf_add_str(out, word);
}

static void read_array(struct reader *r, lq_buf *out)
{
    r->at++;
    lq_buf_add_char(out, '[');
    skip_space(r);
    if (accept(r, ']')) {
        lq_buf_add_char(out, ']');
        return;
    }
    for (;;) {
        read_value(r, out);
        skip_space(r);
        if (accept(r, ']'))
            break;
        if (!accept(r, ',')) {
            fail(r, "an array without ',' or ']'");
            return;
        }
        lq_buf_add_char(out, ',');
    }
    lq_buf_add_char(out, ']');
}

static int by_name(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    /* Without the quotes: '"' sorts before letters, but after '!'. */
    size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
    int order = memcmp(x->base + x->name + 1, y->base + y->name + 1, n - 2);
    return order ? order
                 : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

/* Reads one member into scratch. */
static bool read_member(struct reader *r, lq_buf *scratch, struct member *m)
{
    skip_space(r);
    if (r->at == r->end || *r->at != '"') {
        fail(r, "an object member without a name in quotes");
        return false;
    }
    m->name = scratch->len;
    read_string(r, scratch);
    m->name_len = scratch->len - m->name;
    skip_space(r);
    if (!accept(r, ':')) {
        fail(r, "an object member without ':'");
        return false;
    }
    m->value = scratch->len;
    read_value(r, scratch);
    m->value_len = scratch->len - m->value;
    return !r->error && !scratch->failed;
}

static void write_members(struct reader *r, lq_buf *out, struct member *members,
                          size_t count, const char *base)
{
    for (size_t i = 0; i < count; i++)
        members[i].base = base;
    if (count)
        qsort(members, count, sizeof *members, by_name);
    lq_buf_add_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && by_name(&members[i - 1], &members[i]) == 0) {
            fail(r, "an object that has a name twice");
            return;
        }
        if (i > 0)
            lq_buf_add_char(out, ',');
        lq_buf_add(out, base + members[i].name, members[i].name_len);
        lq_buf_add_char(out, ':');
        lq_buf_add(out, base + members[i].value, members[i].value_len);
    }
    lq_buf_add_char(out, '}');
}

static void read_object(struct reader *r, lq_buf *out)
{
    struct member *members = NULL;
    size_t count = 0, room = 0;
    lq_buf scratch;
    lq_buf_init(&scratch, 0);
    r->at++;
    skip_space(r);
    bool more = !accept(r, '}');
    while (more) {
        if (count == room) {
            room = 2 * room + 8;
            void *grown = realloc(members, room * sizeof *members);
            if (!grown) {
                fail(r, "more than there is memory for");
                goto out;
            }
            members = grown;
        }
        if (!read_member(r, &scratch, &members[count]))
            goto out;
        count++;
        skip_space(r);
        more = accept(r, ',');
        if (!more && !accept(r, '}')) {
            fail(r, "an object without ',' or '}'");
            goto out;
        }
    }
    write_members(r, out, members, count, scratch.p);
out:
    free(members);
    lq_buf_release(&scratch);
}

static void read_value(struct reader *r, lq_buf *out)
{
    skip_space(r);
    if (r->at == r->end) {
        fail(r, "nothing where a value should be");
        return;
    }
    if (++r->depth > DEPTH_MAX) {
        fail(r, "more than 100 levels");
        return;
    }
    switch (*r->at) {
    case '{':
        read_object(r, out);
        break;
    case '[':
        read_array(r, out);
        break;
    case '"':
        read_string(r, out);
        break;
    case 't':
        read_word(r, out, LQ_STR("true"));
        break;
    case 'f':
        read_word(r, out, LQ_STR("false"));
        break;
    case 'n':
        read_word(r, out, LQ_STR("null"));
        break;
    default:
        if (*r->at == '-' || (*r->at >= '0' && *r->at <= '9'))
            read_number(r, out);
        else
            fail(r, "something that is no value (text needs quotes)");
    }
    r->depth--;
}

const char *cli_json_canonical(lq_buf *out, const char *text, size_t len)
{
    struct reader r = {text, text + len, 0, NULL};
    if (!lq_utf8_valid(lq_str_n(text, len)))
        return "bytes that are not UTF-8";
    read_value(&r, out);
    skip_space(&r);
    if (!r.error && r.at != r.end)
        r.error = "more text behind the value";
    if (!r.error && out->failed)
        r.error = "more than there is memory for";
    return r.error;
}
