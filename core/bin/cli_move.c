/* lunaq task run, cancel, archive, delete: one by one, or a whole state. */
#include "cli.h"

#include "base/clock.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MANY                                                                   \
    {"all", NULL, "every task that fits --queue, --state, --type, --group"},   \
        {"queue", "NAME", "the queue; an id is found without it"},             \
        {"state", "STATE", "with --all: of this state; default all that can"}, \
        {"type", "TYPE", "with --all: of this type"},                          \
        {"group", "NAME", "with --all: of this group"},                        \
    {                                                                          \
        "json", NULL, "print JSON"                                             \
    }

static const struct cli_option move_options[] = {MANY, {NULL, NULL, NULL}};

static const struct cli_option cancel_options[] = {
    MANY,
    {"reason", "TEXT", "why, kept with the task"},
    {"retry", NULL, "end only the attempt that runs; it counts as failed"},
    {"delete", NULL, "delete it, once it has stopped; only by ID"},
    {NULL, NULL, NULL}};

#define DELETE_WAIT_MS 30000 /* for a run to stop */
#define DELETE_LOOK_MS 100

struct move {
    const char *done; /* "archived" */
    lunaq_move how;   /* 0: cancel */
};

/* A run that was told to stop is archived when it has; then it can go. */
static int stop_and_delete(struct cli *cli, const lunaq_task_info *t,
                           const char *reason, lunaq_error *err)
{
    int64_t until = lq_mono_ms() + DELETE_WAIT_MS;
    int rc = t->state == LUNAQ_ACTIVE
                 ? lunaq_task_cancel(cli->client, t->queue, t->id, reason, err)
                 : LUNAQ_OK;
    while (!rc) {
        rc = lunaq_task_delete(cli->client, t->queue, t->id, err);
        if (rc != LUNAQ_ESTATE || lq_mono_ms() > until)
            break;
        struct timespec pause = {0, DELETE_LOOK_MS * 1000000L};
        nanosleep(&pause, NULL);
        rc = LUNAQ_OK;
    }
    return rc;
}

/* What was done to it, in a word. */
static const char *done_word(struct cli *cli, const struct move *m,
                             const lunaq_task_info *t)
{
    if (m->how || cli_get(cli, "delete"))
        return m->how ? m->done : "deleted";
    return t->state == LUNAQ_ACTIVE ? "told to stop" : m->done;
}

static int move_one(struct cli *cli, const struct move *m,
                    const lunaq_task_info *t, const char *reason,
                    lunaq_error *err)
{
    switch (m->how) {
    case LUNAQ_MOVE_RUN:
        return lunaq_task_run(cli->client, t->queue, t->id, err);
    case LUNAQ_MOVE_ARCHIVE:
        return lunaq_task_archive(cli->client, t->queue, t->id, err);
    case LUNAQ_MOVE_DELETE:
        return lunaq_task_delete(cli->client, t->queue, t->id, err);
    default:
        if (cli_get(cli, "retry"))
            return lunaq_task_end_attempt(cli->client, t->queue, t->id, err);
        if (cli_get(cli, "delete"))
            return stop_and_delete(cli, t, reason, err);
        return lunaq_task_cancel(cli->client, t->queue, t->id, reason, err);
    }
}

/* Who asked, unless told why. */
static const char *reason_of(struct cli *cli, char *out, size_t size)
{
    const char *given = cli_get(cli, "reason"), *user = getenv("USER");
    if (given)
        return given;
    snprintf(out, size, "canceled by %s",
             user && *user ? user : "the command line");
    return out;
}

static int report(struct cli *cli, const struct move *m, int64_t count)
{
    if (cli->json) {
        cJSON *o = cJSON_CreateObject();
        cli_json_int(o, m->done, count);
        return cli_json_print(o);
    }
    printf("%s %lld task%s\n", m->done, (long long)count,
           count == 1 ? "" : "s");
    return CLI_OK;
}

/* ---- by id ------------------------------------------------------------------
 */

static int by_id(struct cli *cli, const struct move *m)
{
    char text[200];
    const char *reason = reason_of(cli, text, sizeof text);
    int worst = CLI_OK;
    int64_t count = 0;
    for (int i = 0; i < cli->arg_count; i++) {
        lunaq_task_list *list = NULL;
        lunaq_error err = LUNAQ_ERROR_INIT;
        int rc = cli_find_one(cli, cli->args[i], &list);
        if (rc == CLI_OK) {
            const lunaq_task_info *t = lunaq_task_list_at(list, 0);
            if (move_one(cli, m, t, reason, &err))
                rc = cli_fail(&err);
            else if (!cli->json)
                printf("%s  %s\n", t->id, done_word(cli, m, t));
            count += rc == CLI_OK;
        }
        lunaq_task_list_free(list);
        if (rc > worst)
            worst = rc;
    }
    if (cli->json) {
        int rc = report(cli, m, count);
        worst = rc > worst ? rc : worst;
    }
    return worst;
}

/* ---- a whole state ----------------------------------------------------------
 */

static int by_state(struct cli *cli, const struct move *m)
{
    lunaq_task_filter f = LUNAQ_TASK_FILTER_INIT;
    lunaq_error err = LUNAQ_ERROR_INIT;
    char text[200];
    int64_t count = 0;
    f.queue = cli_get(cli, "queue");
    f.type = cli_get(cli, "type");
    f.group = cli_get(cli, "group");
    int rc = cli_get_state(cli, "state", &f.state);
    if (rc)
        return rc;
    if (cli->arg_count > 0)
        return cli_misuse("--all and '%s': give one or the other",
                          cli->args[0]);
    if (!f.queue && !f.state && !f.type && !f.group)
        return cli_misuse("--all needs --queue NAME, --state STATE, --type "
                          "TYPE or --group NAME; try 'lunaq queue ls'");
    if (cli_get(cli, "delete"))
        return cli_misuse("--delete: only by ID; try 'lunaq task delete'");
    if (!cli_client(cli))
        return CLI_FAILED;
    if (f.queue)
        rc = cli_queue_known(cli, f.queue, &err);
    if (!rc && m->how)
        rc = lunaq_task_move_many(cli->client, &f, m->how, &count, &err);
    else if (!rc && cli_get(cli, "retry"))
        rc = lunaq_task_end_attempts(cli->client, &f, &count, &err);
    else if (!rc)
        rc = lunaq_task_cancel_many(
            cli->client, &f, reason_of(cli, text, sizeof text), &count, &err);
    if (!rc)
        return report(cli, m, count);
    if (count > 0) /* what was done before, or in the other queues */
        report(cli, m, count);
    return cli_fail(&err);
}

/* ---- the verbs --------------------------------------------------------------
 */

static int run_move(struct cli *cli, struct move m)
{
    static const char *const only_all[] = {"state", "type", "group"};
    if (cli_get(cli, "all"))
        return by_state(cli, &m);
    for (size_t i = 0; i < sizeof only_all / sizeof only_all[0]; i++)
        if (cli_get(cli, only_all[i]))
            return cli_misuse("--%s: only with --all", only_all[i]);
    int rc = cli_want_args(cli, 1, INT32_MAX);
    return rc ? rc : by_id(cli, &m);
}

static int run_run(struct cli *cli)
{
    return run_move(cli, (struct move){"pending", LUNAQ_MOVE_RUN});
}

static int run_archive(struct cli *cli)
{
    return run_move(cli, (struct move){"archived", LUNAQ_MOVE_ARCHIVE});
}

static int run_delete(struct cli *cli)
{
    return run_move(cli, (struct move){"deleted", LUNAQ_MOVE_DELETE});
}

static int run_cancel(struct cli *cli)
{
    if (cli_get(cli, "retry") && cli_get(cli, "delete"))
        return cli_misuse("--retry and --delete: give one or the other");
    return run_move(cli, (struct move){"canceled", (lunaq_move)0});
}

const struct cli_verb cli_move_verbs[] = {
    {"task", "run", "ID ... | --all FILTER ...",
     "make waiting or archived tasks pending now", move_options, run_run},
    {"task", "cancel", "ID ... | --all FILTER ...",
     "archive tasks, stopping those that run", cancel_options, run_cancel},
    {"task", "archive", "ID ... | --all FILTER ...",
     "archive tasks that are not active", move_options, run_archive},
    {"task", "delete", "ID ... | --all FILTER ...",
     "delete tasks that are not active", move_options, run_delete},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
