/* A Lua host without a server: see world.h. */
#include "lua/world.h"

#include "support/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

#define PATIENCE_MS 30000

/* ---- the runtime's part -------------------------------------------------- */

static void run_ended(lq_run *run, const lq_verdict *v)
{
    world_run *r = (world_run *)run;
    assert_false(r->ended);
    r->ended = true;
    r->kind = v->kind;
    r->delay_ms = v->delay_ms;
    r->not_failure = v->not_failure;
    r->took_ms = lq_now_ms() - run->started_ms;
    if (v->result.p) {
        r->result = lq_strdup_n(v->result);
        r->result_len = v->result.len;
    }
    r->message = lq_strdup_n(v->message);
    snprintf(r->error_kind, sizeof r->error_kind, "%s",
             v->error_kind ? v->error_kind : "");
    if (r->w->waiting_for > 0 && --r->w->waiting_for == 0)
        lq_loop_stop(r->w->loop);
    if (r->at_end)
        r->at_end(r);
}

struct answering {
    lq_post post;
    world *w;
    lq_op *op;
};

static void answer_now(lq_post *post)
{
    struct answering *a = (struct answering *)post;
    lq_op *op = a->op;
    if (a->w->answer)
        a->w->answer(a->w, op);
    free(a);
    op->done(op);
}

static void submit(void *ud, lq_op *op)
{
    world *w = ud;
    if (w->hold) {
        assert_true(w->held_count < 16);
        w->held[w->held_count++] = op;
        return;
    }
    struct answering *a = calloc(1, sizeof *a);
    *a = (struct answering){.post.fn = answer_now, .w = w, .op = op};
    lq_loop_post(w->loop, &a->post);
}

static void busy(void *ud)
{
    (void)ud;
}

static void nap(int64_t ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void *ticker(void *ud)
{
    world *w = ud;
    while (!atomic_load(&w->stop_ticker)) {
        nap(5);
        if (atomic_load(&w->tick) && w->runner->ops->busy(w->runner))
            w->runner->ops->tick(w->runner, lq_mono_ns());
    }
    return NULL;
}

/* ---- the world ----------------------------------------------------------- */

static void keep_line(lunaq_log_level level, const char *line, size_t len,
                      void *ud)
{
    (void)level;
    world *w = ud;
    pthread_mutex_lock(&w->lock);
    lq_buf_add(&w->log_text, line, len);
    lq_buf_add_char(&w->log_text, '\n');
    pthread_mutex_unlock(&w->lock);
}

static void was_described(void *ud)
{
    world *w = ud;
    atomic_fetch_add(&w->descriptions, 1);
}

static void went_live(void *ud)
{
    world *w = ud;
    atomic_fetch_add(&w->changes, 1);
}

static void too_late(void *ud)
{
    world *w = ud;
    w->timed_out = true;
    lq_loop_stop(w->loop);
}

static bool collect;

world *world_new(lunaq_interrupt mode, bool gc)
{
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    collect = gc;
    snprintf(w->dir, sizeof w->dir, "/tmp/lunaq-lua-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->handlers, sizeof w->handlers, "%s/handlers", w->dir);
    assert_int_equal(mkdir(w->handlers, 0755), 0);
    pthread_mutex_init(&w->lock, NULL);
    lq_buf_init(&w->log_text, 0);
    lq_log_options lo = {.level = LUNAQ_LOG_DEBUG,
                         .format = LUNAQ_LOG_JSON,
                         .sink = keep_line,
                         .userdata = w};
    w->log = lq_log_new(&lo);
    assert_non_null(w->log);
    static const char *const env[] = {"LUNAQ_TEST_ALLOWED", NULL};
    w->options = (lq_lua_options){.folder = w->handlers,
                                  .env = env,
                                  .interrupt = mode,
                                  .watch = false,
                                  .worker_count = 1,
                                  .log = w->log,
                                  .changed = went_live,
                                  .described = was_described,
                                  .ud = w};
    assert_int_equal(lq_loop_new(&w->loop, NULL), 0);
    assert_int_equal(lq_timer_new(&w->deadline, w->loop, too_late, w, NULL), 0);
    w->services = (lq_worker_services){.loop = w->loop,
                                       .log = w->log,
                                       .submit = submit,
                                       .busy = busy,
                                       .ud = w,
                                       .worker_count = 1};
    return w;
}

void world_write(world *w, const char *name, const char *text)
{
    char path[200], temp[210];
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    for (char *p = path + strlen(w->dir) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(path, 0755);
        *p = '/';
    }
    /* As editors do: aside, then in one move. */
    snprintf(temp, sizeof temp, "%s.new", path);
    FILE *f = fopen(temp, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(rename(temp, path), 0);
}

void world_delete(world *w, const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    assert_int_equal(unlink(path), 0);
}

int world_load(world *w, lunaq_error *err)
{
    int rc = lq_lua_app_new(&w->app, &w->options, err);
    if (rc)
        return rc;
    rc = lq_lua_runner_new(&w->runner, &w->services, w->app, err);
    if (rc)
        return rc;
    ((lq_lua_host *)w->runner)->gc_at_yield = collect;
    atomic_store(&w->tick, true);
    assert_int_equal(pthread_create(&w->ticker, NULL, ticker, w), 0);
    return 0;
}

void world_open(world *w)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = world_load(w, &err);
    if (rc)
        fail_msg("cannot load: %s", err.message);
}

void world_free(world *w)
{
    if (w->app)
        lq_lua_app_stop(w->app);
    if (w->runner) {
        atomic_store(&w->stop_ticker, true);
        pthread_join(w->ticker, NULL);
        w->runner->ops->free(w->runner);
    }
    lq_lua_app_free(w->app);
    lq_timer_close(w->deadline);
    lq_loop_free(w->loop);
    lq_log_free(w->log);
    lq_buf_release(&w->log_text);
    pthread_mutex_destroy(&w->lock);
    char command[120];
    snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
    if (system(command)) /* NOLINT(cert-env33-c): a fixed path of ours */
        print_message("left %s\n", w->dir);
    free(w);
}

/* lq_lua_app_reload() on a thread of its own, while the loop turns. */
struct reloading {
    world *w;
    atomic_bool done;
    int rc;
    lunaq_error err;
};

static void *reload_thread(void *ud)
{
    struct reloading *r = ud;
    r->rc = lq_lua_app_reload(r->w->app, &r->err);
    atomic_store(&r->done, true);
    return NULL;
}

int world_reload(world *w, lunaq_error *err)
{
    struct reloading r = {.w = w};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, reload_thread, &r), 0);
    while (!atomic_load(&r.done))
        world_spin(w, 1);
    pthread_join(thread, NULL);
    if (err)
        *err = r.err;
    return r.rc;
}

world_run *world_start_run(world *w, lq_run run, int64_t timeout_ms)
{
    world_run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->w = w;
    r->run = run;
    r->run.end = run_ended;
    r->run.number = ++w->runs;
    r->run.token = 7;
    r->run.started_ms = lq_now_ms();
    r->run.deadline_ms = timeout_ms ? r->run.started_ms + timeout_ms : 0;
    w->runner->ops->start(w->runner, &r->run);
    return r;
}

world_run *world_start_with(world *w, lq_task task, int64_t timeout_ms)
{
    lq_run run = {.task = task, .max_retry = task.max_retry};
    return world_start_run(w, run, timeout_ms);
}

world_run *world_start(world *w, const char *type, const char *payload)
{
    lq_task t = {.type = lq_str_c(type),
                 .id = LQ_STR("01890a5d-ac96-774b-bcce-b302099a8057"),
                 .queue = LQ_STR("default"),
                 .payload = lq_str_c(payload),
                 .max_retry = 3};
    return world_start_with(w, t, 0);
}

void world_wait(world *w, world_run *r)
{
    if (!r->ended) {
        w->waiting_for = 1;
        w->timed_out = false;
        lq_timer_start(w->deadline, PATIENCE_MS);
        while (!r->ended && !w->timed_out) {
            w->waiting_for = 1;
            lq_loop_run(w->loop);
        }
        w->waiting_for = 0;
        lq_timer_stop(w->deadline);
    }
    if (!r->ended)
        fail_msg("the run did not end in %d ms", PATIENCE_MS);
}

void world_spin(world *w, int64_t ms)
{
    lq_timer_start(w->deadline, ms);
    w->timed_out = false;
    while (!w->timed_out)
        lq_loop_run(w->loop);
}

void world_end(world_run *r)
{
    lq_free(r->result);
    lq_free(r->message);
    free(r);
}

bool world_sees(world *w, const char *text)
{
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&w->lock);
        bool seen = w->log_text.p && strstr(w->log_text.p, text);
        pthread_mutex_unlock(&w->lock);
        if (seen)
            return true;
        world_spin(w, 10);
    }
    pthread_mutex_lock(&w->lock);
    print_message("the log has no \"%s\":\n%s\n", text,
                  w->log_text.p ? w->log_text.p : "");
    pthread_mutex_unlock(&w->lock);
    return false;
}

size_t world_lua_bytes(world *w)
{
    lq_lua_host *host = (lq_lua_host *)w->runner;
    lua_gc(host->L, LUA_GCCOLLECT);
    lua_gc(host->L, LUA_GCCOLLECT);
    return host->bytes;
}

const char *world_run_text(world *w, const char *type, char out[200])
{
    world_run *r = world_start(w, type, "{}");
    world_wait(w, r);
    snprintf(out, 200, "%s", r->result ? r->result : r->message);
    world_end(r);
    return out;
}

bool world_handles(world *w, const char *type)
{
    return w->runner->ops->handles(w->runner, lq_str_c(type));
}
