/* bench_fill: enqueues tasks with the C client.
 *
 *     bench_fill broker queue count producers batch [type [payload]]
 *
 * producers threads, each with its own client; batch 1 = one call a task.
 * Prints "seconds …". */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lunaq/lunaq.h>

#include "sample.h"

enum { BATCH_MAX = 1000, PRODUCERS_MAX = 64 };

struct producer {
    pthread_t thread;
    const char *broker;
    lunaq_task task;
    size_t count, batch;
    int rc;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_client *client = NULL;
    lunaq_client_options options = LUNAQ_CLIENT_OPTIONS_INIT;
    options.broker = p->broker;
    lunaq_task *tasks = calloc(p->batch, sizeof *tasks);
    lunaq_enqueued *results = calloc(p->batch, sizeof *results);
    p->rc = tasks && results ? lunaq_client_open(&client, &options, &err)
                             : LUNAQ_ENOMEM;
    for (size_t i = 0; tasks && i < p->batch; i++)
        tasks[i] = p->task;
    while (p->rc == LUNAQ_OK && p->count > 0) {
        size_t n = p->count < p->batch ? p->count : p->batch;
        p->rc =
            p->batch == 1
                ? lunaq_client_enqueue(client, tasks, results, &err)
                : lunaq_client_enqueue_many(client, tasks, n, results, &err);
        p->count -= n;
    }
    if (p->rc)
        fprintf(stderr, "bench_fill: %s\n", err.message);
    lunaq_client_close(client);
    free(tasks);
    free(results);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct producer producers[PRODUCERS_MAX];
    size_t count = argc > 5 ? strtoul(argv[3], NULL, 10) : 0;
    size_t threads = argc > 5 ? strtoul(argv[4], NULL, 10) : 0;
    size_t batch = argc > 5 ? strtoul(argv[5], NULL, 10) : 0;
    if (count == 0 || threads == 0 || threads > PRODUCERS_MAX || batch == 0 ||
        batch > BATCH_MAX) {
        fprintf(stderr, "usage: bench_fill broker queue count producers batch "
                        "[type [payload]]\n");
        return 2;
    }
    int64_t start = sample_now_ns();
    int rc = 0;
    size_t started = 0;
    for (; started < threads && rc == 0; started++) {
        struct producer *p = &producers[started];
        lunaq_task task = LUNAQ_TASK_INIT;
        task.type = argc > 6 ? argv[6] : "bench:noop";
        task.payload = argc > 7 ? argv[7] : "{\"n\":1}";
        task.payload_len = strlen(task.payload);
        task.queue = argv[2];
        p->broker = argv[1];
        p->task = task;
        p->batch = batch;
        p->count = count / threads + (started < count % threads ? 1 : 0);
        rc = pthread_create(&p->thread, NULL, produce, p);
    }
    for (size_t i = 0; i < started; i++) {
        if (i + 1 < started || rc == 0)
            pthread_join(producers[i].thread, NULL);
        rc |= producers[i].rc;
    }
    if (rc == 0)
        printf("seconds %.6f\n", (double)(sample_now_ns() - start) / 1e9);
    return rc ? 1 : 0;
}
