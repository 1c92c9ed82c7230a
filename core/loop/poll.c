/* Watching a descriptor that belongs to somebody else, such as libpq's. */
#include "loop/loop_uv.h"

#include "base/alloc.h"

struct lq_poll {
    uv_poll_t uv;
    void (*fn)(void *ud, int events);
    void *ud;
};

int lq_poll_new(lq_poll **out, lq_loop *loop, int fd,
                void (*fn)(void *ud, int events), void *ud, lunaq_error *err)
{
    lq_poll *poll = lq_calloc(1, sizeof(*poll));
    int rc;

    *out = NULL;
    if (!poll)
        return lq_fail_nomem(err);
    rc = uv_poll_init(&loop->uv, &poll->uv, fd);
    if (rc) {
        lq_free(poll); /* libuv has not taken the handle */
        return lq_fail_uv(err, rc, "watching a descriptor");
    }
    poll->uv.data = poll;
    poll->fn = fn;
    poll->ud = ud;
    *out = poll;
    return LUNAQ_OK;
}

/* A refused or reset connection comes as an error without events, and libuv
 * has stopped watching: let the owner call its library once and find out. */
static void ready(uv_poll_t *uv, int status, int events)
{
    lq_poll *poll = uv->data;
    int seen = 0;

    if (status < 0)
        seen = LQ_POLL_READ | LQ_POLL_WRITE;
    if (events & UV_READABLE)
        seen |= LQ_POLL_READ;
    if (events & UV_WRITABLE)
        seen |= LQ_POLL_WRITE;
    if (seen)
        poll->fn(poll->ud, seen);
}

int lq_poll_set(lq_poll *poll, int events)
{
    int want = 0, rc;

    if (events & LQ_POLL_READ)
        want |= UV_READABLE;
    if (events & LQ_POLL_WRITE)
        want |= UV_WRITABLE;
    if (want)
        rc = uv_poll_start(&poll->uv, want, ready);
    else
        rc = uv_poll_stop(&poll->uv);
    return rc ? LUNAQ_EIO : LUNAQ_OK;
}

static void gone(uv_handle_t *handle)
{
    lq_free(handle->data);
}

void lq_poll_close(lq_poll *poll)
{
    if (poll)
        uv_close((uv_handle_t *)&poll->uv, gone);
}
