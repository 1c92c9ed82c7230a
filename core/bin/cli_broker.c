/* lunaq move: everything of one broker to another. */
#include "cli.h"

#include <cjson/cJSON.h>
#include <string.h>
#include <unistd.h>

static const struct cli_option move_options[] = {
    {"keep", NULL, "only copy: FROM stays as it is"},
    {"force", NULL, "although servers work on one of the two"},
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL}};

/* There is no --broker to correct. */
static int fail(const lunaq_error *err)
{
    if (err->code != LUNAQ_EBROKER && err->code != LUNAQ_ECONFIG)
        return cli_fail(err);
    bool asks = err->message[strlen(err->message) - 1] == '?';
    cli_misuse("move: %s%s start it, or correct the URL", err->message,
               asks ? "" : ";");
    return CLI_FAILED;
}

static lunaq_client *open_broker(const char *url)
{
    lunaq_client *client = NULL;
    lunaq_client_options options = LUNAQ_CLIENT_OPTIONS_INIT;
    lunaq_error err = LUNAQ_ERROR_INIT;
    options.broker = url;
    options.timeout_ms = 30000;
    if (lunaq_client_open(&client, &options, &err))
        fail(&err);
    return client;
}

/* One line that is written over, where somebody looks. */
static void progress(void *ud, const char *queue, int64_t tasks)
{
    (void)ud;
    fprintf(stderr, "\r%s  %lld tasks", queue, (long long)tasks);
}

/* A queue file is made when it is opened: not for a name that is mistyped. */
static int is_there(const char *url)
{
    char path[4096];
    if (!cli_queue_file(url, path, sizeof path) || access(path, F_OK) == 0)
        return CLI_OK;
    cli_misuse("move: %s: there is no such file", path);
    return CLI_FAILED;
}

static int report(const struct cli *cli, const lunaq_broker_moved *m)
{
    const char *done = cli_get(cli, "keep") ? "copied" : "moved";
    if (cli->json) {
        cJSON *o = cJSON_CreateObject();
        cli_json_int(o, "queues", m->queues);
        cli_json_int(o, "tasks", m->tasks);
        cli_json_int(o, "added", m->added);
        return cli_json_print(o);
    }
    printf("%s %lld task%s in %lld queue%s", done, (long long)m->tasks,
           m->tasks == 1 ? "" : "s", (long long)m->queues,
           m->queues == 1 ? "" : "s");
    if (m->added < m->tasks)
        printf(" (%lld had arrived before)", (long long)(m->tasks - m->added));
    printf("\n");
    return CLI_OK;
}

static int run_move(struct cli *cli)
{
    lunaq_client *from = NULL, *to = NULL;
    lunaq_broker_move_options options = LUNAQ_BROKER_MOVE_OPTIONS_INIT;
    lunaq_broker_moved moved = {.size = sizeof moved};
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = cli_want_args(cli, 2, 2);
    if (rc)
        return rc;
    if (cli_get(cli, "broker") || cli_get(cli, "prefix"))
        return cli_misuse("move: takes two URLs and no --broker or --prefix: "
                          "usage: lunaq move FROM TO; a prefix stands in a "
                          "URL: redis://host?prefix=app");
    for (int i = 0; i < 2; i++)
        if (!*cli->args[i]) /* would mean the default */
            return cli_misuse(
                "move: a URL is empty: usage: lunaq move FROM TO");
    if (is_there(cli->args[0]))
        return CLI_FAILED;
    options.keep = cli_get(cli, "keep") != NULL;
    options.force = cli_get(cli, "force") != NULL;
    if (isatty(STDERR_FILENO))
        options.progress = progress;
    from = open_broker(cli->args[0]);
    to = from ? open_broker(cli->args[1]) : NULL;
    rc = CLI_FAILED;
    if (from && to) {
        rc = lunaq_broker_move(from, to, &options, &moved, &err);
        if (options.progress && moved.queues > 0)
            fprintf(stderr, "\n");
        rc = rc ? fail(&err) : report(cli, &moved);
    }
    lunaq_client_close(from);
    lunaq_client_close(to);
    return rc;
}

const struct cli_verb cli_broker_verbs[] = {
    {"move", NULL, "FROM TO",
     "move everything from one broker to another, sqlite:FILE or redis://HOST",
     move_options, run_move},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
