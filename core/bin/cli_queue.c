/* lunaq queue ls, show, history, pause, resume, rm; lunaq stats. */
#include "cli.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <time.h>

#define HISTORY_MAX 90

static const struct cli_option json_option[] = {{"json", NULL, "print JSON"},
                                                {NULL, NULL, NULL}};
static const struct cli_option history_options[] = {
    {"days", "N", "how many; default 10, at most 90"},
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL}};
static const struct cli_option rm_options[] = {
    {"force", NULL, "also when it holds tasks: they are deleted"},
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL}};

static cJSON *to_json(const lunaq_queue_info *q)
{
    cJSON *o = cJSON_CreateObject();
    cli_json_str(o, "queue", q->name);
    cli_json_int(o, "pending", q->pending);
    cli_json_int(o, "active", q->active);
    cli_json_int(o, "scheduled", q->scheduled);
    cli_json_int(o, "retry", q->retry);
    cli_json_int(o, "archived", q->archived);
    cli_json_int(o, "completed", q->completed);
    cli_json_int(o, "aggregating", q->aggregating);
    cli_json_int(o, "groups", q->groups);
    cli_json_int(o, "processed_today", q->processed_today);
    cli_json_int(o, "failed_today", q->failed_today);
    cli_json_int(o, "processed_total", q->processed_total);
    cli_json_int(o, "failed_total", q->failed_total);
    cli_json_int(o, "dropped_total", q->dropped_total);
    cli_json_int(o, "archive_max", q->archive_max);
    cli_json_int(o, "archive_ms", q->archive_ms);
    cli_json_int(o, "completed_max", q->completed_max);
    cli_json_int(o, "latency_ms", q->latency_ms);
    cli_json_int(o, "memory_bytes", q->memory_bytes);
    cli_json_int(o, "paused_at", q->paused_at);
    cJSON_AddBoolToObject(o, "paused", q->paused_at != 0);
    if (q->error)
        cli_json_str(o, "error", q->error);
    return o;
}

static cJSON *list_to_json(const lunaq_queue_list *list)
{
    cJSON *all = cJSON_CreateArray();
    for (size_t i = 0; i < lunaq_queue_list_count(list); i++)
        cJSON_AddItemToArray(all, to_json(lunaq_queue_list_at(list, i)));
    return all;
}

static int open_list(struct cli *cli, const char *queue, lunaq_queue_list **out)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    *out = NULL;
    if (!cli_client(cli))
        return CLI_FAILED;
    if (lunaq_queue_list_open(cli->client, queue, out, &err))
        return cli_fail(&err);
    return CLI_OK;
}

static void count_cell(struct cli_table *t, int64_t n)
{
    cli_table_cell(t, "%lld", (long long)n);
}

static void latency_cell(struct cli_table *t, int64_t ms)
{
    char text[40];
    cli_table_cell(t, "%s", ms ? cli_duration(text, sizeof text, ms) : "-");
}

/* Tells of the queues that cannot be read; the others were listed. */
static int tell_errors(const lunaq_queue_list *list, int rc)
{
    for (size_t i = 0; i < lunaq_queue_list_count(list); i++) {
        const lunaq_queue_info *q = lunaq_queue_list_at(list, i);
        if (!q->error)
            continue;
        char text[512];
        snprintf(text, sizeof text, "queue '%s': %s", q->name, q->error);
        cli_unread(text);
        rc = CLI_FAILED;
    }
    return rc;
}

/* The cells of a queue whose numbers are not known. */
static void odd_row(struct cli_table *t, size_t count)
{
    while (count-- > 0)
        cli_table_cell(t, "-");
}

/* ---- queue ls ---------------------------------------------------------------
 */

static int run_ls(struct cli *cli)
{
    static const char *const titles[] = {
        "QUEUE",     "PENDING",     "ACTIVE",  "SCHEDULED", "RETRY", "ARCHIVED",
        "COMPLETED", "AGGREGATING", "LATENCY", "STATE",     NULL};
    lunaq_queue_list *list = NULL;
    int rc = cli_want_args(cli, 0, 0);
    if (!rc)
        rc = open_list(cli, NULL, &list);
    if (rc)
        return rc;
    if (cli->json) {
        rc = tell_errors(list, cli_json_print(list_to_json(list)));
        goto out;
    }
    struct cli_table *t = cli_table_new(titles);
    for (size_t i = 0; i < lunaq_queue_list_count(list); i++) {
        const lunaq_queue_info *q = lunaq_queue_list_at(list, i);
        cli_table_cell(t, "%s", q->name);
        if (q->error) { /* why is told below */
            odd_row(t, sizeof titles / sizeof titles[0] - 3);
            cli_table_cell(t, "error");
            continue;
        }
        count_cell(t, q->pending);
        count_cell(t, q->active);
        count_cell(t, q->scheduled);
        count_cell(t, q->retry);
        count_cell(t, q->archived);
        count_cell(t, q->completed);
        count_cell(t, q->aggregating);
        latency_cell(t, q->latency_ms);
        cli_table_cell(t, "%s", q->paused_at ? "paused" : "open");
    }
    rc = tell_errors(list,
                     cli_table_print(t, "no queues: nothing was enqueued yet"));
out:
    lunaq_queue_list_free(list);
    return rc;
}

/* ---- queue show -------------------------------------------------------------
 */

static void put_count(const char *name, int64_t n)
{
    printf("%-16s %lld\n", name, (long long)n);
}

static void put_limit(const char *name, int64_t n, const char *fallback)
{
    if (n > 0)
        put_count(name, n);
    else
        printf("%-16s %s\n", name, n < 0 ? "no limit" : fallback);
}

static void put_queue(const lunaq_queue_info *q)
{
    char text[60];
    printf("%-16s %s\n", "queue", q->name);
    if (q->paused_at)
        printf("%-16s paused, %s\n", "state",
               cli_when(text, sizeof text, q->paused_at));
    else
        printf("%-16s open\n", "state");
    printf("%-16s %s\n", "latency",
           cli_duration(text, sizeof text, q->latency_ms));
    printf("%-16s %s\n", "memory",
           cli_bytes(text, sizeof text, q->memory_bytes));
    put_count("pending", q->pending);
    put_count("active", q->active);
    put_count("scheduled", q->scheduled);
    put_count("retry", q->retry);
    put_count("archived", q->archived);
    put_count("completed", q->completed);
    put_count("aggregating", q->aggregating);
    put_count("groups", q->groups);
    put_count("processed today", q->processed_today);
    put_count("failed today", q->failed_today);
    put_count("processed total", q->processed_total);
    put_count("failed total", q->failed_total);
    put_count("dropped total", q->dropped_total);
    put_limit("archive max", q->archive_max, "10000");
    if (q->archive_ms > 0)
        printf("%-16s %s\n", "archive",
               cli_duration(text, sizeof text, q->archive_ms));
    else
        put_limit("archive", q->archive_ms, "90d");
    put_limit("completed max", q->completed_max, "no limit");
}

/* Several names: an array of the same. */
static int run_show(struct cli *cli)
{
    cJSON *all = NULL;
    int rc = cli_want_args(cli, 1, INT32_MAX);
    if (!rc && cli->json && cli->arg_count > 1)
        all = cJSON_CreateArray();
    for (int i = 0; !rc && i < cli->arg_count; i++) {
        lunaq_queue_list *list = NULL;
        rc = open_list(cli, cli->args[i], &list);
        const lunaq_queue_info *q = rc ? NULL : lunaq_queue_list_at(list, 0);
        if (q && all)
            cJSON_AddItemToArray(all, to_json(q));
        else if (q && cli->json)
            rc = cli_json_print(to_json(q));
        else if (q) {
            if (i > 0)
                putchar('\n');
            put_queue(q);
        }
        lunaq_queue_list_free(list);
    }
    if (all && !rc)
        return cli_json_print(all);
    cJSON_Delete(all);
    return rc;
}

/* ---- queue history ----------------------------------------------------------
 */

struct days {
    int64_t count, processed[HISTORY_MAX], failed[HISTORY_MAX];
};

/* "2026-01-31", i days ago */
static const char *day_name(char *out, size_t size, time_t now, int64_t i)
{
    cli_instant(out, size, ((int64_t)now - i * 86400) * 1000);
    out[10] = '\0';
    return out;
}

static void days_to_json(cJSON *all, const char *queue, const struct days *d,
                         time_t now)
{
    for (int64_t i = 0; i < d->count; i++) {
        char day[40];
        cJSON *o = cJSON_CreateObject();
        cli_json_str(o, "queue", queue);
        cli_json_str(o, "day", day_name(day, sizeof day, now, i));
        cli_json_int(o, "processed", d->processed[i]);
        cli_json_int(o, "failed", d->failed[i]);
        cJSON_AddItemToArray(all, o);
    }
}

static int put_days(const struct days *d, time_t now)
{
    static const char *const titles[] = {"DAY", "PROCESSED", "FAILED", NULL};
    struct cli_table *t = cli_table_new(titles);
    for (int64_t i = 0; i < d->count; i++) {
        char day[40];
        cli_table_cell(t, "%s", day_name(day, sizeof day, now, i));
        count_cell(t, d->processed[i]);
        count_cell(t, d->failed[i]);
    }
    return cli_table_print(t, "no days");
}

static int run_history(struct cli *cli)
{
    struct days d = {.count = 10};
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = cli_want_args(cli, 1, INT32_MAX);
    if (!rc)
        rc = cli_get_int(cli, "days", 1, HISTORY_MAX, &d.count);
    if (rc)
        return rc;
    if (!cli_client(cli))
        return CLI_FAILED;
    time_t now = time(NULL);
    cJSON *all = cli->json ? cJSON_CreateArray() : NULL;
    for (int i = 0; !rc && i < cli->arg_count; i++) {
        const char *queue = cli->args[i];
        if (lunaq_queue_history(cli->client, queue, (size_t)d.count,
                                d.processed, d.failed, &err)) {
            cJSON_Delete(all);
            return cli_fail(&err);
        }
        if (!all && cli->arg_count > 1)
            printf("%s%s\n", i ? "\n" : "", queue);
        if (all)
            days_to_json(all, queue, &d, now);
        else
            rc = put_days(&d, now);
    }
    return all ? cli_json_print(all) : rc;
}

/* ---- queue pause, resume, rm ------------------------------------------------
 */

/* One after the other; the worst exit code counts. */
static int each(struct cli *cli, const char *what,
                int (*change)(struct cli *cli, const char *queue,
                              lunaq_error *err))
{
    int64_t count = 0;
    int worst = cli_begin(cli, 1, INT32_MAX);
    if (worst)
        return worst;
    for (int i = 0; i < cli->arg_count; i++) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        int rc = CLI_OK;
        if (change(cli, cli->args[i], &err))
            rc = cli_fail(&err);
        else if (!cli->json)
            printf("%s  %s\n", cli->args[i], what);
        count += rc == CLI_OK;
        worst = rc > worst ? rc : worst;
    }
    if (cli->json) {
        cJSON *o = cJSON_CreateObject();
        cli_json_int(o, what, count);
        int rc = cli_json_print(o);
        worst = rc > worst ? rc : worst;
    }
    return worst;
}

static int pause_one(struct cli *cli, const char *queue, lunaq_error *err)
{
    return lunaq_queue_pause(cli->client, queue, err);
}

static int resume_one(struct cli *cli, const char *queue, lunaq_error *err)
{
    return lunaq_queue_resume(cli->client, queue, err);
}

static int remove_one(struct cli *cli, const char *queue, lunaq_error *err)
{
    return lunaq_queue_remove(cli->client, queue, cli_get(cli, "force") != NULL,
                              err);
}

static int run_pause(struct cli *cli)
{
    return each(cli, "paused", pause_one);
}

static int run_resume(struct cli *cli)
{
    return each(cli, "resumed", resume_one);
}

static int run_rm(struct cli *cli)
{
    return each(cli, "removed", remove_one);
}

/* ---- stats ------------------------------------------------------------------
 */

static void sum_up(lunaq_queue_info *sum, const lunaq_queue_info *q)
{
    sum->pending += q->pending;
    sum->active += q->active;
    sum->scheduled += q->scheduled;
    sum->retry += q->retry;
    sum->archived += q->archived;
    sum->completed += q->completed;
    sum->aggregating += q->aggregating;
    sum->groups += q->groups;
    sum->processed_today += q->processed_today;
    sum->failed_today += q->failed_today;
    sum->processed_total += q->processed_total;
    sum->failed_total += q->failed_total;
    sum->memory_bytes += q->memory_bytes;
    sum->dropped_total += q->dropped_total;
    if (q->latency_ms > sum->latency_ms)
        sum->latency_ms = q->latency_ms;
}

static void stats_row(struct cli_table *t, const lunaq_queue_info *q)
{
    char text[40];
    cli_table_cell(t, "%s", q->name);
    count_cell(t, q->pending);
    count_cell(t, q->active);
    count_cell(t, q->scheduled + q->retry + q->aggregating);
    count_cell(t, q->archived);
    count_cell(t, q->processed_today);
    count_cell(t, q->failed_today);
    count_cell(t, q->processed_total);
    count_cell(t, q->failed_total);
    count_cell(t, q->dropped_total);
    latency_cell(t, q->latency_ms);
    cli_table_cell(t, "%s", cli_bytes(text, sizeof text, q->memory_bytes));
}

static int put_stats(struct cli *cli, const lunaq_queue_list *queues,
                     const lunaq_server_list *servers)
{
    static const char *const titles[] = {
        "QUEUE", "PENDING", "ACTIVE",  "LATER",   "ARCHIVED", "TODAY", "FAILED",
        "TOTAL", "FAILED",  "DROPPED", "LATENCY", "MEMORY",   NULL};
    lunaq_queue_info sum = {.name = "all"};
    int64_t slots = 0, busy = 0;
    struct cli_table *t = cli->json ? NULL : cli_table_new(titles);
    for (size_t i = 0; i < lunaq_queue_list_count(queues); i++) {
        const lunaq_queue_info *q = lunaq_queue_list_at(queues, i);
        if (q->error) {
            cli_table_cell(t, "%s", q->name);
            odd_row(t, sizeof titles / sizeof titles[0] - 2);
            continue;
        }
        stats_row(t, q);
        sum_up(&sum, q);
    }
    for (size_t i = 0; i < lunaq_server_list_count(servers); i++) {
        const lunaq_server_info *s = lunaq_server_list_at(servers, i);
        slots += s->concurrency;
        busy += (int64_t)s->worker_count;
    }
    size_t alive = lunaq_server_list_count(servers);
    if (cli->json) {
        cJSON *o = cJSON_CreateObject();
        if (servers) { /* else they are not known */
            cli_json_int(o, "servers", (int64_t)alive);
            cli_json_int(o, "concurrency", slots);
            cli_json_int(o, "busy", busy);
        }
        cJSON_AddItemToObject(o, "all", to_json(&sum));
        cJSON_AddItemToObject(o, "queues", list_to_json(queues));
        return cli_json_print(o);
    }
    if (lunaq_queue_list_count(queues) > 1)
        stats_row(t, &sum);
    int rc = cli_table_print(t, "no queues: nothing was enqueued yet");
    if (servers)
        printf("\n%zu server%s, %lld of %lld slots busy\n", alive,
               alive == 1 ? "" : "s", (long long)busy, (long long)slots);
    return rc;
}

static int run_stats(struct cli *cli)
{
    lunaq_queue_list *queues = NULL;
    lunaq_server_list *servers = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = cli_want_args(cli, 0, 0);
    if (!rc)
        rc = open_list(cli, NULL, &queues);
    if (rc)
        return rc;
    int code = lunaq_server_list_open(cli->client, &servers, &err);
    if (!code || code == LUNAQ_EREPLY) /* the queues are known all the same */
        rc = tell_errors(queues, put_stats(cli, queues, servers));
    if (code)
        rc = cli_fail(&err);
    lunaq_server_list_free(servers);
    lunaq_queue_list_free(queues);
    return rc;
}

const struct cli_verb cli_queue_verbs[] = {
    {"queue", "ls", "", "list queues", json_option, run_ls},
    {"queue", "show", "NAME ...", "print all about a queue", json_option,
     run_show},
    {"queue", "history", "NAME ...", "attempts and failures by day",
     history_options, run_history},
    {"queue", "pause", "NAME ...", "take no more from a queue", json_option,
     run_pause},
    {"queue", "resume", "NAME ...", "take from it again", json_option,
     run_resume},
    {"queue", "rm", "NAME ...", "remove a queue and all that belongs to it",
     rm_options, run_rm},
    {"stats", NULL, "", "all queues and servers in numbers", json_option,
     run_stats},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
