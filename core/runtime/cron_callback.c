/* C functions around periodic entries.
 *
 *    worker's thread                         the thread
 *    start: copy, queue ───────────────────► take, call
 *    ended: answer, free ◄── lq_loop_post ──
 *
 * A job has copies of all it is told and memory of its own for the answer: when
 * its run is ended before its function returned, the function is left alone
 * with them.
 */
#include "runtime/cron_callback.h"

#include "base/alloc.h"
#include "base/list.h"
#include "base/sized.h"
#include "loop/loop.h"
#include "runtime/cron_entry.h"

#include <pthread.h>
#include <signal.h>

struct lq_cron_callbacks {
    lunaq_cron_hooks hooks;
    lq_log *log;
    pthread_mutex_t lock; /* guards what follows, and each job's `run` */
    pthread_cond_t work;
    lq_list queue;   /* of jobs */
    lq_list running; /* at most one */
    pthread_t thread;
    bool started, ending;
};

struct runner {
    lq_runner runner;
    lq_cron_callbacks *c;
    struct lq_loop *loop;
};

/* What a provider adds its entries to. */
struct lunaq_cron_provider {
    lq_provide_out out;
    lq_provided **last;
    lq_log *log;
};

struct job {
    lq_list node;
    lq_post post;
    struct runner *runner; /* NULL: its worker is gone */
    lq_run *run;           /* NULL: nobody waits any more */
    enum lq_run_kind kind;
    lq_arena mem;
    lunaq_cron_tick tick;
    lunaq_cron_provider provider;
    bool skip;
    int code; /* what the function returned */
};

/* ---- jobs ---------------------------------------------------------------- */

static void job_free(struct job *j)
{
    for (lq_provided *e = j->provider.out.entries; e; e = e->next)
        lq_enqueue_release(&e->item);
    lq_arena_release(&j->provider.out.mem);
    lq_arena_release(&j->mem);
    lq_free(j);
}

static const char *keep(struct job *j, lq_str s, bool *ok)
{
    const char *p = lq_arena_dup(&j->mem, s);
    *ok = *ok && p;
    return p;
}

static struct job *job_new(struct runner *r, lq_run *run)
{
    struct job *j = lq_calloc(1, sizeof(*j));
    const lq_tick_in *in = run->in;
    bool ok = j != NULL;
    if (!j)
        return NULL;
    j->runner = r;
    j->run = run;
    j->kind = run->kind;
    j->provider.last = &j->provider.out.entries;
    j->provider.log = r->c->log;
    if (in)
        j->tick = (lunaq_cron_tick){
            .size = sizeof(j->tick),
            .entry_id = keep(j, lq_str_c(in->entry_id), &ok),
            .spec = keep(j, lq_str_c(in->spec), &ok),
            .name = keep(j, lq_str_c(in->name), &ok),
            .type = keep(j, in->task->type, &ok),
            .queue = keep(j, in->task->queue, &ok),
            .payload = keep(j, in->task->payload, &ok),
            .payload_len = in->task->payload.len,
            .at = in->instant_ms,
            .task_id = run->kind == LQ_RUN_AFTER_ENQUEUE && !in->code
                           ? keep(j, in->task->id, &ok)
                           : NULL,
            .code = in->code};
    if (ok)
        return j;
    job_free(j);
    return NULL;
}

static void call(lq_cron_callbacks *c, struct job *j)
{
    const lunaq_cron_hooks *h = &c->hooks;
    switch (j->kind) {
    case LQ_RUN_PROVIDE:
        j->code = h->provide(&j->provider, h->userdata);
        break;
    case LQ_RUN_BEFORE_ENQUEUE:
        j->skip = h->before_enqueue(&j->tick, h->userdata) != 0;
        break;
    default:
        h->after_enqueue(&j->tick, h->userdata);
        break;
    }
}

/* ---- the thread ---------------------------------------------------------- */

static void *thread_main(void *ud)
{
    lq_cron_callbacks *c = ud;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        lq_list *node = lq_list_shift(&c->queue);
        if (node) {
            struct job *j = LQ_OF(node, struct job, node);
            lq_list_append(&c->running, &j->node);
            pthread_mutex_unlock(&c->lock);
            call(c, j);
            pthread_mutex_lock(&c->lock);
            lq_list_remove(&j->node);
            if (j->runner) /* under the lock: its loop does not go meanwhile */
                lq_loop_post(j->runner->loop, &j->post);
            else
                job_free(j);
            continue;
        }
        if (c->ending)
            break;
        pthread_cond_wait(&c->work, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* The program's signals are for its own threads. */
static int start_thread(lq_cron_callbacks *c)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&c->thread, NULL, thread_main, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    c->started = rc == 0;
    return rc;
}

int lq_cron_callbacks_new(lq_cron_callbacks **out,
                          const lunaq_cron_hooks *hooks, lq_log *log,
                          lunaq_error *err)
{
    lunaq_cron_hooks h = {0};
    int rc = lq_sized_copy(&h, sizeof(h), hooks, "lunaq_cron_hooks", err);
    if (rc)
        return rc;
    if (h.provide_every_ms &&
        (h.provide_every_ms < 1000 || h.provide_every_ms > INT64_MAX / 2000))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "provide_every_ms is %lld: use 1000 or more",
                       (long long)h.provide_every_ms);
    lq_cron_callbacks *c = lq_calloc(1, sizeof(*c));
    if (!c)
        return lq_fail_nomem(err);
    c->hooks = h;
    c->log = log;
    lq_list_init(&c->queue);
    lq_list_init(&c->running);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    *out = c;
    return LUNAQ_OK;
}

void lq_cron_callbacks_free(lq_cron_callbacks *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->ending = true;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->lock);
    if (c->started)
        pthread_join(c->thread, NULL);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->work);
    lq_free(c);
}

bool lq_cron_callbacks_inside(lq_cron_callbacks *c)
{
    if (!c)
        return false;
    pthread_mutex_lock(&c->lock);
    bool inside = c->started && pthread_equal(c->thread, pthread_self());
    pthread_mutex_unlock(&c->lock);
    return inside;
}

const lunaq_cron_hooks *lq_cron_callbacks_hooks(const lq_cron_callbacks *c)
{
    return c ? &c->hooks : NULL;
}

/* ---- the runner of one worker -------------------------------------------- */

static struct runner *self_of(lq_runner *runner)
{
    return LQ_OF(runner, struct runner, runner);
}

static bool handles(lq_runner *runner, lq_str type)
{
    (void)runner;
    (void)type;
    return false;
}

/* They concern all entries. */
static bool has_hook(lq_runner *runner, enum lq_run_kind kind, lq_str type)
{
    const lunaq_cron_hooks *h = &self_of(runner)->c->hooks;
    if (!lq_str_eq(type, LQ_STR(LQ_CALLBACK_SCHEDULE_TYPE)))
        return false;
    return (kind == LQ_RUN_PROVIDE && h->provide) ||
           (kind == LQ_RUN_BEFORE_ENQUEUE && h->before_enqueue) ||
           (kind == LQ_RUN_AFTER_ENQUEUE && h->after_enqueue);
}

static void end_run(lq_run *run, enum lq_verdict_kind kind, const char *why)
{
    const lq_verdict v = {.kind = kind,
                          .message = lq_str_c(why),
                          .error_kind = "error",
                          .delay_ms = -1};
    run->runner_data = NULL;
    lq_run_end(run, &v);
}

/* Back on the worker's thread. */
static void ended(lq_post *post)
{
    struct job *j = LQ_OF(post, struct job, post);
    lq_run *run = j->run;
    if (run && j->code) {
        end_run(run, LQ_FAILED, lunaq_strerror(j->code));
    } else if (run) {
        if (j->kind == LQ_RUN_PROVIDE) {
            *(lq_provide_out *)run->out = j->provider.out;
            j->provider.out = (lq_provide_out){0};
        } else if (j->kind == LQ_RUN_BEFORE_ENQUEUE) {
            ((lq_before_out *)run->out)->skip = j->skip;
        }
        end_run(run, LQ_SUCCEEDED, NULL);
    }
    job_free(j);
}

static void start(lq_runner *runner, lq_run *run)
{
    struct runner *self = self_of(runner);
    lq_cron_callbacks *c = self->c;
    struct job *j = job_new(self, run);
    run->runner_data = j;
    if (!j) {
        end_run(run, LQ_FAILED, lunaq_strerror(LUNAQ_ENOMEM));
        return;
    }
    j->post.fn = ended;
    pthread_mutex_lock(&c->lock);
    bool ok = c->started || start_thread(c) == 0;
    if (ok) {
        lq_list_append(&c->queue, &j->node);
        pthread_cond_signal(&c->work);
    }
    pthread_mutex_unlock(&c->lock);
    if (ok)
        return;
    job_free(j);
    end_run(run, LQ_FAILED, "no thread for C functions can be started");
}

/* A function that has begun goes on; its run ends without it. */
static void cancel(lq_runner *runner, lq_run *run, enum lq_cancel why)
{
    lq_cron_callbacks *c = self_of(runner)->c;
    struct job *j = run->runner_data;
    if (!j)
        return;
    j->run = NULL; /* ended() is of this thread, too */
    pthread_mutex_lock(&c->lock);
    bool queued = false;
    LQ_LIST_EACH (&c->queue, node)
        queued = queued || node == &j->node;
    if (queued)
        lq_list_remove(&j->node);
    pthread_mutex_unlock(&c->lock);
    if (queued)
        job_free(j);
    if (why == LQ_CANCEL_DEADLINE)
        end_run(run, LQ_FAILED, "its time was up");
    else
        end_run(run, LQ_ENDED, "the server stops");
}

static void runner_free(lq_runner *runner)
{
    struct runner *self = self_of(runner);
    pthread_mutex_lock(&self->c->lock);
    LQ_LIST_EACH (&self->c->running, node) {
        struct job *j = LQ_OF(node, struct job, node);
        if (j->runner == self)
            j->runner = NULL;
    }
    pthread_mutex_unlock(&self->c->lock);
    lq_free(self);
}

int lq_cron_callback_runner_new(lq_runner **out,
                                const lq_worker_services *services, void *ud,
                                lunaq_error *err)
{
    static const lq_runner_ops ops = {
        .handles = handles,
        .hooks = has_hook,
        .start = start,
        .cancel = cancel,
        .free = runner_free,
    };
    struct runner *self = lq_calloc(1, sizeof(*self));
    *out = NULL;
    if (!self)
        return lq_fail_nomem(err);
    self->runner.ops = &ops;
    self->c = ud;
    self->loop = services->loop;
    *out = &self->runner;
    return LUNAQ_OK;
}

/* ---- what a provider calls ----------------------------------------------- */

int lunaq_cron_provide(lunaq_cron_provider *to, const lunaq_cron_entry *entry,
                       lunaq_error *err)
{
    lunaq_error why = LUNAQ_ERROR_INIT;
    lq_provided *p = lq_arena_alloc(&to->out.mem, sizeof(*p));
    lq_cron_want *w = lq_arena_alloc(&to->out.mem, sizeof(*w));
    if (!p || !w)
        return lq_fail_nomem(err);
    *p = (lq_provided){.want = w};
    int rc = entry ? lq_cron_entry_read(w, &p->item, entry, &to->out.mem, &why)
                   : lq_fail(&why, LUNAQ_EINVAL, "the entry is NULL");
    if (rc) {
        LQ_LOG(to->log, ERROR, "a provided row is left out: it is no entry",
               lq_fi("row", (int64_t)(to->out.count + to->out.refused) + 1),
               lq_fc("reason", why.message));
        to->out.refused++;
        return lq_fail(err, rc, "%s", why.message);
    }
    w->row = (int64_t)(to->out.count + to->out.refused) + 1;
    *to->last = p;
    to->last = &p->next;
    to->out.count++;
    return LUNAQ_OK;
}
