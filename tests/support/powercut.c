/* powercut: a library for LD_PRELOAD that remembers what a disk would still
 * have after the power failed.
 *
 * Writes to the files whose path begins with $POWERCUT go where they belong, so
 * that the program sees them.  What was also synced is kept in a second file,
 * "<file>.synced": it gets a file's changes when the file is synced, and not
 * before.  After the program was killed the test puts the .synced files in the
 * place of the real ones (no .synced file: the file never reached the disk),
 * and everything that was written but not synced is gone.  A kill in the middle
 * of a sync leaves a part of it, as a disk would.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES_MAX 8
#define BLOCK ((off_t)4096)
#define BLOCKS_MAX ((off_t)64 * 1024) /* files up to 256 MiB */

struct file {
    dev_t dev;
    ino_t ino;
    int synced; /* the second file, 0: not yet made */
    char path[PATH_MAX + 16];
    unsigned char dirty[64 * 1024 / 8];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file files[FILES_MAX];
static size_t file_count;

/* The entry of a file that is watched, or NULL; under the lock.  By its path,
 * as the number of a deleted file soon belongs to another. */
static struct file *find(int fd)
{
    const char *prefix = getenv("POWERCUT");
    char link[40], path[PATH_MAX + 8];
    struct file *f = NULL;
    struct stat st;

    if (!prefix || fstat(fd, &st) || !S_ISREG(st.st_mode))
        return NULL;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n < 0)
        return NULL;
    path[n] = 0;
    if (strncmp(path, prefix, strlen(prefix)) != 0 ||
        (n > 7 && strcmp(path + n - 7, ".synced") == 0))
        return NULL;
    memcpy(path + n, ".synced", sizeof(".synced"));
    for (size_t i = 0; i < file_count && !f; i++)
        if (strcmp(files[i].path, path) == 0)
            f = &files[i];
    if (f && f->dev == st.st_dev && f->ino == st.st_ino)
        return f;
    if (f) { /* it was deleted and made again */
        if (f->synced)
            close(f->synced);
        unlink(path);
        memset(f, 0, sizeof(*f));
    } else if (file_count < FILES_MAX) {
        f = &files[file_count++];
    } else {
        abort(); /* the test has more files than this is made for */
    }
    f->dev = st.st_dev;
    f->ino = st.st_ino;
    snprintf(f->path, sizeof(f->path), "%s", path);
    return f;
}

static void wrote(int fd, off_t at, ssize_t n)
{
    if (n <= 0)
        return;
    pthread_mutex_lock(&lock);
    struct file *f = find(fd);
    for (off_t b = at / BLOCK; f && b <= (at + n - 1) / BLOCK; b++) {
        if (b >= BLOCKS_MAX)
            abort(); /* the test writes more than this is made for */
        f->dirty[b / 8] |= (unsigned char)(1 << b % 8);
    }
    pthread_mutex_unlock(&lock);
}

/* Brings the second file up to date.  False: not a file that is watched. */
static int synced(int fd)
{
    char block[4096];
    struct stat st;

    pthread_mutex_lock(&lock);
    struct file *f = find(fd);
    if (f && !f->synced)
        f->synced = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f && (f->synced <= 0 || fstat(fd, &st)))
        abort();
    for (off_t b = 0; f && b < BLOCKS_MAX; b++) {
        if (!(f->dirty[b / 8] & 1 << b % 8))
            continue;
        ssize_t n = pread(fd, block, sizeof(block), b * BLOCK);
        if (n > 0 && syscall(SYS_pwrite64, f->synced, block, n, b * BLOCK) != n)
            abort();
        f->dirty[b / 8] &= (unsigned char)~(1 << b % 8);
    }
    if (f && syscall(SYS_ftruncate, f->synced, st.st_size))
        abort();
    pthread_mutex_unlock(&lock);
    return f != NULL;
}

/* ---- what is put in the place of libc's ---------------------------------- */

ssize_t pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t pwrite64(int fd, const void *p, size_t n, off_t at);
ssize_t write(int fd, const void *p, size_t n);
int fsync(int fd);
int fdatasync(int fd);

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
    ssize_t done = syscall(SYS_pwrite64, fd, p, n, at);
    wrote(fd, at, done);
    return done;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return pwrite64(fd, p, n, at);
}

ssize_t write(int fd, const void *p, size_t n)
{
    ssize_t done = syscall(SYS_write, fd, p, n);
    off_t end = done > 0 ? lseek(fd, 0, SEEK_CUR) : -1;
    if (end > 0)
        wrote(fd, end - done, done);
    return done;
}

int fsync(int fd)
{
    return synced(fd) ? 0 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return synced(fd) ? 0 : (int)syscall(SYS_fdatasync, fd);
}
