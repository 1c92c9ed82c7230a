/* cron: periodic tasks from C.
 *
 * Every program that announces an entry schedules it, and each tick still
 * fires once: the broker remembers the last one.  "lunaq cron ls" lists the
 * entries, "lunaq cron history report:print" what they enqueued. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <lunaq/server.h>

/* Told of each tick on the program that enqueued it; a function of
 * lunaq_cron_hooks may also leave ticks out, or provide the entries. */
static void enqueued(const lunaq_cron_tick *tick, void *userdata)
{
    (void)userdata;
    if (tick->code)
        fprintf(stderr, "cron: %s: %s\n", tick->spec,
                lunaq_strerror((int)tick->code));
}

static int report(lunaq_run *run, void *userdata)
{
    (void)userdata;
    size_t len;
    const char *payload = lunaq_run_payload(run, &len);
    printf("%" PRId64 " %s %.*s\n", (int64_t)time(NULL), lunaq_run_id(run),
           (int)len, payload);
    fflush(stdout);
    return LUNAQ_OK;
}

int main(void)
{
    sigset_t stop; /* before the threads start: they inherit the mask */
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);

    static const char often[] = "{\"period\":\"5s\"}";
    static const char daily[] = "{\"period\":\"day\"}";
    lunaq_cron_entry entries[2] = {LUNAQ_CRON_ENTRY_INIT,
                                   LUNAQ_CRON_ENTRY_INIT};
    entries[0].spec = "@every 5s";
    entries[0].task.type = "report:print";
    entries[0].task.payload = often;
    entries[0].task.payload_len = strlen(often);
    entries[1].spec = "30 4 * * *";
    entries[1].tz = "Europe/Berlin"; /* 04:30 there, once a day, also when the
                                        clock changes */
    entries[1].missed = "skip";      /* not later, when nobody ran at 04:30 */
    entries[1].task.type = "report:print";
    entries[1].task.payload = daily;
    entries[1].task.payload_len = strlen(daily);

    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_server *server = NULL;
    lunaq_server_options options = LUNAQ_SERVER_OPTIONS_INIT;
    options.cron = entries;
    options.cron_count = sizeof entries / sizeof entries[0];
    int rc = lunaq_server_open(&server, &options, &err), signal;
    if (!rc)
        rc = lunaq_server_handle(server, "report:print", report, NULL, &err);
    lunaq_cron_hooks hooks = LUNAQ_CRON_HOOKS_INIT;
    hooks.after_enqueue = enqueued;
    if (!rc)
        rc = lunaq_server_cron(server, &hooks, &err);
    if (!rc)
        rc = lunaq_server_start(server, &err);
    if (!rc && sigwait(&stop, &signal) == 0)
        rc = lunaq_server_stop(server, &err);
    if (rc)
        fprintf(stderr, "cron: %s\n", err.message);
    lunaq_server_close(server);
    return rc ? 1 : 0;
}
