/* embed: a program that runs tasks inside itself, one type in C beside the
 * Lua files of handlers/.  Ctrl-C waits for running tasks. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <lunaq/server.h>

/* Runs on a thread of the callback pool, so it may block. */
static int resize(lunaq_run *run, void *userdata)
{
    (void)userdata;
    size_t len;
    const char *payload = lunaq_run_payload(run, &len);
    if (len == 0)
        return lunaq_run_skip_retry(run, "the payload is empty");
    printf("image:resize %.*s\n", (int)len, payload);
    fflush(stdout);
    return lunaq_run_set_result(run, "resized", 7);
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
    options.handlers = "handlers";
    options.database = getenv("DATABASE_URL");
    int rc = lunaq_server_open(&server, &options, &err), signal;
    if (!rc)
        rc = lunaq_server_handle(server, "image:resize", resize, NULL, &err);
    if (!rc)
        rc = lunaq_server_start(server, &err);
    if (!rc && sigwait(&stop, &signal) == 0)
        rc = lunaq_server_stop(server, &err);
    if (rc)
        fprintf(stderr, "embed: %s\n", err.message);
    lunaq_server_close(server);
    return rc ? 1 : 0;
}
