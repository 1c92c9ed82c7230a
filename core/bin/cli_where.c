/* Which broker a command goes to: the one that a daemon in this folder, with
 * the same flags, would serve: --broker, the environment, the application's
 * lunaq.conf.lua, or the queue file beside it, which a daemon has made. */
#include "bin/config.h"
#include "cli.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
static bool is_there(const config *c)
{
    char path[4096];
    struct stat st;
    if (!cli_queue_file(c->options.broker, path, sizeof path) ||
        access(path, F_OK) == 0)
        return true;
    if (errno == EACCES)
        cli_misuse("%s cannot be read by this user: use the one who started "
                   "lunaqd",
                   path);
    else if (c->source[config_key_find("broker")])
        cli_misuse("there is no queue file %s (%s): start lunaqd with it "
                   "first, or correct the name",
                   path, c->source[config_key_find("broker")]);
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

/* The flags that a daemon has, too.  NULL: told. */
static config *load(const struct cli *cli)
{
    static const char *const flags[][2] = {{"broker", "--broker"},
                                           {"prefix", "--prefix"}};
    const char *args[4];
    config_input input = {.vars = (const char *const *)environ, .args = args};
    lunaq_error err = LUNAQ_ERROR_INIT;
    config *c = NULL;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        const char *value = cli_get(cli, flags[i][0]);
        if (!value)
            continue;
        if (!*value) { /* of a variable that is not set: not the default */
            cli_misuse("%s: its value is empty; leave it out, or say one",
                       flags[i][1]);
            return NULL;
        }
        args[input.arg_count++] = flags[i][1];
        args[input.arg_count++] = value;
    }
    if (config_load(&c, &input, &err))
        cli_misuse("%s", err.message);
    return c;
}

/* Names who said it, where that is not on the command line. */
static int tell(const config *c, const lunaq_error *err)
{
    lunaq_error named = *err;
    const char *source = config_who_said(c, err->message);
    if (source && source[0] != '-')
        lq_error_prefix(&named, "%s", source);
    return cli_fail(&named);
}

lunaq_client *cli_client(struct cli *cli)
{
    lunaq_client_options options = LUNAQ_CLIENT_OPTIONS_INIT;
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (cli->client)
        return cli->client;
    config *c = load(cli);
    if (!c)
        return NULL;
    const char *prefix = c->source[config_key_find("prefix")];
    options.broker = c->options.broker;
    options.redis = c->options.redis;
    /* The library reads this variable itself: the URL's goes before it. */
    if (prefix && strcmp(prefix, "LUNAQ_PREFIX") != 0)
        options.prefix = c->options.prefix;
    if (is_there(c) && lunaq_client_open(&cli->client, &options, &err))
        tell(c, &err);
    config_free(c);
    return cli->client;
}

int cli_begin(struct cli *cli, int min, int max)
{
    int rc = cli_want_args(cli, min, max);
    return rc ? rc : cli_client(cli) ? CLI_OK : CLI_FAILED;
}
