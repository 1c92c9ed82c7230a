/* The log: records are formatted by who logs, and written by a thread of the
 * log's own.
 *
 * Between the two lies one buffer of at most QUEUE_MAX bytes under a mutex.
 * The writer takes the whole buffer in exchange for an empty one, so under
 * load it wakes once for many records; who logs signals it only when it
 * sleeps, and never waits for output.  On stderr the records of one such batch
 * leave in one write().
 */
#include "base/log.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_MAX ((size_t)1024 * 1024)
#define LINE_MAX_LEN ((size_t)256 * 1024)
#define VALUE_MAX_LEN ((size_t)16 * 1024) /* longer ones are cut */
#define SHORT_ID_LEN ((size_t)8)

struct lq_log {
    atomic_int level;
    bool json, journal;
    lunaq_log_fn *sink;
    void *userdata;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    /* under the mutex */
    lq_buf queue; /* struct head and line, again and again */
    uint64_t dropped;
    bool sleeping, stop;
};

/* What stands before each line in the queue. */
struct head {
    uint32_t len; /* of the line, its newline included */
    uint32_t level;
};

static const char *const level_names[] = {"info", "debug", "info", "warn",
                                          "error"};
static const int level_priorities[] = {6, 7, 6, 4, 3}; /* syslog's */

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

/* Adds s, cut to VALUE_MAX_LEN, with a backslash before each byte of
 * `escaped`. */
static void add_escaped(lq_buf *out, lq_str s, bool json, const char *escaped)
{
    size_t plain = 0, i = 0;
    while (i < s.len && i < VALUE_MAX_LEN) {
        unsigned char a = (unsigned char)s.p[i];
        if (a >= 0x20 && a < 0x7f && !strchr(escaped, a)) {
            i++;
            continue;
        }
        lq_buf_add(out, s.p + plain, i - plain);
        size_t n = lq_utf8_char(lq_str_n(s.p + i, s.len - i));
        lq_str c = {s.p + i, n ? n : 1};
        if (a >= 0x20 && a < 0x7f)
            lq_buf_add_char(out, '\\');
        if (json)
            add_json_char(out, c, n > 0);
        else
            add_text_char(out, c, n > 0);
        i += c.len;
        plain = i;
    }
    lq_buf_add(out, s.p + plain, i - plain);
    if (i < s.len)
        lq_buf_add_c(out, "…");
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
    add_escaped(out, lq_str_c(f->key), false, " =\"\\");
    lq_buf_add_char(out, '=');
    switch (f->kind) {
    case LQ_FIELD_INT:
        lq_buf_printf(out, "%lld", (long long)f->num);
        break;
    case LQ_FIELD_NUM:
        add_number(out, f->real, false);
        break;
    case LQ_FIELD_RAW:
        add_escaped(out, f->str, false, "");
        break;
    case LQ_FIELD_STR:
        if (wants_quotes(f->str)) {
            lq_buf_add_char(out, '"');
            add_escaped(out, f->str, false, "\"\\");
            lq_buf_add_char(out, '"');
        } else {
            add_escaped(out, f->str, false, "");
        }
        break;
    }
}

struct task_fields {
    const lq_field *type, *id, *attempt; /* NULL: not a task's record */
};

static void format_text(lq_buf *out, lunaq_log_level level, int64_t now_ms,
                        lq_str message, const lq_field *fields, size_t count,
                        const struct task_fields *task)
{
    time_t s = (time_t)(now_ms / 1000);
    struct tm t;
    localtime_r(&s, &t);
    lq_buf_printf(out, "%02d:%02d:%02d.%03d  ", t.tm_hour, t.tm_min, t.tm_sec,
                  (int)(now_ms % 1000));
    if (level >= LUNAQ_LOG_WARN)
        lq_buf_printf(out, "%s  ", level_names[level]);
    if (task->id) {
        lq_str id = task->id->str;
        if (task->type) {
            add_escaped(out, task->type->str, false, "");
            lq_buf_add_char(out, ' ');
        }
        if (id.len > SHORT_ID_LEN) {
            id = lq_str_n(id.p + id.len - SHORT_ID_LEN, SHORT_ID_LEN);
            lq_buf_add_c(out, "…");
        }
        add_escaped(out, id, false, "");
        lq_buf_add_c(out, "  ");
    }
    add_escaped(out, message, false, "");
    for (size_t i = 0; i < count; i++) {
        const lq_field *f = &fields[i];
        /* A first attempt is the rule and not worth a column. */
        bool shown = f == task->id || (task->id && f == task->type) ||
                     (task->id && f == task->attempt && f->num <= 1);
        if (!shown)
            add_text_field(out, f);
    }
}

/* ---- JSON --------------------------------------------------------------- */

static void add_json_string(lq_buf *out, lq_str s)
{
    lq_buf_add_char(out, '"');
    add_escaped(out, s, true, "\"\\");
    lq_buf_add_char(out, '"');
}

static void add_json_field(lq_buf *out, const lq_field *f)
{
    lq_str key = lq_str_c(f->key);
    lq_buf_add_c(out, ",\"");
    add_escaped(out, key, true, "\"\\");
    /* A handler's field must not pass itself off as the record's. */
    if (lq_str_eq(key, LQ_STR("ts")) || lq_str_eq(key, LQ_STR("level")) ||
        lq_str_eq(key, LQ_STR("msg")))
        lq_buf_add_char(out, '_');
    lq_buf_add_c(out, "\":");
    switch (f->kind) {
    case LQ_FIELD_INT:
        lq_buf_printf(out, "%lld", (long long)f->num);
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
        add_json_string(out, f->str);
        break;
    }
}

static void format_json(lq_buf *out, lunaq_log_level level, int64_t now_ms,
                        lq_str message, const lq_field *fields, size_t count,
                        const struct task_fields *task)
{
    time_t s = (time_t)(now_ms / 1000);
    struct tm t;
    gmtime_r(&s, &t);
    lq_buf_printf(out,
                  "{\"ts\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\","
                  "\"level\":\"%s\",\"msg\":",
                  t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour,
                  t.tm_min, t.tm_sec, (int)(now_ms % 1000), level_names[level]);
    add_json_string(out, message);
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
    }
    return t;
}

/* Appends head and line. */
static void format_record(const lq_log *log, lq_buf *out, lunaq_log_level level,
                          lq_str message, const lq_field *fields, size_t count)
{
    struct head head = {.level = (uint32_t)level};
    size_t start = out->len;
    lq_buf_add(out, &head, sizeof head);
    if (log->journal)
        lq_buf_printf(out, "<%d>", level_priorities[level]);
    struct task_fields task = find_task(fields, count);
    int64_t now_ms = lq_now_ms();
    if (log->json)
        format_json(out, level, now_ms, message, fields, count, &task);
    else
        format_text(out, level, now_ms, message, fields, count, &task);
    lq_buf_add_char(out, '\n');
    if (out->failed)
        return;
    head.len = (uint32_t)(out->len - start - sizeof head);
    memcpy(out->p + start, &head, sizeof head);
}

/* ---- the writer --------------------------------------------------------- */

/* Writes all of it, whatever kind of descriptor stderr is.  What cannot be
 * written is lost: there is nobody left to tell. */
static void write_stderr(const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, p, len);
        if (n >= 0) {
            p += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
            poll(&ready, 1, 1000);
        } else if (errno != EINTR) {
            return;
        }
    }
}

static void write_batch(const lq_log *log, lq_buf *batch)
{
    size_t to = 0;
    for (size_t at = 0; at < batch->len;) {
        struct head head;
        memcpy(&head, batch->p + at, sizeof head);
        char *line = batch->p + at + sizeof head;
        at += sizeof head + head.len;
        if (log->sink) {
            line[head.len - 1] = 0;
            log->sink((lunaq_log_level)head.level, line, head.len - 1,
                      log->userdata);
        } else {
            /* Closing the gaps that the heads leave makes it one write. */
            memmove(batch->p + to, line, head.len);
            to += head.len;
        }
    }
    if (!log->sink)
        write_stderr(batch->p, to);
}

static void *writer(void *arg)
{
    lq_log *log = arg;
    lq_buf batch;
    lq_buf_init(&batch, QUEUE_MAX);
    pthread_mutex_lock(&log->mutex);
    for (;;) {
        while (log->queue.len == 0 && log->dropped == 0 && !log->stop) {
            log->sleeping = true;
            pthread_cond_wait(&log->wake, &log->mutex);
            log->sleeping = false;
        }
        if (log->queue.len == 0 && log->dropped == 0)
            break;
        lq_buf full = log->queue;
        log->queue = batch;
        batch = full;
        uint64_t dropped = log->dropped;
        log->dropped = 0;
        pthread_mutex_unlock(&log->mutex);
        write_batch(log, &batch);
        lq_buf_clear(&batch);
        if (dropped) {
            const lq_field count = lq_fi("dropped", (int64_t)dropped);
            format_record(log, &batch, LUNAQ_LOG_WARN,
                          LQ_STR("log records dropped: more came than could "
                                 "be written"),
                          &count, 1);
            if (!batch.failed)
                write_batch(log, &batch);
            lq_buf_clear(&batch);
        }
        pthread_mutex_lock(&log->mutex);
    }
    pthread_mutex_unlock(&log->mutex);
    lq_buf_release(&batch);
    return NULL;
}

/* ---- for those who log -------------------------------------------------- */

lq_log *lq_log_new(const lq_log_options *options)
{
    lq_log *log = lq_calloc(1, sizeof *log);
    if (!log)
        return NULL;
    atomic_init(&log->level,
                options->level ? (int)options->level : (int)LUNAQ_LOG_INFO);
    log->sink = options->sink;
    log->userdata = options->userdata;
    log->json = options->format == LUNAQ_LOG_JSON ||
                (options->format == LUNAQ_LOG_AUTO && !isatty(STDERR_FILENO));
    const char *journal = getenv("JOURNAL_STREAM");
    log->journal = !options->sink && journal && journal[0];
    lq_buf_init(&log->queue, QUEUE_MAX);
    pthread_mutex_init(&log->mutex, NULL);
    pthread_cond_init(&log->wake, NULL);
    /* The program's signals are not for this thread, and SIGPIPE of a closed
     * stderr must not end it. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&log->thread, NULL, writer, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        return log;
    pthread_cond_destroy(&log->wake);
    pthread_mutex_destroy(&log->mutex);
    lq_free(log);
    return NULL;
}

void lq_log_free(lq_log *log)
{
    if (!log)
        return;
    pthread_mutex_lock(&log->mutex);
    log->stop = true;
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->mutex);
    pthread_join(log->thread, NULL);
    pthread_cond_destroy(&log->wake);
    pthread_mutex_destroy(&log->mutex);
    lq_buf_release(&log->queue);
    lq_free(log);
}

bool lq_log_on(const lq_log *log, lunaq_log_level level)
{
    return log && level >= LUNAQ_LOG_DEBUG && level < LUNAQ_LOG_OFF &&
           (int)level >=
               atomic_load_explicit(&log->level, memory_order_relaxed);
}

void lq_log_set_level(lq_log *log, lunaq_log_level level)
{
    if (log)
        atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
}

void lq_log_write(lq_log *log, lunaq_log_level level, lq_str message,
                  const lq_field *fields, size_t count)
{
    if (!lq_log_on(log, level))
        return;
    lq_buf record;
    lq_buf_init(&record, LINE_MAX_LEN);
    lq_buf_reserve(&record, 400); /* most fit: one allocation */
    format_record(log, &record, level, message, fields, count);

    pthread_mutex_lock(&log->mutex);
    if (!record.failed)
        lq_buf_add(&log->queue, record.p, record.len);
    if (record.failed || log->queue.failed) {
        log->dropped++;
        log->queue.failed = false; /* it holds what came before */
    }
    bool wake = log->sleeping;
    log->sleeping = false; /* one signal is enough */
    pthread_mutex_unlock(&log->mutex);
    if (wake)
        pthread_cond_signal(&log->wake);
    lq_buf_release(&record);
}

bool lq_log_gate(int64_t *gate, int64_t interval_ms)
{
    int64_t now = lq_mono_ms() + 1; /* never 0, which means "not yet" */
    int64_t last = __atomic_load_n(gate, __ATOMIC_RELAXED);
    if (last != 0 && now - last < interval_ms)
        return false;
    return __atomic_compare_exchange_n(gate, &last, now, false,
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
