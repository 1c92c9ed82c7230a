/* The messages by which servers and schedulers show themselves: ServerInfo,
 * WorkerInfo, SchedulerEntry and SchedulerEnqueueEvent. */
#include "task/codec.h"

#include "base/alloc.h"
#include "task/wire.h"

/* Go's zero time, January 1st of year 1, which its readers take for "never". */
#define GO_ZERO_S INT64_C(-62135596800)
#define INTS_ROOM(n) ((n) * (LQ_WIRE_TAG_MAX + LQ_WIRE_VARINT_MAX))

/* ---- instants ----------------------------------------------------------- */

static unsigned char *put_ms(unsigned char *to, uint32_t number, int64_t ms)
{
    if (ms == 0)
        return lq_wire_put_timestamp(to, number, GO_ZERO_S, 0);
    int64_t s = ms / 1000 - (ms % 1000 < 0);
    return lq_wire_put_timestamp(to, number, s,
                                 (int32_t)((ms - s * 1000) * 1000000));
}

struct instant {
    int64_t s;
    int32_t ns;
};

static int64_t to_ms(struct instant t)
{
    if (t.s == GO_ZERO_S)
        return 0;
    if (t.s > INT64_MAX / 1000 - 3000)
        return INT64_MAX;
    if (t.s < INT64_MIN / 1000 + 3000)
        return INT64_MIN;
    return t.s * 1000 + t.ns / 1000000;
}

/* ---- ServerInfo --------------------------------------------------------- */

void lq_server_encode(lq_buf *out, const lq_server_msg *m)
{
    size_t room = lq_wire_room(m->host) + lq_wire_room(m->server_id) +
                  lq_wire_room(m->status) + INTS_ROOM(4) +
                  LQ_WIRE_TIMESTAMP_MAX;
    for (size_t i = 0; i < m->queue_count; i++)
        room += lq_wire_room(m->queues[i].name) + LQ_WIRE_ENTRY_MAX;
    unsigned char *start = (unsigned char *)lq_buf_reserve(out, room);
    if (!start)
        return;
    unsigned char *to = lq_wire_put_string(start, 1, m->host);
    to = lq_wire_put_int(to, 2, m->pid);
    to = lq_wire_put_string(to, 3, m->server_id);
    to = lq_wire_put_int(to, 4, m->concurrency);
    for (size_t i = 0; i < m->queue_count; i++)
        to = lq_wire_put_entry_int(to, 5, m->queues[i].name,
                                   m->queues[i].weight);
    to = lq_wire_put_int(to, 6, m->strict);
    to = lq_wire_put_string(to, 7, m->status);
    to = put_ms(to, 8, m->start_ms);
    to = lq_wire_put_int(to, 9, m->active_worker_count);
    lq_buf_grew(out, (size_t)(to - start));
}

struct queues {
    struct lq_queue_prio *all;
    size_t count;
};

static bool add_queue(lq_wire *w, struct queues *q)
{
    struct lq_queue_prio *all =
        lq_wire_room_for_one(q->all, q->count, sizeof *all);
    if (!all)
        return false;
    q->all = all;
    struct lq_queue_prio prio = {{"", 0}, 0};
    lq_wire entry = lq_wire_open(w->bytes);
    while (lq_wire_next(&entry)) {
        if (lq_wire_is(&entry, 1, LQ_WIRE_BYTES))
            prio.name = lq_wire_string(&entry);
        else if (lq_wire_is(&entry, 2, LQ_WIRE_VARINT))
            prio.weight = (int32_t)(uint32_t)entry.varint;
    }
    if (entry.why)
        w->why = entry.why;
    q->all[q->count++] = prio;
    return true;
}

int lq_server_decode(lq_server_msg *out, lq_str bytes, lunaq_error *err)
{
    *out = (lq_server_msg){0};
    int rc;
    int64_t kept;
    struct queues queues = {0};
    struct instant start = {0};
    lq_wire w = lq_wire_open(bytes);
    while (lq_wire_next(&w)) {
        if (lq_wire_is(&w, 1, LQ_WIRE_BYTES))
            out->host = lq_wire_string(&w);
        else if (lq_wire_is(&w, 2, LQ_WIRE_VARINT))
            out->pid = (int32_t)(uint32_t)w.varint;
        else if (lq_wire_is(&w, 3, LQ_WIRE_BYTES))
            out->server_id = lq_wire_string(&w);
        else if (lq_wire_is(&w, 4, LQ_WIRE_VARINT))
            out->concurrency = (int32_t)(uint32_t)w.varint;
        else if (lq_wire_is(&w, 5, LQ_WIRE_BYTES)) {
            if (!add_queue(&w, &queues)) {
                rc = lq_fail_nomem(err);
                goto out;
            }
        } else if (lq_wire_is(&w, 6, LQ_WIRE_VARINT))
            out->strict = w.varint != 0;
        else if (lq_wire_is(&w, 7, LQ_WIRE_BYTES))
            out->status = lq_wire_string(&w);
        else if (lq_wire_is(&w, 8, LQ_WIRE_BYTES))
            lq_wire_timestamp(&w, &start.s, &start.ns);
        else if (lq_wire_is(&w, 9, LQ_WIRE_VARINT))
            out->active_worker_count = (int32_t)(uint32_t)w.varint;
    }
    rc = lq_wire_result(&w, "server record", err);
    if (rc)
        goto out;
    kept = lq_wire_unique(queues.all, queues.count, sizeof *queues.all);
    if (kept < 0) {
        rc = lq_fail_nomem(err);
        goto out;
    }
    out->start_ms = to_ms(start);
    out->queues = queues.all;
    out->queue_count = (size_t)kept;
out:
    if (rc) {
        lq_free(queues.all);
        *out = (lq_server_msg){0};
    }
    return rc;
}

/* ---- WorkerInfo --------------------------------------------------------- */

void lq_worker_encode(lq_buf *out, const lq_worker_msg *m)
{
    size_t room = lq_wire_room(m->host) + lq_wire_room(m->server_id) +
                  lq_wire_room(m->task_id) + lq_wire_room(m->type) +
                  lq_wire_room(m->payload) + lq_wire_room(m->queue) +
                  INTS_ROOM(1) + 2 * LQ_WIRE_TIMESTAMP_MAX;
    unsigned char *start = (unsigned char *)lq_buf_reserve(out, room);
    if (!start)
        return;
    unsigned char *to = lq_wire_put_string(start, 1, m->host);
    to = lq_wire_put_int(to, 2, m->pid);
    to = lq_wire_put_string(to, 3, m->server_id);
    to = lq_wire_put_string(to, 4, m->task_id);
    to = lq_wire_put_string(to, 5, m->type);
    to = lq_wire_put_bytes(to, 6, m->payload);
    to = lq_wire_put_string(to, 7, m->queue);
    to = put_ms(to, 8, m->start_ms);
    to = put_ms(to, 9, m->deadline_ms);
    lq_buf_grew(out, (size_t)(to - start));
}

int lq_worker_decode(lq_worker_msg *out, lq_str bytes, lunaq_error *err)
{
    *out = (lq_worker_msg){0};
    struct instant start = {0}, deadline = {0};
    lq_wire w = lq_wire_open(bytes);
    while (lq_wire_next(&w)) {
        if (lq_wire_is(&w, 1, LQ_WIRE_BYTES))
            out->host = lq_wire_string(&w);
        else if (lq_wire_is(&w, 2, LQ_WIRE_VARINT))
            out->pid = (int32_t)(uint32_t)w.varint;
        else if (lq_wire_is(&w, 3, LQ_WIRE_BYTES))
            out->server_id = lq_wire_string(&w);
        else if (lq_wire_is(&w, 4, LQ_WIRE_BYTES))
            out->task_id = lq_wire_string(&w);
        else if (lq_wire_is(&w, 5, LQ_WIRE_BYTES))
            out->type = lq_wire_string(&w);
        else if (lq_wire_is(&w, 6, LQ_WIRE_BYTES))
            out->payload = w.bytes;
        else if (lq_wire_is(&w, 7, LQ_WIRE_BYTES))
            out->queue = lq_wire_string(&w);
        else if (lq_wire_is(&w, 8, LQ_WIRE_BYTES))
            lq_wire_timestamp(&w, &start.s, &start.ns);
        else if (lq_wire_is(&w, 9, LQ_WIRE_BYTES))
            lq_wire_timestamp(&w, &deadline.s, &deadline.ns);
    }
    out->start_ms = to_ms(start);
    out->deadline_ms = to_ms(deadline);
    int rc = lq_wire_result(&w, "worker record", err);
    if (rc)
        *out = (lq_worker_msg){0};
    return rc;
}

/* ---- SchedulerEntry ----------------------------------------------------- */

void lq_cron_encode(lq_buf *out, const lq_cron_msg *m)
{
    size_t room = lq_wire_room(m->id) + lq_wire_room(m->spec) +
                  lq_wire_room(m->type) + lq_wire_room(m->payload) +
                  2 * LQ_WIRE_TIMESTAMP_MAX;
    for (size_t i = 0; i < m->option_count; i++)
        room += lq_wire_room(m->options[i]);
    unsigned char *start = (unsigned char *)lq_buf_reserve(out, room);
    if (!start)
        return;
    unsigned char *to = lq_wire_put_string(start, 1, m->id);
    to = lq_wire_put_string(to, 2, m->spec);
    to = lq_wire_put_string(to, 3, m->type);
    to = lq_wire_put_bytes(to, 4, m->payload);
    for (size_t i = 0; i < m->option_count; i++)
        to = lq_wire_put_string(to, 5, m->options[i]);
    to = put_ms(to, 6, m->next_ms);
    to = put_ms(to, 7, m->prev_ms);
    lq_buf_grew(out, (size_t)(to - start));
}

int lq_cron_decode(lq_cron_msg *out, lq_str bytes, lunaq_error *err)
{
    *out = (lq_cron_msg){0};
    int rc;
    lq_str *options = NULL, *more;
    size_t count = 0;
    struct instant next = {0}, prev = {0};
    lq_wire w = lq_wire_open(bytes);
    while (lq_wire_next(&w)) {
        if (lq_wire_is(&w, 1, LQ_WIRE_BYTES))
            out->id = lq_wire_string(&w);
        else if (lq_wire_is(&w, 2, LQ_WIRE_BYTES))
            out->spec = lq_wire_string(&w);
        else if (lq_wire_is(&w, 3, LQ_WIRE_BYTES))
            out->type = lq_wire_string(&w);
        else if (lq_wire_is(&w, 4, LQ_WIRE_BYTES))
            out->payload = w.bytes;
        else if (lq_wire_is(&w, 5, LQ_WIRE_BYTES)) {
            more = lq_wire_room_for_one(options, count, sizeof *options);
            if (!more) {
                rc = lq_fail_nomem(err);
                goto out;
            }
            options = more;
            options[count++] = lq_wire_string(&w);
        } else if (lq_wire_is(&w, 6, LQ_WIRE_BYTES))
            lq_wire_timestamp(&w, &next.s, &next.ns);
        else if (lq_wire_is(&w, 7, LQ_WIRE_BYTES))
            lq_wire_timestamp(&w, &prev.s, &prev.ns);
    }
    rc = lq_wire_result(&w, "scheduler entry", err);
    out->next_ms = to_ms(next);
    out->prev_ms = to_ms(prev);
    out->options = options;
    out->option_count = count;
out:
    if (rc) {
        lq_free(options);
        *out = (lq_cron_msg){0};
    }
    return rc;
}

/* ---- SchedulerEnqueueEvent ---------------------------------------------- */

#define NS_PER_S INT64_C(1000000000)

void lq_cron_event_encode(lq_buf *out, lq_str task_id, int64_t at_ns)
{
    unsigned char *start = (unsigned char *)lq_buf_reserve(
        out, lq_wire_room(task_id) + LQ_WIRE_TIMESTAMP_MAX);
    if (!start)
        return;
    int64_t s = at_ns / NS_PER_S - (at_ns % NS_PER_S < 0);
    unsigned char *to = lq_wire_put_string(start, 1, task_id);
    to = lq_wire_put_timestamp(to, 2, s, (int32_t)(at_ns - s * NS_PER_S));
    lq_buf_grew(out, (size_t)(to - start));
}

int lq_cron_event_decode(lq_str *task_id, int64_t *at_ns, lq_str bytes,
                         lunaq_error *err)
{
    struct instant at = {0};
    *task_id = (lq_str){0};
    *at_ns = 0;
    lq_wire w = lq_wire_open(bytes);
    while (lq_wire_next(&w)) {
        if (lq_wire_is(&w, 1, LQ_WIRE_BYTES))
            *task_id = lq_wire_string(&w);
        else if (lq_wire_is(&w, 2, LQ_WIRE_BYTES))
            lq_wire_timestamp(&w, &at.s, &at.ns);
    }
    int rc = lq_wire_result(&w, "scheduler event", err);
    if (rc)
        *task_id = (lq_str){0};
    else if (at.s >= INT64_MAX / NS_PER_S - 3 ||
             at.s <= INT64_MIN / NS_PER_S + 3)
        *at_ns = at.s < 0 ? INT64_MIN : INT64_MAX;
    else
        *at_ns = at.s * NS_PER_S + at.ns;
    return rc;
}
