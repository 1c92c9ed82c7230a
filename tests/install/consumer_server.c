#define _POSIX_C_SOURCE 200809L
#include <lunaq/server.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static atomic_int ran;

static int hello(lunaq_run *run, void *userdata)
{
    (void)userdata;
    printf("%s\n", lunaq_run_type(run));
    ran = 1;
    return LUNAQ_OK;
}

int main(void)
{
    lunaq_server_options options = LUNAQ_SERVER_OPTIONS_INIT;
    lunaq_server *server = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    int rc = lunaq_server_open(&server, &options, &err);
    if (!rc)
        rc = lunaq_server_handle(server, "hello", hello, NULL, &err);
    if (!rc)
        rc = lunaq_server_start(server, &err);
    for (int i = 0; !rc && !ran && i < 1000; i++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    if (!rc)
        rc = lunaq_server_stop(server, &err);
    if (rc)
        puts(err.message);
    lunaq_server_close(server);
    return rc || !ran;
}
