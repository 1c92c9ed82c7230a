/* A pool on a SQLite file, the loop's side. */
#include "db/sqlite_pool.h"

#include "db/lane.h"
#include "db/result.h"

#include <stdio.h>

#define SIZE_DEFAULT 10

static const lq_db_backend backend;
static const char lost_text[] = "the transaction was lost with a statement "
                                "of it that was canceled or failed";

static void hand_out(lq_lite *db);

/* ---- connections -------------------------------------------------------- */

static void arm(lq_lite *db, int64_t at)
{
    if (!at || (db->timer_at && db->timer_at <= at))
        return;
    int64_t in = at - lq_mono_ms();
    lq_timer_start(db->timer, in > 0 ? in : 0);
    db->timer_at = at;
}

static void tx_lost(lq_lite_tx *tx)
{
    tx->conn = NULL;
    tx->lost = true;
    for (lq_list *node; (node = lq_list_shift(&tx->calls));) {
        LQ_OF(node, lq_lite_call, node)->tx = NULL; /* tx may go before it */
        lq_list_append(&tx->db->failing, node);
    }
    if (!tx->db->closing)
        lq_turn_arm(tx->db->turn);
}

/* Savepoints inside of a failed transaction: what was not made is not rolled
 * back to.  False: there is nothing to run. */
static bool enter_savepoint(lq_lite_tx *tx, const lq_lite_call *call)
{
    if (call->op == LQ_DB_SAVEPOINT) {
        if (!tx->failed)
            tx->depth = call->depth;
        return !tx->failed;
    }
    if (call->depth > tx->depth)
        return false;
    if (call->op == LQ_DB_SAVEPOINT_RELEASE && tx->failed)
        return false;
    tx->depth = call->depth - 1;
    tx->failed = false;
    return true;
}

static void run(lq_lite_conn *c, lq_lite_call *call)
{
    c->call = call;
    call->conn = c;
    call->refuse = c->tx && c->tx->failed;
    arm(c->db, call->deadline);
    lq_lite_give(c, call);
}

static void settle(lq_lite_conn *c)
{
    lq_lite *db = c->db;
    if (db->closing)
        return;
    for (lq_list *next; c->tx && (next = lq_list_shift(&c->tx->calls));) {
        lq_lite_call *call = LQ_OF(next, lq_lite_call, node);
        if (call->kind == LQ_LITE_SAVEPOINT && !enter_savepoint(c->tx, call)) {
            lq_lite_call_free(call);
            continue;
        }
        run(c, call);
        return;
    }
    if (c->tx)
        return;
    if (c->in_tx) {
        run(c, &c->roll);
        return;
    }
    lq_list_append(db->idle.next, &c->idle_node); /* to the front: it is warm */
    db->idle_count++;
    hand_out(db);
}

/* Takes what a connection runs away from its owner: it is interrupted, and its
 * transaction lost. */
static void cut(lq_lite_conn *c)
{
    lq_lite_call *call = c->call;
    lq_lite_tx *tx = c->tx;
    call->done = NULL;
    call->deadline = 0;
    call->tx = NULL;
    c->tx = NULL;
    if (tx)
        tx_lost(tx);
    if (call->paused) {
        call->paused = false;
        call->stop = true;
        lq_lite_give(c, call);
    } else {
        lq_lite_interrupt(c);
    }
}

void lq_lite_answered(lq_lite_conn *c)
{
    lq_lite_call *call = c->call;
    lq_lite_tx *tx = c->tx;
    lq_db_outcome outcome = {
        .rc = call->rc, .result = call->result, .more = call->more};
    c->in_tx = call->in_tx;
    call->result = NULL;
    if (call->more) {
        call->paused = true;
        if (!call->done) {
            lq_db_result_free(outcome.result);
            cut(c);
            return;
        }
        lq_lite_tell(call, &outcome);
        return;
    }
    c->call = NULL;
    memcpy(outcome.sqlstate, call->sqlstate, sizeof outcome.sqlstate);
    if (outcome.rc)
        outcome.message = call->message.p && !call->message.failed
                              ? call->message.p
                              : "out of memory";
    if (tx) {
        if (tx->begin == call)
            tx->begin = NULL;
        tx->failed |= call->rc != 0;
        if (call->kind == LQ_LITE_COMMIT || !c->in_tx) {
            c->tx = NULL;
            tx_lost(tx);
        }
    }
    settle(c);
    lq_lite_tell(call, &outcome);
    lq_lite_call_free(call);
}

/* ---- the line ----------------------------------------------------------- */

static lq_lite_conn *take_connection(lq_lite *db)
{
    lq_list *node = lq_list_shift(&db->idle);
    if (node) {
        db->idle_count--;
        return LQ_OF(node, lq_lite_conn, idle_node);
    }
    if (db->open >= db->size)
        return NULL;
    lq_lite_conn *c = lq_lite_conn_new(db);
    if (!c)
        return NULL;
    lq_list_append(&db->conns, &c->node);
    db->open++;
    db->stats.connects++;
    return c;
}

static void hand_out(lq_lite *db)
{
    while (!db->closing && !lq_list_empty(&db->waiting)) {
        lq_lite_conn *c = take_connection(db);
        if (!c)
            return; /* the deadline tells who waits in vain */
        lq_lite_call *call = LQ_OF(db->waiting.next, lq_lite_call, node);
        lq_lite_leave_line(call);
        if (call->kind == LQ_LITE_BEGIN) {
            c->tx = call->tx;
            call->tx->conn = c;
        }
        run(c, call);
    }
}

static void wait_in_line(lq_lite *db, lq_lite_call *call)
{
    lq_list_append(&db->waiting, &call->node);
    db->waiting_count++;
    call->waiting = true;
    arm(db, call->deadline);
    hand_out(db);
}

static void expire(lq_lite *db, lq_lite_call *call)
{
    char why[200];
    if (call->tx && call->tx->begin == call)
        call->tx->begin = NULL;
    if (call->waiting) {
        snprintf(why, sizeof why,
                 "no connection became free within %lld ms (db.pool is %zu "
                 "here, %zu wait)",
                 (long long)call->timeout_ms, db->size, db->waiting_count);
        lq_lite_leave_line(call);
        if (call->tx)
            tx_lost(call->tx);
        lq_lite_tell_failed(call, LUNAQ_ETIMEOUT, why);
        lq_lite_call_free(call);
        return;
    }
    lq_db_done_fn *done = call->done;
    lq_db_outcome outcome = {.rc = LUNAQ_ETIMEOUT};
    char state[6];
    lq_buf text;
    void *ud = call->ud;
    snprintf(why, sizeof why,
             atomic_load(&call->conn->locked)
                 ? "another writer held the database for %lld ms"
                 : "canceled, since it was not over within %lld ms",
             (long long)call->timeout_ms);
    lq_buf_init(&text, 0);
    lq_db_explain(&text, NULL, why, call->sql, state);
    outcome.message = text.p ? text.p : "out of memory";
    if (!call->paused)
        memcpy(outcome.sqlstate, "57014", 6);
    cut(call->conn);
    if (done)
        done(ud, &outcome);
    lq_buf_release(&text);
}

/* Whoever is told may change the lists, so after each the search begins
 * again. */
static void deadline(void *ud)
{
    lq_lite *db = ud;
    int64_t now = lq_mono_ms(), next = 0;
    db->timer_at = 0;
    for (lq_list *node = db->calls.next; node != &db->calls;) {
        lq_lite_call *call = LQ_OF(node, lq_lite_call, all);
        node = node->next;
        if (!call->deadline || (!call->waiting && !call->conn))
            continue;
        if (call->deadline > now) {
            if (!next || call->deadline < next)
                next = call->deadline;
            continue;
        }
        expire(db, call);
        node = db->calls.next;
        next = 0;
    }
    arm(db, next);
}

static void turn(void *ud)
{
    lq_lite *db = ud;
    for (lq_list *node; (node = lq_list_shift(&db->failing));) {
        lq_lite_call *call = LQ_OF(node, lq_lite_call, node);
        lq_lite_tell_failed(call, LUNAQ_EDATABASE, lost_text);
        lq_lite_call_free(call);
    }
}

/* ---- db.h --------------------------------------------------------------- */

static lq_lite *pool_of(lq_db *db)
{
    return LQ_OF(db, lq_lite, base);
}

static lq_lite_tx *tx_of(lq_db_tx *tx)
{
    return LQ_OF(tx, lq_lite_tx, base);
}

static lq_lite_call *call_of(lq_db_call *call)
{
    return LQ_OF(call, lq_lite_call, base);
}

static int submit(lq_lite_tx *tx, lq_lite_call *call, lunaq_error *err)
{
    if (tx->lost || tx->begin || !tx->conn)
        return lq_fail(err, LUNAQ_EDATABASE,
                       "the transaction is over, or its connection was lost");
    call->tx = tx;
    lq_list_append(&tx->calls, &call->node);
    if (!tx->conn->call)
        settle(tx->conn);
    return 0;
}

static int lite_query(lq_db *base, lq_db_tx *tx, const lq_db_statement *s,
                      lq_db_done_fn *done, void *ud, lq_db_call **out,
                      lunaq_error *err)
{
    lq_lite *db = pool_of(base);
    lq_lite_call *call =
        lq_lite_call_new(db, LQ_LITE_STATEMENT, s->timeout_ms, done, ud);
    *out = NULL;
    if (!call)
        return lq_fail_nomem(err);
    int rc = lq_lite_copy_statement(call, s, err);
    if (!rc && tx)
        rc = submit(tx_of(tx), call, err);
    if (rc) {
        lq_lite_call_free(call);
        return rc;
    }
    if (!tx)
        wait_in_line(db, call);
    *out = &call->base;
    return 0;
}

static void lite_next(lq_db_call *base)
{
    lq_lite_call *call = call_of(base);
    call->paused = false;
    lq_lite_give(call->conn, call);
}

static void lite_abandon(lq_db_call *base)
{
    lq_lite_call *call = call_of(base);
    if (call->tx && call->tx->begin == call)
        call->tx->begin = NULL;
    if (call->conn)
        cut(call->conn);
    else
        lq_lite_call_free(call);
}

static int lite_begin(lq_db *base, int64_t timeout_ms, lq_db_tx **out,
                      lq_db_done_fn *done, void *ud, lq_db_call **out_call,
                      lunaq_error *err)
{
    lq_lite *db = pool_of(base);
    lq_lite_tx *tx = lq_calloc(1, sizeof *tx);
    lq_lite_call *call =
        tx ? lq_lite_call_new(db, LQ_LITE_BEGIN, timeout_ms, done, ud) : NULL;
    *out = NULL;
    *out_call = NULL;
    if (!call) {
        lq_free(tx);
        return lq_fail_nomem(err);
    }
    tx->base.of = &backend;
    tx->db = db;
    tx->begin = call;
    lq_list_init(&tx->calls);
    call->tx = tx;
    wait_in_line(db, call);
    *out = &tx->base;
    *out_call = &call->base;
    return 0;
}

static int lite_commit(lq_db_tx *base, int64_t timeout_ms, lq_db_done_fn *done,
                       void *ud, lq_db_call **out, lunaq_error *err)
{
    lq_lite_tx *tx = tx_of(base);
    lq_lite_call *call =
        lq_lite_call_new(tx->db, LQ_LITE_COMMIT, timeout_ms, done, ud);
    *out = NULL;
    int rc = call ? submit(tx, call, err) : lq_fail_nomem(err);
    if (!rc)
        *out = &call->base;
    else if (call)
        lq_lite_call_free(call);
    return rc;
}

static int lite_savepoint(lq_db_tx *base, lq_db_savepoint_op op, unsigned depth,
                          lunaq_error *err)
{
    lq_lite_tx *tx = tx_of(base);
    lq_lite_call *call =
        lq_lite_call_new(tx->db, LQ_LITE_SAVEPOINT, 0, NULL, NULL);
    if (!call) {
        lq_lite_conn *c = tx->conn;
        if (c) { /* without its savepoint it must not go on */
            c->tx = NULL;
            tx_lost(tx);
            if (!c->call)
                settle(c);
        }
        return lq_fail_nomem(err);
    }
    call->op = op;
    call->depth = depth;
    int rc = submit(tx, call, err);
    if (rc)
        lq_lite_call_free(call);
    return rc;
}

static void lite_release(lq_db_tx *base)
{
    lq_lite_tx *tx = tx_of(base);
    if (tx->begin)
        lite_abandon(&tx->begin->base);
    lq_lite_conn *c = tx->conn; /* NULL also when it was cut just now */
    for (lq_list *node; (node = lq_list_shift(&tx->calls));)
        lq_lite_call_free(LQ_OF(node, lq_lite_call, node));
    if (c) {
        c->tx = NULL;
        if (c->call)
            c->call->tx = NULL;
        if (c->call && c->call->done)
            cut(c);
        else if (!c->call)
            settle(c);
    }
    lq_free(tx);
}

static void lite_stats_get(const lq_db *base, lq_db_stats *out)
{
    const lq_lite *db = (const lq_lite *)(const void *)base; /* it is first */
    *out = db->stats;
    out->size = db->size;
    out->open = db->open;
    out->idle = db->idle_count;
    out->waiting = db->waiting_count;
}

static void end_connection(lq_lite_conn *c, const char *why)
{
    lq_lite_call *call = c->call;
    lq_lite_tx *tx = c->tx;
    c->tx = NULL;
    if (tx)
        tx_lost(tx);
    if (call) {
        if (tx && tx->begin == call)
            tx->begin = NULL;
        if (call->done)
            lq_lite_tell_failed(call, LUNAQ_ECANCELED, why);
        lq_lite_call_free(call);
    }
    lq_list_remove(&c->node);
    c->db = NULL;
    c->call = NULL;
    pthread_mutex_lock(&c->mutex);
    bool later = c->posted;
    pthread_mutex_unlock(&c->mutex);
    if (!later)
        lq_lite_conn_free(c);
}

static void lite_close(lq_db *base)
{
    static const char why[] = "the database pool is closing";
    lq_lite *db = pool_of(base);
    db->closing = true;
    LQ_LIST_EACH (&db->conns, node)
        lq_lite_conn_join(LQ_OF(node, lq_lite_conn, node));
    while (!lq_list_empty(&db->conns))
        end_connection(LQ_OF(db->conns.next, lq_lite_conn, node), why);
    while (!lq_list_empty(&db->calls)) {
        lq_lite_call *call = LQ_OF(db->calls.next, lq_lite_call, all);
        if (call->tx && call->tx->begin == call)
            call->tx->begin = NULL;
        lq_lite_leave_line(call);
        lq_lite_tell_failed(call, LUNAQ_ECANCELED, why);
        lq_lite_call_free(call);
    }
    lq_turn_close(db->turn);
    lq_timer_close(db->timer);
    lq_free(db->path);
    lq_free(db);
}

static const lq_db_backend backend = {.close = lite_close,
                                      .stats_get = lite_stats_get,
                                      .query = lite_query,
                                      .next = lite_next,
                                      .abandon = lite_abandon,
                                      .begin = lite_begin,
                                      .commit = lite_commit,
                                      .release = lite_release,
                                      .savepoint = lite_savepoint};

int lq_db_open_sqlite(lq_db **out, lq_loop *loop, const char *path,
                      const lq_db_options *options, lunaq_error *err)
{
    lq_lite *db = lq_calloc(1, sizeof *db);
    *out = NULL;
    if (!db)
        return lq_fail_nomem(err);
    db->base.of = &backend;
    db->loop = loop;
    db->log = options->log;
    db->writers = options->helper ? options->helper->writers : NULL;
    db->size = options->size ? options->size : SIZE_DEFAULT;
    lq_list_init(&db->calls);
    lq_list_init(&db->waiting);
    lq_list_init(&db->failing);
    lq_list_init(&db->conns);
    lq_list_init(&db->idle);
    int rc = lq_lite_check_path(path, err);
    if (!rc && !(db->path = lq_strdup(path)))
        rc = lq_fail_nomem(err);
    if (!rc)
        rc = lq_turn_new(&db->turn, loop, turn, db, err);
    if (!rc)
        rc = lq_timer_new(&db->timer, loop, deadline, db, err);
    if (rc) {
        lite_close(&db->base);
        return rc;
    }
    *out = &db->base;
    return 0;
}
