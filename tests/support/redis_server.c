#include "support/redis_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int connect_to(const redis_server *s)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", s->socket);
    if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool answers(const redis_server *s)
{
    static const char *const ping[] = {"PING", NULL};
    char *reply = redis_server_command(s, ping);
    bool ok = reply && (strncmp(reply, "+PONG", 5) == 0 ||
                        strncmp(reply, "-NOAUTH", 7) == 0);
    free(reply);
    return ok;
}

#define ARGS_MAX 64

static void run(const redis_server *s, const char *option, const char *value)
{
    const char *args[ARGS_MAX] = {
        "redis-server", "--port",       "0",
        "--unixsocket", s->socket,      "--dir",
        s->folder,      "--save",       "",
        "--loglevel",   "warning",      "--logfile",
        "server.log",   "--appendonly", s->durable ? "yes" : "no",
        "--bind",       "127.0.0.1",    "--appendfsync",
        "always"};
    size_t n = 0;
    while (args[n])
        n++;
    for (size_t i = 0; s->args && s->args[i] && n + 3 < ARGS_MAX; i++)
        args[n++] = s->args[i];
    if (option) {
        args[n++] = option;
        args[n++] = value;
    }
    execvp(args[0], (char *const *)(uintptr_t)args);
}

static int launch(redis_server *s, const char *option, const char *value)
{
    pid_t parent = getpid();
    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        run(s, option, value);
        _exit(127);
    }
    if (s->pid < 0) {
        s->pid = 0;
        perror("fork");
        return -1;
    }
    int64_t deadline = mono_ms() + 30000;
    while (mono_ms() < deadline) {
        if (answers(s))
            return 0;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            break;
        }
        (void)poll(NULL, 0, 5);
    }
    fprintf(stderr, "redis-server did not start: is it installed?\n");
    return -1;
}

static int start(redis_server *s, const char *option, const char *value)
{
    snprintf(s->folder, sizeof(s->folder), "/tmp/lunaq-redis-XXXXXX");
    if (!mkdtemp(s->folder)) {
        perror("mkdtemp");
        s->folder[0] = 0;
        return -1;
    }
    snprintf(s->socket, sizeof(s->socket), "%s/redis.sock", s->folder);
    snprintf(s->url, sizeof(s->url), "redis-socket://%s", s->socket);
    if (launch(s, option, value) == 0)
        return 0;
    redis_server_stop(s);
    return -1;
}

int redis_server_start(redis_server *s, const char *option, const char *value)
{
    memset(s, 0, sizeof(*s));
    return start(s, option, value);
}

int redis_server_start_with(redis_server *s, const char *const *args)
{
    memset(s, 0, sizeof(*s));
    s->args = args;
    return start(s, NULL, NULL);
}

int redis_server_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;
    if (fd < 0)
        return 0;
    if (bind(fd, (const struct sockaddr *)&a, len) == 0 &&
        getsockname(fd, (struct sockaddr *)&a, &len) == 0)
        port = ntohs(a.sin_port);
    close(fd);
    return port;
}

int redis_server_start_durable(redis_server *s)
{
    memset(s, 0, sizeof(*s));
    s->durable = true;
    return start(s, NULL, NULL);
}

void redis_server_kill(redis_server *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
    if (s->socket[0])
        unlink(s->socket);
}

int redis_server_restart(redis_server *s)
{
    redis_server_kill(s);
    return launch(s, NULL, NULL);
}

void redis_server_stop(redis_server *s)
{
    redis_server_kill(s);
    if (s->folder[0]) {
        char command[128];
        snprintf(command, sizeof(command), "rm -rf '%s'", s->folder);
        if (system(command) != 0) /* NOLINT(cert-env33-c): our own folder */
            fprintf(stderr, "%s: left behind\n", s->folder);
    }
    s->folder[0] = 0;
    s->socket[0] = 0;
}

/* Reads until the server has closed: the command was followed by QUIT, and by
 * the end of what we send, for a sentinel, which knows no QUIT. */
static char *ask(int fd, const char *const *words)
{
    char *reply = NULL;
    size_t len = 0;
    FILE *out = fd < 0 ? NULL : fdopen(fd, "r+");
    if (!out) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    size_t n = 0;
    while (words[n])
        n++;
    fprintf(out, "*%zu\r\n", n);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    fprintf(out, "*1\r\n$4\r\nQUIT\r\n");
    fflush(out);
    (void)shutdown(fd, SHUT_WR);
    for (;;) {
        char chunk[4096];
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got <= 0)
            break;
        char *more = realloc(reply, len + (size_t)got + 1);
        if (!more)
            break;
        reply = more;
        memcpy(reply + len, chunk, (size_t)got);
        len += (size_t)got;
        reply[len] = 0;
    }
    fclose(out);
    if (len >= 5 && memcmp(reply + len - 5, "+OK\r\n", 5) == 0)
        reply[len - 5] = 0;
    return reply;
}

char *redis_server_command(const redis_server *s, const char *const *words)
{
    return ask(connect_to(s), words);
}

char *redis_port_command(int port, const char *const *words)
{
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) != 0) {
        close(fd);
        fd = -1;
    }
    return ask(fd, words);
}
