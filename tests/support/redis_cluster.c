#include "support/redis_cluster.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUS 10000           /* a node's other port is so much higher */
#define START_MS 60000      /* the machine may be busy */
#define NODE_TIMEOUT "1500" /* until a silent node is taken for dead */

static int64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- ports --------------------------------------------------------------- */

static bool is_free(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Below the ports that the system gives to clients, with the bus' too. */
static bool find_ports(redis_cluster *c)
{
    unsigned seed = (unsigned)getpid() * 2654435761u + (unsigned)mono_ms();
    size_t n = 0;
    for (int tries = 0; n < REDIS_CLUSTER_NODES && tries < 1000; tries++) {
        seed = seed * 1103515245u + 12345u;
        int port = 12000 + (int)(seed >> 8) % 10000;
        bool fresh = is_free(port) && is_free(port + BUS);
        for (size_t i = 0; i < n; i++)
            fresh = fresh && c->ports[i] != port;
        if (fresh)
            c->ports[n++] = port;
    }
    return n == REDIS_CLUSTER_NODES;
}

/* ---- nodes --------------------------------------------------------------- */

static bool says(const redis_server *s, const char *const *words,
                 const char *text)
{
    char *reply = redis_server_command(s, words);
    bool ok = reply && strstr(reply, text);
    free(reply);
    return ok;
}

static bool wait_for(const redis_server *s, const char *const *words,
                     const char *text)
{
    int64_t deadline = mono_ms() + START_MS;
    while (mono_ms() < deadline) {
        if (says(s, words, text))
            return true;
        (void)poll(NULL, 0, 20);
    }
    return false;
}

static int launch(redis_cluster *c, size_t node)
{
    static const char *const ping[] = {"PING", NULL};
    redis_server *s = &c->nodes[node];
    char port[16], config[32], log[32];
    snprintf(port, sizeof(port), "%d", c->ports[node]);
    snprintf(config, sizeof(config), "nodes-%zu.conf", node);
    snprintf(log, sizeof(log), "server-%zu.log", node);
    pid_t parent = getpid();
    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        execlp("redis-server", "redis-server", "--port", port, "--bind",
               "127.0.0.1", "--unixsocket", s->socket, "--dir", c->folder,
               "--save", "", "--appendonly", "no", "--loglevel", "notice",
               "--logfile", log, "--cluster-enabled", "yes",
               "--cluster-config-file", config, "--cluster-node-timeout",
               NODE_TIMEOUT, "--cluster-replica-validity-factor", "0",
               "--repl-diskless-sync-delay", "0", (char *)NULL);
        _exit(127);
    }
    if (s->pid < 0) {
        s->pid = 0;
        return -1;
    }
    return wait_for(s, ping, "PONG") ? 0 : -1;
}

int redis_cluster_cli(const redis_cluster *c, const char *arguments)
{
    char command[1024];
    snprintf(command, sizeof(command),
             "redis-cli %s >>'%s/redis-cli.log' 2>&1 </dev/null", arguments,
             c->folder);
    int status = system(command); /* NOLINT(cert-env33-c): our own words */
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int create(redis_cluster *c)
{
    static const char *const info[] = {"CLUSTER", "INFO", NULL};
    static const char *const replication[] = {"INFO", "replication", NULL};
    char arguments[512];
    size_t n = 0;
    n += (size_t)snprintf(arguments + n, sizeof(arguments) - n,
                          "--cluster create");
    for (size_t i = 0; i < REDIS_CLUSTER_NODES; i++)
        n += (size_t)snprintf(arguments + n, sizeof(arguments) - n,
                              " 127.0.0.1:%d", c->ports[i]);
    snprintf(arguments + n, sizeof(arguments) - n,
             " --cluster-replicas 1 --cluster-yes");
    if (redis_cluster_cli(c, arguments))
        return -1;
    for (size_t i = 0; i < REDIS_CLUSTER_NODES; i++)
        if (!wait_for(&c->nodes[i], info, "cluster_state:ok") ||
            !wait_for(&c->nodes[i], replication,
                      i < 3 ? "state=online" : "master_link_status:up"))
            return -1;
    return 0;
}

int redis_cluster_start(redis_cluster *c)
{
    memset(c, 0, sizeof(*c));
    snprintf(c->folder, sizeof(c->folder), "/tmp/lunaq-cluster-XXXXXX");
    if (!mkdtemp(c->folder) || !find_ports(c)) {
        perror("cluster");
        c->folder[0] = 0;
        return -1;
    }
    int rc = 0;
    for (size_t i = 0; i < REDIS_CLUSTER_NODES && !rc; i++) {
        snprintf(c->nodes[i].socket, sizeof(c->nodes[i].socket), "%s/%zu.sock",
                 c->folder, i);
        rc = launch(c, i);
    }
    if (!rc)
        rc = create(c);
    snprintf(c->url, sizeof(c->url),
             "redis-cluster://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d",
             c->ports[0], c->ports[1], c->ports[2]);
    if (rc) {
        fprintf(stderr, "no cluster: are redis-server and redis-cli "
                        "installed?\n");
        redis_cluster_stop(c);
    }
    return rc;
}

void redis_cluster_kill(redis_cluster *c, size_t node)
{
    redis_server_kill(&c->nodes[node]);
}

int redis_cluster_restart(redis_cluster *c, size_t node)
{
    redis_cluster_kill(c, node);
    return launch(c, node);
}

bool redis_cluster_settle(const redis_cluster *c)
{
    static const char *const info[] = {"CLUSTER", "INFO", NULL};
    static const char *const words[] = {"INFO", "replication", NULL};
    int64_t deadline = mono_ms() + START_MS;
    while (mono_ms() < deadline) {
        size_t masters = 0, replicas = 0;
        for (size_t i = 0; i < REDIS_CLUSTER_NODES; i++) {
            char *reply = redis_server_command(&c->nodes[i], words);
            bool ok = reply && says(&c->nodes[i], info, "cluster_state:ok");
            masters += ok && strstr(reply, "role:master") &&
                       strstr(reply, "state=online");
            replicas += ok && strstr(reply, "master_link_status:up");
            free(reply);
        }
        if (masters == REDIS_CLUSTER_NODES / 2 &&
            replicas == REDIS_CLUSTER_NODES / 2)
            return true;
        (void)poll(NULL, 0, 50);
    }
    return false;
}

void redis_cluster_stop(redis_cluster *c)
{
    for (size_t i = 0; i < REDIS_CLUSTER_NODES; i++)
        redis_cluster_kill(c, i);
    if (c->folder[0]) {
        char command[128];
        snprintf(command, sizeof(command), "rm -rf '%s'", c->folder);
        if (system(command) != 0) /* NOLINT(cert-env33-c): our own folder */
            fprintf(stderr, "%s: left behind\n", c->folder);
    }
    c->folder[0] = 0;
}

bool redis_cluster_id(const redis_cluster *c, size_t node, char id[41])
{
    static const char *const words[] = {"CLUSTER", "MYID", NULL};
    char *reply = redis_server_command(&c->nodes[node], words);
    const char *text = reply ? strchr(reply, '\n') : NULL;
    bool ok = text && strlen(text) > 40;
    if (ok)
        snprintf(id, 41, "%.40s", text + 1);
    free(reply);
    return ok;
}

int redis_cluster_owner(const redis_cluster *c, const char *key)
{
    const char *const words[] = {"EXISTS", key, NULL};
    for (int i = 0; i < REDIS_CLUSTER_NODES; i++) {
        static const char *const role[] = {"ROLE", NULL};
        char *reply =
            c->nodes[i].pid ? redis_server_command(&c->nodes[i], words) : NULL;
        bool here = reply && reply[0] == ':';
        free(reply);
        if (here && says(&c->nodes[i], role, "master"))
            return i;
    }
    return -1;
}

void redis_cluster_wipe(const redis_cluster *c)
{
    static const char *const words[] = {"FLUSHALL", NULL};
    for (size_t i = 0; i < REDIS_CLUSTER_NODES; i++)
        if (c->nodes[i].pid)
            free(redis_server_command(&c->nodes[i], words));
}
