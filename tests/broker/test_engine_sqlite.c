/* The engine and its file in the long run: the WAL stays small, who keeps it
 * from that is named, free pages are given back, and a full disk is survived.
 */
#include "support/test.h"

#include "base/clock.h"
#include "broker/inspect.h"
#include "base/log.h"
#include "sqlite/caller.h"
#include "support/engine_client.h"
#include "support/temp_folder.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((int64_t)1 << 20)
#define WAL_PROMISED (64 * MIB)
#define PATIENCE_MS 60000

typedef struct world {
    temp_folder folder;
    char path[128];
    lq_log *log;
    lq_sqlite_engine *engine;
    engine_client client;
    atomic_bool stop;
    atomic_int reads;
    atomic_bool reported; /* a foreign reader */
    atomic_bool refused;  /* writes */
} world;

static void logged(lunaq_log_level level, const char *line, size_t len,
                   void *ud)
{
    world *w = ud;
    (void)level;
    if (memmem(line, len, "keeps a read transaction open", 29))
        atomic_store(&w->reported, true);
    if (memmem(line, len, "takes no writes", 15) &&
        memmem(line, len, "no space is left", 16))
        atomic_store(&w->refused, true);
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof(*w));
    lunaq_error err = LUNAQ_ERROR_INIT;

    *state = w;
    assert_int_equal(temp_folder_make(&w->folder), 0);
    snprintf(w->path, sizeof(w->path), "%s/queue.db", w->folder.path);
    const lq_log_options log = {.sink = logged, .userdata = w};
    w->log = lq_log_new(&log);
    const lq_sqlite_engine_options o = {.path = w->path, .log = w->log};
    if (lq_sqlite_engine_open(&w->engine, &o, &err))
        fail_msg("%s", err.message);
    engine_client_open(&w->client, w->engine);
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    engine_client_close(&w->client);
    lq_sqlite_engine_close(w->engine);
    lq_log_free(w->log);
    temp_folder_remove(&w->folder);
    free(w);
    return 0;
}

static int64_t size_of(const world *w, const char *tail)
{
    char name[160];
    struct stat st;
    snprintf(name, sizeof(name), "%s%s", w->path, tail);
    return stat(name, &st) == 0 ? (int64_t)st.st_size : 0;
}

/* Two megabytes. */
static void put(world *w)
{
    assert_int_equal(engine_client_put(&w->client, "q", 100, 20000, NULL), 0);
}

/* Lets the engine's threads work for a moment. */
static void let_pass(world *w, int64_t ms)
{
    lq_op_wait wait = {.queue = LQ_STR("nobody"), .timeout_ms = ms};
    lq_op_init(&wait.op, LQ_OP_WAIT);
    assert_int_equal(engine_client_call(&w->client, &wait.op), 0);
    lq_op_release(&wait.op);
}

/* ---- the WAL ------------------------------------------------------------- */

/* Reads all the time: what a dashboard asks. */
static void *read_on(void *arg)
{
    world *w = arg;
    engine_client c;
    int rc = 0;

    engine_client_open(&c, w->engine);
    while (!rc && !atomic_load(&w->stop)) {
        lq_op_queue_stats stats = {.queue = LQ_STR("q"), .now_ms = lq_now_ms()};
        lq_op_init(&stats.op, LQ_OP_QUEUE_STATS);
        rc = engine_client_call(&c, &stats.op);
        lq_op_release(&stats.op);
        rc = rc == LUNAQ_ENOTFOUND ? 0 : rc;
        lq_op_audit audit = {.queue = LQ_STR("q")};
        lq_op_init(&audit.op, LQ_OP_AUDIT);
        if (!rc)
            rc = engine_client_call(&c, &audit.op);
        /* One that takes longer than a second is interrupted. */
        rc = rc == LUNAQ_ENOTFOUND || rc == LUNAQ_ETIMEOUT ? 0 : rc;
        lq_op_release(&audit.op);
        atomic_fetch_add(&w->reads, 1);
    }
    engine_client_close(&c);
    return rc ? arg : NULL;
}

static void wal__with_our_readers_attached__stays_small(void **state)
{
    enum { READERS = 3, PUTS = 80 };
    world *w = *state;
    pthread_t readers[READERS];
    int64_t most = 0;

    for (int i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, read_on, w);
    for (int i = 0; i < PUTS; i++) {
        put(w);
        int64_t size = size_of(w, "-wal");
        most = size > most ? size : most;
    }
    atomic_store(&w->stop, true);
    for (int i = 0; i < READERS; i++) {
        void *failed = NULL;
        pthread_join(readers[i], &failed);
        assert_null(failed);
    }
    print_message("160 MB in, %d reads beside: the WAL had %.0f MiB at most\n",
                  atomic_load(&w->reads), (double)most / (double)MIB);
    assert_true(atomic_load(&w->reads) > 0);
    assert_true(most <= WAL_PROMISED);
    assert_false(atomic_load(&w->reported));
}

static void wal__with_a_foreign_reader__is_reported_and_recovers(void **state)
{
    world *w = *state;
    sqlite3 *db = NULL;
    int64_t until = lq_mono_ms() + PATIENCE_MS;

    put(w);
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "BEGIN; SELECT count(*) FROM task", NULL, NULL, NULL),
        SQLITE_OK);
    while (!atomic_load(&w->reported) && lq_mono_ms() < until)
        put(w);
    int64_t most = size_of(w, "-wal");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_true(atomic_load(&w->reported));
    assert_true(most >= 40 * MIB); /* not for any reader */

    until = lq_mono_ms() + PATIENCE_MS;
    while (size_of(w, "-wal") > 40 * MIB && lq_mono_ms() < until) {
        assert_int_equal(engine_client_put(&w->client, "q", 1, 10, NULL), 0);
        let_pass(w, 50);
    }
    assert_true(size_of(w, "-wal") <= 40 * MIB);
}

/* ---- free pages ---------------------------------------------------------- */

static void purge(world *w)
{
    lq_op_queue_remove op = {
        .queue = LQ_STR("q"), .force = true, .active = true};
    do {
        lq_op_init(&op.op, LQ_OP_QUEUE_REMOVE);
        assert_int_equal(engine_client_call(&w->client, &op.op), 0);
        lq_op_release(&op.op);
    } while (op.more);
}

static void file__after_a_purge__shrinks(void **state)
{
    world *w = *state;
    int64_t until = lq_mono_ms() + PATIENCE_MS;

    for (int i = 0; i < 20; i++)
        put(w);
    purge(w);
    while (size_of(w, "") < 30 * MIB && lq_mono_ms() < until)
        let_pass(w, 50); /* all of it in the file first */
    while (size_of(w, "") > 8 * MIB && lq_mono_ms() < until)
        let_pass(w, 50);
    assert_true(size_of(w, "") <= 8 * MIB);
}

static void file__after_a_purge_beside_other_work__shrinks(void **state)
{
    world *w = *state;
    int64_t until = lq_mono_ms() + PATIENCE_MS;

    for (int i = 0; i < 20; i++)
        put(w);
    purge(w);
    int64_t big = size_of(w, "");
    while ((big < 30 * MIB || size_of(w, "") > big - 4 * MIB) &&
           lq_mono_ms() < until) {
        assert_int_equal(engine_client_put(&w->client, "q", 1, 10, NULL), 0);
        let_pass(w, 100);
        if (big < 30 * MIB)
            big = size_of(w, "");
    }
    assert_true(size_of(w, "") <= big - 4 * MIB);
}

/* ---- batches ------------------------------------------------------------- */

/* SQLite refuses tasks of one type in the middle of the operation. */
static void refuse_bad(const world *w)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "CREATE TRIGGER bad AFTER INSERT ON task WHEN NEW.type ="
                     " 'bad' BEGIN SELECT raise(FAIL, 'refused'); END",
                     NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
operation_that_fails_in_a_batch__leaves_nothing_and_harms_nobody(void **state)
{
    enum { N = 200, BAD = 20 };
    world *w = *state;
    lq_enqueue items[N], *lists[N];
    lq_op_enqueue ops[N];

    refuse_bad(w);
    for (int i = 0; i < N; i++) {
        lunaq_task t = LUNAQ_TASK_INIT;
        t.type = i % (N / BAD) == 7 ? "bad" : "good";
        t.queue = "q";
        assert_int_equal(lq_enqueue_init(&items[i], &t, lq_now_ms(), NULL), 0);
        lists[i] = &items[i];
        ops[i] = (lq_op_enqueue){.items = &lists[i], .count = 1};
        lq_op_init(&ops[i].op, LQ_OP_ENQUEUE);
    }
    for (int i = 0; i < N; i++)
        lq_sqlite_submit(w->engine, &w->client.base, &ops[i].op);
    for (int ended = 0; ended < N;) {
        lq_list list;
        engine_client_collect(&w->client, &list);
        while (lq_list_shift(&list))
            ended++;
    }
    for (int i = 0; i < N; i++) {
        bool bad = i % (N / BAD) == 7;
        assert_int_equal(ops[i].op.rc, bad ? LUNAQ_EREPLY : LUNAQ_OK);
        assert_int_equal(items[i].code, bad ? LUNAQ_EREPLY : LUNAQ_OK);
        lq_op_release(&ops[i].op);
        lq_enqueue_release(&items[i]);
    }
    lq_op_queue_stats stats = {.queue = LQ_STR("q"), .now_ms = lq_now_ms()};
    lq_op_init(&stats.op, LQ_OP_QUEUE_STATS);
    assert_int_equal(engine_client_call(&w->client, &stats.op), 0);
    assert_int_equal(stats.info.pending, N - BAD);
    lq_op_release(&stats.op);
}

/* ---- full disks ---------------------------------------------------------- */

/* What is written behind this does not fit.  SQLite is given its system calls
 * by name, for tests such as this one. */
static _Atomic int64_t disk_end = INT64_MAX;

static ssize_t write_on_full(int fd, const void *p, size_t n, off_t at)
{
    if (at + (off_t)n <= atomic_load(&disk_end))
        return pwrite(fd, p, n, at);
    errno = ENOSPC;
    return -1;
}

static int make_disk(void)
{
    static const char *const names[] = {"pwrite", "pwrite64"};
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    int done = 0;
    for (size_t i = 0; i < LQ_COUNT(names); i++)
        if (vfs->xGetSystemCall(vfs, names[i]))
            done += vfs->xSetSystemCall(vfs, names[i],
                                        (sqlite3_syscall_ptr)write_on_full) ==
                    SQLITE_OK;
    return done ? 0 : -1;
}

static void full_disk__is_said_and_survived(void **state)
{
    world *w = *state;
    engine_hands hands = {.count = 0};
    int taken = 0, rc = 0;

    assert_int_equal(engine_client_put(&w->client, "q", 1, 10, NULL), 0);
    atomic_store(&disk_end, MIB);
    for (; taken < 1000 && !rc; taken += !rc)
        rc = engine_client_put(&w->client, "q", 1, 20000, NULL);
    assert_int_equal(rc, LUNAQ_EFULL);
    assert_true(taken > 0);
    atomic_store(&disk_end, INT64_MAX);
    /* All that were taken are there, and work goes on. */
    for (int seen = 0; seen < taken + 1; seen += (int)hands.count) {
        assert_int_equal(engine_client_step(&w->client, "q", &hands, 100), 0);
        assert_int_not_equal(hands.count, 0);
    }
    assert_int_equal(engine_client_step(&w->client, "q", &hands, 100), 0);
    assert_int_equal(hands.count, 0);
    for (int64_t until = lq_mono_ms() + PATIENCE_MS;
         !atomic_load(&w->refused) && lq_mono_ms() < until;)
        let_pass(w, 10);
    assert_true(atomic_load(&w->refused));
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(wal__with_our_readers_attached__stays_small),
        TEST(wal__with_a_foreign_reader__is_reported_and_recovers),
        TEST(file__after_a_purge__shrinks),
        TEST(file__after_a_purge_beside_other_work__shrinks),
        TEST(operation_that_fails_in_a_batch__leaves_nothing_and_harms_nobody),
        TEST(full_disk__is_said_and_survived),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (make_disk())
        return 1;
    return cmocka_run_group_tests_name("the engine of a queue file", tests,
                                       NULL, NULL);
}
