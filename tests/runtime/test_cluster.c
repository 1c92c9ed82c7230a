/* Servers and clients on a Redis Cluster: slots that move under load, a slot
 * that is only half there, a master that is killed, and the programs. */
#include "support/test.h"

#include "support/redis_cluster.h"
#include <lunaq/server.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define WAIT_MS 90000
#define QUEUES 3
#define TASKS_MAX 200000
#define SERVERS 2

static redis_cluster cluster;
static const char *cli_path, *daemon_path;

/* One queue a master, in the slots that redis-cli moves first. */
static char names[QUEUES][16];
static int slots[QUEUES];

struct world {
    lunaq_server *servers[SERVERS];
    lunaq_client *client;
    struct producer {
        struct world *w;
        int queue;
        pthread_t thread;
    } producers[QUEUES];
    atomic_bool stop;
    atomic_int next;       /* number of the next task */
    atomic_int starts;     /* runs in all, … */
    atomic_int of[QUEUES]; /* … and by queue */
    atomic_int bad;        /* enqueues that failed for good */
    char why[300];
    bool durable; /* every second task */
    bool patient; /* enqueues are tried again until they are known */
    atomic_int handler_us;
    atomic_bool hold;              /* handlers go on when it is false */
    atomic_uchar acked[TASKS_MAX]; /* 1 enqueued, 2 durably */
    atomic_uchar runs[TASKS_MAX];
};

/* ---- helpers ------------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void nap(int64_t us)
{
    const struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

static char *node_do(size_t node, const char *const *words)
{
    char *reply = redis_server_command(&cluster.nodes[node], words);
    assert_non_null(reply);
    return reply;
}

#define NODE(node, ...) node_do(node, (const char *const[]){__VA_ARGS__, NULL})

static void node_ok(size_t node, const char *const *words)
{
    char *reply = node_do(node, words);
    if (reply[0] == '-')
        fail_msg("%s %s: %s", words[0], words[1], reply);
    free(reply);
}

#define NODE_OK(node, ...)                                                     \
    node_ok(node, (const char *const[]){__VA_ARGS__, NULL})

static int slot_of(const char *queue)
{
    char key[64];
    snprintf(key, sizeof(key), "asynq:{%s}:pending", queue);
    char *reply = NODE(0, "CLUSTER", "KEYSLOT", key);
    int slot = atoi(reply + 1);
    free(reply);
    return slot;
}

static void find_names(void)
{
    static const int from[QUEUES] = {0, 5461, 10923};
    int found = 0;
    for (int n = 0; found < QUEUES && n < 100000; n++) {
        char name[16];
        snprintf(name, sizeof(name), "q%d", n);
        int slot = slot_of(name);
        for (int q = 0; q < QUEUES; q++) {
            if (names[q][0] || slot < from[q] || slot >= from[q] + 40)
                continue;
            snprintf(names[q], sizeof(names[q]), "%s", name);
            slots[q] = slot;
            found++;
        }
    }
    assert_int_equal(found, QUEUES);
}

static int owner_of(int queue)
{
    char key[64];
    int64_t until = now_ms() + WAIT_MS;
    snprintf(key, sizeof(key), "asynq:{%s}:pending", names[queue]);
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
    int n = atoi(payload);
    for (int q = 0; q < QUEUES; q++)
        if (strcmp(names[q], lunaq_run_queue(run)) == 0)
            atomic_fetch_add(&w->of[q], 1);
    if (n >= 0 && n < TASKS_MAX)
        atomic_fetch_add(&w->runs[n], 1);
    atomic_fetch_add(&w->starts, 1);
    nap(atomic_load(&w->handler_us));
    while (atomic_load(&w->hold) && !lunaq_run_canceled(run))
        nap(5000);
    return LUNAQ_OK;
}

static void tell(lunaq_log_level level, const char *line, size_t len, void *ud)
{
    (void)ud;
    if (level >= LUNAQ_LOG_WARN && getenv("LUNAQ_TEST_LOG"))
        fprintf(stderr, "%.*s", (int)len, line);
}

static void start_server(struct world *w, size_t i)
{
    lunaq_server_options o = LUNAQ_SERVER_OPTIONS_INIT;
    lunaq_error err = LUNAQ_ERROR_INIT;
    static lunaq_queue_weight queues[QUEUES];
    for (int q = 0; q < QUEUES; q++)
        queues[q] = (lunaq_queue_weight){names[q], 1 + q};
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

static lunaq_client *open_client(void)
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

/* Enqueues task n until it is known to be there; its answer, else. */
static int put(struct world *w, lunaq_client *client, int n, lunaq_error *err)
{
    char id[24], payload[16];
    bool durable = w->durable && n % 2;
    lunaq_enqueued result;
    lunaq_task t = LUNAQ_TASK_INIT;
    snprintf(id, sizeof(id), "task-%06d", n);
    snprintf(payload, sizeof(payload), "%d", n);
    t.type = "t";
    t.queue = names[n % QUEUES];
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

static void start_producers(struct world *w)
{
    for (int i = 0; i < QUEUES; i++) {
        struct producer *p = &w->producers[i];
        *p = (struct producer){.w = w, .queue = i};
        assert_int_equal(pthread_create(&p->thread, NULL, produce, p), 0);
    }
}

static void stop_producers(struct world *w)
{
    atomic_store(&w->stop, true);
    for (int i = 0; i < QUEUES; i++)
        pthread_join(w->producers[i].thread, NULL);
}

static void wait_runs(struct world *w, int n)
{
    int64_t until = now_ms() + WAIT_MS;
    while (atomic_load(&w->starts) < n) {
        if (now_ms() > until)
            fail_msg("%d of %d runs", atomic_load(&w->starts), n);
        nap(2000);
    }
}

static int missing(struct world *w, int least)
{
    int n = 0, total = atomic_load(&w->next);
    for (int i = 0; i < total && i < TASKS_MAX; i++)
        n += atomic_load(&w->acked[i]) >= least && !atomic_load(&w->runs[i]);
    return n;
}

static int repeated(struct world *w)
{
    int n = 0, total = atomic_load(&w->next);
    for (int i = 0; i < total && i < TASKS_MAX; i++)
        n += atomic_load(&w->runs[i]) > 1;
    return n;
}

static void wait_all(struct world *w, int least)
{
    int64_t until = now_ms() + WAIT_MS;
    while (missing(w, least) > 0) {
        if (now_ms() > until)
            fail_msg("%d tasks did not run", missing(w, least));
        nap(20000);
    }
}

static int64_t failed_in_all(struct world *w)
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

static int setup(void **state)
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

static int teardown(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < SERVERS; i++)
        if (w->servers[i])
            lunaq_server_close(w->servers[i]);
    lunaq_client_close(w->client);
    free(w);
    return 0;
}

static void stop_servers(struct world *w)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    for (size_t i = 0; i < SERVERS; i++)
        if (w->servers[i] && lunaq_server_stop(w->servers[i], &err))
            fail_msg("stop: %s", err.message);
}

/* ---- moving slots -------------------------------------------------------- */

static void reshard(size_t from, size_t to)
{
    char words[400], from_id[41], to_id[41];
    assert_true(redis_cluster_id(&cluster, from, from_id));
    assert_true(redis_cluster_id(&cluster, to, to_id));
    snprintf(words, sizeof(words),
             "--cluster reshard 127.0.0.1:%d --cluster-from %s --cluster-to %s "
             "--cluster-slots 40 --cluster-pipeline 5 --cluster-yes",
             cluster.ports[from], from_id, to_id);
    /* The nodes may not yet agree on what was moved before. */
    int rc = -1;
    for (int i = 0; i < 20 && rc; i++) {
        rc = redis_cluster_cli(&cluster, words);
        if (rc)
            nap(500000);
    }
    assert_int_equal(rc, 0);
}

static void
reshard__under_load__every_task_runs_once_and_none_fails(void **state)
{
    struct world *w = *state;
    start_server(w, 0);
    start_server(w, 1);
    start_producers(w);
    wait_runs(w, 200);
    int first = owner_of(0);
    size_t other = (size_t)owner_of(2);
    reshard((size_t)first, other);
    int between = atomic_load(&w->of[0]);
    assert_int_equal(owner_of(0), other);
    reshard(other, (size_t)first);
    assert_int_equal(owner_of(0), first);
    wait_runs(w, atomic_load(&w->starts) + 300);
    stop_producers(w);
    wait_all(w, 1);
    stop_servers(w);
    printf("  %d tasks, %d of the queue whose slot moved twice\n",
           atomic_load(&w->next), atomic_load(&w->of[0]));
    if (w->bad)
        fail_msg("%d enqueues failed: %s", w->bad, w->why);
    assert_true(atomic_load(&w->of[0]) > between);
    assert_int_equal(missing(w, 1), 0);
    assert_int_equal(repeated(w), 0);
    assert_int_equal(failed_in_all(w), 0);
}

/* Moves the keys of a slot of which the names do or do not have ":t:" in them;
 * how many. */
static int move_keys(int slot, size_t from, size_t to, bool tasks)
{
    char number[16], port[16];
    int moved = 0;
    snprintf(number, sizeof(number), "%d", slot);
    snprintf(port, sizeof(port), "%d", cluster.ports[to]);
    char *keys = NODE(from, "CLUSTER", "GETKEYSINSLOT", number, "100000");
    for (char *save, *line = strtok_r(keys, "\r\n", &save); line;
         line = strtok_r(NULL, "\r\n", &save)) {
        if (line[0] == '$' || line[0] == '*')
            continue;
        if ((strstr(line, ":t:") != NULL) != tasks)
            continue;
        char *reply =
            NODE(from, "MIGRATE", "127.0.0.1", port, line, "0", "10000");
        moved += reply[0] == '+' && reply[1] == 'O';
        free(reply);
    }
    free(keys);
    return moved;
}

/* Opens a slot, moves one half of its keys, holds it so, and ends the move. */
static void move_in_halves(struct world *w, int queue, size_t from, size_t to,
                           bool tasks_first)
{
    char number[16], from_id[41], to_id[41];
    assert_true(redis_cluster_id(&cluster, from, from_id));
    assert_true(redis_cluster_id(&cluster, to, to_id));
    snprintf(number, sizeof(number), "%d", slots[queue]);
    NODE_OK(to, "CLUSTER", "SETSLOT", number, "IMPORTING", from_id);
    NODE_OK(from, "CLUSTER", "SETSLOT", number, "MIGRATING", to_id);
    int moved = move_keys(slots[queue], from, to, tasks_first);
    int before = atomic_load(&w->of[(queue + 1) % QUEUES]);
    /* The others are served meanwhile. */
    for (int64_t until = now_ms() + WAIT_MS;
         atomic_load(&w->of[(queue + 1) % QUEUES]) < before + 100;) {
        assert_true(now_ms() < until);
        nap(5000);
    }
    nap(700000);
    int left;
    do
        left = move_keys(slots[queue], from, to, true) +
               move_keys(slots[queue], from, to, false);
    while (left > 0);
    NODE_OK(to, "CLUSTER", "SETSLOT", number, "NODE", to_id);
    NODE_OK(from, "CLUSTER", "SETSLOT", number, "NODE", to_id);
    assert_true(moved > 0);
}

static void slot_half_moved__its_queue_waits_and_loses_nothing(void **state)
{
    struct world *w = *state;
    atomic_store(&w->handler_us, 6000); /* so that tasks pile up */
    start_server(w, 0);
    start_producers(w);
    wait_runs(w, 300);
    size_t first = (size_t)owner_of(1), other = (size_t)owner_of(0);
    move_in_halves(w, 1, first, other, true);
    int between = atomic_load(&w->of[1]);
    for (int64_t until = now_ms() + WAIT_MS;
         atomic_load(&w->of[1]) < between + 50;) {
        assert_true(now_ms() < until);
        nap(5000);
    }
    move_in_halves(w, 1, other, first, false);
    atomic_store(&w->handler_us, 0);
    stop_producers(w);
    wait_all(w, 1);
    stop_servers(w);
    printf("  %d tasks, %d of the queue that was in two halves twice\n",
           atomic_load(&w->next), atomic_load(&w->of[1]));
    if (w->bad)
        fail_msg("%d enqueues failed: %s", w->bad, w->why);
    assert_int_equal(missing(w, 1), 0);
    assert_int_equal(repeated(w), 0);
    assert_int_equal(failed_in_all(w), 0);
}

/* ---- a master is killed -------------------------------------------------- */

static void
master_killed__its_replica_goes_on_and_durable_tasks_are_there(void **state)
{
    struct world *w = *state;
    w->durable = w->patient = true;
    start_server(w, 0);
    start_server(w, 1);
    start_producers(w);
    wait_runs(w, 500);
    size_t victim = (size_t)owner_of(1);
    int64_t at = now_ms();
    redis_cluster_kill(&cluster, victim);
    int before = atomic_load(&w->of[1]);
    size_t heir = (size_t)owner_of(1);
    assert_true(heir != victim);
    int64_t promoted = now_ms() - at;
    /* It comes back as a replica, which what is durable needs. */
    assert_int_equal(redis_cluster_restart(&cluster, victim), 0);
    for (int64_t until = now_ms() + WAIT_MS;
         atomic_load(&w->of[1]) < before + 200;) {
        assert_true(now_ms() < until);
        nap(5000);
    }
    int64_t served = now_ms() - at;
    stop_producers(w);
    wait_all(w, 2);
    printf("  %d tasks; promoted after %lld ms, its queue served after %lld "
           "ms; acknowledged without durable= and lost: %d, run twice: %d\n",
           atomic_load(&w->next), (long long)promoted, (long long)served,
           missing(w, 1), repeated(w));
    if (w->bad)
        fail_msg("%d enqueues failed: %s", w->bad, w->why);
    assert_int_equal(missing(w, 2), 0);
    stop_servers(w);
}

/* Its connections stay, and nothing comes. */
static void master_hangs__its_replica_goes_on(void **state)
{
    struct world *w = *state;
    w->patient = true;
    start_server(w, 0);
    start_producers(w);
    wait_runs(w, 500);
    size_t victim = (size_t)owner_of(1);
    int64_t at = now_ms();
    kill(cluster.nodes[victim].pid, SIGSTOP);
    /* It would not answer who asks whether it is the owner. */
    pid_t pid = cluster.nodes[victim].pid;
    cluster.nodes[victim].pid = 0;
    (void)owner_of(1);
    int64_t promoted = now_ms() - at;
    int before = atomic_load(&w->of[1]);
    for (int64_t until = now_ms() + WAIT_MS;
         atomic_load(&w->of[1]) < before + 1;) {
        assert_true(now_ms() < until);
        nap(5000);
    }
    int64_t served = now_ms() - at;
    cluster.nodes[victim].pid = pid;
    kill(pid, SIGCONT);
    assert_true(served < promoted + 7000); /* a link alone waits for 10 s */
    printf("  promoted after %lld ms, its queue served after %lld ms\n",
           (long long)promoted, (long long)served);
    stop_producers(w);
    stop_servers(w);
    if (w->bad)
        fail_msg("%d enqueues failed: %s", w->bad, w->why);
    for (int64_t until = now_ms() + WAIT_MS;; nap(20000)) { /* it gives in */
        char *role = NODE(victim, "ROLE");
        bool replica = strstr(role, "slave") != NULL;
        free(role);
        if (replica)
            break;
        assert_true(now_ms() < until);
    }
}

/* A lease of 10 s ends meanwhile, on a node that is not there. */
static void master_replaced__tasks_in_hand_run_once(void **state)
{
    enum { TASKS = 6 };
    struct world *w = *state;
    lunaq_error err = LUNAQ_ERROR_INIT;
    w->durable = true;
    atomic_store(&w->hold, true);
    start_server(w, 0);
    for (int i = 0; i < TASKS; i++) {
        int n = QUEUES * (2 * i + 1) + 1; /* odd, and of the second queue */
        atomic_store(&w->next, n + 1);
        if (put(w, w->client, n, &err))
            fail_msg("%s", err.message);
    }
    wait_runs(w, TASKS);
    start_server(w, 1);
    nap(300000); /* the replica has their leases */
    size_t victim = (size_t)owner_of(1);
    redis_cluster_kill(&cluster, victim);
    nap(13000000);
    assert_true(owner_of(1) != (int)victim);
    assert_int_equal(redis_cluster_restart(&cluster, victim), 0);
    atomic_store(&w->hold, false);
    wait_all(w, 2);
    stop_servers(w);
    assert_int_equal(atomic_load(&w->starts), TASKS);
    assert_int_equal(failed_in_all(w), 0);
}

/* ---- cancel requests ----------------------------------------------------- */

/* Runs until it is told to end. */
static int patient(lunaq_run *run, void *ud)
{
    struct world *w = ud;
    atomic_fetch_add(&w->starts, 1);
    while (!lunaq_run_canceled(run))
        nap(2000);
    atomic_fetch_add(&w->of[0], 1);
    return LUNAQ_OK;
}

static void cancel_one(struct world *w, const char *id)
{
    lunaq_task t = LUNAQ_TASK_INIT;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int starts = atomic_load(&w->starts), ends = atomic_load(&w->of[0]);
    t.type = "patient";
    t.queue = names[1];
    t.task_id = id;
    if (lunaq_client_enqueue(w->client, &t, NULL, &err))
        fail_msg("%s", err.message);
    wait_runs(w, starts + 1);
    if (lunaq_task_cancel(w->client, t.queue, id, "enough", &err))
        fail_msg("%s", err.message);
    /* The renewal of its lease would tell it after 10 s. */
    for (int64_t until = now_ms() + 7000; atomic_load(&w->of[0]) == ends;) {
        if (now_ms() > until)
            fail_msg("%s: nobody heard of it", id);
        nap(2000);
    }
}

static int pubsub_clients(void)
{
    int n = 0;
    for (size_t i = 0; i < REDIS_CLUSTER_NODES; i++) {
        char *reply = NODE(i, "PUBSUB", "NUMSUB", "asynq:cancel");
        const char *last = strrchr(reply, ':');
        n += last ? atoi(last + 1) : 0;
        free(reply);
    }
    return n;
}

static void wait_listening(void)
{
    for (int64_t until = now_ms() + WAIT_MS; pubsub_clients() == 0;) {
        assert_true(now_ms() < until);
        nap(10000);
    }
}

static void
cancel__running_task__is_heard_also_after_the_link_was_lost(void **state)
{
    struct world *w = *state;
    lunaq_server_options o = LUNAQ_SERVER_OPTIONS_INIT;
    lunaq_queue_weight queue = {names[1], 1};
    lunaq_error err = LUNAQ_ERROR_INIT;
    o.broker = cluster.url;
    o.queues = &queue;
    o.queue_count = 1;
    o.concurrency = 2;
    o.lease_ms = 60000;
    o.log = tell;
    if (lunaq_server_open(&w->servers[0], &o, &err) ||
        lunaq_server_handle(w->servers[0], "patient", patient, w, &err) ||
        lunaq_server_start(w->servers[0], &err))
        fail_msg("server: %s", err.message);
    wait_listening();
    cancel_one(w, "first");
    for (size_t i = 0; i < REDIS_CLUSTER_NODES; i++)
        free(NODE(i, "CLIENT", "KILL", "TYPE", "pubsub"));
    wait_listening();
    cancel_one(w, "second");
    stop_servers(w);
}

/* ---- the programs -------------------------------------------------------- */

/* Runs a program's command line; its output in out. */
static int run(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int run(char *out, size_t size, const char *format, ...)
{
    char words[400], command[900];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    snprintf(command, sizeof(command), "LUNAQ_BROKER='%s' %s 2>&1", cluster.url,
             words);
    FILE *p = popen(command, "r"); /* NOLINT(cert-env33-c): our own words */
    assert_non_null(p);
    size_t n = fread(out, 1, size - 1, p);
    out[n] = 0;
    int status = pclose(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void commands__on_a_cluster__do_what_they_say(void **state)
{
    static const struct {
        const char *words, *says;
    } rows[] = {
        {"enqueue a --queue one --task-id aaaaaa", ""},
        {"enqueue b --queue two --process-in 1h --task-id bbbbbb", ""},
        {"enqueue c --queue three --task-id cccccc", ""},
        {"queue ls", "two"},
        {"stats", "TOTAL"},
        {"task ls --queue one", "aaaaaa"},
        {"task show bbbbbb", "scheduled"},
        {"task run bbbbbb", ""},
        {"task show bbbbbb", "pending"},
        {"task cancel cccccc", ""},
        {"task archive aaaaaa", ""},
        {"queue pause one", ""},
        {"queue ls", "paused"},
        {"queue resume one", ""},
        {"queue history one", ""},
        {"server ls", ""},
        {"cron ls", ""},
        {"queue rm one --force", ""},
        {"queue rm two --force", ""},
        {"queue rm three --force", ""},
        {"queue ls", "no queues"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[8000];
        int rc = run(out, sizeof(out), "%s %s", cli_path, rows[i].words);
        if (rc || !strstr(out, rows[i].says))
            fail_msg("lunaq %s: %d: %s", rows[i].words, rc, out);
    }
    for (size_t i = 0; i < 3; i++) {
        char *reply = NODE(i, "KEYS", "asynq:{*");
        if (reply[0] == '*')
            assert_string_equal(reply, "*0\r\n");
        free(reply);
    }
}

static void lunaqd__on_a_cluster__runs_lua_handlers(void **state)
{
    char out[8000], folder[100];
    (void)state;
    snprintf(folder, sizeof(folder), "%s/app", cluster.folder);
    assert_int_equal(run(out, sizeof(out),
                         "sh -c 'mkdir -p %s/handlers && echo \"return "
                         "{retention = \\\"1h\\\", "
                         "run = function(t) return t.payload.n + 1 end}\" "
                         ">%s/handlers/add.lua'",
                         folder, folder),
                     0);
    assert_int_equal(run(out, sizeof(out),
                         "%s enqueue add n:=41 --retention 1h --task-id dddddd",
                         cli_path),
                     0);
    /* It ends when it was told to, and that takes everything back. */
    int rc =
        run(out, sizeof(out),
            "sh -c 'cd %s && { %s >log 2>&1 & } && pid=$! && for i in $(seq "
            "600); do %s task show dddddd | grep -q completed && break; "
            "sleep 0.05; done; %s server ls; kill $pid; wait $pid; cat "
            "log; %s task show dddddd'",
            folder, daemon_path, cli_path, cli_path, cli_path);
    if (rc || !strstr(out, "completed") || !strstr(out, "42"))
        fail_msg("%d: %s", rc, out);
}

int main(int argc, char **argv)
{
#define CLUSTER_TEST(name)                                                     \
    cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CLUSTER_TEST(commands__on_a_cluster__do_what_they_say),
        CLUSTER_TEST(lunaqd__on_a_cluster__runs_lua_handlers),
        CLUSTER_TEST(
            cancel__running_task__is_heard_also_after_the_link_was_lost),
        CLUSTER_TEST(reshard__under_load__every_task_runs_once_and_none_fails),
        CLUSTER_TEST(slot_half_moved__its_queue_waits_and_loses_nothing),
        CLUSTER_TEST(
            master_killed__its_replica_goes_on_and_durable_tasks_are_there),
        CLUSTER_TEST(master_hangs__its_replica_goes_on),
        CLUSTER_TEST(master_replaced__tasks_in_hand_run_once),
    };
    if (argc < 3 || redis_cluster_start(&cluster))
        return 77; /* skipped */
    cli_path = argv[1];
    daemon_path = argv[2];
    if (argc > 3 && argv[3][0] == '-')
        cmocka_set_skip_filter(argv[3] + 1);
    else if (argc > 3)
        cmocka_set_test_filter(argv[3]);
    find_names();
    int failed = cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
    redis_cluster_stop(&cluster);
    return failed;
}
