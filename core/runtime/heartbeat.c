/* Renewals and records. */
#include "runtime/heartbeat.h"

#include "base/clock.h"
#include "runtime/control.h"
#include "runtime/worker.h"

#define BEAT_MS 5000
#define TTL_MS 10000
#define TOKEN_RENEW_MS ((int64_t)3600 * 1000)
#define PAYLOAD_SHOWN 1024 /* of a payload, in the record of a running task */
#define WORKERS_SHOWN 5000 /* tasks in the record; all are renewed */

static void renew(void *ud);
static void renew_next(lq_heartbeat *h);
static void renewed(lq_op *op);

/* ---- leases -------------------------------------------------------------- */

static void renew(void *ud)
{
    lq_heartbeat *h = ud;
    h->worker = h->queue = h->at = h->held_count = 0;
    renew_next(h);
}

static void renew_over(lq_heartbeat *h)
{
    lq_arena_release(&h->mem);
    h->held = NULL;
    h->held_count = 0;
    lq_periodic_over(&h->renew);
}

/* Loads what the next worker holds of the next queue; false at the end. */
static bool load_next(lq_heartbeat *h)
{
    lq_runtime *rt = h->control->rt;
    while (h->at >= h->held_count) {
        if (h->worker >= rt->o.worker_threads)
            return false;
        lq_arena_release(&h->mem);
        h->at = 0;
        h->held_count = lq_held_copy(&rt->workers[h->worker]->held,
                                     (int)h->queue, 0, &h->mem, &h->held);
        if (++h->queue == rt->o.queue_count) {
            h->queue = 0;
            h->worker++;
        }
    }
    return true;
}

static void renew_next(lq_heartbeat *h)
{
    if (!h->control->link_up || !load_next(h)) {
        renew_over(h);
        return;
    }
    lq_runtime *rt = h->control->rt;
    size_t n = h->held_count - h->at;
    if (n > LQ_BATCH_MAX)
        n = LQ_BATCH_MAX;
    for (size_t i = 0; i < n; i++)
        h->items[i] = (lq_extend_item){.id = h->held[h->at + i].id,
                                       .token = h->held[h->at + i].token};
    lq_op_init(&h->extend.op, LQ_OP_EXTEND);
    h->extend.op.done = renewed;
    h->extend.op.ud = h;
    h->extend.queue = lq_queue_name(rt, h->held[h->at].queue);
    h->extend.items = h->items;
    h->extend.count = n;
    h->extend.lease_ms = rt->o.lease_ms;
    lq_link_submit(h->control->link, &h->extend.op);
}

static void tell(lq_heartbeat *h, const lq_held *held, enum lq_cancel why,
                 lq_str reason)
{
    lq_runtime *rt = h->control->rt;
    /* Whichever worker has the run: numbers are the process's. */
    for (size_t i = 0; i < rt->o.worker_threads; i++)
        lq_worker_cancel(rt->workers[i], held->number, held->id, why, reason);
}

static void renewed(lq_op *op)
{
    lq_heartbeat *h = op->ud;
    lq_runtime *rt = h->control->rt;

    if (op->rc == LUNAQ_OK)
        for (size_t i = 0; i < h->extend.count; i++) {
            const lq_held *held = &h->held[h->at + i];
            if (h->items[i].code == LUNAQ_ELEASE)
                tell(h, held, LQ_CANCEL_LEASE, (lq_str){0});
            else if (h->items[i].cancel.p)
                tell(h, held, LQ_CANCEL_REQUEST, h->items[i].cancel);
        }
    else if (op->rc != LUNAQ_EBROKER && op->rc != LUNAQ_EUNKNOWN &&
             op->rc != LUNAQ_ECANCELED && lq_log_gate(&rt->log_gate, 5000))
        LQ_LOG(rt->o.log, ERROR, "cannot renew leases",
               lq_fs("queue", h->extend.queue),
               lq_fc("reason", op->err.message));
    h->at += h->extend.count;
    lq_op_release(op);
    renew_next(h);
}

/* ---- records ------------------------------------------------------------- */

static const char *status(lq_runtime *rt)
{
    switch (lq_phase(rt)) {
    case LQ_PHASE_NEW:
        return "new";
    case LQ_PHASE_ACTIVE:
        return "active";
    case LQ_PHASE_QUIET:
    case LQ_PHASE_DRAINING:
        return "stopped";
    case LQ_PHASE_CLOSED:
        break;
    }
    return "closed";
}

static void published(lq_op *op)
{
    lq_heartbeat *h = op->ud;
    if (op->rc == LUNAQ_OK)
        h->extra_sent = true;
    lq_op_release(op);
    lq_arena_release(&h->beat_mem);
    lq_periodic_over(&h->publish);
}

/* The records of the tasks in hand, encoded into h->beat_buf behind the
 * server's own.  Offsets first: the buffer moves while it grows. */
static size_t encode_workers(lq_heartbeat *h, lq_heartbeat_worker *out,
                             size_t max)
{
    lq_runtime *rt = h->control->rt;
    size_t n = 0;

    for (size_t w = 0; w < rt->o.worker_threads && n < max; w++) {
        lq_held *held;
        size_t count = lq_held_copy(&rt->workers[w]->held, -1, PAYLOAD_SHOWN,
                                    &h->beat_mem, &held);
        for (size_t i = 0; i < count && n < max; i++) {
            if (held[i].hidden)
                continue;
            lq_worker_msg m = {.host = lq_str_c(rt->host),
                               .pid = rt->pid,
                               .server_id = lq_str_c(rt->server_id),
                               .task_id = held[i].id,
                               .type = held[i].type,
                               .payload = held[i].payload,
                               .queue = lq_queue_name(rt, held[i].queue),
                               .start_ms = held[i].started_ms,
                               .deadline_ms = held[i].deadline_ms};
            size_t from = h->beat_buf.len;
            lq_worker_encode(&h->beat_buf, &m);
            out[n].task_id = held[i].id;
            out[n].msg =
                lq_str_n((void *)(uintptr_t)from, h->beat_buf.len - from);
            n++;
        }
    }
    for (size_t i = 0; i < n; i++)
        out[i].msg.p = h->beat_buf.p + (uintptr_t)out[i].msg.p;
    return n;
}

static size_t in_hand(lq_runtime *rt)
{
    size_t n = 0;
    for (size_t i = 0; i < rt->o.worker_threads; i++)
        n += lq_held_count(&rt->workers[i]->held);
    return n;
}

static void describe(lq_heartbeat *h)
{
    lq_runtime *rt = h->control->rt;
    int64_t now = lq_mono_ms();

    h->beat.extra = (lq_str){0};
    lq_buf_clear(&h->extra_buf);
    if (rt->o.source.describe)
        rt->o.source.describe(rt->o.source.ud, &h->extra_buf);
    /* What the source wrote is an object: members go before its end. */
    bool open = h->extra_buf.len > 2 && !h->extra_buf.failed;
    if (open)
        h->extra_buf.len--;
    lq_buf_printf(&h->extra_buf, "%s\"remote_control\":%s,", open ? "," : "{",
                  rt->o.orders_off ? "false" : "true");
    lq_aggregator_describe(&h->control->aggregator, &h->extra_buf);
    lq_buf_add_char(&h->extra_buf, '}');
    if (!h->extra_buf.failed)
        h->beat.extra = lq_buf_str(&h->extra_buf);
    h->extra_at_ms = now;
}

static void publish(void *ud)
{
    lq_heartbeat *h = ud;
    lq_runtime *rt = h->control->rt;
    size_t n = in_hand(rt), max = n < WORKERS_SHOWN ? n : WORKERS_SHOWN;
    lq_heartbeat_worker *workers =
        lq_arena_alloc(&h->beat_mem, (max + 1) * sizeof(*workers));

    /* Not after the goodbye. */
    if (!h->control->link_up || !workers || lq_phase(rt) == LQ_PHASE_CLOSED) {
        lq_arena_release(&h->beat_mem);
        lq_periodic_over(&h->publish);
        return;
    }
    lq_server_msg m = {.host = lq_str_c(rt->host),
                       .server_id = lq_str_c(rt->server_id),
                       .status = lq_str_c(status(rt)),
                       .pid = rt->pid,
                       .concurrency = (int32_t)rt->o.concurrency,
                       .active_worker_count = (int32_t)n,
                       .strict = rt->o.strict,
                       .start_ms = rt->started_ms,
                       .queues = rt->o.queues,
                       .queue_count = rt->o.queue_count};
    lq_buf_clear(&h->beat_buf);
    lq_server_encode(&h->beat_buf, &m);
    size_t info = h->beat_buf.len;
    h->beat.worker_count = encode_workers(h, workers, max);
    h->beat.workers = workers;
    h->beat.info = lq_str_n(h->beat_buf.p, info);
    describe(h);
    h->beat.host = lq_str_c(rt->host);
    h->beat.server_id = lq_str_c(rt->server_id);
    h->beat.pid = rt->pid;
    h->beat.ttl_ms = TTL_MS;
    lq_op_init(&h->beat.op, LQ_OP_HEARTBEAT);
    h->beat.op.done = published;
    h->beat.op.ud = h;
    lq_link_submit(h->control->link, &h->beat.op);
}

/* ---- tokens -------------------------------------------------------------- */

/* A batch of all tokens that this process has: without the first `skip`. */
static size_t list_tokens(lq_heartbeat *h, size_t skip)
{
    lq_runtime *rt = h->control->rt;
    size_t n = 0;
    for (size_t i = 0; i < rt->o.worker_threads; i++) {
        lq_worker *w = rt->workers[i];
        for (size_t q = 0; q <= rt->o.queue_count; q++) {
            uint32_t token = atomic_load(q ? &w->queues[q - 1].waiter.token
                                           : &w->current_token);
            if (!token || n == LQ_COUNT(h->token_list))
                continue;
            if (skip > 0)
                skip--;
            else
                h->token_list[n++] = token;
        }
    }
    return n;
}

static void renew_more_tokens(lq_heartbeat *h);

static void tokens_renewed(lq_op *op)
{
    lq_heartbeat *h = op->ud;
    h->token_at += h->token_op.count;
    lq_op_release(op);
    renew_more_tokens(h);
}

static void renew_more_tokens(lq_heartbeat *h)
{
    h->token_op.count = list_tokens(h, h->token_at);
    if (!h->control->link_up || h->token_op.count == 0) {
        lq_periodic_over_in(&h->tokens, h->token_at ? TOKEN_RENEW_MS : BEAT_MS);
        return;
    }
    lq_op_init(&h->token_op.op, LQ_OP_TOKEN_RENEW);
    h->token_op.op.done = tokens_renewed;
    h->token_op.op.ud = h;
    h->token_op.server_id = lq_str_c(h->control->rt->server_id);
    h->token_op.tokens = h->token_list;
    lq_link_submit(h->control->link, &h->token_op.op);
}

static void renew_tokens(void *ud)
{
    lq_heartbeat *h = ud;
    h->token_at = 0;
    renew_more_tokens(h);
}

/* -------------------------------------------------------------------------- */

void lq_heartbeat_goodbye(lq_heartbeat *h, void (*done)(lq_op *op), void *ud)
{
    lq_runtime *rt = h->control->rt;
    lq_op_init(&h->goodbye.op, LQ_OP_GOODBYE);
    h->goodbye.op.done = done;
    h->goodbye.op.ud = ud;
    h->goodbye.host = lq_str_c(rt->host);
    h->goodbye.server_id = lq_str_c(rt->server_id);
    h->goodbye.pid = rt->pid;
    h->goodbye.tokens = h->token_list;
    h->goodbye.token_count = list_tokens(h, 0);
    lq_link_submit(h->control->link, &h->goodbye.op);
}

void lq_heartbeat_renew_now(lq_heartbeat *h)
{
    lq_periodic_now(&h->renew);
}

void lq_heartbeat_publish_now(lq_heartbeat *h)
{
    lq_periodic_now(&h->publish);
}

int lq_heartbeat_start(lq_heartbeat *h, struct lq_control *c, lunaq_error *err)
{
    int64_t lease = c->rt->o.lease_ms;
    h->control = c;
    lq_buf_init(&h->beat_buf, 0);
    lq_buf_init(&h->extra_buf, 0);
    int rc = lq_periodic_start(&h->renew, c->loop, lease / 6, lease / 6, renew,
                               h, err);
    if (!rc)
        rc = lq_periodic_start(&h->publish, c->loop, 0, BEAT_MS, publish, h,
                               err);
    if (!rc)
        rc = lq_periodic_start(&h->tokens, c->loop, TOKEN_RENEW_MS,
                               TOKEN_RENEW_MS, renew_tokens, h, err);
    return rc;
}

void lq_heartbeat_stop(lq_heartbeat *h)
{
    lq_periodic_stop(&h->renew);
    lq_periodic_stop(&h->publish);
    lq_periodic_stop(&h->tokens);
    lq_arena_release(&h->mem);
    lq_arena_release(&h->beat_mem);
    lq_buf_release(&h->beat_buf);
    lq_buf_release(&h->extra_buf);
}
