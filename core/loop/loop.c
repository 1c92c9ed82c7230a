/* The loop itself: running, stopping, what other threads post, ends of turns.
 *
 * libuv's turn is: timers, prepare, wait for I/O, I/O, close callbacks.  An
 * armed lq_turn runs in the prepare step: after everything that was ready and
 * before the wait.
 *
 * pthread's mutex and not libuv's: a race detector sees through the first.
 */
#include "loop/loop_uv.h"

#include "base/alloc.h"
#include "base/clock.h"
#include <assert.h>
#include <signal.h>
#include <time.h>

struct lq_turn {
    lq_loop *loop;
    void (*fn)(void *ud);
    void *ud;
    lq_list node;  /* in loop->turns while armed, else alone */
    uint64_t pass; /* the last one that ran it */
};

int lq_fail_uv(lunaq_error *err, int status, const char *what)
{
    if (status == UV_ENOMEM)
        return lq_fail_nomem(err);
    return lq_fail(err, LUNAQ_EIO, "%s: %s", what, uv_strerror(status));
}

/* Takes what is posted now; what that posts waits for the next turn, so that
 * a post that posts itself starves nobody.  False when nothing was there. */
static bool run_posted(lq_loop *loop, bool *stop)
{
    lq_list mine, *node;
    bool any;

    lq_list_init(&mine);
    pthread_mutex_lock(&loop->lock);
    while ((node = lq_list_shift(&loop->posted)))
        lq_list_append(&mine, node);
    *stop = loop->stop;
    loop->stop = false;
    pthread_mutex_unlock(&loop->lock);

    any = !lq_list_empty(&mine);
    while ((node = lq_list_shift(&mine))) {
        lq_post *post = LQ_OF(node, lq_post, node);
        post->fn(post);
    }
    return any;
}

static void woken(uv_async_t *wake)
{
    lq_loop *loop = wake->data;
    bool stop;

    run_posted(loop, &stop);
    if (stop)
        uv_stop(&loop->uv);
}

static void stay_awake(uv_idle_t *idle)
{
    (void)idle; /* that it is started is all it does */
}

/* Runs every armed turn once.  One that is armed by another still runs now;
 * one that armed itself waits, and the loop does not sleep before it. */
static void run_turns(uv_prepare_t *prepare)
{
    lq_loop *loop = prepare->data;
    lq_list again, *node;

    lq_list_init(&again);
    loop->pass++;
    while ((node = lq_list_shift(&loop->turns))) {
        lq_turn *turn = LQ_OF(node, lq_turn, node);
        if (turn->pass == loop->pass) {
            lq_list_append(&again, node);
            continue;
        }
        turn->pass = loop->pass;
        turn->fn(turn->ud);
    }
    while ((node = lq_list_shift(&again)))
        lq_list_append(&loop->turns, node);

    if (loop->awake_ns && lq_mono_ns() >= loop->awake_ns)
        loop->awake_ns = 0;
    if (!lq_list_empty(&loop->turns) || loop->awake_ns)
        uv_idle_start(&loop->no_sleep, stay_awake);
    else
        uv_idle_stop(&loop->no_sleep);
}

int lq_loop_new(lq_loop **out, lunaq_error *err)
{
    lq_loop *loop = lq_calloc(1, sizeof(*loop));
    int rc;

    *out = NULL;
    if (!loop)
        return lq_fail_nomem(err);
    loop->read_buf = lq_malloc(LQ_READ_SIZE);
    if (!loop->read_buf) {
        rc = lq_fail_nomem(err);
        goto fail_buf;
    }
    rc = uv_loop_init(&loop->uv);
    if (rc) {
        rc = lq_fail_uv(err, rc, "event loop");
        goto fail_loop;
    }
    rc = uv_async_init(&loop->uv, &loop->wake, woken);
    if (rc) {
        rc = lq_fail_uv(err, rc, "event loop: wake-up");
        goto fail_async;
    }
    rc = pthread_mutex_init(&loop->lock, NULL);
    assert(rc == 0);
    lq_list_init(&loop->turns);
    lq_list_init(&loop->posted);
    uv_prepare_init(&loop->uv, &loop->turn_end); /* these cannot fail */
    uv_idle_init(&loop->uv, &loop->no_sleep);
    uv_prepare_start(&loop->turn_end, run_turns);
    loop->wake.data = loop;
    loop->turn_end.data = loop;
    *out = loop;
    return LUNAQ_OK;

fail_async:
    uv_loop_close(&loop->uv);
fail_loop:
    lq_free(loop->read_buf);
fail_buf:
    lq_free(loop);
    return rc;
}

/* libuv writes with write(2), so a peer that is gone would raise SIGPIPE.  The
 * process' setting is not ours to change; this thread's mask is, while it is
 * in here. */
void lq_loop_run(lq_loop *loop)
{
    sigset_t pipe_only, before;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    uv_update_time(&loop->uv);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
#ifndef __APPLE__ /* its sockets raise no signal */
    if (!sigismember(&before, SIGPIPE)) {
        const struct timespec no_time = {0};
        while (sigtimedwait(&pipe_only, NULL, &no_time) > 0)
            ; /* what a write raised meanwhile */
    }
#endif
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The wake-up is sent under the lock: once the loop's thread has the lock it
 * may free the loop, and nobody is still inside uv_async_send(). */
void lq_loop_stop(lq_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->stop = true;
    uv_async_send(&loop->wake);
    pthread_mutex_unlock(&loop->lock);
}

void lq_loop_post(lq_loop *loop, lq_post *post)
{
    pthread_mutex_lock(&loop->lock);
    if (lq_list_empty(&loop->posted))
        uv_async_send(&loop->wake);
    lq_list_append(&loop->posted, &post->node);
    pthread_mutex_unlock(&loop->lock);
}

/* Running a loop for something that was not closed would last for ever. */
static void assert_closed(uv_handle_t *handle, void *ud)
{
    const lq_loop *loop = ud;

    (void)loop;
    assert(uv_is_closing(handle) || !uv_is_active(handle) ||
           !uv_has_ref(handle) ||
           handle == (const uv_handle_t *)&loop->no_sleep);
    (void)handle;
}

void lq_loop_free(lq_loop *loop)
{
    bool stop;
    int rc;

    if (!loop)
        return;
    /* First what others closed (and perhaps posts when it is gone) … */
    uv_unref((uv_handle_t *)&loop->wake);
    uv_unref((uv_handle_t *)&loop->turn_end);
    do {
        run_posted(loop, &stop);
        uv_walk(&loop->uv, assert_closed, loop);
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    } while (run_posted(loop, &stop) || uv_loop_alive(&loop->uv));
    /* … then what is ours. */
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->turn_end, NULL);
    uv_close((uv_handle_t *)&loop->no_sleep, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    rc = uv_loop_close(&loop->uv);
    assert(rc == 0); /* something was not closed */
    (void)rc;
    pthread_mutex_destroy(&loop->lock);
    lq_free(loop->read_buf);
    lq_free(loop);
}

int64_t lq_loop_now_ms(lq_loop *loop)
{
    return (int64_t)uv_now(&loop->uv);
}

void lq_loop_awake_until(lq_loop *loop, int64_t mono_ns)
{
    loop->awake_ns = mono_ns;
}

int lq_turn_new(lq_turn **out, lq_loop *loop, void (*fn)(void *ud), void *ud,
                lunaq_error *err)
{
    lq_turn *turn = lq_calloc(1, sizeof(*turn));

    *out = turn;
    if (!turn)
        return lq_fail_nomem(err);
    turn->loop = loop;
    turn->fn = fn;
    turn->ud = ud;
    lq_list_init(&turn->node);
    return LUNAQ_OK;
}

void lq_turn_arm(lq_turn *turn)
{
    if (lq_list_empty(&turn->node))
        lq_list_append(&turn->loop->turns, &turn->node);
}

void lq_turn_close(lq_turn *turn)
{
    if (!turn)
        return;
    lq_list_remove(&turn->node);
    lq_free(turn);
}
