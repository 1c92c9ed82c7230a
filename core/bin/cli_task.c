/* lunaq task ls, show. */
#include "cli.h"

#include <cjson/cJSON.h>
#include <string.h>

static const struct cli_option ls_options[] = {
    {"queue", "NAME", "of this queue only"},
    {"state", "STATE",
     "pending, scheduled, active, retry, completed, "
     "archived or aggregating"},
    {"group", "NAME", "of this group, with --state aggregating"},
    {"page", "N", "from 1 on; default 1"},
    {"size", "N", "tasks a queue and state; default 30, at most 1000"},
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL}};

static const struct cli_option show_options[] = {
    {"queue", "NAME", "look in this queue only"},
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL}};

#define SAME_MOMENT_MS 2000 /* a failure's time has whole seconds */

int64_t cli_attempt(const lunaq_task_info *t)
{
    switch (t->state) {
    case LUNAQ_ACTIVE:
    case LUNAQ_COMPLETED:
        return t->retried + 1;
    case LUNAQ_ARCHIVED:
        /* A failure that archives is not counted as a retry; one that was
         * waiting for its retry when it was archived, is. */
        return t->retried +
               (t->last_failed_at > 0 &&
                t->archived_at - t->last_failed_at < SAME_MOMENT_MS);
    default:
        return t->retried;
    }
}

/* ---- JSON -------------------------------------------------------------------
 */

static cJSON *to_json(const lunaq_task_info *t)
{
    cJSON *o = cJSON_CreateObject();
    cli_json_str(o, "id", t->id);
    cli_json_str(o, "type", t->type);
    cli_json_str(o, "queue", t->queue);
    cli_json_str(o, "state", lunaq_state_name((lunaq_state)t->state));
    cli_json_str(o, "group", t->group);
    cli_json_int(o, "attempt", cli_attempt(t));
    cli_json_int(o, "max_retry", t->max_retry);
    cli_json_int(o, "retried", t->retried);
    cli_json_int(o, "crashes", t->crashes);
    cli_json_str(o, "error", t->error);
    cli_json_bytes(o, "payload", t->payload, t->payload_len);
    cli_json_bytes(o, "result", t->result, t->result_len);
    cJSON *headers = cJSON_AddObjectToObject(o, "headers");
    for (size_t i = 0; i < t->header_count; i++)
        cli_json_str(headers, t->headers[i].name, t->headers[i].value);
    cli_json_int(o, "timeout_ms", t->timeout_ms);
    cli_json_int(o, "deadline_at", t->deadline_at);
    cli_json_int(o, "retention_ms", t->retention_ms);
    cli_json_int(o, "last_failed_at", t->last_failed_at);
    cli_json_int(o, "completed_at", t->completed_at);
    cli_json_int(o, "next_at", t->next_at);
    cli_json_int(o, "lease_at", t->lease_at);
    cJSON_AddBoolToObject(o, "orphaned", t->orphaned != 0);
    cli_json_int(o, "pending_at", t->pending_at);
    cli_json_str(o, "unique_key", t->unique_key);
    cli_json_int(o, "unique_left_ms", t->unique_left_ms);
    cli_json_str(o, "cancel", t->cancel);
    cli_json_int(o, "archived_at", t->archived_at);
    return o;
}

static int print_json(const lunaq_task_list *list)
{
    cJSON *all = cJSON_CreateArray();
    for (size_t i = 0; i < lunaq_task_list_count(list); i++)
        cJSON_AddItemToArray(all, to_json(lunaq_task_list_at(list, i)));
    return cli_json_print(all);
}

/* ---- a table ----------------------------------------------------------------
 */

/* What is next, in the words of its state. */
static void next_cell(struct cli_table *table, const lunaq_task_info *t)
{
    char when[60];
    switch (t->state) {
    case LUNAQ_SCHEDULED:
    case LUNAQ_RETRY:
        cli_table_cell(table, "%s", cli_when(when, sizeof when, t->next_at));
        break;
    case LUNAQ_COMPLETED:
        cli_table_cell(table, "deleted %s",
                       cli_when(when, sizeof when, t->next_at));
        break;
    case LUNAQ_ACTIVE:
        cli_table_cell(table, "%s %s", t->orphaned ? "orphaned" : "lease",
                       cli_when(when, sizeof when, t->lease_at));
        break;
    default:
        cli_table_cell(table, "-");
    }
}

static int print_table(const lunaq_task_list *list)
{
    static const char *const titles[] = {"ID",      "TYPE", "QUEUE", "STATE",
                                         "ATTEMPT", "NEXT", "ERROR", NULL};
    struct cli_table *table = cli_table_new(titles);
    for (size_t i = 0; i < lunaq_task_list_count(list); i++) {
        const lunaq_task_info *t = lunaq_task_list_at(list, i);
        cli_table_cell(table, "%s", t->id);
        cli_table_cell(table, "%s", t->type);
        cli_table_cell(table, "%s", t->queue);
        cli_table_cell(table, "%s", lunaq_state_name((lunaq_state)t->state));
        cli_table_cell(table, "%lld/%lld", (long long)cli_attempt(t),
                       (long long)t->max_retry + 1);
        next_cell(table, t);
        /* the traceback below its first line is for task show */
        size_t line = strcspn(t->error, "\n");
        cli_table_cell(table, "%.*s", line < 100 ? (int)line : 100, t->error);
    }
    return cli_table_print(table, lunaq_task_list_error(list, 0)
                                      ? "no tasks where it could be read"
                                      : "no tasks");
}

/* ---- task ls ----------------------------------------------------------------
 */

static int run_ls(struct cli *cli)
{
    lunaq_task_query q = LUNAQ_TASK_QUERY_INIT;
    lunaq_task_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int64_t page = 1;
    q.queue = cli_get(cli, "queue");
    q.group = cli_get(cli, "group");
    int rc = cli_want_args(cli, 0, 0);
    if (!rc)
        rc = cli_get_state(cli, "state", &q.state);
    if (!rc)
        rc = cli_get_int(cli, "page", 1, INT32_MAX, &page);
    if (!rc)
        rc = cli_get_int(cli, "size", 1, 1000, &q.page_size);
    if (rc)
        return rc;
    if (q.group && q.state != LUNAQ_AGGREGATING)
        return cli_misuse("--group: only with --state aggregating");
    q.page = page - 1;
    if (!cli_client(cli))
        return CLI_FAILED;
    if (q.queue)
        rc = cli_queue_known(cli, q.queue, &err);
    if (!rc)
        rc = lunaq_task_list_open(cli->client, &q, &list, &err);
    if (rc)
        return cli_fail(&err);
    rc = cli->json ? print_json(list) : print_table(list);
    const char *unread;
    for (size_t i = 0; (unread = lunaq_task_list_error(list, i)); i++) {
        cli_unread(unread);
        rc = CLI_FAILED;
    }
    lunaq_task_list_free(list);
    return rc;
}

/* ---- task show --------------------------------------------------------------
 */

static void put_line(const char *name, const char *value)
{
    if (!value[0])
        return;
    printf("%-12s ", name);
    cli_put_text(stdout, value, strlen(value));
    putchar('\n');
}

/* A traceback stays one. */
static void put_lines(const char *name, const char *value)
{
    for (; *value; name = "") {
        size_t len = strcspn(value, "\n");
        printf("%-12s ", name);
        cli_put_text(stdout, value, len);
        putchar('\n');
        value += len + (value[len] == '\n');
    }
}

static void put_bytes(const char *name, const void *p, size_t len)
{
    if (len == 0)
        return;
    printf("%-12s ", name);
    cli_put_text(stdout, p, len);
    putchar('\n');
}

static void put_time(const char *name, int64_t at)
{
    char instant[40], when[60];
    if (at > 0)
        printf("%-12s %s (%s)\n", name,
               cli_instant(instant, sizeof instant, at),
               cli_when(when, sizeof when, at));
}

static void put_duration(const char *name, int64_t ms)
{
    char text[40];
    if (ms > 0)
        printf("%-12s %s\n", name, cli_duration(text, sizeof text, ms));
}

static void put_task(const lunaq_task_info *t)
{
    put_line("id", t->id);
    put_line("type", t->type);
    put_line("queue", t->queue);
    put_line("state", lunaq_state_name((lunaq_state)t->state));
    put_line("group", t->group);
    printf("%-12s %lld/%lld\n", "attempt", (long long)cli_attempt(t),
           (long long)t->max_retry + 1);
    if (t->crashes)
        printf("%-12s %lld\n", "crashes", (long long)t->crashes);
    put_lines("error", t->error);
    put_time("failed", t->last_failed_at);
    put_time("completed", t->completed_at);
    put_time("archived", t->archived_at);
    put_time(t->state == LUNAQ_COMPLETED ? "deleted" : "next", t->next_at);
    put_time("pending", t->pending_at);
    put_time("lease", t->lease_at);
    if (t->orphaned)
        put_line("orphaned", "its holder is gone; it will be recovered");
    if (t->state == LUNAQ_ACTIVE)
        put_line("cancel", t->cancel);
    put_line("unique", t->unique_key);
    if (t->unique_left_ms > 0)
        put_duration("locked for", t->unique_left_ms / 1000 * 1000);
    else if (t->unique_left_ms < 0)
        put_line("locked for", "ever; 'lunaq fsck --repair' ends it");
    put_duration("timeout", t->timeout_ms);
    put_time("deadline", t->deadline_at);
    put_duration("retention", t->retention_ms);
    for (size_t i = 0; i < t->header_count; i++) {
        printf("%-12s ", "header");
        cli_put_text(stdout, t->headers[i].name, strlen(t->headers[i].name));
        putchar('=');
        cli_put_text(stdout, t->headers[i].value, strlen(t->headers[i].value));
        putchar('\n');
    }
    put_bytes("payload", t->payload, t->payload_len);
    put_bytes("result", t->result, t->result_len);
}

int cli_queue_known(struct cli *cli, const char *queue, lunaq_error *err)
{
    lunaq_queue_list *queues = NULL;
    int rc = lunaq_queue_list_open(cli->client, queue, &queues, err);
    lunaq_queue_list_free(queues);
    return rc == LUNAQ_EREPLY ? LUNAQ_OK : rc;
}

int cli_find_one(struct cli *cli, const char *id, lunaq_task_list **list)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    *list = NULL;
    if (!cli_client(cli))
        return CLI_FAILED;
    if (lunaq_task_find(cli->client, cli_get(cli, "queue"), id, list, &err))
        return cli_fail(&err);
    size_t count = lunaq_task_list_count(*list);
    if (count == 1)
        return CLI_OK;
    print_table(*list);
    cli_misuse("%zu tasks have the id %s; give more of it, or --queue", count,
               id);
    lunaq_task_list_free(*list);
    *list = NULL;
    return CLI_FAILED;
}

static int run_show(struct cli *cli)
{
    lunaq_task_list *list = NULL;
    int rc = cli_want_args(cli, 1, 1);
    if (!rc)
        rc = cli_find_one(cli, cli->args[0], &list);
    if (rc)
        return rc;
    const lunaq_task_info *t = lunaq_task_list_at(list, 0);
    if (cli->json)
        rc = cli_json_print(to_json(t));
    else
        put_task(t);
    lunaq_task_list_free(list);
    return rc;
}

const struct cli_verb cli_task_verbs[] = {
    {"task", "ls", "", "list tasks", ls_options, run_ls},
    {"task", "show", "ID", "print all about a task", show_options, run_show},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
