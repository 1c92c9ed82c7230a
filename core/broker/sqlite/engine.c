/* The engine's life, and what its clients see.  The work is done in writer.c,
 * reader.c, watch.c and keeper.c. */
#include "sqlite/engine_parts.h"

#include "base/clock.h"
#include "base/cpus.h"

#include <assert.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define OPEN_NS ((int64_t)10 * 1000000000)
#define WRITER_CACHE_KIB 65536 /* filled only as the file grows */
#define OTHER_CACHE_KIB 2048

/* ---- clients ------------------------------------------------------------- */

void lq_sqlite_tell(lq_sqlite_client *c)
{
    if (c->told)
        return;
    c->told = true;
    c->tell(c);
}

void lq_sqlite_finish(lq_sqlite_client *c, lq_op *op)
{
    if (c->closing)
        lq_sqlite_refuse(op, LUNAQ_ECANCELED, "the connection was closed");
    lq_list_append(&c->finished, &op->node);
    lq_sqlite_tell(c);
}

void lq_sqlite_refuse(lq_op *op, int rc, const char *why)
{
    op->rc = lq_fail(&op->err, rc, "sqlite: %s", why);
}

void lq_sqlite_client_add(lq_sqlite_engine *e, lq_sqlite_client *c)
{
    lq_list *lists[] = {&c->node,      &c->write_node, &c->batch_node,
                        &c->read_node, &c->to_write,   &c->to_read,
                        &c->writing,   &c->wrote,      &c->listens,
                        &c->finished};

    for (size_t i = 0; i < LQ_COUNT(lists); i++)
        lq_list_init(lists[i]);
    lq_buf_init(&c->cancels, (size_t)1 << 20);
    pthread_mutex_lock(&e->lock);
    lq_list_append(&e->clients, &c->node);
    pthread_mutex_unlock(&e->lock);
}

void lq_sqlite_submit(lq_sqlite_engine *e, lq_sqlite_client *c, lq_op *op)
{
    pthread_mutex_lock(&e->lock);
    if (c->closing) {
        lq_sqlite_finish(c, op);
    } else if (op->kind == LQ_OP_WAIT || op->kind == LQ_OP_LISTEN) {
        lq_sqlite_watch_submit(e, c, op);
    } else if (lq_sqlite_reads(op)) {
        if (lq_list_empty(&c->to_read))
            lq_list_append(&e->to_read, &c->read_node);
        lq_list_append(&c->to_read, &op->node);
        pthread_cond_signal(&e->read_ready);
    } else {
        if (lq_list_empty(&c->to_write))
            lq_list_append(&e->to_write, &c->write_node);
        lq_list_append(&c->to_write, &op->node);
        atomic_store(&e->submitted, true);
        pthread_cond_signal(&e->write_ready);
    }
    pthread_mutex_unlock(&e->lock);
}

void lq_sqlite_collect(lq_sqlite_engine *e, lq_sqlite_client *c, lq_list *ended,
                       lq_buf *cancels)
{
    lq_list *node;

    pthread_mutex_lock(&e->lock);
    c->told = false;
    while ((node = lq_list_shift(&c->finished)))
        lq_list_append(ended, node);
    *cancels = c->cancels;
    lq_buf_init(&c->cancels, (size_t)1 << 20);
    pthread_mutex_unlock(&e->lock);
}

void lq_sqlite_client_close(lq_sqlite_engine *e, lq_sqlite_client *c)
{
    lq_list *node;

    pthread_mutex_lock(&e->lock);
    assert(!c->closing);
    c->closing = true;
    lq_list_remove(&c->write_node);
    lq_list_remove(&c->read_node);
    while ((node = lq_list_shift(&c->to_write)) ||
           (node = lq_list_shift(&c->to_read)))
        lq_sqlite_finish(c, LQ_OF(node, lq_op, node));
    lq_sqlite_watch_drop(e, c);
    lq_sqlite_tell(c);
    pthread_mutex_unlock(&e->lock);
}

bool lq_sqlite_client_remove(lq_sqlite_engine *e, lq_sqlite_client *c)
{
    pthread_mutex_lock(&e->lock);
    bool idle = c->under_way == 0 && lq_list_empty(&c->finished) && !c->told;
    if (idle)
        lq_list_remove(&c->node);
    pthread_mutex_unlock(&e->lock);
    if (idle)
        lq_buf_release(&c->cancels);
    return idle;
}

/* ---- life ---------------------------------------------------------------- */

static void end_thread(pthread_t thread, bool started)
{
    if (started)
        pthread_join(thread, NULL);
}

void lq_sqlite_engine_close(lq_sqlite_engine *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->lock);
    assert(lq_list_empty(&e->clients));
    e->stop = true;
    pthread_cond_broadcast(&e->write_ready);
    pthread_cond_broadcast(&e->read_ready);
    pthread_cond_broadcast(&e->stopping);
    lq_sqlite_watch_poke(e);
    pthread_mutex_unlock(&e->lock);
    end_thread(e->writer_thread, e->writer_started);
    end_thread(e->watch_thread, e->watch_started);
    end_thread(e->keeper_thread, e->keeper_started);
    for (size_t i = 0; i < LQ_SQLITE_READERS; i++) {
        end_thread(e->readers[i].thread, e->readers[i].started);
        lq_sqlite_close(e->readers[i].q);
    }
    lq_sqlite_close(e->watch);
    lq_sqlite_close(e->keeper);
    lq_sqlite_close(e->writer); /* last: it leaves no WAL behind */
    lq_sqlite_bell_close(&e->tasks);
    lq_sqlite_bell_close(&e->cancels);
    lq_sqlite_ringer_close(&e->ringer);
    if (e->watch_wake >= 0)
        close(e->watch_wake);
    pthread_cond_destroy(&e->write_ready);
    pthread_cond_destroy(&e->read_ready);
    pthread_cond_destroy(&e->stopping);
    pthread_mutex_destroy(&e->lock);
    lq_free(e->path);
    lq_free(e);
}

static void init_lock(lq_sqlite_engine *e)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&e->write_ready, &attr);
    pthread_cond_init(&e->read_ready, &attr);
    pthread_cond_init(&e->stopping, &attr);
    pthread_condattr_destroy(&attr);
}

static int open_files(lq_sqlite_engine *e,
                      const lq_sqlite_engine_options *options, lunaq_error *err)
{
    const lq_sqlite_options writer = {.normal = options->normal,
                                      .cache_kib = WRITER_CACHE_KIB};
    const lq_sqlite_options other = {.normal = options->normal,
                                     .cache_kib = OTHER_CACHE_KIB};
    int64_t until = lq_mono_ns() + OPEN_NS;
    int rc = lq_sqlite_open(&e->writer, options->path, &writer, until, err);

    for (size_t i = 0; !rc && i < LQ_SQLITE_READERS; i++) {
        e->readers[i].engine = e;
        rc =
            lq_sqlite_open(&e->readers[i].q, options->path, &other, until, err);
    }
    if (!rc)
        rc = lq_sqlite_open(&e->watch, options->path, &other, until, err);
    if (!rc)
        rc = lq_sqlite_open(&e->keeper, options->path, &other, until, err);
    return rc;
}

/* Signals are for the threads of the program. */
static int start(pthread_t *thread, bool *started, void *(*fn)(void *),
                 void *arg, lunaq_error *err)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    *started = rc == 0;
    return rc ? lq_fail(err, LUNAQ_ENOMEM, "sqlite: cannot start a thread")
              : LUNAQ_OK;
}

static int start_threads(lq_sqlite_engine *e, lunaq_error *err)
{
    int rc = start(&e->writer_thread, &e->writer_started, lq_sqlite_writer_main,
                   e, err);

    for (size_t i = 0; !rc && i < LQ_SQLITE_READERS; i++)
        rc = start(&e->readers[i].thread, &e->readers[i].started,
                   lq_sqlite_reader_main, &e->readers[i], err);
    if (!rc)
        rc = start(&e->watch_thread, &e->watch_started, lq_sqlite_watch_main, e,
                   err);
    if (!rc)
        rc = start(&e->keeper_thread, &e->keeper_started, lq_sqlite_keeper_main,
                   e, err);
    return rc;
}

int lq_sqlite_engine_open(lq_sqlite_engine **out,
                          const lq_sqlite_engine_options *options,
                          lunaq_error *err)
{
    lq_sqlite_engine *e = lq_calloc(1, sizeof(*e));
    int rc;

    *out = NULL;
    if (!e)
        return lq_fail_nomem(err);
    e->log = options->log;
    e->tasks.fd = e->cancels.fd = -1;
    e->spin.allowed = lq_cpus() > 1;
    init_lock(e);
    lq_list_init(&e->clients);
    lq_list_init(&e->to_write);
    lq_list_init(&e->to_read);
    lq_list_init(&e->waits);
    e->watch_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = open_files(e, options, err);
    if (!rc && (e->watch_wake < 0 ||
                !(e->path = lq_strdup(lq_sqlite_path(e->writer)))))
        rc = lq_fail_nomem(err);
    if (!rc) {
        e->ringer.file = e->path;
        lq_sqlite_bell_open(&e->tasks, e->path, LQ_SQLITE_BELL_TASK);
        lq_sqlite_bell_open(&e->cancels, e->path, LQ_SQLITE_BELL_CANCEL);
        rc = start_threads(e, err);
    }
    if (rc) {
        lq_sqlite_engine_close(e);
        return rc;
    }
    *out = e;
    return LUNAQ_OK;
}
