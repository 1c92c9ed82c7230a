/* The setting `queues`: names with a weight each, or with a table of all that
 * can be said of a queue. */
#include "bin/config_value.h"

#include <math.h>
#include <string.h>

/* The members of a queue's table, as lunaq_queue_options and
 * lunaq_queue_weight have them. */
static const struct {
    const char *name;
    bool duration;    /* else a count */
    size_t offset;    /* in lunaq_queue_options; weight: none */
    int64_t min, max; /* durations: seconds */
} members[] = {
    {"weight", false, 0, 0, 0},
    {"concurrency", false, offsetof(lunaq_queue_options, concurrency), 0,
     100000},
    {"archive_max", false, offsetof(lunaq_queue_options, archive_max), -1,
     INT32_MAX},
    {"archive", true, offsetof(lunaq_queue_options, archive_ms), -1,
     100 * INT64_C(366) * 86400},
    {"completed_max", false, offsetof(lunaq_queue_options, completed_max), -1,
     INT32_MAX},
    {"group_grace", true, offsetof(lunaq_queue_options, group_grace_ms), 0,
     INT64_C(30) * 86400},
    {"group_max_delay", true, offsetof(lunaq_queue_options, group_max_delay_ms),
     -1, INT64_C(30) * 86400},
    {"group_max_size", false, offsetof(lunaq_queue_options, group_max_size), -1,
     INT32_MAX},
};
enum { MEMBER_COUNT = sizeof(members) / sizeof(members[0]) };

/* What a broker takes as a queue's name; Asynq's keys put it in braces. */
static bool queue_name_ok(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > LUNAQ_NAME_MAX || strpbrk(name, "{}"))
        return false;
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return name[strspn(name, " ")] != '\0';
}

static bool is_whole(const cJSON *v, int64_t min, int64_t max)
{
    return cJSON_IsNumber(v) && v->valuedouble == floor(v->valuedouble) &&
           v->valuedouble >= (double)min && v->valuedouble <= (double)max;
}

static int set_weight(int64_t *weight, const config_key *key, const cJSON *v,
                      const config_from *from, lunaq_error *err)
{
    if (!is_whole(v, 1, key->max))
        return config_expected(from,
                               "a weight from 1 to 1000000, or a table such "
                               "as { weight = 3, concurrency = 5 }",
                               v, false, err);
    *weight = (int64_t)v->valuedouble;
    return LUNAQ_OK;
}

/* 0 is the default and -1 none, as in the C options. */
static int set_member(int64_t *place, size_t i, const cJSON *v,
                      const config_from *from, lunaq_error *err)
{
    int64_t ms = 0;
    if (is_whole(v, members[i].min, members[i].max)) {
        *place = (int64_t)v->valuedouble;
        if (members[i].duration && *place > 0)
            *place *= 1000;
        return LUNAQ_OK;
    }
    if (members[i].duration && cJSON_IsString(v) &&
        config_duration(v->valuestring, &ms) && ms > 0) {
        *place = ms;
        return LUNAQ_OK;
    }
    static const char *const expected[] = {
        "a whole number; 0 = no cap",
        "a whole number; 0 = the default, -1 = no limit",
        "a time such as \"30d\"; 0 = the default, -1 = no limit"};
    return config_expected(from,
                           expected[members[i].duration ? 2
                                    : members[i].min    ? 1
                                                        : 0],
                           v, false, err);
}

static int set_table(lunaq_queue_weight *weight, lunaq_queue_options *options,
                     const config_key *key, const cJSON *table,
                     const config_from *from, lunaq_error *err)
{
    const cJSON *v;
    weight->weight = 1;
    cJSON_ArrayForEach(v, table)
    {
        const char *names[MEMBER_COUNT];
        char what[160];
        size_t i = 0;
        for (size_t k = 0; k < MEMBER_COUNT; k++)
            names[k] = members[k].name;
        while (i < MEMBER_COUNT && strcmp(names[i], v->string) != 0)
            i++;
        if (i == MEMBER_COUNT) {
            const char *near = config_nearest(v->string, names, MEMBER_COUNT);
            return config_fail(
                err, from->code, "%s%s%s: unknown key %s%s%s%s",
                from->where ? from->where : "", from->where ? ": " : "",
                from->what, config_quote(v->string).text,
                near ? ": did you mean \"" : "", near ? near : "",
                near ? "\"?" : "; see lunaq.conf(5)");
        }
        snprintf(what, sizeof(what), "%s.%s", from->what, names[i]);
        config_from here = *from;
        here.what = what;
        int rc = i == 0 ? set_weight(&weight->weight, key, v, &here, err)
                        : set_member((int64_t *)(void *)((char *)options +
                                                         members[i].offset),
                                     i, v, &here, err);
        if (rc)
            return rc;
    }
    return LUNAQ_OK;
}

int config_set_queues(config *c, const config_key *key, const cJSON *v,
                      const config_from *from, lunaq_error *err)
{
    int count = cJSON_IsObject(v) ? cJSON_GetArraySize(v) : 0;
    if (count == 0)
        return config_expected(
            from, "a table of queue names and weights, { default = 1 }", v,
            false, err);
    lunaq_queue_weight *queues =
        config_alloc(c, (size_t)count * sizeof(*queues));
    lunaq_queue_options *options =
        config_alloc(c, (size_t)count * sizeof(*options));
    if (!queues || !options)
        return config_fail(err, LUNAQ_ENOMEM, "out of memory");
    size_t n = 0;
    const cJSON *q;
    cJSON_ArrayForEach(q, v)
    {
        char what[96];
        snprintf(what, sizeof(what), "%s: %s", from->what,
                 config_quote(q->string).text);
        config_from here = *from;
        here.what = what;
        if (!queue_name_ok(q->string))
            return config_expected(
                &here,
                "a name without braces and control characters, up to 256 bytes",
                q, false, err);
        options[n] = (lunaq_queue_options)LUNAQ_QUEUE_OPTIONS_INIT;
        int rc = cJSON_IsObject(q)
                     ? set_table(&queues[n], &options[n], key, q, &here, err)
                     : set_weight(&queues[n].weight, key, q, &here, err);
        if (rc)
            return rc;
        queues[n].queue = options[n].queue = config_strdup(c, q->string);
        if (!queues[n++].queue)
            return config_fail(err, LUNAQ_ENOMEM, "out of memory");
    }
    c->options.queues = queues;
    c->options.queue_count = n;
    c->options.queue_options = options;
    c->options.queue_option_count = n;
    return LUNAQ_OK;
}

static int64_t member_of(const lunaq_queue_options *o, size_t i)
{
    int64_t n;
    memcpy(&n, (const char *)o + members[i].offset, sizeof(n));
    return n;
}

void config_print_queue(const config *c, size_t queue, FILE *out)
{
    const lunaq_queue_options *o = c->options.queue_options + queue;
    long long weight = (long long)c->options.queues[queue].weight;
    bool table = false;
    for (size_t i = 1; i < MEMBER_COUNT; i++)
        table = table || member_of(o, i) != 0;
    if (!table) {
        fprintf(out, "%lld", weight);
        return;
    }
    fprintf(out, "{ weight = %lld", weight);
    for (size_t i = 1; i < MEMBER_COUNT; i++) {
        int64_t n = member_of(o, i);
        if (n == 0)
            continue;
        fprintf(out, ", %s = ", members[i].name);
        if (!members[i].duration || n < 0)
            fprintf(out, "%lld", (long long)n);
        else if (n % 1000)
            fprintf(out, "\"%lldms\"", (long long)n);
        else
            fprintf(out, "\"%llds\"", (long long)n / 1000);
    }
    fputs(" }", out);
}
