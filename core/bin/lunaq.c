/* lunaq: tasks and queues from the command line. */
#include "cli.h"

#include "base/str.h"
#include "bin/stdio_guard.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In this order they are listed: what belongs together, together.  One a line,
 * so that changes stay apart. */
/* clang-format off */
static const struct cli_verb *const tables[] = {
    cli_enqueue_verbs,
    cli_task_verbs,
    cli_move_verbs,
    cli_update_verbs,
    cli_queue_verbs,
    cli_place_verbs,
    cli_group_verbs,
    cli_server_verbs,
    cli_order_verbs,
    cli_cron_verbs,
    cli_dash_verbs,
    cli_doctor_verbs,
    cli_fsck_verbs,
    cli_broker_verbs,
    cli_help_verbs,
};
/* clang-format on */

#define TABLES (sizeof tables / sizeof tables[0])

static const struct cli_option globals[] = {
    {"broker", "URL",
     "where tasks live; default LUNAQ_BROKER, REDIS_URL, REDIS_ADDR, "
     "lunaq.conf.lua, the application's .lunaq/queue.db"},
    {"prefix", "NAME",
     "what its keys in Redis begin with; default LUNAQ_PREFIX, lunaq.conf.lua, "
     "asynq"},
    {"help", NULL, "what there is to say about the command"},
    {NULL, NULL, NULL}};

static void put_options(const struct cli_option *o)
{
    for (; o && o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->arg ? " " : "",
                 o->arg ? o->arg : "");
        printf("  %-24s %s\n", left, o->help);
    }
}

static void put_usage(const struct cli_verb *v)
{
    printf("usage: lunaq %s%s%s%s%s\n\n%s\n", v->noun, v->name ? " " : "",
           v->name ? v->name : "", v->usage[0] ? " " : "", v->usage, v->help);
    printf("\noptions\n");
    put_options(v->options);
    put_options(globals);
}

static void put_summary(void)
{
    printf("lunaq %s: background jobs\n\nusage: lunaq [--broker URL] [--prefix "
           "NAME] COMMAND "
           "[ARGUMENT ...]\n\n",
           lunaq_version());
    for (size_t t = 0; t < TABLES; t++)
        for (const struct cli_verb *v = tables[t]; v->noun; v++) {
            char left[64];
            snprintf(left, sizeof left, "%s%s%s", v->noun, v->name ? " " : "",
                     v->name ? v->name : "");
            printf("  %-16s %s\n", left, v->help);
        }
    printf("\nMore of each: lunaq help COMMAND, and man lunaq.\n");
}

/* ---- which verb ------------------------------------------------------------
 */

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* The row of "noun [name]"; *words: how many of argv it takes. */
static const struct cli_verb *find(int argc, char **argv, int *words)
{
    for (size_t t = 0; t < TABLES; t++)
        for (const struct cli_verb *v = tables[t]; v->noun; v++) {
            if (argc < 1 || !same(v->noun, argv[0]))
                continue;
            *words = v->name ? 2 : 1;
            if (!v->name || (argc > 1 && same(v->name, argv[1])))
                return v;
        }
    return NULL;
}

static int unknown(int argc, char **argv)
{
    const char *words[64] = {NULL};
    size_t n = 0;
    bool noun = false;
    for (size_t t = 0; t < TABLES; t++)
        for (const struct cli_verb *v = tables[t]; v->noun; v++)
            noun = noun || same(v->noun, argv[0]);
    for (size_t t = 0; t < TABLES; t++)
        for (const struct cli_verb *v = tables[t]; v->noun && n < 63; v++)
            if (!noun)
                words[n++] = v->noun;
            else if (same(v->noun, argv[0]))
                words[n++] = v->name;
    if (!noun) {
        const char *near = cli_nearest(argv[0], words);
        return cli_misuse("no command '%s'%s%s%s; try 'lunaq help'", argv[0],
                          near ? ", did you mean '" : "", near ? near : "",
                          near ? "'?" : "");
    }
    char known[128] = "";
    for (size_t i = 0; i < n; i++)
        lq_str_enumerate(known, sizeof known, lq_str_c(words[i]));
    if (argc < 2 || argv[1][0] == '-')
        return cli_misuse("%s what? One of: %s; try 'lunaq %s %s'", argv[0],
                          known, argv[0], words[0]);
    const char *near = cli_nearest(argv[1], words);
    return cli_misuse("no command '%s %s'%s%s%s (known: %s); try 'lunaq help'",
                      argv[0], argv[1], near ? ", did you mean '" : "",
                      near ? near : "", near ? "'?" : "", known);
}

/* ---- help and version ------------------------------------------------------
 */

static int run_help(struct cli *cli)
{
    int rc = cli_want_args(cli, 0, 2);
    if (rc)
        return rc;
    if (cli->arg_count == 0) {
        put_summary();
        return CLI_OK;
    }
    bool any = false;
    for (size_t t = 0; t < TABLES; t++)
        for (const struct cli_verb *v = tables[t]; v->noun; v++) {
            if (!same(v->noun, cli->args[0]) ||
                (cli->arg_count > 1 && v->name && !same(v->name, cli->args[1])))
                continue;
            if (any)
                printf("\n");
            put_usage(v);
            any = true;
        }
    return any ? CLI_OK : unknown(cli->arg_count, cli->args);
}

static int run_version(struct cli *cli)
{
    int rc = cli_want_args(cli, 0, 0);
    if (!rc)
        printf("lunaq %s\n", lunaq_version());
    return rc;
}

static int run_reload(struct cli *cli)
{
    (void)cli;
    return cli_misuse("reload: a daemon reloads handlers/ by itself when a "
                      "file changes, and on SIGHUP; try "
                      "'kill -HUP $(pidof lunaqd)'");
}

const struct cli_verb cli_help_verbs[] = {
    {"reload", NULL, "", "how to make a daemon read handlers/ again", NULL,
     run_reload},
    {"version", NULL, "", "print the version", NULL, run_version},
    {"help", NULL, "[COMMAND]", "print what there is, or how to use one", NULL,
     run_help},
    {NULL, NULL, NULL, NULL, NULL, NULL}};

/* ---- main ------------------------------------------------------------------
 */

/* How many words an option before the command takes; 0: it is none that may
 * stand there. */
static int leading_words(const char *word)
{
    static const char *const with_value[] = {"--broker", "--prefix"};
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(with_value[i]);
        if (strncmp(word, with_value[i], len) == 0 && word[len] == '=')
            return 1;
        if (same(word, with_value[i]))
            return 2;
    }
    return same(word, "--json") ? 1 : 0;
}

static int not_leading(const char *word)
{
    static const char *const names[] = {"--broker", "--prefix",  "--json",
                                        "--help",   "--version", NULL};
    const char *near = cli_nearest(word, names);
    return cli_misuse("'%s' before the command%s%s%s: only --broker URL, "
                      "--prefix NAME and --json stand there; try 'lunaq help'",
                      word, near ? ", did you mean " : "", near ? near : "",
                      near ? "?" : "");
}

/* Whoever read our output has seen enough, as in `lunaq task ls | head -1`. */
static bool reader_is_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) > 0 && out.revents & (POLLERR | POLLHUP);
}

/* The exit code, once it is known whether all was written. */
static int written(int rc, int failed)
{
    bool lost = fflush(stdout) != 0;
    lost = ferror(stdout) || lost;
    if (!lost || reader_is_gone())
        return rc;
    cli_misuse("the output cannot be written: is the disk full?");
    return rc > failed ? rc : failed;
}

static bool is_help(const char *word)
{
    return same(word, "--help") || same(word, "-h");
}

/* Options before the command are moved behind it. */
static int run(int argc, char **argv, char **sorted, char **args)
{
    int first = 1;
    while (first < argc && argv[first][0] == '-') {
        if (is_help(argv[first])) {
            put_summary();
            return CLI_OK;
        }
        if (same(argv[first], "--version")) {
            printf("lunaq %s\n", lunaq_version());
            return CLI_OK;
        }
        int words = leading_words(argv[first]);
        if (!words)
            return not_leading(argv[first]);
        first += words;
    }
    if (first >= argc)
        return cli_misuse("no command; try 'lunaq help'");
    struct cli cli = {.failed = CLI_FAILED};
    int words = 0;
    cli.verb = find(argc - first, argv + first, &words);
    if (!cli.verb && first + 1 < argc && is_help(argv[first + 1])) {
        cli.verb = cli_help_verbs; /* "lunaq task --help" */
        cli.args = argv + first;
        cli.arg_count = 1;
        return written(run_help(&cli), cli.failed);
    }
    if (!cli.verb)
        return unknown(argc - first, argv + first);
    int n = 0;
    for (int i = 1; i < first; i++)
        sorted[n++] = argv[i];
    for (int i = first + words; i < argc; i++)
        sorted[n++] = argv[i];
    int rc = cli_parse(&cli, n, sorted, args);
    if (rc == CLI_OK && cli_get(&cli, "help"))
        put_usage(cli.verb);
    else if (rc == CLI_OK)
        rc = cli.verb->run(&cli);
    lunaq_client_close(cli.client);
    return written(rc, cli.failed);
}

int main(int argc, char **argv)
{
    if (stdio_guard())
        return CLI_FAILED;
    signal(SIGPIPE, SIG_IGN);
    char **sorted = calloc((size_t)argc + 1, sizeof *sorted);
    char **args = calloc((size_t)argc + 1, sizeof *args);
    int rc = CLI_FAILED;
    if (sorted && args)
        rc = run(argc, argv, sorted, args);
    else
        fprintf(stderr, "lunaq: out of memory\n");
    free(sorted);
    free(args);
    return rc;
}
