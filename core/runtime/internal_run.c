/* Internal runs: see internal_run.h. */
#include "runtime/internal_run.h"

#include "base/clock.h"
#include "runtime/control.h"
#include "runtime/worker.h"

#include <stdio.h>

#define AT_ONCE 8 /* on one worker */
#define WAITING                                                                \
    1000 /* on one worker; a worker's own beyond that are refused              \
          */
#define LOOK_MS 1000

/* ---- how one ends -------------------------------------------------------- */

/* A verdict of the runtime's own. */
static lq_verdict said(enum lq_verdict_kind kind, const char *error_kind,
                       const char *message)
{
    return (lq_verdict){.kind = kind,
                        .message = lq_str_c(message),
                        .error_kind = error_kind,
                        .delay_ms = -1};
}

static lq_verdict stopping(void)
{
    return said(LQ_ENDED, "shutdown", "the server stops");
}

/* Keeps a verdict for the way to another thread. */
static void keep_verdict(lq_internal_run *r, const lq_verdict *v)
{
    lq_str text = v->kind == LQ_SUCCEEDED ? v->result : v->message;
    r->verdict = *v;
    lq_buf_init(&r->text, 0);
    lq_buf_add_str(&r->text, text);
    lq_str kept = r->text.failed ? (lq_str){0} : lq_buf_str(&r->text);
    r->verdict.result = v->kind == LQ_SUCCEEDED ? kept : (lq_str){0};
    r->verdict.message = v->kind == LQ_SUCCEEDED ? (lq_str){0} : kept;
    snprintf(r->error_kind, sizeof r->error_kind, "%s",
             v->error_kind ? v->error_kind : "");
    r->verdict.error_kind = r->error_kind;
}

static void pump(lq_internal_service *s);

/* Back on the control thread. */
static void returned(lq_post *post)
{
    lq_internal_run *r = LQ_OF(post, lq_internal_run, post);
    lq_internal_service *s = r->service;
    lq_buf text = r->text; /* r may be freed in done() */
    lq_verdict v = r->verdict;
    char kind[sizeof r->error_kind];

    memcpy(kind, r->error_kind, sizeof kind);
    v.error_kind = kind;
    if (!lq_list_empty(&r->handed)) {
        lq_list_remove(&r->handed);
        s->handed_count--;
    }
    r->done(r, &v);
    lq_buf_release(&text);
    pump(s);
}

/* To who started it. */
static void give_back(lq_internal_run *r, const lq_verdict *v)
{
    if (!r->service) {
        r->done(r, v);
        return;
    }
    keep_verdict(r, v);
    r->post.fn = returned;
    lq_loop_post(r->service->control->loop, &r->post);
}

static void ready(lq_internal_run *r)
{
    lq_list_init(&r->node);
    lq_list_init(&r->handed);
    lq_buf_init(&r->text, 0);
    r->until_ms = lq_mono_ms() + r->timeout_ms;
}

/* ---- the control thread -------------------------------------------------- */

static bool hand_over(lq_internal_lane *l, lq_internal_run *r);

/* The next worker that still takes something; false when none does. */
static bool hand_to_one(lq_internal_service *s, lq_internal_run *r)
{
    lq_runtime *rt = s->control->rt;
    for (size_t i = 0; i < rt->o.worker_threads; i++) {
        lq_worker *w = rt->workers[s->next_worker++ % rt->o.worker_threads];
        if (w && hand_over(&w->internal, r))
            return true;
    }
    return false;
}

static void pump(lq_internal_service *s)
{
    lq_runtime *rt = s->control->rt;
    lq_list *node;
    while (s->handed_count < (size_t)AT_ONCE * rt->o.worker_threads &&
           (node = lq_list_shift(&s->waiting)) != NULL) {
        lq_internal_run *r = LQ_OF(node, lq_internal_run, node);
        if (lq_phase(rt) >= LQ_PHASE_DRAINING || !hand_to_one(s, r)) {
            lq_verdict v = stopping();
            give_back(r, &v);
            continue;
        }
        lq_list_append(&s->handed, &r->handed);
        s->handed_count++;
    }
    if (!lq_list_empty(&s->handed) && !lq_timer_active(s->look))
        lq_timer_start(s->look, LOOK_MS);
}

/* Takes a run back from a worker that has not looked into its inbox. */
static bool take_back(lq_internal_run *r)
{
    lq_internal_lane *l = r->lane;
    pthread_mutex_lock(&l->mutex);
    bool there = false;
    LQ_LIST_EACH (&l->inbox, node)
        there = there || node == &r->node;
    if (there)
        lq_list_remove(&r->node);
    pthread_mutex_unlock(&l->mutex);
    return there;
}

static void look(void *ud)
{
    lq_internal_service *s = ud;
    int64_t now = lq_mono_ms();
    LQ_LIST_EACH (&s->handed, node) {
        lq_internal_run *r = LQ_OF(node, lq_internal_run, handed);
        if (now < r->until_ms || !take_back(r))
            continue;
        lq_verdict v = said(LQ_FAILED, "timeout",
                            "no worker began it in time: its thread is busy "
                            "with one run, or stuck");
        give_back(r, &v);
    }
    if (!lq_list_empty(&s->handed))
        lq_timer_start(s->look, LOOK_MS);
}

int lq_internal_service_start(lq_internal_service *s, struct lq_control *c,
                              lunaq_error *err)
{
    s->control = c;
    lq_list_init(&s->waiting);
    lq_list_init(&s->handed);
    return lq_timer_new(&s->look, c->loop, look, s, err);
}

void lq_internal_service_stop(lq_internal_service *s)
{
    lq_list *node;
    if (!s->control)
        return; /* it never began */
    while ((node = lq_list_shift(&s->waiting)) != NULL) {
        lq_internal_run *r = LQ_OF(node, lq_internal_run, node);
        lq_verdict v = stopping();
        r->done(r, &v);
    }
    lq_timer_close(s->look);
}

void lq_internal_submit(lq_internal_service *s, lq_internal_run *r)
{
    ready(r);
    r->service = s;
    lq_list_append(&s->waiting, &r->node);
    pump(s);
}

/* ---- a worker ------------------------------------------------------------ */

static void run_next(lq_internal_lane *l);

static void deadline_over(void *ud)
{
    lq_internal_run *r = ud;
    r->runner->ops->cancel(r->runner, &r->run, LQ_CANCEL_DEADLINE);
}

static void run_ended(lq_run *run, const lq_verdict *v)
{
    lq_internal_run *r = (lq_internal_run *)run;
    lq_internal_lane *l = r->lane;

    if (!r->runner)
        return; /* a runner's mistake must not end it twice */
    r->runner = NULL;
    lq_timer_close(r->deadline);
    r->deadline = NULL;
    lq_list_remove(&r->node);
    l->running_count--;
    give_back(r, v);
    lq_turn_arm(l->worker->turn); /* is it drained now? */
    run_next(l);
}

static lq_runner *runner_for(lq_worker *w, const lq_run *run)
{
    for (size_t i = 0; i < w->rt->o.runner_count; i++) {
        lq_runner *r = w->runners[i];
        if (r && r->ops->hooks && r->ops->hooks(r, run->kind, run->task.type))
            return r;
    }
    return NULL;
}

static void begin(lq_internal_run *r)
{
    lq_internal_lane *l = r->lane;
    lq_worker *w = l->worker;
    int64_t left = r->until_ms - lq_mono_ms();
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_verdict v;

    if (left <= 0) {
        v = said(LQ_FAILED, "timeout", "it waited too long for its turn");
        give_back(r, &v);
        return;
    }
    lq_runner *runner = runner_for(w, &r->run);
    if (!runner) {
        v = said(LQ_FAILED, "no_hook", "no handler has such a function");
        give_back(r, &v);
        return;
    }
    if (lq_timer_new(&r->deadline, w->loop, deadline_over, r, &err)) {
        v = said(LQ_FAILED, "memory", err.message);
        give_back(r, &v);
        return;
    }
    r->runner = runner;
    r->run.end = run_ended;
    r->run.number = atomic_fetch_add(&w->rt->run_numbers, 1) + 1;
    r->run.started_ms = lq_now_ms();
    r->run.deadline_ms = r->run.started_ms + left;
    r->run.runner_data = NULL;
    lq_timer_start(r->deadline, left);
    lq_list_append(&l->running, &r->node);
    l->running_count++;
    runner->ops->start(runner, &r->run);
}

static void run_next(lq_internal_lane *l)
{
    lq_list *node;
    while (l->running_count < AT_ONCE &&
           (node = lq_list_shift(&l->waiting)) != NULL) {
        l->waiting_count--;
        begin(LQ_OF(node, lq_internal_run, node));
    }
}

static void accept(lq_internal_lane *l, lq_internal_run *r)
{
    if (l->ending) {
        lq_verdict v = stopping();
        give_back(r, &v);
        return;
    }
    lq_list_append(&l->waiting, &r->node);
    l->waiting_count++;
    run_next(l);
}

void lq_internal_start(lq_internal_lane *l, lq_internal_run *r)
{
    ready(r);
    r->service = NULL;
    r->lane = l;
    if (l->waiting_count >= WAITING) {
        lq_verdict v = said(LQ_FAILED, "busy", "too many of its kind wait");
        give_back(r, &v);
        return;
    }
    accept(l, r);
}

bool lq_internal_idle(const lq_internal_lane *l)
{
    return l->waiting_count == 0 && l->running_count == 0;
}

void lq_internal_end_all(lq_internal_lane *l)
{
    lq_list *node;
    lq_verdict v = stopping();

    l->ending = true;
    while ((node = lq_list_shift(&l->waiting)) != NULL) {
        l->waiting_count--;
        give_back(LQ_OF(node, lq_internal_run, node), &v);
    }
    LQ_LIST_EACH (&l->running, running) {
        lq_internal_run *r = LQ_OF(running, lq_internal_run, node);
        r->runner->ops->cancel(r->runner, &r->run, LQ_CANCEL_SHUTDOWN);
    }
}

/* ---- the inbox ----------------------------------------------------------- */

static void take_inbox(lq_internal_lane *l)
{
    for (;;) {
        pthread_mutex_lock(&l->mutex);
        lq_list *node = lq_list_shift(&l->inbox);
        if (!node)
            l->posted = false;
        pthread_mutex_unlock(&l->mutex);
        if (!node)
            return;
        accept(l, LQ_OF(node, lq_internal_run, node));
    }
}

static void posted(lq_post *post)
{
    lq_internal_lane *l = LQ_OF(post, lq_internal_lane, post);
    if (!l->closed)
        take_inbox(l);
}

static bool hand_over(lq_internal_lane *l, lq_internal_run *r)
{
    pthread_mutex_lock(&l->mutex);
    bool open = !l->closed;
    if (open) {
        r->lane = l;
        lq_list_append(&l->inbox, &r->node);
    }
    bool post = open && !l->posted;
    l->posted = l->posted || post;
    pthread_mutex_unlock(&l->mutex);
    if (post)
        lq_loop_post(l->worker->loop, &l->post);
    return open;
}

void lq_internal_lane_init(lq_internal_lane *l, struct lq_worker *w)
{
    l->worker = w;
    l->post.fn = posted;
    lq_list_init(&l->waiting);
    lq_list_init(&l->running);
    lq_list_init(&l->inbox);
    pthread_mutex_init(&l->mutex, NULL);
}

void lq_internal_close(lq_internal_lane *l)
{
    pthread_mutex_lock(&l->mutex);
    l->closed = true;
    pthread_mutex_unlock(&l->mutex);
    l->ending = true;
    take_inbox(l);
    LQ_LIST_EACH (&l->running, node) { /* runners that did not let go */
        lq_internal_run *r = LQ_OF(node, lq_internal_run, node);
        lq_verdict v = stopping();
        r->runner = NULL;
        lq_timer_close(r->deadline);
        lq_list_remove(&r->node);
        give_back(r, &v);
    }
}

void lq_internal_lane_release(lq_internal_lane *l)
{
    pthread_mutex_destroy(&l->mutex);
}
