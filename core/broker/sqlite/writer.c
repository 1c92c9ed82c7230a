/* The writer: everything that changes the file, many operations at a time.
 *
 *   gather ─► BEGIN ─► apply … ─► COMMIT ─► answer ─► wake others ─► gather
 *
 * A transaction takes what waits when it begins, for a slice of time at most:
 * writers of other processes wait for it to end.  What is left over is the
 * first of the next.  An operation that fails as a whole has left nothing of
 * itself: should a quick one, the transaction is repeated with a savepoint for
 * each.  When SQLite gives up the transaction (the disk is full), all that
 * were in it are answered with the reason, and nothing of them is in the file.
 */
#include "sqlite/engine_parts.h"

#include "base/clock.h"
#include "base/spin.h"

#include <stdio.h>
#include <sys/stat.h>

#define LOCK_NS ((int64_t)5 * 1000000000) /* for others to finish writing */
#define SLICE_MS 15    /* of one transaction, but one operation at least */
#define GATHER_MAX 512 /* operations gathered at a time */
#define WAL_MAX ((int64_t)48 << 20) /* below what is promised: 64 MiB */
#define LOOK_MS 10                  /* how often the WAL is looked at */
#define LOOK_AGAIN_MS 500           /* whether it can be emptied now */
#define STUCK_MS 10000              /* … while it mostly cannot */

/* Under the lock: moves what waits into the writer's hands. */
static void gather(lq_sqlite_engine *e, lq_list *batch)
{
    size_t room = GATHER_MAX;

    while (room > 0 && !lq_list_empty(&e->to_write)) {
        lq_sqlite_client *c =
            LQ_OF(lq_list_shift(&e->to_write), lq_sqlite_client, write_node);
        lq_list *node;
        while (room > 0 && (node = lq_list_shift(&c->to_write))) {
            lq_list_append(&c->writing, node);
            c->under_way++;
            room--;
        }
        if (!lq_list_empty(&c->to_write))
            lq_list_append(&e->to_write, &c->write_node);
        if (lq_list_empty(&c->batch_node))
            lq_list_append(batch, &c->batch_node);
    }
}

enum ended { APPLIED, GIVEN_UP, TO_REPEAT };

/* Applies what is in hand until the slice of time is over.  GIVEN_UP: SQLite
 * gave the transaction up; *why says it.  TO_REPEAT: one of the operations left
 * something behind, and nothing that would undo it alone. */
static enum ended apply(lq_sqlite_engine *e, const lq_list *batch, bool quick,
                        lunaq_error *why)
{
    int64_t now = lq_now_ms(), until = lq_mono_ms() + SLICE_MS;

    for (lq_list *b = batch->next; b != batch; b = b->next) {
        lq_sqlite_client *c = LQ_OF(b, lq_sqlite_client, batch_node);
        lq_list *node;
        while ((node = lq_list_shift(&c->writing))) {
            lq_op *op = LQ_OF(node, lq_op, node);
            bool whole = true;
            lq_list_append(&c->wrote, node);
            if (quick)
                whole = lq_sqlite_apply_quick(e->writer, op, now);
            else
                lq_sqlite_apply(e->writer, op, now);
            if (!lq_sqlite_in_transaction(e->writer)) {
                *why = op->err;
                return GIVEN_UP;
            }
            if (!whole)
                return TO_REPEAT;
            if (lq_mono_ms() >= until)
                return APPLIED;
        }
    }
    return APPLIED;
}

/* Puts all that was applied before what was not: it shall be applied again. */
static void take_back(const lq_list *batch)
{
    for (lq_list *b = batch->next; b != batch; b = b->next) {
        lq_sqlite_client *c = LQ_OF(b, lq_sqlite_client, batch_node);
        lq_list *node;
        while ((node = lq_list_shift(&c->writing)))
            lq_list_append(&c->wrote, node);
        while ((node = lq_list_shift(&c->wrote)))
            lq_list_append(&c->writing, node);
    }
}

/* Carries out one transaction.  What was in it is in the clients' `wrote`; rc
 * != 0: none of it happened; but LUNAQ_EUNKNOWN, as lq_sqlite_commit(). */
static int transact(lq_sqlite_engine *e, const lq_list *batch, lunaq_error *why)
{
    for (bool quick = true;; quick = false) {
        int rc = lq_sqlite_begin(e->writer, LQ_SQLITE_WRITE,
                                 lq_mono_ns() + LOCK_NS, why);
        if (rc) { /* all that wait are told */
            for (lq_list *b = batch->next; b != batch; b = b->next) {
                lq_sqlite_client *c = LQ_OF(b, lq_sqlite_client, batch_node);
                lq_list *node;
                while ((node = lq_list_shift(&c->writing)))
                    lq_list_append(&c->wrote, node);
            }
            return rc;
        }
        enum ended ended = apply(e, batch, quick, why);
        if (ended == APPLIED)
            return lq_sqlite_commit(e->writer, why);
        lq_sqlite_rollback(e->writer);
        if (ended == GIVEN_UP)
            return why->code ? why->code : LUNAQ_EBROKER;
        take_back(batch); /* and now so that each answers for itself */
    }
}

/* Under the lock: gives back what the transaction carried, and leaves in
 * *batch who still has something. */
static void answer(lq_list *batch, int rc, const lunaq_error *why)
{
    LQ_LIST_EACH (batch, b) {
        lq_sqlite_client *c = LQ_OF(b, lq_sqlite_client, batch_node);
        lq_list *node;
        if (lq_list_empty(&c->writing))
            lq_list_remove(b);
        while ((node = lq_list_shift(&c->wrote))) {
            lq_op *op = LQ_OF(node, lq_op, node);
            if (rc)
                lq_sqlite_undone(op, why);
            c->under_way--;
            lq_sqlite_finish(c, op);
        }
    }
}

/* Above the mark the WAL is emptied at once: everything in it is moved to the
 * file, and for that moment nobody reads or writes.  Our own readers make way
 * within a second; who does not is not ours, and as long as that one stays
 * nobody is held up for it again but now and then. */
static void keep_small(lq_sqlite_engine *e)
{
    char path[4096 + 8];
    struct stat st;
    int64_t now = lq_mono_ms();

    if (now < e->truncate_not_before)
        return;
    e->truncate_not_before = now + LOOK_MS;
    snprintf(path, sizeof(path), "%s-wal", e->path);
    if (stat(path, &st) || st.st_size < WAL_MAX)
        return;
    e->truncate_not_before = now + LOOK_AGAIN_MS;
    if (now < e->stuck_until && !lq_sqlite_checkpoint(e->writer, false))
        return;
    if (lq_sqlite_checkpoint(e->writer, true)) {
        e->truncate_not_before = e->stuck_until = 0;
        return;
    }
    e->stuck_until = now + STUCK_MS;
    if (lq_log_gate(&e->busy_gate, 30000))
        LQ_LOG(e->log, WARN,
               "the queue file's WAL cannot be emptied: another program keeps "
               "a read transaction open on it",
               lq_fc("file", e->path), lq_fi("wal_bytes", st.st_size));
}

/* Under the lock.  Producers that wait for their commit come back at once. */
static void await_work(lq_sqlite_engine *e)
{
    int64_t until = lq_spin_begin(&e->spin);

    if (until) {
        pthread_mutex_unlock(&e->lock);
        while (!atomic_load(&e->submitted) && lq_mono_ns() < until)
            ;
        pthread_mutex_lock(&e->lock);
    }
    while (lq_list_empty(&e->to_write) && !e->stop)
        pthread_cond_wait(&e->write_ready, &e->lock);
    lq_spin_end(&e->spin);
}

void *lq_sqlite_writer_main(void *arg)
{
    lq_sqlite_engine *e = arg;
    lq_list batch;

    lq_list_init(&batch);
    pthread_mutex_lock(&e->lock);
    for (;;) {
        lunaq_error why = LUNAQ_ERROR_INIT;
        gather(e, &batch);
        atomic_store(&e->submitted, false);
        if (lq_list_empty(&batch)) {
            if (e->stop)
                break;
            await_work(e);
            continue;
        }
        pthread_mutex_unlock(&e->lock);

        int rc = transact(e, &batch, &why);
        bool there = !rc || rc == LUNAQ_EUNKNOWN;
        const lq_sqlite_wakes *wakes = lq_sqlite_wakes_of(e->writer);
        pthread_mutex_lock(&e->lock);
        answer(&batch, rc, &why);
        if (there)
            lq_sqlite_watch_committed(e, wakes);
        pthread_mutex_unlock(&e->lock);

        if (there) {
            lq_sqlite_ring(&e->ringer, LQ_SQLITE_BELL_TASK,
                           lq_buf_str(&wakes->queues), &e->tasks);
            lq_sqlite_ring(&e->ringer, LQ_SQLITE_BELL_CANCEL,
                           lq_buf_str(&wakes->cancels), &e->cancels);
        }
        if (rc && lq_log_gate(&e->failed_gate, 5000))
            LQ_LOG(e->log, ERROR,
                   there ? "the disk of the queue file does not sync"
                         : "the queue file takes no writes",
                   lq_fc("file", e->path), lq_fc("reason", why.message));
        keep_small(e);
        pthread_mutex_lock(&e->lock);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}
