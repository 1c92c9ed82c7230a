/* Lines of the daemon's own: text for people, JSON for machines. */
#include "bin/lunaqd_say.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void put(const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, text, len);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

void say_init(say *s)
{
    *s = (say){.level = LUNAQ_LOG_INFO};
}

void say_configure(say *s, const config *c)
{
    int64_t format = c->options.log_format;
    s->json = format == LUNAQ_LOG_JSON ||
              (format == LUNAQ_LOG_AUTO && !isatty(STDERR_FILENO));
    s->journal = getenv("JOURNAL_STREAM") != NULL;
    if (c->options.log_level)
        s->level = c->options.log_level;
}

/* Syslog's number of a level, as "<6>", when the journal reads along. */
static const char *priority(const say *s, lunaq_log_level level)
{
    static const char *const all[] = {"", "<7>", "<6>", "<4>", "<3>", ""};
    return s->journal ? all[level] : "";
}

static cJSON *json_line(lunaq_log_level level, const char *message)
{
    static const char *const names[] = {"",     "debug", "info",
                                        "warn", "error", "off"};
    struct timespec now;
    struct tm tm;
    char text[48];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof(text) - n, ".%03dZ",
             (int)(now.tv_nsec / 1000000));
    cJSON *line = cJSON_CreateObject();
    cJSON_AddStringToObject(line, "ts", text);
    cJSON_AddStringToObject(line, "level", names[level]);
    cJSON_AddStringToObject(line, "msg", message);
    return line;
}

/* Writes and frees it. */
static void put_json(const say *s, lunaq_log_level level, cJSON *line)
{
    char *text = cJSON_PrintUnformatted(line);
    size_t size = text ? strlen(text) + 8 : 0;
    char *whole = text ? malloc(size) : NULL;
    if (whole) {
        snprintf(whole, size, "%s%s\n", priority(s, level), text);
        put(whole);
    }
    free(whole);
    cJSON_free(text);
    cJSON_Delete(line);
}

void say_line(const say *s, lunaq_log_level level, const char *format, ...)
{
    char message[1024], line[1100];
    if (level < s->level)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (s->json) {
        put_json(s, level, json_line(level, message));
        return;
    }
    snprintf(line, sizeof(line), "%slunaqd: %s\n", priority(s, level), message);
    put(line);
}

static void queues_text(const config *c, char *out, size_t size)
{
    size_t n = 0;
    if (c->options.queue_count == 0)
        snprintf(out, size, "critical 6, default 3, low 1");
    for (size_t i = 0; i < c->options.queue_count && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s %lld", i ? ", " : "",
                              c->options.queues[i].queue,
                              (long long)c->options.queues[i].weight);
}

void say_banner(const say *s, const config *c, const char *server_id,
                const char *handlers)
{
    char broker[256], database[256] = "none", queues[256], text[2048];
    const char *from = c->source[config_key_find("broker")];
    const char *db_from = c->source[config_key_find("database")];
    int64_t concurrency = c->options.concurrency ? c->options.concurrency : 10;
    bool file = strncmp(c->options.broker, "sqlite:", 7) == 0;
    config_show_url(c->options.broker, broker, sizeof(broker));
    if (c->options.database)
        config_show_url(c->options.database, database, sizeof(database));
    queues_text(c, queues, sizeof(queues));
    if (s->level > LUNAQ_LOG_INFO)
        return;
    if (s->json) {
        cJSON *line = json_line(LUNAQ_LOG_INFO, "lunaqd started");
        cJSON_AddStringToObject(line, "version", lunaq_version());
        cJSON_AddNumberToObject(line, "pid", getpid());
        cJSON_AddStringToObject(line, "server_id", server_id);
        cJSON_AddStringToObject(line, "broker", broker);
        cJSON_AddStringToObject(line, "broker_source", from ? from : "default");
        cJSON_AddStringToObject(line, "database", database);
        cJSON_AddStringToObject(line, "database_source",
                                db_from ? db_from : "default");
        cJSON_AddStringToObject(line, "handlers", handlers);
        cJSON_AddStringToObject(line, "queues", queues);
        cJSON_AddBoolToObject(line, "strict", c->options.strict != 0);
        cJSON_AddNumberToObject(line, "concurrency", (double)concurrency);
        put_json(s, LUNAQ_LOG_INFO, line);
        return;
    }
    const char *p = priority(s, LUNAQ_LOG_INFO);
    int n = snprintf(
        text, sizeof(text),
        "%slunaq %s   broker %s   (%s)\n%sdatabase      %s   (%s)\n"
        "%shandlers      %s\n%squeues        %s%s; %lld tasks at once\n",
        p, lunaq_version(), broker,
        from   ? from
        : file ? "default; LUNAQ_BROKER=redis://… for Redis"
               : "default",
        p, database,
        db_from ? db_from : "default; DATABASE_URL=postgres://… for PostgreSQL",
        p, handlers, p, queues, c->options.strict ? ", strict" : "",
        (long long)concurrency);
    if (isatty(STDERR_FILENO) && n > 0 && (size_t)n < sizeof(text))
        snprintf(text + n, sizeof(text) - (size_t)n,
                 "stop          Ctrl-C waits for running tasks; twice stops "
                 "now\n");
    put(text);
}
