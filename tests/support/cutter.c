/* One thread, one poll() over all pairs of connections. */
#include "support/cutter.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAIRS_MAX 64
#define CHUNK 65536

struct pair {
    int client, server; /* -1: free */
    bool doomed;        /* the next answer is thrown away, then closed */
    bool waits;         /* the last request was a wait */
};

static int unix_address(struct sockaddr_un *a, const char *path)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(a->sun_path))
        return -1;
    memcpy(a->sun_path, path, strlen(path) + 1);
    return 0;
}

static int connect_to(const char *path)
{
    struct sockaddr_un a;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (unix_address(&a, path) ||
        connect(fd, (struct sockaddr *)&a, sizeof(a))) {
        close(fd);
        return -1;
    }
    return fd;
}

static void end_pair(struct pair *p)
{
    close(p->client);
    close(p->server);
    *p = (struct pair){-1, -1, false, false};
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static void take_client(cutter *c, struct pair *pairs)
{
    int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    for (int i = 0; i < PAIRS_MAX; i++)
        if (pairs[i].client < 0) {
            pairs[i].server = connect_to(c->server);
            if (pairs[i].server < 0)
                break;
            pairs[i].client = fd;
            return;
        }
    close(fd);
}

static void from_client(cutter *c, struct pair *p)
{
    char chunk[CHUNK];
    ssize_t n = recv(p->client, chunk, sizeof(chunk), 0);
    if (n <= 0 || !write_all(p->server, chunk, (size_t)n)) {
        end_pair(p);
        return;
    }
    p->waits = memmem(chunk, (size_t)n, "BLMOVE", 6) != NULL;
    int every = atomic_load(&c->every);
    if (n < atomic_load(&c->min_len) || every <= 0)
        return;
    if (atomic_fetch_add(&c->requests, 1) % every == every - 1)
        p->doomed = true;
}

static void from_server(cutter *c, struct pair *p)
{
    char chunk[CHUNK];
    ssize_t n = recv(p->server, chunk, sizeof(chunk), 0);
    if (n > 0 && p->waits && atomic_load(&c->waits) > 0) {
        atomic_fetch_sub(&c->waits, 1);
        p->doomed = true;
    }
    if (n > 0 && p->doomed)
        atomic_fetch_add(&c->cuts, 1);
    if (n <= 0 || p->doomed || !write_all(p->client, chunk, (size_t)n))
        end_pair(p);
}

static void *thread_main(void *arg)
{
    cutter *c = arg;
    struct pair pairs[PAIRS_MAX];
    struct pollfd fds[PAIRS_MAX * 2 + 2];

    for (int i = 0; i < PAIRS_MAX; i++)
        pairs[i] = (struct pair){-1, -1, false, false};
    for (;;) {
        fds[0] = (struct pollfd){c->wake[0], POLLIN, 0};
        fds[1] = (struct pollfd){c->listener, POLLIN, 0};
        for (int i = 0; i < PAIRS_MAX; i++) {
            fds[2 + 2 * i] = (struct pollfd){pairs[i].client, POLLIN, 0};
            fds[3 + 2 * i] = (struct pollfd){pairs[i].server, POLLIN, 0};
        }
        if (poll(fds, PAIRS_MAX * 2 + 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[0].revents)
            break;
        for (int i = 0; i < PAIRS_MAX; i++) {
            if (pairs[i].client >= 0 && fds[2 + 2 * i].revents)
                from_client(c, &pairs[i]);
            if (pairs[i].client >= 0 && fds[3 + 2 * i].revents)
                from_server(c, &pairs[i]);
        }
        if (fds[1].revents)
            take_client(c, pairs);
    }
    for (int i = 0; i < PAIRS_MAX; i++)
        if (pairs[i].client >= 0)
            end_pair(&pairs[i]);
    return NULL;
}

int cutter_start(cutter *c, const char *server)
{
    struct sockaddr_un a;

    memset(c, 0, sizeof(*c));
    snprintf(c->server, sizeof(c->server), "%s", server);
    snprintf(c->socket, sizeof(c->socket), "%.100s.cut", server);
    snprintf(c->url, sizeof(c->url), "redis-socket://%s", c->socket);
    c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(c->socket);
    if (unix_address(&a, c->socket) ||
        bind(c->listener, (struct sockaddr *)&a, sizeof(a)) ||
        listen(c->listener, PAIRS_MAX) || pipe(c->wake) ||
        pthread_create(&c->thread, NULL, thread_main, c)) {
        fprintf(stderr, "cutter: %s: %s\n", c->socket, strerror(errno));
        return -1;
    }
    return 0;
}

void cutter_stop(cutter *c)
{
    (void)!write(c->wake[1], "x", 1);
    pthread_join(c->thread, NULL);
    close(c->listener);
    close(c->wake[0]);
    close(c->wake[1]);
    unlink(c->socket);
}
