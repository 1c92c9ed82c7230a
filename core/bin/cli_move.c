/* lunaq task run, cancel, archive, delete: one by one, or a whole state. */
#include "cli.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static const struct cli_option move_options[] = {
    {"all", NULL, "every task of --queue in --state"},
    {"queue", "NAME", "the queue; an id is found without it"},
    {"state", "STATE", "with --all"},
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL}};

static const struct cli_option cancel_options[] = {
    {"all", NULL, "every task of --queue in --state"},
    {"queue", "NAME", "the queue; an id is found without it"},
    {"state", "STATE", "with --all"},
    {"reason", "TEXT", "why, kept with the task"},
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL}};

struct move {
    const char *done; /* "archived" */
    lunaq_move how;   /* 0: cancel */
};

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
                printf("%s  %s\n", t->id,
                       m->how == 0 && t->state == LUNAQ_ACTIVE ? "told to stop"
                                                               : m->done);
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

/* Cancels what a page shows.  *stayed counts those that are still listed. */
static int cancel_page(struct cli *cli, const struct move *m,
                       const lunaq_task_list *list, const char *reason,
                       int64_t *count, lunaq_error *err)
{
    for (size_t i = 0; i < lunaq_task_list_count(list); i++) {
        int rc = move_one(cli, m, lunaq_task_list_at(list, i), reason, err);
        if (rc == LUNAQ_OK)
            (*count)++;
        else if (rc != LUNAQ_ENOTFOUND && rc != LUNAQ_ESTATE)
            return rc; /* those two: it went on meanwhile */
    }
    return LUNAQ_OK;
}

/* Waiting tasks leave their state when they are canceled, so the first page is
 * asked for again; active ones stay, so the pages are turned. */
static int cancel_all(struct cli *cli, const struct move *m, const char *queue,
                      int64_t state, int64_t *count, lunaq_error *err)
{
    char text[200];
    const char *reason = reason_of(cli, text, sizeof text);
    lunaq_task_query q = LUNAQ_TASK_QUERY_INIT;
    q.queue = queue;
    q.state = state;
    q.page_size = 1000;
    for (;;) {
        lunaq_task_list *list = NULL;
        int64_t before = *count;
        int rc = lunaq_task_list_open(cli->client, &q, &list, err);
        size_t seen = lunaq_task_list_count(list);
        if (!rc)
            rc = cancel_page(cli, m, list, reason, count, err);
        lunaq_task_list_free(list);
        if (rc || seen < 1000)
            return rc;
        if (state == LUNAQ_ACTIVE || *count == before)
            q.page++;
    }
}

static int by_state(struct cli *cli, const struct move *m)
{
    const char *queue = cli_get(cli, "queue");
    lunaq_queue_list *queues = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int64_t state = LUNAQ_STATE_ANY, count = 0;
    int rc = cli_get_state(cli, "state", &state);
    if (rc)
        return rc;
    if (cli->arg_count > 0)
        return cli_misuse("--all and '%s': give one or the other",
                          cli->args[0]);
    if (!queue || !state)
        return cli_misuse("--all needs --queue NAME and --state STATE; try "
                          "'lunaq queue ls'");
    if (!cli_client(cli))
        return CLI_FAILED;
    rc = lunaq_queue_list_open(cli->client, queue, &queues, &err);
    lunaq_queue_list_free(queues);
    if (!rc && m->how)
        rc = lunaq_task_move_all(cli->client, queue, (lunaq_state)state, m->how,
                                 &count, &err);
    else if (!rc)
        rc = cancel_all(cli, m, queue, state, &count, &err);
    return rc ? cli_fail(&err) : report(cli, m, count);
}

/* ---- the verbs --------------------------------------------------------------
 */

static int run_move(struct cli *cli, struct move m)
{
    if (cli_get(cli, "all"))
        return by_state(cli, &m);
    if (cli_get(cli, "state"))
        return cli_misuse("--state: only with --all");
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
    return run_move(cli, (struct move){"canceled", (lunaq_move)0});
}

const struct cli_verb cli_move_verbs[] = {
    {"task", "run", "ID ... | --all --queue NAME --state STATE",
     "make waiting or archived tasks pending now", move_options, run_run},
    {"task", "cancel", "ID ... | --all --queue NAME --state STATE",
     "archive tasks, stopping those that run", cancel_options, run_cancel},
    {"task", "archive", "ID ... | --all --queue NAME --state STATE",
     "archive tasks that are not active", move_options, run_archive},
    {"task", "delete", "ID ... | --all --queue NAME --state STATE",
     "delete tasks that are not active", move_options, run_delete},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
