/* lunaq doctor: how the broker, its queues and its servers are. */
#include "cli.h"

#include <cjson/cJSON.h>
#include <string.h>

#define CLI_WELL 0
#define CLI_ILL 1
#define CLI_ERROR 2 /* not looked at */

static const struct cli_option json_option[] = {{"json", NULL, "print JSON"},
                                                {NULL, NULL, NULL}};

struct report {
    cJSON *all; /* NULL: lines are printed */
    bool ill;
};

static const char *word_of(int64_t level)
{
    return level == LUNAQ_LEVEL_OK     ? "ok"
           : level == LUNAQ_LEVEL_WARN ? "warn"
                                       : "error";
}

static void put(void *ud, const lunaq_finding *f)
{
    struct report *r = ud;
    r->ill = r->ill || f->level != LUNAQ_LEVEL_OK;
    if (r->all) {
        cJSON *o = cJSON_CreateObject();
        cli_json_str(o, "level", word_of(f->level));
        cli_json_str(o, "area", f->area);
        cli_json_str(o, "text", f->text);
        cli_json_str(o, "cure", f->cure);
        cJSON_AddItemToArray(r->all, o);
        return;
    }
    printf("%-6s %-12s ", word_of(f->level), f->area);
    cli_put_text(stdout, f->text, strlen(f->text));
    if (f->cure[0])
        printf("; %s", f->cure);
    putchar('\n');
}

static int run_doctor(struct cli *cli)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    struct report r = {0};
    cli->failed = CLI_ERROR;
    if (cli_begin(cli, 0, 0))
        return CLI_ERROR;
    r.all = cli->json ? cJSON_CreateArray() : NULL;
    if (lunaq_doctor(cli->client, put, &r, &err)) {
        cJSON_Delete(r.all);
        (void)cli_fail(&err);
        return CLI_ERROR;
    }
    if (r.all && cli_json_print(r.all) != CLI_OK)
        return CLI_ERROR;
    return r.ill ? CLI_ILL : CLI_WELL;
}

const struct cli_verb cli_doctor_verbs[] = {
    {"doctor", NULL, "",
     "say how broker, queues and servers are, and what to do", json_option,
     run_doctor},
    {NULL, NULL, NULL, NULL, NULL, NULL}};
