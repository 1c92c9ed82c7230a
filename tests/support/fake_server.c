/* A server socket of the test's own: see the header. */
#include "support/test.h"

#include "support/fake_server.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct fake_server {
    int fd, port;
    atomic_int count;
    fake_serve_fn *serve;
    void *ud;
    pthread_t thread;
    pthread_mutex_t lock; /* guards conn and ending */
    int conn;
    int ending;
};

static void *serve_main(void *arg)
{
    fake_server *s = arg;

    for (;;) {
        int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
        int ending, nth;

        if (fd < 0)
            break;
        pthread_mutex_lock(&s->lock);
        s->conn = fd;
        ending = s->ending;
        pthread_mutex_unlock(&s->lock);
        nth = atomic_fetch_add(&s->count, 1) + 1;
        if (!ending)
            s->serve(s, fd, nth, s->ud);
        pthread_mutex_lock(&s->lock);
        s->conn = -1;
        close(fd);
        pthread_mutex_unlock(&s->lock);
        if (ending)
            break;
    }
    return NULL;
}

fake_server *fake_server_new(const char *path, fake_serve_fn *serve, void *ud)
{
    fake_server *s = calloc(1, sizeof(*s));
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_un un;
    } at;
    socklen_t len = path ? sizeof(at.un) : sizeof(at.in);

    assert_non_null(s);
    memset(&at, 0, sizeof(at));
    if (path) {
        at.un.sun_family = AF_UNIX;
        assert_true(strlen(path) < sizeof(at.un.sun_path));
        memcpy(at.un.sun_path, path, strlen(path));
        unlink(path);
    } else {
        at.in.sin_family = AF_INET;
        at.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    s->fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0);
    assert_int_equal(bind(s->fd, &at.any, len), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    if (!path) {
        assert_int_equal(getsockname(s->fd, &at.any, &len), 0);
        s->port = ntohs(at.in.sin_port);
    }
    s->serve = serve;
    s->ud = ud;
    s->conn = -1;
    atomic_init(&s->count, 0);
    pthread_mutex_init(&s->lock, NULL);
    assert_int_equal(pthread_create(&s->thread, NULL, serve_main, s), 0);
    return s;
}

int fake_server_port(const fake_server *s)
{
    return s->port;
}

int fake_server_count(fake_server *s)
{
    return atomic_load(&s->count);
}

void fake_server_free(fake_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->ending = 1;
    if (s->conn >= 0)
        shutdown(s->conn, SHUT_RDWR);
    shutdown(s->fd, SHUT_RDWR); /* ends accept() */
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    close(s->fd);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int fake_expect(int fd, const char *text)
{
    char seen[65536];
    size_t len = 0;

    for (;;) {
        ssize_t n = read(fd, seen + len, sizeof(seen) - 1 - len);

        if (n <= 0)
            return 0;
        len += (size_t)n;
        if (memmem(seen, len, text, strlen(text)))
            return 1;
        if (len > sizeof(seen) / 2) {
            memmove(seen, seen + sizeof(seen) / 4, len - sizeof(seen) / 4);
            len -= sizeof(seen) / 4;
        }
    }
}

void fake_drain(int fd)
{
    char seen[65536];

    while (read(fd, seen, sizeof(seen)) > 0)
        ;
}

void fake_say(int fd, const char *text)
{
    size_t len = strlen(text);

    while (len) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

int fake_refusing_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port;

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    port = ntohs(at.sin_port);
    close(fd);
    return port;
}
