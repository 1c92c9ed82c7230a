/* The worker thread's life, and its turns. */
#include "runtime/worker.h"

#include "base/cpus.h"
#include "runtime/control.h"
#include "runtime/parked.h"
#include "runtime/tokens.h"
#include "runtime/worker_caps.h"
#include "runtime/worker_command.h"
#include "runtime/worker_slots.h"
#include "runtime/worker_step.h"

/* ---- draining ------------------------------------------------------------ */

static void note_drained(lq_worker *w)
{
    bool drained = !w->taking && lq_worker_in_hand(w) == 0 && !w->stepping &&
                   lq_internal_idle(&w->internal) && !lq_tokens_unsure(w);
    for (size_t i = 0; i < w->rt->o.queue_count; i++)
        drained = drained && lq_waiter_is_closed(&w->queues[i].waiter);
    pthread_mutex_lock(&w->mutex);
    if (drained != w->drained) {
        w->drained = drained;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
}

static void end_orphans(lq_worker *w)
{
    lq_list *node;
    while ((node = lq_list_shift(&w->orphans)) != NULL) {
        lq_op *op = LQ_OF(node, lq_op, node);
        op->rc = lq_fail(&op->err, LUNAQ_ECANCELED, "the server has stopped");
        op->done(op);
    }
}

static void turn(void *ud)
{
    lq_worker *w = ud;
    end_orphans(w);
    if (!w->stepping)
        lq_worker_caps_return(w);
    lq_parked_start(w, lq_worker_step_promised(w));
    lq_worker_step(w);
    if (!w->taking)
        note_drained(w);
}

/* ---- services to runners ------------------------------------------------- */

static void service_submit(void *ud, lq_op *op)
{
    lq_worker *w = ud;
    if (w->link) {
        lq_link_submit(w->link, op);
        return;
    }
    lq_list_append(&w->orphans, &op->node);
    lq_turn_arm(w->turn);
}

static void service_busy(void *ud)
{
    lq_control_tick(((lq_worker *)ud)->rt);
}

/* ---- the thread ---------------------------------------------------------- */

static int make_parts(lq_worker *w, lunaq_error *err)
{
    lq_worker_services services = {
        .loop = w->loop,
        .log = w->rt->o.log,
        .submit = service_submit,
        .busy = service_busy,
        .ud = w,
        .worker = w->index,
        .worker_count = w->rt->o.worker_threads,
    };
    int rc = lq_turn_new(&w->turn, w->loop, turn, w, err);
    if (!rc)
        rc = lq_worker_step_init(w, err);
    if (!rc)
        rc = lq_timer_new(&w->reconcile_timer, w->loop, lq_tokens_reconcile, w,
                          err);
    for (size_t i = 0; !rc && i < w->rt->o.runner_count; i++)
        rc = w->rt->o.runners[i].fn(&w->runners[i], &services,
                                    w->rt->o.runners[i].ud, err);
    return rc;
}

static void free_parts(lq_worker *w)
{
    for (size_t i = 0; i < w->rt->o.runner_count; i++)
        if (w->runners[i])
            w->runners[i]->ops->free(w->runners[i]);
    lq_internal_close(&w->internal);
    w->free_count = 0; /* what others post now finds nothing to do */
    lq_op_release(&w->step.op);
    lq_op_release(&w->reconcile_op.op);
    lq_free(w->reconcile_held);
    lq_turn_close(w->turn);
    lq_worker_step_close(w);
    lq_timer_close(w->reconcile_timer);
}

static void *thread_main(void *arg)
{
    lq_worker *w = arg;
    int rc = make_parts(w, &w->start_error);

    pthread_mutex_lock(&w->mutex);
    w->started = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    if (!rc)
        lq_loop_run(w->loop);
    free_parts(w);
    return NULL;
}

void lq_worker_free(lq_worker *w)
{
    /* Until now the control thread could read what is held. */
    lq_worker_slots_release(w);
    lq_loop_free(w->loop); /* what was posted since looks through the slots */
    lq_free(w->slots);
    lq_free(w->spares);
    lq_held_release(&w->held);
    lq_internal_lane_release(&w->internal);
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->changed);
    lq_free(w);
}

static void init_worker(lq_worker *w, lq_runtime *rt, size_t index)
{
    pthread_condattr_t attr;

    w->rt = rt;
    w->index = index;
    w->spin.allowed = rt->o.worker_threads < lq_cpus();
    w->command_post.fn = lq_worker_commanded;
    w->kick_post.fn = lq_worker_kicked;
    lq_list_init(&w->sent);
    lq_list_init(&w->orphans);
    lq_held_init(&w->held);
    lq_internal_lane_init(&w->internal, w);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attr);
    pthread_condattr_destroy(&attr);
    for (size_t i = 0; i < rt->o.queue_count; i++) {
        lq_worker_queue *q = &w->queues[i];
        lq_list_init(&q->ready);
        lq_list_init(&q->age);
        lq_worker_step_waiter(w, i);
    }
    lq_worker_slots_init(w);
}

int lq_worker_start(lq_worker **out, lq_runtime *rt, size_t index, size_t slots,
                    lunaq_error *err)
{
    lq_worker *w = lq_calloc(1, sizeof(*w));
    *out = NULL;
    if (!w)
        return lq_fail_nomem(err);
    w->slots = lq_calloc(slots, sizeof(*w->slots));
    if (!w->slots) {
        lq_free(w);
        return lq_fail_nomem(err);
    }
    w->slot_count = slots;
    int rc = lq_loop_new(&w->loop, err);
    if (rc) {
        lq_free(w->slots);
        lq_free(w);
        return rc;
    }
    init_worker(w, rt, index);
    if (pthread_create(&w->thread, NULL, thread_main, w)) {
        lq_worker_free(w);
        return lq_fail(err, LUNAQ_ENOMEM, "cannot start a worker thread");
    }
    pthread_mutex_lock(&w->mutex);
    while (!w->started)
        pthread_cond_wait(&w->changed, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
    if (w->start_error.code) {
        pthread_join(w->thread, NULL);
        if (err)
            *err = w->start_error;
        rc = w->start_error.code;
        lq_worker_free(w);
        return rc;
    }
    *out = w;
    return LUNAQ_OK;
}

bool lq_worker_wait_drained(lq_worker *w, int64_t until_mono_ms)
{
    struct timespec until = {until_mono_ms / 1000,
                             until_mono_ms % 1000 * 1000000};
    int rc = 0;

    pthread_mutex_lock(&w->mutex);
    while (!w->drained && rc == 0)
        rc = pthread_cond_timedwait(&w->changed, &w->mutex, &until);
    bool drained = w->drained;
    pthread_mutex_unlock(&w->mutex);
    return drained;
}

size_t lq_worker_stop(lq_worker *w)
{
    lq_worker_close(w);
    pthread_join(w->thread, NULL);
    return lq_held_count(&w->held) + w->unsure;
}
