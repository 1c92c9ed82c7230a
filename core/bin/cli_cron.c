/* lunaq cron ls, cron history: periodic entries and what they enqueued. */
#include "cli.h"

#include "base/str.h"

#include <cjson/cJSON.h>
#include <string.h>

static const struct cli_option ls_options[] = {
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL},
};
static const struct cli_option history_options[] = {
    {"limit", "N", "the newest N (default 20, at most 1000)"},
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL},
};

/* ---- ls ------------------------------------------------------------------ */

static int list_json(const lunaq_cron_list *list)
{
    cJSON *all = cJSON_CreateArray();
    for (size_t i = 0; i < lunaq_cron_list_count(list); i++) {
        const lunaq_cron_info *c = lunaq_cron_list_at(list, i);
        cJSON *o = cJSON_CreateObject();
        cli_json_str(o, "id", c->id);
        cli_json_str(o, "spec", c->spec);
        cli_json_str(o, "name", c->name);
        cli_json_str(o, "tz", c->tz);
        cli_json_str(o, "dst", c->dst);
        cli_json_str(o, "missed", c->missed);
        cli_json_str(o, "type", c->type);
        cli_json_str(o, "queue", c->queue);
        cli_json_bytes(o, "payload", c->payload, c->payload_len);
        cli_json_int(o, "next_at", c->next_at);
        cli_json_int(o, "last_at", c->last_at);
        cli_json_int(o, "servers", (int64_t)c->server_count);
        cJSON *ids = cJSON_AddArrayToObject(o, "server_ids");
        for (size_t k = 0; c->servers[k]; k++)
            cJSON_AddItemToArray(ids, cJSON_CreateString(c->servers[k]));
        cJSON_AddItemToArray(all, o);
    }
    return cli_json_print(all);
}

/* "host:pid:id" of each, without the ids; Asynq's schedulers do not say. */
static void servers_cell(struct cli_table *t, const lunaq_cron_info *c)
{
    char text[200];
    size_t len = 0;
    if (!c->servers[0]) {
        cli_table_cell(t, "%zu", c->server_count);
        return;
    }
    for (size_t i = 0; c->servers[i] && len < sizeof text; i++) {
        const char *colon = strrchr(c->servers[i], ':');
        int n =
            snprintf(text + len, sizeof text - len, "%s%.*s", i ? " " : "",
                     colon ? (int)(colon - c->servers[i]) : 40, c->servers[i]);
        len += n > 0 ? (size_t)n : 0;
    }
    cli_table_cell(t, "%s", text);
}

static int list_table(const lunaq_cron_list *list)
{
    static const char *const titles[] = {"TYPE",  "SPEC", "ZONE",   "QUEUE",
                                         "NEXT",  "LAST", "MISSED", "SERVERS",
                                         "ENTRY", NULL};
    struct cli_table *t = cli_table_new(titles);
    for (size_t i = 0; i < lunaq_cron_list_count(list); i++) {
        const lunaq_cron_info *c = lunaq_cron_list_at(list, i);
        const char *spec = strncmp(c->spec, "CRON_TZ=", 8) == 0 ||
                                   strncmp(c->spec, "TZ=", 3) == 0
                               ? strchr(c->spec, ' ')
                               : NULL;
        char when[60];
        cli_table_cell(t, "%s", c->type);
        cli_table_cell(t, "%s", spec ? spec + 1 : c->spec);
        cli_table_cell(t, "%s", c->tz);
        cli_table_cell(t, "%s", c->queue);
        cli_table_cell(t, "%s",
                       c->next_at ? cli_when(when, sizeof when, c->next_at)
                                  : "never");
        cli_table_cell(t, "%s",
                       c->last_at ? cli_when(when, sizeof when, c->last_at)
                                  : "never");
        cli_table_cell(t, "%s", c->missed);
        servers_cell(t, c);
        cli_table_cell(t, "%s", c->id);
    }
    return cli_table_print(t, "no periodic entries: no live server has any");
}

static int run_ls(struct cli *cli)
{
    lunaq_cron_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = cli_begin(cli, 0, 0);
    if (rc)
        return rc;
    if (lunaq_cron_list_open(cli->client, &list, &err))
        return cli_fail(&err);
    rc = cli->json ? list_json(list) : list_table(list);
    lunaq_cron_list_free(list);
    return rc;
}

/* ---- history ------------------------------------------------------------- */

/* An entry by its id, by its name, or by the type of its tasks when there is
 * just one of it; an id that no live server has is taken as it is. */
static const char *find_entry(const lunaq_cron_list *list, const char *word,
                              size_t *hits)
{
    const char *id = word;
    *hits = 0;
    for (size_t i = 0; i < lunaq_cron_list_count(list); i++) {
        const lunaq_cron_info *c = lunaq_cron_list_at(list, i);
        if (strcmp(c->id, word) == 0) {
            *hits = 1;
            return c->id;
        }
        if (strcmp(c->name, word) == 0 || strcmp(c->type, word) == 0) {
            id = c->id;
            ++*hits;
        }
    }
    return id;
}

/* A word that no live server knows and of which nothing is kept: "(known: …)",
 * by the names that can be typed. */
static int unknown(const lunaq_cron_list *list, const char *word)
{
    char known[200] = "";
    for (size_t i = 0; i < lunaq_cron_list_count(list); i++) {
        const lunaq_cron_info *c = lunaq_cron_list_at(list, i);
        lq_str_enumerate(known, sizeof known,
                         lq_str_c(c->name[0] ? c->name : c->type));
    }
    cli_misuse("no periodic entry '%s' (known: %s); try 'lunaq cron ls'", word,
               known[0] ? known : "none");
    return CLI_FAILED;
}

static int several(size_t hits, const char *word)
{
    cli_misuse("%zu periodic entries are '%s': give the id of one; try 'lunaq "
               "cron ls'",
               hits, word);
    return CLI_FAILED;
}

static int history_json(const char *entry, const lunaq_cron_history *h)
{
    cJSON *o = cJSON_CreateObject();
    cli_json_str(o, "entry", entry);
    cJSON *all = cJSON_AddArrayToObject(o, "events");
    for (size_t i = 0; i < lunaq_cron_history_count(h); i++) {
        const lunaq_cron_event *e = lunaq_cron_history_at(h, i);
        cJSON *row = cJSON_CreateObject();
        cli_json_str(row, "task_id", e->task_id);
        cli_json_int(row, "at", e->at);
        cJSON_AddItemToArray(all, row);
    }
    return cli_json_print(o);
}

static int history_table(const lunaq_cron_history *h)
{
    static const char *const titles[] = {"TASK", "ENQUEUED", "WHEN", NULL};
    struct cli_table *t = cli_table_new(titles);
    for (size_t i = 0; i < lunaq_cron_history_count(h); i++) {
        const lunaq_cron_event *e = lunaq_cron_history_at(h, i);
        char at[40], when[60];
        cli_table_cell(t, "%s", e->task_id);
        cli_table_cell(t, "%s", cli_instant(at, sizeof at, e->at));
        cli_table_cell(t, "%s", cli_when(when, sizeof when, e->at));
    }
    return cli_table_print(t, "nothing was enqueued yet: see lunaq cron ls for "
                              "the entries and their ids");
}

static int run_history(struct cli *cli)
{
    lunaq_cron_list *list = NULL;
    lunaq_cron_history *h = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int64_t limit = 20;
    size_t hits = 0;
    int rc = cli_begin(cli, 1, 1);
    if (!rc)
        rc = cli_get_int(cli, "limit", 1, 1000, &limit);
    if (rc)
        return rc;
    if (lunaq_cron_list_open(cli->client, &list, &err))
        return cli_fail(&err);
    const char *id = find_entry(list, cli->args[0], &hits);
    if (hits > 1)
        rc = several(hits, cli->args[0]);
    else if (lunaq_cron_history_open(cli->client, id, (size_t)limit, &h, &err))
        rc = cli_fail(&err);
    else if (hits == 0 && lunaq_cron_history_count(h) == 0)
        rc = unknown(list, cli->args[0]);
    else
        rc = cli->json ? history_json(id, h) : history_table(h);
    lunaq_cron_history_free(h);
    lunaq_cron_list_free(list);
    return rc;
}

const struct cli_verb cli_cron_verbs[] = {
    {"cron", "ls", "", "list periodic entries", ls_options, run_ls},
    {"cron", "history", "ENTRY", "list what an entry enqueued", history_options,
     run_history},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
