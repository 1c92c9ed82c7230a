/* lunaq enqueue --batch: many tasks, one JSON object a line, in few round
 * trips; each with its own result. */
#include "cli.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "task/duration.h"
#include "task/durable.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 100
#define HEADERS_MAX 32
#define LINE_MAX_BYTES ((size_t)32 * 1024 * 1024)

/* One line. */
struct item {
    cJSON *json;    /* the task's strings live in it */
    lq_buf payload; /* as lunaq writes JSON */
    lunaq_header headers[HEADERS_MAX];
    struct cli_said said;
    char wrong[200]; /* "" = it can be sent */
};

struct batch {
    struct cli *cli;
    lunaq_handler_list *handlers;
    cJSON *all; /* with --json */
    struct item items[AT_ONCE];
    lunaq_task tasks[AT_ONCE];
    lunaq_enqueued results[AT_ONCE];
    size_t lines[AT_ONCE];
    size_t count, line, taken, refused;
};

/* ---- a line's members ---------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static bool wrong(struct item *it,
                                                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(it->wrong, sizeof it->wrong, format, args);
    va_end(args);
    return false;
}

static bool text(struct item *it, const cJSON *v, const char **out)
{
    if (!cJSON_IsString(v) || !v->valuestring[0])
        return wrong(it, "%s: give text", v->string);
    *out = v->valuestring;
    return true;
}

/* "5m", or seconds. */
static bool duration(struct item *it, const cJSON *v, int64_t *ms)
{
    if (cJSON_IsString(v) &&
        !lq_duration_parse(lq_str_c(v->valuestring), ms, NULL))
        return true;
    if (cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble < 1e12) {
        *ms = (int64_t)(v->valuedouble * 1000 + 0.5);
        return true;
    }
    return wrong(it, "%s: give a duration like \"90s\" or \"5m\"", v->string);
}

static bool instant(struct item *it, const cJSON *v, int64_t *at)
{
    if (cJSON_IsString(v) && cli_instant_parse(v->valuestring, at))
        return true;
    return wrong(it, "%s: give an instant like \"2026-01-31T12:00:00Z\"",
                 v->string);
}

static bool deadline(struct item *it, const cJSON *v, int64_t *at)
{
    if (cJSON_IsString(v) && cli_instant_parse(v->valuestring, at))
        return true;
    if (!duration(it, v, at))
        return false;
    *at += lq_now_ms();
    return true;
}

static bool headers(struct item *it, const cJSON *v, lunaq_task *t)
{
    const cJSON *h;
    if (!cJSON_IsObject(v))
        return wrong(it, "headers: give {\"name\": \"value\"}");
    cJSON_ArrayForEach(h, v)
    {
        if (!cJSON_IsString(h))
            return wrong(it, "headers: %.60s: give text", h->string);
        if (t->header_count == HEADERS_MAX)
            return wrong(it, "more than %d headers", HEADERS_MAX);
        it->headers[t->header_count++] =
            (lunaq_header){h->string, h->valuestring};
    }
    t->headers = it->headers;
    return true;
}

static bool max_retry(struct item *it, const cJSON *v, lunaq_task *t)
{
    if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble) ||
        v->valuedouble < 0 || v->valuedouble > INT32_MAX)
        return wrong(it, "max_retry: give a whole number");
    t->max_retry = cli_or_none((int64_t)v->valuedouble);
    it->said.max_retry = true;
    return true;
}

static bool member(struct item *it, const cJSON *v, lunaq_task *t)
{
    const struct {
        const char *name;
        const char **text;
        int64_t *ms;
        bool *said;
    } plain[] = {
        {"type", &t->type, NULL, NULL},
        {"queue", &t->queue, NULL, NULL},
        {"task_id", &t->task_id, NULL, NULL},
        {"group", &t->group, NULL, NULL},
        {"timeout", NULL, &t->timeout_ms, &it->said.timeout},
        {"retention", NULL, &t->retention_ms, &it->said.retention},
        {"unique", NULL, &t->unique_ms, &it->said.unique},
        {"process_in", NULL, &t->process_in_ms, NULL},
    };
    for (size_t i = 0; i < LQ_COUNT(plain); i++) {
        if (strcmp(plain[i].name, v->string) != 0)
            continue;
        if (plain[i].said)
            *plain[i].said = true;
        return plain[i].text ? text(it, v, plain[i].text)
                             : duration(it, v, plain[i].ms);
    }
    if (strcmp(v->string, "payload") == 0)
        return true;
    if (strcmp(v->string, "max_retry") == 0)
        return max_retry(it, v, t);
    if (strcmp(v->string, "process_at") == 0)
        return instant(it, v, &t->process_at);
    if (strcmp(v->string, "deadline") == 0)
        return deadline(it, v, &t->deadline_at);
    if (strcmp(v->string, "headers") == 0)
        return headers(it, v, t);
    if (strcmp(v->string, "durable") == 0) {
        if (cJSON_IsString(v) &&
            lq_durable_parse(lq_str_c(v->valuestring), &t->durable))
            return true;
        return wrong(it, "durable: give \"none\", \"replica\" or \"fsync\"");
    }
    return wrong(it,
                 "unknown member \"%.40s\" (known: type payload queue task_id "
                 "group max_retry timeout deadline process_in process_at "
                 "unique retention headers durable)",
                 v->string);
}

/* Where the value that begins at p ends; p is in valid JSON without space. */
static const char *after_value(const char *p)
{
    int depth = 0;
    do {
        if (*p == '"') {
            for (p++; *p != '"'; p++)
                p += *p == '\\';
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            depth--;
        }
        p++;
    } while (depth > 0 || (*p && !strchr(",]}", *p)));
    return p;
}

/* The payload as bytes: from the text, for a number may have more digits than
 * a double has.  it->payload holds the whole line, in lunaq's way. */
static lq_str payload_of(const lq_buf *line)
{
    static const char name[] = "\"payload\":";
    const char *p = line->p + 1; /* after '{' */
    while (*p && *p != '}') {
        bool here = strncmp(p, name, sizeof name - 1) == 0;
        const char *colon = after_value(p);
        /* A name ends at its ':', which after_value() takes for a part. */
        const char *value = here ? p + sizeof name - 1 : NULL;
        if (here)
            return lq_str_n(value, (size_t)(after_value(value) - value));
        p = *colon == ',' ? colon + 1 : colon;
    }
    return (lq_str){0};
}

/* JSON text with a NUL in a string, behind which C would see nothing. */
static bool has_nul(const char *p, const char *end)
{
    for (; p < end; p++) {
        if (*p != '\\')
            continue;
        if (end - p >= 6 && memcmp(p, "\\u0000", 6) == 0)
            return true;
        p++; /* what is escaped: another backslash, say */
    }
    return false;
}

static bool read_line(struct batch *b, struct item *it, lunaq_task *t,
                      const char *line, size_t len)
{
    const char *why = cli_json_canonical(&it->payload, line, len);
    if (why)
        return wrong(it, "it is not JSON: it has %s", why);
    it->json = cJSON_ParseWithLength(line, len);
    if (!cJSON_IsObject(it->json))
        return wrong(it, "give an object: {\"type\": \"x\", \"payload\": {}}");
    const cJSON *v;
    cJSON_ArrayForEach(v, it->json)
    {
        if (!member(it, v, t))
            return false;
    }
    if (!t->type)
        return wrong(it, "it has no \"type\"");
    if (it->said.timeout)
        t->timeout_ms = cli_or_none(t->timeout_ms);
    lq_str payload = payload_of(&it->payload);
    if (!payload.p &&
        cJSON_GetObjectItemCaseSensitive(it->json, "payload")) /* \u0070ay… */
        return wrong(it, "write the name \"payload\" without escapes");
    const char *begin = it->payload.p, *end = begin + it->payload.len;
    if (has_nul(begin, payload.p ? payload.p : end) ||
        (payload.p && has_nul(payload.p + payload.len, end)))
        return wrong(it, "it has a \\u0000 outside of its payload");
    t->payload = payload.p;
    t->payload_len = payload.len;
    cli_defaults_fill(b->handlers, t, &it->said);
    return true;
}

/* ---- results ------------------------------------------------------------- */

static void put_result(struct batch *b, size_t i)
{
    const struct item *it = &b->items[i];
    const lunaq_task *t = &b->tasks[i];
    const lunaq_enqueued *e = &b->results[i];
    const char *state = cli_enqueued_state(t, e);
    if (b->cli->json) {
        cJSON *o = cJSON_CreateObject();
        cli_json_int(o, "line", (int64_t)b->lines[i]);
        cli_json_str(o, "id", e->id);
        cli_json_str(o, "state", it->wrong[0] ? "refused" : state);
        if (it->wrong[0])
            cli_json_str(o, "error", it->wrong);
        cJSON_AddItemToArray(b->all, o);
    } else if (it->wrong[0]) {
        printf("line %zu  refused: %s\n", b->lines[i], it->wrong);
    } else {
        printf("%s  %s in queue %s\n", e->id, state,
               t->queue ? t->queue : "default");
    }
    b->refused += it->wrong[0] != 0;
    b->taken += !it->wrong[0];
}

/* Codes alone say little to people.  What is invalid is sent again by itself:
 * it is refused before anything leaves, with its message. */
static void explain(struct batch *b, size_t i)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_enqueued again;
    const lunaq_enqueued *e = &b->results[i];
    if (e->code == LUNAQ_EINVAL)
        lunaq_client_enqueue(b->cli->client, &b->tasks[i], &again, &err);
    wrong(&b->items[i], "%s%s%s",
          err.message[0] ? err.message : lunaq_strerror(e->code),
          e->code == LUNAQ_EUNKNOWN ? "; its id is " : "",
          e->code == LUNAQ_EUNKNOWN ? e->id : "");
}

static void send_items(struct batch *b)
{
    lunaq_task tasks[AT_ONCE];
    lunaq_enqueued results[AT_ONCE];
    size_t from[AT_ONCE], n = 0;
    for (size_t i = 0; i < b->count; i++)
        if (!b->items[i].wrong[0]) {
            tasks[n] = b->tasks[i];
            from[n++] = i;
        }
    memset(results, 0, sizeof results);
    if (n > 0)
        (void)lunaq_client_enqueue_many(b->cli->client, tasks, n, results,
                                        NULL);
    for (size_t k = 0; k < n; k++) {
        b->results[from[k]] = results[k];
        if (results[k].code)
            explain(b, from[k]);
    }
    for (size_t i = 0; i < b->count; i++) {
        put_result(b, i);
        cJSON_Delete(b->items[i].json);
        lq_buf_release(&b->items[i].payload);
    }
    b->count = 0;
}

/* ---- the whole ----------------------------------------------------------- */

static void add_line(struct batch *b, const char *line, size_t len)
{
    b->line++;
    while (len && strchr(" \t\r\n", line[len - 1]))
        len--;
    if (len == 0)
        return;
    size_t i = b->count++;
    b->items[i] = (struct item){0};
    lq_buf_init(&b->items[i].payload, LINE_MAX_BYTES);
    b->tasks[i] = (lunaq_task)LUNAQ_TASK_INIT;
    b->results[i] = (lunaq_enqueued){0};
    b->lines[i] = b->line;
    (void)read_line(b, &b->items[i], &b->tasks[i], line, len);
    if (b->count == AT_ONCE)
        send_items(b);
}

int cli_enqueue_batch(struct cli *cli, const char *name)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    int rc = CLI_OK;
    FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
    if (!f)
        return cli_misuse("--batch %s: %s", name, strerror(errno));
    struct batch *b = calloc(1, sizeof *b);
    if (!b || !cli_client(cli)) {
        rc = CLI_FAILED;
        goto out;
    }
    b->cli = cli;
    b->all = cli->json ? cJSON_CreateArray() : NULL;
    (void)lunaq_handler_list_open(cli->client, &b->handlers, NULL);
    while ((len = getline(&line, &room, f)) >= 0)
        add_line(b, line, (size_t)len);
    send_items(b);
    if (ferror(f)) {
        cli_misuse("--batch %s: %s", name, strerror(errno));
        rc = CLI_FAILED;
    }
    if (cli->json && cli_json_print(b->all) != CLI_OK)
        rc = CLI_FAILED;
    if (b->refused) {
        cli_misuse("%zu of %zu tasks were refused", b->refused,
                   b->refused + b->taken);
        rc = CLI_FAILED;
    }
    lunaq_handler_list_free(b->handlers);
out:
    free(b);
    free(line);
    if (f != stdin)
        fclose(f);
    return rc;
}
