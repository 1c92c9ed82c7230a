/* Any bytes into every decoder.  What is taken must survive the way out and
 * back: the second encoding equals the first, and a task keeps every field. */
#include "fuzz.h"

#include "base/alloc.h"
#include "task/codec.h"

static size_t unknown_len(const lq_task *t)
{
    size_t len = 0;
    for (size_t i = 0; i < t->unknown_count; i++)
        len += t->unknown[i].len;
    return len;
}

static void check_same(const lq_task *a, const lq_task *b)
{
    CHECK(lq_str_eq(a->type, b->type));
    CHECK(lq_str_eq(a->payload, b->payload));
    CHECK(lq_str_eq(a->id, b->id));
    CHECK(lq_str_eq(a->queue, b->queue));
    CHECK(a->max_retry == b->max_retry);
    CHECK(a->retried == b->retried);
    CHECK(lq_str_eq(a->error_msg, b->error_msg));
    CHECK(a->timeout_s == b->timeout_s);
    CHECK(a->deadline_s == b->deadline_s);
    CHECK(lq_str_eq(a->unique_key, b->unique_key));
    CHECK(a->last_failed_s == b->last_failed_s);
    CHECK(a->retention_s == b->retention_s);
    CHECK(a->completed_s == b->completed_s);
    CHECK(lq_str_eq(a->group_key, b->group_key));
    CHECK(a->header_count == b->header_count);
    for (size_t i = 0; i < a->header_count; i++) {
        CHECK(lq_str_eq(a->headers[i].key, b->headers[i].key));
        CHECK(lq_str_eq(a->headers[i].value, b->headers[i].value));
    }
    CHECK(unknown_len(a) == unknown_len(b));
}

static void try_task(lq_str bytes)
{
    lq_task t, back;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = lq_task_decode(&t, bytes, &err);
    if (rc) {
        CHECK(rc == LUNAQ_EPROTO && err.message[0]);
        CHECK(!t.headers && !t.unknown);
        return;
    }
    lq_buf first, second;
    lq_buf_init(&first, 0);
    lq_buf_init(&second, 0);
    lq_task_encode(&first, &t);
    CHECK(!first.failed);
    CHECK(lq_task_decode(&back, lq_buf_str(&first), NULL) == LUNAQ_OK);
    check_same(&t, &back);
    lq_task_encode(&second, &back);
    CHECK(lq_str_eq(lq_buf_str(&first), lq_buf_str(&second)));
    lq_task_release(&t);
    lq_task_release(&back);
    lq_buf_release(&first);
    lq_buf_release(&second);
}

/* Decodes and encodes one of the other messages; false when refused. */
static bool recode(int which, lq_str bytes, lq_buf *out)
{
    lq_server_msg server;
    lq_worker_msg worker;
    lq_cron_msg cron;
    lq_str id;
    int64_t ns;
    switch (which) {
    case 0:
        if (lq_server_decode(&server, bytes, NULL))
            return false;
        lq_server_encode(out, &server);
        lq_free((void *)(uintptr_t)server.queues);
        return true;
    case 1:
        if (lq_worker_decode(&worker, bytes, NULL))
            return false;
        lq_worker_encode(out, &worker);
        return true;
    case 2:
        if (lq_cron_decode(&cron, bytes, NULL))
            return false;
        lq_cron_encode(out, &cron);
        lq_free((void *)(uintptr_t)cron.options);
        return true;
    default:
        if (lq_cron_event_decode(&id, &ns, bytes, NULL))
            return false;
        lq_cron_event_encode(out, id, ns);
        return true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lq_str bytes = lq_str_n(data, size);
    try_task(bytes);
    for (int which = 0; which < 4; which++) {
        lq_buf first, second;
        lq_buf_init(&first, 0);
        lq_buf_init(&second, 0);
        if (recode(which, bytes, &first)) {
            CHECK(recode(which, lq_buf_str(&first), &second));
            CHECK(lq_str_eq(lq_buf_str(&first), lq_buf_str(&second)));
        }
        lq_buf_release(&first);
        lq_buf_release(&second);
    }
    CHECK(lq_alloc_live() == 0);
    return 0;
}
