/* What operations share: queues, places in line, locks, the archive. */
#include "sqlite/ops.h"

#include "sqlite/connection.h"
#include "task/wire.h"

/* ---- queues -------------------------------------------------------------- */

int64_t lq_sqlite_queue(lq_sqlite *q, lq_str name)
{
    lq_query x = lq_query_begin(q, LQ_SQL_QUEUE);
    lq_query_text(&x, name);
    return lq_query_one(&x, 0);
}

int64_t lq_sqlite_queue_made(lq_sqlite *q, lq_str name)
{
    int64_t queue = lq_sqlite_queue(q, name);
    if (queue)
        return queue;
    lq_query x = lq_query_begin(q, LQ_SQL_QUEUE_ADD);
    lq_query_text(&x, name);
    return lq_query_one(&x, 0);
}

int64_t lq_sqlite_tail(lq_sqlite *q, int64_t queue)
{
    lq_query x = lq_query_begin(q, LQ_SQL_TAIL);
    lq_query_int(&x, queue);
    return lq_query_one(&x, 0) + 1;
}

int64_t lq_sqlite_front(lq_sqlite *q, int64_t queue, int64_t n)
{
    lq_query x = lq_query_begin(q, LQ_SQL_FRONT);
    lq_query_int(&x, queue);
    return lq_query_one(&x, 0) - n;
}

void lq_sqlite_unlock(lq_sqlite *q, lq_str unique_key, lq_str id)
{
    lq_query x = lq_query_begin(q, LQ_SQL_UNLOCK);
    lq_query_text(&x, unique_key);
    lq_query_text(&x, id);
    (void)lq_query_run(&x);
}

/* ---- archive ------------------------------------------------------------- */

/* Runs a statement that deletes tasks and names their locks; how many. */
static int64_t drop(lq_query *x)
{
    int64_t n = 0;
    for (; lq_query_row(x); n++) {
        lq_str key = lq_column_bytes(x, 0);
        if (key.len)
            lq_sqlite_unlock(x->q, key, lq_column_bytes(x, 1));
    }
    lq_query_end(x);
    return n;
}

enum { DROP_MOST = 2000 }; /* in one call, so that it stays short */

/* The tasks of a state beyond `max`: some of them go. */
static int64_t drop_excess(lq_sqlite *q, enum lq_sql count, enum lq_sql which,
                           int64_t queue, int64_t max)
{
    lq_query x = lq_query_begin(q, count);
    lq_query_int(&x, queue);
    int64_t excess = lq_query_one(&x, 0) - max;
    if (excess <= 0)
        return 0;
    x = lq_query_begin(q, which);
    lq_query_int(&x, queue);
    lq_query_int(&x, excess < DROP_MOST ? excess : DROP_MOST);
    return drop(&x);
}

static void count_dropped(lq_sqlite *q, int64_t queue, int64_t dropped,
                          int64_t *total)
{
    if (dropped == 0)
        return;
    lq_query x = lq_query_begin(q, LQ_SQL_QUEUE_DROPPED);
    lq_query_int(&x, queue);
    lq_query_int(&x, dropped);
    (void)lq_query_run(&x);
    if (total)
        *total += dropped;
}

void lq_sqlite_limits(lq_sqlite *q, int64_t queue, lq_queue_limits *out)
{
    *out = (lq_queue_limits){0};
    lq_query x = lq_query_begin(q, LQ_SQL_LIMITS);
    lq_query_int(&x, queue);
    if (lq_query_row(&x))
        *out = (lq_queue_limits){lq_column_int(&x, 0), lq_column_int(&x, 1),
                                 lq_column_int(&x, 2)};
    lq_query_end(&x);
}

bool lq_sqlite_trim_archive(lq_sqlite *q, int64_t queue, int64_t now_ms,
                            int64_t *total)
{
    lq_queue_limits limits;
    int64_t dropped = 0;
    lq_sqlite_limits(q, queue, &limits);
    int64_t max = limits.archive_max, age_ms = limits.archive_ms;
    if (max >= 0)
        dropped = drop_excess(q, LQ_SQL_ARCHIVE_COUNT, LQ_SQL_ARCHIVE_DROP,
                              queue, max ? max : LQ_ARCHIVE_MAX);
    if (age_ms >= 0) {
        lq_query x = lq_query_begin(q, LQ_SQL_ARCHIVE_DROP_OLD);
        lq_query_int(&x, queue);
        lq_query_int(&x, now_ms - (age_ms ? age_ms : LQ_ARCHIVE_MS));
        lq_query_int(&x, DROP_MOST - dropped);
        dropped += drop(&x);
    }
    count_dropped(q, queue, dropped, total);
    return dropped >= DROP_MOST;
}

bool lq_sqlite_trim_completed(lq_sqlite *q, int64_t queue, int64_t *total)
{
    lq_queue_limits limits;
    lq_sqlite_limits(q, queue, &limits);
    if (limits.completed_max <= 0)
        return false;
    int64_t dropped =
        drop_excess(q, LQ_SQL_COMPLETED_COUNT, LQ_SQL_COMPLETED_DROP, queue,
                    limits.completed_max);
    count_dropped(q, queue, dropped, total);
    return dropped >= DROP_MOST;
}

/* The message with an error text and the time put behind it: in proto3 the
 * last value of a field is the one that counts.  failed_s 0: no attempt failed
 * with that.  In the scratch buffer. */
static lq_str with_error(lq_sqlite *q, lq_str msg, lq_str text,
                         int64_t failed_s)
{
    enum { ERROR_MSG = 7, LAST_FAILED_AT = 11 };
    lq_buf *buf = lq_sqlite_scratch(q);
    size_t room =
        msg.len + lq_wire_room(text) + LQ_WIRE_TAG_MAX + LQ_WIRE_VARINT_MAX;
    unsigned char *start = (unsigned char *)lq_buf_reserve(buf, room);
    if (!start) {
        lq_sqlite_fault_nomem(q);
        return (lq_str){0};
    }
    unsigned char *to = start;
    if (msg.len)
        memcpy(to, msg.p, msg.len);
    to = lq_wire_put_string(to + msg.len, ERROR_MSG, text);
    to = lq_wire_put_tag(to, LAST_FAILED_AT, LQ_WIRE_VARINT); /* 0, too */
    to = lq_wire_put_varint(to, (uint64_t)failed_s);
    lq_buf_grew(buf, (size_t)(to - start));
    return lq_buf_str(buf);
}

void lq_sqlite_archive_canceled(lq_sqlite *q, int64_t seq, lq_str msg,
                                lq_str reason, bool ran, int64_t now_ms)
{
    lq_str with = with_error(q, msg, reason, ran ? now_ms / 1000 : 0);
    lq_query x = lq_query_begin(q, LQ_SQL_ARCHIVE_CANCELED);
    lq_query_int(&x, seq);
    lq_query_int(&x, now_ms);
    lq_query_blob(&x, with);
    lq_query_text(&x, reason);
    (void)lq_query_run(&x);
}

/* ---- the rest ------------------------------------------------------------ */

int64_t lq_sqlite_after(int64_t now_ms, int64_t ms)
{
    return ms < INT64_MAX - now_ms ? now_ms + ms : INT64_MAX;
}

int64_t lq_sqlite_whole_s(int64_t at_ms)
{
    int64_t over = at_ms % 1000;
    return over > 0 && at_ms < INT64_MAX - 1000 ? at_ms + 1000 - over
                                                : at_ms - over;
}

lq_buf *lq_sqlite_scratch(lq_sqlite *q)
{
    lq_buf_clear(&q->scratch);
    return &q->scratch;
}

/* Says it once if it was said last. */
static void say(lq_buf *list, lq_str name)
{
    size_t whole = name.len + 1;
    if (list->len >= whole &&
        (list->len == whole || list->p[list->len - whole - 1] == 0) &&
        memcmp(list->p + list->len - whole, name.p, name.len) == 0)
        return;
    /* Both or nothing: a waker that is not told polls. */
    char *to = lq_buf_reserve(list, whole);
    if (!to) {
        list->failed = false;
        return;
    }
    memcpy(to, name.p, name.len);
    to[name.len] = 0;
    lq_buf_grew(list, whole);
}

void lq_sqlite_wake_queue(lq_sqlite *q, lq_str name)
{
    if (name.len)
        say(&q->wakes.queues, name);
}

void lq_sqlite_wake_cancel(lq_sqlite *q, lq_str id)
{
    if (id.len)
        say(&q->wakes.cancels, id);
}
