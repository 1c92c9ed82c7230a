/* Enqueueing: one task or many, in batches that leave together. */
#include "client/handle.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/sized.h"

#include <assert.h>

/* A batch is full at LQ_BATCH_MAX tasks, or when its payloads pass this. */
#define BATCH_BYTES ((size_t)4 * 1024 * 1024)
/* A queue's name is announced to inspectors again after this time, so that one
 * that was removed or flushed meanwhile comes back. */
#define ANNOUNCE_MS 10000
#define ANNOUNCED_MAX 1024 /* queues remembered */

static_assert(sizeof(lunaq_task) ==
                  offsetof(lunaq_task, durable) + sizeof(int64_t),
              "a new field must not hide in padding");

/* The tasks of one round trip. */
struct batch {
    lunaq_task tasks[LQ_BATCH_MAX]; /* as this version knows them */
    lq_enqueue slots[LQ_BATCH_MAX]; /* point into tasks and themselves */
    lq_enqueue *items[LQ_BATCH_MAX];
    size_t index[LQ_BATCH_MAX]; /* which of the caller's tasks it is */
    size_t count;
    size_t bytes;
};

/* One call of lunaq_client_enqueue_many(). */
struct enqueue {
    lunaq_client *client;
    size_t total;
    lunaq_enqueued *results; /* may be NULL */
    lunaq_error *err;
    int rc;      /* the first failure */
    bool broken; /* the broker is away: what is left is not sent */
};

static bool announced(const lunaq_client *c, const struct batch *b)
{
    int64_t now = lq_mono_ms();
    for (size_t i = 0; i < b->count; i++) {
        void *at = lq_map_get(&c->announced, b->items[i]->task.queue);
        if (!at || now - (int64_t)(intptr_t)at >= ANNOUNCE_MS)
            return false;
    }
    return true;
}

/* Remembering is an economy: it may fail. */
static void remember(lunaq_client *c, const struct batch *b)
{
    void *now = (void *)(intptr_t)(lq_mono_ms() | 1);
    if (c->announced.count + b->count > ANNOUNCED_MAX) {
        lq_map_release(&c->announced);
        c->announced = (lq_map){0};
    }
    for (size_t i = 0; i < b->count; i++)
        lq_map_set(&c->announced, b->items[i]->task.queue, now, NULL);
}

static void report(struct enqueue *e, size_t i, int code,
                   const lq_enqueue *item, const char *id,
                   const lunaq_error *why)
{
    if (e->results) {
        lunaq_enqueued *r = &e->results[i];
        *r = (lunaq_enqueued){.code = code};
        if (item) {
            r->delayed = item->delayed;
            if (!code || code == LUNAQ_EEXIST || code == LUNAQ_EUNKNOWN)
                r->durable = item->reached;
        }
        size_t len = strnlen(id, sizeof r->id - 1);
        memcpy(r->id, id, len);
    }
    if (code && !e->rc) {
        e->rc = lq_fail(e->err, code, "%s", why->message);
        if (e->total > 1)
            lq_error_prefix(e->err, "task %zu of %zu", i + 1, e->total);
    }
}

static void refused(lunaq_error *why, const lq_enqueue *item)
{
    const lq_task *t = &item->task;
    if (item->code == LUNAQ_EEXIST)
        lq_fail(why, item->code, "a task with id %s exists in queue '%.*s'",
                item->id, LQ_STR_ARG(t->queue));
    else if (item->code == LUNAQ_EDUPLICATE)
        lq_fail(why, item->code,
                "a task '%.*s' with the same unique key is waiting or running "
                "in queue '%.*s'",
                LQ_STR_ARG(t->type), LQ_STR_ARG(t->queue));
    else if (why->message[0]) /* not as durable as it should be */
        lq_error_prefix(why, "task %s", item->id);
    else
        lq_fail(why, item->code, "task '%.*s' in queue '%.*s': %s",
                LQ_STR_ARG(t->type), LQ_STR_ARG(t->queue),
                lq_enqueue_reason(item->code));
}

static void flush(struct enqueue *e, struct batch *b)
{
    if (b->count == 0)
        return;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_enqueue op = {.items = b->items, .count = b->count};
    lq_op_init(&op.op, LQ_OP_ENQUEUE);
    op.known_queues = announced(e->client, b);
    op.durable_ms = e->client->timeout_ms / 2;
    int rc = LUNAQ_EBROKER;
    if (e->broken)
        lq_fail(&err, rc, "not sent: the call ended before its turn");
    else
        rc = lq_client_call(e->client, &op.op, &err);
    if (!rc && !op.known_queues)
        remember(e->client, b);
    for (size_t i = 0; i < b->count; i++) {
        lq_enqueue *item = b->items[i];
        lunaq_error why = rc ? err : op.op.err;
        if (!rc && item->code)
            refused(&why, item);
        report(e, b->index[i], rc ? rc : item->code, rc ? NULL : item, item->id,
               &why);
        lq_enqueue_release(item);
    }
    if (rc)
        e->broken = true;
    lq_op_release(&op.op);
    b->count = 0;
    b->bytes = 0;
}

static void add(struct enqueue *e, struct batch *b, size_t i, const void *task,
                int64_t now_ms)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    size_t n = b->count;
    lunaq_task *t = &b->tasks[n];
    int rc = lq_sized_copy(t, sizeof *t, task, "lunaq_task", &err);
    if (rc) {
        report(e, i, rc, NULL, "", &err);
        return;
    }
    if (!t->durable)
        t->durable = e->client->durable;
    rc = lq_enqueue_init(&b->slots[n], t, now_ms, &err);
    if (rc) {
        lq_enqueue_release(&b->slots[n]);
        report(e, i, rc, NULL, t->task_id ? t->task_id : "", &err);
        return;
    }
    b->items[n] = &b->slots[n];
    b->index[n] = i;
    b->count++;
    b->bytes += t->payload_len;
    if (b->count == LQ_BATCH_MAX || b->bytes >= BATCH_BYTES)
        flush(e, b);
}

int lunaq_client_enqueue_many(lunaq_client *client, const lunaq_task *tasks,
                              size_t count, lunaq_enqueued *results,
                              lunaq_error *err)
{
    if (!client)
        return lq_fail(err, LUNAQ_EINVAL, "client: is NULL: open one first");
    if (count == 0)
        return LUNAQ_OK;
    if (!tasks)
        return lq_fail(err, LUNAQ_EINVAL, "tasks: are NULL");
    if (tasks->size < sizeof(size_t) || tasks->size % sizeof(size_t))
        return lq_fail(err, LUNAQ_EINVAL,
                       "lunaq_task: its size is not set: begin with "
                       "LUNAQ_TASK_INIT");
    struct batch *b = lq_calloc(1, sizeof *b);
    if (!b)
        return lq_fail_nomem(err);
    struct enqueue e = {client, count, results, err, LUNAQ_OK, false};
    const char *at = (const char *)tasks;
    const size_t stride = tasks->size;
    int64_t now_ms = lq_now_ms();
    for (size_t i = 0; i < count; i++)
        add(&e, b, i, at + i * stride, now_ms);
    flush(&e, b);
    lq_free(b);
    return e.rc;
}

int lunaq_client_enqueue(lunaq_client *client, const lunaq_task *task,
                         lunaq_enqueued *result, lunaq_error *err)
{
    if (!task)
        return lq_fail(err, LUNAQ_EINVAL, "task: is NULL");
    return lunaq_client_enqueue_many(client, task, 1, result, err);
}
