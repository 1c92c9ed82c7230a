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
#include "base/log_format.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define QUEUE_MAX ((size_t)1024 * 1024)
#define LINE_MAX_LEN ((size_t)256 * 1024)

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

static const int level_priorities[] = {6, 7, 6, 4, 3}; /* syslog's */

/* Appends head and line. */
static void format_record(const lq_log *log, lq_buf *out, lunaq_log_level level,
                          lq_str message, const lq_field *fields, size_t count)
{
    struct head head = {.level = (uint32_t)level};
    size_t start = out->len;
    lq_buf_add(out, &head, sizeof head);
    if (log->journal)
        lq_buf_printf(out, "<%d>", level_priorities[level]);
    lq_log_format(out, log->json, level, lq_now_ms(), message, fields, count);
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
