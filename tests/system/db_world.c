#include "support/test.h"

#include "db_world.h"

#include <stdio.h>

postgres_server db_server;

bool db_world_server(int max_connections)
{
    return postgres_server_start(&db_server, max_connections) == 0;
}

void db_world_server_stop(void)
{
    postgres_server_stop(&db_server);
}

void db_world_open(db_world *w, const lq_db_options *options)
{
    lq_db_options o = {0};
    lunaq_error err = LUNAQ_ERROR_INIT;
    *w = (db_world){0};
    loop_world_init(&w->w);
    assert_int_equal(lq_db_helper_new(&w->helper, &err), 0);
    if (options)
        o = *options;
    if (!o.url)
        o.url = db_server.url;
    o.helper = w->helper;
    if (lq_db_open(&w->db, w->w.loop, &o, &err))
        fail_msg("%s", err.message);
}

void db_world_close(db_world *w)
{
    lq_db_close(w->db);
    lq_db_helper_free(w->helper);
    loop_world_release(&w->w);
}

void ask_done(void *ud, const lq_db_outcome *outcome)
{
    ask *a = ud;
    a->done++;
    a->rc = outcome->rc;
    a->more = outcome->more;
    memcpy(a->sqlstate, outcome->sqlstate, sizeof a->sqlstate);
    snprintf(a->message, sizeof a->message, "%s",
             outcome->message ? outcome->message : "");
    lq_db_result_free(a->result);
    a->result = outcome->result;
    if (!outcome->more)
        a->call = NULL;
    if (--a->world->waiting == 0)
        lq_loop_stop(a->world->w.loop);
}

void ask_expect(db_world *w, ask *a)
{
    a->world = w;
    w->waiting++;
}

static size_t read_params(lq_db_value *values, const char *format, va_list args)
{
    size_t n = 0;
    for (; *format; format++, n++) {
        lq_db_value *v = &values[n];
        *v = (lq_db_value){.kind = LQ_DB_NULL};
        switch (*format) {
        case 'i':
            v->kind = LQ_DB_INT;
            v->num = va_arg(args, int64_t);
            break;
        case 'b':
            v->kind = LQ_DB_BOOL;
            v->num = va_arg(args, int);
            break;
        case 'f':
            v->kind = LQ_DB_FLOAT;
            v->real = va_arg(args, double);
            break;
        case 's':
            v->kind = LQ_DB_TEXT;
            v->str = lq_str_c(va_arg(args, const char *));
            break;
        case 'x':
            v->kind = LQ_DB_TEXT;
            v->str = va_arg(args, lq_str);
            break;
        default:
            break;
        }
    }
    return n;
}

static void start(db_world *w, ask *a, lq_db_tx *tx, int64_t timeout_ms,
                  const char *sql, const char *format, va_list args)
{
    lq_db_value values[16];
    lunaq_error err = LUNAQ_ERROR_INIT;
    *a = (ask){.world = w};
    lq_db_statement s = {.sql = lq_str_c(sql),
                         .params = values,
                         .param_count = read_params(values, format, args),
                         .timeout_ms = timeout_ms};
    ask_expect(w, a);
    if (lq_db_query(w->db, tx, &s, ask_done, a, &a->call, &err))
        fail_msg("%s", err.message);
}

void ask_start(db_world *w, ask *a, lq_db_tx *tx, int64_t timeout_ms,
               const char *sql, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    start(w, a, tx, timeout_ms, sql, format, args);
    va_end(args);
}

void db_world_wait(db_world *w)
{
    if (w->waiting > 0)
        loop_world_run(&w->w);
    assert_int_equal(w->waiting, 0);
}

void ask_now(db_world *w, ask *a, lq_db_tx *tx, const char *sql,
             const char *format, ...)
{
    va_list args;
    va_start(args, format);
    start(w, a, tx, 10000, sql, format, args);
    va_end(args);
    db_world_wait(w);
    if (a->rc)
        fail_msg("%s: %s", sql, a->message);
}

void ask_release(ask *a)
{
    lq_db_result_free(a->result);
    a->result = NULL;
}

const char *ask_cell(const ask *a, size_t row, size_t column)
{
    static char text[512];
    lq_db_value v;
    lq_buf scratch;
    lq_buf_init(&scratch, 0);
    assert_int_equal(lq_db_result_get(a->result, row, column, &scratch, &v), 0);
    switch (v.kind) {
    case LQ_DB_NULL:
        snprintf(text, sizeof text, "null");
        break;
    case LQ_DB_BOOL:
        snprintf(text, sizeof text, "%s", v.num ? "true" : "false");
        break;
    case LQ_DB_INT:
        snprintf(text, sizeof text, "%lld", (long long)v.num);
        break;
    case LQ_DB_FLOAT:
        snprintf(text, sizeof text, "float %.17g", v.real);
        break;
    case LQ_DB_TEXT:
        snprintf(text, sizeof text, "'%.*s'", LQ_STR_ARG(v.str));
        break;
    case LQ_DB_BYTES: {
        size_t len = 0;
        text[len++] = 'x';
        text[len++] = '\'';
        for (size_t i = 0; i < v.str.len && i < 200; i++, len += 2)
            snprintf(text + len, sizeof text - len, "%02x",
                     (unsigned char)v.str.p[i]);
        snprintf(text + len, sizeof text - len, "'");
    }
    }
    lq_buf_release(&scratch);
    return text;
}

void ask_begin(db_world *w, ask *a, lq_db_tx **tx)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    *a = (ask){0};
    ask_expect(w, a);
    assert_int_equal(lq_db_begin(w->db, 10000, tx, ask_done, a, &a->call, &err),
                     0);
}

lq_db_tx *ask_begin_now(db_world *w)
{
    ask a;
    lq_db_tx *tx;
    ask_begin(w, &a, &tx);
    db_world_wait(w);
    assert_int_equal(a.rc, 0);
    return tx;
}

void ask_commit(db_world *w, ask *a, lq_db_tx *tx)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    *a = (ask){0};
    ask_expect(w, a);
    assert_int_equal(lq_db_commit(tx, 10000, ask_done, a, &a->call, &err), 0);
    db_world_wait(w);
}

void ask_run_in(db_world *w, lq_db_tx *tx, const char *sql)
{
    ask a;
    ask_now(w, &a, tx, sql, "");
    ask_release(&a);
}
