/* Internal runs: from the control thread to a worker and back, with a runner
 * that knows hooks and is made of a few lines. */
#include "runtime/world.h"

#include <stdio.h>
#include <string.h>

#define MOST 400
#define TYPES_HOLD LQ_STR("hold") /* ends when it is told to */

/* What the hooks of all workers do, and what was seen of them. */
static struct {
    atomic_int begun, now, most, deadlines, shutdowns;
    atomic_int on_worker[2];
    atomic_bool block; /* "block": its worker's thread waits */
} seen;

typedef struct fake {
    lq_runner runner; /* first */
    size_t worker;
} fake;

static void fake_end(lq_run *run, enum lq_verdict_kind kind, const char *text)
{
    lq_verdict v = {.kind = kind, .message = lq_str_c(text), .delay_ms = -1};
    if (kind == LQ_SUCCEEDED)
        v = (lq_verdict){.kind = kind, .result = lq_str_c(text)};
    atomic_fetch_sub(&seen.now, 1);
    lq_run_end(run, &v);
}

static bool fake_handles(lq_runner *r, lq_str type)
{
    (void)r;
    (void)type;
    return false;
}

static bool fake_hooks(lq_runner *r, enum lq_run_kind kind, lq_str type)
{
    (void)r;
    return kind == LQ_RUN_PROVIDE && !lq_str_eq(type, LQ_STR("none"));
}

static void fake_start(lq_runner *r, lq_run *run)
{
    fake *f = (fake *)r;
    int now = atomic_fetch_add(&seen.now, 1) + 1, most = seen.most;
    while (now > most && !atomic_compare_exchange_weak(&seen.most, &most, now))
        ;
    atomic_fetch_add(&seen.on_worker[f->worker], 1);
    atomic_fetch_add(&seen.begun, 1);
    if (lq_str_eq(run->task.type, LQ_STR("block")))
        while (atomic_load(&seen.block))
            let_pass(1);
    if (lq_str_eq(run->task.type, LQ_STR("fail")))
        fake_end(run, LQ_FAILED, "no luck");
    else if (!lq_str_eq(run->task.type, TYPES_HOLD))
        fake_end(run, LQ_SUCCEEDED, "fine");
}

static void fake_cancel(lq_runner *r, lq_run *run, enum lq_cancel why)
{
    (void)r;
    if (why == LQ_CANCEL_DEADLINE)
        atomic_fetch_add(&seen.deadlines, 1);
    if (why == LQ_CANCEL_SHUTDOWN)
        atomic_fetch_add(&seen.shutdowns, 1);
    fake_end(run, why == LQ_CANCEL_DEADLINE ? LQ_FAILED : LQ_ENDED, "told to");
}

static bool fake_busy(lq_runner *r)
{
    (void)r;
    return false;
}

static bool fake_inside(lq_runner *r, int64_t *since, char *type, char *id,
                        size_t size)
{
    (void)r, (void)since, (void)type, (void)id, (void)size;
    return false;
}

static void fake_free(lq_runner *r)
{
    free(r);
}

static int fake_new(lq_runner **out, const lq_worker_services *services,
                    void *ud, lunaq_error *err)
{
    static const lq_runner_ops ops = {.handles = fake_handles,
                                      .hooks = fake_hooks,
                                      .start = fake_start,
                                      .cancel = fake_cancel,
                                      .busy = fake_busy,
                                      .inside = fake_inside,
                                      .free = fake_free};
    fake *f = calloc(1, sizeof *f);
    (void)ud;
    (void)err;
    f->runner.ops = &ops;
    f->worker = services->worker;
    *out = &f->runner;
    return 0;
}

/* ---- starting them on the control thread --------------------------------- */

typedef struct one {
    lq_internal_run r; /* first */
    struct batch *batch;
    int times; /* done() came */
    enum lq_verdict_kind kind;
    char text[80], error_kind[32];
    bool on_control;
} one;

typedef struct batch {
    lq_post post;
    lq_runtime *rt;
    pthread_t control;
    size_t count;
    one runs[MOST];
    atomic_int done;
} batch;

static void run_done(lq_internal_run *r, const lq_verdict *v)
{
    one *o = (one *)r;
    lq_str text = v->kind == LQ_SUCCEEDED ? v->result : v->message;
    o->times++;
    o->kind = v->kind;
    o->on_control = pthread_equal(pthread_self(), o->batch->control);
    snprintf(o->text, sizeof o->text, "%.*s", LQ_STR_ARG(text));
    snprintf(o->error_kind, sizeof o->error_kind, "%s",
             v->error_kind ? v->error_kind : "");
    atomic_fetch_add(&o->batch->done, 1);
}

static void submit_all(lq_post *post)
{
    batch *b = LQ_OF(post, batch, post);
    b->control = pthread_self();
    for (size_t i = 0; i < b->count; i++)
        lq_internal_submit(&b->rt->control->internal, &b->runs[i].r);
}

static batch *begin(world *w, const char *type, size_t count, int64_t timeout)
{
    batch *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->rt = w->sides[0].runtime;
    b->count = count;
    b->post.fn = submit_all;
    for (size_t i = 0; i < count; i++) {
        b->runs[i].batch = b;
        b->runs[i].r.run.kind = LQ_RUN_PROVIDE;
        b->runs[i].r.run.task.type = lq_str_c(type);
        b->runs[i].r.timeout_ms = timeout;
        b->runs[i].r.done = run_done;
    }
    lq_loop_post(b->rt->control->loop, &b->post);
    return b;
}

/* Waits until all have ended, once each and on the control thread. */
static void end(batch *b, enum lq_verdict_kind kind, const char *error_kind)
{
    wait_for("runs end", &b->done, (int)b->count);
    for (size_t i = 0; i < b->count; i++) {
        assert_int_equal(b->runs[i].times, 1);
        assert_true(b->runs[i].on_control);
        assert_int_equal(b->runs[i].kind, kind);
        if (error_kind)
            assert_string_equal(b->runs[i].error_kind, error_kind);
    }
}

static int setup(void **state)
{
    int rc = world_setup(state, NULL);
    if (rc)
        return rc;
    world *w = *state;
    memset(&seen, 0, sizeof seen);
    w->o.runners[1] = (lq_runner_factory){fake_new, NULL};
    w->o.runner_count = 2;
    world_start(w, 0);
    return 0;
}

/* ---- the tests ----------------------------------------------------------- */

static void many_runs__all_come_back_and_few_at_a_time(void **state)
{
    batch *b = begin(*state, "quick", MOST, 20000);
    end(b, LQ_SUCCEEDED, NULL);
    assert_string_equal(b->runs[7].text, "fine");
    assert_in_range(seen.on_worker[0], MOST / 4, MOST * 3 / 4);
    free(b);
}

static void runs_that_last__are_bounded_and_end_at_their_deadline(void **state)
{
    batch *b = begin(*state, "hold", 40, 300);
    end(b, LQ_FAILED, NULL);
    assert_in_range(seen.most, 2, 16); /* 8 on each of two workers */
    assert_true(seen.deadlines > 0);
    free(b);
}

static void verdict_of_a_hook__comes_with_its_text(void **state)
{
    batch *b = begin(*state, "fail", 1, 20000);
    end(b, LQ_FAILED, "");
    assert_string_equal(b->runs[0].text, "no luck");
    free(b);
}

static void type_without_the_hook__says_so(void **state)
{
    batch *b = begin(*state, "none", 3, 20000);
    end(b, LQ_FAILED, "no_hook");
    free(b);
}

static void stop__ends_what_runs_and_what_waits(void **state)
{
    world *w = *state;
    batch *b = begin(w, "hold", 100, 60000);
    wait_for("some run", &seen.begun, 16);
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
    end(b, LQ_ENDED, NULL);
    assert_int_equal(seen.shutdowns, 16);
    assert_int_equal(seen.now, 0);
    free(b);
}

static void stop__waits_for_a_run_that_ends_in_time(void **state)
{
    world *w = *state;
    atomic_store(&seen.block, true);
    batch *b = begin(w, "block", 1, 60000);
    wait_for("it runs", &seen.begun, 1);
    atomic_store(&seen.block, false);
    assert_int_equal(world_stop(w, 0), LUNAQ_OK);
    end(b, LQ_SUCCEEDED, NULL);
    free(b);
}

/* What a worker has not begun is taken back from it; the other one works. */
static void worker_that_does_not_look__fails_its_runs_in_time(void **state)
{
    world *w = *state;
    atomic_store(&seen.block, true);
    batch *blocks = begin(w, "block", 1, 60000);
    wait_for("one is blocked", &seen.begun, 1);
    batch *b = begin(w, "quick", 10, 500);
    wait_for("runs end", &b->done, 10);
    int late = 0;
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(b->runs[i].times, 1);
        late += strcmp(b->runs[i].error_kind, "timeout") == 0;
    }
    assert_int_equal(late, 5);
    atomic_store(&seen.block, false);
    end(blocks, LQ_SUCCEEDED, NULL);
    free(blocks);
    free(b);
}

int main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(many_runs__all_come_back_and_few_at_a_time),
        TEST(runs_that_last__are_bounded_and_end_at_their_deadline),
        TEST(verdict_of_a_hook__comes_with_its_text),
        TEST(type_without_the_hook__says_so),
        TEST(stop__ends_what_runs_and_what_waits),
        TEST(stop__waits_for_a_run_that_ends_in_time),
        TEST(worker_that_does_not_look__fails_its_runs_in_time),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("internal runs", tests, NULL, NULL);
}
