/* bench_embedded: whole lives of tasks in a queue file, and what SQLite alone
 * can do of the same.
 *
 *     bench_embedded lunaq|bare full|normal producers|batch seconds
 *
 * A life is: enqueued, taken, finished.  lunaq: an engine as in lunaqd; one
 * thread is a loop on which so many producers enqueue, one task a call, each
 * again as soon as the last was acknowledged; two more are workers of 100
 * slots. Batches form by themselves; how large they became is printed.
 *
 * bare: no lunaq but its tables: one thread, one transaction after the other,
 * each with so many plain inserts, one statement that takes as many, and as
 * many deletes by queue, id and token of what the last one took, and the
 * counters.
 *
 * Prints lives/s, tasks a commit, and the producers' p50 and p99. */
#include "base/clock.h"
#include "sqlite/schema.h"
#include "support/engine_client.h"
#include "support/temp_folder.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sample.h"

enum { PRODUCERS_MAX = 128, BATCH_MAX = 1000, SAMPLES_MAX = 4000000 };
enum { PAYLOAD_LEN = 100, MSG_LEN = 190, SLOTS = 100, WORKERS = 2 };

static _Atomic int64_t commits;
static atomic_bool stop;

static int committed(void *ud)
{
    (void)ud;
    atomic_fetch_add(&commits, 1);
    return 0;
}

static int count_commits(sqlite3 *db, const char **message,
                         const struct sqlite3_api_routines *api)
{
    (void)message;
    (void)api;
    sqlite3_commit_hook(db, committed, NULL);
    return SQLITE_OK;
}

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "bench_embedded: %s: %s\n", what, why);
    return 1;
}

/* ---- lunaq --------------------------------------------------------------- */

struct request {
    lq_op_enqueue op;
    lq_enqueue item, *items[1];
    int64_t from;
};

struct producers {
    engine_client client;
    struct request requests[PRODUCERS_MAX];
    int64_t *took;
    size_t count;
    int rc;
};

struct side {
    lq_sqlite_engine *engine;
    int producers;
    struct producers *p;
    _Atomic int64_t finished;
    atomic_int rc; /* of the workers */
};

static int ask(struct producers *p, struct request *r)
{
    static const char payload[PAYLOAD_LEN];
    lunaq_task t = LUNAQ_TASK_INIT;

    t.type = "bench:noop";
    t.queue = "bench";
    t.payload = payload;
    t.payload_len = sizeof(payload);
    r->from = lq_mono_ns();
    int rc = lq_enqueue_init(&r->item, &t, lq_now_ms(), NULL);
    if (rc)
        return rc;
    r->items[0] = &r->item;
    r->op = (lq_op_enqueue){.items = r->items, .count = 1};
    lq_op_init(&r->op.op, LQ_OP_ENQUEUE);
    lq_sqlite_submit(p->client.engine, &p->client.base, &r->op.op);
    return LUNAQ_OK;
}

/* A loop: what was answered is collected and asked for again. */
static void *produce(void *arg)
{
    struct side *s = arg;
    struct producers *p = s->p;
    int under_way = 0;

    engine_client_open(&p->client, s->engine);
    for (; under_way < s->producers && !p->rc; under_way++)
        p->rc = ask(p, &p->requests[under_way]);
    while (under_way > 0) {
        lq_list ended, *node;
        engine_client_collect(&p->client, &ended);
        while ((node = lq_list_shift(&ended))) {
            lq_op *op = LQ_OF(node, lq_op, node);
            struct request *r = LQ_OF(op, struct request, op.op);
            p->rc = p->rc ? p->rc : op->rc ? op->rc : r->item.code;
            if (p->count < SAMPLES_MAX)
                p->took[p->count++] = lq_mono_ns() - r->from;
            lq_op_release(op);
            lq_enqueue_release(&r->item);
            under_way--;
            if (!p->rc && !atomic_load(&stop)) {
                p->rc = ask(p, r);
                under_way += !p->rc;
            }
        }
    }
    engine_client_close(&p->client);
    return NULL;
}

static void *work(void *arg)
{
    struct side *s = arg;
    engine_client c;
    engine_hands hands = {.count = 0};
    int rc = LUNAQ_OK;

    engine_client_open(&c, s->engine);
    while (!rc && !atomic_load(&stop)) {
        size_t n = hands.count;
        if (n == 0) { /* as a worker with nothing to do */
            lq_op_wait wait = {.queue = LQ_STR("bench"), .timeout_ms = 100};
            lq_op_init(&wait.op, LQ_OP_WAIT);
            rc = engine_client_call(&c, &wait.op);
            lq_op_release(&wait.op);
        }
        if (!rc)
            rc = engine_client_step(&c, "bench", &hands, SLOTS);
        if (!rc)
            atomic_fetch_add(&s->finished, (int64_t)n);
    }
    if (rc)
        atomic_store(&s->rc, rc);
    engine_client_close(&c);
    return NULL;
}

static int run_lunaq(const char *path, bool normal, int producers,
                     int64_t seconds)
{
    const lq_sqlite_engine_options o = {.path = path, .normal = normal};
    struct side s = {.producers = producers};
    pthread_t producer, workers[WORKERS];
    lunaq_error err = LUNAQ_ERROR_INIT;

    s.p = calloc(1, sizeof(*s.p));
    if (!s.p || !(s.p->took = calloc(SAMPLES_MAX, sizeof(*s.p->took)))) {
        free(s.p);
        return fail("memory", "none");
    }
    if (lq_sqlite_engine_open(&s.engine, &o, &err)) {
        free(s.p->took);
        free(s.p);
        return fail("open", err.message);
    }
    atomic_store(&commits, 0);
    int64_t from = lq_mono_ns();
    pthread_create(&producer, NULL, produce, &s);
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&workers[i], NULL, work, &s);
    sample_sleep_until(from + seconds * 1000000000);
    atomic_store(&stop, true);
    double took = (double)(lq_mono_ns() - from) / 1e9;
    double done = (double)atomic_load(&s.finished);
    double put = (double)s.p->count;
    double batches = (double)atomic_load(&commits);
    pthread_join(producer, NULL);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    lq_sqlite_engine_close(s.engine);
    if (s.rc || s.p->rc)
        return fail("an operation", lunaq_strerror(s.rc ? s.rc : s.p->rc));
    printf("lives/s %.1f\nenqueued/s %.1f\nbatch %.3f\n", done / took,
           put / took, batches > 0 ? done / batches : 0);
    sample_print(s.p->took, s.p->count);
    free(s.p->took);
    free(s.p);
    return 0;
}

/* ---- bare ---------------------------------------------------------------- */

struct bare {
    sqlite3 *db;
    sqlite3_stmt *begin, *add, *take, *done, *count, *day, *commit;
    char ids[BATCH_MAX][40];
    int held;
    int64_t next, finished;
};

static int open_bare(struct bare *b, const char *path, bool normal)
{
    const struct {
        sqlite3_stmt **stmt;
        const char *sql;
    } statements[] = {
        {&b->begin, "BEGIN IMMEDIATE"},
        {&b->commit, "COMMIT"},
        {&b->add, "INSERT INTO task (queue, state, at_ms, place, id, type, msg)"
                  " VALUES (1, 2, ?1, ?2, ?3, 'bench:noop', ?4)"},
        {&b->take,
         "UPDATE task SET state = 1, at_ms = ?1, token = 9 WHERE seq IN"
         " (SELECT seq FROM task WHERE queue = 1 AND state = 2 ORDER BY place"
         " LIMIT ?2) RETURNING id, msg"},
        {&b->done, "DELETE FROM task WHERE queue = 1 AND id = ?1"
                   " AND +state = 1 AND token = 9"},
        {&b->count,
         "UPDATE queue SET processed = processed + ?1 WHERE queue = 1"},
        {&b->day, "INSERT INTO stat VALUES (1, 1, ?1, 0) ON CONFLICT DO UPDATE"
                  " SET processed = processed + excluded.processed"},
    };
    int rc = sqlite3_open_v2(
        path, &b->db,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (!rc)
        rc = sqlite3_exec(b->db,
                          "PRAGMA auto_vacuum = INCREMENTAL;"
                          "PRAGMA journal_mode = WAL;"
                          "PRAGMA wal_autocheckpoint = 4000;"
                          "PRAGMA cache_size = -65536",
                          NULL, NULL, NULL);
    if (!rc)
        rc = sqlite3_exec(b->db,
                          normal ? "PRAGMA synchronous = NORMAL"
                                 : "PRAGMA synchronous = FULL",
                          NULL, NULL, NULL);
    if (!rc)
        rc = lq_sqlite_schema_migrate(b->db, 0);
    if (!rc)
        rc = sqlite3_exec(b->db, "INSERT INTO queue (name) VALUES ('bench')",
                          NULL, NULL, NULL);
    for (size_t i = 0; i < LQ_COUNT(statements) && !rc; i++)
        rc = sqlite3_prepare_v3(b->db, statements[i].sql, -1,
                                SQLITE_PREPARE_PERSISTENT, statements[i].stmt,
                                NULL);
    return rc;
}

static int run(sqlite3_stmt *s)
{
    while (sqlite3_step(s) == SQLITE_ROW)
        ;
    return sqlite3_reset(s);
}

static int put(struct bare *b, int64_t now)
{
    static const char msg[MSG_LEN];
    char id[40];
    int64_t n = b->next++;
    /* As ids of version 7 are: by time, then at random. */
    int len = snprintf(id, sizeof(id), "%08x-%04x-7%03x-%04x-%012llx",
                       (unsigned)(now >> 16), (unsigned)(now & 0xffff),
                       (unsigned)lq_random(0x1000), (unsigned)lq_random(65536),
                       (unsigned long long)lq_random((uint64_t)1 << 48));
    sqlite3_bind_int64(b->add, 1, now);
    sqlite3_bind_int64(b->add, 2, n);
    sqlite3_bind_text(b->add, 3, id, len, SQLITE_STATIC);
    sqlite3_bind_blob(b->add, 4, msg, sizeof(msg), SQLITE_STATIC);
    return run(b->add);
}

static int take(struct bare *b, int batch, int64_t now)
{
    b->held = 0;
    sqlite3_bind_int64(b->take, 1, now + 30000);
    sqlite3_bind_int64(b->take, 2, batch);
    while (sqlite3_step(b->take) == SQLITE_ROW)
        snprintf(b->ids[b->held++], sizeof(b->ids[0]), "%s",
                 (const char *)sqlite3_column_text(b->take, 0));
    return sqlite3_reset(b->take);
}

static int finish(struct bare *b)
{
    int rc = SQLITE_OK;
    for (int i = 0; i < b->held && !rc; i++) {
        sqlite3_bind_text(b->done, 1, b->ids[i], -1, SQLITE_STATIC);
        rc = run(b->done);
    }
    sqlite3_bind_int64(b->count, 1, b->held);
    sqlite3_bind_int64(b->day, 1, b->held);
    if (!rc && b->held)
        rc = run(b->count);
    if (!rc && b->held)
        rc = run(b->day);
    b->finished += b->held;
    return rc;
}

static int run_bare(const char *path, bool normal, double batch,
                    int64_t seconds)
{
    struct bare *b = calloc(1, sizeof(*b));
    int rc = b ? open_bare(b, path, normal) : SQLITE_NOMEM;
    int64_t from = lq_mono_ns(), until = from + seconds * 1000000000;
    int64_t rounds = 0;
    double due = 0;

    while (!rc && lq_mono_ns() < until) {
        int64_t now = lq_now_ms();
        /* Batches of 2.5: two and three in turn; of 0.75: two lives in one
         * transaction each, one in two. */
        due += batch < 1 ? 1 / batch - 1 : batch;
        int n = batch < 1 ? 1 : (int)due;
        bool apart = batch < 1 && due >= 1;
        due -= (int)due;
        rounds += 1 + apart;
        rc = run(b->begin);
        for (int i = 0; i < n && !rc; i++)
            rc = put(b, now);
        if (apart && !rc)
            rc = run(b->commit);
        if (apart && !rc)
            rc = run(b->begin);
        rc = rc ? rc : finish(b);
        rc = rc ? rc : take(b, n, now);
        rc = rc ? rc : run(b->commit);
    }
    if (rc)
        return fail("bare", b ? sqlite3_errmsg(b->db) : "memory");
    double took = (double)(lq_mono_ns() - from) / 1e9;
    printf("lives/s %.1f\nbatch %.3f\n", (double)b->finished / took,
           (double)b->finished / (double)rounds);
    return 0; /* the system takes the rest back */
}

int main(int argc, char **argv)
{
    double many = argc == 5 ? strtod(argv[3], NULL) : 0;
    int64_t seconds = argc == 5 ? strtoll(argv[4], NULL, 10) : 0;
    bool bare = argc == 5 && strcmp(argv[1], "bare") == 0;
    temp_folder folder;
    char path[128];

    if (many < (bare ? 0.1 : 1) ||
        many > (bare ? BATCH_MAX - 1 : PRODUCERS_MAX) || seconds < 1) {
        fprintf(stderr, "usage: bench_embedded lunaq|bare full|normal "
                        "producers|batch seconds\n");
        return 2;
    }
    bool normal = strcmp(argv[2], "normal") == 0;
    if (temp_folder_make(&folder))
        return 1;
    snprintf(path, sizeof(path), "%s/queue.db", folder.path);
    sqlite3_auto_extension((void (*)(void))count_commits);
    int rc = bare ? run_bare(path, normal, many, seconds)
                  : run_lunaq(path, normal, (int)many, seconds);
    temp_folder_remove(&folder);
    return rc;
}
