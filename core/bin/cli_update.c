/* lunaq task update: another payload for a task that waits. */
#include "cli.h"

#include "base/buf.h"

#include <cjson/cJSON.h>

static const struct cli_option update_options[] = {
    {"payload", "FILE|-|TEXT", "the new payload, instead of k=v"},
    {"queue", "NAME", "look in this queue only"},
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL}};

static int update(struct cli *cli, const lunaq_task_info *t,
                  const lq_buf *payload)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lunaq_task_update(cli->client, t->queue, t->id, payload->p,
                          payload->len, &err))
        return cli_fail(&err);
    if (cli->json) {
        cJSON *o = cJSON_CreateObject();
        cli_json_str(o, "id", t->id);
        cli_json_int(o, "updated", 1);
        return cli_json_print(o);
    }
    printf("%s  updated\n", t->id);
    return CLI_OK;
}

static int run_update(struct cli *cli)
{
    lunaq_task_list *list = NULL;
    lq_buf payload;
    lq_buf_init(&payload, 0);
    int rc = cli_want_args(cli, 1, INT32_MAX);
    if (!rc && cli->arg_count == 1 && !cli_get(cli, "payload"))
        rc = cli_misuse("task update: give the new payload: k=v, k:=json, or "
                        "--payload");
    if (!rc)
        rc = cli_payload(cli, &payload);
    if (!rc)
        rc = cli_find_one(cli, cli->args[0], &list);
    if (!rc)
        rc = update(cli, lunaq_task_list_at(list, 0), &payload);
    lunaq_task_list_free(list);
    lq_buf_release(&payload);
    return rc;
}

const struct cli_verb cli_update_verbs[] = {
    {"task", "update", "ID [k=v | k:=json ...]",
     "give a task that waits or is archived another payload", update_options,
     run_update},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
