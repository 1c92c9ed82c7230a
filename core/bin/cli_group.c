/* lunaq group ls: the groups, and what becomes of them. */
#include "cli.h"

#include <cjson/cJSON.h>

static const struct cli_option ls_options[] = {
    {"queue", "NAME", "of this queue alone"},
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL}};

static cJSON *to_json(const lunaq_group_info *g)
{
    cJSON *o = cJSON_CreateObject();
    cli_json_str(o, "queue", g->queue);
    cli_json_str(o, "group", g->name);
    cli_json_str(o, "type", g->type);
    cli_json_int(o, "tasks", g->tasks);
    cli_json_int(o, "aggregating", g->aggregating);
    cli_json_int(o, "oldest_at", g->oldest_at);
    cli_json_int(o, "newest_at", g->newest_at);
    cli_json_int(o, "due_at", g->due_at);
    cli_json_int(o, "failures", g->failures);
    cli_json_str(o, "error", g->error);
    return o;
}

/* What becomes of it next. */
static void next_cell(struct cli_table *t, const lunaq_group_info *g)
{
    char text[60];
    if (g->tasks == 0)
        cli_table_cell(t, "being aggregated");
    else if (g->due_at)
        cli_table_cell(t, "%s", cli_when(text, sizeof text, g->due_at));
    else
        cli_table_cell(t, "no server of lunaq aggregates it");
}

static int put_table(const lunaq_group_list *list)
{
    static const char *const titles[] = {"QUEUE",       "GROUP",  "TYPE",
                                         "TASKS",       "OLDEST", "NEXT",
                                         "AGGREGATING", "ERROR",  NULL};
    struct cli_table *t = cli_table_new(titles);
    for (size_t i = 0; i < lunaq_group_list_count(list); i++) {
        const lunaq_group_info *g = lunaq_group_list_at(list, i);
        char text[60];
        cli_table_cell(t, "%s", g->queue);
        cli_table_cell(t, "%s", g->name);
        cli_table_cell(t, "%s", g->type[0] ? g->type : "-");
        cli_table_cell(t, "%lld", (long long)g->tasks);
        cli_table_cell(t, "%s", cli_when(text, sizeof text, g->oldest_at));
        next_cell(t, g);
        cli_table_cell(t, "%lld", (long long)g->aggregating);
        if (g->failures)
            cli_table_cell(t, "%lld time%s: %s", (long long)g->failures,
                           g->failures == 1 ? "" : "s", g->error);
        else
            cli_table_cell(t, "-");
    }
    return cli_table_print(t, "no groups: no task waits to be aggregated");
}

static int run_ls(struct cli *cli)
{
    lunaq_group_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = cli_begin(cli, 0, 0);
    if (rc)
        return rc;
    const char *queue = cli_get(cli, "queue");
    if ((queue && cli_queue_known(cli, queue, &err)) ||
        lunaq_group_list_open(cli->client, queue, &list, &err))
        return cli_fail(&err);
    if (cli->json) {
        cJSON *all = cJSON_CreateArray();
        for (size_t i = 0; i < lunaq_group_list_count(list); i++)
            cJSON_AddItemToArray(all, to_json(lunaq_group_list_at(list, i)));
        rc = cli_json_print(all);
    } else {
        rc = put_table(list);
    }
    const char *unread;
    for (size_t i = 0; (unread = lunaq_group_list_error(list, i)); i++) {
        cli_unread(unread);
        rc = CLI_FAILED;
    }
    lunaq_group_list_free(list);
    return rc;
}

const struct cli_verb cli_group_verbs[] = {
    {"group", "ls", "", "list groups of tasks that wait to be aggregated",
     ls_options, run_ls},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
