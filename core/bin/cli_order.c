/* lunaq server quiet, stop: orders to servers, from afar. */
#include "cli.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct cli_option order_options[] = {
    {"all", NULL, "every live server of lunaq's"},
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL}};

/* There is no order that takes it back. */
#define QUIETED "told to take no more tasks until it is started again"

struct order {
    lunaq_order what;
    const char *done; /* "told to stop" */
    const char *name; /* of the JSON member */
};

/* "anna@host", for the server's log. */
static void who_asks(char *out, size_t size)
{
    const char *user = getenv("USER");
    char host[128] = "";
    (void)gethostname(host, sizeof host - 1);
    snprintf(out, size, "%s@%s", user && *user ? user : "somebody",
             host[0] ? host : "somewhere");
}

static int tell(struct cli *cli, const struct order *o, const char *id,
                int64_t *count)
{
    char who[256];
    lunaq_error err = LUNAQ_ERROR_INIT;
    who_asks(who, sizeof who);
    if (lunaq_server_order(cli->client, id, o->what, who, &err))
        return cli_fail(&err);
    ++*count;
    if (!cli->json)
        printf("%s  %s\n", id, o->done);
    return CLI_OK;
}

/* Of all: Asynq's servers, and those that refuse, are passed over, and named.
 */
static int tell_all(struct cli *cli, const struct order *o, int64_t *count)
{
    lunaq_server_list *list = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int worst = CLI_OK;
    if (lunaq_server_list_open(cli->client, &list, &err))
        return cli_fail(&err);
    for (size_t i = 0; i < lunaq_server_list_count(list); i++) {
        const lunaq_server_info *s = lunaq_server_list_at(list, i);
        int rc = tell(cli, o, s->id, count);
        worst = rc > worst ? rc : worst;
    }
    lunaq_server_list_free(list);
    if (*count == 0 && worst == CLI_OK && !cli->json)
        printf("no servers: nobody was told\n");
    return worst;
}

static int run_order(struct cli *cli, struct order o)
{
    int64_t count = 0;
    bool all = cli_get(cli, "all") != NULL;
    if (all && cli->arg_count > 0)
        return cli_misuse("--all and '%s': give one or the other",
                          cli->args[0]);
    int rc = cli_begin(cli, all ? 0 : 1, INT32_MAX);
    if (rc)
        return rc;
    int worst = all ? tell_all(cli, &o, &count) : CLI_OK;
    for (int i = 0; i < cli->arg_count; i++) {
        rc = tell(cli, &o, cli->args[i], &count);
        worst = rc > worst ? rc : worst;
    }
    if (cli->json) {
        cJSON *j = cJSON_CreateObject();
        cli_json_int(j, o.name, count);
        rc = cli_json_print(j);
        worst = rc > worst ? rc : worst;
    }
    return worst;
}

static int run_quiet(struct cli *cli)
{
    return run_order(cli,
                     (struct order){LUNAQ_ORDER_QUIET, QUIETED, "quieted"});
}

static int run_stop(struct cli *cli)
{
    return run_order(
        cli, (struct order){LUNAQ_ORDER_STOP, "told to stop", "stopped"});
}

const struct cli_verb cli_order_verbs[] = {
    {"server", "quiet", "ID ... | --all",
     "tell servers to take no more tasks until they are started again; running "
     "ones go on",
     order_options, run_quiet},
    {"server", "stop", "ID ... | --all",
     "tell servers to end what runs, and to stop", order_options, run_stop},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
