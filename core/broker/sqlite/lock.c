#include "sqlite/lock.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { WRITER, NEXT };

int lq_sqlite_lock_open(lq_sqlite_lock *l, const char *path, lunaq_error *err)
{
    static const char tail[] = ".lock";
    struct stat st;
    size_t len = strlen(path);
    char *name = lq_malloc(len + sizeof(tail));
    if (!name)
        return lq_fail_nomem(err);
    memcpy(name, path, len);
    memcpy(name + len, tail, sizeof(tail));
    l->held = false;
    l->fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int why = errno;
    /* Whoever may write the queue may take the lock, whatever the umask. */
    if (l->fd >= 0 && stat(path, &st) == 0)
        (void)fchmod(l->fd, st.st_mode & 0666);
    int rc = LUNAQ_OK;
    if (l->fd < 0)
        rc = lq_fail(err, LUNAQ_ECONFIG,
                     "sqlite: %s: %s: the queue file's folder must be "
                     "writable",
                     name, strerror(why));
    lq_free(name);
    return rc;
}

void lq_sqlite_lock_close(lq_sqlite_lock *l)
{
    if (l->fd >= 0)
        close(l->fd);
    *l = (lq_sqlite_lock)LQ_SQLITE_LOCK_INIT;
}

static struct flock byte_lock(int byte, short type)
{
    return (struct flock){
        .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
}

/* One byte; 0, or errno: EAGAIN when somebody has it. */
static int set(int fd, int byte, short type)
{
    struct flock f = byte_lock(byte, type);
    while (fcntl(fd, F_OFD_SETLK, &f) != 0) {
        if (errno == EACCES)
            return EAGAIN;
        if (errno != EINTR)
            return errno;
    }
    return 0;
}

/* Tries again and again, at first after min_us, in the end about every max_us;
 * at random, so that the many who wait do not come at once.  fcntl could wait
 * by itself, but without an end. */
static int wait_for(int fd, int byte, int64_t min_us, int64_t max_us,
                    int64_t deadline_ns)
{
    int64_t pause_us = min_us;
    for (;;) {
        int rc = set(fd, byte, F_WRLCK);
        if (rc != EAGAIN)
            return rc;
        int64_t left_ns = deadline_ns - lq_mono_ns();
        if (left_ns <= 0)
            return EAGAIN;
        int64_t ns =
            (pause_us / 2 + (int64_t)lq_random((uint64_t)pause_us)) * 1000;
        if (ns > left_ns)
            ns = left_ns;
        struct timespec t = {.tv_sec = ns / 1000000000,
                             .tv_nsec = ns % 1000000000};
        (void)nanosleep(&t, NULL);
        if (pause_us < max_us)
            pause_us *= 2;
    }
}

int lq_sqlite_lock_take(lq_sqlite_lock *l, int64_t deadline_ns,
                        lunaq_error *err)
{
    if (l->held)
        return LUNAQ_OK;
    int rc = wait_for(l->fd, NEXT, 100, 3200, deadline_ns);
    if (!rc) {
        /* Only one is here, so it can look often. */
        rc = wait_for(l->fd, WRITER, 25, 400, deadline_ns);
        (void)set(l->fd, NEXT, F_UNLCK);
    }
    l->held = rc == 0;
    if (rc == EAGAIN)
        return lq_fail(err, LUNAQ_EBROKER,
                       "sqlite: other processes kept writing: no turn came "
                       "in time");
    return rc ? lq_fail(err, LUNAQ_EBROKER, "sqlite: lock file: %s",
                        strerror(rc))
              : LUNAQ_OK;
}

void lq_sqlite_lock_give(lq_sqlite_lock *l)
{
    if (l->held)
        (void)set(l->fd, WRITER, F_UNLCK);
    l->held = false;
}

bool lq_sqlite_lock_wanted(const lq_sqlite_lock *l)
{
    struct flock f = byte_lock(NEXT, F_WRLCK);
    return fcntl(l->fd, F_OFD_GETLK, &f) == 0 && f.l_type != F_UNLCK;
}
