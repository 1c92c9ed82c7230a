/* The key `cron`: a list of periodic tasks. */
#include "bin/config_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A field of an entry and where it goes.  Specs are parsed by the scheduler,
 * which knows the grammar. */
static const struct field {
    const char *name;
    enum { TEXT, PAYLOAD, COUNT, TIME } kind;
    size_t offset;
} fields[] = {
    {"spec", TEXT, offsetof(lunaq_cron_entry, spec)},
    {"type", TEXT, offsetof(lunaq_cron_entry, task.type)},
    {"name", TEXT, offsetof(lunaq_cron_entry, name)},
    {"tz", TEXT, offsetof(lunaq_cron_entry, tz)},
    {"dst", TEXT, offsetof(lunaq_cron_entry, dst)},
    {"missed", TEXT, offsetof(lunaq_cron_entry, missed)},
    {"payload", PAYLOAD, 0},
    {"queue", TEXT, offsetof(lunaq_cron_entry, task.queue)},
    {"group", TEXT, offsetof(lunaq_cron_entry, task.group)},
    {"max_retry", COUNT, offsetof(lunaq_cron_entry, task.max_retry)},
    {"timeout", TIME, offsetof(lunaq_cron_entry, task.timeout_ms)},
    {"retention", TIME, offsetof(lunaq_cron_entry, task.retention_ms)},
    {"unique", TIME, offsetof(lunaq_cron_entry, task.unique_ms)},
};
enum { FIELD_COUNT = sizeof(fields) / sizeof(fields[0]) };

static int set_payload(config *c, lunaq_cron_entry *entry, const cJSON *v)
{
    char *text = NULL;
    if (cJSON_IsString(v)) { /* the bytes themselves */
        entry->task.payload = config_strdup(c, v->valuestring);
    } else {
        text = cJSON_PrintUnformatted(v);
        entry->task.payload = text ? config_strdup(c, text) : NULL;
        cJSON_free(text);
    }
    if (!entry->task.payload)
        return LUNAQ_ENOMEM;
    entry->task.payload_len = strlen(entry->task.payload);
    return LUNAQ_OK;
}

static int set_field(config *c, lunaq_cron_entry *entry, const cJSON *v,
                     const config_from *from, lunaq_error *err)
{
    size_t i = 0;
    while (i < FIELD_COUNT && strcmp(fields[i].name, v->string) != 0)
        i++;
    if (i == FIELD_COUNT) {
        const char *names[FIELD_COUNT];
        for (size_t j = 0; j < FIELD_COUNT; j++)
            names[j] = fields[j].name;
        const char *near = config_nearest(v->string, names, FIELD_COUNT);
        return config_fail(err, from->code, "%s: cron: unknown key %s%s%s%s",
                           from->where, config_quote(v->string).text,
                           near ? ": did you mean \"" : "", near ? near : "",
                           near ? "\"?" : ": see lunaq.conf(5)");
    }
    char *place = (char *)entry + fields[i].offset;
    int64_t number = 0;
    switch (fields[i].kind) {
    case TEXT:
        if (!cJSON_IsString(v) || !*v->valuestring)
            return config_expected(from, "text", v, false, err);
        const char *text = config_strdup(c, v->valuestring);
        memcpy(place, &text, sizeof(text));
        return text ? LUNAQ_OK
                    : config_fail(err, LUNAQ_ENOMEM, "out of memory");
    case PAYLOAD:
        if (set_payload(c, entry, v))
            return config_fail(err, LUNAQ_ENOMEM, "out of memory");
        return LUNAQ_OK;
    case COUNT: /* 0 in the file means none; in the task it is the default */
        if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble) ||
            v->valuedouble < 0 || v->valuedouble > 1e6)
            return config_expected(from, "a whole number from 0 to 1000000", v,
                                   false, err);
        number = v->valuedouble > 0 ? (int64_t)v->valuedouble : -1;
        break;
    case TIME:
        number = -1;
        if (cJSON_IsString(v) && !config_duration(v->valuestring, &number))
            number = -1;
        if (cJSON_IsNumber(v) && v->valuedouble > 0 && v->valuedouble < 1e10)
            number = (int64_t)(v->valuedouble * 1000 + 0.5);
        if (number <= 0)
            return config_expected(from,
                                   "a time such as \"90s\", \"5m\", \"24h\" or "
                                   "a number of seconds above 0",
                                   v, false, err);
        break;
    }
    memcpy(place, &number, sizeof(number));
    return LUNAQ_OK;
}

static int set_entry(config *c, lunaq_cron_entry *entry, const cJSON *v,
                     const config_from *from, lunaq_error *err)
{
    *entry = (lunaq_cron_entry){.size = sizeof(*entry),
                                .task.size = sizeof(entry->task)};
    if (!cJSON_IsObject(v))
        return config_expected(
            from, "a table such as { spec = \"@every 1h\", type = \"x\" }", v,
            false, err);
    const cJSON *field;
    cJSON_ArrayForEach(field, v)
    {
        char what[80];
        config_from here = *from;
        snprintf(what, sizeof(what), "%s.%.32s", from->what, field->string);
        here.what = what;
        int rc = set_field(c, entry, field, &here, err);
        if (rc)
            return rc;
    }
    const char *missing = !entry->spec        ? "spec"
                          : !entry->task.type ? "type"
                                              : NULL;
    if (missing)
        return config_fail(err, from->code,
                           "%s: %s: \"%s\" is missing: every entry has a spec "
                           "(when) and a type (what)",
                           from->where, from->what, missing);
    return LUNAQ_OK;
}

int config_set_cron(config *c, const cJSON *v, const config_from *from,
                    lunaq_error *err)
{
    /* One entry without a list around it is a list of one, as in handlers. */
    bool one = cJSON_IsObject(v) && v->child;
    bool list = cJSON_IsArray(v) || (cJSON_IsObject(v) && !v->child);
    if (!one && !list)
        return config_expected(from, "a list of tables", v, false, err);
    size_t count = one ? 1 : (size_t)cJSON_GetArraySize(v), n = 0;
    lunaq_cron_entry *entries = config_alloc(c, (count + 1) * sizeof(*entries));
    if (!entries)
        return config_fail(err, LUNAQ_ENOMEM, "out of memory");
    const cJSON *entry = one ? v : v->child;
    for (; entry && n < count; n++, entry = entry->next) {
        char what[32] = "cron";
        config_from here = *from;
        if (!one)
            snprintf(what, sizeof(what), "cron[%zu]", n + 1);
        here.what = what;
        int rc = set_entry(c, &entries[n], entry, &here, err);
        if (rc)
            return rc;
    }
    c->options.cron = entries;
    c->options.cron_count = count;
    return LUNAQ_OK;
}
