#include "sqlite/wake.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DATAGRAM_MAX 4096
#define FOLDER_MAX 4096
#define SETTLED_MS 100

static const char *const endings[] = {
    [LQ_SQLITE_BELL_TASK] = ".task", [LQ_SQLITE_BELL_CANCEL] = ".cancel"};

static bool folder_of(char *out, const char *file)
{
    int n = snprintf(out, FOLDER_MAX, "%s.wake", file);
    return n > 0 && n < FOLDER_MAX;
}

/* ---- the receiving end --------------------------------------------------- */

bool lq_sqlite_bell_open(lq_sqlite_bell *bell, const char *file,
                         enum lq_sqlite_bell_kind kind)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char folder[FOLDER_MAX];

    *bell = (lq_sqlite_bell){.fd = -1, .kind = kind};
    if (!folder_of(folder, file) || (mkdir(folder, 0700) && errno != EEXIST))
        return false;
    int n =
        snprintf(bell->path, sizeof(bell->path), "%s/%d-%08x%s", folder,
                 (int)getpid(), (unsigned)lq_random(UINT32_MAX), endings[kind]);
    if (n < 0 || (size_t)n >= sizeof(a.sun_path))
        return false;
    memcpy(a.sun_path, bell->path, (size_t)n + 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    if (bind(fd, (const struct sockaddr *)&a, sizeof(a))) {
        close(fd);
        return false;
    }
    bell->fd = fd;
    return true;
}

bool lq_sqlite_bell_read(lq_sqlite_bell *bell,
                         void (*fn)(void *ud, lq_str name), void *ud)
{
    char bytes[DATAGRAM_MAX];
    bool any = false;
    ssize_t n;

    if (bell->fd < 0)
        return false;
    while ((n = recv(bell->fd, bytes, sizeof(bytes), 0)) >= 0 ||
           errno == EINTR) {
        lq_str names = lq_str_n(bytes, n > 0 ? (size_t)n : 0), name;
        any = any || n >= 0;
        while (fn && lq_sqlite_next_name(&names, &name))
            fn(ud, name);
    }
    return any;
}

void lq_sqlite_bell_close(lq_sqlite_bell *bell)
{
    if (bell->fd < 0)
        return;
    unlink(bell->path);
    close(bell->fd);
    bell->fd = -1;
}

/* ---- the sending end ----------------------------------------------------- */

static bool ends_with(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);
    return n > m && strcmp(name + n - m, ending) == 0;
}

/* One datagram to everybody; false: there is nobody. */
static bool send_all(int fd, DIR *dir, const char *folder,
                     enum lq_sqlite_bell_kind kind, lq_str bytes,
                     const lq_sqlite_bell *own)
{
    const struct dirent *entry;
    bool any = false;

    rewinddir(dir);
    while ((entry = readdir(dir)) != NULL) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        if (!ends_with(entry->d_name, endings[kind]))
            continue;
        int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", folder,
                         entry->d_name);
        if (n < 0 || (size_t)n >= sizeof(a.sun_path) ||
            (own && strcmp(own->path, a.sun_path) == 0))
            continue;
        any = true;
        if (sendto(fd, bytes.p, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL,
                   (const struct sockaddr *)&a, sizeof(a)) < 0 &&
            errno == ECONNREFUSED)
            unlink(a.sun_path); /* its process is gone */
    }
    return any;
}

/* A folder's time says that it changed unless that was so lately that a second
 * change may have the same time. */
static bool is_settled(struct timespec changed)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (now.tv_sec - changed.tv_sec) * 1000 +
               (now.tv_nsec - changed.tv_nsec) / 1000000 >=
           SETTLED_MS;
}

/* How much of `names` goes into one datagram: whole names, 0 when the first
 * is too long. */
static size_t datagram_len(lq_str names)
{
    size_t n = names.len < DATAGRAM_MAX ? names.len : DATAGRAM_MAX;
    const char *zero = memrchr(names.p, 0, n);
    return zero ? (size_t)(zero - names.p) + 1 : 0;
}

void lq_sqlite_ring(lq_sqlite_ringer *r, enum lq_sqlite_bell_kind kind,
                    lq_str names, const lq_sqlite_bell *own)
{
    char folder[FOLDER_MAX];
    struct stat st;
    lq_str too_long;
    bool anybody = false;

    if (names.len == 0 || !folder_of(folder, r->file))
        return;
    if (stat(folder, &st) || (st.st_mtim.tv_sec == r->alone[kind].tv_sec &&
                              st.st_mtim.tv_nsec == r->alone[kind].tv_nsec))
        return;
    bool settled = is_settled(st.st_mtim); /* before it is read */
    DIR *dir = opendir(folder);
    if (!dir) /* nobody ever waited */
        return;
    if (r->fd == 0) {
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        r->fd = fd > 0 ? fd : 0;
    }
    while (r->fd && names.len) {
        size_t n = datagram_len(names);
        if (n) {
            anybody |=
                send_all(r->fd, dir, folder, kind, lq_str_n(names.p, n), own);
            names = lq_str_n(names.p + n, names.len - n);
        } else if (!lq_sqlite_next_name(&names, &too_long)) {
            break;
        }
    }
    closedir(dir);
    if (settled && r->fd && !anybody)
        r->alone[kind] = st.st_mtim;
}

void lq_sqlite_ringer_close(lq_sqlite_ringer *r)
{
    if (r->fd)
        close(r->fd);
    r->fd = 0;
}
