/* lunaq enqueue: a task from the command line. */
#include "cli.h"

#include "base/buf.h"
#include "base/clock.h"
#include "task/durable.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HEADERS_MAX 32
#define WAIT_RETENTION_MS 60000 /* so that there is a result to read */
#define WAIT_DEFAULT_MS 60000
#define POLL_MIN_MS 1
#define POLL_MAX_MS 100

static const struct cli_option options[] = {
    {"payload", "FILE|-|TEXT", "the whole payload, instead of k=v"},
    {"queue", "NAME", "the queue; default: the handler's, or default"},
    {"max-retry", "N", "retries; default: the handler's, or 25"},
    {"timeout", "DURATION", "of one attempt; default: the handler's, or 30m"},
    {"deadline", "WHEN", "no attempt after it: an instant, or from now"},
    {"process-in", "DURATION", "not before this time has passed"},
    {"process-at", "INSTANT", "not before it: 2026-01-31T12:00:00Z"},
    {"unique", "DURATION", "refuse another of the same type and payload"},
    {"retention", "DURATION", "keep it so long after success"},
    {"task-id", "ID", "instead of a new one"},
    {"group", "NAME", "wait to be aggregated with this group"},
    {"header", "K=V", "metadata; may be repeated"},
    {"durable", "LEVEL", "be sure of it: none, replica or fsync"},
    {"wait", NULL, "wait for its end and print the result"},
    {"wait-timeout", "DURATION", "but not longer; default 60s"},
    {"batch", "FILE|-", "many tasks, one JSON object a line; no other option"},
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL}};

/* ---- the options ------------------------------------------------------------
 */

static int get_headers(struct cli *cli, lunaq_task *task, lunaq_header *headers,
                       char (*names)[LUNAQ_NAME_MAX])
{
    for (size_t i = 0; i < cli->option_count; i++) {
        if (strcmp(cli->options[i].name, "header") != 0)
            continue;
        const char *given = cli->options[i].value, *eq = strchr(given, '=');
        size_t len = eq ? (size_t)(eq - given) : 0;
        if (len == 0 || len >= LUNAQ_NAME_MAX)
            return cli_misuse("--header '%s': give K=V", given);
        if (task->header_count == HEADERS_MAX)
            return cli_misuse("more than %d headers; put them into the "
                              "payload",
                              HEADERS_MAX);
        memcpy(names[task->header_count], given, len);
        names[task->header_count][len] = '\0';
        headers[task->header_count] =
            (lunaq_header){names[task->header_count], eq + 1};
        task->header_count++;
    }
    task->headers = headers;
    return CLI_OK;
}

static int get_instants(struct cli *cli, lunaq_task *task)
{
    const char *at = cli_get(cli, "process-at"),
               *deadline = cli_get(cli, "deadline");
    int rc = cli_get_duration(cli, "process-in", &task->process_in_ms);
    if (rc)
        return rc;
    if (at && cli_get(cli, "process-in"))
        return cli_misuse(
            "--process-at and --process-in: give one or the other");
    if (at && !cli_instant_parse(at, &task->process_at))
        return cli_misuse("--process-at '%s': give an instant like "
                          "2026-01-31T12:00:00Z, or use --process-in 5m",
                          at);
    if (!deadline || cli_instant_parse(deadline, &task->deadline_at))
        return CLI_OK;
    int64_t from_now = 0;
    rc = cli_get_duration(cli, "deadline", &from_now);
    task->deadline_at = lq_now_ms() + from_now;
    return rc;
}

static int get_options(struct cli *cli, lunaq_task *task)
{
    int64_t retry = -2, timeout = -1;
    task->queue = cli_get(cli, "queue");
    task->task_id = cli_get(cli, "task-id");
    task->group = cli_get(cli, "group");
    int rc = cli_get_int(cli, "max-retry", 0, INT32_MAX, &retry);
    if (!rc)
        rc = cli_get_duration(cli, "timeout", &timeout);
    if (!rc)
        rc = get_instants(cli, task);
    if (!rc)
        rc = cli_get_duration(cli, "unique", &task->unique_ms);
    if (!rc && task->unique_ms > 0 && task->unique_ms < 1000)
        rc = cli_misuse("--unique '%s': give 1s or more, or 0 for none",
                        cli_get(cli, "unique"));
    if (!rc)
        rc = cli_get_duration(cli, "retention", &task->retention_ms);
    const char *durable = cli_get(cli, "durable");
    if (!rc && durable && !lq_durable_parse(lq_str_c(durable), &task->durable))
        rc = cli_misuse("--durable '%s': give none, replica or fsync", durable);
    /* What is 0 here is "none" there, where 0 is the default. */
    if (retry >= 0)
        task->max_retry = cli_or_none(retry);
    if (timeout >= 0)
        task->timeout_ms = cli_or_none(timeout);
    return rc;
}

/* ---- waiting for the end ----------------------------------------------------
 */

static void nap(int64_t ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&ts, NULL);
}

static void put_took(int64_t started_ns)
{
    double ms = (double)(lq_mono_ns() - started_ns) / 1e6;
    if (ms < 10)
        printf("%.1f ms", ms);
    else if (ms < 1000)
        printf("%.0f ms", ms);
    else
        printf("%.1f s", ms / 1000);
}

/* The traceback below it is for task show. */
static int first_line(const lunaq_task_info *t)
{
    return (int)strcspn(t->error, "\n");
}

static int put_end(struct cli *cli, const lunaq_task_info *t,
                   int64_t started_ns)
{
    bool ok = t->state == LUNAQ_COMPLETED;
    if (cli->json) {
        cJSON *o = cJSON_CreateObject();
        cli_json_str(o, "id", t->id);
        cli_json_str(o, "queue", t->queue);
        cli_json_str(o, "state", lunaq_state_name((lunaq_state)t->state));
        cli_json_bytes(o, "result", t->result, t->result_len);
        cli_json_str(o, "error", t->error);
        cli_json_int(o, "took_ms", (lq_mono_ns() - started_ns) / 1000000);
        int rc = cli_json_print(o);
        return rc ? rc : ok ? CLI_OK : CLI_FAILED;
    }
    printf("%s  %s in ", t->id, ok ? "succeeded" : "archived");
    put_took(started_ns);
    if (ok && t->result_len) {
        printf("  → ");
        cli_put_text(stdout, t->result, t->result_len);
    }
    putchar('\n');
    if (ok)
        return CLI_OK;
    cli_misuse("it failed: %.*s; try 'lunaq task show %s'", first_line(t),
               t->error, t->id);
    return CLI_FAILED;
}

/* What to say when the time is over. */
static int too_long(const lunaq_task_info *t, const char *limit)
{
    const char *state = lunaq_state_name((lunaq_state)t->state);
    if (t->state == LUNAQ_PENDING)
        cli_misuse("task %s is still pending after %s: does a lunaqd serve "
                   "queue '%s'? try 'lunaq server ls'",
                   t->id, limit, t->queue);
    else if (t->error[0])
        cli_misuse("task %s is in state %s after %s: %.*s; try 'lunaq task "
                   "show %s'",
                   t->id, state, limit, first_line(t), t->error, t->id);
    else
        cli_misuse("task %s is still %s after %s; try 'lunaq task show %s'",
                   t->id, state, limit, t->id);
    return CLI_FAILED;
}

/* That an attempt failed, and that it goes on waiting for the next. */
static void put_failure(const lunaq_task_info *t)
{
    char when[40];
    cli_misuse("attempt %lld/%lld failed: %.*s; next %s", (long long)t->retried,
               (long long)t->max_retry + 1, first_line(t), t->error,
               cli_when(when, sizeof when, t->next_at));
}

static int wait_for(struct cli *cli, const lunaq_task *task, const char *id,
                    int64_t started_ns)
{
    int64_t until = task->process_at - lq_now_ms();
    int64_t limit =
        WAIT_DEFAULT_MS + task->process_in_ms + (until > 0 ? until : 0);
    int rc = cli_get_duration(cli, "wait-timeout", &limit);
    if (rc)
        return rc;
    int64_t end = lq_mono_ms() + limit, pause = POLL_MIN_MS, told = 0;
    for (;;) {
        lunaq_task_list *list = NULL;
        lunaq_error err = LUNAQ_ERROR_INIT;
        rc = lunaq_task_find(cli->client, task->queue ? task->queue : "default",
                             id, &list, &err);
        if (rc == LUNAQ_ENOTFOUND) {
            cli_misuse(task->group
                           ? "task %s is gone: it was aggregated with its "
                             "group; try 'lunaq task ls'"
                           : "task %s is gone: its handler discarded it, or "
                             "somebody deleted it; try 'lunaq task ls'",
                       id);
            return CLI_FAILED;
        }
        if (rc)
            return cli_fail(&err);
        const lunaq_task_info *t = lunaq_task_list_at(list, 0);
        int done = -1;
        if (t->state == LUNAQ_RETRY && t->retried > told) {
            told = t->retried;
            put_failure(t);
        }
        if (t->state == LUNAQ_COMPLETED || t->state == LUNAQ_ARCHIVED) {
            done = put_end(cli, t, started_ns);
        } else if (lq_mono_ms() >= end) {
            char text[40];
            done = too_long(t, cli_duration(text, sizeof text, limit));
        }
        lunaq_task_list_free(list);
        if (done >= 0)
            return done;
        int64_t left = end - lq_mono_ms();
        nap(left < pause ? (left > 0 ? left : 0) : pause);
        pause = pause * 2 < POLL_MAX_MS ? pause * 2 : POLL_MAX_MS;
    }
}

/* ---- the verb ---------------------------------------------------------------
 */

const char *cli_enqueued_state(const lunaq_task *task, const lunaq_enqueued *e)
{
    return e->delayed ? "scheduled" : task->group ? "aggregating" : "pending";
}

static int put_enqueued(struct cli *cli, const lunaq_task *task,
                        const lunaq_enqueued *e)
{
    const char *queue = task->queue ? task->queue : "default";
    const char *state = cli_enqueued_state(task, e);
    if (cli->json) {
        cJSON *o = cJSON_CreateObject();
        cli_json_str(o, "id", e->id);
        cli_json_str(o, "type", task->type);
        cli_json_str(o, "queue", queue);
        cli_json_str(o, "state", state);
        cli_json_str(o, "durable",
                     lunaq_durable_name((lunaq_durable)e->durable));
        return cli_json_print(o);
    }
    printf("%s  %s in queue %s", e->id, state, queue);
    if (cli_get(cli, "durable"))
        printf(", durable: %s", lunaq_durable_name((lunaq_durable)e->durable));
    putchar('\n');
    return CLI_OK;
}

/* How many of the verb's own options are given beside --batch and --json. */
static size_t beside_batch(const struct cli *cli)
{
    size_t n = 0;
    for (const struct cli_option *o = options; o->name; o++)
        n += strcmp(o->name, "batch") != 0 && strcmp(o->name, "json") != 0 &&
             cli_get(cli, o->name);
    return n;
}

static int run_enqueue(struct cli *cli)
{
    lunaq_task task = LUNAQ_TASK_INIT;
    lunaq_header headers[HEADERS_MAX];
    char names[HEADERS_MAX][LUNAQ_NAME_MAX];
    lunaq_enqueued result = {0};
    lunaq_error err = LUNAQ_ERROR_INIT;
    bool wait = cli_get(cli, "wait") || cli_get(cli, "wait-timeout");
    lunaq_handler_list *handlers = NULL;
    const char *batch = cli_get(cli, "batch");
    lq_buf payload;
    lq_buf_init(&payload, 0);
    if (batch && (cli->arg_count || beside_batch(cli) > 0))
        return cli_misuse("--batch: all else stands in its lines; give "
                          "nothing beside it but --json");
    if (batch)
        return cli_enqueue_batch(cli, batch);
    int rc = cli_want_args(cli, 1, INT32_MAX);
    if (!rc)
        rc = get_options(cli, &task);
    if (!rc)
        rc = get_headers(cli, &task, headers, names);
    if (!rc)
        rc = cli_payload(cli, &payload);
    if (rc)
        goto out;
    task.type = cli->args[0];
    /* None and an empty one are locked apart, as in Go. */
    task.payload = payload.p || !cli_get(cli, "payload") ? payload.p : "";
    task.payload_len = payload.len;
    rc = CLI_FAILED;
    if (!cli_client(cli))
        goto out;
    cli_defaults(cli, &task, &handlers);
    if (wait && task.retention_ms < WAIT_RETENTION_MS)
        task.retention_ms = WAIT_RETENTION_MS;
    int64_t started_ns = lq_mono_ns();
    if (lunaq_client_enqueue(cli->client, &task, &result, &err)) {
        rc = cli_fail(&err);
        if (err.code == LUNAQ_EUNKNOWN)
            fprintf(stderr, "lunaq: its id is %s\n", result.id);
    } else if (wait) {
        rc = wait_for(cli, &task, result.id, started_ns);
    } else {
        rc = put_enqueued(cli, &task, &result);
    }
out:
    lunaq_handler_list_free(handlers);
    lq_buf_release(&payload);
    return rc;
}

const struct cli_verb cli_enqueue_verbs[] = {
    {"enqueue", NULL, "TYPE [k=v | k:=json ...]", "enqueue a task", options,
     run_enqueue},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
