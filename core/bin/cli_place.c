/* lunaq queue place: the slot and the nodes of a queue in a Redis Cluster. */
#include "cli.h"

#include <cjson/cJSON.h>
#include <stdio.h>

static const struct cli_option options[] = {
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL},
};

static void put_node(void *ud, const lunaq_node *node)
{
    (void)ud;
    printf("%-16s %s  %s\n", node->master ? "master" : "replica", node->addr,
           node->id);
}

static void add_node(void *ud, const lunaq_node *node)
{
    cJSON *o = cJSON_CreateObject();
    cli_json_str(o, "addr", node->addr);
    cli_json_str(o, "id", node->id);
    cJSON_AddBoolToObject(o, "master", node->master != 0);
    cJSON_AddItemToArray(ud, o);
}

static int run_place(struct cli *cli)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    int64_t slot = 0;
    int rc = cli_begin(cli, 1, 1);
    if (rc)
        return rc;
    const char *queue = cli->args[0];
    if (!cli->json) {
        if (lunaq_queue_place(cli->client, queue, &slot, NULL, NULL, &err))
            return cli_fail(&err);
        printf("%-16s %lld\n", "slot", (long long)slot);
        return lunaq_queue_place(cli->client, queue, &slot, put_node, NULL,
                                 &err)
                   ? cli_fail(&err)
                   : CLI_OK;
    }
    cJSON *o = cJSON_CreateObject();
    cJSON *nodes = cJSON_AddArrayToObject(o, "nodes");
    if (lunaq_queue_place(cli->client, queue, &slot, add_node, nodes, &err)) {
        cJSON_Delete(o);
        return cli_fail(&err);
    }
    cli_json_str(o, "queue", queue);
    cli_json_int(o, "slot", slot);
    return cli_json_print(o);
}

const struct cli_verb cli_place_verbs[] = {
    {"queue", "place", "NAME", "its slot and nodes in a Redis Cluster", options,
     run_place},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
