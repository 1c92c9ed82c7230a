/* C handlers on their pool: verdicts, limits, cancel.  The test stands in for
 * the runtime: it makes the runs and is told how they end. */
#include "support/test.h"

#include "base/alloc.h"
#include "runtime/callback_parts.h"
#include "support/loop_world.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 3

struct ended {
    lq_run run;
    struct world *world;
    int64_t delay_ms;
    size_t message_len;
    size_t result_len;
    enum lq_verdict_kind kind;
    int count;
    char result[64];
    char message[LQ_ERROR_TEXT_MAX + 1];
    bool on_loop;
};

struct world {
    loop_world w;
    lq_callbacks *pool;
    lq_runner *runner;
    pthread_t thread;
    int left; /* runs that have not ended */
};

static void run_ended(lq_run *run, const lq_verdict *v)
{
    struct ended *e = LQ_OF(run, struct ended, run);

    e->count++;
    e->kind = v->kind;
    e->delay_ms = v->delay_ms;
    e->message_len = v->message.len;
    snprintf(e->message, sizeof(e->message), "%.*s", LQ_STR_ARG(v->message));
    e->result_len = v->result.len;
    if (v->result.len)
        memcpy(e->result, v->result.p, v->result.len < 64 ? v->result.len : 64);
    e->on_loop = pthread_equal(e->world->thread, pthread_self());
    if (--e->world->left == 0)
        lq_loop_stop(e->world->w.loop);
}

static int setup(void **state)
{
    static struct world x;
    lq_worker_services services = {0};

    memset(&x, 0, sizeof(x));
    loop_world_init(&x.w);
    x.thread = pthread_self();
    assert_int_equal(lq_callbacks_new(&x.pool, THREADS, NULL, NULL), 0);
    services.loop = x.w.loop;
    assert_int_equal(lq_callback_runner_new(&x.runner, &services, x.pool, NULL),
                     0);
    *state = &x;
    return 0;
}

static int teardown(void **state)
{
    struct world *x = *state;

    x->runner->ops->free(x->runner);
    lq_callbacks_free(x->pool);
    loop_world_release(&x->w);
    return 0;
}

static void add(struct world *x, const char *type, lunaq_handler_fn *fn,
                void *userdata)
{
    assert_int_equal(lq_callbacks_add(x->pool, type, NULL, fn, userdata, NULL),
                     0);
}

static void begin(struct world *x, struct ended *e, const char *type)
{
    memset(e, 0, sizeof(*e));
    e->world = x;
    e->run.task = (lq_task){.type = lq_str_c(type),
                            .id = LQ_STR("0001"),
                            .queue = LQ_STR("default"),
                            .payload = LQ_STR("{\"a\":1}"),
                            .max_retry = 3,
                            .retried = 1};
    e->run.end = run_ended;
    e->run.max_retry = 3;
    e->run.deadline_ms = 12345;
    x->left++;
    x->runner->ops->start(x->runner, &e->run);
}

static void run_to_end(struct world *x, struct ended *e, const char *type)
{
    begin(x, e, type);
    loop_world_run(&x->w);
    assert_int_equal(e->count, 1);
    assert_true(e->on_loop);
}

/* ---- verdicts ------------------------------------------------------------ */

static int reads_everything(lunaq_run *run, void *userdata)
{
    size_t len;
    const char *payload = lunaq_run_payload(run, &len);

    *(int *)userdata =
        strcmp(lunaq_run_id(run), "0001") == 0 &&
        strcmp(lunaq_run_type(run), "a:read") == 0 &&
        strcmp(lunaq_run_queue(run), "default") == 0 && len == 7 &&
        strcmp(payload, "{\"a\":1}") == 0 && lunaq_run_attempt(run) == 2 &&
        lunaq_run_attempts(run) == 4 && lunaq_run_deadline_at(run) == 12345 &&
        !lunaq_run_canceled(run);
    return LUNAQ_OK;
}

static void handler__reads_its_run(void **state)
{
    struct world *x = *state;
    struct ended e;
    int right = 0;

    add(x, "a:read", reads_everything, &right);
    run_to_end(x, &e, "a:read");
    assert_int_equal(e.kind, LQ_SUCCEEDED);
    assert_int_equal(e.result_len, 0);
    assert_true(right);
}

static int sets_results(lunaq_run *run, void *userdata)
{
    (void)userdata;
    if (lunaq_run_set_result(run, "first one", 9) ||
        lunaq_run_set_result(run, "a\0b", 3) ||
        lunaq_run_set_result(run, NULL, 1) != LUNAQ_EINVAL)
        return LUNAQ_EIO;
    return LUNAQ_OK;
}

static void handler__sets_a_result__the_last_is_kept(void **state)
{
    struct world *x = *state;
    struct ended e;

    add(x, "a:result", sets_results, NULL);
    run_to_end(x, &e, "a:result");
    assert_int_equal(e.kind, LQ_SUCCEEDED);
    assert_int_equal(e.result_len, 3);
    assert_memory_equal(e.result, "a\0b", 3);
}

struct verdict_case {
    const char *name;
    lunaq_handler_fn *fn;
    enum lq_verdict_kind kind;
    int64_t delay_ms;
    const char *message;
};

static int fails(lunaq_run *run, void *ud)
{
    (void)ud;
    return lunaq_run_fail(run, "no disk");
}
static int fails_silently(lunaq_run *run, void *ud)
{
    (void)ud;
    return lunaq_run_fail(run, NULL);
}
static int fails_by_code(lunaq_run *run, void *ud)
{
    (void)run;
    (void)ud;
    return LUNAQ_ETIMEOUT;
}
static int retries_later(lunaq_run *run, void *ud)
{
    (void)ud;
    return lunaq_run_retry_after(run, 1500, "busy");
}
static int snoozes(lunaq_run *run, void *ud)
{
    (void)ud;
    return lunaq_run_snooze(run, -5, "not ready");
}
static int gives_up(lunaq_run *run, void *ud)
{
    (void)ud;
    return lunaq_run_skip_retry(run, "bad \xff text");
}
static int discards(lunaq_run *run, void *ud)
{
    (void)ud;
    return lunaq_run_discard(run, "old");
}
static int says_two_things(lunaq_run *run, void *ud)
{
    (void)ud;
    lunaq_run_snooze(run, 10, "first");
    return lunaq_run_fail(run, "second");
}
static int says_and_succeeds(lunaq_run *run, void *ud)
{
    (void)ud;
    lunaq_run_fail(run, "never mind");
    return LUNAQ_OK;
}

static const struct verdict_case cases[] = {
    {"fail__is_failed_with_its_text", fails, LQ_FAILED, -1, "no disk"},
    {"fail__without_text__has_one", fails_silently, LQ_FAILED, -1,
     "the handler failed"},
    {"code__is_failed_with_its_text", fails_by_code, LQ_FAILED, -1,
     "timed out"},
    {"retry_after__has_its_delay", retries_later, LQ_RETRY_AFTER, 1500, "busy"},
    {"snooze__negative_delay__is_now", snoozes, LQ_SNOOZED, 0, "not ready"},
    {"skip_retry__text_is_cleaned", gives_up, LQ_SKIPPED, 0, "bad ? text"},
    {"discard__is_discarded", discards, LQ_DISCARDED, 0, "old"},
    {"two_verdicts__the_last_counts", says_two_things, LQ_FAILED, -1, "second"},
    {"verdict_then_ok__succeeds", says_and_succeeds, LQ_SUCCEEDED, -1, ""},
};

/* One row; its name is the test's. */
static void check_verdict(void **state)
{
    const struct verdict_case *row = *state;
    void *world;
    struct ended e;

    setup(&world);
    add(world, "a:verdict", row->fn, NULL);
    run_to_end(world, &e, "a:verdict");
    assert_int_equal(e.kind, row->kind);
    assert_int_equal(e.delay_ms, row->delay_ms);
    assert_string_equal(e.message, row->message);
    teardown(&world);
}

static int fails_at_length(lunaq_run *run, void *ud)
{
    return lunaq_run_fail(run, ud);
}

static void fail__text_too_long__is_cut(void **state)
{
    struct world *x = *state;
    struct ended e;
    char *text = malloc((size_t)3 * LQ_ERROR_TEXT_MAX);

    assert_non_null(text);
    memset(text, 'x', (size_t)3 * LQ_ERROR_TEXT_MAX - 1);
    text[(size_t)3 * LQ_ERROR_TEXT_MAX - 1] = '\0';
    add(x, "a:long", fails_at_length, text);
    run_to_end(x, &e, "a:long");
    assert_int_equal(e.message_len, LQ_ERROR_TEXT_MAX);
    free(text);
}

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

    add(x, "img:*", says_who, img);
    add(x, "*", says_who, all);
    add(x, "img:re*", says_who, img_re);
    add(x, "img:resize", says_who, exact);
    assert_int_equal(lq_callbacks_count(x->pool), 4);
    for (size_t i = 0; i < LQ_COUNT(rows); i++) {
        run_to_end(x, &e, rows[i][0]);
        assert_string_equal(e.message, rows[i][1]);
    }
}

static void table__type_twice_or_unusable__is_refused(void **state)
{
    struct world *x = *state;

    add(x, "a", says_who, NULL);
    add(x, "a*", says_who, NULL);
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

    begin(x, &e, "none");
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
    add(x, "wait", waits_at_gate, &g);
    for (size_t i = 0; i < LQ_COUNT(e); i++)
        begin(x, &e[i], "wait");
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
    add(x, "wait", waits_at_gate, &g);
    for (size_t i = 0; i < THREADS; i++)
        begin(x, &e[i], "wait");
    gate_wait_entered(&g, THREADS);
    begin(x, &e[THREADS], "wait");
    begin(x, &e[THREADS + 1], "wait");
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
    add(x, "wait", waits_for_cancel, &c.begun);
    assert_int_equal(
        lq_timer_new(&c.timer, x->w.loop, cancel_when_begun, &c, NULL), 0);
    lq_timer_start(c.timer, 0);
    run_to_end(x, &c.e, "wait");
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
    add(x, "short", returns, NULL);
    x->left = 1; /* nothing stops the loop before it runs */
    for (int i = 0; i < RUNS; i++) {
        begin(x, &e[i], "short");
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

static int says_first(lunaq_run *run, void *userdata)
{
    ++*(int *)userdata;
    return lunaq_run_fail(run, "first");
}

static void says_other(lunaq_run *run, const char *error, void *userdata)
{
    (void)error;
    (void)userdata;
    (void)lunaq_run_fail(run, "other");
    (void)lunaq_run_next(run);
}

static void hook__says_what_a_handler_may_say__changes_nothing(void **state)
{
    struct world *x = *state;
    lunaq_server_hooks hooks = LUNAQ_SERVER_HOOKS_INIT;
    struct ended e;
    int calls = 0;

    hooks.on_error = says_other;
    assert_int_equal(lq_callbacks_hook(x->pool, &hooks, NULL), LUNAQ_OK);
    add(x, "fails", says_first, &calls);
    run_to_end(x, &e, "fails");
    assert_int_equal(e.kind, LQ_FAILED);
    assert_string_equal(e.message, "first");
    assert_int_equal(calls, 1);
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
    add(x, "gate", waits_at_gate, &g);
    begin(x, e, "gate");
    gate_wait_entered(&g, 1);
    gate_open(&g);
    while (there) { /* in the handler; then posted */
        pthread_mutex_lock(&x->pool->lock);
        there = !lq_list_empty(&x->pool->running);
        pthread_mutex_unlock(&x->pool->lock);
    }
    x->runner->ops->free(x->runner);
    memset(e, 0xa5, sizeof(*e));
    e->run.end = run_ended;
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

    add(x, "short", returns, NULL);
    lq_alloc_fail_at(1, false);
    begin(x, &e, "short");
    lq_alloc_fail_at(0, false);
    assert_int_equal(e.count, 1);
    assert_int_equal(e.kind, LQ_FAILED);
    assert_string_equal(e.message, lunaq_strerror(LUNAQ_ENOMEM));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(handler__reads_its_run),
        TEST(handler__sets_a_result__the_last_is_kept),
        TEST(fail__text_too_long__is_cut),
        TEST(table__exact_first_then_longest_prefix),
        TEST(table__type_twice_or_unusable__is_refused),
        TEST(start__type_without_handler__fails_the_run),
        TEST(pool__more_runs_than_threads__never_more_at_once),
        TEST(cancel__while_it_waits_for_a_thread__ends_at_once),
        TEST(cancel__while_it_runs__ends_when_the_handler_returned),
        TEST(pool__many_short_runs_some_canceled__each_ends_once),
        TEST(hook__says_what_a_handler_may_say__changes_nothing),
        TEST(runner__goes_while_a_run_is_on_its_way_back__forgets_it),
        TEST(start__out_of_memory__fails_the_run),
    };
    struct CMUnitTest rows[LQ_COUNT(cases)];
    int failed;

    for (size_t i = 0; i < LQ_COUNT(cases); i++) {
        union {
            const void *in;
            void *out;
        } row = {&cases[i]};
        rows[i] = (struct CMUnitTest){cases[i].name, check_verdict, NULL, NULL,
                                      row.out};
    }
    failed = cmocka_run_group_tests_name("callback", tests, NULL, NULL);
    return failed +
           cmocka_run_group_tests_name("callback verdicts", rows, NULL, NULL);
}
