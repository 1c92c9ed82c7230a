/* The link to a queue file, over a real engine: operations, waiting, listening,
 * closing, on one loop and from other connections. */
#include "support/test.h"

#include "base/clock.h"
#include "broker/inspect.h"
#include "sqlite/caller.h"
#include "sqlite/engine.h"
#include "sqlite/wait.h"
#include "sqlite/wake.h"
#include "sqlite_uv/link_sqlite.h"
#include "support/loop_world.h"
#include "support/temp_folder.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct world {
    loop_world loop;
    temp_folder folder;
    char path[128];
    lq_sqlite_engine *engine;
    lq_link *link;
    lq_caller *other; /* another connection, as of another process */
    bool up, closed;
    int done; /* operations */
    char heard[64];
} world;

/* ---- the world ----------------------------------------------------------- */

static void came_up(void *ud)
{
    world *w = ud;
    w->up = true;
    lq_loop_stop(w->loop.loop);
}

static void went_down(void *ud, const lunaq_error *why)
{
    (void)ud;
    fail_msg("down: %s", why->message);
}

static void closed(void *ud)
{
    world *w = ud;
    w->closed = true;
    lq_loop_stop(w->loop.loop);
}

static void open_link(world *w)
{
    static const lq_link_events events = {came_up, went_down};
    lunaq_error err = LUNAQ_ERROR_INIT;

    if (lq_sqlite_link_open(&w->link, w->loop.loop, w->engine, &events, w,
                            &err))
        fail_msg("link: %s", err.message);
    assert_false(w->up); /* not from inside */
    loop_world_run(&w->loop);
    assert_true(w->up);
}

static int setup(void **state)
{
    static world w;
    lunaq_error err = LUNAQ_ERROR_INIT;

    w = (world){0};
    *state = &w;
    loop_world_init(&w.loop);
    assert_int_equal(temp_folder_make(&w.folder), 0);
    snprintf(w.path, sizeof(w.path), "%s/queue.db", w.folder.path);
    const lq_sqlite_engine_options o = {.path = w.path};
    if (lq_sqlite_engine_open(&w.engine, &o, &err) ||
        lq_sqlite_caller_open(&w.other, w.path, NULL, &err))
        fail_msg("open: %s", err.message);
    open_link(&w);
    return 0;
}

static void close_link(world *w)
{
    if (!w->link)
        return;
    w->closed = false;
    w->link->ops->close(w->link, closed, w);
    assert_false(w->closed);
    w->link = NULL;
    while (!w->closed) /* what is done on the way stops the loop, too */
        loop_world_run(&w->loop);
}

static int teardown(void **state)
{
    world *w = *state;
    close_link(w);
    lq_caller_close(w->other);
    lq_sqlite_engine_close(w->engine);
    temp_folder_remove(&w->folder);
    loop_world_release(&w->loop);
    return 0;
}

/* ---- operations ---------------------------------------------------------- */

static void done(lq_op *op)
{
    world *w = op->ud;
    w->done++;
    lq_loop_stop(w->loop.loop);
}

static void submit(world *w, lq_op *op, enum lq_op_kind kind)
{
    int before = w->done;
    lq_op_init(op, kind);
    op->done = done;
    op->ud = w;
    lq_link_submit(w->link, op);
    assert_int_equal(w->done, before); /* never from inside */
}

static void wait_done(world *w, int count)
{
    while (w->done < count)
        loop_world_run(&w->loop);
}

typedef struct putting {
    lq_op_enqueue op;
    lq_enqueue item;
    lq_enqueue *items[1];
} putting;

static void put_init(putting *p, const char *queue, const char *id)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = queue;
    t.task_id = id;
    assert_int_equal(lq_enqueue_init(&p->item, &t, lq_now_ms(), NULL), 0);
    p->items[0] = &p->item;
    p->op = (lq_op_enqueue){.items = p->items, .count = 1};
    lq_op_init(&p->op.op, LQ_OP_ENQUEUE);
}

static void put_release(putting *p)
{
    lq_op_release(&p->op.op);
    lq_enqueue_release(&p->item);
}

static void put_elsewhere(world *w, const char *queue, const char *id)
{
    putting p;
    lunaq_error err = LUNAQ_ERROR_INIT;
    put_init(&p, queue, id);
    if (lq_caller_call(w->other, &p.op.op, 5000, &err) || p.item.code)
        fail_msg("enqueue: %s", err.message);
    put_release(&p);
}

static void take(world *w, lq_op_step *step, lq_step_queue *queue,
                 uint32_t free_slots)
{
    *queue = (lq_step_queue){.name = LQ_STR("q")};
    *step = (lq_op_step){.queues = queue,
                         .queue_count = 1,
                         .free = free_slots,
                         .token = 7,
                         .lease_ms = 30000,
                         .now_ms = lq_now_ms()};
    int n = w->done;
    submit(w, &step->op, LQ_OP_STEP);
    wait_done(w, n + 1);
    assert_int_equal(step->op.rc, LUNAQ_OK);
}

static void what_is_enqueued_on_a_link__is_taken_on_it(void **state)
{
    world *w = *state;
    putting p;
    lq_op_step step;
    lq_step_queue queue;

    put_init(&p, "q", "a");
    submit(w, &p.op.op, LQ_OP_ENQUEUE);
    wait_done(w, 1);
    assert_int_equal(p.op.op.rc, LUNAQ_OK);
    assert_int_equal(p.item.code, LUNAQ_OK);
    put_release(&p);
    take(w, &step, &queue, 5);
    assert_int_equal(step.taken_count, 1);
    assert_true(lq_str_eq(step.taken[0].id, LQ_STR("a")));
    assert_true(queue.drained);
    lq_op_release(&step.op);
}

static void five_hundred_at_once__are_all_answered_and_in_the_file(void **state)
{
    enum { N = 500 };
    world *w = *state;
    putting *p = calloc(N, sizeof(*p));
    char id[16];

    for (int i = 0; i < N; i++) {
        snprintf(id, sizeof(id), "t%03d", i);
        put_init(&p[i], "q", id);
    }
    for (int i = 0; i < N; i++)
        submit(w, &p[i].op.op, LQ_OP_ENQUEUE);
    wait_done(w, N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(p[i].op.op.rc, LUNAQ_OK);
        assert_int_equal(p[i].item.code, LUNAQ_OK);
        put_release(&p[i]);
    }
    free(p);
    lq_op_queue_stats stats = {.queue = LQ_STR("q"), .now_ms = lq_now_ms()};
    lq_op_init(&stats.op, LQ_OP_QUEUE_STATS);
    assert_int_equal(lq_caller_call(w->other, &stats.op, 5000, NULL), 0);
    assert_int_equal(stats.info.pending, N);
    lq_op_release(&stats.op);
}

static void item_that_is_refused__answers_for_itself(void **state)
{
    world *w = *state;
    putting p;

    put_elsewhere(w, "q", "a");
    put_init(&p, "q", "a");
    submit(w, &p.op.op, LQ_OP_ENQUEUE);
    wait_done(w, 1);
    assert_int_equal(p.op.op.rc, LUNAQ_OK);
    assert_int_equal(p.item.code, LUNAQ_EEXIST);
    put_release(&p);
}

/* ---- waiting ------------------------------------------------------------- */

static void wait_begin(world *w, lq_op_wait *wait, const char *queue,
                       int64_t timeout_ms)
{
    *wait = (lq_op_wait){.queue = lq_str_c(queue), .timeout_ms = timeout_ms};
    submit(w, &wait->op, LQ_OP_WAIT);
}

static void wait__on_a_queue_with_a_task__ends_at_once(void **state)
{
    world *w = *state;
    lq_op_wait wait;

    put_elsewhere(w, "q", "a");
    wait_begin(w, &wait, "q", 15000);
    wait_done(w, 1);
    assert_int_equal(wait.op.rc, LUNAQ_OK);
    assert_true(wait.woke);
}

static void wait__when_nothing_comes__ends_at_its_timeout(void **state)
{
    world *w = *state;
    lq_op_wait wait;
    int64_t from = lq_mono_ms();

    wait_begin(w, &wait, "q", 250);
    put_elsewhere(w, "other", "a"); /* not what it waits for */
    wait_done(w, 1);
    assert_int_equal(wait.op.rc, LUNAQ_OK);
    assert_false(wait.woke);
    assert_true(lq_mono_ms() - from >= 249);
}

struct putter {
    world *w;
    const char *queue;
    char id[16];
    int64_t at_ns; /* when it was acknowledged */
};

static void *put_later(void *arg)
{
    struct putter *p = arg;
    struct timespec t = {0, 30000000}; /* the wait is at its sleep by then */
    nanosleep(&t, NULL);
    put_elsewhere(p->w, p->queue, p->id);
    p->at_ns = lq_mono_ns();
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void wait__for_another_connection__ends_within_a_moment(void **state)
{
    enum { ROUNDS = 20 };
    world *w = *state;
    int64_t late[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        lq_op_wait wait;
        lq_op_step step;
        lq_step_queue queue;
        pthread_t thread;
        struct putter p = {.w = w, .queue = "q"};
        int n = w->done;

        snprintf(p.id, sizeof(p.id), "a%d", i);
        wait_begin(w, &wait, "q", 15000);
        pthread_create(&thread, NULL, put_later, &p);
        wait_done(w, n + 1);
        int64_t woke = lq_mono_ns();
        pthread_join(thread, NULL);
        assert_int_equal(wait.op.rc, LUNAQ_OK);
        assert_true(wait.woke);
        late[i] = woke - p.at_ns;
        take(w, &step, &queue, 5);
        assert_int_equal(step.taken_count, 1);
        lq_op_release(&step.op);
    }
    qsort(late, ROUNDS, sizeof(*late), by_size);
    /* By the bell: well below the time between two looks of the net. */
    assert_true(late[ROUNDS / 2] < (int64_t)LQ_SQLITE_NET_MS * 1000000 / 2);
}

/* Without a bell the waits poll: late, but not lost. */
static void wait__when_the_bell_is_gone__ends_all_the_same(void **state)
{
    world *w = *state;
    char command[200];
    lq_op_wait wait;
    pthread_t thread;
    struct putter p = {.w = w, .queue = "q", .id = "a"};

    snprintf(command, sizeof(command), "%s.wake", w->path);
    temp_folder_empty(command);
    wait_begin(w, &wait, "q", 15000);
    pthread_create(&thread, NULL, put_later, &p);
    wait_done(w, 1);
    pthread_join(thread, NULL);
    assert_true(wait.woke);
}

static void waits_of_two_queues__end_apart(void **state)
{
    world *w = *state;
    lq_op_wait a, b;

    wait_begin(w, &a, "q", 15000);
    wait_begin(w, &b, "other", 15000);
    put_elsewhere(w, "other", "x");
    wait_done(w, 1);
    assert_true(b.woke);
    assert_false(a.woke);
    put_elsewhere(w, "q", "y");
    wait_done(w, 2);
    assert_true(a.woke);
}

static void caller_wait__ends_when_a_link_enqueues(void **state)
{
    world *w = *state;
    lq_op_wait wait = {.queue = LQ_STR("q"), .timeout_ms = 200};
    putting p;

    lq_op_init(&wait.op, LQ_OP_WAIT);
    assert_int_equal(lq_caller_call(w->other, &wait.op, 5000, NULL), 0);
    assert_false(wait.woke);
    put_init(&p, "q", "a");
    submit(w, &p.op.op, LQ_OP_ENQUEUE); /* under way on the engine's thread */
    wait.timeout_ms = 15000;
    lq_op_init(&wait.op, LQ_OP_WAIT);
    assert_int_equal(lq_caller_call(w->other, &wait.op, 15000, NULL), 0);
    assert_true(wait.woke);
    wait_done(w, 1);
    put_release(&p);
}

/* ---- listening ----------------------------------------------------------- */

static void heard(lq_op_listen *op, lq_str id)
{
    world *w = op->op.ud;
    snprintf(w->heard, sizeof(w->heard), "%.*s", LQ_STR_ARG(id));
    lq_loop_stop(w->loop.loop);
}

static void cancel_elsewhere(world *w, const char *id)
{
    lq_op_cancel cancel = {
        .queue = LQ_STR("q"), .id = lq_str_c(id), .reason = LQ_STR("test")};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_init(&cancel.op, LQ_OP_CANCEL);
    if (lq_caller_call(w->other, &cancel.op, 5000, &err))
        fail_msg("cancel: %s", err.message);
    lq_op_release(&cancel.op);
}

static void listen__hears_of_active_tasks_only_and_once(void **state)
{
    world *w = *state;
    lq_op_step step;
    lq_step_queue queue;
    lq_op_listen listen = {.cancel = heard};

    put_elsewhere(w, "q", "early");
    put_elsewhere(w, "q", "late");
    take(w, &step, &queue, 2);
    assert_int_equal(step.taken_count, 2);
    lq_op_release(&step.op);
    int n = w->done;
    cancel_elsewhere(w, "early"); /* before anybody listens */
    submit(w, &listen.op, LQ_OP_LISTEN);
    loop_world_run_ms(&w->loop, 150);
    assert_string_equal(w->heard, "");
    cancel_elsewhere(w, "late");
    while (!w->heard[0])
        loop_world_run(&w->loop);
    assert_string_equal(w->heard, "late");
    w->heard[0] = 0;
    loop_world_run_ms(&w->loop, 150);
    assert_string_equal(w->heard, "");
    assert_int_equal(w->done, n); /* it goes on */
    close_link(w);
    assert_int_equal(w->done, n + 1);
    assert_int_equal(listen.op.rc, LUNAQ_ECANCELED);
}

/* ---- closing ------------------------------------------------------------- */

static void
close__ends_everything_first_and_leaves_the_engine_usable(void **state)
{
    enum { N = 50 };
    world *w = *state;
    static putting p[N];
    lq_op_wait wait;
    int canceled = 0;

    for (int i = 0; i < N; i++)
        put_init(&p[i], "q", NULL);
    wait_begin(w, &wait, "elsewhere", 15000);
    for (int i = 0; i < N; i++)
        submit(w, &p[i].op.op, LQ_OP_ENQUEUE);
    close_link(w);
    assert_int_equal(w->done, N + 1);
    assert_int_equal(wait.op.rc, LUNAQ_ECANCELED);
    for (int i = 0; i < N; i++) {
        canceled += p[i].op.op.rc == LUNAQ_ECANCELED;
        put_release(&p[i]);
    }
    assert_int_equal(canceled, N);
    w->up = false;
    open_link(w);
    w->done = 0;
    wait_begin(w, &wait, "elsewhere", 0);
    wait_done(w, 1);
    assert_int_equal(wait.op.rc, LUNAQ_OK);
}

/* ---- what stands beside the file ----------------------------------------- */

static int files_in(const char *folder)
{
    int n = 0;
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

static void sockets_of_the_dead__are_removed(void **state)
{
    world *w = *state;
    lq_sqlite_bell bell;
    char folder[160];

    snprintf(folder, sizeof(folder), "%s.wake", w->path);
    assert_int_equal(files_in(folder), 2);
    assert_true(lq_sqlite_bell_open(&bell, w->path, LQ_SQLITE_BELL_TASK));
    assert_int_equal(files_in(folder), 3);
    close(bell.fd); /* as a kill does */
    put_elsewhere(w, "q", "a");
    assert_int_equal(files_in(folder), 2);
}

static void engine_that_ends__leaves_only_the_file_and_its_lock(void **state)
{
    world *w = *state;
    char folder[160];

    put_elsewhere(w, "q", "a");
    close_link(w);
    lq_caller_close(w->other);
    w->other = NULL;
    lq_sqlite_engine_close(w->engine);
    w->engine = NULL;
    snprintf(folder, sizeof(folder), "%s.wake", w->path);
    assert_int_equal(files_in(folder), 0);
    assert_int_equal(files_in(w->folder.path), 3); /* .db, .lock, .wake */
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_enqueued_on_a_link__is_taken_on_it),
        TEST(five_hundred_at_once__are_all_answered_and_in_the_file),
        TEST(item_that_is_refused__answers_for_itself),
        TEST(wait__on_a_queue_with_a_task__ends_at_once),
        TEST(wait__when_nothing_comes__ends_at_its_timeout),
        TEST(wait__for_another_connection__ends_within_a_moment),
        TEST(wait__when_the_bell_is_gone__ends_all_the_same),
        TEST(waits_of_two_queues__end_apart),
        TEST(caller_wait__ends_when_a_link_enqueues),
        TEST(listen__hears_of_active_tasks_only_and_once),
        TEST(close__ends_everything_first_and_leaves_the_engine_usable),
        TEST(sockets_of_the_dead__are_removed),
        TEST(engine_that_ends__leaves_only_the_file_and_its_lock),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("link to a queue file", tests, NULL,
                                       NULL);
}
