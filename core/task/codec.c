/* TaskMessage ⇄ lq_task.  The other messages are in codec_server.c. */
#include "task/codec.h"

#include "base/alloc.h"
#include "task/wire.h"

/* The fields of asynq.TaskMessage. */
enum {
    TASK_TYPE = 1,
    TASK_PAYLOAD,
    TASK_ID,
    TASK_QUEUE,
    TASK_RETRY,
    TASK_RETRIED,
    TASK_ERROR_MSG,
    TASK_TIMEOUT,
    TASK_DEADLINE,
    TASK_UNIQUE_KEY,
    TASK_LAST_FAILED_AT,
    TASK_RETENTION,
    TASK_COMPLETED_AT,
    TASK_GROUP_KEY,
    TASK_HEADERS
};

/* ---- encode ------------------------------------------------------------- */

static size_t task_room(const lq_task *t)
{
    size_t room = lq_wire_room(t->type) + lq_wire_room(t->payload) +
                  lq_wire_room(t->id) + lq_wire_room(t->queue) +
                  lq_wire_room(t->error_msg) + lq_wire_room(t->unique_key) +
                  lq_wire_room(t->group_key) +
                  7 * (LQ_WIRE_TAG_MAX + LQ_WIRE_VARINT_MAX);
    for (size_t i = 0; i < t->header_count; i++)
        room += lq_wire_room(t->headers[i].key) +
                lq_wire_room(t->headers[i].value) + LQ_WIRE_ENTRY_MAX;
    for (size_t i = 0; i < t->unknown_count; i++)
        room += t->unknown[i].len;
    return room;
}

void lq_task_encode(lq_buf *out, const lq_task *t)
{
    unsigned char *start = (unsigned char *)lq_buf_reserve(out, task_room(t));
    if (!start)
        return;
    unsigned char *to = lq_wire_put_string(start, TASK_TYPE, t->type);
    to = lq_wire_put_bytes(to, TASK_PAYLOAD, t->payload);
    to = lq_wire_put_string(to, TASK_ID, t->id);
    to = lq_wire_put_string(to, TASK_QUEUE, t->queue);
    to = lq_wire_put_int(to, TASK_RETRY, t->max_retry);
    to = lq_wire_put_int(to, TASK_RETRIED, t->retried);
    to = lq_wire_put_string(to, TASK_ERROR_MSG, t->error_msg);
    to = lq_wire_put_int(to, TASK_TIMEOUT, t->timeout_s);
    to = lq_wire_put_int(to, TASK_DEADLINE, t->deadline_s);
    to = lq_wire_put_string(to, TASK_UNIQUE_KEY, t->unique_key);
    to = lq_wire_put_int(to, TASK_LAST_FAILED_AT, t->last_failed_s);
    to = lq_wire_put_int(to, TASK_RETENTION, t->retention_s);
    to = lq_wire_put_int(to, TASK_COMPLETED_AT, t->completed_s);
    to = lq_wire_put_string(to, TASK_GROUP_KEY, t->group_key);
    for (size_t i = 0; i < t->header_count; i++)
        to = lq_wire_put_entry(to, TASK_HEADERS, t->headers[i].key,
                               t->headers[i].value);
    for (size_t i = 0; i < t->unknown_count; i++) {
        memcpy(to, t->unknown[i].p, t->unknown[i].len);
        to += t->unknown[i].len;
    }
    lq_buf_grew(out, (size_t)(to - start));
}

/* ---- decode ------------------------------------------------------------- */

static bool add_header(lq_wire *w, lq_task *t)
{
    lq_header *headers =
        lq_wire_room_for_one(t->headers, t->header_count, sizeof *headers);
    if (!headers)
        return false;
    t->headers = headers;
    lq_header h = {{"", 0}, {"", 0}};
    lq_wire entry = lq_wire_open(w->bytes);
    while (lq_wire_next(&entry)) {
        if (lq_wire_is(&entry, 1, LQ_WIRE_BYTES))
            h.key = lq_wire_string(&entry);
        else if (lq_wire_is(&entry, 2, LQ_WIRE_BYTES))
            h.value = lq_wire_string(&entry);
    }
    if (entry.why)
        w->why = entry.why;
    t->headers[t->header_count++] = h;
    return true;
}

/* Unknown fields that stand side by side are kept as one piece. */
static bool add_unknown(const lq_wire *w, lq_task *t)
{
    if (t->unknown_count > 0) {
        lq_str *last = &t->unknown[t->unknown_count - 1];
        if (last->p + last->len == w->raw.p) {
            last->len += w->raw.len;
            return true;
        }
    }
    lq_str *unknown =
        lq_wire_room_for_one(t->unknown, t->unknown_count, sizeof *unknown);
    if (!unknown)
        return false;
    t->unknown = unknown;
    t->unknown[t->unknown_count++] = w->raw;
    return true;
}

/* The member for a string field; NULL when it is none. */
static lq_str *string_of(lq_task *t, uint32_t number)
{
    switch (number) {
    case TASK_TYPE:
        return &t->type;
    case TASK_ID:
        return &t->id;
    case TASK_QUEUE:
        return &t->queue;
    case TASK_ERROR_MSG:
        return &t->error_msg;
    case TASK_UNIQUE_KEY:
        return &t->unique_key;
    case TASK_GROUP_KEY:
        return &t->group_key;
    default:
        return NULL;
    }
}

static int64_t *int_of(lq_task *t, uint32_t number)
{
    switch (number) {
    case TASK_TIMEOUT:
        return &t->timeout_s;
    case TASK_DEADLINE:
        return &t->deadline_s;
    case TASK_LAST_FAILED_AT:
        return &t->last_failed_s;
    case TASK_RETENTION:
        return &t->retention_s;
    case TASK_COMPLETED_AT:
        return &t->completed_s;
    default:
        return NULL;
    }
}

/* Stores the field that w read; false when out of memory. */
static bool take_field(lq_wire *w, lq_task *t)
{
    if (w->type == LQ_WIRE_BYTES) {
        lq_str *s = string_of(t, w->number);
        if (s) {
            *s = lq_wire_string(w);
            return true;
        }
        if (w->number == TASK_PAYLOAD) {
            t->payload = w->bytes;
            return true;
        }
        if (w->number == TASK_HEADERS)
            return add_header(w, t);
    } else if (w->type == LQ_WIRE_VARINT) {
        int64_t *v = int_of(t, w->number);
        if (v) {
            *v = (int64_t)w->varint;
            return true;
        }
        if (w->number == TASK_RETRY || w->number == TASK_RETRIED) {
            int32_t n = (int32_t)(uint32_t)w->varint; /* low half, as Go does */
            *(w->number == TASK_RETRY ? &t->max_retry : &t->retried) = n;
            return true;
        }
    }
    return add_unknown(w, t);
}

int lq_task_decode(lq_task *out, lq_str bytes, lunaq_error *err)
{
    *out = (lq_task){0};
    int rc = LUNAQ_OK;
    lq_wire w = lq_wire_open(bytes);
    while (lq_wire_next(&w))
        if (!take_field(&w, out)) {
            rc = lq_fail_nomem(err);
            goto out;
        }
    rc = lq_wire_result(&w, "task message", err);
    if (!rc && out->header_count > 1) {
        int64_t kept = lq_wire_unique(out->headers, out->header_count,
                                      sizeof *out->headers);
        if (kept < 0)
            rc = lq_fail_nomem(err);
        else
            out->header_count = (size_t)kept;
    }
out:
    if (rc)
        lq_task_release(out);
    return rc;
}
