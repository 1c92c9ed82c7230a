#include "broker/sqlite_world.h"

#include "sqlite/caller.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    char folder[64];
    char path[96];
} the;

const char *sqlite_world_folder(void)
{
    return the.folder;
}

const char *sqlite_world_path(void)
{
    return the.path;
}

static void remove_files(void)
{
    static const char *const tails[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < LQ_COUNT(tails); i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s%s", the.path, tails[i]);
        (void)unlink(name);
    }
}

int sqlite_world_start(void)
{
    strcpy(the.folder, "/tmp/lunaq-sqlite-XXXXXX");
    if (!mkdtemp(the.folder))
        return -1;
    snprintf(the.path, sizeof(the.path), "%s/queue.db", the.folder);
    return 0;
}

void sqlite_world_stop(void)
{
    remove_files();
    char wake[128];
    snprintf(wake, sizeof(wake), "%s.wake", the.path);
    (void)rmdir(wake);
    (void)rmdir(the.folder);
}

static int open_sqlite(void *ud, lq_caller **out)
{
    (void)ud;
    return lq_sqlite_caller_open(out, the.path, NULL, NULL);
}

/* Every file that a test leaves behind has to be sound. */
static void check(void)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    if (access(the.path, F_OK) != 0)
        return;
    assert_int_equal(sqlite3_open(the.path, &db), SQLITE_OK);
    if (sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, NULL) == 0 &&
        sqlite3_step(s) == SQLITE_ROW)
        assert_string_equal((const char *)sqlite3_column_text(s, 0), "ok");
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
}

static void wipe_sqlite(void *ud)
{
    (void)ud;
    check();
    remove_files();
}

const world_factory *sqlite_world_factory(void)
{
    static const world_factory factory = {"sqlite", open_sqlite, wipe_sqlite,
                                          NULL};
    return &factory;
}
