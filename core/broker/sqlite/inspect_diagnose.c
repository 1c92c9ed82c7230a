/* DIAGNOSE: the queue file, its log, and the disk below them. */
#include "broker/diagnose.h"
#include "sqlite/file.h"
#include "sqlite/ops.h"

#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#define LOG_WARN ((int64_t)64 << 20)
#define FREE_WARN ((int64_t)256 << 20)

static void look_file(lq_op_diagnose *op, const char *path)
{
    char name[4200];
    struct stat file, log;
    snprintf(name, sizeof name, "%s-wal", path);
    if (stat(path, &file))
        return;
    int64_t log_size = stat(name, &log) == 0 ? (int64_t)log.st_size : 0;
    if (log_size > LOG_WARN)
        lq_finding_add(op, LUNAQ_LEVEL_WARN, "log",
                       "look who reads the file for long: the log cannot be "
                       "taken into the file meanwhile",
                       "the write-ahead log has %" PRId64 " MiB",
                       log_size >> 20);
    lq_finding_add(op, LUNAQ_LEVEL_OK, "file", NULL, "%s, %" PRId64 " KiB",
                   path, (int64_t)file.st_size >> 10);
    if (file.st_mode & (S_IRWXG | S_IRWXO))
        lq_finding_add(op, LUNAQ_LEVEL_WARN, "permissions",
                       "chmod 600 it: payloads are in it",
                       "others than its owner may use the file");
}

static void look_disk(lq_op_diagnose *op, const char *path)
{
    struct statvfs disk;
    struct statfs fs;
    if (statvfs(path, &disk) == 0) {
        int64_t left = (int64_t)disk.f_bavail * (int64_t)disk.f_frsize;
        lq_finding_add(
            op, left < FREE_WARN ? LUNAQ_LEVEL_WARN : LUNAQ_LEVEL_OK, "disk",
            left < FREE_WARN ? "make room: a full disk takes no task" : NULL,
            "%" PRId64 " MiB free", left >> 20);
    }
    if (statfs(path, &fs) == 0 &&
        (fs.f_type == NFS_SUPER_MAGIC || (uint32_t)fs.f_type == 0xff534d42U))
        lq_finding_add(op, LUNAQ_LEVEL_ERROR, "disk",
                       "move the file to a local disk, or use Redis: locks do "
                       "not work reliably there",
                       "the file is on a network file system");
}

int lq_sqlite_diagnose(lq_sqlite *q, lq_op *base, int64_t now_ms)
{
    lq_op_diagnose *op = (lq_op_diagnose *)base;
    (void)now_ms;
    op->count = 0;
    lq_finding_add(op, LUNAQ_LEVEL_OK, "version", NULL, "SQLite %s",
                   sqlite3_libversion());
    look_file(op, lq_sqlite_path(q));
    look_disk(op, lq_sqlite_path(q));
    lq_finding_add(op, LUNAQ_LEVEL_OK, "persistence", NULL,
                   lq_sqlite_is_normal(q)
                       ? "durability=normal: a power cut takes the last "
                         "commits back, the end of a process none"
                       : "every commit is on the disk");
    return LUNAQ_OK;
}
