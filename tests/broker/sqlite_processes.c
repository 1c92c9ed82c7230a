/* Several processes on one file: nobody is refused, nothing is lost, a killed
 * one leaves nothing behind. */
#include "broker/sqlite_world.h"

#include "base/clock.h"
#include "sqlite/apply.h"
#include "sqlite/lock.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PRODUCERS = 4, EACH = 150 };

static void produce(int which)
{
    lq_caller *c = NULL;
    if (sqlite_world_factory()->open(NULL, &c))
        _exit(1);
    for (int i = 0; i < EACH; i++) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        lq_enqueue e, *items[] = {&e};
        lunaq_task t = LUNAQ_TASK_INIT;
        char id[32];
        snprintf(id, sizeof(id), "p%d-%d", which, i);
        t.type = "t";
        t.queue = Q;
        t.task_id = id;
        if (lq_enqueue_init(&e, &t, lq_now_ms(), &err))
            _exit(2);
        lq_op_enqueue op = {
            .op.kind = LQ_OP_ENQUEUE, .items = items, .count = 1};
        if (lq_caller_call(c, &op.op, WORLD_TIMEOUT_MS, &err) || e.code) {
            fprintf(stderr, "producer %d: %s\n", which, err.message);
            _exit(3);
        }
        lq_op_release(&op.op);
        lq_enqueue_release(&e);
    }
    lq_caller_close(c);
    _exit(0);
}

/* Takes and ends what comes until it has ended `want`. */
static void consume(world *w, size_t want)
{
    static char ids[LQ_BATCH_MAX][40];
    lq_outcome o[LQ_BATCH_MAX], *list[LQ_BATCH_MAX];
    size_t n = 0, ended = 0;
    int64_t deadline = lq_mono_ms() + 60000;
    while (ended < want && lq_mono_ms() < deadline) {
        lq_step_queue queue = {.name = LQ_STR(Q),
                               .want = LQ_BATCH_MAX,
                               .outcomes = list,
                               .outcome_count = n};
        lq_op_step op = {.op.kind = LQ_OP_STEP,
                         .queues = &queue,
                         .queue_count = 1,
                         .free = LQ_BATCH_MAX,
                         .token = w->token,
                         .lease_ms = 30000};
        assert_int_equal(world_call(w, &op.op), LUNAQ_OK);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(o[i].code, LUNAQ_OK);
        ended += n;
        n = op.taken_count;
        for (size_t i = 0; i < n; i++) {
            snprintf(ids[i], sizeof(ids[i]), "%.*s",
                     LQ_STR_ARG(op.taken[i].id));
            o[i] = (lq_outcome){
                .kind = LQ_DONE, .id = lq_str_c(ids[i]), .token = w->token};
            list[i] = &o[i];
        }
        lq_op_release(&op.op);
    }
    assert_int_equal(ended, want);
}

static void several_processes__nobody_is_refused(void **state)
{
    world *w = *state;
    pid_t pids[PRODUCERS];
    lq_caller_close(w->caller); /* no connection survives a fork */
    w->caller = NULL;
    for (int i = 0; i < PRODUCERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            produce(i);
        assert_true(pids[i] > 0);
    }
    assert_int_equal(w->factory->open(w->factory->ud, &w->caller), 0);
    consume(w, (size_t)PRODUCERS * EACH);
    for (int i = 0; i < PRODUCERS; i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(world_stats(w).processed_total, PRODUCERS * EACH);
    assert_int_equal(world_stats(w).pending, 0);
}

/* Begins a transaction, writes, says so and waits to be killed. */
static void hang_in_transaction(int fd)
{
    lq_sqlite *q = NULL;
    lq_enqueue e, *items[] = {&e};
    lunaq_task t = LUNAQ_TASK_INIT;
    int64_t deadline_ns = lq_mono_ns() + (int64_t)5000 * 1000000;
    t.type = "t";
    t.queue = Q;
    t.task_id = "half";
    if (lq_sqlite_open(&q, sqlite_world_path(), NULL, deadline_ns, NULL) ||
        lq_sqlite_begin(q, LQ_SQLITE_WRITE, deadline_ns, NULL) ||
        lq_enqueue_init(&e, &t, lq_now_ms(), NULL))
        _exit(1);
    lq_op_enqueue op = {.op.kind = LQ_OP_ENQUEUE, .items = items, .count = 1};
    lq_sqlite_apply(q, &op.op, lq_now_ms());
    if (write(fd, op.op.rc ? "-" : "+", 1) != 1)
        _exit(2);
    for (;;)
        pause();
}

static void
writer_killed__leaves_nothing_and_stands_in_nobodys_way(void **state)
{
    world *w = *state;
    int fds[2], status = -1;
    char sign = 0;
    lq_caller_close(w->caller);
    w->caller = NULL;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0)
        hang_in_transaction(fds[1]);
    assert_true(pid > 0);
    close(fds[1]);
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    int ready = poll(&p, 1, 10000) == 1 && read(fds[0], &sign, 1) == 1;
    close(fds[0]);

    assert_int_equal(w->factory->open(w->factory->ud, &w->caller), 0);
    /* While it lives its turn is not over: who waits hears so in time. */
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_token token = {.op.kind = LQ_OP_TOKEN, .server_id = LQ_STR("s")};
    int rc = lq_caller_call(w->caller, &token.op, 30, &err);
    lq_op_release(&token.op);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(ready);
    assert_int_equal(sign, '+');
    assert_int_equal(rc, LUNAQ_EBROKER);
    assert_non_null(strstr(err.message, "no turn came in time"));

    assert_int_equal(world_state(w, "half"), LUNAQ_STATE_ANY);
    assert_int_equal(world_put(w, "half"), LUNAQ_OK);
    world_take_id(w, "half");
}

/* ---- the line ------------------------------------------------------------ */

/* How many stand in line for the file of this lock. */
static int count_waiting(const lq_sqlite_lock *l)
{
    int n = 0;
    for (int byte = 1; byte <= 1000; byte++) {
        struct flock f = {.l_type = F_WRLCK,
                          .l_whence = SEEK_SET,
                          .l_start = byte,
                          .l_len = 1};
        n += fcntl(l->fd, F_OFD_GETLK, &f) == 0 && f.l_type != F_UNLCK;
    }
    return n;
}

static void stand_in_line(char name, int fd)
{
    lq_sqlite_lock l = LQ_SQLITE_LOCK_INIT;
    if (lq_sqlite_lock_open(&l, sqlite_world_path(), NULL) ||
        lq_sqlite_lock_take(&l, lq_mono_ns() + (int64_t)60 * 1000000000, NULL))
        _exit(1);
    if (write(fd, &name, 1) != 1)
        _exit(2);
    lq_sqlite_lock_give(&l);
    _exit(0);
}

static void writers_in_line__come_in_order_though_one_is_killed(void **state)
{
    enum { N = 4, KILLED = 1 };
    lq_sqlite_lock l = LQ_SQLITE_LOCK_INIT;
    pid_t pids[N];
    int fds[2], status;
    char names[N + 1] = "";
    size_t n = 0;
    int64_t until = lq_mono_ms() + 30000;
    (void)state;

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(lq_sqlite_lock_open(&l, sqlite_world_path(), NULL), 0);
    assert_int_equal(lq_sqlite_lock_take(&l, lq_mono_ns(), NULL), 0);
    assert_false(lq_sqlite_lock_wanted(&l));
    for (int i = 0; i < N; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            stand_in_line((char)('a' + i), fds[1]);
        assert_true(pids[i] > 0);
        while (count_waiting(&l) <= i && lq_mono_ms() < until)
            poll(NULL, 0, 1);
        assert_int_equal(count_waiting(&l), i + 1);
    }
    assert_true(lq_sqlite_lock_wanted(&l));
    kill(pids[KILLED], SIGKILL);
    assert_int_equal(waitpid(pids[KILLED], &status, 0), pids[KILLED]);
    /* Who is behind it may ask who is before it, but does not pass that one. */
    while (count_waiting(&l) > N - 1 && lq_mono_ms() < until)
        poll(NULL, 0, 1);
    lq_sqlite_lock_give(&l);
    close(fds[1]);
    while (n < N) {
        ssize_t got = read(fds[0], names + n, N - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    close(fds[0]);
    for (int i = 0; i < N; i++) {
        if (i == KILLED)
            continue;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    /* The two before and behind the one that died compete for the same turn;
     * the last is behind both. */
    assert_int_equal(n, N - 1);
    assert_true(strcmp(names, "acd") == 0 || strcmp(names, "cad") == 0 ||
                strcmp(names, "cda") == 0);
    assert_int_equal(lq_sqlite_lock_take(&l, lq_mono_ns(), NULL), 0);
    lq_sqlite_lock_close(&l);
}

/* Somebody else's program in a transaction on the file. */
static void foreign_writer__is_waited_for_until_the_deadline(void **state)
{
    world *w = *state;
    sqlite3 *db = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_token token = {.op.kind = LQ_OP_TOKEN, .server_id = LQ_STR("s")};
    assert_int_equal(sqlite3_open(sqlite_world_path(), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL),
                     SQLITE_OK);
    int rc = lq_caller_call(w->caller, &token.op, 30, &err);
    lq_op_release(&token.op);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(rc, LUNAQ_EBROKER);
    assert_non_null(strstr(err.message, "another program holds it"));
    assert_int_equal(world_put(w, "one"), LUNAQ_OK);
}

static void foreign_change__is_seen(void **state)
{
    world *w = *state;
    sqlite3 *db = NULL;
    world_put(w, "one");
    assert_int_equal(sqlite3_open(sqlite_world_path(), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM task", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(world_take(w, 1), 0);
}

size_t sqlite_processes(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(several_processes__nobody_is_refused),
        WORLD_TEST(writer_killed__leaves_nothing_and_stands_in_nobodys_way),
        WORLD_TEST(writers_in_line__come_in_order_though_one_is_killed),
        WORLD_TEST(foreign_writer__is_waited_for_until_the_deadline),
        WORLD_TEST(foreign_change__is_seen),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
