/* A task's message: what is enqueued, stored and handed to a handler. */
#ifndef LQ_TASK_H
#define LQ_TASK_H

#include "base/error.h"
#include "base/str.h"

#define LQ_TIMEOUT_DEFAULT_S 1800
#define LQ_MAX_RETRY_DEFAULT 25
#define LQ_PAYLOAD_MAX ((size_t)16 * 1024 * 1024)
#define LQ_ERROR_TEXT_MAX 8192 /* bytes of an error text that are stored */
#define LQ_TYPE_UNDECODABLE "lunaq:undecodable"

typedef struct lq_header {
    lq_str key, value;
} lq_header;

/* The fields of Asynq's TaskMessage; views into bytes that outlive it.
 * Seconds, as on the wire. */
typedef struct lq_task {
    lq_str type;
    lq_str payload;
    lq_str id;
    lq_str queue;
    int32_t max_retry; /* attempts - 1 */
    int32_t retried;
    lq_str error_msg;
    int64_t timeout_s;  /* 0 = none */
    int64_t deadline_s; /* 0 = none */
    lq_str unique_key;  /* the full lock key; empty = no lock */
    int64_t last_failed_s;
    int64_t retention_s;
    int64_t completed_s;
    lq_str group_key;
    lq_header *headers; /* lq_malloc'ed by the decoder: lq_task_release() */
    size_t header_count;
    lq_str *unknown; /* wire bytes of fields we do not know, kept; same owner */
    size_t unknown_count;
} lq_task;

/** Frees headers and unknown, which a decoder made; *t is empty after. */
void lq_task_release(lq_task *t);

/** Checks what a task may be called.  what: "queue", "task type", "task id" or
 *  "group", for the message.  1 to LUNAQ_NAME_MAX bytes of valid UTF-8 without
 *  control characters and not blank; a queue has no '{' or '}'.
 *  LUNAQ_EINVAL otherwise. */
int lq_name_check(const char *what, lq_str name, lunaq_error *err);

/* What remains to be said at enqueue, beside the message. */
typedef struct lq_enqueue {
    lq_task task;
    int64_t process_at_ms; /* 0 = now */
    int64_t unique_s;      /* TTL of task.unique_key's lock; 0 = no lock */
    int durable;           /* asked for: a lunaq_durable */
    int reached;           /* result: the lunaq_durable that it is sure to be */
    int code;              /* result: LUNAQ_OK, EEXIST, EDUPLICATE, … */
    bool delayed;          /* result: scheduled rather than pending */
    char id[LUNAQ_NAME_MAX + 8];
    char unique_key[LUNAQ_NAME_MAX * 2 + 80];
} lq_enqueue;

/** Turns a public lunaq_task into what a broker takes: checks every field,
 *  fills defaults, makes the id and the unique key (into e's own buffers, to
 *  which e->task points: do not copy *e).  t and what it points to must outlive
 *  e.  lq_enqueue_release() after.  LUNAQ_EINVAL names the field. */
int lq_enqueue_init(lq_enqueue *e, const lunaq_task *t, int64_t now_ms,
                    lunaq_error *err);
void lq_enqueue_release(lq_enqueue *e);

/** Writes Asynq's lock key: "asynq:{queue}:unique:<type>:<md5 of payload>".
 *  Nothing follows the last colon when payload.p is NULL.  out holds
 *  LUNAQ_NAME_MAX * 2 + 80 bytes.  False when OpenSSL has no MD5 here. */
bool lq_unique_key(char *out, lq_str queue, lq_str type, lq_str payload);

/** When one attempt that starts now must end: the earlier of now + timeout and
 *  deadline, Unix ms; 0 = never. */
int64_t lq_attempt_deadline_ms(const lq_task *t, int64_t now_ms);

#endif
