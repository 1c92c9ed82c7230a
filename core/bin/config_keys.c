/* The table of settings, and the names that follow from it. */
#include "bin/config.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#define OPTION(field) offsetof(config, options.field)
#define REDIS(field) offsetof(config, redis.field)
#define SECOND INT64_C(1000)
#define DAY (86400 * SECOND)

/* clang-format off */
const config_key config_keys[] = {
    {"broker", CONFIG_URL, 0, OPTION(broker), 0, 0, NULL,
     "sqlite:.lunaq/queue.db", {"REDIS_URL", "REDIS_ADDR"}, "URL",
     "where tasks live: sqlite:FILE or redis://[user:password@]host[:port][/db]"},
    {"redis.ca", CONFIG_PATH, 0, REDIS(ca), 0, 0, NULL,
     "the system's", {NULL, NULL}, "FILE",
     "TLS (rediss://): certificates of the authorities to trust, PEM"},
    {"redis.cert", CONFIG_PATH, 0, REDIS(cert), 0, 0, NULL,
     "none", {NULL, NULL}, "FILE", "TLS: our own certificate, PEM"},
    {"redis.key", CONFIG_PATH, 0, REDIS(key), 0, 0, NULL,
     "none", {NULL, NULL}, "FILE", "TLS: its private key, PEM, no passphrase"},
    {"redis.server_name", CONFIG_TEXT, 0, REDIS(server_name), 0, 0, NULL,
     "the host in the URL", {NULL, NULL}, "NAME",
     "TLS: the name that the server's certificate has to have"},
    {"redis.insecure", CONFIG_BOOL, 0, REDIS(insecure), 0, 1, NULL,
     "false", {NULL, NULL}, NULL, "TLS: look at no certificate"},
    {"redis.sentinel_user", CONFIG_TEXT, 0, REDIS(sentinel_user), 0, 0, NULL,
     "the user in the URL", {NULL, NULL}, "NAME",
     "redis-sentinel://: the sentinels' user"},
    {"redis.sentinel_password", CONFIG_SECRET, 0, REDIS(sentinel_password),
     0, 0, NULL, "the password in the URL", {NULL, NULL}, "TEXT",
     "redis-sentinel://: the sentinels' password"},
    {"durable", CONFIG_CHOICE, 0, OPTION(durable), LUNAQ_DURABLE_NONE,
     LUNAQ_DURABLE_FSYNC, "none replica fsync",
     "none on Redis, fsync in a file", {NULL, NULL}, "LEVEL",
     "what queue.enqueue in handlers is sure of: none, replica, fsync"},
    {"prefix", CONFIG_TEXT, 0, OPTION(prefix), 0, 0, NULL,
     "asynq", {NULL, NULL}, "NAME",
     "what keys in Redis begin with, so that applications share one"},
    {"database", CONFIG_URL, 0, OPTION(database), 0, 0, NULL,
     "sqlite:.lunaq/app.db", {"DATABASE_URL", NULL}, "URL",
     "what `db` in handlers talks to: sqlite:FILE, postgres://… or none"},
    {"handlers", CONFIG_PATH, 0, OPTION(handlers), 0, 0, NULL,
     "handlers", {NULL, NULL}, "DIR", "the folder of Lua handlers"},
    {"migrations", CONFIG_PATH, 0, OPTION(migrations), 0, 0, NULL,
     "migrations, if it is there", {NULL, NULL}, "DIR",
     "the folder of SQL migrations, applied at start; \"\" = none"},
    {"queues", CONFIG_QUEUES, 0, OPTION(queues), 1, 1000000, NULL,
     "critical=6,default=3,low=1", {NULL, NULL}, "LIST",
     "the queues to serve and their weights: name=weight,…"},
    {"strict", CONFIG_BOOL, 0, OPTION(strict), 0, 1, NULL,
     "false", {NULL, NULL}, NULL,
     "always take from the queue of highest weight first"},
    {"concurrency", CONFIG_INT, 0, OPTION(concurrency), 1, 100000, NULL,
     "10", {"WORKER_CONCURRENCY", NULL}, "N", "tasks run at once"},
    {"worker_threads", CONFIG_INT, 0, OPTION(worker_threads), 0, 64, NULL,
     "0: one for ten tasks, at most CPUs and 4", {NULL, NULL}, "N", "threads that run Lua"},
    {"lease", CONFIG_DURATION, 0, OPTION(lease_ms), 10 * SECOND, 60 * SECOND,
     NULL, "30s", {NULL, NULL}, "TIME",
     "how long a task stays ours without a sign of life"},
    {"shutdown_timeout", CONFIG_DURATION, CONFIG_ZERO_IS_NONE,
     OPTION(shutdown_timeout_ms), 0, DAY, NULL, "8s", {NULL, NULL}, "TIME",
     "how long a stop waits for running tasks"},
    {"stuck_after", CONFIG_DURATION, CONFIG_ZERO_IS_NONE,
     OPTION(stuck_after_ms), 0, DAY, NULL, "120s", {NULL, NULL}, "TIME",
     "end the process when a thread is stuck this long; 0 = never"},
    {"crash_limit", CONFIG_INT, CONFIG_ZERO_IS_NONE, OPTION(crash_limit),
     0, 1000, NULL, "3", {NULL, NULL}, "N",
     "crashes until a task is archived; 0 = never"},
    {"group_grace", CONFIG_DURATION, 0, OPTION(group_grace_ms), SECOND,
     30 * DAY, NULL, "60s", {NULL, NULL}, "TIME",
     "a group is aggregated so long after its last task came"},
    {"group_max_delay", CONFIG_DURATION, 0, OPTION(group_max_delay_ms), 0,
     30 * DAY, NULL, "0: no limit", {NULL, NULL}, "TIME",
     "or so long after its first task came"},
    {"group_max_size", CONFIG_INT, 0, OPTION(group_max_size), 0, INT32_MAX,
     NULL, "0: no limit", {NULL, NULL}, "N", "or when it has so many tasks"},
    {"db.pool", CONFIG_INT, 0, OPTION(db_pool), 1, 10000, NULL,
     "10", {NULL, NULL}, "N", "database connections of this process"},
    {"db.prepare", CONFIG_BOOL, CONFIG_INVERTED, OPTION(db_prepare_off),
     0, 1, NULL, "true", {NULL, NULL}, NULL,
     "use prepared statements; false for old PgBouncers"},
    {"env", CONFIG_NAMES, 0, OPTION(env), 0, 0, NULL,
     "none", {NULL, NULL}, "NAMES",
     "variables that handlers may read: NAME,…"},
    {"timezone", CONFIG_TEXT, 0, OPTION(timezone), 0, 0, NULL,
     "UTC", {NULL, NULL}, "ZONE",
     "what cron specs that name no zone are in: Europe/Berlin"},
    {"schedules", CONFIG_TEXT, 0, OPTION(schedules), 0, 0, NULL,
     "none", {NULL, NULL}, "TABLE",
     "a table of periodic tasks in the database, or a query"},
    {"schedule_every", CONFIG_DURATION, 0, OPTION(schedule_every_ms), SECOND,
     DAY, NULL, "3m", {NULL, NULL}, "TIME",
     "how often providers of periodic tasks are asked again"},
    {"cron", CONFIG_CRON, 0, OPTION(cron), 0, 0, NULL,
     "none", {NULL, NULL}, NULL, "periodic tasks; in the file only"},
    {"log.level", CONFIG_CHOICE, 0, OPTION(log_level),
     LUNAQ_LOG_DEBUG, LUNAQ_LOG_OFF, "debug info warn error off",
     "info", {NULL, NULL}, "LEVEL", "debug, info, warn, error or off"},
    {"log.format", CONFIG_CHOICE, 0, OPTION(log_format),
     LUNAQ_LOG_AUTO, LUNAQ_LOG_JSON, "auto text json",
     "auto", {NULL, NULL}, "FORMAT",
     "text, json, or auto: text on a terminal"},
    {"trust_message", CONFIG_BOOL, 0, OPTION(trust_message), 0, 1, NULL,
     "false", {NULL, NULL}, NULL,
     "Asynq's \"not given\" timeout and retries count as given"},
    {"watch", CONFIG_BOOL, CONFIG_INVERTED, OPTION(watch_off), 0, 1, NULL,
     "true", {NULL, NULL}, NULL,
     "load handler files again when they change"},
    {"remote_control", CONFIG_BOOL, CONFIG_INVERTED,
     OPTION(remote_control_off), 0, 1, NULL, "true", {NULL, NULL}, NULL,
     "obey 'lunaq server quiet' and 'lunaq server stop'"},
    {"interrupt", CONFIG_CHOICE, 0, OPTION(interrupt),
     LUNAQ_INTERRUPT_HOOK, LUNAQ_INTERRUPT_NONE, "hook signal none",
     "signal", {NULL, NULL}, "HOW",
     "how a handler that keeps the CPU is ended: signal, hook, none"},
};
/* clang-format on */
const size_t config_key_count = sizeof(config_keys) / sizeof(config_keys[0]);

static_assert(sizeof(config_keys) / sizeof(config_keys[0]) <= CONFIG_KEY_MAX,
              "config.source has a place for every key");

size_t config_key_find(const char *name)
{
    size_t i = 0;
    while (i < config_key_count && strcmp(config_keys[i].name, name) != 0)
        i++;
    return i;
}

void config_key_variable(const config_key *key, char *out, size_t size)
{
    snprintf(out, size, "LUNAQ_%s", key->name);
    for (char *p = out; *p; p++)
        *p = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
}

void config_key_flag(const config_key *key, char *out, size_t size)
{
    snprintf(out, size, "--%s", key->name);
    for (char *p = out; *p; p++)
        if (*p == '.' || *p == '_')
            *p = '-';
}

void config_help(FILE *out)
{
    fputs("Usage: lunaqd [option …]\n"
          "Takes tasks from the broker and runs the Lua handlers of their "
          "types.\n\n"
          "  -f, --config FILE            read FILE instead of lunaq.conf.lua\n"
          "  -C, --home DIR               the application's folder\n"
          "      --check                  check the configuration and exit\n"
          "      --print-config           print it, secrets masked, and exit\n"
          "  -h, --help                   print this and exit\n"
          "  -V, --version                print the version and exit\n\n"
          "Settings, also in lunaq.conf.lua and as variables (LUNAQ_DB_POOL is "
          "--db-pool):\n",
          out);
    for (size_t i = 0; i < config_key_count; i++) {
        const config_key *k = &config_keys[i];
        if (k->kind == CONFIG_CRON)
            continue;
        char flag[64], column[96];
        config_key_flag(k, flag, sizeof(flag));
        if (k->kind == CONFIG_BOOL)
            snprintf(column, sizeof(column), "%s[=false]", flag);
        else
            snprintf(column, sizeof(column), "%s %s", flag, k->placeholder);
        fprintf(out, "      %-24s %s\n%31s(default %s", column, k->help, "",
                k->fallback);
        for (size_t j = 0; j < 2 && k->also[j]; j++)
            fprintf(out, "%s$%s", j ? ", " : "; also ", k->also[j]);
        fputs(")\n", out);
    }
    fputs("\nSignals: TERM and INT stop, a second INT stops now, TSTP takes no "
          "more tasks,\nHUP loads the handlers again.  Exit: 0 all is given "
          "back, 1 failed, 2 usage.\nSee lunaqd(8), lunaq.conf(5).\n",
          out);
}
