/* Timers that fire once. */
#include "loop/loop_uv.h"

#include "base/alloc.h"

struct lq_timer {
    uv_timer_t uv;
    lq_loop *loop;
    void (*fn)(void *ud);
    void *ud;
};

int lq_timer_new(lq_timer **out, lq_loop *loop, void (*fn)(void *ud), void *ud,
                 lunaq_error *err)
{
    lq_timer *timer = lq_calloc(1, sizeof(*timer));

    *out = timer;
    if (!timer)
        return lq_fail_nomem(err);
    uv_timer_init(&loop->uv, &timer->uv); /* cannot fail */
    timer->uv.data = timer;
    timer->loop = loop;
    timer->fn = fn;
    timer->ud = ud;
    return LUNAQ_OK;
}

static void fired(uv_timer_t *uv)
{
    lq_timer *timer = uv->data;
    lq_loop *loop = timer->loop; /* the timer may be closed in its function */

    loop->in_timers = true;
    timer->fn(timer->ud);
    loop->in_timers = false;
}

/* libuv counts from the beginning of the turn; a function that has been
 * running for a while means from now.  Its clock is left alone: moved while
 * timers fire, it would let timers that start each other keep I/O out.  For
 * the same reason a zero started by a timer waits a millisecond. */
void lq_timer_start(lq_timer *timer, int64_t ms)
{
    uint64_t now = uv_hrtime() / 1000000;
    uint64_t turn = uv_now(&timer->loop->uv);
    uint64_t wait = ms > 0 ? (uint64_t)ms : 0;

    if (wait && now > turn)
        wait += now - turn;
    if (!wait && timer->loop->in_timers)
        wait = 1;
    uv_timer_start(&timer->uv, fired, wait, 0);
}

void lq_timer_stop(lq_timer *timer)
{
    uv_timer_stop(&timer->uv);
}

bool lq_timer_active(const lq_timer *timer)
{
    return uv_is_active((const uv_handle_t *)&timer->uv);
}

static void gone(uv_handle_t *handle)
{
    lq_free(handle->data);
}

void lq_timer_close(lq_timer *timer)
{
    if (timer)
        uv_close((uv_handle_t *)&timer->uv, gone);
}
