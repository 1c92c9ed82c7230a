/* C handlers on their pool: which one runs, limits, cancel. */
#include "callback_world.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

/* ---- the table ----------------------------------------------------------- */

static int says_who(lunaq_run *run, void *userdata)
{
    return lunaq_run_fail(run, userdata);
}

static void table__exact_first_then_longest_prefix(void **state)
{
    static const char *const rows[][2] = {{"img:resize", "exact"},
                                          {"img:resize:big", "img:re"},
                                          {"img:rotate", "img"},
                                          {"img:re", "img:re"},
                                          {"other", "all"}};
    static char img[] = "img", all[] = "all", img_re[] = "img:re",
                exact[] = "exact";
    struct world *x = *state;
    struct ended e;

    callback_add(x, "img:*", says_who, img);
    callback_add(x, "*", says_who, all);
    callback_add(x, "img:re*", says_who, img_re);
    callback_add(x, "img:resize", says_who, exact);
    assert_int_equal(lq_callbacks_count(x->pool), 4);
    for (size_t i = 0; i < LQ_COUNT(rows); i++) {
        callback_run_to_end(x, &e, rows[i][0]);
        assert_string_equal(e.message, rows[i][1]);
    }
}

static void table__type_twice_or_unusable__is_refused(void **state)
{
    struct world *x = *state;

    callback_add(x, "a", says_who, NULL);
    callback_add(x, "a*", says_who, NULL);
    assert_int_equal(lq_callbacks_add(x->pool, "a", NULL, says_who, NULL, NULL),
                     LUNAQ_EEXIST);
    assert_int_equal(
        lq_callbacks_add(x->pool, "a*", NULL, says_who, NULL, NULL),
        LUNAQ_EEXIST);
    assert_int_equal(lq_callbacks_add(x->pool, "", NULL, says_who, NULL, NULL),
                     LUNAQ_EINVAL);
    assert_int_equal(
        lq_callbacks_add(x->pool, NULL, NULL, says_who, NULL, NULL),
        LUNAQ_EINVAL);
    assert_int_equal(lq_callbacks_add(x->pool, "b", NULL, NULL, NULL, NULL),
                     LUNAQ_EINVAL);
    assert_int_equal(lq_callbacks_count(x->pool), 2);
    assert_true(lq_callbacks_handles(x->pool, LQ_STR("ab")));
    assert_false(lq_callbacks_handles(x->pool, LQ_STR("b")));
    assert_false(x->runner->ops->handles(x->runner, LQ_STR("b")));
}

static void start__type_without_handler__fails_the_run(void **state)
{
    struct world *x = *state;
    struct ended e;

    callback_begin(x, &e, "none");
    assert_int_equal(e.count, 1);
    assert_int_equal(e.kind, LQ_FAILED);
}

/* ---- many at once -------------------------------------------------------- */

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    int inside, most, entered;
    lq_callbacks *pool;
    bool knows_inside, signals_blocked;
};

static void gate_init(struct gate *g, lq_callbacks *pool)
{
    memset(g, 0, sizeof(*g));
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->changed, NULL);
    g->pool = pool;
}

static void gate_open(struct gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->open = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

static void gate_wait_entered(struct gate *g, int n)
{
    pthread_mutex_lock(&g->lock);
    while (g->entered < n)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static int waits_at_gate(lunaq_run *run, void *userdata)
{
    struct gate *g = userdata;
    sigset_t mask;

    (void)run;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    pthread_mutex_lock(&g->lock);
    g->knows_inside = lq_callbacks_inside(g->pool);
    g->signals_blocked =
        sigismember(&mask, SIGTERM) && sigismember(&mask, SIGPIPE);
    g->entered++;
    if (++g->inside > g->most)
        g->most = g->inside;
    pthread_cond_broadcast(&g->changed);
    while (!g->open)
        pthread_cond_wait(&g->changed, &g->lock);
    g->inside--;
    pthread_mutex_unlock(&g->lock);
    return LUNAQ_OK;
}

static void pool__more_runs_than_threads__never_more_at_once(void **state)
{
    struct world *x = *state;
    struct ended e[20];
    struct gate g;

    gate_init(&g, x->pool);
    callback_add(x, "wait", waits_at_gate, &g);
    for (size_t i = 0; i < LQ_COUNT(e); i++)
        callback_begin(x, &e[i], "wait");
    gate_wait_entered(&g, THREADS); /* all threads, without one ending */
    gate_open(&g);
    loop_world_run(&x->w);
    for (size_t i = 0; i < LQ_COUNT(e); i++)
        assert_int_equal(e[i].kind, LQ_SUCCEEDED);
    assert_int_equal(g.most, THREADS);
    assert_true(g.knows_inside);
    assert_true(g.signals_blocked);
    assert_false(lq_callbacks_inside(x->pool));
}

static void cancel__while_it_waits_for_a_thread__ends_at_once(void **state)
{
    struct world *x = *state;
    struct ended e[THREADS + 2];
    struct gate g;

    gate_init(&g, x->pool);
    callback_add(x, "wait", waits_at_gate, &g);
    for (size_t i = 0; i < THREADS; i++)
        callback_begin(x, &e[i], "wait");
    gate_wait_entered(&g, THREADS);
    callback_begin(x, &e[THREADS], "wait");
    callback_begin(x, &e[THREADS + 1], "wait");
    x->runner->ops->cancel(x->runner, &e[THREADS].run, LQ_CANCEL_SHUTDOWN);
    assert_int_equal(e[THREADS].count, 1);
    assert_int_equal(e[THREADS].kind, LQ_ENDED);
    gate_open(&g);
    loop_world_run(&x->w);
    assert_int_equal(e[THREADS].count, 1);
    assert_int_equal(e[THREADS + 1].kind, LQ_SUCCEEDED);
    assert_int_equal(g.entered, THREADS + 1);
}

static int waits_for_cancel(lunaq_run *run, void *userdata)
{
    atomic_store((atomic_bool *)userdata, true);
    while (!lunaq_run_canceled(run))
        ;
    return lunaq_run_snooze(run, 1, "not used");
}

struct canceler {
    struct world *x;
    struct ended e;
    lq_timer *timer;
    atomic_bool begun;
    bool ended_inside;
};

static void cancel_when_begun(void *ud)
{
    struct canceler *c = ud;

    if (!atomic_load(&c->begun)) {
        lq_timer_start(c->timer, 0);
        return;
    }
    c->x->runner->ops->cancel(c->x->runner, &c->e.run, LQ_CANCEL_DEADLINE);
    c->x->runner->ops->cancel(c->x->runner, &c->e.run, LQ_CANCEL_SHUTDOWN);
    c->ended_inside = c->e.count != 0;
}

static void cancel__while_it_runs__ends_when_the_handler_returned(void **state)
{
    struct world *x = *state;
    struct canceler c = {.x = x};

    atomic_init(&c.begun, false);
    callback_add(x, "wait", waits_for_cancel, &c.begun);
    assert_int_equal(
        lq_timer_new(&c.timer, x->w.loop, cancel_when_begun, &c, NULL), 0);
    lq_timer_start(c.timer, 0);
    callback_run_to_end(x, &c.e, "wait");
    assert_int_equal(c.e.kind, LQ_ENDED);
    assert_false(c.ended_inside);
    /* A late cancel of a run that is over does no harm. */
    x->runner->ops->cancel(x->runner, &c.e.run, LQ_CANCEL_DEADLINE);
    assert_int_equal(c.e.count, 1);
    lq_timer_close(c.timer);
}

static int returns(lunaq_run *run, void *userdata)
{
    (void)userdata;
    return lunaq_run_set_result(run, "x", 1);
}

static void pool__many_short_runs_some_canceled__each_ends_once(void **state)
{
    struct world *x = *state;
    enum { RUNS = 2000 };
    struct ended *e = calloc(RUNS, sizeof(*e));
    int ended = 0, succeeded = 0;

    assert_non_null(e);
    callback_add(x, "short", returns, NULL);
    x->left = 1; /* nothing stops the loop before it runs */
    for (int i = 0; i < RUNS; i++) {
        callback_begin(x, &e[i], "short");
        if (i % 3 == 0)
            x->runner->ops->cancel(x->runner, &e[i].run, LQ_CANCEL_REQUEST);
    }
    x->left--;
    loop_world_run(&x->w);
    for (int i = 0; i < RUNS; i++) {
        assert_int_equal(e[i].count, 1);
        ended += e[i].kind == LQ_ENDED;
        succeeded += e[i].kind == LQ_SUCCEEDED;
        if (i % 3)
            assert_int_equal(e[i].kind, LQ_SUCCEEDED);
    }
    assert_int_equal(ended + succeeded, RUNS);
    free(e);
}

/* A worker that stops frees what its runs were for. */
static void
runner__goes_while_a_run_is_on_its_way_back__forgets_it(void **state)
{
    struct world *x = *state;
    lq_worker_services services = {.loop = x->w.loop};
    struct ended *e = lq_calloc(1, sizeof(*e));
    struct gate g;
    bool there = true;

    gate_init(&g, x->pool);
    callback_add(x, "gate", waits_at_gate, &g);
    callback_begin(x, e, "gate");
    gate_wait_entered(&g, 1);
    gate_open(&g);
    while (there) { /* in the handler; then posted */
        pthread_mutex_lock(&x->pool->lock);
        there = !lq_list_empty(&x->pool->running);
        pthread_mutex_unlock(&x->pool->lock);
    }
    x->runner->ops->free(x->runner);
    memset(e, 0xa5, sizeof(*e));
    e->run.end = callback_ended;
    e->world = x;
    e->count = 0;
    loop_world_run_ms(&x->w, 20);
    assert_int_equal(e->count, 0);
    assert_ptr_not_equal(e->run.runner_data, NULL); /* nothing was written */
    lq_free(e);
    assert_int_equal(
        lq_callback_runner_new(&x->runner, &services, x->pool, NULL), 0);
}

static void start__out_of_memory__fails_the_run(void **state)
{
    struct world *x = *state;
    struct ended e;

    callback_add(x, "short", returns, NULL);
    lq_alloc_fail_at(1, false);
    callback_begin(x, &e, "short");
    lq_alloc_fail_at(0, false);
    assert_int_equal(e.count, 1);
    assert_int_equal(e.kind, LQ_FAILED);
    assert_string_equal(e.message, lunaq_strerror(LUNAQ_ENOMEM));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(table__exact_first_then_longest_prefix),
        TEST(table__type_twice_or_unusable__is_refused),
        TEST(start__type_without_handler__fails_the_run),
        TEST(pool__more_runs_than_threads__never_more_at_once),
        TEST(cancel__while_it_waits_for_a_thread__ends_at_once),
        TEST(cancel__while_it_runs__ends_when_the_handler_returned),
        TEST(pool__many_short_runs_some_canceled__each_ends_once),
        TEST(runner__goes_while_a_run_is_on_its_way_back__forgets_it),
        TEST(start__out_of_memory__fails_the_run),
    };
    return cmocka_run_group_tests_name("callback", tests, NULL, NULL);
}
