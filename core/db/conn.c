/* One connection: its handshake, its socket, its end. */
#include "db/conn.h"

#include <stdio.h>

static void conn_event(void *ud, int events);
static void conn_timer(void *ud);

static void noticed(void *arg, const PGresult *r)
{
    lq_conn *c = arg;
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    /* The server's last words to an idle connection: it shuts down, crashed,
     * or an administrator wants it so. */
    if (state && strncmp(state, "57P", 3) == 0)
        c->broken = true;
    if (lq_log_on(c->db->log, LUNAQ_LOG_DEBUG))
        LQ_LOG(c->db->log, DEBUG, "database notice",
               lq_fc("notice", PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY)));
}

/* ---- watching ----------------------------------------------------------- */

/* libpq may have closed the socket and opened another, even with the same
 * number: so before each of its steps nothing is watched, and after it the
 * descriptor is looked at anew. */
static int watch(lq_conn *c, int events)
{
    int fd = PQsocket(c->pg);
    if (c->poll && fd != c->fd) {
        lq_poll_close(c->poll);
        c->poll = NULL;
    }
    if (fd < 0)
        return LUNAQ_EIO;
    c->fd = fd;
    if (!c->poll) {
        int rc = lq_poll_new(&c->poll, c->db->loop, fd, conn_event, c, NULL);
        if (rc)
            return rc;
    }
    return lq_poll_set(c->poll, events);
}

void lq_conn_arm(lq_conn *c)
{
    int events = LQ_POLL_READ;
    if (c->paused)
        events = 0;
    else if (PQflush(c->pg) == 1)
        events |= LQ_POLL_WRITE;
    if (watch(c, events))
        c->broken = true;
}

/* ---- opening ------------------------------------------------------------ */

static PGconn *start(lq_pg *db)
{
    const lq_target *t = &db->target;
    const char *keys[LQ_TARGET_KEYS + 4], *values[LQ_TARGET_KEYS + 4];
    size_t n = 0;
    for (size_t i = 0; i < t->count; i++) {
        if (db->names.hosts && (strcmp(t->keys[i], "host") == 0 ||
                                strcmp(t->keys[i], "port") == 0))
            continue;
        keys[n] = t->keys[i];
        values[n++] = t->values[i];
    }
    if (db->names.hosts) {
        keys[n] = "host";
        values[n++] = db->names.hosts;
        keys[n] = "hostaddr";
        values[n++] = db->names.addresses;
        keys[n] = "port";
        values[n++] = db->names.ports;
    }
    keys[n] = values[n] = NULL;
    return PQconnectStartParams(keys, values, 0);
}

static void handshake(lq_conn *c)
{
    if (c->poll)
        lq_poll_set(c->poll, 0);
    int wanted = 0;
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING:
        wanted = LQ_POLL_READ;
        break;
    case PGRES_POLLING_WRITING:
        wanted = LQ_POLL_WRITE;
        break;
    case PGRES_POLLING_OK:
        lq_timer_stop(c->timer);
        c->connecting = false;
        PQsetnonblocking(c->pg, 1);
        lq_pool_connected(c);
        return;
    default:
        lq_pool_connect_failed(c, PQerrorMessage(c->pg));
        return;
    }
    if (watch(c, wanted))
        lq_pool_connect_failed(c, "its socket cannot be watched");
}

int lq_conn_open(lq_pg *db, lunaq_error *err)
{
    lq_conn *c = lq_calloc(1, sizeof *c);
    if (!c)
        return lq_fail_nomem(err);
    c->db = db;
    c->fd = -1;
    c->connecting = true;
    c->server_timeout_ms = -1;
    c->started = lq_mono_ms();
    lq_list_init(&c->idle_node);
    lq_list_init(&c->kick_node);
    lq_list_init(&c->lru);
    lq_list_append(&db->conns, &c->node);
    db->open++;
    db->connecting++;
    int rc = lq_timer_new(&c->timer, db->loop, conn_timer, c, err);
    if (rc)
        goto fail;
    c->pg = start(db);
    if (!c->pg) {
        rc = lq_fail_nomem(err);
        goto fail;
    }
    PQsetNoticeReceiver(c->pg, noticed, c);
    if (PQstatus(c->pg) == CONNECTION_BAD || watch(c, LQ_POLL_WRITE)) {
        const char *why = PQerrorMessage(c->pg);
        rc = lq_fail(err, LUNAQ_EDATABASE, "%s", why);
        goto fail;
    }
    lq_timer_start(c->timer, db->connect_timeout_ms);
    return 0;
fail:
    lq_conn_drop(c, false);
    return rc;
}

/* ---- events ------------------------------------------------------------- */

static void conn_timer(void *ud)
{
    lq_conn *c = ud;
    char why[120];
    if (c->connecting) {
        snprintf(why, sizeof why, "no connection within %lld ms",
                 (long long)c->db->connect_timeout_ms);
        lq_pool_connect_failed(c, why);
        return;
    }
    if (!c->call)
        return;
    snprintf(why, sizeof why, "the statement ran out of its %lld ms",
             (long long)c->call->timeout_ms);
    lq_conn_fail(c, LUNAQ_ETIMEOUT, why, true);
}

static void conn_event(void *ud, int events)
{
    lq_conn *c = ud;
    if (c->connecting) {
        handshake(c);
        return;
    }
    if ((events & LQ_POLL_READ) && !PQconsumeInput(c->pg))
        c->broken = true;
    lq_conn_pump(c);
}

bool lq_conn_alive(lq_conn *c)
{
    if (c->broken || !PQconsumeInput(c->pg))
        return false;
    (void)PQisBusy(c->pg); /* looks at what came */
    return !c->broken && PQstatus(c->pg) == CONNECTION_OK;
}

/* ---- the end ------------------------------------------------------------ */

struct cancel_job {
    lq_lane_job job;
    PGcancel *cancel;
};

static void cancel_dropped(lq_lane_job *job)
{
    struct cancel_job *j = LQ_OF(job, struct cancel_job, job);
    PQfreeCancel(j->cancel);
    lq_free(j);
}

static void cancel_run(lq_lane_job *job)
{
    struct cancel_job *j = LQ_OF(job, struct cancel_job, job);
    char why[256];
    /* When it fails the statement ends by its statement_timeout. */
    (void)PQcancel(j->cancel, why, sizeof why);
    cancel_dropped(job);
}

static void cancel_on_server(lq_conn *c)
{
    struct cancel_job *j = lq_calloc(1, sizeof *j);
    if (!j)
        return;
    j->job.run = cancel_run;
    j->job.drop = cancel_dropped;
    j->cancel = PQgetCancel(c->pg);
    if (!j->cancel || !c->db->helper)
        cancel_dropped(&j->job);
    else if (!lq_lane_take(c->db->helper->cancel, &j->job))
        LQ_LOG(c->db->log, WARN,
               "database: too many statements to cancel, one runs on",
               lq_fc("server", c->db->target.where));
}

void lq_conn_drop(lq_conn *c, bool cancel)
{
    lq_pg *db = c->db;
    lq_pg_tx *tx = c->tx;
    if (cancel && c->pg && PQstatus(c->pg) == CONNECTION_OK)
        cancel_on_server(c);
    lq_list_remove(&c->node);
    lq_list_remove(&c->kick_node);
    if (!lq_list_empty(&c->idle_node)) {
        lq_list_remove(&c->idle_node);
        db->idle_count--;
    }
    db->open--;
    if (c->connecting)
        db->connecting--;
    else
        db->stats.dropped++;
    lq_poll_close(c->poll); /* before its descriptor */
    lq_timer_close(c->timer);
    PQclear(c->failed);
    PQfinish(c->pg);
    lq_call_free(c->call);
    lq_stmt_free_all(c);
    lq_free(c);
    if (tx)
        lq_tx_lost(tx);
    lq_pool_wake(db);
}
