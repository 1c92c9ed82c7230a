/* See the header. */
#include "callback_world.h"

#include <stdio.h>

void callback_ended(lq_run *run, const lq_verdict *v)
{
    struct ended *e = LQ_OF(run, struct ended, run);

    e->count++;
    e->kind = v->kind;
    e->delay_ms = v->delay_ms;
    e->message_len = v->message.len;
    snprintf(e->message, sizeof(e->message), "%.*s", LQ_STR_ARG(v->message));
    e->result_len = v->result.len;
    if (v->result.len)
        memcpy(e->result, v->result.p, v->result.len < 64 ? v->result.len : 64);
    e->on_loop = pthread_equal(e->world->thread, pthread_self());
    if (--e->world->left == 0)
        lq_loop_stop(e->world->w.loop);
}

int callback_setup(void **state)
{
    static struct world x;
    lq_worker_services services = {0};

    memset(&x, 0, sizeof(x));
    loop_world_init(&x.w);
    x.thread = pthread_self();
    assert_int_equal(lq_callbacks_new(&x.pool, THREADS, NULL, NULL), 0);
    services.loop = x.w.loop;
    assert_int_equal(lq_callback_runner_new(&x.runner, &services, x.pool, NULL),
                     0);
    *state = &x;
    return 0;
}

int callback_teardown(void **state)
{
    struct world *x = *state;

    x->runner->ops->free(x->runner);
    lq_callbacks_free(x->pool);
    loop_world_release(&x->w);
    return 0;
}

void callback_add(struct world *x, const char *type, lunaq_handler_fn *fn,
                  void *userdata)
{
    assert_int_equal(lq_callbacks_add(x->pool, type, NULL, fn, userdata, NULL),
                     0);
}

void callback_begin(struct world *x, struct ended *e, const char *type)
{
    memset(e, 0, sizeof(*e));
    e->world = x;
    e->run.task = (lq_task){.type = lq_str_c(type),
                            .id = LQ_STR("0001"),
                            .queue = LQ_STR("default"),
                            .payload = LQ_STR("{\"a\":1}"),
                            .max_retry = 3,
                            .retried = 1};
    e->run.end = callback_ended;
    e->run.max_retry = 3;
    e->run.deadline_ms = 12345;
    x->left++;
    x->runner->ops->start(x->runner, &e->run);
}

void callback_run_to_end(struct world *x, struct ended *e, const char *type)
{
    callback_begin(x, e, type);
    loop_world_run(&x->w);
    assert_int_equal(e->count, 1);
    assert_true(e->on_loop);
}
