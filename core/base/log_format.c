/* A log record as text for a terminal, or as a line of JSON. */
#include "base/log_format.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#define VALUE_MAX_LEN ((size_t)16 * 1024) /* longer ones are cut */
#define SHORT_ID_LEN ((size_t)8)

static const char *const level_names[] = {"info", "debug", "info", "warn",
                                          "error"};

/* ---- escaping ----------------------------------------------------------- */

/* C0, DEL and C1: what a terminal might obey. */
static bool is_control(lq_str c)
{
    unsigned char a = (unsigned char)c.p[0];
    return a < 0x20 || a == 0x7f || (a == 0xc2 && (unsigned char)c.p[1] < 0xa0);
}

static void add_text_char(lq_buf *out, lq_str c, bool valid)
{
    if (c.p[0] == '\n')
        lq_buf_add_c(out, "\\n");
    else if (c.p[0] == '\t')
        lq_buf_add_c(out, "\\t");
    else if (!valid || is_control(c))
        for (size_t i = 0; i < c.len; i++)
            lq_buf_printf(out, "\\x%02x", (unsigned char)c.p[i]);
    else
        lq_buf_add_str(out, c);
}

static void add_json_char(lq_buf *out, lq_str c, bool valid)
{
    if (!valid)
        lq_buf_add_c(out, "\\ufffd");
    else if (c.p[0] == '\n')
        lq_buf_add_c(out, "\\n");
    else if (c.p[0] == '\t')
        lq_buf_add_c(out, "\\t");
    else if (is_control(c))
        lq_buf_printf(out, "\\u%04x", (unsigned char)c.p[c.len - 1]);
    else
        lq_buf_add_str(out, c);
}

/* The ASCII characters that stand as they are: bit i of low for i, of high for
 * 64 + i.  A table, since this loop is most of what a record costs. */
struct plain {
    uint64_t low, high;
};

#define LOW(c) (UINT64_C(1) << (c))
#define HIGH(c) (UINT64_C(1) << ((c)-64))
#define PRINTABLE_LOW UINT64_C(0xffffffff00000000)
#define PRINTABLE_HIGH (UINT64_C(0xffffffffffffffff) & ~HIGH(0x7f))

static const struct plain as_text = {PRINTABLE_LOW, PRINTABLE_HIGH};
static const struct plain as_quoted = {PRINTABLE_LOW & ~LOW('"'),
                                       PRINTABLE_HIGH & ~HIGH('\\')};
static const struct plain as_key = {PRINTABLE_LOW & ~LOW('"') & ~LOW(' ') &
                                        ~LOW('='),
                                    PRINTABLE_HIGH & ~HIGH('\\')};

static bool is_plain(const struct plain *plain, unsigned char c)
{
    if (c >= 0x80)
        return false;
    return (c < 64 ? plain->low >> c : plain->high >> (c - 64)) & 1;
}

/* Adds s, cut to VALUE_MAX_LEN, with a backslash before each printable ASCII
 * character that is not plain. */
static void add_escaped(lq_buf *out, lq_str s, bool json,
                        const struct plain *plain)
{
    size_t done = 0, i = 0;
    while (i < s.len && i < VALUE_MAX_LEN) {
        unsigned char a = (unsigned char)s.p[i];
        if (is_plain(plain, a)) {
            i++;
            continue;
        }
        lq_buf_add(out, s.p + done, i - done);
        size_t n = lq_utf8_char(lq_str_n(s.p + i, s.len - i));
        lq_str c = {s.p + i, n ? n : 1};
        if (a >= 0x20 && a < 0x7f)
            lq_buf_add_char(out, '\\');
        if (json)
            add_json_char(out, c, n > 0);
        else
            add_text_char(out, c, n > 0);
        i += c.len;
        done = i;
    }
    lq_buf_add(out, s.p + done, i - done);
    if (i < s.len)
        lq_buf_add_c(out, "…");
}

static void add_int(lq_buf *out, int64_t v)
{
    char text[20], *p = text + sizeof text;
    uint64_t n = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    if (v < 0)
        *--p = '-';
    lq_buf_add(out, p, (size_t)(text + sizeof text - p));
}

/* %g without the locale's decimal comma. */
static void add_number(lq_buf *out, double v, bool json)
{
    if (json && !isfinite(v)) {
        lq_buf_add_c(out, "null");
        return;
    }
    char text[40];
    snprintf(text, sizeof text, "%.15g", v);
    char *comma = strchr(text, ',');
    if (comma)
        *comma = '.';
    lq_buf_add_c(out, text);
}

/* ---- time --------------------------------------------------------------- */

/* A thread logs many records in one second, and the C library takes a lock for
 * each conversion: each thread keeps its last. */
static struct tm broken_down(int64_t unix_s, bool local)
{
    static _Thread_local struct {
        int64_t s;
        bool filled, local;
        struct tm tm;
    } last;
    if (!last.filled || last.s != unix_s || last.local != local) {
        time_t s = (time_t)unix_s;
        if (local)
            localtime_r(&s, &last.tm);
        else
            gmtime_r(&s, &last.tm);
        last.s = unix_s;
        last.local = local;
        last.filled = true;
    }
    return last.tm;
}

static void put_digits(char *to, int value, int count)
{
    for (int i = count - 1; i >= 0; i--, value /= 10)
        to[i] = (char)('0' + value % 10);
}

/* ---- text --------------------------------------------------------------- */

static bool wants_quotes(lq_str s)
{
    if (s.len == 0)
        return true;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char a = (unsigned char)s.p[i];
        if (a <= ' ' || a == '"' || a == '=' || a == 0x7f)
            return true;
    }
    return false;
}

static void add_text_field(lq_buf *out, const lq_field *f)
{
    lq_buf_add_c(out, "  ");
    add_escaped(out, lq_str_c(f->key), false, &as_key);
    lq_buf_add_char(out, '=');
    switch (f->kind) {
    case LQ_FIELD_INT:
        add_int(out, f->num);
        break;
    case LQ_FIELD_NUM:
        add_number(out, f->real, false);
        break;
    case LQ_FIELD_RAW:
        add_escaped(out, f->str, false, &as_text);
        break;
    case LQ_FIELD_STR:
        if (wants_quotes(f->str)) {
            lq_buf_add_char(out, '"');
            add_escaped(out, f->str, false, &as_quoted);
            lq_buf_add_char(out, '"');
        } else {
            add_escaped(out, f->str, false, &as_text);
        }
        break;
    }
}

struct task_fields {
    const lq_field *type, *id, *attempt, *attempts; /* NULL: not there */
};

/* "attempt 2/26".  A first attempt of unknown many is the rule, and not worth a
 * column. */
static void add_attempt(lq_buf *out, const struct task_fields *task)
{
    if (!task->attempts && task->attempt->num <= 1)
        return;
    lq_buf_add_c(out, "  attempt ");
    add_int(out, task->attempt->num);
    if (task->attempts) {
        lq_buf_add_char(out, '/');
        add_int(out, task->attempts->num);
    }
}

static void format_text(lq_buf *out, lunaq_log_level level, int64_t now_ms,
                        lq_str message, const lq_field *fields, size_t count,
                        const struct task_fields *task)
{
    struct tm t = broken_down(now_ms / 1000, true);
    char time[] = "00:00:00.000  ";
    put_digits(time, t.tm_hour, 2);
    put_digits(time + 3, t.tm_min, 2);
    put_digits(time + 6, t.tm_sec, 2);
    put_digits(time + 9, (int)(now_ms % 1000), 3);
    lq_buf_add(out, time, sizeof time - 1);
    if (level >= LUNAQ_LOG_WARN) {
        lq_buf_add_c(out, level_names[level]);
        lq_buf_add_c(out, "  ");
    }
    if (task->id) {
        lq_str id = task->id->str;
        if (task->type) {
            add_escaped(out, task->type->str, false, &as_text);
            lq_buf_add_char(out, ' ');
        }
        if (id.len > SHORT_ID_LEN) {
            id = lq_str_n(id.p + id.len - SHORT_ID_LEN, SHORT_ID_LEN);
            lq_buf_add_c(out, "…");
        }
        add_escaped(out, id, false, &as_text);
        lq_buf_add_c(out, "  ");
    }
    add_escaped(out, message, false, &as_text);
    for (size_t i = 0; i < count; i++) {
        const lq_field *f = &fields[i];
        if (task->id && f == task->attempt)
            add_attempt(out, task);
        else if (f != task->id &&
                 !(task->id && (f == task->type || f == task->attempts)))
            add_text_field(out, f);
    }
}

/* ---- JSON --------------------------------------------------------------- */

void lq_log_json_string(lq_buf *out, lq_str s)
{
    lq_buf_add_char(out, '"');
    add_escaped(out, s, true, &as_quoted);
    lq_buf_add_char(out, '"');
}

static void add_json_field(lq_buf *out, const lq_field *f)
{
    lq_str key = lq_str_c(f->key);
    lq_buf_add_c(out, ",\"");
    add_escaped(out, key, true, &as_quoted);
    /* A handler's field must not pass itself off as the record's. */
    if (lq_str_eq(key, LQ_STR("ts")) || lq_str_eq(key, LQ_STR("level")) ||
        lq_str_eq(key, LQ_STR("msg")))
        lq_buf_add_char(out, '_');
    lq_buf_add_c(out, "\":");
    switch (f->kind) {
    case LQ_FIELD_INT:
        add_int(out, f->num);
        break;
    case LQ_FIELD_NUM:
        add_number(out, f->real, true);
        break;
    case LQ_FIELD_RAW:
        /* A newline is white space to JSON but ends our line. */
        for (size_t i = 0; i < f->str.len; i++)
            lq_buf_add_char(out, f->str.p[i] == '\n' || f->str.p[i] == '\r'
                                     ? ' '
                                     : f->str.p[i]);
        if (f->str.len == 0)
            lq_buf_add_c(out, "null");
        break;
    case LQ_FIELD_STR:
        lq_log_json_string(out, f->str);
        break;
    }
}

static void format_json(lq_buf *out, lunaq_log_level level, int64_t now_ms,
                        lq_str message, const lq_field *fields, size_t count,
                        const struct task_fields *task)
{
    struct tm t = broken_down(now_ms / 1000, false);
    char time[] = "{\"ts\":\"0000-00-00T00:00:00.000Z\",\"level\":\"";
    put_digits(time + 7, t.tm_year + 1900, 4);
    put_digits(time + 12, t.tm_mon + 1, 2);
    put_digits(time + 15, t.tm_mday, 2);
    put_digits(time + 18, t.tm_hour, 2);
    put_digits(time + 21, t.tm_min, 2);
    put_digits(time + 24, t.tm_sec, 2);
    put_digits(time + 27, (int)(now_ms % 1000), 3);
    lq_buf_add(out, time, sizeof time - 1);
    lq_buf_add_c(out, level_names[level]);
    lq_buf_add_c(out, "\",\"msg\":");
    lq_log_json_string(out, message);
    if (task->id)
        add_json_field(out, task->id);
    if (task->type)
        add_json_field(out, task->type);
    for (size_t i = 0; i < count; i++)
        if (&fields[i] != task->id && &fields[i] != task->type)
            add_json_field(out, &fields[i]);
    lq_buf_add_char(out, '}');
}

static struct task_fields find_task(const lq_field *fields, size_t count)
{
    struct task_fields t = {0};
    for (size_t i = 0; i < count; i++) {
        const lq_field *f = &fields[i];
        if (f->kind == LQ_FIELD_STR && strcmp(f->key, "task_id") == 0)
            t.id = f;
        else if (f->kind == LQ_FIELD_STR && strcmp(f->key, "type") == 0)
            t.type = f;
        else if (f->kind == LQ_FIELD_INT && strcmp(f->key, "attempt") == 0)
            t.attempt = f;
        else if (f->kind == LQ_FIELD_INT && strcmp(f->key, "attempts") == 0)
            t.attempts = f;
    }
    return t;
}

void lq_log_format(lq_buf *out, bool json, lunaq_log_level level,
                   int64_t now_ms, lq_str message, const lq_field *fields,
                   size_t count)
{
    struct task_fields task = find_task(fields, count);
    if (json)
        format_json(out, level, now_ms, message, fields, count, &task);
    else
        format_text(out, level, now_ms, message, fields, count, &task);
}
