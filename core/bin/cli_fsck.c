/* lunaq fsck: looks a broker over for what must never be, and mends it. */
#include "cli.h"

#include <cjson/cJSON.h>
#include <string.h>

#define CLI_CLEAN 0
#define CLI_FAULTS 1
#define CLI_ERROR 2 /* not looked over */

static const struct cli_option fsck_options[] = {
    {"queue", "NAME", "this queue only"},
    {"repair", NULL, "mend what is found; no task is lost by it"},
    {"json", NULL, "print JSON"},
    {NULL, NULL, NULL}};

struct report {
    bool repair;
    cJSON *faults; /* NULL: lines are printed */
};

static void to_json(struct report *r, const lunaq_fault *f)
{
    cJSON *o = cJSON_CreateObject();
    cli_json_str(o, "kind", f->kind);
    cli_json_str(o, "queue", f->queue);
    cli_json_str(o, "id", f->id);
    cli_json_str(o, "text", f->text);
    cli_json_str(o, "cure", f->cure);
    cJSON_AddBoolToObject(o, "repaired", f->repaired != 0);
    cJSON_AddItemToArray(r->faults, o);
}

static void put(void *ud, const lunaq_fault *f)
{
    struct report *r = ud;
    if (r->faults) {
        to_json(r, f);
        return;
    }
    if (f->queue[0]) {
        cli_put_text(stdout, f->queue, strlen(f->queue));
        fputs(": ", stdout);
    }
    cli_put_text(stdout, f->text, strlen(f->text));
    printf("  [%s]", f->kind);
    if (f->repaired)
        printf("  repaired: %s", f->cure);
    else if (!f->cure[0])
        printf("  look at it yourself: repair does nothing about it");
    else if (r->repair)
        printf("  not repaired: it is in use, or changed meanwhile");
    else
        printf("  repair: %s", f->cure);
    putchar('\n');
}

static int put_sum(const struct report *r, const lunaq_checked *c)
{
    if (r->faults) {
        cJSON *o = cJSON_CreateObject();
        cli_json_int(o, "queues", c->queues);
        cli_json_int(o, "tasks", c->tasks);
        cli_json_int(o, "fault_count", c->faults);
        cli_json_int(o, "repaired", c->repaired);
        cJSON_AddItemToObject(o, "faults", r->faults);
        return cli_json_print(o);
    }
    printf("%lld queue%s, %lld task%s: ", (long long)c->queues,
           c->queues == 1 ? "" : "s", (long long)c->tasks,
           c->tasks == 1 ? "" : "s");
    if (c->faults == 0)
        printf("clean\n");
    else if (r->repair)
        printf("%lld fault%s, %lld repaired\n", (long long)c->faults,
               c->faults == 1 ? "" : "s", (long long)c->repaired);
    else
        printf("%lld fault%s; 'lunaq fsck --repair' mends what it can\n",
               (long long)c->faults, c->faults == 1 ? "" : "s");
    return CLI_OK;
}

static int run_fsck(struct cli *cli)
{
    lunaq_check_options options = LUNAQ_CHECK_OPTIONS_INIT;
    lunaq_checked checked = {.size = sizeof checked};
    lunaq_error err = LUNAQ_ERROR_INIT;
    struct report r = {.repair = cli_get(cli, "repair") != NULL};
    cli->failed = CLI_ERROR;
    if (cli_begin(cli, 0, 0))
        return CLI_ERROR;
    r.faults = cli->json ? cJSON_CreateArray() : NULL;
    options.repair = r.repair;
    options.fault = put;
    options.ud = &r;
    if (lunaq_queue_check(cli->client, cli_get(cli, "queue"), &options,
                          &checked, &err)) {
        cJSON_Delete(r.faults);
        (void)cli_fail(&err);
        return CLI_ERROR;
    }
    if (put_sum(&r, &checked) != CLI_OK)
        return CLI_ERROR;
    return checked.faults ? CLI_FAULTS : CLI_CLEAN;
}

const struct cli_verb cli_fsck_verbs[] = {
    {"fsck", NULL, "",
     "look the broker over for faults: exit 0 clean, 1 faults, 2 error",
     fsck_options, run_fsck},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
