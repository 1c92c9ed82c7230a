/* The table of C handlers and the threads that run them.
 *
 *    worker's thread                         a thread of the pool
 *    start: copy, queue ───────────────────► take, call the handler
 *    ended: lq_run_end, free ◄── lq_loop_post ── its verdict
 *
 * Threads take from one queue in order.  The table does not change once there
 * are runners, so it is read without a lock.
 */
#include "runtime/callback.h"

#include "base/alloc.h"
#include "base/map.h"
#include "base/sized.h"
#include "runtime/callback_run.h"
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

struct entry {
    lq_str type; /* without its '*' */
    bool prefix;
    lunaq_handler_fn *fn;
    void *userdata;
    lunaq_handler_options options;
    lq_list node; /* in prefixes, longest first */
};

struct lq_callbacks {
    lq_log *log;
    lq_map exact; /* type → struct entry */
    lq_list prefixes;
    size_t count;
    size_t max;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work;
    lq_list queue;   /* of lunaq_run */
    lq_list running; /* of lunaq_run: handlers have them */
    size_t queued, idle, started;
    bool ending;
    pthread_t threads[]; /* max */
};

struct lq_callback_runner {
    lq_runner runner;
    lq_callbacks *pool;
    struct lq_loop *loop;
};

/* ---- the table ----------------------------------------------------------- */

int lq_callbacks_new(lq_callbacks **out, size_t threads, lq_log *log,
                     lunaq_error *err)
{
    lq_callbacks *c =
        lq_calloc(1, sizeof(*c) + threads * sizeof(c->threads[0]));

    *out = c;
    if (!c)
        return lq_fail_nomem(err);
    c->log = log;
    c->max = threads;
    lq_list_init(&c->prefixes);
    lq_list_init(&c->queue);
    lq_list_init(&c->running);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    return LUNAQ_OK;
}

static bool fits(const struct entry *e, lq_str type)
{
    return lq_str_starts(type, e->type);
}

static const struct entry *find(const lq_callbacks *c, lq_str type)
{
    const struct entry *e = lq_map_get(&c->exact, type);

    if (e)
        return e;
    LQ_LIST_EACH (&c->prefixes, node) {
        e = LQ_OF(node, struct entry, node);
        if (fits(e, type))
            return e;
    }
    return NULL;
}

static int add_prefix(lq_callbacks *c, struct entry *entry, lunaq_error *err)
{
    lq_list *before = &c->prefixes;

    LQ_LIST_EACH (&c->prefixes, node) {
        const struct entry *e = LQ_OF(node, struct entry, node);
        if (lq_str_eq(e->type, entry->type))
            return lq_fail(err, LUNAQ_EEXIST, "%.*s*: has a handler",
                           LQ_STR_ARG(e->type));
        if (before == &c->prefixes && e->type.len < entry->type.len)
            before = node;
    }
    lq_list_append(before, &entry->node);
    return LUNAQ_OK;
}

static int add_exact(lq_callbacks *c, struct entry *entry, lunaq_error *err)
{
    if (lq_map_get(&c->exact, entry->type))
        return lq_fail(err, LUNAQ_EEXIST, "%.*s: has a handler",
                       LQ_STR_ARG(entry->type));
    if (!lq_map_set(&c->exact, entry->type, entry, NULL))
        return lq_fail_nomem(err);
    return LUNAQ_OK;
}

static int check_options(lunaq_handler_options *to,
                         const lunaq_handler_options *from, lunaq_error *err)
{
    static const struct {
        const char *name;
        size_t offset;
        int64_t min, max;
    } all[] = {
        {"concurrency", offsetof(lunaq_handler_options, concurrency), 0,
         1000000},
        {"max_retry", offsetof(lunaq_handler_options, max_retry), -1,
         INT32_MAX},
        {"timeout (ms)", offsetof(lunaq_handler_options, timeout_ms), -1,
         INT64_MAX / 2},
    };
    int rc = from ? lq_sized_copy(to, sizeof(*to), from,
                                  "lunaq_handler_options", err)
                  : LUNAQ_OK;
    for (size_t i = 0; !rc && i < LQ_COUNT(all); i++) {
        int64_t n;
        memcpy(&n, (const char *)to + all[i].offset, sizeof(n));
        if (n < all[i].min || n > all[i].max)
            rc = lq_fail(err, LUNAQ_ECONFIG,
                         "%s of a handler is %lld: use %lld to %lld",
                         all[i].name, (long long)n, (long long)all[i].min,
                         (long long)all[i].max);
    }
    return rc;
}

int lq_callbacks_add(lq_callbacks *c, const char *type,
                     const lunaq_handler_options *options, lunaq_handler_fn *fn,
                     void *userdata, lunaq_error *err)
{
    lq_str name = lq_str_c(type);
    bool prefix = name.len && name.p[name.len - 1] == '*';
    lunaq_handler_options checked = LUNAQ_HANDLER_OPTIONS_INIT;
    struct entry *e;
    char *copy;
    int rc = check_options(&checked, options, err);

    if (rc) {
        lq_error_prefix(err, "%s", type ? type : "");
        return rc;
    }
    if (!fn)
        return lq_fail(err, LUNAQ_EINVAL, "%s: the handler is NULL",
                       type ? type : "");
    if (prefix)
        name.len--;
    if (name.len || !prefix) { /* "*" alone is every type */
        rc = lq_name_check("task type", name, err);
        if (rc)
            return rc;
    }
    e = lq_calloc(1, sizeof(*e) + name.len + 1);
    if (!e)
        return lq_fail_nomem(err);
    copy = (char *)(e + 1);
    memcpy(copy, name.p, name.len);
    *e = (struct entry){.type = lq_str_n(copy, name.len),
                        .prefix = prefix,
                        .fn = fn,
                        .userdata = userdata,
                        .options = checked};
    lq_list_init(&e->node);
    rc = prefix ? add_prefix(c, e, err) : add_exact(c, e, err);
    if (rc)
        lq_free(e);
    else
        c->count++;
    return rc;
}

size_t lq_callbacks_count(const lq_callbacks *c)
{
    return c->count;
}

bool lq_callbacks_handles(const lq_callbacks *c, lq_str type)
{
    return find(c, type) != NULL;
}

/* 0 there is "not said" here. */
static int64_t said(int64_t option)
{
    return option == 0 ? -1 : option < 0 ? 0 : option;
}

bool lq_callbacks_type(const lq_callbacks *c, lq_str type, lq_type_options *out)
{
    const struct entry *e = find(c, type);
    if (!e)
        return false;
    out->timeout_ms = said(e->options.timeout_ms);
    out->max_retry = said(e->options.max_retry);
    out->concurrency = (uint32_t)e->options.concurrency;
    /* No handler file's name begins so. */
    if (out->concurrency)
        snprintf(out->handler, sizeof(out->handler), "/%.*s%s",
                 LQ_STR_ARG(e->type), e->prefix ? "*" : "");
    return true;
}

/* ---- the threads --------------------------------------------------------- */

/* r goes back to its worker, unless a stop did not wait for it: then neither
 * worker nor loop need exist any more.  Posted under the lock, so that they do
 * not go meanwhile. */
static void give_back(lq_callbacks *c, lunaq_run *r)
{
    pthread_mutex_lock(&c->lock);
    lq_list_remove(&r->node);
    bool wanted = r->runner != NULL;
    if (wanted)
        lq_loop_post(r->runner->loop, &r->post);
    pthread_mutex_unlock(&c->lock);
    if (!wanted)
        lq_callback_run_free(r);
}

static void run_one(lq_callbacks *c, lunaq_run *r)
{
    int code = LUNAQ_ECANCELED;

    if (!atomic_load(&r->canceled))
        code = r->fn(r, r->userdata);
    lq_callback_run_returned(r, code);
    give_back(c, r);
}

static void *thread_main(void *ud)
{
    lq_callbacks *c = ud;

    pthread_mutex_lock(&c->lock);
    for (;;) {
        lq_list *node = lq_list_shift(&c->queue);

        if (node) {
            lunaq_run *r = LQ_OF(node, lunaq_run, node);
            r->queued = false;
            c->queued--;
            lq_list_append(&c->running, &r->node);
            pthread_mutex_unlock(&c->lock);
            run_one(c, r);
            pthread_mutex_lock(&c->lock);
            continue;
        }
        if (c->ending)
            break;
        c->idle++;
        pthread_cond_wait(&c->work, &c->lock);
        c->idle--;
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* The program's signals are for its own threads; only what a thread does to
 * itself stays.  Called with the lock held. */
static int start_thread(lq_callbacks *c)
{
    static const int own[] = {SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                              SIGABRT, SIGTRAP, SIGSYS};
    sigset_t blocked, before;
    int rc;

    sigfillset(&blocked);
    for (size_t i = 0; i < LQ_COUNT(own); i++)
        sigdelset(&blocked, own[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    rc = pthread_create(&c->threads[c->started], NULL, thread_main, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        c->started++;
    return rc;
}

/* False when there is no thread and none can be made. */
static bool pool_queue(lq_callbacks *c, lunaq_run *r)
{
    int rc = 0;
    bool ok;

    pthread_mutex_lock(&c->lock);
    if (c->queued >= c->idle && c->started < c->max)
        rc = start_thread(c);
    ok = c->started > 0;
    if (ok) {
        lq_list_append(&c->queue, &r->node);
        r->queued = true;
        c->queued++;
        pthread_cond_signal(&c->work);
    }
    pthread_mutex_unlock(&c->lock);
    if (rc)
        LQ_LOG(c->log, WARN, "cannot start a thread for C handlers",
               lq_fi("errno", rc));
    return ok;
}

/* True when r had not begun; then it never will. */
static bool pool_unqueue(lq_callbacks *c, lunaq_run *r)
{
    bool was;

    pthread_mutex_lock(&c->lock);
    was = r->queued;
    if (was) {
        lq_list_remove(&r->node);
        r->queued = false;
        c->queued--;
    }
    pthread_mutex_unlock(&c->lock);
    return was;
}

bool lq_callbacks_inside(lq_callbacks *c)
{
    bool inside = false;

    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->started; i++)
        inside = inside || pthread_equal(c->threads[i], pthread_self());
    pthread_mutex_unlock(&c->lock);
    return inside;
}

static void free_entry(struct entry *e)
{
    lq_list_remove(&e->node);
    lq_free(e);
}

void lq_callbacks_free(lq_callbacks *c)
{
    size_t at = 0;
    void *entry;
    lq_str type;

    if (!c)
        return;
    assert(lq_list_empty(&c->queue));
    pthread_mutex_lock(&c->lock);
    c->ending = true;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < c->started; i++)
        pthread_join(c->threads[i], NULL);
    LQ_LIST_EACH (&c->prefixes, node) {
        free_entry(LQ_OF(node, struct entry, node));
    }
    while (lq_map_each(&c->exact, &at, &type, &entry))
        free_entry(entry);
    lq_map_release(&c->exact);
    pthread_cond_destroy(&c->work);
    pthread_mutex_destroy(&c->lock);
    lq_free(c);
}

/* ---- the runner of one worker -------------------------------------------- */

static bool runner_handles(lq_runner *runner, lq_str type)
{
    return lq_callbacks_handles(
        LQ_OF(runner, struct lq_callback_runner, runner)->pool, type);
}

static void run_fail(lq_run *run, const char *why)
{
    const lq_verdict v = {.kind = LQ_FAILED,
                          .message = lq_str_c(why),
                          .error_kind = "error",
                          .delay_ms = -1};

    lq_run_end(run, &v);
}

/* Back on the worker's thread. */
static void run_ended(lq_post *post)
{
    lunaq_run *r = LQ_OF(post, lunaq_run, post);

    r->run->runner_data = NULL;
    lq_run_end(r->run, &r->verdict);
    lq_callback_run_free(r);
}

static void runner_start(lq_runner *runner, lq_run *run)
{
    struct lq_callback_runner *self =
        LQ_OF(runner, struct lq_callback_runner, runner);
    const struct entry *e = find(self->pool, run->task.type);
    lunaq_run *r;

    run->runner_data = NULL;
    if (!e) {
        run_fail(run, "no handler of this type");
        return;
    }
    r = lq_callback_run_new(run);
    if (!r) {
        run_fail(run, lunaq_strerror(LUNAQ_ENOMEM));
        return;
    }
    r->runner = self;
    r->fn = e->fn;
    r->userdata = e->userdata;
    r->post.fn = run_ended;
    run->runner_data = r;
    if (!pool_queue(self->pool, r)) {
        run->runner_data = NULL;
        lq_callback_run_free(r);
        run_fail(run, "no thread for C handlers can be started");
    }
}

static void runner_cancel(lq_runner *runner, lq_run *run, enum lq_cancel why)
{
    struct lq_callback_runner *self =
        LQ_OF(runner, struct lq_callback_runner, runner);
    lunaq_run *r = run->runner_data;

    (void)why; /* the runtime remembers it */
    if (!r)
        return;
    atomic_store(&r->canceled, true);
    if (!pool_unqueue(self->pool, r))
        return;
    lq_callback_run_returned(r, LUNAQ_ECANCELED);
    run_ended(&r->post);
}

/* Handlers have threads of their own: the worker's is never inside one. */
static bool runner_busy(lq_runner *runner)
{
    (void)runner;
    return false;
}

static bool runner_inside(lq_runner *runner, int64_t *since_mono_ns, char *type,
                          char *id, size_t size)
{
    (void)runner;
    (void)since_mono_ns;
    (void)type;
    (void)id;
    (void)size;
    return false;
}

/* Handlers that did not return in time are left alone with their run. */
static void runner_free(lq_runner *runner)
{
    struct lq_callback_runner *self =
        LQ_OF(runner, struct lq_callback_runner, runner);

    pthread_mutex_lock(&self->pool->lock);
    LQ_LIST_EACH (&self->pool->running, node) {
        lunaq_run *r = LQ_OF(node, lunaq_run, node);
        if (r->runner == self)
            r->runner = NULL;
    }
    pthread_mutex_unlock(&self->pool->lock);
    lq_free(self);
}

int lq_callback_runner_new(lq_runner **out, const lq_worker_services *services,
                           void *ud, lunaq_error *err)
{
    static const lq_runner_ops ops = {
        .handles = runner_handles,
        .start = runner_start,
        .cancel = runner_cancel,
        .busy = runner_busy,
        .inside = runner_inside,
        .free = runner_free,
    };
    struct lq_callback_runner *self = lq_calloc(1, sizeof(*self));

    *out = NULL;
    if (!self)
        return lq_fail_nomem(err);
    self->runner.ops = &ops;
    self->pool = ud;
    self->loop = services->loop;
    *out = &self->runner;
    return LUNAQ_OK;
}
