/* Resolving the names of database hosts, on a thread. */
#include "db/target.h"

#include "base/buf.h"

#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- resolving ---------------------------------------------------------- */

struct lists {
    lq_buf hosts, addresses, ports;
    size_t count;
};

static void append(struct lists *l, lq_str host, const char *address,
                   lq_str port)
{
    if (l->count++ > 0) {
        lq_buf_add_char(&l->hosts, ',');
        lq_buf_add_char(&l->addresses, ',');
        lq_buf_add_char(&l->ports, ',');
    }
    lq_buf_add_str(&l->hosts, host);
    lq_buf_add_c(&l->addresses, address);
    lq_buf_add_str(&l->ports, port);
}

static void resolve_one(struct lists *l, lq_str host, lq_str port,
                        lq_names *names)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char *name = lq_strdup_n(host);
    int rc = name ? getaddrinfo(name, NULL, &hints, &found) : EAI_MEMORY;
    lq_free(name);
    if (rc) {
        snprintf(names->why, sizeof names->why, "host %.*s: %s",
                 LQ_STR_ARG(host), gai_strerror(rc));
        return;
    }
    for (struct addrinfo *a = found; a; a = a->ai_next) {
        char text[NI_MAXHOST];
        if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0,
                        NI_NUMERICHOST) == 0)
            append(l, host, text, port);
    }
    freeaddrinfo(found);
}

/* The next element of a list with commas. */
static lq_str next_of(const char **p)
{
    size_t len = strcspn(*p, ",");
    lq_str s = {*p, len};
    *p += len + ((*p)[len] == ',');
    return s;
}

void lq_names_resolve(lq_names *names, const char *hosts, const char *ports)
{
    struct lists l = {.count = 0};
    lq_buf_init(&l.hosts, 0);
    lq_buf_init(&l.addresses, 0);
    lq_buf_init(&l.ports, 0);
    memset(names, 0, sizeof *names);
    bool many_ports = strchr(ports, ',') != NULL;
    lq_str port = lq_str_c(ports);
    const char *h = hosts, *p = ports;
    while (*h) {
        lq_str host = next_of(&h);
        if (many_ports)
            port = next_of(&p);
        if (host.len == 0 || host.p[0] == '/' || host.p[0] == '@')
            append(&l, host, "", port);
        else
            resolve_one(&l, host, port, names);
    }
    names->hosts = lq_buf_take(&l.hosts, NULL);
    names->addresses = lq_buf_take(&l.addresses, NULL);
    names->ports = lq_buf_take(&l.ports, NULL);
    if (l.count && names->hosts && names->addresses && names->ports)
        names->why[0] = 0; /* some host is there */
    else if (!names->why[0])
        snprintf(names->why, sizeof names->why, "out of memory");
    lq_buf_release(&l.hosts);
    lq_buf_release(&l.addresses);
    lq_buf_release(&l.ports);
}

void lq_names_release(lq_names *names)
{
    lq_free(names->hosts);
    lq_free(names->addresses);
    lq_free(names->ports);
    memset(names, 0, sizeof *names);
}

/* ---- on a thread -------------------------------------------------------- */

struct lq_lookup {
    lq_lane_job job;
    pthread_mutex_t mutex;
    int refs; /* the owner and the job */
    bool ready;
    int fd;
    char *hosts, *ports;
    lq_names names;
};

static void unref(lq_lookup *l)
{
    pthread_mutex_lock(&l->mutex);
    int left = --l->refs;
    pthread_mutex_unlock(&l->mutex);
    if (left)
        return;
    pthread_mutex_destroy(&l->mutex);
    close(l->fd);
    lq_names_release(&l->names);
    lq_free(l->hosts);
    lq_free(l->ports);
    lq_free(l);
}

static void lookup_dropped(lq_lane_job *job)
{
    unref(LQ_OF(job, lq_lookup, job));
}

static void lookup_run(lq_lane_job *job)
{
    lq_lookup *l = LQ_OF(job, lq_lookup, job);
    lq_names names;
    lq_names_resolve(&names, l->hosts, l->ports);
    pthread_mutex_lock(&l->mutex);
    l->names = names;
    l->ready = true;
    pthread_mutex_unlock(&l->mutex);
    (void)eventfd_write(l->fd, 1);
    unref(l);
}

lq_lookup *lq_lookup_start(const lq_target *t, lq_lane *lane, int *fd)
{
    lq_lookup *l = lq_calloc(1, sizeof *l);
    if (!l)
        return NULL;
    pthread_mutex_init(&l->mutex, NULL);
    l->refs = 2;
    l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->hosts = lq_strdup(t->hosts);
    l->ports = lq_strdup(t->ports);
    l->job.run = lookup_run;
    l->job.drop = lookup_dropped;
    *fd = l->fd;
    if (l->fd < 0 || !l->hosts || !l->ports) {
        l->refs = 1;
        unref(l);
        return NULL;
    }
    if (!lq_lane_take(lane, &l->job)) { /* it let go of its part */
        unref(l);
        return NULL;
    }
    return l;
}

bool lq_lookup_take(lq_lookup *l, lq_names *names)
{
    pthread_mutex_lock(&l->mutex);
    bool ready = l->ready;
    if (ready) {
        *names = l->names;
        memset(&l->names, 0, sizeof l->names);
        l->ready = false;
    }
    pthread_mutex_unlock(&l->mutex);
    return ready;
}

void lq_lookup_free(lq_lookup *l)
{
    if (l)
        unref(l);
}
