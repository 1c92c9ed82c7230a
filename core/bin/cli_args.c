/* Options and arguments, and the nearest word to a misspelt one. */
#include "cli.h"

#include "base/error.h"
#include "base/str.h"
#include "task/duration.h"

#include <string.h>

/* Every verb takes these. */
static const struct cli_option globals[] = {{"broker", "URL", ""},
                                            {"prefix", "NAME", ""},
                                            {"help", NULL, ""},
                                            {NULL, NULL, NULL}};

/* ---- nearest ---------------------------------------------------------------
 */

const char *cli_nearest(const char *word, const char *const *words)
{
    const char *best = NULL;
    size_t least = strlen(word) < 4 ? 2 : 3; /* more is another word */
    for (; *words; words++) {
        size_t d = lq_str_distance(word, *words);
        if (d < least && d < strlen(*words)) {
            least = d;
            best = *words;
        }
    }
    return best;
}

/* ---- parsing ---------------------------------------------------------------
 */

static const struct cli_option *look(const struct cli_option *o,
                                     const char *name, size_t len)
{
    for (; o && o->name; o++)
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
    return NULL;
}

static const char *verb_name(const struct cli_verb *v, char *out, size_t size)
{
    snprintf(out, size, "%s%s%s", v->noun, v->name ? " " : "",
             v->name ? v->name : "");
    return out;
}

static int unknown(const struct cli *cli, const char *name, size_t len)
{
    const char *words[64] = {NULL};
    size_t n = 0;
    char word[LQ_WORD_MAX + 1] = "", verb[64];
    if (len <= LQ_WORD_MAX)
        memcpy(word, name, len);
    for (const struct cli_option *o = cli->verb->options; o && o->name; o++)
        if (n < 60)
            words[n++] = o->name;
    words[n++] = "broker";
    words[n++] = "prefix";
    const char *near = cli_nearest(word, words);
    verb_name(cli->verb, verb, sizeof verb);
    return cli_misuse("%s has no option --%.*s%s%s%s; try 'lunaq help %s'",
                      verb, (int)len, name, near ? ", did you mean --" : "",
                      near ? near : "", near ? "?" : "", verb);
}

int cli_parse(struct cli *cli, int argc, char **argv, char **args)
{
    char verb[64];
    verb_name(cli->verb, verb, sizeof verb);
    cli->args = args;
    bool options = true;
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (options && strcmp(a, "--") == 0) {
            options = false;
            continue;
        }
        if (options && strcmp(a, "-h") == 0)
            a = "--help";
        if (!options || a[0] != '-' || a[1] == '\0') {
            args[cli->arg_count++] = argv[i];
            continue;
        }
        if (a[1] != '-')
            return cli_misuse("options begin with two dashes: '%s'; try "
                              "'lunaq help %s'",
                              a, verb);
        const char *name = a + 2, *eq = strchr(name, '=');
        size_t len = eq ? (size_t)(eq - name) : strlen(name);
        const struct cli_option *o = look(cli->verb->options, name, len);
        if (!o)
            o = look(globals, name, len);
        if (!o)
            return unknown(cli, name, len);
        if (!o->arg && eq)
            return cli_misuse("--%s takes no value; try 'lunaq help %s'",
                              o->name, verb);
        const char *value = "";
        if (o->arg && eq)
            value = eq + 1;
        else if (o->arg && i + 1 < argc)
            value = argv[++i];
        else if (o->arg)
            return cli_misuse("--%s needs a value: --%s %s; try 'lunaq help "
                              "%s'",
                              o->name, o->name, o->arg, verb);
        if (cli->option_count == CLI_OPTIONS_MAX)
            return cli_misuse("more than %d options; try 'lunaq help %s'",
                              CLI_OPTIONS_MAX, verb);
        cli->options[cli->option_count++] = (struct cli_given){o->name, value};
    }
    cli->json = cli_get(cli, "json") != NULL;
    return CLI_OK;
}

const char *cli_get(const struct cli *cli, const char *name)
{
    for (size_t i = cli->option_count; i-- > 0;)
        if (strcmp(cli->options[i].name, name) == 0)
            return cli->options[i].value;
    return NULL;
}

/* ---- values ----------------------------------------------------------------
 */

int cli_get_int(const struct cli *cli, const char *name, int64_t min,
                int64_t max, int64_t *value)
{
    const char *text = cli_get(cli, name);
    if (!text)
        return CLI_OK;
    int64_t v = 0;
    if (!lq_str_int64(lq_str_c(text), &v) || v < min || v > max)
        return cli_misuse("--%s '%s': give a whole number from %lld to %lld",
                          name, text, (long long)min, (long long)max);
    *value = v;
    return CLI_OK;
}

int cli_get_duration(const struct cli *cli, const char *name, int64_t *ms)
{
    const char *text = cli_get(cli, name);
    if (!text)
        return CLI_OK;
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lq_duration_parse(lq_str_c(text), ms, &err))
        return cli_misuse("--%s: %s", name, err.message);
    return CLI_OK;
}

int cli_get_state(const struct cli *cli, const char *name, int64_t *state)
{
    static const char *const names[] = {"active",      "pending",  "scheduled",
                                        "retry",       "archived", "completed",
                                        "aggregating", NULL};
    const char *text = cli_get(cli, name);
    if (!text)
        return CLI_OK;
    *state = lunaq_state_parse(text);
    if (*state != LUNAQ_STATE_ANY)
        return CLI_OK;
    const char *near = cli_nearest(text, names);
    return cli_misuse("--%s '%s'%s%s%s: give pending, scheduled, active, "
                      "retry, completed, archived or aggregating",
                      name, text, near ? ", did you mean " : "",
                      near ? near : "", near ? "?" : "");
}

int cli_want_args(const struct cli *cli, int min, int max)
{
    if (cli->arg_count >= min && cli->arg_count <= max)
        return CLI_OK;
    char verb[64];
    verb_name(cli->verb, verb, sizeof verb);
    if (cli->arg_count > max)
        return cli_misuse("%s: too much: '%s'; try 'lunaq help %s'", verb,
                          cli->args[max], verb);
    return cli_misuse("%s: usage: lunaq %s %s", verb, verb, cli->verb->usage);
}
