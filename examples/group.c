/* group: an aggregator in C, as Asynq's GroupAggregator.
 *
 *     lunaq enqueue vote --group song:1
 *
 * Five seconds after the last vote for a song came, one task says how many
 * there were. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <lunaq/server.h>

static int count(lunaq_group *group, void *userdata)
{
    (void)userdata;
    char payload[400];
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_task task = LUNAQ_TASK_INIT;
    task.type = "votes:counted";
    snprintf(payload, sizeof payload, "%zu for %.300s",
             lunaq_group_count(group), lunaq_group_name(group));
    task.payload = payload;
    task.payload_len = strlen(payload);
    if (lunaq_group_set_task(group, &task, &err))
        return lunaq_group_fail(group, err.message);
    return LUNAQ_OK;
}

static int print(lunaq_run *run, void *userdata)
{
    (void)userdata;
    size_t len;
    const char *payload = lunaq_run_payload(run, &len);
    printf("%.*s\n", (int)len, payload);
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

    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_server *server = NULL;
    lunaq_server_options options = LUNAQ_SERVER_OPTIONS_INIT;
    options.aggregate = count;
    options.group_grace_ms = 5000;
    options.group_max_size = 1000;
    int rc = lunaq_server_open(&server, &options, &err), signal;
    if (!rc)
        rc = lunaq_server_handle(server, "votes:counted", print, NULL, &err);
    if (!rc)
        rc = lunaq_server_start(server, &err);
    if (!rc && sigwait(&stop, &signal) == 0)
        rc = lunaq_server_stop(server, &err);
    if (rc)
        fprintf(stderr, "group: %s\n", err.message);
    lunaq_server_close(server);
    return rc ? 1 : 0;
}
