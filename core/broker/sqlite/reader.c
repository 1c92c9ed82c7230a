/* The readers: operations that change nothing, each in a snapshot of its own.
 *
 * A snapshot keeps the WAL from being emptied, so none lasts longer than a
 * second: what takes longer is interrupted and answers for itself.
 */
#include "sqlite/engine_parts.h"

#include "base/clock.h"

#define SNAPSHOT_MS 1000
#define BUSY_NS ((int64_t)1000000000) /* another program recovers the file */
#define STEPS_BETWEEN_LOOKS 20000     /* of SQLite's virtual machine: < 1 ms */

static int too_long(void *ud)
{
    const lq_sqlite_reader *r = ud;
    return lq_mono_ms() > r->until;
}

static void carry_out(lq_sqlite_reader *r, lq_op *op)
{
    lunaq_error err = LUNAQ_ERROR_INIT;

    r->until = lq_mono_ms() + SNAPSHOT_MS;
    if (lq_sqlite_begin(r->q, LQ_SQLITE_READ, lq_mono_ns() + BUSY_NS, &err)) {
        op->rc = err.code;
        op->err = err;
        return;
    }
    lq_sqlite_apply(r->q, op, lq_now_ms());
    lq_sqlite_rollback(r->q);
}

static lq_sqlite_client *next(lq_sqlite_engine *e, lq_op **op)
{
    lq_list *node = lq_list_shift(&e->to_read);

    if (!node)
        return NULL;
    lq_sqlite_client *c = LQ_OF(node, lq_sqlite_client, read_node);
    *op = LQ_OF(lq_list_shift(&c->to_read), lq_op, node);
    if (!lq_list_empty(&c->to_read)) /* the others' turn first */
        lq_list_append(&e->to_read, &c->read_node);
    return c;
}

void *lq_sqlite_reader_main(void *arg)
{
    lq_sqlite_reader *r = arg;
    lq_sqlite_engine *e = r->engine;

    sqlite3_progress_handler(lq_sqlite_db(r->q), STEPS_BETWEEN_LOOKS, too_long,
                             r);
    pthread_mutex_lock(&e->lock);
    while (!e->stop) {
        lq_op *op;
        lq_sqlite_client *c = next(e, &op);
        if (!c) {
            pthread_cond_wait(&e->read_ready, &e->lock);
            continue;
        }
        c->under_way++;
        pthread_mutex_unlock(&e->lock);
        carry_out(r, op);
        pthread_mutex_lock(&e->lock);
        c->under_way--;
        lq_sqlite_finish(c, op);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}
