/* AUDIT: looks for what must never be, over all of a queue. */
#include "sqlite/ops.h"
#include "broker/inspect.h"

int lq_sqlite_audit(lq_sqlite *q, lq_op *op, int64_t now_ms)
{
    enum { FAULTS_MAX = 100 };
    static const enum lq_sql checks[] = {
        LQ_SQL_AUDIT_STATES, LQ_SQL_AUDIT_SETS, LQ_SQL_AUDIT_PLACES,
        LQ_SQL_AUDIT_LOCKS, LQ_SQL_AUDIT_ORPHANS};
    lq_op_audit *o = (lq_op_audit *)op;
    int64_t queue = lq_sqlite_queue(q, o->queue);

    o->count = 0;
    o->faults = lq_arena_alloc(&op->mem, FAULTS_MAX * sizeof(*o->faults));
    if (!o->faults)
        return lq_fail_nomem(&op->err);
    for (size_t i = 0; i < LQ_COUNT(checks); i++) {
        lq_query x = lq_query_begin(q, checks[i]);
        lq_query_int(&x, queue);
        if (checks[i] == LQ_SQL_AUDIT_LOCKS)
            lq_query_int(&x, now_ms);
        while (o->count < FAULTS_MAX && lq_query_row(&x))
            o->faults[o->count++] = lq_column_copy(&x, 0, &op->mem);
        lq_query_end(&x);
    }
    return LUNAQ_OK;
}
