/* The watch: ends waits when their queue has a task, and tells those who listen
 * of tasks to cancel.
 *
 * It sleeps until a bell rings (another process committed), the writer pokes it
 * (this one did), or data_version shows that something was missed.  The bell
 * for tasks is heard only while somebody waits for one: on a busy server nobody
 * does, and producers find its socket full and go on.
 */
#include "sqlite/engine_parts.h"

#include "base/clock.h"
#include "sqlite/wait.h"

#include <poll.h>
#include <unistd.h>

#define LISTEN_NET_MS 1000 /* data_version when nobody waits */

/* ---- lists, under the lock ----------------------------------------------- */

void lq_sqlite_watch_poke(lq_sqlite_engine *e)
{
    uint64_t one = 1;
    if (e->watch_wake >= 0 && write(e->watch_wake, &one, sizeof(one)) < 0)
        return; /* its counter is full: it is awake */
}

void lq_sqlite_watch_submit(lq_sqlite_engine *e, lq_sqlite_client *c, lq_op *op)
{
    if (op->kind == LQ_OP_LISTEN) {
        lq_list_append(&c->listens, &op->node);
        if (e->listen_count++ == 0) {
            e->first_listen = true;
            lq_sqlite_watch_poke(e);
        }
        return;
    }
    lq_sqlite_waiting *w = lq_calloc(1, sizeof(*w));
    if (!w) {
        lq_sqlite_refuse(op, LUNAQ_ENOMEM, "out of memory");
        lq_sqlite_finish(c, op);
        return;
    }
    w->client = c;
    w->op = LQ_OF(op, lq_op_wait, op);
    w->op->woke = false;
    w->until = lq_mono_ms() + w->op->timeout_ms;
    lq_list_append(&e->waits, &w->node);
    e->watch_look = true;
    lq_sqlite_watch_poke(e);
}

static void end_wait(lq_sqlite_waiting *w, bool woke)
{
    lq_list_remove(&w->node);
    w->op->woke = woke;
    lq_sqlite_finish(w->client, &w->op->op);
    lq_free(w);
}

void lq_sqlite_watch_drop(lq_sqlite_engine *e, lq_sqlite_client *c)
{
    lq_list *node;

    while ((node = lq_list_shift(&c->listens))) {
        e->listen_count--;
        lq_sqlite_finish(c, LQ_OF(node, lq_op, node));
    }
    LQ_LIST_EACH (&e->waits, n) {
        lq_sqlite_waiting *w = LQ_OF(n, lq_sqlite_waiting, node);
        if (w->client == c)
            end_wait(w, false);
    }
}

static bool is_waited_for(const lq_sqlite_engine *e, lq_str queue)
{
    LQ_LIST_EACH (&e->waits, n) {
        const lq_sqlite_waiting *w = LQ_OF(n, lq_sqlite_waiting, node);
        if (lq_str_eq(w->op->queue, queue))
            return true;
    }
    return false;
}

void lq_sqlite_watch_committed(lq_sqlite_engine *e,
                               const lq_sqlite_wakes *wakes)
{
    lq_str rest = lq_buf_str(&wakes->queues), name;
    bool poke = wakes->cancels.len > 0 && e->listen_count > 0;

    while (!e->watch_look && !lq_list_empty(&e->waits) &&
           lq_sqlite_next_name(&rest, &name))
        if (is_waited_for(e, name))
            poke = e->watch_look = true;
    if (wakes->cancels.len > 0)
        e->watch_listen = true;
    if (poke)
        lq_sqlite_watch_poke(e);
}

/* ---- looking, without the lock ------------------------------------------- */

/* Ends the waits whose queue has a task now. */
static bool look_pending(lq_sqlite_engine *e, lunaq_error *err)
{
    lq_arena mem = {0};
    lq_str queues[LQ_QUEUES_MAX];
    bool has[LQ_QUEUES_MAX];
    size_t n = 0;

    pthread_mutex_lock(&e->lock);
    LQ_LIST_EACH (&e->waits, node) {
        lq_str name = LQ_OF(node, lq_sqlite_waiting, node)->op->queue;
        bool known = false;
        for (size_t i = 0; i < n && !known; i++)
            known = lq_str_eq(queues[i], name);
        if (known || n == LQ_QUEUES_MAX)
            continue;
        char *copy = lq_arena_dup(&mem, name); /* the wait may be dropped */
        if (copy)
            queues[n++] = lq_str_n(copy, name.len);
    }
    pthread_mutex_unlock(&e->lock);
    int rc = lq_sqlite_look_pending(e->watch, queues, n, has, err);

    pthread_mutex_lock(&e->lock);
    LQ_LIST_EACH (&e->waits, node) {
        lq_sqlite_waiting *w = LQ_OF(node, lq_sqlite_waiting, node);
        for (size_t i = 0; !rc && i < n; i++) {
            if (has[i] && lq_str_eq(queues[i], w->op->queue)) {
                end_wait(w, true);
                break;
            }
        }
    }
    pthread_mutex_unlock(&e->lock);
    lq_arena_release(&mem);
    return rc == LUNAQ_OK;
}

static void heard(void *ud, lq_str id)
{
    lq_sqlite_engine *e = ud;

    pthread_mutex_lock(&e->lock);
    LQ_LIST_EACH (&e->clients, n) {
        lq_sqlite_client *c = LQ_OF(n, lq_sqlite_client, node);
        if (lq_list_empty(&c->listens))
            continue;
        /* A buffer that is full loses it; the next renewal of the task's lease
         * tells the same. */
        lq_buf_add(&c->cancels, id.p, id.len);
        lq_buf_add_char(&c->cancels, 0);
        lq_sqlite_tell(c);
    }
    pthread_mutex_unlock(&e->lock);
}

/* ---- the thread ---------------------------------------------------------- */

struct plan {
    bool waits, listens;
    bool look, listen; /* now */
    bool first_listen;
    int64_t until; /* of the next wait's timeout */
};

/* Ends the waits that are over and says what there is to do. */
static bool plan(lq_sqlite_engine *e, struct plan *p)
{
    int64_t now = lq_mono_ms();

    *p = (struct plan){.until = now + LISTEN_NET_MS};
    pthread_mutex_lock(&e->lock);
    bool stop = e->stop;
    LQ_LIST_EACH (&e->waits, n) {
        lq_sqlite_waiting *w = LQ_OF(n, lq_sqlite_waiting, node);
        if (w->until <= now)
            end_wait(w, false);
        else if (w->until < p->until)
            p->until = w->until;
    }
    p->waits = !lq_list_empty(&e->waits);
    p->listens = e->listen_count > 0;
    p->look = p->waits && e->watch_look;
    p->listen = p->listens && e->watch_listen;
    p->first_listen = e->first_listen;
    e->watch_look = e->watch_listen = e->first_listen = false;
    pthread_mutex_unlock(&e->lock);
    return !stop;
}

static void sleep_till_something(lq_sqlite_engine *e, const struct plan *p)
{
    struct pollfd fds[] = {
        {.fd = e->watch_wake, .events = POLLIN},
        {.fd = p->waits ? e->tasks.fd : -1, .events = POLLIN},
        {.fd = p->listens ? e->cancels.fd : -1, .events = POLLIN}};
    int64_t ms = p->until - lq_mono_ms();
    int64_t net = p->waits && e->tasks.fd < 0       ? LQ_SQLITE_POLL_MS
                  : p->waits                        ? LQ_SQLITE_NET_MS
                  : p->listens && e->cancels.fd < 0 ? LQ_SQLITE_NET_MS
                                                    : LISTEN_NET_MS;
    uint64_t count;

    ms = ms > net ? net : ms;
    if (!p->waits && !p->listens)
        ms = -1;
    else if (ms < 0)
        ms = 0;
    if (poll(fds, LQ_COUNT(fds), (int)ms) > 0 && (fds[0].revents & POLLIN) &&
        read(e->watch_wake, &count, sizeof(count)) < 0)
        return; /* somebody else's poke was taken with the last one */
}

/* True when somebody may have committed since the last call. */
static bool changed(lq_sqlite_engine *e, int64_t *version, lunaq_error *err)
{
    int64_t now = 0;

    if (lq_sqlite_data_version(e->watch, &now, err) || now == *version)
        return false;
    *version = now;
    return true;
}

void *lq_sqlite_watch_main(void *arg)
{
    lq_sqlite_engine *e = arg;
    int64_t version = 0, last = 0;
    struct plan p;

    while (plan(e, &p)) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        bool ok = true;
        if (p.first_listen) /* what was asked before is not for it */
            ok = !lq_sqlite_look_cancels(e->watch, &last, NULL, NULL, &err);
        /* The bells first: what is committed after the look rings them. */
        if (p.waits && lq_sqlite_bell_read(&e->tasks, NULL, NULL))
            p.look = true;
        if (p.listens && lq_sqlite_bell_read(&e->cancels, NULL, NULL))
            p.listen = true;
        if ((p.waits || p.listens) && changed(e, &version, &err))
            p.look = p.listen = true;
        if (p.waits && p.look)
            ok = look_pending(e, &err) && ok;
        if (p.listens && p.listen)
            ok = !lq_sqlite_look_cancels(e->watch, &last, heard, e, &err) && ok;
        if (!ok && lq_log_gate(&e->watch_gate, 30000))
            LQ_LOG(e->log, ERROR, "the queue file cannot be looked at",
                   lq_fc("reason", err.message));
        if (!ok)
            version = -1; /* look again */
        sleep_till_something(e, &p);
    }
    return NULL;
}
