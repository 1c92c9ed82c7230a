/* Asynq's protobuf messages, by hand: about seven times faster than a general
 * library, and without an allocation for the usual message.
 *
 * Encoders append to a buffer and report failure through it.  Decoders give
 * views into the bytes, return LUNAQ_EPROTO for bytes that a protobuf parser
 * must refuse, and skip fields they do not know (lq_task_decode keeps them).
 * Strings on the wire must be UTF-8 or Go cannot read the message: encoders
 * clean them; the payload is bytes and stays as it is.
 */
#ifndef LQ_CODEC_H
#define LQ_CODEC_H

#include "base/buf.h"
#include "task/task.h"

void lq_task_encode(lq_buf *out, const lq_task *t);
int lq_task_decode(lq_task *out, lq_str bytes, lunaq_error *err);

typedef struct lq_server_msg {
    lq_str host, server_id, status;
    int32_t pid, concurrency, active_worker_count;
    bool strict;
    int64_t start_ms;
    const struct lq_queue_prio *queues;
    size_t queue_count;
} lq_server_msg;

struct lq_queue_prio {
    lq_str name;
    int32_t weight;
};

void lq_server_encode(lq_buf *out, const lq_server_msg *m);
/** out->queues is lq_malloc'ed: the caller lq_free()s it. */
int lq_server_decode(lq_server_msg *out, lq_str bytes, lunaq_error *err);

typedef struct lq_worker_msg {
    lq_str host, server_id, task_id, type, payload, queue;
    int32_t pid;
    int64_t start_ms, deadline_ms; /* deadline 0 = none: year 1 on the wire */
} lq_worker_msg;

void lq_worker_encode(lq_buf *out, const lq_worker_msg *m);
int lq_worker_decode(lq_worker_msg *out, lq_str bytes, lunaq_error *err);

typedef struct lq_cron_msg {
    lq_str id, spec, type, payload;
    const lq_str *options; /* "MaxRetry(3)", … each must hold a '(' */
    size_t option_count;
    int64_t next_ms, prev_ms; /* prev 0 = never: Go's year 1 on the wire */
} lq_cron_msg;

void lq_cron_encode(lq_buf *out, const lq_cron_msg *m);
/** out->options is lq_malloc'ed: the caller lq_free()s it. */
int lq_cron_decode(lq_cron_msg *out, lq_str bytes, lunaq_error *err);

/* SchedulerEnqueueEvent: nanoseconds keep the events of one second apart. */
void lq_cron_event_encode(lq_buf *out, lq_str task_id, int64_t at_ns);
int lq_cron_event_decode(lq_str *task_id, int64_t *at_ns, lq_str bytes,
                         lunaq_error *err);

#endif
