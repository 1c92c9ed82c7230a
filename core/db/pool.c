/* A pool: who gets a connection next, and when to open one. */
#include "db/conn.h"

#include <stdio.h>

#define SIZE_DEFAULT 10
#define CONNECT_TIMEOUT_MS 5000
#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 5000
#define NAMES_FRESH_MS 30000
#define LOG_EVERY_MS 5000

static void turn(void *ud);
static void retry(void *ud);
static void deadline(void *ud);

/* ---- life --------------------------------------------------------------- */

int lq_pg_open(lq_pg **out, lq_loop *loop, const lq_db_options *options,
               lunaq_error *err)
{
    lq_pg *db = lq_calloc(1, sizeof *db);
    *out = NULL;
    if (!db)
        return lq_fail_nomem(err);
    db->loop = loop;
    db->log = options->log;
    db->helper = options->helper;
    db->size = options->size ? options->size : SIZE_DEFAULT;
    db->no_prepare = options->no_prepare;
    db->connect_timeout_ms = options->connect_timeout_ms
                                 ? options->connect_timeout_ms
                                 : CONNECT_TIMEOUT_MS;
    lq_list_init(&db->waiting);
    lq_list_init(&db->conns);
    lq_list_init(&db->idle);
    lq_list_init(&db->kicked);
    lq_list_init(&db->failing);
    int rc = lq_target_init(&db->target, options->url, err);
    if (!rc)
        rc = lq_turn_new(&db->turn, loop, turn, db, err);
    if (!rc)
        rc = lq_timer_new(&db->retry, loop, retry, db, err);
    if (!rc)
        rc = lq_timer_new(&db->deadline, loop, deadline, db, err);
    if (rc) {
        lq_pg_close(db);
        return rc;
    }
    *out = db;
    return 0;
}

static void end_lookup(lq_pg *db)
{
    lq_poll_close(db->lookup_poll);
    lq_lookup_free(db->lookup);
    db->lookup_poll = NULL;
    db->lookup = NULL;
}

void lq_pg_close(lq_pg *db)
{
    static const char why[] = "the database pool is closing";
    if (!db)
        return;
    db->closing = true;
    while (!lq_list_empty(&db->conns)) {
        lq_conn *c = LQ_OF(db->conns.next, lq_conn, node);
        if (c->call)
            lq_conn_fail(c, LUNAQ_ECANCELED, why, true);
        else
            lq_conn_drop(c, false);
    }
    for (lq_list *node; (node = lq_list_shift(&db->failing));)
        lq_call_fail(LQ_OF(node, lq_pg_call, node), LUNAQ_ECANCELED, why);
    while (!lq_list_empty(&db->waiting)) {
        lq_pg_call *call = LQ_OF(db->waiting.next, lq_pg_call, node);
        lq_pool_leave(call);
        lq_call_fail(call, LUNAQ_ECANCELED, why);
    }
    end_lookup(db);
    lq_names_release(&db->names);
    lq_turn_close(db->turn);
    lq_timer_close(db->retry);
    lq_timer_close(db->deadline);
    lq_target_release(&db->target);
    lq_free(db);
}

void lq_pg_stats_get(const lq_pg *db, lq_db_stats *out)
{
    *out = db->stats;
    out->size = db->size;
    out->open = db->open;
    out->idle = db->idle_count;
    out->connecting = db->connecting;
    out->waiting = db->waiting_count;
}

void lq_pool_wake(lq_pg *db)
{
    if (!db->closing)
        lq_turn_arm(db->turn);
}

/* ---- the line ----------------------------------------------------------- */

static void arm_deadline(lq_pg *db, int64_t at)
{
    int64_t in = at - lq_mono_ms();
    lq_timer_start(db->deadline, in > 0 ? in : 0);
    db->deadline_at = at;
}

void lq_pool_wait(lq_pg *db, lq_pg_call *call)
{
    lq_list_append(&db->waiting, &call->node);
    db->waiting_count++;
    call->waiting = true;
    if (call->deadline &&
        (!db->deadline_at || call->deadline < db->deadline_at))
        arm_deadline(db, call->deadline);
    lq_pool_wake(db);
}

void lq_pool_leave(lq_pg_call *call)
{
    lq_list_remove(&call->node);
    if (call->waiting)
        call->db->waiting_count--;
    call->waiting = false;
}

static void fail_waiting(lq_pg_call *call, int rc, const char *why)
{
    lq_db_outcome outcome = {.rc = rc};
    lq_buf message;
    lq_buf_init(&message, 0);
    lq_db_explain(&message, NULL, why, call->sql, outcome.sqlstate);
    outcome.message = message.p ? message.p : why;
    lq_pool_leave(call);
    if (call->tx) {
        call->tx->begin = NULL;
        lq_tx_lost(call->tx);
    }
    lq_call_end(call, &outcome);
    lq_buf_release(&message);
}

/* The timer is set to the earliest deadline; here it is found anew.  Whoever
 * is told may change the line, so after each the search begins again. */
static void deadline(void *ud)
{
    lq_pg *db = ud;
    int64_t now = lq_mono_ms(), next = 0;
    lq_list *node = db->waiting.next;
    while (node != &db->waiting) {
        lq_pg_call *call = LQ_OF(node, lq_pg_call, node);
        node = node->next;
        if (!call->deadline)
            continue;
        if (call->deadline > now) {
            if (!next || call->deadline < next)
                next = call->deadline;
            continue;
        }
        char why[200];
        snprintf(why, sizeof why,
                 "no connection became free within %lld ms (db.pool is %zu "
                 "here, %zu wait)",
                 (long long)call->timeout_ms, db->size, db->waiting_count);
        fail_waiting(call, LUNAQ_ETIMEOUT, why);
        node = db->waiting.next;
        next = 0;
    }
    db->deadline_at = 0;
    if (next)
        arm_deadline(db, next);
}

/* ---- connecting --------------------------------------------------------- */

static void names_found(void *ud, int events)
{
    lq_pg *db = ud;
    lq_names names;
    (void)events;
    if (!lq_lookup_take(db->lookup, &names))
        return;
    end_lookup(db);
    lq_names_release(&db->names);
    if (names.why[0]) {
        lq_pool_out(db, db->names_asked, names.why);
        lq_names_release(&names);
    } else {
        db->names = names;
        db->names_until = lq_mono_ms() + NAMES_FRESH_MS;
    }
    lq_pool_wake(db);
}

/* True when the addresses are there; else they are being looked for. */
static bool names_ready(lq_pg *db)
{
    int fd = -1;
    if (!db->target.needs_names || !db->helper)
        return true; /* without a helper libpq resolves, and blocks */
    if (db->names.hosts && lq_mono_ms() < db->names_until)
        return true;
    if (db->lookup)
        return false;
    db->names_asked = lq_mono_ms();
    db->lookup = lq_lookup_start(&db->target, db->helper->resolve, &fd);
    if (!db->lookup ||
        lq_poll_new(&db->lookup_poll, db->loop, fd, names_found, db, NULL)) {
        end_lookup(db);
        lq_pool_out(db, db->names_asked, "its name cannot be looked up");
        return false;
    }
    lq_poll_set(db->lookup_poll, LQ_POLL_READ);
    return false;
}

/* May another attempt begin now?  After a failure one at a time, and with a
 * growing pause. */
static bool may_connect(lq_pg *db)
{
    if (!db->failures)
        return true;
    if (db->connecting)
        return false;
    int64_t left = db->retry_at - lq_mono_ms();
    if (left <= 0)
        return true;
    if (!lq_timer_active(db->retry))
        lq_timer_start(db->retry, left);
    return false;
}

static void retry(void *ud)
{
    lq_pool_wake(ud);
}

static void open_more(lq_pg *db)
{
    while (db->open < db->size && db->connecting < db->waiting_count &&
           may_connect(db) && names_ready(db)) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        int64_t now = lq_mono_ms();
        if (lq_conn_open(db, &err)) {
            lq_pool_out(db, now, err.message);
            return;
        }
    }
}

void lq_pool_connected(lq_conn *c)
{
    lq_pg *db = c->db;
    if (db->failures)
        LQ_LOG(db->log, INFO, "database: connected again",
               lq_fc("server", db->target.where));
    db->failures = 0;
    db->connecting--;
    db->stats.connects++;
    lq_pool_put(c);
}

void lq_pool_connect_failed(lq_conn *c, const char *why)
{
    lq_pg *db = c->db;
    int64_t started = c->started;
    lq_buf text; /* `why` goes with the connection */
    lq_buf_init(&text, 0);
    lq_buf_add_c(&text, why);
    lq_conn_drop(c, false);
    lq_pool_out(db, started, text.p ? text.p : "out of memory");
    lq_buf_release(&text);
}

void lq_pool_out(lq_pg *db, int64_t started, const char *why)
{
    char line[400];
    lq_buf text;
    char state[6];
    int64_t pause = RETRY_MIN_MS;
    lq_buf_init(&text, 0);
    lq_db_explain(&text, NULL, why, (lq_str){0}, state);
    snprintf(line, sizeof line, "cannot connect to %s: %s", db->target.where,
             text.p ? text.p : "out of memory");
    lq_buf_release(&text);
    db->stats.failed_connects++;
    db->names_until = 0; /* perhaps it moved */
    for (unsigned i = 0; i < db->failures && pause < RETRY_MAX_MS; i++)
        pause *= 2;
    if (pause > RETRY_MAX_MS)
        pause = RETRY_MAX_MS;
    pause = pause / 2 + (int64_t)lq_random((uint64_t)pause / 2 + 1);
    db->failures++;
    db->retry_at = lq_mono_ms() + pause;
    if (lq_log_gate(&db->log_gate, LOG_EVERY_MS))
        LQ_LOG(db->log, WARN, "database: cannot connect, will try again",
               lq_fc("server", db->target.where), lq_fc("error", line),
               lq_fi("retry_in_ms", pause));
    /* While others are connected or may still get through, those in line wait
     * for them. */
    while (db->open == 0 && !lq_list_empty(&db->waiting)) {
        lq_pg_call *call = LQ_OF(db->waiting.next, lq_pg_call, node);
        if (call->submitted > started)
            break; /* it waits for the next attempt */
        fail_waiting(call, LUNAQ_EDATABASE, line);
    }
    lq_pool_wake(db);
}

/* ---- handing out -------------------------------------------------------- */

void lq_pool_put(lq_conn *c)
{
    lq_list_append(c->db->idle.next, &c->idle_node); /* to the front */
    c->db->idle_count++;
    lq_conn_arm(c);
    lq_pool_wake(c->db);
}

static lq_conn *take_idle(lq_pg *db)
{
    lq_list *node = lq_list_shift(&db->idle);
    if (!node)
        return NULL;
    db->idle_count--;
    return LQ_OF(node, lq_conn, idle_node);
}

static void hand_out(lq_pg *db)
{
    while (!lq_list_empty(&db->waiting)) {
        lq_conn *c = take_idle(db);
        if (!c)
            return;
        if (!lq_conn_alive(c)) {
            lq_conn_drop(c, false);
            continue;
        }
        lq_pg_call *call = LQ_OF(db->waiting.next, lq_pg_call, node);
        lq_pool_leave(call);
        if (call->kind == LQ_CALL_BEGIN) {
            c->tx = call->tx;
            call->tx->conn = c;
        }
        lq_conn_run(c, call);
    }
}

/* Connections that were asked to go on: with the next chunk, with the next call
 * of their transaction, or with their way back to the pool. */
static void go_on(lq_pg *db)
{
    lq_list now;
    lq_list_init(&now);
    for (lq_list *node; (node = lq_list_shift(&db->kicked));)
        lq_list_append(&now, node);
    for (lq_list *node; (node = lq_list_shift(&now));) {
        lq_conn *c = LQ_OF(node, lq_conn, kick_node);
        if (c->call)
            lq_conn_pump(c);
        else if (lq_list_empty(&c->idle_node))
            lq_tx_settle(c);
    }
}

static void turn(void *ud)
{
    lq_pg *db = ud;
    for (lq_list *node; (node = lq_list_shift(&db->failing));)
        lq_call_fail(LQ_OF(node, lq_pg_call, node), LUNAQ_EDATABASE,
                     "the connection of the transaction was lost");
    go_on(db);
    hand_out(db);
    open_more(db);
}
