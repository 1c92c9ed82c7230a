#include "sqlite/caller.h"

#include "base/clock.h"
#include "sqlite/apply.h"
#include "sqlite/wait.h"
#include "sqlite/wake.h"

struct caller {
    lq_caller base;
    lq_sqlite *q; /* NULL until the first call */
    lq_sqlite_options options;
    char *path;
    lq_sqlite_ringer ringer;
};

/* Carries op out in a transaction of its own. */
static int transact(struct caller *c, lq_op *op, int64_t deadline_ns,
                    lunaq_error *why)
{
    enum lq_sqlite_mode mode =
        lq_sqlite_reads(op) ? LQ_SQLITE_READ : LQ_SQLITE_WRITE;
    int rc = lq_sqlite_begin(c->q, mode, deadline_ns, why);
    if (rc)
        return rc;
    /* It is alone: what it leaves is rolled back with all. */
    (void)lq_sqlite_apply_quick(c->q, op, lq_now_ms());
    if (op->rc && mode == LQ_SQLITE_WRITE) {
        lq_sqlite_rollback(c->q);
        return LUNAQ_OK;
    }
    return lq_sqlite_commit(c->q, why);
}

/* Wakes who waits in other processes, or elsewhere in this one. */
static void ring(struct caller *c)
{
    const lq_sqlite_wakes *wakes = lq_sqlite_wakes_of(c->q);
    lq_sqlite_ringer *r = &c->ringer;

    r->file = lq_sqlite_path(c->q);
    lq_sqlite_ring(r, LQ_SQLITE_BELL_TASK, lq_buf_str(&wakes->queues), NULL);
    lq_sqlite_ring(r, LQ_SQLITE_BELL_CANCEL, lq_buf_str(&wakes->cancels), NULL);
}

static int call(lq_caller *caller, lq_op *op, int64_t timeout_ms,
                lunaq_error *err)
{
    struct caller *c = (struct caller *)caller;
    int64_t deadline_ns = lq_mono_ns() + timeout_ms * 1000000;
    lunaq_error why = LUNAQ_ERROR_INIT;
    int rc = LUNAQ_OK;

    lq_op_init(op, op->kind);
    if (!c->q)
        rc = lq_sqlite_open(&c->q, c->path, &c->options, deadline_ns, &why);
    if (!rc && (op->kind == LQ_OP_WAIT || op->kind == LQ_OP_LISTEN)) {
        lq_sqlite_wait(c->q, op, deadline_ns);
    } else if (!rc) {
        rc = transact(c, op, deadline_ns, &why);
        if (!rc || rc == LUNAQ_EUNKNOWN) /* then it is in the file, too */
            ring(c);
    }
    if (rc)
        lq_sqlite_undone(op, &why);
    if (op->rc && err)
        *err = op->err;
    return op->rc;
}

static void close_caller(lq_caller *caller)
{
    struct caller *c = (struct caller *)caller;
    lq_sqlite_close(c->q);
    lq_sqlite_ringer_close(&c->ringer);
    lq_free(c->path);
    lq_free(c);
}

int lq_sqlite_caller_open(lq_caller **out, const char *path,
                          const lq_sqlite_options *options, lunaq_error *err)
{
    static const lq_caller_ops ops = {call, close_caller};
    struct caller *c = lq_calloc(1, sizeof(*c));
    *out = NULL;
    if (!c || !(c->path = lq_strdup(path))) {
        lq_free(c);
        return lq_fail_nomem(err);
    }
    c->base.ops = &ops;
    if (options)
        c->options = *options;
    *out = &c->base;
    return LUNAQ_OK;
}
