/* Options of periodic entries, in the words of Asynq. */
#include "task/cron_options.h"

#include "task/duration.h"

#define PLACES 8 /* what is always or at most once there */

/* One at a time is put together in `b`, and the copy goes to the list. */
struct list {
    lq_arena *mem;
    lq_str *items;
    size_t count;
    lq_buf b;
    bool failed;
};

static void begin(struct list *l, const char *name)
{
    lq_buf_clear(&l->b);
    lq_buf_add_c(&l->b, name);
    lq_buf_add_char(&l->b, '(');
}

static void end(struct list *l)
{
    lq_buf_add_char(&l->b, ')');
    char *copy = l->b.failed ? NULL : lq_arena_dup(l->mem, lq_buf_str(&l->b));
    if (copy)
        l->items[l->count++] = lq_str_n(copy, l->b.len);
    else
        l->failed = true;
}

/* As Go quotes, and as JSON does; what these texts hold is valid UTF-8 without
 * control characters, except in headers. */
static void add_quoted(lq_buf *b, lq_str s)
{
    lq_buf_add_char(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            lq_buf_add_char(b, '\\');
        if (c < 0x20 || c == 0x7f)
            lq_buf_printf(b, "\\u%04x", c);
        else
            lq_buf_add_char(b, (char)c);
    }
    lq_buf_add_char(b, '"');
}

static void add_text(struct list *l, const char *name, lq_str text)
{
    if (text.len == 0)
        return;
    begin(l, name);
    add_quoted(&l->b, text);
    end(l);
}

static void add_seconds(struct list *l, const char *name, int64_t seconds)
{
    if (seconds <= 0)
        return;
    begin(l, name);
    lq_duration_go(&l->b, seconds * 1000);
    end(l);
}

static void add_header(struct list *l, const lq_header *h)
{
    begin(l, "Header");
    lq_buf_add_char(&l->b, '[');
    add_quoted(&l->b, h->key);
    lq_buf_add_char(&l->b, ',');
    add_quoted(&l->b, h->value);
    lq_buf_add_char(&l->b, ']');
    end(l);
}

bool lq_cron_options_render(const lq_cron_shown *shown, lq_arena *mem,
                            const lq_str **out, size_t *count)
{
    const lq_task *t = &shown->item->task;
    struct list l = {.mem = mem};
    l.items =
        lq_arena_alloc(mem, (PLACES + 2 + t->header_count) * sizeof(*l.items));
    if (!l.items)
        return false;
    lq_buf_init(&l.b, 0);
    add_text(&l, "Queue", t->queue);
    begin(&l, "MaxRetry");
    lq_buf_printf(&l.b, "%d", (int)t->max_retry);
    end(&l);
    add_seconds(&l, "Timeout", t->timeout_s);
    add_seconds(&l, "Unique", shown->item->unique_s);
    add_seconds(&l, "Retention", t->retention_s);
    add_text(&l, "Group", t->group_key);
    for (size_t i = 0; i < t->header_count; i++)
        add_header(&l, &t->headers[i]);
    add_text(&l, "Name", lq_str_c(shown->name));
    if (shown->missed != LQ_MISSED_ONCE) {
        begin(&l, "Missed");
        lq_buf_add_c(&l.b, lq_missed_name(shown->missed));
        end(&l);
    }
    if (shown->dst != LQ_DST_VIXIE) {
        begin(&l, "Dst");
        lq_buf_add_c(&l.b, lq_dst_name(shown->dst));
        end(&l);
    }
    add_text(&l, "Server", lq_str_c(shown->server));
    lq_buf_release(&l.b);
    *out = l.items;
    *count = l.count;
    return !l.failed;
}

/* ---- reading ------------------------------------------------------------- */

/* Escapes are taken as the character behind the backslash, which is right for
 * '"' and '\'; names with others do not exist in practice. */
static lq_str unquote(lq_str s, lq_arena *mem)
{
    if (s.len < 2 || s.p[0] != '"' || s.p[s.len - 1] != '"')
        return s;
    char *text = lq_arena_dup(mem, lq_str_n(s.p + 1, s.len - 2)), *to = text;
    if (!text)
        return (lq_str){0};
    for (size_t i = 0; i < s.len - 2; i++) {
        if (text[i] == '\\' && i + 1 < s.len - 2)
            i++;
        *to++ = text[i];
    }
    *to = '\0';
    return lq_str_n(text, (size_t)(to - text));
}

lq_str lq_cron_option(const lq_str *options, size_t count, const char *name,
                      lq_arena *mem)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < count; i++) {
        lq_str o = options[i];
        if (o.len < len + 2 || memcmp(o.p, name, len) != 0 || o.p[len] != '(' ||
            o.p[o.len - 1] != ')')
            continue;
        return unquote(lq_str_n(o.p + len + 1, o.len - len - 2), mem);
    }
    return (lq_str){0};
}

lq_str lq_cron_spec_zone(lq_str spec)
{
    lq_cron c;
    if (lq_cron_parse(&c, spec, NULL) || !c.tz.p || c.tz.len == 0)
        return LQ_STR("UTC");
    return c.tz;
}
