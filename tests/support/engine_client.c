#include "support/engine_client.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST 100

static void told(lq_sqlite_client *base)
{
    engine_client *c = LQ_OF(base, engine_client, base);
    pthread_mutex_lock(&c->mutex);
    c->ready = true;
    pthread_cond_signal(&c->told);
    pthread_mutex_unlock(&c->mutex);
}

void engine_client_open(engine_client *c, lq_sqlite_engine *engine)
{
    *c = (engine_client){.base.tell = told, .engine = engine};
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->told, NULL);
    lq_sqlite_client_add(engine, &c->base);
}

void engine_client_collect(engine_client *c, lq_list *ended)
{
    lq_buf cancels;

    lq_list_init(ended);
    pthread_mutex_lock(&c->mutex);
    while (!c->ready)
        pthread_cond_wait(&c->told, &c->mutex);
    c->ready = false;
    pthread_mutex_unlock(&c->mutex);
    lq_sqlite_collect(c->engine, &c->base, ended, &cancels);
    lq_buf_release(&cancels);
}

int engine_client_call(engine_client *c, lq_op *op)
{
    lq_list ended;

    lq_sqlite_submit(c->engine, &c->base, op);
    engine_client_collect(c, &ended);
    return op->rc;
}

void engine_client_close(engine_client *c)
{
    lq_list ended;

    lq_sqlite_client_close(c->engine, &c->base);
    engine_client_collect(c, &ended);
    while (!lq_sqlite_client_remove(c->engine, &c->base))
        ;
    pthread_cond_destroy(&c->told);
    pthread_mutex_destroy(&c->mutex);
}

int engine_client_put(engine_client *c, const char *queue, size_t count,
                      size_t payload_len, char *id)
{
    lq_enqueue items[MOST] = {{.code = 0}}, *list[MOST];
    lq_op_enqueue op = {.items = list, .count = count};
    lunaq_task t = LUNAQ_TASK_INIT;
    char *payload = calloc(1, payload_len + 1);
    int rc = payload ? LUNAQ_OK : LUNAQ_ENOMEM;
    size_t made = 0;

    t.type = "t";
    t.queue = queue;
    t.payload = payload;
    t.payload_len = payload_len;
    t.durable = c->durable;
    for (; made < count && !rc; made += !rc) {
        rc = lq_enqueue_init(&items[made], &t, lq_now_ms(), NULL);
        list[made] = &items[made];
    }
    if (!rc) {
        lq_op_init(&op.op, LQ_OP_ENQUEUE);
        rc = engine_client_call(c, &op.op);
        lq_op_release(&op.op);
    }
    if (!rc && id)
        snprintf(id, 64, "%.*s", LQ_STR_ARG(items[0].task.id));
    for (size_t i = 0; i < made; i++) {
        rc = rc ? rc : items[i].code;
        lq_enqueue_release(&items[i]);
    }
    free(payload);
    return rc;
}

int engine_client_step(engine_client *c, const char *queue, engine_hands *h,
                       uint32_t free_slots)
{
    lq_outcome outcomes[MOST], *list[MOST];
    lq_step_queue q = {.name = lq_str_c(queue),
                       .want = free_slots,
                       .outcomes = list,
                       .outcome_count = h->count};
    lq_op_step op = {.queues = &q,
                     .queue_count = 1,
                     .free = free_slots,
                     .token = 9,
                     .lease_ms = 30000,
                     .now_ms = lq_now_ms()};

    for (size_t i = 0; i < h->count; i++) {
        outcomes[i] = (lq_outcome){
            .kind = LQ_DONE, .id = lq_str_c(h->ids[i]), .token = 9};
        list[i] = &outcomes[i];
    }
    lq_op_init(&op.op, LQ_OP_STEP);
    int rc = engine_client_call(c, &op.op);
    for (size_t i = 0; i < h->count && !rc; i++)
        rc = outcomes[i].code;
    h->count = op.taken_count;
    for (size_t i = 0; i < op.taken_count; i++)
        snprintf(h->ids[i], sizeof(h->ids[i]), "%.*s",
                 LQ_STR_ARG(op.taken[i].id));
    lq_op_release(&op.op);
    return rc;
}
