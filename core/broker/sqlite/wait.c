#include "sqlite/wait.h"

#include "base/clock.h"
#include "sqlite/statement.h"
#include "sqlite/wake.h"

#include <errno.h>
#include <poll.h>

#define BUSY_NS                                                                \
    ((int64_t)1000000000) /* for a snapshot: a recovery may last               \
                           */

/* ---- looking ------------------------------------------------------------- */

static int end_look(lq_sqlite *q, lunaq_error *err)
{
    int rc = lq_sqlite_fault_of(q, err);
    lq_sqlite_rollback(q);
    return rc;
}

int lq_sqlite_look_pending(lq_sqlite *q, const lq_str *queues, size_t count,
                           bool *has, lunaq_error *err)
{
    int rc = lq_sqlite_begin(q, LQ_SQLITE_READ, lq_mono_ns() + BUSY_NS, err);

    if (rc)
        return rc;
    for (size_t i = 0; i < count; i++) {
        lq_query x = lq_query_begin(q, LQ_SQL_HAS_PENDING);
        lq_query_text(&x, queues[i]);
        has[i] = lq_query_one(&x, 0) != 0;
    }
    return end_look(q, err);
}

int lq_sqlite_look_cancels(lq_sqlite *q, int64_t *last,
                           void (*fn)(void *ud, lq_str id), void *ud,
                           lunaq_error *err)
{
    int rc = lq_sqlite_begin(q, LQ_SQLITE_READ, lq_mono_ns() + BUSY_NS, err);

    if (rc)
        return rc;
    lq_query x = lq_query_begin(q, LQ_SQL_NOTES_SINCE);
    lq_query_int(&x, *last);
    while (lq_query_row(&x)) {
        *last = lq_column_int(&x, 0);
        if (fn)
            fn(ud, lq_column_bytes(&x, 1));
    }
    lq_query_end(&x);
    return end_look(q, err);
}

/* ---- waiting on the caller's thread -------------------------------------- */

struct waiting {
    lq_sqlite *q;
    lq_op *op;
    int64_t version, last;
};

static void heard(void *ud, lq_str id)
{
    lq_op_listen *listen = ud;
    listen->cancel(listen, id);
}

/* True: the wait is over. */
static bool look(struct waiting *w)
{
    lq_op *op = w->op;

    if (op->kind == LQ_OP_WAIT) {
        lq_op_wait *wait = LQ_OF(op, lq_op_wait, op);
        op->rc = lq_sqlite_look_pending(w->q, &wait->queue, 1, &wait->woke,
                                        &op->err);
        return op->rc || wait->woke;
    }
    op->rc = lq_sqlite_look_cancels(w->q, &w->last, heard,
                                    LQ_OF(op, lq_op_listen, op), &op->err);
    return op->rc != LUNAQ_OK;
}

static void sleep_until(lq_sqlite_bell *bell, int64_t until_ns)
{
    struct pollfd p = {.fd = bell->fd, .events = POLLIN};
    int64_t ms = (until_ns - lq_mono_ns() + 999999) / 1000000;
    int64_t most = bell->fd < 0 ? LQ_SQLITE_POLL_MS : LQ_SQLITE_NET_MS;

    if (ms > 0)
        poll(&p, 1, (int)(ms < most ? ms : most));
}

int lq_sqlite_wait(lq_sqlite *q, lq_op *op, int64_t deadline_ns)
{
    struct waiting w = {.q = q, .op = op};
    lq_sqlite_bell bell;
    int64_t until = deadline_ns, version = 0;
    bool is_wait = op->kind == LQ_OP_WAIT, over;

    if (is_wait) {
        lq_op_wait *wait = LQ_OF(op, lq_op_wait, op);
        int64_t own = lq_mono_ns() + wait->timeout_ms * 1000000;
        until = own < until ? own : until;
        wait->woke = false;
    }
    /* The bell comes first: what is committed after the look rings it. */
    lq_sqlite_bell_open(&bell, lq_sqlite_path(q),
                        is_wait ? LQ_SQLITE_BELL_TASK : LQ_SQLITE_BELL_CANCEL);
    if (!is_wait)
        op->rc = lq_sqlite_look_cancels(q, &w.last, NULL, NULL, &op->err);
    if (!op->rc)
        op->rc = lq_sqlite_data_version(q, &w.version, &op->err);
    over = op->rc || (is_wait && look(&w));
    while (!over && lq_mono_ns() < until) {
        sleep_until(&bell, until);
        bool rang = lq_sqlite_bell_read(&bell, NULL, NULL);
        op->rc = lq_sqlite_data_version(q, &version, &op->err);
        over = op->rc != LUNAQ_OK;
        if (!over && (rang || version != w.version)) {
            w.version = version;
            over = look(&w);
        }
    }
    lq_sqlite_bell_close(&bell);
    if (!over && !is_wait)
        op->rc = lq_fail(&op->err, LUNAQ_ETIMEOUT,
                         "sqlite: %s: listened until the deadline",
                         lq_sqlite_path(q));
    return op->rc;
}
