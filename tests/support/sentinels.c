#include "support/sentinels.h"

#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 30000

static int64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const char *const tls_names[] = {"tls-cert-file", "tls-key-file",
                                        "tls-ca-cert-file"};

static size_t tls_args(const sentinels *s, const char **args)
{
    size_t n = 0;
    if (!s->files[0][0])
        return 0;
    args[n++] = "--tls-cert-file";
    args[n++] = s->files[0];
    args[n++] = "--tls-key-file";
    args[n++] = s->files[1];
    args[n++] = "--tls-ca-cert-file";
    args[n++] = s->files[2];
    args[n++] = "--tls-auth-clients";
    args[n++] = "no";
    args[n++] = "--tls-replication";
    args[n++] = "yes";
    return n;
}

static int start_servers(sentinels *s, const char *password)
{
    for (int i = 0; i < 2; i++) {
        size_t n = 0;
        const char **args = s->args[i];
        s->ports[i] = redis_server_free_port();
        snprintf(s->texts[i], sizeof(s->texts[i]), "%d", s->ports[i]);
        args[n++] = s->files[0][0] ? "--tls-port" : "--port";
        args[n++] = s->texts[i];
        n += tls_args(s, args + n);
        args[n++] = "--repl-diskless-sync-delay";
        args[n++] = "0";
        if (password) {
            args[n++] = "--requirepass";
            args[n++] = password;
            args[n++] = "--masterauth";
            args[n++] = password;
        }
        if (i) {
            args[n++] = "--replicaof";
            args[n++] = "127.0.0.1";
            args[n++] = s->texts[0];
        }
        if (redis_server_start_with(&s->servers[i], args))
            return -1;
    }
    return 0;
}

static int start_sentinel(sentinels *s, int i, const char *password)
{
    char path[96];
    pid_t parent = getpid();
    s->sentinel_ports[i] = redis_server_free_port();
    snprintf(path, sizeof(path), "%s/%d.conf", s->folder, i);
    FILE *f = fopen(path, "w");
    if (!f)
        return -1;
    fprintf(f,
            "port %d\nbind 127.0.0.1\ndir %s\nlogfile %d.log\n"
            "sentinel monitor main 127.0.0.1 %d 2\n"
            "sentinel down-after-milliseconds main %d\n"
            "sentinel failover-timeout main 5000\n",
            s->sentinel_ports[i], s->folder, i, s->ports[0], s->down_ms);
    if (password)
        fprintf(f, "sentinel auth-pass main %s\n", password);
    if (s->files[0][0]) {
        s->tls_ports[i] = redis_server_free_port();
        fprintf(f, "tls-port %d\ntls-auth-clients no\ntls-replication yes\n",
                s->tls_ports[i]);
        for (int k = 0; k < 3; k++)
            fprintf(f, "%s %s\n", tls_names[k], s->files[k]);
    }
    fclose(f);
    s->pids[i] = fork();
    if (s->pids[i] == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        execlp("redis-server", "redis-server", path, "--sentinel",
               (char *)NULL);
        _exit(127);
    }
    return s->pids[i] > 0 ? 0 : -1;
}

/* The value that follows a name in a flat list. */
static int value_of(const char *reply, const char *name)
{
    char head[64];
    snprintf(head, sizeof(head), "\r\n%s\r\n$", name);
    const char *at = reply ? strstr(reply, head) : NULL;
    at = at ? strchr(at + strlen(head), '\n') : NULL;
    return at ? (int)strtol(at + 1, NULL, 10) : -1;
}

static int ready(const sentinels *s)
{
    static const char *const ask[] = {"SENTINEL", "master", "main", NULL};
    for (int i = 0; i < SENTINEL_COUNT; i++) {
        char *reply = redis_port_command(s->sentinel_ports[i], ask);
        int known =
            value_of(reply, "num-slaves") == 1 &&
            value_of(reply, "num-other-sentinels") == SENTINEL_COUNT - 1;
        free(reply);
        if (!known)
            return 0;
    }
    return 1;
}

static void write_url(sentinels *s, const char *password)
{
    const int *ports = s->files[0][0] ? s->tls_ports : s->sentinel_ports;
    snprintf(s->url, sizeof(s->url),
             "%s://%s%s%s127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d?master=main"
             "%s%s",
             s->files[0][0] ? "rediss-sentinel" : "redis-sentinel",
             password ? ":" : "", password ? password : "", password ? "@" : "",
             ports[0], ports[1], ports[2], s->files[0][0] ? "&ca=" : "",
             s->files[2]);
}

int sentinels_start(sentinels *s, int down_ms, const char *password,
                    const tls_files *tls)
{
    memset(s, 0, sizeof(*s));
    if (tls) {
        snprintf(s->files[0], sizeof(s->files[0]), "%s",
                 tls_file(tls, "server.pem"));
        snprintf(s->files[1], sizeof(s->files[1]), "%s",
                 tls_file(tls, "server.key"));
        snprintf(s->files[2], sizeof(s->files[2]), "%s",
                 tls_file(tls, "ca.pem"));
    }
    s->down_ms = down_ms;
    snprintf(s->folder, sizeof(s->folder), "/tmp/lunaq-sentinel-XXXXXX");
    if (!mkdtemp(s->folder)) {
        s->folder[0] = 0;
        return -1;
    }
    if (start_servers(s, password))
        goto fail;
    for (int i = 0; i < SENTINEL_COUNT; i++)
        if (start_sentinel(s, i, password))
            goto fail;
    write_url(s, password);
    for (int64_t end = mono_ms() + PATIENCE_MS; mono_ms() < end;
         (void)poll(NULL, 0, 20))
        if (ready(s))
            return 0;
    fprintf(stderr, "the sentinels do not find each other\n");
fail:
    sentinels_stop(s);
    return -1;
}

int sentinels_master(const sentinels *s)
{
    static const char *const ask[] = {"SENTINEL", "get-master-addr-by-name",
                                      "main", NULL};
    int votes[2] = {0};
    for (int i = 0; i < SENTINEL_COUNT; i++) {
        char *reply = redis_port_command(s->sentinel_ports[i], ask);
        int port = value_of(reply, "127.0.0.1");
        votes[0] += port == s->ports[0];
        votes[1] += port == s->ports[1];
        free(reply);
    }
    for (int i = 0; i < 2; i++)
        if (votes[i] > SENTINEL_COUNT / 2)
            return s->ports[i];
    return 0;
}

int sentinels_come_back(sentinels *s)
{
    size_t n = 0;
    const char **args = s->args[0];
    while (args[n])
        n++;
    args[n++] = "--replicaof";
    args[n++] = "127.0.0.1";
    args[n++] = s->texts[1];
    return redis_server_restart(&s->servers[0]);
}

void sentinels_stop(sentinels *s)
{
    char command[128];
    for (int i = 0; i < SENTINEL_COUNT; i++)
        if (s->pids[i] > 0) {
            kill(s->pids[i], SIGKILL);
            waitpid(s->pids[i], NULL, 0);
            s->pids[i] = 0;
        }
    redis_server_stop(&s->servers[0]);
    redis_server_stop(&s->servers[1]);
    if (!s->folder[0])
        return;
    snprintf(command, sizeof(command), "rm -rf '%s'", s->folder);
    if (system(command) != 0) /* NOLINT(cert-env33-c): our own folder */
        fprintf(stderr, "%s: left behind\n", s->folder);
    s->folder[0] = 0;
}
