/* embed: a program that runs tasks inside itself, one type in C beside the
 * Lua files of handlers/, with a middleware around it and an eye on errors.
 * Ctrl-C waits for running tasks. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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
    /* Readable at once, `lunaq task show` prints it. */
    int rc = lunaq_run_write_result(run, "half way", 8);
    return rc ? rc : lunaq_run_set_result(run, "resized", 7);
}

/* Around every C handler, and around what nobody handles. */
static int counted(lunaq_run *run, void *userdata)
{
    atomic_int *count = userdata;
    int code = lunaq_run_next(run);
    printf("run %d: %s, attempt %lld\n", atomic_fetch_add(count, 1) + 1,
           lunaq_run_type(run), (long long)lunaq_run_attempt(run));
    fflush(stdout);
    return code;
}

static void failed(lunaq_run *run, const char *error, void *userdata)
{
    (void)userdata;
    fprintf(stderr, "%s %s: %s\n", lunaq_run_type(run), lunaq_run_id(run),
            error);
}

/* `lunaq server stop` from anywhere: as if somebody had pressed Ctrl-C. */
static void ordered(lunaq_order order, const char *who, void *userdata)
{
    (void)who;
    (void)userdata;
    if (order == LUNAQ_ORDER_STOP)
        kill(getpid(), SIGTERM);
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
    options.order = ordered;
    lunaq_handler_options resizing = LUNAQ_HANDLER_OPTIONS_INIT;
    resizing.concurrency = 2; /* of all slots, for it needs much memory */
    lunaq_server_hooks hooks = LUNAQ_SERVER_HOOKS_INIT;
    hooks.on_error = failed;
    atomic_int count = 0;
    int rc = lunaq_server_open(&server, &options, &err), signal;
    if (!rc)
        rc = lunaq_server_handle_with(server, "image:resize", &resizing, resize,
                                      NULL, &err);
    if (!rc)
        rc = lunaq_server_use(server, counted, &count, &err);
    if (!rc)
        rc = lunaq_server_hook(server, &hooks, &err);
    if (!rc)
        rc = lunaq_server_start(server, &err);
    if (!rc && sigwait(&stop, &signal) == 0)
        rc = lunaq_server_stop(server, &err);
    if (rc)
        fprintf(stderr, "embed: %s\n", err.message);
    lunaq_server_close(server);
    return rc ? 1 : 0;
}
