/* A process that is killed at any instant, and a machine whose power fails,
 * lose nothing that a queue file acknowledged.
 *
 * The test starts itself as a child that enqueues and finishes tasks through an
 * engine on several threads, and writes down each step in a pipe after it was
 * acknowledged; then it kills the child.  For the power cut a preloaded library
 * (support/powercut.c) keeps beside each file what was synced of it, and that
 * takes the file's place after the kill.
 */
#include "support/test.h"

#include "base/clock.h"
#include "broker/inspect.h"
#include "base/map.h"
#include "sqlite/caller.h"
#include "support/engine_client.h"
#include "support/temp_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 6
#define ACKED_AT_LEAST 50 /* before the kill */
#define IDS_MAX 100000

/* ---- the child ----------------------------------------------------------- */

/* One line in one write, so that lines of threads do not mix. */
static void say(char what, lq_str id)
{
    char line[80];
    int n = snprintf(line, sizeof(line), "%c%.*s\n", what, LQ_STR_ARG(id));
    if (write(STDOUT_FILENO, line, (size_t)n) != n)
        _exit(3);
}

static void enqueue_some(engine_client *c)
{
    char id[64];
    if (engine_client_put(c, "q", 1, 32, id))
        _exit(5);
    say('E', lq_str_c(id));
}

/* Finishes what it has and takes a few more. */
static void work(engine_client *c, engine_hands *h)
{
    engine_hands before = *h;
    for (size_t i = 0; i < h->count; i++)
        say('F', lq_str_c(h->ids[i])); /* from now on it may be gone */
    if (engine_client_step(c, "q", h, 3))
        _exit(6);
    for (size_t i = 0; i < before.count; i++)
        say('D', lq_str_c(before.ids[i]));
}

struct role {
    lq_sqlite_engine *engine;
    bool works;
    int64_t durable; /* of what it enqueues */
};

static void *client_main(void *arg)
{
    const struct role *role = arg;
    engine_client c;
    engine_hands hands = {.count = 0};

    engine_client_open(&c, role->engine);
    c.durable = role->durable;
    for (;;)
        role->works ? work(&c, &hands) : enqueue_some(&c);
    return NULL;
}

/* mode: "full", "normal", or "asked": NORMAL, but each enqueue wants fsync. */
static int child(const char *path, const char *mode)
{
    bool normal = strcmp(mode, "full") != 0;
    int64_t durable = strcmp(mode, "asked") == 0 ? LUNAQ_DURABLE_FSYNC
                                                 : LUNAQ_DURABLE_DEFAULT;
    const lq_sqlite_engine_options o = {.path = path, .normal = normal};
    struct role roles[THREADS];
    pthread_t thread;
    lunaq_error err = LUNAQ_ERROR_INIT;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    lq_sqlite_engine *engine;
    if (lq_sqlite_engine_open(&engine, &o, &err)) {
        fprintf(stderr, "child: %s\n", err.message);
        return 2;
    }
    for (int i = 0; i < THREADS; i++) {
        roles[i] = (struct role){engine, i == 0, durable};
        pthread_create(&thread, NULL, client_main, &roles[i]);
    }
    for (;;)
        pause();
}

/* ---- the parent ---------------------------------------------------------- */

static const char *self, *shim;

typedef struct world {
    temp_folder folder;
    char path[128];
    char *said; /* what the children wrote */
    size_t said_len, said_max;
    int acked, lost, back; /* enqueued; not there; done, and there again */
} world;

static int setup(void **state)
{
    world *w = calloc(1, sizeof(*w));
    *state = w;
    w->said_max = (size_t)64 * IDS_MAX;
    w->said = malloc(w->said_max);
    if (temp_folder_make(&w->folder))
        return -1;
    snprintf(w->path, sizeof(w->path), "%s/queue.db", w->folder.path);
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    temp_folder_remove(&w->folder);
    free(w->said);
    free(w);
    return 0;
}

static pid_t start(const world *w, int *out, const char *mode, bool cut)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        if (cut) {
            setenv("LD_PRELOAD", shim, 1);
            setenv("POWERCUT", w->path, 1);
            /* A sanitizer wants to be the first library; only for order. */
            setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
        }
        execl(self, self, "--child", w->path, mode, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *out = ends[0];
    return pid;
}

static bool read_some(world *w, int fd)
{
    assert_true(w->said_len + 65536 < w->said_max);
    ssize_t n = read(fd, w->said + w->said_len, 65536);
    if (n > 0)
        w->said_len += (size_t)n;
    return n > 0 || (n < 0 && errno == EINTR);
}

static int count_lines(const world *w, size_t from)
{
    int n = 0;
    for (size_t i = from; i < w->said_len; i++)
        n += w->said[i] == '\n';
    return n;
}

static const char *const tails[] = {"", "-wal"};

/* What is there before the child begins is on the disk. */
static void note_synced(const world *w)
{
    char path[160], synced[176], bytes[65536];

    for (size_t i = 0; i < LQ_COUNT(tails); i++) {
        snprintf(path, sizeof(path), "%s%s", w->path, tails[i]);
        snprintf(synced, sizeof(synced), "%s.synced", path);
        FILE *from = fopen(path, "rb"), *to = NULL;
        size_t n;
        if (!from)
            continue;
        to = fopen(synced, "wb");
        assert_non_null(to);
        while ((n = fread(bytes, 1, sizeof(bytes), from)) > 0)
            assert_int_equal(fwrite(bytes, 1, n, to), n);
        assert_int_equal(ferror(from), 0);
        fclose(from);
        assert_int_equal(fclose(to), 0);
    }
}

/* Lets a child work, kills it at some instant, and hears its last words. */
static void run_and_kill(world *w, const char *mode, bool cut, int64_t most_ms)
{
    int out, status;
    size_t from = w->said_len;
    if (cut)
        note_synced(w);
    pid_t pid = start(w, &out, mode, cut);

    while (count_lines(w, from) < ACKED_AT_LEAST && read_some(w, out))
        ;
    int64_t until =
        lq_mono_ns() + (int64_t)lq_random((uint64_t)most_ms * 1000000);
    while (lq_mono_ns() < until && read_some(w, out))
        ;
    kill(pid, SIGKILL);
    while (read_some(w, out))
        ;
    close(out);
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status))
        fail_msg("the child ended by itself: %d", WEXITSTATUS(status));
}

/* Only what was synced is left. */
static void cut_power(const world *w)
{
    char path[160], synced[176];

    for (size_t i = 0; i < LQ_COUNT(tails); i++) {
        snprintf(path, sizeof(path), "%s%s", w->path, tails[i]);
        snprintf(synced, sizeof(synced), "%s.synced", path);
        unlink(path);
        if (rename(synced, path) && errno != ENOENT)
            fail_msg("%s: %s", synced, strerror(errno));
    }
    snprintf(path, sizeof(path), "%s-shm", w->path);
    unlink(path);
}

static bool is_there(lq_caller *caller, lq_str id)
{
    const lq_str queue = LQ_STR("q");
    lq_op_task_get op = {.queues = &queue, .queue_count = 1, .id = id};
    lunaq_error err = LUNAQ_ERROR_INIT;

    lq_op_init(&op.op, LQ_OP_TASK_GET);
    if (lq_caller_call(caller, &op.op, 10000, &err))
        fail_msg("task get: %s", err.message);
    bool there = op.count == 1;
    lq_op_release(&op.op);
    return there;
}

/* Nothing in the file needs repair. */
static void check_pages(const world *w)
{
    sqlite3 *db;
    sqlite3_stmt *s;

    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(s, 0), "ok");
    sqlite3_finalize(s);
    sqlite3_close(db);
}

/* Compares the file with what was said of it. */
static void compare(world *w)
{
    lq_map finishing = {0}, done = {0};
    lq_caller *caller;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int something;

    w->acked = w->lost = w->back = 0;
    check_pages(w);
    assert_int_equal(lq_sqlite_caller_open(&caller, w->path, NULL, &err), 0);
    for (int pass = 0; pass < 2; pass++) {
        char *line = w->said, *end = w->said + w->said_len, *nl;
        for (; (nl = memchr(line, '\n', (size_t)(end - line))); line = nl + 1) {
            lq_str id = lq_str_n(line + 1, (size_t)(nl - line) - 1);
            if (pass == 0 && *line == 'F')
                lq_map_set(&finishing, id, &something, NULL);
            else if (pass == 0 && *line == 'D')
                lq_map_set(&done, id, &something, NULL);
            if (pass == 0 || *line != 'E')
                continue;
            w->acked++;
            if (lq_map_get(&done, id))
                w->back += is_there(caller, id);
            else if (!lq_map_get(&finishing, id))
                w->lost += !is_there(caller, id);
        }
    }
    lq_map_release(&finishing);
    lq_map_release(&done);
    lq_op_audit audit = {.queue = LQ_STR("q")};
    lq_op_init(&audit.op, LQ_OP_AUDIT);
    int rc = lq_caller_call(caller, &audit.op, 20000, &err);
    if (rc && rc != LUNAQ_ENOTFOUND)
        fail_msg("audit: %s", err.message);
    if (!rc && audit.count)
        fail_msg("audit: %.*s", LQ_STR_ARG(audit.faults[0]));
    lq_op_release(&audit.op);
    lq_caller_close(caller);
}

static void killed_processes__lose_nothing_that_was_acknowledged(void **state)
{
    world *w = *state;
    for (int i = 0; i < 15; i++) {
        run_and_kill(w, i % 2 ? "normal" : "full", false,
                     80); /* NORMAL is as good against this */
        compare(w);
        assert_int_equal(w->lost, 0);
        assert_int_equal(w->back, 0);
    }
    assert_true(w->acked >= ACKED_AT_LEAST);
    print_message("%d acknowledged, %d lost\n", w->acked, w->lost);
}

static void
power_cuts__with_full__lose_nothing_that_was_acknowledged(void **state)
{
    world *w = *state;
    for (int i = 0; i < 10; i++) {
        bool long_enough = i % 5 == 4; /* for a checkpoint */
        run_and_kill(w, "full", true, long_enough ? 3000 : 80);
        cut_power(w);
        compare(w);
        assert_int_equal(w->lost, 0);
        assert_int_equal(w->back, 0);
    }
    print_message("%d acknowledged, %d lost\n", w->acked, w->lost);
}

/* What is finished meanwhile asks for nothing, and may run again. */
static void
power_cuts__with_fsync_asked_for__lose_nothing_that_was_enqueued(void **state)
{
    world *w = *state;
    for (int i = 0; i < 6; i++) {
        run_and_kill(w, "asked", true, 80);
        cut_power(w);
        compare(w);
        assert_int_equal(w->lost, 0);
    }
    print_message("%d acknowledged, %d lost, %d finished ones again\n",
                  w->acked, w->lost, w->back);
}

/* The same test can fail: here it has to, unless the disk was quick. */
static void power_cut__with_normal__loses_what_was_not_synced(void **state)
{
    world *w = *state;
    for (int i = 0; i < 10 && w->lost == 0; i++) {
        run_and_kill(w, "normal", true, 80);
        cut_power(w);
        compare(w);
        assert_true(w->acked > 0);
    }
    assert_true(w->lost > 0);
    print_message("%d acknowledged, %d lost\n", w->acked, w->lost);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(killed_processes__lose_nothing_that_was_acknowledged),
        TEST(power_cuts__with_full__lose_nothing_that_was_acknowledged),
        TEST(power_cuts__with_fsync_asked_for__lose_nothing_that_was_enqueued),
        TEST(power_cut__with_normal__loses_what_was_not_synced),
    };
    if (argc == 4 && strcmp(argv[1], "--child") == 0)
        return child(argv[2], argv[3]);
    self = argv[0];
    shim = argc > 1 ? argv[1] : "";
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests_name("a queue file and crashes", tests, NULL,
                                       NULL);
}
