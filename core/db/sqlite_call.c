/* A call: made with what it needs of its own, told once, freed. */
#include "db/lane.h"
#include "db/result.h"
#include "db/sqlite_pool.h"

lq_lite_call *lq_lite_call_new(lq_lite *db, enum lq_lite_kind kind,
                               int64_t timeout_ms, lq_db_done_fn *done,
                               void *ud)
{
    lq_lite_call *call = lq_calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->base.of = db->base.of;
    lq_list_init(&call->node);
    lq_list_append(&db->calls, &call->all);
    lq_buf_init(&call->message, 0);
    call->db = db;
    call->kind = kind;
    call->timeout_ms = timeout_ms;
    if (timeout_ms > 0)
        call->deadline = lq_mono_ms() + timeout_ms;
    call->done = done;
    call->ud = ud;
    return call;
}

void lq_lite_leave_line(lq_lite_call *call)
{
    lq_list_remove(&call->node);
    if (call->waiting)
        call->db->waiting_count--;
    call->waiting = false;
}

void lq_lite_call_free(lq_lite_call *call)
{
    if (call->kind == LQ_LITE_ROLLBACK)
        return; /* its connection's own */
    lq_lite_leave_line(call);
    lq_list_remove(&call->all);
    lq_db_result_free(call->result);
    lq_buf_release(&call->message);
    lq_arena_release(&call->arena);
    lq_free(call);
}

void lq_lite_tell(lq_lite_call *call, const lq_db_outcome *outcome)
{
    lq_db_done_fn *done = call->done;
    if (!outcome->more)
        call->done = NULL;
    if (done)
        done(call->ud, outcome);
    else
        lq_db_result_free(outcome->result);
}

void lq_lite_tell_failed(lq_lite_call *call, int rc, const char *why)
{
    lq_db_outcome outcome = {.rc = rc};
    char state[6];
    lq_buf text;
    lq_buf_init(&text, 0);
    lq_db_explain(&text, NULL, why, call->sql, state);
    outcome.message = text.p ? text.p : why;
    lq_lite_tell(call, &outcome);
    lq_buf_release(&text);
}

int lq_lite_copy_statement(lq_lite_call *call, const lq_db_statement *s,
                           lunaq_error *err)
{
    size_t n = s->param_count;
    if (s->sql.len == 0 || memchr(s->sql.p, 0, s->sql.len))
        return lq_fail(err, LUNAQ_EINVAL,
                       "the SQL is empty or holds a NUL byte");
    char *sql = lq_arena_dup(&call->arena, s->sql);
    if (!sql)
        return lq_fail_nomem(err);
    call->sql = lq_str_n(sql, s->sql.len);
    call->chunk_rows = s->chunk_rows;
    call->param_count = n;
    if (n == 0)
        return 0;
    call->params = lq_arena_alloc(&call->arena, n * sizeof *call->params);
    if (!call->params)
        return lq_fail_nomem(err);
    for (size_t i = 0; i < n; i++) {
        call->params[i] = s->params[i];
        if (s->params[i].kind != LQ_DB_TEXT && s->params[i].kind != LQ_DB_BYTES)
            continue;
        call->params[i].str.p = lq_arena_dup(&call->arena, s->params[i].str);
        if (!call->params[i].str.p)
            return lq_fail_nomem(err);
    }
    return 0;
}
