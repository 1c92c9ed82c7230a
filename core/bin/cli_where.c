/* Which broker a command goes to: --broker, the environment, the application's
 * lunaq.conf.lua, or the queue file beside it, which a daemon has made. */
#include "bin/config.h"
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *from_environment(void)
{
    static const char *const names[] = {"LUNAQ_BROKER", "REDIS_URL",
                                        "REDIS_ADDR"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return value;
    }
    return NULL;
}

bool cli_queue_file(const char *url, char *path, size_t size)
{
    if (strncmp(url, "sqlite:", strlen("sqlite:")) != 0)
        return false;
    url += strlen("sqlite:");
    if (strncmp(url, "///", 3) == 0)
        url += 2;
    snprintf(path, size, "%.*s", (int)strcspn(url, "?"), url);
    return !strchr(path, '%'); /* escaped: let the broker say it */
}

/* Only a daemon makes a queue: a command in the wrong folder, or with a name
 * mistyped, would enqueue where nobody looks. */
static bool is_there(const char *url, const config *c)
{
    char path[4096];
    struct stat st;
    if (!cli_queue_file(url, path, sizeof path) || access(path, F_OK) == 0)
        return true;
    if (errno == EACCES)
        cli_misuse("%s cannot be read by this user: use the one who started "
                   "lunaqd",
                   path);
    else if (!c || c->source[config_key_find("broker")])
        cli_misuse("there is no queue file %s: start lunaqd with it first, or "
                   "correct the name",
                   path);
    else if (c->file || stat(c->options.handlers, &st) == 0)
        cli_misuse("no queue yet: there is no %s; start lunaqd in %s first, or "
                   "name a broker with --broker URL or LUNAQ_BROKER",
                   path, c->home);
    else
        cli_misuse("no application here: looked for lunaq.conf.lua and "
                   "handlers/ in %s and the folders above; go to its folder, "
                   "or name a broker with --broker URL or LUNAQ_BROKER",
                   c->home);
    return false;
}

lunaq_client *cli_client(struct cli *cli)
{
    lunaq_client_options options = LUNAQ_CLIENT_OPTIONS_INIT;
    lunaq_error err = LUNAQ_ERROR_INIT;
    config_input input = {.vars = (const char *const *)environ};
    config *c = NULL;
    if (cli->client)
        return cli->client;
    /* The library finds what the environment says, and names it. */
    const char *url = options.broker = cli_get(cli, "broker");
    options.prefix = cli_get(cli, "prefix");
    if (!url)
        url = from_environment();
    if (!url) {
        if (config_load(&c, &input, &err)) {
            cli_misuse("%s", err.message);
            return NULL;
        }
        url = options.broker = c->options.broker;
        if (!options.prefix)
            options.prefix = c->options.prefix;
        options.redis = c->options.redis;
    }
    if (is_there(url, c) && lunaq_client_open(&cli->client, &options, &err))
        cli_fail(&err);
    config_free(c);
    return cli->client;
}

int cli_begin(struct cli *cli, int min, int max)
{
    int rc = cli_want_args(cli, min, max);
    return rc ? rc : cli_client(cli) ? CLI_OK : CLI_FAILED;
}
