/* The log: records with fields, formatted as text for a terminal or as JSON
 * lines, written by a thread of the log's own.
 *
 * lq_log_write() never blocks on output: it formats into a bounded queue, and
 * when that is full the record is dropped and counted; the count is logged
 * once there is room.  Control characters and invalid UTF-8 are escaped.
 *
 * Text:  12:04:11.031  session:process …9c41e0a7  message  key=value …
 *        (the type and short id columns only when the record has a task)
 * JSON:  {"ts":"2026-01-31T12:04:11.031Z","level":"info","msg":"…",
 *         "task_id":"…","type":"…",…}
 * With $JOURNAL_STREAM set every line begins with "<n>", its syslog priority.
 */
#ifndef LQ_LOG_H
#define LQ_LOG_H

#include "base/str.h"
#include <lunaq/server.h>

typedef struct lq_log lq_log;

typedef struct lq_field {
    const char *key;
    enum { LQ_FIELD_STR, LQ_FIELD_INT, LQ_FIELD_NUM, LQ_FIELD_RAW } kind;
    lq_str str; /* LQ_FIELD_RAW: JSON text as it is */
    int64_t num;
    double real;
} lq_field;

static inline lq_field lq_fs(const char *key, lq_str v)
{
    return (lq_field){.key = key, .kind = LQ_FIELD_STR, .str = v};
}
static inline lq_field lq_fc(const char *key, const char *v)
{
    return lq_fs(key, lq_str_c(v));
}
static inline lq_field lq_fi(const char *key, int64_t v)
{
    return (lq_field){.key = key, .kind = LQ_FIELD_INT, .num = v};
}
static inline lq_field lq_fd(const char *key, double v)
{
    return (lq_field){.key = key, .kind = LQ_FIELD_NUM, .real = v};
}

typedef struct lq_log_options {
    lunaq_log_level level;   /* records below it are not made; 0 = info */
    lunaq_log_format format; /* AUTO: text when stderr is a terminal */
    lunaq_log_fn *sink;      /* NULL = stderr */
    void *userdata;
} lq_log_options;

/** Starts the writer thread.  NULL when that fails. */
lq_log *lq_log_new(const lq_log_options *options);
/** Writes out what is queued and ends the thread. */
void lq_log_free(lq_log *log);
/** True when a record of this level would be made: ask before costly fields. */
bool lq_log_on(const lq_log *log, lunaq_log_level level);
void lq_log_set_level(lq_log *log, lunaq_log_level level); /* any thread */
/** Logs a message.  The fields "type" and "task_id" (str), "attempt" and
 *  "attempts" (int) mark it as a task's; text shows "attempt 1/26".  log may be
 * NULL: nothing happens.  Any thread. */
void lq_log_write(lq_log *log, lunaq_log_level level, lq_str message,
                  const lq_field *fields, size_t count);

/* LQ_LOG(log, INFO, "reloaded", lq_fi("generation", 2), …); fields are
 * optional.  The last field is a guard that is not logged: standard C wants at
 * least one argument for "...". */
#define LQ_LOG(log, level, ...)                                                \
    LQ_LOG_GUARDED(log, level, __VA_ARGS__, lq_fi("", 0))
#define LQ_LOG_GUARDED(log, level, message, ...)                               \
    do {                                                                       \
        if (lq_log_on(log, LUNAQ_LOG_##level)) {                               \
            const lq_field lq_fields_[] = {__VA_ARGS__};                       \
            lq_log_write(log, LUNAQ_LOG_##level, lq_str_c(message),            \
                         lq_fields_, LQ_COUNT(lq_fields_) - 1);                \
        }                                                                      \
    } while (0)

/** True at most once per interval_ms for each `gate` (born as 0), so that a
 *  condition that lasts does not flood the log.  Any thread. */
bool lq_log_gate(int64_t *gate, int64_t interval_ms);

#endif
