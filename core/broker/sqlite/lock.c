#include "sqlite/lock.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { WRITER = 0, PLACES = 1000 };

#define LOOK_NS ((int64_t)10000000) /* when nobody wakes us: somebody died */
#define POLL_NS ((int64_t)1000000)  /* without a page */

/* The page: one futex a byte, which counts how often it was left. */
struct lq_sqlite_places {
    _Atomic uint32_t last;
    _Atomic uint32_t left[1 + PLACES];
};

/* The file gets its page by a write, as a full disk would otherwise show when
 * the page is touched. */
static struct lq_sqlite_places *map_line(int fd)
{
    static const struct lq_sqlite_places none;
    const size_t size = sizeof(none);
    struct stat st;
    /* Two at once write the same. */
    if (fstat(fd, &st) != 0 || (st.st_size < (off_t)size &&
                                pwrite(fd, &none, size, 0) != (ssize_t)size))
        return NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

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
    *l = (lq_sqlite_lock)LQ_SQLITE_LOCK_INIT;
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
    else
        l->line = map_line(l->fd);
    lq_free(name);
    return rc;
}

void lq_sqlite_lock_close(lq_sqlite_lock *l)
{
    if (l->line)
        munmap(l->line, sizeof(*l->line));
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

/* Whether others have a lock on one of these bytes. */
static bool taken(int fd, int from, int count)
{
    struct flock f = {.l_type = F_WRLCK,
                      .l_whence = SEEK_SET,
                      .l_start = from,
                      .l_len = count};
    return fcntl(fd, F_OFD_GETLK, &f) == 0 && f.l_type != F_UNLCK;
}

/* ---- the line ------------------------------------------------------------ */

static uint32_t times_left(const lq_sqlite_lock *l, int byte)
{
    return l->line ? atomic_load(&l->line->left[byte]) : 0;
}

/* Waits until the byte was left once more than `seen` times, or it is time to
 * look; false when the deadline has passed. */
static bool wait_left(const lq_sqlite_lock *l, int byte, uint32_t seen,
                      int64_t deadline_ns)
{
    int64_t ns = deadline_ns - lq_mono_ns();
    if (ns <= 0)
        return false;
    int64_t most = l->line ? LOOK_NS : POLL_NS;
    most = most / 2 + (int64_t)lq_random((uint64_t)most);
    ns = ns < most ? ns : most;
    const struct timespec t = {.tv_sec = ns / 1000000000,
                               .tv_nsec = ns % 1000000000};
    if (l->line)
        (void)syscall(SYS_futex, &l->line->left[byte], FUTEX_WAIT, seen, &t,
                      NULL, 0);
    else
        (void)nanosleep(&t, NULL);
    return true;
}

static void leave(const lq_sqlite_lock *l, int byte)
{
    (void)set(l->fd, byte, F_UNLCK);
    if (!l->line)
        return;
    atomic_fetch_add(&l->line->left[byte], 1);
    (void)syscall(SYS_futex, &l->line->left[byte], FUTEX_WAKE, 1, NULL, NULL,
                  0);
}

static int place_of(uint32_t number)
{
    return 1 + (int)(number % PLACES);
}

/* Draws a number and waits for who has the one before. */
static int stand_in_line(lq_sqlite_lock *l, int64_t deadline_ns)
{
    uint32_t number;
    int rc;
    do { /* a thousand wait already: one of their places comes free */
        number = atomic_fetch_add(&l->line->last, 1);
        rc = set(l->fd, place_of(number), F_WRLCK);
    } while (rc == EAGAIN && lq_mono_ns() < deadline_ns);
    if (rc)
        return rc;
    l->place = place_of(number);
    int before = place_of(number + PLACES - 1);
    for (;;) {
        uint32_t seen = times_left(l, before);
        if (!taken(l->fd, before, 1))
            return 0;
        if (!wait_left(l, before, seen, deadline_ns))
            return EAGAIN;
    }
}

static int become_writer(lq_sqlite_lock *l, int64_t deadline_ns)
{
    for (;;) {
        uint32_t seen = times_left(l, WRITER);
        int rc = set(l->fd, WRITER, F_WRLCK);
        if (rc != EAGAIN || !wait_left(l, WRITER, seen, deadline_ns))
            return rc;
    }
}

static void leave_line(lq_sqlite_lock *l)
{
    if (l->place)
        leave(l, l->place);
    l->place = 0;
}

int lq_sqlite_lock_take(lq_sqlite_lock *l, int64_t deadline_ns,
                        lunaq_error *err)
{
    if (l->held)
        return LUNAQ_OK;
    int rc = lq_sqlite_lock_wanted(l) ? EAGAIN : set(l->fd, WRITER, F_WRLCK);
    if (rc == EAGAIN) {
        rc = l->line ? stand_in_line(l, deadline_ns) : LUNAQ_OK;
        if (!rc)
            rc = become_writer(l, deadline_ns);
    }
    l->held = rc == 0;
    if (rc)
        leave_line(l);
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
        leave(l, WRITER);
    l->held = false;
    leave_line(l);
}

bool lq_sqlite_lock_wanted(const lq_sqlite_lock *l)
{
    return taken(l->fd, WRITER + 1, PLACES);
}
