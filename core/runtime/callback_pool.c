/* The threads that run C handlers, and a worker's runner over them.
 *
 *    worker's thread                         a thread of the pool
 *    start: copy, queue ───────────────────► take, call the handler
 *    ended: lq_run_end, free ◄── lq_loop_post ── its verdict
 *
 * Threads take from one queue in order.
 */
#include "runtime/callback_parts.h"

#include "base/alloc.h"
#include "runtime/callback_group.h"

#include <signal.h>
#include <stdio.h>

/* ---- the threads --------------------------------------------------------- */

/* r goes back to its worker, unless a stop did not wait for it: then neither
 * worker nor loop need exist any more.  Posted under the lock, so that they do
 * not go meanwhile. */
static void give_back(lq_callbacks *c, lunaq_run *r)
{
    pthread_mutex_lock(&c->lock);
    lq_list_remove(&r->node);
    bool wanted = r->runner != NULL;
    if (wanted)
        lq_loop_post(r->runner->services.loop, &r->post);
    pthread_mutex_unlock(&c->lock);
    if (!wanted)
        lq_callback_run_free(r);
}

static void run_one(lq_callbacks *c, lunaq_run *r)
{
    int code = LUNAQ_ECANCELED;

    if (!atomic_load(&r->canceled))
        code = lq_callback_call(r);
    lq_callback_run_returned(r, code);
    lq_callback_judge(r);
    give_back(c, r);
}

static void *thread_main(void *ud)
{
    lq_callbacks *c = ud;

    pthread_mutex_lock(&c->lock);
    for (;;) {
        lq_list *node = lq_list_shift(&c->queue);

        if (node) {
            lunaq_run *r = LQ_OF(node, lunaq_run, node);
            r->queued = false;
            c->queued--;
            lq_list_append(&c->running, &r->node);
            pthread_mutex_unlock(&c->lock);
            run_one(c, r);
            pthread_mutex_lock(&c->lock);
            continue;
        }
        if (c->ending)
            break;
        c->idle++;
        pthread_cond_wait(&c->work, &c->lock);
        c->idle--;
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* The program's signals are for its own threads; only what a thread does to
 * itself stays.  Called with the lock held. */
static int start_thread(lq_callbacks *c)
{
    static const int own[] = {SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                              SIGABRT, SIGTRAP, SIGSYS};
    sigset_t blocked, before;
    int rc;

    sigfillset(&blocked);
    for (size_t i = 0; i < LQ_COUNT(own); i++)
        sigdelset(&blocked, own[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    rc = pthread_create(&c->threads[c->started], NULL, thread_main, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        c->started++;
    return rc;
}

bool lq_callback_queue(lq_callbacks *c, lunaq_run *r)
{
    int rc = 0;
    bool ok;

    pthread_mutex_lock(&c->lock);
    if (c->queued >= c->idle && c->started < c->max)
        rc = start_thread(c);
    ok = c->started > 0;
    if (ok) {
        lq_list_append(&c->queue, &r->node);
        r->queued = true;
        c->queued++;
        pthread_cond_signal(&c->work);
    }
    pthread_mutex_unlock(&c->lock);
    if (rc)
        LQ_LOG(c->log, WARN, "cannot start a thread for C handlers",
               lq_fi("errno", rc));
    return ok;
}

bool lq_callback_unqueue(lq_callbacks *c, lunaq_run *r)
{
    bool was;

    pthread_mutex_lock(&c->lock);
    was = r->queued;
    if (was) {
        lq_list_remove(&r->node);
        r->queued = false;
        c->queued--;
    }
    pthread_mutex_unlock(&c->lock);
    return was;
}

bool lq_callbacks_inside(lq_callbacks *c)
{
    bool inside = false;

    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->started; i++)
        inside = inside || pthread_equal(c->threads[i], pthread_self());
    pthread_mutex_unlock(&c->lock);
    return inside;
}

/* ---- the runner of one worker -------------------------------------------- */

static bool runner_handles(lq_runner *runner, lq_str type)
{
    return lq_callbacks_handles(
        LQ_OF(runner, struct lq_callback_runner, runner)->pool, type);
}

/* Middleware is around them, too. */
static bool runner_wraps_unknown(lq_runner *runner)
{
    return LQ_OF(runner, struct lq_callback_runner, runner)
               ->pool->around.count > 0;
}

static bool runner_hooks(lq_runner *runner, enum lq_run_kind kind, lq_str type)
{
    const lq_callbacks *c =
        LQ_OF(runner, struct lq_callback_runner, runner)->pool;
    if (kind == LQ_RUN_AGGREGATE)
        return c->aggregate != NULL;
    return kind == LQ_RUN_ARCHIVED && c->around.hooks.on_archive &&
           lq_callbacks_handles(c, type);
}

static void run_fail(lq_run *run, const char *why)
{
    const lq_verdict v = {.kind = LQ_FAILED,
                          .message = lq_str_c(why),
                          .error_kind = "error",
                          .delay_ms = -1};

    lq_run_end(run, &v);
}

/* Back on the worker's thread. */
static void run_ended(lq_post *post)
{
    lunaq_run *r = LQ_OF(post, lunaq_run, post);

    lq_list_remove(&r->of_runner);
    if (!r->runner) { /* it went meanwhile, and with it what it ran for */
        lq_callback_run_free(r);
        return;
    }
    r->run->runner_data = NULL;
    if (r->batch && r->verdict.kind == LQ_SUCCEEDED)
        lq_callback_group_answer(r->batch, r->run->out);
    lq_run_end(r->run, &r->verdict);
    lq_callback_run_free(r);
}

static void runner_start(lq_runner *runner, lq_run *run)
{
    struct lq_callback_runner *self =
        LQ_OF(runner, struct lq_callback_runner, runner);
    bool task = run->kind == LQ_RUN_TASK;
    bool group = run->kind == LQ_RUN_AGGREGATE;
    const lq_callback_entry *e =
        group ? NULL : lq_callback_find(self->pool, run->task.type);
    lunaq_run *r;

    run->runner_data = NULL;
    if (!e && !group && !(task && self->pool->around.count)) {
        run_fail(run, "no handler of this type");
        return;
    }
    r = lq_callback_run_new(run);
    if (r && group && !(r->batch = lq_callback_group_new(r, run->in))) {
        lq_callback_run_free(r);
        r = NULL;
    }
    if (!r) {
        run_fail(run, lunaq_strerror(LUNAQ_ENOMEM));
        return;
    }
    r->runner = self;
    r->pool = self->pool;
    r->fn = task    ? (e ? e->fn : NULL)
            : group ? NULL
                    : lq_callback_tell_archived;
    r->userdata = e ? e->userdata : NULL;
    r->post.fn = run_ended;
    run->runner_data = r;
    lq_list_append(&self->runs, &r->of_runner);
    if (!lq_callback_queue(self->pool, r)) {
        run->runner_data = NULL;
        lq_list_remove(&r->of_runner);
        lq_callback_run_free(r);
        run_fail(run, "no thread for C handlers can be started");
    }
}

static void runner_cancel(lq_runner *runner, lq_run *run, enum lq_cancel why)
{
    struct lq_callback_runner *self =
        LQ_OF(runner, struct lq_callback_runner, runner);
    lunaq_run *r = run->runner_data;

    int none = LQ_CANCEL_NONE;
    if (!r)
        return;
    if (!atomic_compare_exchange_strong(&r->canceled, &none, (int)why) &&
        why == LQ_CANCEL_LEASE)
        atomic_store(&r->canceled, (int)why); /* outweighs all else */
    if (!lq_callback_unqueue(self->pool, r))
        return;
    lq_callback_run_returned(r, LUNAQ_ECANCELED);
    run_ended(&r->post);
}

/* Handlers that did not return in time are left alone with their run; what is
 * posted by now finds nobody. */
static void runner_free(lq_runner *runner)
{
    struct lq_callback_runner *self =
        LQ_OF(runner, struct lq_callback_runner, runner);

    pthread_mutex_lock(&self->pool->lock);
    LQ_LIST_EACH (&self->runs, node) {
        lunaq_run *r = LQ_OF(node, lunaq_run, of_runner);
        lq_list_remove(&r->of_runner);
        r->runner = NULL;
        lq_callback_write_end(r);
    }
    pthread_mutex_unlock(&self->pool->lock);
    lq_free(self);
}

int lq_callback_runner_new(lq_runner **out, const lq_worker_services *services,
                           void *ud, lunaq_error *err)
{
    static const lq_runner_ops ops = {
        .handles = runner_handles,
        .wraps_unknown = runner_wraps_unknown,
        .hooks = runner_hooks,
        .start = runner_start,
        .cancel = runner_cancel,
        .free = runner_free,
    };
    struct lq_callback_runner *self = lq_calloc(1, sizeof(*self));

    *out = NULL;
    if (!self)
        return lq_fail_nomem(err);
    self->runner.ops = &ops;
    lq_list_init(&self->runs);
    self->pool = ud;
    self->services = *services;
    *out = &self->runner;
    return LUNAQ_OK;
}
