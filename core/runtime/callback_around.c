/* What is around C handlers: middleware, and the server's hooks. */
#include "runtime/callback_parts.h"

#include "base/alloc.h"
#include "base/sized.h"

#include <stdio.h>

/* ---- middleware ---------------------------------------------------------- */

int lq_callbacks_use(lq_callbacks *c, lunaq_handler_fn *fn, void *userdata,
                     lunaq_error *err)
{
    lq_callback_around *a = &c->around;
    if (!fn)
        return lq_fail(err, LUNAQ_EINVAL, "the middleware is NULL");
    void *grown = lq_realloc(a->steps, (a->count + 1) * sizeof(*a->steps));
    if (!grown)
        return lq_fail_nomem(err);
    a->steps = grown;
    a->steps[a->count].fn = fn;
    a->steps[a->count++].userdata = userdata;
    return LUNAQ_OK;
}

bool lq_callbacks_around(const lq_callbacks *c)
{
    return c->around.count > 0;
}

static int not_found(lunaq_run *r)
{
    char text[LUNAQ_NAME_MAX + 80];
    snprintf(text, sizeof(text), "handler not found for task \"%s\"", r->type);
    int code = lunaq_run_fail(r, text);
    r->error_kind = "not_found";
    return code;
}

int lunaq_run_next(lunaq_run *run)
{
    const lq_callback_around *a = &run->pool->around;
    size_t i = run->depth;
    int code;

    if (i > a->count || run->over)
        return LUNAQ_ERECURSE; /* nothing is inside of a handler, or a hook */
    run->depth = i + 1;
    if (i < a->count)
        code = a->steps[i].fn(run, a->steps[i].userdata);
    else
        code = run->fn ? run->fn(run, run->userdata) : not_found(run);
    run->depth = i;
    return code;
}

int lq_callback_call(lunaq_run *r)
{
    if (r->fn == lq_callback_tell_archived)
        return r->fn(r, r->userdata);
    if (r->batch)
        return r->pool->aggregate(r->batch, r->pool->aggregate_userdata);
    return lunaq_run_next(r);
}

/* ---- hooks --------------------------------------------------------------- */

int lq_callbacks_hook(lq_callbacks *c, const lunaq_server_hooks *hooks,
                      lunaq_error *err)
{
    lunaq_server_hooks *to = &c->around.hooks;
    int rc = lq_sized_copy(to, sizeof(*to), hooks, "lunaq_server_hooks", err);
    if (!rc && (to->health_interval_ms < 0 ||
                to->health_interval_ms > INT64_MAX / 2000))
        rc = lq_fail(err, LUNAQ_ECONFIG,
                     "health_interval_ms is %lld: use 0 or more",
                     (long long)to->health_interval_ms);
    return rc;
}

const lunaq_server_hooks *lq_callbacks_hooks(const lq_callbacks *c)
{
    return &c->around.hooks;
}

/* Whether somebody shall hear of it.  What is ended because the lease is lost
 * or the server stops runs again, here or elsewhere. */
static bool went_wrong(const lunaq_run *r)
{
    int why = atomic_load(&r->canceled);
    switch (r->verdict.kind) {
    case LQ_FAILED:
    case LQ_RETRY_AFTER:
    case LQ_SKIPPED:
        return true;
    case LQ_ENDED:
        return why == LQ_CANCEL_DEADLINE || why == LQ_CANCEL_REQUEST;
    default:
        return false;
    }
}

void lq_callback_judge(lunaq_run *r)
{
    const lunaq_server_hooks *h = &r->pool->around.hooks;
    lq_verdict *v = &r->verdict;

    if (r->fn == lq_callback_tell_archived || r->batch || !went_wrong(r))
        return;
    /* Every message of a verdict is NUL-terminated. */
    const char *error = v->message.p ? v->message.p : "";
    if (h->on_error)
        h->on_error(r, error, h->userdata);
    if (v->kind == LQ_SKIPPED)
        return;
    if (h->is_failure)
        v->not_failure = !h->is_failure(r, error, h->userdata);
    if (h->retry_delay && v->kind != LQ_RETRY_AFTER) {
        int64_t ms = h->retry_delay(r, error, h->userdata);
        v->delay_ms = ms < 0 ? -1 : ms;
    }
}

int lq_callback_tell_archived(lunaq_run *run, void *userdata)
{
    const lunaq_server_hooks *h = &run->pool->around.hooks;
    (void)userdata;
    if (h->on_archive)
        h->on_archive(run, run->error, h->userdata);
    return LUNAQ_OK;
}

void *lunaq_run_context(const lunaq_run *run)
{
    return run->pool->around.hooks.context;
}
