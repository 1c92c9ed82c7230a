/* bench_latency: enqueue -> start of the handler; or due -> start.
 *
 *     bench_latency broker queue rate seconds [scheduled]
 *
 * Enqueues at a steady rate with the C client, into a queue that a lunaqd
 * serves whose handler of bench:start returns lunaq.now(), and then reads the
 * results.  Both instants are the system's wall clock, in microseconds; the
 * first is taken just before the call that enqueues, the second is the first
 * thing the handler does.  With "scheduled" each task is due at the second
 * whole second from when it is enqueued, and the first instant is that one.
 * Prints p50 and p99. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <lunaq/lunaq.h>

#include "sample.h"

enum { PAGE = 1000, WAIT_S = 20, KEEP_MS = 600000 };
#define NS_A_SECOND INT64_C(1000000000)

static int64_t wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * NS_A_SECOND + t.tv_nsec;
}

static int produce(lunaq_client *client, const char *queue, int64_t rate,
                   int64_t total, bool scheduled, lunaq_error *err)
{
    int rc = LUNAQ_OK;
    int64_t next = sample_now_ns() + NS_A_SECOND; /* let the queue be idle */
    for (int64_t i = 0; i < total && rc == 0; i++) {
        char payload[32];
        sample_sleep_until(next);
        next += NS_A_SECOND / rate;
        lunaq_task task = LUNAQ_TASK_INIT;
        task.type = "bench:start";
        task.queue = queue;
        task.retention_ms = KEEP_MS;
        int64_t at_ns = wall_ns();
        if (scheduled) {
            at_ns = (at_ns / NS_A_SECOND + 2) * NS_A_SECOND;
            task.process_at = at_ns / 1000000;
        }
        task.payload = payload;
        task.payload_len =
            (size_t)snprintf(payload, sizeof payload, "%" PRId64, at_ns);
        rc = lunaq_client_enqueue(client, &task, NULL, err);
    }
    return rc;
}

static int wait_all(lunaq_client *client, const char *queue, int64_t total,
                    lunaq_error *err)
{
    int64_t until = sample_now_ns() + WAIT_S * NS_A_SECOND;
    int64_t done = 0;
    while (done < total) {
        lunaq_queue_list *list = NULL;
        int rc = lunaq_queue_list_open(client, queue, &list, err);
        if (rc)
            return rc;
        done = lunaq_queue_list_at(list, 0)->completed;
        lunaq_queue_list_free(list);
        if (sample_now_ns() > until) {
            fprintf(stderr, "bench_latency: %" PRId64 " of %" PRId64 " ran\n",
                    done, total);
            return LUNAQ_ETIMEOUT;
        }
        sample_sleep_until(sample_now_ns() + 50000000);
    }
    return LUNAQ_OK;
}

/* Payload and result are numbers in decimal. */
static double number_of(const void *bytes, size_t len)
{
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)len, (const char *)bytes);
    return strtod(text, NULL);
}

static int collect(lunaq_client *client, const char *queue, int64_t *took,
                   size_t total, size_t *count, lunaq_error *err)
{
    lunaq_task_query query = LUNAQ_TASK_QUERY_INIT;
    query.queue = queue;
    query.state = LUNAQ_COMPLETED;
    query.page_size = PAGE;
    for (*count = 0; *count < total; query.page++) {
        lunaq_task_list *list = NULL;
        int rc = lunaq_task_list_open(client, &query, &list, err);
        if (rc)
            return rc;
        size_t n = lunaq_task_list_count(list);
        for (size_t i = 0; i < n && *count < total; i++) {
            const lunaq_task_info *t = lunaq_task_list_at(list, i);
            double sent_us = number_of(t->payload, t->payload_len) / 1e3;
            double start_us = number_of(t->result, t->result_len) * 1e6;
            took[(*count)++] = (int64_t)((start_us - sent_us) * 1e3);
        }
        lunaq_task_list_free(list);
        if (n == 0)
            return LUNAQ_ENOTFOUND;
    }
    return LUNAQ_OK;
}

int main(int argc, char **argv)
{
    bool scheduled = argc == 6 && strcmp(argv[5], "scheduled") == 0;
    bool known = argc == 5 || scheduled;
    int64_t rate = known ? strtoll(argv[3], NULL, 10) : 0;
    int64_t total = known ? rate * strtoll(argv[4], NULL, 10) : 0;
    if (rate <= 0 || total <= 0) {
        fprintf(stderr, "usage: bench_latency broker queue rate seconds "
                        "[scheduled]\n");
        return 2;
    }
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_client *client = NULL;
    lunaq_client_options options = LUNAQ_CLIENT_OPTIONS_INIT;
    options.broker = argv[1];
    size_t count = 0;
    int64_t *took = calloc((size_t)total, sizeof *took);
    int rc = took ? lunaq_client_open(&client, &options, &err) : LUNAQ_ENOMEM;
    if (!rc)
        rc = produce(client, argv[2], rate, total, scheduled, &err);
    if (!rc)
        rc = wait_all(client, argv[2], total, &err);
    if (!rc)
        rc = collect(client, argv[2], took, (size_t)total, &count, &err);
    if (rc)
        fprintf(stderr, "bench_latency: %s %s\n", lunaq_strerror(rc),
                err.message);
    else
        sample_print(took, count);
    lunaq_client_close(client);
    free(took);
    return rc ? 1 : 0;
}
