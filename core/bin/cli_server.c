/* lunaq server ls, handlers: what runs. */
#include "cli.h"

#include "base/clock.h"

#include <cjson/cJSON.h>
#include <string.h>

static const struct cli_option json_option[] = {{"json", NULL, "print JSON"},
                                                {NULL, NULL, NULL}};

/* ---- server ls --------------------------------------------------------------
 */

static cJSON *server_json(const lunaq_server_info *s)
{
    cJSON *o = cJSON_CreateObject();
    cli_json_str(o, "id", s->id);
    cli_json_str(o, "host", s->host);
    cli_json_int(o, "pid", s->pid);
    cli_json_str(o, "status", s->status);
    cli_json_int(o, "concurrency", s->concurrency);
    cJSON_AddBoolToObject(o, "strict", s->strict != 0);
    cli_json_int(o, "started_at", s->started_at);
    cJSON_AddBoolToObject(o, "lunaq", s->lunaq != 0);
    cJSON_AddBoolToObject(o, "remote_control", s->remote_control != 0);
    cJSON *queues = cJSON_AddObjectToObject(o, "queues");
    for (size_t i = 0; i < s->queue_count; i++)
        cli_json_int(queues, s->queues[i].queue, s->queues[i].weight);
    cJSON *workers = cJSON_AddArrayToObject(o, "workers");
    for (size_t i = 0; i < s->worker_count; i++) {
        const lunaq_worker_info *w = &s->workers[i];
        cJSON *item = cJSON_CreateObject();
        cli_json_str(item, "task_id", w->task_id);
        cli_json_str(item, "type", w->type);
        cli_json_str(item, "queue", w->queue);
        cli_json_bytes(item, "payload", w->payload, w->payload_len);
        cli_json_int(item, "started_at", w->started_at);
        cli_json_int(item, "deadline_at", w->deadline_at);
        cJSON_AddItemToArray(workers, item);
    }
    return o;
}

static void queues_cell(struct cli_table *t, const lunaq_server_info *s)
{
    char text[200] = "";
    size_t at = 0;
    for (size_t i = 0; i < s->queue_count && at < sizeof text; i++) {
        int n =
            snprintf(text + at, sizeof text - at, "%s%s %lld", i ? ", " : "",
                     s->queues[i].queue, (long long)s->queues[i].weight);
        at += n > 0 ? (size_t)n : 0;
    }
    cli_table_cell(t, "%s%s", text, s->strict ? " (strict)" : "");
}

static int server_table(const lunaq_server_list *list)
{
    static const char *const titles[] = {"HOST", "PID",    "STATUS", "BUSY",
                                         "UP",   "QUEUES", "SERVER", NULL};
    struct cli_table *t = cli_table_new(titles);
    int64_t now = lq_now_ms();
    for (size_t i = 0; i < lunaq_server_list_count(list); i++) {
        const lunaq_server_info *s = lunaq_server_list_at(list, i);
        char up[40];
        int64_t age = now > s->started_at ? now - s->started_at : 0;
        cli_table_cell(t, "%s", s->host);
        cli_table_cell(t, "%lld", (long long)s->pid);
        cli_table_cell(t, "%s", s->status);
        cli_table_cell(t, "%zu/%lld", s->worker_count,
                       (long long)s->concurrency);
        cli_table_cell(t, "%s", cli_duration(up, sizeof up, age / 1000 * 1000));
        queues_cell(t, s);
        cli_table_cell(t, "%s", s->id);
    }
    return cli_table_print(t, "no servers: start one with 'lunaqd'");
}

static int run_servers(struct cli *cli)
{
    lunaq_server_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = cli_begin(cli, 0, 0);
    if (rc)
        return rc;
    if (lunaq_server_list_open(cli->client, &list, &err))
        return cli_fail(&err);
    if (cli->json) {
        cJSON *all = cJSON_CreateArray();
        for (size_t i = 0; i < lunaq_server_list_count(list); i++)
            cJSON_AddItemToArray(all,
                                 server_json(lunaq_server_list_at(list, i)));
        rc = cli_json_print(all);
    } else {
        rc = server_table(list);
    }
    lunaq_server_list_free(list);
    return rc;
}

/* ---- server show ------------------------------------------------------------
 */

static void put_text_line(const char *name, const char *value)
{
    printf("%-12s ", name);
    cli_put_text(stdout, value, strlen(value));
    putchar('\n');
}

static int put_workers(const lunaq_server_info *s)
{
    static const char *const titles[] = {"TASK",    "TYPE",     "QUEUE",
                                         "STARTED", "DEADLINE", NULL};
    struct cli_table *t = cli_table_new(titles);
    char text[60];
    for (size_t i = 0; i < s->worker_count; i++) {
        const lunaq_worker_info *w = &s->workers[i];
        cli_table_cell(t, "%s", w->task_id);
        cli_table_cell(t, "%s", w->type);
        cli_table_cell(t, "%s", w->queue);
        cli_table_cell(t, "%s", cli_when(text, sizeof text, w->started_at));
        cli_table_cell(t, "%s", cli_when(text, sizeof text, w->deadline_at));
    }
    return cli_table_print(t, "nothing runs there");
}

static int put_record(const lunaq_server_info *s)
{
    char text[60];
    put_text_line("id", s->id);
    put_text_line("host", s->host);
    printf("%-12s %lld\n", "pid", (long long)s->pid);
    put_text_line("status", s->status);
    put_text_line("program", s->lunaq ? "lunaq" : "Asynq");
    if (s->lunaq)
        put_text_line("orders", s->remote_control ? "taken" : "refused");
    put_text_line("started", cli_when(text, sizeof text, s->started_at));
    printf("%-12s %zu of %lld\n", "busy", s->worker_count,
           (long long)s->concurrency);
    for (size_t i = 0; i < s->queue_count; i++) {
        printf("%-12s ", i ? "" : s->strict ? "strict" : "queues");
        cli_put_text(stdout, s->queues[i].queue, strlen(s->queues[i].queue));
        printf(" %lld\n", (long long)s->queues[i].weight);
    }
    putchar('\n');
    return put_workers(s);
}

static int run_server_show(struct cli *cli)
{
    lunaq_server_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = cli_begin(cli, 1, 1);
    if (rc)
        return rc;
    if (lunaq_server_list_open(cli->client, &list, &err))
        return cli_fail(&err);
    const lunaq_server_info *s =
        lunaq_server_list_find(list, cli->args[0], &err);
    rc = !s          ? cli_fail(&err)
         : cli->json ? cli_json_print(server_json(s))
                     : put_record(s);
    lunaq_server_list_free(list);
    return rc;
}

/* ---- handlers ---------------------------------------------------------------
 */

/* What the file says; what it does not say is left out. */
static void put_defaults(cJSON *o, const lunaq_handler_info *h)
{
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"max_retry", h->max_retry},
                   {"timeout_ms", h->timeout_ms},
                   {"retention_ms", h->retention_ms},
                   {"unique_ms", h->unique_ms},
                   {"concurrency", h->concurrency}};
    if (h->queue[0])
        cli_json_str(o, "queue", h->queue);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].value >= 0)
            cli_json_int(o, numbers[i].name, numbers[i].value);
}

static int handlers_json(const lunaq_handler_list *list)
{
    cJSON *all = cJSON_CreateArray();
    for (size_t i = 0; i < lunaq_handler_list_count(list); i++) {
        const lunaq_handler_info *h = lunaq_handler_list_at(list, i);
        cJSON *o = cJSON_CreateObject();
        cli_json_str(o, "server_id", h->server_id);
        cli_json_int(o, "generation", h->generation);
        cli_json_str(o, "type", h->type);
        cli_json_str(o, "file", h->file);
        cli_json_str(o, "doc", h->doc);
        cli_json_str(o, "hash", h->hash);
        cli_json_str(o, "rejected", h->rejected);
        put_defaults(o, h);
        cJSON_AddItemToArray(all, o);
    }
    return cli_json_print(all);
}

/* "server …4c1d  generation 7  (edit rejected: welcome.lua:12: …)" */
static void put_server(const lunaq_handler_info *h)
{
    size_t len = strlen(h->server_id);
    printf("server …%s  generation %lld",
           h->server_id + (len > 8 ? len - 8 : 0), (long long)h->generation);
    if (h->rejected[0]) {
        printf("  (edit rejected: ");
        cli_put_text(stdout, h->rejected, strlen(h->rejected));
        putchar(')');
    }
    putchar('\n');
}

static int handlers_text(const lunaq_handler_list *list)
{
    static const char *const titles[] = {"TYPE", "FILE", "HASH", "DOC", NULL};
    size_t count = lunaq_handler_list_count(list);
    int rc = CLI_OK;
    if (count == 0)
        printf("no handlers: no live lunaqd has any\n");
    for (size_t i = 0; i < count && rc == CLI_OK;) {
        const lunaq_handler_info *first = lunaq_handler_list_at(list, i);
        if (i > 0)
            putchar('\n');
        put_server(first);
        struct cli_table *t = cli_table_new(titles);
        for (; i < count; i++) {
            const lunaq_handler_info *h = lunaq_handler_list_at(list, i);
            if (strcmp(h->server_id, first->server_id) != 0)
                break;
            if (!h->type[0])
                continue;
            cli_table_cell(t, "%s", h->type);
            cli_table_cell(t, "%s", h->file);
            cli_table_cell(t, "%.12s", h->hash);
            cli_table_cell(t, "%s", h->doc);
        }
        rc = cli_table_print(t, "no handlers");
    }
    return rc;
}

static int run_handlers(struct cli *cli)
{
    lunaq_handler_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = cli_begin(cli, 0, 0);
    if (rc)
        return rc;
    if (lunaq_handler_list_open(cli->client, &list, &err))
        return cli_fail(&err);
    rc = cli->json ? handlers_json(list) : handlers_text(list);
    lunaq_handler_list_free(list);
    return rc;
}

const struct cli_verb cli_server_verbs[] = {
    {"server", "ls", "", "list live servers", json_option, run_servers},
    {"server", "show", "ID", "print all about a server, and what runs there",
     json_option, run_server_show},
    {"handlers", NULL, "", "list the handlers of live daemons", json_option,
     run_handlers},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
