#include "runtime/world.h"
#include "broker/inspect.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- handlers ------------------------------------------------------------ */

static int handler(lunaq_run *run, void *ud)
{
    side *s = ud;
    world *w = s->w;
    unsigned char letter = (unsigned char)lunaq_run_queue(run)[0];
    int start = atomic_fetch_add(&w->begun, 1);
    int now = atomic_fetch_add(&s->now, 1) + 1, most = s->most;

    if (start < RUNS_MAX)
        w->order[start] = (char)letter;
    if (start < (int)LQ_COUNT(w->at))
        w->at[start] = lq_now_ms();
    atomic_fetch_add(&w->starts, 1);
    atomic_fetch_add(&w->queue[letter], 1);
    while (now > most && !atomic_compare_exchange_weak(&s->most, &most, now)) {
    }
    while (w->hold && (w->deaf || !lunaq_run_canceled(run)))
        let_pass(2);
    if (lunaq_run_canceled(run))
        atomic_fetch_add(&s->canceled, 1);
    atomic_fetch_sub(&s->now, 1);
    atomic_fetch_add(&s->runs, 1);
    return LUNAQ_OK;
}

static void count_line(lunaq_log_level level, const char *line, size_t len,
                       void *ud)
{
    (void)level;
    (void)line;
    (void)len;
    atomic_fetch_add(&((world *)ud)->lines, 1);
}

/* ---- the world ----------------------------------------------------------- */

static int open_file(world *w)
{
    char path[96];
    if (temp_folder_make(&w->folder))
        return -1;
    snprintf(path, sizeof(path), "%s/queue.db", w->folder.path);
    const lq_sqlite_engine_options file = {.path = path, .log = w->log};
    return lq_sqlite_engine_open(&w->engine, &file, NULL) ||
           lq_sqlite_caller_open(&w->caller, path, NULL, NULL);
}

int world_setup(void **state, redis_server *redis)
{
    static const char *const names[] = {"default"};
    static const int32_t weights[] = {1};
    const char *const flush[] = {"FLUSHALL", NULL};
    world *w = calloc(1, sizeof(*w));
    lq_log_options log = {.level = LUNAQ_LOG_WARN,
                          .format = LUNAQ_LOG_TEXT,
                          .sink = count_line,
                          .userdata = w};

    *state = w;
    w->redis = redis;
    w->log = lq_log_new(&log);
    if (redis)
        free(redis_server_command(redis, flush));
    else if (open_file(w))
        return -1;
    w->o = (lq_runtime_options){
        .broker = redis ? (const void *)redis->url : w->engine,
        .link_open = redis ? lq_redis_link_open : lq_sqlite_link_open,
        .take_on_wake = redis != NULL,
        .log = w->log,
        .concurrency = 4,
        .worker_threads = 2,
        .lease_ms = 10000,
        .shutdown_timeout_ms = 300,
        .crash_limit = 3,
        .runner_count = 1};
    world_queues(w, 1, names, weights);
    return redis ? lq_redis_caller_open(&w->caller, redis->url, NULL) : 0;
}

static void audit(world *w)
{
    for (size_t i = 0; i < w->o.queue_count; i++) {
        lq_op_audit op = {.queue = w->queues[i].name};
        lunaq_error err = LUNAQ_ERROR_INIT;
        lq_op_init(&op.op, LQ_OP_AUDIT);
        if (lq_caller_call(w->caller, &op.op, 5000, &err))
            fail_msg("audit: %s", err.message);
        if (op.count)
            fail_msg("audit: %.*s", LQ_STR_ARG(op.faults[0]));
        lq_op_release(&op.op);
    }
}

int world_teardown(void **state)
{
    world *w = *state;

    w->hold = false;
    for (size_t i = 0; i < SIDES; i++)
        if (w->sides[i].runtime && w->sides[i].runtime->control)
            world_stop(w, i);
    for (size_t i = 0; i < SIDES; i++) {
        lq_server_free(w->sides[i].runtime);
        lq_callbacks_free(w->sides[i].callbacks);
    }
    audit(w);
    lq_caller_close(w->caller);
    lq_sqlite_engine_close(w->engine);
    if (!w->redis)
        temp_folder_remove(&w->folder);
    lq_log_free(w->log);
    free(w);
    return 0;
}

void world_queues(world *w, size_t n, const char *const *names,
                  const int32_t *weights)
{
    for (size_t i = 0; i < n; i++)
        w->queues[i] = (struct lq_queue_prio){lq_str_c(names[i]), weights[i]};
    w->o.queues = w->queues;
    w->o.queue_count = n;
}

void world_callbacks(world *w, size_t i)
{
    side *s = &w->sides[i];
    s->w = w;
    if (lq_callbacks_new(&s->callbacks, w->o.concurrency, w->log, NULL))
        fail_msg("no callbacks");
}

void world_start(world *w, size_t i)
{
    side *s = &w->sides[i];
    lunaq_error err = LUNAQ_ERROR_INIT;

    if (!s->callbacks) {
        world_callbacks(w, i);
        if (lq_callbacks_add(s->callbacks, "*", NULL, handler, s, &err))
            fail_msg("callbacks: %s", err.message);
    }
    w->o.runners[0] = (lq_runner_factory){lq_callback_runner_new, s->callbacks};
    if (lq_server_new(&s->runtime, &w->o, &err) ||
        lq_server_start(s->runtime, &err))
        fail_msg("start: %s", err.message);
    lq_server_begin(s->runtime);
}

int world_stop(world *w, size_t i)
{
    return lq_server_stop(w->sides[i].runtime, NULL, NULL, NULL, NULL);
}

void world_enqueue(world *w, const char *queue, size_t n,
                   const lunaq_task *like)
{
    static lq_enqueue items[LQ_BATCH_MAX];
    lq_enqueue *ptrs[LQ_BATCH_MAX];
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_task t = like ? *like : (lunaq_task)LUNAQ_TASK_INIT;

    t.queue = queue;
    if (!t.type)
        t.type = "work";
    while (n > 0) {
        size_t batch = n < LQ_BATCH_MAX ? n : LQ_BATCH_MAX;
        lq_op_enqueue op = {.items = ptrs, .count = batch};
        for (size_t i = 0; i < batch; i++) {
            if (lq_enqueue_init(&items[i], &t, lq_now_ms(), &err))
                fail_msg("enqueue: %s", err.message);
            ptrs[i] = &items[i];
        }
        lq_op_init(&op.op, LQ_OP_ENQUEUE);
        if (lq_caller_call(w->caller, &op.op, 5000, &err))
            fail_msg("enqueue: %s", err.message);
        lq_op_release(&op.op);
        for (size_t i = 0; i < batch; i++) {
            assert_int_equal(items[i].code, LUNAQ_OK);
            lq_enqueue_release(&items[i]);
        }
        n -= batch;
    }
}

/* ---- waiting ------------------------------------------------------------- */

void let_pass(int64_t ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

void wait_for(const char *what, atomic_int *value, int n)
{
    int64_t until = lq_mono_ms() + WAIT_MS;
    while (atomic_load(value) < n) {
        if (lq_mono_ms() > until)
            fail_msg("%s: %d of %d", what, atomic_load(value), n);
        let_pass(1);
    }
}

int64_t integer_reply(world *w, const char *const *words)
{
    char *reply = redis_server_command(w->redis, words);
    int64_t n = reply && reply[0] == ':' ? strtoll(reply + 1, NULL, 10) : -1;
    free(reply);
    return n;
}

void wait_reply(world *w, const char *const *words, int64_t n)
{
    int64_t until = lq_mono_ms() + WAIT_MS, got;
    while ((got = integer_reply(w, words)) != n) {
        if (lq_mono_ms() > until)
            fail_msg("%s %s: %lld, not %lld", words[0], words[1],
                     (long long)got, (long long)n);
        let_pass(5);
    }
}

int64_t list_len(world *w, const char *key)
{
    const char *const words[] = {"LLEN", key, NULL};
    return integer_reply(w, words);
}

int64_t set_len(world *w, const char *key)
{
    const char *const words[] = {"ZCARD", key, NULL};
    return integer_reply(w, words);
}
