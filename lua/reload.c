/* The loader thread: see reload.h. */
#include "lua/reload.h"

#include <stdio.h>

#include "lua/generation.h"
#include "lua/loader.h"
#include "lua/watch.h"

/* What one worker does for one reload.  Its post travels: to the worker, from
 * there again for each file, and back. */
struct part {
    lq_post post;
    lq_lua_reloader *r;
    lq_lua_host *host;
    lq_lua_generation *gen; /* the worker's */
    int rc;
    lunaq_error err;
};

/* Somebody who waits for a reload. */
struct request {
    lq_post post;
    lq_list node;
    lq_lua_reloader *r;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool done;
    int rc;
    lunaq_error err;
};

struct lq_lua_reloader {
    struct lq_lua_app *app;
    pthread_t thread;
    lq_loop *loop;
    lq_lua_watch *watch;
    lq_list waiting, next; /* requests: of this reload, of the one after */
    bool busy, again, stopping;
    lq_lua_snapshot *s; /* being brought in */
    struct part *parts;
    size_t out; /* parts under way */
    lq_post stop;
};

/* The steps, in the order time takes them; the left column runs on the loader
 * thread, the right one on the workers. */
static void begin(lq_lua_reloader *r);
/*                                    */ static void prepare(lq_post *post);
static void prepared(lq_post *post);
/*                                    */ static void drop(lq_post *post);
/*                                    */ static void take_over(lq_post *post);
static void dropped(lq_post *post);
static void switched(lq_post *post);
static void finish(lq_lua_reloader *r, int rc, const lunaq_error *err);

/* ---- what is said about it ----------------------------------------------- */

static const char *short_hash(const lq_lua_file *f, const char *none,
                              char out[8])
{
    snprintf(out, 8, "%.6s", f ? f->hash : none);
    return out;
}

static bool same_file(const lq_lua_file *a, const lq_lua_file *b)
{
    return a && b && strcmp(a->hash, b->hash) == 0;
}

/* The first file that differs, and how many do. */
static size_t changes(const lq_lua_source *old, const lq_lua_source *new,
                      const char **name)
{
    size_t n = 0;
    for (size_t i = 0; i < new->count; i++) {
        const lq_lua_file *f = &new->files[i];
        if (!same_file(f, lq_lua_source_find(old, f->name)) && n++ == 0)
            *name = f->name;
    }
    for (size_t i = 0; i < old->count; i++)
        if (!lq_lua_source_find(new, old->files[i].name) && n++ == 0)
            *name = old->files[i].name;
    return n;
}

static void say_live(struct lq_lua_app *app, const lq_lua_snapshot *old,
                     const lq_lua_snapshot *new)
{
    const char *name = "?";
    char text[600], was[8], is[8], others[40] = "";
    size_t n = changes(&old->source, &new->source, &name);
    if (n > 1)
        snprintf(others, sizeof others, " and %zu more", n - 1);
    snprintf(text, sizeof text,
             "reload  %.400s%s  generation %lld (%s \xe2\x86\x92 %s)", name,
             others, (long long)new->generation,
             short_hash(lq_lua_source_find(&old->source, name), "new", was),
             short_hash(lq_lua_source_find(&new->source, name), "gone", is));
    LQ_LOG(app->options.log, INFO, text);
}

/* Who took back an edit that was refused waits for a word. */
static void say_back(struct lq_lua_app *app)
{
    char text[120];
    snprintf(text, sizeof text,
             "reload  the files are again those of generation %lld, which runs",
             (long long)app->live->generation);
    LQ_LOG(app->options.log, INFO, text);
}

static void say_refused(struct lq_lua_app *app, const lunaq_error *err,
                        int64_t generation)
{
    char text[600];
    int len = (int)strcspn(err->message, ": ");
    snprintf(text, sizeof text,
             "reload  %.*s  REFUSED  %s; generation %lld keeps running", len,
             err->message, err->message, (long long)generation);
    LQ_LOG(app->options.log, ERROR, text);
}

/* ---- the loader thread --------------------------------------------------- */

static void send(struct part *p, void (*fn)(lq_post *post))
{
    p->post.fn = fn;
    lq_loop_post(p->host->services.loop, &p->post);
}

static void send_all(lq_lua_reloader *r, void (*fn)(lq_post *post))
{
    size_t n = r->app->options.worker_count;
    r->out = n;
    for (size_t i = 0; i < n; i++)
        send(&r->parts[i], fn);
}

static int make_parts(lq_lua_reloader *r, lunaq_error *err)
{
    size_t n = r->app->options.worker_count;
    r->parts = lq_calloc(n ? n : 1, sizeof *r->parts);
    if (!r->parts)
        return lq_fail_nomem(err);
    for (size_t i = 0; i < n; i++) {
        r->parts[i].r = r;
        r->parts[i].host = r->app->hosts[i];
    }
    return LUNAQ_OK;
}

static void begin(lq_lua_reloader *r)
{
    if (r->busy || r->stopping) {
        r->again = true;
        return;
    }
    r->busy = true;
    r->again = false;
    while (!lq_list_empty(&r->next))
        lq_list_append(&r->waiting, lq_list_shift(&r->next));
    lunaq_error err = LUNAQ_ERROR_INIT;
    const char *name;
    int rc = lq_lua_load(&r->s, &r->app->options, &err);
    if (rc) {
        finish(r, rc, &err);
        return;
    }
    r->s->generation = r->app->live->generation + 1;
    if (changes(&r->app->live->source, &r->s->source, &name) == 0) {
        if (r->app->rejected[0])
            say_back(r->app);
        finish(r, LUNAQ_OK, NULL);
        return;
    }
    rc = make_parts(r, &err);
    if (rc) {
        finish(r, rc, &err);
        return;
    }
    if (r->app->options.worker_count == 0) {
        finish(r, LUNAQ_OK, NULL);
        return;
    }
    send_all(r, prepare);
}

static void prepared(lq_post *post)
{
    lq_lua_reloader *r = LQ_OF(post, struct part, post)->r;
    if (--r->out > 0)
        return;
    bool ok = true;
    for (size_t i = 0; i < r->app->options.worker_count; i++)
        ok = ok && r->parts[i].rc == LUNAQ_OK;
    if (!ok) {
        send_all(r, drop);
        return;
    }
    /* The commit: from here on it cannot fail. */
    lq_lua_snapshot *old = r->app->live;
    say_live(r->app, old, r->s);
    pthread_mutex_lock(&r->app->lock);
    r->app->live = lq_lua_snapshot_ref(r->s);
    pthread_mutex_unlock(&r->app->lock);
    lq_lua_snapshot_unref(old);
    send_all(r, take_over);
}

static void dropped(lq_post *post)
{
    lq_lua_reloader *r = LQ_OF(post, struct part, post)->r;
    if (--r->out > 0)
        return;
    for (size_t i = 0; i < r->app->options.worker_count; i++) {
        if (r->parts[i].rc) {
            lunaq_error err = r->parts[i].err;
            finish(r, err.code, &err);
            return;
        }
    }
}

static void switched(lq_post *post)
{
    lq_lua_reloader *r = LQ_OF(post, struct part, post)->r;
    if (--r->out > 0)
        return;
    if (r->app->options.changed)
        r->app->options.changed(r->app->options.ud);
    finish(r, LUNAQ_OK, NULL);
}

static void answer(lq_lua_reloader *r, int rc, const lunaq_error *err)
{
    while (!lq_list_empty(&r->waiting)) {
        struct request *q =
            LQ_OF(lq_list_shift(&r->waiting), struct request, node);
        pthread_mutex_lock(&q->lock);
        q->rc = rc;
        if (err)
            q->err = *err;
        q->done = true;
        pthread_cond_signal(&q->answered);
        pthread_mutex_unlock(&q->lock); /* q may be gone after it */
    }
}

static void finish(lq_lua_reloader *r, int rc, const lunaq_error *err)
{
    struct lq_lua_app *app = r->app;
    if (rc)
        say_refused(app, err, app->live->generation);
    pthread_mutex_lock(&app->lock);
    bool anew = rc || app->rejected[0];
    snprintf(app->rejected, sizeof app->rejected, "%s", rc ? err->message : "");
    pthread_mutex_unlock(&app->lock);
    if (anew && app->options.described)
        app->options.described(app->options.ud);
    answer(r, rc, err);
    lq_lua_snapshot_unref(r->s);
    r->s = NULL;
    lq_free(r->parts);
    r->parts = NULL;
    r->busy = false;
    if (r->stopping)
        lq_loop_stop(r->loop);
    else if (r->again)
        begin(r);
}

/* ---- the workers --------------------------------------------------------- */

static void reply(struct part *p, void (*fn)(lq_post *post))
{
    p->post.fn = fn;
    lq_loop_post(p->r->loop, &p->post);
}

static void prepare(lq_post *post)
{
    struct part *p = LQ_OF(post, struct part, post);
    bool more = true;
    if (!p->gen)
        p->rc = lq_lua_generation_new(&p->gen, p->host, p->r->s, &p->err);
    if (!p->rc)
        p->rc = lq_lua_generation_load_next(p->gen, &more, &p->err);
    if (!p->rc && more)
        send(p, prepare); /* one file a turn: tasks go on in between */
    else
        reply(p, prepared);
}

static void drop(lq_post *post)
{
    struct part *p = LQ_OF(post, struct part, post);
    lq_lua_generation_unref(p->gen);
    reply(p, dropped);
}

static void take_over(lq_post *post)
{
    struct part *p = LQ_OF(post, struct part, post);
    lq_lua_generation_switch(p->gen);
    reply(p, switched);
}

/* ---- from outside -------------------------------------------------------- */

static void folder_changed(void *ud)
{
    begin(ud);
}

static void requested(lq_post *post)
{
    struct request *q = LQ_OF(post, struct request, post);
    lq_list_append(&q->r->next, &q->node);
    begin(q->r);
}

int lq_lua_reloader_run(lq_lua_reloader *r, lunaq_error *err)
{
    struct request q = {.post.fn = requested, .r = r};
    pthread_mutex_init(&q.lock, NULL);
    pthread_cond_init(&q.answered, NULL);
    lq_list_init(&q.node);
    lq_loop_post(r->loop, &q.post);
    pthread_mutex_lock(&q.lock);
    while (!q.done)
        pthread_cond_wait(&q.answered, &q.lock);
    pthread_mutex_unlock(&q.lock);
    pthread_mutex_destroy(&q.lock);
    pthread_cond_destroy(&q.answered);
    return q.rc ? lq_fail(err, q.rc, "%s", q.err.message) : LUNAQ_OK;
}

static void stop_here(lq_post *post)
{
    lq_lua_reloader *r = LQ_OF(post, lq_lua_reloader, stop);
    r->stopping = true;
    if (!r->busy)
        lq_loop_stop(r->loop);
}

static void *run_thread(void *ud)
{
    lq_lua_reloader *r = ud;
    lq_loop_run(r->loop);
    lq_lua_watch_close(r->watch);
    lunaq_error err;
    lq_fail(&err, LUNAQ_ECANCELED, "the server stops");
    while (!lq_list_empty(&r->next))
        lq_list_append(&r->waiting, lq_list_shift(&r->next));
    answer(r, LUNAQ_ECANCELED, &err);
    return NULL;
}

int lq_lua_reloader_start(lq_lua_reloader **out, struct lq_lua_app *app,
                          lunaq_error *err)
{
    lq_lua_reloader *r = lq_calloc(1, sizeof *r);
    if (!r)
        return lq_fail_nomem(err);
    r->app = app;
    r->stop.fn = stop_here;
    lq_list_init(&r->waiting);
    lq_list_init(&r->next);
    int rc = lq_loop_new(&r->loop, err);
    if (!rc && app->options.watch)
        rc = lq_lua_watch_new(&r->watch, r->loop, app->options.folder,
                              folder_changed, r, err);
    if (!rc && pthread_create(&r->thread, NULL, run_thread, r)) {
        lq_lua_watch_close(r->watch);
        rc = lq_fail(err, LUNAQ_ENOMEM, "no thread for the handler loader");
    }
    if (rc) {
        if (r->loop)
            lq_loop_free(r->loop);
        lq_free(r);
        return rc;
    }
    *out = r;
    return LUNAQ_OK;
}

void lq_lua_reloader_stop(lq_lua_reloader *r)
{
    if (!r)
        return;
    lq_loop_post(r->loop, &r->stop);
    pthread_join(r->thread, NULL);
    lq_loop_free(r->loop);
    lq_free(r);
}
