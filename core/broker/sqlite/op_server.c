/* What a connection needs (PING, TOKEN, TOKEN_RENEW, PEEK), and what others may
 * see of a server (HEARTBEAT, GOODBYE, CRON_PUBLISH). */
#include "sqlite/ops.h"

#include "base/clock.h"
#include "base/map.h"
#include "task/token.h"

#include <stdio.h>

#define TOKEN_MS ((int64_t)86400 * 1000)

/* ---- PING, PEEK ---------------------------------------------------------- */

int lq_sqlite_ping(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_ping *o = (lq_op_ping *)op;
    (void)now_ms;
    snprintf(o->version, sizeof(o->version), "%s", sqlite3_libversion());
    o->warning[0] = 0;
    /* Reads the file, so that a damaged one is found. */
    (void)lq_sqlite_queue(q, LQ_STR("default"));
    return LUNAQ_OK;
}

int lq_sqlite_peek(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    enum { COUNT_AT_MOST = 1000 };
    lq_op_peek *o = (lq_op_peek *)op;
    for (size_t i = 0; i < o->count; i++) {
        lq_peek *p = &o->queues[i];
        lq_query x = lq_query_begin(q, LQ_SQL_QUEUE);
        lq_query_text(&x, p->queue);
        int64_t queue = 0;
        p->paused = false;
        if (lq_query_row(&x)) {
            queue = lq_column_int(&x, 0);
            p->paused = !lq_column_is_null(&x, 1);
        }
        lq_query_end(&x);
        x = lq_query_begin(q, LQ_SQL_PENDING_COUNT);
        lq_query_int(&x, queue);
        lq_query_int(&x, COUNT_AT_MOST);
        p->pending = lq_query_one(&x, 0);
        x = lq_query_begin(q, LQ_SQL_DUE_NEXT);
        lq_query_int(&x, queue);
        int64_t at_ms = lq_query_one(&x, -1);
        p->next_ms = at_ms < 0 ? -1 : at_ms > now_ms ? at_ms - now_ms : 0;
        x = lq_query_begin(q, LQ_SQL_HAS_GROUPS);
        lq_query_int(&x, queue);
        p->groups = lq_query_one(&x, 0);
    }
    return LUNAQ_OK;
}

/* ---- TOKEN, TOKEN_RENEW -------------------------------------------------- */

/* Takes a token when nobody has it, or renews it. */
static bool claim(lq_sqlite *q, enum lq_sql which, uint32_t token,
                  lq_str server, int64_t now_ms)
{
    lq_query x = lq_query_begin(q, which);
    lq_query_int(&x, token);
    lq_query_text(&x, server.p ? server : LQ_STR(""));
    lq_query_int(&x, now_ms + TOKEN_MS);
    lq_query_int(&x, now_ms);
    return lq_query_run(&x) == 1;
}

int lq_sqlite_token(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    enum { DRAWS = 8 }; /* with 1,000 connections each hits with 1 : 2,000 */
    lq_op_token *o = (lq_op_token *)op;
    o->token = 0;
    for (int i = 0; i < DRAWS && !lq_sqlite_fault_of(q, NULL); i++) {
        uint32_t token = (uint32_t)lq_random(LQ_TOKEN_LIMIT - 1) + 1;
        if (claim(q, LQ_SQL_TOKEN_DRAW, token, o->server_id, now_ms)) {
            o->token = token;
            return LUNAQ_OK;
        }
    }
    return lq_fail(&op->err, LUNAQ_EFULL,
                   "sqlite: no free lease token found: try again");
}

int lq_sqlite_token_renew(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_token_renew *o = (lq_op_token_renew *)op;
    for (size_t i = 0; i < o->count; i++)
        (void)claim(q, LQ_SQL_TOKEN_RENEW, o->tokens[i], o->server_id, now_ms);
    return LUNAQ_OK;
}

/* ---- HEARTBEAT, GOODBYE -------------------------------------------------- */

/* "host:pid:id", also the name of the server's scheduler. */
static lq_str server_name(lq_buf *buf, lq_str host, int32_t pid, lq_str id)
{
    lq_buf_add_str(buf, host);
    lq_buf_printf(buf, ":%d:", (int)pid);
    lq_buf_add_str(buf, id);
    return lq_buf_str(buf);
}

/* Workers that were there and are still are not written again: a server with
 * ten thousand waiting tasks says so every few seconds. */
static int publish_workers(lq_sqlite *q, lq_op_heartbeat *o, lq_str name)
{
    lq_map now = {0};
    int rc = LUNAQ_OK;
    for (size_t i = 0; i < o->worker_count && !rc; i++)
        if (!lq_map_set(&now, o->workers[i].task_id, o, NULL))
            rc = lq_fail_nomem(&o->op.err);
    lq_query x = lq_query_begin(q, LQ_SQL_WORKERS);
    lq_query_text(&x, name);
    while (!rc && lq_query_row(&x)) {
        lq_str id = lq_column_bytes(&x, 0);
        if (lq_map_get(&now, id))
            continue;
        lq_query gone = lq_query_begin(q, LQ_SQL_WORKER_GONE);
        lq_query_text(&gone, name);
        lq_query_text(&gone, id);
        (void)lq_query_run(&gone);
    }
    lq_query_end(&x);
    lq_map_release(&now);
    for (size_t i = 0; i < o->worker_count && !rc; i++) {
        x = lq_query_begin(q, LQ_SQL_WORKER_PUT);
        lq_query_text(&x, name);
        lq_query_text(&x, o->workers[i].task_id);
        lq_query_blob(&x, o->workers[i].msg);
        (void)lq_query_run(&x);
    }
    return rc;
}

int lq_sqlite_heartbeat(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    lq_op_heartbeat *o = (lq_op_heartbeat *)op;
    lq_buf buf;
    lq_buf_init(&buf, 0);
    lq_str name = server_name(&buf, o->host, o->pid, o->server_id);
    if (buf.failed) {
        lq_buf_release(&buf);
        return lq_fail_nomem(&op->err);
    }
    lq_query x = lq_query_begin(q, LQ_SQL_SERVER_PUT);
    lq_query_text(&x, name);
    lq_query_int(&x, now_ms + (o->ttl_ms > 0 ? o->ttl_ms : 10000));
    lq_query_text(&x, o->extra);
    lq_query_blob(&x, o->info.p ? o->info : LQ_STR(""));
    (void)lq_query_run(&x);
    int rc = publish_workers(q, o, name);
    lq_buf_release(&buf);
    return rc;
}

int lq_sqlite_goodbye(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    static const enum lq_sql gone[] = {LQ_SQL_SERVER_GONE, LQ_SQL_WORKERS_GONE,
                                       LQ_SQL_ENTRIES_GONE};
    lq_op_goodbye *o = (lq_op_goodbye *)op;
    lq_buf buf;
    (void)now_ms;
    lq_buf_init(&buf, 0);
    lq_str name = server_name(&buf, o->host, o->pid, o->server_id);
    if (buf.failed) {
        lq_buf_release(&buf);
        return lq_fail_nomem(&op->err);
    }
    for (size_t i = 0; i < LQ_COUNT(gone); i++) {
        lq_query x = lq_query_begin(q, gone[i]);
        lq_query_text(&x, name);
        (void)lq_query_run(&x);
    }
    for (size_t i = 0; i < o->token_count; i++) {
        lq_query x = lq_query_begin(q, LQ_SQL_TOKEN_GIVE);
        lq_query_int(&x, o->tokens[i]);
        lq_query_text(&x, o->server_id.p ? o->server_id : LQ_STR(""));
        (void)lq_query_run(&x);
    }
    lq_buf_release(&buf);
    return LUNAQ_OK;
}
