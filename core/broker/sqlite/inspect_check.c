/* CHECK: the file's own integrity, then every row of a queue.
 *
 * A task is one row with one state, so most of what can go wrong in Redis
 * cannot here; what is left is what other programs wrote into the file.  A part
 * is one transaction: what it sees cannot change before it is mended. */
#include "broker/check.h"
#include "sqlite/ops.h"

#include "task/codec.h"

#include <stdio.h>

#define PAGE 500 /* rows in one part */
#define UNKNOWN_HOLDER_MS 30000
#define SET_ENDED_MS 120000 /* a living server would have put it back */

enum phase {
    /* of "" */
    THE_FILE = 0,
    STRAYS,
    REST,
    /* of a queue */
    TASKS = 0,
    PLACES,
    LOCKS,
    DAYS,
    END = 9
};

bool lq_sqlite_check_reads(const lq_op *op)
{
    const lq_op_check *o = (const lq_op_check *)op;
    return !o->repair || (o->queue.len == 0 && o->memo->phase == THE_FILE);
}

static int told(lq_op_check *op, lq_fault_kind kind, lq_str id,
                const char *detail, bool mended)
{
    return lq_check_add(op, kind, id, lq_str_c(detail), mended)
               ? LUNAQ_OK
               : lq_fail_nomem(&op->op.err);
}

/* ---- rows of tasks ------------------------------------------------------- */

struct row {
    int64_t seq, at_ms, token;
    int64_t state;
    lq_str id, msg;
    bool timeless; /* at_ms is no integer */
    bool groupless;
    bool setless; /* of a set that is not there, or ended long ago */
};

/* What shall become of it. */
struct mended {
    bool any;
    int64_t state, at_ms, token, place; /* place 0: as it is */
    lq_str group, type, msg;            /* p NULL: as it is */
};

static int check_state(lq_sqlite *q, lq_op_check *op, int64_t queue,
                       const struct row *r, const lq_task *t, struct mended *m,
                       int64_t now_ms)
{
    char text[80];
    int rc = LUNAQ_OK;
    bool unknown = r->state < LUNAQ_ACTIVE || r->state > LUNAQ_AGGREGATING;
    bool groupless = r->state == LUNAQ_AGGREGATING && r->groupless;
    if (unknown || groupless) {
        snprintf(text, sizeof text,
                 unknown ? "no state: %lld" : "aggregating, in no group",
                 (long long)r->state);
        rc = told(op, LQ_FAULT_WRONG_STATE, r->id, text, op->repair);
        m->any = true;
        if (groupless && t->group_key.len) {
            m->group = t->group_key;
        } else {
            m->state = LUNAQ_PENDING;
            m->place = op->repair ? lq_sqlite_tail(q, queue) : 0;
        }
    }
    if (!rc && r->setless) {
        rc = told(op, LQ_FAULT_SET_UNOWNED, r->id, "", op->repair);
        m->any = true;
        m->token = 0;
    }
    if (!rc && r->token && r->state != LUNAQ_ACTIVE &&
        r->state != LUNAQ_AGGREGATING) {
        rc = told(op, LQ_FAULT_LEASE_ONLY, r->id, "is not active", op->repair);
        m->any = true;
        m->token = 0;
    }
    bool whole = r->state == LUNAQ_SCHEDULED || r->state == LUNAQ_RETRY ||
                 r->state == LUNAQ_COMPLETED;
    if (!rc && (r->timeless || (whole && r->at_ms % 1000 != 0))) {
        snprintf(text, sizeof text, "%s at %lld ms",
                 lunaq_state_name((lunaq_state)r->state), (long long)r->at_ms);
        rc = told(op, LQ_FAULT_SCORE, r->id, text, op->repair);
        m->any = true;
        m->at_ms = lq_sqlite_whole_s(r->timeless ? now_ms : r->at_ms);
    }
    return rc;
}

/* fresh: a buffer that outlives m. */
static int check_message(lq_op_check *op, const struct row *r, lq_task *t,
                         const lunaq_error *why, struct mended *m,
                         lq_buf *fresh, int64_t now_ms)
{
    char text[LUNAQ_NAME_MAX * 3];
    if (!why->code) {
        if (lq_str_eq(t->id, r->id) && lq_str_eq(t->queue, op->queue))
            return LUNAQ_OK;
        snprintf(text, sizeof text, "%.*s in queue '%.*s'", LQ_STR_ARG(t->id),
                 LQ_STR_ARG(t->queue));
        m->any = true;
        t->id = r->id;
        t->queue = op->queue;
        lq_task_encode(fresh, t);
        m->msg = lq_buf_str(fresh);
        return told(op, LQ_FAULT_WRONG_NAME, r->id, text, op->repair);
    }
    /* Who runs it archives it. */
    bool held =
        r->state == LUNAQ_ACTIVE && r->at_ms > now_ms - UNKNOWN_HOLDER_MS;
    snprintf(text, sizeof text, "%s",
             r->msg.len ? why->message : "it is empty");
    if (!held) {
        lq_task undecodable = {.type = LQ_STR(LQ_TYPE_UNDECODABLE),
                               .payload = r->msg,
                               .id = r->id,
                               .queue = op->queue,
                               .timeout_s = LQ_TIMEOUT_DEFAULT_S,
                               .error_msg = lq_str_c(text)};
        lq_task_encode(fresh, &undecodable);
        m->any = true;
        m->state = LUNAQ_ARCHIVED;
        m->at_ms = now_ms;
        m->token = 0;
        m->type = LQ_STR(LQ_TYPE_UNDECODABLE);
        m->msg = lq_buf_str(fresh);
    }
    return told(op, LQ_FAULT_UNDECODABLE, r->id, text, op->repair && !held);
}

static void mend(lq_sqlite *q, const struct row *r, const struct mended *m)
{
    lq_query x = lq_query_begin(q, LQ_SQL_CHECK_MEND);
    lq_query_int(&x, r->seq);
    lq_query_int(&x, m->state);
    lq_query_int(&x, m->at_ms);
    lq_query_int(&x, m->token);
    lq_query_text(&x, m->group);
    if (m->place)
        lq_query_int(&x, m->place);
    else
        lq_query_null(&x);
    lq_query_text(&x, m->type);
    lq_query_blob(&x, m->msg);
    lq_query_run(&x);
}

static int check_row(lq_sqlite *q, lq_op_check *op, int64_t queue,
                     const struct row *r, int64_t now_ms)
{
    lq_task t = {0};
    lunaq_error why = LUNAQ_ERROR_INIT;
    struct mended m = {.state = r->state, .at_ms = r->at_ms, .token = r->token};
    lq_buf fresh;
    lq_buf_init(&fresh, 0);
    if (r->msg.len == 0)
        lq_fail(&why, LUNAQ_EPROTO, "it has no message");
    else if (lq_task_decode(&t, r->msg, &why)) {
        lq_task_release(&t);
        t = (lq_task){0};
    }
    int rc = check_state(q, op, queue, r, &t, &m, now_ms);
    if (!rc)
        rc = check_message(op, r, &t, &why, &m, &fresh, now_ms);
    if (!rc && fresh.failed)
        rc = lq_fail_nomem(&op->op.err);
    if (!rc && m.any && op->repair)
        mend(q, r, &m);
    lq_task_release(&t);
    lq_buf_release(&fresh);
    return rc;
}

/* Changing a row while the query stands on it would move it in its indexes, so
 * a page is read first. */
static int check_tasks(lq_sqlite *q, lq_op_check *op, int64_t queue,
                       int64_t now_ms)
{
    lq_check_memo *memo = op->memo;
    struct row *rows = lq_arena_alloc(&op->op.mem, PAGE * sizeof *rows);
    size_t n = 0, bytes = 0;
    bool last = true;
    if (!rows)
        return lq_fail_nomem(&op->op.err);
    lq_query x = lq_query_begin(q, LQ_SQL_CHECK_TASKS);
    lq_query_int(&x, queue);
    lq_query_int(&x, (int64_t)memo->at);
    lq_query_int(&x, PAGE);
    lq_query_int(&x, now_ms - SET_ENDED_MS);
    while (n < PAGE && lq_query_row(&x)) {
        struct row *r = &rows[n++];
        r->seq = lq_column_int(&x, 0);
        r->id = lq_column_copy(&x, 1, &op->op.mem);
        r->state = lq_column_int(&x, 2);
        r->at_ms = lq_column_int(&x, 3);
        r->timeless = !lq_str_eq(lq_column_bytes(&x, 4), LQ_STR("integer"));
        r->token = lq_column_int(&x, 5);
        r->groupless = lq_column_int(&x, 6) != 0;
        r->setless = lq_column_int(&x, 7) != 0;
        r->msg = lq_column_copy(&x, 8, &op->op.mem);
        memo->at = (size_t)r->seq;
        bytes += r->msg.len;
        last = n < PAGE && bytes < ((size_t)8 << 20);
        if (!last)
            break;
    }
    lq_query_end(&x);
    op->tasks = (int64_t)n;
    int rc = LUNAQ_OK;
    for (size_t i = 0; !rc && i < n; i++)
        rc = check_row(q, op, queue, &rows[i], now_ms);
    if (!rc && last)
        memo->phase = PLACES;
    return rc;
}

/* ---- what is around them ------------------------------------------------- */

/* Two columns of each row of a query, read before anything is changed. */
struct pair {
    int64_t number;
    lq_str text, more;
};

static int read_pairs(lq_query *x, lq_op_check *op, struct pair **out,
                      size_t *count)
{
    *count = 0;
    *out = lq_arena_alloc(&op->op.mem, PAGE * sizeof **out);
    while (*out && *count < PAGE && lq_query_row(x)) {
        struct pair *p = &(*out)[(*count)++];
        p->number = lq_column_int(x, 0);
        p->text = lq_column_copy(x, 0, &op->op.mem);
        p->more = lq_column_copy(x, 1, &op->op.mem);
    }
    lq_query_end(x);
    return *out ? LUNAQ_OK : lq_fail_nomem(&op->op.err);
}

static int check_places(lq_sqlite *q, lq_op_check *op, int64_t queue)
{
    struct pair *list;
    size_t n;
    lq_query x = lq_query_begin(q, LQ_SQL_CHECK_PLACES);
    lq_query_int(&x, queue);
    lq_query_int(&x, PAGE);
    int rc = read_pairs(&x, op, &list, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        if (op->repair) {
            int64_t tail = lq_sqlite_tail(q, queue);
            x = lq_query_begin(q, LQ_SQL_CHECK_PLACE);
            lq_query_int(&x, list[i].number);
            lq_query_int(&x, tail);
            lq_query_run(&x);
        }
        rc = told(op, LQ_FAULT_PLACE, list[i].more, "", op->repair);
    }
    if (n == 0 || !op->repair)
        op->memo->phase = LOCKS;
    return rc;
}

static int check_locks(lq_sqlite *q, lq_op_check *op, int64_t queue,
                       int64_t now_ms)
{
    struct pair *list;
    size_t n;
    lq_query x = lq_query_begin(q, LQ_SQL_CHECK_LOCKS);
    lq_query_int(&x, queue);
    lq_query_int(&x, now_ms);
    lq_query_int(&x, PAGE);
    int rc = read_pairs(&x, op, &list, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        if (op->repair)
            lq_sqlite_unlock(q, list[i].text, list[i].more);
        if (!lq_check_add(op, LQ_FAULT_LOCK_DEAD, list[i].text, list[i].more,
                          op->repair))
            rc = lq_fail_nomem(&op->op.err);
    }
    if (n < PAGE || !op->repair)
        op->memo->phase = DAYS;
    return rc;
}

static int check_days(lq_sqlite *q, lq_op_check *op, int64_t queue)
{
    struct pair *list;
    size_t n;
    lq_query x = lq_query_begin(q, LQ_SQL_CHECK_DAYS);
    lq_query_int(&x, queue);
    lq_query_int(&x, PAGE);
    int rc = read_pairs(&x, op, &list, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        char name[60], text[80];
        if (op->repair) {
            x = lq_query_begin(q, LQ_SQL_CHECK_DAY);
            lq_query_int(&x, queue);
            lq_query_int(&x, list[i].number);
            lq_query_run(&x);
        }
        snprintf(name, sizeof name, "failed of day %lld",
                 (long long)list[i].number);
        snprintf(text, sizeof text, "%.*s, more than all that was processed",
                 LQ_STR_ARG(list[i].more));
        rc = told(op, LQ_FAULT_COUNTER, lq_str_c(name), text, op->repair);
    }
    if (n < PAGE || !op->repair)
        op->memo->phase = END;
    return rc;
}

/* ---- the file ------------------------------------------------------------ */

static int check_file(lq_sqlite *q, lq_op_check *op)
{
    int rc = LUNAQ_OK;
    lq_query x = lq_query_begin(q, LQ_SQL_CHECK_FILE);
    while (!rc && lq_query_row(&x)) {
        lq_str line = lq_column_bytes(&x, 0);
        if (!lq_str_eq(line, LQ_STR("ok")) &&
            !lq_check_add(op, LQ_FAULT_FILE, LQ_STR("file"), line, false))
            rc = lq_fail_nomem(&op->op.err);
    }
    lq_query_end(&x);
    op->memo->phase = STRAYS;
    return rc;
}

/* Tasks of a queue that is not there go to the one of their message. */
static bool bring_home(lq_sqlite *q, int64_t seq, lq_str msg)
{
    lq_task t = {0};
    bool moved = false;
    if (!lq_task_decode(&t, msg, NULL) &&
        !lq_name_check("queue", t.queue, NULL)) {
        int64_t queue = lq_sqlite_queue_made(q, t.queue);
        lq_query x = lq_query_begin(q, LQ_SQL_CHECK_STRAY);
        lq_query_int(&x, seq);
        lq_query_int(&x, queue);
        moved = lq_query_run(&x) == 1;
        if (moved)
            lq_sqlite_wake_queue(q, t.queue);
    }
    lq_task_release(&t);
    return moved;
}

static int check_strays(lq_sqlite *q, lq_op_check *op)
{
    int rc = LUNAQ_OK;
    size_t n = 0;
    struct row *rows = lq_arena_alloc(&op->op.mem, PAGE * sizeof *rows);
    if (!rows)
        return lq_fail_nomem(&op->op.err);
    lq_query x = lq_query_begin(q, LQ_SQL_CHECK_STRAYS);
    lq_query_int(&x, (int64_t)op->memo->at); /* behind the last one */
    lq_query_int(&x, PAGE);
    while (n < PAGE && lq_query_row(&x)) {
        rows[n].seq = lq_column_int(&x, 0);
        rows[n].id = lq_column_copy(&x, 1, &op->op.mem);
        rows[n++].msg = lq_column_copy(&x, 2, &op->op.mem);
    }
    lq_query_end(&x);
    for (size_t i = 0; !rc && i < n; i++) {
        char text[LUNAQ_NAME_MAX + 16];
        bool home = op->repair && bring_home(q, rows[i].seq, rows[i].msg);
        snprintf(text, sizeof text, "task %.*s", LQ_STR_ARG(rows[i].id));
        rc = told(op, LQ_FAULT_NO_QUEUE, rows[i].id, text, home);
        op->memo->at = (size_t)rows[i].seq;
    }
    if (n < PAGE)
        op->memo->phase = REST;
    return rc;
}

static int check_rest(lq_sqlite *q, lq_op_check *op)
{
    static const enum lq_sql rest[] = {
        LQ_SQL_CHECK_REST_LOCKS,  LQ_SQL_CHECK_REST_DAYS,
        LQ_SQL_CHECK_REST_CRON,   LQ_SQL_CHECK_REST_SETS,
        LQ_SQL_CHECK_REST_UNTOLD, LQ_SQL_CHECK_REST_FAILURES};
    lq_query x = lq_query_begin(q, LQ_SQL_CHECK_REST);
    int64_t n = lq_query_one(&x, 0);
    char text[80];
    for (size_t i = 0; n && op->repair && i < LQ_COUNT(rest); i++) {
        x = lq_query_begin(q, rest[i]);
        lq_query_run(&x);
    }
    op->memo->phase = END;
    snprintf(text, sizeof text, "%lld locks, days, periodic entries and sets",
             (long long)n);
    return n ? told(op, LQ_FAULT_NO_QUEUE, LQ_STR("rest"), text, op->repair)
             : LUNAQ_OK;
}

int lq_sqlite_check(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_check *op = (lq_op_check *)base;
    int phase = op->memo->phase;
    int rc;
    op->count = 0;
    op->tasks = 0;
    if (op->queue.len == 0) {
        rc = phase == THE_FILE ? check_file(q, op)
             : phase == STRAYS ? check_strays(q, op)
                               : check_rest(q, op);
    } else {
        int64_t queue = lq_sqlite_queue(q, op->queue);
        rc = phase == TASKS    ? check_tasks(q, op, queue, now_ms)
             : phase == PLACES ? check_places(q, op, queue)
             : phase == LOCKS  ? check_locks(q, op, queue, now_ms)
                               : check_days(q, op, queue);
    }
    op->more = op->memo->phase != END;
    return rc;
}
