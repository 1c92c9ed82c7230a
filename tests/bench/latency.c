/* bench_latency: enqueue -> start of the handler, on an idle queue.
 *
 *     bench_latency broker rate seconds
 *
 * One process enqueues at a steady rate with the C client; the other embeds a
 * server whose handler compares the instant in the payload with its own.  The
 * clock is the same monotonic one.  The handler is a C callback: it pays a hop
 * to a thread of the callback pool, which a Lua handler does not, and in turn
 * reads the clock in nanoseconds, which Lua cannot.  So the figure is an upper
 * bound.  Prints p50 and p99. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lunaq/server.h>

#include "sample.h"

struct starts {
    pthread_mutex_t lock;
    pthread_cond_t all;
    int64_t *took;
    int64_t count, total;
};

static int started(lunaq_run *run, void *userdata)
{
    int64_t now = sample_now_ns(), sent = 0;
    struct starts *s = userdata;
    size_t len;
    const void *payload = lunaq_run_payload(run, &len);
    if (len != sizeof sent)
        return lunaq_run_skip_retry(run, "not a task of this bench");
    memcpy(&sent, payload, sizeof sent);
    pthread_mutex_lock(&s->lock);
    if (s->count < s->total)
        s->took[s->count++] = now - sent;
    if (s->count == s->total)
        pthread_cond_signal(&s->all);
    pthread_mutex_unlock(&s->lock);
    return LUNAQ_OK;
}

/* Waits until the parent says by a byte that the server is up. */
static int produce(const char *broker, int64_t rate, int64_t total, int go)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_client *client = NULL;
    lunaq_client_options options = LUNAQ_CLIENT_OPTIONS_INIT;
    options.broker = broker;
    char byte;
    if (read(go, &byte, 1) != 1)
        return 1;
    int rc = lunaq_client_open(&client, &options, &err);
    int64_t next = sample_now_ns() + 1000000000; /* let the queue be idle */
    for (int64_t i = 0; i < total && rc == 0; i++) {
        sample_sleep_until(next);
        next += 1000000000 / rate;
        lunaq_task task = LUNAQ_TASK_INIT;
        int64_t now = sample_now_ns();
        task.type = "bench:start";
        task.queue = "latency";
        task.payload = &now;
        task.payload_len = sizeof now;
        rc = lunaq_client_enqueue(client, &task, NULL, &err);
    }
    if (rc)
        fprintf(stderr, "bench_latency: %s\n", err.message);
    lunaq_client_close(client);
    return rc ? 1 : 0;
}

static int serve(const char *broker, struct starts *s, int go, int64_t seconds)
{
    static const lunaq_queue_weight queues[] = {{"latency", 1}};
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_server *server = NULL;
    lunaq_server_options options = LUNAQ_SERVER_OPTIONS_INIT;
    options.broker = broker;
    options.queues = queues;
    options.queue_count = 1;
    options.log_level = LUNAQ_LOG_WARN;
    int rc = lunaq_server_open(&server, &options, &err);
    if (!rc)
        rc = lunaq_server_handle(server, "bench:start", started, s, &err);
    if (!rc)
        rc = lunaq_server_start(server, &err);
    if (rc)
        fprintf(stderr, "bench_latency: %s\n", err.message);
    if (!rc && write(go, "g", 1) == 1) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += seconds + 30;
        pthread_mutex_lock(&s->lock);
        int timed_out = 0;
        while (s->count < s->total && !timed_out)
            timed_out = pthread_cond_timedwait(&s->all, &s->lock, &until);
        pthread_mutex_unlock(&s->lock);
    }
    lunaq_server_close(server);
    return rc;
}

int main(int argc, char **argv)
{
    int64_t rate = argc == 4 ? strtoll(argv[2], NULL, 10) : 0;
    int64_t seconds = argc == 4 ? strtoll(argv[3], NULL, 10) : 0;
    struct starts s = {.lock = PTHREAD_MUTEX_INITIALIZER,
                       .all = PTHREAD_COND_INITIALIZER,
                       .total = rate * seconds};
    int go[2], status = 0;
    if (rate <= 0 || s.total <= 0) {
        fprintf(stderr, "usage: bench_latency broker rate seconds\n");
        return 2;
    }
    s.took = calloc((size_t)s.total, sizeof *s.took);
    if (!s.took || pipe(go)) {
        free(s.took);
        return 1;
    }
    pid_t child = fork(); /* before there are threads */
    if (child == 0) {
        close(go[1]);
        _exit(produce(argv[1], rate, s.total, go[0]));
    }
    close(go[0]);
    int rc = child < 0 ? 1 : serve(argv[1], &s, go[1], seconds);
    close(go[1]);
    if (child > 0)
        waitpid(child, &status, 0);
    if (rc == 0 && status == 0 && s.count == s.total)
        sample_print(s.took, (size_t)s.count);
    else
        fprintf(stderr, "bench_latency: %lld of %lld tasks started\n",
                (long long)s.count, (long long)s.total);
    rc = rc || status || s.count < s.total;
    free(s.took);
    return rc ? 1 : 0;
}
