#include "sqlite/caller.h"

#include "base/clock.h"
#include "sqlite/apply.h"
#include "sqlite/statement.h"

#include <time.h>

struct caller {
    lq_caller base;
    lq_sqlite *q; /* NULL until the first call */
    lq_sqlite_options options;
    char *path;
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
    lq_sqlite_apply(c->q, op, lq_now_ms());
    if (op->rc && mode == LQ_SQLITE_WRITE) {
        lq_sqlite_rollback(c->q);
        return LUNAQ_OK;
    }
    return lq_sqlite_commit(c->q, why);
}

static void pause_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

/* Sleeps until another connection has committed, or until the end. */
static int wait_for_change(struct caller *c, int64_t *version,
                           int64_t deadline_ns, lunaq_error *why)
{
    int64_t ms = 1;
    for (;;) {
        int64_t now;
        int rc = lq_sqlite_data_version(c->q, &now, why);
        if (rc || now != *version) {
            *version = now;
            return rc;
        }
        int64_t left_ms = (deadline_ns - lq_mono_ns()) / 1000000;
        if (left_ms <= 0)
            return LUNAQ_OK;
        pause_ms(ms < left_ms ? ms : left_ms);
        if (ms < 20)
            ms++;
    }
}

static int wait_pending(struct caller *c, lq_op_wait *o, int64_t deadline_ns,
                        lunaq_error *why)
{
    int64_t end_ns = lq_mono_ns() + o->timeout_ms * 1000000;
    int64_t version = 0;
    if (end_ns > deadline_ns)
        end_ns = deadline_ns;
    o->woke = false;
    for (;;) {
        lq_peek peek = {.queue = o->queue};
        lq_op_peek op = {.op.kind = LQ_OP_PEEK, .queues = &peek, .count = 1};
        int rc = lq_sqlite_data_version(c->q, &version, why);
        if (!rc)
            rc = transact(c, &op.op, deadline_ns, why);
        if (!rc && op.op.rc) {
            rc = op.op.rc;
            *why = op.op.err;
        }
        lq_op_release(&op.op);
        o->woke = !rc && peek.pending > 0;
        if (rc || o->woke || lq_mono_ns() >= end_ns)
            return rc;
        rc = wait_for_change(c, &version, end_ns, why);
        if (rc)
            return rc;
    }
}

/* Reads the requests since *seen; -1: only where they end. */
static int read_notes(struct caller *c, lq_op_listen *o, int64_t *seen,
                      int64_t deadline_ns, lunaq_error *why)
{
    int rc = lq_sqlite_begin(c->q, LQ_SQLITE_READ, deadline_ns, why);
    if (rc)
        return rc;
    lq_query x;
    if (*seen < 0) {
        x = lq_query_begin(c->q, LQ_SQL_NOTE_LAST);
        *seen = lq_query_one(&x, 0);
    } else {
        x = lq_query_begin(c->q, LQ_SQL_NOTES_SINCE);
        lq_query_int(&x, *seen);
        while (lq_query_row(&x)) {
            *seen = lq_column_int(&x, 0);
            if (o->cancel)
                o->cancel(o, lq_column_bytes(&x, 1));
        }
        lq_query_end(&x);
    }
    return lq_sqlite_commit(c->q, why);
}

static int listen_for(struct caller *c, lq_op_listen *o, int64_t deadline_ns,
                      lunaq_error *why)
{
    int64_t seen = -1, version = 0;
    int rc;
    do {
        rc = lq_sqlite_data_version(c->q, &version, why);
        if (!rc)
            rc = read_notes(c, o, &seen, deadline_ns, why);
        if (!rc)
            rc = wait_for_change(c, &version, deadline_ns, why);
    } while (!rc && lq_mono_ns() < deadline_ns);
    return rc ? rc : lq_fail(why, LUNAQ_ETIMEOUT, "sqlite: listen: the end");
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
    if (!rc && op->kind == LQ_OP_WAIT)
        rc = wait_pending(c, (lq_op_wait *)op, deadline_ns, &why);
    else if (!rc && op->kind == LQ_OP_LISTEN)
        rc = listen_for(c, (lq_op_listen *)op, deadline_ns, &why);
    else if (!rc)
        rc = transact(c, op, deadline_ns, &why);
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
