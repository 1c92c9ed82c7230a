/* Files that are no queue, or cannot be used as one: each has its message. */
#include "broker/sqlite_world.h"
#include "broker/inspect.h"

#include "base/clock.h"
#include "sqlite/apply.h"
#include "sqlite/caller.h"
#include "sqlite/file.h"
#include "sqlite/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND_NS ((int64_t)1000000000)

static int open_at(const char *path, lq_sqlite **q, lunaq_error *err)
{
    return lq_sqlite_open(q, path, NULL, lq_mono_ns() + 5 * SECOND_NS, err);
}

/* Opening fails with this code, and the message has these words. */
static void assert_refused(const char *path, int code, const char *words)
{
    lq_sqlite *q = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = open_at(path, &q, &err);
    lq_sqlite_close(q);
    if (!strstr(err.message, words))
        fail_msg("'%s' does not say '%s'", err.message, words);
    assert_int_equal(rc, code);
}

static void exec_on(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void make_queue_file(void)
{
    lq_sqlite *q = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (open_at(sqlite_world_path(), &q, &err))
        fail_msg("%s", err.message);
    lq_sqlite_close(q);
}

static void write_at(const char *path, off_t at, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, p, n, at), n);
    close(fd);
}

/* ---- opening ------------------------------------------------------------- */

static int fresh(void **state)
{
    (void)state;
    sqlite_world_factory()->wipe(NULL);
    return 0;
}

static void open__new__is_the_owners_alone_and_in_wal_mode(void **state)
{
    static const char *const tails[] = {"", ".lock", "-wal", "-shm"};
    struct stat st;
    lq_sqlite *q = NULL;
    (void)state;
    mode_t before = umask(0);
    assert_int_equal(open_at(sqlite_world_path(), &q, NULL), LUNAQ_OK);
    (void)umask(before);
    for (size_t i = 0; i < LQ_COUNT(tails); i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s%s", sqlite_world_path(), tails[i]);
        assert_int_equal(stat(name, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    lq_sqlite_close(q);
}

static void open__folder_missing__is_made_for_the_owner(void **state)
{
    char folder[128], path[160];
    struct stat st;
    lq_sqlite *q = NULL;
    (void)state;
    snprintf(folder, sizeof(folder), "%s/new", sqlite_world_folder());
    snprintf(path, sizeof(path), "%s/queue.db", folder);
    assert_int_equal(open_at(path, &q, NULL), LUNAQ_OK);
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    lq_sqlite_close(q);
    (void)unlink(path);
    snprintf(path, sizeof(path), "%s/queue.db.lock", folder);
    (void)unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

static void open__folders_missing__says_which(void **state)
{
    char path[160];
    (void)state;
    snprintf(path, sizeof(path), "%s/no/such/queue.db", sqlite_world_folder());
    assert_refused(path, LUNAQ_ECONFIG, "/no/such cannot be made");
}

static void open__no_path__is_refused(void **state)
{
    (void)state;
    assert_refused("", LUNAQ_ECONFIG, "is no path of a queue file");
    assert_refused(":memory:", LUNAQ_ECONFIG, "is no path of a queue file");
    assert_refused("/tmp/", LUNAQ_ECONFIG, "is no path of a queue file");
    assert_refused("/tmp", LUNAQ_ECONFIG, "is not a file");
}

static void open__no_database__is_refused(void **state)
{
    static const char text[] =
        "This is a text of more than a hundred bytes, which is where SQLite's "
        "header ends, and it is not a database at all.\n";
    (void)state;
    write_at(sqlite_world_path(), 0, text, sizeof(text));
    assert_refused(sqlite_world_path(), LUNAQ_ECONFIG,
                   "is not a SQLite database");
    (void)unlink(sqlite_world_path()); /* the next wipe looks at it */
}

static void open__database_of_another__is_refused_and_unchanged(void **state)
{
    (void)state;
    exec_on(sqlite_world_path(), "CREATE TABLE users (id, name);");
    assert_refused(sqlite_world_path(), LUNAQ_ECONFIG,
                   "another program's database");
    exec_on(sqlite_world_path(), "INSERT INTO users VALUES (1, 'ann')");
}

static void open__newer_schema__is_refused(void **state)
{
    char sql[64];
    (void)state;
    make_queue_file();
    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d",
             lq_sqlite_schema_version() + 1);
    exec_on(sqlite_world_path(), sql);
    assert_refused(sqlite_world_path(), LUNAQ_ECONFIG, "newer lunaq");
}

static void open__damaged__says_so(void **state)
{
    char junk[4096];
    (void)state;
    make_queue_file();
    /* Everything behind the header of the first page: the schema. */
    memset(junk, 0x5a, sizeof(junk));
    write_at(sqlite_world_path(), 100, junk, sizeof(junk) - 100);
    assert_refused(sqlite_world_path(), LUNAQ_EREPLY, "is damaged");
    (void)unlink(sqlite_world_path());
}

/* As someone who may not write: tests may run as root, who always may. */
static int in_child(void (*body)(void))
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        body();
        _exit(9);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void refused_as_nobody(void)
{
    lq_sqlite *q = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (geteuid() == 0 && seteuid(65534))
        _exit(8);
    int rc = open_at(sqlite_world_path(), &q, &err);
    _exit(rc == LUNAQ_ECONFIG && strstr(err.message, "writable") ? 0 : 1);
}

static void open__read_only__says_what_to_do(void **state)
{
    char lock[128];
    (void)state;
    make_queue_file();
    snprintf(lock, sizeof(lock), "%s.lock", sqlite_world_path());
    assert_int_equal(chmod(sqlite_world_folder(), 0755), 0);
    assert_int_equal(chmod(sqlite_world_path(), 0444), 0);
    assert_int_equal(chmod(lock, 0666), 0);
    int of_file = in_child(refused_as_nobody);
    assert_int_equal(chmod(lock, 0444), 0);
    int of_lock = in_child(refused_as_nobody);
    assert_int_equal(chmod(sqlite_world_folder(), 0700), 0);
    assert_int_equal(chmod(sqlite_world_path(), 0600), 0);
    assert_int_equal(of_file, 0);
    assert_int_equal(of_lock, 0);
}

/* ---- full ---------------------------------------------------------------- */

static int put(lq_caller *c, const char *id, size_t bytes, lunaq_error *err)
{
    lq_enqueue e, *items[] = {&e};
    lunaq_task t = LUNAQ_TASK_INIT;
    char *payload = calloc(1, bytes ? bytes : 1);
    t.type = "t";
    t.queue = Q;
    t.task_id = id;
    t.payload = payload;
    t.payload_len = bytes;
    if (lq_enqueue_init(&e, &t, lq_now_ms(), err)) {
        free(payload);
        return LUNAQ_EINVAL;
    }
    lq_op_enqueue op = {.op.kind = LQ_OP_ENQUEUE, .items = items, .count = 1};
    int rc = lq_caller_call(c, &op.op, WORLD_TIMEOUT_MS, err);
    int code = e.code;
    lq_op_release(&op.op);
    lq_enqueue_release(&e);
    free(payload);
    return rc ? rc : code;
}

/* A disk of this size: what is written behind it does not fit.  SQLite is given
 * its system calls by name, for tests such as this one. */
static off_t disk_end;

static ssize_t write_on_full(int fd, const void *p, size_t n, off_t at)
{
    if (at + (off_t)n <= disk_end)
        return pwrite(fd, p, n, at);
    errno = ENOSPC;
    return -1;
}

static int make_disk(off_t end)
{
    static const char *const names[] = {"pwrite", "pwrite64"};
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    int done = 0;
    disk_end = end;
    for (size_t i = 0; i < LQ_COUNT(names); i++)
        if (vfs->xGetSystemCall(vfs, names[i]))
            done += vfs->xSetSystemCall(vfs, names[i],
                                        (sqlite3_syscall_ptr)write_on_full) ==
                    SQLITE_OK;
    return done ? 0 : -1;
}

/* In a child: the disk is its alone. */
static void fill(void)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_caller *c = NULL;
    char id[32];
    int taken = 0, rc = 0;

    if (make_disk((off_t)700 * 1024) ||
        sqlite_world_factory()->open(NULL, &c) || put(c, "first", 10, &err))
        _exit(1);
    for (; taken < 1000 && !rc; taken += !rc) {
        snprintf(id, sizeof(id), "t%d", taken);
        rc = put(c, id, 20000, &err);
    }
    if (rc != LUNAQ_EFULL || !strstr(err.message, "no space is left") ||
        !strstr(err.message, "queue.db")) {
        fprintf(stderr, "%d: %s\n", rc, err.message);
        _exit(2);
    }
    if (put(c, "again", 20000, &err) != LUNAQ_EFULL)
        _exit(3);
    /* With room again the same connection goes on, and nothing of what was
     * refused is there. */
    disk_end = INT64_MAX;
    if (put(c, id, 20000, &err) || put(c, "again", 10, &err))
        _exit(5);
    lq_op_queue_stats stats = {.op.kind = LQ_OP_QUEUE_STATS,
                               .queue = LQ_STR(Q),
                               .now_ms = lq_now_ms()};
    if (lq_caller_call(c, &stats.op, WORLD_TIMEOUT_MS, &err) ||
        stats.info.pending != taken + 3)
        _exit(6);
    lq_op_release(&stats.op);
    lq_caller_close(c);
    _exit(0);
}

static void
write__disk_full__refuses_and_goes_on_when_there_is_room(void **state)
{
    (void)state;
    assert_int_equal(in_child(fill), 0);
}

/* Not even the tables fit. */
static void make_on_full(void)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_sqlite *q = NULL;
    if (make_disk(8192))
        _exit(1);
    int rc = open_at(sqlite_world_path(), &q, &err);
    if (rc != LUNAQ_EFULL || !strstr(err.message, "no space is left"))
        _exit(2);
    disk_end = INT64_MAX;
    rc = open_at(sqlite_world_path(), &q, &err);
    lq_sqlite_close(q);
    _exit(rc ? 3 : 0);
}

static void open__disk_full__leaves_nothing_half_made(void **state)
{
    (void)state;
    assert_int_equal(in_child(make_on_full), 0);
}

/* ---- network file systems ------------------------------------------------ */

/* Stands before libc's: what opening a file asks. */
static long disk_type;

int statfs(const char *path, struct statfs *out)
{
    int rc = (int)syscall(SYS_statfs, path, out);
    if (rc == 0 && disk_type)
        out->f_type = disk_type;
    return rc;
}

static void open__network_file_system__is_refused_and_nothing_made(void **state)
{
    static const struct {
        long type;
        const char *name;
    } disks[] = {{0x6969, "(NFS)"},
                 {0xff534d42, "(CIFS)"},
                 {0x01021997, "(9P)"},
                 {0x00c36400, "(Ceph)"}};
    (void)state;
    for (size_t i = 0; i < LQ_COUNT(disks); i++) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        lq_sqlite *q = NULL;
        disk_type = disks[i].type;
        int rc = open_at(sqlite_world_path(), &q, &err);
        disk_type = 0;
        lq_sqlite_close(q);
        assert_int_equal(rc, LUNAQ_ECONFIG);
        assert_non_null(strstr(err.message, "network file system"));
        assert_non_null(strstr(err.message, disks[i].name));
        assert_non_null(strstr(err.message, "use a local disk, or Redis"));
        assert_int_not_equal(access(sqlite_world_path(), F_OK), 0);
    }
    disk_type = 0xef53; /* ext4 */
    make_queue_file();
    disk_type = 0;
}

/* A damaged page is found where it is read; the rest of the file works. */
static void read__damaged_page__answers_for_itself(void **state)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_caller *c = NULL;
    char junk[8192], id[16];
    (void)state;
    assert_int_equal(sqlite_world_factory()->open(NULL, &c), 0);
    for (int i = 0; i < 200; i++) {
        snprintf(id, sizeof(id), "t%d", i);
        assert_int_equal(put(c, id, 4000, &err), LUNAQ_OK);
    }
    lq_caller_close(c); /* the last one out moves the WAL to the file */
    memset(junk, 0x5a, sizeof(junk));
    /* Behind the roots of the tables. */
    for (off_t page = 50; page < 140; page += 2)
        write_at(sqlite_world_path(), page * 4096, junk, 4096);

    assert_int_equal(sqlite_world_factory()->open(NULL, &c), 0);
    lq_step_queue queue = {.name = LQ_STR(Q), .want = 100};
    lq_op_step op = {.op.kind = LQ_OP_STEP,
                     .queues = &queue,
                     .queue_count = 1,
                     .free = 100,
                     .token = 7,
                     .lease_ms = 30000};
    assert_int_equal(lq_caller_call(c, &op.op, WORLD_TIMEOUT_MS, &err),
                     LUNAQ_EREPLY);
    assert_non_null(strstr(err.message, "is damaged"));
    assert_int_equal(op.taken_count, 0);
    lq_op_release(&op.op);
    lq_op_token token = {.op.kind = LQ_OP_TOKEN, .server_id = LQ_STR("s")};
    assert_int_equal(lq_caller_call(c, &token.op, WORLD_TIMEOUT_MS, &err),
                     LUNAQ_OK);
    lq_op_release(&token.op);
    lq_caller_close(c);
    (void)unlink(sqlite_world_path());
}

/* Who waits hears the reason, as who asks does. */
static void wait__file_that_is_changed_by_another__says_what_is_wrong(void **s)
{
    lq_caller *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_op_wait op = {
        .op.kind = LQ_OP_WAIT, .queue = LQ_STR("q"), .timeout_ms = 20};
    (void)s;
    make_queue_file();
    exec_on(sqlite_world_path(), "ALTER TABLE task RENAME TO gone");
    assert_int_equal(lq_sqlite_caller_open(&c, sqlite_world_path(), NULL, NULL),
                     LUNAQ_OK);
    assert_int_equal(lq_caller_call(c, &op.op, WORLD_TIMEOUT_MS, &err),
                     LUNAQ_EREPLY);
    assert_non_null(strstr(err.message, "no such table: task"));
    lq_op_release(&op.op);
    lq_caller_close(c);
}

/* A disk that does not sync: the default VFS with another xSync for WALs. */
static sqlite3_vfs *the_vfs;
static sqlite3_io_methods wal_methods;
static bool sync_fails;

static int failing_sync(sqlite3_file *file, int flags)
{
    (void)file;
    (void)flags;
    return sync_fails ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file,
                     int flags, int *out)
{
    (void)vfs;
    int rc = the_vfs->xOpen(the_vfs, name, file, flags, out);
    if (rc == SQLITE_OK && flags & SQLITE_OPEN_WAL) {
        wal_methods = *file->pMethods;
        wal_methods.xSync = failing_sync;
        file->pMethods = &wal_methods;
    }
    return rc;
}

static int put_durable(lq_caller *c, const char *id, lunaq_error *err)
{
    lq_enqueue e, *items[] = {&e};
    lunaq_task t = LUNAQ_TASK_INIT;
    t.type = "t";
    t.queue = "q";
    t.task_id = id;
    t.durable = LUNAQ_DURABLE_FSYNC;
    assert_int_equal(lq_enqueue_init(&e, &t, lq_now_ms(), err), LUNAQ_OK);
    lq_op_enqueue op = {.op.kind = LQ_OP_ENQUEUE, .items = items, .count = 1};
    (void)lq_caller_call(c, &op.op, WORLD_TIMEOUT_MS, err);
    int code = e.code;
    lq_op_release(&op.op);
    lq_enqueue_release(&e);
    return code;
}

static void
write__disk_does_not_sync__is_unknown_and_repeated_is_there(void **s)
{
    const lq_sqlite_options normal = {.normal = true};
    lq_caller *c = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    the_vfs = sqlite3_vfs_find(NULL);
    sqlite3_vfs shim = *the_vfs;
    (void)s;
    shim.zName = "no-sync";
    shim.xOpen = open_file;
    assert_int_equal(sqlite3_vfs_register(&shim, 1), SQLITE_OK);
    assert_int_equal(
        lq_sqlite_caller_open(&c, sqlite_world_path(), &normal, NULL),
        LUNAQ_OK);
    assert_int_equal(put_durable(c, "first", &err), LUNAQ_OK);
    sync_fails = true;
    assert_int_equal(put_durable(c, "one", &err), LUNAQ_EUNKNOWN);
    assert_non_null(strstr(err.message, "not known to be on the disk"));
    sync_fails = false;
    assert_int_equal(put_durable(c, "one", &err), LUNAQ_EEXIST);
    lq_caller_close(c);
    assert_int_equal(sqlite3_vfs_unregister(&shim), SQLITE_OK);
}

size_t sqlite_files(struct CMUnitTest *out)
{
#define FILE_TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {
        FILE_TEST(open__new__is_the_owners_alone_and_in_wal_mode),
        FILE_TEST(open__folder_missing__is_made_for_the_owner),
        FILE_TEST(open__folders_missing__says_which),
        FILE_TEST(open__no_path__is_refused),
        FILE_TEST(open__no_database__is_refused),
        FILE_TEST(open__database_of_another__is_refused_and_unchanged),
        FILE_TEST(open__newer_schema__is_refused),
        FILE_TEST(open__damaged__says_so),
        FILE_TEST(open__read_only__says_what_to_do),
        FILE_TEST(write__disk_full__refuses_and_goes_on_when_there_is_room),
        FILE_TEST(open__disk_full__leaves_nothing_half_made),
        FILE_TEST(open__network_file_system__is_refused_and_nothing_made),
        FILE_TEST(read__damaged_page__answers_for_itself),
        FILE_TEST(wait__file_that_is_changed_by_another__says_what_is_wrong),
        FILE_TEST(write__disk_does_not_sync__is_unknown_and_repeated_is_there),
    };
    memcpy(out, tests, sizeof(tests));
    return LQ_COUNT(tests);
}
