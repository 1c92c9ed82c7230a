/* Servers and clients on a Redis Cluster: slots that move under load, a slot
 * that is only half there, a master that is killed, and the programs. */
#include "cluster_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static const char *cli_path, *daemon_path;

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
    snprintf(number, sizeof(number), "%d", queue_slots[queue]);
    NODE_OK(to, "CLUSTER", "SETSLOT", number, "IMPORTING", from_id);
    NODE_OK(from, "CLUSTER", "SETSLOT", number, "MIGRATING", to_id);
    int moved = move_keys(queue_slots[queue], from, to, tasks_first);
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
        left = move_keys(queue_slots[queue], from, to, true) +
               move_keys(queue_slots[queue], from, to, false);
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

/* Stops the master of the second queue until another one serves it: its
 * connections stay, and nothing comes.  How long it took from when that one was
 * promoted, in ms.  What was sent to it keeps the producer waiting, so somebody
 * else enqueues task n, which asks for no replica: there is none until it is
 * back. */
static int64_t hang_master(struct world *w, int n)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    size_t victim = (size_t)owner_of(1);
    int64_t at = now_ms();
    pid_t pid = cluster.nodes[victim].pid;
    kill(pid, SIGSTOP);
    /* It would not answer who asks whether it is the owner. */
    cluster.nodes[victim].pid = 0;
    (void)owner_of(1);
    int64_t promoted = now_ms() - at;
    lunaq_client *client = open_client();
    assert_true(n % QUEUES == 1 && n % 2 == 0);
    assert_int_equal(put(w, client, n, &err), LUNAQ_OK);
    lunaq_client_close(client);
    for (int64_t until = now_ms() + WAIT_MS; !atomic_load(&w->runs[n]);) {
        assert_true(now_ms() < until);
        nap(5000);
    }
    int64_t served = now_ms() - at;
    cluster.nodes[victim].pid = pid;
    kill(pid, SIGCONT);
    printf("  promoted after %lld ms, its queue served after %lld ms\n",
           (long long)promoted, (long long)served);
    for (int64_t until = now_ms() + WAIT_MS;; nap(20000)) { /* it gives in */
        char *role = NODE(victim, "ROLE");
        bool replica = strstr(role, "slave") != NULL;
        free(role);
        if (replica)
            return served - promoted;
        assert_true(now_ms() < until);
    }
}

static void master_hangs__its_replica_goes_on(void **state)
{
    enum { LINK_WAITS_MS = 10000, TRIES = 3 }; /* on a busy machine */
    struct world *w = *state;
    int64_t took = INT64_MAX;
    w->durable = w->patient = true;
    start_server(w, 0);
    start_producers(w);
    wait_runs(w, 500);
    for (int i = 0; i < TRIES && took >= LINK_WAITS_MS - 3000; i++)
        took = hang_master(
            w, QUEUES * (TASKS_MAX / QUEUES - 2 * (TRIES - i) + 1) + 1);
    stop_producers(w);
    wait_all(w, 2);
    stop_servers(w);
    if (w->bad)
        fail_msg("%d enqueues failed: %s", w->bad, w->why);
    if (took >= LINK_WAITS_MS - 3000)
        fail_msg("its queue was served only %lld ms later", (long long)took);
}

static size_t replica_of(size_t master)
{
    char port[24];
    snprintf(port, sizeof(port), "\r\n:%d\r\n", cluster.ports[master]);
    for (size_t i = 0; i < REDIS_CLUSTER_NODES; i++) {
        char *role = NODE(i, "ROLE");
        bool is = strstr(role, "slave") && strstr(role, port);
        free(role);
        if (is)
            return i;
    }
    fail_msg("node %zu has no replica", master);
    return 0;
}

static int64_t unfinished(struct world *w)
{
    lunaq_queue_list *list = NULL;
    int64_t n = -1;
    if (!lunaq_queue_list_open(w->client, queue_names[1], &list, NULL)) {
        const lunaq_queue_info *q = lunaq_queue_list_at(list, 0);
        n = q->pending + q->active + q->scheduled + q->retry;
    }
    lunaq_queue_list_free(list);
    return n;
}

/* Nobody takes its place: nothing can be given back, and nothing hangs.  What
 * was sent to it is carried out when it goes on, or runs again. */
static void master_hangs_for_good__a_server_stops_all_the_same(void **state)
{
    enum { TASKS = 6, CALL_MS = 1000, SHUTDOWN_MS = 8000, MORE_MS = 20000 };
    struct world *w = *state;
    lunaq_client_options o = LUNAQ_CLIENT_OPTIONS_INIT;
    lunaq_task task = LUNAQ_TASK_INIT;
    lunaq_client *client = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    atomic_store(&w->hold, true);
    start_server(w, 0);
    for (int i = 0; i < TASKS; i++) {
        atomic_store(&w->next, QUEUES * i + 2);
        assert_int_equal(put(w, w->client, QUEUES * i + 1, &err), LUNAQ_OK);
    }
    wait_runs(w, TASKS);
    size_t victim = (size_t)owner_of(1), heir = replica_of(victim);
    o.broker = cluster.url;
    o.timeout_ms = CALL_MS;
    assert_int_equal(lunaq_client_open(&client, &o, &err), LUNAQ_OK);
    assert_int_equal(lunaq_client_ping(client, &err), LUNAQ_OK);
    kill(cluster.nodes[victim].pid, SIGSTOP);
    kill(cluster.nodes[heir].pid, SIGSTOP);
    atomic_store(&w->hold, false);
    int64_t at = now_ms();
    task.type = "t";
    task.queue = queue_names[1];
    int called = lunaq_client_enqueue(client, &task, NULL, &err);
    int64_t call_ms = now_ms() - at;
    at = now_ms();
    int stopped = lunaq_server_stop(w->servers[0], &err);
    int64_t stop_ms = now_ms() - at;
    kill(cluster.nodes[victim].pid, SIGCONT);
    kill(cluster.nodes[heir].pid, SIGCONT);
    lunaq_client_close(client);
    printf("  a call of %d ms took %lld ms, the stop %lld ms: %s\n", CALL_MS,
           (long long)call_ms, (long long)stop_ms, err.message);
    assert_true(called == LUNAQ_EBROKER || called == LUNAQ_EUNKNOWN);
    assert_true(call_ms < CALL_MS + 5000);
    assert_int_equal(stopped, LUNAQ_EBROKER);
    assert_non_null(strstr(err.message, "could not be given back"));
    assert_true(stop_ms < SHUTDOWN_MS + MORE_MS);
    start_server(w, 1);
    for (int64_t until = now_ms() + WAIT_MS; unfinished(w) != 0; nap(50000))
        assert_true(now_ms() < until);
    assert_int_equal(missing(w, 1), 0);
    lunaq_server_close(w->servers[0]);
    w->servers[0] = NULL;
    stop_servers(w);
}

/* How far a master is with what it writes (field "master_repl_offset:"), or its
 * replica with what it has ("offset="); -1 = there is none, or not in step. */
static long long offset_of(size_t node, const char *field)
{
    char *info = NODE(node, "INFO", "replication");
    const char *at = strstr(info, field);
    long long offset = -1;
    if (at && strstr(info, "state=online"))
        offset = strtoll(at + strlen(field), NULL, 10);
    free(info);
    return offset;
}

/* What the master has written until now, its replica has, too. */
static void wait_replicated(size_t master)
{
    int64_t until = now_ms() + WAIT_MS;
    long long want;
    while ((want = offset_of(master, "master_repl_offset:")) < 0 ||
           offset_of(master, ",offset=") < want) {
        assert_true(now_ms() < until);
        nap(20000);
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
    size_t victim = (size_t)owner_of(1);
    wait_replicated(victim); /* the leases */
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
    t.queue = queue_names[1];
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
    lunaq_queue_weight queue = {queue_names[1], 1};
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
    char words[8000], command[8400];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    assert_in_range(length, 1, sizeof(words) - 1); /* paths may be long */
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
    cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
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
        CLUSTER_TEST(master_hangs_for_good__a_server_stops_all_the_same),
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
