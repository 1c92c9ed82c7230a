/* A result that is readable while the handler runs.
 *
 *    a thread of the pool               the worker's thread
 *    POSTED ── lq_loop_post ──────────► SENT: the operation is submitted
 *    NONE ◄──────── written ─────────── done
 *
 * When the runner goes before its handler has returned, nobody waits for the
 * operation any more: the handler is told LUNAQ_ECANCELED.
 */
#include "runtime/callback_parts.h"

static void over(lunaq_run *r, int code)
{
    r->write = LQ_WRITE_NONE;
    r->write_code = code;
    pthread_cond_broadcast(&r->pool->written);
}

static void write_done(lq_op *op)
{
    lunaq_run *r = LQ_OF(op, lunaq_run, write_op.op);
    int code = op->rc;

    lq_op_release(op);
    pthread_mutex_lock(&r->pool->lock);
    if (r->write == LQ_WRITE_SENT)
        over(r, code);
    pthread_mutex_unlock(&r->pool->lock);
}

/* On the worker's thread.  r has not returned: it waits. */
static void write_posted(lq_post *post)
{
    lunaq_run *r = LQ_OF(post, lunaq_run, write_post);
    struct lq_callback_runner *runner;

    pthread_mutex_lock(&r->pool->lock);
    runner = r->runner;
    if (r->write == LQ_WRITE_POSTED) {
        if (runner)
            r->write = LQ_WRITE_SENT;
        else
            over(r, LUNAQ_ECANCELED);
    }
    pthread_mutex_unlock(&r->pool->lock);
    if (!runner)
        return;
    lq_op_init(&r->write_op.op, LQ_OP_RESULT);
    r->write_op.op.done = write_done;
    r->write_op.queue = r->run->task.queue;
    r->write_op.id = r->run->task.id;
    r->write_op.token = r->run->token;
    r->write_op.data = lq_str_n(r->result, r->result_len);
    runner->services.submit(runner->services.ud, &r->write_op.op);
}

/* With the pool's lock held. */
void lq_callback_write_end(lunaq_run *r)
{
    if (r->write == LQ_WRITE_SENT)
        over(r, LUNAQ_ECANCELED);
}

int lunaq_run_write_result(lunaq_run *run, const void *data, size_t len)
{
    lq_callbacks *c = run->pool;
    int code = lunaq_run_set_result(run, data, len);

    if (code || run->fn == lq_callback_tell_archived)
        return code;
    pthread_mutex_lock(&c->lock);
    if (!run->runner) {
        pthread_mutex_unlock(&c->lock);
        return LUNAQ_ECANCELED;
    }
    run->write = LQ_WRITE_POSTED;
    run->write_post.fn = write_posted;
    lq_loop_post(run->runner->services.loop, &run->write_post);
    while (run->write != LQ_WRITE_NONE)
        pthread_cond_wait(&c->written, &c->lock);
    code = run->write_code;
    pthread_mutex_unlock(&c->lock);
    return code;
}
