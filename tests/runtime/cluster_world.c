/* See the header. */
#include "cluster_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

redis_cluster cluster;
char queue_names[QUEUES][16];
int queue_slots[QUEUES];

/* ---- the cluster --------------------------------------------------------- */

int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void nap(int64_t us)
{
    const struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

char *node_do(size_t node, const char *const *words)
{
    char *reply = redis_server_command(&cluster.nodes[node], words);
    assert_non_null(reply);
    return reply;
}

void node_ok(size_t node, const char *const *words)
{
    char *reply = node_do(node, words);
    if (reply[0] == '-')
        fail_msg("%s %s: %s", words[0], words[1], reply);
    free(reply);
}

static int slot_of(const char *queue)
{
    char key[64];
    snprintf(key, sizeof(key), "asynq:{%s}:pending", queue);
    char *reply = NODE(0, "CLUSTER", "KEYSLOT", key);
    int slot = (int)strtol(reply + 1, NULL, 10);
    free(reply);
    return slot;
}

void find_names(void)
{
    static const int from[QUEUES] = {0, 5461, 10923};
    int found = 0;
    for (int n = 0; found < QUEUES && n < 100000; n++) {
        char name[16];
        snprintf(name, sizeof(name), "q%d", n);
        int slot = slot_of(name);
        for (int q = 0; q < QUEUES; q++) {
            if (queue_names[q][0] || slot < from[q] || slot >= from[q] + 40)
                continue;
            snprintf(queue_names[q], sizeof(queue_names[q]), "%s", name);
            queue_slots[q] = slot;
            found++;
        }
    }
    assert_int_equal(found, QUEUES);
}

int owner_of(int queue)
{
    char key[64];
    int64_t until = now_ms() + WAIT_MS;
    snprintf(key, sizeof(key), "asynq:{%s}:pending", queue_names[queue]);
    while (now_ms() < until) {
        int node = redis_cluster_owner(&cluster, key);
        if (node >= 0)
            return node;
        nap(20000);
    }
    fail_msg("nobody has %s", key);
    return -1;
}

/* ---- servers and producers ----------------------------------------------- */

static int handler(lunaq_run *run, void *ud)
{
    struct world *w = ud;
    size_t len;
    const char *payload = lunaq_run_payload(run, &len);
    int n = (int)strtol(payload, NULL, 10);
    for (int q = 0; q < QUEUES; q++)
        if (strcmp(queue_names[q], lunaq_run_queue(run)) == 0)
            atomic_fetch_add(&w->of[q], 1);
    if (n >= 0 && n < TASKS_MAX)
        atomic_fetch_add(&w->runs[n], 1);
    atomic_fetch_add(&w->starts, 1);
    nap(atomic_load(&w->handler_us));
    while (atomic_load(&w->hold) && !lunaq_run_canceled(run))
        nap(5000);
    return LUNAQ_OK;
}

void tell(lunaq_log_level level, const char *line, size_t len, void *ud)
{
    (void)ud;
    if (level >= LUNAQ_LOG_WARN && getenv("LUNAQ_TEST_LOG"))
        fprintf(stderr, "%.*s", (int)len, line);
}

void start_server(struct world *w, size_t i)
{
    lunaq_server_options o = LUNAQ_SERVER_OPTIONS_INIT;
    lunaq_error err = LUNAQ_ERROR_INIT;
    static lunaq_queue_weight queues[QUEUES];
    for (int q = 0; q < QUEUES; q++)
        queues[q] = (lunaq_queue_weight){queue_names[q], 1 + q};
    o.broker = cluster.url;
    o.queues = queues;
    o.queue_count = QUEUES;
    o.concurrency = 8;
    o.worker_threads = 2;
    o.lease_ms = 10000;
    o.log = tell;
    if (lunaq_server_open(&w->servers[i], &o, &err) ||
        lunaq_server_handle(w->servers[i], "t", handler, w, &err) ||
        lunaq_server_start(w->servers[i], &err))
        fail_msg("server: %s", err.message);
}

lunaq_client *open_client(void)
{
    lunaq_client_options o = LUNAQ_CLIENT_OPTIONS_INIT;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_client *client = NULL;
    o.broker = cluster.url;
    o.timeout_ms = 20000;
    if (lunaq_client_open(&client, &o, &err))
        fail_msg("client: %s", err.message);
    return client;
}

int put(struct world *w, lunaq_client *client, int n, lunaq_error *err)
{
    char id[24], payload[16];
    bool durable = w->durable && n % 2;
    lunaq_enqueued result;
    lunaq_task t = LUNAQ_TASK_INIT;
    snprintf(id, sizeof(id), "task-%06d", n);
    snprintf(payload, sizeof(payload), "%d", n);
    t.type = "t";
    t.queue = queue_names[n % QUEUES];
    t.task_id = id;
    t.payload = payload;
    t.payload_len = strlen(payload) + 1;
    t.durable = durable ? LUNAQ_DURABLE_REPLICA : LUNAQ_DURABLE_NONE;
    for (int64_t until = now_ms() + WAIT_MS;;) {
        int rc = lunaq_client_enqueue(client, &t, &result, err);
        bool there = rc == LUNAQ_OK || rc == LUNAQ_EEXIST;
        if (there) {
            atomic_store(&w->acked[n], durable ? 2 : 1);
            return LUNAQ_OK;
        }
        bool unknown = rc == LUNAQ_EUNKNOWN;
        if ((!unknown && !(w->patient && rc == LUNAQ_EBROKER)) ||
            now_ms() > until)
            return rc;
        nap(10000);
    }
}

/* Each has a queue of its own: one whose slot is on its way keeps its producer
 * waiting. */
static void *produce(void *arg)
{
    const struct producer *p = arg;
    struct world *w = p->w;
    lunaq_client *client = open_client();
    for (int n = p->queue; n < TASKS_MAX && !atomic_load(&w->stop);
         n += QUEUES) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        int next = atomic_load(&w->next);
        while (next <= n &&
               !atomic_compare_exchange_weak(&w->next, &next, n + 1)) {
        }
        if (put(w, client, n, &err)) {
            if (!atomic_fetch_add(&w->bad, 1))
                snprintf(w->why, sizeof(w->why), "%s", err.message);
        }
        nap(300);
    }
    lunaq_client_close(client);
    return NULL;
}

void start_producers(struct world *w)
{
    for (int i = 0; i < QUEUES; i++) {
        struct producer *p = &w->producers[i];
        *p = (struct producer){.w = w, .queue = i};
        assert_int_equal(pthread_create(&p->thread, NULL, produce, p), 0);
    }
}

void stop_producers(struct world *w)
{
    atomic_store(&w->stop, true);
    for (int i = 0; i < QUEUES; i++)
        pthread_join(w->producers[i].thread, NULL);
}

void wait_runs(struct world *w, int n)
{
    int64_t until = now_ms() + WAIT_MS;
    while (atomic_load(&w->starts) < n) {
        if (now_ms() > until)
            fail_msg("%d of %d runs", atomic_load(&w->starts), n);
        nap(2000);
    }
}

int missing(struct world *w, int least)
{
    int n = 0, total = atomic_load(&w->next);
    for (int i = 0; i < total && i < TASKS_MAX; i++)
        n += atomic_load(&w->acked[i]) >= least && !atomic_load(&w->runs[i]);
    return n;
}

int repeated(struct world *w)
{
    int n = 0, total = atomic_load(&w->next);
    for (int i = 0; i < total && i < TASKS_MAX; i++)
        n += atomic_load(&w->runs[i]) > 1;
    return n;
}

void wait_all(struct world *w, int least)
{
    int64_t until = now_ms() + WAIT_MS;
    while (missing(w, least) > 0) {
        if (now_ms() > until)
            fail_msg("%d tasks did not run", missing(w, least));
        nap(20000);
    }
}

int64_t failed_in_all(struct world *w)
{
    lunaq_queue_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int64_t n = 0;
    if (lunaq_queue_list_open(w->client, NULL, &list, &err))
        fail_msg("queues: %s", err.message);
    for (size_t i = 0; i < lunaq_queue_list_count(list); i++) {
        const lunaq_queue_info *q = lunaq_queue_list_at(list, i);
        n += q->failed_total + q->archived + q->retry + q->pending;
    }
    lunaq_queue_list_free(list);
    return n;
}

int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    /* A replica that is behind would be promoted with what was wiped. */
    if (!w || !redis_cluster_settle(&cluster))
        return -1;
    redis_cluster_wipe(&cluster);
    atomic_store(&w->handler_us, 200);
    w->client = open_client();
    *state = w;
    return 0;
}

int world_teardown(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < SERVERS; i++)
        if (w->servers[i])
            lunaq_server_close(w->servers[i]);
    lunaq_client_close(w->client);
    free(w);
    return 0;
}

void stop_servers(struct world *w)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    for (size_t i = 0; i < SERVERS; i++)
        if (w->servers[i] && lunaq_server_stop(w->servers[i], &err))
            fail_msg("stop: %s", err.message);
}
